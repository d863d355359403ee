//! The executor of one run: what its steps share. Each kind of step is in a file of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use tokio_util::sync::CancellationToken;
use turnout_compose::model::Service;
use turnout_plan::ObservedContainer;

use super::{
    report::ContainerRef,
    request::{Apply, ImageSettings},
    world::{Left, World},
};
use crate::{Engine, EngineError, image::ImageContext, observe};

/// One run of a plan: what its steps share.
pub(super) struct Executor<'a> {
    /// The daemon that is asked.
    pub(super) engine: &'a Engine,
    /// What it works with.
    pub(super) run: &'a Apply<'a>,
    /// What exists meanwhile.
    pub(super) world: World,
    /// Ends waits: cancelled with the run, and at the first failure.
    pub(super) halt: CancellationToken,
    /// Held while a container starts that takes a port from a published range: the daemon picks ports without
    /// holding a lock of its own.
    pub(super) ranged_starts: tokio::sync::Mutex<()>,
    /// Held while an image is asked for, so that those who need the same one wait for that answer.
    image_lookups: tokio::sync::Mutex<()>,
    started: Mutex<Vec<ContainerRef>>,
}

impl<'a> Executor<'a> {
    /// An executor for what exists; `halt` ends its waits.
    pub(super) fn new(engine: &'a Engine, run: &'a Apply<'a>, world: World, halt: CancellationToken) -> Executor<'a> {
        Executor {
            engine,
            run,
            world,
            halt,
            ranged_starts: tokio::sync::Mutex::new(()),
            image_lookups: tokio::sync::Mutex::new(()),
            started: Mutex::new(Vec::new()),
        }
    }

    /// An executor outside of a plan, with the project's containers as the engine lists them.
    pub(super) async fn alone(engine: &'a Engine, run: &'a Apply<'a>) -> Result<Executor<'a>, EngineError> {
        let listed = engine.project_containers(&run.project.name).await?;
        Ok(Executor::among(engine, run, listed.into_iter().filter_map(observe::container).collect()))
    }

    /// The same, with these containers.
    pub(super) fn among(engine: &'a Engine, run: &'a Apply<'a>, containers: Vec<ObservedContainer>) -> Executor<'a> {
        Executor::new(engine, run, World::new(containers, BTreeSet::new()), CancellationToken::new())
    }
}

impl Executor<'_> {
    /// The local ID of an image; asked for once, then remembered until a build or pull replaces it.
    pub(super) async fn image_id(&self, image: &str) -> Result<String, EngineError> {
        if let Some(id) = self.world.image(image) {
            return Ok(id);
        }
        let _turn = self.image_lookups.lock().await;
        if let Some(id) = self.world.image(image) {
            return Ok(id);
        }
        let found = self.engine.find_image(image).await?.and_then(|i| i.id);
        let id = found.ok_or_else(|| EngineError::Missing {
            what: format!("no such image: {image}"),
            hint: "it is not local, and the plan neither builds nor pulls it".to_owned(),
        })?;
        self.world.set_image(image, &id);
        Ok(id)
    }

    /// How images are built and pulled in this run.
    pub(super) fn image_context(&self) -> ImageContext<'_> {
        const UNMARKED: &BTreeMap<String, String> = &BTreeMap::new();
        let ImageSettings { builder, build_timeout, pull_timeout, credentials, build_options, inputs: _ } =
            self.run.images;
        ImageContext {
            reporter: self.run.reporter,
            cancel: self.run.cancel,
            builder,
            build_timeout,
            pull_timeout,
            environment: self.environment(),
            credentials,
            options: build_options,
            marks: UNMARKED,
        }
    }

    /// The variables that the project was made with.
    pub(super) fn environment(&self) -> &BTreeMap<String, String> {
        &self.run.project.environment
    }

    /// The service of the plan's project.
    pub(super) fn service(&self, name: &str) -> Result<&Service, EngineError> {
        let service = self.run.project.services.get(name);
        service.ok_or_else(|| EngineError::Stale(format!("the project has no active service {name}")))
    }

    /// Notes a container that was started, for the report.
    pub(super) fn note_started(&self, container: ContainerRef) {
        self.started.lock().unwrap_or_else(PoisonError::into_inner).push(container);
    }

    /// Notes the name that a container which was started has from now on.
    pub(super) fn note_renamed(&self, id: &str, name: &str) {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        started.iter_mut().filter(|one| one.id == id).for_each(|one| name.clone_into(&mut one.name));
    }

    /// The containers that were started, in the order of their starts, and what only the run knows.
    pub(super) fn finish(self) -> (Vec<ContainerRef>, Left) {
        let left = self.world.left();
        (self.started.into_inner().unwrap_or_else(PoisonError::into_inner), left)
    }
}
