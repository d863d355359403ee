//! Secrets and configs: bind mounts when they are files, copies when they are text.

use std::collections::BTreeMap;

use turnout_compose::model::{FileObject, FileReference, Project, Service};

use super::refuse;
use crate::EngineError;

/// Mode of a copied file unless the reference says otherwise.
const DEFAULT_MODE: u32 = 0o444;

/// A secret or config that is copied into the container before its start, because its source is a variable or the
/// Compose file itself. Debug shows no content.
#[derive(Clone, PartialEq, Eq)]
pub struct CopiedFile {
    /// Absolute path in the container.
    pub target: String,
    /// What is in it.
    pub content: String,
    /// Number of the user that owns it.
    pub uid: u64,
    /// Number of the group that owns it.
    pub gid: u64,
    /// Whether owner or group were asked for.
    pub owned: bool,
    /// Permission bits, such as `0o444`.
    pub mode: u32,
}

impl std::fmt::Debug for CopiedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CopiedFile({}, {} bytes)", self.target, self.content.len())
    }
}

/// A secret or config that is mounted from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountedFile {
    /// File on the host.
    pub source: String,
    /// Absolute path in the container.
    pub target: String,
    /// Whether it is a secret, whose bind never creates the source.
    pub secret: bool,
}

/// What secrets and configs differ in.
struct Kind {
    key: &'static str,
    word: &'static str,
    directory: &'static str,
}

const SECRETS: Kind = Kind { key: "secrets", word: "secret", directory: "/run/secrets/" };
const CONFIGS: Kind = Kind { key: "configs", word: "config", directory: "/" };

/// The files to copy into a container of the service before each start.
///
/// # Errors
/// Swarm objects, variables that are not set, read-only services.
pub fn copied_files(project: &Project, name: &str, service: &Service) -> Result<Vec<CopiedFile>, EngineError> {
    let mut copied = Vec::new();
    for (kind, references, objects) in
        [(SECRETS, &service.secrets, &project.secrets), (CONFIGS, &service.configs, &project.configs)]
    {
        for reference in references {
            let object = object(&kind, name, reference, objects)?;
            if let Some(content) = content(&kind, project, name, reference, object)? {
                if service.read_only {
                    let reason = format!(
                        "cannot create {} {:?} in the read-only service {name}: use `file`, which is mounted",
                        kind.word, reference.source
                    );
                    return Err(refuse(name, format!("{}.{}", kind.key, reference.source), reason));
                }
                copied.push(copy(&kind, name, reference, content)?);
            }
        }
    }
    Ok(copied)
}

/// The files to mount, and warnings about what mounting cannot honour.
pub fn mounted_files(
    project: &Project,
    name: &str,
    service: &Service,
) -> Result<(Vec<MountedFile>, Vec<String>), EngineError> {
    let (mut mounted, mut warnings) = (Vec::new(), Vec::new());
    for (kind, references, objects) in
        [(SECRETS, &service.secrets, &project.secrets), (CONFIGS, &service.configs, &project.configs)]
    {
        for reference in references {
            let object = object(&kind, name, reference, objects)?;
            if !object.content.is_empty() || !object.environment.is_empty() || object.file.is_empty() {
                continue;
            }
            let FileReference { source, target: _, uid, gid, mode } = reference;
            if !uid.is_empty() || !gid.is_empty() || mode.is_some() {
                warnings.push(format!(
                    "{name}: {}.{source}: uid, gid and mode have no effect on a mounted file, it keeps the host's",
                    kind.key
                ));
            }
            mounted.push(MountedFile {
                source: object.file.clone(),
                target: target(&kind, reference),
                secret: kind.key == SECRETS.key,
            });
        }
    }
    Ok((mounted, warnings))
}

/// Looks the object up and refuses what only an orchestrator can do.
fn object<'a>(
    kind: &Kind,
    name: &str,
    reference: &FileReference,
    objects: &'a BTreeMap<String, FileObject>,
) -> Result<&'a FileObject, EngineError> {
    let attribute = || format!("{}.{}", kind.key, reference.source);
    let Some(object) = objects.get(&reference.source) else {
        return Err(refuse(name, attribute(), format!("the project has no such {}", kind.word)));
    };
    let FileObject {
        name: _,
        file,
        environment,
        content,
        external,
        labels: _,
        driver,
        driver_opts: _,
        template_driver,
    } = object;
    if *external {
        return Err(refuse(name, attribute(), "external ones live in a Swarm; use file, environment or content"));
    }
    if !driver.is_empty() || !template_driver.is_empty() {
        return Err(refuse(name, attribute(), "driver and template_driver need a Swarm"));
    }
    if file.is_empty() && environment.is_empty() && content.is_empty() && kind.key == SECRETS.key {
        return Err(refuse(name, attribute(), "has neither file nor environment"));
    }
    Ok(object)
}

fn content(
    kind: &Kind,
    project: &Project,
    name: &str,
    reference: &FileReference,
    object: &FileObject,
) -> Result<Option<String>, EngineError> {
    if !object.content.is_empty() {
        return Ok(Some(object.content.clone()));
    }
    if object.environment.is_empty() {
        return Ok(None);
    }
    match project.environment.get(&object.environment) {
        // An empty one creates no file, as with Compose.
        Some(value) => Ok((!value.is_empty()).then(|| value.clone())),
        None => {
            let reason = format!(
                "environment variable {:?} required by {} {:?} is not set",
                object.environment, kind.word, reference.source
            );
            Err(refuse(name, format!("{}.{}", kind.key, reference.source), reason))
        }
    }
}

fn copy(kind: &Kind, name: &str, reference: &FileReference, content: String) -> Result<CopiedFile, EngineError> {
    let FileReference { source, target: _, uid, gid, mode } = reference;
    let number = |key: &str, text: &str| {
        if text.is_empty() {
            return Ok(0);
        }
        text.parse::<u64>()
            .map_err(|_| refuse(name, format!("{}.{source}.{key}", kind.key), format!("{text:?} is not a number")))
    };
    Ok(CopiedFile {
        target: target(kind, reference),
        content,
        uid: number("uid", uid)?,
        gid: number("gid", gid)?,
        owned: !uid.is_empty() || !gid.is_empty(),
        mode: mode.map_or(DEFAULT_MODE, |m| u32::try_from(m.0).unwrap_or(DEFAULT_MODE)),
    })
}

fn target(kind: &Kind, reference: &FileReference) -> String {
    let FileReference { source, target, .. } = reference;
    match target.as_str() {
        "" => format!("{}{source}", kind.directory),
        absolute if absolute.starts_with('/') => absolute.to_owned(),
        relative => format!("{}{relative}", kind.directory),
    }
}
