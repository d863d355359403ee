//! Whether turnout-proxy could listen where it is to, and use the certificates that it is to show: it is asked before anything is
//! built, for it has the rights that count.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use tokio::time::timeout;

use super::super::Failure;
use crate::{
    config::Settings,
    steer::Steer,
    switch::{Derived, derived::Listen, said},
    traffic::{CertificateFiles, control::Shown, spot::Host},
};

/// How long it may take to say so, for whoever only asks how things stand.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why it is not known.
#[derive(Debug)]
pub struct Untried {
    /// In words.
    pub why: String,
    /// It does not run: a deployment starts it, and asks then.
    pub is_absent: bool,
}

/// What turnout-proxy cannot do of what was derived, each with what to do. `own`: listeners that go over to it from this
/// repository's own containers.
///
/// # Errors
/// It does not say.
pub async fn tried(settings: &Settings, derived: &Derived, own: &BTreeSet<SocketAddr>) -> Result<Vec<String>, Untried> {
    let (listen, tls) = wanted(derived, own);
    if listen.is_empty() && tls.is_empty() {
        return Ok(Vec::new());
    }
    let steer = Steer::new(PathBuf::from(&settings.proxy_socket));
    match timeout(PATIENCE, steer.tries(listen, tls)).await {
        Ok(Ok(Some(lines))) => Ok(lines),
        Ok(Ok(None)) => Err(untried("it is older than turnout, and does not understand the question; restart it")),
        Ok(Err(error)) => Err(Untried { is_absent: error.is_absent(), why: error.to_string() }),
        Err(_) => Err(untried(&format!("it has not answered within {} s", PATIENCE.as_secs()))),
    }
}

/// The same as a refusal, where there is one.
pub(super) fn refusal(repo: &str, lines: &[String]) -> Option<Failure> {
    let refused = || Failure::new(format!("{repo} cannot be switched: {}", lines.join("; ")));
    (!lines.is_empty()).then(|| refused().hint("nothing was changed, and nothing built"))
}

impl Untried {
    /// What is said of it.
    pub fn text(&self) -> String {
        match self.is_absent {
            true => "turnout-proxy does not run: whether it can listen where it is to, and use its certificates, the deployment \
                     asks before it builds"
                .to_owned(),
            false => format!(
                "whether turnout-proxy can listen where it is to, and use its certificates, is not known: {}",
                self.why
            ),
        }
    }
}

fn untried(why: &str) -> Untried {
    Untried { why: why.to_owned(), is_absent: false }
}

/// Where it is to listen, and what it is to show.
fn wanted(derived: &Derived, own: &BTreeSet<SocketAddr>) -> (Vec<SocketAddr>, Vec<Shown>) {
    let (mut listen, mut tls) = (BTreeSet::new(), Vec::new());
    for route in &derived.routes {
        if let Listen::Host { addresses, port: Some(port) } = &route.listen {
            listen.extend(addresses.iter().map(|address| SocketAddr::new(*address, *port)));
        }
        if let Some(said::Tls::Files { certificate, key }) = &route.tls {
            let files = CertificateFiles { certificate: certificate.clone(), key: key.clone() };
            // What is none was told otherwise.
            let hosts = route.hosts.iter().filter_map(|host| Host::read(host).ok()).collect();
            let shown = Shown { files, hosts };
            if !tls.contains(&shown) {
                tls.push(shown);
            }
        }
    }
    let taken_over = |at: &SocketAddr| {
        let overlaps = |own: &SocketAddr| {
            own.port() == at.port()
                && own.is_ipv4() == at.is_ipv4()
                && (own.ip() == at.ip() || own.ip().is_unspecified() || at.ip().is_unspecified())
        };
        own.iter().any(overlaps)
    };
    (listen.into_iter().filter(|at| !taken_over(at)).collect(), tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_all_that_it_could_not() {
        assert!(refusal("shop", &[]).is_none());
        let failure = refusal("shop", &["a".to_owned(), "b".to_owned()]).unwrap();
        assert_eq!(failure.summary, "shop cannot be switched: a; b");
        let absent = Untried { why: "no turnout-proxy listens".to_owned(), is_absent: true };
        assert!(absent.text().contains("the deployment asks before it builds"), "{}", absent.text());
        assert!(untried("it is older").text().ends_with("is not known: it is older"));
    }
}
