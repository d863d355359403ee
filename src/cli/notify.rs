//! Tells the service manager how the daemon does (`sd_notify`): ready, its status text, the watchdog, the end.

/// Tells systemd, if it has started us.
pub(super) fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be told");
    }
}
