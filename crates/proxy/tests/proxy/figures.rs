//! Metrics, and the access log.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    support::{Client, Container, Place, free_address, route, until},
    web::{Browser, Web, before, message, scripted},
};

fn metrics(proxy: &crate::support::Proxy) -> String {
    proxy.ask(&json!({"version": 1, "request": "metrics"}))["text"].as_str().unwrap().to_owned()
}

/// The value of a line that begins so.
fn value(text: &str, begins: &str) -> String {
    let mut found = text.lines().filter_map(|line| line.strip_prefix(begins)).map(|rest| rest.trim().to_owned());
    let value = found.next().unwrap_or_else(|| panic!("no {begins} in\n{text}"));
    assert_eq!(found.next(), None, "{begins}");
    value
}

#[test]
fn figures_are_told_over_the_socket_and_at_an_address() {
    let odd = scripted(|from, to| {
        while let Ok(asked) = message(from, false) {
            let status = asked.first.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
            write!(to, "HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\nhello")?;
        }
        Ok(())
    });
    let scraped = free_address();
    let (_place, proxy, listen) = before(odd.address, &["--metrics", &scraped.to_string()]);
    let tcp = Container::named("tcp");
    let other = free_address();
    proxy.apply("base", 1, &json!([route(other, "red", 1, tcp.address)]));
    let mut client = Client::to(other);
    assert_eq!((client.line(), client.echo("four")), ("tcp".to_owned(), "four".to_owned()));
    let mut browser = Browser::to(listen);
    for status in [200, 404, 500] {
        assert_eq!(browser.get(&format!("/{status}")).status(), status);
    }
    assert_eq!(browser.try_post("/200", "12345").unwrap().status(), 200);
    until("the last one is counted", || value(&metrics(&proxy), "turnout_proxy_connections ") == "2");
    let text = metrics(&proxy);
    let of = format!("{{repository=\"shop\",listen=\"{listen}\",hosts=\"\",path=\"\"");
    let colour = format!("{of},colour=\"red\",generation=\"1\"");
    for (begins, expected) in [
        ("turnout_proxy_durable ".to_owned(), "1"),
        (format!("turnout_proxy_requests_total{of}}}"), "4"),
        (format!("turnout_proxy_passed_total{colour}}}"), "4"),
        (format!("turnout_proxy_answers_total{colour},class=\"2xx\"}}"), "2"),
        (format!("turnout_proxy_answers_total{colour},class=\"5xx\"}}"), "1"),
        (format!("turnout_proxy_answer_seconds_bucket{colour},le=\"+Inf\"}}"), "4"),
        (format!("turnout_proxy_answer_seconds_count{colour}}}"), "4"),
        (format!("turnout_proxy_open{colour}}}"), "0"),
        (format!("turnout_proxy_taken_total{{listen=\"{listen}\"}}"), "1"),
    ] {
        assert_eq!(value(&text, &begins), expected, "{begins}");
    }
    let bytes =
        |name: &str| value(&text, &format!("turnout_proxy_{name}_bytes_total{colour}}}")).parse::<u64>().unwrap();
    assert!((400..4_000).contains(&bytes("received")) && (200..2_000).contains(&bytes("sent")), "{text}");
    let tcp = |name: &str| {
        let labels =
            format!("{{repository=\"base\",listen=\"{other}\",hosts=\"\",path=\"\",colour=\"red\",generation=\"1\"}}");
        value(&text, &format!("turnout_proxy_{name}_bytes_total{labels}"))
    };
    assert_eq!((tcp("received"), tcp("sent")), ("5".into(), "9".into()));
    let sum: f64 = value(&text, &format!("turnout_proxy_answer_seconds_sum{colour}}}")).parse().unwrap();
    assert!(sum > 0.0, "{sum}");
    // Each family has its type once.
    let mut types: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    let count = types.len();
    types.sort();
    types.dedup();
    assert_eq!(types.len(), count);

    let mut reader = Browser::to(scraped);
    let answer = reader.get("/metrics");
    assert_eq!(
        (answer.status(), value(&answer.text(), &format!("turnout_proxy_requests_total{of}}}"))),
        (200, "4".into())
    );
    assert!(reader.ended());
    assert_eq!(Browser::to(scraped).get("/").status(), 404);
    // Who says nothing keeps nobody out.
    let silent: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(scraped).unwrap()).collect();
    assert_eq!(Browser::to(scraped).get("/metrics").status(), 200);
    drop(silent);
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn a_line_a_request_in_a_file_that_may_be_moved() {
    let red = Web::named("red");
    let logs = tempfile::tempdir().unwrap();
    let path = logs.path().join("access.log");
    let (_place, mut proxy, listen) = before(red.address(), &["--access-log", path.to_str().unwrap()]);
    let mut browser = Browser::to(listen);
    browser.says("POST /a?b HTTP/1.1\r\nHost: shop:80\r\nUser-Agent: \"x\"\r\nReferer: r\r\nX-Request-Id: i\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(browser.answer().text(), "red /a?b 5");
    until("it is written", || lines(&path).len() == 1);
    let line: Value = serde_json::from_str(&lines(&path)[0]).unwrap();
    let expected = json!({
        "client": browser.to.local_addr().unwrap().ip(), "listen": listen, "repository": "shop", "method": "POST",
        "host": "shop:80", "target": "/a?b", "version": "HTTP/1.1", "status": 200, "sent": 10, "colour": "red",
        "generation": 1, "target_address": red.address(), "id": "i", "referer": "r", "agent": "\"x\"",
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&line[key], value, "{key}: {line}");
    }
    assert!(line["received"].as_u64().unwrap() > 100 && line["millis"].as_f64().unwrap() > 0.0, "{line}");
    assert!(line["time"].as_str().unwrap().ends_with('Z') && line.get("cut").is_none(), "{line}");
    // Moved, and opened anew.
    let moved = logs.path().join("access.log.1");
    fs::rename(&path, &moved).unwrap();
    browser.get("/old");
    until("it is written", || lines(&moved).len() == 2);
    proxy.signal(Signal::HUP);
    proxy.says("was opened anew");
    browser.says("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(browser.answer().status(), 400);
    until("it is written", || lines(&path).len() == 1);
    let line: Value = serde_json::from_str(&lines(&path)[0]).unwrap();
    assert_eq!((&line["status"], &line["method"], line.get("colour")), (&json!(400), &json!(""), None));
    // The last ones are written before the end.
    let mut browsers: Vec<Browser> = (0..20).map(|_| Browser::to(listen)).collect();
    for browser in &mut browsers {
        assert_eq!(browser.get("/last").status(), 200);
    }
    drop(browsers);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.ended().code(), Some(0));
    assert_eq!(lines(&path).len(), 21);
}

#[test]
fn a_client_that_leaves_is_in_the_log_too_and_the_combined_form_is_known() {
    let silent = scripted(|from, _| {
        message(from, false)?;
        from.read(&mut [0]).map(drop)
    });
    let logs = tempfile::tempdir().unwrap();
    let path = logs.path().join("access.log");
    let arguments = ["--access-log", path.to_str().unwrap(), "--access-log-format", "combined"];
    let (_place, proxy, listen) = before(silent.address, &arguments);
    let mut browser = Browser::to(listen);
    let peer = browser.to.local_addr().unwrap().ip();
    browser.says("GET /\"a HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n");
    until("it is in flight", || proxy.status()["routes"][0]["colours"][0]["open"] == 1);
    drop(browser);
    until("it is written", || lines(&path).len() == 1);
    let line = lines(&path).remove(0);
    assert!(line.starts_with(&format!("{peer} - - [")), "{line}");
    assert!(line.ends_with("+0000] \"GET /\\x22a HTTP/1.1\" 499 0 \"-\" \"b\""), "{line}");
}

#[test]
fn no_request_waits_for_a_log_that_does_not_go_on() {
    let red = Web::named("red");
    let logs = tempfile::tempdir().unwrap();
    let path = logs.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    // Somebody has it open, and reads nothing.
    let reader = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let (_place, mut proxy, listen) = before(red.address(), &["--access-log", path.to_str().unwrap()]);
    let mut one = crate::web::http(listen, "red", 1, red.address());
    one["hosts"] = json!(["a"]);
    proxy.apply("shop", 2, &json!([one]));
    let mut browser = Browser::to(listen);
    // What the pipe, the batch and the queue hold, and more; no container need answer that many.
    let text = format!("GET / HTTP/1.1\r\nHost: b\r\nUser-Agent: {}\r\n\r\n", "x".repeat(900)).repeat(100);
    for _ in 0..90 {
        browser.says(&text);
        for _ in 0..100 {
            assert_eq!(browser.answer().status(), 421);
        }
    }
    browser.says("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(browser.answer().status(), 200);
    proxy.says("the access log does not keep up");
    let dropped: u64 = value(&metrics(&proxy), "turnout_proxy_access_log_dropped_total ").parse().unwrap();
    assert!((1..9_000).contains(&dropped), "{dropped}");
    // Read again, and lines come whole.
    let mut lines = BufReader::new(reader).lines();
    for _ in 0..50 {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(line["status"], 421);
    }
}

#[test]
fn a_log_that_cannot_be_opened_is_no_start() {
    let place = Place::new();
    let mut proxy = place.begin(&["--access-log", "/nowhere/access.log"]);
    proxy.says("cannot open the access log /nowhere/access.log to append to it: No such file");
    assert_eq!(proxy.ended().code(), Some(1));
}
