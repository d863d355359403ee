//! A second colour in the routes: the one before, for files that only it has, while the new one bakes; a next one that waits, for
//! whoever knows how it is reached. And the end of a colour that was kept long enough.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;

use crate::{common, e2e_support};
use common::{PATIENCE, daemon, docker, wait_until};
use e2e_support::{all_of, load::Load, log, switched::Switched};

/// Each colour has a file that is called as its version is.
const APP: &str = "mkdir -p /www/assets
cp /app/page /www/index.html
cp /app/page /www/assets/$(cat /app/page)
exec httpd -f -p 8000 -h /www
";

#[test]
fn files_of_the_colour_before_are_found_until_it_is_stopped_and_what_is_kept_goes_in_its_time() {
    let shop = Switched::new("one");
    let (_proxy, mut daemon) = shop.serve("{ bake: 10m, keep: 10s, fallback: [/assets] }", &[]);
    let (name, red, blue) = (shop.site.name.clone(), shop.site.red(), shop.site.blue());
    shop.site.write("app.sh", APP);
    daemon.expect_success(shop.site.push_to(&daemon, "Files"));
    // A page of the first version asks for its file, before, while and after the routes move.
    let load = Load::asking(shop.web, "/assets/one", 4);
    load.wait_for("one", 20);
    daemon.expect_success(shop.push(&daemon, "two"));
    load.wait_for("one", 100);
    let found = |path: &str| answer(shop.web, path, "shop.test", "");
    for (path, status, body) in [
        ("/", 200, "two"),
        ("/assets/two", 200, "two"),
        ("/assets/one", 200, "one"),
        ("/assets/none", 404, ""),
        ("/one", 404, ""),
    ] {
        let (found, text) = found(path);
        assert!(found == status && text.ends_with(body), "{path}: {found} {text}");
    }
    let came = load.end();
    assert_eq!((came.bad, came.good.len()), (Vec::<String>::new(), 1));

    // The end of the bake ends that, and the time of what is kept begins; nobody lives to see it over.
    assert!(all_of(&daemon.turnout(&["promote", &name])).contains("kept to go back to"));
    daemon.kill();
    assert_eq!(found("/assets/one").0, 404);
    assert_eq!(
        (networks(&red), containers(&red), shop.running(&red, "web")),
        (1, 2, 0),
        "it is there, and stands still"
    );
    let (live, volumes, images) = (shop.site.container(&blue, "web"), volumes(&name), images(&red));
    assert!(volumes > 0 && images > 0, "{volumes} volumes, {images} images");
    daemon.restart();
    wait_until("the kept colour to be removed", PATIENCE, || match (containers(&red), networks(&red)) {
        (0, 0) => Ok(()),
        left => Err((left, daemon.output())),
    });
    assert_eq!(shop.site.container(&blue, "web"), live, "the live one is as it was");
    assert_eq!((self::volumes(&name), self::images(&red)), (volumes, images), "nothing else goes");
    daemon.says("was kept long enough to go back to, and is removed: 2 containers");
    let status = all_of(&daemon.turnout(&["status", &name]));
    assert!(status.contains("removed") && status.contains("there is nothing to go back to"), "{status}");
    let said = all_of(&daemon.turnout(&["rollback", &name]));
    assert!(said.contains("has no colour to go back to") && said.contains("is removed"), "{said}");

    // The next deployment makes it anew.
    daemon.expect_success(shop.push(&daemon, "three"));
    assert!(found("/").1.ends_with("three"));
    assert_eq!((shop.running(&red, "web"), shop.workers()), (1, 1));
}

#[test]
fn a_colour_that_waits_is_reached_by_whoever_knows_how_and_by_nobody_else() {
    let shop = Switched::new("one");
    let aside = daemon::free_address();
    let preview = format!("preview: {{ host: next.shop.test, listen: \"{aside}\", cookie: true }}");
    let beside = "mirror: 50%, pins: [{ header: X-Next, value: \"1\" }, { cookie: next, value: \"yes\" }]";
    let health = "health: /index.html";
    let switch = format!("{{ promote: manual, bake: 1s, {preview}, {beside}, {health} }}");
    let (_proxy, mut daemon) = shop.serve(&switch, &[]);
    let name = shop.site.name.clone();
    daemon.expect_success(shop.push(&daemon, "one"));
    let load = Load::on(shop.web, 4);
    load.wait_for("one", 20);
    let plan = all_of(&daemon.turnout(&["plan", &name]));
    assert!(plan.contains("as next.shop.test, on") && plan.contains("of 50 % of the requests"), "{plan}");

    // (host, headers): what each gets.
    let cookie = |daemon: &daemon::Daemon| {
        let said = all_of(&daemon.turnout(&["preview", &name]));
        let secret = said.split("is a secret: ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        assert!(said.contains(&format!("http://{aside}/")) && said.contains("http://next.shop.test:"), "{said}");
        assert!(secret.starts_with("turnout-preview=") && secret.len() > 50, "{said}");
        secret.to_owned()
    };
    let reach = |secret: &str, expected: &str, usual: &str| {
        for (host, lines, wanted) in [
            ("next.shop.test", String::new(), expected),
            ("shop.test", format!("Cookie: a=b; {secret}\r\n"), expected),
            ("shop.test", "X-Next: 1\r\n".to_owned(), expected),
            ("shop.test", "Cookie: next=yes\r\n".to_owned(), expected),
            ("shop.test", "X-Next: 2\r\nCookie: next=no; turnout-preview=00\r\n".to_owned(), usual),
            ("shop.test", String::new(), usual),
        ] {
            let (status, body) = answer(shop.web, "/", host, &lines);
            assert!(status == 200 && body.ends_with(wanted), "{host} {lines}: {status} {body}, not {wanted}");
        }
    };
    let id = shop.push(&daemon, "two");
    waits(&daemon, id);
    let secret = cookie(&daemon);
    reach(&secret, "two", "one");
    assert!(answer(aside, "/", "any", "").1.ends_with("two"));
    // The secret itself is in no route file, and in no log.
    let secret_alone = secret.split('=').nth(1).unwrap();
    let routes = std::fs::read_to_string(daemon.state_dir().join("proxy/routes.json")).unwrap();
    assert!(routes.contains("sha256") && !routes.contains(secret_alone), "{routes}");
    assert!(!daemon.output().contains(secret_alone) && !log(&daemon, id).contains(secret_alone));

    // It outlives the daemon, and a pause.
    daemon.kill();
    daemon.restart();
    waits(&daemon, id);
    assert_eq!(cookie(&daemon), secret);
    assert!(all_of(&daemon.turnout(&["pause", &name])).contains("is paused"));
    assert!(all_of(&daemon.turnout(&["resume", &name])).contains("goes on"));
    waits(&daemon, id);
    reach(&secret, "two", "one");

    // Given up: nobody finds it any more.
    assert!(all_of(&daemon.turnout(&["abort", &name])).contains("is called off"));
    wait_until("the preview to be gone", PATIENCE, || match TcpStream::connect(aside) {
        Err(_) => Ok(()),
        Ok(_) => Err(daemon.output()),
    });
    reach(&secret, "one", "one");

    // Promoted: everybody has it, and by no other way than the usual one.
    let id = shop.push(&daemon, "three");
    waits(&daemon, id);
    let newer = cookie(&daemon);
    assert_ne!(newer, secret, "each wait has a secret of its own");
    reach(&newer, "three", "one");
    let (status, body) = answer(shop.web, "/", "shop.test", &format!("Cookie: {secret}\r\n"));
    assert!(status == 200 && body.ends_with("one"), "the secret of the wait before counts no more: {status} {body}");
    load.wait_for("one", 20);
    let said = all_of(&daemon.turnout(&["promote", &name]));
    assert!(said.contains("succeeded"), "{said}");
    assert!(TcpStream::connect(aside).is_err(), "its listener is gone");
    reach(&secret, "three", "three");
    load.wait_for("three", 20);
    let came = load.end();
    assert_eq!(came.bad, Vec::<String>::new());
    assert_eq!(came.good.keys().collect::<Vec<_>>(), ["one", "three"], "nobody else came to what waited");

    // What watches from outside sees the containers while a page is shown to everybody else.
    assert!(all_of(&daemon.turnout(&["maintain", &name, "on"])).contains("are answered with 503"));
    let found = |path| answer(shop.web, path, "shop.test", "").0;
    assert_eq!((found("/"), found("/index.html")), (503, 200));
    assert!(all_of(&daemon.turnout(&["maintain", &name, "off"])).contains("go to"));
}

/// Waits until this deployment waits to be promoted.
fn waits(daemon: &daemon::Daemon, id: i64) {
    wait_until(&format!("deployment {id} to wait"), PATIENCE, || {
        let found = daemon.deployment(id);
        match found.as_ref().map(|one| (&one["phase"], &one["state"])) {
            Some((Value::String(at), state)) if at == "wait for promotion" && state == "running" => Ok(()),
            _ => Err(format!("{found:#?}\n{}", log(daemon, id))),
        }
    });
}

/// Status and body of one request.
fn answer(to: SocketAddr, path: &str, host: &str, lines: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(to).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default();
    (status, answer.trim_end().to_owned())
}

fn containers(project: &str) -> usize {
    docker::containers(project).len()
}

fn networks(project: &str) -> usize {
    let all = docker::block_on(async {
        let engine = docker::connect().await;
        engine.list_networks(None::<bollard::query_parameters::ListNetworksOptions>).await.unwrap()
    });
    let own = |labels: std::collections::HashMap<String, String>| {
        labels.get("com.docker.compose.project").is_some_and(|of| of == project)
    };
    all.into_iter().filter(|one| one.labels.clone().is_some_and(own)).count()
}

fn volumes(name: &str) -> usize {
    let all = docker::block_on(async {
        let engine = docker::connect().await;
        engine.list_volumes(None::<bollard::query_parameters::ListVolumesOptions>).await.unwrap()
    });
    all.volumes.unwrap_or_default().into_iter().filter(|one| one.name.contains(name)).count()
}

fn images(project: &str) -> usize {
    let all = docker::block_on(async {
        let engine = docker::connect().await;
        engine.list_images(None::<bollard::query_parameters::ListImagesOptions>).await.unwrap()
    });
    all.into_iter().filter(|one| one.repo_tags.iter().any(|tag| tag.starts_with(&format!("{project}-")))).count()
}
