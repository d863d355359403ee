//! Which services are rebuilt, and why: what changed since the image was built, triggers, what is missing.

use super::{
    Base, BuildFacts, Decision, Facts, Mode, REBUILD_TRIGGER, Seen, ServiceDecision, ServiceFacts, TriggerFile,
    paths::name_some,
};
use crate::report::counted;

/// Decides what is rebuilt.
pub fn rebuild(facts: &Facts) -> Decision {
    let since = since(&facts.base);
    let for_all = reason_for_all(facts, &since);
    let changed = facts.changed.as_deref().unwrap_or_default();
    let per_service = facts.services.iter().map(|service| {
        let decided = match (&service.build, &for_all, facts.mode) {
            (None, _, _) => no("it has no build section"),
            // Built by one deployment and pulled by the next, it would be now one image and now the other.
            (Some(BuildFacts { seen: Seen::Pulled(policy), .. }), _, _) if facts.forced.is_none() => {
                no(format!("pull_policy is {policy}: it is pulled, and built only where it cannot be"))
            }
            (Some(_), Some(reason), _) => yes(reason.clone()),
            (Some(build), None, Mode::Auto) => judge(service, build, facts, &mut Vec::new()),
            (Some(_), None, Mode::Triggers) => no(format!("no trigger changed {since}")),
        };
        (service.name.clone(), decided)
    });
    let mut decision = Decision {
        per_service: per_service.collect(),
        summary: String::new(),
        left: Vec::new(),
        trigger_file_to_remove: facts.trigger_file == TriggerFile::Untracked,
    };
    for service in facts.services.iter().filter(|_| facts.mode == Mode::Triggers) {
        let built = decision.per_service.get(&service.name).is_some_and(|decided| decided.build);
        if let (Some(BuildFacts { seen: Seen::Differs(what), .. }), false, false) =
            (&service.build, built, service.image_missing)
        {
            let left =
                format!("the image of {} is not what is there now ({what}); rebuild: triggers leaves it", service.name);
            decision.left.push(left);
        }
    }
    let mut built = facts.services.iter().filter_map(|service| service.build.as_ref());
    let any_built = built.any(|build| !matches!(build.seen, Seen::Pulled(_)));
    decision.summary = summary(&decision, for_all.as_deref(), (changed.len(), &since), facts.mode, any_built);
    decision
}

fn yes(reason: impl Into<String>) -> ServiceDecision {
    ServiceDecision { build: true, reason: reason.into() }
}

fn no(reason: impl Into<String>) -> ServiceDecision {
    ServiceDecision { build: false, reason: reason.into() }
}

fn since(base: &Base) -> String {
    match base {
        Base::LastDeployed(commit) => {
            format!("since {}, which was deployed last", commit.get(..7).unwrap_or(commit))
        }
        Base::PreviousCommit => "since the commit before".to_owned(),
        Base::Unknown(_) => "since an unknown commit".to_owned(),
    }
}

/// The reason to rebuild every service, if there is one. The strongest comes first.
fn reason_for_all(facts: &Facts, since: &str) -> Option<String> {
    if let Some(reason) = &facts.forced {
        return Some(reason.clone());
    }
    if facts.trigger_file == TriggerFile::Untracked {
        return Some(format!("{REBUILD_TRIGGER} lies in the repository"));
    }
    if none_is_there(facts) && (matches!(facts.base, Base::Unknown(_)) || facts.changed.is_err()) {
        // Whatever changed: each has a reason of its own, and a better one.
        return None;
    }
    if let Base::Unknown(reason) = &facts.base {
        return Some(format!("it is unknown what changed: {reason}"));
    }
    let changed = match &facts.changed {
        Ok(changed) => changed,
        Err(reason) => return Some(format!("it is unknown what changed: {reason}")),
    };
    let wakes = |path: &str| {
        facts.triggers.matches(path) || (path == REBUILD_TRIGGER && facts.trigger_file == TriggerFile::Tracked)
    };
    let triggers: Vec<_> = changed.iter().map(String::as_str).filter(|path| wakes(path)).collect();
    (!triggers.is_empty()).then(|| format!("{} changed {since}", name_some(&triggers)))
}

/// Whether images are looked at, and none of those that are built here exists yet.
fn none_is_there(facts: &Facts) -> bool {
    let built: Vec<_> = facts.services.iter().filter_map(|service| Some((service, service.build.as_ref()?))).collect();
    let is_missing = |(service, build): &(&ServiceFacts, &BuildFacts)| {
        service.image_missing && !matches!(build.seen, Seen::Pulled(_))
    };
    facts.mode == Mode::Auto && !built.is_empty() && built.iter().all(is_missing)
}

/// What `auto` sees beyond the triggers: of the service itself, then of the services whose images it is built upon.
/// `way`: the services that led here.
fn judge<'f>(
    service: &'f ServiceFacts,
    build: &'f BuildFacts,
    facts: &'f Facts,
    way: &mut Vec<&'f str>,
) -> ServiceDecision {
    let own = own(service, build);
    if own.build || way.contains(&service.name.as_str()) {
        return own;
    }
    way.push(&service.name);
    let read = build.bases.iter().find_map(|name| {
        let other = facts.services.iter().find(|other| other.name == *name)?;
        let decided = judge(other, other.build.as_ref()?, facts, way);
        let reason = || format!("service {name}, whose image its build uses, is built anew: {}", decided.reason);
        decided.build.then(reason)
    });
    way.pop();
    read.map_or(own, yes)
}

fn own(service: &ServiceFacts, build: &BuildFacts) -> ServiceDecision {
    if service.image_missing && !matches!(build.seen, Seen::Pulled(_)) {
        return yes("its image does not exist");
    }
    match &build.seen {
        Seen::Same => no("its image is built from what is there now"),
        Seen::Differs(what) => yes(what.clone()),
        Seen::Foreign => yes("its image was not built by turnout, so that nobody knows what went into it"),
        Seen::Blind(why) => yes(why.clone()),
        Seen::Pulled(policy) => no(format!("pull_policy is {policy}: it is pulled")),
    }
}

fn summary(
    decision: &Decision,
    for_all: Option<&str>,
    (changed, since): (usize, &str),
    mode: Mode,
    any_built: bool,
) -> String {
    let builds: Vec<_> = decision.per_service.iter().filter(|(_, decided)| decided.build).collect();
    match (builds.as_slice(), for_all) {
        ([], Some(reason)) => format!("nothing to rebuild, no service is built here ({reason})"),
        ([], None) if changed == 0 => format!("no rebuild: nothing changed {since}"),
        ([], None) => {
            let files = counted(changed, "changed file");
            // In the mode `auto` what goes into an image is compared, not whether it changed: it may have been built already.
            let none = match mode {
                Mode::Auto if any_built => "and each image is built from what is there now",
                Mode::Auto => "and no service is built here",
                Mode::Triggers => "none of which is a trigger",
            };
            format!("no rebuild: {files} {since}, {none}")
        }
        (_, Some(reason)) => format!("rebuild everything: {reason}"),
        ([(name, decided)], None) => format!("rebuild {name}: {}", decided.reason),
        (builds, None) => {
            let names: Vec<_> = builds.iter().map(|(name, _)| name.as_str()).collect();
            let first = builds.first().map(|(_, decided)| decided.reason.as_str()).unwrap_or_default();
            // Of services that share the reason it is said of all of them.
            let shared = builds.iter().all(|(_, decided)| decided.reason == first);
            let (of, more) = match names.first() {
                Some(name) if !shared => (format!("{name}: "), "; the others for reasons of their own, in the plan"),
                _ => (String::new(), ""),
            };
            format!("rebuild {}: {of}{first}{more}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{TRIGGER_NAMES, Triggers},
        *,
    };

    fn service(name: &str) -> ServiceFacts {
        let build = Some(BuildFacts { seen: Seen::Same, bases: Vec::new() });
        ServiceFacts { name: name.into(), build, image_missing: false }
    }

    fn facts(mode: Mode, changed: &[&str]) -> Facts {
        let db = ServiceFacts { build: None, image_missing: true, ..service("db") };
        Facts {
            mode,
            base: Base::LastDeployed("0123456789abcdef".into()),
            changed: Ok(changed.iter().map(|path| (*path).to_owned()).collect()),
            triggers: Triggers::default(),
            trigger_file: TriggerFile::Absent,
            forced: None,
            services: vec![service("api"), service("web"), db],
        }
    }

    /// The services to build, and the reason for the first.
    fn show(facts: &Facts) -> String {
        let builds = rebuild(facts).builds();
        let names: Vec<_> = builds.keys().cloned().collect();
        match builds.values().next() {
            Some(reason) => format!("{}: {reason}", names.join("+")),
            None => "none".to_owned(),
        }
    }

    #[test]
    fn triggers_rebuild_everything_in_both_modes() {
        let deployed = "since 0123456, which was deployed last";
        for mode in [Mode::Auto, Mode::Triggers] {
            for name in TRIGGER_NAMES {
                assert_eq!(show(&facts(mode, &["x", name])), format!("api+web: {name} changed {deployed}"));
            }
            let many = facts(mode, &TRIGGER_NAMES);
            let named = "requirements.txt, Dockerfile, Dockerfile.dev and 3 more";
            assert_eq!(show(&many), format!("api+web: {named} changed {deployed}"));
            assert_eq!(rebuild(&many).summary, format!("rebuild everything: {named} changed {deployed}"));
            let globs = Facts { triggers: Triggers::new(&["*.lock"]).unwrap(), ..facts(mode, &["a.lock"]) };
            assert_eq!(show(&globs), format!("api+web: a.lock changed {deployed}"));

            let unknown = Facts { base: Base::Unknown("no commit yet".into()), ..facts(mode, &[]) };
            assert_eq!(show(&unknown), "api+web: it is unknown what changed: no commit yet");
            let failed = Facts { changed: Err("shallow".into()), ..facts(mode, &[]) };
            assert_eq!(show(&failed), "api+web: it is unknown what changed: shallow");
            let forced = Facts { forced: Some("asked for by ann".into()), ..facts(mode, &[]) };
            assert_eq!(show(&forced), "api+web: asked for by ann");
        }
    }

    #[test]
    fn where_no_image_exists_that_is_the_reason_and_not_what_is_unknown() {
        let all_missing = |mode, changed: Result<Vec<String>, String>| {
            let mut facts = Facts { changed, ..facts(mode, &[]) };
            facts.services.iter_mut().for_each(|service| service.image_missing = true);
            facts
        };
        let first = || Err("this is the first commit".to_owned());
        let found = all_missing(Mode::Auto, first());
        assert_eq!(show(&found), "api+web: its image does not exist");
        assert_eq!(rebuild(&found).summary, "rebuild api, web: its image does not exist");
        // Where images are not looked at, and where somebody asks for it, it stays as it is.
        let unknown = "api+web: it is unknown what changed: this is the first commit";
        assert_eq!(show(&all_missing(Mode::Triggers, first())), unknown);
        let forced = Facts { forced: Some("asked for by ann".into()), ..all_missing(Mode::Auto, first()) };
        assert_eq!(show(&forced), "api+web: asked for by ann");
        let one_is_there = {
            let mut facts = all_missing(Mode::Auto, first());
            facts.services[0].image_missing = false;
            facts
        };
        assert_eq!(show(&one_is_there), unknown);
        let trigger = all_missing(Mode::Auto, Ok(vec!["Dockerfile".to_owned()]));
        assert!(show(&trigger).starts_with("api+web: Dockerfile changed"), "{}", show(&trigger));
    }

    #[test]
    fn the_trigger_file_asks_once() {
        let with = |trigger_file, changed| Facts { trigger_file, ..facts(Mode::Triggers, changed) };
        let table = [
            (with(TriggerFile::Absent, &[REBUILD_TRIGGER]), "none", false),
            (with(TriggerFile::Untracked, &[]), "api+web: REBUILD_TRIGGER lies in the repository", true),
            (with(TriggerFile::Tracked, &[]), "none", false),
            (
                with(TriggerFile::Tracked, &[REBUILD_TRIGGER]),
                "api+web: REBUILD_TRIGGER changed since 0123456, which was deployed last",
                false,
            ),
        ];
        for (facts, expected, remove) in table {
            assert_eq!(show(&facts), expected);
            assert_eq!(rebuild(&facts).trigger_file_to_remove, remove);
        }
    }

    #[test]
    fn what_is_pulled_is_built_only_when_asked_for() {
        for mode in [Mode::Auto, Mode::Triggers] {
            let mut facts = facts(mode, &["Dockerfile"]);
            facts.services[0].build.as_mut().unwrap().seen = Seen::Pulled("always".to_owned());
            facts.services[0].image_missing = true;
            assert!(show(&facts).starts_with("web: Dockerfile changed"), "{}", show(&facts));
            let reason = &rebuild(&facts).per_service["api"].reason;
            assert_eq!(reason, "pull_policy is always: it is pulled, and built only where it cannot be");
            let forced = Facts { forced: Some("asked for by ann".into()), ..facts };
            assert_eq!(show(&forced), "api+web: asked for by ann");
        }
    }

    #[test]
    fn the_mode_triggers_sees_nothing_else() {
        let mut facts = facts(Mode::Triggers, &["api/main.py", "api/Dockerfile", "docs/.env", "compose.yaml"]);
        facts.services[0].image_missing = true;
        facts.services[1].build.as_mut().unwrap().seen = Seen::Differs("x differs".to_owned());
        assert_eq!(show(&facts), "none");
        let decision = rebuild(&facts);
        assert_eq!(
            decision.left,
            ["the image of web is not what is there now (x differs); rebuild: triggers leaves it"]
        );
        assert_eq!(
            decision.summary,
            "no rebuild: 4 changed files since 0123456, which was deployed last, none of which is a trigger"
        );
        assert_eq!(decision.per_service["db"].reason, "it has no build section");
        assert_eq!(
            rebuild(&self::facts(Mode::Triggers, &[])).summary,
            "no rebuild: nothing changed since 0123456, which was deployed last"
        );
    }

    #[test]
    fn the_mode_auto_looks_at_each_service() {
        let with = |seen: Seen| {
            let mut facts = facts(Mode::Auto, &["api/main.py"]);
            facts.services[0].build.as_mut().unwrap().seen = seen;
            facts
        };
        let table = [
            (Seen::Same, "none"),
            (Seen::Differs("target is prod, was dev".into()), "api: target is prod, was dev"),
            (Seen::Foreign, "api: its image was not built by turnout, so that nobody knows what went into it"),
            (Seen::Blind("its build context is far away".into()), "api: its build context is far away"),
        ];
        for (seen, expected) in table {
            assert_eq!(show(&with(seen)), expected);
        }
        assert_eq!(
            rebuild(&with(Seen::Same)).summary,
            "no rebuild: 1 changed file since 0123456, which was deployed last, and each image is built from what is there now"
        );
        let mut pulled = with(Seen::Pulled("always".into()));
        pulled.services[1].build = None;
        assert!(rebuild(&pulled).summary.ends_with("deployed last, and no service is built here"));
        let mut missing = with(Seen::Same);
        missing.services[1].image_missing = true;
        assert_eq!(show(&missing), "web: its image does not exist");
        assert_eq!(rebuild(&missing).summary, "rebuild web: its image does not exist");
        missing.services[0].image_missing = true;
        assert_eq!(rebuild(&missing).summary, "rebuild api, web: its image does not exist");
        missing.services[0].build.as_mut().unwrap().seen = Seen::Foreign;
        missing.services[0].image_missing = false;
        assert_eq!(
            rebuild(&missing).summary,
            "rebuild api, web: api: its image was not built by turnout, so that nobody knows what went into it; the others \
             for reasons of their own, in the plan"
        );
    }

    #[test]
    fn what_changes_an_image_changes_those_built_upon_it() {
        let at = |differs: &str| {
            let mut facts = facts(Mode::Auto, &[]);
            facts.services.extend([service("mid"), service("base")]);
            for service in &mut facts.services {
                let Some(build) = &mut service.build else { continue };
                build.bases = match service.name.as_str() {
                    "api" => vec!["mid".into()],
                    "mid" => vec!["base".into(), "nobody".into()],
                    _ => Vec::new(),
                };
                if service.name == differs {
                    build.seen = Seen::Differs("x differs".into());
                }
            }
            facts
        };
        let read = |name: &str| format!("service {name}, whose image its build uses, is built anew: ");
        let table = [
            ("web", "web: x differs".to_owned()),
            ("mid", format!("api+mid: {}x differs", read("mid"))),
            ("base", format!("api+base+mid: {}{}x differs", read("mid"), read("base"))),
        ];
        for (differs, expected) in table {
            assert_eq!(show(&at(differs)), expected, "{differs}");
        }
        let mut missing = at("");
        missing.services[3].image_missing = true;
        assert_eq!(show(&missing), format!("api+mid: {}its image does not exist", read("mid")));
        // A circle is the builder's to refuse, and must not hang here.
        let mut circle = at("");
        circle.services[3].build.as_mut().unwrap().bases = vec!["api".into()];
        assert_eq!(show(&circle), "none");
        // Triggers only: nothing else is looked at.
        assert_eq!(show(&Facts { mode: Mode::Triggers, ..at("base") }), "none");
    }
}
