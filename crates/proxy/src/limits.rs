//! How many connections the process can have: each takes two file descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for all else: listeners, each twice, the control socket, the route file, the runtime.
const OTHERS: u64 = 64 + 2 * turnout_traffic::bounds::ROUTES as u64;

/// Raises the process's own limit as far as it may, and gives the number of connections that fit, at most `wanted`.
pub(crate) fn connections(wanted: u32) -> u32 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
    let fit = fitting(getrlimit(Resource::Nofile).current, wanted);
    if fit < wanted {
        tracing::warn!(
            "the limit of open files (LimitNOFILE of the unit) leaves room for fewer connections: {fit}, not {wanted}"
        );
    }
    fit
}

fn fitting(files: Option<u64>, wanted: u32) -> u32 {
    let fit = files.map_or(u64::MAX, |files| files.saturating_sub(OTHERS) / 2);
    u32::try_from(fit).unwrap_or(u32::MAX).clamp(1, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_two_files() {
        for (files, wanted, expected) in [
            (None, 9, 9),
            (Some(OTHERS + 20), 9, 9),
            (Some(OTHERS + 20), 11, 10),
            (Some(OTHERS), 9, 1),
            (Some(3), 9, 1),
        ] {
            assert_eq!(fitting(files, wanted), expected, "{files:?}");
        }
    }
}
