//! A BuildKit session: what the engine asks of its client while it builds.
//!
//! The engine turns one connection around and calls the client over it: for files of the context ([`super::filesync`]),
//! registry credentials, secrets, and the SSH agent. Files are asked for as they are needed and only when they changed
//! since the last build, so nothing of the context is held here.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::PathBuf,
    sync::{Arc, PoisonError},
};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UnixStream,
    task::JoinHandle,
};
use turnout_files::{self as files, Kind, Reach};
use turnout_registry::{Credentials, hub::key_of};

use super::{
    content::{self, Stores},
    error::OfferError,
    filesync::{self, Files},
    grpc::{self, Call, Handler, Status, handler, unary},
    protobuf::{Field, fields, put_bytes, put_varint},
    record::Record,
    sent::Sent,
    ssh_agent,
    ssh_key::SshKey,
    walk::told,
};

/// Piece of an SSH conversation, in bytes.
const SSH_CHUNK: usize = 16 * 1024;

/// What a session offers.
pub struct Offer {
    /// Files by the name BuildKit knows the directory by (`context`, `dockerfile`).
    pub files: HashMap<String, Files>,
    /// What the registries are logged in to with; asked for by host.
    pub credentials: Credentials,
    /// Secrets by the identifier that `--mount=type=secret,id=…` names.
    pub secrets: BTreeMap<String, SecretSource>,
    /// From where files of secrets may be read.
    pub reach: Reach,
    /// SSH agents by identifier.
    pub agents: BTreeMap<String, Agent>,
    /// Directories of blobs by the names that the build knows them by.
    pub stores: Stores,
    /// Names the context across builds, so that only what changed is sent.
    pub shared_key: String,
}

/// Where the content of a build secret comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file, read when the build asks.
    File(PathBuf),
    /// The content itself.
    Content(String),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Content(_) => f.write_str("Content(…)"),
        }
    }
}

/// Who answers for SSH keys.
#[derive(Debug, Clone)]
pub enum Agent {
    /// An agent of this host.
    Socket(PathBuf),
    /// This process, for keys read from files.
    Keys(Arc<Vec<SshKey>>),
}

/// A running session; ends when dropped.
pub struct Session {
    task: JoinHandle<()>,
    record: Arc<Record>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A session that nobody has asked anything yet.
pub struct Prepared {
    headers: Vec<(&'static str, String)>,
    methods: HashMap<String, Handler>,
    record: Arc<Record>,
}

impl Prepared {
    /// What the engine is told of it with the request that turns a connection around (`POST /session`).
    pub fn headers(&self) -> &[(&'static str, String)] {
        &self.headers
    }

    /// Answers over that connection.
    pub fn serve(self, turned: Upgraded) -> Session {
        Session { task: tokio::spawn(grpc::serve(turned, self.methods)), record: self.record }
    }
}

impl Session {
    /// Prepares a session under an identifier that nobody else uses.
    pub fn prepare(id: &str, offer: Offer) -> Prepared {
        let record = Arc::new(Record::default());
        let mut headers = vec![
            ("X-Docker-Expose-Session-Uuid", id.to_owned()),
            ("X-Docker-Expose-Session-Name", "turnout".to_owned()),
            ("X-Docker-Expose-Session-SharedKey", offer.shared_key.clone()),
        ];
        let methods = methods(offer, &record);
        headers.extend(methods.keys().map(|method| ("X-Docker-Expose-Session-Grpc-Method", method.clone())));
        Prepared { headers, methods, record }
    }

    /// Ends the session and tells what was sent, or why it could not be.
    pub fn finish(self) -> Result<Sent, OfferError> {
        let mut inner = self.record.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = std::mem::take(&mut inner.1);
        match inner.0.take() {
            Some(error) => Err(error),
            None => Ok(sent),
        }
    }
}

fn methods(offer: Offer, record: &Arc<Record>) -> HashMap<String, Handler> {
    let Offer { files, credentials, secrets, reach, agents, stores, shared_key: _ } = offer;
    let mut methods = HashMap::new();
    let mut add = |path: &str, handler: Handler| methods.insert(path.to_owned(), handler);
    add("/grpc.health.v1.Health/Check", unary(|_| async { Ok(number(1, 1)) }));
    add("/moby.filesync.v1.Auth/Credentials", {
        let record = Arc::clone(record);
        unary(move |request| answer_credentials(credentials.clone(), Arc::clone(&record), request))
    });
    if !files.is_empty() {
        let files = Arc::new(files);
        let record = Arc::clone(record);
        add(
            "/moby.filesync.v1.FileSync/DiffCopy",
            handler(move |call| filesync::diff_copy(Arc::clone(&files), Arc::clone(&record), call)),
        );
    }
    if !secrets.is_empty() {
        let secrets = Arc::new((secrets, reach));
        let record = Arc::clone(record);
        add(
            "/moby.buildkit.secrets.v1.Secrets/GetSecret",
            unary(move |request| answer_secret(Arc::clone(&secrets), Arc::clone(&record), request)),
        );
    }
    if !agents.is_empty() {
        let agents = Arc::new(agents);
        add("/moby.sshforward.v1.SSH/CheckAgent", {
            let agents = Arc::clone(&agents);
            unary(move |request| {
                let found = agent(&agents, &text(&request, 1)).map(|_| Vec::new());
                async { found }
            })
        });
        add("/moby.sshforward.v1.SSH/ForwardAgent", handler(move |call| forward_agent(Arc::clone(&agents), call)));
    }
    if !stores.is_empty() {
        for (path, handler) in content::methods(stores) {
            add(&path, handler);
        }
    }
    methods
}

async fn answer_credentials(credentials: Credentials, record: Arc<Record>, request: Bytes) -> Result<Vec<u8>, Status> {
    let host = text(&request, 1);
    let auth = match credentials.for_registry(key_of(&host)).await {
        Ok(auth) => auth.unwrap_or_default(),
        Err(error) => {
            let status = Status::failed(error.to_string());
            record.fail(error.into());
            return Err(status);
        }
    };
    let mut answer = Vec::new();
    if auth.identity_token.is_empty() {
        put_bytes(&mut answer, 1, auth.username.as_bytes());
        put_bytes(&mut answer, 2, auth.password.as_bytes());
    } else {
        put_bytes(&mut answer, 2, auth.identity_token.as_bytes());
    }
    Ok(answer)
}

async fn answer_secret(
    offered: Arc<(BTreeMap<String, SecretSource>, Reach)>,
    record: Arc<Record>,
    request: Bytes,
) -> Result<Vec<u8>, Status> {
    let id = text(&request, 1);
    let (secrets, reach) = &*offered;
    let content = match secrets.get(&id) {
        None => return Err(Status::not_found(format!("secret {id} not found"))),
        Some(SecretSource::Content(content)) => content.clone().into_bytes(),
        Some(SecretSource::File(path)) => {
            let (reach, file) = (reach.clone(), path.clone());
            let read = files::blocking(move || reach.read(&file, Kind::BUILD_SECRET)).await;
            match read.unwrap_or_else(|lost| Err(lost.into())) {
                Ok(content) => content,
                Err(error) => {
                    let error = OfferError::Secret { id, path: path.clone(), problem: told(&error, "") };
                    let status = Status::failed(error.to_string());
                    record.fail(error);
                    return Err(status);
                }
            }
        }
    };
    let mut answer = Vec::new();
    put_bytes(&mut answer, 1, &content);
    Ok(answer)
}

fn agent<'a>(agents: &'a BTreeMap<String, Agent>, id: &str) -> Result<&'a Agent, Status> {
    let id = if id.is_empty() { "default" } else { id };
    agents.get(id).ok_or_else(|| Status::not_found(format!("no SSH agent {id}: name it in build.ssh")))
}

async fn forward_agent(agents: Arc<BTreeMap<String, Agent>>, call: Call) -> Result<(), Status> {
    let id = call.metadata.get("buildkit.ssh.id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    match agent(&agents, id)? {
        Agent::Socket(path) => {
            let stream = UnixStream::connect(path)
                .await
                .map_err(|error| Status::failed(format!("the SSH agent at {}: {error}", path.display())))?;
            forward(stream, call).await
        }
        Agent::Keys(keys) => {
            let (ours, theirs) = tokio::io::duplex(SSH_CHUNK);
            let served = ssh_agent::serve(ours, Arc::clone(keys));
            let (forwarded, _) = tokio::join!(forward(theirs, call), served);
            forwarded
        }
    }
}

async fn forward<S: AsyncRead + AsyncWrite>(stream: S, mut call: Call) -> Result<(), Status> {
    let (mut read, mut write) = tokio::io::split(stream);
    let to_agent = async {
        while let Some(message) = call.requests.next().await? {
            for (number, field) in fields(&message) {
                if let (1, Field::Bytes(data)) = (number, field) {
                    write.write_all(data).await.map_err(|error| Status::failed(error.to_string()))?;
                }
            }
        }
        Ok(())
    };
    let from_agent = async {
        let mut buffer = vec![0; SSH_CHUNK];
        loop {
            let got = read.read(&mut buffer).await.map_err(|error| Status::failed(error.to_string()))?;
            let Some(data) = buffer.get(..got).filter(|data| !data.is_empty()) else { return Ok(()) };
            let mut message = Vec::new();
            put_bytes(&mut message, 1, data);
            if call.answers.send(Bytes::from(message)).await.is_err() {
                return Ok(());
            }
        }
    };
    tokio::select! {
        done = to_agent => done,
        done = from_agent => done,
    }
}

/// A message of one number.
fn number(field: u64, value: u64) -> Vec<u8> {
    let mut message = Vec::new();
    put_varint(&mut message, field, value);
    message
}

/// A text field of a message; empty when absent.
fn text(message: &[u8], wanted: u64) -> String {
    let found = fields(message).find_map(|(number, field)| match field {
        Field::Bytes(bytes) if number == wanted => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    });
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_secret_that_cannot_be_read_is_told_to_both_sides() {
        let secret = SecretSource::File("/nonexistent/token".into());
        let offered = Arc::new(([("s".to_owned(), secret)].into(), Reach::Anywhere));
        let record = Arc::new(Record::default());
        let mut request = Vec::new();
        put_bytes(&mut request, 1, b"s");
        let answer = answer_secret(offered, Arc::clone(&record), request.into()).await;
        let kept = record.inner.lock().unwrap().0.take().unwrap().to_string();
        assert!(kept.starts_with("build secret s: /nonexistent/token: No such file"), "{kept}");
        assert_eq!(answer, Err(Status::failed(kept)));
    }

    #[test]
    fn the_engine_is_told_what_is_offered_and_no_more() {
        let told = |secrets: BTreeMap<String, SecretSource>| {
            let offer = Offer {
                files: HashMap::new(),
                credentials: Credentials::default(),
                secrets,
                reach: Reach::Anywhere,
                agents: BTreeMap::new(),
                stores: Stores::new(),
                shared_key: "key".to_owned(),
            };
            let prepared = Session::prepare("id", offer);
            let mut told: Vec<String> =
                prepared.headers().iter().map(|(name, value)| format!("{name}: {value}")).collect();
            told.sort();
            told
        };
        let bare = [
            "X-Docker-Expose-Session-Grpc-Method: /grpc.health.v1.Health/Check",
            "X-Docker-Expose-Session-Grpc-Method: /moby.filesync.v1.Auth/Credentials",
            "X-Docker-Expose-Session-Name: turnout",
            "X-Docker-Expose-Session-SharedKey: key",
            "X-Docker-Expose-Session-Uuid: id",
        ];
        assert_eq!(told(BTreeMap::new()), bare);
        let secret = SecretSource::Content("hunter2".to_owned());
        let more = told([("s".to_owned(), secret)].into());
        assert_eq!(more.len(), bare.len() + 1);
        assert!(
            more.contains(
                &"X-Docker-Expose-Session-Grpc-Method: /moby.buildkit.secrets.v1.Secrets/GetSecret".to_owned()
            )
        );
        assert!(!more.concat().contains("hunter2"));
    }
}
