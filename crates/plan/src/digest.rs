//! Digests as a sentence shows them: short, and without the name of their kind.

/// The part of a digest or ID that fits in a sentence.
pub(crate) fn short(digest: &str) -> String {
    digest.strip_prefix("sha256:").unwrap_or(digest).chars().take(12).collect()
}
