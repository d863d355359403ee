//! First phase: images that must be built or pulled.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Action, Cause, Condition, ImageCause, PlanError, Pull, StepId};
use super::{Draft, select};
use turnout_compose::{model::Service, reference::familiar};

/// Who uses an image, and what that means for it.
#[derive(Default)]
struct Use<'a> {
    /// Its names as they are written: `app` and `app:latest` are one image.
    names: BTreeSet<String>,
    services: Vec<(&'a str, &'a Service)>,
    /// Run by `pre_start` steps of these.
    steps: Vec<(&'a str, &'a Service)>,
    /// Mounted as a volume by these.
    mounted_by: Vec<&'a str>,
}

/// The use of an image, by a name as it is written.
fn using<'u, 'a>(uses: &'u mut BTreeMap<String, Use<'a>>, image: String) -> &'u mut Use<'a> {
    let usage = uses.entry(familiar(&image)).or_default();
    usage.names.insert(image);
    usage
}

/// Adds a step for every image that is absent, or that a policy or the caller wants anew.
pub(super) fn plan(draft: &mut Draft<'_>) -> Result<(), PlanError> {
    let mut uses: BTreeMap<String, Use<'_>> = BTreeMap::new();
    for (name, service) in draft.selected() {
        if service.provider.is_some() {
            continue;
        }
        using(&mut uses, service.image_name(&draft.project.name, name)).services.push((name, service));
        let mounts = service.with_steps().flat_map(|container| &container.volumes);
        for mount in mounts.filter(|m| m.r#type == "image" && !m.source.is_empty()) {
            using(&mut uses, mount.source.clone()).mounted_by.push(name);
        }
        // One without an image runs that of its service.
        let steps = service.pre_start.iter().map(|step| &step.spec);
        for step in steps.filter(|step| !step.image.is_empty() && step.image != service.image) {
            using(&mut uses, step.image.clone()).steps.push((name, step));
        }
    }
    let mut built_by: BTreeMap<String, StepId> = BTreeMap::new();
    for (_, usage) in order(uses, &draft.intent.bases) {
        // As the service writes it that gives or fetches it.
        let giver = usage.services.iter().find(|(_, service)| service.build.is_some()).or(usage.services.first());
        let image = giver.map(|(name, service)| service.image_name(&draft.project.name, name));
        let Some(image) = image.or_else(|| usage.names.first().cloned()) else { continue };
        one(draft, &image, &usage, &mut built_by)?;
        if let Some(cause) = draft.changing.get(&image).cloned() {
            for other in usage.names.iter().filter(|name| **name != image) {
                draft.changing.entry(other.clone()).or_insert_with(|| cause.clone());
            }
        }
    }
    Ok(())
}

fn one(
    draft: &mut Draft<'_>,
    image: &str,
    usage: &Use<'_>,
    built_by: &mut BTreeMap<String, StepId>,
) -> Result<(), PlanError> {
    let state = draft.observed.images.get(image);
    // One name can hold the images of several platforms, some of which may be absent.
    let present_for = |service: &Service| {
        let platform = service.platform_or_default(&draft.project.environment);
        state.is_some_and(|s| s.id.is_some() && !s.lacking.iter().any(|lacking| lacking == platform))
    };
    let present =
        state.is_some_and(|s| s.id.is_some()) && usage.services.iter().chain(&usage.steps).all(|(_, s)| present_for(s));
    let tagged = state.and_then(|s| s.last_tag_time);
    let builders: Vec<_> =
        usage.services.iter().filter(|(_, s)| s.build.is_some() && !draft.intent.no_build).copied().collect();

    let mut wanted = Vec::new();
    for (name, service) in &builders {
        let asked = draft.intent.build.get(*name).filter(|_| !draft.intent.earlier.built(image));
        if let Some(cause) = asked {
            wanted.push((*name, *service, Cause::Given(cause.clone())));
        } else if draft.intent.pull.is_none() && service.pull_policy == "build" {
            wanted.push((*name, *service, ImageCause::Policy("build").into()));
        }
    }
    if !wanted.is_empty() {
        for (name, service, cause) in wanted {
            build(draft, image, name, service, &cause, Vec::new(), Condition::Always, built_by)?;
        }
        return Ok(());
    }

    // By platform: the services of one share a pull.
    let mut pulls: BTreeMap<&str, (&str, ImageCause)> = BTreeMap::new();
    let mut why_not = "it is neither built nor pulled".to_owned();
    for (name, service) in usage.services.iter().chain(&usage.steps).filter(|(_, s)| !s.image.is_empty()) {
        match pull_reason(draft, name, service, present_for(service), tagged)? {
            Ok(cause) => {
                let platform = service.platform_or_default(&draft.project.environment);
                pulls.entry(platform).or_insert((*name, cause));
            }
            Err(reason) => why_not = reason,
        }
    }
    if !present
        && pulls.is_empty()
        && let Some(name) = usage.mounted_by.first()
    {
        pulls.insert("", (name, ImageCause::Absent(image.to_owned())));
    }
    if draft.intent.no_build && usage.services.iter().any(|(_, s)| s.build.is_some()) {
        why_not = "building was refused (--no-build)".to_owned();
    }

    let mut pulled = None;
    let several = pulls.len() > 1;
    for (platform, (name, cause)) in pulls {
        let cause: Cause = match several {
            false => cause.into(),
            true => ImageCause::For { platform: platform.to_owned(), why: Box::new(cause.into()) }.into(),
        };
        let action =
            Action::Pull { service: name.to_owned(), image: image.to_owned(), tolerate_failure: !builders.is_empty() };
        // One after another: each gives the name anew.
        let step = draft.push(action, cause.clone(), pulled.into_iter().collect(), Condition::Always);
        draft.image_steps.push(step);
        let cause = ImageCause::Pulled { image: image.to_owned(), why: Box::new(cause) };
        draft.changing.insert(image.to_owned(), cause.into());
        pulled = Some(step);
    }
    if present {
        return Ok(());
    }
    let (after, only_if) = pulled.map_or((Vec::new(), Condition::Always), |s| (vec![s], Condition::DidNot(s)));
    match (builders.first(), pulled, usage.services.first().or(usage.steps.first())) {
        (Some(_), _, _) => {
            for (name, service) in &builders {
                let cause = ImageCause::Absent(image.to_owned()).into();
                build(draft, image, name, service, &cause, after.clone(), only_if.clone(), built_by)?;
            }
            Ok(())
        }
        (None, None, Some((name, _))) => {
            Err(PlanError::ImageMissing { service: (*name).to_owned(), image: image.to_owned(), why: why_not })
        }
        _ => Ok(()),
    }
}

#[expect(clippy::too_many_arguments, reason = "one call of one private helper, all of them plain")]
fn build(
    draft: &mut Draft<'_>,
    image: &str,
    name: &str,
    service: &Service,
    cause: &Cause,
    mut after: Vec<StepId>,
    only_if: Condition,
    built_by: &mut BTreeMap<String, StepId>,
) -> Result<(), PlanError> {
    for other in context_services(service) {
        needed(draft, other, name, &mut vec![name.to_owned()], &after, &only_if, built_by)?;
    }
    after.extend(context_services(service).filter_map(|other| built_by.get(other).copied()));
    // In Compose's order of builds, too: one may be built upon another without a word that could be seen here.
    let all: BTreeMap<&str, &Service> = draft.selected().into_iter().collect();
    after.extend(built_before(service, &all).into_iter().filter_map(|other| built_by.get(other).copied()));
    let bases = draft.intent.bases.get(name).into_iter().flatten();
    after.extend(bases.filter_map(|other| built_by.get(other).copied()));
    after.sort_unstable();
    after.dedup();
    let action = Action::Build { service: name.to_owned(), image: image.to_owned() };
    let step = draft.push(action, cause.clone(), after, only_if);
    draft.image_steps.push(step);
    built_by.insert(name.to_owned(), step);
    draft.changing.entry(image.to_owned()).or_insert_with(|| built(image, cause));
    Ok(())
}

/// A service whose image is a context of a build is built before it, whether or not it takes part: as the real command
/// line, which cannot know either whether its image is up to date.
fn needed(
    draft: &mut Draft<'_>,
    name: &str,
    dependent: &str,
    way: &mut Vec<String>,
    after: &[StepId],
    only_if: &Condition,
    built_by: &mut BTreeMap<String, StepId>,
) -> Result<(), PlanError> {
    let came_by = way.iter().any(|before| before == name);
    way.push(name.to_owned());
    if came_by {
        return Err(PlanError::Cycle(way.join(" -> ")));
    }
    let project = draft.project;
    let service = project.services.get(name).or_else(|| project.disabled_services.get(name));
    // That it is there and builds was checked when the project was loaded.
    let Some(service) = service.filter(|service| service.build.is_some() && !built_by.contains_key(name)) else {
        way.pop();
        return Ok(());
    };
    for other in context_services(service) {
        needed(draft, other, name, way, after, only_if, built_by)?;
    }
    way.pop();
    let image = service.image_name(&project.name, name);
    let mut after = after.to_vec();
    after.extend(context_services(service).filter_map(|other| built_by.get(other).copied()));
    let cause: Cause = ImageCause::ContextOf(dependent.to_owned()).into();
    draft.changing.entry(image.clone()).or_insert_with(|| built(&image, &cause));
    let step = draft.push(Action::Build { service: name.to_owned(), image }, cause, after, only_if.clone());
    draft.image_steps.push(step);
    built_by.insert(name.to_owned(), step);
    Ok(())
}

fn built(image: &str, why: &Cause) -> Cause {
    ImageCause::Built { image: image.to_owned(), why: Box::new(why.clone()) }.into()
}

/// Services whose images are named contexts of this one's build; they are built before.
fn context_services(service: &Service) -> impl Iterator<Item = &str> {
    let contexts = service.build.iter().flat_map(|build| build.additional_contexts.values());
    contexts.filter_map(|value| value.strip_prefix("service:"))
}

/// The services that build and that this one, which builds too, depends on, directly or not.
fn built_before<'a>(service: &'a Service, all: &BTreeMap<&'a str, &'a Service>) -> Vec<&'a str> {
    let mut found: Vec<&str> = Vec::new();
    let mut open: Vec<&Service> = if service.build.is_some() { vec![service] } else { Vec::new() };
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    while let Some(service) = open.pop() {
        for other in service.depends_on.keys().filter(|other| seen.insert(other.as_str())) {
            let Some(needed) = all.get(other.as_str()) else { continue };
            open.push(needed);
            if needed.build.is_some() {
                found.push(other);
            }
        }
    }
    found
}

/// Images in an order where those used as build contexts come first, and those of services that others depend on:
/// one may be the base of another. Circles are left to the builder.
fn order<'a>(mut uses: BTreeMap<String, Use<'a>>, bases: &BTreeMap<String, Vec<String>>) -> Vec<(String, Use<'a>)> {
    let all: BTreeMap<&str, &Service> = uses.values().flat_map(|u| u.services.iter().copied()).collect();
    let of: BTreeMap<&str, &str> =
        uses.iter().flat_map(|(image, u)| u.services.iter().map(|(name, _)| (*name, image.as_str()))).collect();
    let needs = |image: &str, u: &Use<'a>| {
        let needed = u.services.iter().flat_map(|(name, service)| {
            let bases = bases.get(*name).into_iter().flatten().map(String::as_str);
            context_services(service).chain(built_before(service, &all)).chain(bases)
        });
        let needed: BTreeSet<&str> = needed.filter_map(|other| of.get(other).copied()).collect();
        needed.into_iter().filter(|other| *other != image).collect::<Vec<_>>()
    };
    let edges = uses.iter().map(|(image, u)| (image.as_str(), needs(image, u))).collect();
    let (done, stuck) = select::in_rounds(&edges);
    let order: Vec<String> = done.into_iter().chain(stuck).map(str::to_owned).collect();
    order.into_iter().filter_map(|image| uses.remove_entry(&image)).collect()
}

/// Why this service's image is pulled, or why not.
fn pull_reason(
    draft: &Draft<'_>,
    name: &str,
    service: &Service,
    present: bool,
    tagged: Option<i64>,
) -> Result<Result<ImageCause, String>, PlanError> {
    let image = &service.image;
    let missing = || {
        if present { Err("it is there".to_owned()) } else { Ok(ImageCause::Absent(image.clone())) }
    };
    let policy = match draft.intent.pull {
        Some(Pull::Always) if draft.intent.earlier.pulled(image) => "missing",
        Some(Pull::Always) => return Ok(Ok(ImageCause::AllAsked)),
        Some(Pull::Never) => return Ok(Err("pulling was refused".to_owned())),
        Some(Pull::Missing) => "missing",
        None => service.pull_policy.as_str(),
    };
    Ok(match policy {
        "" | "missing" | "if_not_present" | "refresh" => missing(),
        "always" => Ok(ImageCause::Policy("always")),
        "never" | "build" => Err(format!("pull_policy is {policy}")),
        other => {
            let seconds = every(other)
                .ok_or_else(|| PlanError::PullPolicy { service: name.to_owned(), policy: other.to_owned() })?;
            // As in Compose: an image without a known time counts as old.
            let due = tagged.is_none_or(|time| draft.intent.now.saturating_sub(time) > seconds);
            match tagged {
                _ if !present || !due => missing(),
                Some(_) => Ok(ImageCause::Old(other.to_owned())),
                None => Ok(ImageCause::AgeUnknown(other.to_owned())),
            }
        }
    })
}

/// Seconds of `daily`, `weekly` and `every_<duration>`.
fn every(policy: &str) -> Option<i64> {
    const DAY: f64 = 86_400.0;
    let text = match policy {
        "daily" => "1d",
        "weekly" => "1w",
        other => other.strip_prefix("every_")?,
    };
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let scale = match unit {
            "w" => 7.0 * DAY,
            "d" => DAY,
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and nobody pulls every 2^63 seconds")]
    (total > 0.0).then_some(total as i64)
}

#[cfg(test)]
mod tests {
    use super::every;

    #[test]
    fn intervals() {
        for (text, seconds) in [
            ("daily", Some(86_400)),
            ("weekly", Some(604_800)),
            ("every_12h", Some(43_200)),
            ("every_1d12h", Some(129_600)),
            ("every_1.5h", Some(5_400)),
            ("every_5m30s", Some(330)),
            ("every_2500ms", Some(2)),
            ("every_", None),
            ("every_12", None),
            ("every_x", None),
            ("sometimes", None),
        ] {
            assert_eq!(every(text), seconds, "{text}");
        }
    }
}
