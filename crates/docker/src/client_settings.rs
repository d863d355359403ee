//! Settings of Docker's client for requests to the engine: `DOCKER_API_VERSION`, and headers for a proxy in front of
//! it.

use std::{collections::BTreeMap, time::Duration};

use hyper::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
};
use serde_json::Value;
use turnout_registry::docker_config_directory;

use super::{api_version::ApiVersion, context::settings_of_client, error::EngineError};

/// Headers that belong to the request itself; Docker's client does not let settings change them either.
const OURS: [HeaderName; 6] = [
    header::HOST,
    header::USER_AGENT,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::CONNECTION,
];

/// What the environment and the settings of Docker's client say about the connection.
#[derive(Debug, Clone, Default)]
pub struct ClientSettings {
    /// The version to speak, whatever the engine could.
    pub version: Option<ApiVersion>,
    /// Headers for each request. Their values are secrets.
    pub headers: HeaderMap,
    /// How long the engine may take for one call; the time a container has for its end comes on top. None: two minutes.
    pub call_timeout: Option<Duration>,
}

impl ClientSettings {
    /// `DOCKER_API_VERSION`; `DOCKER_CUSTOM_HEADERS`, else `HttpHeaders` of `config.json`. Settings that cannot be read
    /// have none, as for proxies.
    ///
    /// # Errors
    /// One of them is not what it should be.
    pub fn of_environment(environment: &BTreeMap<String, String>) -> Result<ClientSettings, EngineError> {
        let set = |name: &str| environment.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let version = set("DOCKER_API_VERSION").map(version).transpose()?;
        if let Some(text) = set("DOCKER_CUSTOM_HEADERS") {
            let pairs = pairs(text).map_err(|why| refuse("DOCKER_CUSTOM_HEADERS", why))?;
            return Ok(ClientSettings {
                version,
                headers: headers("DOCKER_CUSTOM_HEADERS", pairs)?,
                call_timeout: None,
            });
        }
        let directory = docker_config_directory(environment);
        let settings = directory.as_deref().and_then(settings_of_client).unwrap_or_default();
        let place = "HttpHeaders of config.json";
        let pairs = match settings.get("HttpHeaders") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Object(object)) => {
                let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
                let pairs: Option<Vec<_>> = object.iter().map(text).collect();
                pairs.ok_or_else(|| refuse(place, "a value is not text".to_owned()))?
            }
            Some(_) => return Err(refuse(place, "write an object of names and texts".to_owned())),
        };
        Ok(ClientSettings { version, headers: headers(place, pairs)?, call_timeout: None })
    }

    /// Adds the headers to a request, which keeps its own.
    pub(super) fn dress(&self, request: &mut HeaderMap) {
        for (name, value) in &self.headers {
            if !request.contains_key(name) {
                request.insert(name.clone(), value.clone());
            }
        }
    }
}

fn refuse(place: &str, reason: String) -> EngineError {
    EngineError::Settings { place: place.to_owned(), reason }
}

fn version(text: &str) -> Result<ApiVersion, EngineError> {
    let parts = text.strip_prefix('v').unwrap_or(text).split_once('.');
    let read =
        parts.and_then(|(major, minor)| Some(ApiVersion { major: major.parse().ok()?, minor: minor.parse().ok()? }));
    read.ok_or_else(|| refuse("DOCKER_API_VERSION", format!("{text:?} is no version, write 1.41 for instance")))
}

fn headers(place: &str, pairs: Vec<(String, String)>) -> Result<HeaderMap, EngineError> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        // The value may be a secret and is not shown.
        let header: HeaderName =
            name.trim().parse().map_err(|_| refuse(place, format!("{name:?} is no name of a header")))?;
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| refuse(place, format!("the value of {name} has characters that no header can have")))?;
        value.set_sensitive(true);
        if !OURS.contains(&header) {
            headers.insert(header, value);
        }
    }
    Ok(headers)
}

/// `name=value,"other=a,b"`: one line of comma-separated values.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let broken = || "write NAME=VALUE,NAME=VALUE; a pair with a comma in it goes in double quotes".to_owned();
    let mut pairs = Vec::new();
    let mut rest = Some(text.lines().next().unwrap_or_default());
    while let Some(field) = rest {
        let (pair, after) = match field.strip_prefix('"') {
            Some(quoted) => {
                let (pair, after) = unquoted(quoted).ok_or_else(broken)?;
                match after.strip_prefix(',') {
                    Some(next) => (pair, Some(next)),
                    None if after.is_empty() => (pair, None),
                    None => return Err(broken()),
                }
            }
            None => {
                let (pair, after) = field.split_once(',').map_or((field, None), |(pair, after)| (pair, Some(after)));
                (pair.to_owned(), after)
            }
        };
        let bare = !field.starts_with('"');
        let (name, value) = pair.split_once('=').filter(|(name, _)| !name.trim().is_empty()).ok_or_else(broken)?;
        if bare && pair.contains('"') {
            return Err(broken());
        }
        pairs.push((name.trim().to_owned(), value.to_owned()));
        rest = after;
    }
    Ok(pairs)
}

/// The text up to the closing quote, and what comes after it; two quotes stand for one.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        value.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                value.push('"');
                rest = more;
            }
            None => return Some((value, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(config: &str, more: &[(&str, &str)]) -> Result<ClientSettings, String> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.json"), config).unwrap();
        let mut environment: BTreeMap<String, String> =
            more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        environment.insert("DOCKER_CONFIG".to_owned(), directory.path().to_string_lossy().into_owned());
        ClientSettings::of_environment(&environment).map_err(|error| error.to_string())
    }

    fn shown(headers: &HeaderMap) -> Vec<(&str, &str)> {
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
    }

    #[test]
    fn headers_come_from_the_environment_or_the_settings() {
        let config = r#"{"HttpHeaders":{"X-Key":"hunter2","host":"evil","User-Agent":"me"},"auths":{}}"#;
        let found = settings(config, &[]).unwrap();
        assert_eq!(shown(&found.headers), [("x-key", "hunter2")]);
        assert!(!format!("{found:?}").contains("hunter2"));
        let env = [("DOCKER_CUSTOM_HEADERS", "one=1, two =a b ,\"three=x,\"\"y\"\"\",four=,one=2=3")];
        let found = settings(config, &env).unwrap();
        assert_eq!(shown(&found.headers), [("one", "2=3"), ("two", "a b "), ("three", "x,\"y\""), ("four", "")]);
        for config in ["{}", r#"{"HttpHeaders":null}"#, "broken"] {
            assert!(settings(config, &[]).unwrap().headers.is_empty(), "{config}");
        }
        let mut own = HeaderMap::new();
        own.insert("one", HeaderValue::from_static("mine"));
        found.dress(&mut own);
        assert_eq!((own.len(), &own["one"]), (4, &HeaderValue::from_static("mine")));
    }

    #[test]
    fn versions_are_read() {
        let version = |text: &str| settings("{}", &[("DOCKER_API_VERSION", text)]).map(|found| found.version);
        assert_eq!(version(""), Ok(None));
        assert_eq!(version("1.40"), Ok(Some(ApiVersion::v1(40))));
        assert_eq!(version("v1.40"), Ok(Some(ApiVersion::v1(40))));
        for text in ["1", "x", "1.x", "1.40 ", "1.40.2"] {
            let error = version(text).unwrap_err();
            assert!(error.starts_with("DOCKER_API_VERSION: ") && error.contains("is no version"), "{error}");
        }
    }

    #[test]
    fn mistakes_are_named_without_the_values() {
        for (config, headers, part) in [
            (r#"{"HttpHeaders":["x"]}"#, "", "HttpHeaders of config.json: write an object"),
            (r#"{"HttpHeaders":{"x":{"a":"hunter2"}}}"#, "", "a value is not text"),
            (r#"{"HttpHeaders":{"a b":"hunter2"}}"#, "", "\"a b\" is no name of a header"),
            (r#"{"HttpHeaders":{"a":"hunter2\n"}}"#, "", "the value of a has characters"),
            ("{}", "hunter2", "DOCKER_CUSTOM_HEADERS: write NAME=VALUE"),
            ("{}", "a=1,", "write NAME=VALUE"),
            ("{}", "=hunter2", "write NAME=VALUE"),
            ("{}", "a=hun\"ter2", "write NAME=VALUE"),
            ("{}", "\"a=hunter2", "write NAME=VALUE"),
            ("{}", "\"a=hunter2\"x", "write NAME=VALUE"),
        ] {
            let error = settings(config, &[("DOCKER_CUSTOM_HEADERS", headers)]).unwrap_err();
            assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
        }
    }
}
