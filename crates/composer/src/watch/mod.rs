//! `watch` and `up --watch`: changed files are brought to the containers, or images built anew, as `develop.watch` says.
//!
//! [`rules`] knows what is watched and what a change leads to, [`events`] what has changed, [`sync`] the way into
//! containers. Changes are gathered until nothing happens for a moment, so that an editor that writes many files does so
//! once. They are dealt with one batch after another; what changes meanwhile is the next batch.

mod events;
mod rules;
mod sync;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write as _},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use super::{args::WatchArgs, converge, progress::Progress, session::Session};
use events::Events;
use rules::{Rule, Work};
use turnout_compose::model::Project;
use turnout_docker::Engine;
use turnout_plan::{self as plan, Intent};
use turnout_report::{Event, Reporter};

/// Changes are gathered until nothing happens for this long.
const QUIET: Duration = Duration::from_millis(500);

/// Takes what is to be shown.
pub(super) type Told = UnboundedSender<Line>;

/// A line to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// Of the watching itself.
    Watch(String),
    /// What a command in a container wrote, as it is.
    Said(String),
}

pub(super) async fn watch(session: &Session, args: &WatchArgs) -> anyhow::Result<u8> {
    let mut project = session.load(&args.services)?;
    let progress = Progress::new(session.mode()).without_output(args.quiet).without_pulls(args.quiet);
    check(&project)?;
    let options = Options { prune: args.prune, quiet: args.quiet };
    if !args.no_up {
        // What is watched is built at the beginning, so that it is what lies here.
        let watched = |name: &String| project.services.get(name).is_some_and(|service| service.develop.is_some());
        let mut builds = converge::builds(&project, &[]);
        builds.retain(|name, _| watched(name));
        let intent = Intent { build: builds, ..converge::intent(session, &args.services, &[], false)? };
        converge::converge(session, &mut project, &intent, None, &progress).await?;
        if session.global.dry_run {
            return Ok(0);
        }
    }
    let engine = session.engine().await?;
    let (told, mut lines) = tokio::sync::mpsc::unbounded_channel();
    let watcher = Watcher::new(session, &engine, &project, options, told)?;
    session.interruptible();
    let mut running = std::pin::pin!(watcher.run());
    loop {
        tokio::select! {
            biased;
            Some(line) = lines.recv() => print(&line)?,
            done = &mut running => {
                while let Ok(line) = lines.try_recv() {
                    print(&line)?;
                }
                done?;
                // Only Ctrl-C ends it.
                return Ok(130);
            }
        }
    }
}

fn print(line: &Line) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match line {
        Line::Watch(text) => writeln!(out, "{text}")?,
        Line::Said(text) => out.write_all(text.as_bytes())?,
    }
    out.flush()
}

/// Refuses, before anything is done, what cannot be watched.
///
/// # Errors
/// Rules that cannot be kept, and no rule at all.
pub(super) fn check(project: &Project) -> anyhow::Result<()> {
    rules::of(project, |_| {})?;
    if project.services.values().all(|service| service.develop.iter().all(|develop| develop.watch.is_empty())) {
        bail!("none of the selected services is configured for watch, consider setting a 'develop' section");
    }
    Ok(())
}

/// How far a file's time may lie behind the clock when it is written: the kernel takes it from the last tick, of which
/// there are at least a hundred in a second.
const FILE_CLOCK: Duration = Duration::from_millis(10);

/// How to watch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    /// Whether images that a rebuild has replaced are removed.
    pub prune: bool,
    /// Without the output of builds.
    pub quiet: bool,
}

/// One run of `watch`.
pub(super) struct Watcher<'a> {
    session: &'a Session,
    engine: &'a Engine,
    project: &'a Project,
    options: Options,
    rules: Vec<Rule>,
    events: Events,
    told: Told,
}

impl<'a> Watcher<'a> {
    /// Reads the rules and begins to watch; what changes from now on is dealt with by [`Watcher::run`].
    ///
    /// # Errors
    /// Rules that cannot be kept, no rule at all, and the kernel's.
    pub(super) fn new(
        session: &'a Session,
        engine: &'a Engine,
        project: &'a Project,
        options: Options,
        told: Told,
    ) -> anyhow::Result<Watcher<'a>> {
        let progress = Progress::new(session.mode());
        let rules = rules::of(project, |line| progress.warning(&line))?;
        if rules.is_empty() {
            bail!("none of the selected services is configured for watch, consider setting a 'develop' section");
        }
        let events = Events::of(rules.iter().map(|rule| PathBuf::from(&rule.path)))?;
        Ok(Watcher { session, engine, project, options, rules, events, told })
    }

    /// Watches until the session is cancelled.
    ///
    /// # Errors
    /// When the kernel does not tell of changes any more, or what is to be brought along at the beginning cannot be.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        // The watches are there already: what changes while this is looked through is told of.
        for (index, rule) in self.rules.iter().enumerate() {
            if rule.initial_sync && rule.action.syncs() {
                self.bring_along(index, rule).await?;
            }
        }
        self.tell("Watch enabled".to_owned());
        let mut batch: BTreeSet<String> = BTreeSet::new();
        loop {
            let quiet = async {
                match batch.is_empty() {
                    true => std::future::pending().await,
                    false => tokio::time::sleep(QUIET).await,
                }
            };
            tokio::select! {
                () = self.session.cancel.cancelled() => {
                    self.tell("Watch disabled".to_owned());
                    return Ok(());
                }
                changed = self.events.next() => {
                    let changed = changed.context("Watch disabled with errors")?;
                    batch.extend(changed.into_iter().filter_map(|path| path.into_os_string().into_string().ok()));
                }
                () = quiet => {
                    let began = Instant::now();
                    let paths = std::mem::take(&mut batch);
                    self.debug(&format!("batch start: count[{}]", paths.len()));
                    if let Err(error) = self.deal_with(&paths).await {
                        let progress = Progress::new(self.session.mode());
                        progress.warning(&format!("Error handling changed files: {}", turnout_report::with_sources(error.as_ref())));
                    }
                    self.debug(&format!("batch complete: duration[{:?}] count[{}]", began.elapsed(), paths.len()));
                }
            }
        }
    }

    fn tell(&self, line: String) {
        // Nobody listens any more: nothing to show it to.
        let _ = self.told.send(Line::Watch(line));
    }

    /// With `--verbose` only.
    fn debug(&self, line: &str) {
        if self.session.global.verbose {
            let _ = writeln!(io::stderr(), "{line}");
        }
    }

    /// Carries out what a batch of changed paths leads to.
    async fn deal_with(&self, paths: &BTreeSet<String>) -> anyhow::Result<()> {
        let Work { rebuild, sync, restart, exec } = rules::work(&self.rules, paths.iter().map(String::as_str));
        if !rebuild.is_empty() {
            self.rebuild(rebuild.into_iter().collect()).await?;
        }
        for (service, mappings) in &sync {
            let which: Vec<&str> = mappings.keys().map(String::as_str).collect();
            self.tell(match self.session.global.verbose {
                true => format!("Syncing service {service:?} after changes were detected: {}", which.join(", ")),
                false => format!("Syncing service {service:?} after {} changes were detected", which.len()),
            });
            sync::sync(self.engine, &self.project.name, service, mappings).await?;
        }
        if !restart.is_empty() {
            let services: Vec<String> = restart.into_iter().collect();
            let observed = self.engine.observe_containers(&self.project.name).await?;
            let plan = plan::restart(&self.project.name, Some(self.project), &observed, &services);
            let progress = Progress::new(self.session.mode());
            self.session.apply_calmly(self.engine, self.project, plan, None, &progress).await?;
            self.tell(format!("service(s) {} restarted", quoted(&services)));
        }
        for (service, rules) in exec {
            for rule in rules.into_iter().filter_map(|index| self.rules.get(index)) {
                self.exec(&service, rule).await?;
            }
        }
        Ok(())
    }

    /// Runs the command of a rule in all running containers of its service.
    async fn exec(&self, service: &str, rule: &Rule) -> anyhow::Result<()> {
        let mut containers = self.engine.containers(&self.project.name, false).await?;
        containers.retain(|container| container.service == service && !container.oneoff);
        for container in &containers {
            let said = |text: &str| drop(self.told.send(Line::Said(text.to_owned())));
            let code = sync::exec(self.engine, container, &rule.exec, said).await?;
            if code != 0 {
                let command = rule.exec.command.iter().flatten().cloned().collect::<Vec<_>>().join(" ");
                bail!("`{command}` in {} ended with exit code {code}", container.name);
            }
        }
        Ok(())
    }

    /// Builds the images of these services and makes their containers anew, nothing else.
    async fn rebuild(&self, services: Vec<String>) -> anyhow::Result<()> {
        let which = quoted(&services);
        self.tell(format!("Rebuilding service(s) {which} after changes were detected..."));
        if let Err(error) = self.build(&services).await {
            self.tell(format!("Build failed. Error: {}", turnout_report::with_sources(error.as_ref())));
            return Err(error);
        }
        self.tell(format!("service(s) {which} successfully built"));
        let intent = Intent {
            no_deps: true,
            no_build: true,
            force_recreate: true,
            pull: Some(plan::Pull::Never),
            ..converge::intent(self.session, &services, &[], false)?
        };
        let observed = self.engine.observe(self.project).await?;
        let plan = plan::converge(self.project, &observed, &Intent { ignore_orphans: true, ..intent })?;
        let progress = Progress::new(self.session.mode());
        let done = self.session.apply_calmly(self.engine, self.project, plan, None, &progress).await;
        if let Err(error) = done {
            self.tell(format!(
                "Failed to recreate services after update. Error: {}",
                turnout_report::with_sources(error.as_ref())
            ));
            return Err(error);
        }
        // Now that no container is made of them any more.
        if self.options.prune {
            self.engine.remove_dangling_images(&self.project.name).await?;
        }
        Ok(())
    }

    async fn build(&self, services: &[String]) -> anyhow::Result<()> {
        let build: BTreeMap<String, String> =
            services.iter().map(|name| (name.clone(), "what it is built of has changed".to_owned())).collect();
        let plan = converge::image_plan(self.project, &Intent { build, ..Intent::default() }, |action| {
            matches!(action, plan::Action::Build { .. })
        })?;
        let reporter = Builds { told: self.told.clone(), quiet: self.options.quiet };
        self.session.apply_told(self.engine, self.project, plan, &reporter).await?;
        Ok(())
    }

    /// Brings along what is newer than the image, by the rule at `index`.
    async fn bring_along(&self, index: usize, rule: &Rule) -> anyhow::Result<()> {
        let mut containers = self.engine.containers(&self.project.name, true).await?;
        containers.retain(|container| container.service == rule.service && !container.oneoff);
        let Some(first) = containers.first() else { bail!("could not get created time for service's image") };
        let made = self.engine.image_created(&first.id).await?;
        let newer = |path: &std::path::Path| {
            let changed = path.symlink_metadata().and_then(|found| found.modified());
            changed.is_ok_and(|changed| made.is_none_or(|made| changed + FILE_CLOCK >= made))
        };
        let mut paths = Vec::new();
        let mut open = vec![PathBuf::from(&rule.path)];
        while let Some(path) = open.pop() {
            let Some(text) = path.to_str() else { continue };
            let found = path.symlink_metadata().with_context(|| format!("cannot read {text}"))?;
            let is_root = text == rule.path;
            if !is_root && rule.place(text).is_none() {
                continue;
            }
            if found.is_dir() {
                let entries = std::fs::read_dir(&path).with_context(|| format!("cannot read {text}"))?;
                for entry in entries {
                    open.push(entry?.path());
                }
            } else if newer(&path) {
                paths.push(text.to_owned());
            }
        }
        let only = self.rules.get(index..=index).unwrap_or_default();
        for (service, mappings) in rules::work(only, paths.iter().map(String::as_str)).sync {
            sync::sync(self.engine, &self.project.name, &service, &mappings).await?;
        }
        Ok(())
    }
}

/// `["a" "b"]`, as Go writes it.
fn quoted(names: &[String]) -> String {
    format!("[{}]", names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(" "))
}

/// Tells what builds say.
struct Builds {
    told: Told,
    quiet: bool,
}

impl Reporter for Builds {
    fn report(&self, event: Event) {
        let line = match event {
            Event::Output { line, .. } if !self.quiet => line,
            Event::Warning { text } => text,
            _ => return,
        };
        let _ = self.told.send(Line::Watch(turnout_report::redact::redact_shapes(&line).into_owned()));
    }
}
