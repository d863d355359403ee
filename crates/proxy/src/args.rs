//! The grammar of the command line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, value_parser};
use tracing::level_filters::LevelFilter;

use crate::{access::Format, worker};

/// Listens where stacks are published, and passes connections on to the colour that is live.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serves what the route file says, until SIGTERM
    Run(Box<Settings>),
    /// Has a new process of the program take over, with nobody refused or cut; ends when it serves
    Renew {
        /// The control socket of the proxy that runs
        #[arg(long, value_name = "PATH", default_value = SOCKET)]
        socket: PathBuf,
    },
    /// Answers one question about redirects from standard input, and ends; needs NET_ADMIN, and nothing else of this program
    Redirect,
    /// Tells all mistakes of a route file
    Check {
        /// The route file
        file: PathBuf,
    },
}

/// Where the control socket is, unless it is said otherwise.
const SOCKET: &str = "/run/turnout-proxy/control.sock";

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Settings {
    /// Where the route file is kept; no other program writes there
    #[arg(long, value_name = "DIR", default_value = "/var/lib/turnout-proxy")]
    pub(crate) state_dir: PathBuf,
    /// The control socket, where no service manager hands one over; its owner may use such a one
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    pub(crate) socket: PathBuf,
    /// Access mode of the control socket, where no service manager hands one over
    #[arg(long, value_name = "MODE", default_value = "660", value_parser = mode)]
    pub(crate) socket_mode: u32,
    /// A user (by number) who may use the control socket, beside root and the proxy's own; may be said several times
    #[arg(long, value_name = "UID")]
    pub(crate) control_user: Vec<u32>,
    /// Connections at a time; others wait to be taken
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(crate) max_connections: u32,
    /// Connections at a time of one route, so that a crowd at one leaves room for the others
    #[arg(long, value_name = "N", default_value_t = 8_192, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(crate) max_connections_per_route: u32,
    /// Seconds that open connections have when the proxy ends
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = value_parser!(u32).range(0..=86_400))]
    pub(crate) grace: u32,
    /// Seconds that open connections have when another process of the proxy has taken over
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, value_parser = value_parser!(u32).range(0..=86_400))]
    pub(crate) linger: u32,
    /// Threads that serve connections, at most 16; without it one for each processor
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<usize>,
    #[command(flatten)]
    pub(crate) times: Times,
    /// A file to which a line is appended for each HTTP request, opened anew at SIGHUP; `-` is the standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) access_log: Option<PathBuf>,
    /// How its lines are written
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    pub(crate) access_log_format: Format,
    /// An address at which GET /metrics is answered, for Prometheus
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<SocketAddr>,
    /// What is logged: error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: LevelFilter,
}

/// How long the stages of an HTTP request may take.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Times {
    /// Seconds from the first byte of a request to the end of its head, however steadily it trickles
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) head_timeout: Duration,
    /// Seconds that a client's connection may be without a request
    #[arg(long, value_name = "SECONDS", default_value = "75", value_parser = seconds)]
    pub(crate) keep_alive: Duration,
    /// Seconds without a byte of a request's body, while it is waited for
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) body_timeout: Duration,
    /// Seconds in which a client takes nothing of its answer
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) take_timeout: Duration,
    /// Seconds from the sending of a request to the head of its answer
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    pub(crate) answer_timeout: Duration,
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=worker::MOST) => Ok(count),
        _ => Err(format!("a whole number from 1 to {} is wanted", worker::MOST)),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("a whole number of seconds from 1 to 86400 is wanted".to_owned()),
    }
}

fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("an access mode is written as 660 or 0600".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_holds_together() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
        for (text, expected) in
            [("660", Ok(0o660)), ("0600", Ok(0o600)), ("888", Err(())), ("1777", Err(())), ("", Err(()))]
        {
            assert_eq!(mode(text).map_err(drop), expected, "{text}");
        }
    }
}
