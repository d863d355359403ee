//! `turnout-proxy renew`: asks the proxy that runs for a successor, and waits until that serves.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use turnout_traffic::control::{Answer, Code, Refusal, Request};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks, and tells how it went.
///
/// # Errors
/// Why no other process serves now; the one that did serves on.
pub(crate) fn ask(socket: &Path) -> Result<(), String> {
    let shown = socket.display();
    let line = Request::Renew.to_line().map_err(|mistakes| mistakes.to_string())?;
    let answer = said(socket, &line).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            format!("no turnout-proxy listens on {shown}: {error}; start it, there is none to be renewed")
        }
        _ => format!("turnout-proxy on {shown} does not answer: {error}; its log says what it does"),
    })?;
    match Answer::from_line(&answer) {
        Ok(Answer::Done { .. }) => {
            let _ =
                writeln!(io::stdout(), "a new process of turnout-proxy serves; open connections end with the old one");
            Ok(())
        }
        Ok(Answer::Refused(Refusal { code: Code::Malformed, .. })) => Err(format!(
            "turnout-proxy on {shown} is older than this question; `systemctl restart turnout-proxy` changes over, new clients \
             wait until requests under way have ended"
        )),
        Ok(Answer::Refused(refusal)) => Err(refusal.message),
        Ok(_) => Err(format!("turnout-proxy on {shown} answers something else than it was asked")),
        Err(mistakes) => Err(format!("turnout-proxy on {shown}: {mistakes}")),
    }
}

fn said(socket: &Path, line: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(line)?;
    let mut answer = Vec::new();
    match BufReader::new(stream).read_until(b'\n', &mut answer)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer),
    }
}
