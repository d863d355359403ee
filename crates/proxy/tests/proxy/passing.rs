//! Bytes, ends and break-offs of one connection; how many there may be.

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    sync::mpsc::channel,
    thread,
    time::Duration,
};

use rustix::net::sockopt::set_socket_linger;
use serde_json::json;

use crate::support::{Client, Container, Place, free_address, own_ip, route, until};

#[test]
fn what_is_said_arrives_whole_and_each_direction_ends_alone() {
    // Answers only when the other side has said all: a connection that is closed as a whole would bring nothing.
    let container = Container::of((own_ip(), 0).into(), |mut stream| {
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        heard.reverse();
        stream.write_all(&heard).unwrap();
    });
    let (listen, place) = (free_address(), Place::new());
    let proxy = place.start(&[]);
    proxy.apply("shop", 1, &json!([route(listen, "red", 1, container.address)]));

    // More than all buffers on the way.
    let said: Vec<u8> = (0..8 << 20).map(|number: u32| number.to_le_bytes()[number as usize % 3]).collect();
    let mut client = Client::to(listen);
    let (mut sender, sent) = (client.0.try_clone().unwrap(), said.clone());
    let sending = thread::spawn(move || {
        sender.write_all(&sent).unwrap();
        sender.shutdown(Shutdown::Write).unwrap();
    });
    let mut heard = Vec::new();
    client.0.read_to_end(&mut heard).unwrap();
    sending.join().unwrap();
    heard.reverse();
    assert!(heard == said, "{} of {} bytes, or others", heard.len(), said.len());
}

#[test]
fn a_container_that_has_said_all_still_hears() {
    let (send, heard) = channel();
    let container = Container::of((own_ip(), 0).into(), move |mut stream| {
        stream.write_all(b"all\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        send.send(text).unwrap();
    });
    let (listen, place) = (free_address(), Place::new());
    let proxy = place.start(&[]);
    proxy.apply("shop", 1, &json!([route(listen, "red", 1, container.address)]));
    let mut client = Client::to(listen);
    assert_eq!(client.line(), "all");
    assert_eq!(client.end(), None);
    client.0.write_all(b"and I").unwrap();
    drop(client);
    assert_eq!(heard.recv_timeout(Duration::from_secs(30)).unwrap(), "and I");
}

#[test]
fn who_breaks_off_is_no_regular_end_for_the_other() {
    let (send, ends) = channel();
    let container = Container::of((own_ip(), 0).into(), move |mut stream| {
        stream.write_all(b"half\n").unwrap();
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => set_socket_linger(&stream, Some(Duration::ZERO)).unwrap(),
            other => send.send(other.map_err(|error| error.kind())).unwrap(),
        }
    });
    let (listen, place) = (free_address(), Place::new());
    let proxy = place.start(&[]);
    proxy.apply("shop", 1, &json!([route(listen, "red", 1, container.address)]));

    let mut client = Client::to(listen);
    assert_eq!(client.line(), "half");
    client.0.write_all(b"!").unwrap();
    assert_eq!(client.end(), Some(std::io::ErrorKind::ConnectionReset));

    let mut client = Client::to(listen);
    assert_eq!(client.line(), "half");
    set_socket_linger(&client.0, Some(Duration::ZERO)).unwrap();
    drop(client);
    let end = ends.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset));
}

#[test]
fn a_client_waits_for_a_container_that_comes_back() {
    let (listen, target, place) = (free_address(), free_address(), Place::new());
    let mut proxy = place.start(&[]);
    proxy.apply("shop", 1, &json!([route(listen, "red", 1, target)]));
    let mut client = Client::to(listen);
    proxy.says("a container does not take connections");
    assert_eq!(proxy.status()["routes"][0]["waiting"], 1);
    let _container = Container::at(target, "red");
    assert_eq!(client.line(), "red");
    assert_eq!(client.echo("one"), "one");
    let route = &proxy.status()["routes"][0];
    assert_eq!((&route["waiting"], &route["taken"], &route["failed"]), (&json!(0), &json!(1), &json!(0)));
}

#[test]
fn a_client_that_no_container_takes_is_told_so_by_a_reset() {
    let (listen, place) = (free_address(), Place::new());
    let proxy = place.start(&[]);
    proxy.apply("shop", 1, &json!([route(listen, "red", 1, free_address())]));
    let mut client = Client::to(listen);
    assert_eq!(client.end(), Some(std::io::ErrorKind::ConnectionReset));
    until("it is counted", || proxy.status()["routes"][0]["failed"] == 1);
}

#[test]
fn another_container_takes_what_one_refuses() {
    let container = Container::named("second");
    let (listen, place) = (free_address(), Place::new());
    let proxy = place.start(&[]);
    let mut routes = json!([route(listen, "red", 1, free_address())]);
    routes[0]["colours"][0]["targets"].as_array_mut().unwrap().push(json!(container.address));
    proxy.apply("shop", 1, &routes);
    for _ in 0..4 {
        assert_eq!(Client::to(listen).line(), "second");
    }
}

#[test]
fn silence_ends_a_connection_only_where_the_route_says_so() {
    let container = Container::named("red");
    let (listen, patient, place) = (free_address(), free_address(), Place::new());
    let proxy = place.start(&[]);
    let mut strict = route(listen, "red", 1, container.address);
    strict["idle_seconds"] = json!(1);
    proxy.apply("shop", 1, &json!([strict, route(patient, "red", 1, container.address)]));
    let (mut short, mut long) = (Client::to(listen), Client::to(patient));
    assert_eq!((short.line(), long.line()), ("red".to_owned(), "red".to_owned()));
    assert_eq!(short.end(), Some(std::io::ErrorKind::ConnectionReset));
    assert_eq!(long.echo("still"), "still");
}

#[test]
fn a_connection_too_many_waits_for_a_place() {
    let container = Container::named("red");
    let (listen, other, place) = (free_address(), free_address(), Place::new());
    let mut proxy = place.start(&["--max-connections", "3", "--max-connections-per-route", "2"]);
    proxy.apply(
        "shop",
        1,
        &json!([route(listen, "red", 1, container.address), route(other, "red", 1, container.address)]),
    );
    let mut first = [Client::to(listen), Client::to(listen)];
    assert_eq!(first.each_mut().map(Client::line), ["red", "red"]);
    let mut third = Client::to(listen);
    let said = proxy.says("as many connections as may be are open");
    assert!(said.contains(&listen.to_string()), "{said}");
    // A crowd at one route leaves room for the others.
    assert_eq!(Client::to(other).line(), "red");
    third.0.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert_eq!(third.try_line().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    let [left, mut right] = first;
    drop(left);
    third.0.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert_eq!(third.line(), "red");
    assert_eq!(right.echo("here"), "here");
}
