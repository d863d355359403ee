//! Conversions beside those of the `git` program, for every mix of attributes, settings and contents.

mod drivers;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use git2::{Oid, Repository};
use tokio_util::sync::CancellationToken;

use super::{Content, Converter, Source};
use crate::{
    error::GitError,
    remote::{Filters, Remote},
    session::Session,
    update::on_a_thread,
};
use turnout_report::Silent;

const CONTENTS: &[(&str, &[u8])] = &[
    ("lf", b"a\nb\n"),
    ("crlf", b"a\r\nb\r\n"),
    ("mixed", b"a\r\nb\nc"),
    ("cr", b"a\rb\nc\n"),
    ("nul", b"a\0b\nc\n"),
    ("odd", b"\x01\x02\nab\n"),
    ("eof", b"ab\n\x1a"),
    ("empty", b""),
    ("one", b"no end"),
    ("words", "gr\u{fc}\u{df}e\n".as_bytes()),
    ("id", b"$Id$ $Id: old $ $Id: a b c $ $Id:$ $Id\n$Id: cut\n$Id: $x$Id$\n"),
    ("idend", b"x\n$Id: never ends"),
    ("idodd", b"$$Id$ $Id: a b c $Id$ $I$Id$ $Id: a\n$Id$Id$\n"),
    ("idspace", b"$Id: $\n$Id:  $\n$Idx$ $$Id$$\r\n"),
];

/// Attributes that leave nothing to be refused.
const ATTRIBUTES: &[&str] = &[
    "diff",
    "text",
    "-text",
    "!text",
    "text=auto",
    "text=other",
    "eol=crlf",
    "eol=lf",
    "eol=other",
    "text=auto eol=crlf",
    "text=auto eol=lf",
    "-text eol=crlf",
    "crlf",
    "crlf=input",
    "-crlf",
    "text=input",
    "ident",
    "-ident",
    "ident=x",
    "text ident eol=crlf",
    "text=auto ident eol=crlf",
    "text=auto ident",
    "binary",
    "filter",
    "filter=",
    "working-tree-encoding=utf8",
];

/// Encodings, for contents that are text.
const ENCODINGS: &[&str] = &[
    "UTF-16",
    "utf16",
    "UTF-16LE",
    "UTF-16BE",
    "UTF-16LE-BOM",
    "UTF-16BE-BOM",
    "UTF-32",
    "UTF-32LE",
    "UTF-32BE",
    "ISO-8859-1",
    "latin1",
];

fn git(folder: &Path, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("git")
        .current_dir(folder)
        .args(args)
        .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
        .envs([("GIT_AUTHOR_NAME", "Ann"), ("GIT_AUTHOR_EMAIL", "ann@example.org")])
        .envs([("GIT_COMMITTER_NAME", "Ann"), ("GIT_COMMITTER_EMAIL", "ann@example.org")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || to.write_all(&input));
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// A bare repository whose `main` has these files, byte for byte.
fn repository(folder: &Path, files: &[(String, Vec<u8>)]) {
    git(folder, &["init", "-q", "--bare", "-b", "main", "origin.git"], b"");
    let mut stream = b"commit refs/heads/main\ncommitter Ann <ann@example.org> 1700000000 +0000\ndata 0\n".to_vec();
    for (name, content) in files {
        write!(stream, "M 100644 inline \"{name}\"\ndata {}\n", content.len()).unwrap();
        stream.extend_from_slice(content);
        stream.push(b'\n');
    }
    git(&folder.join("origin.git"), &["fast-import", "--quiet"], &stream);
}

/// Works in a session whose remote is this work tree.
async fn in_session<T: Send + 'static>(
    site: &Path,
    filters: Filters,
    work: impl FnOnce(&Session) -> Result<T, GitError> + Send + 'static,
) -> Result<T, GitError> {
    let remote = Remote { filters, ..Remote::new(site) };
    on_a_thread(&remote, &Silent, CancellationToken::new(), work).await
}

/// The regular files of HEAD.
fn blobs(repo: &Repository) -> Vec<(Vec<u8>, Oid)> {
    let mut index = git2::Index::new().unwrap();
    index.read_tree(&repo.head().unwrap().peel_to_tree().unwrap()).unwrap();
    index.iter().map(|entry| (entry.path, entry.id)).collect()
}

fn bytes(content: Content) -> Vec<u8> {
    match content {
        Content::Bytes(bytes) => bytes,
        Content::File { path, .. } => std::fs::read(path).unwrap(),
    }
}

/// A folder for each line of attributes, with its own `.gitattributes` and a file of each content.
fn all_mixes() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for (number, attributes) in ATTRIBUTES.iter().enumerate() {
        files.push((
            format!("in/{number}/.gitattributes"),
            format!("* {attributes}\n.gitattributes !text -ident\n").into_bytes(),
        ));
        files.extend(CONTENTS.iter().map(|(name, content)| (format!("in/{number}/{name}"), content.to_vec())));
    }
    for (number, encoding) in ENCODINGS.iter().enumerate() {
        for (more, end) in ["", "eol=crlf", "text ident"].iter().enumerate() {
            let folder = format!("encoded/{number}-{more}");
            let line = format!("t* working-tree-encoding={encoding} {end}\n");
            files.push((format!("{folder}/.gitattributes"), line.into_bytes()));
            files.push((format!("{folder}/text"), "gr\u{fc}\u{df}e\n$Id$\n".as_bytes().to_vec()));
            if encoding.to_ascii_lowercase().starts_with("utf") {
                files.push((format!("{folder}/tall"), "\u{1f600} \u{4e2d}\n".as_bytes().to_vec()));
            }
        }
    }
    files
}

#[tokio::test]
async fn what_is_written_is_what_git_writes() {
    let folder = tempfile::tempdir().unwrap();
    repository(folder.path(), &all_mixes());
    for auto in ["false", "true", "input"] {
        for eol in ["", "crlf"] {
            // git refuses this pair itself.
            if (auto, eol) == ("input", "crlf") {
                continue;
            }
            let site = folder.path().join(format!("{auto}-{eol}"));
            let name = site.display().to_string();
            git(folder.path(), &["clone", "-q", "--no-checkout", "origin.git", &name], b"");
            git(&site, &["config", "core.autocrlf", auto], b"");
            if !eol.is_empty() {
                git(&site, &["config", "core.eol", eol], b"");
            }
            git(&site, &["checkout", "-q", "main"], b"");
            // What lies there is turned: git says which of these it takes for changed.
            let mut turned = Vec::new();
            let repo = Repository::open(&site).unwrap();
            for (path, _) in blobs(&repo) {
                let path = String::from_utf8(path).unwrap();
                let content = std::fs::read(site.join(&path)).unwrap();
                turned.push((path, content));
            }
            let place = site.clone();
            let wrong = in_session(&site, Filters::Refuse, move |session| {
                let repo = Repository::open(&place).unwrap();
                let tree = repo.head().unwrap().peel_to_tree().unwrap();
                let mut wrong = String::new();
                let mut to = Converter::new(&repo, Source::Tree(&tree), session)?;
                let files = blobs(&repo);
                to.prepare(files.iter().map(|(path, id)| (path.as_slice(), *id)))?;
                for (path, id) in &files {
                    let shown = String::from_utf8_lossy(path);
                    let file = place.join(&*shown);
                    let (real, ours) = (std::fs::read(&file).unwrap(), bytes(to.to_work_tree(path, *id)?));
                    if real != ours {
                        let _ = writeln!(wrong, "{shown}: {:?}, git {:?}", text(&ours), text(&real));
                    }
                }
                Ok(wrong)
            })
            .await
            .unwrap();
            assert_eq!(wrong, "", "core.autocrlf={auto} core.eol={eol}");
            changes_are_seen_as_git_sees_them(&site, &turned).await;
        }
    }
}

/// Turns the files in several ways, and compares which are taken for changed.
async fn changes_are_seen_as_git_sees_them(site: &Path, files: &[(String, Vec<u8>)]) {
    type Way = (&'static str, fn(&[u8]) -> Vec<u8>);
    let ways: [Way; 4] = [
        ("as they are", |content| content.to_vec()),
        ("LF", |content| String::from_utf8_lossy(content).replace("\r\n", "\n").into_bytes()),
        ("CRLF", |content| String::from_utf8_lossy(content).replace("\r\n", "\n").replace('\n', "\r\n").into_bytes()),
        ("ident", |content| String::from_utf8_lossy(content).replace("$Id$", "$Id: other $").into_bytes()),
    ];
    for (way, turn) in ways {
        for (path, content) in files {
            if !path.ends_with(".gitattributes") && std::str::from_utf8(content).is_ok() {
                std::fs::write(site.join(path), turn(content)).unwrap();
            }
        }
        let place = site.to_owned();
        let ours = in_session(site, Filters::Refuse, move |session| {
            let repo = Repository::open(&place).unwrap();
            let mut of = Converter::new(&repo, Source::WorkTree, session)?;
            let mut changed = BTreeSet::new();
            for (path, id) in blobs(&repo) {
                let shown = String::from_utf8_lossy(&path).into_owned();
                if !of.is_same(&path, id, &place.join(&shown))? {
                    changed.insert(shown);
                }
            }
            Ok(changed)
        })
        .await
        .unwrap();
        // All are looked into.
        std::fs::remove_file(site.join(".git/index")).unwrap();
        git(site, &["read-tree", "HEAD"], b"");
        let said = git(site, &["status", "--porcelain", "--no-renames", "-z"], b"");
        let said: BTreeSet<String> =
            String::from_utf8(said).unwrap().split('\0').filter_map(|line| line.get(3..).map(str::to_owned)).collect();
        // git writes this one and cannot read it, so it takes its own files for changed.
        let unreadable = format!("encoded/{}-", ENCODINGS.iter().position(|name| *name == "UTF-16BE-BOM").unwrap());
        let said: BTreeSet<_> = said.into_iter().filter(|path| !path.starts_with(&unreadable)).collect();
        let ours: BTreeSet<_> = ours.into_iter().filter(|path| !path.starts_with(&unreadable)).collect();
        let (only_ours, only_git): (Vec<_>, Vec<_>) =
            (ours.difference(&said).collect(), said.difference(&ours).collect());
        assert!(only_ours.is_empty() && only_git.is_empty(), "{way}: only ours {only_ours:?}, only git's {only_git:?}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
