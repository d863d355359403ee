//! What a builder is given: the selection of files, and where it finds the Dockerfile.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{
    ImageContext,
    context::ContextPlan,
    error::ImageError,
    filesync::Files,
    request::{BuildRequest, Dockerfile, Source},
    session::Offer,
    walk::{Selection, cannot, read_ignore},
};

/// Largest Dockerfile that is read, in bytes.
const MAX_DOCKERFILE: u64 = 4 * 1024 * 1024;

/// The tar stream for the classic builder, and the Dockerfile's path in it.
pub async fn tar(request: &BuildRequest) -> Result<(ContextPlan, String), ImageError> {
    let request = request.clone();
    blocking(move || tar_plan(&request)).await
}

/// What is offered to BuildKit.
pub struct Offered {
    /// The session's content.
    pub offer: Offer,
    /// The Dockerfile's name in it.
    pub dockerfile: String,
}

/// The session for BuildKit.
pub async fn session(request: &BuildRequest, cx: &ImageContext<'_>) -> Result<Offered, ImageError> {
    let agents = agents(request, cx.environment)?;
    let (files, dockerfile) = {
        let request = request.clone();
        blocking(move || buildkit_files(&request)).await?
    };
    let place = match &request.source {
        Source::Directory(root) => root.to_string_lossy().into_owned(),
        Source::Remote(address) => address.clone(),
    };
    let offer = Offer {
        files,
        credentials: cx.credentials.clone(),
        secrets: request.secrets.clone(),
        agents,
        shared_key: hex::encode(Sha256::digest(format!("turnout {} {place}", request.project))),
    };
    Ok(Offered { offer, dockerfile })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(ImageError::Context { path: PathBuf::new(), problem: format!("the reader died: {error}") })
    })
}

/// The classic builder finds the Dockerfile in the stream, and knows only the ignore file at the root.
pub fn tar_plan(request: &BuildRequest) -> Result<(ContextPlan, String), ImageError> {
    let root = root_of(request)?;
    let (ignore, ignore_file) = read_ignore(root, &[PathBuf::from(".dockerignore")])?;
    let mut always = Vec::new();
    let mut injected = Vec::new();
    if ignore_file.is_some() {
        always.push(".dockerignore".to_owned());
    }
    let name = if let Dockerfile::Inside(path) = &request.dockerfile {
        check_inside(root, path)?;
        always.push(path.clone());
        path.clone()
    } else {
        let text = dockerfile_text(root, &request.dockerfile)?;
        // Named after its content: a random name would make every build differ and defeat the cache.
        let digest = hex::encode(Sha256::digest(&text));
        let name = format!(".dockerfile.{}", digest.get(..20).unwrap_or(&digest));
        // The builder drops what the stream's ignore file names before it copies anything.
        let mut ignore_text = ignore_file.map(|(_, text)| text).unwrap_or_default();
        ignore_text.extend_from_slice(format!("\n.dockerignore\n{name}\n").as_bytes());
        always.clear();
        injected = vec![(name.clone(), text), (".dockerignore".to_owned(), ignore_text)];
        name
    };
    let selection = Selection { root: root.to_owned(), ignore, always, wild_exceptions: false, only: Vec::new() };
    Ok((ContextPlan { selection, injected }, name))
}

/// BuildKit asks for the Dockerfile apart from the context, and prefers the ignore file beside it.
fn buildkit_files(request: &BuildRequest) -> Result<(HashMap<&'static str, Files>, String), ImageError> {
    let mut files = HashMap::new();
    let Source::Directory(_) = &request.source else {
        let Dockerfile::Inside(path) = &request.dockerfile else {
            let message = "has a remote context, so its Dockerfile must be there too".to_owned();
            return Err(ImageError::Invalid { service: request.service.clone(), message });
        };
        return Ok((files, path.clone()));
    };
    let root = root_of(request)?;
    let beside = match &request.dockerfile {
        Dockerfile::Inside(path) => {
            check_inside(root, path)?;
            Some(root.join(path))
        }
        Dockerfile::Outside(path) => Some(path.clone()),
        Dockerfile::Inline(_) => None,
    };
    let beside = beside.map(|mut path| {
        let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
        name.push(".dockerignore");
        path.set_file_name(name);
        path
    });
    let candidates: Vec<PathBuf> = beside.iter().cloned().chain([PathBuf::from(".dockerignore")]).collect();
    let (ignore, ignore_file) = read_ignore(root, &candidates)?;
    let name = "Dockerfile".to_owned();
    let mut generated = vec![(name.clone(), dockerfile_text(root, &request.dockerfile)?)];
    if let Some((path, text)) = ignore_file
        && Some(&path) == beside.as_ref()
    {
        generated.push((format!("{name}.dockerignore"), text));
    }
    files.insert("dockerfile", Files::Generated(generated));
    let selection =
        Selection { root: root.to_owned(), ignore, always: Vec::new(), wild_exceptions: true, only: Vec::new() };
    files.insert("context", Files::Directory(selection));
    Ok((files, name))
}

fn root_of(request: &BuildRequest) -> Result<&Path, ImageError> {
    let Source::Directory(root) = &request.source else {
        let message = "has a remote context".to_owned();
        return Err(ImageError::Invalid { service: request.service.clone(), message });
    };
    let refuse = |problem: String| Err(ImageError::Context { path: root.clone(), problem });
    match std::fs::metadata(root) {
        Ok(meta) if meta.is_dir() => Ok(root),
        Ok(_) => refuse("is not a directory: check `build.context`".into()),
        Err(error) => refuse(format!("{error}: check `build.context`")),
    }
}

fn check_inside(root: &Path, path: &str) -> Result<(), ImageError> {
    let full = root.join(path);
    if full.is_file() {
        return Ok(());
    }
    Err(ImageError::Context { path: full, problem: "there is no Dockerfile: check `build.dockerfile`".into() })
}

fn dockerfile_text(root: &Path, dockerfile: &Dockerfile) -> Result<Vec<u8>, ImageError> {
    let path = match dockerfile {
        Dockerfile::Inline(text) => return Ok(text.clone().into_bytes()),
        Dockerfile::Inside(path) => root.join(path),
        Dockerfile::Outside(path) => path.clone(),
    };
    let refuse = |problem: String| ImageError::Context { path: path.clone(), problem };
    let meta = std::fs::metadata(&path).map_err(|error| refuse(format!("{error}: check `build.dockerfile`")))?;
    if !meta.is_file() || meta.len() > MAX_DOCKERFILE {
        return Err(refuse("is not a Dockerfile: check `build.dockerfile`".into()));
    }
    std::fs::read(&path).map_err(|error| cannot(&path, error))
}

/// Sockets of the agents a build may use.
fn agents(
    request: &BuildRequest,
    environment: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, PathBuf>, ImageError> {
    let invalid = |message: String| ImageError::Invalid { service: request.service.clone(), message };
    let mut agents = BTreeMap::new();
    for key in &request.ssh {
        let path = match key.path.as_str() {
            "" => environment
                .get("SSH_AUTH_SOCK")
                .map(PathBuf::from)
                .ok_or_else(|| invalid("build.ssh needs an SSH agent, but SSH_AUTH_SOCK is not set".into()))?,
            path => PathBuf::from(path),
        };
        let is_socket = std::fs::metadata(&path)
            .map(|meta| std::os::unix::fs::FileTypeExt::is_socket(&meta.file_type()))
            .map_err(|error| invalid(format!("build.ssh {}: {}: {error}", key.id, path.display())))?;
        if !is_socket {
            return Err(ImageError::Unsupported {
                service: request.service.clone(),
                attribute: format!("build.ssh {} with a key file", key.id),
                by: String::new(),
                hint: "load the key into an SSH agent and name the agent's socket".into(),
            });
        }
        agents.insert(key.id.clone(), path);
    }
    Ok(agents)
}
