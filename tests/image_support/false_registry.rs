//! A server that says what a test wants, to see what is believed of a registry. Real registries do not lie.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// A request that came, with the password or token that was shown.
pub struct Asked {
    pub method: String,
    target: String,
    pass: Option<String>,
    body: String,
}

impl Asked {
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    pub fn pass(&self) -> Option<&str> {
        self.pass.as_deref()
    }
}

/// What is to be answered.
pub struct Said {
    status: u16,
    headers: String,
    body: String,
}

impl Said {
    pub fn ok(body: &str) -> Said {
        Said { status: 200, headers: String::new(), body: body.to_owned() }
    }

    pub fn status(status: u16) -> Said {
        Said { status, headers: String::new(), body: String::new() }
    }

    pub fn with(mut self, name: &str, value: &str) -> Said {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }
}

/// The server; ends with the test process.
pub struct FalseRegistry {
    pub host: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FalseRegistry {
    /// `answer` is given the server's own `host:port` and the request.
    pub fn start(answer: impl Fn(&str, &Asked) -> Said + Send + Sync + 'static) -> FalseRegistry {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (own, log, answer) = (host.clone(), Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (own, log, answer) = (own.clone(), Arc::clone(&log), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &own, &log, &*answer));
            }
        });
        FalseRegistry { host, asked }
    }

    /// `METHOD TARGET AUTHORIZATION BODY` of each request, `-` where there was no authorization.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// One request a connection. What is not HTTP (the beginning of TLS) is hung up on.
fn serve(mut stream: TcpStream, own: &str, log: &Mutex<Vec<String>>, answer: &dyn Fn(&str, &Asked) -> Said) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).is_err() || !line.ends_with("HTTP/1.1\r\n") {
        return;
    }
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let (mut pass, mut length) = (None, 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => pass = Some(value.to_owned()),
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let asked = Asked { method, target, pass, body: String::from_utf8(body).unwrap() };
    let Asked { method, target, pass, body } = &asked;
    log.lock().unwrap().push(format!("{method} {target} {} {body}", pass.as_deref().unwrap_or("-")));
    let Said { status, headers, body } = answer(own, &asked);
    let head = format!("HTTP/1.1 {status} x\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    // A client that has read enough hangs up.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}
