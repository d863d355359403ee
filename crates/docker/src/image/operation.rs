//! What every operation on an image is given, and what it gives.

use std::{collections::BTreeMap, time::Duration};

use bollard::auth::DockerCredentials;
use tokio_util::sync::CancellationToken;
use turnout_compose::reference::Reference;
use turnout_registry::{Credentials, RegistryAuth, hub::HUB_KEY};
use turnout_report::Reporter;

use super::{builder::BuilderChoice, request::BuildOptions};

/// What accompanies every image operation.
#[derive(Clone, Copy)]
pub struct ImageContext<'a> {
    /// Takes progress and output.
    pub reporter: &'a dyn Reporter,
    /// Stops the operation, on the engine too.
    pub cancel: &'a CancellationToken,
    /// Which builder to use.
    pub builder: BuilderChoice,
    /// A build that takes longer is stopped.
    pub build_timeout: Duration,
    /// A pull that takes longer, retries included, is stopped.
    pub pull_timeout: Duration,
    /// The project environment: build arguments without a value and `environment:` secrets are read from it.
    pub environment: &'a BTreeMap<String, String>,
    /// What the registries are logged in to with.
    pub credentials: &'a Credentials,
    /// How builds differ from those of an `up`.
    pub options: BuildOptions,
    /// Labels that built images get beside the project's own.
    pub marks: &'a BTreeMap<String, String>,
}

/// An image the engine holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageId(pub String);

/// Key of a reference's registry in the Docker client's settings.
pub fn credentials_key(reference: &Reference) -> &str {
    if reference.host == "docker.io" { HUB_KEY } else { &reference.host }
}

/// Credentials as the client library wants them.
pub fn for_engine(auth: RegistryAuth) -> DockerCredentials {
    let set = |text: String| (!text.is_empty()).then_some(text);
    let RegistryAuth { username, password, identity_token, registry_token, server_address } = auth;
    DockerCredentials {
        username: set(username),
        password: set(password),
        identitytoken: set(identity_token),
        registrytoken: set(registry_token),
        serveraddress: set(server_address),
        ..DockerCredentials::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hub_has_a_key_of_its_own() {
        assert_eq!(credentials_key(&Reference::parse("nginx").unwrap()), HUB_KEY);
        assert_eq!(credentials_key(&Reference::parse("r.example:5000/a").unwrap()), "r.example:5000");
    }
}
