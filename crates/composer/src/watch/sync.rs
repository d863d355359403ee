//! Files into running containers: an archive unpacked at their root, and `rm` for what is gone.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use bollard::{
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
    query_parameters::UploadToContainerOptions,
};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::{
    super::copy::{PATIENCE, PIECES, Pieces, Sink},
    rules::Mappings,
};
use turnout_compose::model::Hook;
use turnout_docker::{ContainerStatus, Engine, EngineError};
use turnout_files::{self as files, Reach};

/// Paths that one `rm` is given: a command line has bounds.
const REMOVED_AT_ONCE: usize = 500;

/// Brings changed paths into all containers of a service: what is there is copied, what is not is removed.
///
/// # Errors
/// Those of each container, in one.
pub(super) async fn sync(engine: &Engine, project: &str, service: &str, mappings: &Mappings) -> anyhow::Result<()> {
    let mut containers = engine.containers(project, true).await?;
    containers.retain(|container| container.service == service && !container.oneoff);
    let (there, gone): (Vec<_>, Vec<_>) =
        mappings.iter().partition(|(path, _)| PathBuf::from(path.as_str()).symlink_metadata().is_ok());
    let there: Vec<(PathBuf, String)> =
        there.into_iter().map(|(path, place)| (PathBuf::from(path), place.clone())).collect();
    let gone: Vec<String> = gone.into_iter().map(|(_, place)| place.clone()).collect();
    let mut failed = Vec::new();
    for container in &containers {
        for places in gone.chunks(REMOVED_AT_ONCE) {
            if let Err(error) = remove(engine, container, places).await {
                failed.push(format!(
                    "deleting paths in {}: {}",
                    container.name,
                    turnout_report::with_sources(error.as_ref())
                ));
            }
        }
        if let Err(error) = copy(engine, container, there.clone()).await {
            failed.push(format!(
                "copying files to {}: {}",
                container.name,
                turnout_report::with_sources(error.as_ref())
            ));
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!(failed.join("\n")) }
}

async fn remove(engine: &Engine, container: &ContainerStatus, places: &[String]) -> anyhow::Result<()> {
    let command = ["rm", "-rf", "--"].into_iter().map(str::to_owned).chain(places.iter().cloned()).collect();
    let mut said = String::new();
    match exec(engine, container, &Hook { command: Some(command), ..Hook::default() }, |text| said.push_str(text))
        .await?
    {
        0 => Ok(()),
        code => bail!("exit code {code}: {}", said.trim_end()),
    }
}

async fn copy(engine: &Engine, container: &ContainerStatus, paths: Vec<(PathBuf, String)>) -> anyhow::Result<()> {
    if paths.is_empty() {
        return Ok(());
    }
    let (mut pieces, made) = archive_of(paths);
    let stream = futures_util::stream::poll_fn(move |context| pieces.poll_recv(context));
    // As in the real one, files keep the owner that they have here.
    let options = UploadToContainerOptions {
        path: "/".to_owned(),
        no_overwrite_dir_non_dir: None,
        copy_uidgid: Some("true".to_owned()),
    };
    let sent = engine
        .docker_with_timeout(PATIENCE)
        .upload_to_container(&container.id, Some(options), bollard::body_stream(stream))
        .await;
    // A file that could not be read says more than the archive which ended too early.
    made.await.context("the archive could not be made")??;
    sent.map_err(|error| EngineError::api(format!("copy to {}", container.name), error))?;
    Ok(())
}

/// An archive of these, each under its place, made as it is sent. Of a directory it is only the directory: what lies in
/// it is in the list too.
fn archive_of(paths: Vec<(PathBuf, String)>) -> Pieces {
    let (sender, pieces) = mpsc::channel(PIECES);
    let work = move || {
        let mut archive = tar::Builder::new(Sink::new(sender));
        archive.follow_symlinks(false);
        for (path, place) in paths {
            match add(&mut archive, &path, place.trim_start_matches('/')) {
                // It went a moment ago, which is told of as a change of its own.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other.with_context(|| format!("cannot read {}", path.display()))?,
            }
        }
        archive.into_inner().and_then(|mut sink| sink.flush()).context("cannot send the archive")
    };
    let made = tokio::spawn(async move { files::blocking(work).await.map_err(io::Error::from)? });
    (pieces, made)
}

/// One path. What it is may change at any time: a file is read as what it was when it was opened, and no further.
fn add<W: io::Write>(archive: &mut tar::Builder<W>, path: &Path, name: &str) -> io::Result<()> {
    let found = Reach::Anywhere.at(path, || path.symlink_metadata()).flatten()?;
    let mut header = tar::Header::new_gnu();
    header.set_metadata(&found);
    let kind = found.file_type();
    if kind.is_dir() {
        archive.append_dir(name, path)
    } else if kind.is_symlink() {
        header.set_size(0);
        archive.append_link(&mut header, name, fs::read_link(path)?)
    } else if kind.is_fifo() {
        header.set_size(0);
        archive.append_data(&mut header, name, io::empty())
    } else {
        let opened = Reach::Anywhere.open(path)?;
        let size = opened.meta().len();
        header.set_metadata(opened.meta());
        // What becomes shorter meanwhile is filled up: its header has been sent, and the change is told of anew.
        archive.append_data(&mut header, name, opened.chain(io::repeat(0)).take(size))
    }
}

/// Runs a command in a container to its end and returns its exit code; what it writes is passed on.
///
/// # Errors
/// The engine's.
pub(super) async fn exec(
    engine: &Engine,
    container: &ContainerStatus,
    hook: &Hook,
    mut said: impl FnMut(&str),
) -> anyhow::Result<i64> {
    let Hook { command, user, privileged, working_dir, environment } = hook;
    let what = || format!("exec in {}", container.name);
    let api = |error| EngineError::api(what(), error);
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    let variables: Vec<String> = environment
        .iter()
        .map(|(key, value)| value.as_ref().map_or_else(|| key.clone(), |value| format!("{key}={value}")))
        .collect();
    let options = CreateExecOptions {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: command.clone(),
        env: (!variables.is_empty()).then_some(variables),
        privileged: Some(*privileged),
        user: text(user),
        working_dir: text(working_dir),
        ..Default::default()
    };
    let docker = engine.docker();
    let id = docker.create_exec(&container.id, options).await.map_err(api)?.id;
    let begin = StartExecOptions { detach: false, tty: false, output_capacity: None };
    if let StartExecResults::Attached { mut output, input: _ } =
        docker.start_exec(&id, Some(begin)).await.map_err(api)?
    {
        while let Some(chunk) = output.next().await {
            said(&chunk.map_err(api)?.to_string());
        }
    }
    Ok(docker.inspect_exec(&id).await.map_err(api)?.exit_code.unwrap_or(-1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "text").unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        let mut archive = tar::Builder::new(Vec::new());
        for name in ["file", "link", "pipe"] {
            add(&mut archive, &at(name), &format!("srv/{name}")).unwrap();
        }
        let refused = add(&mut archive, Path::new("/dev/zero"), "srv/zero").unwrap_err().to_string();
        assert!(refused.contains("a device"), "{refused}");
        let bytes = archive.into_inner().unwrap();
        let mut read = tar::Archive::new(bytes.as_slice());
        let entries: Vec<(String, tar::EntryType, String)> = read
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let (name, kind) = (entry.path().unwrap().display().to_string(), entry.header().entry_type());
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                (name, kind, text)
            })
            .collect();
        let expected = [
            ("srv/file", tar::EntryType::Regular, "text"),
            ("srv/link", tar::EntryType::Symlink, ""),
            ("srv/pipe", tar::EntryType::Fifo, ""),
        ];
        assert_eq!(entries, expected.map(|(name, kind, text)| (name.to_owned(), kind, text.to_owned())));
    }
}
