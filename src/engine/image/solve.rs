//! A build through BuildKit's own API: what `POST /build` has no parameters for.
//!
//! Two calls on one connection: `Solve` builds and answers at the end, `Status` tells what happens meanwhile. Files,
//! secrets and caches in directories move over the session beside them ([`super::session`]). Hanging up cancels both.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;

use super::{
    builder::Builder,
    error::ImageError,
    grpc_client::{Channel, Failure},
    named::NamedContext,
    protobuf::{Field, fields, put_bytes},
    request::{BuildRequest, Dockerfile, INSECURE, Source, is_true},
};
const SOLVE: &str = "/moby.buildkit.v1.Control/Solve";
const STATUS: &str = "/moby.buildkit.v1.Control/Status";
const LIST_WORKERS: &str = "/moby.buildkit.v1.Control/ListWorkers";
/// How long the rest of the output is waited for once the outcome is known, as BuildKit's own client does.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// What an old frontend says to contexts by name.
const NO_CONTEXTS: &str = "unsupported frontend capability moby.buildkit.frontend.contexts";

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
    /// Asks the engine.
    pub async fn of(channel: &Channel) -> Result<Self, Failure> {
        Ok(Self::read(&channel.unary(LIST_WORKERS, &[]).await?))
    }

    /// Reads `ListWorkersResponse`.
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

/// Where the session keeps what a build refers to.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The Dockerfile's name in the session's directory `dockerfile`, or in the remote context.
    pub dockerfile: String,
    /// What the frontend is told of each context by name.
    pub contexts: BTreeMap<String, String>,
    /// Digest of the newest cache in the directory of a `cache_from` of type local; those without are left out.
    pub local_caches: BTreeMap<String, String>,
}

/// Refuses what this engine's BuildKit cannot do, by name.
pub fn refuse(request: &BuildRequest, abilities: &Abilities) -> Result<(), ImageError> {
    if abilities.containerd_store {
        return Ok(());
    }
    let beyond_store = |attribute: String, hint: &str| ImageError::Unsupported {
        service: request.service.clone(),
        attribute,
        by: "this engine's image store".to_owned(),
        hint: format!(
            "{hint} (`\"features\": {{\"containerd-snapshotter\": true}}` in daemon.json, Docker 25 or later)"
        ),
    };
    if let Some(cache) = request.cache_to.iter().find(|cache| cache.kind != "inline") {
        let hint = "use type=inline, or turn on the engine's containerd image store";
        return Err(beyond_store(format!("build.cache_to type={}", cache.kind), hint));
    }
    if let Some(kind) = request.attestations.keys().next() {
        let hint = "it holds no attestations: set it to false, or turn on the engine's containerd image store";
        return Err(beyond_store(format!("build.{kind}"), hint));
    }
    if let Some((name, _)) = request.contexts.iter().find(|(_, c)| matches!(c, NamedContext::Layout { .. })) {
        let hint = "load the image and use docker-image://, or turn on the engine's containerd image store";
        return Err(beyond_store(format!("build.additional_contexts.{name} with oci-layout://"), hint));
    }
    if request.platforms.len() > 1 {
        let hint = "Multi-platform build is not supported for the docker driver. Name one platform, or turn on the engine's containerd image store";
        return Err(beyond_store("build.platforms with several platforms".to_owned(), hint));
    }
    Ok(())
}

/// Builds. `show` takes each `StatusResponse` as it comes.
pub async fn solve(
    channel: &Channel,
    reference: &str,
    message: &[u8],
    mut show: impl FnMut(&Bytes),
) -> Result<Solved, Failure> {
    let mut asked = Vec::new();
    put_bytes(&mut asked, 1, reference.as_bytes());
    let outcome = channel.unary(SOLVE, message);
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

/// The `SolveRequest` of a build.
pub fn message(
    request: &BuildRequest,
    places: &Places,
    abilities: &Abilities,
    reference: &str,
) -> Result<Vec<u8>, ImageError> {
    let names: Vec<_> = request.tags.iter().map(String::as_str).collect();
    let exporter = [("name".to_owned(), names.join(","))].into();
    let (frontend, attributes) = frontend(request, places, abilities)?;
    let mut message = Vec::new();
    put_bytes(&mut message, 1, reference.as_bytes());
    // The exporter that ends in the engine's image store. Old engines read these fields, new ones take them too.
    put_bytes(&mut message, 3, b"moby");
    put_map(&mut message, 4, &exporter);
    put_bytes(&mut message, 5, reference.as_bytes());
    put_bytes(&mut message, 6, frontend.as_bytes());
    put_map(&mut message, 7, &attributes);
    put_bytes(&mut message, 8, &caches(request, places));
    let host = (request.network == "host").then_some("network.host");
    let more = request.entitlements.iter().map(String::as_str);
    for entitlement in more.chain(host.filter(|host| !request.entitlements.iter().any(|e| e == host))) {
        put_bytes(&mut message, 9, entitlement.as_bytes());
    }
    Ok(message)
}

/// The frontend and what it is told.
fn frontend(
    request: &BuildRequest,
    places: &Places,
    abilities: &Abilities,
) -> Result<(&'static str, BTreeMap<String, String>), ImageError> {
    let mut told = BTreeMap::new();
    let mut tell = |key: &str, value: &str| told.insert(key.to_owned(), value.to_owned());
    let mut frontend = "dockerfile.v0";
    if let Some(syntax) = request.args.get("BUILDKIT_SYNTAX") {
        frontend = "gateway.v0";
        tell("source", syntax.split_whitespace().next().unwrap_or_default());
        tell("cmdline", syntax);
    }
    if let Source::Remote(address) = &request.source {
        tell("context", address);
        if !matches!(request.dockerfile, Dockerfile::Inside(_)) {
            tell("dockerfilekey", "dockerfile");
        }
    }
    tell("filename", &places.dockerfile);
    for (key, value) in &request.args {
        tell(&format!("build-arg:{key}"), value);
    }
    for (key, value) in request.labels_for(Builder::Solve) {
        tell(&format!("label:{key}"), &value);
    }
    // As the real command line has it with the engine's own builder: images that are here are taken from here.
    tell("image-resolve-mode", if request.pull { "pull" } else { "local" });
    if !request.target.is_empty() {
        tell("target", &request.target);
    }
    // Without a name it holds for all stages.
    if request.no_cache || !request.no_cache_filter.is_empty() {
        let stages = if request.no_cache { String::new() } else { request.no_cache_filter.join(",") };
        tell("no-cache", &stages);
    }
    if !request.platforms.is_empty() {
        tell("platform", &request.platforms.join(","));
    }
    if matches!(request.network.as_str(), "host" | "none") {
        tell("force-network-mode", &request.network);
    }
    let hosts = hosts(request, abilities)?;
    if !hosts.is_empty() {
        tell("add-hosts", &hosts.join(","));
    }
    if request.shm_size > 0 {
        tell("shm-size", &request.shm_size.to_string());
    }
    let ulimits: Vec<_> = request.ulimits.iter().map(|u| format!("{}={}:{}", u.name, u.soft, u.hard)).collect();
    if !ulimits.is_empty() {
        tell("ulimit", &ulimits.join(","));
    }
    for (kind, parameters) in &request.attestations {
        tell(&format!("attest:{kind}"), parameters);
    }
    for (name, address) in &places.contexts {
        tell(&format!("context:{name}"), address);
    }
    if !places.contexts.is_empty() {
        // A frontend that does not know contexts by name must say so instead of looking for images of these names,
        // unless the Dockerfile's first line names another frontend.
        tell("frontend.caps", "moby.buildkit.frontend.contexts+forward");
    }
    let imports: Vec<_> = imports(request, places)
        .map(|(kind, attributes)| serde_json::json!({"Type": kind, "Attrs": attributes}))
        .collect();
    if !imports.is_empty() {
        tell("cache-imports", &serde_json::Value::from(imports).to_string());
    }
    Ok((frontend, told))
}

fn hosts(request: &BuildRequest, abilities: &Abilities) -> Result<Vec<String>, ImageError> {
    let one = |line: &String| {
        let (host, address) = line.split_once(':').unwrap_or((line, ""));
        let address = match (address, &abilities.host_gateway) {
            ("host-gateway", Some(gateway)) => gateway,
            ("host-gateway", None) => {
                return Err(ImageError::Unsupported {
                    service: request.service.clone(),
                    attribute: "build.extra_hosts with host-gateway".to_owned(),
                    by: "this engine's BuildKit API".to_owned(),
                    hint: "write the address, or update the engine to 23 or later".to_owned(),
                });
            }
            (address, _) => address.trim_start_matches('[').trim_end_matches(']'),
        };
        Ok(format!("{host}={address}"))
    };
    request.extra_hosts.iter().map(one).collect()
}

/// Cache sources as BuildKit takes them; a directory without a cache is left out.
fn imports<'a>(
    request: &'a BuildRequest,
    places: &'a Places,
) -> impl Iterator<Item = (&'a str, BTreeMap<String, String>)> {
    request.cache_from.iter().filter_map(|cache| {
        let mut attributes = cache.attributes.clone();
        if cache.kind == "local" && cache.text("digest").is_empty() {
            attributes.insert("digest".to_owned(), places.local_caches.get(cache.text("src"))?.clone());
        }
        Some((cache.kind.as_str(), attributes))
    })
}

/// `CacheOptions`.
fn caches(request: &BuildRequest, places: &Places) -> Vec<u8> {
    let mut message = Vec::new();
    let entry = |kind: &str, attributes: &BTreeMap<String, String>| {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, kind.as_bytes());
        put_map(&mut entry, 2, attributes);
        entry
    };
    for cache in &request.cache_to {
        put_bytes(&mut message, 4, &entry(&cache.kind, &cache.attributes));
    }
    // BuildKit's builtin argument means the same.
    let asked = request.args.get("BUILDKIT_INLINE_CACHE").is_some_and(|value| is_true(value));
    if asked && request.cache_to.iter().all(|cache| cache.kind != "inline") {
        put_bytes(&mut message, 4, &entry("inline", &BTreeMap::new()));
    }
    for (kind, attributes) in imports(request, places) {
        put_bytes(&mut message, 5, &entry(kind, &attributes));
    }
    message
}

/// The engine's words as an error that says what to do, where they are known.
pub fn explain(request: &BuildRequest, words: &str) -> Option<ImageError> {
    let unsupported = |attribute: String, by: &str, hint: &str| {
        Some(ImageError::Unsupported {
            service: request.service.clone(),
            attribute,
            by: by.to_owned(),
            hint: hint.to_owned(),
        })
    };
    if words.contains(NO_CONTEXTS) {
        return unsupported(
            "build.additional_contexts".to_owned(),
            "this engine's Dockerfile frontend",
            "write `# syntax=docker/dockerfile:1` as the Dockerfile's first line, which fetches a newer one, or update \
             the engine to 23 or later",
        );
    }
    let entitlement = words.split_once("granting entitlement ").and_then(|(_, rest)| rest.split_once(' '));
    if let Some((entitlement, _)) = entitlement {
        let hint = match entitlement {
            INSECURE => {
                "allow it with `\"builder\": {\"entitlements\": {\"security-insecure\": true}}` in the engine's \
                 daemon.json, or remove build.privileged and build.entitlements"
            }
            "network.host" => {
                "allow it with `\"builder\": {\"entitlements\": {\"network-host\": true}}` in the engine's daemon.json, \
                 or remove it"
            }
            _ => "remove it",
        };
        let by = "this engine's configuration";
        return unsupported(format!("build.entitlements {entitlement}"), by, hint);
    }
    if let Some((_, entitlement)) = words.split_once("unknown entitlement ") {
        return unsupported(format!("build.entitlements {entitlement}"), "this engine's BuildKit", "remove it");
    }
    if let Some((_, kind)) = words.split_once("unknown cache exporter: ") {
        let kind = kind.trim_matches('"');
        return unsupported(format!("build.cache_to type={kind}"), "this engine's BuildKit", "use type=inline");
    }
    None
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
    fn words_are_shortened() {
        let words =
            "rpc error: code = Unknown desc = failed to solve with frontend dockerfile.v0: failed to solve: boom";
        assert_eq!(plain(words), "boom");
        assert_eq!(plain("dockerfile parse error"), "dockerfile parse error");
    }
}
