//! One repository of a registry, read over the registry's HTTP interface (OCI distribution specification, "Pull") with
//! the user's credentials.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hyper::{
    Method, StatusCode,
    header::{self, HeaderValue},
};
use serde::Deserialize;
use turnout_report::redact::is_unfit;
use url::Url;

use super::{
    challenge::{self, Challenge},
    credentials::{Credentials, RegistryAuth},
    error::RegistryError,
    name::{Digest, Name},
    transport::{Answer, Question, Transport, authority, interface_of, is_this_machine, untrusted},
};

/// Largest manifest, in bytes.
const MAX_MANIFEST: usize = 4 << 20;
/// Longest answer of a token server, in bytes.
const MAX_TOKEN: usize = 1 << 20;
/// Longest words of a registry about a failure that are shown, in characters.
const MAX_WORDS: usize = 300;
/// What kinds of manifests are understood, said in the order of Docker's client.
const MANIFESTS: &str = "application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, */*";
/// How token servers know us.
const CLIENT: &str = "turnout";

/// A repository, and what was proved to its registry so far.
pub struct Repository<'a> {
    host: String,
    path: String,
    key: String,
    /// `https://HOST/v2/PATH/` (distribution specification, "Endpoints").
    base: Url,
    credentials: &'a Credentials,
    transport: Transport,
    /// The `Authorization` that the registry took.
    pass: Option<HeaderValue>,
}

/// A manifest as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Digest of the bytes.
    pub digest: Digest,
    /// Media type, without parameters.
    pub media_type: String,
    /// The bytes as they came: their digest is the manifest's name.
    pub bytes: Bytes,
}

impl<'a> Repository<'a> {
    /// The repository that a name is in. Nothing is asked yet, except, on this machine, whether TLS is spoken.
    ///
    /// # Errors
    /// The name's host is none.
    pub async fn of(name: &Name, credentials: &'a Credentials) -> Result<Repository<'a>, RegistryError> {
        let host = name.host().to_owned();
        let base = interface_of(&host).await?.join(&format!("{}/", name.path()));
        let base =
            base.map_err(|error| RegistryError::Unreachable { host: host.clone(), message: error.to_string() })?;
        let (path, key) = (name.path().to_owned(), name.credentials_key().to_owned());
        Ok(Repository { host, path, key, base, credentials, transport: Transport::new(), pass: None })
    }

    /// A manifest, by tag or digest. What a digest names is checked against it.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn manifest(&mut self, wanted: &str) -> Result<Manifest, RegistryError> {
        let answer = self.get(&format!("manifests/{wanted}"), MANIFESTS, MAX_MANIFEST).await?;
        let text = |name: header::HeaderName| answer.headers.get(name).and_then(|value| value.to_str().ok());
        let named = text(header::HeaderName::from_static("docker-content-digest"));
        let claimed = match (Digest::parse(wanted), named) {
            (Ok(wanted), _) => Some(wanted),
            (Err(_), Some(named)) => {
                Some(Digest::parse(named).map_err(|why| self.lies(format!("it names {named:?}: {why}")))?)
            }
            (Err(_), None) => None,
        };
        if claimed.as_ref().is_some_and(|claimed| !claimed.fits(&answer.body)) {
            return Err(self.lies(format!("the manifest {wanted} does not have the digest that is claimed")));
        }
        let media_type = text(header::CONTENT_TYPE).and_then(|kind| kind.split(';').next()).unwrap_or_default();
        let media_type = media_type.trim().to_owned();
        let digest = claimed.unwrap_or_else(|| Digest::of(&answer.body));
        Ok(Manifest { digest, media_type, bytes: answer.body })
    }

    /// A blob, checked against its digest. `most`: largest that is read, in bytes.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn blob(&mut self, digest: &Digest, most: usize) -> Result<Bytes, RegistryError> {
        let answer = self.get(&format!("blobs/{digest}"), "*/*", most).await?;
        if digest.fits(&answer.body) {
            return Ok(answer.body);
        }
        Err(self.lies(format!("what it gives for {digest} is something else")))
    }

    async fn get(&mut self, what: &str, accept: &str, most: usize) -> Result<Answer, RegistryError> {
        let mut answer = self.ask(what, accept, most).await?;
        // A token may be refused because it has run out: one more is fetched, not more than one.
        if answer.status == StatusCode::UNAUTHORIZED {
            self.pass = Some(self.prove(&answer).await?);
            answer = self.ask(what, accept, most).await?;
        }
        match answer.status {
            status if status.is_success() => Ok(answer),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.denied(words(&answer))),
            StatusCode::NOT_FOUND => {
                Err(RegistryError::Missing { host: self.host.clone(), what: format!("{}/{what}", self.path) })
            }
            status => Err(RegistryError::Status {
                host: self.host.clone(),
                status: status.to_string(),
                message: words(&answer),
            }),
        }
    }

    async fn ask(&self, what: &str, accept: &str, most: usize) -> Result<Answer, RegistryError> {
        let url = self.base.join(what).map_err(|error| self.lies(error.to_string()))?;
        let headers = [(header::ACCEPT, accept)];
        let pass = self.pass.as_ref();
        self.transport
            .ask(Question { method: Method::GET, url, pass, headers: &headers, body: Bytes::new(), most })
            .await
    }

    /// What makes the registry let us in.
    async fn prove(&self, refusal: &Answer) -> Result<HeaderValue, RegistryError> {
        let auth = self.credentials.for_registry(&self.key).await?;
        let proof = match challenge::of(&refusal.headers) {
            None => return Err(self.denied("it does not say how to log in".to_owned())),
            Some(Challenge::Basic) => {
                let auth = auth.filter(|auth| !auth.username.is_empty() && !auth.password.is_empty());
                let Some(auth) = auth else { return Err(self.denied("no basic auth credentials".to_owned())) };
                basic(&auth.username, &auth.password)
            }
            Some(Challenge::Bearer { realm, service, scope }) => {
                let scope = if scope.is_empty() { format!("repository:{}:pull", self.path) } else { scope };
                format!("Bearer {}", self.token(&realm, &service, &scope, auth).await?)
            }
        };
        let mut proof = HeaderValue::from_str(&proof)
            .map_err(|_| self.denied("the credentials have characters that no header can have".to_owned()))?;
        proof.set_sensitive(true);
        Ok(proof)
    }

    /// A token, as containerd's client asks for one: with credentials by a form, and where that is not understood, or
    /// without credentials, by a plain request.
    async fn token(
        &self,
        realm: &str,
        service: &str,
        scope: &str,
        auth: Option<RegistryAuth>,
    ) -> Result<String, RegistryError> {
        let url = Url::parse(realm).map_err(|error| self.lies(format!("its token server has no address: {error}")))?;
        let here = self.base.scheme() == "http" && url.host_str().is_some_and(is_this_machine);
        if url.scheme() != "https" && !(url.scheme() == "http" && here) {
            return Err(self.lies(format!("it sends credentials to {}, without TLS", authority(&url))));
        }
        let auth = auth.unwrap_or_default();
        if !auth.registry_token.is_empty() {
            return Ok(auth.registry_token);
        }
        let secret = if auth.identity_token.is_empty() { &auth.password } else { &auth.identity_token };
        let user = if auth.identity_token.is_empty() { auth.username.as_str() } else { "" };
        if !secret.is_empty() {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.append_pair("scope", scope).append_pair("service", service).append_pair("client_id", CLIENT);
            if user.is_empty() {
                form.append_pair("grant_type", "refresh_token").append_pair("refresh_token", secret);
            } else {
                form.append_pair("grant_type", "password")
                    .append_pair("username", user)
                    .append_pair("password", secret);
            }
            let headers = [(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8")];
            let body = Bytes::from(form.finish());
            let question = Question {
                method: Method::POST,
                url: url.clone(),
                pass: None,
                headers: &headers,
                body,
                most: MAX_TOKEN,
            };
            let answer = self.transport.ask(question).await?;
            let not_understood = match answer.status {
                StatusCode::METHOD_NOT_ALLOWED => !user.is_empty(),
                status => matches!(status, StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST),
            };
            if !not_understood {
                return self.token_in(&url, &answer);
            }
        }
        let mut asked = url.clone();
        if !service.is_empty() {
            asked.query_pairs_mut().append_pair("service", service);
        }
        for part in scope.split(' ').filter(|part| !part.is_empty()) {
            asked.query_pairs_mut().append_pair("scope", part);
        }
        let pass = match secret.is_empty() {
            true => None,
            false => Some(HeaderValue::from_str(&basic(user, secret)).map_err(|error| self.denied(error.to_string()))?),
        };
        let pass = pass.as_ref();
        let question =
            Question { method: Method::GET, url: asked, pass, headers: &[], body: Bytes::new(), most: MAX_TOKEN };
        self.token_in(&url, &self.transport.ask(question).await?)
    }

    fn token_in(&self, server: &Url, answer: &Answer) -> Result<String, RegistryError> {
        #[derive(Deserialize)]
        struct Given {
            #[serde(default)]
            token: String,
            #[serde(default)]
            access_token: String,
        }
        let server = authority(server);
        if !answer.status.is_success() {
            return Err(self.denied(format!(
                "its token server {server} answered {}: {}",
                answer.status,
                words(answer)
            )));
        }
        // The parser's message could quote the token.
        let given: Given = serde_json::from_slice(&answer.body)
            .map_err(|_| self.lies(format!("its token server {server} answers with something else than a token")))?;
        let token = if given.access_token.is_empty() { given.token } else { given.access_token };
        if token.is_empty() {
            return Err(self.lies(format!("its token server {server} gives no token")));
        }
        Ok(token)
    }

    fn denied(&self, message: String) -> RegistryError {
        RegistryError::Denied { host: self.host.clone(), message }
    }

    fn lies(&self, message: String) -> RegistryError {
        untrusted(&self.host, message)
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// A registry's own words about a failure.
fn words(answer: &Answer) -> String {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let errors = body.get("errors").and_then(|errors| errors.as_array()).into_iter().flatten();
    let said: Vec<&str> = errors
        .filter_map(|error| {
            let of = |key: &str| error.get(key).and_then(|text| text.as_str()).filter(|text| !text.is_empty());
            of("message").or_else(|| of("code"))
        })
        .collect();
    let text = if said.is_empty() { answer.status.to_string() } else { said.join("; ") };
    text.chars().filter(|c| !is_unfit(*c)).take(MAX_WORDS).collect()
}
