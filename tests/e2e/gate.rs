//! Paths that a commit names lead nowhere they may not: not to what never ends, not to what hangs, not out of the
//! repository. And whoever tries holds up nobody else.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{common, e2e_support};
use common::{daemon::Daemon, http};
use e2e_support::{QUICK, Site, all_of, deploy, idle, sleeper};

/// What a project reads by a path that its files name: each as a Compose file in which `named` is that path.
fn kinds() -> Vec<(&'static str, String)> {
    let idle = idle();
    let web = |more: &str| format!("services:\n  web:\n{idle}    {more}\n");
    let build = |more: &str| {
        format!(
            "services:\n  web:\n    build: {{ context: ./ctx, network: none{more} }}\n    command: [sleep, \"1000\"]\n"
        )
    };
    let secret = |file: &str| format!("secrets:\n  s: {{ file: {file} }}\n");
    vec![
        ("env_file", web("env_file: ./named")),
        ("label_file", web("label_file: ./named")),
        ("include", format!("include: [./named]\n{}", web(""))),
        ("extends", web("extends: { file: ./named, service: x }")),
        ("Dockerfile", build(", dockerfile: ../named")),
        ("Dockerfile inside", build(", dockerfile: inner")),
        ("context", build("").replace("./ctx", "./named")),
        ("additional context", build(", additional_contexts: { other: ./named }")),
        ("build secret", build(", secrets: [s]") + &secret("./named")),
        ("build ssh", build(", ssh: [k=./named]")),
        ("local cache", build(", cache_from: [\"type=local,src=named\"]")),
        ("seccomp profile", web("security_opt: [\"seccomp:./named\"]")),
        (".dockerignore", build("").replace("./ctx", "./ignored")),
        ("the Compose file", String::new()),
        (".env", web("")),
    ]
}

/// A commit in which all that `kind` reads is a link to `to`.
fn commit(site: &Site, kind: &str, compose: &str, to: &Path) {
    let dev = site.remote.work_dir();
    let link = |name: &str| {
        let path = dev.join(name);
        let _ = fs::remove_file(&path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(to, path).unwrap();
    };
    for gone in ["docker-compose.prod.yml", ".env"] {
        let _ = fs::remove_file(dev.join(gone));
    }
    site.write("ctx/Dockerfile", "FROM @BASE\n").write("ignored/Dockerfile", "FROM @BASE\n");
    ["named", "ctx/inner", "ignored/.dockerignore"].iter().for_each(|name| link(name));
    match kind {
        "the Compose file" => link("docker-compose.prod.yml"),
        _ => drop(site.write("docker-compose.prod.yml", compose)),
    }
    if kind == ".env" {
        link(".env");
    }
}

fn pipe(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

/// Deploys a commit that must fail; gives all that was said of it.
fn refused(daemon: &Daemon, site: &Site, message: &str) -> String {
    let id = site.push_to(daemon, message);
    let ended = daemon.wait_for_deployment(id);
    let said = all_of(&daemon.turnout(&["logs", "--deployment", &id.to_string(), "--tail", "1000"]));
    assert_eq!(ended["state"], "failed", "{message}: {ended:#}\n{said}");
    format!("{ended}\n{said}")
}

fn check(daemon: &Daemon) -> String {
    let repos = daemon.repos_yaml();
    let mut command = daemon.command(&["check", "--repos", &repos.to_string_lossy()]);
    all_of(&command.env("WEBHOOK_SECRET", "x").output().unwrap())
}

fn healthy(daemon: &Daemon) {
    assert_eq!(http::get(daemon.listen(), "/healthz").unwrap().status, 200);
}

#[test]
fn nothing_that_a_commit_links_to_is_read_elsewhere_or_without_end() {
    let strict = Site::new(&[("docker-compose.prod.yml", &sleeper("v1"))]);
    let lax = Site::new(&[("docker-compose.prod.yml", &sleeper("v1"))]);
    let other = Site::sleeping();
    other.env("DB_PASSWORD=of-another-repository\n");
    let entries = [strict.entry(&[]), lax.entry(&["outside_paths: allow"]), other.entry(&[])].concat();
    let daemon = Daemon::start_with(&entries, QUICK, &[("STATE_OF_TURNOUT", "the-daemons-own")]);
    deploy(&daemon, &[&other.name], 0);

    let place = tempfile::TempDir::new().unwrap();
    let pipe_of_others = place.path().join("pipe");
    pipe(&pipe_of_others);
    let (environ, env) = (Path::new("/proc/self/environ").to_owned(), other.path.join(".env"));
    for (kind, compose) in kinds() {
        for to in [&environ, &env] {
            commit(&strict, kind, &compose, to);
            let said = refused(&daemon, &strict, kind);
            let words =
                ["is outside of the repository", "outside_paths: allow", strict.name.as_str(), &to.to_string_lossy()];
            for word in words {
                assert!(said.contains(word), "{kind} -> {}: no {word:?} in:\n{said}", to.display());
            }
            assert!(!said.contains("of-another-repository") && !said.contains("the-daemons-own"), "{kind}: {said}");
        }
        let never = [
            (environ.as_path(), "is a file of the kernel's own"),
            (Path::new("/dev/zero"), "is a device"),
            (Path::new("/dev/ptmx"), "is a terminal"),
            (pipe_of_others.as_path(), "is a named pipe"),
        ];
        for (to, words) in never {
            commit(&lax, kind, &compose, to);
            let said = refused(&daemon, &lax, kind);
            assert!(said.contains(words), "{kind} -> {}: no {words:?} in:\n{said}", to.display());
            assert!(!said.contains("the-daemons-own"), "{kind}: {said}");
        }
        healthy(&daemon);
    }
    // Nobody was held up.
    other.write("docker-compose.prod.yml", &sleeper("v2"));
    daemon.expect_success(other.push_to(&daemon, "Second"));
}

#[test]
fn what_lies_outside_is_read_with_leave_or_by_a_link_of_the_servers_own() {
    let compose = format!("services:\n  web:\n{}    env_file: @FILE\n", idle());
    let place = tempfile::TempDir::new().unwrap();
    let outside = place.path().canonicalize().unwrap().join("prod.env");
    fs::write(&outside, "GREETING=from-outside\n").unwrap();
    let named = compose.replace("@FILE", &outside.display().to_string());
    let site = Site::new(&[("docker-compose.prod.yml", &named)]);
    let daemon = site.serve(&[]);
    let said = deploy(&daemon, &[&site.name], 1);
    let line = format!("`outside_paths: allow` below `{}:` in repos.yaml", site.name);
    assert!(said.contains("is outside of the repository") && said.contains(&line), "{said}");
    let said = check(&daemon);
    assert!(said.contains("PROBLEM") && said.contains(&line), "{said}");

    // The very line.
    let allowed = site.serve(&["outside_paths: allow"]);
    deploy(&allowed, &[&site.name], 0);
    let said = check(&allowed);
    assert!(said.contains("(outside_paths: allow)") && !said.contains("PROBLEM"), "{said}");
    drop(allowed);

    // A link that git does not track is the server's; the same link out of a commit is not.
    site.write("docker-compose.prod.yml", &compose.replace("@FILE", "./own.env"));
    symlink(&outside, site.path.join("own.env")).unwrap();
    symlink(&outside, site.path.join(".env")).unwrap();
    daemon.expect_success(site.push_to(&daemon, "Names the server's link"));
    let web = site.container(&site.red(), "web");
    assert!(common::inspect::raw(&web)["Config"]["Env"].to_string().contains("GREETING=from-outside"));
    fs::remove_file(site.path.join("own.env")).unwrap();
    symlink(&outside, site.remote.work_dir().join("own.env")).unwrap();
    let said = refused(&daemon, &site, "Brings the link");
    assert!(said.contains("the link own.env in it leads to"), "{said}");
}

/// A file system whose server never answers. Ends, and with it the hanging, when it is dropped.
struct Hanging(Child);

impl Hanging {
    fn at(folder: &Path) -> Option<Self> {
        let script = "exec 3<>/dev/fuse && mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0,allow_other \
                      hanging \"$1\" && echo there && exec sleep 1000";
        let mut command = Command::new("sh");
        let mut child = command
            .args(["-c", script, "sh"])
            .arg(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut hanging = Self(child);
        if line.trim() == "there" {
            return Some(hanging);
        }
        let _ = hanging.0.wait();
        None
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Unmounted<'p>(&'p Path);

impl Drop for Unmounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).stderr(Stdio::null()).status();
    }
}

#[test]
fn a_mount_that_hangs_ends_the_deployment_that_reads_it_and_no_other() {
    let place = tempfile::TempDir::new().unwrap();
    let folder = place.path().canonicalize().unwrap().join("mnt");
    fs::create_dir(&folder).unwrap();
    let _unmounted = Unmounted(&folder);
    let Some(hanging) = Hanging::at(&folder) else {
        println!("skipped: needs root and /dev/fuse, to make a file system that hangs");
        return;
    };
    let compose = format!("services:\n  web:\n{}    env_file: [{{ path: ./conf/app.env, required: false }}]\n", idle());
    let site = Site::new(&[("docker-compose.prod.yml", &compose)]);
    let other = Site::sleeping();
    let daemon = Daemon::start_with(&[site.entry(&[]), other.entry(&[])].concat(), QUICK, &[]);
    symlink(&folder, site.path.join("conf")).unwrap();
    site.write("a", "1");
    let id = site.push_to(&daemon, "Reads what hangs");

    // Meanwhile others are served.
    deploy(&daemon, &[&other.name], 0);
    healthy(&daemon);
    let file = folder.join("app.env");
    let ended = daemon.expect_failure(id).to_string();
    let conf = site.path.canonicalize().unwrap().join("conf/app.env");
    assert!(ended.contains(&format!("{} did not answer for 30 s", conf.display())), "{}: {ended}", file.display());

    // The next one is not made to wait again.
    let begun = Instant::now();
    site.write("a", "2");
    let said = refused(&daemon, &site, "Reads it again");
    assert!(said.contains("did not answer for") && begun.elapsed() < Duration::from_secs(20), "{said}");

    // When it answers again, be it with an error, all is as before.
    drop(hanging);
    drop(Unmounted(&folder));
    common::wait_until("the thread that hung", common::PATIENCE, || {
        let output = daemon.turnout(&["deploy", &site.name]);
        if output.status.success() { Ok(()) } else { Err(all_of(&output)) }
    });
}
