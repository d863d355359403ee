//! `use_api_socket`: the engine's socket in a container, with the user's credentials. No engine knows this; the command
//! line makes a mount, a config and a variable of it, as `docker run --use-api-socket` does.

use std::collections::BTreeMap;

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE};

use super::session::Session;
use turnout_compose::model::{FileObject, FileReference, Mount, Project};

const SOCKET: &str = "/var/run/docker.sock";
const DIRECTORY: &str = "/run/secrets/docker";
/// Name that no file can give to a config of its own.
const CONFIG: &str = "#apisocket";

/// Changes the services that ask for it.
///
/// # Errors
/// Credentials that cannot be read.
pub(super) async fn hand_in(session: &Session, project: &mut Project) -> anyhow::Result<()> {
    if !project.services.values().any(|service| service.use_api_socket) {
        return Ok(());
    }
    let (stored, problems) = session.credentials().registry_config().await?;
    if let Some(problem) = problems.first() {
        anyhow::bail!("use_api_socket: resolving credentials failed: {problem}");
    }
    let content = docker_config(stored.as_deref())?;
    project.configs.insert(CONFIG.to_owned(), FileObject { content, ..FileObject::default() });
    for service in project.services.values_mut().filter(|service| service.use_api_socket) {
        service.volumes.push(Mount {
            r#type: "bind".to_owned(),
            source: SOCKET.to_owned(),
            target: SOCKET.to_owned(),
            ..Mount::default()
        });
        // Whoever sets it knows better.
        service.environment.entry("DOCKER_CONFIG".to_owned()).or_insert_with(|| Some(DIRECTORY.to_owned()));
        service.configs.push(FileReference {
            source: CONFIG.to_owned(),
            target: format!("{DIRECTORY}/config.json"),
            ..FileReference::default()
        });
    }
    Ok(())
}

/// Credentials in the form of the Docker command line's settings.
fn docker_config(stored: Option<&str>) -> anyhow::Result<String> {
    let mut auths = BTreeMap::new();
    if let Some(stored) = stored {
        let bytes = URL_SAFE.decode(stored).context("credentials")?;
        let all: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_slice(&bytes).context("credentials")?;
        for (host, auth) in all {
            let text = |key: &str| auth.get(key).map(String::as_str).unwrap_or_default();
            let mut entry = BTreeMap::new();
            if !text("username").is_empty() {
                entry.insert("auth", STANDARD.encode(format!("{}:{}", text("username"), text("password"))));
            }
            for token in ["identitytoken", "registrytoken"] {
                if !text(token).is_empty() {
                    entry.insert(token, text(token).to_owned());
                }
            }
            auths.insert(host, entry);
        }
    }
    Ok(format!("{:#}", serde_json::json!({ "auths": auths })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_take_the_form_of_the_clients_settings() {
        let stored = URL_SAFE.encode(r#"{"r.example":{"username":"u","password":"p","serveraddress":"r.example"}}"#);
        let config: serde_json::Value = serde_json::from_str(&docker_config(Some(&stored)).unwrap()).unwrap();
        assert_eq!(config, serde_json::json!({ "auths": { "r.example": { "auth": "dTpw" } } }));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&docker_config(None).unwrap()).unwrap(),
            serde_json::json!({ "auths": {} })
        );
    }
}
