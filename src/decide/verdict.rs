//! The decision itself.

use super::{
    Base, BuildFacts, Context, Decision, Facts, Mode, REBUILD_TRIGGER, ServiceFacts, TRIGGER_NAMES, TriggerFile,
    Verdict,
    paths::{name_some, tidy, within},
};

/// Decides what is rebuilt.
pub fn rebuild(facts: &Facts) -> Decision {
    let since = since(&facts.base);
    let for_all = reason_for_all(facts, &since);
    let changed = facts.changed.as_deref().unwrap_or_default();
    let per_service = facts.services.iter().map(|service| {
        let verdict = match (&service.build, &for_all, facts.mode) {
            (None, _, _) => no("it has no build section"),
            (Some(_), Some(reason), _) => yes(reason.clone()),
            (Some(build), None, Mode::Auto) => judge(service, build, changed, facts, &since, &mut Vec::new()),
            (Some(_), None, Mode::Triggers) => no(format!("no trigger changed {since}")),
        };
        (service.name.clone(), verdict)
    });
    let mut decision = Decision {
        per_service: per_service.collect(),
        summary: String::new(),
        trigger_file_to_remove: facts.trigger_file == TriggerFile::Untracked,
    };
    decision.summary = summary(&decision, for_all.as_deref(), changed.len(), &since);
    decision
}

fn yes(reason: impl Into<String>) -> Verdict {
    Verdict { build: true, reason: reason.into() }
}

fn no(reason: impl Into<String>) -> Verdict {
    Verdict { build: false, reason: reason.into() }
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

/// What `auto` sees beyond the triggers: of the service itself, then of the services whose images its build reads.
/// `way`: the services that led here.
fn judge<'f>(
    service: &'f ServiceFacts,
    build: &'f BuildFacts,
    changed: &[String],
    facts: &'f Facts,
    since: &str,
    way: &mut Vec<&'f str>,
) -> Verdict {
    let own = own(service, build, changed, facts, since, way.is_empty());
    if own.build || way.contains(&service.name.as_str()) {
        return own;
    }
    way.push(&service.name);
    let read = build.services.iter().find_map(|name| {
        let other = facts.services.iter().find(|other| other.name == *name)?;
        let verdict = judge(other, other.build.as_ref()?, changed, facts, since, way);
        let reason = || format!("service {name}, whose image its build uses, is built anew: {}", verdict.reason);
        verdict.build.then(reason)
    });
    way.pop();
    read.map_or(own, yes)
}

/// Of the service itself. `mounted`: whether a file that is mounted into its containers need not be in its image, which
/// is so for them and not for the images that are built upon it.
fn own(
    service: &ServiceFacts,
    build: &BuildFacts,
    changed: &[String],
    facts: &Facts,
    since: &str,
    mounted: bool,
) -> Verdict {
    if service.image_missing {
        return yes("its image does not exist");
    }
    let all = || changed.iter().map(String::as_str);
    let of = |wanted: &dyn Fn(&str) -> bool| all().filter(|path| wanted(path)).collect::<Vec<_>>();

    let files = of(&|path| is_recipe(build, path));
    if !files.is_empty() {
        return yes(format!("{} changed {since}", name_some(&files)));
    }
    let files = of(&|path| facts.compose_files.iter().any(|file| concerns(file, path)));
    if !files.is_empty() {
        return yes(format!("{} changed {since}, which may change how it is built", name_some(&files)));
    }
    let Context::Inside(context) = &build.context else {
        let Context::Outside(place) = &build.context else { return no("") };
        return yes(format!("its build context {place} lies outside the repository, so changes there are not seen"));
    };
    let inside = of(&|path| {
        within(context, path).is_some()
            || concerns(context, path)
            || build.more_contexts.iter().any(|folder| within(folder, path).is_some() || concerns(folder, path))
    });
    let copied: Vec<_> = inside
        .iter()
        .copied()
        .filter(|path| !excluded(build, context, path))
        .filter(|path| !(mounted && service.bind_mounts.iter().any(|mount| within(mount, path).is_some())))
        .collect();
    match (copied.len(), inside.len()) {
        (0, 0) => no(format!("none of its files changed {since}")),
        (0, _) => no(format!(
            "the files of its build context that changed ({}) are ignored by it or mounted into its containers",
            name_some(&inside)
        )),
        (1, _) => yes(format!("{} in its build context changed {since}", name_some(&copied))),
        (count, _) => yes(format!("{count} files in its build context changed {since}: {}", name_some(&copied))),
    }
}

/// The Dockerfile, its `.dockerignore`, and the trigger names at the top of the context: they shape the image even
/// where the context leaves them out.
fn is_recipe(build: &BuildFacts, path: &str) -> bool {
    if let Some(dockerfile) = &build.dockerfile {
        let dockerfile = tidy(dockerfile);
        if concerns(dockerfile, path) || path.strip_suffix(".dockerignore") == Some(dockerfile) {
            return true;
        }
    }
    matches!(&build.context, Context::Inside(context)
        if within(context, path).is_some_and(|name| TRIGGER_NAMES.contains(&name)))
}

/// Whether a changed path is the file, or a submodule that contains it (git names only the submodule).
fn concerns(file: &str, path: &str) -> bool {
    let file = tidy(file);
    !path.is_empty() && !file.is_empty() && within(path, file).is_some()
}

fn excluded(build: &BuildFacts, context: &str, path: &str) -> bool {
    match (within(context, path), &build.ignore) {
        (Some(inner), Some(ignore)) if !inner.is_empty() => {
            ignore.excludes(inner) && !build.more_contexts.iter().any(|folder| within(folder, path).is_some())
        }
        _ => false,
    }
}

fn summary(decision: &Decision, for_all: Option<&str>, changed: usize, since: &str) -> String {
    let builds: Vec<_> = decision.per_service.iter().filter(|(_, verdict)| verdict.build).collect();
    match (builds.as_slice(), for_all) {
        ([], Some(reason)) => format!("nothing to rebuild, no service is built here ({reason})"),
        ([], None) if changed == 0 => format!("no rebuild: nothing changed {since}"),
        ([], None) => {
            let files = if changed == 1 { "file" } else { "files" };
            format!("no rebuild: {changed} changed {files} {since}, none of which goes into an image")
        }
        (_, Some(reason)) => format!("rebuild everything: {reason}"),
        ([(name, verdict)], None) => format!("rebuild {name}: {}", verdict.reason),
        (builds, None) => {
            let names: Vec<_> = builds.iter().map(|(name, _)| name.as_str()).collect();
            let first = builds.first().map(|(_, verdict)| verdict.reason.as_str()).unwrap_or_default();
            format!("rebuild {}: {first}, and so on", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{super::Triggers, *};

    fn service(name: &str, context: &str) -> ServiceFacts {
        ServiceFacts {
            name: name.into(),
            build: Some(BuildFacts {
                context: Context::Inside(context.into()),
                dockerfile: Some(format!("{context}/Dockerfile")),
                more_contexts: Vec::new(),
                services: Vec::new(),
                ignore: None,
            }),
            image_missing: false,
            bind_mounts: Vec::new(),
        }
    }

    fn facts(mode: Mode, changed: &[&str]) -> Facts {
        let db = ServiceFacts { build: None, image_missing: true, ..service("db", "") };
        Facts {
            mode,
            base: Base::LastDeployed("0123456789abcdef".into()),
            changed: Ok(changed.iter().map(|path| (*path).to_owned()).collect()),
            triggers: Triggers::default(),
            trigger_file: TriggerFile::Absent,
            forced: None,
            compose_files: vec!["compose.yaml".into()],
            services: vec![service("api", "./api"), service("web", "web/"), db],
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
    fn the_mode_triggers_sees_nothing_else() {
        let mut facts = facts(Mode::Triggers, &["api/main.py", "api/Dockerfile", "docs/.env", "compose.yaml"]);
        facts.services[0].image_missing = true;
        assert_eq!(show(&facts), "none");
        let decision = rebuild(&facts);
        assert_eq!(
            decision.summary,
            "no rebuild: 4 changed files since 0123456, which was deployed last, none of which goes into an image"
        );
        assert_eq!(decision.per_service["db"].reason, "it has no build section");
    }

    #[test]
    fn the_mode_auto_looks_at_each_service() {
        let at = |changed: &[&str]| Facts { base: Base::PreviousCommit, ..facts(Mode::Auto, changed) };
        let since = "since the commit before";
        let table: Vec<(&[&str], String)> = vec![
            (&[], "none".into()),
            (&["README.md", "apix/a"], "none".into()),
            (&["api/main.py"], format!("api: api/main.py in its build context changed {since}")),
            (
                &["web/a", "web/b", "web/c", "web/d"],
                format!("web: 4 files in its build context changed {since}: web/a, web/b, web/c and 1 more"),
            ),
            (&["api/Dockerfile"], format!("api: api/Dockerfile changed {since}")),
            (&["api/Dockerfile.dockerignore"], format!("api: api/Dockerfile.dockerignore changed {since}")),
            (&["api", "x"], format!("api: api changed {since}")), // a submodule that holds the whole context
            (&["compose.yaml"], format!("api+web: compose.yaml changed {since}, which may change how it is built")),
        ];
        for (changed, expected) in table {
            assert_eq!(show(&at(changed)), expected, "{changed:?}");
        }
        let mut missing = at(&[]);
        missing.services[1].image_missing = true;
        assert_eq!(show(&missing), "web: its image does not exist");
        assert_eq!(rebuild(&missing).summary, "rebuild web: its image does not exist");
    }

    #[test]
    fn ignored_and_mounted_files_do_not_rebuild() {
        let with = |changed: &[&str], mounts: &[&str]| {
            let mut facts = facts(Mode::Auto, changed);
            facts.services[0].bind_mounts = mounts.iter().map(|mount| (*mount).to_owned()).collect();
            let ignore: Arc<dyn super::super::Ignore> =
                Arc::new(|path: &str| path.starts_with("docs/") || path == ".dockerignore");
            facts.services[0].build.as_mut().unwrap().ignore = Some(ignore);
            rebuild(&facts).per_service["api"].clone()
        };
        assert!(!with(&["api/docs/a.md"], &[]).build);
        assert!(with(&["api/docs/a.md", "api/main.py"], &[]).build);
        assert!(!with(&["api/src/main.py"], &["./api/src"]).build);
        assert!(!with(&["api/src/main.py"], &["."]).build);
        assert!(with(&["api/src/main.py"], &["api/sr"]).build);
        assert!(with(&["api/.dockerignore"], &["."]).build);
        assert!(with(&["api/requirements.txt"], &["api"]).build);
        assert_eq!(
            with(&["api/docs/a.md"], &[]).reason,
            "the files of its build context that changed (api/docs/a.md) are ignored by it or mounted into its containers"
        );
    }

    #[test]
    fn contexts_elsewhere_are_built_anew() {
        let mut facts = facts(Mode::Auto, &["shared/x"]);
        facts.services[0].build.as_mut().unwrap().context = Context::Outside("/srv/api".into());
        facts.services[1].build.as_mut().unwrap().more_contexts = vec!["shared".into()];
        let builds = rebuild(&facts).builds();
        assert!(builds["api"].contains("/srv/api lies outside the repository"), "{builds:?}");
        assert!(builds["web"].contains("shared/x"), "{builds:?}");
        assert!(rebuild(&facts).summary.starts_with("rebuild api, web: "));
    }
    #[test]
    fn what_changes_an_image_changes_those_built_upon_it() {
        let at = |changed: &[&str]| {
            let mut facts = Facts { base: Base::PreviousCommit, ..facts(Mode::Auto, changed) };
            facts.services[0].build.as_mut().unwrap().services = vec!["mid".into()];
            facts.services.push(service("mid", "mid"));
            facts.services[3].build.as_mut().unwrap().services = vec!["base".into(), "nobody".into()];
            facts.services.push(service("base", "base"));
            facts
        };
        let since = "since the commit before";
        let read = |name: &str| format!("service {name}, whose image its build uses, is built anew: ");
        let table = [
            ("web/a", "web".to_owned(), format!("web/a in its build context changed {since}")),
            ("mid/a", "api+mid".to_owned(), format!("{}mid/a in its build context changed {since}", read("mid"))),
            (
                "base/a",
                "api+base+mid".to_owned(),
                format!("{}{}base/a in its build context changed {since}", read("mid"), read("base")),
            ),
        ];
        for (changed, names, reason) in table {
            assert_eq!(show(&at(&[changed])), format!("{names}: {reason}"), "{changed}");
        }
        // What is mounted into a service's containers is in its image all the same.
        let mut mounted = at(&["mid/a"]);
        mounted.services[3].bind_mounts = vec!["mid".into()];
        assert_eq!(show(&mounted), format!("api: {}mid/a in its build context changed {since}", read("mid")));
        let mut missing = at(&[]);
        missing.services[3].image_missing = true;
        assert_eq!(show(&missing), format!("api+mid: {}its image does not exist", read("mid")));
        // A circle is refused elsewhere, and must not hang here.
        let mut circle = at(&[]);
        circle.services[3].build.as_mut().unwrap().services = vec!["api".into()];
        assert_eq!(show(&circle), "none");
        circle.changed = Ok(vec!["api/a".into()]);
        assert!(show(&circle).starts_with("api+mid: api/a "), "{}", show(&circle));
        // Triggers only: nothing else is looked at.
        assert_eq!(show(&Facts { mode: Mode::Triggers, ..at(&["base/a"]) }), "none");
    }
}
