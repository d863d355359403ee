//! What a builder is given: the selection of files, and where it finds the Dockerfile.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest, Sha256};
use turnout_buildkit::{
    Agent, Offer, OfferError,
    content::{Store, Stores},
    filesync::Files,
    layout::Layout,
    ssh_key::SshKey,
    walk::{Selection, lost, read_ignore, told},
};
use turnout_files::{self as files, Folder, Kind, Reach};

use super::{
    context::ContextPlan,
    error::ImageError,
    named::NamedContext,
    operation::ImageContext,
    request::{BuildRequest, Dockerfile, Source},
    solve::Places,
};

/// The tar stream for the classic builder, and the Dockerfile's path in it.
pub async fn tar(request: &BuildRequest) -> Result<(ContextPlan, String), ImageError> {
    let request = request.clone();
    blocking(move || tar_plan(&request)).await
}

/// What is offered to BuildKit.
pub struct Offered {
    /// What BuildKit may ask for during the build.
    pub offer: Offer,
    /// Where the build finds what it refers to.
    pub places: Places,
    /// What the reader should know.
    pub notes: Vec<String>,
}

/// The session for BuildKit.
pub async fn session(request: &BuildRequest, cx: &ImageContext<'_>) -> Result<Offered, ImageError> {
    let (agents, files, stores, places, notes) = {
        let (request, environment) = (request.clone(), cx.environment.clone());
        blocking(move || {
            let agents = agents(&request, &environment)?;
            let (mut files, dockerfile) = buildkit_files(&request)?;
            let mut places = Places { dockerfile, ..Places::default() };
            let mut notes = Vec::new();
            let mut stores = Stores::new();
            named_contexts(&request, &mut files, &mut stores, &mut places)?;
            local_caches(&request, &mut stores, &mut places, &mut notes)?;
            Ok((agents, files, stores, places, notes))
        })
        .await?
    };
    let place = match &request.source {
        Source::Directory(root) => root.to_string_lossy().into_owned(),
        Source::Remote(address) => address.clone(),
    };
    let offer = Offer {
        files,
        credentials: cx.credentials.clone(),
        secrets: request.secrets.clone(),
        reach: request.reach.clone(),
        agents,
        stores,
        shared_key: hex::encode(Sha256::digest(format!("turnout {} {place}", request.project))),
    };
    Ok(Offered { offer, places, notes })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    files::blocking(work).await.unwrap_or_else(|error| Err(lost(error).into()))
}

/// The classic builder finds the Dockerfile in the stream, and knows only the ignore file at the root.
pub fn tar_plan(request: &BuildRequest) -> Result<(ContextPlan, String), ImageError> {
    let root = root_of(request)?;
    let top = root.path();
    let (ignore, ignore_file) = read_ignore(&request.reach, top, &[PathBuf::from(".dockerignore")])?;
    let mut always = Vec::new();
    let mut injected = Vec::new();
    if ignore_file.is_some() {
        always.push(".dockerignore".to_owned());
    }
    let name = if let Dockerfile::Inside(path) = &request.dockerfile {
        check_inside(&request.reach, top, path)?;
        always.push(path.clone());
        path.clone()
    } else {
        let text = dockerfile_text(&request.reach, top, &request.dockerfile)?;
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
    let selection = Selection { root, ignore, always, wild_exceptions: false, only: Vec::new() };
    Ok((ContextPlan { selection, injected }, name))
}

/// BuildKit asks for the Dockerfile apart from the context, and prefers the ignore file beside it.
pub fn buildkit_files(request: &BuildRequest) -> Result<(HashMap<String, Files>, String), ImageError> {
    let mut files = HashMap::new();
    let Source::Directory(_) = &request.source else {
        let name = "Dockerfile".to_owned();
        let text = match &request.dockerfile {
            Dockerfile::Inside(path) => return Ok((files, path.clone())),
            elsewhere => dockerfile_text(&request.reach, Path::new("/"), elsewhere)?,
        };
        files.insert("dockerfile".to_owned(), Files::Generated(vec![(name.clone(), text)]));
        return Ok((files, name));
    };
    let root = root_of(request)?;
    let top = root.path();
    let beside = match &request.dockerfile {
        Dockerfile::Inside(path) => {
            check_inside(&request.reach, top, path)?;
            Some(top.join(path))
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
    let (ignore, ignore_file) = read_ignore(&request.reach, top, &candidates)?;
    let name = "Dockerfile".to_owned();
    let mut generated = vec![(name.clone(), dockerfile_text(&request.reach, top, &request.dockerfile)?)];
    if let Some((path, text)) = ignore_file
        && Some(&path) == beside.as_ref()
    {
        generated.push((format!("{name}.dockerignore"), text));
    }
    files.insert("dockerfile".to_owned(), Files::Generated(generated));
    let selection = Selection { root, ignore, always: Vec::new(), wild_exceptions: true, only: Vec::new() };
    files.insert("context".to_owned(), Files::Directory(selection));
    Ok((files, name))
}

/// Directories and image layouts that the Dockerfile knows by name are offered beside the context.
fn named_contexts(
    request: &BuildRequest,
    files: &mut HashMap<String, Files>,
    stores: &mut Stores,
    places: &mut Places,
) -> Result<(), ImageError> {
    for (name, context) in &request.contexts {
        let attribute = format!("build.additional_contexts.{name}");
        let address = match context {
            NamedContext::Address(address) => address.clone(),
            NamedContext::Directory(root) => {
                let root = request.reach.folder(root).map_err(|error| OfferError::Context {
                    path: root.clone(),
                    problem: told(&error, &format!("check `{attribute}`")),
                })?;
                // These two names are the build's own.
                let own = matches!(name.as_str(), "context" | "dockerfile");
                let place = if own { format!("_{name}") } else { name.clone() };
                let (ignore, _) = read_ignore(&request.reach, root.path(), &[PathBuf::from(".dockerignore")])?;
                let selection = Selection { root, ignore, always: Vec::new(), wild_exceptions: true, only: Vec::new() };
                files.insert(place.clone(), Files::Directory(selection));
                format!("local:{place}")
            }
            NamedContext::Layout { directory, tag, digest } => {
                let layout = Layout::new(&request.reach, directory);
                let found = match digest {
                    Some(digest) => Some(digest.clone()),
                    None => layout.find(tag, true)?,
                };
                let digest = found.ok_or_else(|| OfferError::Layout {
                    path: directory.clone(),
                    problem: format!("its index.json has no image {tag}: check `{attribute}`"),
                })?;
                let mut store = hex::encode(Sha256::digest(directory.to_string_lossy().as_bytes()));
                store.truncate(24);
                stores.insert(format!("oci:{store}"), Store { layout, writable: false });
                format!("oci-layout://{store}:{tag}@{digest}")
            }
        };
        places.contexts.insert(name.clone(), address);
    }
    Ok(())
}

/// Directories that caches are read from and written to.
fn local_caches(
    request: &BuildRequest,
    stores: &mut Stores,
    places: &mut Places,
    notes: &mut Vec<String>,
) -> Result<(), ImageError> {
    let missing = |attribute: &str, key: &str| ImageError::Invalid {
        service: request.service.clone(),
        message: format!("build.{attribute} type=local needs {key}=DIRECTORY"),
    };
    for cache in request.cache_from.iter().filter(|cache| cache.kind == "local") {
        let path = cache.text("src");
        if path.is_empty() {
            return Err(missing("cache_from", "src"));
        }
        let layout = Layout::new(&request.reach, Path::new(path));
        let tag = if cache.text("tag").is_empty() { "latest" } else { cache.text("tag") };
        if cache.text("digest").is_empty() {
            match layout.find(tag, false)? {
                Some(digest) => places.local_caches.insert(path.to_owned(), digest),
                None => {
                    notes.push(format!("build.cache_from: {path} holds no cache {tag} yet; built without it"));
                    continue;
                }
            };
        }
        stores.insert(format!("local:{path}"), Store { layout, writable: false });
    }
    for cache in request.cache_to.iter().filter(|cache| cache.kind == "local") {
        let path = cache.text("dest");
        if path.is_empty() {
            return Err(missing("cache_to", "dest"));
        }
        stores.insert(
            format!("local:{path}"),
            Store { layout: Layout::new(&request.reach, Path::new(path)), writable: true },
        );
    }
    Ok(())
}

/// Notes in the index of each directory what the build wrote there. `manifest` is the engine's description of it.
pub async fn record_caches(request: &BuildRequest, manifest: Option<&String>) -> Result<(), ImageError> {
    let Some(manifest) = manifest.cloned() else { return Ok(()) };
    let reach = request.reach.clone();
    let written: Vec<_> = request.cache_to.iter().filter(|cache| cache.kind == "local").cloned().collect();
    blocking(move || {
        for cache in written {
            let tag = if cache.text("tag").is_empty() { "latest" } else { cache.text("tag") };
            Layout::new(&reach, Path::new(cache.text("dest"))).put(&manifest, tag)?;
        }
        Ok(())
    })
    .await
}

fn root_of(request: &BuildRequest) -> Result<Folder, ImageError> {
    let Source::Directory(root) = &request.source else {
        let message = "has a remote context".to_owned();
        return Err(ImageError::Invalid { service: request.service.clone(), message });
    };
    let folder = request.reach.folder(root);
    Ok(folder
        .map_err(|error| OfferError::Context { path: root.clone(), problem: told(&error, "check `build.context`") })?)
}

fn check_inside(reach: &Reach, root: &Path, path: &str) -> Result<(), OfferError> {
    let full = root.join(path);
    match reach.open(&full) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(OfferError::Context { path: full, problem: "there is no Dockerfile: check `build.dockerfile`".into() })
        }
        Err(error) => Err(OfferError::Context { path: full, problem: told(&error, "check `build.dockerfile`") }),
    }
}

/// The text of a Dockerfile; `root`: the context, in which it may lie.
///
/// # Errors
/// It is not there, or may not be read.
pub fn dockerfile_text(reach: &Reach, root: &Path, dockerfile: &Dockerfile) -> Result<Vec<u8>, OfferError> {
    let path = match dockerfile {
        Dockerfile::Inline(text) => return Ok(text.clone().into_bytes()),
        Dockerfile::Inside(path) => root.join(path),
        Dockerfile::Outside(path) => path.clone(),
    };
    reach.read(&path, Kind::DOCKERFILE).map_err(|error| {
        let problem = told(&error, "check `build.dockerfile`");
        OfferError::Context { path, problem }
    })
}

/// The agents a build may use: sockets, and keys served by one in this process.
fn agents(
    request: &BuildRequest,
    environment: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Agent>, ImageError> {
    let invalid = |message: String| ImageError::Invalid { service: request.service.clone(), message };
    let mut agents = BTreeMap::new();
    for key in &request.ssh {
        let path = match key.path.as_str() {
            "" => environment.get("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from).ok_or_else(
                || {
                    invalid(
                        "build.ssh needs an SSH agent: invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set"
                            .into(),
                    )
                },
            )?,
            path => PathBuf::from(path),
        };
        let wrong = |why: &str| invalid(format!("build.ssh {}: {} {why}", key.id, path.display()));
        // The agent of turnout's user is not the repository's choice; a path is.
        let reach = if key.path.is_empty() { &Reach::Anywhere } else { &request.reach };
        let kind = reach.kind(&path).map_err(|error| wrong(&format!("cannot be read: {}", told(&error, ""))))?;
        let agent = if kind.is_socket() {
            Agent::Socket(path)
        } else {
            Agent::Keys(Arc::new(vec![SshKey::read(reach, &path).map_err(|why| wrong(&why))?]))
        };
        agents.insert(key.id.clone(), agent);
    }
    Ok(agents)
}
