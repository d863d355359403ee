//! A signed push, as GitHub sends it.

use std::net::SocketAddr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{http, unique};

/// What the push says. Change fields to make it say something else.
#[derive(Debug, Clone)]
pub struct Push {
    /// `owner/name`, as the forge calls the repository.
    pub full_name: String,
    /// `refs/heads/…` or `refs/tags/…`.
    pub git_ref: String,
    /// Commit before; all zero for a new branch.
    pub before: String,
    /// Commit after; all zero for a deleted branch.
    pub after: String,
    /// Value of `X-GitHub-Delivery`.
    pub delivery: String,
    /// Value of `X-GitHub-Event`.
    pub event: String,
}

impl Push {
    /// A push of `after` to `main` of `owner/name`.
    pub fn new(full_name: &str, before: &str, after: &str) -> Self {
        Self {
            full_name: full_name.to_owned(),
            git_ref: "refs/heads/main".to_owned(),
            before: before.to_owned(),
            after: after.to_owned(),
            delivery: unique("delivery-"),
            event: "push".to_owned(),
        }
    }

    /// The JSON body: the fields a push has, with the values of this one.
    pub fn body(&self) -> Value {
        let (owner, name) = self.full_name.split_once('/').unwrap_or(("someone", &self.full_name));
        let zero = |id: &str| id.bytes().all(|b| b == b'0');
        let commit = json!({
            "id": self.after, "message": "A change", "timestamp": "2026-01-02T03:04:05Z",
            "author": {"name": "A. Person", "email": "person@example.org", "username": "person"},
            "added": [], "removed": [], "modified": [],
        });
        json!({
            "ref": self.git_ref, "before": self.before, "after": self.after,
            "created": zero(&self.before), "deleted": zero(&self.after), "forced": false,
            "repository": {
                "id": 1, "name": name, "full_name": self.full_name, "private": true,
                "owner": {"name": owner, "login": owner}, "default_branch": "main",
                "created_at": 1_700_000_000, "pushed_at": 1_700_000_001,
            },
            "pusher": {"name": "person", "email": "person@example.org"},
            "sender": {"login": "person", "id": 2},
            "head_commit": if zero(&self.after) { Value::Null } else { commit.clone() },
            "commits": if zero(&self.after) { json!([]) } else { json!([commit]) },
        })
    }

    /// Sends it to `POST /webhook`, signed with `secret`.
    pub fn send(&self, to: SocketAddr, secret: &str) -> http::Response {
        let body = self.body().to_string();
        let signature = sign(secret, body.as_bytes());
        self.send_raw(to, "application/json", body.as_bytes(), Some(&signature))
    }

    /// Sends any body with any signature header.
    pub fn send_raw(&self, to: SocketAddr, kind: &str, body: &[u8], signature: Option<&str>) -> http::Response {
        let mut headers = vec![
            ("Content-Type", kind),
            ("User-Agent", "GitHub-Hookshot/0000000"),
            ("X-GitHub-Event", &self.event),
            ("X-GitHub-Delivery", &self.delivery),
        ];
        headers.extend(signature.map(|value| ("X-Hub-Signature-256", value)));
        http::request(to, "POST", "/webhook", &headers, body).expect("POST /webhook is answered")
    }
}

/// The value of `X-Hub-Signature-256`.
pub fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}
