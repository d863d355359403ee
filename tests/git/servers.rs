//! Updates from real servers: git daemon, smart HTTP, SSH; and from servers that hang.

use std::{
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::git_support;
use git_support::{Heard, HttpGit, Server, World, commit_in, git, ssh::Ssh, update};
use tokio_util::sync::CancellationToken;
use turnout::git::{self as product, GitError, Moved, Remote};

const TOKEN: &str = "hunter2/secret+token";

#[tokio::test]
async fn git_protocol() {
    let world = World::new();
    let root = world.path().to_owned();
    let server = Server::start(|port| {
        // Not through `git`, which would leave it running when it is killed itself.
        let programs = git(&root, &["--exec-path"]);
        let mut daemon = Command::new(Path::new(&programs).join("git-daemon"));
        daemon.arg("--export-all").arg("--reuseaddr").arg("--listen=127.0.0.1");
        daemon.arg(format!("--port={port}")).arg(format!("--base-path={}", root.display())).arg(&root);
        daemon
    });
    let url = format!("git://127.0.0.1:{}/origin.git", server.port);
    follow(&world, &world.remote_at(&url)).await;
    assert_eq!(git(&world.site(), &["remote", "get-url", "origin"]), url);

    let missing = Remote { path: world.path().join("x"), ..world.remote_at(&url.replace("origin", "nothing")) };
    let error = update(&missing).await.unwrap_err().to_string();
    assert!(error.contains("nothing.git"), "{error}");

    // A shallow clone over the network.
    git(world.path(), &["clone", "-q", "--depth", "1", &url, "shallow"]);
    let tip = world.commit("app.txt", "shallow\n");
    world.push();
    let shallow = Remote { path: world.path().join("shallow"), url: None, ..world.remote() };
    assert_eq!(update(&shallow).await.unwrap().new, tip);
    git(&shallow.path, &["fsck"]);
}

/// Clones, follows, and is up to date.
async fn follow(world: &World, remote: &Remote) {
    let first = update(remote).await.unwrap();
    assert_eq!(first.moved, Moved::Cloned);
    assert_eq!(world.site_file("app.txt"), "one\n");
    let big: String = (0..20_000).map(|i| format!("{}\n", i * 7919 % 10_007)).collect();
    let tip = world.commit("big.txt", &big);
    world.push();
    let second = update(remote).await.unwrap();
    assert_eq!((second.moved, second.new), (Moved::FastForwarded { commits: 1 }, tip));
    assert_eq!(world.site_file("big.txt"), big);
    assert_eq!(update(remote).await.unwrap().moved, Moved::UpToDate { ahead: 0 });
    world.assert_no_litter();
}

#[tokio::test]
async fn http_without_credentials() {
    let world = World::new();
    let server = HttpGit::start(world.path(), None);
    follow(&world, &world.remote_at(&format!("http://127.0.0.1:{}/origin.git", server.port))).await;
    assert!(server.seen.lock().unwrap().is_empty());
    let missing = Remote {
        path: world.path().join("x"),
        ..world.remote_at(&format!("http://127.0.0.1:{}/nothing.git", server.port))
    };
    let error = update(&missing).await.unwrap_err();
    assert!(matches!(error, GitError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn http_with_a_token() {
    let world = World::new();
    let server = HttpGit::start(world.path(), Some(&format!("x-access-token:{TOKEN}")));
    let mut remote = world.remote_at(&format!("http://127.0.0.1:{}/origin.git", server.port));
    remote.auth.token = Some(TOKEN.into());
    follow(&world, &remote).await;
    assert!(!format!("{remote:?}").contains(TOKEN));
    let config = std::fs::read_to_string(world.site().join(".git/config")).unwrap();
    assert!(!config.contains("hunter2"), "{config}");

    let heard = Heard::default();
    product::update(&remote, &heard, CancellationToken::new()).await.unwrap();
    assert!(heard.all().contains("unencrypted"), "{}", heard.all());
    assert!(!heard.all().contains("hunter2"));
}

#[tokio::test]
async fn http_with_a_password_in_the_address() {
    let world = World::new();
    let server = HttpGit::start(world.path(), Some("bob:hunter2/x"));
    let remote = world.remote_at(&format!("http://bob:hunter2%2Fx@127.0.0.1:{}/origin.git", server.port));
    follow(&world, &remote).await;
    let config = std::fs::read_to_string(world.site().join(".git/config")).unwrap();
    assert!(!config.contains("hunter2"), "{config}");
}

#[tokio::test]
async fn http_refusals_do_not_show_the_token() {
    let world = World::new();
    let server = HttpGit::start(world.path(), Some("bob:right"));
    let url = format!("http://127.0.0.1:{}/origin.git", server.port);
    let error = update(&world.remote_at(&url)).await.unwrap_err();
    assert!(matches!(error, GitError::Denied { .. }), "{error:?}");
    assert!(error.to_string().contains("token_env"), "{error}");

    let mut remote = world.remote_at(&url);
    remote.auth.token = Some(TOKEN.into());
    let heard = Heard::default();
    let error = product::update(&remote, &heard, CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("tried: token"), "{error}");
    let in_url = world.remote_at(&format!("http://bob:hunter2@127.0.0.1:{}/origin.git", server.port));
    let other = update(&in_url).await.unwrap_err();
    for text in [format!("{error} {error:?} {other} {other:?}"), heard.all()] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    // Asked once, not until the account is locked.
    let offers = server.seen.lock().unwrap().len();
    assert!(offers <= 4, "{offers}");
    world.assert_no_litter();
}

#[tokio::test]
async fn redirects_to_other_hosts_are_not_followed() {
    let world = World::new();
    let server = HttpGit::start(world.path(), None);
    let mut remote = world.remote_at(&format!("http://127.0.0.1:{}/moved/origin.git", server.port));
    remote.auth.token = Some(TOKEN.into());
    let error = update(&remote).await.unwrap_err();
    assert!(matches!(&error, GitError::RedirectedAway { to } if to == "http://localhost:1/x.git"), "{error:?}");
}

#[tokio::test]
async fn http_submodules_use_the_same_way() {
    let world = World::new();
    git(world.path(), &["init", "-q", "--bare", "-b", "main", "inner.git"]);
    git(world.path(), &["clone", "-q", "inner.git", "inner"]);
    commit_in(&world.path().join("inner"), "inner.txt", "one\n");
    git(&world.path().join("inner"), &["push", "-q", "origin", "HEAD"]);
    git(&world.dev(), &["submodule", "--quiet", "add", "../inner.git", "lib/inner"]);
    git(&world.dev(), &["commit", "-q", "-m", "add inner"]);
    world.push();
    let server = HttpGit::start(world.path(), Some(&format!("x-access-token:{TOKEN}")));
    let mut remote = world.remote_at(&format!("http://127.0.0.1:{}/origin.git", server.port));
    remote.auth.token = Some(TOKEN.into());
    update(&remote).await.unwrap();
    assert_eq!(world.site_file("lib/inner/inner.txt"), "one\n");
    assert_eq!(git(&world.site(), &["status", "--porcelain"]), "");

    // A repository from elsewhere must not read this machine's files.
    let local = world.path().join("inner.git").display().to_string();
    git(&world.dev(), &["submodule", "--quiet", "add", &local, "lib/local"]);
    git(&world.dev(), &["commit", "-q", "-m", "add local"]);
    world.push();
    let error = update(&remote).await.unwrap_err().to_string();
    assert!(error.contains("submodule lib/local") && error.contains("must not lie on this machine"), "{error}");
}

/// nginx with a certificate for 127.0.0.1 in front of a git server. Returns it and the certificate.
fn tls(world: &World, inner: u16) -> (Server, PathBuf) {
    let folder = world.path().join("tls");
    std::fs::create_dir(&folder).unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=turnout-test"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"))
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    let at = folder.clone();
    let server = Server::start(move |port| {
        let config = at.join("nginx.conf");
        let text = format!(
            "daemon off; master_process off; worker_processes 1; pid {0}/pid; error_log {0}/log;\n\
             events {{}}\nhttp {{ access_log off; client_body_temp_path {0}/a; proxy_temp_path {0}/b; fastcgi_temp_path {0}/c;\n\
             uwsgi_temp_path {0}/d; scgi_temp_path {0}/e; client_max_body_size 0;\n\
             server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {0}/cert.pem; ssl_certificate_key {0}/key.pem;\n\
             location / {{ proxy_pass http://127.0.0.1:{inner}; proxy_http_version 1.1; proxy_set_header X-Scheme https; }} }} }}\n",
            at.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut nginx = Command::new("nginx");
        nginx.arg("-c").arg(config).arg("-e").arg(at.join("log"));
        nginx
    });
    (server, folder.join("cert.pem"))
}

#[tokio::test]
async fn https_certificates_must_be_trusted() {
    let world = World::new();
    let http = HttpGit::start(world.path(), None);
    let (server, certificate) = tls(&world, http.port);
    let mut remote = world.remote_at(&format!("https://127.0.0.1:{}/origin.git", server.port));
    remote.auth.token = Some(TOKEN.into());
    let error = update(&remote).await.unwrap_err();
    assert!(matches!(error, GitError::Certificate { .. }), "{error:?}");
    assert!(http.seen.lock().unwrap().is_empty(), "a token went to a server that is not trusted");

    // What is trusted is read once a process: the other half runs in one of its own.
    let half = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "servers::https_with_a_trusted_certificate", "--ignored", "--nocapture"])
        .env("SSL_CERT_FILE", certificate)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&half.stdout).into_owned();
    assert!(half.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&half.stderr));
}

#[tokio::test]
#[ignore = "run by https_certificates_must_be_trusted, with SSL_CERT_FILE"]
async fn https_with_a_trusted_certificate() {
    let Some(certificate) = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from) else { return };
    let world = World::new();
    let http = HttpGit::start(world.path(), Some(&format!("x-access-token:{TOKEN}")));
    // The certificate names 127.0.0.1, so any server of ours may show it.
    let server = {
        let folder = world.path().join("tls");
        let (server, _) = tls(&world, http.port);
        drop(server);
        for name in ["cert.pem", "key.pem"] {
            std::fs::copy(certificate.with_file_name(name), folder.join(name)).unwrap();
        }
        let config = std::fs::read_to_string(folder.join("nginx.conf")).unwrap();
        Server::start(move |port| {
            let at = config.find("listen 127.0.0.1:").unwrap() + "listen 127.0.0.1:".len();
            let end = at + config[at..].find(' ').unwrap();
            let file = folder.join("again.conf");
            std::fs::write(&file, format!("{}{port}{}", &config[..at], &config[end..])).unwrap();
            let mut nginx = Command::new("nginx");
            nginx.arg("-c").arg(file).arg("-e").arg(folder.join("log"));
            nginx
        })
    };
    let mut remote = world.remote_at(&format!("https://127.0.0.1:{}/origin.git", server.port));
    remote.auth.token = Some(TOKEN.into());
    follow(&world, &remote).await;
    remote.auth.token = Some("wrong".into());
    let error = update(&remote).await.unwrap_err();
    assert!(matches!(error, GitError::Denied { .. }), "{error:?}");
    remote.url = Some(format!("https://127.0.0.1:{}/moved/x.git", server.port));
    remote.auth.token = Some(TOKEN.into());
    let error = update(&remote).await.unwrap_err();
    assert!(matches!(&error, GitError::RedirectedAway { to } if to == "https://localhost:1/x.git"), "{error:?}");
}

#[tokio::test]
async fn ssh() {
    let world = World::new();
    let ssh = Ssh::start(&world);
    follow(&world, &ssh.remote(&world, &ssh.line("host_ed25519"), "user")).await;

    // Another kind of key, and a hashed name.
    let file = ssh.folder.join("known_hosts");
    let mut remote = ssh.remote(&world, &ssh.line("host_ed25519"), "user_rsa");
    assert!(Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&file).status().unwrap().success());
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("|1|"));
    assert_eq!(update(&remote).await.unwrap().moved, Moved::UpToDate { ahead: 0 });

    // The short notation.
    let scp = remote.url.clone().unwrap().replace("ssh://", "[").replacen("/", "]:/", 1);
    assert!(scp.contains("]:/"), "{scp}");
    remote.url = Some(scp);
    assert_eq!(update(&remote).await.unwrap().moved, Moved::UpToDate { ahead: 0 });
}

#[tokio::test]
async fn ssh_hosts_must_be_known() {
    let world = World::new();
    let ssh = Ssh::start(&world);
    let port = ssh.server.port;
    let wrong = ssh.line("host_ed25519").replace(
        std::fs::read_to_string(ssh.folder.join("host_ed25519.pub")).unwrap().split(' ').nth(1).unwrap(),
        std::fs::read_to_string(ssh.folder.join("user.pub")).unwrap().split(' ').nth(1).unwrap(),
    );
    let table = [
        (String::new(), "is unknown"),
        (ssh.line("host_ed25519").replace(&port.to_string(), "22"), "is unknown"),
        (wrong, "has CHANGED"),
        (ssh.line("host_ecdsa"), "lists only ecdsa-sha2-nistp256"),
        (format!("@revoked {}", ssh.line("host_ed25519")), "is revoked"),
    ];
    for (known_hosts, expected) in table {
        let error = update(&ssh.remote(&world, &known_hosts, "user")).await.unwrap_err();
        assert!(matches!(error, GitError::HostKey { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(expected), "{text}");
        assert!(text.contains(&port.to_string()), "{text}");
        if expected != "is revoked" {
            assert!(text.contains(&format!("ssh-keyscan -p {port} -t ed25519 127.0.0.1 >> ")), "{text}");
        }
    }
    let mut remote = ssh.remote(&world, "", "user");
    remote.auth.known_hosts = Some(ssh.folder.join("absent"));
    let error = update(&remote).await.unwrap_err().to_string();
    assert!(error.contains("is unknown"), "{error}");
    assert!(!world.site().exists());
}

#[tokio::test]
async fn ssh_keys_must_fit() {
    let world = World::new();
    let ssh = Ssh::start(&world);
    let known = ssh.line("host_ed25519");
    let error = update(&ssh.remote(&world, &known, "stranger")).await.unwrap_err();
    assert!(matches!(error, GitError::Denied { .. }), "{error:?}");
    assert!(error.to_string().contains("stranger") && error.to_string().contains("deploy key"), "{error}");
    let error = update(&ssh.remote(&world, &known, "absent")).await.unwrap_err().to_string();
    assert!(error.contains("read the SSH key") && error.contains("absent"), "{error}");
    let mut remote = ssh.remote(&world, &known, "user");
    remote.url = remote.url.map(|url| url.replace("origin.git", "nothing.git"));
    let error = update(&remote).await.unwrap_err();
    assert!(matches!(error, GitError::NotFound { .. }), "{error:?}");
}

/// A server that accepts, sends a little, and then says nothing. Tells when a connection has been closed by the peer.
fn silent_server(first: &'static [u8]) -> (u16, tokio::sync::mpsc::UnboundedReceiver<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let tell = tell.clone();
            std::thread::spawn(move || {
                let _ = stream.write_all(first);
                let _ = tell.send("open");
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|length| length > 0) {}
                let _ = tell.send("closed");
            });
        }
    });
    (port, told)
}

/// Addresses whose server hangs at different points.
fn hanging(port: u16) -> Vec<String> {
    vec![
        format!("git://127.0.0.1:{port}/x"),
        format!("http://127.0.0.1:{port}/x"),
        format!("https://127.0.0.1:{port}/x"),
        format!("ssh://git@127.0.0.1:{port}/x"),
    ]
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    for first in [&b""[..], b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n0"] {
        let (port, mut told) = silent_server(first);
        for url in hanging(port) {
            let world = World::empty();
            let mut remote = world.remote_at(&url);
            remote.stall = Duration::from_millis(300);
            let started = Instant::now();
            let error = update(&remote).await.unwrap_err();
            let text = error.to_string();
            // A server that sends nonsense may be found out before it is found silent.
            assert!(first != b"" || matches!(error, GitError::Stalled { .. }), "{url}: {text}");
            assert!(first != b"" || text.contains(&format!("127.0.0.1:{port}")), "{text}");
            assert!(started.elapsed() < Duration::from_secs(10), "{url}: {:?}", started.elapsed());
            assert_eq!((told.recv().await, told.recv().await), (Some("open"), Some("closed")));
            world.assert_no_litter();
        }
    }
}

#[tokio::test]
async fn the_whole_time_is_limited() {
    let (port, mut told) = silent_server(b"");
    let world = World::empty();
    let mut remote = world.remote_at(&format!("git://127.0.0.1:{port}/x"));
    remote.timeout = Duration::from_millis(300);
    remote.stall = Duration::from_secs(600);
    let error = update(&remote).await.unwrap_err();
    assert!(matches!(error, GitError::TimedOut { .. } | GitError::Stalled { .. }), "{error:?}");
    assert_eq!((told.recv().await, told.recv().await), (Some("open"), Some("closed")));
}

#[tokio::test]
async fn cancelling_ends_a_hanging_transfer_and_the_next_one_works() {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    let (port, mut told) = silent_server(b"");
    for url in hanging(port) {
        let remote = world.remote_at(&url);
        let cancel = CancellationToken::new();
        let (ended, took) =
            tokio::join!(async { product::update(&remote, &turnout::report::Silent, cancel.clone()).await }, async {
                assert_eq!(told.recv().await, Some("open"));
                cancel.cancel();
                let cancelled = Instant::now();
                // The connection itself ends: nothing goes on behind our back.
                assert_eq!(told.recv().await, Some("closed"));
                cancelled.elapsed()
            });
        assert!(matches!(ended, Err(GitError::Cancelled { .. })), "{ended:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        let tip = world.commit("app.txt", &url);
        world.push();
        assert_eq!(update(&world.remote()).await.unwrap().new, tip);
    }
    assert_eq!(git(&world.site(), &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn a_dropped_update_closes_its_connection() {
    let world = World::empty();
    let (port, mut told) = silent_server(b"");
    let remote = world.remote_at(&format!("https://127.0.0.1:{port}/x"));
    let running = tokio::spawn(async move { update(&remote).await });
    assert_eq!(told.recv().await, Some("open"));
    running.abort();
    assert_eq!(told.recv().await, Some("closed"));
}

#[tokio::test]
async fn unreachable_servers_are_named() {
    let world = World::empty();
    let port = git_support::free_port();
    for url in hanging(port) {
        let error = update(&world.remote_at(&url)).await.unwrap_err();
        let GitError::Unreachable { peer, .. } = &error else { panic!("{url}: {error:?}") };
        assert_eq!(*peer, format!("127.0.0.1:{port}"));
    }
    let error = update(&world.remote_at("https://no-such-host.invalid/x")).await.unwrap_err().to_string();
    assert!(error.contains("no-such-host.invalid:443"), "{error}");
}
