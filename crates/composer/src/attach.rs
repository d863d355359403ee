//! `up` without `-d`: starts the containers, shows their logs, stops the project at Ctrl-C or when one has ended.

use std::{
    collections::BTreeSet,
    future::Future,
    io::{self, Write as _},
    pin::Pin,
    time::Duration,
};

use anyhow::bail;
use futures_util::StreamExt as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::{
    args::UpArgs,
    follow::{Happened, Show, What, engine_time, events, restarts},
    printer::Printer,
    progress::{Progress, Said},
    session::{Interrupts, Session},
    watch::{Line, Watcher},
};
use turnout_compose::model::Project;
use turnout_docker::{ContainerStatus, Engine, LogOptions};
use turnout_plan as plan;

/// How long the engine is given, after a stop, to tell the ends that it caused.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// When the containers, as a whole, are stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Abort {
    Never,
    OnExit,
    OnFailure,
}

/// Refuses options that contradict each other, in the words of the real command.
///
/// # Errors
/// The first contradiction.
pub(super) fn consistent(args: &UpArgs) -> anyhow::Result<()> {
    let stops = args.abort_on_container_exit || args.exit_code_from.is_some() && !args.abort_on_container_failure;
    if stops && args.abort_on_container_failure {
        bail!("--abort-on-container-failure cannot be combined with --abort-on-container-exit");
    }
    let attached =
        args.attach_dependencies || stops || args.abort_on_container_failure || !args.attach.is_empty() || args.watch;
    if attached && (args.wait || args.detach) {
        let which = if args.wait { "--wait" } else { "--detach" };
        bail!(
            "{which} cannot be combined with --abort-on-container-exit, --abort-on-container-failure, --attach, \
             --attach-dependencies or --watch"
        );
    }
    if args.no_build && args.watch {
        bail!("--no-build and --watch are incompatible");
    }
    if !args.attach.is_empty() && args.attach_dependencies {
        bail!("cannot combine --attach and --attach-dependencies");
    }
    if args.renew_anon_volumes && args.no_recreate {
        bail!("--no-recreate and --renew-anon-volumes are incompatible");
    }
    Ok(())
}

/// Services whose logs are shown.
///
/// # Errors
/// `--attach` or `--exit-code-from` with a service that is not part of this `up`.
pub(super) fn shown(project: &Project, args: &UpArgs) -> anyhow::Result<BTreeSet<String>> {
    if let Some(name) = args.exit_code_from.as_ref().filter(|name| !project.services.contains_key(*name)) {
        bail!("--exit-code-from {name}: no such service: {name}");
    }
    let mut shown: BTreeSet<String> = if args.attach.is_empty() {
        let everything = args.services.is_empty() || args.attach_dependencies;
        let own = project.services.iter().filter(|(name, _)| everything || args.services.contains(name));
        own.filter(|(_, service)| service.attach != Some(false)).map(|(name, _)| name.clone()).collect()
    } else {
        let unknown: Vec<&str> =
            args.attach.iter().filter(|name| !project.services.contains_key(*name)).map(String::as_str).collect();
        if !unknown.is_empty() {
            bail!("cannot attach to services not included in up: {}", unknown.join(", "));
        }
        args.attach.iter().cloned().collect()
    };
    shown.retain(|name| !args.no_attach.contains(name));
    Ok(shown)
}

/// One attached `up`, once its containers exist.
pub(super) struct Attached<'a> {
    pub session: &'a Session,
    pub engine: &'a Engine,
    pub project: &'a Project,
    pub args: &'a UpArgs,
    pub stop_timeout: Option<Duration>,
    /// Where hooks say what they say.
    pub hooks: UnboundedSender<Said>,
}

type Work<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

impl Attached<'_> {
    /// Follows the logs while `start` starts the containers, and until all of them have ended, or until Ctrl-C, which
    /// stops them; a second one kills them. Meanwhile `watcher` watches, and says so by `told`.
    ///
    /// # Errors
    /// Those of the start and of the engine.
    pub(super) async fn follow(
        &self,
        start: impl Future<Output = anyhow::Result<()>>,
        mut said: UnboundedReceiver<Said>,
        watcher: Option<Watcher<'_>>,
        mut told: UnboundedReceiver<Line>,
    ) -> anyhow::Result<u8> {
        let Attached { session, engine, project, args, .. } = *self;
        let shown = shown(project, args)?;
        let watched = |service: &str| match args.services.is_empty() {
            true => shown.contains(service),
            false => args.services.iter().any(|name| name == service),
        };
        let began = engine_time(engine).await?;
        let listed = engine.containers(&project.name, true).await?;
        let listed: Vec<ContainerStatus> = listed.into_iter().filter(|c| !c.oneoff).collect();
        let colours = session.colours() && !args.no_color;
        let mut printer = Printer::new(&project.name, !args.no_log_prefix, colours, args.timestamps);
        let mut names = Vec::new();
        for container in listed.iter().filter(|c| shown.contains(&c.service)) {
            names.push(printer.expect(&container.name));
        }
        names.sort();
        writeln!(io::stdout(), "Attaching to {}", names.join(", "))?;

        let mut open: BTreeSet<String> = listed.iter().filter(|c| watched(&c.service)).map(|c| c.id.clone()).collect();
        let options = LogOptions {
            services: shown.iter().cloned().collect(),
            follow: true,
            since: i32::try_from(began.as_secs()).ok(),
            ..LogOptions::default()
        };
        let mut show = Show::new(printer, true);
        if !shown.is_empty() && listed.iter().any(|c| c.state != "created") {
            show.pass_over(engine, &project.name, &options).await?;
        }
        let mut events = events(engine, &project.name, began);
        let mut lines = match shown.is_empty() {
            // No service would mean all of them.
            true => futures_util::stream::pending().left_stream(),
            false => engine.logs(&project.name, options.clone()).await?.right_stream(),
        };
        let abort = match (args.abort_on_container_failure, args.abort_on_container_exit, &args.exit_code_from) {
            (true, ..) => Abort::OnFailure,
            (_, true, _) | (.., Some(_)) => Abort::OnExit,
            _ => Abort::Never,
        };
        let mut code: Option<i64> = None;
        let mut chosen: Option<i64> = None;
        let mut interrupts = 0;
        let mut signals = Interrupts::new();
        let mut start = std::pin::pin!(start);
        let mut watches = watcher.is_some();
        let mut watching = std::pin::pin!(async {
            match watcher {
                Some(watcher) => watcher.run().await,
                None => std::future::pending().await,
            }
        });
        let (mut starting, mut ending, mut stopping): (bool, bool, Option<Work<'_>>) = (true, false, None);
        let mut last_words = None;
        while starting || ending || !open.is_empty() {
            if ending && !starting && stopping.is_none() {
                stopping = Some(Box::pin(self.stop()));
            }
            tokio::select! {
                biased;
                () = signals.next() => {
                    interrupts += 1;
                    if interrupts == 1 {
                        writeln!(io::stdout(), "Gracefully Stopping... press Ctrl+C again to force")?;
                        // What was begun is finished first: a start under way would come after the stop.
                        ending = true;
                        session.cancel.cancel();
                    } else {
                        starting = false;
                        let services = self.args.services.clone();
                        stopping = Some(Box::pin(async move {
                            engine.kill(&project.name, &services, "SIGKILL").await?;
                            Ok(())
                        }));
                    }
                }
                Some(said) = said.recv() => show.hook(&said)?,
                Some(line) = told.recv() => show.told(&line)?,
                done = &mut watching, if watches && !starting => {
                    watches = false;
                    done?;
                }
                done = &mut start, if starting => {
                    starting = false;
                    if !ending {
                        done?;
                    }
                }
                done = async { match &mut stopping { Some(work) => work.await, None => std::future::pending().await } } => {
                    done?;
                    if interrupts > 0 {
                        break;
                    }
                    // The stop may be over before the ends that it caused are told.
                    (ending, stopping) = (false, None);
                    last_words = Some(Box::pin(tokio::time::sleep(LAST_WORDS)));
                }
                () = async { match &mut last_words { Some(rest) => rest.await, None => std::future::pending().await } } => break,
                line = lines.next() => match line {
                    Some(line) => show.line(&line?)?,
                    None => lines = futures_util::stream::pending().left_stream(),
                },
                event = events.next() => {
                    let Some(Happened { id, name, service, what }) = event.transpose()? else {
                        bail!("the engine no longer tells what happens; what was started goes on running");
                    };
                    if !watched(&service) {
                        continue;
                    }
                    match what {
                        What::Began => {
                            open.insert(id);
                        }
                        What::Ended(exit) => {
                            let again = restarts(engine, &id).await?;
                            if shown.contains(&service) {
                                show.rest(engine, &project.name, &name, &options).await?;
                            }
                            // Once it is being stopped, the real one says no more of ends but of the chosen one's.
                            if interrupts == 0 {
                                show.end(&name, exit, again)?;
                            }
                            if again {
                                continue;
                            }
                            open.remove(&id);
                            if args.exit_code_from.as_ref() == Some(&service) && chosen.is_none() {
                                chosen = Some(exit);
                            }
                            let ends = abort == Abort::OnExit || abort == Abort::OnFailure && exit != 0;
                            if ends && code.is_none() && interrupts == 0 {
                                code = Some(exit);
                                writeln!(io::stderr(), "Aborting on container exit...")?;
                                ending = true;
                                session.cancel.cancel();
                            }
                        }
                    }
                }
            }
        }
        // Its end may have gone untold.
        if let (Some(service), None, Some(_)) = (&args.exit_code_from, chosen, code) {
            let ended = engine.containers(&project.name, true).await?;
            chosen = ended.into_iter().find(|c| !c.oneoff && c.service == *service).and_then(|c| c.exit_code);
        }
        if interrupts > 0 {
            return Ok(130);
        }
        let code = chosen.or(code).unwrap_or_default();
        Ok(u8::try_from(code.rem_euclid(256)).unwrap_or(1))
    }

    /// Stops what this `up` was about.
    async fn stop(&self) -> anyhow::Result<()> {
        let Attached { session, engine, project, args, stop_timeout, hooks } = self;
        let progress = Progress::new(session.mode()).with_hooks(hooks.clone());
        let observed = engine.observe_containers(&project.name).await?;
        let plan = plan::stop(&project.name, Some(project), &observed, &args.services);
        // Not to be given up by the Ctrl-C that led here; a second one kills.
        let calm = session.anew();
        calm.apply_calmly(engine, project, plan, *stop_timeout, &progress).await?;
        Ok(())
    }
}
