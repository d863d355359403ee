//! A server that answers one question with what it is given.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    thread::JoinHandle,
};

/// Where it listens; and what it was asked, once it was.
pub(crate) fn answering(answer: &str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, answer) = (listener.local_addr().unwrap(), answer.to_owned());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        let mut part = [0; 4096];
        while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read(&mut part).unwrap() {
                0 => break,
                length => asked.extend_from_slice(&part[..length]),
            }
        }
        let _ = stream.write_all(answer.as_bytes());
        String::from_utf8_lossy(&asked).into_owned()
    });
    (address, thread)
}
