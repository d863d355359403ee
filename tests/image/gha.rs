//! `type=gha`: a cache kept by a server that speaks the first version of GitHub's cache protocol, which is this test's
//! own. The engine speaks to it; what is seen here is that addresses, token and scope reach the engine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test may panic, and say why it does not run"
)]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use crate::image_support;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use image_support::{Bench, engine, files_of, remove, unique};
use serde_json::{Value, json};
use turnout::{
    buildkit::solve::Abilities,
    engine::image::{ImageError, turned},
};

/// What the server holds.
#[derive(Default)]
struct Caches {
    /// Finished ones by key.
    stored: BTreeMap<String, Vec<u8>>,
    /// Under way: the key, and parts by where they begin.
    uploads: Vec<(String, BTreeMap<u64, Vec<u8>>)>,
    /// What came in `Authorization`.
    tokens: Vec<String>,
    /// How many caches were read.
    read: usize,
}

/// Answers on the loopback interface until the test program ends.
fn serve() -> (String, Arc<Mutex<Caches>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let caches = Arc::new(Mutex::new(Caches::default()));
    let (held, own) = (caches.clone(), address.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (held, own) = (held.clone(), own.clone());
            std::thread::spawn(move || answer(stream.unwrap(), &own, &held));
        }
    });
    (address, caches)
}

/// One request, one connection.
fn answer(stream: TcpStream, own: &str, caches: &Mutex<Caches>) {
    let mut input = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    input.read_line(&mut line).unwrap();
    let mut words = line.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return };
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let body = body(&mut input, &headers);
    let url = url::Url::parse(own).unwrap().join(target).unwrap();
    let path = url.path().to_owned();
    let number = path.rsplit('/').next().and_then(|last| last.parse::<usize>().ok());
    let mut caches = caches.lock().unwrap();
    caches.tokens.extend(headers.get("authorization").cloned());
    let (status, answer): (&str, Vec<u8>) = match (method, number) {
        ("GET", _) if path.ends_with("/cache") => {
            let keys = url.query_pairs().find(|(name, _)| name == "keys").map(|(_, keys)| keys.into_owned()).unwrap();
            // As GitHub's: a key is a prefix, and the newest wins.
            match keys.split(',').find_map(|key| caches.stored.keys().rfind(|stored| stored.starts_with(key))) {
                None => ("204 No Content", Vec::new()),
                Some(key) => {
                    let place = format!("{own}blob/{}", URL_SAFE_NO_PAD.encode(key));
                    let found = json!({"cacheKey": key, "scope": "refs/heads/main", "archiveLocation": place});
                    ("200 OK", found.to_string().into_bytes())
                }
            }
        }
        ("GET", _) => {
            let name = URL_SAFE_NO_PAD.decode(path.trim_start_matches("/blob/")).unwrap();
            let whole = caches.stored[&String::from_utf8(name).unwrap()].clone();
            caches.read += 1;
            let range = headers.get("range").and_then(|range| range.strip_prefix("bytes="));
            match range.and_then(|range| range.split_once('-')) {
                Some((from, to)) => {
                    let from = from.parse().unwrap();
                    let to = to.parse::<usize>().map_or(whole.len(), |last| whole.len().min(last + 1));
                    ("206 Partial Content", whole[from..to].to_vec())
                }
                None => ("200 OK", whole),
            }
        }
        ("PATCH", Some(number)) => {
            let range = headers["content-range"].trim_start_matches("bytes ").to_owned();
            let from = range.split('-').next().unwrap().parse().unwrap();
            caches.uploads[number - 1].1.insert(from, body);
            ("204 No Content", Vec::new())
        }
        ("POST", Some(number)) => {
            let (key, parts) = caches.uploads[number - 1].clone();
            caches.stored.insert(key, parts.into_values().flatten().collect());
            ("204 No Content", Vec::new())
        }
        _ => {
            let asked: Value = serde_json::from_slice(&body).unwrap();
            caches.uploads.push((asked["key"].as_str().unwrap().to_owned(), BTreeMap::new()));
            // From 1 on: the engine takes 0 for no answer.
            ("201 Created", json!({"cacheId": caches.uploads.len()}).to_string().into_bytes())
        }
    };
    let length = if answer.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", answer.len()) };
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{length}Connection: close\r\n\r\n");
    let mut stream = stream;
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&answer));
}

fn body(input: &mut impl BufRead, headers: &BTreeMap<String, String>) -> Vec<u8> {
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        loop {
            let mut line = String::new();
            input.read_line(&mut line).unwrap();
            let size = u64::from_str_radix(line.trim_end(), 16).unwrap();
            input.take(size).read_to_end(&mut body).unwrap();
            input.read_line(&mut line).unwrap();
            if size == 0 {
                return body;
            }
        }
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    input.take(length).read_to_end(&mut body).unwrap();
    body
}

/// A token as the engine reads it: it looks for the scopes that it may write, and checks no signature.
fn token() -> String {
    let scopes = json!([{"Scope": "refs/heads/main", "Permission": 3}]).to_string();
    let claims = json!({"ac": scopes, "exp": 4_000_000_000_u64, "nbf": 1_600_000_000_u64});
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(json!({"alg": "none"})), part(claims), URL_SAFE_NO_PAD.encode("none"))
}

#[tokio::test]
async fn the_cache_of_github_actions_is_written_and_read() {
    let daemon = engine().await;
    let channel = turned::channel(&daemon, "asking what the engine can do").await.unwrap();
    let able = Abilities::of(&channel).await.unwrap().containerd_store;
    let (address, caches) = serve();
    let (token, scope) = (token(), unique("scope"));
    // A step of this test's own: the engine must not know it from another run.
    let dockerfile =
        format!("FROM scratch\nCOPY sh /bin/sh\nRUN echo {scope}; head -c 16 /dev/urandom | md5sum > /random\n");
    let mut bench = Bench::new("cache-gha", &dockerfile);
    bench.project.environment.insert("ACTIONS_RUNTIME_TOKEN".into(), token.clone());
    bench.build(|build| build.cache_to = vec![format!("type=gha,mode=max,scope={scope},url={address}")]);
    let built = bench.run(&daemon).await;
    if !able {
        let error = built.unwrap_err();
        assert!(matches!(error, ImageError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains("build.cache_to type=gha"), "{error}");
        assert!(caches.lock().unwrap().tokens.is_empty());
        return;
    }
    built.unwrap_or_else(|error| panic!("{error}\n{}", bench.reporter.text()));
    remove(&bench.image()).await;
    {
        let caches = caches.lock().unwrap();
        assert!(caches.stored.keys().any(|key| key.contains(&scope)), "{:?}", caches.stored.keys());
        assert!(caches.tokens.iter().all(|sent| *sent == format!("Bearer {token}")));
        assert_eq!(caches.read, 0);
    }
    bench.build(|build| {
        build.cache_to = Vec::new();
        build.cache_from = vec![format!("type=gha,scope={scope},url={address}")];
    });
    bench.run(&daemon).await.unwrap_or_else(|error| panic!("{error}\n{}", bench.reporter.text()));
    assert!(files_of(&daemon, &bench.image()).await.contains_key("random"));
    // The engine has the steps itself; that it asked for the index shows that the source reached it.
    assert!(caches.lock().unwrap().read > 0);
    let said = bench.reporter.text();
    assert!(said.contains("importing cache manifest from gha") && !said.contains(&token), "{said}");
    remove(&bench.image()).await;
}
