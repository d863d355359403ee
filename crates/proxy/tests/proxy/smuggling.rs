//! Attempts to be understood in two ways. Each is refused, the connection closed, and nothing of it reaches the container.

use std::io::Write as _;

use crate::web::{Browser, Web, before};

/// A request, and the status that it gets.
const ATTEMPTS: &[(&str, &str, u16)] = &[
    ("two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    ("two equal lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    ("a list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", 400),
    (
        "length and chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunked and length",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("a signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400),
    ("a negative length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello", 400),
    ("a hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello", 400),
    ("a length of two words", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\nhello", 400),
    ("an empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello", 400),
    ("a huge length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello", 400),
    ("a continued header", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
    ("a continued first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    ("a continued length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 5\r\n\r\nhello", 400),
    ("a bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n", 400),
    ("a bare CR at a line's end", "GET / HTTP/1.1\rHost: a\r\r", 400),
    ("a bare CR before the end", "GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", 400),
    ("a bare LF at a line's end", "GET / HTTP/1.1\nHost: a\n\n", 400),
    ("a bare LF between headers", "GET / HTTP/1.1\r\nHost: a\r\nX: b\nY: c\r\n\r\n", 400),
    ("a bare LF at the head's end", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    ("a space before the colon", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", 400),
    ("a tab before the colon", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400),
    ("a header without a name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
    ("a header without a colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400),
    ("no Host", "GET / HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("two equal Hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400),
    ("an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    ("a list of Hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    ("a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("a target of another host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a coding before chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    ("another coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nhello", 501),
    ("no coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\nhello", 501),
    ("something like chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    ("chunked with a control character", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", 400),
    ("chunked, quoted", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 501),
    (
        "chunked twice",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    ("chunked of HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("a NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n", 400),
    ("a NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", 400),
    ("a NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", 400),
    ("two spaces in the request line", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("no version", "GET /\r\nHost: a\r\n\r\n", 400),
    ("another version", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    ("a TLS hello", "\x16\x03\x01\x02\r\n\r\n", 400),
    ("another expectation", "POST / HTTP/1.1\r\nHost: a\r\nExpect: more\r\nContent-Length: 1\r\n\r\na", 417),
];

/// Bodies in chunks that are none.
const CHUNKS: &[(&str, &str)] = &[
    ("no number", "x\r\n"),
    ("a sign", "+5\r\nhello\r\n0\r\n\r\n"),
    ("a prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
    ("a space", "5 \r\nhello\r\n0\r\n\r\n"),
    ("a bare LF", "5\nhello\r\n0\r\n\r\n"),
    ("a bare LF after data", "5\r\nhello\n0\r\n\r\n"),
    ("too short a size", "4\r\nhello\r\n0\r\n\r\n"),
    ("too large a number", "fffffffffffffffff\r\nhello"),
    ("a bare LF in trailers", "0\r\nX: y\n\r\n"),
    ("a trailer that is none", "0\r\nGET / HTTP/1.1\r\n\r\n"),
];

/// Says it, and more after it that would be a request of its own. Gives the answer's status; the connection has ended then.
fn attempt(address: std::net::SocketAddr, before: &str, text: &str) -> u16 {
    let mut browser = Browser::to(address);
    browser.says(before);
    for _ in before.matches("\r\n\r\n") {
        assert_eq!(browser.answer().status(), 200);
    }
    // It may have answered and closed before all was said.
    let _ = browser.to.write_all(text.as_bytes());
    let _ = browser.to.write_all(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = browser.answer();
    assert_eq!(answer.get("connection"), "close", "{text:?}");
    assert!(browser.ended(), "{text:?}");
    answer.status()
}

#[test]
fn nothing_that_can_be_understood_in_two_ways_reaches_a_container() {
    let red = Web::named("red");
    let (_place, _proxy, listen) = before(red.address(), &[]);
    for (what, text, expected) in ATTEMPTS {
        assert_eq!(attempt(listen, "", text), *expected, "{what}");
    }
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(40 << 10));
    assert_eq!(attempt(listen, "", &long), 431);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(101));
    assert_eq!(attempt(listen, "", &many), 431);
    let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(9 << 10));
    assert_eq!(attempt(listen, "", &target), 414);
    assert_eq!(red.requests(), 0);
    for (what, chunks) in CHUNKS {
        let text = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        assert_eq!(attempt(listen, "", &text), 400, "{what}");
    }
    // Heads with a body that broke may have been sent; a whole request never was.
    assert_eq!(red.requests(), 0);
    // After good requests on the same connection it is the same, and those are answered.
    let good = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
    for (what, text, expected) in ATTEMPTS {
        assert_eq!(attempt(listen, good, text), *expected, "{what}");
    }
    assert_eq!(red.requests(), 2 * ATTEMPTS.len());
    // Nothing of it stayed in a connection that is used again.
    assert_eq!(Browser::to(listen).get("/after").text(), "red /after 0");
}

#[test]
fn a_refusal_comes_after_the_answers_before_it() {
    let red = Web::named("red");
    let (_place, _proxy, listen) = before(red.address(), &[]);
    let mut browser = Browser::to(listen);
    browser.says("GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost : a\r\n\r\n");
    assert_eq!([browser.answer().status(), browser.answer().status()], [200, 400]);
    assert!(browser.ended());
}
