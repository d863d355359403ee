//! Whose certificates a proxy obtains by ACME, and for whom: as turnout tells it over the control socket, and as it is kept.

use serde::{Deserialize, Serialize};

use crate::{bounds, mistake::quoted, reading::Reading, tree::Tree};

/// The authority that most have: Let's Encrypt.
pub const USUAL_DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Addresses that an authority may write to.
const CONTACTS: usize = 8;
/// Characters of a URL or of an address.
const TEXT: usize = 1_024;
const KEYS: [&str; 4] = ["directory", "contact", "trust", "challenge"];

/// Whose terms somebody agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// The address of its directory, `https://…`.
    pub directory: String,
    /// Whom it may write to: addresses such as `admin@example.org`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contact: Vec<String>,
    /// A file, in PEM form, with the authority that signed its own certificate; without one, whom the system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<String>,
    /// How hosts are proven, `http-01` or `tls-alpn-01`; without it, by the port of their routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<Challenge>,
}

/// How a host is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Challenge {
    /// By an answer to a request on port 80 (RFC 8555, 8.3).
    #[serde(rename = "http-01")]
    Http,
    /// By a certificate in a handshake on port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn,
}

/// A directory's address, if it is one.
///
/// # Errors
/// What is wrong with it.
pub fn directory(text: &str) -> Result<String, &'static str> {
    let host = text.strip_prefix("https://").unwrap_or_default();
    let plain = text.len() <= TEXT && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    match plain && !host.is_empty() && !host.starts_with('/') {
        true => Ok(text.to_owned()),
        false => Err("is no https:// address"),
    }
}

/// An address to write to, if it is one.
///
/// # Errors
/// What is wrong with it.
pub fn contact(text: &str) -> Result<String, &'static str> {
    let plain = text.len() <= TEXT && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == ',');
    match text.split_once('@') {
        Some((user, host)) if plain && !user.is_empty() && !host.is_empty() && !text.starts_with("mailto:") => {
            Ok(text.to_owned())
        }
        _ => Err("is no address such as admin@example.org"),
    }
}

fn trust(text: &str) -> Result<String, &'static str> {
    let plain = text.len() <= bounds::FILE && !text.contains('\0');
    if text.starts_with('/') && plain { Ok(text.to_owned()) } else { Err("is no path of a file that begins with /") }
}

impl Challenge {
    /// As the protocol writes it.
    pub fn word(self) -> &'static str {
        match self {
            Challenge::Http => "http-01",
            Challenge::TlsAlpn => "tls-alpn-01",
        }
    }

    /// From the protocol's word.
    pub fn parse(text: &str) -> Option<Challenge> {
        [Challenge::Http, Challenge::TlsAlpn].into_iter().find(|one| one.word() == text)
    }
}

impl Reading {
    pub(crate) fn authority(&mut self, path: &str, tree: &Tree) -> Option<Authority> {
        let fields = self.fields(path, tree, &KEYS, &[])?;
        let said = self.required_text(&fields, "directory");
        let directory = said.and_then(|text| self.read_text(&fields.at("directory"), text, directory));
        let contact = self.each_once(&fields, "contact", CONTACTS, contact);
        let trust = match self.optional_text(&fields, "trust") {
            Some(Some(text)) => self.read_text(&fields.at("trust"), text, trust).map(Some),
            other => other.map(|_| None),
        };
        let challenge = match self.optional_text(&fields, "challenge") {
            Some(Some(word)) => {
                let known = Challenge::parse(word);
                if known.is_none() {
                    let message = format!("{} is not known; known here: http-01, tls-alpn-01", quoted(word));
                    self.wrong(fields.at("challenge"), message);
                }
                known.map(Some)
            }
            other => other.map(|_| None),
        };
        Some(Authority { directory: directory?, contact: contact?, trust: trust?, challenge: challenge? })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::control::Request;

    #[test]
    fn what_is_written_is_read_and_what_is_wrong_is_named() {
        let whole = Authority {
            directory: USUAL_DIRECTORY.to_owned(),
            contact: vec!["admin@example.org".to_owned()],
            trust: Some("/etc/ca.pem".to_owned()),
            challenge: Some(Challenge::TlsAlpn),
        };
        let least = Authority { contact: Vec::new(), trust: None, challenge: None, ..whole.clone() };
        for authority in [Some(whole), Some(least), None] {
            let request = Request::Authority { authority };
            assert_eq!(Request::from_line(&request.to_line().unwrap()).unwrap(), request);
        }
        for (wrong, expected) in [
            (json!({}), "authority.directory: is missing"),
            (json!({"directory": "http://a"}), "authority.directory: `http://a` is no https:// address"),
            (json!({"directory": "https://"}), "authority.directory: `https://` is no https:// address"),
            (json!({"directory": "https://a", "contact": ["a"]}), "authority.contact[0]: `a` is no address such as"),
            (json!({"directory": "https://a", "contact": ["mailto:a@b"]}), "`mailto:a@b` is no address such as"),
            (json!({"directory": "https://a", "trust": "ca.pem"}), "authority.trust: `ca.pem` is no path"),
            (
                json!({"directory": "https://a", "challenge": "dns-01"}),
                "authority.challenge: `dns-01` is not known; known here: http-01, tls-alpn-01",
            ),
            (json!({"directory": "https://a", "terms": true}), "authority.terms: unknown key"),
        ] {
            let line = json!({"version": 1, "request": "authority", "authority": wrong}).to_string();
            let refusal = Request::from_line(line.as_bytes()).unwrap_err();
            assert!(refusal.message.contains(expected), "{}", refusal.message);
        }
    }
}
