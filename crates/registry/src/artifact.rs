//! Compose projects in registries, as `docker compose publish` puts them there: OCI artifacts.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use serde::Deserialize;

use super::{
    credentials::Credentials,
    error::RegistryError,
    name::{Digest, Name},
    repository::{Manifest, Repository},
};

/// The kind of artifact.
const PROJECT: &str = "application/vnd.docker.compose.project";
/// A Compose file.
const COMPOSE_FILE: &str = "application/vnd.docker.compose.file+yaml";
/// An env file.
const ENV_FILE: &str = "application/vnd.docker.compose.envfile";
/// What marks an artifact where manifests cannot say their kind (OCI 1.0).
const OLD_CONFIG: &str = "application/vnd.docker.compose.config.empty.v1+json";
/// Lists of manifests.
const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
/// Largest file, in bytes.
const MAX_FILE: u64 = 8 << 20;
/// Largest artifact, in bytes, and most files in one.
const MAX_ARTIFACT: u64 = 64 << 20;
const MAX_FILES: usize = 1000;
/// Longest time for each half: finding the artifact, fetching its files.
const PATIENCE: Duration = Duration::from_secs(120);

/// A published project that was found.
pub struct Artifact<'a> {
    name: Name,
    repository: Repository<'a>,
    found: Manifest,
}

/// Files by name; none has a slash in its name.
pub type Files = BTreeMap<String, Vec<u8>>;

impl<'a> Artifact<'a> {
    /// Looks a published project up.
    ///
    /// # Errors
    /// The registry does not answer, refuses, or has no such thing.
    pub async fn find(name: Name, credentials: &'a Credentials) -> Result<Artifact<'a>, RegistryError> {
        let host = name.host().to_owned();
        in_time(&host, async move {
            let mut repository = Repository::of(&name, credentials).await?;
            let found = repository.manifest(name.wanted()).await?;
            Ok(Artifact { name, repository, found })
        })
        .await
    }

    /// Digest of what the name stands for: the same digest, the same files.
    pub fn digest(&self) -> &Digest {
        &self.found.digest
    }

    /// Fetches its files. `main`: what the file is called that its Compose files become together.
    ///
    /// # Errors
    /// As [`Artifact::find`]; or it is no Compose project, or breaks the rules for one.
    pub async fn files(self, main: &str) -> Result<Files, RegistryError> {
        let host = self.name.host().to_owned();
        in_time(&host, self.fetch(main)).await
    }

    async fn fetch(self, main: &str) -> Result<Files, RegistryError> {
        let Artifact { name, mut repository, mut found } = self;
        if INDEXES.contains(&found.media_type.as_str()) {
            let index: Index = read(&found.bytes, &name)?;
            // The last one counts, as in Compose.
            let project = index.manifests.into_iter().rfind(|manifest| manifest.artifact_type == PROJECT);
            let Some(project) = project else {
                let why = format!("{name} is a list of manifests in which no Compose project is");
                return Err(RegistryError::Artifact(why));
            };
            found = repository.manifest(&digest(&project.digest, &name)?.to_string()).await?;
        }
        let layers = layers(&found, &name)?;
        let mut fetched = Vec::with_capacity(layers.len());
        for layer in layers {
            let bytes =
                repository.blob(&digest(&layer.digest, &name)?, usize::try_from(layer.size).unwrap_or(0)).await?;
            fetched.push((layer, bytes));
        }
        lay_out(&fetched, main, &name)
    }
}

async fn in_time<T>(host: &str, work: impl Future<Output = Result<T, RegistryError>>) -> Result<T, RegistryError> {
    let slow = |_| RegistryError::TooSlow { host: host.to_owned(), limit: PATIENCE };
    tokio::time::timeout(PATIENCE, work).await.map_err(slow)?
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(default)]
    artifact_type: String,
    digest: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Contents {
    #[serde(default)]
    artifact_type: String,
    config: Config,
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    media_type: String,
}

/// One file of an artifact.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
    size: u64,
    /// `null` in what some programs write.
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Layer {
    fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(&format!("com.docker.compose.{name}")).map(String::as_str)
    }
}

fn read<'t, T: Deserialize<'t>>(bytes: &'t [u8], name: &Name) -> Result<T, RegistryError> {
    serde_json::from_slice(bytes)
        .map_err(|error| RegistryError::Artifact(format!("{name} has a broken manifest: {error}")))
}

fn digest(text: &str, name: &Name) -> Result<Digest, RegistryError> {
    Digest::parse(text).map_err(|why| RegistryError::Artifact(format!("{name} has a broken manifest: {text:?}: {why}")))
}

/// The files that a manifest promises, if it is that of a Compose project.
fn layers(manifest: &Manifest, name: &Name) -> Result<Vec<Layer>, RegistryError> {
    let contents: Contents = read(&manifest.bytes, name)?;
    let kind = match contents.artifact_type.as_str() {
        "" if contents.config.media_type == OLD_CONFIG => PROJECT,
        "" => &contents.config.media_type,
        kind => kind,
    };
    if kind != PROJECT {
        let why = format!("{name} is not a compose project OCI artifact, but {kind:?}");
        return Err(RegistryError::Artifact(why));
    }
    // What else there is, Compose passes over without fetching it being of any use.
    let mut files: Vec<Layer> = contents.layers;
    files.retain(|layer| layer.media_type == COMPOSE_FILE || layer.media_type == ENV_FILE);
    let whole = files.iter().fold(0u64, |sum, layer| sum.saturating_add(layer.size));
    if files.len() > MAX_FILES || whole > MAX_ARTIFACT || files.iter().any(|layer| layer.size > MAX_FILE) {
        let why =
            format!("{name} is too large: at most {MAX_FILES} files of {MAX_FILE} bytes, {MAX_ARTIFACT} bytes in all");
        return Err(RegistryError::Artifact(why));
    }
    Ok(files)
}

/// Lays the files out as Compose does: the project's own ones become one file of many documents; what is extended from
/// and env files keep the names that the publisher gave them.
fn lay_out(layers: &[(Layer, Bytes)], main: &str, name: &Name) -> Result<Files, RegistryError> {
    let mut files = Files::new();
    for (index, (layer, bytes)) in layers.iter().enumerate() {
        let inside = |given: Option<&str>| match given {
            Some(file) if !file.is_empty() && file != "." && file != ".." && !file.contains(['/', '\\', '\0']) => {
                Ok(file.to_owned())
            }
            other => Err(RegistryError::Artifact(format!(
                "{name} cannot be used: {:?} is no name for a file of an artifact",
                other.unwrap_or_default()
            ))),
        };
        if layer.media_type == ENV_FILE {
            files.insert(inside(layer.annotation("envfile"))?, bytes.to_vec());
            continue;
        }
        let extended = layer.annotation("extends").is_some();
        let file = if extended { inside(layer.annotation("file"))? } else { main.to_owned() };
        let text = files.entry(file).or_default();
        if index > 0 && layer.annotation("file").is_some() {
            text.extend_from_slice(b"\n---\n");
        }
        text.extend_from_slice(bytes);
    }
    if !files.contains_key(main) {
        return Err(RegistryError::Artifact(format!("{name} has no Compose file in it")));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: &str = "compose.yaml";

    fn name() -> Name {
        Name::parse("r.io/a:b").unwrap()
    }

    fn layer(kind: &str, annotations: &[(&str, &str)], text: &'static str) -> (Layer, Bytes) {
        let annotations =
            annotations.iter().map(|(key, value)| (format!("com.docker.compose.{key}"), (*value).to_owned())).collect();
        let layer = Layer {
            media_type: kind.to_owned(),
            digest: Digest::of(text.as_bytes()).to_string(),
            size: text.len() as u64,
            annotations: Some(annotations),
        };
        (layer, Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn files_are_laid_out_as_compose_does() {
        let files = lay_out(
            &[
                layer(COMPOSE_FILE, &[("file", "a.yaml")], "one"),
                layer(COMPOSE_FILE, &[("file", "b.yaml")], "two"),
                layer(COMPOSE_FILE, &[], "joined"),
                layer(COMPOSE_FILE, &[("file", "x.yaml"), ("extends", "true")], "base"),
                layer(ENV_FILE, &[("envfile", "e.env")], "A=1"),
            ],
            MAIN,
            &name(),
        )
        .unwrap();
        let shown: Vec<(&str, &str)> =
            files.iter().map(|(file, text)| (file.as_str(), std::str::from_utf8(text).unwrap())).collect();
        assert_eq!(shown, [("compose.yaml", "one\n---\ntwojoined"), ("e.env", "A=1"), ("x.yaml", "\n---\nbase")]);
    }

    #[test]
    fn files_stay_in_their_folder() {
        for file in ["../x", "/etc/passwd", "a\\b", "..", ".", "", "a\0b"] {
            for bad in [
                layer(COMPOSE_FILE, &[("file", file), ("extends", "true")], "x"),
                layer(ENV_FILE, &[("envfile", file)], "x"),
            ] {
                let error = lay_out(&[bad], MAIN, &name()).unwrap_err().to_string();
                assert!(error.contains("no name for a file"), "{file}: {error}");
            }
        }
        assert!(lay_out(&[layer(ENV_FILE, &[], "x")], MAIN, &name()).is_err());
        assert!(lay_out(&[], MAIN, &name()).unwrap_err().to_string().contains("no Compose file"));
    }

    #[test]
    fn only_compose_projects_of_a_sane_size_are_taken() {
        let parse = |json: serde_json::Value| {
            let bytes = Bytes::from(json.to_string());
            let manifest = Manifest { digest: Digest::of(&bytes), media_type: String::new(), bytes };
            layers(&manifest, &name()).map(|layers| layers.len()).map_err(|error| error.to_string())
        };
        let of = |kind: &str, config: &str, size: u64| {
            let layer =
                serde_json::json!({"mediaType": COMPOSE_FILE, "digest": "x", "size": size, "annotations": null});
            let other = serde_json::json!({"mediaType": "other", "digest": "x", "size": u64::MAX});
            serde_json::json!({"artifactType": kind, "config": {"mediaType": config}, "layers": [layer, other]})
        };
        assert_eq!(parse(of(PROJECT, "any", 1)), Ok(1));
        assert_eq!(parse(of("", OLD_CONFIG, 1)), Ok(1));
        let image = parse(of("", "application/vnd.oci.image.config.v1+json", 1)).unwrap_err();
        assert!(
            image.contains("is not a compose project OCI artifact, but \"application/vnd.oci.image.config"),
            "{image}"
        );
        assert!(parse(of("other", OLD_CONFIG, 1)).is_err());
        assert!(parse(of(PROJECT, "", MAX_FILE + 1)).unwrap_err().contains("too large"));
        assert!(parse(serde_json::json!({})).unwrap_err().contains("broken manifest"));
    }
}
