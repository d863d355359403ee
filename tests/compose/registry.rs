//! What `turnout compose` reads from registries: images by digest, and projects that were published. The registries are
//! real ones on the loopback interface; where the real `docker compose` is installed, it says what is right.

use std::{
    fs,
    process::{Command, Output},
};

use crate::{endpoint_support, false_registry, image_support};
use endpoint_support::Authority;
use futures_util::StreamExt as _;
use image_support::{
    common::{self, docker::block_on},
    registry::{PASSWORD, Registry},
    remove, unique,
};

/// Lets the real Compose speak plain HTTP to a registry; without, it speaks TLS only.
const PLAIN: (&str, &str) = ("__TEST__INSECURE__REGISTRY__", "1");

/// A folder to work in, with a cache and settings of Docker's client of its own.
struct Desk {
    folder: tempfile::TempDir,
    settings: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Desk {
    fn new(settings: tempfile::TempDir) -> Desk {
        Desk { folder: tempfile::tempdir().unwrap(), settings, variables: Vec::new() }
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.folder.path().join(name).parent().unwrap()).unwrap();
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn run(&self, program: &str, args: &[&str], more: &[(&str, &str)]) -> Output {
        let mut command = Command::new(program);
        command.arg("compose").args(args).current_dir(self.folder.path());
        command.env("DOCKER_CONFIG", self.settings.path()).env("XDG_CACHE_HOME", self.cache());
        for name in ["COMPOSE_PROJECT_NAME", "COMPOSE_FILE", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(k, v)| (k, v))).envs(more.iter().copied()).output().unwrap()
    }

    fn cache(&self) -> std::path::PathBuf {
        self.folder.path().join("cache")
    }

    fn ours(&self, args: &[&str]) -> Output {
        self.run(env!("CARGO_BIN_EXE_turnout"), args, &[])
    }

    /// Fails the test unless ours fails with this; a password is never shown.
    #[track_caller]
    fn refuses(&self, args: &[&str], parts: &[&str]) {
        let output = self.ours(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{args:?} worked");
        for part in parts {
            assert!(said.contains(part), "{args:?}: wanted {part:?}: {said}");
        }
        assert!(!said.contains(PASSWORD) && !said.contains("hunter2"), "{said}");
    }

    /// Ours, which must work, and must be what the real one prints. The real one comes second, with a cache of its own
    /// at the same place: neither may live on what the other has fetched.
    #[track_caller]
    fn same(&self, args: &[&str], more: &[(&str, &str)]) -> String {
        let ours = text(&self.run(env!("CARGO_BIN_EXE_turnout"), args, more));
        if common::engine::has_compose_cli() {
            let aside = self.folder.path().join("aside");
            let kept = self.cache().exists();
            if kept {
                fs::rename(self.cache(), &aside).unwrap();
            }
            let theirs = text(&self.run("docker", args, more));
            if kept {
                let _ = fs::remove_dir_all(self.cache());
                fs::rename(&aside, self.cache()).unwrap();
            }
            assert_eq!(ours, theirs, "{args:?}");
        }
        ours
    }

    /// Publishes this folder with the real Compose; `false`, and said so, where it is not installed.
    fn publish(&self, name: &str, args: &[&str], more: &[(&str, &str)]) -> bool {
        if !common::engine::has_compose_cli() {
            return false;
        }
        let files = ["-f", "compose.yaml", "-f", "over.yaml", "publish", "-y", "--with-env"];
        let args: Vec<&str> = files.into_iter().chain(args.iter().copied()).chain([name]).collect();
        text(&self.run("docker", &args, more));
        true
    }
}

#[track_caller]
fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Pushes a small image, of which nothing stays on the engine.
fn publish_image(registry: &Registry, path: &str) -> String {
    let image = format!("{}/{path}:v1", registry.host);
    block_on(async {
        let engine = common::engine::connect().await;
        // The name of a registry on another port than its own would be taken for a tag.
        let local = format!("{}:v1", unique("pushed"));
        common::engine::import(&engine, &local, &[]).await;
        let options = bollard::query_parameters::TagImageOptions {
            repo: Some(image.rsplit_once(':').unwrap().0.to_owned()),
            tag: Some("v1".to_owned()),
        };
        engine.docker().tag_image(&local, Some(options)).await.unwrap();
        let options = bollard::query_parameters::PushImageOptions { tag: Some("v1".into()), ..Default::default() };
        let name = image.rsplit_once(':').unwrap().0;
        let auth = Some(turnout::engine::image::for_engine(registry.auth()));
        let mut pushing = std::pin::pin!(engine.docker().push_image(name, Some(options), auth));
        while let Some(message) = pushing.next().await {
            message.unwrap();
        }
        remove(&image).await;
        remove(&local).await;
    });
    image
}

#[test]
fn images_are_named_by_digest_as_compose_does() {
    let (Some(open), Some(closed)) = (Registry::start(false), Registry::start(true)) else { return };
    let (one, two) = (publish_image(&open, "a/one"), publish_image(&closed, "two"));
    let desk = Desk::new(closed.settings());
    let zeros = "0".repeat(64);
    desk.write(
        "compose.yaml",
        &format!(
            "name: pins\nservices:\n  a: {{image: '{one}', command: [x, $$y], container_name: cc}}\n  b: {{image: '{two}'}}\n  \
             c: {{build: .}}\n  d: {{image: 'docker.io/x:t@sha256:{zeros}', profiles: [p]}}\n  e: {{image: '{one}'}}\n\
             x-a: 1\nvolumes: {{v: {{}}}}\n"
        ),
    );
    for args in [
        &["config", "--resolve-image-digests"][..],
        &["config", "--lock-image-digests"],
        &["config", "--lock-image-digests", "--format", "json"],
        &["config", "--resolve-image-digests", "--format", "json"],
        &["config", "--resolve-image-digests", "--no-interpolate"],
        &["config", "--lock-image-digests", "--no-interpolate"],
        &["config", "--lock-image-digests", "--no-interpolate", "--format", "json"],
        &["--profile", "p", "config", "--lock-image-digests", "d"],
        &["config", "--lock-image-digests", "a"],
    ] {
        let shown = desk.same(args, &[]);
        assert!(shown.contains("@sha256:"), "{args:?}: {shown}");
    }
    let locked = desk.same(&["config", "--lock-image-digests"], &[]);
    assert!(locked.starts_with(&format!("services:\n  a:\n    image: {one}@sha256:")), "{locked}");
    assert!(locked.contains(&format!("  b:\n    image: {two}@sha256:")) && locked.contains("  c: {}\n"), "{locked}");
    assert_eq!(desk.same(&["config", "-q", "--lock-image-digests"], &[]), "");
    // Names are told without asking anybody.
    assert_eq!(text(&desk.ours(&["config", "--lock-image-digests", "--services"])), "a\nb\nc\ne\n");

    // A name with a digest needs nobody.
    let alone = [("DOCKER_HOST", "unix:///nonexistent.sock")];
    desk.same(&["--profile", "p", "config", "--lock-image-digests", "d"], &alone);

    for (image, parts) in [
        (
            format!("{}/none:v1", open.host),
            &["failed to resolve digest for ", "/none:v1: manifest unknown", "check the name"][..],
        ),
        (format!("{}/none:v1", closed.host), &["manifest unknown"]),
        ("UPPER".to_owned(), &["services.a.image: \"UPPER\": ", "repository name (library/UPPER) must be lowercase"]),
    ] {
        desk.write("bad.yaml", &format!("services: {{a: {{image: '{image}'}}}}\n"));
        desk.refuses(&["-f", "bad.yaml", "config", "--lock-image-digests", "-q"], parts);
    }
    desk.write("bad.yaml", &format!("services: {{a: {{image: '${{X:-{one}}}'}}}}\n"));
    desk.refuses(
        &["-f", "bad.yaml", "config", "--resolve-image-digests", "--no-interpolate"],
        &["services.a.image: ", "invalid reference format", "a variable in it must be replaced"],
    );
    let stranger = Desk::new(tempfile::tempdir().unwrap());
    stranger.write("compose.yaml", &format!("services: {{b: {{image: '{two}'}}}}\n"));
    stranger.refuses(&["config", "--lock-image-digests"], &["no basic auth credentials", "docker login"]);
}

/// A project of several files, as the real one can publish it.
fn write_project(desk: &Desk, image: &str) {
    desk.write(
        "compose.yaml",
        &format!(
            "name: published\nservices:\n  web:\n    image: {image}\n    environment:\n      MODE: \"${{MODE:-dev}}\"\n    \
             env_file:\n      - web.env\n    volumes:\n      - ./data:/data\n  ext:\n    extends:\n      file: base.yaml\n      \
             service: b\n"
        ),
    );
    desk.write("over.yaml", "services:\n  web:\n    labels:\n      over: \"yes\"\n");
    desk.write(
        "base.yaml",
        &format!("services:\n  b:\n    image: {image}\n    extends:\n      file: sub/deep.yaml\n      service: c\n"),
    );
    desk.write("sub/deep.yaml", &format!("services:\n  c:\n    image: {image}\n    volumes:\n      - ./x:/x\n"));
    desk.write("web.env", "A=1\n");
}

#[test]
fn published_projects_are_loaded_as_compose_does() {
    let (Some(open), Some(closed)) = (Registry::start(false), Registry::start(true)) else { return };
    let image = publish_image(&open, "i");
    let desk = Desk::new(closed.settings());
    write_project(&desk, &image);
    let (new, old) = (format!("{}/some/project:v1", open.host), format!("{}/old", closed.host));
    if !desk.publish(&new, &["--resolve-image-digests"], &[PLAIN])
        || !desk.publish(&old, &["--oci-version", "1.0"], &[PLAIN])
    {
        return;
    }
    let (new, old) = (format!("oci://{new}"), format!("oci://{old}"));
    for args in [
        &["-f", &new, "config"][..],
        &["-f", &new, "config", "--format", "json"],
        &["-f", &new, "config", "--no-interpolate"],
        &["-f", &new, "config", "--hash", "*"],
        &["-f", &old, "config"],
        &["-f", &old, "--project-directory", "sub", "config"],
    ] {
        desk.same(args, &[PLAIN, ("MODE", "live")]);
    }
    desk.write(
        "all.yaml",
        &format!("name: all\ninclude: ['{new}']\nservices: {{s: {{extends: {{file: '{old}', service: web}}}}}}\n"),
    );
    let all = desk.same(&["-f", "all.yaml", "-f", &old, "config"], &[PLAIN]);
    assert!(all.contains("A: \"1\"") && all.contains("  s:\n") && all.contains("source: "), "{all}");

    // Nobody else may look into what was fetched, and none of it is left half done.
    use std::os::unix::fs::PermissionsExt as _;
    let cache = desk.cache().join("docker-compose");
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o077, 0);
    let kept: Vec<_> = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(kept.len() == 2 && kept.iter().all(|name| name.len() == 64), "{kept:?}");
    // What the real one has fetched will do as well.
    let beside = Desk::new(closed.settings());
    text(&beside.run("docker", &["-f", &new, "config"], &[PLAIN]));
    assert_eq!(text(&beside.ours(&["-f", &new, "config", "-q"])), "");

    let plain_image = format!("oci://{image}");
    let absent = format!("oci://{}/some/project@sha256:{}", open.host, "0".repeat(64));
    for (file, parts) in [
        (format!("oci://{}/nothing:here", open.host), &["/nothing:here", "has no nothing/manifests/here"][..]),
        (absent, &["has no some/project/manifests/sha256:"]),
        (plain_image, &["is not a compose project OCI artifact, but \"application/vnd.docker.container.image"]),
        ("oci://UPPER".to_owned(), &["repository name (library/UPPER) must be lowercase"]),
        ("oci://127.0.0.1:1/x".to_owned(), &["cannot reach the registry 127.0.0.1:1"]),
    ] {
        desk.refuses(&["-f", &file, "config"], parts);
    }
    for (value, part) in [("0", "disabled by COMPOSE_EXPERIMENTAL_OCI_REMOTE"), ("x", "must be true or false")] {
        let off = desk.run(
            env!("CARGO_BIN_EXE_turnout"),
            &["-f", &new, "config"],
            &[("COMPOSE_EXPERIMENTAL_OCI_REMOTE", value)],
        );
        let said = String::from_utf8_lossy(&off.stderr);
        assert!(!off.status.success() && said.contains(part), "{said}");
    }
    let stranger = Desk::new(tempfile::tempdir().unwrap());
    stranger.refuses(&["-f", &old, "config"], &["refuses access: no basic auth credentials", "docker login"]);
}

#[test]
fn certificates_are_checked_on_this_machine_too() {
    let authority = Authority::new("authority");
    let identity = authority.server("127.0.0.1");
    let (certificate, key) = (identity.certificate.to_pem().unwrap(), identity.key.private_key_to_pem_pkcs8().unwrap());
    let Some(registry) = Registry::start_tls(&certificate, &key) else { return };
    let mut desk = Desk::new(tempfile::tempdir().unwrap());
    write_project(&desk, "i");
    let known = authority.no_client().join("ca.pem").to_string_lossy().into_owned();
    let name = format!("{}/safe:v1", registry.host);
    let published = desk.publish(&name, &[], &[("SSL_CERT_FILE", &known)]);
    let file = format!("oci://{name}");
    desk.refuses(&["-f", &file, "config"], &["cannot reach the registry", "the registry's certificate is refused"]);
    if published {
        desk.variables.push(("SSL_CERT_FILE".to_owned(), known));
        let shown = desk.same(&["-f", &file, "config"], &[]);
        assert!(shown.contains("name: published"), "{shown}");
    }
}

use false_registry::{FalseRegistry, Said};

fn manifest_of(text: &str) -> String {
    let digest = turnout::registry::Digest::of(text.as_bytes());
    serde_json::json!({
        "artifactType": "application/vnd.docker.compose.project",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json"},
        "layers": [{
            "mediaType": "application/vnd.docker.compose.file+yaml", "digest": digest.to_string(), "size": text.len(),
            "annotations": {"com.docker.compose.file": "compose.yaml"},
        }],
    })
    .to_string()
}

/// Settings with a login of this kind.
fn login(host: &str, login: serde_json::Value) -> tempfile::TempDir {
    let settings = tempfile::tempdir().unwrap();
    let json = serde_json::json!({"auths": {host: login}});
    fs::write(settings.path().join("config.json"), json.to_string()).unwrap();
    settings
}

#[test]
fn tokens_are_had_as_dockers_client_has_them() {
    const FILE: &str = "services: {t: {image: token}}\n";
    let plain = serde_json::json!({"username": "me", "password": "hunter2"});
    let identity = serde_json::json!({"auth": "bWU6", "identitytoken": "hunter2-id"});
    for (account, form_is_known, wanted) in [
        (None, true, "GET /token?service=the+registry&scope=repository%3Ap%3Apull - "),
        (
            Some(plain.clone()),
            true,
            "POST /token - scope=repository%3Ap%3Apull&service=the+registry&client_id=turnout&grant_type=password&username=me&password=hunter2",
        ),
        (Some(plain), false, "GET /token?service=the+registry&scope=repository%3Ap%3Apull Basic bWU6aHVudGVyMg== "),
        (
            Some(identity),
            true,
            "POST /token - scope=repository%3Ap%3Apull&service=the+registry&client_id=turnout&grant_type=refresh_token&refresh_token=hunter2-id",
        ),
    ] {
        let registry = FalseRegistry::start(move |registry, asked| match (asked.path(), asked.pass()) {
            ("/token", _) if asked.method == "POST" && !form_is_known => Said::status(404),
            ("/token", _) => Said::ok(r#"{"token":"the-token"}"#),
            (_, None) => {
                let realm = format!(
                    "Bearer realm=\"http://{registry}/token\",service=\"the registry\",scope=\"repository:p:pull\""
                );
                Said::status(401).with("WWW-Authenticate", &realm)
            }
            ("/v2/p/manifests/v1", Some("Bearer the-token")) => Said::ok(&manifest_of(FILE)),
            (_, Some("Bearer the-token")) => Said::ok(FILE),
            _ => Said::status(403),
        });
        let settings = account.map_or_else(|| tempfile::tempdir().unwrap(), |account| login(&registry.host, account));
        let desk = Desk::new(settings);
        let shown = text(&desk.ours(&["-f", &format!("oci://{}/p:v1", registry.host), "config"]));
        assert!(shown.contains("image: token"), "{shown}");
        let asked = registry.asked();
        assert!(asked.iter().any(|line| line == wanted), "wanted {wanted}: {asked:#?}");
        assert_eq!(asked.iter().filter(|line| line.contains("/v2/p/manifests/v1")).count(), 2, "{asked:#?}");
    }
}

#[test]
fn a_registry_that_lies_is_not_believed() {
    const FILE: &str = "services: {t: {image: x}}\n";
    let blob = format!("/v2/p/blobs/{}", turnout::registry::Digest::of(FILE.as_bytes()));
    type Lie = fn(&str, &str) -> Said;
    let other = FalseRegistry::start(|_, _| Said::ok(FILE));
    let elsewhere = other.host.clone();
    let lies: [(&str, Lie, &[&str]); 7] = [
        (
            "another blob",
            |_, path| {
                if path.contains("blobs") {
                    Said::ok("services: {t: {image: evil1234}}\n")
                } else {
                    Said::ok(&manifest_of(FILE))
                }
            },
            &["its answer is longer than 26 bytes"],
        ),
        (
            "a blob of the same length",
            |_, path| {
                if path.contains("blobs") { Said::ok(&FILE.replace('x', "y")) } else { Said::ok(&manifest_of(FILE)) }
            },
            &["is something else"],
        ),
        (
            "another manifest",
            |_, _| Said::ok("{}").with("Docker-Content-Digest", &format!("sha256:{}", "0".repeat(64))),
            &["does not have the digest"],
        ),
        ("an endless manifest", |_, _| Said::ok(&"x".repeat(5 << 20)), &["longer than 4194304 bytes"]),
        (
            "credentials in the open",
            |_, _| Said::status(401).with("WWW-Authenticate", "Bearer realm=\"http://evil.example/token\""),
            &["it sends credentials to evil.example, without TLS"],
        ),
        (
            "a redirect into the open",
            |_, _| Said::status(307).with("Location", "http://evil.example/x"),
            &["it redirects to evil.example, without TLS"],
        ),
        ("redirects for ever", |_, path| Said::status(307).with("Location", path), &["more than 5 redirects"]),
    ];
    for (what, lie, parts) in lies {
        let registry = FalseRegistry::start(move |host, asked| lie(host, asked.path()));
        let account = serde_json::json!({"username": "me", "password": "hunter2"});
        let desk = Desk::new(login(&registry.host, account));
        eprintln!("{what}");
        desk.refuses(&["-f", &format!("oci://{}/p:v1", registry.host), "config"], parts);
    }
    // Blobs may lie elsewhere; that server learns no password.
    let registry = FalseRegistry::start(move |_, asked| match (asked.path(), asked.pass()) {
        (_, None) => Said::status(401).with("WWW-Authenticate", "Basic realm=\"r\""),
        ("/v2/p/manifests/v1", _) => Said::ok(&manifest_of(FILE)),
        _ => Said::status(307).with("Location", &format!("http://{elsewhere}{blob}?signed=1")),
    });
    let desk = Desk::new(login(&registry.host, serde_json::json!({"username": "me", "password": "hunter2"})));
    let shown = text(&desk.ours(&["-f", &format!("oci://{}/p:v1", registry.host), "config"]));
    assert!(shown.contains("image: x"), "{shown}");
    let asked = other.asked();
    assert!(asked.len() == 1 && asked[0].contains("?signed=1 - "), "{asked:?}");
    assert!(registry.asked().iter().any(|line| line.contains("Basic bWU6aHVudGVyMg==")));
}
