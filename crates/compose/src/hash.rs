//! `config-hash`: the digest by which Compose tells that a container, network or volume is up to date.
//!
//! SHA-256 over the compact JSON that Go's encoder makes of the canonical object (Compose 2.40). The model's field
//! order and scalar forms give that JSON; here stand only what is left out of it and Go's extra escapes.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    model::{Network, Service, Volume},
    render::go_escapes,
};

/// Hash of a service. `service:` references must have been replaced before: see [`with_container_refs`].
pub fn service_hash(service: &Service) -> String {
    digest(&without_what_does_not_count(service))
}

/// The same hash as Compose 5 writes it. It leaves `create_host_path: true` out, which every bind mount in the short form
/// has; nothing else differs. (An explicit `false` does differ as well and is not known here: the model has no explicit
/// one, and a container more is replaced.)
pub fn service_hash_of_compose_5(service: &Service) -> String {
    const CREATED: &str = r#""create_host_path":true"#;
    // Within a text its quotes would be escaped, so only the attribute itself reads like this.
    let text = go_json(&without_what_does_not_count(service));
    let text = text.replace(&format!("{CREATED},"), "").replace(&format!(",{CREATED}"), "").replace(CREATED, "");
    hex::encode(Sha256::digest(text))
}

fn without_what_does_not_count(service: &Service) -> Service {
    let mut hashed = service.clone();
    // What does not shape a container, or is carried out by other means, does not make it obsolete.
    hashed.build = None;
    hashed.pull_policy = String::new();
    hashed.scale = None;
    hashed.depends_on = BTreeMap::new();
    hashed.profiles = Vec::new();
    // The variables were read into `environment`; the label of the real thing never sees the list.
    hashed.env_file = Vec::new();
    if let Some(deploy) = &mut hashed.deploy {
        deploy.replicas = None;
    }
    hashed
}

/// Hash of a service as `config --hash` prints it: env files are not read there, so their list counts; label files are
/// read and forgotten.
///
/// The label of a container is [`service_hash`], which differs for services with either.
pub fn printed_service_hash(service: &Service) -> String {
    let env_file = service.env_file.clone();
    let mut hashed = without_what_does_not_count(service);
    hashed.env_file = env_file;
    hashed.label_file = Vec::new();
    digest(&hashed)
}

/// Hash of a network.
pub fn network_hash(network: &Network) -> String {
    digest(network)
}

/// Hash of a volume; no driver counts as `local`.
pub fn volume_hash(volume: &Volume) -> String {
    let mut hashed = volume.clone();
    if hashed.driver.is_empty() {
        "local".clone_into(&mut hashed.driver);
    }
    digest(&hashed)
}

/// The service with `service:X` namespaces and `volumes_from` entries replaced by container IDs.
///
/// `ids` maps services to the full ID of their first container. References to services that it lacks stay as written.
pub fn with_container_refs(service: &Service, ids: &BTreeMap<String, String>) -> Service {
    let mut resolved = service.clone();
    for mode in [&mut resolved.network_mode, &mut resolved.ipc, &mut resolved.pid] {
        if let Some(id) = Service::shared_service(mode).and_then(|name| ids.get(name)) {
            *mode = format!("container:{id}");
        }
    }
    for entry in &mut resolved.volumes_from {
        // `container:NAME[:ro]` or `SERVICE[:ro]`; Compose drops the access mode on the way.
        let mut parts = entry.split(':');
        let first = parts.next().unwrap_or_default();
        let replacement = if first == "container" { parts.next() } else { ids.get(first).map(String::as_str) };
        if let Some(replacement) = replacement {
            *entry = replacement.to_owned();
        }
    }
    resolved
}

fn digest<T: Serialize>(value: &T) -> String {
    hex::encode(Sha256::digest(go_json(value)))
}

/// Compact JSON with the characters that Go's encoder escapes beyond the standard.
fn go_json<T: Serialize>(value: &T) -> String {
    // The model has string keys and finite numbers only, so writing it cannot fail; should that change, an empty
    // text gives a hash that matches nothing, which costs one recreation.
    go_escapes(&serde_json::to_string(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn service(json: &str) -> Service {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn checklist_06_known_labels_are_reproduced() {
        let plain = service(r#"{"command":null,"entrypoint":null,"image":"ref-bb","networks":{"default":null}}"#);
        assert_eq!(service_hash(&plain), "b76dcf4843e5c94945398355510b88543f8b85b17a43f18dd8128f8acbea50d0");
        let network: Network = serde_json::from_str(r#"{"name":"ref-p1_default","ipam":{}}"#).unwrap();
        assert_eq!(network_hash(&network), "d1d3c4ba5ed3afb1a15bf0c9c87fcd7f9fec6a4efe0649417287392aa51a3405");
        for driver in ["", "local"] {
            let volume = Volume { name: "ref-p1_data".into(), driver: driver.into(), ..Volume::default() };
            assert_eq!(volume_hash(&volume), "744496a1034ff300b1b5a9b1b95dea33cc3bb0a7d9c3a2d1f30e4645f576b48d");
        }
    }

    #[test]
    fn bind_mounts_are_hashed_as_each_compose_hashes_them() {
        let long = r#"{"type":"bind","source":"/e","target":"/e","bind":{"selinux":"z","propagation":"rslave","create_host_path":true,"recursive":"disabled"}}"#;
        let binds = service(&format!(
            r#"{{"image":"i","networks":{{"default":null}},"volumes":[{{"type":"bind","source":"/a","target":"/b","bind":{{"create_host_path":true}}}},{{"type":"bind","source":"/c","target":"/d","read_only":true,"bind":{{"create_host_path":true}}}},{long}]}}"#
        ));
        assert_eq!(service_hash(&binds), "a2aa78619b8f309e0e08c468b0a734b4ab74500dd4f2d2b6b8d8a54f2a3344f8");
        assert_eq!(
            service_hash_of_compose_5(&binds),
            "8cf36918749d635d49358c2bd93fa04f119b9a4c3148351bafdc9b317221b78c"
        );
        // The same text as a value is no attribute.
        let text = service(r#"{"image":"i","environment":{"A":"\"create_host_path\":true"}}"#);
        assert_eq!(service_hash(&text), service_hash_of_compose_5(&text));
    }

    #[test]
    fn what_compose_ignores_does_not_change_the_hash() {
        let base = r#"{"image":"i","deploy":{}"#;
        let expected = service_hash(&service(&format!("{base}}}")));
        for extra in [
            r#""build":{"context":"/c"}"#,
            r#""pull_policy":"always""#,
            r#""scale":3"#,
            r#""depends_on":{"x":{"required":true}}"#,
            r#""profiles":["p"]"#,
            r#""env_file":["/e"]"#,
        ] {
            assert_eq!(service_hash(&service(&format!("{base},{extra}}}"))), expected, "{extra}");
        }
        assert_eq!(service_hash(&service(r#"{"image":"i","deploy":{"replicas":2}}"#)), expected);
        for extra in [r#""command":[]"#, r#""user":"1""#, r#""label_file":["/l"]"#, r#""scale":1,"tty":true"#] {
            assert_ne!(service_hash(&service(&format!("{base},{extra}}}"))), expected, "{extra}");
        }
    }

    #[test]
    fn printed_hashes_know_env_files_but_not_label_files() {
        let base = service(r#"{"image":"i"}"#);
        for (text, printed_differs, label_differs) in
            [(r#"{"image":"i","env_file":["/e"]}"#, true, false), (r#"{"image":"i","label_file":["/l"]}"#, false, true)]
        {
            let other = service(text);
            assert_eq!(printed_service_hash(&other) != printed_service_hash(&base), printed_differs, "{text}");
            assert_eq!(service_hash(&other) != service_hash(&base), label_differs, "{text}");
        }
    }

    /// Every attribute but those above, each with a value that says something.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test reads a fixture")]
    fn everything_else_changes_the_hash() {
        let attributes = include_str!("hash_attributes.json");
        let attributes: serde_json::Map<String, serde_json::Value> = serde_json::from_str(attributes).unwrap();
        let bare = service("{}");
        let mut hashes = BTreeMap::from([(service_hash(&bare), "none".to_owned())]);
        for (name, value) in &attributes {
            let json = serde_json::json!({ name: value }).to_string();
            let one = serde_json::from_str::<Service>(&json).unwrap_or_else(|error| panic!("{json}: {error}"));
            assert_ne!(one, bare, "{name} is not read");
            if let Some(other) = hashes.insert(service_hash(&one), name.clone()) {
                panic!("{name} gives the hash of {other}");
            }
        }
        // The list is complete: with what is left out of the hash it makes up the whole model.
        let whole = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/model/service.rs")).unwrap();
        let fields = whole.split("pub struct Service {").nth(1).unwrap().split("\n}").next().unwrap();
        let fields = fields.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'));
        let excluded = ["build", "pull_policy", "scale", "depends_on", "profiles", "env_file", "extensions"];
        for (field, _) in fields.filter(|(field, _)| !excluded.contains(field)) {
            assert!(attributes.contains_key(field), "{field} is missing in hash_attributes.json");
        }
    }

    #[test]
    fn go_escapes_are_applied() {
        assert_eq!(
            go_json(&"<a> & \u{2028}\u{2029} ü \" \u{1}"),
            "\"\\u003ca\\u003e \\u0026 \\u2028\\u2029 ü \\\" \\u0001\""
        );
    }

    #[test]
    fn references_become_container_ids() {
        let before = service(
            r#"{"network_mode":"service:a","ipc":"service:gone","pid":"host","volumes_from":["a:ro","container:c:ro","gone"]}"#,
        );
        let after = with_container_refs(&before, &[("a".to_owned(), "f00d".to_owned())].into());
        assert_eq!(after.network_mode, "container:f00d");
        assert_eq!(after.ipc, "service:gone");
        assert_eq!(after.pid, "host");
        assert_eq!(after.volumes_from, ["f00d", "c", "gone"]);
    }

    proptest! {
        #[test]
        fn the_order_of_insertion_does_not_matter(pairs in proptest::collection::vec(("[A-Z]{1,6}", ".{0,8}"), 0..12), seed: u64) {
            let unique: BTreeMap<String, String> = pairs.into_iter().collect();
            let mut shuffled: Vec<_> = unique.clone().into_iter().collect();
            shuffled.sort_by_key(|(key, _)| key.bytes().fold(seed, |hash, byte| hash.wrapping_mul(31) ^ u64::from(byte)));
            let first = Service { labels: unique, ..Service::default() };
            let mut second = Service::default();
            for (key, value) in shuffled {
                second.labels.insert(key, value);
            }
            prop_assert_eq!(service_hash(&first), service_hash(&second));
        }

        #[test]
        fn the_order_in_the_file_does_not_matter(
            attributes in Just(vec![
                r#""image":"i""#, r#""environment":{"B":"2","A":"1"}"#, r#""labels":{"y":"","x":"1"}"#,
                r#""sysctls":{"b":"1","a":"2"}"#, r#""tty":true"#, r#""networks":{"n":null,"m":{"priority":1}}"#,
                r#""logging":{"driver":"d","options":{"q":"1","p":"2"}}"#, r#""cap_add":["B","A"]"#,
            ]).prop_shuffle(),
        ) {
            let sorted = r#"{"image":"i","environment":{"A":"1","B":"2"},"labels":{"x":"1","y":""},
                "sysctls":{"a":"2","b":"1"},"tty":true,"networks":{"m":{"priority":1},"n":null},
                "logging":{"driver":"d","options":{"p":"2","q":"1"}},"cap_add":["B","A"]}"#;
            let shuffled = service(&format!("{{{}}}", attributes.join(",")));
            prop_assert_eq!(service_hash(&shuffled), service_hash(&service(sorted)));
            let mut lists = shuffled.clone();
            lists.cap_add.reverse();
            prop_assert!(service_hash(&lists) != service_hash(&shuffled), "the order of a list does matter");
        }
    }
}
