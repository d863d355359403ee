//! The control socket, and the commands.

use std::{
    io::Write as _,
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::Path,
    time::Instant,
};

use serde_json::json;
use turnout_traffic::{RouteFile, Table, bounds};

use crate::support::{PATIENCE, Place, asked, program, until};

#[test]
fn what_is_no_request_is_answered_and_harms_nobody() {
    let place = Place::new();
    let mut proxy = place.start(&[]);
    let long = vec![b'x'; bounds::BYTES + 10];
    for (line, code, message) in [
        (&b"garbage\n"[..], "malformed", "the request is not JSON"),
        (b"{\"version\":9}\n", "version", "version 9 is not spoken here, only version 1"),
        (b"GET / HTTP/1.1\r\n\r\n", "malformed", "the request is not JSON"),
        (b"\xff\xfe\n", "malformed", "the request is not JSON"),
        (&long, "malformed", "the request broke off, or its line is longer than 4194304 bytes"),
    ] {
        let answer = asked(&place.socket(), line);
        assert_eq!((&answer["version"], &answer["code"]), (&json!(1), &json!(code)), "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(message), "{answer}");
    }
    assert_eq!(proxy.status()["answer"], "status");
    assert!(proxy.runs());
}

#[test]
fn several_requests_on_one_connection_are_answered_in_order() {
    let place = Place::new();
    let proxy = place.start(&[]);
    let mut stream = UnixStream::connect(place.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"{\"version\":1,\"request\":\"status\"}\n{\"version\":1,\"request\":\"hold\"}\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let answers = std::io::read_to_string(stream).unwrap();
    let answers: Vec<serde_json::Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.iter().map(|answer| &answer["answer"]).collect::<Vec<_>>(), ["status", "refused"]);
    drop(proxy);
}

#[test]
fn silent_connections_do_not_keep_others_out_for_long() {
    let place = Place::new();
    let proxy = place.start(&[]);
    let silent: Vec<UnixStream> = (0..16).map(|_| UnixStream::connect(place.socket()).unwrap()).collect();
    let since = Instant::now();
    assert_eq!(proxy.status()["answer"], "status");
    assert!(since.elapsed() < PATIENCE, "{:?}", since.elapsed());
    drop(silent);
}

#[test]
fn the_socket_has_its_mode_and_one_that_was_left_behind_is_replaced() {
    let place = Place::new();
    let mode = |place: &Place| std::fs::metadata(place.socket()).unwrap().permissions().mode() & 0o777;
    let proxy = place.start(&[]);
    assert_eq!(mode(&place), 0o660);
    proxy.kill();
    assert!(place.socket().exists(), "a killed one leaves it");
    let _proxy = place.start(&["--socket-mode", "0600"]);
    assert_eq!(mode(&place), 0o600);
}

#[test]
fn a_socket_whose_file_is_removed_is_there_again_and_anothers_is_not_touched() {
    let place = Place::new();
    let mut proxy = place.start(&["--socket-mode", "0600"]);
    std::fs::remove_file(place.socket()).unwrap();
    until("the socket to be there again", || UnixStream::connect(place.socket()).is_ok());
    assert_eq!(std::fs::metadata(place.socket()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(proxy.status()["answer"], "status");
    proxy.says("was removed by somebody, and is there again");

    std::fs::remove_file(place.socket()).unwrap();
    std::fs::write(place.socket(), "of somebody else").unwrap();
    proxy.says("is another file by now");
    assert_eq!(std::fs::read_to_string(place.socket()).unwrap(), "of somebody else");
    assert!(proxy.runs());
}

fn check(file: &Path) -> (Option<i32>, String) {
    let output = program().arg("check").arg(file).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap().replace(&file.display().to_string(), "FILE"))
}

#[test]
fn check_tells_every_mistake() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("routes.json");
    assert_eq!(check(&file), (Some(1), "turnout-proxy: FILE: there is no such file\n".to_owned()));
    let good = RouteFile { serial: 3, table: Table::default() }.to_bytes().unwrap();
    std::fs::write(&file, &good).unwrap();
    assert_eq!(check(&file), (Some(0), "FILE: no mistake; serial 3, 0 routes\n".to_owned()));

    // Changed by hand: it says which digest the first line must have, and then what else is wrong.
    let body = r#"{"serial": 0, "repositories": {"a b": {}}, "listen": []}"#;
    std::fs::write(&file, format!("{{\"format\":1,\"sha256\":\"?\"}}\n{body}")).unwrap();
    let (code, said) = check(&file);
    let digest = said.split("what follows has ").nth(1).unwrap().split(':').next().unwrap();
    assert_eq!((code, digest.len()), (Some(1), 64), "{said}");
    std::fs::write(&file, format!("{{\"format\":1,\"sha256\":\"{digest}\"}}\n{body}")).unwrap();
    let (code, said) = check(&file);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((code, lines.len()), (Some(1), 3), "{said}");
    assert!(
        lines[0].starts_with("turnout-proxy: FILE: listen: unknown key; known here: serial, repositories, standing"),
        "{said}"
    );
    assert!(lines[1].starts_with("turnout-proxy: FILE: serial: is 0; a whole number from 1 to "), "{said}");
    assert!(lines[2].starts_with("turnout-proxy: FILE: repositories.`a b`: `a b` is no name"), "{said}");
}
