//! `DOCKER_API_VERSION`, and `HttpHeaders` of the settings of Docker's client: seen from between turnout and the engine.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use crate::{common, compose_cli_support};
use compose_cli_support::{Ran, Site};

/// What passes on one connection, from the client's side.
type Heard = Arc<Mutex<Vec<u8>>>;

/// A door to the engine under test that keeps what clients say. Ends with the test process.
struct Door {
    url: String,
    connections: Arc<Mutex<Vec<Heard>>>,
}

impl Door {
    fn open() -> Door {
        let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
        let socket = PathBuf::from(host.strip_prefix("unix://").expect("this test needs the engine's Unix socket"));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("tcp://{}", listener.local_addr().unwrap());
        let connections: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let all = Arc::clone(&connections);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let engine = UnixStream::connect(&socket).unwrap();
                let heard = Heard::default();
                all.lock().unwrap().push(Arc::clone(&heard));
                let (back, mut out) = (engine.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || listen(client, engine, &heard));
                std::thread::spawn(move || {
                    let mut back = back;
                    let _ = std::io::copy(&mut back, &mut out);
                    let _ = out.shutdown(Shutdown::Write);
                });
            }
        });
        Door { url, connections }
    }

    /// Heads of all requests so far.
    fn requests(&self) -> Vec<String> {
        let connections = self.connections.lock().unwrap();
        let said = connections.iter().map(|heard| String::from_utf8_lossy(&heard.lock().unwrap()).into_owned());
        let heads = said.flat_map(|text| text.split("\r\n\r\n").map(str::to_owned).collect::<Vec<_>>());
        heads.filter_map(|head| Some(head[begin_of_request(&head)?..].to_owned())).collect()
    }
}

/// A request begins where its first line does; what stands before it is the body of the former.
fn begin_of_request(head: &str) -> Option<usize> {
    let line = head.lines().find(|line| line.ends_with(" HTTP/1.1"))?;
    let method =
        ["GET /", "POST /", "PUT /", "DELETE /", "HEAD /"].iter().filter_map(|method| line.find(method)).min()?;
    Some(head.find(line)? + method)
}

fn listen(mut client: TcpStream, mut engine: UnixStream, heard: &Heard) {
    let mut buffer = [0; 65536];
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        heard.lock().unwrap().extend_from_slice(&buffer[..length]);
        if engine.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = engine.shutdown(Shutdown::Write);
}

const SECRET: &str = "hunter2 for the proxy";

/// Ours through the door with these settings; the secret is shown nowhere.
fn ours(site: &Site, door: &Door, args: &[&str], more: &[(&str, &str)]) -> Ran {
    let settings = tempfile::tempdir().unwrap();
    let json = serde_json::json!({"HttpHeaders": {"X-Proof": SECRET, "Host": "elsewhere", "User-Agent": "somebody"}});
    std::fs::write(settings.path().join("config.json"), json.to_string()).unwrap();
    let mut command = site.ours_with(args);
    command.env("DOCKER_CONFIG", settings.path()).env("DOCKER_HOST", &door.url).envs(more.iter().copied());
    let ran = Ran::of(command.output().unwrap());
    assert!(!ran.out.contains(SECRET) && !ran.err.contains(SECRET), "{ran:?}");
    ran
}

#[test]
fn headers_go_along_with_every_request() {
    let site = Site::new(
        "services:\n  web: {image: 'IMAGE', command: [sleep, '60'], QUICK}\n  \
         one: {build: {context: ., dockerfile_inline: \"FROM IMAGE\\nLABEL a=one\\n\"}, command: ['true']}\n",
    );
    let door = Door::open();
    for (args, more) in [
        (&["build", "one"][..], &[("DOCKER_BUILDKIT", "1")][..]),
        (&["build", "one"], &[("DOCKER_BUILDKIT", "0")]),
        (&["up", "-d"], &[]),
        (&["exec", "-T", "web", "true"], &[]),
        (&["ps", "-a"], &[]),
        (&["logs"], &[]),
        (&["down", "-t", "0", "--rmi", "local"], &[]),
    ] {
        ours(&site, &door, args, more).ok();
    }
    let requests = door.requests();
    for path in ["/_ping", "/session", "/build?", "/containers/create?", "/exec/"] {
        assert!(requests.iter().any(|head| head.lines().next().unwrap().contains(path)), "no request to {path}");
    }
    for head in requests {
        let lower = head.to_lowercase();
        assert_eq!(lower.matches(&format!("\r\nx-proof: {SECRET}")).count(), 1, "{head}");
        assert!(!lower.contains("host: elsewhere") && !lower.contains("somebody"), "{head}");
    }

    // The variable takes the place of the settings.
    let door = Door::open();
    ours(&site, &door, &["ps"], &[("DOCKER_CUSTOM_HEADERS", "X-Other=1,\"X-Third=a,b\"")]).ok();
    for head in door.requests() {
        let lower = head.to_lowercase();
        assert!(lower.contains("\r\nx-other: 1") && lower.contains("\r\nx-third: a,b"), "{head}");
        assert!(!lower.contains("x-proof"), "{head}");
    }
    ours(&site, &door, &["ps"], &[("DOCKER_CUSTOM_HEADERS", "hunter2")])
        .fails("DOCKER_CUSTOM_HEADERS: write NAME=VALUE");
}

#[test]
fn the_version_of_the_environment_is_spoken() {
    let site = Site::new("services: {web: {image: 'IMAGE', annotations: {a: b}}, old: {image: 'IMAGE'}}\n");
    let door = Door::open();
    let pinned = [("DOCKER_API_VERSION", "1.40")];
    ours(&site, &door, &["up", "-d", "old"], &pinned).ok();
    ours(&site, &door, &["down"], &pinned).ok();
    let requests = door.requests();
    assert!(requests.len() > 5, "{requests:?}");
    for head in requests {
        let line = head.lines().next().unwrap();
        assert!(line.contains(" /v1.40/") || line.contains("/_ping"), "{line}");
    }
    // What a newer engine could do is left out and told, as on an old one.
    let told = ours(&site, &door, &["up", "-d", "web"], &pinned).ok().err;
    assert!(told.contains("services.web.annotations (in ") && told.contains("needs Docker Engine 24.0"), "{told}");

    let new = [("DOCKER_API_VERSION", "1.999")];
    ours(&site, &door, &["ps"], &new).fails("DOCKER_API_VERSION=1.999: the engine at tcp://127.0.0.1:");
    ours(&site, &door, &["ps"], &[("DOCKER_API_VERSION", "new")]).fails("DOCKER_API_VERSION: \"new\" is no version");
    if common::engine::has_compose_cli() {
        let mut theirs = std::process::Command::new("docker");
        theirs.args(["compose", "ps"]).current_dir(site.path()).envs(new);
        Ran::of(theirs.output().unwrap()).fails("client version 1.999 is too new");
    }
}
