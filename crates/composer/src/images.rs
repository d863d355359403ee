//! `build` and `pull`: the image steps of an `up`, nothing else.

use std::{collections::BTreeMap, io::Write as _};

use anyhow::bail;

use super::{
    args::{BuildArgs, PullArgs},
    bake,
    converge::{builds, image_plan, without_dependencies},
    progress::{Mode, Progress},
    session::Session,
};
use turnout_compose::model::{Project, SshKey};
use turnout_docker::image::BuildOptions;
use turnout_plan::{self as plan, Intent, Observed, Plan};

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
    Ok(BuildOptions { all_platforms: true, push: args.push, memory, ..BuildOptions::default() })
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
