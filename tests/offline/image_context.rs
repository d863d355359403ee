//! The tar stream of a build context: what is in it, in which order, and how much of it is in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::{fs, io::Read, path::Path};

use turnout::{
    buildkit::{DockerIgnore, OfferError, walk::Selection},
    engine::image::context::{self, CHUNK_BYTES, CHUNKS_IN_FLIGHT, ContextPlan},
    files::Reach,
};

fn plan(root: &Path, ignore: &str) -> ContextPlan {
    let selection = Selection {
        root: Reach::Anywhere.folder(root).unwrap(),
        ignore: DockerIgnore::parse(ignore).unwrap(),
        always: vec!["Dockerfile".into(), ".dockerignore".into()],
        wild_exceptions: false,
        only: Vec::new(),
    };
    ContextPlan { selection, injected: Vec::new() }
}

fn names(stream: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(stream);
    archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().to_string_lossy().into_owned()).collect()
}

fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in
        ["z", "a/2", "a/1", "a.txt", "Dockerfile", ".dockerignore", "secret/key", "secret/deep/key", "log/x.log"]
    {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("content of {name}")).unwrap();
    }
    dir
}

#[test]
fn ignored_files_are_not_in_the_stream_and_the_order_is_fixed() {
    let dir = tree();
    let plan = plan(dir.path(), "secret\n**/*.log\nDockerfile\n.dockerignore\n");
    let (mut one, mut two) = (Vec::new(), Vec::new());
    let sent = context::write(&plan, &mut one).unwrap();
    context::write(&plan, &mut two).unwrap();
    assert_eq!(names(&one), [".dockerignore", "Dockerfile", "a/", "a/1", "a/2", "a.txt", "log/", "z"]);
    assert_eq!(sent.entries, 8);
    assert_eq!(one, two);
    assert!(!String::from_utf8_lossy(&one).contains("content of secret"));
    for entry in tar::Archive::new(one.as_slice()).entries().unwrap() {
        let entry = entry.unwrap();
        assert_eq!((entry.header().uid().unwrap(), entry.header().gid().unwrap()), (0, 0));
        assert!(entry.header().mtime().unwrap() > 0);
    }
}

#[test]
fn a_reincluded_file_brings_its_directories() {
    let dir = tree();
    let mut stream = Vec::new();
    context::write(&plan(dir.path(), "*\n!secret/deep\n"), &mut stream).unwrap();
    assert_eq!(names(&stream), [".dockerignore", "Dockerfile", "secret/", "secret/deep/", "secret/deep/key"]);
}

#[test]
fn injected_files_displace_those_of_the_disk() {
    let dir = tree();
    let mut plan = plan(dir.path(), "*\n");
    plan.injected = vec![(".dockerignore".into(), b"generated".to_vec())];
    let mut stream = Vec::new();
    context::write(&plan, &mut stream).unwrap();
    let mut found = 0;
    for entry in tar::Archive::new(stream.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap() == Path::new(".dockerignore") {
            found += 1;
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            assert_eq!(text, "generated");
        }
    }
    assert_eq!(found, 1);
}

/// Makes a file smaller, or larger, as soon as its header has been written.
struct Meddler<'a> {
    path: &'a Path,
    size: u64,
    seen: usize,
}

impl std::io::Write for Meddler<'_> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.seen += data.len();
        if self.seen >= 512 {
            fs::OpenOptions::new().write(true).open(self.path)?.set_len(self.size)?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_that_shrinks_is_an_error_and_one_that_grows_a_note() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("busy");
    for (size, expected) in [(1_000, "shrank"), (1_000_000, "grew")] {
        fs::write(&path, vec![7u8; 500_000]).unwrap();
        let written = context::write(&plan(dir.path(), ""), Meddler { path: &path, size, seen: 0 });
        let text = match written {
            Ok(sent) => sent.notes.join("\n"),
            Err(error) => error.to_string(),
        };
        assert!(text.contains("busy") && text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn an_error_of_the_walk_ends_the_stream_with_an_error() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tree();
    fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"\xfe")), "").unwrap();
    let mut stream = context::stream(plan(dir.path(), ""));
    let mut last = None;
    while let Some(chunk) = stream.chunks.recv().await {
        last = Some(chunk);
    }
    assert!(last.unwrap().is_err(), "a stream that was broken off must not end like a whole one");
    assert!(matches!(stream.upload.finish().await, Err(OfferError::Context { .. })));
}

/// Peak of this process's memory, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn a_large_context_is_streamed_with_bounded_memory() {
    const SIZE: u64 = 300 << 20;
    let dir = tempfile::tempdir().unwrap();
    // Sparse: nothing of it is on the disk.
    fs::File::create(dir.path().join("large")).unwrap().set_len(SIZE).unwrap();
    let before = peak();
    let mut stream = context::stream(plan(dir.path(), ""));
    let (mut total, mut most) = (0, 0);
    while let Some(chunk) = stream.chunks.recv().await {
        let chunk = chunk.unwrap();
        assert!(chunk.len() <= CHUNK_BYTES);
        total += chunk.len() as u64;
        most = most.max(stream.chunks.len());
    }
    assert!(total > SIZE && stream.upload.finish().await.unwrap().bytes == SIZE);
    assert!(most <= CHUNKS_IN_FLIGHT, "{most} chunks were waiting");
    let grown = peak().saturating_sub(before);
    assert!(grown < 32 << 20, "the stream took {} MiB of memory", grown >> 20);
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    fs::File::create(dir.path().join("large")).unwrap().set_len(64 << 20).unwrap();
    let stream = context::stream(plan(dir.path(), ""));
    drop(stream.chunks);
    assert_eq!(stream.upload.finish().await.unwrap().bytes, 0);
}
