//! Durations as people write them.

use turnout_compose::model::Duration;

/// A duration without its zeros: `24h`, not `24h0m0s`.
pub(crate) fn short(duration: Duration) -> String {
    let text = duration.to_string();
    let text = text.strip_suffix("m0s").map_or(text.clone(), |rest| format!("{rest}m"));
    text.strip_suffix("h0m").map_or(text.clone(), |rest| format!("{rest}h"))
}
