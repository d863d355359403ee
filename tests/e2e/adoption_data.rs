//! A real PostgreSQL and a real Redis, of this machine's own packages, come through adoption and switches: what was written stays,
//! only the adoption moves them, and a scheduler that writes rows all the while never runs twice.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::{
    common::{self, docker::ProjectGuard},
    e2e_support,
};
use common::{PATIENCE, unique, wait_until};
use e2e_support::{Site, load::Load, switched::Switched};

/// Where Debian has the programs.
const POSTGRES: &str = "/usr/lib/postgresql/15/bin";
const REDIS: &str = "/usr/bin/redis-server";

const APP: &str = "mkdir -p /tmp/www\ncp /app/page /tmp/www/index.html\nexec httpd -f -p 8000 -h /tmp/www\n";
/// The first start makes the database. Nobody but the stack reaches it.
const DATABASE: &str = "set -e\nexport PGDATA=/data/pg LC_ALL=C\n[ -d $PGDATA ] || initdb -A trust >/dev/null\n\
     exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp -c hba_file=/app/pg_hba.conf\n";
const BEAT: &str = "until psql -qc 'create table if not exists ticks (id serial, who text)'; do sleep 0.2; done\n\
     while :; do psql -qc \"insert into ticks (who) values ('$HOSTNAME')\" || true; sleep 0.1; done\n";

#[test]
fn data_comes_through_adoption_and_switches_and_a_scheduler_runs_once() {
    if !Path::new(POSTGRES).exists() || !Path::new(REDIS).exists() {
        println!("not run: needs Debian's postgresql-15 and redis-server on this machine");
        return;
    }
    let image = Image::new();
    let web = common::daemon::free_address();
    let files = [
        ("docker-compose.prod.yml", compose(web, &image.0)),
        ("Dockerfile", format!("FROM {}/app\nCOPY page app.sh beat.sh /app/\n", image.0)),
        ("app.sh", APP.to_owned()),
        ("beat.sh", BEAT.to_owned()),
        ("page", "one".to_owned()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let site = Site::new(&files);
    let bind = site.path.join("redis");
    fs::create_dir(&bind).unwrap();
    fs::set_permissions(&bind, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let staying = ProjectGuard::new(site.name.clone());
    let shop = Switched::around(site, web, staying);
    let (_proxy, daemon) = shop.serve_as(&shop.site.entry(&[]), &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let red = shop.site.red();
    let (db, queue) = (shop.site.container(&red, "db"), shop.site.container(&red, "queue"));
    ticks(&db, 3);
    psql(&db, "create table orders (what text); insert into orders values ('before')");
    redis(&queue, &["set", "before", "1"]);

    let load = Load::on(web, 4);
    load.wait_for("one", 20);
    fs::write(daemon.repos_yaml(), shop.entry("{ bake: 2s }")).unwrap();
    daemon.expect_success(shop.push(&daemon, "two"));
    load.wait_for("two", 20);
    let (db, queue) = (shop.site.container(&shop.site.name, "db"), shop.site.container(&shop.site.name, "queue"));
    psql(&db, "insert into orders values ('adopted')");
    assert_eq!(redis(&queue, &["get", "before"]), "1");
    ticks(&db, 3);

    // Two switches, the second one while the first one bakes: both colours run.
    for version in ["three", "four"] {
        daemon.expect_success(shop.push(&daemon, version));
        load.wait_for(version, 20);
        psql(&db, &format!("insert into orders values ('{version}')"));
        redis(&queue, &["set", version, "1"]);
        ticks(&db, 3);
    }
    let came = load.end();
    println!("{:?}, the longest after {:?}", came.good, came.longest);
    assert_eq!(came.bad, Vec::<String>::new(), "{}", daemon.output());
    assert_eq!(
        (shop.site.container(&shop.site.name, "db"), shop.site.container(&shop.site.name, "queue")),
        (db.clone(), queue.clone()),
        "no switch touches what stays"
    );
    assert_eq!(psql(&db, "select string_agg(what, ' ') from orders"), "before adopted three four");
    assert_eq!(redis(&queue, &["exists", "before", "three", "four"]), "3");
    // Whoever wrote once and was followed by another one never writes again.
    let turns = psql(
        &db,
        "select count(*) from (select who, lag(who) over (order by id) as last from ticks) t where last is distinct from who",
    );
    assert_eq!(turns, psql(&db, "select count(distinct who) from ticks"), "two schedulers at one time");
    assert_eq!(turns, "4", "one for each version");
}

fn compose(web: std::net::SocketAddr, image: &str) -> String {
    format!(
        "services:
  web:
    build: {{ context: ., network: none }}
    command: [sh, /app/app.sh]
    ports: [\"{web}:8000\"]
    depends_on: [db, queue]
    init: true
    stop_grace_period: 1s
  beat:
    build: {{ context: ., network: none }}
    command: [sh, /app/beat.sh]
    environment: {{ PGHOST: db, PGUSER: app, PGDATABASE: postgres, PGCONNECT_TIMEOUT: \"2\" }}
    depends_on: [db]
    init: true
    stop_grace_period: 2s
  db:
    image: \"{image}/postgres\"
    command: [sh, /app/db.sh]
    volumes: [\"data:/data\"]
    stop_signal: SIGINT
    healthcheck: {{ test: [CMD, psql, -h, /tmp, -U, app, -d, postgres, -c, select 1], interval: 1s, retries: 30 }}
  queue:
    image: \"{image}/redis\"
    command: [redis-server, --dir, /data, --appendonly, \"yes\", --protected-mode, \"no\"]
    volumes: [\"./redis:/data\"]
volumes:
  data:
"
    )
}

/// Waits until the scheduler has written so many more rows.
fn ticks(db: &str, more: u32) {
    let count = || psql(db, "select count(*) from ticks").parse::<u32>().unwrap_or_default();
    let wanted = count() + more;
    wait_until("rows of the scheduler", PATIENCE, || match count() {
        there if there >= wanted => Ok(()),
        there => Err(there),
    });
}

fn psql(db: &str, what: &str) -> String {
    let said = docker(&["exec", db, "psql", "-qtA", "-h", "/tmp", "-U", "app", "-d", "postgres", "-c", what]);
    String::from_utf8_lossy(&said.stdout).trim().to_owned()
}

fn redis(queue: &str, what: &[&str]) -> String {
    let said = docker(&[&["exec", queue, "redis-cli"], what].concat());
    String::from_utf8_lossy(&said.stdout).trim().to_owned()
}

fn docker(arguments: &[&str]) -> Output {
    Command::new("docker").args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// An image of this machine's PostgreSQL, Redis and busybox, until it is dropped.
struct Image(String);

impl Image {
    fn new() -> Image {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in ["bin", "tmp", "data", "etc", "app", "usr/bin"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        for path in ["tmp", "data"] {
            fs::set_permissions(root.join(path), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/tmp:/bin/sh\n").unwrap();
        fs::write(root.join("app/db.sh"), DATABASE).unwrap();
        fs::write(root.join("app/pg_hba.conf"), "local all all trust\nhost all all all trust\n").unwrap();
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for applet in ["sh", "sleep", "mkdir", "cp", "httpd", "cat"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        let programs = ["postgres", "initdb", "psql"].map(|name| PathBuf::from(POSTGRES).join(name));
        let mut all: Vec<PathBuf> = programs.into();
        all.extend([REDIS.into(), "/usr/bin/redis-cli".into()]);
        all.push("/usr/lib/postgresql/15/lib/plpgsql.so".into());
        all.push("/usr/lib/postgresql/15/lib/dict_snowball.so".into());
        let mut libraries: Vec<PathBuf> = Vec::new();
        for program in &all {
            let said = Command::new("ldd").arg(program).output().unwrap();
            let said = String::from_utf8_lossy(&said.stdout).into_owned();
            libraries.extend(said.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
        }
        all.append(&mut libraries);
        all.sort();
        all.dedup();
        // Each where it lies here, whatever links lead there.
        for path in &all {
            let to = root.join(path.strip_prefix("/").unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(path, to).unwrap();
        }
        for folder in ["/usr/share/postgresql/15", "/usr/share/zoneinfo"] {
            let to = root.join(folder.strip_prefix('/').unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            assert!(Command::new("cp").arg("-rL").arg(folder).arg(to).status().unwrap().success());
        }
        // Folder by folder: an engine that imports does not follow links to folders of this machine.
        let name = unique("data");
        let path = format!("ENV PATH=/bin:/usr/bin:{POSTGRES}");
        let mut tar =
            Command::new("tar").args(["-C"]).arg(root).args(["-cf", "-", "."]).stdout(Stdio::piped()).spawn().unwrap();
        let import = Command::new("docker")
            .args(["import", "--change", &path, "--change", "USER 1000", "-", &format!("{name}/app")])
            .stdin(tar.stdout.take().unwrap())
            .output()
            .unwrap();
        assert!(tar.wait().unwrap().success());
        assert!(import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));
        for of in ["postgres", "redis"] {
            docker(&["tag", &format!("{name}/app"), &format!("{name}/{of}")]);
        }
        Image(name)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        for of in ["postgres", "redis", "app"] {
            docker(&["image", "rm", "-f", &format!("{}/{of}", self.0)]);
        }
    }
}
