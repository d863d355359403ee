//! What is asked for, and answered: one JSON object, one line each way.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Version of what is said here; another one is refused.
pub(crate) const VERSION: u64 = 1;
/// Bytes of a line, either way.
pub(crate) const BYTES: usize = 64 << 10;
/// Ports of one repository that are led elsewhere at a time.
pub(crate) const LEADS: usize = 64;
/// Ports to which may be led: those that turnout gives out. No program of the system has one of them by right.
pub(crate) const TO: std::ops::RangeInclusive<u16> = 20_000..=32_000;
/// Characters of a repository's name, so that it fits into the comment of a rule.
const NAME: usize = 128;
/// Characters of a daemon's name there.
const DAEMON: usize = 16;

/// New connections to an address are led to another port of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lead {
    /// Where they are made to; with `0.0.0.0` or `[::]` to any address of this machine.
    pub from: SocketAddr,
    /// The port at which they arrive.
    pub to: u16,
}

/// Connections that are open to the ports of a repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Those that are older than the rules, or that none of them led anywhere.
    pub direct: u64,
    /// Those that were led.
    pub led: u64,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// A repository's rules are to be these.
    Set {
        version: u64,
        repository: String,
        /// Whose of several daemons on this machine; an earlier version says nothing of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        daemon: Option<String>,
        leads: Vec<Lead>,
    },
    /// It is to have none.
    Clear {
        version: u64,
        repository: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        daemon: Option<String>,
    },
    /// All rules of that daemon's, and those that are nobody's by name.
    List {
        version: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        daemon: Option<String>,
    },
    /// What was left of rules for connections that were led goes, where those have ended.
    Forget {
        version: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        daemon: Option<String>,
    },
    /// What is open to these ports.
    Open { version: u64, leads: Vec<Lead> },
}

impl Request {
    pub(crate) fn version(&self) -> u64 {
        match self {
            Request::Set { version, .. }
            | Request::Clear { version, .. }
            | Request::List { version, .. }
            | Request::Forget { version, .. }
            | Request::Open { version, .. } => *version,
        }
    }

    /// Whether it is one that may be carried out, as far as it itself says.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.version() != VERSION {
            return Err(format!("version {} is not spoken here, only version {VERSION}", self.version()));
        }
        let (repository, leads) = match self {
            Request::Set { repository, leads, .. } => (Some(repository), leads.as_slice()),
            Request::Clear { repository, .. } => (Some(repository), &[][..]),
            Request::List { .. } | Request::Forget { .. } => (None, &[][..]),
            Request::Open { leads, .. } => (None, leads.as_slice()),
        };
        if let Some(name) = repository.filter(|name| !is_name(name)) {
            return Err(format!("{name:?} is no name of a repository"));
        }
        let daemon = match self {
            Request::Set { daemon, .. }
            | Request::Clear { daemon, .. }
            | Request::List { daemon, .. }
            | Request::Forget { daemon, .. } => daemon.as_ref(),
            Request::Open { .. } => None,
        };
        if let Some(name) = daemon.filter(|name| !is_daemon(name)) {
            return Err(format!("{name:?} is no name of a daemon"));
        }
        if leads.len() > LEADS {
            return Err(format!("{} ports at a time; at most {LEADS} may be", leads.len()));
        }
        for Lead { from, to } in leads {
            if from.port() == 0 || !TO.contains(to) {
                return Err(format!(
                    "{from} is to be led to {to}; only ports from {} to {} are allowed there",
                    TO.start(),
                    TO.end()
                ));
            }
        }
        Ok(())
    }
}

/// As names in a route table are.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME
        && !name.starts_with(['-', '.'])
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// As daemons on one machine are told apart.
pub(crate) fn is_daemon(name: &str) -> bool {
    (1..=DAEMON).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum Answer {
    /// What was asked for is done: the rules are there, or gone.
    Done {
        /// What could not be led, and why: IPv6, where this kernel translates no such addresses.
        #[serde(default)]
        without: Vec<String>,
    },
    /// Rules, by repository.
    Leads { leads: Vec<(String, Lead)> },
    /// Connections; none: the kernel does not say.
    Open { open: Option<Open> },
    /// Nothing was done, or not all.
    Refused { message: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_bounded_is_asked_for() {
        let set = |repository: &str, from: &str, to| Request::Set {
            version: VERSION,
            repository: repository.to_owned(),
            daemon: None,
            leads: vec![Lead { from: from.parse().unwrap(), to }],
        };
        let named = |daemon: &str| Request::Clear {
            version: VERSION,
            repository: "shop".to_owned(),
            daemon: Some(daemon.to_owned()),
        };
        assert_eq!(named("0a1b2c3d").check(), Ok(()));
        assert_eq!(set("shop", "127.0.0.1:80", 20_000).check(), Ok(()));
        for (wrong, why) in [
            (set("shop", "127.0.0.1:80", 22), "only ports"),
            (set("shop", "127.0.0.1:0", 20_000), "only ports"),
            (set("a b", "127.0.0.1:80", 20_000), "no name"),
            (set("-j", "127.0.0.1:80", 20_000), "no name"),
            (set("a/b", "127.0.0.1:80", 20_000), "no name"),
            (Request::List { version: 2, daemon: None }, "version 2"),
            (Request::Forget { version: VERSION, daemon: Some("a b".to_owned()) }, "no name of a daemon"),
            (named("a/b"), "no name of a daemon"),
            (named(""), "no name of a daemon"),
        ] {
            assert!(wrong.check().unwrap_err().contains(why), "{wrong:?}");
        }
        let lead = Lead { from: "[::]:80".parse().unwrap(), to: 20_000 };
        let many = Request::Open { version: VERSION, leads: vec![lead; LEADS + 1] };
        assert!(many.check().unwrap_err().contains("at most"));
        let text = serde_json::to_string(&set("shop", "[::1]:80", 20_000)).unwrap();
        assert_eq!(
            text,
            r#"{"request":"set","version":1,"repository":"shop","leads":[{"from":"[::1]:80","to":20000}]}"#
        );
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), set("shop", "[::1]:80", 20_000));
    }
}
