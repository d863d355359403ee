//! Which engine the Docker CLI would talk to: `DOCKER_HOST`, else its current context.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use serde_json::Value;
use sha2::{Digest, Sha256};
use turnout_net::dial::TlsFiles;
use turnout_registry::docker_config_directory;

use super::{Endpoint, EngineError};

/// The context that means the default socket, or `DOCKER_HOST`.
const DEFAULT: &str = "default";

impl Endpoint {
    /// The endpoint that the Docker CLI would use in this environment: `DOCKER_HOST`, else the context named by
    /// `DOCKER_CONTEXT` or by the CLI's settings, else the default socket. `DOCKER_TLS_VERIFY`, `DOCKER_TLS` and
    /// `DOCKER_CERT_PATH` count for `DOCKER_HOST` only: a context brings its own certificates.
    ///
    /// # Errors
    /// A context that does not exist or cannot be read, and an address that is not supported.
    pub fn of_environment(environment: &BTreeMap<String, String>) -> Result<Endpoint, EngineError> {
        let set = |name: &str| environment.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let directory = docker_config_directory(environment);
        // An address in the environment rules out every context.
        let host = set("DOCKER_HOST");
        if host.is_none() {
            let name = match (set("DOCKER_CONTEXT"), &directory) {
                (Some(name), _) => Some(name.to_owned()),
                (None, Some(directory)) => current(directory)?,
                (None, None) => None,
            };
            if let Some(name) = name.filter(|name| !name.is_empty() && name != DEFAULT) {
                let directory = directory.unwrap_or_default();
                return of_context(&directory, &name);
            }
        }
        let verify = set("DOCKER_TLS_VERIFY").is_some();
        let tls = match verify || set("DOCKER_TLS").is_some() {
            true => {
                let directory = set("DOCKER_CERT_PATH").map(PathBuf::from).or(directory).unwrap_or_default();
                // The authority is needed even where nothing is checked against it: so it is for the CLI.
                let files = TlsFiles { authority: Some(directory.join("ca.pem")), identity: None, verify };
                Some(with_identity(files, &directory)?)
            }
            false => None,
        };
        Endpoint::parse(host.unwrap_or_default(), tls)
    }
}

/// The context that the CLI's settings name.
fn current(directory: &Path) -> Result<Option<String>, EngineError> {
    let file = directory.join("config.json");
    let settings = match read(&file) {
        Ok(settings) => settings,
        // The same as none, for somebody who runs as another user.
        Err(Unread::Missing | Unread::Denied(_)) => return Ok(None),
        Err(Unread::Broken(reason)) => {
            return Err(EngineError::Endpoint {
                value: format!("(from {})", file.display()),
                reason: format!("the file is not JSON: {reason}; repair it, or set DOCKER_HOST"),
            });
        }
    };
    Ok(settings.get("currentContext").and_then(Value::as_str).map(str::to_owned))
}

fn of_context(directory: &Path, name: &str) -> Result<Endpoint, EngineError> {
    let refuse = |reason: String| EngineError::Endpoint { value: format!("(context {name})"), reason };
    // The CLI keeps each context under the digest of its name.
    let digest = hex::encode(Sha256::digest(name));
    let file = directory.join("contexts/meta").join(&digest).join("meta.json");
    let meta = read(&file).map_err(|unread| match unread {
        Unread::Missing => {
            refuse("there is no such Docker context; see `docker context ls`, or set DOCKER_HOST".into())
        }
        Unread::Denied(reason) | Unread::Broken(reason) => {
            refuse(format!("{}: {reason}; repair the context, or set DOCKER_HOST", file.display()))
        }
    })?;
    let docker = meta.get("Endpoints").and_then(|endpoints| endpoints.get("docker"));
    let Some(docker) = docker else {
        return Err(refuse(
            "it has no endpoint for Docker; choose another with DOCKER_CONTEXT, or set DOCKER_HOST".into(),
        ));
    };
    let host = docker.get("Host").and_then(Value::as_str).unwrap_or_default();
    let skip = docker.get("SkipTLSVerify").and_then(Value::as_bool).unwrap_or(false);
    let material = directory.join("contexts/tls").join(&digest).join("docker");
    let authority = Some(material.join("ca.pem")).filter(|file| file.exists());
    let files = with_identity(TlsFiles { authority, identity: None, verify: !skip }, &material)?;
    let tls = (skip || files.authority.is_some() || files.identity.is_some()).then_some(files);
    Endpoint::parse(host, tls).map_err(|error| match error {
        EngineError::Endpoint { value, reason } => {
            EngineError::Endpoint { value: format!("{value} (context {name})"), reason }
        }
        other => other,
    })
}

/// Adds our certificate and key where they are there.
fn with_identity(files: TlsFiles, directory: &Path) -> Result<TlsFiles, EngineError> {
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    let (have, lack) = match (certificate.exists(), key.exists()) {
        (true, true) => return Ok(TlsFiles { identity: Some((certificate, key)), ..files }),
        (false, false) => return Ok(files),
        (true, false) => (certificate, key),
        (false, true) => (key, certificate),
    };
    Err(EngineError::Endpoint {
        value: format!("(certificates in {})", directory.display()),
        reason: format!("{} is there without {}: put both there, or neither", have.display(), lack.display()),
    })
}

/// The CLI's settings; none where they are missing or cannot be read.
pub(super) fn settings_of_client(directory: &Path) -> Option<Value> {
    read(&directory.join("config.json")).ok()
}

enum Unread {
    Missing,
    Denied(String),
    Broken(String),
}

fn read(file: &Path) -> Result<Value, Unread> {
    let text = std::fs::read(file).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Unread::Missing,
        _ => Unread::Denied(error.to_string()),
    })?;
    serde_json::from_slice(&text).map_err(|error| Unread::Broken(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of the CLI's settings.
    struct Settings(tempfile::TempDir);

    impl Settings {
        fn new(config: &str) -> Settings {
            let settings = Settings(tempfile::tempdir().unwrap());
            std::fs::write(settings.0.path().join("config.json"), config).unwrap();
            settings
        }

        fn context(&self, name: &str, endpoint: &str, tls: &[&str]) {
            let digest = hex::encode(Sha256::digest(name));
            let folder = self.0.path().join("contexts/meta").join(&digest);
            std::fs::create_dir_all(&folder).unwrap();
            let meta = format!(r#"{{"Name":"{name}","Endpoints":{{"docker":{endpoint}}}}}"#);
            std::fs::write(folder.join("meta.json"), meta).unwrap();
            let folder = self.0.path().join("contexts/tls").join(&digest).join("docker");
            for file in tls {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(folder.join(file), "").unwrap();
            }
        }

        fn endpoint(&self, more: &[(&str, &str)]) -> Result<Endpoint, String> {
            let mut environment: BTreeMap<String, String> =
                more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            environment.insert("DOCKER_CONFIG".to_owned(), self.0.path().to_string_lossy().into_owned());
            Endpoint::of_environment(&environment).map_err(|error| error.to_string())
        }
    }

    #[test]
    fn the_environment_names_the_daemon_as_for_the_cli() {
        let settings = Settings::new(r#"{"currentContext":"near"}"#);
        settings.context("near", r#"{"Host":"unix:///run/near.sock"}"#, &[]);
        settings.context("far", r#"{"Host":"ssh://me@far"}"#, &[]);
        for (more, wanted) in [
            (&[][..], Some("unix:///run/near.sock")),
            (&[("DOCKER_HOST", "")], Some("unix:///run/near.sock")),
            (&[("DOCKER_CONTEXT", "default")], Some("unix:///var/run/docker.sock")),
            (&[("DOCKER_CONTEXT", "far")], Some("ssh://me@far")),
            (&[("DOCKER_CONTEXT", "none")], None),
            (&[("DOCKER_CONTEXT", "none"), ("DOCKER_HOST", "tcp://h:1")], Some("tcp://h:1")),
        ] {
            let got = settings.endpoint(more).ok().map(|e| e.to_string());
            assert_eq!(got.as_deref(), wanted, "{more:?}");
        }
        assert_eq!(Endpoint::of_environment(&BTreeMap::new()).unwrap(), Endpoint::default());
    }

    #[test]
    fn broken_settings_are_not_taken_for_none() {
        let settings = Settings::new("{");
        let error = settings.endpoint(&[]).unwrap_err();
        assert!(error.contains("config.json") && error.contains("DOCKER_HOST"), "{error}");
        assert!(settings.endpoint(&[("DOCKER_HOST", "tcp://h:1")]).is_ok());
        settings.context("odd", "null", &[]);
        let file = settings.0.path().join("contexts/meta").join(hex::encode(Sha256::digest("odd"))).join("meta.json");
        std::fs::write(file, r#"{"Endpoints":{}}"#).unwrap();
        let error = settings.endpoint(&[("DOCKER_CONTEXT", "odd")]).unwrap_err();
        assert!(error.contains("(context odd)") && error.contains("no endpoint"), "{error}");
    }

    #[test]
    fn certificates_come_from_the_environment_or_the_context() {
        let settings = Settings::new("{}");
        let home = settings.0.path();
        let files = |endpoint: Result<Endpoint, String>| match endpoint {
            Ok(Endpoint::Tls { files, .. }) => Some(files),
            Ok(_) => None,
            Err(error) => panic!("{error}"),
        };
        let host = ("DOCKER_HOST", "tcp://h:1");
        assert_eq!(files(settings.endpoint(&[host])), None);
        let checked = files(settings.endpoint(&[host, ("DOCKER_TLS_VERIFY", "0")])).unwrap();
        assert_eq!(checked, TlsFiles { authority: Some(home.join("ca.pem")), identity: None, verify: true });
        assert!(!files(settings.endpoint(&[host, ("DOCKER_TLS", "1")])).unwrap().verify);
        assert_eq!(settings.endpoint(&[("DOCKER_TLS_VERIFY", "1")]).unwrap().to_string(), "tcp://localhost:2376");

        let elsewhere = home.join("certs");
        std::fs::create_dir(&elsewhere).unwrap();
        std::fs::write(elsewhere.join("cert.pem"), "").unwrap();
        let path = elsewhere.to_string_lossy().into_owned();
        let given = [host, ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", path.as_str())];
        let error = settings.endpoint(&given).unwrap_err();
        assert!(error.contains("cert.pem") && error.contains("key.pem"), "{error}");
        std::fs::write(elsewhere.join("key.pem"), "").unwrap();
        let checked = files(settings.endpoint(&given)).unwrap();
        assert_eq!(checked.identity, Some((elsewhere.join("cert.pem"), elsewhere.join("key.pem"))));

        settings.context("sure", r#"{"Host":"tcp://h:1","SkipTLSVerify":false}"#, &["ca.pem", "cert.pem", "key.pem"]);
        settings.context("lax", r#"{"Host":"tcp://h:1","SkipTLSVerify":true}"#, &[]);
        settings.context("bare", r#"{"Host":"tcp://h:1"}"#, &[]);
        let context = |name| files(settings.endpoint(&[("DOCKER_CONTEXT", name), ("DOCKER_TLS_VERIFY", "1")]));
        let sure = context("sure").unwrap();
        assert!(sure.verify && sure.authority.is_some() && sure.identity.is_some());
        assert_eq!(context("lax").unwrap(), TlsFiles::default());
        assert_eq!(context("bare"), None);
    }
}
