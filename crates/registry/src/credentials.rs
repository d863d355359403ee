//! Registry credentials: the Docker client's `config.json` and its credential helpers.
//!
//! The file is read at every use, so that a `docker login` takes effect without a restart.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

/// A helper that takes longer is killed; it may be waiting for somebody at a keyboard.
const HELPER_LIMIT: Duration = Duration::from_secs(30);
/// Largest `config.json` that is read, in bytes.
const MAX_CONFIG: u64 = 4 * 1024 * 1024;

/// Credentials could not be read. The text says which, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("registry credentials: {0}")]
pub struct CredentialsError(pub String);

/// The directory of the Docker client's settings: `$DOCKER_CONFIG`, else `~/.docker`.
pub fn docker_config_directory(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let set = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    set("DOCKER_CONFIG").map(PathBuf::from).or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".docker")))
}

/// Where credentials come from.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    directory: Option<PathBuf>,
}

/// Credentials for one registry.
#[derive(Clone, PartialEq, Eq, Default, Serialize)]
pub struct RegistryAuth {
    /// Empty where a token is used in its place.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Empty where a token is used in its place. Never shown: `Debug` leaves it out.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub password: String,
    /// Identity token, instead of a password.
    #[serde(rename = "identitytoken", skip_serializing_if = "String::is_empty")]
    pub identity_token: String,
    /// Bearer token passed to the registry as it is.
    #[serde(rename = "registrytoken", skip_serializing_if = "String::is_empty")]
    pub registry_token: String,
    /// The registry's address, under which its login is kept.
    #[serde(rename = "serveraddress")]
    pub server_address: String,
}

impl fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryAuth").field("server_address", &self.server_address).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Credentials from the settings in this directory (usually `~/.docker`); `None` = no credentials at all.
    pub fn in_directory(directory: Option<PathBuf>) -> Self {
        Self { directory }
    }

    /// Credentials for one registry (`host[:port]`, or [`super::hub::HUB_KEY`]); `None` when there are none.
    pub async fn for_registry(&self, key: &str) -> Result<Option<RegistryAuth>, CredentialsError> {
        self.read().await?.find(key).await
    }

    /// Everything there is, as the classic builder wants it in its `X-Registry-Config` header (URL-safe base64);
    /// `None` when there are none. A helper that fails is left out, with its error: the build may not need it.
    pub async fn registry_config(&self) -> Result<(Option<String>, Vec<String>), CredentialsError> {
        let config = self.read().await?;
        let mut hosts: BTreeSet<String> = config.auths.keys().chain(config.helpers.keys()).cloned().collect();
        let mut problems = Vec::new();
        if let Some(store) = &config.store {
            match helper(store, "list", "").await {
                Ok(Some(text)) => {
                    let listed: BTreeMap<String, serde::de::IgnoredAny> =
                        serde_json::from_str(&text).unwrap_or_default();
                    hosts.extend(listed.into_keys());
                }
                Ok(None) => {}
                Err(error) => problems.push(error.to_string()),
            }
        }
        let mut all = BTreeMap::new();
        for host in hosts {
            match config.find(&host).await {
                Ok(Some(auth)) => {
                    all.insert(host, auth);
                }
                Ok(None) => {}
                Err(error) => problems.push(error.to_string()),
            }
        }
        if all.is_empty() {
            return Ok((None, problems));
        }
        let json = serde_json::to_vec(&all).map_err(|e| CredentialsError(e.to_string()))?;
        Ok((Some(URL_SAFE.encode(json)), problems))
    }

    async fn read(&self) -> Result<ClientConfig, CredentialsError> {
        let Some(directory) = &self.directory else { return Ok(ClientConfig::default()) };
        let path = directory.join("config.json");
        let refuse = |problem: String| CredentialsError(format!("{}: {problem}", path.display()));
        match tokio::fs::metadata(&path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ClientConfig::default()),
            Err(error) => return Err(refuse(format!("{error}: let this user read it, or set DOCKER_CONFIG"))),
            Ok(meta) if meta.len() > MAX_CONFIG => return Err(refuse("is too large to be a settings file".into())),
            Ok(_) => {}
        }
        let text = tokio::fs::read(&path)
            .await
            .map_err(|error| refuse(format!("{error}: let this user read it, or set DOCKER_CONFIG")))?;
        // The parser's message can quote the text, which holds passwords: only the place is told.
        serde_json::from_slice(&text)
            .map_err(|e| refuse(format!("is not valid JSON at line {} column {}", e.line(), e.column())))
    }
}

/// `config.json`, what of it concerns registries.
#[derive(Deserialize, Default)]
struct ClientConfig {
    #[serde(default)]
    auths: BTreeMap<String, StoredAuth>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
struct StoredAuth {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default, rename = "identitytoken")]
    identity_token: String,
    #[serde(default, rename = "registrytoken")]
    registry_token: String,
}

impl ClientConfig {
    async fn find(&self, key: &str) -> Result<Option<RegistryAuth>, CredentialsError> {
        let program = self.helpers.get(key).or(self.store.as_ref()).filter(|name| !name.is_empty());
        if let Some(program) = program {
            // A host without a helper of its own may still stand in `auths`, where old logins live.
            if let Some(auth) = from_helper(program, key).await? {
                return Ok(Some(auth));
            }
        }
        let stored = self
            .auths
            .get(key)
            .or_else(|| self.auths.iter().find(|(stored, _)| hostname(stored) == hostname(key)).map(|(_, auth)| auth));
        stored.map(|stored| stored.resolve(key)).transpose().map(Option::flatten)
    }
}

impl StoredAuth {
    fn resolve(&self, key: &str) -> Result<Option<RegistryAuth>, CredentialsError> {
        let mut auth = RegistryAuth {
            username: self.username.clone(),
            password: self.password.clone(),
            identity_token: self.identity_token.clone(),
            registry_token: self.registry_token.clone(),
            server_address: key.to_owned(),
        };
        if !self.auth.is_empty() {
            let decoded = STANDARD.decode(self.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let Some((user, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) else {
                return Err(CredentialsError(format!(
                    "the entry of {key} in config.json is damaged: run `docker login {key}` again"
                )));
            };
            auth.username = user.to_owned();
            auth.password = password.trim_end_matches('\0').to_owned();
        }
        if !auth.identity_token.is_empty() {
            auth.password.clear();
        }
        let nothing = auth.username.is_empty() && auth.identity_token.is_empty() && auth.registry_token.is_empty();
        Ok((!nothing).then_some(auth))
    }
}

/// Host of a key, which old clients wrote as an address.
fn hostname(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    rest.split('/').next().unwrap_or(rest)
}

#[derive(Deserialize)]
struct HelperAnswer {
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Secret")]
    secret: String,
}

async fn from_helper(program: &str, key: &str) -> Result<Option<RegistryAuth>, CredentialsError> {
    let Some(text) = helper(program, "get", key).await? else { return Ok(None) };
    let answer: HelperAnswer = serde_json::from_str(&text).map_err(|_| {
        CredentialsError(format!("docker-credential-{program} answered something that is not credentials"))
    })?;
    let mut auth = RegistryAuth { server_address: key.to_owned(), ..RegistryAuth::default() };
    if answer.username == "<token>" {
        auth.identity_token = answer.secret;
    } else {
        auth.username = answer.username;
        auth.password = answer.secret;
    }
    Ok(Some(auth))
}

/// Runs a credential helper; `None` when it knows nothing of the host.
async fn helper(program: &str, action: &str, input: &str) -> Result<Option<String>, CredentialsError> {
    let name = format!("docker-credential-{program}");
    let refuse = |problem: String| CredentialsError(format!("{name}: {problem}"));
    if !program.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
        return Err(refuse("is not a helper's name".into()));
    }
    let mut child = tokio::process::Command::new(&name)
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| refuse(format!("{error}: install it, or remove it from config.json")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input says so with its exit code.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = tokio::time::timeout(HELPER_LIMIT, child.wait_with_output())
        .await
        .map_err(|_| refuse(format!("did not answer within {} s", HELPER_LIMIT.as_secs())))?
        .map_err(|error| refuse(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() {
        return Ok(Some(text));
    }
    if text.contains("credentials not found") {
        return Ok(None);
    }
    // What a helper prints when it fails is a message, never a secret, by the helpers' protocol.
    Err(refuse(if text.is_empty() { output.status.to_string() } else { text }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{HUB_KEY, key_of};

    fn config(json: &str) -> ClientConfig {
        serde_json::from_str(json).unwrap()
    }

    #[tokio::test]
    async fn stored_entries_are_found_by_key_or_host() {
        let both = config(
            r#"{"auths":{"https://r.example/v1/":{"auth":"dTpwOjI="},"h:5000":{"username":"a","password":"b"},
                "https://index.docker.io/v1/":{"auth":"aHViOmh1Yg==","identitytoken":"tok"},"empty":{}},"unknown":1}"#,
        );
        let one = both.find("r.example").await.unwrap().unwrap();
        assert_eq!((one.username.as_str(), one.password.as_str()), ("u", "p:2"));
        assert_eq!(both.find("h:5000").await.unwrap().unwrap().username, "a");
        let hub = both.find(HUB_KEY).await.unwrap().unwrap();
        assert_eq!((hub.identity_token.as_str(), hub.password.as_str()), ("tok", ""));
        assert_eq!(both.find("empty").await.unwrap(), None);
        assert_eq!(both.find("other").await.unwrap(), None);
        assert!(config(r#"{"auths":{"x":{"auth":"!!"}}}"#).find("x").await.is_err());
    }

    #[tokio::test]
    async fn a_helper_with_a_path_in_its_name_is_refused() {
        let error = config(r#"{"credHelpers":{"x":"../../bin/sh"}}"#).find("x").await.unwrap_err();
        assert!(error.to_string().contains("not a helper's name"), "{error}");
    }

    #[test]
    fn the_hub_has_a_key_of_its_own() {
        for host in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
            assert_eq!(key_of(host), HUB_KEY);
        }
        assert_eq!(key_of("r.example:5000"), "r.example:5000");
    }

    #[test]
    fn secrets_are_not_printed() {
        let auth = RegistryAuth { username: "user".into(), password: "hunter2".into(), ..RegistryAuth::default() };
        assert!(!format!("{auth:?}").contains("hunter2"));
    }
}
