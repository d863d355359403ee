//! `cp`, `export` and `commit`: files of containers, and images made of them.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use bollard::query_parameters::{
    CommitContainerOptions, ContainerArchiveInfoOptions, DownloadFromContainerOptions, UploadToContainerOptions,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;

use super::{
    args::{CommitArgs, CpArgs, ExportArgs},
    progress::Progress,
    session::Session,
};
use turnout_docker::{ContainerStatus, Engine, EngineError};

/// Pieces of an archive on their way; each at most [`PIECE`].
pub(super) const PIECES: usize = 16;
/// Longest upload, which ends the wait for the engine's answer.
pub(super) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 60 * 60);
/// Bytes of a piece.
const PIECE: usize = 64 * 1024;
/// Go's mode bits in the engine's answer.
const DIRECTORY: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;

pub(super) async fn cp(session: &Session, args: &CpArgs) -> anyhow::Result<u8> {
    ensure!(!args.source.is_empty(), "source can not be empty");
    ensure!(!args.destination.is_empty(), "destination can not be empty");
    let project = session.project_name()?;
    let progress = Progress::new(session.mode());
    let (source, destination) = (place(&args.source), place(&args.destination));
    let (service, outwards) = match (source.0, destination.0) {
        (Some(_), Some(_)) => bail!("copying between services is not supported"),
        (None, None) => bail!("unknown copy direction: write SERVICE:PATH on one side"),
        (Some(service), None) => (service, true),
        (None, Some(service)) => (service, false),
    };
    let engine = session.engine().await?;
    let mut found = engine.containers(&project, true).await?;
    found.retain(|c| c.service == service && (args.all || !c.oneoff));
    if let Some(index) = args.index.filter(|index| *index > 0) {
        found.retain(|c| c.number == Some(index));
        ensure!(!found.is_empty(), "service {service:?} is not running container #{index}");
    }
    ensure!(!found.is_empty(), "no container found for service {service:?}");
    if outwards {
        found.truncate(1);
    }
    for container in &found {
        let (from, to) = (source.1, destination.1);
        let text = match outwards {
            true => format!("copy {}:{from} to {to}", container.name),
            false => format!("copy {from} to {}:{to}", container.name),
        };
        progress.does(&container.name, &text, "Copying");
        if session.global.dry_run {
            continue;
        }
        match outwards {
            true => out_of(&engine, container, from, to, args.follow_link).await?,
            false => into(&engine, container, from, to, args).await?,
        }
        progress.does(&container.name, &text, "Copied");
    }
    Ok(0)
}

/// `SERVICE:PATH`, or a path here.
fn place(text: &str) -> (Option<&str>, &str) {
    match text.split_once(':') {
        Some((service, path)) if !text.starts_with('/') && !service.starts_with('.') => (Some(service), path),
        _ => (None, text),
    }
}

/// What the engine knows of a path: whether it is a directory, and where a link points.
struct Stat {
    directory: bool,
    link: Option<String>,
}

async fn stat(engine: &Engine, container: &ContainerStatus, path: &str) -> anyhow::Result<Option<Stat>> {
    let options = ContainerArchiveInfoOptions { path: path.to_owned() };
    match engine.docker().get_container_archive_info(&container.id, Some(options)).await {
        Ok(stat) => {
            let link = (stat.file_mode & SYMLINK != 0).then_some(stat.link_target);
            Ok(Some(Stat { directory: stat.file_mode & DIRECTORY != 0, link }))
        }
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
        Err(error) => Err(EngineError::api(format!("look at {}:{path}", container.name), error).into()),
    }
}

/// A path in a container and what is there, links followed once.
async fn followed(engine: &Engine, container: &ContainerStatus, path: &str) -> anyhow::Result<(String, Option<Stat>)> {
    let first = stat(engine, container, path).await?;
    let Some(link) = first.as_ref().and_then(|stat| stat.link.clone()) else { return Ok((path.to_owned(), first)) };
    let parent = path.trim_end_matches('/').rsplit_once('/').map_or("", |(parent, _)| parent);
    let target = if link.starts_with('/') { link } else { format!("{parent}/{link}") };
    let second = stat(engine, container, &target).await?;
    Ok((target, second))
}

/// Whether a path asks for a directory's content: `dir/.`.
fn means_content(path: &str) -> bool {
    path == "." || path.ends_with("/.")
}

fn last_name(path: &str) -> String {
    let name = Path::new(path).components().rev().find_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    name.unwrap_or_default()
}

/// Local path into a container.
async fn into(engine: &Engine, container: &ContainerStatus, from: &str, to: &str, args: &CpArgs) -> anyhow::Result<()> {
    let shown = format!("{}:{to}", container.name);
    let (target, found) = followed(engine, container, to).await?;
    let directory = found.as_ref().is_some_and(|stat| stat.directory);
    let (base, pieces) = if from == "-" {
        ensure!(directory, "destination {shown:?} must be a directory");
        (target, archive_of_stdin())
    } else {
        let path = PathBuf::from(from);
        let look = if args.follow_link { std::fs::metadata(&path) } else { std::fs::symlink_metadata(&path) };
        let look = look.with_context(|| format!("cannot read {from}"))?;
        let absolute = std::path::absolute(&path)?;
        let own = match last_name(&absolute.to_string_lossy()) {
            name if name.is_empty() => ".".to_owned(),
            name => name,
        };
        let (base, name) = match (&found, look.is_dir()) {
            (Some(stat), true) if !stat.directory => bail!("cannot copy a directory onto the file {shown}"),
            // Into the directory that is there; `dir/.` means what it has in it.
            (Some(stat), is_dir) if stat.directory => {
                (target, if is_dir && means_content(from) { ".".to_owned() } else { own })
            }
            (None, false) if to.ends_with('/') => bail!("no such directory: {shown}"),
            // Onto a file, or under a new name.
            _ => {
                let parent = target.trim_end_matches('/').rsplit_once('/').map_or(".", |(parent, _)| parent);
                let parent = if parent.is_empty() { "/" } else { parent };
                (parent.to_owned(), last_name(&target))
            }
        };
        (base, archive_of(path, name, args.follow_link))
    };
    let (mut pieces, broken) = pieces;
    let stream = futures_util::stream::poll_fn(move |context| pieces.poll_recv(context));
    let options = UploadToContainerOptions {
        path: base,
        no_overwrite_dir_non_dir: Some("true".to_owned()),
        copy_uidgid: args.archive.then(|| "true".to_owned()),
    };
    let sent = engine
        .docker_with_timeout(PATIENCE)
        .upload_to_container(&container.id, Some(options), bollard::body_stream(stream))
        .await;
    // A file that could not be read says more than the archive which ended too early.
    broken.await.context("the archive could not be made")??;
    sent.map_err(|error| EngineError::api(format!("copy to {shown}"), error))?;
    Ok(())
}

/// An archive on its way, and how its making ended.
pub(super) type Pieces = (mpsc::Receiver<Bytes>, tokio::task::JoinHandle<anyhow::Result<()>>);

/// A path as an archive under `name`, made as it is sent.
fn archive_of(path: PathBuf, name: String, follow: bool) -> Pieces {
    let (sender, pieces) = mpsc::channel(PIECES);
    let made = tokio::task::spawn_blocking(move || {
        let shown = path.display().to_string();
        let mut archive = tar::Builder::new(Sink::new(sender));
        // Links inside a tree are copied as links; `-L` is about the path that was named.
        archive.follow_symlinks(false);
        let path = if follow { path.canonicalize()? } else { path };
        let done = match path.symlink_metadata()?.is_dir() {
            true => archive.append_dir_all(&name, &path),
            false => archive.append_path_with_name(&path, &name),
        };
        done.with_context(|| format!("cannot read {shown}"))?;
        archive.into_inner().and_then(|mut sink| sink.flush()).with_context(|| format!("cannot send {shown}"))
    });
    (pieces, made)
}

fn archive_of_stdin() -> Pieces {
    let (sender, pieces) = mpsc::channel(PIECES);
    let made = tokio::task::spawn_blocking(move || {
        let mut sink = Sink::new(sender);
        io::copy(&mut io::stdin().lock(), &mut sink).context("cannot pass standard input on")?;
        sink.flush().context("cannot pass standard input on")
    });
    (pieces, made)
}

/// Writes into a channel.
pub(super) struct Sink {
    sender: mpsc::Sender<Bytes>,
    buffer: Vec<u8>,
}

impl Sink {
    pub(super) fn new(sender: mpsc::Sender<Bytes>) -> Sink {
        Sink { sender, buffer: Vec::new() }
    }
}

impl io::Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(data);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.buffer));
        self.sender.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// A container's path to here.
async fn out_of(
    engine: &Engine,
    container: &ContainerStatus,
    from: &str,
    to: &str,
    follow: bool,
) -> anyhow::Result<()> {
    let shown = format!("{}:{from}", container.name);
    let (from, found) = match follow {
        true => followed(engine, container, from).await?,
        false => (from.to_owned(), stat(engine, container, from).await?),
    };
    let Some(found) = found else { bail!("could not find {shown}") };
    let options = DownloadFromContainerOptions { path: from.clone() };
    let archive = engine.docker().download_from_container(&container.id, Some(options));
    let archive = archive.map(move |piece| piece.map_err(|e| io::Error::other(e.to_string())));
    if to == "-" {
        return write_all(archive, &mut io::stdout().lock()).await;
    }
    let here = PathBuf::from(to);
    let parent = std::path::absolute(&here)?.parent().map(Path::to_owned).unwrap_or_else(|| PathBuf::from("/"));
    ensure!(parent.is_dir(), "invalid output path: directory {} does not exist", parent.display());
    let own = last_name(&from);
    // The engine's archive has everything under the last name of the path; `dir/.` and `/` have no name of their own.
    let (base, rename) = match (here.is_dir(), here.exists(), found.directory) {
        (true, _, true) if means_content(&from) || own.is_empty() => (here, Some(String::new())),
        (true, ..) => (here, None),
        (false, true, true) => bail!("cannot copy a directory onto the file {to}"),
        (false, false, false) if to.ends_with('/') => bail!("no such directory: {to}"),
        (false, _, _) => (parent, Some(last_name(&std::path::absolute(&here)?.to_string_lossy()))),
    };
    let reader = tokio_util::io::SyncIoBridge::new(tokio_util::io::StreamReader::new(Box::pin(archive)));
    let unpacked = tokio::task::spawn_blocking(move || unpack(reader, &base, rename.as_deref()));
    unpacked.await.context("the archive could not be read")?.with_context(|| format!("cannot copy {shown} to {to}"))
}

/// Unpacks under `base`; `rename`: what the first part of every name becomes, nothing if empty.
fn unpack(reader: impl io::Read, base: &Path, rename: Option<&str>) -> anyhow::Result<()> {
    let mut archive = tar::Archive::new(reader);
    archive.set_preserve_permissions(true);
    let mut directories = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        let target = renamed(&name, rename);
        // What comes out of a container is not trusted with where it goes.
        ensure!(
            target.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)),
            "the archive has a name that leads outside: {}",
            name.display()
        );
        let is_dir = entry.header().entry_type().is_dir();
        through_no_link(base, &target, is_dir)?;
        let named = target.components().any(|part| matches!(part, Component::Normal(_)));
        ensure!(is_dir || named, "the archive has a file in place of a directory: {}", name.display());
        let target = base.join(target);
        if is_dir {
            std::fs::create_dir_all(&target).with_context(|| target.display().to_string())?;
            directories.push((target, entry.header().mode()?));
            continue;
        }
        if entry.header().entry_type().is_hard_link() {
            let linked = renamed(&entry.link_name()?.context("a hard link without a target")?, rename);
            ensure!(
                linked.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)),
                "the archive has a hard link that leads outside: {}",
                name.display()
            );
            through_no_link(base, &linked, false)?;
            let _ = std::fs::remove_file(&target);
            std::fs::hard_link(base.join(linked), &target)?;
            continue;
        }
        entry.unpack(&target).with_context(|| target.display().to_string())?;
    }
    // Last, so that a read-only directory can be filled.
    for (directory, mode) in directories.into_iter().rev() {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(mode & 0o7777))?;
    }
    Ok(())
}

/// Refuses a path below `base` that passes through a symbolic link, wherever it points: the archive may have made it, and
/// below `base` there may be more than what is copied. `whole`: the last part must be none either.
fn through_no_link(base: &Path, below: &Path, whole: bool) -> anyhow::Result<()> {
    let parts: Vec<_> = below.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let looked_at = if whole { parts.len() } else { parts.len().saturating_sub(1) };
    let mut path = base.to_owned();
    for part in parts.iter().take(looked_at) {
        path.push(part);
        let link = path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_symlink());
        ensure!(
            !link,
            "the archive writes through the symbolic link {}, which may lead outside; remove it, or copy to another \
             directory",
            path.display()
        );
    }
    Ok(())
}

/// A name whose first part is replaced.
fn renamed(name: &Path, first: Option<&str>) -> PathBuf {
    let Some(first) = first else { return name.to_owned() };
    // Joining nothing would leave a slash, which means a directory.
    std::iter::once(Path::new(first)).chain(name.components().skip(1).map(|part| Path::new(part.as_os_str()))).fold(
        PathBuf::new(),
        |mut path, part| {
            path.push(part);
            path
        },
    )
}

async fn write_all(pieces: impl Stream<Item = io::Result<Bytes>>, out: &mut impl io::Write) -> anyhow::Result<()> {
    let mut pieces = std::pin::pin!(pieces);
    while let Some(piece) = pieces.next().await {
        out.write_all(&piece?)?;
    }
    out.flush()?;
    Ok(())
}

/// The container of a service, by number if one is given.
async fn one(session: &Session, service: &str, index: Option<u32>) -> anyhow::Result<(Engine, ContainerStatus)> {
    let project = session.project_name()?;
    let engine = session.engine().await?;
    let found = engine.containers(&project, true).await?.into_iter().filter(|c| c.service == service && !c.oneoff);
    let wanted = found.into_iter().find(|c| index.is_none_or(|index| index == 0 || c.number == Some(index)));
    match (wanted, index) {
        (Some(container), _) => Ok((engine, container)),
        (None, Some(index)) => bail!("service {service:?} is not running container #{index}"),
        (None, None) => bail!("service {service:?} is not running"),
    }
}

pub(super) async fn export(session: &Session, args: &ExportArgs) -> anyhow::Result<u8> {
    if args.output.is_none() && io::stdout().is_terminal() {
        bail!("output option is required when exporting to terminal (write --output FILE)");
    }
    let (engine, container) = one(session, &args.service, args.index).await?;
    if session.global.dry_run {
        return Ok(0);
    }
    let pieces = engine.docker().export_container(&container.id);
    let pieces = pieces.map(|piece| piece.map_err(|error| io::Error::other(error.to_string())));
    match &args.output {
        None => write_all(pieces, &mut io::stdout().lock()).await?,
        Some(path) => {
            let mut file = std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
            write_all(pieces, &mut file).await.with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(0)
}

pub(super) async fn commit(session: &Session, args: &CommitArgs) -> anyhow::Result<u8> {
    let (engine, container) = one(session, &args.service, args.index).await?;
    let image = args.image.clone().unwrap_or_default();
    let (repository, tag) = match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository.to_owned(), tag.to_owned()),
        _ => (image, String::new()),
    };
    if session.global.dry_run {
        return Ok(0);
    }
    let options = CommitContainerOptions {
        container: Some(container.id.clone()),
        repo: Some(repository),
        tag: Some(tag),
        comment: args.message.clone(),
        author: args.author.clone(),
        pause: args.pause,
        changes: (!args.change.is_empty()).then(|| args.change.join("\n")),
    };
    let made = engine.docker().commit_container(options, bollard::models::ContainerConfig::default()).await;
    let made = made.map_err(|error| EngineError::api(format!("commit {}", container.name), error))?;
    Progress::new(session.mode()).is(&format!("Container {}", container.name), &format!("Committed as {}", made.id));
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart() {
        for (text, wanted) in [
            ("web:/etc", (Some("web"), "/etc")),
            ("./a:b", (None, "./a:b")),
            ("/a:b", (None, "/a:b")),
            ("plain", (None, "plain")),
            ("-", (None, "-")),
        ] {
            assert_eq!(place(text), wanted, "{text}");
        }
        assert_eq!((last_name("/a/b/."), last_name("/"), last_name("x/")), ("b".into(), String::new(), "x".into()));
    }

    /// What an archive has: its kind, its name, and where a link points.
    type Item<'a> = (tar::EntryType, &'a str, &'a Path);

    fn archive(items: &[Item<'_>]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (kind, name, link) in items {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o700);
            match kind {
                tar::EntryType::Symlink | tar::EntryType::Link => {
                    header.set_size(0);
                    archive.append_link(&mut header, name, link).unwrap();
                }
                tar::EntryType::Directory => {
                    header.set_size(0);
                    archive.append_data(&mut header, name, io::empty()).unwrap();
                }
                _ => {
                    header.set_size(1);
                    archive.append_data(&mut header, name, &b"x"[..]).unwrap();
                }
            }
        }
        archive.into_inner().unwrap()
    }

    #[test]
    fn archives_cannot_leave_their_place() {
        use std::os::unix::fs::PermissionsExt as _;
        use tar::EntryType::{Directory, Link, Regular, Symlink};
        let nowhere = Path::new("");
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        std::fs::set_permissions(outside.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        for item in [
            (Regular, "d/link/file", nowhere),
            (Directory, "d/link/made", nowhere),
            // Would take the mode of the archive.
            (Directory, "d/link", nowhere),
            (Symlink, "d/link/file", Path::new("/etc")),
            (Link, "d/stolen", Path::new("d/link/secret")),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let bytes = archive(&[(Directory, "d", nowhere), (Symlink, "d/link", outside.path()), item]);
            let error = unpack(bytes.as_slice(), directory.path(), None).unwrap_err();
            assert!(error.to_string().contains("through the symbolic link"), "{item:?}: {error:#}");
            assert!(!directory.path().join("d/stolen").exists(), "{item:?}");
            let left: Vec<_> = outside.path().read_dir().unwrap().map(|e| e.unwrap().file_name()).collect();
            assert_eq!(left, ["secret"], "{item:?}");
            assert_eq!(outside.path().metadata().unwrap().permissions().mode() & 0o777, 0o755, "{item:?}");
        }
    }

    #[test]
    fn a_copy_under_a_new_name_does_not_reach_what_lies_beside_it() {
        use tar::EntryType::{Regular, Symlink};
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("hooks")).unwrap();
        let bytes = archive(&[(Symlink, "data", Path::new("hooks")), (Regular, "data/run", Path::new(""))]);
        assert!(unpack(bytes.as_slice(), directory.path(), Some("out")).is_err());
        assert!(!directory.path().join("hooks/run").exists());
    }
}
