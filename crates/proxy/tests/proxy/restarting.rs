//! What was acknowledged is served by the next proxy, with nobody else there; what cannot be read is said.

use serde_json::json;

use crate::support::{Client, Container, Place, free_address, route};

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let (red, blue, listen, place) = (Container::named("red"), Container::named("blue"), free_address(), Place::new());
    let proxy = place.start(&[]);
    assert_eq!(proxy.status()["origin"], "nothing");
    proxy.apply("shop", 1, &json!([route(listen, "red", 1, red.address)]));
    proxy.apply("shop", 2, &json!([route(listen, "blue", 2, blue.address)]));
    proxy.kill();
    let proxy = place.start(&[]);
    assert_eq!(Client::to(listen).line(), "blue");
    let status = proxy.status();
    assert_eq!(
        (&status["serial"], &status["origin"], &status["durable"]),
        (&json!(2), &json!("current"), &json!(true))
    );
}

#[test]
fn a_damaged_route_file_is_said_loudly_and_the_previous_one_is_served() {
    let (red, blue, listen, place) = (Container::named("red"), Container::named("blue"), free_address(), Place::new());
    let proxy = place.start(&[]);
    proxy.apply("shop", 1, &json!([route(listen, "red", 1, red.address)]));
    proxy.apply("shop", 2, &json!([route(listen, "blue", 2, blue.address)]));
    proxy.kill();
    let mut bytes = std::fs::read(place.route_file()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(place.route_file(), &bytes).unwrap();

    let mut proxy = place.begin(&[]);
    let said = proxy.says("ERROR");
    assert!(said.contains("routes.json: first line: says sha256 `") && said.contains("it is damaged"), "{said}");
    let said = proxy.says("ERROR");
    assert!(said.contains("the previous route file is served (serial 1)"), "{said}");
    proxy.says("ready: 1 route");
    assert_eq!(Client::to(listen).line(), "red");
    assert_eq!(proxy.status()["origin"], "previous");
    // What was lost is applied again.
    proxy.apply("shop", 2, &json!([route(listen, "blue", 2, blue.address)]));
    assert_eq!(Client::to(listen).line(), "blue");
    assert_eq!(std::fs::read(place.state().join("routes.broken.json")).unwrap(), bytes);
}

#[test]
fn where_no_route_file_can_be_read_everything_can_be_applied_again() {
    let (red, listen, place) = (Container::named("red"), free_address(), Place::new());
    let proxy = place.start(&[]);
    proxy.apply("shop", 7, &json!([route(listen, "red", 7, red.address)]));
    proxy.kill();
    std::fs::write(place.route_file(), "").unwrap();
    let mut proxy = place.begin(&[]);
    proxy.says("no route file could be read: nothing is served until routes are applied again");
    proxy.says("ready: 0 routes");
    let status = proxy.status();
    assert_eq!((&status["origin"], &status["routes"]), (&json!("lost"), &json!([])));
    proxy.apply("shop", 7, &json!([route(listen, "red", 7, red.address)]));
    assert_eq!(Client::to(listen).line(), "red");
}

#[test]
fn an_address_that_another_program_has_is_listened_on_when_it_is_free() {
    let (red, place) = (Container::named("red"), Place::new());
    let (listen, other) = (free_address(), free_address());
    let routes = json!([route(listen, "red", 1, red.address), route(other, "red", 1, red.address)]);
    let proxy = place.start(&[]);
    proxy.apply("shop", 1, &routes);
    proxy.kill();
    let squatter = std::net::TcpListener::bind(listen).unwrap();
    let mut proxy = place.begin(&[]);
    let said = proxy.says("cannot be listened on");
    assert!(said.contains("ERROR") && said.contains(&listen.to_string()), "{said}");
    proxy.says("ready: 2 routes");
    assert_eq!(Client::to(other).line(), "red");
    let listening = |proxy: &crate::support::Proxy| {
        let routes = proxy.status()["routes"].clone();
        let route = routes.as_array().unwrap().iter().find(|route| route["listen"] == json!(listen)).unwrap().clone();
        route["listening"].as_bool().unwrap()
    };
    assert!(!listening(&proxy));
    drop(squatter);
    proxy.says("is listened on at last");
    assert_eq!(Client::to(listen).line(), "red");
    assert!(listening(&proxy));
}

#[test]
fn two_proxies_do_not_share_a_state_directory() {
    let place = Place::new();
    let _first = place.start(&[]);
    let mut second = place.begin(&[]);
    second.says("another turnout-proxy has the state directory");
    assert_eq!(second.ended().code(), Some(1));
}
