//! An account at an authority, and what is asked there in its name.

use std::{path::PathBuf, sync::Arc, time::Duration};

use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    AcmeError, Files,
    jws::{Signer, signed},
    key::Key,
    transport::{Answer, Transport},
    wire::{Directory, ErrorKind, Problem, plain},
};

/// How often a request is said again with another nonce. An authority may forget them, and drops some on purpose (`pebble`).
const NONCES: usize = 8;
/// Nonces that are kept for the next requests.
const KEPT: usize = 4;

/// Whose certificates, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The address of its directory.
    pub directory: String,
    /// Whom it may write to, as `mailto:` addresses.
    pub contact: Vec<String>,
    /// A file with the authority that signed its own certificate; without one, whom the system trusts.
    pub authority: Option<PathBuf>,
}

/// An account, opened: every request is signed with its key.
#[derive(Debug, Clone)]
pub struct Session(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    settings: Settings,
    directory: Directory,
    key: Key,
    /// The account's address at the authority, the `kid` of signed requests.
    account: String,
}

/// What one order asks with.
pub(crate) struct Asking<'s> {
    opened: &'s Opened,
    http: Transport,
    nonces: Vec<String>,
}

impl Session {
    /// Opens the account, which is made where there is none yet. That its terms are agreed to is the caller's to know.
    ///
    /// # Errors
    /// The authority cannot be asked, or says no.
    pub async fn open(settings: &Settings, files: &Files) -> Result<Session, AcmeError> {
        let mut http = Transport::new(settings.authority.clone());
        let told = http.ask(Method::GET, &settings.directory, None).await?;
        let directory: Directory = understood(&settings.directory, &told)?;
        if directory.meta.external_account_required {
            let message = "it wants accounts that are bound to one of its own (EAB), which is not there".to_owned();
            return Err(AcmeError::Unfit { at: plain(&settings.directory), message });
        }
        let (key, told_contact) = files.account(&settings.directory)?;
        let mut opened = Opened { settings: settings.clone(), directory, key, account: String::new() };
        let mut asking = Asking { opened: &opened, http, nonces: Vec::new() };
        let address = opened.directory.new_account.clone();
        let mut wanted = json!({ "termsOfServiceAgreed": true });
        if !settings.contact.is_empty() {
            wanted["contact"] = json!(settings.contact);
        }
        let answer = asking.post_by(Signer::Key, &address, Some(&wanted)).await?;
        let known = answer.status == StatusCode::OK;
        let account = location(&address, &answer)?;
        if known && told_contact != settings.contact {
            let contact = json!({ "contact": settings.contact });
            asking.post_by(Signer::Account(&account), &account, Some(&contact)).await?;
        }
        if told_contact != settings.contact {
            files.keep_account(&settings.directory, &opened.key, &settings.contact)?;
        }
        opened.account = account;
        Ok(Session(Arc::new(opened)))
    }

    pub(crate) fn asking(&self) -> Asking<'_> {
        let http = Transport::new(self.0.settings.authority.clone());
        Asking { opened: &self.0, http, nonces: Vec::new() }
    }

    /// The address of the directory.
    pub fn directory(&self) -> &str {
        &self.0.settings.directory
    }

    /// Where orders are made.
    pub(crate) fn new_order(&self) -> &str {
        &self.0.directory.new_order
    }

    /// A token as it is shown (key authorization).
    pub(crate) fn proof(&self, token: &str) -> Result<String, AcmeError> {
        Ok(format!("{token}.{}", self.0.key.thumbprint()?))
    }
}

impl Asking<'_> {
    /// Asks in the account's name; without a payload, only for what is there.
    pub(crate) async fn post(&mut self, url: &str, payload: Option<&Value>) -> Result<Answer, AcmeError> {
        self.post_by(Signer::Account(&self.opened.account), url, payload).await
    }

    async fn post_by(&mut self, by: Signer<'_>, url: &str, payload: Option<&Value>) -> Result<Answer, AcmeError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let nonce = match self.nonces.pop() {
                Some(nonce) => nonce,
                None => self.nonce().await?,
            };
            let body = signed(&self.opened.key, by, &nonce, url, payload)?;
            let answer = self.http.ask(Method::POST, url, Some(body)).await?;
            self.keep_nonce(&answer);
            let Err(error) = accepted(url, &answer) else { return Ok(answer) };
            if error.kind() != Some(&ErrorKind::BadNonce) || tries >= NONCES {
                return Err(error);
            }
        }
    }

    async fn nonce(&mut self) -> Result<String, AcmeError> {
        let url = &self.opened.directory.new_nonce;
        let answer = self.http.ask(Method::HEAD, url, None).await?;
        self.keep_nonce(&answer);
        let none = || AcmeError::Unfit { at: plain(url), message: "there is no nonce in it".to_owned() };
        self.nonces.pop().ok_or_else(none)
    }

    fn keep_nonce(&mut self, answer: &Answer) {
        if let Some(nonce) = answer.header("replay-nonce").filter(|nonce| nonce.len() <= 512)
            && self.nonces.len() < KEPT
        {
            self.nonces.push(nonce.to_owned());
        }
    }
}

/// The address that an answer names as what was made.
pub(crate) fn location(url: &str, answer: &Answer) -> Result<String, AcmeError> {
    let none = || AcmeError::Unfit { at: plain(url), message: "it does not say where what was made is".to_owned() };
    answer.header("location").filter(|at| at.starts_with("https://")).map(str::to_owned).ok_or_else(none)
}

/// Reads an answer that says yes.
pub(crate) fn understood<T: DeserializeOwned>(url: &str, answer: &Answer) -> Result<T, AcmeError> {
    accepted(url, answer)?;
    let unfit = |error: serde_json::Error| AcmeError::Unfit { at: plain(url), message: plain(&error.to_string()) };
    serde_json::from_slice(&answer.body).map_err(unfit)
}

fn accepted(url: &str, answer: &Answer) -> Result<(), AcmeError> {
    if answer.status.is_success() {
        return Ok(());
    }
    let none = || Problem {
        kind: ErrorKind::Unnamed,
        detail: format!("status {}", answer.status),
        subproblems: Vec::new(),
        identifier: None,
    };
    let problem = serde_json::from_slice(&answer.body).unwrap_or_else(|_| none());
    // Without a word of when: one that is overloaded is left alone for a while.
    let busy = matches!(answer.status.as_u16(), 429 | 503).then(|| Duration::from_secs(60));
    Err(AcmeError::Refused { at: plain(url), problem: Box::new(problem), retry_after: answer.retry_after().or(busy) })
}
