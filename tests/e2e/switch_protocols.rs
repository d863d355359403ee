//! What else than HTTP/1.1 a switched stack may speak, through containers and all: gRPC with and without TLS, the PROXY protocol,
//! TLS of the containers' own on a listener that two repositories share, and certificates by ACME. In the containers is Debian's
//! nginx, which speaks all of it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use openssl::x509::X509;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::free_address, wait_until};
use e2e_support::{
    certificates::{self, Authority, connect, of_host},
    load::Came,
    switched::Switched,
};

const NGINX: &str = "/usr/sbin/nginx";

/// nginx of this machine with the libraries that it is linked with, for containers, which have neither.
fn nginx(folder: &Path) -> bool {
    if !Path::new(NGINX).exists() {
        println!("not run: nginx is not installed (script/setup installs it)");
        return false;
    }
    fs::copy(NGINX, folder.join("nginx")).unwrap();
    let linked = String::from_utf8(Command::new("ldd").arg(NGINX).output().unwrap().stdout).unwrap();
    for library in linked.split_whitespace().filter(|word| word.starts_with('/')) {
        let name = Path::new(library).file_name().unwrap().to_str().unwrap();
        fs::copy(library, folder.join(if name.starts_with("ld-") { "ld.so" } else { name })).unwrap();
    }
    true
}

const RUN: &str = "sed \"s/PAGE/$(cat /app/page)/\" /app/nginx.conf >/tmp/nginx.conf
exec /opt/nginx/ld.so --library-path /opt/nginx /opt/nginx/nginx -e /dev/stderr -c /tmp/nginx.conf
";

const CONF: &str = "daemon off;
user root;
worker_processes 1;
pid /tmp/nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    server {
        listen 8000 http2;
        location / {
            default_type application/grpc;
            add_trailer grpc-status 0 always;
            return 200 PAGE;
        }
    }
    server {
        listen 8001 proxy_protocol;
        location / {
            return 200 \"PAGE for $proxy_protocol_addr, $http_x_forwarded_for\";
        }
    }
    server {
        listen 8443 ssl;
        ssl_certificate /app/own.pem;
        ssl_certificate_key /app/own.key;
        location / {
            return 200 PAGE;
        }
    }
}
";

/// A stack of one such container, which has a certificate of its own.
fn stack(program: &Path, page: &str, (certificate, key): (&str, &str)) -> Switched {
    let compose = |_: SocketAddr| {
        format!(
            "services:
  web:
    build: {{ context: ., network: none }}
    ports: [\"8000\", \"8001\", \"8443\"]
    volumes: [\"{}:/opt/nginx:ro\"]
    init: true
    stop_grace_period: 2s
",
            program.display()
        )
    };
    let files = [
        ("Dockerfile", "FROM @BASE\nCOPY . /app/\nCMD [\"sh\", \"/app/run.sh\"]\n"),
        ("run.sh", RUN),
        ("nginx.conf", CONF),
        ("page", page),
        ("own.pem", certificate),
        ("own.key", key),
    ];
    Switched::of(compose, &files)
}

#[test]
fn grpc_proxy_protocol_and_tls_by_host_go_through_a_switch_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("nginx");
    fs::create_dir(&program).unwrap();
    if !nginx(&program) {
        return;
    }
    let (of_shop, shop_pem, shop_key) = of_host("shop.example");
    let (of_blog, blog_pem, blog_key) = of_host("blog.example");
    let (of_api, api_pem, api_key) = of_host("api.example");
    let (pem, key) = (folder.path().join("api.pem"), folder.path().join("api.key"));
    fs::write(&pem, api_pem).unwrap();
    fs::write(&key, api_key).unwrap();
    let shop = stack(&program, "one", (&shop_pem, &shop_key));
    let blog = stack(&program, "news", (&blog_pem, &blog_key));
    let [plain, tls, told, shared] = [(); 4].map(|()| free_address());
    let of_shop_entry = format!(
        "{{ bake: 1s, routes: [
    {{ listen: \"{plain}\", to: \"web:8000\", protocol: grpc }},
    {{ listen: \"{tls}\", to: \"web:8000\", protocol: h2c, hosts: [api.example], tls: {{ certificate: {pem}, key: {key} }} }},
    {{ listen: \"{told}\", to: \"web:8001\", protocol: http, proxied_by: [127.0.0.0/8], proxy_protocol: v2 }},
    {{ listen: \"{shared}\", to: \"web:8443\", protocol: https, hosts: [shop.example] }} ] }}",
        pem = pem.display(),
        key = key.display()
    );
    let of_blog_entry = format!(
        "{{ bake: 1s, protocol: {{ \"web:8000\": h2c }}, routes: [
    {{ listen: \"{}\", to: \"web:8001\", protocol: http, proxy_protocol: v1 }},
    {{ listen: \"{shared}\", to: \"web:8443\", protocol: https, hosts: [blog.example] }} ] }}",
        blog.web
    );
    let (_proxy, daemon) = shop.serve_as(&[shop.entry(&of_shop_entry), blog.entry(&of_blog_entry)].concat(), &[]);
    let first = [&shop, &blog].map(|one| daemon.deploy_by_push(&one.site.push()));
    for id in first {
        daemon.expect_success(id);
    }

    let (calls, secret) = (Calls::on(plain, None), Calls::on(tls, Some(("api.example", of_api))));
    calls.wait_for("one", 50);
    secret.wait_for("one", 50);
    let by_host = |host: &str, trusted: &X509| over_tls(shared, host, trusted);
    let seen = |version: &str| {
        assert_eq!(from_balancer(told), Some(format!("{version} for 203.0.113.7, 203.0.113.7")));
        assert_eq!(by_host("shop.example", &of_shop), Ok(version.to_owned()));
        // Its containers are told whose a connection is, though nobody tells the proxy.
        assert_eq!(common::http::get(blog.web, "/").unwrap().body, "news for 127.0.0.1, 127.0.0.1");
        assert_eq!(by_host("blog.example", &of_blog), Ok("news".to_owned()));
    };
    seen("one");
    // Whoever does not say whose a connection is gets no answer, nor who asks for a host that is nobody's.
    let silent = common::http::raw(told, &[b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"]);
    assert!(silent.is_err(), "{silent:?}");
    assert!(by_host("nobody.example", &of_shop).is_err());

    daemon.expect_success(shop.push(&daemon, "two"));
    calls.wait_for("two", 50);
    secret.wait_for("two", 50);
    seen("two");
    for came in [calls.end(), secret.end()] {
        assert_eq!(came.bad, Vec::<String>::new(), "{:?}", came.good);
    }
}

#[test]
fn a_certificate_by_acme_comes_with_a_deployment() {
    let tls = free_address();
    let Some(authority) = Authority::start(tls.port()) else { return };
    let shop = Switched::new("one");
    let route = format!(
        "{{ bake: 1s, routes: [{{ listen: \"{tls}\", hosts: [shop.example], to: \"web:8000\", protocol: http, tls: acme }}] }}"
    );
    let (directory, trust) = (authority.directory(), authority.trust());
    let variables = [
        ("TURNOUT_ACME_AGREE_TERMS", "true"),
        ("TURNOUT_ACME_CONTACT", "admin@example.org"),
        ("TURNOUT_ACME_DIRECTORY", &directory),
        ("TURNOUT_ACME_TRUST", trust.to_str().unwrap()),
        ("TURNOUT_ACME_CHALLENGE", "tls-alpn-01"),
    ];
    let (_proxy, daemon) = shop.serve(&route, &variables);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let root = authority.root();
    wait_until("a certificate of the authority", PATIENCE, || match over_tls(tls, "shop.example", &root) {
        Ok(page) if page == "one" => Ok(()),
        other => Err((other, e2e_support::all_of(&daemon.turnout(&["status"])))),
    });
    let status = e2e_support::all_of(&daemon.turnout(&["status", &shop.site.name]));
    assert!(status.contains("certificate of shop.example: counts until"), "{status}");
    // It is kept over a switch.
    daemon.expect_success(shop.push(&daemon, "two"));
    assert_eq!(over_tls(tls, "shop.example", &root), Ok("two".to_owned()));
}

/// What is answered to a client of a load balancer, which says first whose the connection is (PROXY protocol, version 1).
fn from_balancer(at: SocketAddr) -> Option<String> {
    let first = b"PROXY TCP4 203.0.113.7 203.0.113.1 4000 80\r\n";
    let ask = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    Some(common::http::raw(at, &[first, ask]).ok()?.body)
}

/// What is answered over TLS by whom this certificate is of.
fn over_tls(at: SocketAddr, host: &str, trusted: &X509) -> Result<String, String> {
    let mut stream = connect(at, host, Some(trusted))?;
    let ask = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    // Some servers end TLS without a word.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.trim().to_owned()),
        _ => Err(answer),
    }
}

/// A client of gRPC: call after call on the one connection that it keeps, over TLS where it knows a host.
struct Calls {
    stop: Arc<AtomicBool>,
    came: Arc<Mutex<Came>>,
    client: Option<JoinHandle<()>>,
}

impl Calls {
    fn on(address: SocketAddr, host: Option<(&'static str, X509)>) -> Calls {
        let (stop, came) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Came::default())));
        let (halt, put) = (Arc::clone(&stop), Arc::clone(&came));
        let client = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            if let Err(error) = runtime.block_on(calls(address, host, &halt, &put)) {
                put.lock().unwrap().bad.push(error);
            }
        });
        Calls { stop, came, client: Some(client) }
    }

    /// Waits until so many more good answers came, of which this is the body.
    fn wait_for(&self, body: &str, more: u64) {
        let count = || self.came.lock().unwrap().good.get(body).copied().unwrap_or_default();
        let wanted = count() + more;
        wait_until(&format!("answers {body:?}"), PATIENCE, || {
            if count() >= wanted { Ok(()) } else { Err(self.came.lock().unwrap().clone()) }
        });
    }

    /// Ends it. Answers what came.
    fn end(mut self) -> Came {
        self.stop.store(true, Ordering::Relaxed);
        self.client.take().unwrap().join().unwrap();
        self.came.lock().unwrap().clone()
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

async fn calls(
    address: SocketAddr,
    host: Option<(&str, X509)>,
    stop: &AtomicBool,
    came: &Mutex<Came>,
) -> Result<(), String> {
    let stream = tokio::net::TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let Some((host, trusted)) = host else { return on_stream("http://api", stream, stop, came).await };
    let mut ssl = certificates::client(Some(&trusted)).configure().unwrap();
    ssl.set_alpn_protos(b"\x02h2").unwrap();
    let mut stream = tokio_openssl::SslStream::new(ssl.into_ssl(host).unwrap(), stream).unwrap();
    std::pin::Pin::new(&mut stream).connect().await.map_err(|error| error.to_string())?;
    assert_eq!(stream.ssl().selected_alpn_protocol(), Some(&b"h2"[..]));
    on_stream(&format!("https://{host}"), stream, stop, came).await
}

async fn on_stream(
    whose: &str,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    stop: &AtomicBool,
    came: &Mutex<Came>,
) -> Result<(), String> {
    let words = |error: hyper::Error| format!("{error}: {:?}", std::error::Error::source(&error));
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(words)?;
    tokio::spawn(connection);
    while !stop.load(Ordering::Relaxed) {
        let request = Request::post(format!("{whose}/shop.Shop/Look"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(Bytes::from_static(b"\0\0\0\0\0")))
            .unwrap();
        sender.ready().await.map_err(words)?;
        let answer = sender.send_request(request).await.map_err(words)?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(words)?;
        let status = body.trailers().and_then(|trailers| trailers.get("grpc-status").cloned());
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        let mut came = came.lock().unwrap();
        match (head.status.as_u16(), status) {
            (200, Some(status)) if status == "0" => *came.good.entry(text).or_default() += 1,
            other => came.bad.push(format!("{other:?}: {text}")),
        }
    }
    Ok(())
}
