//! What is known of a host, beside its certificate. It survives on the disk (`files`).

use serde::{Deserialize, Serialize};

/// What is known of a host, beside its certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Whose the certificate is, and all that follows.
    pub directory: String,
    /// The order that is under way.
    pub order: Option<UnderWay>,
    /// Failures in a row.
    pub failures: u32,
    /// Not to be tried before; seconds since 1970.
    pub not_before: i64,
    /// The authority forbids it before.
    pub forbidden_until: i64,
    /// What the last failure said.
    pub said: Option<String>,
}

/// An order that is under way.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    /// The order's address at the authority, under which it is asked for again after a restart.
    pub url: String,
    /// The key that its certificate will have, in PEM form.
    pub key: String,
}

impl std::fmt::Debug for UnderWay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnderWay").field("url", &self.url).finish_non_exhaustive()
    }
}
