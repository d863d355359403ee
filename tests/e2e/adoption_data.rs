//! Real PostgreSQL and Redis, of this machine's own packages, come through adoption, switches and the way back: what was written
//! stays, wherever it lies, only adoption and way back move them, and a scheduler that writes rows all the while never runs twice.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path};

use crate::{
    common::{self, docker::ProjectGuard},
    e2e_support,
};
use common::{PATIENCE, wait_until};
use e2e_support::{
    Site, all_of,
    load::Load,
    programs::{Image, Nameless, Programs, said_in},
    switched::Switched,
};

/// Where Debian has the programs.
const POSTGRES: &str = "/usr/lib/postgresql/15/bin";
const REDIS: &str = "/usr/bin/redis-server";
const NGINX: &str = "/usr/sbin/nginx";
/// PostgreSQL: by image on a named volume, and built on a folder.
const BASES: [&str; 2] = ["db", "ledger"];
/// Redis: by image on a folder, built on a named volume, and built on a volume that its image alone declares.
const STORES: [&str; 3] = ["queue", "store", "cache"];

const APP: &str = "mkdir -p /tmp/www\ncp /app/page /tmp/www/index.html\nexec httpd -f -p 8000 -h /tmp/www\n";
/// The first start makes the database. Nobody but the stack reaches it.
const DATABASE: &str = "set -e\nexport PGDATA=/data/pg LC_ALL=C\n[ -d $PGDATA ] || initdb -A trust >/dev/null\n\
     exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp -c hba_file=/app/pg_hba.conf\n";
const BEAT: &str = "until psql -qc 'create table if not exists ticks (id serial, who text)'; do sleep 0.2; done\n\
     while :; do psql -qc \"insert into ticks (who) values ('$HOSTNAME')\" || true; sleep 0.1; done\n";
/// A front without anything of its own: it changes colour with what is behind it.
const FRONT: &str = "daemon off;\npid /tmp/nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\n  access_log off;\n\
     client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u;\n\
     scgi_temp_path /tmp/s;\n  server { listen 8080; location / { proxy_pass http://web:8000; } }\n}\n";

#[test]
fn data_comes_through_adoption_switches_and_the_way_back_and_a_scheduler_runs_once() {
    if ![POSTGRES, REDIS, NGINX].iter().all(|path| Path::new(path).exists()) {
        println!("not run: needs Debian's postgresql-15, redis-server and nginx on this machine");
        return;
    }
    let (mut left, image) = (Nameless::default(), image());
    let web = common::daemon::free_address();
    let built = |from: &str, port: u16, more: &str| format!("FROM {}/{from}\nEXPOSE {port}\n{more}", image.of);
    let files = [
        ("docker-compose.prod.yml", compose(web, &image.of)),
        ("Dockerfile", format!("FROM {}/app\nCOPY page app.sh beat.sh /app/\n", image.of)),
        ("Dockerfile.ledger", built("app", 5432, "")),
        ("Dockerfile.store", built("app", 6379, "")),
        ("Dockerfile.cache", built("app", 6379, "VOLUME /data\n")),
        ("nginx.conf", FRONT.to_owned()),
        ("app.sh", APP.to_owned()),
        ("beat.sh", BEAT.to_owned()),
        ("page", "one".to_owned()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let site = Site::new(&files);
    for folder in ["redis", "ledger"] {
        fs::create_dir(site.path.join(folder)).unwrap();
        fs::set_permissions(site.path.join(folder), fs::Permissions::from_mode(0o777)).unwrap();
    }
    let staying = ProjectGuard::new(site.name.clone());
    let shop = Switched::around(site, web, staying);
    let (_proxy, daemon) = shop.serve_as(&shop.site.entry(&[]), &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let (red, name) = (shop.site.red(), shop.site.name.clone());
    ticks(&shop.site.container(&red, "db"), 3);
    for base in BASES {
        psql(&shop.site.container(&red, base), "create table orders (what text)");
    }
    note(&shop, &red, "before");
    left.note(&shop.site.container(&red, "cache"));

    let load = Load::on(web, 4);
    load.wait_for("one", 20);
    // One has nothing but its container, and nobody said that this may be lost.
    fs::write(daemon.repos_yaml(), shop.entry("{ bake: 2s }")).unwrap();
    let refused = daemon.expect_failure(shop.push(&daemon, "refused"));
    let said = refused["error"].as_str().unwrap();
    assert!(said.contains("memory (Redis) has no volume"), "{said}");
    assert_eq!(shop.running(&red, "memory"), 1, "nothing was changed");
    fs::write(daemon.repos_yaml(), shop.entry("{ bake: 2s, services: { memory: { expendable: true } } }")).unwrap();
    daemon.expect_success(shop.push(&daemon, "two"));
    load.wait_for("two", 20);
    noted(&shop, &name, "before");
    note(&shop, &name, "adopted");
    ticks(&shop.site.container(&name, "db"), 3);

    // Two switches, the second one while the first one bakes: both colours run.
    let all =
        || [&BASES[..], &STORES[..]].concat().iter().map(|one| shop.site.container(&name, one)).collect::<Vec<_>>();
    let were = all();
    for version in ["three", "four"] {
        daemon.expect_success(shop.push(&daemon, version));
        load.wait_for(version, 20);
        note(&shop, &name, version);
        ticks(&shop.site.container(&name, "db"), 3);
    }
    assert_eq!(all(), were, "no switch touches what stays");
    noted(&shop, &name, "before adopted three four");

    fs::write(daemon.repos_yaml(), shop.site.entry(&[])).unwrap();
    let plan = all_of(&daemon.turnout(&["plan", &name]));
    assert!(plan.contains("memory has no volume"), "{plan}");
    daemon.expect_success(shop.push(&daemon, "five"));
    load.wait_for("five", 20);
    note(&shop, &red, "back");
    noted(&shop, &red, "before adopted three four back");
    let db = shop.site.container(&red, "db");
    ticks(&db, 3);
    let came = load.end();
    println!("{:?}, the longest after {:?}", came.good, came.longest);
    assert_eq!(came.bad, Vec::<String>::new(), "{}", daemon.output());
    // Whoever wrote once and was followed by another one never writes again.
    let turns = psql(
        &db,
        "select count(*) from (select who, lag(who) over (order by id) as last from ticks) t where last is distinct from who",
    );
    assert_eq!(turns, psql(&db, "select count(distinct who) from ticks"), "two schedulers at one time");
    assert_eq!(turns, "5", "one for each version");
}

fn compose(web: SocketAddr, image: &str) -> String {
    let built = |of: &str| format!("build: {{ context: ., dockerfile: Dockerfile{of}, network: none }}");
    let redis = "command: [redis-server, --dir, /data, --protected-mode, \"no\"]";
    let health =
        "healthcheck: { test: [CMD, psql, -h, /tmp, -U, app, -d, postgres, -c, select 1], interval: 1s, retries: 30 }";
    let base = format!("command: [sh, /app/db.sh]\n    stop_signal: SIGINT\n    {health}");
    let [app, ledger, store, cache] = ["", ".ledger", ".store", ".cache"].map(built);
    format!(
        "services:
  front:
    image: \"{image}/nginx\"
    command: [nginx, -c, /etc/nginx/nginx.conf]
    ports: [\"{web}:8080\"]
    volumes: [\"./nginx.conf:/etc/nginx/nginx.conf:ro\"]
    depends_on: [web]
    stop_grace_period: 2s
  web:
    {app}
    command: [sh, /app/app.sh]
    depends_on: [db, queue]
    init: true
    stop_grace_period: 1s
  beat:
    {app}
    command: [sh, /app/beat.sh]
    environment: {{ PGHOST: db, PGUSER: app, PGDATABASE: postgres, PGCONNECT_TIMEOUT: \"2\" }}
    depends_on: [db]
    init: true
    stop_grace_period: 2s
  db:
    image: \"{image}/postgres\"
    {base}
    volumes: [\"data:/data\"]
  ledger:
    {ledger}
    {base}
    volumes: [\"./ledger:/data\"]
  queue:
    image: \"{image}/redis\"
    {redis}
    volumes: [\"./redis:/data\"]
  store:
    {store}
    {redis}
    volumes: [\"store:/data\"]
  cache:
    {cache}
    {redis}
  memory:
    image: \"{image}/redis\"
    {redis}
volumes:
  data:
  store:
"
    )
}

/// Writes something everywhere.
fn note(shop: &Switched, project: &str, what: &str) {
    for base in BASES {
        psql(&shop.site.container(project, base), &format!("insert into orders values ('{what}')"));
    }
    for store in STORES {
        redis(&shop.site.container(project, store), &["rpush", "orders", what]);
    }
}

/// All of it is there everywhere.
fn noted(shop: &Switched, project: &str, all: &str) {
    for base in BASES {
        let said = psql(&shop.site.container(project, base), "select string_agg(what, ' ') from orders");
        assert_eq!(said, all, "{base}");
    }
    for store in STORES {
        let said = redis(&shop.site.container(project, store), &["lrange", "orders", "0", "-1"]);
        assert_eq!(said.split_whitespace().collect::<Vec<_>>().join(" "), all, "{store}");
    }
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

/// One that was started just now may not answer yet.
fn psql(db: &str, what: &str) -> String {
    let ready = ["psql", "-qtA", "-h", "/tmp", "-U", "app", "-d", "postgres", "-c"];
    wait_until("the database to answer", PATIENCE, || {
        match said_in(db, &[&ready[..], &["select 1"]].concat()).as_str() {
            "1" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    said_in(db, &[&ready[..], &[what]].concat())
}

fn redis(store: &str, what: &[&str]) -> String {
    said_in(store, &[&["redis-cli"], what].concat())
}

/// This machine's PostgreSQL, Redis and nginx.
fn image() -> Image {
    let bin = |name: &str| format!("{POSTGRES}/{name}");
    let (postgres, initdb, psql) = (bin("postgres"), bin("initdb"), bin("psql"));
    Image::new(&Programs {
        files: &[
            &postgres,
            &initdb,
            &psql,
            "/usr/lib/postgresql/15/lib/plpgsql.so",
            "/usr/lib/postgresql/15/lib/dict_snowball.so",
            REDIS,
            "/usr/bin/redis-cli",
            NGINX,
        ],
        folders: &["/usr/share/postgresql/15", "/usr/share/zoneinfo"],
        texts: &[("/app/db.sh", DATABASE), ("/app/pg_hba.conf", "local all all trust\nhost all all all trust\n")],
        names: &["postgres", "redis", "nginx"],
        path: &format!(":/usr/sbin:{POSTGRES}"),
        says: &[],
    })
}
