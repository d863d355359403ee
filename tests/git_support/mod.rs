//! Real git repositories and servers for the tests of `git`. The `git` program makes the other side.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a failure is the report")]
#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod ssh;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use turnout::{
    git::{GitError, Remote, Updated},
    report::{Event, Reporter, Silent},
};

/// Runs `git` in a folder, with settings that depend on nothing outside.
pub fn git(folder: &Path, args: &[&str]) -> String {
    let out = Command::new("git")
        .current_dir(folder)
        .args(["-c", "protocol.file.allow=always", "-c", "commit.gpgsign=false"])
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .envs([("GIT_AUTHOR_NAME", "Ann"), ("GIT_AUTHOR_EMAIL", "ann@example.org")])
        .envs([("GIT_COMMITTER_NAME", "Ann"), ("GIT_COMMITTER_EMAIL", "ann@example.org")])
        .output()
        .expect("git runs");
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

/// A temporary folder with a bare repository `origin.git`, a work tree `dev` that pushes to it, and room for `site`.
pub struct World {
    pub folder: tempfile::TempDir,
}

impl World {
    /// With one commit on `main` that holds `app.txt` and `Dockerfile`.
    pub fn new() -> Self {
        let world = Self::empty();
        git(world.path(), &["clone", "-q", "origin.git", "dev"]);
        world.commit("app.txt", "one\n");
        world.commit("Dockerfile", "FROM scratch\n");
        world.push();
        world
    }

    /// With an empty bare repository only.
    pub fn empty() -> Self {
        let folder = tempfile::Builder::new().prefix("turnout-git-").tempdir().unwrap();
        git(folder.path(), &["init", "-q", "--bare", "-b", "main", "origin.git"]);
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn origin(&self) -> PathBuf {
        self.path().join("origin.git")
    }

    pub fn dev(&self) -> PathBuf {
        self.path().join("dev")
    }

    pub fn site(&self) -> PathBuf {
        self.path().join("site")
    }

    /// Commits a file in `dev`; returns the commit.
    pub fn commit(&self, file: &str, text: &str) -> String {
        commit_in(&self.dev(), file, text)
    }

    pub fn push(&self) {
        git(&self.dev(), &["push", "-q", "-f", "origin", "HEAD"]);
    }

    /// The site that follows `origin.git` by its path.
    pub fn remote(&self) -> Remote {
        self.remote_at(&self.origin().display().to_string())
    }

    /// The site that follows an address.
    pub fn remote_at(&self, url: &str) -> Remote {
        let mut remote = Remote::new(self.site());
        remote.url = Some(url.to_owned());
        remote.timeout = Duration::from_secs(60);
        // No second try: what a test is about is seen in the first one.
        remote.pause = remote.timeout;
        remote
    }

    pub fn site_file(&self, file: &str) -> String {
        std::fs::read_to_string(self.site().join(file)).unwrap_or_else(|error| format!("({error})"))
    }

    /// Nothing is left beside the folders that belong here.
    pub fn assert_no_litter(&self) {
        let hidden: Vec<_> = std::fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains(".clone-"))
            .collect();
        assert!(hidden.is_empty(), "left behind: {hidden:?}");
    }
}

/// Writes and commits a file; returns the commit.
pub fn commit_in(folder: &Path, file: &str, text: &str) -> String {
    if let Some(parent) = folder.join(file).parent() {
        std::fs::create_dir_all(parent).unwrap();
    }
    std::fs::write(folder.join(file), text).unwrap();
    git(folder, &["add", "-f", file]);
    git(folder, &["commit", "-q", "-m", &format!("set {file}")]);
    git(folder, &["rev-parse", "HEAD"])
}

/// Updates and waits.
pub async fn update(remote: &Remote) -> Result<Updated, GitError> {
    turnout::git::update(remote, &Silent, tokio_util::sync::CancellationToken::new()).await
}

/// Keeps all events, as text.
#[derive(Default, Clone)]
pub struct Heard(pub Arc<Mutex<Vec<String>>>);

impl Reporter for Heard {
    fn report(&self, event: Event) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

impl Heard {
    pub fn all(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

/// A program that is killed when dropped.
pub struct Server {
    child: Child,
    pub port: u16,
}

impl Server {
    /// Starts a server on a free port and waits until it accepts.
    #[expect(clippy::disallowed_methods, reason = "a test's own thread")]
    pub fn start(make: impl Fn(u16) -> Command) -> Self {
        for _ in 0..5 {
            let port = free_port();
            let mut child =
                make(port).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let deadline = Instant::now() + Duration::from_secs(10);
            while Instant::now() < deadline {
                if let Ok(Some(_)) = child.try_wait() {
                    break; // the port was taken meanwhile
                }
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self { child, port };
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("the server does not start");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An HTTP server for git: a bridge to `git http-backend`, with basic authentication where a password is given.
/// Keeps the `Authorization` headers it was sent.
pub struct HttpGit {
    pub port: u16,
    pub seen: Arc<Mutex<Vec<String>>>,
}

impl HttpGit {
    /// Serves all repositories below a folder. `auth` is `user:password`.
    pub fn start(root: &Path, auth: Option<&str>) -> Self {
        Self::start_at(0, root, auth)
    }

    /// The same on this port; 0 is any. What `open-NAME` in the folder names needs no password.
    pub fn start_at(port: u16, root: &Path, auth: Option<&str>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (root, auth, log) = (root.to_owned(), auth.map(str::to_owned), Arc::clone(&seen));
        // Ends with the test process; it holds nothing but its port.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (root, auth, log) = (root.clone(), auth.clone(), Arc::clone(&log));
                std::thread::spawn(move || serve(stream, &root, auth.as_deref(), &log));
            }
        });
        Self { port, seen }
    }
}

fn serve(stream: TcpStream, root: &Path, auth: Option<&str>, log: &Mutex<Vec<String>>) {
    use base64::Engine as _;
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut out = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split_whitespace();
        let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
        let mut headers = std::collections::HashMap::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let mut body = Vec::new();
        if let Some(length) = headers.get("content-length") {
            body.resize(length.parse().unwrap(), 0);
            reader.read_exact(&mut body).unwrap();
        } else if headers.get("transfer-encoding").is_some_and(|value| value == "chunked") {
            loop {
                let mut size = String::new();
                reader.read_line(&mut size).unwrap();
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                let mut chunk = vec![0; size + 2];
                reader.read_exact(&mut chunk).unwrap();
                body.extend_from_slice(&chunk[..size]);
                if size == 0 {
                    break;
                }
            }
        }
        let sent = headers.get("authorization").cloned();
        log.lock().unwrap().extend(sent.clone());
        let expected = auth.map(|auth| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(auth)));
        let name = target.rsplit_once(".git").and_then(|(front, _)| front.rsplit('/').next()).unwrap_or_default();
        let is_open = root.join(format!("open-{name}")).exists();
        if expected.is_some() && sent != expected && !is_open {
            let answer =
                "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\nContent-Length: 0\r\n\r\n";
            out.write_all(answer.as_bytes()).unwrap();
            continue;
        }
        // Clients that speak to a proxy send the whole URL.
        let target = match target.strip_prefix("http://") {
            Some(rest) => rest[rest.find('/').unwrap()..].to_owned(),
            None => target,
        };
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        if path.starts_with("/moved/") {
            let scheme = headers.get("x-scheme").map_or("http", String::as_str);
            let to = format!("{scheme}://localhost:1/x.git/info/refs?service=git-upload-pack");
            write!(out, "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").unwrap();
            continue;
        }
        if path.contains("/lfs-object/") || path.ends_with("/info/lfs/objects/batch") {
            let host = headers.get("host").map_or("", String::as_str);
            out.write_all(&lfs_answer(root, path, host, &body)).unwrap();
            continue;
        }
        let mut backend = Command::new("git")
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("REQUEST_METHOD", &method)
            .env("CONTENT_TYPE", headers.get("content-type").map_or("", String::as_str))
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("GIT_PROTOCOL", headers.get("git-protocol").map_or("", String::as_str))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        backend.stdin.take().unwrap().write_all(&body).unwrap();
        let answer = backend.wait_with_output().unwrap().stdout;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK").to_owned();
        let head: String =
            head.lines().filter(|line| !line.starts_with("Status:")).map(|line| format!("{line}\r\n")).collect();
        let content = &answer[end + 4..];
        write!(out, "HTTP/1.1 {status}\r\n{head}Content-Length: {}\r\n\r\n", content.len()).unwrap();
        out.write_all(content).unwrap();
    }
}

/// What a server for Git LFS answers: the batch API and the objects, which lie in `lfs-objects` below the root. A file
/// `lfs-elsewhere` there names the place to which requests for objects are sent on.
fn lfs_answer(root: &Path, path: &str, host: &str, body: &[u8]) -> Vec<u8> {
    let answer = |status: &str, head: &str, body: &[u8]| {
        let mut whole = format!("HTTP/1.1 {status}\r\n{head}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        whole.extend_from_slice(body);
        whole
    };
    let objects = root.join("lfs-objects");
    if let Some((front, oid)) = path.rsplit_once("/lfs-object/") {
        let elsewhere = std::fs::read_to_string(root.join("lfs-elsewhere"));
        if let Ok(base) = elsewhere.map(|text| text.trim().to_owned())
            && !front.ends_with("/moved-here")
        {
            return answer("302 Found", &format!("Location: {base}/moved-here/lfs-object/{oid}\r\n"), b"");
        }
        return match std::fs::read(objects.join(oid)) {
            Ok(content) => answer("200 OK", "", &content),
            Err(_) => answer("404 Not Found", "", b""),
        };
    }
    let asked: serde_json::Value = serde_json::from_slice(body).unwrap();
    assert_eq!(asked["operation"], "download");
    let told = asked["objects"].as_array().unwrap().iter().map(|object| {
        let (oid, size) = (object["oid"].as_str().unwrap(), &object["size"]);
        if objects.join(oid).exists() {
            let href = format!("http://{host}/x/lfs-object/{oid}?signature=of-the-object");
            serde_json::json!({"oid": oid, "size": size, "actions": {"download": {"href": href}}})
        } else {
            serde_json::json!({"oid": oid, "size": size, "error": {"code": 404, "message": "Object does not exist"}})
        }
    });
    let told = serde_json::json!({"transfer": "basic", "objects": told.collect::<Vec<_>>()});
    answer("200 OK", "Content-Type: application/vnd.git-lfs+json\r\n", told.to_string().as_bytes())
}

/// Keeps an object for [`HttpGit`]; gives its pointer.
pub fn lfs_object(root: &Path, content: &[u8]) -> String {
    use sha2::Digest as _;
    let oid = hex::encode(sha2::Sha256::digest(content));
    std::fs::create_dir_all(root.join("lfs-objects")).unwrap();
    std::fs::write(root.join("lfs-objects").join(&oid), content).unwrap();
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {}\n", content.len())
}
