//! From one colour to the next.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use rustix::process::Signal;
use serde_json::{Value, json};
use turnout_traffic::{RouteFile, Table, choose::Wish};

use crate::support::{Client, Container, Place, Proxy, apply, free_address, repository, route, until};

/// What is open to each colour, `leaving` ones after a `/`.
fn open(proxy: &Proxy) -> String {
    let status = proxy.status();
    let list = |colours: &Value| {
        let colours = colours.as_array().unwrap().iter();
        colours.map(|of| format!("{} {}", of["name"].as_str().unwrap(), of["open"])).collect::<Vec<_>>().join(", ")
    };
    format!("{} / {}", list(&status["routes"][0]["colours"]), list(&status["leaving"]))
}

#[test]
fn open_connections_stay_where_they_are_and_new_ones_go_to_the_new_colour() {
    let (red, blue, listen, place) = (Container::named("red"), Container::named("blue"), free_address(), Place::new());
    let proxy = place.start(&[]);
    proxy.apply("shop", 1, &json!([route(listen, "red", 1, red.address)]));
    let mut old = Client::to(listen);
    assert_eq!(old.line(), "red");
    proxy.apply("shop", 2, &json!([route(listen, "blue", 2, blue.address)]));
    let mut new = Client::to(listen);
    assert_eq!(new.line(), "blue");
    assert_eq!((old.echo("one"), new.echo("two")), ("one".into(), "two".into()));
    assert_eq!(open(&proxy), "blue 1 / red 1");
    drop(old);
    until("red has ended", || open(&proxy) == "blue 1 / ");
}

/// Puts a file in place in which shop is at this colour.
fn put(place: &Place, serial: u64, listen: SocketAddr, colour: &str, target: SocketAddr) {
    let shop = repository(serial, &json!([route(listen, colour, serial, target)]));
    place.put(&RouteFile {
        serial,
        table: Table { repositories: [("shop".to_owned(), shop)].into(), ..Table::default() },
    });
}

#[test]
fn a_new_route_file_is_taken_over_when_somebody_says_so() {
    let (red, blue, listen, place) = (Container::named("red"), Container::named("blue"), free_address(), Place::new());
    let mut proxy = place.start(&[]);
    proxy.apply("shop", 1, &json!([route(listen, "red", 1, red.address)]));
    let mut old = Client::to(listen);
    assert_eq!(old.line(), "red");

    put(&place, 2, listen, "blue", blue.address);
    proxy.signal(Signal::HUP);
    proxy.says("the route file was read again: serial 2 is served");
    assert_eq!(Client::to(listen).line(), "blue");
    assert_eq!(old.echo("still red"), "still red");

    put(&place, 3, listen, "red", red.address);
    let reload = json!({"version": 1, "request": "reload"});
    let answer = |changed: bool| json!({"version": 1, "answer": "applied", "serial": 3, "changed": changed});
    assert_eq!(proxy.ask(&reload), answer(true));
    assert_eq!(Client::to(listen).line(), "red");
    assert_eq!(proxy.ask(&reload), answer(false));
    let before = RouteFile::from_bytes(&std::fs::read(place.previous()).unwrap()).unwrap();
    assert_eq!(before.serial, 2, "what was served is the previous file");

    // A file of before, a damaged one, one without the repository: what is served is served.
    put(&place, 2, listen, "blue", blue.address);
    assert_eq!(proxy.ask(&reload)["code"], "older");
    std::fs::write(place.route_file(), "{}\n{}").unwrap();
    proxy.signal(Signal::HUP);
    let said = proxy.says("the route file was not taken over");
    assert!(said.contains("first line.format: is missing"), "{said}");
    place.put(&RouteFile { serial: 4, table: Table::default() });
    let answer = proxy.ask(&reload);
    assert_eq!((&answer["code"], &answer["mistakes"][0]["path"]), (&json!("older"), &json!("repositories.shop")));
    assert_eq!(Client::to(listen).line(), "red");
    // The next change writes the truth again, and puts the stranger aside.
    proxy.apply("shop", 4, &json!([route(listen, "blue", 4, blue.address)]));
    assert_eq!((place.kept().serial, Client::to(listen).line()), (4, "blue".to_owned()));
    assert!(place.state().join("routes.broken.json").exists());
}

#[test]
fn no_connection_is_lost_while_colours_change() {
    let (red, blue, listen, place) = (Container::named("red"), Container::named("blue"), free_address(), Place::new());
    let proxy = place.start(&[]);
    let routes = |generation: u64| {
        let (colour, container) = if generation % 2 == 1 { ("red", &red) } else { ("blue", &blue) };
        json!([route(listen, colour, generation, container.address)])
    };
    proxy.apply("shop", 1, &routes(1));
    let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new([AtomicU64::new(0), AtomicU64::new(0)]));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, seen) = (Arc::clone(&stop), Arc::clone(&seen));
            thread::spawn(move || {
                while !stop.load(Relaxed) {
                    let mut client = Client::to(listen);
                    let name = client.line();
                    assert_eq!(client.echo("hello"), "hello");
                    seen[usize::from(name == "blue")].fetch_add(1, Relaxed);
                }
            })
        })
        .collect();
    for generation in 2..=40 {
        proxy.apply("shop", generation, &routes(generation));
        let colour = usize::from(generation % 2 == 0);
        let since = seen[colour].load(Relaxed);
        until("clients reach the new colour", || seen[colour].load(Relaxed) > since);
    }
    stop.store(true, Relaxed);
    clients.into_iter().for_each(|client| client.join().expect("no connection was lost"));
    let route = &proxy.status()["routes"][0];
    assert_eq!(route["failed"], 0, "{route}");
    until("all have ended", || open(&proxy).starts_with("blue 0 / "));
}

#[test]
fn listeners_come_and_go_with_their_routes() {
    let (red, one, two, place) = (Container::named("red"), free_address(), free_address(), Place::new());
    let proxy = place.start(&[]);
    proxy.apply("shop", 1, &json!([route(one, "red", 1, red.address)]));
    let mut old = Client::to(one);
    assert_eq!(old.line(), "red");
    proxy.apply("shop", 2, &json!([route(two, "red", 1, red.address)]));
    assert_eq!(Client::to(two).line(), "red");
    let refused = std::net::TcpStream::connect(one).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(old.echo("here"), "here");
    proxy.apply("shop", 3, &json!([]));
    assert!(std::net::TcpStream::connect(two).is_err());
    let status = proxy.status();
    assert_eq!((&status["routes"], &status["repositories"]["shop"]["generation"]), (&json!([]), &json!(3)));
}

#[test]
fn a_client_stays_on_its_colour_while_weights_are_the_same() {
    let (red, blue, place) = (Container::named("red"), Container::named("blue"), Place::new());
    let listen = free_address();
    let proxy = place.start(&[]);
    let mut routes = json!([route(listen, "red", 1, red.address)]);
    routes[0]["colours"] = json!([
        {"name": "red", "generation": 1, "weight": 70, "targets": [red.address]},
        {"name": "blue", "generation": 2, "weight": 30, "targets": [blue.address]},
    ]);
    proxy.apply("shop", 2, &routes);
    let expected = &repository(2, &routes).routes[0];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut seen = [0, 0];
    for number in 1..=40 {
        let from = Ipv4Addr::new(127, 0, 99, number);
        for _ in 0..2 {
            let stream = runtime.block_on(async {
                let socket = tokio::net::TcpSocket::new_v4().unwrap();
                socket.bind((from, 0).into()).unwrap();
                socket.connect(listen).await.unwrap().into_std().unwrap()
            });
            stream.set_nonblocking(false).unwrap();
            let name = Client(stream).line();
            let at = expected.colour_for(&Wish::of_address(from.into())).unwrap();
            assert_eq!(name, ["red", "blue"][at], "{from}");
            seen[at] += 1;
        }
    }
    assert!(seen[0] > seen[1] && seen[1] > 0, "{seen:?}");
}

#[test]
fn what_is_refused_changes_nothing() {
    let (red, blue, listen, place) = (Container::named("red"), Container::named("blue"), free_address(), Place::new());
    let proxy = place.start(&[]);
    proxy.apply("shop", 5, &json!([route(listen, "red", 5, red.address)]));
    let (before, on_disk) = (proxy.status(), std::fs::read(place.route_file()).unwrap());
    // Somebody else has this address.
    let taken = Container::named("another program");
    let blue_at = |listen, generation| json!([route(listen, "blue", generation, blue.address)]);
    let mut later = blue_at(listen, 6);
    later[0]["protocol"] = json!("grpc");
    later[0]["analysis"] = json!({"min_requests": 50});
    for (request, code, message) in [
        (
            apply("shop", 4, &blue_at(listen, 4)),
            "older",
            "shop is at generation 5, revision 0; generation 4, revision 0, is older",
        ),
        (
            apply("shop", 5, &blue_at(listen, 5)),
            "conflict",
            "shop is at generation 5, revision 0 already, with other routes",
        ),
        (
            apply("shop", 6, &later),
            "mistaken",
            "routes[0].analysis: this key comes with the switch: this turnout-proxy carries TCP, TLS and HTTP only",
        ),
        (
            apply("shop", 6, &later),
            "mistaken",
            "routes[0].protocol: `grpc` is not known; known here: tcp, http, h2c, tls",
        ),
        (apply("blog", 1, &blue_at(listen, 1)), "mistaken", "a route of "),
        (apply("blog", 1, &blue_at(taken.address, 1)), "cannot_listen", "Address already in use"),
        (json!({"version": 1, "request": "counters", "repository": "shed"}), "mistaken", "shed is not known here"),
    ] {
        let answer = proxy.ask(&request);
        assert_eq!((&answer["answer"], &answer["code"]), (&json!("refused"), &json!(code)), "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(message), "{answer}");
    }
    assert_eq!(proxy.status(), before);
    assert_eq!(std::fs::read(place.route_file()).unwrap(), on_disk);
    assert_eq!(Client::to(listen).line(), "red");
    // Asked again, word for word, it is what is served.
    let again = proxy.ask(&apply("shop", 5, &json!([route(listen, "red", 5, red.address)])));
    assert_eq!(again, json!({"version": 1, "answer": "applied", "serial": 1, "changed": false}));
}

#[test]
fn a_table_that_the_disk_does_not_take_is_not_served() {
    let (red, blue, listen, place) = (Container::named("red"), Container::named("blue"), free_address(), Place::new());
    let proxy = place.start(&[]);
    proxy.apply("shop", 1, &json!([route(listen, "red", 1, red.address)]));
    // A folder in the place of what is written.
    std::fs::create_dir(place.state().join("routes.new.json")).unwrap();
    let wanted = apply("shop", 2, &json!([route(listen, "blue", 2, blue.address)]));
    let answer = proxy.ask(&wanted);
    assert_eq!(answer["code"], "not_kept", "{answer}");
    assert!(answer["message"].as_str().unwrap().ends_with("Nothing was changed"), "{answer}");
    assert_eq!((Client::to(listen).line(), place.kept().serial), ("red".to_owned(), 1));
    std::fs::remove_dir(place.state().join("routes.new.json")).unwrap();
    assert_eq!(proxy.ask(&wanted)["answer"], "applied");
    assert_eq!((Client::to(listen).line(), place.kept().serial), ("blue".to_owned(), 2));
}
