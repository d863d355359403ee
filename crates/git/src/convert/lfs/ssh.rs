//! Asks an SSH remote where its LFS server is and what lets us in: `git-lfs-authenticate`, which forges run in place of a
//! shell (git-lfs, docs/api/authentication.md).

use std::{
    collections::HashMap,
    io::Read as _,
    net::{Ipv4Addr, TcpStream},
    time::{Duration, Instant},
};

use serde::Deserialize;

use crate::{
    address::Address,
    auth::Answers,
    error::{GitError, clean},
    relay::Route,
    session::Session,
};

/// An answer, and words of an error, in bytes at most.
const LONGEST_ANSWER: u64 = 64 * 1024;
/// It is asked for again so long before it ends.
const EARLY: Duration = Duration::from_secs(5);

/// What lets us in, for a while.
#[derive(Debug)]
pub(super) struct Access {
    /// The address of the API, where it is another than the usual one.
    pub(super) href: Option<String>,
    /// Headers for each request to it.
    pub(super) headers: Vec<(String, String)>,
    until: Option<Instant>,
}

impl Access {
    /// Whether it counts no more, or hardly.
    pub(super) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    href: Option<String>,
    #[serde(default)]
    header: HashMap<String, String>,
    /// Seconds. `expires_at` says the same by the server's clock, which need not be ours.
    #[serde(default)]
    expires_in: Option<i64>,
}

/// Asks. What the remote answers instead is the inner error: it may know nothing of LFS.
pub(super) fn authenticate(remote: &Address, session: &Session) -> Result<Result<Access, String>, GitError> {
    let Address::Ssh { user, host, port, path, .. } = remote else {
        return Ok(Err(format!("{remote} is not reached by SSH")));
    };
    let broken = |error: &dyn std::fmt::Display| {
        // The relay knows the cause; what is seen here is that the connection ended.
        let fault = session.relay.take_fault();
        fault.unwrap_or_else(|| GitError::broken_off(remote, &error.to_string()))
    };
    let answers = Answers::new(&session.remote.auth, remote, true);
    let local = session.relay.open(Route::Fixed { host: host.clone(), port: *port });
    let local = local.map_err(|error| GitError::other("open a local port for the transfer", error))?;
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, local)).map_err(|error| broken(&error))?;
    let mut ssh = ssh2::Session::new().map_err(|error| GitError::other("speak SSH", error))?;
    ssh.set_tcp_stream(stream);
    ssh.handshake().map_err(|error| broken(&error))?;
    let (key, _) = ssh.host_key().ok_or_else(|| broken(&"the server shows no host key"))?;
    answers.trusts(key)?;
    answers.log_in(&ssh, user.as_deref().unwrap_or("git"))?;

    let mut channel = ssh.channel_session().map_err(|error| broken(&error))?;
    let asked_at = Instant::now();
    channel.exec(&format!("git-lfs-authenticate {} download", quoted(path))).map_err(|error| broken(&error))?;
    let (mut told, mut words) = (Vec::new(), Vec::new());
    (&mut channel).take(LONGEST_ANSWER).read_to_end(&mut told).map_err(|error| broken(&error))?;
    channel.stderr().take(LONGEST_ANSWER).read_to_end(&mut words).map_err(|error| broken(&error))?;
    let ended = channel.wait_close().and_then(|()| channel.exit_status()).map_err(|error| broken(&error))?;
    if ended != 0 {
        let words = super::http::excerpt(&String::from_utf8_lossy(&words));
        return Ok(Err(format!("git-lfs-authenticate on {host} ends with {ended}: {words}")));
    }
    let told: Told = match serde_json::from_slice(&told) {
        Ok(told) => told,
        Err(error) => {
            return Ok(Err(format!(
                "git-lfs-authenticate on {host} answers what is not understood: {}",
                clean(&error.to_string())
            )));
        }
    };
    let lasts = told.expires_in.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    Ok(Ok(Access {
        href: told.href.filter(|href| !href.is_empty()),
        headers: told.header.into_iter().collect(),
        until: lasts.map(|lasts| asked_at + lasts.saturating_sub(EARLY)),
    }))
}

/// A word for the shell on the other side, as git quotes paths.
fn quoted(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-~+@%".contains(&byte);
    if path.bytes().all(plain) && !path.starts_with('-') {
        return path.to_owned();
    }
    format!("'{}'", path.replace('\'', "'\\''").replace('!', "'\\!'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_one_word() {
        let table = [
            ("/srv/git/a.git", "/srv/git/a.git"),
            ("~ann/a.git", "~ann/a.git"),
            ("a b", "'a b'"),
            ("a;rm -rf /", "'a;rm -rf /'"),
            ("it's", r"'it'\''s'"),
            ("-x", "'-x'"),
        ];
        for (path, expected) in table {
            assert_eq!(quoted(path), expected);
        }
    }
}
