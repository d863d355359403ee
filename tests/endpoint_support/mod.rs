//! Doors to the engine under test: a TLS relay that asks for certificates, an SSH server, contexts of the real CLI.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "test code: a failure is the report")]

use std::{
    fs,
    net::{IpAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    pin::Pin,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    rsa::Rsa,
    ssl::{Ssl, SslAcceptor, SslMethod, SslVerifyMode},
    x509::{X509, X509Name, extension},
};
use tokio_openssl::SslStream;

use crate::common::wait_until;

/// The socket of the engine under test.
fn engine_socket() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    PathBuf::from(host.strip_prefix("unix://").expect("these tests need the engine's Unix socket"))
}

/// A certificate and its key.
pub struct Identity {
    pub certificate: X509,
    pub key: PKey<Private>,
}

/// Signs certificates; its folder holds those of its clients.
pub struct Authority {
    own: Identity,
    home: tempfile::TempDir,
    made: AtomicUsize,
}

enum Purpose<'a> {
    Authority,
    Server(&'a str),
    Client,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let own = issue(name, &Purpose::Authority, false, None);
        Self { own, home: tempfile::tempdir().unwrap(), made: AtomicUsize::new(0) }
    }

    /// The identity of a daemon with this address.
    pub fn server(&self, address: &str) -> Identity {
        issue("daemon", &Purpose::Server(address), false, Some(&self.own))
    }

    pub fn expired_server(&self, address: &str) -> Identity {
        issue("daemon", &Purpose::Server(address), true, Some(&self.own))
    }

    /// A folder for `DOCKER_CERT_PATH`.
    pub fn client(&self, name: &str) -> PathBuf {
        self.folder(Some(&issue(name, &Purpose::Client, false, Some(&self.own))))
    }

    pub fn expired_client(&self) -> PathBuf {
        self.folder(Some(&issue("late", &Purpose::Client, true, Some(&self.own))))
    }

    /// The same without a certificate of ours.
    pub fn no_client(&self) -> PathBuf {
        self.folder(None)
    }

    fn folder(&self, identity: Option<&Identity>) -> PathBuf {
        let folder = self.home.path().join(self.made.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("ca.pem"), self.own.certificate.to_pem().unwrap()).unwrap();
        if let Some(Identity { certificate, key }) = identity {
            fs::write(folder.join("cert.pem"), certificate.to_pem().unwrap()).unwrap();
            fs::write(folder.join("key.pem"), key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        }
        folder
    }
}

fn issue(name: &str, purpose: &Purpose<'_>, expired: bool, by: Option<&Identity>) -> Identity {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut subject = X509Name::builder().unwrap();
    subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(120, openssl::bn::MsbOption::MAYBE_ZERO, false).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(by.map_or(&*subject, |by| by.certificate.subject_name())).unwrap();
    builder.set_pubkey(&key).unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
    let (from, to) = if expired { (now - 7200, now - 3600) } else { (now - 3600, now + 86_400) };
    builder.set_not_before(&Asn1Time::from_unix(from).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_unix(to).unwrap()).unwrap();
    match purpose {
        Purpose::Authority => {
            builder.append_extension(extension::BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        }
        Purpose::Server(address) => {
            let mut names = extension::SubjectAlternativeName::new();
            let names = if address.parse::<IpAddr>().is_ok() { names.ip(address) } else { names.dns(address) };
            let names = names.build(&builder.x509v3_context(by.map(|by| &*by.certificate), None)).unwrap();
            builder.append_extension(names).unwrap();
        }
        Purpose::Client => {
            builder.append_extension(extension::ExtendedKeyUsage::new().client_auth().build().unwrap()).unwrap();
        }
    }
    builder.sign(by.map_or(&key, |by| &by.key), MessageDigest::sha256()).unwrap();
    Identity { certificate: builder.build(), key }
}

/// The engine under test behind TLS, as `dockerd --tlsverify` would listen: only for clients of one authority.
/// Ends with the test process; it holds nothing but its port.
pub struct TlsEngine {
    port: u16,
    served: Arc<AtomicUsize>,
}

impl TlsEngine {
    pub fn start(authority: &Authority, identity: Identity) -> Self {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
        acceptor.set_certificate(&identity.certificate).unwrap();
        acceptor.set_private_key(&identity.key).unwrap();
        acceptor.cert_store_mut().add_cert(authority.own.certificate.clone()).unwrap();
        acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        let context = acceptor.build().into_context();
        let served = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&served);
        let port = relay(move |stream| {
            let (context, count) = (context.clone(), Arc::clone(&count));
            async move {
                let mut first = [0; 1];
                // As Go's server does: a client that speaks plain HTTP is told so.
                if stream.peek(&mut first).await.is_ok() && first[0] != 22 {
                    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                    let mut stream = stream;
                    let text = "Client sent an HTTP request to an HTTPS server.\n";
                    let head = "HTTP/1.0 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n";
                    let _ = stream.read(&mut [0; 4096]).await;
                    let _ = stream.write_all(format!("{head}{text}").as_bytes()).await;
                    return;
                }
                let mut stream = SslStream::new(Ssl::new(&context).unwrap(), stream).unwrap();
                if Pin::new(&mut stream).accept().await.is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                    to_engine(stream).await;
                }
            }
        });
        Self { port, served }
    }

    pub fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// Connections that came through.
    pub fn connections(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }
}

/// The address of the engine under test without TLS.
pub fn plain_engine() -> String {
    format!("tcp://127.0.0.1:{}", relay(to_engine))
}

async fn to_engine(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) {
    let mut engine = tokio::net::UnixStream::connect(engine_socket()).await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut engine).await;
}

/// Serves connections on a thread of its own; returns the port.
fn relay<F>(serve: impl Fn(tokio::net::TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
    });
    port
}

/// Contexts in a settings directory of their own.
pub struct Context(tempfile::TempDir);

impl Context {
    /// Made by the real CLI; `None`, and said so, where it is not there.
    pub fn create(contexts: &[(&str, String)]) -> Option<Self> {
        let context = Self(tempfile::tempdir().unwrap());
        for (name, endpoint) in contexts {
            let docker = context.cli().args(["context", "create", name, "--docker", endpoint]).output();
            let Ok(output) = docker else {
                println!("not run: contexts, because the docker command that makes them is not installed");
                return None;
            };
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Some(context)
    }

    /// Makes one the current context.
    pub fn choose(&self, name: &str) {
        assert!(self.cli().args(["context", "use", name]).output().unwrap().status.success());
    }

    pub fn directory(&self) -> &Path {
        self.0.path()
    }

    fn cli(&self) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_CONFIG", self.directory()).env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
        command
    }
}

/// A real SSH server on loopback, and programs `ssh` that know its keys.
pub struct SshServer {
    child: Child,
    port: u16,
    home: tempfile::TempDir,
}

impl SshServer {
    /// One at whose far end `docker` speaks to the engine under test. `None`, and said so, where there is no server.
    pub fn start() -> Option<Self> {
        let environment = format!("DOCKER_HOST=unix://{}", engine_socket().display());
        let path = std::env::var("PATH").unwrap_or_default();
        Self::with(&format!("SetEnv {environment} \"PATH={path}\""))
    }

    /// One whose far end has no `docker`.
    pub fn without_docker() -> Option<Self> {
        Self::with("SetEnv PATH=/nowhere")
    }

    fn with(more: &str) -> Option<Self> {
        if !Path::new("/usr/sbin/sshd").exists() {
            println!("not run: engines behind SSH, because openssh-server is not installed");
            return None;
        }
        let home = tempfile::tempdir().unwrap();
        let at = home.path().to_owned();
        for key in ["host", "other-host", "user", "stranger"] {
            let mut keygen = Command::new("ssh-keygen");
            assert!(keygen.args(["-q", "-N", "", "-t", "ed25519", "-f"]).arg(at.join(key)).status().unwrap().success());
        }
        // sshd wants it, in the distribution's build; it is empty and belongs to root.
        let _ = fs::create_dir_all("/run/sshd");
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let text = format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nAuthorizedKeysFile {0}/user.pub\nPidFile none\n\
                 StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n{more}\n",
                at.display(),
            );
            fs::write(at.join("sshd_config"), text).unwrap();
            let mut sshd = Command::new("/usr/sbin/sshd");
            let log = fs::File::create(at.join("log")).unwrap();
            sshd.args(["-D", "-e", "-f"]).arg(at.join("sshd_config")).stdin(Stdio::null()).stdout(Stdio::null());
            let mut child = sshd.stderr(log).spawn().unwrap();
            let listens = wait_until("sshd", Duration::from_secs(20), || match child.try_wait().unwrap() {
                Some(_) => Ok(false), // the port was taken meanwhile
                None => TcpStream::connect(("127.0.0.1", port)).map(|_| true),
            });
            if listens {
                let server = Self { child, port, home };
                server.client("user", "host");
                server.client("stranger", "host");
                server.client("unknown-host", "other-host");
                return Some(server);
            }
        }
        panic!("sshd does not start: {}", fs::read_to_string(at.join("log")).unwrap_or_default());
    }

    /// A folder with an `ssh` that has this key and expects that host key. It does nothing else than the real one, but
    /// the real one takes its settings from the account's home directory.
    fn client(&self, key: &str, host_key: &str) {
        let home = self.home.path();
        let folder = home.join(format!("bin-{key}"));
        fs::create_dir(&folder).unwrap();
        let host_key = fs::read_to_string(home.join(format!("{host_key}.pub"))).unwrap();
        fs::write(folder.join("known_hosts"), format!("[127.0.0.1]:{} {host_key}", self.port)).unwrap();
        let key = if key == "stranger" { key } else { "user" };
        let config = format!(
            "UserKnownHostsFile {0}/known_hosts\nGlobalKnownHostsFile none\nIdentityFile {1}/{key}\nIdentitiesOnly yes\n\
             IdentityAgent none\nStrictHostKeyChecking yes\n",
            folder.display(),
            home.display(),
        );
        fs::write(folder.join("config"), config).unwrap();
        let script = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$*\" >>{0}/calls\nexec /usr/bin/ssh -F {0}/config \"$@\"\n",
            folder.display()
        );
        fs::write(folder.join("ssh"), script).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(folder.join("ssh"), executable).unwrap();
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// For `DOCKER_HOST`.
    pub fn url(&self) -> String {
        let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
        format!("ssh://{}@127.0.0.1:{}", user.trim(), self.port)
    }

    /// A `PATH` with the `ssh` of the user that the server knows.
    pub fn path(&self) -> String {
        self.path_with("user")
    }

    /// The same with another `ssh`: `stranger`, `unknown-host`.
    pub fn path_with(&self, client: &str) -> String {
        let folder = self.home.path().join(format!("bin-{client}"));
        format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default())
    }

    /// What `ssh` was called with.
    pub fn calls(&self) -> String {
        fs::read_to_string(self.home.path().join("bin-user/calls")).unwrap_or_default()
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
