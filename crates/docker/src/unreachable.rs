//! Why an engine cannot be reached, and what to do about it.

use turnout_report::with_sources;

use super::{endpoint::Endpoint, error::EngineError};

/// What a word in a reason means, the first that fits.
type Hints = &'static [(&'static str, &'static str)];

const SOCKET: Hints = &[
    (
        "permission denied",
        "this user may not use the socket: run as a member of the group `docker`, for instance with \
         `SupplementaryGroups=docker` in the unit, and log in anew after `usermod -aG docker USER`",
    ),
    ("not found", NO_SOCKET),
    ("no such file", NO_SOCKET),
    ("refused", "the socket is there but nothing listens: `systemctl start docker` and look at `journalctl -u docker`"),
    ("timeout", SILENT),
    ("timed out", SILENT),
];
const NO_SOCKET: &str =
    "there is no socket: is Docker installed and running? `systemctl start docker`, or set DOCKER_HOST";
const SILENT: &str = "the daemon is there but does not answer: look at `journalctl -u docker`";

const NETWORK: Hints = &[
    ("http request to an https server", WANTS_TLS),
    ("lookup", NO_SUCH_HOST),
    ("name or service", NO_SUCH_HOST),
    ("refused", "nothing listens there: is the daemon told to (`hosts` in its daemon.json), is the port right?"),
    ("timeout", FAR),
    ("timed out", FAR),
    ("unreachable", FAR),
    // An engine that speaks TLS ends what is not TLS.
    ("connection closed", WANTS_TLS),
    ("invalid http", WANTS_TLS),
];
const WANTS_TLS: &str = "does this engine want TLS? set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to the directory of ca.pem, cert.pem and key.pem";
const NO_SUCH_HOST: &str = "this host name is not known: check DOCKER_HOST";
const FAR: &str = "no answer: is the machine up, and does a firewall stand between?";

const TLS: Hints = &[
    (
        "certificate file",
        "put the file there, or set DOCKER_CERT_PATH to the directory of ca.pem, cert.pem and key.pem",
    ),
    ("does not belong to", "put the key of that certificate there"),
    ("in pem form", "replace that file, or set DOCKER_CERT_PATH to another directory"),
    ("hostname mismatch", OTHER_NAME),
    ("ip address mismatch", OTHER_NAME),
    (
        "certificate is refused: certificate has expired",
        "renew the daemon's certificate; is this machine's clock right?",
    ),
    ("certificate is refused: certificate is not yet valid", "is this machine's clock right?"),
    (
        "certificate is refused",
        "the certificate of this daemon is not signed by our ca.pem: is it the right daemon, the right ca.pem?",
    ),
    ("alert certificate required", NO_IDENTITY),
    ("alert handshake failure", NO_IDENTITY),
    ("alert bad certificate", OUR_IDENTITY),
    ("alert unknown ca", OUR_IDENTITY),
    ("alert certificate unknown", OUR_IDENTITY),
    ("alert certificate expired", "the daemon refuses our cert.pem because it has expired: renew it"),
    ("alert decrypt error", OUR_IDENTITY),
    ("connection reset", HUNG_UP),
    ("broken pipe", HUNG_UP),
    ("connection closed", HUNG_UP),
    (
        "wrong version number",
        "this port does not speak TLS: unset DOCKER_TLS_VERIFY and DOCKER_TLS, or use the port that does (2376)",
    ),
    (
        "packet length too long",
        "this port does not speak TLS: unset DOCKER_TLS_VERIFY and DOCKER_TLS, or use the port that does (2376)",
    ),
    ("lookup", NO_SUCH_HOST),
    ("name or service", NO_SUCH_HOST),
    ("refused", "nothing listens there: is the daemon told to (`hosts` in its daemon.json), is the port right?"),
    ("timeout", FAR),
    ("timed out", FAR),
    ("unreachable", FAR),
];
const OTHER_NAME: &str = "the daemon's certificate is for another name: use one of its names in DOCKER_HOST, or have it renewed with this one";
const NO_IDENTITY: &str =
    "the daemon wants a certificate of ours: put cert.pem and key.pem beside ca.pem (DOCKER_CERT_PATH)";
const HUNG_UP: &str = "the daemon hung up when TLS had begun: it may refuse our cert.pem, which must be signed by the authority it trusts";
const OUR_IDENTITY: &str = "the daemon refuses our cert.pem: it must be signed by the authority that the daemon trusts";

const SSH: Hints = &[
    (
        "host key verification failed",
        "connect once by hand and compare the key, or add it with `ssh-keyscan` to ~/.ssh/known_hosts",
    ),
    // Of the far end's engine, before that of its SSH server.
    (
        "permission denied while trying",
        "on that machine the user may not use the engine: `usermod -aG docker USER` there",
    ),
    (
        "permission denied (",
        "the server takes none of our keys: `ssh -o BatchMode=yes USER@HOST true` must succeed for the user this runs as",
    ),
    ("could not resolve hostname", "this host name is not known: check DOCKER_HOST and ~/.ssh/config"),
    ("command not found", NO_DOCKER),
    ("docker: not found", NO_DOCKER),
    ("unknown command", NO_DOCKER),
    ("connection refused", "nothing listens there for SSH: is the port right? write ssh://USER@HOST:PORT"),
    ("timed out", FAR),
    ("could not be started", "DOCKER_HOST names an SSH address, which needs that program"),
    ("dial unix", NO_FAR_ENGINE),
    ("cannot connect to the docker daemon", NO_FAR_ENGINE),
];
const NO_DOCKER: &str =
    "on that machine the command `docker` (18.09 or later) must be in the PATH of a shell that is not interactive";
const NO_FAR_ENGINE: &str = "on that machine no engine answers: `systemctl start docker` there";

/// Turns a failed first contact into a text that says what to do.
pub(super) fn unreachable(endpoint: &Endpoint, error: &dyn std::error::Error) -> EngineError {
    let reason = with_sources(error);
    let lower = reason.to_lowercase();
    let hints = match endpoint {
        Endpoint::Unix(_) => SOCKET,
        Endpoint::Tcp(_) => NETWORK,
        Endpoint::Tls { .. } => TLS,
        Endpoint::Ssh(_) => SSH,
    };
    let known = hints.iter().find(|(word, _)| lower.contains(word)).map(|(_, hint)| *hint);
    let hint = known.unwrap_or("is this a Docker Engine? check DOCKER_HOST and `docker version`").to_owned();
    EngineError::Unreachable { endpoint: endpoint.to_string(), reason, hint }
}
