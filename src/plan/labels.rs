//! Compose's label names as the planner reads them.

pub(super) const PROJECT: &str = "com.docker.compose.project";
pub(super) const NETWORK: &str = "com.docker.compose.network";
pub(super) const CONFIG_HASH: &str = "com.docker.compose.config-hash";
pub(super) const ONEOFF: &str = "com.docker.compose.oneoff";
pub(super) const NUMBER: &str = "com.docker.compose.container-number";
pub(super) const DEPENDS_ON: &str = "com.docker.compose.depends_on";

/// The part of a digest that fits in a sentence.
pub(super) fn short(digest: &str) -> String {
    digest.strip_prefix("sha256:").unwrap_or(digest).chars().take(12).collect()
}
