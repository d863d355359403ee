//! Small servers on the loopback network, each of which is ready, or not, in its own way.
#![allow(
    clippy::disallowed_methods,
    reason = "tests go by the clock of the machine; sleeps are looked for in architecture.rs"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code: a failure is the report")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use openssl::{
    asn1::Asn1Time,
    hash::MessageDigest,
    pkey::PKey,
    rsa::Rsa,
    ssl::{Ssl, SslAcceptor, SslMethod, SslVersion},
    x509::{X509, X509Name},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use turnout_gate::{Ask, Protocol, Ready, Spoken, ready, ready_within};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough for several tries.
const SHORT: Duration = Duration::from_millis(700);

/// A server that does this with each connection, which is given its number, from 0.
async fn serve<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream, u32) -> F + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve_on(listener, serve));
    address
}

async fn serve_on<F: Future<Output = ()> + Send>(
    listener: TcpListener,
    serve: impl Fn(TcpStream, u32) -> F + Send + Sync + 'static,
) {
    for number in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, number).await;
    }
}

/// Reads a request whole, or the beginning of TLS, and answers.
async fn answer(mut stream: TcpStream, text: &str) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") && !request.starts_with(&[0x16]) {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            break;
        }
    }
    let _ = stream.write_all(text.as_bytes()).await;
    String::from_utf8_lossy(&request).into_owned()
}

fn http(status: u16) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
}

fn page() -> String {
    "/up".to_owned()
}

fn ask(address: SocketAddr, spoken: Spoken) -> Ask {
    Ask { apart: Duration::from_millis(5), ..Ask::new(address, spoken) }
}

/// Ready, and what was told until then.
async fn asked(ask: &Ask) -> (Ready, Vec<String>) {
    let mut told = Vec::new();
    let ready = ready_within(ask, PATIENCE, |kind| told.push(kind.to_owned())).await;
    (ready.unwrap_or_else(|error| panic!("{error}")), told)
}

/// Not ready, and what was told until then.
async fn asked_in_vain(ask: &Ask) -> (String, Vec<String>) {
    let mut told = Vec::new();
    let error = ready_within(ask, SHORT, |kind| told.push(kind.to_owned())).await.unwrap_err();
    assert!(error.asked > 1, "{error}");
    (error.last, told)
}

#[tokio::test]
async fn a_good_one_is_ready_after_three_answers_on_connections_of_their_own() {
    let heads = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let address = serve(move |stream, _| {
        let seen = Arc::clone(&seen);
        async move {
            let head = answer(stream, &http(200)).await;
            seen.lock().unwrap().push(head);
        }
    })
    .await;
    for spoken in [Spoken::Http { page: page() }, Spoken::Unknown { page: page() }] {
        let ask = Ask { host: Some("shop.example.org".to_owned()), ..ask(address, spoken) };
        let expected = Ready { protocol: Protocol::Http, status: Some(200), asked: 3 };
        assert_eq!(asked(&ask).await, (expected, vec![]));
    }
    let heads = heads.lock().unwrap();
    assert_eq!(heads.len(), 6, "a connection each");
    assert!(heads.iter().all(|head| head.starts_with("GET /up HTTP/1.1\r\nHost: shop.example.org\r\n")), "{heads:?}");
}

#[tokio::test]
async fn good_answers_are_not_of_one_moment() {
    let address = serve(|stream, _| async move { drop(answer(stream, &http(200)).await) }).await;
    let since = std::time::Instant::now();
    asked(&Ask::new(address, Spoken::Http { page: page() })).await;
    assert!(since.elapsed() >= Duration::from_millis(75), "{:?}", since.elapsed());
}

#[tokio::test]
async fn one_failure_begins_anew() {
    // Two good ones, a bad one, and good ones from there.
    let address = serve(|stream, number| async move {
        drop(answer(stream, &http(if number == 2 { 500 } else { 200 })).await);
    })
    .await;
    let (ready, told) = asked(&ask(address, Spoken::Http { page: page() })).await;
    assert_eq!(ready.asked, 6);
    assert_eq!(told, ["HTTP 500 for GET /up"]);
}

#[tokio::test]
async fn what_is_waited_for_is_told_whenever_it_is_something_else() {
    let address = serve(|stream, number| async move {
        let status = [503, 502, 502, 503, 200][usize::try_from(number).unwrap().min(4)];
        drop(answer(stream, &http(status)).await);
    })
    .await;
    let (ready, told) = asked(&ask(address, Spoken::Unknown { page: page() })).await;
    assert_eq!((ready.asked, ready.status), (7, Some(200)));
    assert_eq!(told, ["HTTP 503 for GET /up", "HTTP 502 for GET /up", "HTTP 503 for GET /up"]);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let address = serve(move |stream, _| {
        let counted = Arc::clone(&counted);
        async move {
            counted.fetch_add(1, Relaxed);
            drop(answer(stream, "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n").await);
        }
    })
    .await;
    let (ready, _) = asked(&ask(address, Spoken::Http { page: page() })).await;
    assert_eq!((ready.status, count.load(Relaxed)), (Some(302), 3));
}

#[tokio::test]
async fn an_answer_in_pieces_and_after_a_hint_is_one() {
    let address = serve(|mut stream, _| async move {
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
        stream.set_nodelay(true).unwrap();
        for piece in ["HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHT", "TP/1.1 404 Not ", "Found\r\n", "\r\n"] {
            let _ = stream.write_all(piece.as_bytes()).await;
            tokio::task::yield_now().await;
        }
        // Its body never ends; nobody waits for it.
        tokio::spawn(async move { drop(stream.read(&mut [0; 1]).await) });
    })
    .await;
    let (ready, told) = asked(&ask(address, Spoken::Http { page: page() })).await;
    assert_eq!((ready.status, told), (Some(404), vec![]));
}

#[tokio::test]
async fn what_closes_or_answers_otherwise_is_not_ready() {
    for (said, expected) in [
        ("", "connection closed without an answer to GET /up"),
        ("HTTP/1.1 200 O", "an answer to GET /up that broke off"),
        ("220 mail ESMTP password=hunter2\r\n", "an answer to GET /up that is no HTTP"),
        ("HTTP/2 200\r\n\r\n", "an answer to GET /up that is no HTTP"),
    ] {
        let address = serve(move |stream, number| async move {
            if said.is_empty() && number % 2 == 1 {
                // A reset is the same.
                stream.set_zero_linger().unwrap();
            }
            drop(answer(stream, said).await);
        })
        .await;
        for spoken in [Spoken::Http { page: page() }, Spoken::Unknown { page: page() }] {
            let (last, told) = asked_in_vain(&ask(address, spoken)).await;
            assert_eq!((last.as_str(), told), (expected, vec![expected.to_owned()]));
        }
    }
}

#[tokio::test]
async fn a_head_without_end_is_not_read_without_end() {
    let address = serve(|mut stream, _| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await;
        while sent.is_ok() {
            sent = stream.write_all(&[b'x'; 4096]).await;
        }
    })
    .await;
    let (last, _) = asked_in_vain(&ask(address, Spoken::Http { page: page() })).await;
    assert_eq!(last, "an answer to GET /up whose head is too large");
}

#[tokio::test]
async fn one_that_hangs_ends_with_the_time_that_was_given() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ask = ask(listener.local_addr().unwrap(), Spoken::Unknown { page: "/up?key=hunter2".to_owned() });
    let error = ready_within(&ask, Duration::from_millis(50), |_| ()).await.unwrap_err();
    assert_eq!((error.asked, error.last.as_str()), (0, "nothing"));
    let told = error.to_string().replace(&ask.address.to_string(), "ADDRESS");
    assert_eq!(
        told,
        "ADDRESS was not ready within 50ms: asked 0 times for GET /up?…, and what came last was: nothing. Look into its log; \
         where it speaks no HTTP, write `protocol: tcp`; where another page tells that it is ready, name it under `health:`"
    );
}

/// Listens once somebody was refused.
#[tokio::test]
async fn a_slow_one_is_waited_for() {
    for (spoken, protocol) in [(Spoken::Unknown { page: page() }, Protocol::Http), (Spoken::Tcp, Protocol::Tcp)] {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let refused = Arc::new(Notify::new());
        let begins = Arc::clone(&refused);
        tokio::spawn(async move {
            begins.notified().await;
            let listener = TcpListener::bind(address).await.unwrap();
            serve_on(listener, |stream, _| async move {
                tokio::spawn(async move { drop(answer(stream, &http(204)).await) });
            })
            .await;
        });
        let mut told = Vec::new();
        let ask = ask(address, spoken);
        let ready = ready(&ask, |kind| {
            told.push(kind.to_owned());
            refused.notify_one();
        });
        let ready = tokio::time::timeout(PATIENCE, ready).await.unwrap();
        assert_eq!((ready.protocol, told), (protocol, vec!["connection refused".to_owned()]));
        assert!(ready.asked > 3);
    }
}

#[tokio::test]
async fn bytes_are_ready_when_a_connection_stays_or_something_is_said() {
    // Waits for the client.
    let silent = serve(|stream, _| async move {
        tokio::spawn(async move {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 1]).await;
        });
    })
    .await;
    // Begins itself, and hangs up.
    let greets = serve(|mut stream, _| async move { drop(stream.write_all(b"220 hello\r\n").await) }).await;
    for address in [silent, greets] {
        let expected = Ready { protocol: Protocol::Tcp, status: None, asked: 3 };
        assert_eq!(asked(&ask(address, Spoken::Tcp)).await, (expected, vec![]));
    }
}

/// As the engine's port helper does while nobody listens in the container: with an end, or with a reset.
#[tokio::test]
async fn bytes_are_not_ready_when_a_connection_is_closed_at_once() {
    for reset in [false, true] {
        let address = serve(move |stream, _| async move {
            if reset {
                stream.set_zero_linger().unwrap();
            }
            drop(stream);
        })
        .await;
        let (last, told) = asked_in_vain(&ask(address, Spoken::Tcp)).await;
        assert_eq!((last.as_str(), told.len()), ("a connection that is taken and closed at once", 1));
    }
}

/// A server of TLS with a certificate of its own, for these versions.
async fn tls(least: SslVersion, most: SslVersion) -> SocketAddr {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("CN", "shop.example.org").unwrap();
    let name = name.build();
    let mut certificate = X509::builder().unwrap();
    certificate.set_subject_name(&name).unwrap();
    certificate.set_issuer_name(&name).unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor.set_private_key(&key).unwrap();
    acceptor.set_certificate(&certificate.build()).unwrap();
    acceptor.set_min_proto_version(Some(least)).unwrap();
    acceptor.set_max_proto_version(Some(most)).unwrap();
    let context = acceptor.build().into_context();
    serve(move |stream, _| {
        let ssl = Ssl::new(&context).unwrap();
        async move {
            let mut stream = tokio_openssl::SslStream::new(ssl, stream).unwrap();
            let _ = std::pin::Pin::new(&mut stream).accept().await;
        }
    })
    .await
}

#[tokio::test]
async fn tls_is_passed_through_where_nothing_was_said() {
    for (least, most) in [(SslVersion::TLS1_2, SslVersion::TLS1_2), (SslVersion::TLS1_3, SslVersion::TLS1_3)] {
        let address = tls(least, most).await;
        for host in [None, Some("shop.example.org".to_owned())] {
            let ask = Ask { host, ..ask(address, Spoken::Unknown { page: page() }) };
            let expected = Ready { protocol: Protocol::Tls, status: None, asked: 3 };
            assert_eq!(asked(&ask).await, (expected, vec![]));
        }
        let (last, _) = asked_in_vain(&ask(address, Spoken::Http { page: page() })).await;
        assert_eq!(last, "TLS, where HTTP was asked for (`protocol: https` passes it through)");
        assert_eq!(asked(&ask(address, Spoken::Tcp)).await.0.protocol, Protocol::Tcp);
    }
}

/// As nginx and Go do: a request is answered with 400, and a client of TLS with TLS.
#[tokio::test]
async fn a_polite_server_of_tls_is_known_and_a_plain_400_is_http() {
    let polite = serve(|mut stream, _| async move {
        let mut first = [0; 1];
        let _ = stream.read_exact(&mut first).await;
        let said: &[u8] = if first == [0x16] {
            &[0x15, 3, 3, 0, 2, 2, 40]
        } else {
            b"HTTP/1.1 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
        };
        let _ = stream.write_all(said).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let (ready, _) = asked(&ask(polite, Spoken::Unknown { page: page() })).await;
    assert_eq!(ready.protocol, Protocol::Tls);
    let plain = serve(|mut stream, _| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(http(400).as_bytes()).await;
    })
    .await;
    let (ready, _) = asked(&ask(plain, Spoken::Unknown { page: page() })).await;
    assert_eq!((ready.protocol, ready.status), (Protocol::Http, Some(400)));
}

#[tokio::test]
async fn http2_is_asked_in_its_own_words_and_the_proxy_protocol_comes_first() {
    let server = |said: &'static [u8], preamble: &'static [u8]| {
        serve(move |mut stream, _| async move {
            let wanted = [preamble, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"].concat();
            let mut words = vec![0; wanted.len()];
            if stream.read_exact(&mut words).await.is_ok() && words == wanted {
                let _ = stream.write_all(said).await;
            }
        })
    };
    let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64";
    let address = server(settings, b"").await;
    assert_eq!(asked(&ask(address, Spoken::H2c)).await.0.protocol, Protocol::H2c);
    let address = server(settings, b"PROXY UNKNOWN\r\n").await;
    let told = Ask { preamble: b"PROXY UNKNOWN\r\n", ..ask(address, Spoken::H2c) };
    assert_eq!(asked(&told).await.0.protocol, Protocol::H2c);
    for (said, expected) in
        [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "none of HTTP/2"), (b"", "closed without an answer")]
    {
        let address = server(said, b"").await;
        let not = ready_within(&ask(address, Spoken::H2c), SHORT, |_| ()).await.unwrap_err();
        assert!(not.to_string().contains(expected), "{not}");
    }
}
