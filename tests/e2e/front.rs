//! A real Caddy, of this machine's own package, that keeps its ports and its data while the stack behind it changes colour: through
//! adoption, switches and the way back nobody who asks it is refused, over HTTP and over its own TLS.

use std::{fs, net::SocketAddr, path::Path};

use crate::{
    common::{self, docker::ProjectGuard},
    e2e_support,
};
use common::{PATIENCE, daemon::Daemon, wait_until};
use e2e_support::{
    Site, all_of, certificates, file_in,
    kernel::{self, Rule, rules},
    load::{Came, Load},
    programs::{Image, Programs},
    switched::Switched,
};

const CADDY: &str = "/usr/bin/caddy";
const SWITCH: &str = "{ bake: 2s, health: { timeout: 20s } }";
const APP: &str = "mkdir -p /www\ncp /app/page /www/index.html\nexec httpd -f -p @PORT -h /www\n";

#[test]
fn a_front_that_keeps_its_ports_is_asked_all_the_while_and_no_request_fails() {
    if !Path::new(CADDY).exists() {
        println!("not run: needs Debian's caddy on this machine");
        return;
    }
    let image = Image::new(&Programs { files: &[CADDY], names: &["caddy"], ..Programs::default() });
    let (http, https) = (common::daemon::free_address(), common::daemon::free_address());
    let inner = common::daemon::free_address().port();
    let caddyfile = format!(
        "{{\n  admin off\n  auto_https disable_redirects\n  skip_install_trust\n}}\nhttp://:8080 {{\n  reverse_proxy web:{inner}\n}}\n\
         https://localhost:8443 {{\n  tls internal\n  reverse_proxy web:{inner}\n}}\n"
    );
    let site = Site::new(&[
        ("docker-compose.prod.yml", &compose(http, https, &image.of)),
        ("Dockerfile", "FROM @BASE\nCOPY page app.sh /app/\nCMD [\"sh\", \"/app/app.sh\"]\n"),
        ("Caddyfile", &caddyfile),
        ("app.sh", &APP.replace("@PORT", &inner.to_string())),
        ("page", "one"),
    ]);
    let staying = ProjectGuard::new(site.name.clone());
    let shop = Switched::around(site, http, staying);
    let (red, blue, name) = (shop.site.red(), shop.site.blue(), shop.site.name.clone());
    let (_proxy, daemon) = shop.serve_as(&shop.site.entry(&[]), &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let (plain, tls) = (Load::on(http, 6), tls::Load::on(https, 2));
    plain.wait_for("one", 50);
    tls.wait_for("one", 5);

    // A firewall that bars containers from this machine is noticed before anybody is led there.
    fs::write(daemon.repos_yaml(), shop.entry(SWITCH)).unwrap();
    let plan = all_of(&daemon.turnout(&["plan", &name]));
    for said in ["is Caddy before others", "gateway of default"] {
        assert!(plan.contains(said), "{said}: {plan}");
    }
    if let Some(bars) = Rule::set(&format!("filter INPUT -i br-+ -p tcp --dport {inner} -j DROP")) {
        let failed = daemon.expect_failure(shop.push(&daemon, "barred"));
        assert!(failed["error"].as_str().unwrap().contains("front does not reach this machine"), "{failed}");
        drop(bars);
        plain.wait_for("one", 50);
        assert_eq!(["front", "web"].map(|service| shop.running(&red, service)), [1, 1], "as it was");
    }

    daemon.expect_success(shop.push(&daemon, "two"));
    plain.wait_for("two", 50);
    tls.wait_for("two", 5);
    wait_until("all to be handed over", PATIENCE, || {
        let runs = (shop.running(&red, "front"), shop.running(&name, "front"), shop.running(&blue, "web"));
        match (runs, rules(&name)) {
            ((0, 1, 1), rules) if rules.is_empty() => Ok(()),
            found => Err(format!("{found:?}\n{}", daemon.output())),
        }
    });
    let front = shop.site.container(&name, "front");
    let authority = file_in(&front, "/data/caddy/pki/authorities/local/root.crt");

    for version in ["three", "four"] {
        daemon.expect_success(shop.push(&daemon, version));
        plain.wait_for(version, 50);
        tls.wait_for(version, 5);
    }
    assert_eq!(shop.site.container(&name, "front"), front, "no switch touches it");

    let came = tls.end();
    println!("{:?}, the longest after {:?}", came.good, came.longest);
    none_failed(&daemon, &came);

    // What is under way through its TLS when the way back begins may be cut: it waits for what is held behind it.
    fs::write(daemon.repos_yaml(), shop.site.entry(&[])).unwrap();
    daemon.expect_success(shop.push(&daemon, "five"));
    plain.wait_for("five", 50);
    let tls = tls::Load::on(https, 2);
    tls.wait_for("five", 5);
    wait_until("the stack to be in place", PATIENCE, || {
        match (shop.running(&red, "front"), common::docker::containers(&name).len(), rules(&name)) {
            (1, 0, rules) if rules.is_empty() => Ok(()),
            found => Err(format!("{found:?}\n{}", daemon.output())),
        }
    });
    let kept = file_in(&shop.site.container(&red, "front"), "/data/caddy/pki/authorities/local/root.crt");
    assert_eq!(kept, authority, "what it had is what it has");
    for came in [plain.end(), tls.end()] {
        println!("{:?}, the longest after {:?}, {:?} without an answer", came.good, came.longest, came.gap);
        none_failed(&daemon, &came);
    }
}

fn none_failed(daemon: &Daemon, came: &Came) {
    kernel::none_failed(daemon, came, "cannot be led to turnout-proxy");
}

fn compose(http: SocketAddr, https: SocketAddr, image: &str) -> String {
    format!(
        "services:
  front:
    image: \"{image}/caddy\"
    command: [caddy, run, --config, /etc/caddy/Caddyfile, --adapter, caddyfile]
    environment: {{ XDG_DATA_HOME: /data, XDG_CONFIG_HOME: /tmp, HOME: /tmp }}
    ports: [\"{http}:8080\", \"{https}:8443\"]
    volumes: [\"front:/data\", \"./Caddyfile:/etc/caddy/Caddyfile:ro\"]
    depends_on: [web]
    restart: unless-stopped
    stop_grace_period: 5s
  web:
    build: {{ context: ., network: none }}
    restart: unless-stopped
    init: true
    stop_grace_period: 1s
volumes:
  front:
"
    )
}

/// Clients that speak TLS, each time on a new connection.
mod tls {
    use std::{
        io::{Read as _, Write as _},
        net::SocketAddr,
        sync::{
            Arc, Mutex,
            atomic::{AtomicBool, Ordering},
        },
        thread::JoinHandle,
        time::Instant,
    };

    use super::{Came, PATIENCE, certificates, wait_until};

    /// Until this is dropped.
    pub struct Load {
        stop: Arc<AtomicBool>,
        came: Arc<Mutex<Came>>,
        clients: Vec<JoinHandle<()>>,
    }

    impl Load {
        pub fn on(address: SocketAddr, clients: usize) -> Load {
            let (stop, came) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Came::default())));
            let clients = (0..clients).map(|_| {
                let (stop, came) = (Arc::clone(&stop), Arc::clone(&came));
                std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let began = Instant::now();
                        let answer = ask(address);
                        let mut came = came.lock().unwrap();
                        came.longest = came.longest.max(began.elapsed());
                        match answer {
                            Ok(body) => *came.good.entry(body).or_default() += 1,
                            Err(error) => came.bad.push(format!("after {:?}: {error}", began.elapsed())),
                        }
                    }
                })
            });
            Load { clients: clients.collect(), stop, came }
        }

        pub fn wait_for(&self, body: &str, more: u64) {
            let came = || self.came.lock().unwrap().clone();
            let count = || came().good.get(body).copied().unwrap_or_default();
            let wanted = count() + more;
            wait_until(&format!("answers {body:?} over TLS"), PATIENCE, || {
                if count() >= wanted { Ok(()) } else { Err(came()) }
            });
        }

        pub fn end(mut self) -> Came {
            self.stop.store(true, Ordering::Relaxed);
            self.clients.drain(..).for_each(|client| client.join().unwrap());
            self.came.lock().unwrap().clone()
        }
    }

    impl Drop for Load {
        fn drop(&mut self) {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn ask(address: SocketAddr) -> Result<String, String> {
        let mut stream = certificates::connect(address, "localhost", None)?;
        let said = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(said).map_err(|error| error.to_string())?;
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.trim().to_owned()),
            _ => Err(format!("{answer:?} {:?}", read.err())),
        }
    }
}
