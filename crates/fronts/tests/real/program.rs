//! A program that runs as long as its test.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

pub struct Program(Child);

/// Starts it. `None`, and said: it is not installed.
pub fn start(name: &str, args: &[&str], folder: &Path) -> Option<Program> {
    let sbin = format!("/usr/sbin/{name}");
    let program = if Path::new(&sbin).exists() { sbin } else { name.to_owned() };
    let log = std::fs::File::create(folder.join("output")).unwrap();
    let mut command = Command::new(program);
    command.args(args).env("HOME", folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
    match command.spawn() {
        Ok(child) => Some(Program(child)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("not run: {name} is not installed");
            None
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

impl Program {
    /// Waits until it listens there.
    pub async fn listens(&mut self, at: SocketAddr, folder: &Path) {
        while TcpStream::connect(at).await.is_err() {
            if let Some(status) = self.0.try_wait().unwrap() {
                panic!("{status}: {}", std::fs::read_to_string(folder.join("output")).unwrap());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it, and waits for that.
    pub async fn end(mut self) {
        let id = self.0.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).unwrap()));
        // A master takes its workers along only where it is asked to end.
        rustix::process::kill_process(id.unwrap(), rustix::process::Signal::TERM).unwrap();
        self.0.wait().await.unwrap();
    }
}

/// An address that nobody has just now.
pub fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
