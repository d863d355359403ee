//! Reads what goes into the image of a service, the way its builder would read it: the same files, the same ignore
//! file, the same arguments.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{Hasher, Manifest, Memory, Parents, parents, platform_args, reads_repository};
use crate::{
    buildkit::{
        filesync::Files,
        layout::Layout,
        walk::{self, Entry, Kind, Selection, cannot},
    },
    compose::{model::Project, reference::familiar},
    decide::REBUILD_TRIGGER,
    engine::{
        Engine, EngineError, InputReader, InputsRead,
        image::{
            ImageError,
            builder::{Builder, BuilderChoice},
            named::NamedContext,
            policy::platform_parts,
            prepare,
            request::{BuildOptions, BuildRequest, Dockerfile, Source},
        },
    },
    files, git,
};

/// Permissions that an image keeps of a file.
const PERMISSIONS: u32 = 0o7777;
/// What the address of an image begins with, where it is a context.
const IMAGE_SCHEME: &str = "docker-image://";

/// How and with what memory inputs are read.
#[derive(Debug, Clone)]
pub struct InputSettings {
    /// Which builder is to be used: they do not read the same ignore files.
    pub builder: BuilderChoice,
    /// Where digests of the repository's files are remembered.
    pub digests: PathBuf,
    /// What images were built from.
    pub memory: Memory,
}

impl InputSettings {
    /// Where digests of a repository's mounted files are remembered: apart from those of build contexts, for each forgets
    /// what was not asked for.
    pub fn mounted(state: &Path, repo: &str) -> PathBuf {
        state.join("inputs").join(format!("{}.mounted", hex::encode(repo)))
    }

    /// Where digests of files that colours mount copies of are remembered.
    pub fn copied(state: &Path, repo: &str) -> PathBuf {
        state.join("inputs").join(format!("{}.copied", hex::encode(repo)))
    }

    /// For a repository, under the state directory.
    pub fn new(state: &Path, repo: &str, builder: BuilderChoice) -> Self {
        let folder = state.join("inputs");
        let digests = folder.join(format!("{}.digests", hex::encode(repo)));
        Self { builder, digests, memory: Memory::new(folder.join("images")) }
    }
}

/// What goes into an image.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// All of it, or why it cannot be seen.
    pub manifest: Result<Manifest, String>,
    /// Services of the project whose images it is built upon.
    pub bases: BTreeSet<String>,
}

/// What one service brings into its image, before the engine is asked about the images it is built upon.
struct Part {
    service: String,
    read: Result<(Manifest, Vec<String>), String>,
}

/// What goes into the images that the project builds (`only`: into this one), by their names.
///
/// # Errors
/// When the engine does not answer.
pub async fn image_inputs(
    engine: &Engine,
    project: &Project,
    only: Option<&str>,
    settings: &InputSettings,
    cancel: &CancellationToken,
) -> Result<BTreeMap<String, Inputs>, EngineError> {
    let builds = builds(project);
    let wanted: Vec<_> = builds.iter().filter(|(image, _)| only.is_none_or(|only| only == *image)).collect();
    let mut requests = Vec::new();
    for (image, services) in wanted {
        for service in services {
            let options = BuildOptions::default();
            let request = BuildRequest::of(project, service, &project.environment, engine.proxy_variables(), options);
            let request = request.and_then(|request| {
                let (builder, _) = request.choose(settings.builder, engine.version())?;
                Ok((request, builder))
            });
            requests.push((image.clone(), service.clone(), request.map_err(|error| error.to_string())));
        }
    }
    let own = match requests.is_empty() {
        true => String::new(),
        false => engine.platform().await?,
    };
    let (digests, cancel, root) = (settings.digests.clone(), cancel.clone(), project.working_dir.clone());
    let all = only.is_none();
    let read = files::blocking(move || {
        let mut reader = Tracer { hasher: Hasher::open(digests), cancel, root, platform: own };
        let parts: Vec<(String, Part)> = requests
            .into_iter()
            .map(|(image, service, request)| {
                let read = request.and_then(|(request, builder)| reader.read(&request, builder));
                (image, Part { service, read })
            })
            .collect();
        if let Err(error) = reader.hasher.save(all) {
            tracing::debug!(%error, "cannot remember the digests of files; they are read again the next time");
        }
        parts
    });
    let read = read.await.map_err(|error| ImageError::from(walk::lost(error)).of_engine())?;
    let mut images: BTreeMap<String, Vec<Part>> = BTreeMap::new();
    for (image, part) in read {
        images.entry(image).or_default().push(part);
    }
    let makers = makers(project, &builds);
    let mut out = BTreeMap::new();
    for (image, parts) in images {
        out.insert(image, complete(engine, parts, &makers).await?);
    }
    Ok(out)
}

/// Adds the images that it is built upon, and joins what several services bring into one image.
async fn complete(engine: &Engine, parts: Vec<Part>, makers: &[(String, String)]) -> Result<Inputs, EngineError> {
    let mut bases = BTreeSet::new();
    let mut manifests: Vec<(String, Manifest)> = Vec::new();
    let mut blind = None;
    for Part { service, read } in parts {
        let (mut manifest, parents) = match read {
            Ok(read) => read,
            Err(why) => {
                blind.get_or_insert(why);
                continue;
            }
        };
        for parent in parents {
            let wanted = familiar(&parent);
            bases.extend(makers.iter().filter(|(name, _)| *name == wanted).map(|(_, service)| service.clone()));
            let found = engine.find_image(&parent).await.unwrap_or_default().and_then(|image| image.id);
            manifest.image(&parent, found.as_deref());
        }
        bases.remove(&service);
        manifests.push((service, manifest));
    }
    let alike = manifests.windows(2).all(|pair| matches!(pair, [(_, one), (_, other)] if one == other));
    let manifest = match blind {
        Some(why) => Err(why),
        None if alike => Ok(manifests.pop().map(|(_, manifest)| manifest).unwrap_or_default()),
        None => {
            let mut joined = Manifest::default();
            for (service, manifest) in manifests {
                joined.absorb(&service, manifest);
            }
            Ok(joined)
        }
    };
    Ok(Inputs { manifest, bases })
}

impl InputReader for InputSettings {
    fn read<'a>(
        &'a self,
        engine: &'a Engine,
        project: &'a Project,
        image: &'a str,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Option<Box<dyn InputsRead>>, EngineError>> {
        Box::pin(async move {
            let mut inputs = image_inputs(engine, project, Some(image), self, cancel).await?;
            let manifest = inputs.remove(image).and_then(|inputs| inputs.manifest.ok());
            Ok(manifest.map(|manifest| Box::new(Seen { manifest, memory: self.memory.clone() }) as _))
        })
    }
}

/// What a build was about to read.
struct Seen {
    manifest: Manifest,
    memory: Memory,
}

impl InputsRead for Seen {
    fn fingerprint(&self) -> String {
        self.manifest.fingerprint()
    }

    fn built<'a>(self: Box<Self>, engine: &'a Engine, id: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move {
            let Seen { mut manifest, memory } = *self;
            // The classic builder keeps what it fetched; what BuildKit fetched, it keeps to itself.
            for reference in manifest.absent_images() {
                if let Some(id) = engine.find_image(&reference).await?.and_then(|image| image.id) {
                    manifest.image_came(&reference, &id);
                }
            }
            let id = id.to_owned();
            let written = tokio::task::spawn_blocking(move || memory.remember(&id, &manifest)).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(%error, "cannot remember what an image was built from; it may be built once more");
            }
            Ok(())
        })
    }
}

/// The services that build each image. One that takes no part counts where its image is a context of another's build.
fn builds(project: &Project) -> BTreeMap<String, Vec<String>> {
    let mut builds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let active = project.services.iter().filter(|(_, service)| service.build.is_some() && service.provider.is_none());
    for (name, service) in active {
        builds.entry(service.image_name(&project.name, name)).or_default().push(name.clone());
    }
    let contexts = project.services.values().chain(project.disabled_services.values()).filter_map(|s| s.build.as_ref());
    for name in contexts.flat_map(|build| build.additional_contexts.values()).filter_map(|v| v.strip_prefix("service:"))
    {
        let Some(service) = project.disabled_services.get(name).filter(|service| service.build.is_some()) else {
            continue;
        };
        let services = builds.entry(service.image_name(&project.name, name)).or_default();
        if !services.iter().any(|known| known == name) {
            services.push(name.to_owned());
        }
    }
    builds
}

/// Every name that a build of the project gives, with the service that gives it.
fn makers(project: &Project, builds: &BTreeMap<String, Vec<String>>) -> Vec<(String, String)> {
    let mut makers = Vec::new();
    for (image, services) in builds {
        for service in services {
            let found = project.services.get(service).or_else(|| project.disabled_services.get(service));
            let tags = found.and_then(|service| service.build.as_ref()).into_iter().flat_map(|build| &build.tags);
            makers.extend([image].into_iter().chain(tags).map(|name| (familiar(name), service.clone())));
        }
    }
    makers
}

struct Tracer {
    hasher: Hasher,
    cancel: CancellationToken,
    /// Names of files count from here.
    root: PathBuf,
    /// The engine's own platform.
    platform: String,
}

impl Tracer {
    fn read(&mut self, request: &BuildRequest, builder: Builder) -> Result<(Manifest, Vec<String>), String> {
        let unseen = |what: &str| format!("its {what} is fetched by the build, so changes there are not seen");
        if let Source::Remote(address) = &request.source {
            return Err(unseen(&format!("build context {address}")));
        }
        if request.pull {
            return Err("build.pull asks for the newest base images, which only their registry knows".to_owned());
        }
        for (name, context) in &request.contexts {
            if let NamedContext::Address(address) = context
                && !address.starts_with(IMAGE_SCHEME)
            {
                return Err(unseen(&format!("context {name} ({address})")));
            }
        }
        let (manifest, Parents { images, fetched, unknown }) = self
            .local(request, builder)
            .map_err(|error| format!("what goes into its image cannot be read: {error}"))?;
        if let Some(address) = fetched.first() {
            return Err(format!("ADD {address} is fetched by the build, so changes there are not seen"));
        }
        if let Some(name) = unknown.first() {
            return Err(format!("which image FROM {name} means only the builder knows, so changes of it are not seen"));
        }
        Ok((manifest, images.into_iter().collect()))
    }

    fn local(&mut self, request: &BuildRequest, builder: Builder) -> Result<(Manifest, Parents), ImageError> {
        let mut manifest = Manifest::default();
        let Source::Directory(root) = &request.source else { return Ok((manifest, Parents::default())) };
        let text = prepare::dockerfile_text(&request.reach, root, &request.dockerfile)?;
        let (dockerfile, inside) = match &request.dockerfile {
            Dockerfile::Inside(path) => (self.name(root, path), Some(path.as_str())),
            Dockerfile::Outside(path) => (self.name(path, ""), None),
            Dockerfile::Inline(_) => ("the inline Dockerfile".to_owned(), None),
        };
        manifest.dockerfile(&dockerfile, &text);
        let selection = match builder {
            Builder::Classic => prepare::tar_plan(request)?.0.selection,
            Builder::BuildKit | Builder::Solve => match prepare::buildkit_files(request)?.0.remove("context") {
                Some(Files::Directory(selection)) => selection,
                Some(Files::Generated(_)) | None => return Ok((manifest, Parents::default())),
            },
        };
        let sent = self.folder(&selection, "", inside, &mut manifest)?;
        let text = String::from_utf8_lossy(&text);
        if sent.repository && reads_repository(&text) {
            // A repository without a commit, or one that cannot be read, has none to tell.
            let commit = git::head(root).map(|head| head.commit).unwrap_or_default();
            manifest.setting("the commit in .git, which the Dockerfile reads,", &commit);
        }
        let mut found = self.parents(request, builder, &text);
        for (name, context) in &request.contexts {
            let label = format!("context {name}");
            match context {
                NamedContext::Directory(root) => {
                    manifest.setting(&label, "a folder");
                    let root = request.reach.folder(root).map_err(|error| cannot(root, error))?;
                    let (ignore, _) =
                        walk::read_ignore(&request.reach, root.path(), &[PathBuf::from(".dockerignore")])?;
                    let (always, only) = (Vec::new(), Vec::new());
                    let selection = Selection { root, ignore, always, wild_exceptions: true, only };
                    self.folder(&selection, &format!("{name}: "), None, &mut manifest)?;
                }
                NamedContext::Address(address) => {
                    manifest.setting(&label, address);
                    found.images.extend(address.strip_prefix(IMAGE_SCHEME).map(str::to_owned));
                }
                NamedContext::Layout { directory, tag, digest } => {
                    let found = Layout::new(&request.reach, directory).find(tag, true)?;
                    let digest = digest.clone().or(found).unwrap_or_default();
                    manifest.setting(&label, &format!("{}:{tag}@{digest}", directory.display()));
                }
            }
        }
        settings(request, &text, &mut manifest);
        Ok((manifest, found))
    }

    /// What it builds upon and fetches, for each of its platforms.
    fn parents(&self, request: &BuildRequest, builder: Builder, dockerfile: &str) -> Parents {
        let names: Vec<&str> = request.contexts.keys().map(String::as_str).collect();
        let own = [self.platform.clone()];
        let platforms = if request.platforms.is_empty() { &own[..] } else { &request.platforms };
        let mut found = Parents::default();
        for platform in platforms {
            let mut args = match builder {
                Builder::Classic => BTreeMap::new(),
                Builder::BuildKit | Builder::Solve => platform_args(&self.platform, &full_platform(platform)),
            };
            args.extend(request.args.clone());
            let Parents { images, fetched, unknown } = parents(dockerfile, &args, &request.target, &names);
            found.images.extend(images);
            found.fetched.extend(fetched);
            found.unknown.extend(unknown);
        }
        found
    }

    /// The name of a file as a reader of the repository knows it.
    fn name(&self, root: &Path, name: &str) -> String {
        let path = if name.is_empty() { root.to_owned() } else { root.join(name) };
        path.strip_prefix(&self.root).unwrap_or(&path).display().to_string()
    }

    fn folder(
        &mut self,
        selection: &Selection,
        prefix: &str,
        dockerfile: Option<&str>,
        manifest: &mut Manifest,
    ) -> Result<Sent, ImageError> {
        let trigger = self.root.join(REBUILD_TRIGGER);
        let cancelled = || ImageError::Cancelled { what: "reading the build context".to_owned() };
        let (mut unread, mut names) = (Vec::new(), Vec::new());
        let mut sent = Sent { repository: false };
        walk::walk(selection, &mut |entry: &Entry<'_>| {
            if self.cancel.is_cancelled() {
                return Err(cancelled());
            }
            sent.repository |= entry.name == ".git";
            if is_repository(entry.name) || entry.path == trigger {
                return Ok(());
            }
            let name = format!("{prefix}{}", self.name(selection.root.path(), entry.name));
            let mode = entry.meta.mode() & PERMISSIONS;
            match &entry.kind {
                // Its content is in the list already.
                Kind::File | Kind::HardLink(_) if dockerfile == Some(entry.name) => {
                    manifest.other(&name, &format!("{mode:o}"));
                }
                Kind::File | Kind::HardLink(_) => match self.hasher.known(entry.path, entry.meta) {
                    Some(digest) => manifest.file(&name, mode, &digest),
                    None => {
                        unread.push(entry.path.to_owned());
                        names.push((name, mode));
                    }
                },
                Kind::Directory => manifest.folder(&name, mode),
                Kind::Symlink(target) => manifest.link(&name, &target.to_string_lossy()),
                Kind::Pipe => manifest.other(&name, "a pipe"),
                Kind::Device => manifest.other(&name, &format!("device {}", entry.meta.rdev())),
                Kind::Socket => {}
            }
            Ok(())
        })?;
        let open = |path: &Path| match self.cancel.is_cancelled() {
            true => Err(cancelled()),
            false => Ok(walk::open(&selection.root, path)?),
        };
        let digests = self.hasher.digests(&unread, open, |path, error| cannot(path, error).into())?;
        for ((name, mode), digest) in names.iter().zip(digests) {
            manifest.file(name, *mode, &digest);
        }
        Ok(sent)
    }
}

/// What a folder sends beyond what is listed.
struct Sent {
    /// It is a repository, and the ignore file lets `.git` through.
    repository: bool,
}

/// With an architecture under its usual name, as BuildKit's own arguments have it.
fn full_platform(platform: &str) -> String {
    match platform_parts(platform) {
        Some((os, Some(architecture), variant)) if variant.is_empty() => format!("{os}/{architecture}"),
        Some((os, Some(architecture), variant)) => format!("{os}/{architecture}/{variant}"),
        _ => platform.to_owned(),
    }
}

/// What git keeps for itself changes at every fetch and says nothing of the files: a push that changes words only would
/// build each image whose context is the repository.
fn is_repository(name: &str) -> bool {
    name.split('/').any(|part| part == ".git")
}

/// What the `build` section says beyond its files. Left out: what makes a build faster or slower but no other image
/// (caches, `no_cache`), and what the builders themselves leave out when they look for a cached result (secrets,
/// ssh).
fn settings(request: &BuildRequest, dockerfile: &str, manifest: &mut Manifest) {
    // Exhaustive on purpose: a new attribute must be decided about here.
    let BuildRequest {
        service: _,
        project: _,
        source: _,
        dockerfile: _,
        args,
        target,
        labels,
        tags,
        no_cache: _,
        no_cache_filter: _,
        pull: _,
        network,
        shm_size,
        extra_hosts,
        cache_from: _,
        cache_to: _,
        contexts: _,
        entitlements,
        attestations,
        platforms,
        named: _,
        notes: _,
        ulimits,
        secrets: _,
        ssh: _,
        reach: _,
    } = request;
    for (name, value) in args {
        // Builders know these without an ARG, and leave them out of the image unless there is one.
        const PROXIES: &[&str] = &["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];
        let proxy = PROXIES.iter().any(|proxy| name.eq_ignore_ascii_case(proxy));
        if !proxy || dockerfile.contains(name.as_str()) {
            manifest.argument(name, value);
        }
    }
    for (name, value) in labels {
        manifest.setting(&format!("label {name}"), &format!("{value:?}"));
    }
    for (name, value) in attestations {
        manifest.setting(name, if value.is_empty() { "true" } else { value });
    }
    // The first is the image's own.
    manifest.setting("tags", &tags.get(1..).unwrap_or_default().join(", "));
    manifest.setting("target", target);
    manifest.setting("network", network);
    manifest.setting("platform", &platforms.join(", "));
    manifest.setting("extra_hosts", &extra_hosts.join(", "));
    manifest.setting("entitlements", &entitlements.join(", "));
    if *shm_size != 0 {
        manifest.setting("shm_size", &shm_size.to_string());
    }
    for limit in ulimits {
        manifest.setting(&format!("ulimit {}", limit.name), &format!("{}:{}", limit.soft, limit.hard));
    }
}
