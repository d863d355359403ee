//! Certificates that turnout-proxy obtains by ACME: what of it is refused, whose they are, and how they stand.

use std::sync::{Mutex, PoisonError};

use super::{super::Deployer, made::Made, stands::Stands};
use crate::{
    config::Settings,
    steer::Steer,
    switch::{Derived, said},
    traffic::{
        Authority, Challenge,
        authority::{contact, directory},
        control::{CertificateStatus, Status},
        spot::Host,
    },
};

/// Why routes with `tls: acme` cannot be served as they are written, each with what to write.
pub fn refused(derived: &Derived, settings: &Settings) -> Vec<String> {
    let mut refused = Vec::new();
    for route in derived.routes.iter().filter(|route| route.tls == Some(said::Tls::Auto)) {
        let place = format!("the route to {}:{}", route.service, route.port);
        if !settings.acme_agree_terms {
            refused.push(format!(
                "{place}: with tls: acme certificates are obtained in your name, and nobody has agreed to the terms of their \
                 authority; write TURNOUT_ACME_AGREE_TERMS=true (and TURNOUT_ACME_CONTACT) into turnout's settings, or files: \
                 tls: {{ certificate: …, key: … }}"
            ));
        }
        if route.hosts.is_empty() {
            refused.push(format!(
                "{place}: tls: acme needs hosts, for certificates are obtained for names; write: hosts: [shop.example.org]"
            ));
        }
        for host in route.hosts.iter().filter_map(|host| Host::read(host).ok()) {
            let why = match &host {
                Host::Below(_) => "a wildcard is proven by DNS alone (dns-01), which is not there; name each host",
                Host::Exact(name) if name.parse::<std::net::IpAddr>().is_ok() => {
                    "it is an address, and certificates are obtained for names"
                }
                Host::Exact(_) => continue,
            };
            refused.push(format!("{place}: host {host}: {why}, or write files: tls: {{ certificate: …, key: … }}"));
        }
    }
    refused
}

/// Whose certificates the settings want. None: nobody has agreed to anything.
fn wanted(settings: &Settings) -> Result<Option<Authority>, String> {
    if !settings.acme_agree_terms {
        return Ok(None);
    }
    let parts = settings.acme_contact.split([',', ' ']).filter(|part| !part.is_empty());
    let contact = parts.map(|part| contact(part).map_err(|why| format!("TURNOUT_ACME_CONTACT: `{part}` {why}")));
    let at = &settings.acme_directory;
    Ok(Some(Authority {
        directory: directory(at).map_err(|why| format!("TURNOUT_ACME_DIRECTORY: `{at}` {why}"))?,
        contact: contact.collect::<Result<_, String>>()?,
        trust: settings.acme_trust.as_ref().map(|file| file.to_string_lossy().into_owned()),
        challenge: Challenge::parse(settings.acme_challenge),
    }))
}

/// Tells a proxy where certificates are obtained, where it knows otherwise. What goes wrong is said once.
pub(super) async fn tell(settings: &Settings, steer: &Steer, status: &Status) {
    static SAID: Mutex<String> = Mutex::new(String::new());
    let outcome = match wanted(settings) {
        Ok(wanted) if wanted.as_ref() == status.authority.as_deref() => return,
        Ok(wanted) => steer.authority(wanted).await.map_err(|error| error.to_string()),
        Err(message) => Err(message),
    };
    let message = outcome.err().unwrap_or_default();
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if !message.is_empty() && *said != message {
        tracing::error!("turnout-proxy obtains certificates as it was told before: {message}");
    }
    *said = message;
}

impl Deployer {
    /// How the certificates of a repository's live routes stand, as the proxy says; nothing, where it is not asked for any.
    pub async fn obtained(&self, repo: &str, stands: &Stands) -> Vec<CertificateStatus> {
        let made = stands.live().and_then(|live| Made::read(&live.made).ok());
        if !made.is_some_and(|made| made.obtains()) {
            return Vec::new();
        }
        // That it does not answer is told of the live colour.
        let Some(Ok(status)) = self.proxy_status().await else { return Vec::new() };
        let routes = status.routes.iter().filter(|route| route.repository == repo);
        let hosts: Vec<&String> = routes.flat_map(|route| &route.hosts).collect();
        status.certificates.iter().filter(|of| hosts.contains(&&of.host)).cloned().collect()
    }
}
