//! The batch API of Git LFS (its docs/api/batch.md and docs/api/basic-transfers.md).

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io::Write as _,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http_body_util::BodyExt as _;
use hyper::{StatusCode, header::AUTHORIZATION};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Lfs,
    http::{Ask, Client, excerpt, json_headers, without_query},
    lack::{Lack, MISSING},
    pointer::Pointer,
    ssh::{self, Access},
};
use crate::{address::Address, auth::Answers, error::GitError, session::Session, transfer::shares_host};
use turnout_report::Event;

/// Objects that are asked for at once, as git-lfs does it.
const A_BATCH: usize = 100;
/// Objects that are fetched side by side. Less than git-lfs' 8: a deployment is not alone on its host.
const AT_ONCE: usize = 4;

#[derive(Serialize)]
struct Wanted<'a> {
    operation: &'a str,
    transfers: [&'a str; 1],
    objects: Vec<Object<'a>>,
    hash_algo: &'a str,
}

#[derive(Serialize)]
struct Object<'a> {
    oid: &'a str,
    size: u64,
}

#[derive(Deserialize)]
struct Batch {
    #[serde(default)]
    transfer: Option<String>,
    #[serde(default)]
    objects: Vec<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    oid: String,
    #[serde(default)]
    authenticated: bool,
    #[serde(default)]
    actions: Option<Actions>,
    #[serde(default)]
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Actions {
    download: Option<Action>,
}

#[derive(Deserialize)]
struct Action {
    href: String,
    #[serde(default)]
    header: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

/// Why it did not work.
enum Trouble {
    /// The update ends.
    Ours(GitError),
    /// The objects cannot be had.
    Lack(Lack),
}

impl From<GitError> for Trouble {
    fn from(error: GitError) -> Self {
        Self::Ours(error)
    }
}

/// Fetches objects from a server.
pub(super) fn fetch(
    lfs: &Lfs,
    address: &Address,
    missing: &[&Pointer],
    session: &Session,
) -> Result<Result<(), Lack>, GitError> {
    talk(lfs, address, missing, session, None)
}

/// Fetches objects of an SSH remote: from the server that it names, with what it says lets us in; if it does not know,
/// from the usual place.
pub(super) fn fetch_by_ssh(
    lfs: &Lfs,
    remote: &Address,
    https: &Address,
    missing: &[&Pointer],
    session: &Session,
) -> Result<Result<(), Lack>, GitError> {
    session.relay.take_fault();
    let access = match ssh::authenticate(remote, session)? {
        Ok(access) => access,
        Err(why) => {
            use GitError::{BrokenOff, Certificate, Stalled, Unreachable};
            return match talk(lfs, https, missing, session, None) {
                Ok(fetched) => {
                    Ok(fetched.map_err(|lack| Lack { reason: format!("{why}; and {}", lack.reason), ..lack }))
                }
                Err(error @ (BrokenOff { .. } | Certificate { .. } | Stalled { .. } | Unreachable { .. })) => {
                    Ok(Err(Lack { reason: format!("{why}; and {error}"), advice: ADDRESS.to_owned() }))
                }
                Err(error) => Err(error),
            };
        }
    };
    let address = match &access.href {
        Some(href) => Address::parse(href.trim_end_matches('/'))?,
        None => https.clone(),
    };
    talk(lfs, &address, missing, session, Some((remote, access)))
}

fn talk(
    lfs: &Lfs,
    address: &Address,
    missing: &[&Pointer],
    session: &Session,
    ticket: Option<(&Address, Access)>,
) -> Result<Result<(), Lack>, GitError> {
    let Address::Http { url, .. } = address else {
        return Err(GitError::other("fetch LFS objects", format!("{address} is no HTTP address")));
    };
    let token_allowed = lfs.main.as_ref().is_some_and(|main| may_have_token(main, address));
    let talk = Talk {
        lfs,
        api: url.clone(),
        shown: address.to_string(),
        answers: Answers::new(&session.remote.auth, address, token_allowed),
        login: Cell::new(None),
        ticket: ticket.map(|(remote, access)| (remote, RefCell::new(access))),
        client: Client::new(session, lfs.config.get_string("http.proxy").ok()),
        session,
        done: Cell::new(0),
        total: missing.len(),
    };
    session.relay.take_fault();
    crate::transfer::warn_of_plain_http(address, &session.remote.auth, session);
    let fetched = session.wait_for(async {
        for batch in missing.chunks(A_BATCH) {
            talk.batch(batch).await?;
        }
        Ok(())
    })?;
    match fetched {
        Ok(()) => Ok(Ok(())),
        Err(Trouble::Lack(lack)) => Ok(Err(lack)),
        Err(Trouble::Ours(error)) => Err(error),
    }
}

/// Whether the token of a repository may be sent to an LFS server: to the same server, or, where the repository is
/// reached by SSH, to the same host over HTTPS.
fn may_have_token(main: &Address, api: &Address) -> bool {
    match (main, api) {
        (Address::Ssh { host, .. }, Address::Http { url, host: other, .. }) => host == other && url.scheme() == "https",
        _ => shares_host(main, api),
    }
}

/// A conversation with one server.
struct Talk<'a> {
    lfs: &'a Lfs,
    api: Url,
    shown: String,
    answers: Answers,
    /// The header that lets us in, once it was asked for.
    login: Cell<Option<String>>,
    /// What an SSH remote gave in its place.
    ticket: Option<(&'a Address, RefCell<Access>)>,
    client: Client<'a>,
    session: &'a Session,
    done: Cell<usize>,
    total: usize,
}

impl Talk<'_> {
    async fn batch(&self, wanted: &[&Pointer]) -> Result<(), Trouble> {
        let objects = wanted.iter().map(|pointer| Object { oid: &pointer.oid, size: pointer.size }).collect();
        let body = Wanted { operation: "download", transfers: ["basic"], objects, hash_algo: "sha256" };
        let body = serde_json::to_string(&body).map_err(|error| GitError::other("ask for LFS objects", error))?;
        let answer = self.ask_api(&body).await?;
        let batch: Batch = serde_json::from_slice(&answer)
            .map_err(|error| self.lack(format!("it does not answer as an LFS server does: {error}"), ADDRESS))?;
        if batch.transfer.as_deref().is_some_and(|kind| kind != "basic") {
            return Err(self.lack("it does not offer basic transfers".to_owned(), PROGRAM));
        }
        let mut answers: HashMap<String, Answer> =
            batch.objects.into_iter().map(|answer| (answer.oid.to_ascii_lowercase(), answer)).collect();
        let mut jobs = Vec::new();
        for pointer in wanted {
            let Some(answer) = answers.remove(&pointer.oid) else {
                return Err(self.lack(format!("it says nothing of object {}", pointer.oid), ADDRESS));
            };
            if let Some(fault) = answer.error {
                let text = format!("object {}: {} {}", pointer.oid, fault.code, excerpt(&fault.message));
                let advice = if matches!(fault.code, 401 | 403) { ACCESS } else { MISSING };
                return Err(self.lack(text, advice));
            }
            let Some(action) = answer.actions.and_then(|actions| actions.download) else {
                return Err(self.lack(format!("it does not say where object {} is", pointer.oid), MISSING));
            };
            jobs.push((*pointer, action, answer.authenticated));
        }
        stream::iter(jobs)
            .map(|(pointer, action, authenticated)| self.download(pointer, action, authenticated))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await
    }

    /// Asks the API, at first as nobody or with what is known to be wanted.
    async fn ask_api(&self, body: &str) -> Result<Vec<u8>, Trouble> {
        let mut url = self.api.clone();
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_path(&format!("{}/objects/batch", self.api.path().trim_end_matches('/')));
        loop {
            let mut headers = json_headers();
            let login = self.known_login();
            headers.extend(self.ticket()?);
            headers.extend(login.clone().map(|login| (AUTHORIZATION.to_string(), login)));
            let answer = self.client.ask(Ask { url: url.clone(), headers, body: Some(body) }).await?;
            let status = answer.status();
            if status.is_success() {
                return Ok(self.client.whole(answer).await?);
            }
            // Some hide what is there from strangers.
            let closed = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
            if closed
                && login.is_none()
                && self.ticket.is_none()
                && let Some((user, password)) = self.answers.login(None)
            {
                self.login.set(Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))));
                continue;
            }
            let text = self.client.whole(answer).await.unwrap_or_default();
            let said: Option<Fault> = serde_json::from_slice(&text).ok();
            let said = said.map(|fault| format!(": {}", excerpt(&fault.message))).unwrap_or_default();
            let tried = self.answers.tried();
            let tried = if closed { format!(" (tried: {tried})") } else { String::new() };
            let advice = match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ACCESS,
                StatusCode::NOT_FOUND => ADDRESS,
                _ => LATER,
            };
            return Err(self.lack(format!("it answers {status}{tried}{said}"), advice));
        }
    }

    /// The headers that an SSH remote gave; it is asked again where they count no more.
    fn ticket(&self) -> Result<Vec<(String, String)>, Trouble> {
        let Some((remote, access)) = &self.ticket else { return Ok(Vec::new()) };
        if access.borrow().is_over() {
            let renewed = ssh::authenticate(remote, self.session)?;
            *access.borrow_mut() = renewed.map_err(|why| self.lack(why, LATER))?;
        }
        Ok(access.borrow().headers.clone())
    }

    fn known_login(&self) -> Option<String> {
        let login = self.login.take();
        self.login.set(login.clone());
        login
    }

    async fn download(&self, pointer: &Pointer, action: Action, authenticated: bool) -> Result<(), Trouble> {
        let url = self.api.join(&action.href).map_err(|error| {
            self.lack(format!("the address of object {} cannot be used: {error}", pointer.oid), LATER)
        })?;
        let mut headers: Vec<(String, String)> = action.header.into_iter().collect();
        let has_login = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(AUTHORIZATION.as_str()));
        let same_place = (url.scheme(), url.host(), url.port_or_known_default())
            == (self.api.scheme(), self.api.host(), self.api.port_or_known_default());
        if !has_login && !authenticated && same_place {
            headers.extend(self.ticket()?);
            headers.extend(self.known_login().map(|login| (AUTHORIZATION.to_string(), login)));
        }
        let shown = without_query(url.clone());
        let answer = self.client.ask(Ask { url, headers, body: None }).await?;
        let status = answer.status();
        if status != StatusCode::OK {
            let advice = if status == StatusCode::NOT_FOUND { MISSING } else { LATER };
            return Err(self.lack(format!("{shown} answers {status} for object {}", pointer.oid), advice));
        }
        let folder = &self.session.remote.path;
        let disk = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::InvalidData => {
                self.lack(format!("object {} from {shown}: {error}", pointer.oid), LATER)
            }
            _ => Trouble::Ours(GitError::io(folder, "keep an LFS object for", &error)),
        };
        let mut arriving = self.lfs.store.arriving(pointer).map_err(disk)?;
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                let fault = self.session.relay.take_fault();
                fault.unwrap_or_else(|| GitError::broken_off(&shown, &error.to_string()))
            })?;
            if let Some(data) = frame.data_ref() {
                arriving.write_all(data).map_err(disk)?;
            }
        }
        arriving.settle().map_err(disk)?;
        self.done.set(self.done.get() + 1);
        self.session.tell(Event::Progress {
            subject: format!("fetch LFS objects of {}", self.shown),
            text: format!("{} of {} objects", self.done.get(), self.total),
        });
        Ok(())
    }

    fn lack(&self, reason: String, advice: &str) -> Trouble {
        Trouble::Lack(Lack { reason: format!("{}: {reason}", self.shown), advice: advice.to_owned() })
    }
}

const ACCESS: &str = "give a token that may read the repository (token_env in repos.yaml), or allow a credential helper \
                      (credential_helper: true)";
const ADDRESS: &str = "set the address of the LFS server (git config lfs.url https://…, or lfs.url in the repository's \
                       .lfsconfig), and token_env in repos.yaml if it asks for one";
const LATER: &str = "deploy again later, or look at the LFS server";
const PROGRAM: &str = "install git-lfs and set filters: run in repos.yaml";
