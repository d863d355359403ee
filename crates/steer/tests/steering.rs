//! What becomes of a question whose answer is late, lost, strange or a refusal; a stand-in plays the proxy. With the real one:
//! `crates/proxy/tests`.
#![allow(
    clippy::disallowed_methods,
    reason = "tests go by the clock of the machine; sleeps are looked for in architecture.rs"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code: a failure is the report")]

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixListener,
    time::Instant,
};
use turnout_steer::{Applied, Start, Steer, SteerError, ensure};
use turnout_traffic::{
    Repository,
    control::{Answer, Code, Origin, Refusal, Request, Status},
};

/// What the stand-in does with one connection, after it has read a line.
#[derive(Clone)]
enum Does {
    Answers(Answer),
    Says(&'static str),
    Hangs,
    Leaves,
}

struct StandIn {
    directory: TempDir,
    heard: Arc<Mutex<Vec<Request>>>,
}

impl StandIn {
    /// One after the other; the last of them again and again.
    fn that(mut does: Vec<Does>) -> StandIn {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("sock")).unwrap();
        let heard: Arc<Mutex<Vec<Request>>> = Arc::default();
        let hears = Arc::clone(&heard);
        does.reverse();
        tokio::spawn(async move {
            let mut open = Vec::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = BufReader::new(stream);
                let mut line = Vec::new();
                stream.read_until(b'\n', &mut line).await.unwrap();
                hears.lock().unwrap().push(Request::from_line(&line).unwrap());
                match if does.len() > 1 { does.pop().unwrap() } else { does[0].clone() } {
                    Does::Answers(answer) => stream.write_all(&answer.to_line().unwrap()).await.unwrap(),
                    Does::Says(said) => stream.write_all(said.as_bytes()).await.unwrap(),
                    Does::Hangs => open.push(stream),
                    Does::Leaves => drop(stream),
                }
            }
        });
        StandIn { directory, heard }
    }

    fn steer(&self) -> Steer {
        Steer::new(self.socket())
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("sock")
    }

    fn heard(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    /// As a reader sees it, in whatever folder this was.
    fn told(&self, error: &SteerError) -> String {
        error.to_string().replace(&self.socket().display().to_string(), "SOCKET")
    }
}

fn wanted() -> Repository {
    Repository { generation: 7, revision: 1, routes: Vec::new() }
}

fn applied(changed: bool) -> Does {
    Does::Answers(Answer::Applied { serial: 3, changed })
}

fn refuses(code: Code) -> Does {
    Does::Answers(Answer::Refused(Refusal::new(code, "says why")))
}

#[tokio::test]
async fn each_question_is_said_as_it_was_asked() {
    let done = |changed| Does::Answers(Answer::Done { changed });
    let proxy = StandIn::that(vec![applied(true), done(true), done(false), done(true), done(false)]);
    let steer = proxy.steer();
    assert_eq!(steer.apply("shop", &wanted()).await.unwrap(), Applied { serial: 3, changed: true });
    assert!(steer.hold("shop").await.unwrap());
    assert!(!steer.resume("shop").await.unwrap());
    assert!(steer.maintain("shop", true, Some("<p>soon".to_owned())).await.unwrap());
    assert!(!steer.maintain("shop", false, None).await.unwrap());
    let repository = || "shop".to_owned();
    let page = Some("<p>soon".to_owned());
    let expected = [
        Request::Apply { repository: repository(), wanted: wanted() },
        Request::Hold { repository: repository() },
        Request::Resume { repository: repository() },
        Request::Maintain { repository: repository(), on: true, page },
        Request::Maintain { repository: repository(), on: false, page: None },
    ];
    assert_eq!(*proxy.heard.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn an_apply_whose_answer_is_lost_late_or_open_is_asked_for_again() {
    for first in [
        vec![Does::Leaves],
        vec![Does::Hangs],
        vec![refuses(Code::Busy)],
        vec![refuses(Code::Unknown), refuses(Code::NotDurable), Does::Leaves],
    ] {
        let tries = first.len() + 1;
        let proxy = StandIn::that([first, vec![applied(false)]].concat());
        let answer = proxy.steer().apply("shop", &wanted()).await.unwrap();
        assert_eq!((answer, proxy.heard()), (Applied { serial: 3, changed: false }, tries));
    }
}

#[tokio::test(start_paused = true)]
async fn asking_again_ends_and_then_it_may_have_been_done() {
    for (does, told) in [
        (
            Does::Hangs,
            "turnout-proxy on SOCKET did not answer `apply shop (generation 7, revision 1)` within 8 s; its log says what it \
             does. It may have been done all the same: ask again, or look at the status",
        ),
        (
            Does::Leaves,
            "turnout-proxy on SOCKET went away before it answered `apply shop (generation 7, revision 1)`: it closed the \
             connection; its log says why. It may have been done all the same: ask again, or look at the status",
        ),
    ] {
        let hangs = matches!(does, Does::Hangs);
        let proxy = StandIn::that(vec![does]);
        let since = Instant::now();
        let error = proxy.steer().apply("shop", &wanted()).await.unwrap_err();
        let took = since.elapsed();
        assert!(took > Duration::from_secs(20) && took <= Duration::from_secs(31), "{took:?}");
        assert!(error.unknown() && !error.is_absent());
        if hangs {
            // The last wait is what was left of the time.
            assert!(proxy.told(&error).starts_with("turnout-proxy on SOCKET did not answer `apply shop"));
            assert!(proxy.heard() >= 3, "{}", proxy.heard());
        } else {
            assert_eq!(proxy.told(&error), told);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_done_stays_so_until_an_answer_settles_it() {
    // The proxy ends after an answer that left it open.
    let proxy = StandIn::that(vec![refuses(Code::Unknown), refuses(Code::Ending)]);
    let error = proxy.steer().apply("shop", &wanted()).await.unwrap_err();
    assert!(error.unknown(), "{error}");
    // It is gone for good.
    let proxy = StandIn::that(vec![Does::Leaves]);
    let steer = proxy.steer();
    let socket = proxy.socket();
    let gone = async {
        while proxy.heard() == 0 {
            tokio::task::yield_now().await;
        }
        std::fs::remove_file(&socket).unwrap();
    };
    let wanted_now = wanted();
    let error = tokio::join!(steer.apply("shop", &wanted_now), gone).0.unwrap_err();
    assert!(error.unknown() && !error.is_absent(), "{error}");
    // An answer that says what is.
    let proxy = StandIn::that(vec![Does::Leaves, refuses(Code::Older)]);
    let error = proxy.steer().apply("shop", &wanted()).await.unwrap_err();
    assert!(!error.unknown(), "{error}");
    assert_eq!(proxy.heard(), 2);
}

#[tokio::test]
async fn a_refusal_is_final_and_says_where_and_what_to_do() {
    let proxy = StandIn::that(vec![refuses(Code::Conflict)]);
    let error = proxy.steer().apply("shop", &wanted()).await.unwrap_err();
    assert!(matches!(&error, SteerError::Refused(refusal) if refusal.code == Code::Conflict));
    assert_eq!(
        proxy.told(&error),
        "turnout-proxy on SOCKET refused `apply shop (generation 7, revision 1)`: says why; look at the status, and count on \
         from there"
    );
    assert_eq!((proxy.heard(), error.unknown()), (1, false));
}

#[tokio::test]
async fn an_answer_that_is_none_is_told_and_may_have_been_one() {
    for (does, why) in [
        (Does::Says("hello\n"), "the proxy's answer is not understood: expected value at line 1 column 1"),
        (Does::Says("{\"version\":2,\"answer\":\"done\",\"changed\":true}\n"), "the proxy answers in version 2"),
        (Does::Says("{\"version\":1,\"answer\":\"do"), "the proxy's answer is not understood: EOF"),
        (applied(true), "it is an answer of another kind, `applied`"),
    ] {
        let proxy = StandIn::that(vec![does]);
        let error = proxy.steer().hold("shop").await.unwrap_err();
        let told = proxy.told(&error);
        assert!(told.starts_with("what turnout-proxy on SOCKET answered to `hold shop` is not understood: "), "{told}");
        assert!(told.contains(why) && error.unknown(), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_silent_and_holds_nobody() {
    let proxy = StandIn::that(vec![Does::Hangs]);
    let error = proxy.steer().status().await.unwrap_err();
    assert!(matches!(error, SteerError::Silent { sent: true, .. }), "{error:?}");
}

#[tokio::test]
async fn one_that_goes_away_as_it_is_asked_how_things_stand_is_asked_once_more() {
    let status = Status {
        serial: 1,
        origin: Origin::Nothing,
        durable: true,
        ending: false,
        connections: 0,
        repositories: BTreeMap::new(),
        routes: Vec::new(),
        leaving: Vec::new(),
        held: Vec::new(),
        maintained: Vec::new(),
        certificates: Vec::new(),
        authority: None,
    };
    let proxy = StandIn::that(vec![Does::Leaves, Does::Answers(Answer::Status(status))]);
    proxy.steer().status().await.unwrap();
    assert_eq!(proxy.heard(), 2);
}

#[tokio::test]
async fn without_a_proxy_it_is_absent_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let none = directory.path().join("none");
    // As a killed one leaves it.
    let left = directory.path().join("left");
    drop(UnixListener::bind(&left).unwrap());
    for socket in [none, left] {
        let error = Steer::new(socket.clone()).apply("shop", &wanted()).await.unwrap_err();
        assert!(error.is_absent() && !error.unknown(), "{error:?}");
        let told = error.to_string();
        assert!(told.starts_with(&format!("no turnout-proxy listens on {}: ", socket.display())), "{told}");
        assert!(told.ends_with("; start it, or set the path of its control socket right"), "{told}");
    }
    // Not a folder.
    std::fs::write(directory.path().join("file"), "").unwrap();
    let error = Steer::new(directory.path().join("file/sock")).status().await.unwrap_err();
    assert!(matches!(error, SteerError::Unreachable { .. }) && !error.is_absent(), "{error:?}");
}

#[tokio::test]
async fn what_is_larger_than_a_proxy_takes_is_not_sent() {
    let proxy = StandIn::that(vec![applied(true)]);
    let page = "x".repeat(turnout_traffic::bounds::BYTES);
    let error = proxy.steer().maintain("shop", true, Some(page)).await.unwrap_err();
    assert!(matches!(error, SteerError::TooLong { .. }) && !error.unknown());
    assert_eq!(proxy.heard(), 0);
}

/// A start in a folder, of a program that is no proxy.
fn start(directory: &TempDir, program: &str) -> Start {
    let path = |name: &str| directory.path().join(name);
    Start {
        program: program.into(),
        socket: path("run/sock"),
        route_file: path("state/routes.json"),
        log: path("log/proxy.log"),
        control_users: Vec::new(),
    }
}

#[tokio::test]
async fn a_program_that_ends_is_told_with_what_it_said() {
    let directory = tempfile::tempdir().unwrap();
    // Its own words: it knows no `run`.
    let error = ensure(&start(&directory, "/bin/ls")).await.unwrap_err();
    let told = error.to_string().replace(&directory.path().display().to_string(), "DIR");
    let begins =
        "/bin/ls ended before it answered on DIR/run/sock (exit status: 2); the end of its log, DIR/log/proxy.log:\n  ";
    assert!(told.starts_with(begins) && told.contains("--state-dir"), "{told}");
}

#[tokio::test]
async fn what_cannot_be_started_is_told_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let error = ensure(&start(&directory, "/nowhere/turnout-proxy")).await.unwrap_err();
    let told = error.to_string();
    assert!(told.starts_with("turnout-proxy cannot be started: /nowhere/turnout-proxy: it cannot be run: "), "{told}");
    let wrong = Start { route_file: directory.path().join("state/other.json"), ..start(&directory, "/bin/ls") };
    let told = ensure(&wrong).await.unwrap_err().to_string();
    assert!(told.ends_with("state/other.json: a proxy calls its route file routes.json; name it so"), "{told}");
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("log"), "").unwrap();
    let told = ensure(&start(&directory, "/bin/ls")).await.unwrap_err().to_string();
    assert!(told.contains("log/proxy.log: cannot be written: "), "{told}");
}
