//! One try: a connection of its own, a request or nothing, and what comes back.

use std::{
    io::{self, ErrorKind},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    Ask, Spoken,
    head::{self, Head},
    hello,
    judge::{Judged, Seen, judge, may_be_tls},
};

/// How long a connection and an answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long the words of a TLS client may take to be answered. One that speaks TLS answers at once; another one may well wait for
/// the rest of a request, and each try would take its whole time.
const HELLO: Duration = Duration::from_secs(2);
/// How long a connection has to stay. The engine's port helper takes one, finds nobody in the container and closes it, all
/// within this.
const STAYS: Duration = Duration::from_millis(200);

/// Asks once, and says what that means for the instance.
pub(crate) async fn attempt(ask: &Ask, patience: Duration) -> Judged {
    let seen = match ask.request() {
        Some(request) => http(ask, request.as_bytes(), patience).await,
        None if ask.spoken == Spoken::H2c => settings(ask, patience).await,
        None => bytes(ask, patience).await,
    };
    let tls = may_be_tls(&ask.spoken, &seen) && speaks_tls(ask, patience).await;
    judge(ask, &seen, tls)
}

async fn http(ask: &Ask, request: &[u8], patience: Duration) -> Seen {
    let mut connected = false;
    let all = async {
        let mut stream = match connect(ask).await {
            Ok(stream) => stream,
            Err(error) => return unconnected(&error),
        };
        connected = true;
        // Where it hung up on the request, it may have said why before.
        let _ = stream.write_all(request).await;
        answer(&mut stream).await
    };
    match timeout(patience, all).await {
        Ok(seen) => seen,
        Err(_) if connected => Seen::Silent(patience),
        Err(_) => Seen::NotConnected(patience),
    }
}

async fn answer(stream: &mut TcpStream) -> Seen {
    let mut bytes = Vec::new();
    loop {
        // No more than there is room for at a time: what is too large is seen before it has grown far.
        let read = stream.read_buf(&mut bytes).await;
        match head::read(&bytes) {
            Head::Whole(status) => {
                leave(stream);
                return Seen::Answer(status);
            }
            Head::TooLarge => return Seen::TooLarge,
            Head::Other => return Seen::Other,
            Head::Begun => {}
        }
        match read {
            Ok(length) if length > 0 => {}
            Ok(_) | Err(_) if !bytes.is_empty() => return Seen::BrokeOff,
            Ok(_) | Err(_) => return Seen::Closed,
        }
    }
}

/// What has come of a body is taken, and no more is waited for: to close upon bytes that nobody took is a reset, which the
/// instance's log would tell as a client that broke off.
fn leave(stream: &TcpStream) {
    let mut sink = [0; 8 << 10];
    for _ in 0..head::BYTES / sink.len() {
        match stream.try_read(&mut sink) {
            Ok(length) if length > 0 => {}
            Ok(_) | Err(_) => return,
        }
    }
}

async fn bytes(ask: &Ask, patience: Duration) -> Seen {
    let mut stream = match timeout(patience, connect(ask)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return unconnected(&error),
        Err(_) => return Seen::NotConnected(patience),
    };
    match timeout(STAYS, stream.read(&mut [0; 64])).await {
        // It waits for us to begin; or it has begun itself.
        Err(_) => Seen::Stays,
        Ok(Ok(length)) if length > 0 => Seen::Stays,
        Ok(Ok(_) | Err(_)) => Seen::Closed,
    }
}

/// The first words of both ends (RFC 9113, 3.4).
async fn settings(ask: &Ask, patience: Duration) -> Seen {
    let mut connected = false;
    let all = async {
        let mut stream = match connect(ask).await {
            Ok(stream) => stream,
            Err(error) => return unconnected(&error),
        };
        connected = true;
        // Ours, and settings without one.
        let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
        let mut head = [0; 9];
        match stream.read_exact(&mut head).await {
            Ok(_) => {
                leave(&stream);
                // The length is bounded by the size of frames; the kind, no flag, and the connection's own stream.
                let [0, 0..=63, _, 4, 0, 0, 0, 0, 0] = head else { return Seen::Other };
                Seen::Settings
            }
            Err(_) => Seen::Closed,
        }
    };
    match timeout(patience, all).await {
        Ok(seen) => seen,
        Err(_) if connected => Seen::Silent(patience),
        Err(_) => Seen::NotConnected(patience),
    }
}

async fn speaks_tls(ask: &Ask, patience: Duration) -> bool {
    let asked = async {
        let mut stream = connect(ask).await?;
        stream.write_all(&hello::client(ask.server_name())).await?;
        let mut answer = [0; hello::ANSWER];
        stream.read_exact(&mut answer).await?;
        leave(&stream);
        io::Result::Ok(hello::is_answered(&answer))
    };
    // Whatever went wrong here went wrong with the request, too, which is what is told.
    matches!(timeout(patience.min(HELLO), asked).await, Ok(Ok(true)))
}

async fn connect(ask: &Ask) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(ask.address).await?;
    // A port of this machine on which nobody listens may be given to this very socket, which is then connected to itself.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(ErrorKind::ConnectionRefused.into());
    }
    if !ask.preamble.is_empty() {
        // Where it has hung up on that, it has on what follows, which is what is told.
        let _ = stream.write_all(ask.preamble).await;
    }
    Ok(stream)
}

fn unconnected(error: &io::Error) -> Seen {
    match error.kind() {
        ErrorKind::ConnectionRefused => Seen::Refused,
        _ => Seen::NoWay(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// One that takes connections, and neither answers nor closes them: its time ends.
    #[tokio::test]
    async fn one_that_hangs_ends_with_its_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ask = Ask::new(listener.local_addr().unwrap(), Spoken::Http { page: "/".to_owned() });
        let patience = Duration::from_millis(60);
        let expected = Judged::Not("no answer to GET / within 60ms".to_owned());
        assert_eq!(attempt(&ask, patience).await, expected);
        // One that has begun to answer hangs, too.
        let server = async {
            let (mut first, _) = listener.accept().await.unwrap();
            let _ = first.write_all(b"HTTP/1.1 200").await;
            let (mut second, _) = listener.accept().await.unwrap();
            second.write_all(b"HTTP/1.1 200").await.unwrap();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            verdict = attempt(&ask, patience) => assert_eq!(verdict, expected),
            () = server => {}
        }
    }
}
