//! Containers and clients that speak HTTP/1.1, byte by byte: what goes over the wire is what a test says.

use std::{
    io::{self, BufReader, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

use crate::support::{Container, PATIENCE, Place, Proxy, free_address, own_ip, route};

/// A message as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    pub(crate) first: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// When a container had it.
    pub(crate) at: Option<SystemTime>,
}

impl Message {
    /// All values of a header.
    pub(crate) fn get(&self, name: &str) -> String {
        let values = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        values.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" | ")
    }

    pub(crate) fn status(&self) -> u16 {
        self.first.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

fn line(from: &mut impl io::BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    line.strip_suffix("\r\n").map(str::to_owned).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn lines(from: &mut impl io::BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let line = line(from)?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) = line.split_once(':').unwrap();
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// Only the head.
pub(crate) fn head(from: &mut impl io::BufRead) -> io::Result<Message> {
    let first = line(from)?;
    Ok(Message { first, headers: lines(from)?, ..Message::default() })
}

/// One chunk; empty: the last one.
pub(crate) fn chunk(from: &mut impl io::BufRead) -> io::Result<Vec<u8>> {
    let size = usize::from_str_radix(&line(from)?, 16).unwrap();
    let mut data = vec![0; size];
    from.read_exact(&mut data)?;
    if size > 0 {
        assert_eq!(line(from)?, "");
    }
    Ok(data)
}

/// A whole message. `bodiless`: an answer to HEAD.
pub(crate) fn message(from: &mut impl io::BufRead, bodiless: bool) -> io::Result<Message> {
    let mut message = head(from)?;
    body(from, &mut message, bodiless)?;
    Ok(message)
}

pub(crate) fn body(from: &mut impl io::BufRead, message: &mut Message, bodiless: bool) -> io::Result<()> {
    let none = message.first.starts_with("HTTP/") && matches!(message.status(), 100..=199 | 204 | 304);
    if bodiless || none {
        return Ok(());
    }
    if message.get("transfer-encoding") == "chunked" {
        loop {
            let data = chunk(from)?;
            if data.is_empty() {
                message.trailers = lines(from)?;
                return Ok(());
            }
            message.body.extend(data);
        }
    }
    match message.get("content-length").as_str() {
        "" if message.first.starts_with("HTTP/") => drop(from.read_to_end(&mut message.body)?),
        "" => {}
        length => {
            message.body = vec![0; length.parse().unwrap()];
            from.read_exact(&mut message.body)?;
        }
    }
    Ok(())
}

/// What a web container got.
pub(crate) type Seen = Arc<Mutex<Vec<Message>>>;

/// A container that answers requests: its name, what was asked, and the length of the body.
pub(crate) struct Web {
    pub(crate) container: Container,
    pub(crate) seen: Seen,
}

impl Web {
    pub(crate) fn named(name: &'static str) -> Web {
        Web::named_at(name, own_ip().into())
    }

    pub(crate) fn named_at(name: &'static str, at: IpAddr) -> Web {
        let seen = Seen::default();
        let kept = Arc::clone(&seen);
        let container = Container::of((at, 0).into(), move |stream| {
            let _ = serve(name, &stream, &kept);
        });
        Web { container, seen }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.container.address
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub(crate) fn last(&self) -> Message {
        self.seen.lock().unwrap().last().cloned().unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own thread")]
fn serve(name: &str, stream: &TcpStream, seen: &Seen) -> io::Result<()> {
    let mut from = BufReader::new(stream);
    let mut to = stream;
    loop {
        let mut asked = head(&mut from)?;
        body(&mut from, &mut asked, false)?;
        let (path, length) = (asked.first.split(' ').nth(1).unwrap().to_owned(), asked.body.len());
        let bodiless = asked.first.starts_with("HEAD");
        asked.at = Some(SystemTime::now());
        seen.lock().unwrap().push(asked);
        if path.starts_with("/slow") {
            thread::sleep(Duration::from_millis(100));
        }
        if path.starts_with("/stream") {
            to.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            for _ in 0..5 {
                to.write_all(format!("{:x}\r\n{name}\r\n", name.len()).as_bytes())?;
                thread::sleep(Duration::from_millis(20));
            }
            to.write_all(b"0\r\n\r\n")?;
            continue;
        }
        let said = format!("{name} {path} {length}");
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-From: {name}\r\n\r\n", said.len());
        if !bodiless {
            answer.push_str(&said);
        }
        to.write_all(answer.as_bytes())?;
    }
}

/// A container that does this with the one request it gets on a connection.
pub(crate) fn scripted(
    serve: impl Fn(&mut BufReader<TcpStream>, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
) -> Container {
    Container::of((own_ip(), 0).into(), move |stream| {
        let mut to = stream.try_clone().unwrap();
        let _ = serve(&mut BufReader::new(stream), &mut to);
    })
}

/// A route that is understood.
pub(crate) fn http(listen: SocketAddr, colour: &str, generation: u64, target: SocketAddr) -> Value {
    let mut route = route(listen, colour, generation, target);
    route["protocol"] = json!("http");
    route
}

/// A proxy before one container.
pub(crate) fn before(target: SocketAddr, arguments: &[&str]) -> (Place, Proxy, SocketAddr) {
    let (place, listen) = (Place::new(), free_address());
    let proxy = place.start(arguments);
    proxy.apply("shop", 1, &json!([http(listen, "red", 1, target)]));
    (place, proxy, listen)
}

/// A client's connection.
pub(crate) struct Browser {
    pub(crate) from: BufReader<TcpStream>,
    pub(crate) to: TcpStream,
}

impl Browser {
    pub(crate) fn to(address: SocketAddr) -> Browser {
        Browser::try_to(address).unwrap()
    }

    pub(crate) fn try_to(address: SocketAddr) -> io::Result<Browser> {
        let to = TcpStream::connect_timeout(&address, PATIENCE)?;
        to.set_read_timeout(Some(PATIENCE))?;
        to.set_nodelay(true)?;
        to.set_write_timeout(Some(PATIENCE))?;
        Ok(Browser { from: BufReader::new(to.try_clone()?), to })
    }

    pub(crate) fn says(&mut self, text: &str) {
        self.to.write_all(text.as_bytes()).unwrap();
    }

    /// One request without a body, one answer.
    pub(crate) fn get(&mut self, path: &str) -> Message {
        self.try_get(path).unwrap()
    }

    pub(crate) fn try_get(&mut self, path: &str) -> io::Result<Message> {
        self.to.write_all(format!("GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n").as_bytes())?;
        message(&mut self.from, false)
    }

    pub(crate) fn try_post(&mut self, path: &str, body: &str) -> io::Result<Message> {
        let length = body.len();
        let text = format!("POST {path} HTTP/1.1\r\nHost: shop\r\nContent-Length: {length}\r\n\r\n{body}");
        self.to.write_all(text.as_bytes())?;
        message(&mut self.from, false)
    }

    pub(crate) fn answer(&mut self) -> Message {
        message(&mut self.from, false).unwrap()
    }

    /// Whether the other side has closed, with nothing more to say.
    pub(crate) fn ended(&mut self) -> bool {
        let mut rest = Vec::new();
        matches!(self.from.read_to_end(&mut rest), Ok(0))
    }
}
