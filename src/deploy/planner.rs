//! Reads a repository and plans its deployment. Changes nothing; what `turnout plan` and a deployment share.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Failure, builder, called_off, clock,
    compute::compute,
    facts::{self, what_changed},
    former::{self, First},
    inputs, lost_env, mounted, mounts, orphans, owner, place,
    prepare::{load_in, load_project_through, make_plan},
    prepared::{Prepared, TreeProject},
    ran, start_first,
    view::View,
};
use crate::{
    config::{LiveRepos, Repo, Settings},
    decide,
    engine::{ClientSettings, Endpoint, Engine, EngineError, Inspected, learned::Learned, read_proxy_variables},
    files, git,
    inputs::InputSettings,
    plan::{self, Intent, Observed, ObservedNetwork, ObservedVolume, Pull},
    registry::docker_config_directory,
    report::{Event, Reporter, redact::Redactor},
    store::{Before, Place},
    switch,
};

/// Seconds that one look for an engine may take that does not answer.
const SILENT: u64 = 15;
/// Pause between two attempts to reach an engine that is down.
pub const ENGINE_RETRY: Duration = Duration::from_secs(2);

/// Plans deployments: reads, decides, and changes nothing.
pub struct Planner {
    /// Settings of the daemon.
    pub settings: Arc<Settings>,
    /// Repositories as configured now.
    pub repos: Arc<LiveRepos>,
    /// Learns the secrets of each project that is read, as that project's.
    pub redactor: Redactor,
    endpoint: Endpoint,
    /// Of the engine there.
    learned: Learned,
}

/// The environment of this process, as far as it is text.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// What is to be planned, beside the project itself.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The commit in the work tree; `None` = whatever is checked out.
    pub commit: Option<String>,
    /// What was deployed for this project before.
    pub before: Before,
    /// What containers read at their last start, by container ID, as recorded.
    pub reads: BTreeMap<String, String>,
    /// Rebuild every image that the repository builds.
    pub rebuild: bool,
    /// What was deployed before, of all repositories.
    pub places: Vec<Place>,
    /// A second stack beside a former one of the same repository is asked for.
    pub new_stack: bool,
    /// Where digests of files are remembered, in place of the usual folder.
    pub digests: Option<PathBuf>,
    /// An engine that is down is not waited for: nothing is lost where somebody asks again.
    pub at_once: bool,
    /// The project is one of those that blue/green deployment makes of the repository's.
    pub dressed: Option<Dressed>,
}

/// What planning a project of blue/green deployment has to know.
#[derive(Debug, Clone, Default)]
pub struct Dressed {
    /// Containers are replaced though nothing of them changed, for this reason.
    pub anew: Option<&'static str>,
    /// Containers are created and not started.
    pub no_start: bool,
    /// Only these services, and not what they need; empty: all.
    pub only: Vec<String>,
    /// Images were built and pulled before: one that arrives meanwhile would not be what has passed its gate.
    pub images_are_there: bool,
    /// Networks, by Compose key with their names, that another project of the deployment makes before this plan is carried out.
    pub networks_to_come: BTreeMap<String, String>,
    /// Volumes, by Compose key with their names, that are likewise made before.
    pub volumes_to_come: BTreeMap<String, String>,
    /// Networks and volumes that none of its services uses are made as well: they are for the colours.
    pub all_resources: bool,
    /// Copies of mounted files, by where they lie, with what they are copies of: until they are made, that is looked at.
    pub copies: BTreeMap<String, String>,
}

impl Planner {
    /// A planner for these settings.
    ///
    /// # Errors
    /// When the engine's address cannot be used.
    pub fn new(settings: Arc<Settings>, repos: Arc<LiveRepos>) -> Result<Self, EngineError> {
        // Contexts and certificates as the Docker CLI would find them for this process.
        let mut environment = environment();
        if !settings.docker_host.is_empty() {
            environment.insert("DOCKER_HOST".to_owned(), settings.docker_host.clone());
        }
        let endpoint = Endpoint::of_environment(&environment)?;
        Ok(Self { settings, repos, redactor: Redactor::new(), endpoint, learned: Learned::default() })
    }

    /// A connection to the engine, without patience.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn engine(&self) -> Result<Engine, EngineError> {
        let environment = environment();
        let settings = ClientSettings {
            call_timeout: Some(self.settings.engine_timeout),
            ..ClientSettings::of_environment(&environment)?
        };
        let engine = Engine::connect_with(&self.endpoint, settings).await?.with_learned(self.learned.clone());
        Ok(match docker_config_directory(&environment) {
            Some(directory) => {
                engine.with_proxy_variables(read_proxy_variables(&directory, &self.endpoint.to_string()).await)
            }
            None => engine,
        })
    }

    /// The repository as configured now, at the place to which its path leads now. Asked once for a deployment, and what
    /// it gives is used for all of it.
    ///
    /// # Errors
    /// When it is not configured (any more), or works where another one does or turnout keeps its state.
    pub fn find(&self, name: &str) -> Result<Repo, Failure> {
        let loaded = self.repos.current();
        let found = loaded.repos.by_name(name).ok_or_else(|| {
            let known: Vec<&str> = loaded.repos.repos.iter().map(|repo| repo.name.as_str()).collect();
            let file = self.repos.file().display();
            let has = match known.len() {
                0 => "the list is empty".to_owned(),
                _ => format!("it has: {}", known.join(", ")),
            };
            match self.repos.broken() {
                // It may be one of the entries that do not count just now.
                Some(broken) => {
                    let mistake = self.mistake_in_list().unwrap_or(broken.consequence);
                    Failure::new(format!("no repository `{name}` counts: {mistake}"))
                        .hint(format!("correct {file}; `turnout check` names every mistake ({has})"))
                }
                None => Failure::new(format!("no repository `{name}` in {file}")).hint(has),
            }
        })?;
        let found = place::alone(found, &loaded.repos.repos)?;
        place::apart(&found, &self.settings.state_dir).map(|()| found)
    }

    /// That repos.yaml has a mistake as it is now, and what counts instead; for whoever is answered by that.
    pub fn mistake_in_list(&self) -> Option<String> {
        self.repos.refresh();
        let broken = self.repos.broken()?;
        let further = match broken.mistakes.0.len() {
            0 | 1 => String::new(),
            count => format!(" and {} more, which `turnout check` names", count - 1),
        };
        let first = broken.mistakes.0.first().map_or_else(String::new, |first| format!(" ({first}{further})"));
        let read = clock::when(clock::at_ms(self.repos.good_at()));
        Some(format!("repos.yaml has a mistake{first}: {}, as read at {read}", broken.consequence))
    }

    /// Reads the project of a work tree.
    ///
    /// # Errors
    /// With file, line and what would be right.
    pub async fn read(&self, repo: &Repo, reporter: &dyn Reporter) -> Result<TreeProject, Failure> {
        self.read_through(repo, View::of(repo), reporter).await
    }

    /// As [`Planner::read_through`], for another colour than the `.env` names.
    ///
    /// # Errors
    /// As [`Planner::read`].
    pub async fn read_in(&self, repo: &Repo, view: View, colour: &str) -> Result<TreeProject, Failure> {
        let (reading, redactor, colour) = (repo.clone(), self.redactor.clone(), colour.to_owned());
        let loaded =
            compute(repo, "reading the project", move || load_in(&reading, view, &redactor, Some(&colour))).await?;
        loaded.map_err(|failure| failure.redacted(&self.redactor.of(&repo.name)))
    }

    /// As [`Planner::read`], of files that are read where the view has them.
    ///
    /// # Errors
    /// As [`Planner::read`].
    pub async fn read_through(&self, repo: &Repo, view: View, reporter: &dyn Reporter) -> Result<TreeProject, Failure> {
        let (reading, redactor) = (repo.clone(), self.redactor.clone());
        let loaded =
            compute(repo, "reading the project", move || load_project_through(&reading, view, &redactor)).await?;
        let loaded = loaded.map_err(|failure| failure.redacted(&self.redactor.of(&repo.name)))?;
        let stack = &loaded.stack;
        reporter.info(format!("project {} from {} ({})", stack.project, stack.files.join(", "), stack.reason));
        Ok(loaded)
    }

    /// Decides and plans.
    ///
    /// # Errors
    /// When git or the engine does not answer, or the project cannot be brought up here.
    pub async fn prepare(
        &self,
        repo: &Repo,
        loaded: TreeProject,
        wanted: Wanted,
        reporter: &dyn Reporter,
        cancel: &CancellationToken,
    ) -> Result<Prepared, Failure> {
        let is_dressed = wanted.dressed.is_some();
        // As it can be read; the plan is made of the names.
        let read = loaded.view.read(&loaded.project);
        let (path, view, mut mounting) = (loaded.view.tree().to_owned(), loaded.view.clone(), read.clone());
        let copies = wanted.dressed.as_ref().map(|dressed| dressed.copies.clone()).unwrap_or_default();
        let mut settings = self.input_settings(repo);
        let digests = match &wanted.digests {
            Some(folder) => {
                settings.digests = folder.join("digests");
                folder.join("mounted")
            }
            None => InputSettings::mounted(&self.settings.state_dir, &repo.name),
        };
        let recorded = wanted.reads.clone();
        let before = wanted.before.clone();
        let (commit, was, forced) = (wanted.commit, wanted.before, wanted.rebuild);
        let (known, notes, looked) = blocking(move || {
            let mut notes = Vec::new();
            let commit = match commit {
                Some(commit) => commit,
                None => git::head(&path)?.commit,
            };
            for attempt in &was.attempts {
                notes.push(format!(
                    "compared with {} too: its deployment did not succeed, but may have built images",
                    git::short(attempt)
                ));
            }
            let forced = forced.then(|| "asked for with --rebuild".to_owned());
            let to_come = copies.into_iter().filter(|(place, _)| std::fs::symlink_metadata(place).is_err());
            let at = |path: String| view.at(std::path::Path::new(&path)).display().to_string();
            switch::snapshot::point(&mut mounting, &to_come.map(|(place, path)| (place, at(path))).collect());
            let looked = mounts::look(&view, &mounting, digests);
            Ok::<_, Failure>((what_changed(&path, was, &commit, forced), notes, looked))
        })
        .await??;
        notes.into_iter().for_each(|note| reporter.info(note));
        let engine = match wanted.at_once {
            true => self.engine_now(reporter, cancel).await?,
            false => self.engine_at_first(reporter, cancel).await?,
        };
        engine.refuse_unsupported(&loaded.project)?;
        let mut observed = engine.observe(&loaded.project).await?;
        let dressed = wanted.dressed.unwrap_or_default();
        foresee(&mut observed, &dressed);
        let (images_are_there, all_resources) = (dressed.images_are_there, dressed.all_resources);
        let all = place::all_now(&self.repos.current().repos.repos);
        owner::refuse_claimed(repo, &all, &loaded.stack)?;
        owner::refuse_anothers(repo, &all, &loaded.project.name, &observed.containers)?;
        let (places, new_stack) = (wanted.places, wanted.new_stack);
        if observed.containers.is_empty() && !is_dressed {
            let stacks = engine.stacks().await?;
            if let Some(note) = self.refuse_second(repo, &loaded, &stacks, &places, new_stack).await? {
                reporter.warn(note);
            }
        }
        let builds = inputs::compare(&engine, &read, &settings, cancel).await?;
        let bases = builds.iter().map(|(name, build)| (name.clone(), build.bases.clone())).collect();
        let of = repo.clone();
        let decided = compute(repo, "deciding what to rebuild", move || {
            let facts = facts::gather(&of, &loaded, &observed, known, builds)?;
            let decision = decide::rebuild(&facts);
            Ok::<_, Failure>((loaded, observed, facts.base, decision))
        });
        let (loaded, observed, base, decision) = decided.await??;
        // Of what stays only what is built is worth a word.
        if !images_are_there && (!all_resources || !decision.builds().is_empty()) {
            let of = if all_resources { "what stays: " } else { "" };
            reporter.info(format!("{of}{}", decision.summary));
        }
        let compared = mounted::compare(repo, &loaded, looked, &recorded, &observed, &engine).await?;
        compared.reasons.iter().chain(&compared.remarks).for_each(|line| reporter.info(line.clone()));
        let start_first = match is_dressed {
            // Colours have an order of their own.
            true => BTreeMap::new(),
            false => start_first::asked(repo, &loaded, &engine, &self.settings.state_dir).await?,
        };
        let orphans = orphans::judge(repo, &loaded.project, &before, &observed.containers);
        let Inspected { altered, stands } = engine.inspect_all(&loaded.project, &observed).await?;
        let mounted = compared.mounted.clone();
        let planned = compute(repo, "planning", move || {
            let intent = Intent {
                anew: dressed.anew,
                no_start: dressed.no_start,
                no_deps: !dressed.only.is_empty(),
                services: dressed.only,
                no_build: dressed.images_are_there,
                pull: dressed.images_are_there.then_some(Pull::Never),
                all_resources: dressed.all_resources,
                bases,
                mounted,
                altered,
                start_first,
                ..Intent::default()
            };
            let mut plan = make_plan(&loaded.project, &observed, &decision, intent, orphans)?;
            plan.doubts.extend(decision.left.iter().cloned());
            let text = plan::render(&plan);
            let running = ran::running(&observed.containers);
            Ok::<_, Failure>((loaded, decision, plan, text, running))
        });
        let (loaded, decision, plan, text, running) = planned.await??;
        for warning in loaded.warnings.iter().chain(&plan.warnings) {
            reporter.warn(warning.clone());
        }
        Ok(Prepared { loaded, base, decision, plan, text, engine, compared, running, stands })
    }

    /// Refuses a first deployment beside a stack that the same repository has under another name.
    ///
    /// # Errors
    /// With the lines to write.
    pub async fn refuse_second(
        &self,
        repo: &Repo,
        loaded: &TreeProject,
        stacks: &former::Stacks,
        places: &[Place],
        new_stack: bool,
    ) -> Result<Option<String>, Failure> {
        let (path, url, env_file) = (repo.real_path.clone(), repo.remote.clone(), repo.env_file.clone());
        let (remote, has_env) = blocking(move || {
            let remote = git::remote_address(&path, url.as_deref());
            let env_file = path.join(env_file);
            (remote, files::at(&path, &env_file, || env_file.exists()).unwrap_or(true))
        })
        .await?;
        let all = place::all_now(&self.repos.current().repos.repos);
        let first = First {
            repo,
            all: &all,
            project: &loaded.stack.project,
            color: &loaded.stack.color,
            remote: remote.as_deref(),
            places,
            new_stack,
        };
        lost_env::refuse(&first, stacks, has_env)?;
        former::refuse_second(&first, stacks)
    }

    /// How what goes into the images of a repository is read.
    pub fn input_settings(&self, repo: &Repo) -> InputSettings {
        InputSettings::new(&self.settings.state_dir, &repo.name, builder::of(repo))
    }

    /// The engine as it is now, for what changes nothing.
    async fn engine_now(&self, reporter: &dyn Reporter, cancel: &CancellationToken) -> Result<Engine, Failure> {
        let (subject, text) = ("the Docker engine".to_owned(), format!("{SILENT} s"));
        reporter.report(Event::Progress { subject, text });
        let asked = called_off::at_once(self.engine(), "waiting for the engine", cancel).await?;
        asked.map_err(|error| Failure::from(error).hint("nothing was changed; ask again when the engine is back"))
    }

    /// The engine, for a deployment that waits with its lane free where there is none.
    pub(super) async fn engine_at_first(
        &self,
        reporter: &dyn Reporter,
        cancel: &CancellationToken,
    ) -> Result<Engine, Failure> {
        // For whoever watches: an engine that hangs is waited for without a word otherwise.
        let (subject, text) = ("the Docker engine".to_owned(), format!("{SILENT} s"));
        reporter.report(Event::Progress { subject, text });
        let asked = called_off::at_once(self.engine(), "waiting for the engine", cancel).await?;
        asked.map_err(|error| {
            Failure::from(error)
                .with_engine(super::failure::Engine::Absent)
                .hint("nothing was changed; when the engine is back, run `turnout deploy` or redeliver the push")
        })
    }

    /// Waits for an engine that is down, as after a reboot, then gives up with its error. For what is no deployment.
    pub(super) async fn patient_engine(
        &self,
        reporter: &dyn Reporter,
        cancel: &CancellationToken,
    ) -> Result<Engine, Failure> {
        let deadline = tokio::time::Instant::now() + self.settings.engine_wait;
        // For whoever watches: an engine that hangs is waited for without a word otherwise.
        let (subject, text) =
            ("the Docker engine".to_owned(), format!("{} s", self.settings.engine_wait.as_secs().max(SILENT)));
        reporter.report(Event::Progress { subject, text });
        let mut told = false;
        loop {
            let asked = called_off::at_once(self.engine(), "waiting for the engine", cancel).await?;
            let error = match asked {
                Ok(engine) => return Ok(engine),
                Err(error) => error,
            };
            if tokio::time::Instant::now() + ENGINE_RETRY > deadline {
                return Err(Failure::from(error)
                    .with_engine(super::failure::Engine::Awaited)
                    .hint("nothing was changed; when the engine is back, run `turnout deploy` or redeliver the push"));
            }
            if !told {
                reporter.warn(format!("waiting up to {:?} for the engine: {error}", self.settings.engine_wait));
                told = true;
            }
            tokio::select! {
                () = tokio::time::sleep(ENGINE_RETRY) => {}
                () = cancel.cancelled() => return Err(Failure::cancelled("cancelled while waiting for the engine")),
            }
        }
    }
}

/// What will be there when the plan is carried out counts as there.
fn foresee(observed: &mut Observed, dressed: &Dressed) {
    for (key, name) in &dressed.networks_to_come {
        let network = ObservedNetwork { name: name.clone(), ..ObservedNetwork::default() };
        observed.networks.entry(key.clone()).or_insert(network);
    }
    for (key, name) in &dressed.volumes_to_come {
        let volume = ObservedVolume { name: name.clone(), ..ObservedVolume::default() };
        observed.volumes.entry(key.clone()).or_insert(volume);
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    Ok(files::blocking(work).await?)
}
