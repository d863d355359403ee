//! Every attribute of `build` reaches the engine, or is refused by name. One row an attribute, on whatever engine the
//! tests use: what depends on the engine stands in the row.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test may panic, and say why it does not run"
)]

use crate::image_support;
use futures_util::StreamExt;
use image_support::{Bench, common::unique, engine, files_of, remove};
use turnout::{
    buildkit::solve::Abilities,
    compose::model::{Build, Bytes, FileObject, SshKey, Ulimit},
    engine::{
        ApiVersion, Engine,
        image::{ImageError, turned},
    },
};

/// The attributes of the model. A new one does not compile until it stands here, and the test fails until it has a row.
macro_rules! attributes {
    ($($name:ident),* $(,)?) => {{
        let Build { $($name),* } = Build::default();
        $(let _ = $name;)*
        [$(stringify!($name)),*]
    }};
}

/// What an engine's BuildKit can do.
struct Host {
    containerd_store: bool,
    named_contexts: bool,
}

/// What shows that an attribute was heeded.
enum Shown {
    /// A file of the image has this in it.
    File(&'static str, &'static str),
    /// The image has this label.
    Label(&'static str, &'static str),
    /// The image has this name too.
    Tag(String),
    /// The image is for this architecture.
    Architecture(&'static str),
    /// The image's configuration, or an attestation beside it, has this in it.
    Config(&'static str),
    /// The output has this in it.
    Said(&'static str),
    /// Building again gives another image.
    NeverTheSame,
    /// It is refused, with this name.
    Refused(&'static str),
    /// The engine tries, and fails with this.
    Fails(String),
}

struct Row {
    attribute: &'static str,
    dockerfile: String,
    edit: Box<dyn Fn(&mut Bench)>,
    shown: Shown,
}

const SHELL: &str = "FROM scratch\nCOPY sh /bin/sh\n";

#[expect(clippy::too_many_lines, reason = "one row an attribute")]
fn rows(host: &Host) -> Vec<Row> {
    let row = |attribute: &'static str, dockerfile: &str, edit: Box<dyn Fn(&mut Bench)>, shown: Shown| Row {
        attribute,
        dockerfile: dockerfile.to_owned(),
        edit,
        shown,
    };
    let run = |command: &str| format!("{SHELL}RUN {command}\n");
    let tag = unique("tagged");
    // A registry that nobody runs: only a build that pulls asks it.
    let absent = format!("127.0.0.1:1/{}", unique("absent"));
    let extra = tag.clone();
    let by_store = |attribute: &'static str, shown: Shown| match host.containerd_store {
        true => shown,
        false => Shown::Refused(attribute),
    };
    let by_contexts = |shown: Shown| match host.named_contexts {
        true => shown,
        false => Shown::Refused("build.additional_contexts"),
    };
    vec![
        row(
            "context",
            "FROM scratch\nCOPY where /\n",
            Box::new(|bench| {
                bench.write("other/where", "elsewhere");
                bench.write("other/Dockerfile", "FROM scratch\nCOPY where /\n");
                let other = bench.dir.path().join("other").to_string_lossy().into_owned();
                bench.build(|build| build.context = other);
            }),
            Shown::File("where", "elsewhere"),
        ),
        row(
            "dockerfile",
            "FROM nowhere.invalid/x\n",
            Box::new(|bench| {
                bench.write("docker/Other", "FROM scratch\nCOPY docker/Other /which\n");
                bench.build(|build| build.dockerfile = "docker/Other".into());
            }),
            Shown::File("which", "docker/Other"),
        ),
        row(
            "dockerfile_inline",
            "FROM nowhere.invalid/x\n",
            Box::new(|bench| bench.build(|build| build.dockerfile_inline = run_of("echo inline > /which"))),
            Shown::File("which", "inline"),
        ),
        row(
            "args",
            &format!("{SHELL}ARG WHAT\nRUN echo $WHAT > /what\n"),
            Box::new(|bench| bench.build(|build| drop(build.args.insert("WHAT".into(), Some("given".into()))))),
            Shown::File("what", "given"),
        ),
        row(
            "labels",
            "FROM scratch\nCOPY sh /x\n",
            Box::new(|bench| bench.build(|build| drop(build.labels.insert("mine".into(), "a, b=c".into())))),
            Shown::Label("mine", "a, b=c"),
        ),
        row(
            "tags",
            "FROM scratch\nCOPY sh /x\n",
            Box::new(move |bench| bench.build(|build| build.tags = vec![extra.clone()])),
            Shown::Tag(tag),
        ),
        row(
            "target",
            "FROM scratch AS one\nCOPY sh /bin/sh\nRUN echo one > /which\nFROM scratch\nCOPY nothing /x\n",
            Box::new(|bench| bench.build(|build| build.target = "one".into())),
            Shown::File("which", "one"),
        ),
        row(
            "no_cache",
            &run("head -c 16 /dev/urandom | md5sum > /random"),
            Box::new(|bench| bench.build(|build| build.no_cache = true)),
            Shown::NeverTheSame,
        ),
        row(
            "no_cache_filter",
            "FROM scratch AS fresh\nCOPY sh /bin/sh\nRUN head -c 16 /dev/urandom | md5sum > /random\nFROM fresh\n",
            Box::new(|bench| bench.build(|build| build.no_cache_filter = vec!["fresh".into()])),
            Shown::NeverTheSame,
        ),
        row(
            "pull",
            &format!("FROM {absent}\nCOPY sh /x\n"),
            Box::new(|bench| bench.build(|build| build.pull = true)),
            Shown::Fails("127.0.0.1:1".into()),
        ),
        row(
            "extra_hosts",
            &run("cat /etc/hosts > /out"),
            Box::new(|bench| {
                bench.build(|build| drop(build.extra_hosts.0.insert("elsewhere".into(), vec!["10.9.8.7".into()])));
            }),
            Shown::File("out", "10.9.8.7\telsewhere"),
        ),
        row(
            "network",
            &run("grep -c eth0 /proc/net/dev > /lines || true"),
            Box::new(|bench| bench.build(|build| build.network = "none".into())),
            // By name: how many there are in all depends on the modules that the host has loaded.
            Shown::File("lines", "0\n"),
        ),
        row(
            "shm_size",
            &run("df -k /dev/shm | tail -1 > /out"),
            Box::new(|bench| bench.build(|build| build.shm_size = Bytes(8 << 20))),
            Shown::File("out", " 8192 "),
        ),
        row(
            "ulimits",
            &run("ulimit -n > /out"),
            Box::new(|bench| {
                let limit = Ulimit { single: 777, ..Default::default() };
                bench.build(|build| {
                    build.ulimits.insert("nofile".into(), limit);
                });
            }),
            Shown::File("out", "777\n"),
        ),
        row(
            "secrets",
            &run("--mount=type=secret,id=s md5sum < /run/secrets/s > /digest"),
            Box::new(|bench| {
                let file = bench.write("secret.txt", "the-secret");
                bench.secret("s", FileObject { file: file.to_string_lossy().into_owned(), ..Default::default() });
            }),
            // printf the-secret | md5sum
            Shown::File("digest", "dcc5ea528e57c802d2d2c75c45284fd6"),
        ),
        row(
            "ssh",
            &run("--mount=type=ssh test -S $SSH_AUTH_SOCK && echo here > /agent"),
            Box::new(|bench| {
                let key = openssl::pkey::PKey::generate_ed25519().unwrap().private_key_to_pem_pkcs8().unwrap();
                let path = bench.write("key", key).to_string_lossy().into_owned();
                bench.build(|build| build.ssh = vec![SshKey { id: "default".into(), path: path.clone() }]);
            }),
            Shown::File("agent", "here"),
        ),
        row(
            "platforms",
            "FROM scratch\nCOPY sh /x\n",
            Box::new(|bench| bench.build(|build| build.platforms = vec!["linux/arm64".into()])),
            Shown::Architecture("arm64"),
        ),
        row(
            "cache_from",
            "FROM scratch\nCOPY sh /x\n",
            Box::new(move |bench| bench.build(|build| build.cache_from = vec![absent.clone()])),
            Shown::Said("importing cache manifest from 127.0.0.1:1/"),
        ),
        row(
            "cache_to",
            &run("echo cached > /x"),
            Box::new(|bench| bench.build(|build| build.cache_to = vec!["type=inline".into()])),
            Shown::Config("moby.buildkit.cache.v0"),
        ),
        row(
            "additional_contexts",
            "FROM scratch\nCOPY --from=more file /\n",
            Box::new(|bench| {
                let more = bench.write("more/file", "from more");
                let more = more.parent().unwrap().to_string_lossy().into_owned();
                bench.build(|build| drop(build.additional_contexts.insert("more".into(), more.clone())));
            }),
            by_contexts(Shown::File("file", "from more")),
        ),
        row(
            "entitlements",
            "FROM scratch\nCOPY sh /x\n",
            Box::new(|bench| bench.build(|build| build.entitlements = vec!["no.such.thing".into()])),
            Shown::Refused("build.entitlements no.such.thing"),
        ),
        row(
            "privileged",
            "FROM scratch\nCOPY sh /x\n",
            Box::new(|bench| bench.build(|build| build.privileged = true)),
            // No engine allows it unless its own settings do.
            Shown::Refused("build.entitlements security.insecure"),
        ),
        row(
            "provenance",
            "FROM scratch\nCOPY sh /x\n",
            Box::new(|bench| bench.build(|build| build.provenance = "mode=max".into())),
            by_store("build.provenance", Shown::Config("https://slsa.dev/provenance")),
        ),
        row(
            "sbom",
            "FROM scratch\nCOPY sh /x\n",
            Box::new(|bench| bench.build(|build| build.sbom = "generator=127.0.0.1:1/scanner".into())),
            by_store("build.sbom", Shown::Fails("127.0.0.1:1".into())),
        ),
        row(
            "isolation",
            "FROM scratch\nCOPY sh /x\n",
            Box::new(|bench| bench.build(|build| build.isolation = "hyperv".into())),
            Shown::Refused("build.isolation"),
        ),
    ]
}

fn run_of(command: &str) -> String {
    format!("{SHELL}RUN {command}\n")
}

async fn host(engine: &Engine) -> Host {
    let channel = turned::channel(engine, "asking what the engine can do").await.unwrap();
    let abilities = Abilities::of(&channel).await.unwrap();
    Host { containerd_store: abilities.containerd_store, named_contexts: engine.version() >= ApiVersion::v1(42) }
}

#[tokio::test]
async fn every_attribute_reaches_the_engine_or_is_refused_by_name() {
    let attributes = attributes!(
        context,
        dockerfile,
        dockerfile_inline,
        entitlements,
        args,
        provenance,
        sbom,
        ssh,
        labels,
        cache_from,
        cache_to,
        no_cache,
        no_cache_filter,
        additional_contexts,
        pull,
        extra_hosts,
        isolation,
        network,
        target,
        secrets,
        shm_size,
        tags,
        ulimits,
        platforms,
        privileged,
    );
    let daemon = engine().await;
    let rows = rows(&host(&daemon).await);
    for attribute in attributes {
        assert!(rows.iter().any(|row| row.attribute == attribute), "build.{attribute} has no row");
    }
    let wrong: Vec<_> = futures_util::stream::iter(&rows)
        .map(|row| check(&daemon, row))
        .buffer_unordered(2)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with a row, if anything.
async fn check(daemon: &Engine, row: &Row) -> Option<String> {
    let mut bench = Bench::new(&row.attribute.replace('_', "-"), &row.dockerfile);
    (row.edit)(&mut bench);
    let built = bench.run(daemon).await;
    let wrong = |why: String| Some(format!("build.{}: {why}\n{}", row.attribute, bench.reporter.text()));
    let found = match (&row.shown, built) {
        (Shown::Refused(name), Err(error @ (ImageError::Unsupported { .. } | ImageError::Invalid { .. }))) => {
            let text = error.to_string();
            (!(text.contains(name) && text.contains("service web"))).then_some(text)
        }
        (Shown::Fails(words), Err(error)) => {
            let text = error.to_string();
            (!text.contains(words.as_str())).then_some(text)
        }
        (_, Err(error)) => Some(error.to_string()),
        (Shown::Refused(_) | Shown::Fails(_), Ok(_)) => Some("was built".to_owned()),
        (shown, Ok(image)) => seen(daemon, &bench, shown, &image.0).await,
    };
    remove(&bench.image()).await;
    found.and_then(wrong)
}

async fn seen(daemon: &Engine, bench: &Bench, shown: &Shown, image: &str) -> Option<String> {
    let inspect = |name: String| async move { daemon.docker().inspect_image(&name).await };
    match shown {
        Shown::File(path, text) => {
            let files = files_of(daemon, &bench.image()).await;
            let Some(content) = files.get(*path) else { return Some(format!("no file {path}: {:?}", files.keys())) };
            let content = String::from_utf8_lossy(content);
            (!content.contains(text)).then(|| format!("{path} is {content:?}, without {text:?}"))
        }
        Shown::Label(key, value) => {
            let labels = inspect(bench.image()).await.unwrap().config.unwrap().labels.unwrap_or_default();
            (labels.get(*key).map(String::as_str) != Some(*value)).then(|| format!("{labels:?}"))
        }
        Shown::Tag(tag) => {
            let found = inspect(tag.clone()).await.map(|image| image.id);
            remove(tag).await;
            (!matches!(&found, Ok(Some(id)) if id == image)).then(|| format!("{found:?}"))
        }
        Shown::Architecture(wanted) => {
            let found = inspect(bench.image()).await.unwrap().architecture;
            (found.as_deref() != Some(*wanted)).then(|| format!("{found:?}"))
        }
        Shown::Config(text) => {
            let saved = image_support::saved(daemon, &bench.image()).await;
            let found = saved.values().any(|content| String::from_utf8_lossy(content).contains(text));
            (!found).then(|| format!("no {text} in {:?}", saved.keys()))
        }
        Shown::Said(text) => (!bench.reporter.text().contains(text)).then(|| format!("did not say {text:?}")),
        Shown::NeverTheSame => {
            let again = bench.run(daemon).await.unwrap();
            let same = again.0 == image;
            remove(image).await;
            same.then(|| "built the same image again".to_owned())
        }
        Shown::Refused(_) | Shown::Fails(_) => None,
    }
}
