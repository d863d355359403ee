//! A place for a proxy's files, the proxy, what it passes connections on to, and clients.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use turnout_traffic::{RouteFile, control::Request};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until something is so.
#[expect(clippy::disallowed_methods, reason = "a test's own thread")]
pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is() {
        assert!(since.elapsed() < PATIENCE, "waited too long: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// An address of the loopback network that no other process has, and no other call gave.
pub(crate) fn own_ip() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high % 250 + 1, low, NEXT.fetch_add(1, Relaxed))
}

/// An address that can be listened on.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind((own_ip(), 0)).unwrap().local_addr().unwrap()
}

/// Where a proxy has its files; it may be started there again and again.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("run/control.sock")
    }

    pub(crate) fn route_file(&self) -> PathBuf {
        self.state().join("routes.json")
    }

    pub(crate) fn previous(&self) -> PathBuf {
        self.state().join("routes.previous.json")
    }

    /// Processes of the proxy that have their files here; one that took over is nobody's child.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let state = self.state().into_os_string().into_string().unwrap();
        let all = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
            let said = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
            // One that has ended and was not waited for says nothing.
            said.split('\0').any(|word| word == state).then(|| entry.file_name().to_str()?.parse().ok())?
        });
        all.collect()
    }

    /// What is on the disk.
    pub(crate) fn kept(&self) -> RouteFile {
        RouteFile::from_bytes(&std::fs::read(self.route_file()).unwrap()).unwrap()
    }

    /// Puts a route file in place, as a writer has to.
    pub(crate) fn put(&self, file: &RouteFile) {
        let new = self.state().join("by-hand");
        std::fs::write(&new, file.to_bytes().unwrap()).unwrap();
        std::fs::rename(new, self.route_file()).unwrap();
    }

    /// A proxy that is ready.
    pub(crate) fn start(&self, arguments: &[&str]) -> Proxy {
        let mut proxy = self.begin(arguments);
        proxy.says("ready:");
        proxy
    }

    /// A proxy that may not become ready.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Proxy {
        self.begin_with(program(), arguments)
    }

    /// One that is started by this command.
    pub(crate) fn begin_with(&self, mut command: Command, arguments: &[&str]) -> Proxy {
        let mut child = command
            .args(["run", "--log-level", "debug", "--state-dir"])
            .arg(self.state())
            .arg("--socket")
            .arg(self.socket())
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| drop(send.send(line))));
        Proxy { child, lines, said: Vec::new(), read: 0, socket: self.socket() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for pid in self.processes().into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// The program, as it was built for this test.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnout-proxy"));
    command.env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM");
    command
}

/// A running proxy; it ends with the test.
pub(crate) struct Proxy {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
    /// Lines that `says` has gone past.
    read: usize,
    socket: PathBuf,
}

impl Proxy {
    /// Waits for a line with this text, after those found before, and gives it.
    pub(crate) fn says(&mut self, text: &str) -> String {
        let since = Instant::now();
        loop {
            while let Some(line) = self.said.get(self.read) {
                self.read += 1;
                if line.contains(text) {
                    return line.clone();
                }
            }
            match self.lines.recv_timeout(PATIENCE.saturating_sub(since.elapsed())) {
                Ok(line) => self.said.push(line),
                Err(error @ (RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected)) => {
                    panic!("{error}: `{text}` was not said:\n{}", self.said.join("\n"));
                }
            }
        }
    }

    /// One request, one answer.
    pub(crate) fn ask(&self, request: &Value) -> Value {
        asked(&self.socket, format!("{request}\n").as_bytes())
    }

    /// Says this, which may be the last that it hears.
    pub(crate) fn tells(&self, request: &Value) {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(format!("{request}\n").as_bytes());
        let _ = stream.read_to_end(&mut Vec::new());
    }

    /// Has another process take over.
    pub(crate) fn renew(&self) -> Value {
        self.ask(&json!({"version": 1, "request": "renew"}))
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn status(&self) -> Value {
        self.ask(&json!({"version": 1, "request": "status"}))
    }

    /// Applies, and sees it done.
    pub(crate) fn apply(&self, repository: &str, generation: u64, routes: &Value) {
        let answer = self.ask(&apply(repository, generation, routes));
        assert_eq!((&answer["answer"], &answer["changed"]), (&json!("applied"), &json!(true)), "{answer}");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the proxy ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Bytes that it has in memory.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// As a loss of power would, for what is in memory.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says a line on a control socket, and gives the answer.
pub(crate) fn asked(socket: &Path, line: &[u8]) -> Value {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may have answered and left before all of a line that is too long was said.
    let _ = stream.write_all(line);
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

pub(crate) fn apply(repository: &str, generation: u64, routes: &Value) -> Value {
    json!({
        "version": 1, "request": "apply", "repository": repository,
        "generation": generation, "revision": 0, "routes": routes,
    })
}

/// The request, read: its repository is what a table holds.
pub(crate) fn repository(generation: u64, routes: &Value) -> turnout_traffic::Repository {
    match Request::from_line(apply("shop", generation, routes).to_string().as_bytes()).unwrap() {
        Request::Apply { wanted, .. } => wanted,
        other => panic!("{other:?}"),
    }
}

/// A route to one colour.
pub(crate) fn route(listen: SocketAddr, colour: &str, generation: u64, target: SocketAddr) -> Value {
    json!({
        "listen": listen, "protocol": "tcp", "state": "serve",
        "colours": [{"name": colour, "generation": generation, "weight": 100, "targets": [target]}],
    })
}

/// What a container listens with: says its name to whoever comes, then says back what it is told.
pub(crate) struct Container {
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Container {
    pub(crate) fn named(name: &'static str) -> Container {
        Container::at((own_ip(), 0).into(), name)
    }

    pub(crate) fn at(address: SocketAddr, name: &'static str) -> Container {
        Container::of(address, move |mut stream| {
            let said = writeln!(stream, "{name}");
            if let (Ok(()), Ok(mut back)) = (said, stream.try_clone()) {
                let _ = io::copy(&mut stream, &mut back);
            }
        })
    }

    /// One that does this with each connection.
    pub(crate) fn of(address: SocketAddr, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Container {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, serve) = (Arc::clone(&stop), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Relaxed) {
                    return;
                }
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream));
            }
        });
        Container { address, stop }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// A client's connection.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) fn to(address: SocketAddr) -> Client {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client(stream)
    }

    /// The next line that is said to it.
    pub(crate) fn line(&mut self) -> String {
        self.try_line().unwrap()
    }

    pub(crate) fn try_line(&mut self) -> io::Result<String> {
        let (mut line, mut byte) = (Vec::new(), [0]);
        loop {
            match self.0.read(&mut byte)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ if byte == *b"\n" => return Ok(String::from_utf8(line).unwrap()),
                _ => line.extend(byte),
            }
        }
    }

    /// Says a line, and hears it back.
    pub(crate) fn echo(&mut self, line: &str) -> String {
        writeln!(self.0, "{line}").unwrap();
        self.line()
    }

    /// How it ended: none is a regular end.
    pub(crate) fn end(&mut self) -> Option<io::ErrorKind> {
        match self.0.read(&mut [0; 64]) {
            Ok(0) => None,
            Ok(length) => panic!("{length} more bytes"),
            Err(error) => Some(error.kind()),
        }
    }
}
