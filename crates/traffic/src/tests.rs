//! Mistakes and what is said of them; round trips; from table to table.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    Replaced, RouteFile, Table,
    beyond::{Beyond, By, Digest, Fallback, Mirror, Pin, Preview, Sticky},
    bounds,
    control::{Answer, Code, Request},
    follows,
    spot::{Host, Network, Prefix},
    table::{CertificateFiles, Colour, Maintained, Protocol, ProxyProtocol, Repository, Route, Standing, Tls},
};

/// A route file around a body, with the right digest.
fn sealed(body: &str) -> Vec<u8> {
    use sha2::Digest as _;
    let digest = hex::encode(sha2::Sha256::digest(body));
    format!("{{\"format\":1,\"sha256\":\"{digest}\"}}\n{body}").into_bytes()
}

fn route(listen: &str, target: &str) -> Value {
    json!({
        "listen": listen, "protocol": "tcp", "state": "serve",
        "colours": [{"name": "red", "generation": 1, "weight": 100, "targets": [target]}],
    })
}

/// A body whose only repository has these routes.
fn body(routes: &[Value]) -> Value {
    json!({"serial": 1, "repositories": {"shop": {"generation": 1, "revision": 0, "routes": routes}}})
}

fn mistakes(body: &str) -> Vec<String> {
    let mistakes = RouteFile::from_bytes(&sealed(body)).expect_err("it has mistakes");
    mistakes.0.iter().map(ToString::to_string).collect()
}

/// One value of the good body is another one: a JSON pointer, that value (null: the key is missing), and what is said.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("/serial", "0", "serial: is 0; a whole number from 1 to 9007199254740991 is wanted"),
    ("/serial", "-1", "serial: is a number that is negative, broken or too large; a whole number from 1 to"),
    ("/serial", "1.5", "serial: is a number that is negative, broken or too large; a whole number from 1 to"),
    ("/serial", "\"1\"", "serial: is a text; a whole number from 1 to"),
    ("/serial", "null", "serial: is missing"),
    ("/repositories", "[]", "repositories: is a list; an object is wanted"),
    ("/more", "1", "more: unknown key; known here: serial, repositories, standing"),
    ("/repositories/-shop", "{}", "repositories.`-shop`: `-shop` is no name: a name has letters"),
    ("/repositories/shop/generation", "0", "repositories.shop.generation: is 0; a whole number from 1 to"),
    ("/repositories/shop/revision", "null", "repositories.shop.revision: is missing"),
    (
        "/repositories/shop/colour",
        "1",
        "repositories.shop.colour: unknown key; known here: generation, revision, routes",
    ),
    ("/repositories/shop/routes", "{}", "repositories.shop.routes: is an object; a list is wanted"),
    ("/repositories/shop/routes/0/listen", "8080", "routes[0].listen: is a number; a text is wanted"),
    (
        "/repositories/shop/routes/0/listen",
        "\"localhost:80\"",
        "routes[0].listen: `localhost:80` is no address with a port; as 0.0.0.0:80",
    ),
    ("/repositories/shop/routes/0/listen", "\"0.0.0.0\"", "routes[0].listen: `0.0.0.0` is no address with a port"),
    (
        "/repositories/shop/routes/0/listen",
        "\"0.0.0.0:0\"",
        "routes[0].listen: has port 0, which means any port; name one",
    ),
    (
        "/repositories/shop/routes/0/listen",
        "\"[::ffff:10.0.0.1]:80\"",
        "routes[0].listen: is an IPv4 address in the form of IPv6; write 10.0.0.1:80",
    ),
    (
        "/repositories/shop/routes/0/protocol",
        "\"htpp\"",
        "routes[0].protocol: `htpp` is not known; known here: tcp, http, h2c, tls",
    ),
    ("/repositories/shop/routes/0/protocol", "null", "routes[0].protocol: is missing"),
    (
        "/repositories/shop/routes/0/state",
        "\"hold\"",
        "routes[0].state: a whole repository can be so, not a route: the request `hold` asks for it",
    ),
    ("/repositories/shop/routes/0/state", "\"stop\"", "routes[0].state: `stop` is not known; known here: serve"),
    ("/repositories/shop/routes/0/analysis", "5", "routes[0].analysis: this key comes with the switch"),
    (
        "/repositories/shop/routes/0/mirror",
        "{\"colour\":\"red\",\"percent\":5}",
        "routes[0].mirror: needs `protocol` http",
    ),
    ("/repositories/shop/routes/0/proxied_by", "[\"10.0.0.1/8\"]", "routes[0].proxied_by[0]: `10.0.0.1/8` "),
    (
        "/repositories/shop/routes/0/proxy_protocol",
        "\"v3\"",
        "routes[0].proxy_protocol: `v3` is not known; known here: v1, v2",
    ),
    ("/repositories/shop/routes/0/health", "[\"/up\"]", "routes[0].health: needs `protocol` http"),
    ("/repositories/shop/routes/0/redirect_port", "443", "routes[0].redirect_port: needs `protocol` http"),
    (
        "/repositories/shop/routes/0/yields",
        "true",
        "routes[0].yields: needs `stand_in_port`: connections would arrive nowhere",
    ),
    (
        "/repositories/shop/routes/0/stand_in_port",
        "0",
        "routes[0].stand_in_port: is 0; a whole number from 1 to 65535 is wanted",
    ),
    ("/repositories/shop/routes/0/hosts", "[\"a\"]", "routes[0].hosts: needs `protocol` http"),
    (
        "/repositories/shop/routes/0/lisen",
        "1",
        "routes[0].lisen: unknown key; known here: listen, protocol, hosts, path, strip_path, trusted, tls, hsts_seconds, redirect_port, proxied_by, proxy_protocol, stand_in_port, yields, state, idle_seconds, drain_seconds, colours, sticky, pins, preview, mirror, fallback, health",
    ),
    (
        "/repositories/shop/routes/0/idle_seconds",
        "0",
        "routes[0].idle_seconds: is 0; a whole number from 1 to 604800 is wanted",
    ),
    ("/repositories/shop/routes/0/colours", "[]", "routes[0].colours: has 0 entries; from 1 to 4 may be"),
    ("/repositories/shop/routes/0/colours/0", "7", "routes[0].colours[0]: is a number; an object is wanted"),
    ("/repositories/shop/routes/0/colours/0/name", "\"\"", "colours[0].name: `` is no name"),
    ("/repositories/shop/routes/0/colours/0/name", "\"a\\nb\"", "colours[0].name: `a\\nb` is no name"),
    (
        "/repositories/shop/routes/0/colours/0/generation",
        "2",
        "colours[0].generation: is 2, newer than the repository's, which is 1",
    ),
    (
        "/repositories/shop/routes/0/colours/0/weight",
        "101",
        "colours[0].weight: is 101; a whole number from 0 to 100 is wanted",
    ),
    (
        "/repositories/shop/routes/0/colours/0/weight",
        "99",
        "routes[0].colours: the weights are 99 together; they must be 100",
    ),
    ("/repositories/shop/routes/0/colours/0/targets", "[]", "colours[0].targets: has 0 entries; from 1 to 64 may be"),
    (
        "/repositories/shop/routes/0/colours/0/targets/0",
        "\"0.0.0.0:9\"",
        "targets[0]: 0.0.0.0:9 is the address of no container",
    ),
    (
        "/repositories/shop/routes/0/colours/0/targets/0",
        "\"127.0.0.1:80\"",
        "targets[0]: 127.0.0.1:80 leads back into the proxy, which listens on 0.0.0.0:80",
    ),
    (
        "/repositories/shop/routes/0/colours/0/drain",
        "1",
        "colours[0].drain: unknown key; known here: name, generation, weight, targets",
    ),
];

#[test]
fn mistakes_are_told_where_they_stand() {
    for (pointer, value, expected) in MISTAKES {
        let mut body = body(&[route("0.0.0.0:80", "127.0.0.1:20001")]);
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = body.pointer_mut(parent).unwrap();
        let value: Value = serde_json::from_str(value).unwrap();
        match parent {
            Value::Object(map) if value.is_null() => drop(map.remove(key)),
            Value::Object(map) => drop(map.insert((*key).to_owned(), value)),
            Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
            _ => panic!("{pointer}"),
        }
        let said = mistakes(&body.to_string());
        assert!(
            said.len() == 1 && said[0].contains(expected),
            "{pointer} = {value:?}: {said:#?}",
            value = body.pointer(pointer)
        );
    }
}

/// What a route does beyond its weights: a key, its value, and what is said of it.
const BEYOND: &[(&str, &str, &str)] = &[
    ("sticky", r#""cookie""#, ""),
    ("sticky", r#""header""#, "sticky: `header` is not known; known here: address, cookie"),
    ("pins", r#"[{"header":"X-A","value":"1","colour":"red"},{"cookie":"a","value":"b","colour":"blue"}]"#, ""),
    ("pins", "[]", "pins: has 0 entries; from 1 to 16 may be"),
    ("pins", r#"[{"value":"1","colour":"red"}]"#, "pins[0]: needs either `header` or `cookie`"),
    (
        "pins",
        r#"[{"header":"X-A","cookie":"a","value":"1","colour":"red"}]"#,
        "pins[0]: needs either `header` or `cookie`",
    ),
    ("pins", r#"[{"header":"X A","value":"1","colour":"red"}]"#, "pins[0].header: `X A` is no name of a header"),
    ("pins", r#"[{"header":"X-A","value":"a b","colour":"red"}]"#, "pins[0].value: `a b` is no value for a pin"),
    ("pins", r#"[{"header":"X-A","value":"","colour":"red"}]"#, "pins[0].value: `` is no value for a pin"),
    (
        "pins",
        r#"[{"header":"X-A","value":"1","colour":"green"}]"#,
        "pins[0].colour: `green` is no colour of this route",
    ),
    (
        "pins",
        r#"[{"cookie":"turnout-x","value":"1","colour":"red"}]"#,
        "pins[0].cookie: `turnout-x` is a name of turnout-proxy's own",
    ),
    ("preview", r#"{"colour":"blue","sha256":"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"}"#, ""),
    (
        "preview",
        r#"{"colour":"blue","sha256":"secret"}"#,
        "preview.sha256: its value is no SHA-256: 64 hexadecimal digits, in small letters",
    ),
    (
        "preview",
        r#"{"colour":"blue","secret":"x","sha256":"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"}"#,
        "preview.secret: unknown key; known here: colour, sha256",
    ),
    ("mirror", r#"{"colour":"blue","percent":100}"#, ""),
    ("mirror", r#"{"colour":"blue","percent":0}"#, "mirror.percent: is 0; a whole number from 1 to 100 is wanted"),
    ("mirror", r#"{"colour":"two","percent":5}"#, "mirror.colour: `two` are several colours of this route"),
    ("fallback", r#"{"colour":"red","paths":["/assets","/build"]}"#, ""),
    ("fallback", r#"{"colour":"red"}"#, "fallback.paths: is missing"),
    ("fallback", r#"{"colour":"red","paths":["/a/"]}"#, "fallback.paths[0]: `/a/` is no beginning of a path"),
    ("health", r#"["/up"]"#, ""),
    ("health", r#"["/up","/up"]"#, "health[1]: `/up` stands twice"),
    ("health", r#"["/"]"#, "health[0]: `/` is no beginning of a path"),
];

#[test]
fn mistakes_beyond_the_weights_are_told() {
    for (key, value, expected) in BEYOND {
        let mut route = route("0.0.0.0:80", "127.0.0.1:20001");
        route["protocol"] = json!("http");
        let colour = |name: &str, generation: u64, weight: u64| json!({"name": name, "generation": generation, "weight": weight, "targets": ["127.0.0.1:1"]});
        route["colours"] =
            json!([colour("red", 1, 100), colour("blue", 1, 0), colour("two", 1, 0), colour("two", 2, 0)]);
        route[key] = serde_json::from_str(value).unwrap();
        let mut body = body(&[route]);
        body["repositories"]["shop"]["generation"] = json!(2);
        let body = body.to_string();
        if expected.is_empty() {
            let file = RouteFile::from_bytes(&sealed(&body)).unwrap();
            assert!(String::from_utf8(file.to_bytes().unwrap()).unwrap().contains(&format!("\"{key}\"")), "{key}");
            assert_eq!(RouteFile::from_bytes(&file.to_bytes().unwrap()), Ok(file), "{key} {value}");
        } else {
            let said = mistakes(&body);
            assert!(said.len() == 1 && said[0].contains(expected), "{key} {value}: {said:#?}");
        }
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let mut second = route("0.0.0.0:80", "127.0.0.1:80");
    second["protocol"] = json!("grpc");
    let routes = [route("0.0.0.0:80", "127.0.0.1:80"), second, route("127.0.0.1:80", "127.0.0.1:20001")];
    let said = mistakes(&body(&routes).to_string());
    let expected = [
        "repositories.shop.routes[1].protocol: `grpc` is not known; known here: tcp, http, h2c, tls",
        "repositories.shop.routes[2].listen: 127.0.0.1:80: another route of it listens on 0.0.0.0:80",
        "repositories.shop.routes[0].colours[0].targets[0]: 127.0.0.1:80 leads back into the proxy, which listens on 0.0.0.0:80",
    ];
    assert_eq!(said, expected);
}

#[test]
fn what_stands_twice_is_told() {
    let good = body(&[route("0.0.0.0:80", "127.0.0.1:20001")]).to_string();
    for (text, twice, expected) in [
        ("\"serial\":1", "\"serial\":1,\"serial\":2", "serial: stands here twice"),
        (
            "\"weight\":100",
            "\"weight\":100,\"weight\":0",
            "repositories.shop.routes[0].colours[0].weight: stands here twice",
        ),
        (
            "\"127.0.0.1:20001\"",
            "\"127.0.0.1:20001\",\"127.0.0.1:20001\"",
            "repositories.shop.routes[0].colours[0].targets[1]: 127.0.0.1:20001 stands twice",
        ),
    ] {
        assert_eq!(mistakes(&good.replace(text, twice)), [expected]);
    }
    let mut double = route("0.0.0.0:80", "127.0.0.1:20001");
    double["colours"] = json!([
        {"name": "red", "generation": 1, "weight": 60, "targets": ["127.0.0.1:1"]},
        {"name": "red", "generation": 1, "weight": 40, "targets": ["127.0.0.1:2"]},
    ]);
    let expected = "repositories.shop.routes[0].colours[1]: `red` of generation 1 stands twice";
    assert_eq!(mistakes(&body(&[double]).to_string()), [expected]);
}

#[test]
fn listeners_that_cannot_be_had_together_are_told() {
    for (one, other, together) in [
        ("0.0.0.0:80", "0.0.0.0:81", true),
        ("10.0.0.1:80", "10.0.0.2:80", true),
        ("0.0.0.0:80", "[::]:80", true),
        ("[::1]:80", "[::2]:80", true),
        ("10.0.0.1:80", "10.0.0.1:80", false),
        ("0.0.0.0:80", "10.0.0.1:80", false),
        ("[::1]:80", "[::]:80", false),
    ] {
        let mut body = body(&[route(one, "127.0.0.1:20001")]);
        body["repositories"]["blog"] =
            json!({"generation": 3, "revision": 0, "routes": [route(other, "127.0.0.1:20002")]});
        let read = RouteFile::from_bytes(&sealed(&body.to_string()));
        assert_eq!(read.is_ok(), together, "{one} {other}: {read:?}");
        if let Err(mistakes) = read {
            assert_eq!(
                mistakes.to_string(),
                format!("repositories.shop.routes[0].listen: {one}: a route of blog listens on {other}")
            );
        }
    }
}

/// Two routes of one listener: keys of each, and what is said of them together.
#[test]
fn routes_share_a_listener_where_each_has_its_spot() {
    let with = |keys: &Value| {
        let mut route = route("0.0.0.0:80", "127.0.0.1:20001");
        route["protocol"] = json!("http");
        for (key, value) in keys.as_object().unwrap() {
            route[key] = value.clone();
        }
        route
    };
    for (one, other, expected) in [
        (json!({}), json!({"hosts": ["a.example"]}), ""),
        (json!({"path": "/a"}), json!({}), ""),
        (json!({"hosts": ["a.example"], "path": "/a"}), json!({"hosts": ["a.example"], "path": "/a/b"}), ""),
        (json!({"hosts": ["a.example"]}), json!({"hosts": ["*.example"], "path": "/x", "strip_path": true}), ""),
        (
            json!({}),
            json!({}),
            "hosts: 0.0.0.0:80: another route of it has any host with path / already; give each hosts or a path of its own",
        ),
        (
            json!({"hosts": ["a.example", "b.example"], "path": "/a"}),
            json!({"hosts": ["b.example"], "path": "/a"}),
            "hosts: 0.0.0.0:80: another route of it has b.example with path /a already; give each hosts or a path of its own",
        ),
        (
            json!({"protocol": "tcp"}),
            json!({"hosts": ["a.example"]}),
            "listen: 0.0.0.0:80: another route of it listens on 0.0.0.0:80; only `http` and `h2c` routes share a listener, or `tls` routes",
        ),
        (json!({"protocol": "h2c"}), json!({"hosts": ["a.example"]}), ""),
        (json!({"protocol": "tls"}), json!({"protocol": "tls", "hosts": ["a.example"]}), ""),
        (
            json!({"protocol": "tls"}),
            json!({"hosts": ["a.example"]}),
            "listen: 0.0.0.0:80: another route of it listens on 0.0.0.0:80; only `http` and `h2c` routes share a listener, or `tls` routes",
        ),
        (
            json!({}),
            json!({"protocol": "tls", "hosts": ["a"], "listen": "0.0.0.0:81", "path": "/a"}),
            "path: needs `protocol` http: what is said behind TLS that is the containers' own is not known",
        ),
        (
            json!({}),
            json!({"protocol": "h2c", "hosts": ["a"], "proxy_protocol": "v2"}),
            "proxy_protocol: needs `protocol` http, tcp or tls: requests of many clients share a connection to an h2c container",
        ),
        (
            json!({"proxied_by": ["10.0.0.0/8"]}),
            json!({"hosts": ["a"], "proxy_protocol": "v1"}),
            "proxied_by: 0.0.0.0:80: another route of it has other networks; who connects to a listener says for all of its routes whom it speaks for",
        ),
        (
            json!({"hosts": ["a.example"]}),
            json!({"hosts": ["b.example"], "listen": "127.0.0.1:80"}),
            "listen: 127.0.0.1:80: another route of it listens on 0.0.0.0:80",
        ),
        (
            json!({"hosts": ["a"], "tls": {"certificate": "/c", "key": "/k"}, "hsts_seconds": 9}),
            json!({"hosts": ["b"], "tls": {"certificate": "/c", "key": "/k"}}),
            "",
        ),
        (
            json!({"hosts": ["a"], "tls": {"certificate": "/c", "key": "/k"}}),
            json!({"hosts": ["b"]}),
            "tls: 0.0.0.0:80: another route of it has `tls`; clients of one listener speak TLS for all of its routes, or for none",
        ),
        (
            json!({}),
            json!({"hosts": ["a"], "tls": {"certificate": "c", "key": "/k"}}),
            "tls.certificate: `c` is no path of a file that begins with /",
        ),
        (
            json!({"hosts": ["a"], "tls": {"certificate": "/c", "key": "/k"}}),
            json!({"hosts": ["b", "c"], "tls": "acme", "hsts_seconds": 9}),
            "",
        ),
        (
            json!({"hosts": ["a"], "tls": "acme"}),
            json!({"tls": "acme"}),
            "hosts: are needed by `tls` \"acme\": certificates are obtained for hosts by their names",
        ),
        (
            json!({"hosts": ["a"], "tls": "acme"}),
            json!({"hosts": ["*.a"], "tls": "acme"}),
            "hosts: `*.a` is a wildcard: it is proven by DNS alone (dns-01), which is not there; name each host, or give files",
        ),
        (
            json!({"hosts": ["a"], "tls": "acme"}),
            json!({"hosts": ["192.0.2.7"], "tls": "acme"}),
            "hosts: `192.0.2.7` is an address: certificates are obtained for names; give files",
        ),
        (
            json!({}),
            json!({"hosts": ["a"], "tls": "auto"}),
            "tls: `auto` is not known; known here: acme, or certificate and key",
        ),
        (
            json!({}),
            json!({"hosts": ["a"], "hsts_seconds": 1}),
            "hsts_seconds: needs `tls`: browsers believe it of no other answer",
        ),
        (
            json!({}),
            json!({"hosts": ["a"], "redirect_port": 0}),
            "redirect_port: is 0; a whole number from 1 to 65535 is wanted",
        ),
        (json!({}), json!({"hosts": []}), "hosts: has 0 entries; from 1 to 64 may be"),
        (json!({}), json!({"hosts": ["a", "a"]}), "hosts[1]: `a` stands twice"),
        (json!({}), json!({"path": "/a", "strip_path": 1}), "strip_path: is a number; true or false is wanted"),
        (
            json!({}),
            json!({"hosts": ["a"], "strip_path": true}),
            "strip_path: needs `path`: there is nothing to leave out",
        ),
        (
            json!({}),
            json!({"hosts": ["a"], "trusted": ["10.0.0.1/8"]}),
            "trusted[0]: `10.0.0.1/8` has bits beyond its length; write the network's own address",
        ),
    ] {
        let text = body(&[with(&one), with(&other)]).to_string();
        match RouteFile::from_bytes(&sealed(&text)) {
            Ok(_) => assert_eq!(expected, "", "{one} {other}"),
            Err(said) => {
                let said = said.0.iter().map(ToString::to_string).collect::<Vec<_>>();
                assert_eq!(said, [format!("repositories.shop.routes[1].{expected}")], "{one} {other}");
            }
        }
    }
}

#[test]
fn how_requests_stand_is_read_and_held() {
    let with = |standing: Value| {
        let mut body = body(&[route("0.0.0.0:80", "127.0.0.1:20001")]);
        body["standing"] = standing;
        body.to_string()
    };
    let good = RouteFile::from_bytes(&sealed(&with(json!({"shop": {"held": true, "maintained": {"page": "<p>"}}}))));
    let maintained = Some(Maintained { page: Some("<p>".to_owned()) });
    assert_eq!(good.unwrap().table.standing["shop"], Standing { held: true, maintained });
    for (standing, expected) in [
        (json!([]), "standing: is a list; an object is wanted"),
        (json!({"shed": {"held": true}}), "standing.shed: there is no such repository in this file"),
        (json!({"shop": {"held": 1}}), "standing.shop.held: is a number; true or false is wanted"),
        (json!({"shop": {"hold": true}}), "standing.shop.hold: unknown key; known here: held, maintained"),
        (json!({"shop": {"maintained": {"page": 1}}}), "standing.shop.maintained.page: is a number; a text is wanted"),
        (
            json!({"shop": {"maintained": {"page": "x".repeat(70_000)}}}),
            "standing.shop.maintained.page: has 70000 bytes; at most 65536 may be",
        ),
    ] {
        assert_eq!(mistakes(&with(standing)), [expected]);
    }
}

#[test]
fn bounds_hold() {
    let routes: Vec<Value> =
        (0..=bounds::ROUTES).map(|n| route(&format!("0.0.0.0:{}", n + 1), "127.0.0.1:40000")).collect();
    assert_eq!(
        mistakes(&body(&routes).to_string()),
        ["repositories.shop.routes: has 1001 entries; from 0 to 1000 may be"]
    );
    assert!(RouteFile::from_bytes(&sealed(&body(&routes[1..]).to_string())).is_ok());

    let mut many = body(&[]);
    for number in 0..=bounds::REPOSITORIES {
        many["repositories"][format!("r{number}")] = json!({"generation": 1, "revision": 0, "routes": []});
    }
    assert_eq!(mistakes(&many.to_string()), ["repositories: has 1002 entries; at most 1000 may be"]);

    let wrong: Vec<Value> = (0..200).map(|_| json!(7)).collect();
    let said = mistakes(&body(&wrong).to_string());
    assert_eq!((said.len(), said.last().unwrap().as_str()), (51, "there are further mistakes, which are not told"));

    let values = format!("[{}0]", "0,".repeat(bounds::VALUES));
    assert!(mistakes(&values)[0].contains("more than 200000 values"), "{:?}", mistakes(&values));
    assert!(mistakes(&"[".repeat(100_000))[0].contains("recursion limit"));
    assert_eq!(mistakes(&" ".repeat(bounds::BYTES)), ["is larger than 4194304 bytes"]);
}

#[test]
fn the_first_line_is_held() {
    let good = String::from_utf8(RouteFile { serial: 1, table: Table::default() }.to_bytes().unwrap()).unwrap();
    let (head, rest) = good.split_once('\n').unwrap();
    let digest = head.split('"').nth(5).unwrap();
    let changed = format!("{head}\n{}", rest.replace('1', "2"));
    let later = format!("{{\"format\":2,\"md5\":\"\"}}\n{rest}");
    for (text, expected) in [
        ("", "has no first line".to_owned()),
        (head, "has no first line".to_owned()),
        (rest, "first line: is not JSON".to_owned()),
        (&good.replace("sha256", "sha"), "first line.sha: unknown key; known here: format, sha256".to_owned()),
        (
            &later,
            "first line: is format 2, this turnout-proxy reads format 1; was it written by another version?".to_owned(),
        ),
        (&changed, format!("first line: says sha256 `{digest}`, but what follows has ")),
    ] {
        let said = RouteFile::from_bytes(text.as_bytes()).expect_err("it is refused").to_string();
        assert!(said.starts_with(&expected), "{text}: {said}");
    }
}

#[test]
fn requests_that_are_none_are_refused_by_what_is_wrong() {
    let apply = |routes: Value| json!({"version": 1, "request": "apply", "repository": "shop", "generation": 1, "revision": 0, "routes": routes});
    let mut grpc = route("0.0.0.0:80", "127.0.0.1:20001");
    grpc["protocol"] = json!("grpc");
    for (request, code, expected) in [
        ("{".to_owned(), Code::Malformed, "the request is not JSON as it is written here"),
        ("[]".to_owned(), Code::Malformed, "the request is a list, not an object"),
        ("{}".to_owned(), Code::Version, "no version is said; it is 1"),
        (json!({"version": 2}).to_string(), Code::Version, "version 2 is not spoken here, only version 1"),
        (json!({"version": 1}).to_string(), Code::Malformed, "`request` is missing, or no text"),
        (
            json!({"version": 1, "request": "stauts"}).to_string(),
            Code::Malformed,
            "`stauts` is not known; known are: apply, reload, renew, status, metrics, counters, hold, resume, maintain, try, authority",
        ),
        (json!({"version": 1, "request": "counters"}).to_string(), Code::Mistaken, "repository: is missing"),
        (json!({"version": 1, "request": "hold"}).to_string(), Code::Mistaken, "repository: is missing"),
        (
            json!({"version": 1, "request": "maintain", "repository": "shop", "on": 1}).to_string(),
            Code::Mistaken,
            "on: is a number; true or false is wanted",
        ),
        (
            json!({"version": 1, "request": "maintain", "repository": "shop", "on": true, "page": "x".repeat(70_000)})
                .to_string(),
            Code::Mistaken,
            "page: has 70000 bytes; at most 65536 may be",
        ),
        (
            json!({"version": 1, "request": "status", "of": "shop"}).to_string(),
            Code::Mistaken,
            "of: unknown key; known here: version, request",
        ),
        (
            json!({"version": 1, "request": "try", "listen": ["80"], "tls": [{"certificate": "a", "key": "/b"}]})
                .to_string(),
            Code::Mistaken,
            "listen[0]: `80` is no address with a port",
        ),
        (apply(json!([grpc])).to_string(), Code::Mistaken, "routes[0].protocol: `grpc` is not known"),
        (apply(json!({})).to_string(), Code::Mistaken, "routes: is an object; a list is wanted"),
        (apply(json!([])).to_string().replace("shop", "a b"), Code::Mistaken, "repository: `a b` is no name"),
    ] {
        let refusal = Request::from_line(request.as_bytes()).expect_err("it is refused");
        assert_eq!(refusal.code, code, "{request}: {refusal:?}");
        assert!(refusal.message.starts_with(expected), "{request}: {refusal:?}");
    }
}

fn repository(generation: u64, revision: u64, ports: &[u16]) -> Repository {
    let routes = ports.iter().map(|port| {
        let colour = Colour {
            name: "red".to_owned(),
            generation,
            weight: bounds::WEIGHTS,
            targets: vec![([127, 0, 0, 1], 20_000 + port).into()],
        };
        Route::new(([0, 0, 0, 0], *port).into(), Protocol::Tcp, vec![colour])
    });
    Repository { generation, revision, routes: routes.collect() }
}

fn table(repositories: &[(&str, Repository)]) -> Table {
    let repositories = repositories.iter().map(|(name, repository)| ((*name).to_owned(), repository.clone())).collect();
    Table { repositories, ..Table::default() }
}

#[test]
fn generations_never_fall_and_mean_one_thing() {
    let present = table(&[("shop", repository(5, 2, &[80])), ("blog", repository(9, 0, &[90]))]);
    for (name, wanted, expected) in [
        ("shop", repository(5, 2, &[80]), Ok(false)),
        ("shop", repository(5, 3, &[81]), Ok(true)),
        ("shop", repository(6, 0, &[81, 82]), Ok(true)),
        ("shop", repository(6, 0, &[]), Ok(true)),
        ("new", repository(1, 0, &[70]), Ok(true)),
        ("shop", repository(5, 2, &[81]), Err(Code::Conflict)),
        ("shop", repository(5, 1, &[80]), Err(Code::Older)),
        ("shop", repository(4, 9, &[80]), Err(Code::Older)),
        ("shop", repository(6, 0, &[90]), Err(Code::Mistaken)),
        ("new", repository(1, 0, &[80]), Err(Code::Mistaken)),
    ] {
        let shown = format!("{name} {}.{}", wanted.generation, wanted.revision);
        let replaced = present.replace(name, wanted.clone());
        match (&replaced, expected) {
            (Ok(Replaced::Same), Ok(false)) => {}
            (Ok(Replaced::New(next)), Ok(true)) => {
                assert_eq!(next.repositories[name], wanted, "{shown}");
                assert_eq!(follows(&present, next), Ok(()), "{shown}");
                let others = next.repositories.iter().filter(|(other, _)| *other != name);
                assert!(others.into_iter().all(|(other, repository)| present.repositories[other] == *repository));
            }
            (Err(refusal), Err(code)) => assert_eq!(refusal.code, code, "{shown}: {refusal:?}"),
            _ => panic!("{shown}: {replaced:?}, not {expected:?}"),
        }
    }
}

#[test]
fn a_table_that_does_not_follow_says_of_whom() {
    let present =
        table(&[("a", repository(5, 2, &[80])), ("b", repository(5, 2, &[81])), ("c", repository(5, 2, &[82]))]);
    let next = table(&[("a", repository(5, 1, &[80])), ("b", repository(5, 2, &[85]))]);
    let said = follows(&present, &next).expect_err("it does not follow").0;
    let said: Vec<String> = said.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "repositories.a: is older; generation 5, revision 2 is served",
            "repositories.b: generation 5, revision 2 is served with other routes; count the revision up",
            "repositories.c: is missing; generation 5, revision 2 is served. Without routes it would be an empty list",
        ]
    );
    assert_eq!(follows(&Table::default(), &present), Ok(()));
}

prop_compose! {
    /// Weights of one to four colours, [`bounds::WEIGHTS`] together.
    fn weights()(mut cuts in prop::collection::vec(0..=bounds::WEIGHTS, 0..bounds::COLOURS)) -> Vec<u64> {
        cuts.sort_unstable();
        cuts.push(bounds::WEIGHTS);
        let before = std::iter::once(0).chain(cuts.iter().copied());
        before.zip(&cuts).map(|(from, to)| to - from).collect()
    }
}

/// All that a route can do beyond its weights; the colours' names are to be different ones.
fn beyond(colours: &[Colour], all: bool) -> Beyond {
    let [only] = colours else { return Beyond::default() };
    if !all {
        return Beyond { sticky: Sticky::Cookie, ..Beyond::default() };
    }
    let pin = |by| Pin { by, value: "1".to_owned(), colour: only.name.clone() };
    Beyond {
        sticky: Sticky::Cookie,
        pins: vec![pin(By::Header("X-Canary".to_owned())), pin(By::Cookie("canary".to_owned()))],
        preview: Some(Preview { colour: only.name.clone(), sha256: Digest::of(b"secret") }),
        mirror: Some(Mirror { colour: only.name.clone(), percent: 5 }),
        fallback: Some(Fallback { colour: only.name.clone(), paths: vec![Prefix::read("/assets").unwrap()] }),
        health: vec![Prefix::read("/up").unwrap()],
    }
}

prop_compose! {
    fn any_route()(
        v6 in any::<bool>(),
        http in any::<bool>(),
        idle_seconds in prop::option::of(1..=bounds::IDLE_SECONDS),
        drain_seconds in prop::option::of(0..=bounds::DRAIN_SECONDS),
        (hosts, path, strip, trusted) in (
            prop::collection::btree_set("(\\*\\.)?[a-z0-9]{1,9}(\\.[a-z0-9]{1,9}){0,3}", 0..4),
            prop::option::of("(/[a-zA-Z0-9_~-]{1,9}){1,3}"),
            any::<bool>(),
            prop::collection::btree_set("10\\.[1-9]\\.0\\.0/16|fd0[0-9]::/64", 0..3),
        ),
        weights in weights(),
        targets in 1..=bounds::TARGETS,
        name in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}",
    ) -> Route {
        let colours = weights.into_iter().enumerate().map(|(index, weight)| Colour {
            name: name.clone(),
            generation: u64::try_from(index + 1).unwrap(),
            weight,
            targets: (0..targets).map(|n| ([10, 0, 0, 1], u16::try_from(40_000 + n).unwrap()).into()).collect(),
        });
        let ip: std::net::IpAddr = if v6 { [0_u16; 8].into() } else { [0_u8; 4].into() };
        let protocol = if http { Protocol::Http } else { Protocol::Tcp };
        let mut route = Route::new((ip, 1).into(), protocol, colours.collect());
        (route.idle_seconds, route.drain_seconds) = (idle_seconds, drain_seconds);
        route.proxied_by = trusted.iter().map(|network| Network::read(network).unwrap()).collect();
        // Not beside copies and files of the other colour, which `http` routes have with `strip`.
        route.proxy_protocol = (strip != http).then_some(if http { ProxyProtocol::V1 } else { ProxyProtocol::V2 });
        route.yields = strip && http;
        if http {
            route.hosts = hosts.iter().map(|host| Host::read(host).unwrap()).collect();
            route.path = path.map(|path| Prefix::read(&path).unwrap());
            route.strip_path = strip && route.path.is_some();
            if strip {
                route.tls = Some(Tls::Files(CertificateFiles { certificate: "/c".to_owned(), key: "/k".to_owned() }));
                route.hsts_seconds = idle_seconds;
                let is_name = |host: &Host| matches!(host, Host::Exact(name) if name.parse::<std::net::IpAddr>().is_err());
                if v6 && !route.hosts.is_empty() && route.hosts.iter().all(is_name) {
                    route.tls = Some(Tls::Acme);
                }
            } else {
                route.redirect_port = drain_seconds.and_then(|seconds| u16::try_from(seconds).ok()).filter(|port| *port > 0);
            }
            route.beyond = beyond(&route.colours, strip);
            route.trusted = trusted.iter().map(|network| Network::read(network).unwrap()).collect();
        }
        route
    }
}

prop_compose! {
    fn any_table()(
        repositories in prop::collection::btree_map(
            "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}",
            (4..=bounds::COUNTER, 0..=bounds::COUNTER, prop::collection::vec(any_route(), 0..4)),
            0..6,
        ),
        held in any::<bool>(),
        maintained in prop::option::of(prop::option::of("[<>a-z\n]{0,9}")),
    ) -> Table {
        let mut port = 0;
        let numbered = repositories.into_iter().map(|(name, (generation, revision, mut routes))| {
            for route in &mut routes {
                port += 1;
                route.stand_in_port = (route.yields || port % 3 == 0).then_some(30_000 + port);
                route.listen.set_port(port);
            }
            (name, Repository { generation, revision, routes })
        });
        let table = Table { repositories: numbered.collect(), ..Table::default() };
        let maintained = maintained.map(|page| Maintained { page });
        match table.repositories.keys().next().cloned() {
            Some(name) => table.standing_so(&name, Standing { held, maintained }),
            None => table,
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(table in any_table(), serial in 1..=bounds::COUNTER) {
        let file = RouteFile { serial, table };
        prop_assert_eq!(RouteFile::from_bytes(&file.to_bytes().unwrap()), Ok(file.clone()));
        for (repository, wanted) in file.table.repositories {
            for request in [
                Request::Counters { repository: repository.clone() },
                Request::Hold { repository: repository.clone() },
                Request::Resume { repository: repository.clone() },
                Request::Maintain { repository: repository.clone(), on: serial % 2 == 0, page: None },
                Request::Maintain { repository: repository.clone(), on: true, page: Some("<p>\u{e4}\n".to_owned()) },
            ] {
                prop_assert_eq!(Request::from_line(&request.to_line().unwrap()), Ok(request));
            }
            let request = Request::Apply { repository, wanted };
            prop_assert_eq!(Request::from_line(&request.to_line().unwrap()), Ok(request));
        }
    }

    #[test]
    fn no_damage_is_read(table in any_table(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let file = RouteFile { serial: 1, table }.to_bytes().unwrap();
        let at = at.index(file.len());
        let mut damaged = file.clone();
        damaged[at] = byte;
        prop_assert_eq!(RouteFile::from_bytes(&damaged).is_ok(), damaged == file);
        prop_assert!(RouteFile::from_bytes(&file[..at]).is_err());
    }
}

#[test]
fn a_table_at_its_bounds_fits() {
    let mut table = Table::default();
    let targets = bounds::ALL_TARGETS / bounds::ROUTES / bounds::COLOURS;
    for number in 0..bounds::ROUTES {
        let mut repository = repository(bounds::COUNTER, bounds::COUNTER, &[u16::try_from(number + 1).unwrap()]);
        repository.routes[0].colours = (0..bounds::COLOURS)
            .map(|colour| Colour {
                name: "x".repeat(bounds::NAME),
                generation: bounds::COUNTER - u64::try_from(colour).unwrap(),
                weight: bounds::WEIGHTS / u64::try_from(bounds::COLOURS).unwrap(),
                targets: (0..targets)
                    .map(|n| ([0xfe80, 1, 2, 3, 4, 5, 6, 7], u16::try_from(50_000 + n).unwrap()).into())
                    .collect(),
            })
            .collect();
        table.repositories.insert(format!("{number:0>width$}", width = bounds::NAME), repository);
    }
    let file = RouteFile { serial: bounds::COUNTER, table };
    assert_eq!(RouteFile::from_bytes(&file.to_bytes().unwrap()), Ok(file));
}

#[test]
fn answers_are_read_as_they_were_said() {
    let said = [
        r#"{"version":1,"answer":"applied","serial":3,"changed":true}"#,
        r#"{"version":1,"answer":"done","changed":false}"#,
        r#"{"version":1,"answer":"metrics","text":"a 1\n"}"#,
        concat!(
            r#"{"version":1,"answer":"counters","began":5,"repository":"shop","generation":4,"revision":1,"routes":[{"listen":"[::1]:80","#,
            r#""requests":7,"answered_here":2,"waiting":0,"fallback_asked":3,"fallback_served":1,"colours":[{"name":"red","generation":4,"weight":100,"open":1,"#,
            r#""http":{"requests":5,"answers":[0,4,0,0,1],"latency":[0,5,0,0,0,0,0,0,0,0,0,0,0,0,0],"latency_micros":7000,"#,
            r#""failures":{"bad_gateway":1,"unavailable":2,"timeout":3,"broken_off":4},"mirrored":{"requests":4,"answers":[0,1,0,0,1],"failed":1,"dropped":9}}}]}]}"#
        ),
        r#"{"version":1,"answer":"refused","code":"older","message":"no"}"#,
        r#"{"version":1,"answer":"refused","code":"mistaken","message":"a: b","mistakes":[{"path":"a","message":"b"}]}"#,
        concat!(
            r#"{"version":1,"answer":"status","serial":3,"origin":"previous","durable":true,"ending":false,"connections":2,"#,
            r#""repositories":{"shop":{"generation":4,"revision":1}},"routes":[{"repository":"shop","listen":"[::1]:80","#,
            r#""listening":true,"taken":9,"failed":1,"waiting":0,"requests":7,"answered_here":2,"unrouted":3,"colours":[{"name":"red","generation":4,"weight":100,"open":1,"tunnels":0,"received":8,"sent":9,"#,
            r#""http":{"requests":5,"answers":[0,4,0,0,1],"latency":[0,5,0,0,0,0,0,0,0,0,0,0,0,0,0],"latency_micros":7000}}]}],"#,
            r#""leaving":[{"repository":"shop","listen":"[::1]:80","name":"blue","generation":3,"open":1,"tunnels":1}],"held":["shop"],"maintained":["blog"]}"#
        ),
    ];
    for line in said {
        let answer = Answer::from_line(line.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(answer.to_line().unwrap()).unwrap(), format!("{line}\n"));
    }
    let other = r#"{"version":2,"answer":"done"}"#;
    let said = Answer::from_line(other.as_bytes()).expect_err("another version").to_string();
    assert_eq!(said, "version: the proxy answers in version 2, version 1 is understood");
}
