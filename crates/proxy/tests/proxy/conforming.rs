//! What RFC 9113 has an endpoint refuse, case by case, and that nothing of it reaches a container.

use crate::{
    frames::{
        ACK, CONTINUATION, DATA, END, GOAWAY, HEADERS, PADDED, PING, PREFACE, PRIORITIZED, PRIORITY, PUSH_PROMISE,
        RST_STREAM, Raw, SETTINGS, WHOLE, WINDOW_UPDATE, asks, block, frame, get,
    },
    web::{Web, before},
};

/// What comes of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comes {
    /// The connection ends with this error.
    Goaway(u32),
    /// The stream does.
    Reset(u32),
    /// An answer with this status.
    Answer(u16),
    /// It is as if it had not been said.
    Nothing,
    /// The connection ends.
    End,
}

use Comes::{Answer, End, Goaway, Nothing, Reset};

const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const COMPRESSION: u32 = 9;
const CALM: u32 = 11;

/// The stream whose answer shows that the connection goes on.
const LAST: u32 = 1_001;

/// What comes of these bytes after a sound beginning. A request after them shows whether they mattered.
fn comes(raw: &mut Raw, bytes: &[u8]) -> Comes {
    raw.says(&[bytes, &get(LAST, "/last")].concat());
    while let Ok(frame) = raw.next() {
        match frame.kind {
            GOAWAY => return Goaway(frame.error()),
            RST_STREAM => return Reset(frame.error()),
            HEADERS if frame.stream == LAST => return Nothing,
            HEADERS => return Answer(frame.status()),
            _ => {}
        }
    }
    End
}

fn headers(stream: u32, lines: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END | WHOLE, stream, &block(lines))
}

fn wrong(more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END | WHOLE, 1, &asks("/wrong", more))
}

/// A request with a body to come.
fn begun(more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &asks("/begun", more))
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

#[test]
fn what_is_wrong_is_refused_as_the_standard_says() {
    let red = Web::named("red");
    let (_place, proxy, listen) = before(red.address(), &[]);
    let long = asks("/wrong", &[("x", &"y".repeat(35_000))]);
    let (one, rest) = long.split_at(16_000);
    let (two, three) = rest.split_at(16_000);
    let long_head = frame(HEADERS, END, 1, one);
    let long_rest = [frame(CONTINUATION, 0, 1, two), frame(CONTINUATION, WHOLE, 1, three)].concat();
    let cases: Vec<(&str, Vec<u8>, &[Comes])> = vec![
        // 4.1, 4.2: frames.
        ("a frame of a kind that is not known", frame(0x16, 0xff, 1, b"abc"), &[Nothing]),
        ("a frame larger than 16 KiB", frame(DATA, 0, 1, &[0; 16_385]), &[Goaway(FRAME_SIZE)]),
        ("flags that are not known", frame(PING, 0x16, 0, &[0; 8]), &[Nothing]),
        // 4.3: header blocks.
        ("a block that is none", frame(HEADERS, END | WHOLE, 1, &[0x40, 0xff]), &[Goaway(COMPRESSION)]),
        ("an entry that no table has", frame(HEADERS, END | WHOLE, 1, &[0xff, 0xff, 0x01]), &[Goaway(COMPRESSION)]),
        (
            "a larger table than was offered",
            frame(HEADERS, END | WHOLE, 1, &[0x3f, 0xe1, 0xff, 0x03]),
            &[Goaway(COMPRESSION)],
        ),
        (
            "another frame within a block",
            [frame(HEADERS, END, 1, &asks("/wrong", &[])), frame(PING, 0, 0, &[0; 8])].concat(),
            &[Goaway(PROTOCOL)],
        ),
        (
            "another stream within a block",
            [frame(HEADERS, END, 1, &asks("/wrong", &[])), frame(CONTINUATION, WHOLE, 3, &[])].concat(),
            &[Goaway(PROTOCOL)],
        ),
        // 5.1: states of a stream.
        ("DATA before a request", frame(DATA, END, 1, b"abc"), &[Goaway(PROTOCOL)]),
        ("RST_STREAM before a request", frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]), &[Goaway(PROTOCOL)]),
        ("WINDOW_UPDATE before a request", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), &[Goaway(PROTOCOL)]),
        ("CONTINUATION before a request", frame(CONTINUATION, WHOLE, 1, &asks("/wrong", &[])), &[Goaway(PROTOCOL)]),
        ("an even stream", get(2, "/wrong"), &[Goaway(PROTOCOL)]),
        (
            "a stream with an older number",
            [get(5, "/fine"), get(3, "/wrong")].concat(),
            &[Goaway(PROTOCOL), Goaway(STREAM_CLOSED)],
        ),
        (
            "DATA after the end of its stream",
            [get(1, "/slow"), frame(DATA, END, 1, b"abc")].concat(),
            &[Reset(STREAM_CLOSED), Goaway(STREAM_CLOSED)],
        ),
        // 5.4, 6: the frames, one after the other.
        ("DATA of the connection", frame(DATA, END, 0, b"abc"), &[Goaway(PROTOCOL)]),
        (
            "DATA with more padding than it is long",
            [begun(&[]), frame(DATA, END | PADDED, 1, &[9, 1, 2])].concat(),
            &[Goaway(PROTOCOL)],
        ),
        ("HEADERS of the connection", frame(HEADERS, END | WHOLE, 0, &asks("/wrong", &[])), &[Goaway(PROTOCOL)]),
        (
            "HEADERS with more padding than they are long",
            frame(HEADERS, END | WHOLE | PADDED, 1, &[200, 0, 0]),
            &[Goaway(PROTOCOL)],
        ),
        (
            "a stream that depends on itself",
            frame(HEADERS, END | WHOLE | PRIORITIZED, 1, &[&[0, 0, 0, 1, 16][..], &asks("/fine", &[])].concat()),
            // Priorities are deprecated (5.3.2).
            &[Goaway(PROTOCOL), Reset(PROTOCOL), Answer(200)],
        ),
        ("PRIORITY of the connection", frame(PRIORITY, 0, 0, &[0, 0, 0, 0, 16]), &[Goaway(PROTOCOL)]),
        ("PRIORITY that is too short", frame(PRIORITY, 0, 1, &[0, 0, 0, 0]), &[Goaway(FRAME_SIZE), Reset(FRAME_SIZE)]),
        ("RST_STREAM of the connection", frame(RST_STREAM, 0, 0, &[0, 0, 0, 8]), &[Goaway(PROTOCOL)]),
        (
            "RST_STREAM that is too short",
            [begun(&[]), frame(RST_STREAM, 0, 1, &[0, 0, 8])].concat(),
            &[Goaway(FRAME_SIZE)],
        ),
        ("SETTINGS of a stream", frame(SETTINGS, 0, 1, &[]), &[Goaway(PROTOCOL)]),
        ("SETTINGS of half a setting", frame(SETTINGS, 0, 0, &[0, 3, 0]), &[Goaway(FRAME_SIZE)]),
        ("SETTINGS that answer and ask", frame(SETTINGS, ACK, 0, &[0, 3, 0, 0, 0, 1]), &[Goaway(FRAME_SIZE)]),
        ("push, neither on nor off", setting(2, 2), &[Goaway(PROTOCOL)]),
        ("a window that is too large", setting(4, 1 << 31), &[Goaway(FLOW_CONTROL)]),
        ("frames that are too small", setting(5, 16_383), &[Goaway(PROTOCOL)]),
        ("frames that are too large", setting(5, 1 << 24), &[Goaway(PROTOCOL)]),
        ("a setting that is not known", setting(0xff, 1), &[Nothing]),
        (
            "a promise from a client",
            frame(PUSH_PROMISE, WHOLE, 1, &[&[0, 0, 0, 2][..], &asks("/wrong", &[])].concat()),
            &[Goaway(PROTOCOL)],
        ),
        ("PING of a stream", frame(PING, 0, 1, &[0; 8]), &[Goaway(PROTOCOL)]),
        ("PING that is too short", frame(PING, 0, 0, &[0; 7]), &[Goaway(FRAME_SIZE)]),
        ("GOAWAY of a stream", frame(GOAWAY, 0, 1, &[0; 8]), &[Goaway(PROTOCOL)]),
        ("a window that grows by nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), &[Goaway(PROTOCOL)]),
        (
            "a stream's window that grows by nothing",
            [begun(&[]), frame(WINDOW_UPDATE, 0, 1, &[0; 4])].concat(),
            &[Reset(PROTOCOL), Goaway(PROTOCOL)],
        ),
        ("a window that grows too far", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), &[Goaway(FLOW_CONTROL)]),
        (
            "a stream's window that grows too far",
            [begun(&[]), frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])].concat(),
            &[Reset(FLOW_CONTROL), Goaway(FLOW_CONTROL)],
        ),
        ("WINDOW_UPDATE that is too short", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1]), &[Goaway(FRAME_SIZE)]),
        (
            "more than the window has room for",
            [begun(&[]), frame(SETTINGS, ACK, 0, &[]), frame(DATA, 0, 1, &[0; 16_384]).repeat(80)].concat(),
            &[Reset(FLOW_CONTROL), Goaway(FLOW_CONTROL)],
        ),
        // 8.1, 8.2, 8.3: what a request is.
        ("a name in large letters", wrong(&[("X-Own", "1")]), &[Reset(PROTOCOL), Goaway(PROTOCOL)]),
        ("a pseudo-header that is not known", wrong(&[(":own", "1")]), &[Reset(PROTOCOL), Goaway(PROTOCOL)]),
        ("a status in a request", wrong(&[(":status", "200")]), &[Reset(PROTOCOL)]),
        (
            "a pseudo-header after others",
            headers(1, &[(":method", "GET"), (":scheme", "http"), ("x", "1"), (":path", "/wrong")]),
            &[Reset(PROTOCOL)],
        ),
        ("a pseudo-header twice", wrong(&[(":path", "/wrong")]), &[Reset(PROTOCOL)]),
        ("no method", headers(1, &[(":scheme", "http"), (":authority", "a"), (":path", "/wrong")]), &[Reset(PROTOCOL)]),
        (
            "no path",
            headers(1, &[(":method", "GET"), (":scheme", "http"), (":authority", "a")]),
            &[Reset(PROTOCOL), Answer(400)],
        ),
        (
            "an empty path",
            headers(1, &[(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "")]),
            &[Reset(PROTOCOL), Answer(400)],
        ),
        ("no scheme", headers(1, &[(":method", "GET"), (":authority", "a"), (":path", "/wrong")]), &[Reset(PROTOCOL)]),
        ("no host", headers(1, &[(":method", "GET"), (":scheme", "http"), (":path", "/wrong")]), &[Answer(400)]),
        ("two hosts", wrong(&[("host", "b")]), &[Answer(400)]),
        (
            "a host with a user",
            headers(1, &[(":method", "GET"), (":scheme", "http"), (":authority", "u@a"), (":path", "/wrong")]),
            &[Reset(PROTOCOL), Answer(400)],
        ),
        ("a path with a space", wrong_path("/wrong x"), &[Reset(PROTOCOL), Answer(400)]),
        ("a path with a line end", wrong_path("/wrong\r\nX: y"), &[Reset(PROTOCOL), Answer(400)]),
        ("a path that is an address", wrong_path("http://b/wrong"), &[Reset(PROTOCOL), Answer(400)]),
        (
            "a method with a space",
            headers(1, &[(":method", "GET /wrong"), (":scheme", "http"), (":authority", "a"), (":path", "/wrong")]),
            &[Reset(PROTOCOL)],
        ),
        ("a header of a connection", wrong(&[("connection", "close")]), &[Reset(PROTOCOL)]),
        ("its own framing", wrong(&[("transfer-encoding", "chunked")]), &[Reset(PROTOCOL)]),
        ("an upgrade", wrong(&[("upgrade", "websocket")]), &[Reset(PROTOCOL)]),
        ("TE with more than trailers", wrong(&[("te", "gzip, trailers")]), &[Reset(PROTOCOL)]),
        ("a value with a line end", wrong(&[("x", "a\r\nb: c")]), &[Reset(PROTOCOL)]),
        ("a value with NUL", wrong(&[("x", "a\0b")]), &[Reset(PROTOCOL)]),
        ("a name with a colon", wrong(&[("x:y", "1")]), &[Reset(PROTOCOL)]),
        ("an empty name", wrong(&[("", "1")]), &[Reset(PROTOCOL), Goaway(PROTOCOL)]),
        ("a length that is none", wrong(&[("content-length", "+1")]), &[Reset(PROTOCOL), Answer(400)]),
        ("two lengths", begun(&[("content-length", "1"), ("content-length", "2")]), &[Reset(PROTOCOL), Answer(400)]),
        ("a length without a body", wrong(&[("content-length", "1")]), &[Reset(PROTOCOL)]),
        (
            "less than the length says",
            [begun(&[("content-length", "5")]), frame(DATA, END, 1, b"abc")].concat(),
            &[Reset(PROTOCOL)],
        ),
        (
            "more than the length says",
            [begun(&[("content-length", "1")]), frame(DATA, END, 1, b"abc")].concat(),
            &[Reset(PROTOCOL)],
        ),
        (
            "trailers without an end",
            [begun(&[]), frame(HEADERS, WHOLE, 1, &block(&[("x", "1")]))].concat(),
            &[Reset(PROTOCOL), Goaway(PROTOCOL)],
        ),
        (
            "trailers with a pseudo-header",
            [begun(&[]), frame(HEADERS, END | WHOLE, 1, &block(&[(":path", "/wrong")]))].concat(),
            // h2 leaves it out; its answer may come after that of the request behind it.
            &[Reset(PROTOCOL), Answer(200), Nothing],
        ),
        ("a head that is too large", [long_head, long_rest].concat(), &[Answer(431), Answer(0), Goaway(CALM)]),
    ];
    let mut failed = Vec::new();
    for (what, bytes, expected) in &cases {
        let said = comes(&mut Raw::to(listen), bytes);
        // h2 names most errors of a connection so, and may end it for an error of a stream (5.4.1): ended it is either way, also
        // where the request that came last meets a closed connection, and the reset overtakes what was said.
        let ends = |one: &Comes| matches!(one, Goaway(_) | Reset(_)) && matches!(said, Goaway(PROTOCOL) | End);
        if !expected.iter().any(|one| *one == said || ends(one)) {
            failed.push(format!("{what}: {said:?}, not one of {expected:?}"));
        }
    }
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cases.len(), failed.join("\n"));
    let reached: Vec<String> = red.seen.lock().unwrap().iter().map(|seen| seen.first.clone()).collect();
    assert!(!reached.iter().any(|first| first.contains("wrong")), "{reached:?}");
    assert!(red.seen.lock().unwrap().iter().all(|seen| seen.trailers.is_empty()));
    assert!(proxy.status()["routes"][0]["requests"].as_u64().unwrap() > 0);
}

fn wrong_path(path: &str) -> Vec<u8> {
    frame(HEADERS, END | WHOLE, 1, &asks(path, &[]))
}

#[test]
fn what_is_right_is_answered_however_it_is_cut() {
    let red = Web::named("red");
    let (_place, _proxy, listen) = before(red.address(), &[]);
    // Settings are answered, and pings with what they say.
    let mut raw = Raw::to(listen);
    let settings = raw.next().unwrap();
    assert_eq!((settings.kind, settings.flags, settings.stream), (SETTINGS, 0, 0));
    assert!(settings.payload.chunks(6).any(|one| one[..2] == [0, 3]), "no bound for streams: {settings:?}");
    while raw.next_of(SETTINGS).flags != ACK {}
    raw.says(&frame(PING, 0, 0, b"12345678"));
    let ping = raw.next_of(PING);
    assert_eq!((ping.flags, ping.payload.as_slice()), (ACK, &b"12345678"[..]));
    // A block in pieces, padding, a priority; and a body in pieces, one of them empty.
    let lines = asks("/cut", &[]);
    let (one, two) = lines.split_at(9);
    let (two, three) = two.split_at(4);
    raw.says(&frame(HEADERS, PADDED | PRIORITIZED, 1, &[&[3, 0, 0, 0, 0, 16], one, &[0; 3]].concat()));
    raw.says(&[frame(CONTINUATION, 0, 1, two), frame(CONTINUATION, WHOLE, 1, three)].concat());
    raw.says(
        &[frame(DATA, 0, 1, b"ab"), frame(DATA, 0, 1, b""), frame(DATA, PADDED | END, 1, &[2, b'c', 0, 0])].concat(),
    );
    assert_eq!(raw.next_of(HEADERS).status(), 200);
    assert_eq!(raw.next_of(DATA).payload, b"red /cut 3");
    // Byte by byte.
    let mut raw = Raw::new(listen);
    for byte in [PREFACE, &frame(SETTINGS, 0, 0, &[]), &get(1, "/slowly")].concat() {
        raw.says(&[byte]);
    }
    assert_eq!(raw.next_of(HEADERS).status(), 200);
    // More streams than may be at a time are refused, and can be asked for again.
    let mut raw = Raw::to(listen);
    let many: Vec<u8> =
        (0..120).flat_map(|number| frame(HEADERS, WHOLE, number * 2 + 1, &asks("/many", &[]))).collect();
    raw.says(&many);
    assert_eq!(raw.next_of(RST_STREAM).error(), 7);
}
