//! The deployer's side (`turnout-steer`) with the real program: what it asks for, and how it starts one.

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    net::{TcpListener, TcpStream},
    os::{fd::AsFd as _, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::json;
use tempfile::TempDir;
use turnout_steer::{Applied, Ensured, ProgramFile, Start, Steer, SteerError, ensure};
use turnout_traffic::{
    CertificateFiles,
    control::{Code, Shown},
    spot::Host,
};

use crate::{
    support::{Client, Container, Place, free_address, own_ip, repository, route, until},
    tls::Authority,
};

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn routes_are_applied_once_and_say_their_serial() {
    let (red, listen, place) = (Container::named("red"), free_address(), Place::new());
    let _proxy = place.start(&[]);
    let steer = Steer::new(place.socket());
    let wanted = repository(3, &json!([route(listen, "red", 3, red.address)]));
    run(async {
        assert_eq!(steer.apply("shop", &wanted).await.unwrap(), Applied { serial: 1, changed: true });
        assert_eq!(steer.apply("shop", &wanted).await.unwrap(), Applied { serial: 1, changed: false });
        let older = steer.apply("shop", &repository(2, &json!([]))).await.unwrap_err();
        assert!(matches!(&older, SteerError::Refused(refusal) if refusal.code == Code::Older), "{older}");
        let status = steer.status().await.unwrap();
        assert_eq!((status.serial, status.repositories["shop"].generation, status.routes.len()), (1, 3, 1));
        assert!(steer.hold("shop").await.unwrap() && !steer.hold("shop").await.unwrap());
        assert_eq!(steer.status().await.unwrap().held, ["shop"]);
        assert!(steer.resume("shop").await.unwrap());
        assert!(steer.maintain("shop", true, Some("<p>soon".to_owned())).await.unwrap());
        assert_eq!(steer.status().await.unwrap().maintained, ["shop"]);
        assert!(steer.maintain("shop", false, None).await.unwrap());
        let unknown = steer.hold("blog").await.unwrap_err();
        assert!(unknown.to_string().contains("refused `hold blog`: blog is not known here"), "{unknown}");
    });
    assert_eq!(Client::to(listen).line(), "red");
}

#[test]
fn what_could_not_be_served_is_told_and_nothing_is_changed() {
    let (red, listen, place, authority) = (Container::named("red"), free_address(), Place::new(), Authority::new());
    let _proxy = place.start(&[]);
    let steer = Steer::new(place.socket());
    let taken = TcpListener::bind((own_ip(), 0)).unwrap();
    let taken_at = taken.local_addr().unwrap();
    let signed = authority.signs("a", &["a.example"]);
    let file = |key: &str| signed[key].as_str().unwrap().to_owned();
    let shown = |certificate: String, key: String, host: &str| Shown {
        files: CertificateFiles { certificate, key },
        hosts: vec![Host::read(host).unwrap()],
    };
    run(async {
        let wanted = repository(3, &json!([route(listen, "red", 3, red.address)]));
        steer.apply("shop", &wanted).await.unwrap();
        let well = shown(file("certificate"), file("key"), "a.example");
        let free = free_address();
        assert_eq!(steer.tries(vec![listen, free], vec![well.clone()]).await.unwrap(), Some(Vec::new()));
        assert!(TcpStream::connect(free).is_err(), "nobody listens there");
        let beside = std::net::SocketAddr::new("0.0.0.0".parse().unwrap(), listen.port());
        let not = vec![
            well,
            shown(file("certificate"), "/nowhere".to_owned(), "a.example"),
            shown(file("certificate"), file("key"), "b.example"),
        ];
        let said = steer.tries(vec![taken_at, beside], not).await.unwrap().unwrap();
        for (line, begins, has) in [
            (0, format!("cannot listen on {taken_at}: Address already in use"), "`ss -ltnp`"),
            (1, format!("cannot listen on {beside}: "), "is listened on until this change: take that route away first"),
            (2, "/nowhere cannot be read by turnout-proxy's user".to_owned(), "No such file"),
            (3, file("certificate"), "does not name `b.example`"),
        ] {
            assert!(said[line].starts_with(&begins) && said[line].contains(has), "{said:?}");
        }
        assert_eq!((said.len(), steer.status().await.unwrap().serial), (4, 1));
    });
}

/// What is said is larger than what a socket takes at once, and so is the answer.
#[test]
fn a_large_table_goes_both_ways() {
    let (red, place) = (Container::named("red"), Place::new());
    let _proxy = place.start(&[]);
    let steer = Steer::new(place.socket());
    let ip = own_ip();
    // Held until all are known: none is given twice.
    let listeners: Vec<TcpListener> = (0..400).map(|_| TcpListener::bind((ip, 0)).unwrap()).collect();
    let routes: Vec<_> =
        listeners.iter().map(|free| route(free.local_addr().unwrap(), "red", 1, red.address)).collect();
    drop(listeners);
    let wanted = repository(1, &json!(routes));
    run(async {
        assert!(steer.apply("shop", &wanted).await.unwrap().changed);
        assert_eq!(steer.status().await.unwrap().routes.len(), 400);
    });
}

/// Where a proxy is started; it is killed at the end.
struct Home {
    place: Place,
    logs: TempDir,
}

impl Home {
    fn new() -> Home {
        Home { place: Place::new(), logs: tempfile::tempdir().unwrap() }
    }

    fn start(&self) -> Start {
        start_of(&self.place.state(), &self.place.socket(), &self.log())
    }

    fn log(&self) -> PathBuf {
        self.logs.path().join("proxy.log")
    }

    /// How often a proxy said this, in all of the log.
    fn said(&self, text: &str) -> usize {
        fs::read_to_string(self.log()).unwrap_or_default().lines().filter(|line| line.contains(text)).count()
    }
}

fn start_of(state: &Path, socket: &Path, log: &Path) -> Start {
    Start {
        program: env!("CARGO_BIN_EXE_turnout-proxy").into(),
        socket: socket.to_owned(),
        route_file: state.join("routes.json"),
        log: log.to_owned(),
        control_users: vec![4_000_001],
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Ok(pid) = run(async { ensure(&self.start()).await.map(|ensured| ensured.pid) }) {
            let _ = kill_process(process(pid), Signal::KILL);
        }
    }
}

fn process(pid: Option<u32>) -> Pid {
    Pid::from_raw(pid.unwrap().try_into().unwrap()).unwrap()
}

/// The state of a process, as the system tells it. None: there is no such process.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')').unwrap().1.trim_start().chars().next()
}

#[test]
fn one_is_started_where_there_is_none_and_found_afterwards() {
    let (red, listen, home) = (Container::named("red"), free_address(), Home::new());
    run(async {
        let first = ensure(&home.start()).await.unwrap();
        assert!(first.started);
        let wanted = repository(1, &json!([route(listen, "red", 1, red.address)]));
        first.steer.apply("shop", &wanted).await.unwrap();
        let second = ensure(&home.start()).await.unwrap();
        assert_eq!((second.started, second.pid), (false, first.pid));
    });
    assert_eq!(Client::to(listen).line(), "red");
    // The route file is where it was said to be.
    assert_eq!(home.place.kept().serial, 1);
    assert_eq!(home.said("turnout-proxy begins"), 1);
}

/// Neither what this process was given, nor what it was told in its environment, nor its place.
#[test]
fn nothing_of_the_starter_is_handed_on() {
    let home = Home::new();
    let lock = tempfile::tempfile().unwrap();
    // As a shell's `9> lock` does: it is there after an exec.
    rustix::io::fcntl_setfd(lock.as_fd(), rustix::io::FdFlags::empty()).unwrap();
    let inode = rustix::fs::fstat(&lock).unwrap().st_ino;
    let pid = run(async { ensure(&home.start()).await.unwrap().pid.unwrap() });
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let open: Vec<PathBuf> = fs::read_dir(proc.join("fd")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(open.iter().all(|fd| {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(fd).map_or(true, |found| found.ino() != inode)
    }));
    let leads = |fd: &str| fs::read_link(proc.join("fd").join(fd)).unwrap();
    assert_eq!(leads("0"), Path::new("/dev/null"));
    assert_eq!((leads("1"), leads("2")), (home.log(), home.log()));
    assert_eq!(fs::read(proc.join("environ")).unwrap(), b"");
    assert_eq!(fs::read_link(proc.join("cwd")).unwrap(), Path::new("/"));
}

#[test]
fn many_starters_end_with_one_proxy() {
    let home = Home::new();
    let all: Vec<Ensured> = std::thread::scope(|scope| {
        let starters: Vec<_> =
            (0..8).map(|_| scope.spawn(|| run(async { ensure(&home.start()).await.unwrap() }))).collect();
        starters.into_iter().map(|starter| starter.join().unwrap()).collect()
    });
    assert_eq!(all.iter().filter(|ensured| ensured.started).count(), 1);
    assert!(all.iter().all(|ensured| ensured.pid == all[0].pid));
    assert_eq!(home.said("turnout-proxy begins"), 1);
}

#[test]
fn one_that_was_killed_is_started_anew_and_serves_what_it_served() {
    let (red, listen, home) = (Container::named("red"), free_address(), Home::new());
    run(async {
        let first = ensure(&home.start()).await.unwrap();
        let wanted = repository(1, &json!([route(listen, "red", 1, red.address)]));
        first.steer.apply("shop", &wanted).await.unwrap();
        kill_process(process(first.pid), Signal::KILL).unwrap();
        // It is this process's child, and nothing of it is left.
        while state(first.pid.unwrap()).is_some() {
            tokio::task::yield_now().await;
        }
        assert!(first.steer.status().await.unwrap_err().is_absent());
        let second = ensure(&home.start()).await.unwrap();
        assert!(second.started && second.pid != first.pid);
    });
    assert_eq!(Client::to(listen).line(), "red");
    assert_eq!(home.said("turnout-proxy begins"), 2);
}

#[test]
fn one_that_is_ending_is_waited_for() {
    let (red, listen, home) = (Container::named("red"), free_address(), Home::new());
    run(async {
        let first = ensure(&home.start()).await.unwrap();
        let wanted = repository(1, &json!([route(listen, "red", 1, red.address)]));
        first.steer.apply("shop", &wanted).await.unwrap();
        let mut client = Client::to(listen);
        assert_eq!(client.line(), "red");
        kill_process(process(first.pid), Signal::TERM).unwrap();
        while !first.steer.status().await.unwrap().ending {
            tokio::task::yield_now().await;
        }
        let start = home.start();
        let leaves = async {
            // It is asked meanwhile: both are served by this thread.
            tokio::task::yield_now().await;
            assert_eq!(client.echo("still"), "still");
            drop(client);
        };
        let second = tokio::join!(ensure(&start), leaves).0.unwrap();
        assert!(second.started && second.pid != first.pid);
    });
    assert_eq!(Client::to(listen).line(), "red");
}

/// One that was started by somebody else, elsewhere, has the state directory: ours ends, and says so.
#[test]
fn one_that_cannot_begin_is_told_with_its_own_words() {
    let (home, other) = (Home::new(), TempDir::new().unwrap());
    run(async {
        ensure(&home.start()).await.unwrap();
        let wrong = Start { socket: other.path().join("sock"), log: other.path().join("log"), ..home.start() };
        let told = ensure(&wrong).await.unwrap_err().to_string();
        assert!(told.contains("ended before it answered on") && told.contains("exit status: 1"), "{told}");
        assert!(told.contains("another turnout-proxy has the state directory"), "{told}");
    });
}

/// What [`a_starter`] is told by its environment: state directory, socket, log.
const STARTER: &str = "TURNOUT_PROXY_TEST_STARTER";

/// Not a test: the process that [`it_outlives_its_starter`] starts and kills. It starts a proxy, tells its number, and stays.
#[test]
#[ignore = "a part of another test"]
fn a_starter() {
    let told = std::env::var(STARTER).expect("only by its test");
    let mut paths = told.split('\n').map(Path::new);
    let mut next = || paths.next().unwrap();
    let start = start_of(next(), next(), next());
    run(async {
        let ensured = ensure(&start).await.unwrap();
        println!("\nproxy {}", ensured.pid.unwrap());
        std::future::pending::<()>().await;
    });
}

#[test]
fn it_outlives_its_starter() {
    let (red, listen, home) = (Container::named("red"), free_address(), Home::new());
    let paths = [home.place.state(), home.place.socket(), home.log()].map(|path| path.display().to_string());
    let mut starter = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "steering::a_starter", "--ignored", "--nocapture"])
        .env(STARTER, paths.join("\n"))
        .process_group(0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(starter.stdout.take().unwrap()).lines().map_while(io::Result::ok);
    let told = lines.filter_map(|line| line.strip_prefix("proxy ").map(str::to_owned)).next().unwrap();
    let pid: u32 = told.parse().unwrap();
    let group = Pid::from_child(&starter);
    let own = rustix::process::getpgid(Some(process(Some(pid)))).unwrap();
    assert_eq!(own, process(Some(pid)), "a group of its own");
    for signal in [Signal::HUP, Signal::TERM, Signal::KILL] {
        // A test program has no handler: each of them ends it, and the others find nobody.
        let _ = kill_process_group(group, signal);
    }
    starter.wait().unwrap();
    run(async {
        let found = ensure(&home.start()).await.unwrap();
        assert_eq!((found.started, found.pid), (false, Some(pid)));
        let wanted = repository(1, &json!([route(listen, "red", 1, red.address)]));
        found.steer.apply("shop", &wanted).await.unwrap();
    });
    assert_eq!(Client::to(listen).line(), "red");
    // Nor does a terminal that goes away end it.
    kill_process(process(Some(pid)), Signal::HUP).unwrap();
    until("it says that it was told", || home.said("SIGHUP") == 1);
    assert!(TcpStream::connect(listen).is_ok() && state(pid).is_some());
}

/// As after an upgrade where no service manager runs it.
#[test]
fn another_program_takes_over_from_one_that_was_replaced() {
    let (red, listen, home) = (Container::named("red"), free_address(), Home::new());
    let program = home.logs.path().join("turnout-proxy");
    let put = || {
        let new = home.logs.path().join("new");
        // Not by this process, of which another thread may be starting a program: what is written is not run.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_turnout-proxy")).arg(&new).status().unwrap();
        assert!(copied.success());
        fs::rename(new, &program).unwrap();
    };
    put();
    let start = Start { program: program.clone(), ..home.start() };
    run(async {
        let first = ensure(&start).await.unwrap();
        let wanted = repository(1, &json!([route(listen, "red", 1, red.address)]));
        first.steer.apply("shop", &wanted).await.unwrap();
        let mut client = Client::to(listen);
        assert_eq!(client.line(), "red");
        assert_eq!(first.steer.program().await.unwrap(), ProgramFile::at(&program));
        put();
        let (running, present) = (first.steer.program().await.unwrap(), ProgramFile::at(&program));
        assert!(running.is_some() && running != present);
        assert!(first.steer.renew().await.unwrap());
        assert_eq!(first.steer.program().await.unwrap(), present);
        let second = ensure(&start).await.unwrap();
        assert!(!second.started && second.pid.is_some() && second.pid != first.pid, "{second:?}");
        assert_eq!((client.echo("still"), Client::to(listen).line()), ("still".to_owned(), "red".to_owned()));
        // The new one dies: neither its lock nor its socket is held by the one before.
        kill_process(process(second.pid), Signal::KILL).unwrap();
        let third = ensure(&start).await.unwrap();
        assert!(third.started, "{third:?}");
        assert_eq!((client.echo("still"), Client::to(listen).line()), ("still".to_owned(), "red".to_owned()));
    });
}
