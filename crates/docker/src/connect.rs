//! Connects to the engine, and agrees with it on a version of its API.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use bollard::{API_DEFAULT_VERSION, BollardRequest, ClientVersion, Docker};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Response, body::Incoming};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};

use super::{
    api_version::ApiVersion,
    client_settings::ClientSettings,
    dial::Connector,
    endpoint::Endpoint,
    engine::{Engine, LATER},
    error::EngineError,
    image::wire::{self, Connection},
    learned::Learned,
    unreachable::unreachable,
};

/// Longest wait for an answer where nobody sets another. Creating a container from a large image on a slow disk takes
/// seconds; builds, pulls and stops with a long grace set their own.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest wait for the daemon's first sign of life.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The same through SSH, whose own steps (names, keys, agents, jump hosts) are the server's pace.
const SSH_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest answer to a ping that is read, in bytes; it is two.
const MAX_PING: usize = 4096;
/// How long a connection is kept for the next request where opening one is dear (TLS, SSH). Shorter than what proxies
/// before an engine allow, so that no request meets a connection that is being closed.
const KEEP: Duration = Duration::from_secs(5);
/// Credentials travel in these headers as base64; see [`url_safe_credentials`].
const CREDENTIAL_HEADERS: [&str; 2] = ["x-registry-auth", "x-registry-config"];

impl Engine {
    /// Connects and agrees on the newest version both sides speak.
    ///
    /// # Errors
    /// [`EngineError::Unreachable`], with what to do about it.
    pub async fn connect(endpoint: &Endpoint) -> Result<Engine, EngineError> {
        Engine::connect_with(endpoint, ClientSettings::default()).await
    }

    /// Connects as the user wants it: a version that is given is spoken without asking.
    ///
    /// # Errors
    /// As [`Engine::connect`]; or the engine does not know the version.
    pub async fn connect_with(endpoint: &Endpoint, settings: ClientSettings) -> Result<Engine, EngineError> {
        let unreachable = |error: bollard::errors::Error| unreachable(endpoint, &error);
        let call_timeout = settings.call_timeout.unwrap_or(CALL_TIMEOUT);
        let seconds = call_timeout.as_secs();
        // The first request must be the negotiation: a request with a newer version than the daemon's is refused.
        let (told, docker) = match endpoint {
            Endpoint::Unix(path) => {
                let told = newest_of(endpoint, ping(endpoint, &settings), &settings).await?;
                let version = told.as_ref().unwrap_or(API_DEFAULT_VERSION);
                (told, Docker::connect_with_unix(&path.to_string_lossy(), seconds, version))
            }
            Endpoint::Tcp(address) => {
                let told = newest_of(endpoint, ping(endpoint, &settings), &settings).await?;
                let version = told.as_ref().unwrap_or(API_DEFAULT_VERSION);
                (told, Docker::connect_with_http(address, seconds, version))
            }
            Endpoint::Tls { .. } | Endpoint::Ssh(_) => {
                let client = Client::builder(TokioExecutor::new())
                    .pool_timer(TokioTimer::new())
                    .pool_idle_timeout(KEEP)
                    .build(Connector(endpoint.clone()));
                // The name goes into the header that HTTP demands, and nowhere else.
                let first = hyper::Request::get("http://docker/_ping").body(bollard::body_full(Bytes::new()));
                let ping = async {
                    let mut first = first.map_err(io::Error::other)?;
                    settings.dress(first.headers_mut());
                    Ok((client.request(first).await.map_err(io::Error::other)?, None))
                };
                let told = newest_of(endpoint, ping, &settings);
                let told = told.await?;
                let version = told.as_ref().unwrap_or(API_DEFAULT_VERSION);
                let send = move |request: BollardRequest| {
                    let answer = client.request(request);
                    async { answer.await.map_err(bollard::errors::Error::from) }
                };
                (told, Docker::connect_with_custom_transport(send, Some("http://docker"), seconds, version))
            }
        };
        let settings = Arc::new(settings);
        let dressed = Arc::clone(&settings);
        let spoken = told.as_ref().map(|told| ApiVersion { major: told.major_version, minor: told.minor_version });
        let docker = docker.map_err(unreachable)?.with_request_modifier(move |mut request| {
            dressed.dress(request.headers_mut());
            // The client library leaves it out of its addresses, and a newer engine would answer in a way of its own.
            if let Some(version) = spoken {
                in_version(&mut request, version);
            }
            url_safe_credentials(request)
        });
        let docker = match told {
            Some(_) => docker,
            None => docker.with_timeout(CONNECT_TIMEOUT).negotiate_version().await.map_err(unreachable)?,
        };
        let agreed = docker.client_version();
        Ok(Engine {
            docker: docker.with_timeout(call_timeout.saturating_add(LATER)),
            call_timeout,
            version: ApiVersion { major: agreed.major_version, minor: agreed.minor_version },
            endpoint: Arc::new(endpoint.clone()),
            proxy_variables: Arc::new(HashMap::new()),
            settings,
            learned: Learned::default(),
        })
    }
}

/// A ping on a connection of its own.
async fn ping(endpoint: &Endpoint, settings: &ClientSettings) -> io::Result<(Response<Incoming>, Option<Connection>)> {
    let request = hyper::Request::get("/_ping").header(hyper::header::HOST, "docker").body(wire::empty());
    let mut request = request.map_err(io::Error::other)?;
    settings.dress(request.headers_mut());
    let answer = wire::send(endpoint, request).await?;
    Ok((answer.response, Some(answer.connection)))
}

/// The version that is asked for, or the newest that both sides speak, from the header of a ping; `None` if the daemon does not say. The client
/// library asks for `/version`, for which the daemon runs several programs: that takes longer than all else together.
async fn newest_of(
    endpoint: &Endpoint,
    ping: impl Future<Output = io::Result<(Response<Incoming>, Option<Connection>)>>,
    settings: &ClientSettings,
) -> Result<Option<ClientVersion>, EngineError> {
    let patience = if matches!(endpoint, Endpoint::Ssh(_)) { SSH_TIMEOUT } else { CONNECT_TIMEOUT };
    let patience = patience.min(settings.call_timeout.unwrap_or(patience));
    let answer = tokio::time::timeout(patience, ping).await;
    let (response, _connection) = answer
        .map_err(|_| unreachable(endpoint, &io::Error::from(io::ErrorKind::TimedOut)))?
        .map_err(|error| unreachable(endpoint, &error))?;
    let status = response.status();
    if !status.is_success() {
        // For instance an engine that wants TLS, or a proxy before one that is down.
        let said = tokio::time::timeout(patience, wire::error_message(response)).await.unwrap_or_default();
        return Err(unreachable(endpoint, &io::Error::other(format!("it answered {status}: {said}"))));
    }
    let header = response.headers().get("api-version").and_then(|value| value.to_str().ok());
    let parts = header.and_then(|text| text.split_once('.'));
    let told = parts.and_then(|(major, minor)| Some((major.parse::<usize>().ok()?, minor.parse::<usize>().ok()?)));
    // Read to its end, so that the connection can serve the next request.
    let rest = http_body_util::Limited::new(response.into_body(), MAX_PING).collect();
    if tokio::time::timeout(patience, rest).await.is_err() {
        return Err(unreachable(endpoint, &io::Error::from(io::ErrorKind::TimedOut)));
    }
    if let Some(wanted) = settings.version {
        let (major_version, minor_version) = (wanted.major, wanted.minor);
        return match told {
            Some(newest) if newest < (major_version, minor_version) => Err(EngineError::Settings {
                place: format!("DOCKER_API_VERSION={wanted}"),
                reason: format!(
                    "the engine at {endpoint} speaks nothing newer than {}.{}; give that, or unset the variable",
                    newest.0, newest.1
                ),
            }),
            _ => Ok(Some(ClientVersion { major_version, minor_version })),
        };
    }
    let own = (API_DEFAULT_VERSION.major_version, API_DEFAULT_VERSION.minor_version);
    Ok(told.map(|told| {
        let (major_version, minor_version) = told.min(own);
        ClientVersion { major_version, minor_version }
    }))
}

/// Puts the version before the path. The client library loses the one it was given, and an engine that is asked without
/// a version takes its newest.
fn in_version(request: &mut BollardRequest, version: ApiVersion) {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    if path.starts_with("/v1.") || path.starts_with("/_ping") {
        return;
    }
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = format!("/v{version}{path}").parse().ok();
    // What was an address stays one: only the path is longer.
    if let Ok(uri) = hyper::Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// Rewrites credentials to the URL-safe alphabet, which the daemon expects. The client library uses the standard
/// one, and a daemon drops credentials whose text happens to contain `+` or `/` without a word.
fn url_safe_credentials(mut request: BollardRequest) -> BollardRequest {
    for name in CREDENTIAL_HEADERS {
        let Some(value) = request.headers().get(name).and_then(|v| v.to_str().ok()) else { continue };
        if !value.contains(['+', '/']) {
            continue;
        }
        let safe = value.replace('+', "-").replace('/', "_");
        if let Ok(safe) = safe.parse() {
            request.headers_mut().insert(name, safe);
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_socket_says_what_to_do() {
        let error = Engine::connect(&Endpoint::Unix("/nonexistent/docker.sock".into())).await.unwrap_err().to_string();
        assert!(
            error.contains("unix:///nonexistent/docker.sock") && error.contains("systemctl start docker"),
            "{error}"
        );
    }

    #[test]
    fn a_version_goes_before_the_path() {
        for (given, wanted) in [
            ("unix://2f72756e/containers/json?all=true", "unix://2f72756e/v1.40/containers/json?all=true"),
            ("http://h:1/_ping", "http://h:1/_ping"),
            ("http://h:1/v1.41/info", "http://h:1/v1.41/info"),
        ] {
            let mut request = hyper::Request::get(given).body(bollard::body_full("".into())).unwrap();
            in_version(&mut request, ApiVersion::v1(40));
            assert_eq!(request.uri().to_string(), wanted);
        }
    }

    #[test]
    fn credentials_are_rewritten() {
        let request =
            hyper::Request::builder().header("X-Registry-Auth", "ab+/cd==").body(bollard::body_full("".into()));
        let rewritten = url_safe_credentials(request.unwrap());
        assert_eq!(rewritten.headers()["x-registry-auth"], "ab-_cd==");
    }
}
