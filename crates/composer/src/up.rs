//! `up`, `create`, `build` and `pull`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::{
    api_socket,
    args::{BuildArgs, CreateArgs, PullArgs, PullChoice, ScaleArgs, UpArgs},
    bake,
    progress::{Mode, Progress},
    prompt, provider, remote_stack,
    session::{Session, grace, now},
    wait, watch,
};
use turnout_compose::model::{Project, SshKey};
use turnout_docker::{Engine, image::BuildOptions};
use turnout_plan::{self as plan, Earlier, Intent, Observed, Plan, Pull, RunState};

/// `up`.
pub(super) async fn up(session: &Session, args: &UpArgs) -> anyhow::Result<u8> {
    super::attach::consistent(args)?;
    let mut project = session.load_looking(&args.services).await?;
    remote_stack::consent(session, &project, args.yes)?;
    if args.no_deps {
        without_dependencies(&mut project, &args.services);
    }
    let attached =
        !(project.services.is_empty() || args.detach || args.wait || args.no_start || session.global.dry_run);
    if attached {
        super::attach::shown(&project, args)?;
    }
    if args.watch {
        watch::check(&project)?;
    }
    // 0 is no limit, as in the real one.
    if let Some(seconds) = args.wait_timeout.filter(|seconds| *seconds > 0) {
        session.wait_timeout.get_or_init(|| Duration::from_secs(seconds));
    }
    let intent = Intent {
        no_deps: args.no_deps,
        no_start: args.no_start,
        no_build: args.no_build,
        force_recreate: args.force_recreate,
        no_recreate: args.no_recreate,
        always_recreate_deps: args.always_recreate_deps,
        renew_anon_volumes: args.renew_anon_volumes,
        yes_recreate_volumes: args.yes,
        pull: pull(args.pull),
        build: if args.build { builds(&project, &[]) } else { BTreeMap::new() },
        ..intent(session, &args.services, &args.scale, args.remove_orphans)?
    };
    let progress = Progress::new(session.mode()).without_output(args.quiet_build).without_pulls(args.quiet_pull);
    let stop_timeout = grace(args.timeout);
    if attached {
        let (hooks, said) = tokio::sync::mpsc::unbounded_channel();
        let progress = progress.with_hooks(hooks.clone());
        // As the real one does: create, attach, start; so that nothing is missed that a container says.
        let creation = Intent { no_start: true, ..intent.clone() };
        let engine = converge(session, &mut project, &creation, stop_timeout, &progress).await?;
        // What was to be made anew was made anew just now.
        let rest = Intent {
            force_recreate: false,
            renew_anon_volumes: false,
            always_recreate_deps: false,
            no_recreate: true,
            remove_orphans: false,
            ignore_orphans: true,
            pull: None,
            build: BTreeMap::new(),
            ..intent
        };
        let start = async {
            let quiet = |observed: &mut Observed, _: &Earlier| {
                Ok(Plan { warnings: Vec::new(), ..plan::converge(&project, observed, &rest)? })
            };
            session.bring_about(&engine, &project, stop_timeout, &progress, quiet).await
        };
        let following =
            super::attach::Attached { session, engine: &engine, project: &project, args, stop_timeout, hooks };
        let (told, lines) = tokio::sync::mpsc::unbounded_channel();
        let options = watch::Options { prune: true, quiet: args.quiet_build };
        let watcher = match args.watch {
            true => Some(watch::Watcher::new(session, &engine, &project, options, told)?),
            false => None,
        };
        return following.follow(start, said, watcher, lines).await;
    }
    let engine = converge(session, &mut project, &intent, stop_timeout, &progress).await?;
    if args.no_start || session.global.dry_run {
        return Ok(0);
    }
    if args.wait {
        let limit = args.wait_timeout.map(Duration::from_secs);
        wait::until_ready(session, &engine, &project, limit, &progress).await?;
    }
    Ok(0)
}

/// `scale`: an `up` of the named services, with these numbers of containers.
pub(super) async fn scale(session: &Session, args: &ScaleArgs) -> anyhow::Result<u8> {
    let named = args.scale.iter().map(|text| Ok(one_scale(text)?.0)).collect::<anyhow::Result<Vec<String>>>()?;
    let mut project = session.load_looking(&named).await?;
    if args.no_deps {
        without_dependencies(&mut project, &named);
    }
    let intent = Intent { no_deps: args.no_deps, ..intent(session, &named, &args.scale, false)? };
    let progress = Progress::new(session.mode());
    converge(session, &mut project, &intent, None, &progress).await?;
    Ok(0)
}

/// `create`.
pub(super) async fn create(session: &Session, args: &CreateArgs) -> anyhow::Result<u8> {
    let mut project = session.load_looking(&args.services).await?;
    let intent = Intent {
        no_start: true,
        no_build: args.no_build,
        force_recreate: args.force_recreate,
        no_recreate: args.no_recreate,
        yes_recreate_volumes: args.yes,
        pull: pull(args.pull),
        build: if args.build || args.pull == PullChoice::Build { builds(&project, &[]) } else { BTreeMap::new() },
        ..intent(session, &args.services, &args.scale, args.remove_orphans)?
    };
    let progress = Progress::new(session.mode()).without_pulls(args.quiet_pull);
    converge(session, &mut project, &intent, None, &progress).await?;
    Ok(0)
}

/// `build`: the image steps of an `up`, nothing else.
pub(super) async fn build(session: &Session, args: &BuildArgs) -> anyhow::Result<u8> {
    let mut project = session.load_without_environment(&args.services)?;
    let wanted = if args.with_dependencies { &[] } else { args.services.as_slice() };
    let mut builds = builds(&project, wanted);
    add_context_services(&mut project, &mut builds);
    let options = build_options(session, args)?;
    let ssh = args.ssh.as_deref().map(ssh_key).transpose()?;
    for (name, service) in &mut project.services {
        let Some(build) = service.build.as_mut().filter(|_| builds.contains_key(name)) else { continue };
        build.no_cache |= args.no_cache;
        build.pull |= args.pull;
        build.ssh.extend(ssh.clone());
        if let Some(provenance) = &args.provenance {
            build.provenance.clone_from(provenance);
        }
        if let Some(sbom) = &args.sbom {
            build.sbom.clone_from(sbom);
        }
        for argument in &args.build_args {
            let (key, value) = match argument.split_once('=') {
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            build.args.insert(key.to_owned(), value);
        }
    }
    if args.print {
        return print_bake(&project, &builds, options);
    }
    session.build_options.get_or_init(|| options);
    let plan = image_plan(&project, &Intent { build: builds, ..Intent::default() }, |action| {
        matches!(action, plan::Action::Build { .. })
    })?;
    let mode = if args.quiet { Mode::Quiet } else { session.mode() };
    let progress = Progress::new(mode).without_output(args.quiet);
    if plan.steps.is_empty() {
        progress.warning("no service to build");
        return Ok(0);
    }
    let engine = session.engine().await?;
    session.apply(&engine, &project, plan, None, &progress).await?;
    Ok(0)
}

/// `--print`.
fn print_bake(project: &Project, builds: &BTreeMap<String, String>, options: BuildOptions) -> anyhow::Result<u8> {
    writeln!(std::io::stdout(), "{}", bake::text(project, builds, options)?)?;
    Ok(0)
}

/// What `build` asks for beyond the project.
fn build_options(session: &Session, args: &BuildArgs) -> anyhow::Result<BuildOptions> {
    if args.check {
        bail!(
            "--check is not supported: it asks a Dockerfile linter that no engine of Docker 20.10 has; use \
             `docker buildx build --check`"
        );
    }
    let builder = args.builder.as_deref().or_else(|| session.variable("BUILDX_BUILDER")).unwrap_or("default");
    if builder != "default" {
        bail!(
            "builder {builder:?} is not supported: builds are made by the engine's own builder, whose name is default"
        );
    }
    let memory = match &args.memory {
        Some(text) => match turnout_compose::model::Bytes::parse(text) {
            Ok(bytes) => bytes.0,
            Err(why) => bail!("--memory: {why}: write a size such as 512m"),
        },
        None => 0,
    };
    Ok(BuildOptions { all_platforms: true, push: args.push, memory })
}

/// `--ssh`: `default`, or an identifier and a path.
fn ssh_key(text: &str) -> anyhow::Result<SshKey> {
    match text.split_once('=') {
        Some((id, path)) => Ok(SshKey { id: id.to_owned(), path: path.to_owned() }),
        None if matches!(text, "" | "default") => Ok(SshKey { id: "default".to_owned(), path: String::new() }),
        None => bail!("--ssh {text}: write default, or ID=PATH with an agent's socket or a key file"),
    }
}

/// Services whose images are contexts of these builds are built too, active or not.
fn add_context_services(project: &mut Project, builds: &mut BTreeMap<String, String>) {
    let mut open: Vec<String> = builds.keys().cloned().collect();
    while let Some(name) = open.pop() {
        let build = project.services.get(&name).and_then(|service| service.build.as_ref());
        let contexts = build.into_iter().flat_map(|build| build.additional_contexts.values());
        let others: Vec<_> = contexts.filter_map(|value| value.strip_prefix("service:")).map(str::to_owned).collect();
        for other in others.into_iter().filter(|other| !builds.contains_key(other)).collect::<Vec<_>>() {
            if let Some(service) = project.disabled_services.remove(&other) {
                project.services.insert(other.clone(), service);
            }
            builds.insert(other.clone(), format!("its image is a context of the build of {name}"));
            open.push(other);
        }
    }
}

/// `pull`: the images of the services, each once.
pub(super) async fn pull_images(session: &Session, args: &PullArgs) -> anyhow::Result<u8> {
    let mut project = session.load_without_environment(&args.services)?;
    if !args.include_deps && !args.services.is_empty() {
        without_dependencies(&mut project, &args.services);
    }
    let mode = if args.quiet { Mode::Quiet } else { session.mode() };
    let progress = Progress::new(mode);
    let engine = session.engine().await?;
    if let Some(policy) = &args.policy {
        let own = project.services.values_mut().filter(|service| !service.image.is_empty());
        own.for_each(|service| service.pull_policy.clone_from(policy));
    }
    let lazy = project.services.values().any(|service| is_lazy(&service.pull_policy));
    let observed = if lazy { engine.observe(&project).await? } else { Observed::default() };
    let mut plan = Plan { project: project.name.clone(), ..Plan::default() };
    let mut pulled_by: BTreeMap<String, String> = BTreeMap::new();
    for (name, service) in &project.services {
        let image = service.image_name(&project.name, name);
        let is_here = || observed.images.get(&image).is_some_and(|state| state.id.is_some());
        let skip = if service.image.is_empty() {
            "Skipped - No image to be pulled".to_owned()
        } else if matches!(service.pull_policy.as_str(), "never" | "build") {
            "Skipped".to_owned()
        } else if is_lazy(&service.pull_policy) && !is_latest(&image) && is_here() {
            "Skipped - Image is already present locally".to_owned()
        } else if args.ignore_buildable && service.build.is_some() {
            "Skipped - Image can be built".to_owned()
        } else if let Some(other) = pulled_by.get(&image) {
            format!("Skipped - Image is already being pulled by {other}")
        } else {
            pulled_by.insert(image.clone(), name.clone());
            let tolerate = args.ignore_pull_failures || service.build.is_some();
            let action = plan::Action::Pull { service: name.clone(), image, tolerate_failure: tolerate };
            plan.steps.push(plan::Step::new(action, plan::ServiceCause::Asked, Vec::new(), plan::Condition::Always));
            continue;
        };
        progress.image(name, &skip, "");
    }
    // Steps that run before a service may have images of their own.
    for (name, service) in &project.services {
        for step in service.pre_start.iter().map(|step| &step.spec).filter(|step| !step.image.is_empty()) {
            let (image, policy) = (step.image.clone(), args.policy.as_deref().unwrap_or(&step.pull_policy));
            let is_here = || observed.images.get(&image).is_some_and(|state| state.id.is_some());
            let stays = is_lazy(policy) && !is_latest(&image) && is_here();
            let is_built = project
                .services
                .iter()
                .any(|(name, other)| other.build.is_some() && other.image_name(&project.name, name) == image);
            if matches!(policy, "never" | "build") || stays || is_built || pulled_by.contains_key(&image) {
                continue;
            }
            pulled_by.insert(image.clone(), name.clone());
            let action =
                plan::Action::Pull { service: name.clone(), image, tolerate_failure: args.ignore_pull_failures };
            plan.steps.push(plan::Step::new(action, plan::ServiceCause::Asked, Vec::new(), plan::Condition::Always));
        }
    }
    let report = session.apply(&engine, &project, plan.clone(), None, &progress).await?;
    let failed: Vec<(&str, &str)> = plan
        .steps
        .iter()
        .zip(&report.steps)
        .filter(|(_, done)| done.outcome == turnout_report::Outcome::Skipped)
        .filter_map(|(step, done)| match &step.action {
            plan::Action::Pull { service, .. } => Some((service.as_str(), done.text.as_str())),
            _ => None,
        })
        .collect();
    let builds = |name: &&str| project.services.get(*name).is_some_and(|service| service.build.is_some());
    let must_build: Vec<&str> = failed.iter().map(|(name, _)| *name).filter(builds).collect();
    if !must_build.is_empty() {
        progress.last_word(&format!(
            "WARNING: Some service image(s) must be built from source by running:\n    docker compose build {}",
            must_build.join(" ")
        ));
    }
    if !args.ignore_pull_failures && !failed.is_empty() {
        bail!(
            "{}",
            failed.iter().map(|(_, text)| text.trim_end_matches("; going on without")).collect::<Vec<_>>().join("\n")
        );
    }
    Ok(0)
}

/// Whether an image that is here is not asked for again.
fn is_lazy(policy: &str) -> bool {
    matches!(policy, "missing" | "if_not_present")
}

/// Whether a reference means `latest`, whose image is never taken for the newest.
fn is_latest(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or(image);
    !image.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

/// Observes, plans and applies; shows what already runs.
pub(super) async fn converge(
    session: &Session,
    project: &mut Project,
    intent: &Intent,
    stop_timeout: Option<Duration>,
    progress: &Progress,
) -> anyhow::Result<Engine> {
    prepare(session, project, progress).await?;
    let project = &*project;
    if project.services.is_empty() && !intent.all_resources {
        bail!("no service selected");
    }
    let engine = session.engine().await?;
    refuse_unsupported(&engine, project)?;
    let mut agreed = intent.clone();
    let planned = |observed: &mut Observed, earlier: &Earlier| {
        agreed.earlier = earlier.clone();
        let mut plan = plan::converge(project, observed, &agreed)?;
        if !agreed.yes_recreate_volumes && !session.global.dry_run {
            let other = Intent { yes_recreate_volumes: true, ..agreed.clone() };
            let consented = plan::converge(project, observed, &other)?;
            if consents(&consented)? {
                (plan, agreed) = (consented, other);
            }
        }
        build_in_order(project, &mut plan);
        running(observed, project, &plan, progress);
        Ok(plan)
    };
    session.bring_about(&engine, project, stop_timeout, progress, planned).await?;
    Ok(engine)
}

/// Asks before volumes are recreated; nothing to ask means no.
fn consents(plan: &Plan) -> anyhow::Result<bool> {
    let names: Vec<&str> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            plan::Action::RemoveVolume { name, replaced: true, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        return Ok(false);
    }
    let which = names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    let question =
        format!("Volume {which} exists but doesn't match configuration in compose file. Recreate (data will be lost)?");
    Ok(prompt::confirm(&question, false)?)
}

/// Refuses what the engine cannot carry out before anything is done; provided services have no container to refuse.
fn refuse_unsupported(engine: &Engine, project: &Project) -> anyhow::Result<()> {
    if project.services.values().all(|service| service.provider.is_none()) {
        return Ok(engine.refuse_unsupported(project)?);
    }
    let mut own = project.clone();
    own.services.retain(|_, service| service.provider.is_none());
    Ok(engine.refuse_unsupported(&own)?)
}

/// What `intent` of `up` and `create` have in common.
pub(super) fn intent(
    session: &Session,
    services: &[String],
    scale: &[String],
    remove_orphans: bool,
) -> anyhow::Result<Intent> {
    let scale = scale.iter().map(|text| one_scale(text)).collect::<anyhow::Result<_>>()?;
    Ok(Intent {
        services: services.to_vec(),
        scale,
        remove_orphans: remove_orphans || session.is_on("COMPOSE_REMOVE_ORPHANS"),
        ignore_orphans: session.is_on("COMPOSE_IGNORE_ORPHANS"),
        // As the real command line does at every `up`.
        rerun_completed_jobs: true,
        wait_for_running: true,
        start_unchecked: true,
        all_resources: session.global.all_resources,
        now: now(),
        ..Intent::default()
    })
}

/// Drops the services that are not named, and edges to them: `--no-deps`.
pub(super) fn without_dependencies(project: &mut Project, named: &[String]) {
    if named.is_empty() {
        return;
    }
    let (kept, mut dropped): (BTreeMap<_, _>, BTreeMap<_, _>) =
        std::mem::take(&mut project.services).into_iter().partition(|(name, _)| named.contains(name));
    project.services = kept;
    project.disabled_services.append(&mut dropped);
    for service in project.services.values_mut() {
        service.depends_on.retain(|name, _| named.contains(name));
    }
}

/// `--pull`.
pub(super) fn pull(choice: PullChoice) -> Option<Pull> {
    match choice {
        PullChoice::Always => Some(Pull::Always),
        PullChoice::Missing => Some(Pull::Missing),
        PullChoice::Never => Some(Pull::Never),
        PullChoice::Build | PullChoice::Policy => None,
    }
}

/// Services of these that build, all if none is named, each with the cause to print.
pub(super) fn builds(project: &Project, named: &[String]) -> BTreeMap<String, String> {
    let services = project.services.iter().filter(|(name, _)| named.is_empty() || named.contains(name));
    let building = services.filter(|(_, service)| service.build.is_some());
    building.map(|(name, _)| (name.clone(), "asked for".to_owned())).collect()
}

/// What the command line does before the engine's turn: provider programs run, the engine's socket is handed in.
pub(super) async fn prepare(session: &Session, project: &mut Project, progress: &Progress) -> anyhow::Result<()> {
    if !session.global.dry_run {
        provider::up(session, project, progress).await?;
    }
    api_socket::hand_in(session, project).await
}

fn one_scale(text: &str) -> anyhow::Result<(String, u32)> {
    let (name, count) = text.split_once('=').with_context(|| format!("--scale {text}: write SERVICE=NUM"))?;
    let count = count.parse().with_context(|| format!("--scale {text}: {count:?} is not a number of containers"))?;
    Ok((name.to_owned(), count))
}

/// The plan of an `up` on an engine that has nothing, reduced to the steps that `wanted` picks.
pub(super) fn image_plan(
    project: &Project,
    intent: &Intent,
    wanted: impl Fn(&plan::Action) -> bool,
) -> anyhow::Result<Plan> {
    let mut plan = Plan { project: project.name.clone(), ..Plan::default() };
    if intent.build.is_empty() {
        return Ok(plan);
    }
    // What is there does not matter to a build that was asked for; external networks and volumes neither.
    let frame = Project {
        networks: BTreeMap::new(),
        volumes: BTreeMap::new(),
        services: project
            .services
            .iter()
            .filter(|(name, _)| intent.build.contains_key(*name))
            .map(|(name, service)| {
                let reduced = turnout_compose::model::Service {
                    image: service.image.clone(),
                    build: service.build.clone(),
                    depends_on: service.depends_on.clone(),
                    ..Default::default()
                };
                (name.clone(), reduced)
            })
            .collect(),
        ..project.clone()
    };
    let whole = plan::converge(&frame, &Observed::default(), intent)?;
    let mut places: BTreeMap<usize, usize> = BTreeMap::new();
    for (id, mut step) in whole.steps.into_iter().enumerate().filter(|(_, step)| wanted(&step.action)) {
        step.after = step.after.iter().filter_map(|before| places.get(before).copied()).collect();
        step.part_of = step.part_of.and_then(|lead| places.get(&lead).copied());
        places.insert(id, plan.steps.len());
        plan.steps.push(step);
    }
    build_in_order(project, &mut plan);
    Ok(plan)
}

/// Lets builds wait for those of the services that theirs depends on, as in the real one: an image may be the base of
/// another without a word of it in the project.
pub(super) fn build_in_order(project: &Project, plan: &mut Plan) {
    let mut built: BTreeMap<String, usize> = BTreeMap::new();
    for (id, step) in plan.steps.iter_mut().enumerate() {
        let plan::Action::Build { service, .. } = &step.action else { continue };
        let mut open: Vec<&str> = vec![service];
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        while let Some(name) = open.pop() {
            let needed = project.services.get(name).into_iter().flat_map(|service| service.depends_on.keys());
            for other in needed.filter(|other| seen.insert(other.as_str())) {
                match built.get(other) {
                    Some(before) if !step.after.contains(before) => step.after.push(*before),
                    Some(_) => {}
                    None => open.push(other),
                }
            }
        }
        built.insert(service.clone(), id);
    }
}

/// Names the containers that run and that the plan leaves alone.
pub(super) fn running(observed: &Observed, project: &Project, plan: &Plan, progress: &Progress) {
    let touched = |id: &str, name: &str| plan.steps.iter().any(|step| touches(&step.action, id, name));
    let idle = observed.containers.iter().filter(|c| {
        !c.oneoff
            && c.state == RunState::Running
            && project.services.contains_key(&c.service)
            && !touched(&c.id, &c.name)
    });
    let order = plan::dependency_order(project);
    let places: BTreeMap<&str, usize> = order.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
    let mut found: Vec<&plan::ObservedContainer> = idle.collect();
    found.sort_by_key(|c| (places.get(c.service.as_str()), c.name.as_str()));
    progress.run(found.into_iter().map(|container| (container.service.as_str(), container.name.as_str())));
}

fn touches(action: &plan::Action, id: &str, name: &str) -> bool {
    use plan::Action;
    match action {
        Action::CreateContainer { replaces: Some(old), .. } if old.id == id => true,
        Action::StopContainer { id: own, .. }
        | Action::RemoveContainer { id: own, .. }
        | Action::RenameContainer { id: Some(own), .. }
        | Action::RestartContainer { id: own, .. }
        | Action::SignalContainer { id: own, .. }
        | Action::UnpauseContainer { id: own, .. } => own == id,
        Action::StartContainer { name: own, .. } | Action::CreateContainer { name: own, .. } => own == name,
        _ => false,
    }
}
