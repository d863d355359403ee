//! The outbox: what happened is told at least once, whatever dies in between; later where nobody answers; and what is given up
//! is seen.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream as StdStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
};
use tokio_util::sync::CancellationToken;
use turnout::{
    outbox::{Destination, Outbox, Outcome},
    store::{
        DomainEvent, Fate, Gap, Journaled, LETTER_BYTES, Letter, NewLetter, Only, Retention, Store, WAITING,
        WAITING_BYTES,
    },
};

fn open(dir: &Path) -> Store {
    Store::open(&dir.join("turnout.db"), Retention::default()).unwrap()
}

async fn tell(store: &Store, repositories: usize) {
    store.tell(DomainEvent::ConfigReloaded { repositories }).await.unwrap();
}

/// The number in the event, where it is one of these tests.
fn text(event: &Journaled) -> Option<String> {
    match event.what.known() {
        Some(DomainEvent::ConfigReloaded { repositories }) => Some(repositories.to_string()),
        _ => None,
    }
}

/// Answers what it is told to, and notes what it was given and when.
struct Scripted {
    name: &'static str,
    answers: Mutex<Vec<Outcome>>,
    got: Mutex<Vec<(String, Duration)>>,
    came: Notify,
    began: tokio::time::Instant,
}

impl Scripted {
    fn new(name: &'static str, answers: Vec<Outcome>) -> Arc<Scripted> {
        let began = tokio::time::Instant::now();
        Arc::new(Scripted { name, answers: Mutex::new(answers), got: Mutex::default(), came: Notify::new(), began })
    }

    fn got(&self) -> Vec<(String, Duration)> {
        self.got.lock().unwrap().clone()
    }

    async fn until(&self, count: usize) -> Vec<(String, Duration)> {
        while self.got().len() < count {
            self.came.notified().await;
        }
        self.got()
    }
}

impl Destination for Scripted {
    fn name(&self) -> &str {
        self.name
    }

    fn letter(&self, event: &Journaled) -> Option<String> {
        text(event)
    }

    fn missed(&self, gap: Gap) -> Option<String> {
        Some(gap.to_string())
    }

    fn deliver<'a>(&'a self, letter: &'a Letter) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            self.got.lock().unwrap().push((letter.payload.clone(), self.began.elapsed()));
            self.came.notify_one();
            let next = {
                let mut answers = self.answers.lock().unwrap();
                if answers.is_empty() { Outcome::Taken } else { answers.remove(0) }
            };
            assert_ne!(next, panics(), "a fault");
            next
        })
    }
}

fn failed(not_before: Option<Duration>) -> Outcome {
    Outcome::Failed { why: "no".to_owned(), not_before }
}

/// Not an answer.
fn panics() -> Outcome {
    Outcome::Refused { why: "panic".to_owned() }
}

fn begin(store: &Store, destinations: Vec<Arc<dyn Destination>>) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    begin_at(store, destinations, 0)
}

fn begin_at(
    store: &Store,
    destinations: Vec<Arc<dyn Destination>>,
    now: i64,
) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let stop = CancellationToken::new();
    let outbox = Outbox::new(store.clone(), destinations, turnout::report::redact::Redactor::new(), 7, now);
    let ends = stop.clone();
    (stop, tokio::spawn(async move { outbox.run(&ends).await }))
}

async fn is_known(store: &Store, name: &str) {
    let mut news = store.newest_event();
    while store.posted(name).await.unwrap().is_none() {
        // Nothing is written to the journal by it, so it is asked again when the runtime has had its turn.
        tokio::task::yield_now().await;
        news.mark_unchanged();
    }
}

/// Time is not waited for, it passes: seconds, then twice as many each time, and every letter comes.
#[tokio::test(start_paused = true)]
async fn what_is_not_taken_is_sent_again_later_and_another_destination_does_not_wait() {
    let dir = tempfile::tempdir().unwrap();
    // The store's clock does not go on: a letter is due from the beginning, and the outbox counts from there.
    let store = Store::open_at(&dir.path().join("turnout.db"), Retention::default(), || 0).unwrap();
    let flaky = Scripted::new("flaky", vec![failed(None), failed(Some(Duration::from_secs(100))), panics()]);
    let well = Scripted::new("well", vec![]);
    let (stop, task) = begin(&store, vec![flaky.clone(), well.clone()]);
    is_known(&store, "flaky").await;
    is_known(&store, "well").await;
    tell(&store, 1).await;
    assert_eq!(well.until(1).await[0].0, "1");
    let got = flaky.until(4).await;
    let times: Vec<u64> = got.windows(2).map(|pair| (pair[1].1 - pair[0].1).as_secs()).collect();
    assert!(got.iter().all(|(text, _)| text == "1"), "{got:?}");
    for (seconds, bounds) in times.iter().zip([8..=12, 100..=120, 32..=48]) {
        assert!(bounds.contains(seconds), "{times:?}");
    }
    assert!(well.got().len() == 1 && well.got()[0].1 < Duration::from_secs(8), "{:?}", well.got());
    tell(&store, 2).await;
    assert_eq!(flaky.until(5).await[4].0, "2");
    while !store.outbox().await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_is_seen_and_can_be_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_at(&dir.path().join("turnout.db"), Retention::default(), || 0).unwrap();
    let refusal = Outcome::Refused { why: "what is this?".to_owned() };
    let page = Scripted::new("page", vec![refusal]);
    let (stop, task) = begin(&store, vec![page.clone()]);
    is_known(&store, "page").await;
    let mut news = store.from_now(Only::default());
    tell(&store, 1).await;
    page.until(1).await;
    let died = loop {
        let events = news.next().await.unwrap().unwrap().events;
        if let Some(DomainEvent::LetterDied { letter, destination, why }) = events.last().and_then(|e| e.what.known()) {
            break (*letter, destination.clone(), why.clone());
        }
    };
    let dead = store.dead_letters().await.unwrap();
    assert_eq!(died, (dead[0].id, "page".to_owned(), "what is this?".to_owned()));
    assert_eq!((dead.len(), dead[0].attempts, dead[0].payload.as_str()), (1, 1, "1"));
    let pile = store.outbox().await.unwrap();
    assert_eq!((pile[0].waiting, pile[0].dead, pile[0].last_error.as_deref()), (0, 1, Some("what is this?")));

    assert_eq!(store.send_again(None).await.unwrap(), [dead[0].id]);
    assert_eq!(page.until(2).await[1].0, "1");
    while !store.outbox().await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.send_again(None).await.unwrap(), [0; 0]);
    // Of what becomes of letters no letter tells.
    assert_eq!(page.got().len(), 2);
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn the_oldest_beyond_the_bounds_are_dead_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let letters = |count: usize, size: usize| -> Vec<NewLetter> {
        (0..count).map(|_| NewLetter { event: None, payload: "x".repeat(size) }).collect()
    };
    let waiting = async |name: &str| {
        let piles: BTreeMap<_, _> =
            store.outbox().await.unwrap().into_iter().map(|p| (p.destination.clone(), p)).collect();
        let pile = &piles[name];
        (pile.waiting as usize, pile.dead as usize)
    };
    store.post("many", letters(WAITING + 5, 1), 1).await.unwrap();
    assert_eq!(waiting("many").await, (WAITING, 5));
    let dead = store.dead_letters().await.unwrap();
    assert_eq!(dead.iter().map(|letter| letter.id).collect::<Vec<_>>(), [5, 4, 3, 2, 1]);
    assert!(dead[0].last_error.as_ref().unwrap().contains("letters or"), "{dead:?}");
    // Another one's are counted by themselves.
    let fit = WAITING_BYTES / LETTER_BYTES;
    store.post("large", letters(fit + 2, LETTER_BYTES), 1).await.unwrap();
    assert_eq!(waiting("large").await, (fit, 2));
    store.post("too-large", letters(1, LETTER_BYTES + 1), 1).await.unwrap();
    assert_eq!(waiting("too-large").await, (0, 1));
    let too_large = store.dead_letters().await.unwrap().remove(0);
    assert!(too_large.payload.is_empty() && too_large.last_error.unwrap().contains("65537 bytes"));
    assert_eq!(store.send_again(Some(too_large.id)).await.unwrap(), [0; 0], "there is nothing to send");
    // A destination that is gone keeps nothing waiting, and begins anew if it comes back.
    store.retire_destinations(vec!["large".to_owned()]).await.unwrap();
    assert_eq!((waiting("many").await, waiting("large").await), ((0, WAITING + 5), (fit, 2)));
    assert_eq!((store.posted("many").await.unwrap(), store.posted("large").await.unwrap()), (None, Some(1)));
    // And dead ones are bounded.
    store.post("more", letters(3_000, LETTER_BYTES + 1), 1).await.unwrap();
    drop(store);
    let store = open(dir.path());
    store.flush().await.unwrap();
    assert_eq!(store.dead_letters().await.unwrap().len(), 1_000);
}

#[tokio::test]
async fn letters_and_the_place_in_the_journal_are_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let one = |text: &str| vec![NewLetter { event: Some(3), payload: text.to_owned() }];
    store.post("page", one("a"), 3).await.unwrap();
    let letter = store.next_letter("page").await.unwrap().unwrap();
    store.not_delivered(letter.id, &"x".repeat(5_000), Fate::Again { at: letter.due_at + 5 }).await.unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.posted("page").await.unwrap(), Some(3));
    let again = store.next_letter("page").await.unwrap().unwrap();
    assert_eq!((again.id, again.attempts, again.due_at), (letter.id, 1, letter.due_at + 5));
    assert!(again.last_error.unwrap().len() < 600);
    store.delivered(again.id).await.unwrap();
    assert_eq!(store.next_letter("page").await.unwrap(), None);
}

/// Set for the process that the test below starts and kills; names what it works in, and whom it tells.
const CHILD: &str = "TURNOUT_TEST_OUTBOX";

/// Posts letters to a server, as a destination of later will.
struct Http(SocketAddr);

impl Destination for Http {
    fn name(&self) -> &str {
        "http"
    }

    fn letter(&self, event: &Journaled) -> Option<String> {
        text(event)
    }

    fn missed(&self, _: Gap) -> Option<String> {
        None
    }

    fn deliver<'a>(&'a self, letter: &'a Letter) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let sent = async {
                let mut stream = TcpStream::connect(self.0).await?;
                let Letter { id, payload, .. } = letter;
                let length = payload.len();
                let request = format!(
                    "POST / HTTP/1.1\r\nhost: here\r\nletter: {id}\r\ncontent-length: {length}\r\n\r\n{payload}"
                );
                stream.write_all(request.as_bytes()).await?;
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await?;
                std::io::Result::Ok(answer)
            };
            match sent.await {
                Ok(answer) if answer.starts_with("HTTP/1.1 200") => Outcome::Taken,
                Ok(answer) => Outcome::Failed { why: answer, not_before: None },
                Err(error) => Outcome::Failed { why: error.to_string(), not_before: None },
            }
        })
    }
}

#[test]
fn child_tells_until_killed() {
    let Some(work) = std::env::var_os(CHILD) else { return };
    let work = work.into_string().unwrap();
    let (address, dir) = work.split_once(' ').unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = open(Path::new(dir));
        let first = store.posted("http").await.unwrap().is_none();
        let (_stop, task) = begin_at(&store, vec![Arc::new(Http(address.parse().unwrap()))], turnout::deploy::now_ms());
        is_known(&store, "http").await;
        if first {
            for number in 1..=5 {
                tell(&store, number).await;
            }
        }
        let mut out = std::io::stdout();
        writeln!(out, "told").unwrap();
        out.flush().unwrap();
        task.await.unwrap();
    });
}

/// Killed with the test, however that ends.
struct Running(Child);

impl Running {
    fn kill(&mut self) {
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn child(address: SocketAddr, dir: &Path) -> Running {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["outbox::child_tells_until_killed", "--exact", "--nocapture"])
        .env(CHILD, format!("{address} {}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    Running(child.unwrap())
}

/// One request: the letter's number and its text.
fn request(stream: &StdStream) -> (i64, String) {
    let mut reader = BufReader::new(stream);
    let (mut letter, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim().split_once(": ") {
            Some(("letter", value)) => letter = value.parse().unwrap(),
            Some(("content-length", value)) => length = value.parse().unwrap(),
            _ if line.trim().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (letter, String::from_utf8(body).unwrap())
}

/// Killed between what was sent and its record, again and again: nothing is lost, and what comes twice has its number twice.
#[test]
fn a_kill_between_sending_and_recording_loses_no_letter() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_path_buf();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let limit = Some(Duration::from_secs(30));
    rustix::net::sockopt::set_socket_timeout(&server, rustix::net::sockopt::Timeout::Recv, limit).unwrap();
    let mut taken: Vec<(i64, String)> = Vec::new();
    for round in 0..3 {
        let mut child = child(address, &dir);
        let mut said = BufReader::new(child.0.stdout.take().unwrap());
        // Not killed before it has told all: what is lost then was never promised.
        loop {
            let mut line = String::new();
            assert!(said.read_line(&mut line).unwrap() > 0, "the child ended");
            if line.contains("told") {
                break;
            }
        }
        let (mut stream, _) = server.accept().unwrap();
        taken.push(request(&stream));
        if round < 2 {
            child.kill();
            continue;
        }
        // The last one lives: it is answered, and sends the rest.
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        drop(stream);
        while taken.iter().map(|(id, _)| id).collect::<std::collections::BTreeSet<_>>().len() < 5 {
            let (mut stream, _) = server.accept().unwrap();
            taken.push(request(&stream));
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        }
        // What was answered is recorded before the next is sent; the last one may not be yet.
        child.kill();
    }
    assert_eq!(taken[0], taken[1], "after the first kill it is sent again, with its number");
    assert_eq!(taken[1], taken[2]);
    let texts: Vec<&str> = taken[2..].iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["1", "2", "3", "4", "5"]);
    let left = tokio::runtime::Runtime::new().unwrap().block_on(async { open(&dir).outbox().await.unwrap() });
    assert!(left.iter().all(|pile| pile.waiting <= 1 && pile.dead == 0), "{left:?}");
}
