//! A connection to one daemon: what is known of it, and how it is asked.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use bollard::{Docker, errors::Error as Bollard};
use tokio::time::timeout;

use super::{
    api_version::ApiVersion,
    client_settings::ClientSettings,
    clock::Clock,
    endpoint::Endpoint,
    image::wire,
    learned::Learned,
    patience::{io_within, no_answer},
};

/// What the client library, which watches the beginning of an answer, waits beyond that: ours, which watches all of it
/// and tells how long it was, comes first.
pub(super) const LATER: Duration = Duration::from_secs(1);

/// A connection to one daemon. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(super) docker: Docker,
    pub(super) call_timeout: Duration,
    pub(super) version: ApiVersion,
    pub(super) endpoint: Arc<Endpoint>,
    /// Variables for containers and builds from the `proxies` section of the Docker CLI's configuration.
    pub(super) proxy_variables: Arc<HashMap<String, String>>,
    pub(super) settings: Arc<ClientSettings>,
    pub(super) learned: Learned,
}

impl Engine {
    /// Sends a request over a connection of its own.
    ///
    /// # Errors
    /// No connection, or it broke.
    pub async fn send(&self, mut request: hyper::Request<wire::Body>) -> io::Result<wire::Answer> {
        self.settings.dress(request.headers_mut());
        wire::send(&self.endpoint, request).await
    }

    /// The same for a request whose answer begins at once or not at all, such as one that opens a session.
    ///
    /// # Errors
    /// As [`Engine::send`]; or there was no answer in the time of a call.
    pub async fn send_in_time(&self, request: hyper::Request<wire::Body>) -> io::Result<wire::Answer> {
        io_within(self.call_timeout, self.send(request)).await
    }

    /// The client. Its timeout covers the wait for the beginning of an answer.
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// The client with another timeout, for a request that may stay silent for long (a stop with a long grace, the
    /// upload of a build context).
    pub fn docker_with_timeout(&self, timeout: Duration) -> Docker {
        self.docker.clone().with_timeout(timeout.saturating_add(LATER))
    }

    /// How long one call may take: [`ClientSettings::call_timeout`].
    pub fn call_timeout(&self) -> Duration {
        self.call_timeout
    }

    /// The version agreed upon; features are gated by it.
    pub fn version(&self) -> ApiVersion {
        self.version
    }

    /// Where the daemon is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Waits for the answer to one call, for all of it, as long as a call may take.
    ///
    /// # Errors
    /// The call's own; that there was no answer in time, which [`super::EngineError::api`] puts into words.
    pub fn ask<T>(&self, call: impl Future<Output = Result<T, Bollard>>) -> impl Future<Output = Result<T, Bollard>> {
        self.ask_for(self.call_timeout(), call)
    }

    /// The same for a call that may take another time.
    ///
    /// # Errors
    /// As [`Engine::ask`].
    pub fn ask_for<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, Bollard>>,
    ) -> impl Future<Output = Result<T, Bollard>> {
        let call = Box::pin(call);
        async move { timeout(limit, call).await.unwrap_or_else(|_| Err(Bollard::IOError { err: no_answer(limit) })) }
    }

    /// What is known of the daemon's clock.
    pub(super) fn clock(&self) -> &Clock {
        &self.learned.clock
    }

    /// Goes on with what an earlier connection to the same daemon learned of it.
    pub fn with_learned(mut self, learned: Learned) -> Engine {
        self.learned = learned;
        self
    }

    /// Sets the variables that every container and build receives unless the service sets them: the CLI's
    /// `proxies.default` section, as `HTTP_PROXY` and its like.
    pub fn with_proxy_variables(mut self, proxy_variables: HashMap<String, String>) -> Engine {
        self.proxy_variables = Arc::new(proxy_variables);
        self
    }

    /// The variables that containers and builds get, by name; set with [`Engine::with_proxy_variables`].
    pub fn proxy_variables(&self) -> &HashMap<String, String> {
        &self.proxy_variables
    }
}
