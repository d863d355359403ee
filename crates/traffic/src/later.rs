//! What the switch will bring, and turnout-proxy cannot do yet: refused by name, so that nobody takes it for a slip of the
//! pen, or for something that works.

/// Keys of a route.
pub const ROUTE_KEYS: &[&str] = &["tls", "redirect", "hsts", "headers", "analysis"];
/// States of a route that are states of its repository.
pub const STATES: &[&str] = &["hold", "maintain"];
/// The sentence with which such a word is refused.
pub(crate) fn not_yet(what: &str) -> String {
    format!("{what} comes with the switch: this turnout-proxy carries TCP, TLS and HTTP only")
}
