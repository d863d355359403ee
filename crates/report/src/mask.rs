//! What stands for a secret, and which texts are taken for one.

/// What stands in the place of a secret.
pub const MASK: &str = "[redacted]";

/// Secrets shorter than this many bytes are not registered: they would blot out ordinary words.
pub const SHORTEST_SECRET: usize = 4;

/// Bytes of a project's secrets that are looked for.
pub const MOST_OF_PROJECT: usize = 512 << 10;
