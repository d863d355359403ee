//! A build in the words of BuildKit's own API: what `POST /build` has no parameters for. Pure.

use std::collections::BTreeMap;

use turnout_buildkit::solve::{Abilities, Cache, Solve};

use super::{
    builder::Builder,
    error::ImageError,
    named::NamedContext,
    request::{BuildRequest, Dockerfile, INSECURE, Source, is_true},
};

/// What an old frontend says to contexts by name.
const NO_CONTEXTS: &str = "unsupported frontend capability moby.buildkit.frontend.contexts";

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

/// What BuildKit is asked for.
///
/// # Errors
/// An attribute that this engine's BuildKit cannot carry out.
pub fn solve_of(request: &BuildRequest, places: &Places, abilities: &Abilities) -> Result<Solve, ImageError> {
    let (frontend, told) = frontend(request, places, abilities)?;
    let mut entitlements = request.entitlements.clone();
    const HOST: &str = "network.host";
    if request.network == "host" && !entitlements.iter().any(|one| one == HOST) {
        entitlements.push(HOST.to_owned());
    }
    let (exports, imports) = (exports(request), imports(request, places));
    Ok(Solve { frontend, told, names: request.tags.clone(), exports, imports, entitlements })
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
        .iter()
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
fn imports(request: &BuildRequest, places: &Places) -> Vec<Cache> {
    let read = request.cache_from.iter().filter_map(|cache| {
        let mut attributes = cache.attributes.clone();
        if cache.kind == "local" && cache.text("digest").is_empty() {
            attributes.insert("digest".to_owned(), places.local_caches.get(cache.text("src"))?.clone());
        }
        Some((cache.kind.clone(), attributes))
    });
    read.collect()
}

/// Where the cache is written to.
fn exports(request: &BuildRequest) -> Vec<Cache> {
    let mut caches: Vec<Cache> =
        request.cache_to.iter().map(|cache| (cache.kind.clone(), cache.attributes.clone())).collect();
    // BuildKit's builtin argument means the same.
    let asked = request.args.get("BUILDKIT_INLINE_CACHE").is_some_and(|value| is_true(value));
    if asked && request.cache_to.iter().all(|cache| cache.kind != "inline") {
        caches.push(("inline".to_owned(), BTreeMap::new()));
    }
    caches
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
