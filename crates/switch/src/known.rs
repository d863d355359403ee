//! What is known by its name or port: engines, proxies, schedulers, and protocols that are not HTTP.
//!
//! The lists are data of this project, not of a specification. A name that is missing here costs care elsewhere: an engine
//! that is not known still writes storage of its own, which keeps it from being coloured (rule 5).

use std::fmt;

use turnout_compose::reference::Reference;

/// By what an engine was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The name of its image.
    Image(String),
    /// A port in the container.
    Port(u16),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Image(image) => write!(f, "its image {image}"),
            Why::Port(port) => write!(f, "its port {port}"),
        }
    }
}

/// What it is, and words with which the last part of an image's name begins or ends, with a `-` or `_` between.
const ENGINES: &[(&str, &[&str])] = &[
    ("PostgreSQL", &["postgres", "postgresql", "postgis", "timescaledb", "pgvector", "cloudnative-pg", "spilo"]),
    ("a connection pool of PostgreSQL", &["pgbouncer", "pgpool", "pgcat"]),
    ("MySQL", &["mysql", "mysql57", "percona", "percona-server", "percona-xtradb-cluster"]),
    ("MariaDB", &["mariadb"]),
    ("MongoDB", &["mongo", "mongodb", "ferretdb", "documentdb"]),
    ("Redis", &["redis", "redict", "redis-stack-server"]),
    ("Valkey", &["valkey"]),
    ("KeyDB", &["keydb"]),
    ("Dragonfly", &["dragonfly"]),
    ("Memcached", &["memcached"]),
    ("RabbitMQ", &["rabbitmq"]),
    ("Kafka", &["kafka", "cp-kafka", "redpanda", "cp-server", "cp-zookeeper"]),
    ("ZooKeeper", &["zookeeper"]),
    ("NATS", &["nats", "nats-streaming"]),
    ("an MQTT broker", &["eclipse-mosquitto", "mosquitto", "emqx", "vernemq", "hivemq4"]),
    ("ActiveMQ", &["activemq", "activemq-classic", "activemq-artemis"]),
    ("Pulsar", &["pulsar"]),
    ("NSQ", &["nsq"]),
    ("beanstalkd", &["beanstalkd"]),
    ("Elasticsearch", &["elasticsearch"]),
    ("OpenSearch", &["opensearch"]),
    ("Solr", &["solr"]),
    ("Meilisearch", &["meilisearch"]),
    ("Typesense", &["typesense"]),
    ("Quickwit", &["quickwit"]),
    ("Qdrant", &["qdrant"]),
    ("Weaviate", &["weaviate"]),
    ("Milvus", &["milvus"]),
    ("Chroma", &["chroma"]),
    ("ClickHouse", &["clickhouse", "clickhouse-server", "clickhouse-keeper"]),
    ("Cassandra", &["cassandra", "scylla", "dse-server"]),
    ("CockroachDB", &["cockroach", "cockroachdb"]),
    ("YugabyteDB", &["yugabyte"]),
    ("TiDB", &["tidb", "tikv"]),
    ("CouchDB", &["couchdb", "couchbase"]),
    ("Neo4j", &["neo4j", "memgraph"]),
    ("ArangoDB", &["arangodb"]),
    ("OrientDB", &["orientdb"]),
    ("RethinkDB", &["rethinkdb"]),
    ("SurrealDB", &["surrealdb"]),
    ("EdgeDB", &["edgedb"]),
    ("Dgraph", &["dgraph"]),
    ("InfluxDB", &["influxdb"]),
    ("QuestDB", &["questdb"]),
    ("VictoriaMetrics", &["victoria-metrics", "victoria-logs", "vmstorage"]),
    ("Microsoft SQL Server", &["mssql", "azure-sql-edge"]),
    ("Oracle Database", &["oracle-free", "oracle-xe"]),
    ("Db2", &["db2", "db2_community"]),
    ("Firebird", &["firebird"]),
    ("H2", &["h2database"]),
    ("etcd", &["etcd"]),
    ("Consul", &["consul"]),
    ("Vault", &["vault", "openbao"]),
    ("object storage", &["minio", "seaweedfs", "ceph", "zenko", "rustfs"]),
    ("LDAP", &["openldap", "lldap", "389ds", "glauth"]),
    (
        "a mail server",
        &[
            "postfix",
            "dovecot",
            "exim",
            "exim4",
            "opensmtpd",
            "docker-mailserver",
            "maddy",
            "stalwart",
            "stalwart-mail",
            "mail-server",
            "smtp-relay",
            "mailhog",
            "mailpit",
            "mailcatcher",
            "maildev",
        ],
    ),
    ("a virus scanner with its signatures", &["clamav", "clamd"]),
];

/// Images whose names begin like an engine's and which are none: they watch one, show it, or bring its data elsewhere.
const BESIDE_ENGINES: &[&str] = &[
    "exporter",
    "express",
    "ui",
    "admin",
    "commander",
    "insight",
    "browser",
    "backup",
    "backups",
    "dump",
    "dashboard",
    "dashboards",
    "web",
    "console",
    "client",
    "cli",
    "init",
    "operator",
    "manager",
    "connect",
    "rest",
    "schema",
    "mc",
    "gateway",
    "proxy",
    "tools",
    "migrate",
    "s3",
];

/// TCP ports that belong to engines.
const ENGINE_PORTS: &[(u16, &str)] = &[
    (25, "a mail server"),
    (110, "a mail server"),
    (143, "a mail server"),
    (389, "LDAP"),
    (465, "a mail server"),
    (587, "a mail server"),
    (636, "LDAP"),
    (993, "a mail server"),
    (995, "a mail server"),
    (1389, "LDAP"),
    (1433, "Microsoft SQL Server"),
    (1521, "Oracle Database"),
    (1883, "an MQTT broker"),
    (2181, "ZooKeeper"),
    (2379, "etcd"),
    (3306, "MySQL"),
    (4222, "NATS"),
    (5432, "PostgreSQL"),
    (5433, "PostgreSQL"),
    (5672, "RabbitMQ"),
    (5984, "CouchDB"),
    (6379, "Redis"),
    (7687, "Neo4j"),
    (8529, "ArangoDB"),
    (9042, "Cassandra"),
    (9092, "Kafka"),
    (9200, "Elasticsearch"),
    (9300, "Elasticsearch"),
    (10389, "LDAP"),
    (11211, "Memcached"),
    (26257, "CockroachDB"),
    (27017, "MongoDB"),
    (28015, "RethinkDB"),
    (33060, "MySQL"),
];

/// TCP ports of other protocols that are not HTTP; asking them for a page would only be an error in somebody's log.
const OTHER_PORTS: &[(u16, &str)] = &[
    (21, "FTP"),
    (22, "SSH"),
    (53, "DNS"),
    (853, "DNS over TLS"),
    (1935, "RTMP"),
    (3478, "TURN"),
    (5222, "XMPP"),
    (6667, "IRC"),
    (8883, "MQTT over TLS"),
    (25565, "Minecraft"),
];

/// Proxies that pass requests to other services of their file.
const PROXIES: &[(&str, &[&str])] = &[
    ("nginx", &["nginx", "nginx-unprivileged", "openresty", "tengine", "angie", "freenginx"]),
    ("nginx-proxy", &["nginx-proxy"]),
    ("Nginx Proxy Manager", &["nginx-proxy-manager"]),
    ("HAProxy", &["haproxy", "haproxy-alpine"]),
    ("Caddy", &["caddy", "caddy-docker-proxy"]),
    ("Traefik", &["traefik"]),
    ("Envoy", &["envoy"]),
    ("Apache", &["httpd"]),
    ("Kong", &["kong"]),
    ("Apache APISIX", &["apisix"]),
    ("Varnish", &["varnish"]),
    ("KrakenD", &["krakend"]),
    ("SWAG", &["swag"]),
    ("rpxy", &["rpxy"]),
    ("H2O", &["h2o-http2-server"]),
];

/// Words by which a scheduler is seen, in the service's name or in its command (ADR 23, rule 9).
const SCHEDULERS: &[&str] = &["beat", "cron", "clock", "scheduler"];
/// Programs that are schedulers, by the names of their files or images, and subcommands of such.
const SCHEDULING: &[&str] = &[
    "celerybeat",
    "celery-beat",
    "crond",
    "crontab",
    "supercronic",
    "ofelia",
    "clockwork",
    "schedule:work",
    "schedule:run",
    "jobs:clock",
    "yacron",
    "dkron",
    "chadburn",
    "go-cron",
];

/// The last part of an image's name, without tag and digest.
fn last_part(image: &str) -> String {
    match Reference::parse(image) {
        Some(reference) => reference.path.rsplit('/').next().unwrap_or_default().to_owned(),
        None => {
            image.rsplit('/').next().unwrap_or_default().split([':', '@']).next().unwrap_or_default().to_lowercase()
        }
    }
}

/// Whether a name is a word, or begins or ends with it and has a `-` or `_` between; the rest of the name.
fn rest_of<'a>(name: &'a str, word: &str) -> Option<&'a str> {
    if name == word {
        return Some("");
    }
    let after = name.strip_prefix(word).and_then(|rest| rest.strip_prefix(['-', '_']));
    after.or_else(|| name.strip_suffix(word).and_then(|rest| rest.strip_suffix(['-', '_'])))
}

/// The engine that an image is, if its name tells.
pub(crate) fn engine_image(image: &str) -> Option<&'static str> {
    let name = last_part(image);
    // `mcr.microsoft.com/mssql/server`, `mysql/mysql-server`, `apache/kafka`: the folder tells where the last part does not.
    let folder = image.split('/').rev().nth(1).unwrap_or_default();
    let generic = matches!(name.as_str(), "server" | "database" | "db" | "standalone" | "enterprise");
    let name = if generic { folder } else { &name };
    let found = |(what, words): &(&'static str, &[&str])| {
        words.iter().find_map(|word| {
            let rest = rest_of(name, word)?;
            let beside = rest.split(['-', '_']).any(|part| BESIDE_ENGINES.contains(&part));
            (!beside).then_some(*what)
        })
    };
    ENGINES.iter().find_map(found)
}

/// Whether an engine is one that has nothing which it does not get again by itself.
pub(crate) fn holds_nothing(what: &str) -> bool {
    matches!(what, "Memcached" | "a connection pool of PostgreSQL" | "a virus scanner with its signatures")
}

/// The engine whose port this is.
pub(crate) fn engine_port(port: u16) -> Option<&'static str> {
    ENGINE_PORTS.iter().find(|(known, _)| *known == port).map(|(_, what)| *what)
}

/// Whose port this is, if it is known to be no HTTP.
pub fn not_http(port: u16) -> Option<&'static str> {
    OTHER_PORTS.iter().find(|(known, _)| *known == port).map(|(_, what)| *what).or_else(|| engine_port(port))
}

/// The proxy that an image is.
pub(crate) fn proxy_image(image: &str) -> Option<&'static str> {
    let name = last_part(image);
    PROXIES.iter().find(|(_, words)| words.contains(&name.as_str())).map(|(what, _)| *what)
}

/// The proxy that a service which is built here is called after: its name or its image's ends with the proxy's.
pub(crate) fn proxy_name(name: &str) -> Option<&'static str> {
    let last = last_part(name);
    last.rsplit(['-', '_']).next().and_then(proxy_program)
}

/// The proxy that a word of a command starts. Not Apache of PHP images, which is the app itself.
pub(crate) fn proxy_program(word: &str) -> Option<&'static str> {
    Some(match file_name(word) {
        "nginx" | "openresty" | "angie" => "nginx",
        "haproxy" => "HAProxy",
        "caddy" => "Caddy",
        "traefik" => "Traefik",
        "envoy" => "Envoy",
        "httpd-foreground" => "Apache",
        "varnishd" => "Varnish",
        _ => return None,
    })
}

/// The word by which a service is seen to be a scheduler.
pub(crate) fn scheduler(service: &str, image: &str, command: &[&str]) -> Option<String> {
    let name = service.to_lowercase();
    let in_name = name.split(|c: char| !c.is_ascii_alphanumeric()).find(|part| SCHEDULERS.contains(part));
    if let Some(word) = in_name {
        return Some(word.to_owned());
    }
    let program = |word: &str| SCHEDULING.iter().find(|known| word == **known).map(|known| (*known).to_owned());
    if let Some(word) = program(&name).or_else(|| program(&last_part(image))) {
        return Some(word);
    }
    // A shell gets its whole line as one argument.
    let words: Vec<&str> =
        command.iter().flat_map(|line| line.split(|c: char| c.is_whitespace() || ";&|()".contains(c))).collect();
    let celery = words.iter().any(|word| file_name(word) == "celery");
    words.iter().find_map(|word| {
        let word = file_name(word);
        if SCHEDULERS.contains(&word) || (celery && matches!(word, "-B" | "--beat")) {
            return Some(word.to_owned());
        }
        program(word)
    })
}

fn file_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_by_image() {
        for (image, what) in [
            ("postgres", Some("PostgreSQL")),
            ("postgres:16-alpine", Some("PostgreSQL")),
            ("docker.io/bitnami/postgresql:16", Some("PostgreSQL")),
            ("bitnami/postgresql-repmgr", Some("PostgreSQL")),
            ("timescale/timescaledb-ha:pg16", Some("PostgreSQL")),
            ("mysql/mysql-server", Some("MySQL")),
            ("mcr.microsoft.com/mssql/server:2022-latest", Some("Microsoft SQL Server")),
            ("redis:7@sha256:ab", Some("Redis")),
            ("redis/redis-stack-server", Some("Redis")),
            ("docker.elastic.co/elasticsearch/elasticsearch:8", Some("Elasticsearch")),
            ("clickhouse/clickhouse-server", Some("ClickHouse")),
            ("confluentinc/cp-kafka", Some("Kafka")),
            ("mailserver/docker-mailserver", Some("a mail server")),
            ("localhost:5000/mariadb", Some("MariaDB")),
            ("rroemhild/test-openldap:2.1", Some("LDAP")),
            ("me/shop-redis", Some("Redis")),
            ("zabbix/zabbix-server-mysql", Some("MySQL")),
            ("oliver006/redis_exporter", None),
            ("mongo-express", None),
            ("rediscommander/redis-commander", None),
            ("provectuslabs/kafka-ui", None),
            ("prodrigestivill/postgres-backup-local", None),
            ("shop-redistribution", None),
            ("myapp", None),
            ("", None),
        ] {
            assert_eq!(engine_image(image), what, "{image}");
        }
    }

    #[test]
    fn engines_that_hold_nothing_are_known_by_the_names_that_they_have_here() {
        for image in ["memcached", "pgbouncer", "clamav"] {
            assert!(holds_nothing(engine_image(image).unwrap()), "{image}");
        }
        assert!(!holds_nothing(engine_image("redis").unwrap()));
    }

    #[test]
    fn schedulers_by_name_image_and_command() {
        for (service, image, command, word) in [
            ("beat", "app", &[][..], Some("beat")),
            ("celery-beat", "app", &[], Some("beat")),
            ("celerybeat", "app", &[], Some("celerybeat")),
            ("my_cron", "app", &[], Some("cron")),
            ("jobs", "app", &["celery", "-A", "shop", "beat", "-l", "info"], Some("beat")),
            ("jobs", "app", &["sh", "-c", "cd /app && celery -A shop worker -B"], Some("-B")),
            ("jobs", "app", &["php", "artisan", "schedule:work"], Some("schedule:work")),
            ("jobs", "app", &["/usr/sbin/crond", "-f"], Some("crond")),
            ("jobs", "mcuadros/ofelia:latest", &[], Some("ofelia")),
            ("airflow-scheduler", "apache/airflow", &["scheduler"], Some("scheduler")),
            ("heartbeat", "app", &[], None),
            ("worker", "app", &["celery", "-A", "shop", "worker"], None),
            ("clockwise", "app", &["serve", "-B"], None),
        ] {
            assert_eq!(scheduler(service, image, command).as_deref(), word, "{service} {command:?}");
        }
    }
}
