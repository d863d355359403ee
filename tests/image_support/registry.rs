//! `docker-registry` as a program of the test's own.

use std::{
    io::Write,
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use turnout::registry::RegistryAuth;

/// Who may use a registry with a password.
pub const USER: &str = "somebody";
/// In JSON and standard base64, every alignment of this gives `+` or `/`.
pub const PASSWORD: &str = "~~~???>>>~?>~?>é";

/// A registry on the loopback interface.
pub struct Registry {
    child: Child,
    pub host: String,
    _dir: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Registry {
    /// A registry, or nothing, said aloud: it is a program of its own.
    pub fn start(auth: bool) -> Option<Self> {
        Self::start_with(auth, None)
    }

    /// One that speaks TLS, with a certificate and its key in PEM.
    pub fn start_tls(certificate: &[u8], key: &[u8]) -> Option<Self> {
        Self::start_with(false, Some((certificate, key)))
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own thread")]
    fn start_with(auth: bool, tls: Option<(&[u8], &[u8])>) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut http = format!("addr: 127.0.0.1:{port}");
        if let Some((certificate, key)) = tls {
            let (at, beside) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
            std::fs::write(&at, certificate).unwrap();
            std::fs::write(&beside, key).unwrap();
            http.push_str(&format!(", tls: {{certificate: {}, key: {}}}", at.display(), beside.display()));
        }
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{{http}}}\n",
            dir.path().join("data").display()
        );
        if auth {
            let output = Command::new("htpasswd").args(["-nbB", USER, PASSWORD]).output();
            let Ok(output) = output else {
                eprintln!("not run: htpasswd (apache2-utils) is not installed");
                return None;
            };
            std::fs::write(dir.path().join("htpasswd"), output.stdout).unwrap();
            config.push_str(&format!(
                "auth: {{htpasswd: {{realm: test, path: {}}}}}\n",
                dir.path().join("htpasswd").display()
            ));
        }
        let file = dir.path().join("config.yml");
        std::fs::File::create(&file).unwrap().write_all(config.as_bytes()).unwrap();
        let spawned = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .env_remove("OTEL_TRACES_EXPORTER")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = match spawned {
            Ok(child) => child,
            Err(error) => {
                eprintln!("not run: docker-registry is not installed: {error}");
                return None;
            }
        };
        let host = format!("127.0.0.1:{port}");
        let registry = Self { child, host: host.clone(), _dir: dir };
        let begun = Instant::now();
        while std::net::TcpStream::connect(&host).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the registry does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(registry)
    }

    pub fn auth(&self) -> RegistryAuth {
        RegistryAuth {
            username: USER.into(),
            password: PASSWORD.into(),
            server_address: self.host.clone(),
            ..Default::default()
        }
    }

    /// Docker client settings with a login to this registry.
    pub fn settings(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let auth = STANDARD.encode(format!("{USER}:{PASSWORD}"));
        let json = serde_json::json!({"auths": {&self.host: {"auth": auth}}});
        std::fs::write(dir.path().join("config.json"), json.to_string()).unwrap();
        dir
    }
}
