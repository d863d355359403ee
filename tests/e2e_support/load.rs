//! Requests that never stop while something is done: each is looked at, and none may fail.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Requests on one connection before it is closed and another one opened: both kinds meet a switch.
const ON_ONE: u32 = 20;
/// For each of them a client is silent for so long, once its connection is closed: one that asked without end would load the
/// machine for everybody, and meet a switch no better. While a connection is open it never waits, for whoever closes one that is
/// idle does nothing wrong.
const THINKS: Duration = Duration::from_millis(10);
/// A request that takes longer has failed. The proxy answers one that it holds after 30 seconds.
const LONGEST: Duration = Duration::from_secs(40);

/// What came of the requests so far.
#[derive(Debug, Default, Clone)]
pub struct Came {
    /// Answers with status 200, by their body.
    pub good: BTreeMap<String, u64>,
    /// What went wrong, in words.
    pub bad: Vec<String>,
    /// Answers with status 200, by the number of the client.
    pub each: Vec<u64>,
    /// The longest that an answer took.
    pub longest: Duration,
    /// The longest time without any good answer.
    pub gap: Duration,
    last: Option<Instant>,
}

impl Came {
    fn of(clients: usize) -> Came {
        Came { each: vec![0; clients], ..Came::default() }
    }
}

/// Clients that ask an address again and again, until this is dropped.
pub struct Load {
    stop: Arc<AtomicBool>,
    came: Arc<Mutex<Came>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// So many clients, each with a connection of its own, that ask for `/`.
    pub fn on(address: SocketAddr, clients: usize) -> Load {
        Load::asking(address, "/", clients)
    }

    /// The same, on connections that last until they are closed there.
    pub fn lasting(address: SocketAddr, clients: usize) -> Load {
        Load::of(address, "/", u32::MAX, clients)
    }

    /// The same, with another page.
    pub fn asking(address: SocketAddr, path: &'static str, clients: usize) -> Load {
        Load::of(address, path, ON_ONE, clients)
    }

    #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
    fn of(address: SocketAddr, path: &'static str, on_one: u32, clients: usize) -> Load {
        let (stop, came) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Came::of(clients))));
        let clients = (0..clients).map(|number| {
            let (stop, came) = (Arc::clone(&stop), Arc::clone(&came));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    match one_connection(address, path, on_one, &stop, (&came, number)) {
                        // One that lasts has no end of its own to think about.
                        Ok(asked) => std::thread::sleep(THINKS * asked.min(ON_ONE)),
                        Err(error) => {
                            came.lock().unwrap().bad.push(format!("{} {error}", time_of_day()));
                            // Nobody asks ten thousand times a second whether there is somebody again.
                            std::thread::sleep(Duration::from_millis(5));
                        }
                    }
                }
            })
        });
        let clients = clients.collect();
        Load { stop, came, clients }
    }

    /// What came so far.
    pub fn came(&self) -> Came {
        self.came.lock().unwrap().clone()
    }

    /// Waits until so many more good answers came, of which this is the body.
    pub fn wait_for(&self, body: &str, more: u64) {
        let count = || self.came().good.get(body).copied().unwrap_or_default();
        let wanted = count() + more;
        crate::common::wait_until(&format!("answers {body:?}"), crate::common::PATIENCE, || {
            if count() >= wanted { Ok(()) } else { Err(self.came()) }
        });
    }

    /// Waits until each client has got so many more good answers: what it met before is over then.
    pub fn wait_for_each(&self, more: u64) {
        let before = self.came().each;
        crate::common::wait_until("answers for each client", crate::common::PATIENCE, || {
            let came = self.came();
            if came.each.iter().zip(&before).all(|(now, before)| *now >= before + more) { Ok(()) } else { Err(came) }
        });
    }

    /// Ends the clients. Answers what came.
    pub fn end(mut self) -> Came {
        self.stop.store(true, Ordering::Relaxed);
        for client in std::mem::take(&mut self.clients) {
            client.join().unwrap();
        }
        self.came()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// For a comparison with the daemon's log, which has the same clock.
fn time_of_day() -> String {
    let now = time::OffsetDateTime::now_utc();
    format!("{:02}:{:02}:{:02}.{:03}", now.hour(), now.minute(), now.second(), now.millisecond())
}

fn one_connection(
    address: SocketAddr,
    path: &str,
    on_one: u32,
    stop: &AtomicBool,
    (came, client): (&Mutex<Came>, usize),
) -> Result<u32, String> {
    let mut stream = TcpStream::connect(address).map_err(|error| format!("connect: {error}"))?;
    stream.set_read_timeout(Some(LONGEST)).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut asked = 0;
    for number in 0..on_one {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        asked += 1;
        let began = Instant::now();
        let (status, body, closes) =
            ask(path, &mut stream, &mut reader).map_err(|error| format!("request {number}: {error}"))?;
        let took = began.elapsed();
        let mut came = came.lock().unwrap();
        came.longest = came.longest.max(took);
        match status {
            200 => {
                let since = came.last.replace(Instant::now()).map_or(Duration::ZERO, |last| last.elapsed());
                came.gap = came.gap.max(since);
                *came.good.entry(body).or_default() += 1;
                came.each[client] += 1;
            }
            other => came.bad.push(format!("{} request {number}: status {other}: {body}", time_of_day())),
        }
        if closes {
            break;
        }
    }
    Ok(asked)
}

fn ask(path: &str, stream: &mut TcpStream, reader: &mut BufReader<TcpStream>) -> Result<(u16, String, bool), String> {
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n").as_bytes())
        .map_err(|error| format!("send: {error}"))?;
    let mut line = String::new();
    let mut next = |line: &mut String| {
        line.clear();
        match reader.read_line(line) {
            Ok(0) => Err("closed before the answer".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("read: {error}")),
        }
    };
    next(&mut line)?;
    let status = line.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    let status: u16 = status.ok_or_else(|| format!("no status in {line:?}"))?;
    let (mut length, mut closes) = (None, false);
    loop {
        next(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<usize>().ok();
        }
        // A web server that is asked directly may know no other way.
        closes |= name.eq_ignore_ascii_case("connection") && value.trim().eq_ignore_ascii_case("close");
    }
    let length = length.ok_or("an answer without a length")?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).map_err(|error| format!("a body of {length} bytes: {error}"))?;
    Ok((status, String::from_utf8_lossy(&body).trim().to_owned(), closes))
}
