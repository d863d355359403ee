//! Another process takes over: nobody is refused, nobody waits, and what is open goes on.

use std::{
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    support::{Client, Container, PATIENCE, Place, free_address, program, route, until},
    web::{Browser, Web, before, head, http, message, scripted},
};

/// The longest that any request may take while one process follows another.
const AT_MOST: Duration = Duration::from_secs(1);

/// Clients that ask all the while, half of them on a new connection each time.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    pub(crate) done: Arc<AtomicU64>,
    wrong: Arc<Mutex<Vec<String>>>,
    threads: Vec<thread::JoinHandle<Duration>>,
}

impl Load {
    pub(crate) fn on(listen: SocketAddr, clients: usize) -> Load {
        let (stop, done, wrong) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default(), Arc::default());
        let threads = (0..clients).map(|number| {
            let (stop, done, wrong) = (Arc::clone(&stop), Arc::clone(&done), Arc::clone(&wrong));
            thread::spawn(move || ask(listen, number % 2 == 0, &stop, &done, &wrong))
        });
        let threads = threads.collect();
        Load { stop, done, wrong, threads }
    }

    /// Waits until so many more were answered.
    pub(crate) fn goes_on(&self, more: u64) {
        let before = self.done.load(Relaxed);
        until("requests are answered", || self.done.load(Relaxed) >= before + more);
    }

    pub(crate) fn wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }

    /// How long the longest took.
    pub(crate) fn end(self) -> Duration {
        self.stop.store(true, Relaxed);
        self.threads.into_iter().map(|one| one.join().unwrap()).max().unwrap()
    }
}

fn ask(listen: SocketAddr, keeps: bool, stop: &AtomicBool, done: &AtomicU64, wrong: &Mutex<Vec<String>>) -> Duration {
    let (mut browser, mut longest) = (None::<Browser>, Duration::ZERO);
    while !stop.load(Relaxed) {
        let since = Instant::now();
        let mut connected = browser.take().map_or_else(|| Browser::try_to(listen), Ok);
        let answer =
            connected.as_mut().map_err(|error| io::Error::from(error.kind())).and_then(|to| to.try_get("/get"));
        longest = longest.max(since.elapsed());
        match answer {
            Ok(answer) if answer.status() == 200 => {
                done.fetch_add(1, Relaxed);
                // As a client does that is told so.
                browser = connected.ok().filter(|_| keeps && answer.get("connection") != "close");
            }
            other => wrong.lock().unwrap().push(format!("after {:?}: {other:?}", since.elapsed())),
        }
    }
    longest
}

/// A tunnel, as of a WebSocket.
fn tunnel(listen: SocketAddr) -> Browser {
    let mut browser = Browser::to(listen);
    browser.says("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(head(&mut browser.from).unwrap().status(), 101);
    browser
}

fn echoes(browser: &mut Browser, line: &str) {
    browser.says(&format!("{line}\n"));
    let mut said = String::new();
    io::BufRead::read_line(&mut browser.from, &mut said).unwrap();
    assert_eq!(said.trim_end(), line);
}

/// A container of tunnels that say back what they are told.
fn tunnels() -> Container {
    scripted(|from, to| {
        message(from, false)?;
        to.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")?;
        io::copy(from, to).map(drop)
    })
}

/// A container whose answers end when they may.
fn long_answers() -> (Container, Sender<()>) {
    let (may_end, ends) = channel::<()>();
    let ends = Mutex::new(ends);
    let container = scripted(move |from, to| {
        message(from, false)?;
        to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")?;
        let _ = ends.lock().unwrap().recv_timeout(PATIENCE);
        to.write_all(b" last")
    });
    (container, may_end)
}

fn done(answer: &Value) {
    assert_eq!(answer["answer"], "done", "{answer}");
}

#[test]
fn nobody_is_refused_or_waits_and_what_is_open_goes_on() {
    let (red, blue, sockets, (long, may_end)) = (Web::named("red"), Web::named("blue"), tunnels(), long_answers());
    let (listen, at_sockets, at_long, place) = (free_address(), free_address(), free_address(), Place::new());
    let mut proxy = place.start(&[]);
    let routes = |web: &Web, name: &str, generation| {
        json!([
            http(listen, name, generation, web.address()),
            http(at_sockets, name, generation, sockets.address),
            http(at_long, name, generation, long.address),
        ])
    };
    proxy.apply("shop", 1, &routes(&red, "red", 1));
    let mut socket = tunnel(at_sockets);
    echoes(&mut socket, "before");
    let mut slow = Browser::to(at_long);
    slow.says("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = head(&mut slow.from).unwrap();
    let load = Load::on(listen, 8);
    load.goes_on(50);

    done(&proxy.renew());
    let longest = (0..200).map(|_| {
        let since = Instant::now();
        assert_eq!(Browser::to(listen).get("/get").status(), 200);
        since.elapsed()
    });
    let longest = longest.max().unwrap();
    assert!(longest < AT_MOST, "{longest:?}");
    load.goes_on(50);
    let said = proxy.says("has taken over");
    assert!(said.contains("may end within 3600 s"), "{said}");
    assert!(proxy.runs(), "it has connections still");

    // What is open to the one before is told by the new one, and its routes are those of the new one.
    let open = |status: &Value, at: SocketAddr| {
        let routes = status["routes"].as_array().unwrap();
        routes.iter().find(|route| route["listen"] == json!(at)).unwrap()["colours"][0]["open"].as_u64().unwrap()
    };
    let status = proxy.status();
    assert_eq!(
        (open(&status, at_sockets), open(&status, at_long), &status["ending"]),
        (1, 1, &json!(false)),
        "{status}"
    );
    proxy.apply("shop", 2, &routes(&blue, "blue", 2));
    // What was under way when the routes moved ends soon.
    let stays = [(json!(at_sockets), json!("red")), (json!(at_long), json!("red"))];
    until("what is open to red is told, and nothing else", || {
        let left = proxy.status()["leaving"].clone();
        let left: Vec<_> =
            left.as_array().unwrap().iter().map(|of| (of["listen"].clone(), of["name"].clone())).collect();
        left.len() == 2 && stays.iter().all(|one| left.contains(one))
    });
    assert_eq!(Browser::to(listen).get("/get").text(), "blue /get 0");
    echoes(&mut socket, "after");
    may_end.send(()).unwrap();
    let mut whole = answer;
    crate::web::body(&mut slow.from, &mut whole, false).unwrap();
    assert_eq!(whole.text(), "first last");

    // The last connection ends, and with it the process.
    drop((socket, slow));
    assert_eq!(proxy.ended().code(), Some(0));
    load.goes_on(20);
    let wrong = load.wrong();
    assert!(wrong.is_empty(), "{wrong:?}");
    let longest = load.end();
    assert!(longest < AT_MOST, "{longest:?}");
    assert_eq!((place.kept().serial, place.processes().len()), (2, 1));
    println!("the longest of the clients that asked all the while took {longest:?}");
}

#[test]
fn a_program_that_cannot_take_over_changes_nothing() {
    let (red, blue, listen, place) = (Web::named("red"), Web::named("blue"), free_address(), Place::new());
    let own = place.socket().parent().unwrap().join("turnout-proxy");
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    // Not by this process, of which another thread may be starting a program: what is written is not run.
    let put = |source: &Path| {
        let new = own.with_file_name("new");
        assert!(Command::new("cp").arg(source).arg(&new).status().unwrap().success());
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, &own).unwrap();
    };
    let good = PathBuf::from(program().get_program());
    put(&good);
    let mut command = Command::new(&own);
    command.env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM");
    let mut proxy = place.begin_with(command, &[]);
    proxy.says("ready:");
    proxy.apply("shop", 1, &json!([http(listen, "red", 1, red.address())]));
    let load = Load::on(listen, 4);
    load.goes_on(20);

    for (script, why) in [
        ("#!/bin/sh\nexit 3\n", "it ended before it served"),
        // It says nothing that is understood: an answer of another program.
        ("#!/bin/sh\nprintf '\\0\\0\\0\\2{}' >&0\nexec sleep 100\n", "missing field `say`"),
    ] {
        let source = own.with_file_name("script");
        fs::write(&source, script).unwrap();
        put(&source);
        let answer = proxy.renew();
        assert_eq!(answer["code"], "not_renewed", "{answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains(why) && message.contains("serves on, and nothing was changed"), "{message}");
    }
    load.goes_on(20);
    proxy.apply("shop", 2, &json!([http(listen, "blue", 2, blue.address())]));
    put(&good);
    done(&proxy.renew());
    assert_eq!(proxy.ended().code(), Some(0));
    load.goes_on(20);
    assert!(load.wrong().is_empty(), "{:?}", load.wrong());
    assert!(load.end() < AT_MOST);
    proxy.apply("shop", 3, &json!([http(listen, "red", 3, red.address())]));
    assert_eq!((place.kept().serial, place.processes().len()), (3, 1));
}

#[test]
fn what_the_new_one_is_told_counts_for_the_connections_of_the_old_one() {
    let (red, blue, listen, place) = (Container::named("red"), Container::named("blue"), free_address(), Place::new());
    let (long, may_end) = long_answers();
    let (at_long, mut proxy) = (free_address(), place.start(&[]));
    let routes = |name: &'static str, generation: u64, to: SocketAddr| {
        let mut tcp = route(listen, name, generation, to);
        tcp["drain_seconds"] = json!(1);
        json!([tcp, http(at_long, "red", 1, long.address)])
    };
    proxy.apply("shop", 1, &routes("red", 1, red.address));
    let mut client = Client::to(listen);
    assert_eq!(client.line(), "red");
    let mut slow = Browser::to(at_long);
    slow.says("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut answer = head(&mut slow.from).unwrap();
    done(&proxy.renew());
    proxy.says("has taken over");
    assert_eq!(client.echo("still"), "still");

    // Held: who waits for what is in flight sees it, and its end.
    done(&proxy.ask(&json!({"version": 1, "request": "hold", "repository": "shop"})));
    let in_flight = |status: &Value| {
        let routes = status["routes"].as_array().unwrap();
        routes.iter().find(|of| of["listen"] == json!(at_long)).unwrap()["colours"][0]["open"].clone()
    };
    assert_eq!(in_flight(&proxy.status()), json!(1));
    may_end.send(()).unwrap();
    crate::web::body(&mut slow.from, &mut answer, false).unwrap();
    until("nothing is in flight", || in_flight(&proxy.status()) == json!(0));
    done(&proxy.ask(&json!({"version": 1, "request": "resume", "repository": "shop"})));

    // A colour that leaves has its connections cut when its time is over.
    proxy.apply("shop", 2, &routes("blue", 2, blue.address));
    assert_eq!(client.end(), Some(io::ErrorKind::ConnectionReset));
    assert_eq!(Client::to(listen).line(), "blue");
    drop(slow);
    assert_eq!(proxy.ended().code(), Some(0));
}

#[test]
fn one_after_the_other_and_all_end_in_order() {
    let (red, listen, place) = (Container::named("red"), free_address(), Place::new());
    let mut proxy = place.start(&["--grace", "1"]);
    proxy.apply("shop", 1, &json!([route(listen, "red", 1, red.address)]));
    let mut clients = Vec::new();
    for number in 1..=3_u64 {
        let mut client = Client::to(listen);
        assert_eq!(client.line(), "red");
        clients.push(client);
        done(&proxy.renew());
        proxy.says("has taken over");
        until("all are counted", || proxy.status()["routes"][0]["colours"][0]["open"] == json!(number));
    }
    assert_eq!(place.processes().len(), 4);
    for client in &mut clients {
        assert_eq!(client.echo("still"), "still");
    }
    // The second one's connection ends, and that one stays as long as there is one before it.
    drop(clients.remove(1));
    until("it is told", || proxy.status()["connections"] == json!(2));
    assert_eq!(clients[0].echo("still"), "still");

    // The service ends: all have the same time.
    let own = proxy.pid();
    let newest = place.processes().into_iter().filter(|pid| *pid != own).max().unwrap();
    kill_process(Pid::from_raw(newest).unwrap(), Signal::TERM).unwrap();
    for client in &mut clients {
        assert_eq!(client.end(), Some(io::ErrorKind::ConnectionReset));
    }
    assert_eq!(proxy.ended().code(), Some(0));
    until("all have ended", || place.processes().is_empty());
    assert!(!place.socket().exists());
    drop(place.start(&[]));
}

#[test]
fn the_service_manager_hears_one_at_a_time() {
    let (red, listen, place) = (Container::named("red"), free_address(), Place::new());
    fs::create_dir_all(place.socket().parent().unwrap()).unwrap();
    let heard = place.socket().with_file_name("notify.sock");
    let manager = UnixDatagram::bind(&heard).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = program();
    command.env("NOTIFY_SOCKET", &heard);
    let mut proxy = place.begin_with(command, &[]);
    proxy.says("ready");
    proxy.apply("shop", 1, &json!([route(listen, "red", 1, red.address)]));
    let next = || {
        let mut bytes = [0; 4_096];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    while !next().contains("FDSTORE=1") {}
    done(&proxy.renew());
    assert_eq!(proxy.ended().code(), Some(0));
    let new = place.processes();
    assert_eq!(new.len(), 1, "{new:?}");
    // The old one names the new one first; from then on only that one speaks.
    loop {
        let said = next();
        assert!(!said.contains("READY") && !said.contains("FDSTORE") && !said.contains("STOPPING"), "{said}");
        if said.contains("MAINPID=") {
            assert_eq!(said.trim(), format!("MAINPID={}", new[0]));
            break;
        }
    }
    let (mut ready, mut kept) = (false, false);
    while !(ready && kept) {
        let said = next();
        assert!(!said.contains("STOPPING"), "{said}");
        ready |= said.contains("READY=1");
        kept |= said.contains("FDSTORE=1");
    }
    proxy.apply("shop", 2, &json!([route(listen, "red", 2, red.address)]));
}

#[test]
fn renew_is_asked_from_the_command_line() {
    let red = Web::named("red");
    let (place, mut proxy, listen) = before(red.address(), &[]);
    let ask = |socket: &Path| program().args(["renew", "--socket"]).arg(socket).output().unwrap();
    let said = ask(&place.socket());
    assert!(said.status.success(), "{said:?}");
    assert_eq!(proxy.ended().code(), Some(0));
    assert_eq!(Browser::to(listen).get("/get").status(), 200);
    let said = ask(&place.socket().with_file_name("none"));
    let words = String::from_utf8_lossy(&said.stderr);
    assert!(!said.status.success() && words.contains("start it, there is none to be renewed"), "{words}");
}
