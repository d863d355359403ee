//! What turnout-proxy promises of bytes on their way, whatever they are: requests, answers, and the first words of a connection.
//!
//! The common thread: in which pieces bytes come changes nothing, and what is written anew is one message, of the same meaning,
//! for the strictest reader that we have.

use std::{net::SocketAddr, sync::LazyLock};

use crate::{
    proxy::{
        answer_head::{self, AnswerHead, Framing, Read},
        chunks::{Chunks, Piece},
        forward::{self, Asker, Framed, Goes},
        guard::{Guard, Step},
        h2_text, head,
        head::{Body, Head},
        hello::{self, Hello},
        preamble::{self, Whose},
    },
    traffic::{Protocol, ProxyProtocol, Route, spot::Prefix},
};

/// Headers of a message of which it is looked at how it is written: more may be too many with those that are added.
const FEW: usize = 80;

/// What came of a connection's bytes, pieces of bodies joined.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Head(Vec<u8>, Head),
    Data(Vec<u8>),
    Trailers(Vec<u8>),
    Refused(u16, &'static str),
    Undecided,
}

/// The requests of a connection. The first byte says in which pieces they come.
pub fn requests(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let came = follow(bytes, usize::MAX);
    assert_eq!(came, follow(bytes, 1 + usize::from(first % 7)), "in pieces");
    for one in came {
        match one {
            Came::Head(bytes, head) if head.lines.len() <= FEW => request(&bytes, &head),
            Came::Trailers(lines) => trailers(&lines),
            _ => {}
        }
    }
}

fn follow(bytes: &[u8], piece: usize) -> Vec<Came> {
    let (mut guard, mut came, mut at, mut end) = (Guard::new(), Vec::new(), 0, piece.min(bytes.len()));
    loop {
        let here = &bytes[at..end];
        let step = guard.step(here);
        match step {
            Step::More if end == bytes.len() => return came,
            Step::More => end = bytes.len().min(end.saturating_add(piece)),
            Step::Skip(length) => at += length,
            Step::Body(length) => {
                match came.last_mut() {
                    Some(Came::Data(data)) => data.extend_from_slice(&here[..length]),
                    _ => came.push(Came::Data(here[..length].to_vec())),
                }
                at += length;
            }
            Step::Head(length, head) => {
                came.push(Came::Head(here[..length].to_vec(), head));
                at += length;
            }
            Step::Refuse(refusal) | Step::Broken(refusal) => {
                came.push(Came::Refused(refusal.status, refusal.reason));
                return came;
            }
            Step::Undecided => {
                came.push(Came::Undecided);
                return came;
            }
        }
        let trailers = guard.trailers();
        if !trailers.is_empty() {
            came.push(Came::Trailers(trailers));
        }
    }
}

static ROUTES: LazyLock<[Route; 2]> = LazyLock::new(|| {
    let near = Route::new(([127, 0, 0, 1], 80).into(), Protocol::Http, Vec::new());
    let mut far = Route::new(([0, 0, 0, 0], 80).into(), Protocol::Http, Vec::new());
    (far.path, far.strip_path) = (Prefix::read("/a").ok(), true);
    [near, far]
});

/// A request that is written anew is one request, with the same method, host and body.
fn request(bytes: &[u8], head: &Head) {
    for route in &*ROUTES {
        let client: SocketAddr = ([203, 0, 113, 7], 5).into();
        let asker = Asker::new(client, route.listen, "http", false);
        let mut out = Vec::new();
        let id = forward::request(&mut out, bytes, head, &asker, route);
        assert!(!out[id].is_empty());
        let Step::Head(length, again) = Guard::new().step(&out) else { panic!("{:?}", shown(&out)) };
        assert_eq!(length, out.len(), "{:?}", shown(&out));
        assert_eq!(again.method.of(&out), head.method.of(bytes));
        assert_eq!((again.body, again.upgrade, again.modern), (head.body, head.upgrade, true), "{:?}", shown(&out));
        let host = if head.host.is_empty() { asker.listen().as_bytes() } else { head.host.of(bytes) };
        assert_eq!(again.host.of(&out), host);
        over_http2(&out, &again);
    }
}

/// The same over HTTP/2, and back.
fn over_http2(bytes: &[u8], head: &Head) {
    let Ok(request) = h2_text::request_of(bytes, head) else { return };
    let (mut out, (parts, ())) = (Vec::new(), request.into_parts());
    let Ok(chunked) = h2_text::request(&mut out, &parts, head.body == Body::None) else { return };
    match Guard::new().step(&out) {
        Step::Head(length, again) => {
            assert_eq!(length, out.len(), "{:?}", shown(&out));
            assert_eq!(chunked, again.body == Body::Chunked, "{:?}", shown(&out));
            assert_eq!(again.method.of(&out), head.method.of(bytes));
        }
        Step::Refuse(_) => {}
        other => panic!("{other:?}: {:?}", shown(&out)),
    }
}

/// What is passed on of trailers is header lines, and none that says how the message is to be read.
fn trailers(lines: &[u8]) {
    let mut out = Vec::new();
    forward::trailers(&mut out, lines);
    let Some(lines) = out.strip_suffix(b"\r\n") else { return assert!(out.is_empty()) };
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (name, value) = head::name_and_value(line, 0).unwrap();
        assert!(value.of(line).iter().all(|byte| head::in_value(*byte)), "{:?}", shown(line));
        for vital in ["transfer-encoding", "content-length", "host", "connection", "te", "authorization", "cookie"] {
            assert!(!name.of(line).eq_ignore_ascii_case(vital.as_bytes()), "{vital}");
        }
    }
}

/// A container's answer, whose body may be in chunks. The first byte says in which pieces it comes.
pub fn answers(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let piece = 1 + usize::from(first % 7);
    let read = answer_head::read(bytes, 0);
    let (mut seen, mut end) = (0, 0);
    let in_pieces = loop {
        end = bytes.len().min(end + piece);
        match answer_head::read(&bytes[..end], seen) {
            Read::More(further) if end < bytes.len() => seen = further,
            other => break other,
        }
    };
    match (read, in_pieces) {
        (Read::Head(head), again) => {
            assert_eq!(Read::Head(head.clone()), again, "in pieces");
            answer(&bytes[..head.length], &head);
            if head.framing == Framing::Chunked {
                chunks(&bytes[head.length..], piece);
            }
        }
        // What is wrong in the middle may be seen before the end is there, and in other words.
        (read, again) => assert!(!matches!(again, Read::Head(_)), "{read:?}, in pieces {again:?}"),
    }
}

/// Whether lines that are added may make it more than whoever reads within the same bounds takes: 64 KiB, and 200 lines.
fn at_the_limit(head: &[u8]) -> bool {
    head.len() > 60 << 10 || head.iter().filter(|byte| **byte == b'\n').count() > 190
}

fn answer(bytes: &[u8], head: &AnswerHead) {
    if at_the_limit(bytes) {
        return;
    }
    let body = match head.framing {
        Framing::Sized(length) => Framed::Sized(length),
        Framing::Chunked => Framed::Chunked,
        Framing::Close => Framed::Close,
    };
    for (modern, keeps) in [(true, true), (false, false)] {
        let mut out = Vec::new();
        forward::answer(&mut out, bytes, head, Goes { modern, keeps, body, hsts: Some(5) });
        let again = one_answer(&out, head.status);
        assert_eq!(again.framing, head.framing, "{:?}", shown(&out));
        assert_eq!(again.reason.of(&out), head.reason.of(bytes));
    }
    let mut out = Vec::new();
    forward::interim(&mut out, bytes, head);
    one_answer(&out, head.status);
    let Ok(answer) = h2_text::answer_of(bytes, head) else { return };
    let (mut out, (parts, ())) = (Vec::new(), answer.into_parts());
    h2_text::answer(&mut out, &parts, false);
    one_answer(&out, head.status);
}

fn one_answer(bytes: &[u8], status: u16) -> AnswerHead {
    let Read::Head(head) = answer_head::read(bytes, 0) else { panic!("{:?}", shown(bytes)) };
    assert_eq!((head.length, head.status), (bytes.len(), status), "{:?}", shown(bytes));
    head
}

/// Chunks are the same in whatever pieces they come.
fn chunks(bytes: &[u8], piece: usize) {
    assert_eq!(unpacked(bytes, usize::MAX), unpacked(bytes, piece), "in pieces");
}

/// Data, trailers once it has ended, and what is wrong.
fn unpacked(bytes: &[u8], piece: usize) -> (Vec<u8>, Option<Vec<u8>>, Option<&'static str>) {
    let (mut chunks, mut data, mut at) = (Chunks::padded(), Vec::new(), 0);
    while at < bytes.len() {
        let here = &bytes[at..bytes.len().min(at.saturating_add(piece))];
        match chunks.step(here) {
            Piece::Frame(length) => at += length,
            Piece::Data(length) => {
                data.extend_from_slice(&here[..length]);
                at += length;
            }
            Piece::End(_) => return (data, Some(chunks.trailers()), None),
            Piece::Wrong(reason) => return (data, None, Some(reason)),
        }
    }
    (data, None, None)
}

/// The first words of a connection: TLS's, and the PROXY protocol's.
pub fn first_words(bytes: &[u8]) {
    let whole = hello::read(bytes);
    for end in (0..bytes.len()).step_by(1 + bytes.len() / 64) {
        let before = hello::read(&bytes[..end]);
        assert!(before == Hello::More || before == whole, "{before:?} of {end} bytes, then {whole:?}");
    }
    hello::offers_only(bytes, b"acme-tls/1");
    let at: SocketAddr = ([192, 0, 2, 1], 80).into();
    if let Ok(Whose::Client(client)) = preamble::line(bytes) {
        let told = preamble::told(ProxyProtocol::V1, client, at);
        let line = told.strip_suffix(b"\r\n").unwrap();
        assert!(told.len() <= preamble::LINE);
        same(preamble::line(line), client);
    }
    let Some((head, block)) = bytes.split_first_chunk::<4>() else { return };
    let Ok(length) = preamble::length(*head) else { return };
    let Some(block) = block.get(..length) else { return };
    if let Ok(Whose::Client(client)) = preamble::block(*head, block) {
        let told = preamble::told(ProxyProtocol::V2, client, at);
        let (head, block) = told.strip_prefix(preamble::SIGNATURE).unwrap().split_first_chunk::<4>().unwrap();
        assert_eq!(preamble::length(*head), Ok(block.len()));
        same(preamble::block(*head, block), client);
    }
}

fn same(said: Result<Whose, &'static str>, client: SocketAddr) {
    let Ok(Whose::Client(again)) = said else { panic!("{said:?} of {client}") };
    assert_eq!((again.ip().to_canonical(), again.port()), (client.ip().to_canonical(), client.port()));
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
