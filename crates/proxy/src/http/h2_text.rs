//! Messages of HTTP/2 in the form of HTTP/1.1, and back. Pure.
//!
//! What stands between a client and a container is one exchange, whatever either of them speaks, and its form is that of
//! HTTP/1.1: so each request is read by the same guard, and written anew by the same rules.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header};

use super::{
    answer_head::AnswerHead,
    head::{self, Head, Kind},
    refusal::Refusal,
};

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes a request's head; whether its body is framed in chunks. `ends`: it has no body.
///
/// # Errors
/// What HTTP/2 allows and HTTP/1.1 would read as something else. All the rest is for the guard, which reads what stands here.
pub(crate) fn request(out: &mut Vec<u8>, request: &http::request::Parts, ends: bool) -> Result<bool, Refusal> {
    let http::request::Parts { method, uri, headers, .. } = request;
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    let is_path = path.starts_with('/') || path == "*";
    if !is_path && *method != http::Method::CONNECT {
        return Err(Refusal::new(400, "the path does not begin with /"));
    }
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(if is_path { path.as_bytes() } else { b"/" });
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
    if let Some(authority) = authority {
        line(out, b"Host", authority);
    }
    let mut chunked = !ends;
    let mut cookies = false;
    for (name, value) in headers {
        match *name {
            // The same host once more says nothing; another one is refused, as a second host is.
            header::HOST if authority.is_some_and(|known| value.as_bytes().eq_ignore_ascii_case(known)) => continue,
            // One header, however many pieces it came in (RFC 9113, 8.2.3).
            header::COOKIE if std::mem::replace(&mut cookies, true) => continue,
            header::COOKIE => {
                out.extend_from_slice(b"cookie: ");
                for (at, piece) in headers.get_all(header::COOKIE).iter().enumerate() {
                    out.extend_from_slice(if at > 0 { b"; " } else { b"" });
                    out.extend_from_slice(piece.as_bytes());
                }
                out.extend_from_slice(b"\r\n");
                continue;
            }
            header::CONTENT_LENGTH => chunked = false,
            _ => {}
        }
        line(out, name.as_str().as_bytes(), value.as_bytes());
    }
    if chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Ok(chunked)
}

/// The headers that go on: not those of a connection, for HTTP/2 has none.
fn headers(into: &mut HeaderMap, bytes: &[u8], lines: &[head::Line]) -> Result<(), &'static str> {
    for line in lines {
        let name = line.name.of(bytes);
        let of_the_connection = match line.kind {
            Kind::Connection | Kind::Host | Kind::Upgrade => true,
            Kind::Hop => !name.eq_ignore_ascii_case(b"te"),
            _ => false,
        };
        if of_the_connection {
            continue;
        }
        let name = HeaderName::from_bytes(name).map_err(|_| "a header has a name that HTTP/2 has not")?;
        let value =
            HeaderValue::from_bytes(line.value.of(bytes)).map_err(|_| "a header has a value that HTTP/2 has not")?;
        into.append(name, value);
    }
    Ok(())
}

/// A request of whose head these are the bytes.
///
/// # Errors
/// Why HTTP/2 cannot say it.
pub(crate) fn request_of(bytes: &[u8], head: &Head) -> Result<Request<()>, &'static str> {
    let path = head.path.of(bytes);
    let uri = Uri::builder().scheme("http").authority(head.host.of(bytes)).path_and_query(path);
    let uri = uri.build().map_err(|_| "the request names a host or a path that HTTP/2 has not")?;
    let request = Request::builder().method(head.method.of(bytes)).uri(uri);
    let mut request = request.body(()).map_err(|_| "the request has a method that HTTP/2 has not")?;
    headers(request.headers_mut(), bytes, &head.lines)?;
    Ok(request)
}

/// An answer of whose head these are the bytes, interim ones included.
///
/// # Errors
/// Why HTTP/2 cannot say it.
pub(crate) fn answer_of(bytes: &[u8], head: &AnswerHead) -> Result<Response<()>, &'static str> {
    let answer = Response::builder().status(head.status).body(());
    let mut answer = answer.map_err(|_| "the answer has a status that HTTP/2 has not")?;
    headers(answer.headers_mut(), bytes, &head.lines)?;
    Ok(answer)
}

/// Whether trailers are to be expected after an answer's body: gRPC's, which has its status there, and one that names them.
fn has_trailers(headers: &HeaderMap) -> bool {
    let content = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let grpc = content.get(..GRPC.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(GRPC));
    grpc || headers.contains_key(header::TRAILER)
}

/// How all media types of gRPC begin.
const GRPC: &[u8] = b"application/grpc";

/// Writes an answer's head; whether its body is framed in chunks. `ends`: it has no body.
///
/// HTTP/2 has trailers after a body of a named length, HTTP/1.1 only after chunks: where trailers are to be expected, the length
/// is left out. That the body has it was looked at before.
pub(crate) fn answer(out: &mut Vec<u8>, answer: &http::response::Parts, ends: bool) -> bool {
    let status = answer.status.as_u16();
    out.extend_from_slice(format!("HTTP/1.1 {status} \r\n").as_bytes());
    let mut sized = matches!(status, 100..=199 | 204 | 304);
    let unsized_by_trailers = !sized && !ends && has_trailers(&answer.headers);
    for (name, value) in &answer.headers {
        if *name == header::CONTENT_LENGTH {
            if unsized_by_trailers {
                continue;
            }
            sized = true;
        }
        line(out, name.as_str().as_bytes(), value.as_bytes());
    }
    match (sized, ends) {
        (true, _) => {}
        (false, true) => line(out, b"Content-Length", b"0"),
        (false, false) => line(out, b"Transfer-Encoding", b"chunked"),
    }
    out.extend_from_slice(b"\r\n");
    !sized && !ends
}

/// Writes trailers, one a line.
pub(crate) fn trailers(out: &mut Vec<u8>, trailers: &HeaderMap) {
    for (name, value) in trailers {
        line(out, name.as_str().as_bytes(), value.as_bytes());
    }
}

/// The trailers that these whole lines are. What is none was refused before.
pub(crate) fn trailers_of(bytes: &[u8]) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)) {
        let Ok((name, value)) = head::name_and_value(line, 0) else { continue };
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.of(line)), HeaderValue::from_bytes(value.of(line)))
        {
            trailers.append(name, value);
        }
    }
    trailers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{
        answer_head::{self, Read},
        guard::{Guard, Step},
    };

    fn text(request: Request<()>, ends: bool) -> Result<String, u16> {
        let mut out = Vec::new();
        let written = super::request(&mut out, &request.into_parts().0, ends).map_err(|refusal| refusal.status)?;
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.contains("Transfer-Encoding: chunked"), written);
        Ok(text)
    }

    /// What the guard, which decides, says of a request that came by HTTP/2.
    fn judged(request: Request<()>, ends: bool) -> u16 {
        match text(request, ends).map(|text| Guard::new().step(text.as_bytes())) {
            Ok(Step::Head(..)) => 200,
            Ok(Step::Refuse(refusal)) => refusal.status,
            Ok(other) => panic!("{other:?}"),
            Err(status) => status,
        }
    }

    #[test]
    fn a_request_is_what_it_would_be_in_the_older_form() {
        let request = Request::get("https://shop.example/a?b").header("cookie", "a=1").header("x-one", "1");
        let request = request.header("cookie", "b=2").header("host", "SHOP.example").header("te", "trailers");
        assert_eq!(
            text(request.body(()).unwrap(), true).unwrap(),
            "GET /a?b HTTP/1.1\r\nHost: shop.example\r\ncookie: a=1; b=2\r\nx-one: 1\r\nte: trailers\r\n\r\n"
        );
        for (method, uri, header, ends, expected) in [
            ("GET", "http://a/", ("x", "y"), true, 200),
            ("POST", "http://a/", ("x", "y"), false, 200),
            ("POST", "http://a/", ("content-length", "3"), false, 200),
            ("POST", "http://a/", ("content-length", "+3"), false, 400),
            ("POST", "http://a/", ("transfer-encoding", "chunked"), false, 501),
            ("GET", "http://a/", ("host", "b"), true, 400),
            ("GET", "http://user@a/", ("x", "y"), true, 400),
            ("GET", "/", ("x", "y"), true, 400),
            ("GET", "/", ("host", "a"), true, 200),
            ("CONNECT", "a:80", ("x", "y"), false, 405),
        ] {
            let request = Request::builder().method(method).uri(uri).header(header.0, header.1).body(()).unwrap();
            assert_eq!(judged(request, ends), expected, "{method} {uri} {header:?}");
        }
    }

    #[test]
    fn a_head_goes_both_ways_and_loses_what_is_of_a_connection() {
        let said = "POST /x?y HTTP/1.1\r\nHost: a:80\r\nX-A: 1\r\nX-A: 2\r\nTE: trailers\r\nConnection: te\r\nTransfer-Encoding: chunked\r\n\r\n";
        let head = head::read(said.as_bytes()).unwrap();
        let request = request_of(said.as_bytes(), &head).unwrap();
        assert_eq!(request.uri().to_string(), "http://a:80/x?y");
        let names: Vec<_> = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(names, [("x-a", &b"1"[..]), ("x-a", b"2"), ("te", b"trailers")]);
        let said = "HTTP/1.1 200 OK\r\nX-A: 1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
        let Read::Head(head) = answer_head::read(said.as_bytes(), 0) else { panic!() };
        let answer = answer_of(said.as_bytes(), &head).unwrap();
        assert_eq!(answer.headers().len(), 1);
        let mut out = Vec::new();
        let (parts, ()) = answer.into_parts();
        assert!(super::answer(&mut out, &parts, false));
        assert_eq!(String::from_utf8(out).unwrap(), "HTTP/1.1 200 \r\nx-a: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut out = Vec::new();
        assert!(!super::answer(&mut out, &parts, true));
        assert_eq!(String::from_utf8(out).unwrap(), "HTTP/1.1 200 \r\nx-a: 1\r\nContent-Length: 0\r\n\r\n");
    }

    #[test]
    fn a_length_gives_way_to_trailers() {
        for (header, ends, expected) in [
            (("content-type", "text/plain"), false, "content-length: 3\r\n"),
            (("content-type", "application/grpc"), true, "content-length: 3\r\n"),
            (("content-type", "Application/gRPC-Web+proto"), false, "Transfer-Encoding: chunked\r\n"),
            (("trailer", "x-sum"), false, "Transfer-Encoding: chunked\r\n"),
        ] {
            let answer = Response::builder().header(header.0, header.1).header("content-length", "3").body(()).unwrap();
            let mut out = Vec::new();
            let chunked = super::answer(&mut out, &answer.into_parts().0, ends);
            let text = String::from_utf8(out).unwrap();
            let (name, value) = header;
            assert_eq!(text, format!("HTTP/1.1 200 \r\n{name}: {value}\r\n{expected}\r\n"));
            assert_eq!(chunked, expected.contains("chunked"));
        }
    }

    #[test]
    fn trailers_go_both_ways() {
        let said = b"Grpc-Status: 0\r\nX-A: 1\r\n";
        let mut out = Vec::new();
        super::trailers(&mut out, &trailers_of(said));
        assert_eq!(out, b"grpc-status: 0\r\nx-a: 1\r\n");
        assert!(trailers_of(b"").is_empty());
    }
}
