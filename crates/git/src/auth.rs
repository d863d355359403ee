//! Answers libgit2's questions during a transfer: who we are, and whether the server is who it says.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    rc::Rc,
};

use git2::{CertificateCheckStatus, Cred, CredentialType, ErrorClass, ErrorCode, cert::Cert};

use super::{
    address::Address,
    error::GitError,
    key_file,
    known_hosts::{self, HostKey},
    remote::GitAuth,
};

/// A known_hosts file above this size is not read. Limits memory.
const LARGEST_KNOWN_HOSTS: u64 = 8 * 1024 * 1024;

/// The answers for one transfer. libgit2 knows only the relay's address; this knows the true one.
#[derive(Clone)]
pub(super) struct Answers {
    auth: GitAuth,
    address: Address,
    /// Whether the token may go to this address: it is the configured host, not that of a foreign submodule.
    token_allowed: bool,
    state: Rc<RefCell<Guarded>>,
}

#[derive(Default)]
struct Guarded {
    /// SSH keys that are still to be tried; filled on the first question.
    keys: Option<std::vec::IntoIter<Key>>,
    asked_password: bool,
    tried: Vec<String>,
    verdict: Option<GitError>,
}

enum Key {
    Agent,
    File(PathBuf),
}

impl Answers {
    /// Answers for a transfer with this address.
    pub(super) fn new(auth: &GitAuth, address: &Address, token_allowed: bool) -> Self {
        Self { auth: auth.clone(), address: address.clone(), token_allowed, state: Rc::default() }
    }

    /// The reason why a question was answered with no, if one was; it says more than libgit2's error.
    pub(super) fn verdict(&self) -> Option<GitError> {
        self.state.borrow_mut().verdict.take()
    }

    /// That the server did not accept what it was offered.
    pub(super) fn denied(&self) -> GitError {
        let tried = self.tried();
        let hint = match &self.address {
            Address::Ssh { .. } => "give the server our public key (deploy key) or set ssh_key",
            Address::Http { .. } if self.auth.token.is_none() => "set token_env to the name of a variable with a token",
            Address::Http { .. } => "check that the token is valid and may read this repository",
            _ => "check the permissions",
        };
        GitError::Denied { address: self.address.to_string(), tried, hint: hint.to_owned() }
    }

    /// Answers a request for credentials. Each is offered once; libgit2 asks again after a refusal.
    pub(super) fn credentials(&self, user: Option<&str>, kinds: CredentialType) -> Result<Cred, git2::Error> {
        let known_user = match &self.address {
            Address::Ssh { user, .. } => user.clone(),
            Address::Http { url, .. } => (!url.username().is_empty()).then(|| url.username().to_owned()),
            _ => None,
        };
        let user = user.map(str::to_owned).or(known_user);
        if kinds.contains(CredentialType::SSH_KEY) {
            return self.next_key(user.as_deref().unwrap_or("git"));
        }
        if kinds.contains(CredentialType::USERNAME) {
            return Cred::username(user.as_deref().unwrap_or("git"));
        }
        if kinds.contains(CredentialType::USER_PASS_PLAINTEXT) {
            return self.password(user.as_deref());
        }
        Err(self.no())
    }

    fn next_key(&self, user: &str) -> Result<Cred, git2::Error> {
        let mut state = self.state.borrow_mut();
        let keys = state.keys.get_or_insert_with(|| self.keys().into_iter());
        let Some(key) = keys.next() else {
            drop(state);
            return Err(self.no());
        };
        match key {
            Key::Agent => {
                state.tried.push("ssh agent".to_owned());
                Cred::ssh_key_from_agent(user)
            }
            Key::File(path) => {
                state.tried.push(format!("key {}", path.display()));
                if let Err(error) = self.usable(&path) {
                    state.verdict = Some(error);
                    return Err(refusal());
                }
                let passphrase = self.auth.ssh_passphrase.as_ref().map(|secret| secret.reveal());
                Cred::ssh_key(user, None, &path, passphrase)
            }
        }
    }

    /// Whether this key can be offered. One that was not named is only one of several, and offered as it is.
    fn usable(&self, path: &std::path::Path) -> Result<(), GitError> {
        let fault = key_file::fault(path, self.auth.ssh_passphrase.is_some())
            .map_err(|error| GitError::io(path, "read the SSH key", &error))?;
        match fault.filter(|_| self.auth.ssh_key.is_some()) {
            Some(fault) => Err(GitError::other(format!("log in to {}", self.address), fault)),
            None => Ok(()),
        }
    }

    /// What is certain to fail before anybody is asked: a key that cannot be read, a host that no file lists.
    fn foreseen(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let Address::Ssh { host, port, .. } = &self.address else { return wrong };
        let keys = self.keys();
        if keys.is_empty() {
            let what = "there is no SSH key: neither an agent nor a usual file in ~/.ssh of this user; make one, or set ssh_key";
            wrong.push(what.to_owned());
        }
        for key in keys {
            let Key::File(path) = key else { continue };
            // Looked at before it is opened: a pipe would be waited for.
            let looked = std::fs::metadata(&path);
            if looked.as_ref().is_ok_and(|found| !found.is_file()) {
                wrong.push(format!("the SSH key {} is not a file", path.display()));
            } else {
                match looked.and_then(|_| key_file::fault(&path, self.auth.ssh_passphrase.is_some())) {
                    Err(error) => wrong.push(format!("the SSH key {} cannot be read: {error}", path.display())),
                    Ok(fault) => wrong.extend(fault.filter(|_| self.auth.ssh_key.is_some())),
                }
            }
        }
        let files = self.known_hosts_files();
        let mut listed = false;
        for file in &files {
            match read_known_hosts(file) {
                Ok(text) => listed |= text.is_some_and(|text| known_hosts::lists(&text, host, *port)),
                Err(error) => wrong.push(error.to_string()),
            }
        }
        if !listed {
            let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            let port = if *port == 22 { String::new() } else { format!("-p {port} ") };
            wrong.push(format!(
                "the SSH host {host} is unknown: {} does not list it (ssh-keyscan {port}{host} gives its keys; compare them \
                 with those that its operator publishes)",
                files.join(" or ")
            ));
        }
        wrong
    }

    fn known_hosts_files(&self) -> Vec<PathBuf> {
        if let Some(file) = &self.auth.known_hosts {
            return vec![file.clone()];
        }
        let own = ssh_folder().map(|folder| folder.join("known_hosts"));
        own.into_iter().chain([PathBuf::from("/etc/ssh/ssh_known_hosts")]).collect()
    }

    fn keys(&self) -> Vec<Key> {
        if let Some(path) = &self.auth.ssh_key {
            return vec![Key::File(path.clone())];
        }
        let mut keys = Vec::new();
        if std::env::var_os("SSH_AUTH_SOCK").is_some_and(|socket| !socket.is_empty()) {
            keys.push(Key::Agent);
        }
        if let Some(folder) = ssh_folder() {
            for name in ["id_ed25519", "id_ecdsa", "id_rsa"] {
                let path = folder.join(name);
                if path.is_file() {
                    keys.push(Key::File(path));
                }
            }
        }
        keys
    }

    fn password(&self, user: Option<&str>) -> Result<Cred, git2::Error> {
        // libgit2 knows only the relay, which leads to the configured host and follows no redirect.
        let first = !std::mem::replace(&mut self.state.borrow_mut().asked_password, true);
        if !first {
            return Err(self.no());
        }
        match self.login(user) {
            Some((user, password)) => Cred::userpass_plaintext(&user, &password),
            None => Err(self.no()),
        }
    }

    /// What was offered so far, in words.
    pub(super) fn tried(&self) -> String {
        let tried = self.state.borrow().tried.join(", ");
        if tried.is_empty() { "nothing".to_owned() } else { tried }
    }

    /// User and password for a server that asks for them: the token, what the address holds, or a helper's.
    pub(super) fn login(&self, user: Option<&str>) -> Option<(String, String)> {
        let tried = |what: &str| self.state.borrow_mut().tried.push(what.to_owned());
        if let Some(token) = self.auth.token.as_ref().filter(|token| self.token_allowed && !token.is_empty()) {
            tried("token");
            let user = self.auth.token_user.as_deref().or(user).unwrap_or("x-access-token");
            return Some((user.to_owned(), token.reveal().to_owned()));
        }
        if let Address::Http { url, .. } = &self.address
            && !(url.username().is_empty() && url.password().is_none())
        {
            // A name without a password: some forges take a token in its place.
            tried("credentials in the address");
            let password = url.password().unwrap_or_default();
            return Some((percent_decoded(url.username()), percent_decoded(password)));
        }
        if !self.auth.credential_helper {
            return None;
        }
        tried("credential helper");
        let config = git2::Config::open_default().ok()?;
        let mut helper = git2::CredentialHelper::new(&self.address.to_string());
        helper.config(&config).username(user).execute()
    }

    fn no(&self) -> git2::Error {
        let denied = self.denied();
        self.state.borrow_mut().verdict.get_or_insert(denied);
        refusal()
    }

    /// Judges a server's certificate. TLS is left to OpenSSL; SSH host keys must be known.
    pub(super) fn certificate(&self, cert: &Cert<'_>) -> Result<CertificateCheckStatus, git2::Error> {
        let Some(hostkey) = cert.as_hostkey() else { return Ok(CertificateCheckStatus::CertificatePassthrough) };
        let Address::Ssh { host, port, .. } = &self.address else { return Err(refusal()) };
        let Some(key) = hostkey.hostkey() else { return Err(refusal()) };
        match self.host_key(host, *port, key) {
            Ok(()) => Ok(CertificateCheckStatus::CertificateOk),
            Err(error) => {
                self.state.borrow_mut().verdict = Some(error);
                Err(git2::Error::new(ErrorCode::Certificate, ErrorClass::Ssh, "host key not trusted"))
            }
        }
    }

    /// Whether the key that an SSH server shows is one that we trust.
    pub(super) fn trusts(&self, key: &[u8]) -> Result<(), GitError> {
        match &self.address {
            Address::Ssh { host, port, .. } => self.host_key(host, *port, key),
            _ => Err(self.denied()),
        }
    }

    /// Offers our keys to an SSH server, one after the other.
    pub(super) fn log_in(&self, ssh: &ssh2::Session, user: &str) -> Result<(), GitError> {
        for key in self.keys() {
            let what = match &key {
                Key::Agent => "ssh agent".to_owned(),
                Key::File(path) => format!("key {}", path.display()),
            };
            self.state.borrow_mut().tried.push(what);
            let let_in = match key {
                Key::Agent => ssh.userauth_agent(user),
                Key::File(path) => {
                    self.usable(&path)?;
                    let passphrase = self.auth.ssh_passphrase.as_ref().map(|secret| secret.reveal());
                    ssh.userauth_pubkey_file(user, None, &path, passphrase)
                }
            };
            if let_in.is_ok() && ssh.authenticated() {
                return Ok(());
            }
        }
        Err(self.denied())
    }

    fn host_key(&self, host: &str, port: u16, key: &[u8]) -> Result<(), GitError> {
        let files = self.known_hosts_files();
        let mut worst = HostKey::Unknown;
        let mut seen_in = files.first().cloned().unwrap_or_default();
        for file in &files {
            let Some(text) = read_known_hosts(file)? else { continue };
            match known_hosts::check(&text, host, port, key) {
                HostKey::Trusted => return Ok(()),
                HostKey::Unknown => {}
                verdict @ HostKey::Revoked(_) => return Err(host_key_error(&verdict, host, port, key, file)),
                verdict => (worst, seen_in) = (verdict, file.clone()),
            }
        }
        Err(host_key_error(&worst, host, port, key, &seen_in))
    }
}

/// What is certain to keep a fetch from this address from working, in words, without asking anybody.
pub fn foreseen(auth: &GitAuth, address: &str) -> Vec<String> {
    match Address::parse(address) {
        Ok(Address::Local(place)) => anothers(&place).map(|error| error.to_string()).into_iter().collect(),
        Ok(address) => Answers::new(auth, &address, true).foreseen(),
        Err(error) => vec![error.to_string()],
    }
}

/// A repository on this machine that git reads not, for it is another user's. What else may be wrong with it, a fetch tells.
fn anothers(place: &str) -> Option<GitError> {
    let path = Path::new(place.strip_prefix("file://").unwrap_or(place));
    let error = git2::Repository::open(path).err()?;
    Some(GitError::local(path, "open", &error)).filter(|error| matches!(error, GitError::WrongOwner { .. }))
}

/// Of that, what is so for every user: files that are named and not there, and keys that can be read and not be used.
pub fn foreseen_by_others(auth: &GitAuth) -> Vec<String> {
    let named = [("the SSH key", &auth.ssh_key), ("the list of known hosts", &auth.known_hosts)];
    let named = named.into_iter().filter_map(|(what, file)| Some((what, file.as_deref()?)));
    let missing = named.filter_map(|(what, file)| match std::fs::metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Some(format!("{what} {} is not there", file.display()))
        }
        _ => None,
    });
    // One that is no file is not opened: a pipe would be waited for.
    let key = auth.ssh_key.as_deref().filter(|file| file.is_file());
    let fault = key.and_then(|file| key_file::fault(file, auth.ssh_passphrase.is_some()).ok()).flatten();
    missing.chain(fault).collect()
}

fn host_key_error(verdict: &HostKey, host: &str, port: u16, key: &[u8], file: &std::path::Path) -> GitError {
    let kind = known_hosts::key_type(key);
    let print = known_hosts::fingerprint(key);
    let peer = if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") };
    let scan = {
        let port = if port == 22 { String::new() } else { format!("-p {port} ") };
        let kind = kind.trim_start_matches("ssh-").trim_start_matches("ecdsa-sha2-");
        let kind = if kind.starts_with("nistp") { "ecdsa" } else { kind };
        format!("ssh-keyscan {port}-t {kind} {host} >> {}", file.display())
    };
    let file = file.display();
    let (message, hint) = match verdict {
        HostKey::Changed(line) => (
            format!(
                "the SSH host key of {peer} has CHANGED: {file}:{line} lists another {kind} key than {print}, which the server shows"
            ),
            format!(
                "this may be an attack; if the change is known, remove the old key (ssh-keygen -R '{peer}' -f {file}) and run: {scan}"
            ),
        ),
        HostKey::Revoked(line) => (
            format!("the SSH host key {print} of {peer} is revoked by {file}:{line}"),
            "do not connect; ask the server's administrator".to_owned(),
        ),
        HostKey::OtherType(types) => (
            format!(
                "the SSH host key of {peer} is not trusted: {file} lists only {}, the server shows {kind} {print}",
                types.join(", ")
            ),
            format!("compare the fingerprint with the one its operator publishes and run: {scan}"),
        ),
        HostKey::Unknown | HostKey::Trusted => (
            format!("the SSH host {peer} is unknown: {file} does not list it, and the server shows {kind} {print}"),
            format!("compare the fingerprint with the one its operator publishes and run: {scan}"),
        ),
    };
    GitError::HostKey { message, hint }
}

fn read_known_hosts(file: &std::path::Path) -> Result<Option<String>, GitError> {
    match std::fs::metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(GitError::io(file, "read", &error)),
        Ok(found) if found.len() > LARGEST_KNOWN_HOSTS => {
            return Err(GitError::other(format!("read {}", file.display()), "it is larger than 8 MiB"));
        }
        Ok(_) => {}
    }
    let bytes = std::fs::read(file).map_err(|error| GitError::io(file, "read", &error))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn ssh_folder() -> Option<PathBuf> {
    std::env::home_dir().map(|home| home.join(".ssh"))
}

fn refusal() -> git2::Error {
    git2::Error::new(ErrorCode::Auth, ErrorClass::Callback, "no more credentials to offer")
}

fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}
