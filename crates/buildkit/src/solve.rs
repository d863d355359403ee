//! A build through BuildKit's own API.
//!
//! Two calls on one connection: `Solve` builds and answers at the end, `Status` tells what happens meanwhile. Files,
//! secrets and caches in directories move over the session beside them ([`super::session`]). Hanging up cancels both.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;

use super::{
    channel::{Channel, Failure},
    protobuf::{Field, fields, put_bytes},
};

const SOLVE: &str = "/moby.buildkit.v1.Control/Solve";
const STATUS: &str = "/moby.buildkit.v1.Control/Status";
const LIST_WORKERS: &str = "/moby.buildkit.v1.Control/ListWorkers";
/// How long the rest of the output is waited for once the outcome is known, as BuildKit's own client does.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What the BuildKit inside an engine can do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Abilities {
    /// Images are kept in containerd's store, which holds indexes of several platforms and attestations, and exports
    /// caches.
    pub containerd_store: bool,
    /// What `host-gateway` stands for.
    pub host_gateway: Option<String>,
}

impl Abilities {
    /// Asks the engine's BuildKit what its workers can do.
    pub async fn of(channel: &Channel) -> Result<Self, Failure> {
        Ok(Self::read(&channel.unary(LIST_WORKERS, &[]).await?))
    }

    /// Reads the answer to `ListWorkers`; one worker that can is enough.
    fn read(message: &[u8]) -> Self {
        let mut abilities = Self::default();
        for (_, worker) in fields(message) {
            let Field::Bytes(worker) = worker else { continue };
            for (number, label) in fields(worker) {
                let (2, Field::Bytes(label)) = (number, label) else { continue };
                let (name, value) = pair(label);
                match name.as_str() {
                    "org.mobyproject.buildkit.worker.snapshotter" => abilities.containerd_store = true,
                    "org.mobyproject.buildkit.worker.moby.host-gateway-ip" if !value.is_empty() => {
                        abilities.host_gateway = Some(value);
                    }
                    _ => {}
                }
            }
        }
        abilities
    }
}

/// What came out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Solved {
    /// The exporters' answers, by BuildKit's keys.
    pub answers: BTreeMap<String, String>,
}

impl Solved {
    /// ID of the image.
    pub fn image(&self) -> Option<String> {
        self.answers.get("containerimage.digest").cloned()
    }
}

/// A cache: its type by BuildKit's name, and what that takes.
pub type Cache = (String, BTreeMap<String, String>);

/// What is to be built, in BuildKit's own words.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Solve {
    /// Who reads the Dockerfile: `dockerfile.v0` or `gateway.v0`.
    pub frontend: &'static str,
    /// What the frontend is told. May hold secrets.
    pub told: BTreeMap<String, String>,
    /// Names that the image gets.
    pub names: Vec<String>,
    /// Where the cache is written to.
    pub exports: Vec<Cache>,
    /// Where caches are read from.
    pub imports: Vec<Cache>,
    /// What the build may do beyond the usual.
    pub entitlements: Vec<String>,
}

impl Solve {
    /// The `SolveRequest`; `reference` is the build's identifier, and its session's.
    fn message(&self, reference: &str) -> Vec<u8> {
        let Self { frontend, told, names, exports, imports, entitlements } = self;
        // An empty name would be one.
        let exporter = (!names.is_empty()).then(|| ("name".to_owned(), names.join(","))).into_iter().collect();
        let mut message = Vec::new();
        put_bytes(&mut message, 1, reference.as_bytes());
        // The exporter that ends in the engine's image store. Old engines read these fields, new ones take them too.
        put_bytes(&mut message, 3, b"moby");
        put_map(&mut message, 4, &exporter);
        put_bytes(&mut message, 5, reference.as_bytes());
        put_bytes(&mut message, 6, frontend.as_bytes());
        put_map(&mut message, 7, told);
        let mut caches = Vec::new();
        for (field, cache) in exports.iter().map(|cache| (4, cache)).chain(imports.iter().map(|cache| (5, cache))) {
            put_bytes(&mut caches, field, &cache_entry(cache));
        }
        put_bytes(&mut message, 8, &caches);
        for entitlement in entitlements {
            put_bytes(&mut message, 9, entitlement.as_bytes());
        }
        message
    }
}

/// A `CacheOptionsEntry` of BuildKit's `control.proto`.
fn cache_entry((kind, attributes): &Cache) -> Vec<u8> {
    let mut entry = Vec::new();
    put_bytes(&mut entry, 1, kind.as_bytes());
    put_map(&mut entry, 2, attributes);
    entry
}

/// Builds. `show` takes each `StatusResponse` as it comes.
pub async fn solve(
    channel: &Channel,
    reference: &str,
    build: &Solve,
    mut show: impl FnMut(&Bytes),
) -> Result<Solved, Failure> {
    let message = build.message(reference);
    let mut asked = Vec::new();
    put_bytes(&mut asked, 1, reference.as_bytes());
    let outcome = channel.unary(SOLVE, &message);
    let output = async {
        // That the output breaks off is no failure of the build.
        let Ok(mut answers) = channel.stream(STATUS, &asked).await else { return };
        while let Ok(Some(status)) = answers.next().await {
            show(&status);
        }
    };
    let (mut outcome, mut output) = (std::pin::pin!(outcome), std::pin::pin!(output));
    let answer = tokio::select! {
        answer = &mut outcome => {
            let _ = tokio::time::timeout(LAST_WORDS, &mut output).await;
            answer
        }
        () = &mut output => outcome.await,
    }?;
    let mut solved = Solved::default();
    for (number, field) in fields(&answer) {
        if let (1, Field::Bytes(entry)) = (number, field) {
            let (key, value) = pair(entry);
            solved.answers.insert(key, value);
        }
    }
    Ok(solved)
}

/// The engine's words without what only says through how many hands they went.
pub fn plain(words: &str) -> &str {
    const HANDS: &[&str] =
        &["rpc error: code = Unknown desc = ", "failed to solve: ", "failed to solve with frontend "];
    let mut rest = words;
    while let Some(shorter) = HANDS.iter().find_map(|hand| rest.strip_prefix(hand)) {
        rest = shorter;
    }
    match rest.strip_prefix("dockerfile.v0: ").or_else(|| rest.strip_prefix("gateway.v0: ")) {
        Some(shorter) => plain(shorter),
        None => rest,
    }
}

/// An entry of a protobuf map.
pub fn pair(entry: &[u8]) -> (String, String) {
    let (mut key, mut value) = (String::new(), String::new());
    for (number, field) in fields(entry) {
        match (number, field) {
            (1, Field::Bytes(bytes)) => key = String::from_utf8_lossy(bytes).into_owned(),
            (2, Field::Bytes(bytes)) => value = String::from_utf8_lossy(bytes).into_owned(),
            _ => {}
        }
    }
    (key, value)
}

fn put_map(message: &mut Vec<u8>, number: u64, map: &BTreeMap<String, String>) {
    for (key, value) in map {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, key.as_bytes());
        put_bytes(&mut entry, 2, value.as_bytes());
        put_bytes(message, number, &entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abilities_are_read() {
        let label = |key: &str, value: &str| {
            let (mut worker, mut message) = (Vec::new(), Vec::new());
            put_map(&mut worker, 2, &[(key.to_owned(), value.to_owned())].into());
            put_bytes(&mut message, 1, &worker);
            Abilities::read(&message)
        };
        assert_eq!(label("other", "x"), Abilities::default());
        assert!(label("org.mobyproject.buildkit.worker.snapshotter", "overlayfs").containerd_store);
        let gateway = label("org.mobyproject.buildkit.worker.moby.host-gateway-ip", "172.17.0.1");
        assert_eq!(gateway.host_gateway.as_deref(), Some("172.17.0.1"));
    }

    #[test]
    fn a_build_is_said_by_field_number() {
        let pair = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let build = Solve {
            frontend: "dockerfile.v0",
            told: pair("target", "t"),
            names: vec!["a".to_owned(), "b".to_owned()],
            exports: vec![("inline".to_owned(), BTreeMap::new())],
            imports: vec![("registry".to_owned(), pair("ref", "r"))],
            entitlements: vec!["network.host".to_owned()],
        };
        let parts = |message: &[u8]| -> Vec<(u64, Vec<u8>)> {
            let bytes = |(number, field)| match field {
                Field::Bytes(bytes) => Some((number, bytes.to_vec())),
                Field::Varint(_) | Field::Fixed(_) => None,
            };
            fields(message).filter_map(bytes).collect()
        };
        let message = parts(&build.message("id"));
        let shown: Vec<(u64, String)> = (message.iter())
            .map(|(number, bytes)| match number {
                4 | 7 => (*number, format!("{:?}", super::pair(bytes))),
                8 => (*number, String::new()),
                _ => (*number, String::from_utf8(bytes.clone()).unwrap()),
            })
            .collect();
        let wanted = [
            (1, "id"),
            (3, "moby"),
            (4, r#"("name", "a,b")"#),
            (5, "id"),
            (6, "dockerfile.v0"),
            (7, r#"("target", "t")"#),
            (8, ""),
            (9, "network.host"),
        ];
        assert_eq!(shown, wanted.map(|(number, text)| (number, text.to_owned())));
        let caches = parts(&message[6].1);
        assert_eq!(caches.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [4, 5]);
        assert_eq!(parts(&caches[0].1), [(1, b"inline".to_vec())]);
        let read = parts(&caches[1].1);
        assert_eq!((read[0].1.as_slice(), super::pair(&read[1].1)), (&b"registry"[..], ("ref".into(), "r".into())));
        // Without a name nothing is said of one.
        let nameless = Solve { names: Vec::new(), ..build };
        assert!(parts(&nameless.message("id")).iter().all(|(number, _)| *number != 4));
    }

    #[test]
    fn words_are_shortened() {
        let words =
            "rpc error: code = Unknown desc = failed to solve with frontend dockerfile.v0: failed to solve: boom";
        assert_eq!(plain(words), "boom");
        assert_eq!(plain("dockerfile parse error"), "dockerfile parse error");
    }
}
