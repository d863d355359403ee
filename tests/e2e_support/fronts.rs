//! Proxies that a user has already, as they are installed: they lead requests in the place of turnout-proxy.

use std::{
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::load::Came;
use crate::common::{PATIENCE, wait_until};

/// A program that runs until it is dropped.
pub struct Program(Child);

impl Program {
    /// Starts it, and waits until it listens there. `None`, and said: it is not installed.
    pub fn start(name: &str, args: &[&str], folder: &Path, at: SocketAddr) -> Option<Program> {
        let Some(program) =
            [PathBuf::from(format!("/usr/sbin/{name}")), fetched(name)].into_iter().find(|path| path.exists())
        else {
            println!("not run: {name} is not installed (script/setup)");
            return None;
        };
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

/// Where `script/setup` puts a program that Debian has not.
fn fetched(name: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    cache.or_else(home).unwrap_or_default().join("turnout").join(name)
}

/// HAProxy, with a backend and a server for each colour. `edit`: changes its configuration.
pub fn haproxy(folder: &Path, at: SocketAddr, edit: &dyn Fn(&str) -> String) -> Option<Program> {
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

/// What leads by it.
pub fn haproxy_adapter(folder: &Path) -> String {
    format!("adapter: {{ haproxy: {{ socket: {}, backend: shop }} }}", folder.join("socket").display())
}

/// nginx, with an upstream in a file of its own.
pub struct Nginx {
    _program: Program,
    folder: PathBuf,
    answers: SocketAddr,
    text: String,
}

impl Nginx {
    /// Listens there; `first` is where it leads until turnout tells it. `None`, and said: it is not installed.
    pub fn start(folder: &Path, at: SocketAddr, answers: SocketAddr, first: SocketAddr) -> Option<Nginx> {
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
            folder = folder.display()
        );
        let (conf, log) = (folder.join("nginx.conf"), folder.join("error.log"));
        std::fs::create_dir(folder.join("turnout")).unwrap();
        std::fs::write(&conf, &text).unwrap();
        std::fs::write(folder.join("turnout/shop.conf"), format!("upstream shop {{ server {first}; }}\n")).unwrap();
        let args = ["-c", &conf.display().to_string(), "-e", &log.display().to_string()];
        let _program = Program::start("nginx", &args, folder, at)?;
        Some(Nginx { _program, folder: folder.to_owned(), answers, text })
    }

    /// What leads by it.
    pub fn adapter(&self) -> String {
        let (folder, answers) = (self.folder.display(), self.answers);
        format!(
            "adapter: {{ nginx: {{ file: {folder}/turnout/shop.conf, upstream: shop, answers: \"{answers}\", pid: {folder}/nginx.pid }} }}"
        )
    }

    /// Somebody breaks its configuration: it does not take it, and goes on with what it has.
    pub fn break_it(&self) {
        std::fs::write(self.folder.join("nginx.conf"), format!("{}nonsense;\n", self.text)).unwrap();
    }

    /// It is right again.
    pub fn mend_it(&self) {
        std::fs::write(self.folder.join("nginx.conf"), &self.text).unwrap();
    }
}

/// Traefik, whose router leads to the service that turnout writes. `None`, and said: it is not installed.
pub fn traefik(folder: &Path, at: SocketAddr) -> Option<Program> {
    let (dynamic, conf) = (folder.join("dynamic"), folder.join("traefik.yml"));
    std::fs::create_dir_all(&dynamic).unwrap();
    let text = format!(
        "global: {{ checkNewVersion: false, sendAnonymousUsage: false }}
entryPoints: {{ web: {{ address: \"{at}\" }} }}
providers: {{ file: {{ directory: {}, watch: true }} }}
",
        dynamic.display()
    );
    std::fs::write(&conf, text).unwrap();
    let router = "http: { routers: { shop: { rule: 'PathPrefix(`/`)', entryPoints: [web], service: shop@file } } }\n";
    std::fs::write(dynamic.join("router.yml"), router).unwrap();
    Program::start("traefik", &[&format!("--configFile={}", conf.display())], folder, at)
}

/// What leads by it.
pub fn traefik_adapter(folder: &Path) -> String {
    format!("adapter: {{ traefik: {{ file: {}, service: shop }} }}", folder.join("dynamic/shop.yml").display())
}

/// What went wrong, but for requests on a connection that had been used before: nginx closes those that are idle when it reads its
/// files again, and whoever asks on one at that very moment asks again.
pub fn not_stale(came: &Came) -> Vec<&String> {
    let fresh = |bad: &&String| bad.contains(" connect: ") || bad.contains(" request 0:") || bad.contains("status");
    came.bad.iter().filter(fresh).collect()
}
