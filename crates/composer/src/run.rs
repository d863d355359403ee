//! `run`: a one-off container of a service.

use std::{collections::BTreeMap, io::Write as _, path::Path};

use anyhow::{Context as _, bail};
use bollard::query_parameters::{RemoveContainerOptions, WaitContainerOptions};
use futures_util::StreamExt as _;

use super::{
    args::RunArgs,
    converge,
    process::{Tie, Tied},
    progress::{Mode, Progress},
    session::{Session, load_with},
    terminal,
};
use turnout_compose::{
    dotenv,
    labels::separator,
    load::LoadRequest,
    model::{Project, Service, Volume},
};
use turnout_docker::{Apply, ContainerRef, Engine, EngineError, OneOff, as_oneoff};
use turnout_files::{Kind, Reach};
use turnout_plan::{self as plan, Action, Condition, Earlier, Intent, Observed, Plan, ServiceCause, Step};

/// Longest run that is waited for.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 60 * 60);

/// `run`; the exit code is the command's.
pub(super) async fn run(session: &Session, args: &RunArgs) -> anyhow::Result<u8> {
    let name = &args.service().to_owned();
    let mut project = session.load(std::slice::from_ref(name))?;
    super::remote_stack::consent(session, &project, false)?;
    if args.no_deps {
        converge::without_dependencies(&mut project, std::slice::from_ref(name));
    }
    if args.service_ports && !args.publish.is_empty() {
        bail!("--service-ports and --publish are incompatible");
    }
    let asked = Asked::read(session, args, &project)?;
    let wish = terminal::Wish { tty: args.tty, no_tty: args.no_tty, interactive: args.interactive };
    if args.tty.is_some() && args.no_tty.is_some() {
        wish.settle_here()?;
    }
    let mode = if args.quiet { Mode::Quiet } else { session.mode() };
    let progress = Progress::new(mode).without_output(args.quiet_build).without_pulls(args.quiet_pull);
    let progress = progress.without_waits_of(name);
    converge::prepare(session, &mut project, &progress).await?;
    let engine = session.engine().await?;
    let engine = session.with_proxy_variables(&engine).await;
    surroundings(session, &engine, &project, args, &progress).await?;
    if session.global.dry_run {
        return Ok(0);
    }

    let tty = wish.settle_here()?;
    foreign_volumes(&mut project, &asked.service);
    as_oneoff(&mut project, name, |service| asked.apply(service, args, tty));
    let slug = random_hex()?;
    let short: String = slug.chars().take(12).collect();
    let own = args.name.clone().unwrap_or_else(|| {
        let between = separator();
        format!("{}{between}{name}{between}run{between}{short}", project.name)
    });
    // The real one hashes the definition with its name in it.
    if let Some(service) = project.services.get_mut(name) {
        service.container_name.clone_from(&own);
    }
    let wanted = OneOff {
        service: name,
        name: &own,
        slug: &slug,
        // In the foreground we remove it, after its exit code was read.
        auto_remove: args.rm && args.detach,
        stdin: args.reads(),
        use_aliases: args.use_aliases,
    };
    let credentials = session.credentials();
    let nothing = Plan::default();
    let applied = session.run_of(&project, &nothing, None, &progress, &credentials);
    let container = engine.create_oneoff(&applied, &wanted).await?;
    let ended = if args.detach {
        engine.start_oneoff(&applied, &container).await.map(|()| 0).map_err(anyhow::Error::new)
    } else {
        foreground(&engine, &applied, &container, tty, args.reads()).await
    };
    let goes_on = !args.detach && ended.is_ok() && is_running(&engine, &container).await;
    if goes_on {
        progress.warning(&format!("detached from {own}, which goes on; `docker rm -f {own}` ends it"));
    } else if args.rm && (!args.detach || ended.is_err()) {
        let force = RemoveContainerOptions { force: true, v: true, link: false };
        let removed = engine.docker().remove_container(&container.id, Some(force)).await;
        if let Err(error) = removed {
            progress.warning(&EngineError::api(format!("remove {own}"), error).to_string());
        }
    }
    if args.detach && ended.is_ok() {
        writeln!(std::io::stdout(), "{}", container.id)?;
    }
    ended
}

/// Volumes that `-v` names and the project does not have: used by that name, and made by the engine where there is none.
fn foreign_volumes(project: &mut Project, asked: &Service) {
    let named = asked.volumes.iter().filter(|mount| mount.r#type == "volume" && !mount.source.is_empty());
    for mount in named {
        let foreign = Volume { name: mount.source.clone(), external: true, ..Volume::default() };
        project.volumes.entry(mount.source.clone()).or_insert(Some(foreign));
    }
}

/// Brings up what the service depends on, and its image, networks and volumes; then waits as the service would.
async fn surroundings(
    session: &Session,
    engine: &Engine,
    project: &Project,
    args: &RunArgs,
    progress: &Progress,
) -> anyhow::Result<()> {
    let name = args.service();
    let mut intent = Intent {
        scale: BTreeMap::from([(name.to_owned(), 0)]),
        pull: converge::pull(args.pull),
        build: if args.build { converge::builds(project, &[]) } else { BTreeMap::new() },
        ..converge::intent(session, &[], &[], args.remove_orphans)?
    };
    let planned = |observed: &mut Observed, earlier: &Earlier| {
        intent.earlier = earlier.clone();
        // The service's own containers are none of our business: without them, zero of them are wanted. What an earlier
        // `run` left behind stays in sight: it is mentioned, or removed with --remove-orphans.
        observed.leave_alone(name);
        let mut plan = plan::converge(project, observed, &intent)?;
        let edges = project.services.get(name).map(|service| &service.depends_on).into_iter().flatten();
        for (other, edge) in edges.filter(|(_, edge)| edge.condition != "service_started") {
            let starts =
                plan.steps.iter().enumerate().filter(
                    |(_, step)| matches!(&step.action, Action::StartContainer { service, .. } if service == other),
                );
            let after = starts.map(|(id, _)| id).collect();
            let action = Action::WaitFor {
                service: other.clone(),
                condition: edge.condition.clone(),
                required: edge.required,
                dependents: vec![name.to_owned()],
            };
            plan.steps.push(Step::new(action, ServiceCause::NeededBy(vec![name.to_owned()]), after, Condition::Always));
        }
        converge::build_in_order(project, &mut plan);
        converge::running(observed, project, &plan, progress);
        Ok(plan)
    };
    session.bring_about(engine, project, None, progress, planned).await
}

/// Attaches, starts, and stays until the end.
async fn foreground(
    engine: &Engine,
    run: &Apply<'_>,
    container: &ContainerRef,
    tty: bool,
    reads: bool,
) -> anyhow::Result<u8> {
    let tie = Tie { reads, tty, raw: tty, signals: true, detach_keys: None };
    let tied = Tied::to(engine, &container.id, &container.name, tie).await?;
    engine.start_oneoff(run, container).await?;
    tied.stay().await?;
    if is_running(engine, container).await {
        return Ok(0);
    }
    let code = ended_code(engine, &container.id, &container.name).await?;
    Ok(u8::try_from(code.rem_euclid(256)).unwrap_or(1))
}

/// Whether a container goes on although its output has ended for us: the keys to detach were pressed.
async fn is_running(engine: &Engine, container: &ContainerRef) -> bool {
    // The output ends a moment before the process counts as ended.
    const MOMENT: std::time::Duration = std::time::Duration::from_millis(500);
    let ended = ended_code(engine, &container.id, &container.name);
    match tokio::time::timeout(MOMENT, ended).await {
        Ok(_) => false,
        Err(_) => {
            let found = engine.docker().inspect_container(&container.id, None).await;
            found.is_ok_and(|found| found.state.is_some_and(|state| state.running == Some(true)))
        }
    }
}

/// Exit code of a container, when it has ended.
pub(super) async fn ended_code(engine: &Engine, id: &str, name: &str) -> anyhow::Result<i64> {
    let condition = WaitContainerOptions { condition: "not-running".to_owned() };
    let patient = engine.docker_with_timeout(PATIENCE);
    let mut wait = Box::pin(patient.wait_container(id, Some(condition)));
    match wait.next().await {
        Some(Ok(ended)) => Ok(ended.status_code),
        Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => Ok(code),
        Some(Err(error)) => Err(EngineError::api(format!("wait for {name}"), error).into()),
        None => bail!("the engine did not say how {name} ended"),
    }
}

/// What the options say in Compose's own notation.
#[derive(Default)]
struct Asked {
    service: Service,
    environment: BTreeMap<String, Option<String>>,
    labels: BTreeMap<String, String>,
}

impl Asked {
    fn read(session: &Session, args: &RunArgs, project: &Project) -> anyhow::Result<Asked> {
        let mut asked = Asked::default();
        if !args.publish.is_empty() || !args.volumes.is_empty() || args.entrypoint.is_some() {
            // The loader knows the short forms; what is written here is not interpolated a second time.
            let mut service = serde_json::json!({ "image": "none", "ports": args.publish, "volumes": args.volumes });
            if let Some(entrypoint) = &args.entrypoint {
                service["entrypoint"] = entrypoint.clone().into();
            }
            let mut request = LoadRequest {
                files: vec!["-".to_owned()],
                stdin: Some(serde_json::json!({ "name": project.name, "services": { "x": service } }).to_string()),
                env_files: Vec::new(),
                project_directory: None,
                ..session.request()?
            };
            request.options.interpolate = false;
            // Volumes that are named here are the project's, or of no project; none is declared in this place.
            request.options.check_consistency = false;
            let mut loaded = load_with(&request).context("the options of `run` cannot be read")?;
            asked.service = loaded.services.remove("x").unwrap_or_default();
        }
        for text in &args.env {
            match text.split_once('=') {
                Some((key, value)) => asked.environment.insert(key.to_owned(), Some(value.to_owned())),
                // Without a value: ours, or nothing at all.
                None => match project.environment.get(text) {
                    Some(value) => asked.environment.insert(text.clone(), Some(value.clone())),
                    None => None,
                },
            };
        }
        for file in &args.env_from_file {
            let bytes = Reach::Anywhere.read(Path::new(file), Kind::PROJECT);
            let bytes = bytes.with_context(|| format!("--env-from-file {file}"))?;
            let text = String::from_utf8(bytes).with_context(|| format!("--env-from-file {file}"))?;
            let known = |name: &str| asked.environment.get(name).cloned().flatten();
            let read =
                dotenv::parse(&text, &known).map_err(|error| anyhow::anyhow!("--env-from-file {file}: {error}"))?;
            for (key, value) in read {
                asked.environment.entry(key).or_insert(Some(value));
            }
        }
        for text in &args.labels {
            let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.is_empty()) else {
                bail!("--label {text}: write KEY=VALUE");
            };
            asked.labels.insert(key.to_owned(), value.to_owned());
        }
        Ok(asked)
    }

    fn apply(self, service: &mut Service, args: &RunArgs, tty: bool) {
        service.tty = tty;
        service.stdin_open = args.reads();
        if !args.command().is_empty() {
            service.command = Some(args.command().to_vec());
        }
        if args.entrypoint.is_some() {
            service.entrypoint = self.service.entrypoint;
            if args.command().is_empty() {
                service.command = Some(Vec::new());
            }
        }
        if let Some(user) = &args.user {
            service.user.clone_from(user);
        }
        if let Some(directory) = &args.workdir {
            service.working_dir.clone_from(directory);
        }
        for capability in &args.cap_add {
            service.cap_drop.retain(|other| other != capability);
            service.cap_add.push(capability.clone());
        }
        for capability in &args.cap_drop {
            service.cap_add.retain(|other| other != capability);
            service.cap_drop.push(capability.clone());
        }
        service.environment.extend(self.environment);
        service.labels.extend(self.labels);
        if !args.service_ports {
            service.ports.clear();
        }
        service.ports.extend(self.service.ports);
        for mount in self.service.volumes {
            service.volumes.retain(|other| other.target != mount.target);
            service.volumes.push(mount);
        }
    }
}

fn random_hex() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    Ok(hex::encode(bytes))
}
