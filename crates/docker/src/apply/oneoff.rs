//! One-off containers of a service: `run`.

use std::collections::HashMap;

use bollard::{
    models::NetworkConnectRequest,
    query_parameters::{CreateContainerOptions, StartContainerOptions},
};
use turnout_compose::{
    labels,
    model::{Project, Service},
};

use super::{executor::Executor, report::ContainerRef, request::Apply};
use crate::{
    Engine, EngineError,
    translate::{self, ContainerSpec, Target},
};

/// A one-off to create.
#[derive(Debug, Clone, Copy)]
pub struct OneOff<'a> {
    /// Compose service; its definition in the project is what the container runs.
    pub service: &'a str,
    /// The container's name; it is made up by the caller where `--name` is not given.
    pub name: &'a str,
    /// 64 hex digits, for the label.
    pub slug: &'a str,
    /// The engine removes it when it ends.
    pub auto_remove: bool,
    /// Keep standard input open for one attachment.
    pub stdin: bool,
    /// Known on its networks by the service's names too, not only by its own.
    pub use_aliases: bool,
}

impl Engine {
    /// Creates a one-off container with everything it needs before a start. Its image, networks and volumes exist.
    ///
    /// # Errors
    /// What cannot be carried out, by name; the daemon's refusal.
    pub async fn create_oneoff(&self, run: &Apply<'_>, wanted: &OneOff<'_>) -> Result<ContainerRef, EngineError> {
        let executor = Executor::alone(self, run).await?;
        let OneOff { service: name, name: container_name, slug, auto_remove, stdin, use_aliases } = *wanted;
        let project = run.project;
        let service = executor.service(name)?;
        let image_id = executor.image_id(&service.image_name(&project.name, name)).await?;
        let resolved = executor.resolve(name, service, 1).await?;
        let ContainerSpec { mut body, mac_address, platform, mut connect, warnings } = translate::container(&Target {
            project,
            name,
            service: &resolved.service,
            number: 1,
            container_name,
            replaces: None,
            image_id: &image_id,
            config_hash: &resolved.config_hash,
            own_labels: &[],
            links: &resolved.links,
            volumes_from: &resolved.volumes_from,
            inherited: &[],
            profiles: &resolved.profiles,
            proxy_variables: self.proxy_variables(),
            version: self.version(),
        })?;
        translate::copied_files(project, name, service)?;
        mark(body.labels.get_or_insert_default(), slug);
        body.attach_stdin = Some(stdin);
        body.open_stdin = Some(stdin);
        body.stdin_once = Some(stdin);
        if auto_remove {
            body.host_config.get_or_insert_default().auto_remove = Some(true);
        }
        if !use_aliases {
            let at_creation = body.networking_config.iter_mut().filter_map(|n| n.endpoints_config.as_mut());
            let settings = at_creation.flat_map(HashMap::values_mut).chain(connect.iter_mut().map(|e| &mut e.settings));
            let named =
                settings.filter(|endpoint| endpoint.aliases.as_ref().is_some_and(|aliases| !aliases.is_empty()));
            named.for_each(|endpoint| endpoint.aliases = Some(vec![container_name.to_owned()]));
        }
        let options = CreateContainerOptions { name: Some(container_name.to_owned()), platform };
        let created = match &mac_address {
            None => self.ask(self.docker().create_container(Some(options), body)).await,
            Some(address) => self.create_with_mac_address(options, body, address).await,
        };
        let created = created.map_err(|e| EngineError::api(format!("create {container_name}"), e))?;
        for warning in warnings.into_iter().chain(created.warnings) {
            run.reporter.warn(format!("{container_name}: {warning}"));
        }
        for endpoint in connect {
            let request =
                NetworkConnectRequest { container: created.id.clone(), endpoint_config: Some(endpoint.settings) };
            let connected = self.ask(self.docker().connect_network(&endpoint.network, request)).await;
            let what = || format!("connect {container_name} to network {}", endpoint.network);
            connected.map_err(|e| EngineError::api(what(), e))?;
        }
        executor.copy_files(name, service, &created.id).await?;
        Ok(ContainerRef { id: created.id, name: container_name.to_owned(), service: name.to_owned() })
    }

    /// Starts a one-off and runs the service's `post_start` hooks.
    ///
    /// # Errors
    /// The daemon's refusal, a hook that fails.
    pub async fn start_oneoff(&self, run: &Apply<'_>, container: &ContainerRef) -> Result<(), EngineError> {
        let started = self.ask(self.docker().start_container(&container.id, None::<StartContainerOptions>)).await;
        started.map_err(|e| EngineError::api(format!("start {}", container.name), e))?;
        let Some(service) = run.project.services.get(&container.service) else { return Ok(()) };
        if service.post_start.is_empty() {
            return Ok(());
        }
        let executor = Executor::alone(self, run).await?;
        for hook in &service.post_start {
            executor.run_hook(&container.service, service, &container.id, &container.name, hook, "post_start").await?;
        }
        Ok(())
    }
}

/// One-offs have no number, but a slug.
fn mark(own: &mut HashMap<String, String>, slug: &str) {
    own.remove(labels::CONTAINER_NUMBER);
    own.insert(labels::ONEOFF.to_owned(), "True".to_owned());
    own.insert(labels::SLUG.to_owned(), slug.to_owned());
}

/// The service as a one-off runs it: one container, never restarted.
pub fn as_oneoff(project: &mut Project, name: &str, change: impl FnOnce(&mut Service)) {
    let Some(service) = project.services.get_mut(name) else { return };
    service.set_scale(1);
    service.restart = String::new();
    service.container_name = String::new();
    if let Some(deploy) = &mut service.deploy {
        deploy.restart_policy = None;
    }
    change(service);
}
