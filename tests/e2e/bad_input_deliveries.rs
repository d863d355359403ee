//! Bad deliveries against the whole program: each is refused by name, none leaves a deployment or disturbs what runs.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{bad_input_support, common};
use bad_input_support::{QUICK, Site, web};
use common::{
    daemon::{Daemon, SECRET},
    http,
    push::{Push, sign},
};

#[test]
fn refused_deliveries_change_nothing() {
    let site = Site::web();
    let daemon = Daemon::start_with(&site.short(), &[QUICK, &["--body-limit", "64KiB"]].concat(), &[]);
    site.deploy(&daemon);
    site.wait_for_page("version 1");
    let before = site.running();
    let deployments = daemon.history().len();

    let at = daemon.listen();
    let push = Push::new(&format!("acme/{}", site.name), &"1".repeat(40), &"2".repeat(40));
    let body = push.body().to_string().into_bytes();
    let json = "application/json";
    let good = sign(SECRET, &body);
    let signed = |bytes: &[u8]| push.send_raw(at, json, bytes, Some(&sign(SECRET, bytes)));
    let not_utf8 = [b"{\"ref\":\"", &[0xff, 0xfe][..], b"\"}"].concat();
    let padded = [&body[..], &vec![b' '; 70_000]].concat();
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03";
    let headers = |more: &[(&'static str, &'static str)], signature: Option<&str>| {
        let mut all = vec![("Content-Type", json), ("X-GitHub-Event", "push"), ("X-GitHub-Delivery", "d")];
        all.extend(more);
        let signature = signature.map(|text| ("X-Hub-Signature-256", text));
        let all: Vec<_> = all.into_iter().chain(signature).collect();
        http::request(at, "POST", "/webhook", &all, &body).unwrap()
    };
    let old_style = "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59";
    for (what, answer, status, said) in [
        ("oversized", signed(&padded), 413, "65536 bytes"),
        ("truncated after it was signed", push.send_raw(at, json, &body[..200], Some(&good)), 401, "signature"),
        ("truncated before it was signed", signed(&body[..200]), 400, "JSON"),
        ("empty", signed(b""), 400, "JSON"),
        ("not UTF-8", signed(&not_utf8), 400, "UTF-8"),
        ("wrongly signed", push.send_raw(at, json, &body, Some(&sign("another", &body))), 401, "signature"),
        ("not hexadecimal", push.send_raw(at, json, &body, Some("sha256=zz")), 401, "hexadecimal"),
        ("unsigned", push.send_raw(at, json, &body, None), 401, "X-Hub-Signature-256"),
        ("signed with SHA-1 only", headers(&[("X-Hub-Signature", old_style)], None), 401, "X-Hub-Signature-256"),
        ("compressed", headers(&[("Content-Encoding", "gzip")], Some(&good)), 415, "Content-Encoding"),
        ("compressed without saying so", signed(gzip), 400, "UTF-8"),
        ("of another kind", push.send_raw(at, "text/plain", &body, Some(&good)), 415, "Content-Type"),
        ("fetched, not sent", http::get(at, "/webhook").unwrap(), 405, "method"),
        ("sent elsewhere", http::request(at, "POST", "/hook", &[], &body).unwrap(), 404, "nothing here"),
    ] {
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert_eq!(answer.json()["status"], "error", "{what}");
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(said), "{what}: {message}");
        assert!(!daemon.output().contains(SECRET) && !message.contains(SECRET), "{what}: a secret is shown");
    }
    breaks_off(at, &good);
    assert_eq!(daemon.history().len(), deployments, "a refused delivery left a deployment");
    let log = daemon.turnout(&["logs", "--tail", "200"]);
    assert!(log.status.success(), "{log:?}");
    daemon.says("a delivery was refused");
    site.assert_untouched(&before, "version 1");

    site.remote.write("compose.yaml", &web("version 2")).commit_and_push("Second");
    site.deploy(&daemon);
    site.wait_for_page("version 2");
}

/// A sender that promises more than it sends.
fn breaks_off(at: SocketAddr, signature: &str) {
    let mut stream = TcpStream::connect(at).unwrap();
    let head = format!(
        "POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-GitHub-Event: push\r\n\
         X-Hub-Signature-256: {signature}\r\nContent-Length: 1000\r\n\r\n{{\"ref\":"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the connection is ended");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[test]
fn repeats_and_strangers_are_answered_and_not_acted_on() {
    let site = Site::web();
    let daemon = site.daemon();
    let push = site.push();
    let first = daemon.deploy_by_push(&push);
    // While it runs and after it has ended, byte for byte and under a new number (which is not signed).
    let renumbered = Push { delivery: format!("{}-again", push.delivery), ..push.clone() };
    for round in ["during", "after"] {
        for repeat in [&push, &renumbered] {
            let answer = daemon.push(repeat);
            assert_eq!(
                (answer.status, answer.json()["status"].as_str()),
                (200, Some("duplicate")),
                "{round}: {answer:?}"
            );
            assert_eq!(answer.json()["deployment"], first, "{round}: {answer:?}");
        }
        daemon.expect_success(first);
    }
    site.wait_for_page("version 1");
    let before = site.running();

    let stranger = Push::new("acme/nobody-knows-it", &"1".repeat(40), &"2".repeat(40));
    let deployer = Push::new("acme/turnout", &"1".repeat(40), &"2".repeat(40));
    let branch = Push {
        git_ref: "refs/heads/feature".to_owned(),
        ..Push::new(&push.full_name, &"1".repeat(40), &"3".repeat(40))
    };
    let deleted = Push::new(&push.full_name, &"1".repeat(40), &"0".repeat(40));
    let traversal = Push::new("../../etc/passwd", &"1".repeat(40), &"2".repeat(40));
    for (push, said) in [
        (stranger, "nobody-knows-it"),
        (deployer, "turnout"),
        (branch, "feature"),
        (deleted, "deleted"),
        (traversal, "passwd"),
    ] {
        let answer = daemon.push(&push);
        assert!(answer.body.contains(said), "{answer:?}");
        assert!(answer.status == 200 || (said == "passwd" && answer.status == 400), "{answer:?}");
        assert!(answer.json()["deployment"].is_null(), "{answer:?}");
    }
    let output = daemon.says("nobody-knows-it");
    assert!(output.lines().any(|l| l.contains("WARN") && l.contains("nobody-knows-it")), "no warning: {output}");
    assert_eq!(daemon.history().len(), 1);
    site.assert_untouched(&before, "version 1");
}

#[test]
fn each_refused_delivery_is_logged_with_forge_delivery_and_source() {
    let folder = tempfile::tempdir().unwrap();
    let repos = format!("shop: {{ path: {}, branch: main, full_name: acme/shop }}\n", folder.path().display());
    let mut daemon = Daemon::start(&repos);
    let push = |name: &str| Push {
        delivery: common::unique(name),
        ..Push::new("acme/shop", &"1".repeat(40), &"2".repeat(40))
    };
    let (wrong, none, late) = (push("wrong-"), push("none-"), push("typed-"));
    assert_eq!(wrong.send(daemon.listen(), "another secret").status, 401);
    let body = none.body().to_string();
    assert_eq!(none.send_raw(daemon.listen(), "application/json", body.as_bytes(), None).status, 401);
    assert_eq!(late.send_raw(daemon.listen(), "text/plain", b"{}", Some(&sign(SECRET, b"{}"))).status, 415);
    // Whom this machine's web server names is the source; what is long is cut.
    let long = format!("forwarded-{}", "x".repeat(2_000));
    let headers = [("X-Forwarded-For", "192.0.2.77"), ("X-GitHub-Event", "push"), ("X-GitHub-Delivery", long.as_str())];
    assert_eq!(http::request(daemon.listen(), "POST", "/webhook", &headers, b"{}").unwrap().status, 401);
    assert!(daemon.terminate().success());
    let output = daemon.output();
    let told = |part: &str| output.lines().find(|line| line.contains("refused") && line.contains(part));
    for (delivery, source, status) in [
        (wrong.delivery.as_str(), "127.0.0.1", "401"),
        (&none.delivery, "127.0.0.1", "401"),
        (&late.delivery, "127.0.0.1", "415"),
        ("forwarded-", "192.0.2.77", "401"),
    ] {
        let line = told(delivery).unwrap_or_else(|| panic!("{delivery} is not told: {output}"));
        for part in ["WARN", "github", "push", source, status] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(line.len() < 1_000, "not bounded: {line}");
    }
}

#[test]
fn of_a_flood_of_refusals_the_first_are_told_and_the_others_counted() {
    let folder = tempfile::tempdir().unwrap();
    let repos = format!("shop: {{ path: {}, branch: main, full_name: acme/shop }}\n", folder.path().display());
    let mut daemon = Daemon::start(&repos);
    let push = Push::new("acme/shop", &"1".repeat(40), &"2".repeat(40));
    for _ in 0..47 {
        assert_eq!(push.send(daemon.listen(), "another secret").status, 401);
    }
    assert_eq!(push.send_raw(daemon.listen(), "text/plain", b"{}", Some(&sign(SECRET, b"{}"))).status, 415);
    assert!(daemon.terminate().success());
    let output = daemon.output();
    let told: Vec<_> = output.lines().filter(|line| line.contains("a delivery was refused")).collect();
    // The flood may lie across two windows on a slow machine; what was not told is counted all the same.
    let counted: usize = output
        .lines()
        .filter_map(|line| {
            line.replace(" was ", " were ")
                .split_once(" more were refused in the last")?
                .0
                .rsplit(' ')
                .next()?
                .parse::<usize>()
                .ok()
        })
        .sum();
    assert_eq!(told.len() + counted, 48, "{output}");
    assert!(counted > 0 && output.contains("bad signature"), "{output}");
    let named = |word: &str| told.iter().all(|line| line.contains(word));
    assert!(named(&push.delivery) && named("127.0.0.1") && named("github"), "{told:?}");
    assert!(told.iter().any(|line| line.contains("415")), "another kind is told by itself");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own thread")]
fn slow_and_silent_senders_are_cut_off_and_hold_nobody_up() {
    let site = Site::web();
    let limits = ["--header-timeout", "1s", "--body-timeout", "1s", "--max-connections", "40", "--max-requests", "8"];
    let daemon = Daemon::start_with(&site.short(), &[QUICK, &limits].concat(), &[]);
    let at = daemon.listen();
    // More than there is room for: heads that never end, connections that never speak, bodies that never end.
    let open = move |beginning: &[u8]| {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(beginning).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    };
    let signature = "0".repeat(64);
    let half = format!(
        "POST /webhook HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: sha256={signature}\r\nContent-Length: 1000\r\n\r\n"
    );
    let bodies: Vec<_> = (0..64).map(|_| open(format!("{half}{{").as_bytes())).collect();
    let silent: Vec<_> =
        (0..150).map(|n| open(if n % 2 == 0 { b"POST /webhook HTTP/1.1\r\nX-Slow:" } else { b"" })).collect();
    // One more drips a byte at a time for as long as it is let.
    let dripping = thread::spawn(move || {
        let mut stream = open(half.as_bytes());
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(60) && stream.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
        begin.elapsed()
    });

    let push = site.push();
    let begin = Instant::now();
    let answer = daemon.push(&push);
    assert_eq!(answer.status, 202, "{answer:?}");
    assert!(begin.elapsed() < Duration::from_secs(5), "it took {:?}", begin.elapsed());
    for mut stream in bodies {
        let mut text = String::new();
        // The end may be a reset: bytes of the sender were still on their way.
        stream.read_to_string(&mut text).ok();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text:?}");
    }
    for mut stream in silent {
        let mut text = String::new();
        let ended = stream.read_to_string(&mut text);
        let waited_in_vain = ended.is_err_and(|e| matches!(e.kind(), std::io::ErrorKind::WouldBlock));
        assert!(!waited_in_vain && !text.contains(" 20"), "{text:?}");
    }
    assert!(dripping.join().unwrap() < Duration::from_secs(30), "a dripping body is kept");
    daemon.expect_success(answer.json()["deployment"].as_i64().unwrap());
    site.wait_for_page("version 1");
}
