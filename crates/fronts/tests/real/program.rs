//! A program that runs as long as its test.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::{
    net::{TcpStream, UnixStream},
    process::{Child, Command},
};

pub struct Program(Child);

/// Starts it. `None`, and said: it is not installed.
pub fn start(name: &str, args: &[&str], folder: &Path) -> Option<Program> {
    let sbin = PathBuf::from(format!("/usr/sbin/{name}"));
    let fetched = fetched(name);
    let program = [sbin, fetched].into_iter().find(|path| path.exists()).unwrap_or_else(|| name.into());
    let log = std::fs::File::create(folder.join("output")).unwrap();
    let mut command = Command::new(program);
    command.args(args).env("HOME", folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
    match command.spawn() {
        Ok(child) => Some(Program(child)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("not run: {name} is not installed (script/setup)");
            None
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

/// Where `script/setup` puts a program that Debian has not.
fn fetched(name: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    cache.or_else(home).unwrap_or_default().join("turnout").join(name)
}

/// Says something to an interface over HTTP, as somebody does by hand.
pub async fn post(to: SocketAddr, path: &str, body: &str) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = TcpStream::connect(to).await.unwrap();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

impl Program {
    /// Waits until it listens there.
    pub async fn listens(&mut self, at: SocketAddr, folder: &Path) {
        while TcpStream::connect(at).await.is_err() {
            self.lives_on(folder).await;
        }
    }

    /// Waits until it listens on that socket, which it may do later than on its addresses.
    pub async fn listens_on(&mut self, socket: &Path, folder: &Path) {
        while UnixStream::connect(socket).await.is_err() {
            self.lives_on(folder).await;
        }
    }

    async fn lives_on(&mut self, folder: &Path) {
        if let Some(status) = self.0.try_wait().unwrap() {
            panic!("{status}: {}", std::fs::read_to_string(folder.join("output")).unwrap());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    /// Ends it, and waits for that.
    pub async fn end(mut self) {
        let id = self.0.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).unwrap()));
        // A master takes its workers along only where it is asked to end.
        rustix::process::kill_process(id.unwrap(), rustix::process::Signal::TERM).unwrap();
        self.0.wait().await.unwrap();
    }
}

/// An address that nobody has just now, below those that the system gives out: the next test would be given it before a program has it.
pub fn free() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(64).wrapping_add(NEXT.fetch_add(1, Ordering::SeqCst));
        let port = 12_000 + u16::try_from(number % 8_000).unwrap();
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().unwrap();
        }
    }
}
