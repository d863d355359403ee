//! One invocation: its options and surroundings, and the way to a loaded project and to the engine.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, bail};
use tokio_util::sync::CancellationToken;

use super::{
    ahead::{Ahead, Begun},
    args::{Ansi, Global, ProgressKind},
    by_repo,
    files::Files,
    progress::{Mode, Progress},
};
use turnout_compose::{
    dotenv,
    error::Warning,
    load::{EnvFiles, LoadOptions, LoadRequest, load, load_model},
    model::Project,
    source::DiskFiles,
};
use turnout_docker::{
    Apply, ApplyError, ClientSettings, Endpoint, Engine, EngineError, ImageSettings, Report,
    image::{BuildOptions, BuilderChoice},
    patience::{GRACE, unless_given_up},
    read_proxy_variables,
};
use turnout_plan::{Earlier, Extent, Observed, Plan};
use turnout_registry::{Credentials, docker_config_directory};
use turnout_report::Reporter;
use turnout_yaml::Node;

/// Limits that only exist so that nothing waits for ever; the command line waits as long as the user does.
const PATIENCE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Looks and plans of one command while others change the engine under it: as many as a deployment has.
const PLANS: u32 = 3;

/// What every command works with.
pub(super) struct Session {
    /// Options before the command.
    pub global: Global,
    /// Environment of the process.
    pub environment: BTreeMap<String, String>,
    /// With `--repo`: the repository's configured name, and what Compose files are filled in from.
    deployed: Option<(String, BTreeMap<String, String>)>,
    /// Cancelled by Ctrl-C and SIGTERM, once [`Session::interruptible`] was called.
    pub cancel: CancellationToken,
    /// How builds differ from those of an `up`; set by `build`.
    pub build_options: std::sync::OnceLock<BuildOptions>,
    /// How long an `up` waits for dependencies; set by `--wait-timeout`.
    pub wait_timeout: std::sync::OnceLock<Duration>,
    /// What was begun while the files were read, for whoever connects next.
    ahead: Mutex<Option<Ahead>>,
    /// The look of that, for whoever looks next.
    begun: Mutex<Option<Begun>>,
}

/// The project a command is about: loaded, or only known by name.
pub(super) struct Subject {
    /// The Compose project's name.
    pub name: String,
    /// The project, where its files were read.
    pub project: Option<Project>,
}

impl Session {
    /// `chosen`: what `--repo` has made of the options.
    pub(super) fn new(mut global: Global, chosen: Option<&LoadRequest>) -> Session {
        // `-p "$PROJECT"` of a script that left it empty.
        global.project_name = global.project_name.filter(|name| !name.is_empty());
        if global.no_ansi {
            global.ansi = Ansi::Never;
        }
        if let Some(directory) = global.workdir.take().filter(|directory| !directory.as_os_str().is_empty()) {
            global.project_directory = Some(directory);
        }
        let mut environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        for (key, value) in settings_of_env_files(&global, &environment) {
            environment.entry(key).or_insert(value);
        }
        let deployed = chosen.and_then(|chosen| {
            by_repo::settle(&mut environment, chosen);
            Some((chosen.options.repository.clone()?, chosen.process_env.clone()))
        });
        Session {
            global,
            environment,
            deployed,
            cancel: CancellationToken::new(),
            build_options: std::sync::OnceLock::new(),
            wait_timeout: std::sync::OnceLock::new(),
            ahead: Mutex::default(),
            begun: Mutex::default(),
        }
    }

    /// The same invocation, with nothing cancelled and nothing set by a command.
    pub(super) fn anew(&self) -> Session {
        Session {
            global: self.global.clone(),
            environment: self.environment.clone(),
            deployed: self.deployed.clone(),
            cancel: CancellationToken::new(),
            build_options: std::sync::OnceLock::new(),
            wait_timeout: std::sync::OnceLock::new(),
            ahead: Mutex::default(),
            begun: Mutex::default(),
        }
    }

    /// A variable that is set and not empty.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A variable as a switch.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.variable(name).is_some_and(is_true)
    }

    /// Refuses settings in variables that mean nothing, whether this command heeds them or not.
    pub(super) fn check_settings(&self) -> anyhow::Result<()> {
        if let (ProgressKind::Auto, Ok(kind)) = (self.global.progress, std::env::var("COMPOSE_PROGRESS"))
            && !matches!(kind.as_str(), "" | "auto" | "tty" | "plain" | "json" | "quiet" | "none")
        {
            bail!("COMPOSE_PROGRESS is {kind:?}: write auto, tty, plain, json or quiet");
        }
        if let Some(limit) = self.environment.get("COMPOSE_PARALLEL_LIMIT")
            && self.global.parallel < 0
            && limit.parse::<i64>().is_err()
        {
            bail!("COMPOSE_PARALLEL_LIMIT is {limit:?}: write a number, or unset it");
        }
        Ok(())
    }

    /// Whether names are asked for as Compose 1 made them.
    pub(super) fn compatible(&self) -> bool {
        self.global.compatibility || self.is_on("COMPOSE_COMPATIBILITY")
    }

    /// The request for the loader that these options make.
    pub(super) fn request(&self) -> anyhow::Result<LoadRequest> {
        let global = &self.global;
        let (repository, process_env) = match &self.deployed {
            Some((repository, environment)) => (Some(repository.clone()), environment.clone()),
            None => (None, self.environment.clone()),
        };
        let mut request = LoadRequest {
            working_dir: current_directory().context("the current directory is not readable")?,
            project_directory: global.project_directory.clone().filter(|directory| !directory.as_os_str().is_empty()),
            files: global.files.clone(),
            stdin: None,
            env_files: global.env_files.clone(),
            project_name: global.project_name.clone(),
            profiles: global.profiles.clone(),
            process_env,
            services: Vec::new(),
            options: LoadOptions { all_resources: global.all_resources, repository, ..LoadOptions::default() },
        };
        if request.files.iter().any(|file| file == "-") {
            let mut text = String::new();
            let most = request.options.limits.max_bytes as u64;
            let mut bounded = io::stdin().take(most.saturating_add(1));
            bounded.read_to_string(&mut text).context("standard input is not readable")?;
            request.stdin = Some(text);
        }
        Ok(request)
    }

    /// Loads the project with these services selected (all when empty); warnings go to standard error.
    pub(super) fn load(&self, services: &[String]) -> anyhow::Result<Project> {
        let mut request = self.request()?;
        request.services = services.to_vec();
        load_with(&request)
    }

    /// As [`Session::load`], on a thread beside, while the engine is already looked at: for commands that bring a plan
    /// about. [`Session::engine`] and [`Session::bring_about`] go on with that.
    ///
    /// # Errors
    /// As [`Session::load`]. What is wrong with the engine is told when it is needed.
    pub(super) async fn load_looking(&self, services: &[String]) -> anyhow::Result<Project> {
        let mut request = self.request()?;
        request.services = services.to_vec();
        let settings = ClientSettings::of_environment(&self.environment);
        let ahead = match (Endpoint::of_environment(&self.environment), settings) {
            (Ok(endpoint), Ok(settings)) => Ahead::begin(&request, endpoint, settings),
            _ => None,
        };
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = ahead;
        tokio::task::spawn_blocking(move || load_with(&request))
            .await
            .context("the files were not read to their end")?
    }

    /// What was looked at ahead is not used: something was done meanwhile that may have changed the engine.
    pub(super) fn look_anew(&self) {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Looks at the engine; goes on with a look at the same project that was begun ahead, once.
    async fn observe(&self, engine: &Engine, project: &Project) -> Result<Observed, EngineError> {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner).take();
        let look = async {
            match begun {
                Some(begun) => match begun.of(&project.name).await {
                    Some(look) => look,
                    None => engine.look(&project.name).await,
                },
                None => engine.look(&project.name).await,
            }
        };
        engine.observe_from(project, look).await
    }

    /// As [`Session::load`], for what needs no environment of containers: an `env_file` may be missing.
    pub(super) fn load_without_environment(&self, services: &[String]) -> anyhow::Result<Project> {
        let mut request = self.request()?;
        request.services = services.to_vec();
        request.options.env_files = EnvFiles::OfNone;
        load_with(&request)
    }

    /// Loads the whole project without the environment of its containers; services that are named are active in it
    /// whatever their profiles.
    fn load_whole(&self, named: &[String]) -> anyhow::Result<Project> {
        let mut request = self.request()?;
        request.options.env_files = EnvFiles::OfNone;
        let project = load_with(&request)?;
        let idle = named.iter().filter_map(|name| project.disabled_services.get(name));
        let wanted: Vec<String> = idle.flat_map(|service| service.profiles.iter().cloned()).collect();
        if wanted.is_empty() {
            return Ok(project);
        }
        request.profiles = project.profiles.iter().cloned().chain(wanted).collect();
        load_with(&request)
    }

    /// The project by its files, or only by name: with `-p` and no `-f` the files are not looked at, as in Compose.
    pub(super) fn subject(&self, services: &[String]) -> anyhow::Result<Subject> {
        if let (Some(name), true) = (&self.global.project_name, self.global.files.is_empty()) {
            return Ok(Subject { name: name.clone(), project: None });
        }
        match self.load_whole(services) {
            Ok(project) => Ok(Subject { name: project.name.clone(), project: Some(project) }),
            Err(error) => match self.variable("COMPOSE_PROJECT_NAME") {
                Some(name) => Ok(Subject { name: name.to_owned(), project: None }),
                None => Err(error),
            },
        }
    }

    /// As [`Session::subject`]; every service that is named must be one of the project, where that is known.
    ///
    /// # Errors
    /// The first that is not.
    pub(super) fn subject_with(&self, services: &[String]) -> anyhow::Result<Subject> {
        let subject = self.subject(services)?;
        if let Some(project) = &subject.project
            && let Some(unknown) = services.iter().find(|name| !project.services.contains_key(*name))
        {
            // As in the real one: whatever is wrong with the project, the variable still names it.
            return match self.variable("COMPOSE_PROJECT_NAME") {
                Some(name) => Ok(Subject { name: name.to_owned(), project: None }),
                None => bail!("no such service: {unknown}"),
            };
        }
        Ok(subject)
    }

    /// Only the project's name: files are read only when nothing else names it.
    pub(super) fn project_name(&self) -> anyhow::Result<String> {
        match (&self.global.project_name, self.variable("COMPOSE_PROJECT_NAME")) {
            (Some(name), _) => Ok(name.clone()),
            (None, Some(name)) => Ok(name.to_owned()),
            (None, None) => Ok(self.load_without_environment(&[])?.name),
        }
    }

    /// Connects to the engine, or takes the connection that was begun ahead.
    pub(super) async fn engine(&self) -> anyhow::Result<Engine> {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ahead) = ahead
            && let Some(connected) = ahead.connected().await
        {
            let (engine, begun) = connected?;
            *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
            return Ok(engine);
        }
        let settings = ClientSettings::of_environment(&self.environment)?;
        Ok(Engine::connect_with(&Endpoint::of_environment(&self.environment)?, settings).await?)
    }

    /// Lets Ctrl-C and SIGTERM end the work in order: what was begun is finished, nothing new is begun.
    pub(super) fn interruptible(&self) {
        let cancel = self.cancel.clone();
        tokio::spawn(async move {
            interrupted().await;
            cancel.cancel();
        });
    }

    /// How progress is shown.
    pub(super) fn mode(&self) -> Mode {
        let kind = match (self.global.progress, self.variable("COMPOSE_PROGRESS")) {
            (ProgressKind::Auto, Some("tty")) => ProgressKind::Tty,
            (ProgressKind::Auto, Some("plain")) => ProgressKind::Plain,
            (ProgressKind::Auto, Some("json")) => ProgressKind::Json,
            (ProgressKind::Auto, Some("quiet" | "none")) => ProgressKind::Quiet,
            (kind, _) => kind,
        };
        match kind {
            ProgressKind::Tty => Mode::Live,
            ProgressKind::Plain => Mode::Plain,
            ProgressKind::Json => Mode::Json,
            ProgressKind::Quiet => Mode::Quiet,
            ProgressKind::Auto if io::stderr().is_terminal() && self.ansi() != Ansi::Never => Mode::Live,
            ProgressKind::Auto => Mode::Plain,
        }
    }

    /// `--ansi`, else `COMPOSE_ANSI`.
    pub(super) fn ansi(&self) -> Ansi {
        match (self.global.ansi, self.variable("COMPOSE_ANSI")) {
            (Ansi::Auto, Some("never")) => Ansi::Never,
            (Ansi::Auto, Some("always")) => Ansi::Always,
            (ansi, _) => ansi,
        }
    }

    /// Whether output on standard output may be coloured.
    pub(super) fn colours(&self) -> bool {
        match self.ansi() {
            Ansi::Never => false,
            Ansi::Always => true,
            Ansi::Auto => io::stdout().is_terminal() && self.variable("NO_COLOR").is_none(),
        }
    }

    /// Looks, plans and carries the plan out, as [`Session::apply`]; anew where another run changed the engine meanwhile, as
    /// a deployment does. `planned` may take out of what was observed what is none of its business; it is told what earlier
    /// plans have done, which is not to be done again only because it was asked for.
    ///
    /// # Errors
    /// The engine's, the planner's, and that it changed each time.
    pub(super) async fn bring_about(
        &self,
        engine: &Engine,
        project: &Project,
        stop_timeout: Option<Duration>,
        progress: &Progress,
        mut planned: impl FnMut(&mut Observed, &Earlier) -> anyhow::Result<Plan>,
    ) -> anyhow::Result<()> {
        let mut earlier = Earlier::default();
        for _ in 1..PLANS {
            let mut observed = self.observe(engine, project).await?;
            earlier.look(&observed);
            let plan = planned(&mut observed, &earlier)?;
            match self.apply_noting(engine, project, plan, stop_timeout, progress, &mut earlier).await {
                Err(error) if is_stale(&error) && !self.cancel.is_cancelled() => {
                    progress.warning(&format!("{error}: planning anew"));
                }
                done => return done.map(drop),
            }
        }
        let plan = planned(&mut self.observe(engine, project).await?, &earlier)?;
        self.apply(engine, project, plan, stop_timeout, progress).await.map(drop)
    }

    /// Carries a plan out, showing it; with `--dry-run` only prints it.
    pub(super) async fn apply(
        &self,
        engine: &Engine,
        project: &Project,
        plan: Plan,
        stop_timeout: Option<Duration>,
        progress: &Progress,
    ) -> anyhow::Result<Report> {
        self.apply_noting(engine, project, plan, stop_timeout, progress, &mut Earlier::default()).await
    }

    /// As [`Session::apply`]; of a run that fails, `earlier` is told what it did.
    async fn apply_noting(
        &self,
        engine: &Engine,
        project: &Project,
        plan: Plan,
        stop_timeout: Option<Duration>,
        progress: &Progress,
        earlier: &mut Earlier,
    ) -> anyhow::Result<Report> {
        for warning in &plan.warnings {
            progress.warning(warning);
        }
        if self.global.dry_run {
            io::stdout().write_all(turnout_plan::render(&plan).as_bytes())?;
            return Ok(Report::default());
        }
        if plan.steps.is_empty() {
            return Ok(Report::default());
        }
        self.interruptible();
        self.carry_out(engine, project, plan, stop_timeout, progress, earlier).await
    }

    /// As [`Session::apply`], but Ctrl-C is somebody else's business.
    pub(super) async fn apply_calmly(
        &self,
        engine: &Engine,
        project: &Project,
        plan: Plan,
        stop_timeout: Option<Duration>,
        progress: &Progress,
    ) -> anyhow::Result<Report> {
        self.carry_out(engine, project, plan, stop_timeout, progress, &mut Earlier::default()).await
    }

    async fn carry_out(
        &self,
        engine: &Engine,
        project: &Project,
        plan: Plan,
        stop_timeout: Option<Duration>,
        progress: &Progress,
        earlier: &mut Earlier,
    ) -> anyhow::Result<Report> {
        let plan = self.narrowed(plan)?;
        progress.begin(&plan);
        let credentials = self.credentials();
        let engine = self.with_proxy_variables(engine).await;
        let run = self.run_of(project, &plan, stop_timeout, progress, &credentials);
        let done = engine.apply(&run).await;
        match &done {
            // Nobody is there to be asked.
            Err(ApplyError::Step { error, .. }) if error.is_lost() => {}
            Err(ApplyError::Step { report, .. } | ApplyError::Cancelled { report, .. }) => {
                earlier.did(&plan, report.steps.iter().map(|step| step.outcome));
                // Who has waited long enough to call it off is not kept; the next run finds what is left.
                unless_given_up(engine.put_back(&run, report, Extent::Created), &self.cancel, GRACE).await;
            }
            Ok(_) | Err(ApplyError::NotBegun(_)) => {}
        }
        progress.end();
        done.map_err(|error| match error {
            // The step's own line has already said what was being done.
            ApplyError::Step { error, .. } => anyhow::Error::new(error),
            other => anyhow::Error::new(other),
        })
    }

    /// As [`Session::apply_calmly`], with somebody else to tell what happens.
    pub(super) async fn apply_told(
        &self,
        engine: &Engine,
        project: &Project,
        plan: Plan,
        reporter: &dyn Reporter,
    ) -> anyhow::Result<Report> {
        let plan = self.narrowed(plan)?;
        let credentials = self.credentials();
        let engine = self.with_proxy_variables(engine).await;
        let done = engine.apply(&self.run_of(project, &plan, None, reporter, &credentials)).await;
        done.map_err(|error| match error {
            ApplyError::Step { error, .. } => anyhow::Error::new(error),
            other => anyhow::Error::new(other),
        })
    }

    /// The engine with the proxy variables that the Docker CLI gives to containers and builds.
    pub(super) async fn with_proxy_variables(&self, engine: &Engine) -> Engine {
        let Some(directory) = docker_config_directory(&self.environment) else { return engine.clone() };
        let proxy_variables = read_proxy_variables(&directory, &engine.endpoint().to_string()).await;
        engine.clone().with_proxy_variables(proxy_variables)
    }

    /// Registry credentials of the user.
    pub(super) fn credentials(&self) -> Credentials {
        Credentials::in_directory(docker_config_directory(&self.environment))
    }

    /// One run with this invocation's settings.
    pub(super) fn run_of<'a>(
        &'a self,
        project: &'a Project,
        plan: &'a Plan,
        stop_timeout: Option<Duration>,
        reporter: &'a dyn Reporter,
        credentials: &'a Credentials,
    ) -> Apply<'a> {
        Apply {
            project,
            plan,
            reporter,
            cancel: &self.cancel,
            stop_timeout,
            wait_timeout: self.wait_timeout.get().copied().unwrap_or(PATIENCE),
            // Nothing starts before its predecessor stops, as with the real one.
            settle: Duration::ZERO,
            probing: None,
            reads: None,
            images: ImageSettings {
                builder: self.builder(),
                build_timeout: PATIENCE,
                pull_timeout: PATIENCE,
                credentials,
                build_options: self.build_options.get().copied().unwrap_or_default(),
                inputs: None,
            },
        }
    }

    /// `DOCKER_BUILDKIT` and `COMPOSE_DOCKER_CLI_BUILD`'s meaning.
    fn builder(&self) -> BuilderChoice {
        match self.variable("DOCKER_BUILDKIT") {
            Some("0" | "false") => BuilderChoice::Classic,
            Some(_) => BuilderChoice::BuildKit,
            None => BuilderChoice::Auto,
        }
    }

    /// Honours `--parallel`: no more steps than that run side by side.
    fn narrowed(&self, mut plan: Plan) -> anyhow::Result<Plan> {
        let given = i64::from(self.global.parallel);
        let limit = match self.variable("COMPOSE_PARALLEL_LIMIT") {
            Some(text) if given < 0 => {
                text.parse().with_context(|| format!("COMPOSE_PARALLEL_LIMIT is {text:?}, not a number"))?
            }
            _ => given,
        };
        let Some(limit) = usize::try_from(limit).ok().filter(|limit| *limit > 0) else { return Ok(plan) };
        // A step waits for the one that many places before it. Steps whose failure is tolerated stay without
        // followers of that kind: those would make it fatal.
        let optional = |id: usize, plan: &Plan| {
            let followers = plan.steps.iter().filter(|s| s.after.contains(&id));
            followers.clone().any(|s| matches!(s.action, turnout_plan::Action::WaitFor { required: false, .. }))
        };
        for id in limit..plan.steps.len() {
            let before = id - limit;
            if !optional(before, &plan)
                && let Some(step) = plan.steps.get_mut(id)
                && !step.after.contains(&before)
            {
                step.after.push(before);
            }
        }
        Ok(plan)
    }
}

/// Whether a run ended because the engine changed since its plan was made.
fn is_stale(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<EngineError>(), Some(EngineError::Stale(_)))
}

/// The `COMPOSE_…` variables of the env files, which steer the command line as those of the process do. What is wrong
/// with the files is told when the project is loaded.
fn settings_of_env_files(global: &Global, process: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let of = |name: &str| process.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let mut files: Vec<PathBuf> = global.env_files.iter().map(PathBuf::from).collect();
    if files.is_empty() {
        files = of("COMPOSE_ENV_FILES").iter().flat_map(|list| list.split(',')).map(PathBuf::from).collect();
    }
    let disabled = of("COMPOSE_DISABLE_ENV_FILE").is_some_and(is_true);
    if files.is_empty() && !disabled {
        let of_file = || global.files.first().filter(|file| *file != "-").and_then(|file| Path::new(file).parent());
        let given = global.project_directory.as_deref().filter(|directory| !directory.as_os_str().is_empty());
        let directory = given.or_else(of_file).unwrap_or(Path::new(""));
        files.push(directory.join(".env"));
    }
    let mut found = BTreeMap::new();
    for file in files {
        let Ok(bytes) = super::files::read(&DiskFiles::default(), &file) else { continue };
        let lookup = |name: &str| process.get(name).cloned();
        let Ok(values) = dotenv::parse(&String::from_utf8_lossy(&bytes), &lookup) else { continue };
        // Which files are read was settled before they were.
        let steers = |key: &str| key.starts_with("COMPOSE_") && key != "COMPOSE_ENV_FILES";
        found.extend(values.into_iter().filter(|(key, _)| steers(key)));
    }
    found
}

/// The current directory under the name that the shell knows it by (`PWD`), as Go has it: a project in a folder that a
/// symbolic link leads to is named after the link.
fn current_directory() -> io::Result<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    if let Some(told) = std::env::var_os("PWD").map(PathBuf::from).filter(|told| told.is_absolute())
        && let (Ok(told_of), Ok(here)) = (std::fs::metadata(&told), std::fs::metadata("."))
        && (told_of.dev(), told_of.ino()) == (here.dev(), here.ino())
    {
        return Ok(told);
    }
    std::env::current_dir()
}

fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// A project of which only the name is known.
pub(super) fn nameless(name: &str) -> Project {
    Project { name: name.to_owned(), ..Project::default() }
}

/// Ctrl-C and SIGTERM, one after the other; none is missed between two waits.
pub(super) struct Interrupts(Vec<tokio::signal::unix::Signal>);

impl Interrupts {
    /// From now on.
    pub(super) fn new() -> Interrupts {
        use tokio::signal::unix::{SignalKind, signal};
        Interrupts(
            [SignalKind::interrupt(), SignalKind::terminate()].into_iter().filter_map(|k| signal(k).ok()).collect(),
        )
    }

    /// The next one.
    pub(super) async fn next(&mut self) {
        if self.0.is_empty() {
            std::future::pending::<()>().await;
        }
        let waits = self.0.iter_mut().map(|signal| Box::pin(signal.recv()));
        futures_util::future::select_all(waits).await;
    }
}

/// Ends at the first Ctrl-C or SIGTERM.
pub(super) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
}

/// Seconds since the Unix epoch.
pub(super) fn now() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "ages are told by it")]
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// `-t`: a negative number means for ever.
pub(super) fn grace(seconds: Option<i64>) -> Option<Duration> {
    seconds.map(|s| u64::try_from(s).map_or(PATIENCE, Duration::from_secs))
}

/// Loads and shows the loader's warnings.
pub(super) fn load_with(request: &LoadRequest) -> anyhow::Result<Project> {
    let loaded = load(request, &Files::new(&request.process_env))?;
    show_warnings(&loaded.warnings)?;
    Ok(loaded.project)
}

/// Loads the document without typing it; warnings go to standard error.
pub(super) fn load_model_with(request: &LoadRequest) -> anyhow::Result<Node> {
    let model = load_model(request, &Files::new(&request.process_env))?;
    show_warnings(&model.warnings)?;
    Ok(model.root)
}

fn show_warnings(warnings: &[Warning]) -> io::Result<()> {
    let mut err = io::stderr().lock();
    warnings.iter().try_for_each(|warning| writeln!(err, "warning: {warning}"))
}
