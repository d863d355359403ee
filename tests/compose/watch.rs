//! `watch` and `up --watch`, as docker/compose's own end-to-end tests have them.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
    sync::{Arc, Mutex},
};

use crate::{common, compose_cli_support};
use common::{PATIENCE, wait_until};
use compose_cli_support::Site;

/// A command that goes on, and what it has written to standard output so far. It is killed when dropped.
struct Running {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Running {
    fn of(site: &Site, args: &[&str]) -> Running {
        let mut child = site.ours_with(args).stdout(Stdio::piped()).spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (out, kept) = (BufReader::new(child.stdout.take().unwrap()), Arc::clone(&lines));
        std::thread::spawn(move || out.lines().map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line)));
        Running { child, lines }
    }

    fn count(&self, text: &str) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }

    /// Waits until it has said this so many times.
    fn said(&self, text: &str, times: usize) {
        wait_until(&format!("{text:?}, {times} times"), PATIENCE, || {
            if self.count(text) >= times { Ok(()) } else { Err(self.lines.lock().unwrap().clone()) }
        });
    }

    fn interrupt(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a script in the service's container prints this.
fn prints(site: &Site, script: &str, expected: &str) {
    wait_until(&format!("{expected:?} of {script}"), PATIENCE, || {
        let ran = site.ours(&["exec", "-T", "web", "sh", "-c", script]);
        if ran.out == expected { Ok(()) } else { Err(ran) }
    });
}

#[test]
fn changed_files_are_brought_to_the_containers() {
    let site = Site::new(
        "services:
  web:
    image: 'IMAGE'
    # What is gone is removed by the container's own `rm`, which this small image lacks.
    command: [sh, -c, 'ln -s busybox /bin/rm; sleep 1000']
    QUICK
    scale: 2
    volumes: ['./mounted:/mounted']
    develop:
      watch:
        - {path: data, action: sync, target: /app/data, ignore: ['*.foo', ./ignored]}
        - {path: only, action: sync, target: /only, include: 'A.*'}
        - {path: conf/one.conf, action: sync+restart, target: /conf/one.conf}
        - {path: mounted, action: sync, target: /app/mounted}
",
    );
    fs::create_dir_all(site.path().join("mounted")).unwrap();
    let watch = Running::of(&site, &["watch"]);
    watch.said("Watch enabled", 1);
    let write = |name: &str, text: &str| {
        let path = site.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    // A batch is done when what was written last is there.
    let flushed = |token: &str| {
        write("data/wait.txt", token);
        prints(&site, "cat /app/data/wait.txt", token);
    };
    let listed = "find /app /only -type f 2>/dev/null | sort | tr '\\n' ' '";
    write("data/hello.txt", "hello");
    write("data/deep/er/file", "");
    write("data/x.foo", "");
    write("data/ignored/x", "");
    write("only/A.txt", "");
    write("only/B.txt", "");
    write("mounted/x", "");
    flushed("1");
    prints(&site, listed, "/app/data/deep/er/file /app/data/hello.txt /app/data/wait.txt /only/A.txt ");
    let second = site.ours(&["exec", "-T", "--index", "2", "web", "cat", "/app/data/hello.txt"]).ok();
    assert_eq!(second.out, "hello", "every container has it");

    write("data/hello.txt", "again");
    fs::remove_dir_all(site.path().join("data/deep")).unwrap();
    fs::set_permissions(site.path().join("only/A.txt"), std::os::unix::fs::PermissionsExt::from_mode(0o741)).unwrap();
    flushed("2");
    prints(&site, listed, "/app/data/hello.txt /app/data/wait.txt /only/A.txt ");
    prints(
        &site,
        "cat /app/data/hello.txt; stat -c %a /only/A.txt; test -e /app/data/deep || echo gone",
        "again741\ngone\n",
    );

    write("conf/one.conf", "new");
    watch.said("service(s) [\"web\"] restarted", 1);
    prints(&site, "cat /conf/one.conf", "new");
    assert_eq!(watch.count("restarted"), 1);
    assert_eq!(watch.interrupt(), Some(130));
    // What was watched goes on running.
    prints(&site, "echo here", "here\n");
    site.ours(&["down"]).ok();
}

#[test]
fn what_an_image_is_built_of_is_built_anew() {
    let site = Site::new(
        "services:
  web:
    build: {context: ., dockerfile_inline: \"FROM IMAGE\\nCOPY source /source\"}
    command: [sleep, '1000']
    QUICK
    depends_on: [other]
    develop: {watch: [{path: source, action: rebuild}]}
  other: {image: 'IMAGE', command: [sleep, '1000'], QUICK}
",
    );
    site.write("source", "one\n");
    let up = Running::of(&site, &["up", "--watch"]);
    up.said("Watch enabled", 1);
    up.said("  ⦿ Watch enabled", 1);
    prints(&site, "cat /source", "one\n");
    let before = site.ids();
    site.write("source", "two\n");
    prints(&site, "cat /source", "two\n");
    up.said("Rebuilding service(s) [\"web\"] after changes were detected...", 1);
    up.said("service(s) [\"web\"] successfully built", 1);
    let after = site.ids();
    assert_eq!(before["other-1"], after["other-1"], "what it depends on is left alone");
    assert_ne!(before["web-1"], after["web-1"]);
    // The image that was replaced is gone; its container was, too.
    let image = |container: &str| site.label(container, "image");
    let labelled = || {
        let filter = format!("label=com.docker.compose.project={}", site.project);
        let listed = std::process::Command::new("docker").args(["images", "-q", "--filter", &filter]).output().unwrap();
        String::from_utf8(listed.stdout).unwrap().lines().count()
    };
    wait_until("one image", PATIENCE, || if labelled() == 1 { Ok(()) } else { Err(labelled()) });
    assert!(!image("web-1").is_empty());
    // A build that fails leaves what runs, and the watching goes on.
    fs::remove_file(site.path().join("source")).unwrap();
    up.said("Build failed. Error: ", 1);
    prints(&site, "cat /source", "two\n");
    site.write("source", "three\n");
    prints(&site, "cat /source", "three\n");
    assert_eq!(up.interrupt(), Some(130));
    site.ours(&["down", "--rmi", "local"]).ok();
}

#[test]
fn commands_run_once_a_batch_and_what_is_newer_than_the_image_comes_along() {
    let site = Site::new(
        "services:
  web:
    image: 'IMAGE'
    command: [sleep, '1000']
    QUICK
    develop:
      watch:
        - path: src
          action: sync+exec
          target: /src
          initial_sync: true
          exec: {command: [sh, -c, 'echo ran as $$WHO in $$PWD; ls /src'], environment: {WHO: me}, working_dir: /tmp}
",
    );
    fs::create_dir_all(site.path().join("src/sub")).unwrap();
    site.write("src/new", "");
    site.write("src/sub/new", "");
    site.write("src/old", "");
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(site.path().join("src/old")).unwrap().set_modified(long_ago).unwrap();
    let watch = Running::of(&site, &["watch"]);
    watch.said("Watch enabled", 1);
    prints(&site, "find /src -type f | sort", "/src/new\n/src/sub/new\n");
    assert_eq!(watch.count("ran as"), 0);
    site.write("src/a", "");
    site.write("src/b", "");
    watch.said("ran as me in /tmp", 1);
    watch.said("b", 1);
    assert_eq!(watch.count("ran as"), 1, "two files, one batch");
    site.ours(&["down"]).ok();
}

#[test]
fn without_up_only_what_runs_is_watched() {
    let site = Site::new(
        "services:
  web: {image: 'IMAGE', command: [sleep, '1000'], QUICK, develop: {watch: [{path: d, action: restart}]}}
",
    );
    let watch = Running::of(&site, &["watch", "--no-up", "web"]);
    watch.said("Watch enabled", 1);
    assert_eq!(site.ids().len(), 0);
    site.ours(&["up", "-d"]).ok();
    let started = || site.inspect("web-1").state.unwrap().started_at;
    let before = started();
    fs::create_dir(site.path().join("d")).unwrap();
    site.write("d/x", "");
    watch.said("service(s) [\"web\"] restarted", 1);
    assert_ne!(started(), before);
    site.ours(&["down"]).ok();
}

#[test]
fn what_cannot_be_watched_is_refused_before_anything_is_made() {
    let none = "none of the selected services is configured for watch";
    let site = Site::new("services: {web: {image: 'IMAGE'}}\n");
    site.ours(&["watch"]).fails(none);
    site.ours(&["up", "--watch"]).fails(none);
    site.ours(&["up", "-d", "--watch"]).fails("--detach cannot be combined with");
    site.ours(&["up", "--wait", "-w"]).fails("--wait cannot be combined with");
    site.ours(&["up", "--no-build", "--watch"]).fails("--no-build and --watch are incompatible");
    site.write("compose.yaml", "services: {web: {image: 'IMAGE', develop: {watch: [{path: x, action: rebuild}]}}}\n");
    site.ours(&["watch"]).fails("can't watch service \"web\" with action rebuild without a build context");
    site.ours(&["up", "-w"]).fails("can't watch service \"web\" with action rebuild without a build context");
    assert_eq!(site.ids().len(), 0);
}
