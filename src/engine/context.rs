//! Which daemon the Docker CLI would talk to: `DOCKER_HOST`, else its current context.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Endpoint, EngineError, image::docker_config_directory};

/// The context that means the default socket.
const DEFAULT: &str = "default";

impl Endpoint {
    /// The endpoint that the Docker CLI would use in this environment: `DOCKER_HOST`, else the context named by
    /// `DOCKER_CONTEXT` or by the CLI's settings, else the default socket.
    ///
    /// # Errors
    /// A context that does not exist or cannot be read, and an address that is not supported.
    pub fn of_environment(environment: &BTreeMap<String, String>) -> Result<Endpoint, EngineError> {
        let set = |name: &str| environment.get(name).map(String::as_str).filter(|value| !value.is_empty());
        if let Some(host) = set("DOCKER_HOST") {
            return Endpoint::from_host(Some(host));
        }
        let Some(directory) = docker_config_directory(environment) else { return Ok(Endpoint::default()) };
        let current = || {
            let settings = read(&directory.join("config.json"))?;
            settings.get("currentContext").and_then(Value::as_str).map(str::to_owned)
        };
        match set("DOCKER_CONTEXT").map(str::to_owned).or_else(current) {
            Some(name) if !name.is_empty() && name != DEFAULT => of_context(&directory, &name),
            _ => Ok(Endpoint::default()),
        }
    }
}

fn of_context(directory: &Path, name: &str) -> Result<Endpoint, EngineError> {
    let refuse = |reason: String| EngineError::Endpoint { value: format!("(context {name})"), reason };
    // The CLI keeps each context under the digest of its name.
    let file = directory.join("contexts/meta").join(hex::encode(Sha256::digest(name))).join("meta.json");
    let meta = read(&file).ok_or_else(|| {
        refuse("there is no such Docker context; see `docker context ls`, or set DOCKER_HOST".to_owned())
    })?;
    let docker = meta.get("Endpoints").and_then(|e| e.get("docker"));
    let host = docker.and_then(|d| d.get("Host")).and_then(Value::as_str).unwrap_or_default();
    let tls = directory.join("contexts/tls").join(hex::encode(Sha256::digest(name))).is_dir();
    if tls {
        return Err(refuse("it uses TLS, which is not supported; forward its socket and set DOCKER_HOST".to_owned()));
    }
    Endpoint::from_host(Some(host))
}

/// A JSON file; `None` when it is absent or no JSON.
fn read(file: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_the_daemon_as_for_the_cli() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let folder = scratch.path().join("contexts/meta").join(hex::encode(Sha256::digest(name)));
            std::fs::create_dir_all(&folder).unwrap();
            folder.join("meta.json")
        };
        std::fs::write(at("near"), r#"{"Name":"near","Endpoints":{"docker":{"Host":"unix:///run/near.sock"}}}"#)
            .unwrap();
        std::fs::write(at("far"), r#"{"Name":"far","Endpoints":{"docker":{"Host":"ssh://me@far"}}}"#).unwrap();
        std::fs::write(scratch.path().join("config.json"), r#"{"currentContext":"near"}"#).unwrap();
        let config = scratch.path().to_string_lossy().into_owned();
        for (more, wanted) in [
            (vec![], Some("unix:///run/near.sock")),
            (vec![("DOCKER_CONTEXT", "default")], Some("unix:///var/run/docker.sock")),
            (vec![("DOCKER_CONTEXT", "far")], None),
            (vec![("DOCKER_CONTEXT", "none")], None),
            (vec![("DOCKER_CONTEXT", "far"), ("DOCKER_HOST", "tcp://h:1")], Some("tcp://h:1")),
        ] {
            let mut environment: BTreeMap<String, String> =
                more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            environment.insert("DOCKER_CONFIG".to_owned(), config.clone());
            let got = Endpoint::of_environment(&environment).ok().map(|e| e.to_string());
            assert_eq!(got.as_deref(), wanted, "{more:?}");
        }
        assert_eq!(Endpoint::of_environment(&BTreeMap::new()).unwrap(), Endpoint::default());
    }
}
