//! SIGTERM: nothing new, and what is open may end.

use std::{io::ErrorKind, net::TcpStream};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Client, Container, Place, apply, free_address, route, until};

#[test]
fn open_connections_may_end_and_no_new_ones_are_taken() {
    let (red, listen, place) = (Container::named("red"), free_address(), Place::new());
    let mut proxy = place.start(&["--grace", "600"]);
    let routes = json!([route(listen, "red", 1, red.address)]);
    proxy.apply("shop", 1, &routes);
    let mut client = Client::to(listen);
    assert_eq!(client.line(), "red");
    proxy.signal(Signal::TERM);
    proxy.says("takes no connections any more; 1 connection may end within 600 s");
    until("it is not listened on", || {
        TcpStream::connect(listen).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused)
    });
    assert_eq!(client.echo("still"), "still");
    // It tells how it stands, and changes nothing.
    assert_eq!(proxy.status()["ending"], true);
    assert_eq!(proxy.ask(&apply("shop", 2, &routes))["code"], "ending");
    assert!(proxy.runs());
    drop(client);
    assert_eq!(proxy.ended().code(), Some(0));
    proxy.says("turnout-proxy has ended");
    assert!(!place.socket().exists());
}

#[test]
fn what_does_not_end_is_cut_after_the_grace_and_is_no_regular_end() {
    let (red, listen, place) = (Container::named("red"), free_address(), Place::new());
    let mut proxy = place.start(&["--grace", "1"]);
    proxy.apply("shop", 1, &json!([route(listen, "red", 1, red.address)]));
    let mut client = Client::to(listen);
    assert_eq!(client.line(), "red");
    proxy.signal(Signal::TERM);
    assert_eq!(client.end(), Some(ErrorKind::ConnectionReset));
    proxy.says("1 connection did not end by themselves and are cut");
    assert_eq!(proxy.ended().code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let (red, listen, place) = (Container::named("red"), free_address(), Place::new());
    let mut proxy = place.start(&["--grace", "600"]);
    proxy.apply("shop", 1, &json!([route(listen, "red", 1, red.address)]));
    let mut client = Client::to(listen);
    assert_eq!(client.line(), "red");
    proxy.signal(Signal::TERM);
    proxy.says("takes no connections any more");
    proxy.signal(Signal::TERM);
    assert_eq!(client.end(), Some(ErrorKind::ConnectionReset));
    assert_eq!(proxy.ended().code(), Some(0));
}

#[test]
fn what_the_kernel_had_taken_is_served() {
    let (red, listen, place) = (Container::named("red"), free_address(), Place::new());
    let mut proxy = place.start(&["--grace", "600"]);
    proxy.apply("shop", 1, &json!([route(listen, "red", 1, red.address)]));
    // While it stands still, the kernel takes connections for it; the signal is there before it sees them.
    proxy.signal(Signal::STOP);
    proxy.signal(Signal::TERM);
    let mut clients: Vec<Client> = (0..20).map(|_| Client::to(listen)).collect();
    proxy.signal(Signal::CONT);
    for client in &mut clients {
        assert_eq!(client.line(), "red");
    }
    drop(clients);
    assert_eq!(proxy.ended().code(), Some(0));
}
