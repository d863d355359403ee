//! Shows a plan's execution on standard error: the lines that Compose prints, with causes where they tell something.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::mpsc::UnboundedSender;
use turnout_plan::{Action, Existing, NetworkRemoval, Observed, Plan, Step};
use turnout_report::{Event, Outcome, Reporter, redact};

/// Form of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Finished steps as lines, what runs in one line that is replaced.
    Live,
    /// A line an event.
    Plain,
    /// A JSON object an event.
    Json,
    /// Nothing but warnings and errors.
    Quiet,
}

/// A line that a hook in a container has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// Name of the container.
    pub container: String,
    /// What it said, without the line break.
    pub line: String,
}

/// Takes the events of one command.
pub(super) struct Progress {
    mode: Mode,
    /// Whether builds and hooks show what they say.
    output: bool,
    /// Whether pulls show how far they are.
    pulls: bool,
    /// On whose behalf waiting is not told.
    waits_quietly: Option<String>,
    /// Where the output of hooks goes; nowhere when nobody is attached, as in the real one.
    hooks: Option<UnboundedSender<Said>>,
    state: Mutex<Guarded>,
}

#[derive(Default)]
struct Guarded {
    steps: Vec<Named>,
    /// Containers by service, as far as they were told.
    containers: BTreeMap<String, BTreeSet<String>>,
    running: Vec<usize>,
    /// Number of builds of the plan.
    builds: usize,
    /// A transient line stands on the terminal.
    transient: bool,
    width: usize,
}

/// A step in Compose's words.
#[derive(Debug, Clone, Default)]
struct Named {
    /// A line each.
    subjects: Vec<String>,
    doing: &'static str,
    done: &'static str,
    /// Whether a step that had nothing to do is told like one that did it, or in the words of its end.
    skipped: Skipped,
    cause: String,
    /// Whether it is told as a pull is.
    pull: bool,
}

/// What is told of a step that had nothing to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Skipped {
    #[default]
    Nothing,
    AsDone,
    Why,
}

impl Progress {
    pub(super) fn new(mode: Mode) -> Progress {
        Progress {
            mode,
            output: true,
            pulls: true,
            waits_quietly: None,
            hooks: None,
            state: Mutex::new(Guarded::default()),
        }
    }

    /// Without the output of builds.
    pub(super) fn without_output(mut self, quiet: bool) -> Progress {
        self.output = !quiet;
        self
    }

    /// Without the state of pulls.
    pub(super) fn without_pulls(mut self, quiet: bool) -> Progress {
        self.pulls = !quiet;
        self
    }

    /// Without the waits that only this service asks for.
    pub(super) fn without_waits_of(mut self, service: &str) -> Progress {
        self.waits_quietly = Some(service.to_owned());
        self
    }

    /// With the output of hooks sent there.
    pub(super) fn with_hooks(mut self, hooks: UnboundedSender<Said>) -> Progress {
        self.hooks = Some(hooks);
        self
    }

    /// Steps of this plan follow.
    pub(super) fn begin(&self, plan: &Plan) {
        let mut state = self.state();
        for step in &plan.steps {
            if let Action::StartContainer { service, name, .. } | Action::UnpauseContainer { service, name, .. } =
                &step.action
            {
                state.containers.entry(service.clone()).or_default().insert(name.clone());
            }
        }
        let lead = |step: &Step| step.part_of.and_then(|lead| plan.steps.get(lead)).map(|lead| &lead.action);
        let mut steps: Vec<Named> = plan.steps.iter().map(|step| named(step, lead(step), &state.containers)).collect();
        for (named, step) in steps.iter_mut().zip(&plan.steps) {
            if let Action::WaitFor { dependents, .. } = &step.action
                && self.waits_quietly.as_ref().is_some_and(|own| dependents.iter().all(|other| other == own))
            {
                (named.doing, named.done) = ("", "");
            }
        }
        state.steps = steps;
        state.builds = plan.steps.iter().filter(|step| matches!(step.action, Action::Build { .. })).count();
        state.running.clear();
        if self.mode == Mode::Live {
            state.width = rustix::termios::tcgetwinsize(io::stderr()).map_or(100, |s| usize::from(s.ws_col).max(40));
        }
    }

    /// No more steps.
    pub(super) fn end(&self) {
        self.state().clear();
    }

    /// Something that is as it is: `Container shop-web-1`, `Running`.
    pub(super) fn is(&self, subject: &str, what: &str) {
        self.line(&mut self.state(), subject, what, "");
    }

    /// What is told of a service's image: `web`, `Pulled`; with more to say where there is more.
    pub(super) fn image(&self, service: &str, what: &str, more: &str) {
        self.spaced(&mut self.state(), service, what, more, true);
    }

    /// A line at the end of all others.
    pub(super) fn last_word(&self, text: &str) {
        let mut state = self.state();
        state.clear();
        if self.mode != Mode::Quiet {
            let _ = writeln!(io::stderr(), "{}", redact::redact_shapes(text));
        }
    }

    /// Something that a container has part in: `shop-web-1 copy a to shop-web-1:/a Copied`.
    pub(super) fn does(&self, container: &str, text: &str, what: &str) {
        let mut state = self.state();
        state.clear();
        let text = redact::redact_shapes(text);
        let line = match self.mode {
            Mode::Quiet => return,
            Mode::Json => format!("{}\n", serde_json::json!({ "id": container, "text": text, "status": what })),
            Mode::Live | Mode::Plain => format!(" {container} {text} {what}\n"),
        };
        // A reader that has gone is not worth a word.
        let _ = io::stderr().write_all(line.as_bytes());
    }

    /// Containers that the next plan may wait for.
    pub(super) fn knows(&self, observed: &Observed) {
        let mut state = self.state();
        for container in observed.containers.iter().filter(|c| !c.oneoff) {
            state.containers.entry(container.service.clone()).or_default().insert(container.name.clone());
        }
    }

    /// Containers, with their services, that run as they are wanted.
    pub(super) fn run<'a>(&self, containers: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let mut state = self.state();
        state.clear();
        let mut lines = String::new();
        for (service, name) in containers {
            state.containers.entry(service.to_owned()).or_default().insert(name.to_owned());
            lines.push_str(&self.written(&format!("Container {name}"), "Running", "", false));
        }
        self.tell(&mut state, &lines);
    }

    /// Something to look at.
    pub(super) fn warning(&self, text: &str) {
        let mut state = self.state();
        state.clear();
        let text = redact::redact_shapes(text);
        // A reader that has gone is not worth a word.
        let _ = match self.mode {
            Mode::Json => writeln!(io::stderr(), "{}", serde_json::json!({ "level": "warning", "text": text })),
            _ => writeln!(io::stderr(), "warning: {text}"),
        };
        state.show();
    }

    fn state(&self) -> MutexGuard<'_, Guarded> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, state: &mut Guarded, subject: &str, what: &str, text: &str) {
        self.spaced(state, subject, what, text, false);
    }

    /// A line in three columns, of which the real one leaves the middle one empty but for pulls, where it is the last
    /// that may be: scripts look for `Container web-1  Started` and `web Pulled`.
    fn spaced(&self, state: &mut Guarded, subject: &str, what: &str, text: &str, pull: bool) {
        state.clear();
        let line = self.written(subject, what, text, pull);
        self.tell(state, &line);
    }

    /// A line of [`Progress::spaced`]; nothing where nothing is told.
    fn written(&self, subject: &str, what: &str, text: &str, pull: bool) -> String {
        let text = redact::redact_shapes(text);
        match self.mode {
            Mode::Quiet => String::new(),
            Mode::Json => {
                let mut object = serde_json::json!({ "id": subject, "status": what });
                if !text.is_empty() {
                    object["text"] = text.into();
                }
                format!("{object}\n")
            }
            Mode::Live | Mode::Plain if pull => format!(" {subject} {what} {text}\n"),
            Mode::Live | Mode::Plain if text.is_empty() => format!(" {subject}  {what}\n"),
            Mode::Live | Mode::Plain => format!(" {subject}  {what}  {text}\n"),
        }
    }

    /// Writes lines in one piece: standard error has no buffer of its own.
    fn tell(&self, state: &mut Guarded, lines: &str) {
        if lines.is_empty() {
            return;
        }
        // A reader that has gone is not worth a word.
        let _ = io::stderr().write_all(lines.as_bytes());
        if self.mode == Mode::Live {
            state.show();
        }
    }
}

impl Progress {
    /// What a build, a hook or a container says: builds to standard output, as the real one has it.
    fn output(&self, state: &mut Guarded, source: &str, line: &str) {
        let hook = source.rsplit_once(' ').and_then(|(container, kind)| match kind {
            "post_start" | "pre_stop" => Some(container),
            // Told by its step, for its container is nothing that anybody knows.
            step if step.starts_with("pre_start[") => Some(source),
            _ => None,
        });
        if let Some(container) = hook {
            if let Some(hooks) = &self.hooks {
                // Nobody listens any more: nothing to show it to.
                let _ = hooks.send(Said { container: container.to_owned(), line: line.to_owned() });
            }
            return;
        }
        let Some(service) = source.strip_prefix("build ").filter(|_| self.mode == Mode::Plain) else {
            return self.line(state, source, "|", line);
        };
        let line = redact::redact_shapes(line);
        // Side by side, a line must say whose it is.
        let line = if state.builds > 1 { format!("{service} {line}\n") } else { format!("{line}\n") };
        let mut out = io::stdout().lock();
        // A reader that has gone is not worth a word.
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }
}

impl Reporter for Progress {
    fn report(&self, event: Event) {
        let mut state = self.state();
        match event {
            Event::StepStarted { step, .. } => {
                state.running.push(step);
                let Some(Named { subjects, doing, cause, pull, .. }) = state.steps.get(step).cloned() else { return };
                match self.mode {
                    Mode::Live => state.show(),
                    _ if doing.is_empty() => {}
                    _ => subjects.iter().for_each(|subject| self.spaced(&mut state, subject, doing, &cause, pull)),
                }
            }
            Event::StepEnded { step, outcome, text, .. } => {
                state.running.retain(|s| *s != step);
                let Some(Named { subjects, done, cause, skipped, pull, .. }) = state.steps.get(step).cloned() else {
                    return;
                };
                let mut lines = |what: &str, text: &str| {
                    subjects.iter().for_each(|subject| self.spaced(&mut state, subject, what, text, pull));
                };
                match outcome {
                    Outcome::Done if done.is_empty() => state.show_if(self.mode == Mode::Live),
                    Outcome::Done if self.mode == Mode::Live => lines(done, &cause),
                    Outcome::Done => lines(done, ""),
                    Outcome::Skipped if skipped == Skipped::AsDone => lines(done, ""),
                    Outcome::Skipped if skipped == Skipped::Why => lines(&text, ""),
                    Outcome::Skipped if pull => lines("Warning", &text),
                    // What was not needed is not told; what failed is, by the command's own last words.
                    Outcome::Skipped | Outcome::Abandoned => state.show_if(self.mode == Mode::Live),
                    Outcome::Failed => lines("Error", &text),
                }
            }
            Event::Warning { text } => {
                drop(state);
                self.warning(&text);
            }
            Event::Output { source, line } if self.output => self.output(&mut state, &source, &line),
            Event::Progress { subject, text } if self.pulls && self.mode != Mode::Quiet => {
                self.line(&mut state, &subject, "|", &text);
            }
            Event::Info { text } | Event::Build { text, unusual: true } if self.output => {
                self.line(&mut state, "", &text, "");
            }
            Event::Output { .. }
            | Event::Progress { .. }
            | Event::Info { .. }
            | Event::Build { .. }
            | Event::Phase { .. } => {}
        }
    }
}

impl Guarded {
    fn clear(&mut self) {
        if self.transient {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
            self.transient = false;
        }
    }

    fn show_if(&mut self, live: bool) {
        if live {
            self.show();
        }
    }

    /// The line of what runs; nothing when the width is not known, which is so in every mode but the live one.
    fn show(&mut self) {
        self.clear();
        if self.width == 0 {
            return;
        }
        let Some(step) = self.running.last().and_then(|id| self.steps.get(*id)) else { return };
        let more = match self.running.len() {
            0 | 1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        let doing = if step.doing.is_empty() { "Waiting" } else { step.doing };
        let subject = step.subjects.first().map_or("", String::as_str);
        let text = format!("\u{2026} {subject}  {doing}{more}");
        let text: String = text.chars().take(self.width.saturating_sub(2)).collect();
        let mut err = io::stderr().lock();
        let _ = write!(err, " {text}").and_then(|()| err.flush());
        self.transient = true;
    }
}

/// A step in Compose's words. `lead`: the first of its deed, of which Compose tells in one breath.
fn named(step: &Step, lead: Option<&Action>, containers: &BTreeMap<String, BTreeSet<String>>) -> Named {
    let Step { action, cause, .. } = step;
    let container = |name: &str| format!("Container {name}");
    let replacement = matches!(lead, Some(Action::CreateContainer { .. }));
    let (subject, doing, done, tells) = match action {
        Action::Pull { service, .. } => (service.clone(), "Pulling", "Pulled", false),
        Action::Build { image, .. } => (image.clone(), "Building", "Built", false),
        Action::CreateNetwork { name, .. } => (format!("Network {name}"), "Creating", "Created", false),
        // Not told, as in the real one, which does not try; what goes wrong is.
        Action::TryNetwork { name, .. } => (format!("Network {name}"), "", "", false),
        Action::DisconnectContainer { container: Existing { name, .. }, .. }
        | Action::ConnectContainer { container: Existing { name, .. }, .. } => (container(name), "", "", false),
        Action::RemoveNetwork { name, reason: NetworkRemoval::Trial, .. } => (format!("Network {name}"), "", "", false),
        Action::RemoveNetwork { name, reason: NetworkRemoval::Replaced, .. } => {
            (format!("Network {name}"), "", "Removed", false)
        }
        Action::RemoveNetwork { name, .. } => (format!("Network {name}"), "Removing", "Removed", false),
        Action::CreateVolume { name, .. } if lead.is_some() => (format!("Volume {name}"), "", "Recreated", false),
        Action::CreateVolume { name, .. } => (format!("Volume {name}"), "Creating", "Created", false),
        Action::RemoveVolume { name, replaced: true, .. } => (format!("Volume {name}"), "Recreate", "", true),
        Action::RemoveVolume { name, .. } => (format!("Volume {name}"), "Removing", "Removed", false),
        Action::RemoveImage { image } => (format!("Image {image}"), "Removing", "Removed", false),
        Action::CreateContainer { name, replaces: Some(_), .. } => (container(name), "Recreate", "", true),
        Action::CreateContainer { name, create_as, .. } if name != create_as => {
            (container(name), "Creating", "", false)
        }
        Action::CreateContainer { name, .. } => (container(name), "Creating", "Created", false),
        Action::StopContainer { name, .. } | Action::RemoveContainer { name, .. } if replacement => {
            (container(name), "", "", false)
        }
        Action::RenameContainer { to, .. } if replacement => {
            let replaces = matches!(lead, Some(Action::CreateContainer { replaces: Some(_), .. }));
            (container(to), "", if replaces { "Recreated" } else { "Created" }, false)
        }
        Action::RenameContainer { to, .. } => (container(to), "Renaming", "Renamed", true),
        Action::StopContainer { name, .. } => (container(name), "Stopping", "Stopped", false),
        Action::RemoveContainer { name, .. } => (container(name), "Removing", "Removed", false),
        Action::RestartContainer { name, .. } => (container(name), "Restarting", "Started", false),
        Action::SignalContainer { name, .. } => (container(name), "Killing", "Killed", false),
        Action::UnpauseContainer { name, .. } => (container(name), "Unpausing", "Unpaused", false),
        Action::WaitFor { service, condition, .. } => {
            let done = if condition == "service_healthy" { "Healthy" } else { "Exited" };
            (format!("Service {service}"), "Waiting", done, false)
        }
        // Not told, as in the real one (which knows no wait for a replacement); what goes wrong is.
        Action::RunPreStart { name, .. } | Action::AwaitReady { name, .. } => (container(name), "", "", false),
        Action::StartContainer { name, .. } => (container(name), "Starting", "Started", false),
    };
    let subjects = match action {
        // A line a container, where they are known.
        Action::WaitFor { service, .. } if containers.contains_key(service) => {
            containers.get(service).into_iter().flatten().map(|name| container(name)).collect()
        }
        _ => vec![subject],
    };
    let cause = if tells { format!("({cause})") } else { String::new() };
    let skipped = match action {
        Action::StopContainer { .. } if !replacement => Skipped::AsDone,
        Action::RemoveNetwork { reason: NetworkRemoval::Unused | NetworkRemoval::Twin, .. }
        | Action::RemoveVolume { .. }
        | Action::RemoveImage { .. } => Skipped::Why,
        _ => Skipped::Nothing,
    };
    let pull = matches!(action, Action::Pull { .. });
    Named { subjects, doing, done, skipped, cause, pull }
}
