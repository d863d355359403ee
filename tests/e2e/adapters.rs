//! A proxy that the user has already leads the requests: HAProxy and nginx of Debian, told by the deployer. turnout-proxy is not
//! started for it.

use std::{
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::free_address, wait_until};
use e2e_support::{all_of, load::Load, switched::Switched};

/// Clients that ask while something is done.
const CLIENTS: usize = 8;

/// A program that runs until it is dropped.
struct Program(Child);

impl Program {
    /// Starts it, and waits until it listens there. `None`, and said: it is not installed.
    fn start(name: &str, args: &[&str], folder: &Path, at: SocketAddr) -> Option<Program> {
        let program = format!("/usr/sbin/{name}");
        if !Path::new(&program).exists() {
            println!("not run: {name} is not installed");
            return None;
        }
        let log = std::fs::File::create(folder.join("output")).unwrap();
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let program = Program(command.spawn().unwrap());
        wait_until(name, PATIENCE, || match TcpStream::connect(at) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{error}: {}", std::fs::read_to_string(folder.join("output")).unwrap())),
        });
        Some(program)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Asked to end, so that a master takes its workers along.
        let id = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

fn haproxy(folder: &Path, at: SocketAddr, edit: &dyn Fn(&str) -> String) -> Option<Program> {
    let text = format!(
        "global
    stats socket {folder}/socket level admin
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
backend turnout
    stick-table type string len 128 size 1k nopurge store gpt0,gpc0
frontend web
    bind {at}
    default_backend shop
backend shop
    server red 127.0.0.1:1 disabled
    server blue 127.0.0.1:1 disabled
",
        folder = folder.display()
    );
    std::fs::write(folder.join("haproxy.cfg"), edit(&text)).unwrap();
    let file = folder.join("haproxy.cfg").display().to_string();
    Program::start("haproxy", &["-db", "-f", &file], folder, at)
}

#[test]
fn haproxy_leads_and_no_request_fails() {
    let (folder, at) = (tempfile::tempdir().unwrap(), free_address());
    let Some(program) = haproxy(folder.path(), at, &str::to_owned) else { return };
    let shop = Switched::new("one");
    let socket = folder.path().join("socket").display().to_string();
    let switch = format!("{{ bake: 1h, drain: 5s, adapter: {{ haproxy: {{ socket: {socket}, backend: shop }} }} }}");
    let (proxy, daemon) = shop.serve(&switch, &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(at, CLIENTS);
    load.wait_for("one", 50);

    daemon.expect_success(shop.push(&daemon, "two"));
    load.wait_for("two", 50);
    // There and back while it bakes.
    let said = all_of(&daemon.turnout(&["rollback", &shop.site.name]));
    assert!(said.contains("is live again"), "{said}");
    load.wait_for("one", 50);
    daemon.expect_success(shop.push(&daemon, "three"));
    load.wait_for("three", 50);
    let said = all_of(&daemon.turnout(&["promote", &shop.site.name]));
    assert!(said.contains("stays live"), "{said}");
    load.wait_for("three", 50);
    let came = load.end();
    assert_eq!(came.bad, Vec::<String>::new(), "{:?}", came.good);
    assert_eq!(proxy.pid(), None, "nobody needs turnout-proxy");
    let plan = all_of(&daemon.turnout(&["plan", &shop.site.name]));
    assert!(plan.contains("led by HAProxy on") && plan.contains("cannot hold requests"), "{plan}");

    // It comes back knowing nothing, and is told again; and where it lacks something, nothing is built for it.
    drop(program);
    let other = if shop.running(&shop.site.red(), "web") == 1 { "blue" } else { "red" };
    let line = format!("    server {other} 127.0.0.1:1 disabled\n");
    let Some(_program) = haproxy(folder.path(), at, &|text| text.replace(&line, "")) else { return };
    let load = Load::on(at, 1);
    load.wait_for("three", 10);
    let failed = daemon.expect_failure(shop.push(&daemon, "four"));
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains(&format!("has no server {other} in its backend shop; write there")), "{error}");
    load.wait_for("three", 10);
}

#[test]
fn nginx_leads_and_a_configuration_that_it_does_not_take_moves_nothing() {
    let (folder, at, answers) = (tempfile::tempdir().unwrap(), free_address(), free_address());
    let shop = Switched::new("one");
    let text = format!(
        "daemon off;
user root;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/turnout/*.conf;
    server {{
        listen {at};
        location / {{
            proxy_pass http://shop;
        }}
    }}
}}
",
        folder = folder.path().display()
    );
    let (conf, file) = (folder.path().join("nginx.conf"), folder.path().join("turnout/shop.conf"));
    std::fs::create_dir(folder.path().join("turnout")).unwrap();
    std::fs::write(&conf, &text).unwrap();
    std::fs::write(&file, format!("upstream shop {{ server {}; }}\n", shop.web)).unwrap();
    let log = folder.path().join("error.log").display().to_string();
    let args = ["-c", &conf.display().to_string(), "-e", &log];
    let Some(_program) = Program::start("nginx", &args, folder.path(), at) else { return };
    let switch = format!(
        "{{ bake: 1h, drain: 5s, adapter: {{ nginx: {{ file: {}, upstream: shop, answers: \"{answers}\", pid: {} }} }} }}",
        file.display(),
        folder.path().join("nginx.pid").display()
    );
    let (proxy, daemon) = shop.serve(&switch, &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(at, CLIENTS);
    load.wait_for("one", 50);
    daemon.expect_success(shop.push(&daemon, "two"));
    load.wait_for("two", 50);
    all_of(&daemon.turnout(&["promote", &shop.site.name]));

    // Somebody broke its configuration meanwhile.
    std::fs::write(&conf, format!("{text}nonsense;\n")).unwrap();
    let failed = daemon.expect_failure(shop.push(&daemon, "three"));
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("`nginx -t`"), "{error}");
    load.wait_for("two", 50);
    std::fs::write(&conf, &text).unwrap();
    daemon.expect_success(shop.push(&daemon, "four"));
    load.wait_for("four", 50);

    let came = load.end();
    // nginx closes idle connections when it reads its files again; whoever asks on one at that very moment asks again.
    let fresh = |bad: &&String| bad.starts_with("connect") || bad.starts_with("request 0:") || bad.contains("status");
    let bad: Vec<&String> = came.bad.iter().filter(fresh).collect();
    assert_eq!(bad, Vec::<&String>::new(), "{:?}", came.good);
    assert_eq!(proxy.pid(), None, "nobody needs turnout-proxy");
}
