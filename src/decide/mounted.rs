//! What a container has read from the checkout against what lies there now, and what is to be done about a difference.
//!
//! A process goes on with what it read at its start, and a mount with the file or folder that bore the name then.
//! Compose compares neither.

pub mod absent;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{config::MountedChange, plan::Mounted};

/// What kind of thing is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A single mounted file: a bind mount, a config or a secret with `file`.
    File,
    /// A mounted folder.
    Folder,
    /// A config or secret whose text stands in the Compose file or a variable.
    Text,
}

/// One thing that a container reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// File, folder or text.
    pub kind: Kind,
    /// What people call it: a path from the top of the repository, an absolute path elsewhere, or a config's name.
    #[serde(default)]
    pub source: String,
    /// Digest of what was read.
    pub digest: String,
    /// Which file or folder bears the name; empty for a text.
    #[serde(default)]
    pub identity: String,
    /// Of a folder: its files, each with a digest; empty where they are not known or too many.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// The container can write it and git does not track it: a change of the content may be its own doing.
    #[serde(default)]
    pub own: bool,
    /// When the content was last written, in milliseconds since 1970.
    #[serde(skip)]
    pub written_at: i64,
    /// When what bears the name was made, in milliseconds since 1970; 0 if the file system does not tell.
    #[serde(skip)]
    pub born_at: i64,
}

impl Read {
    /// One of which neither place nor times are known.
    pub fn new(kind: Kind, source: String, digest: String) -> Self {
        let (identity, files) = (String::new(), BTreeMap::new());
        Self { kind, source, digest, identity, files, own: false, written_at: 0, born_at: 0 }
    }
}

/// Everything that a container reads, by its path in the container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reads(pub BTreeMap<String, Read>);

impl Reads {
    /// As a label: without names of files, which would not fit.
    pub fn label(&self) -> String {
        let short: BTreeMap<&str, (Kind, &str, &str)> = self
            .0
            .iter()
            .map(|(target, read)| (target.as_str(), (read.kind, read.digest.as_str(), read.identity.as_str())))
            .collect();
        serde_json::to_string(&short).unwrap_or_default()
    }

    /// Reads a label back; anything else than one of ours is no record.
    pub fn of_label(text: &str) -> Option<Reads> {
        let short: BTreeMap<String, (Kind, String, String)> = serde_json::from_str(text).ok()?;
        let read = |(kind, digest, identity)| Read { identity, ..Read::new(kind, String::new(), digest) };
        Some(Reads(short.into_iter().map(|(target, parts)| (target, read(parts))).collect()))
    }
}

/// What is known of a container's last start.
#[derive(Debug, Clone, Copy)]
pub enum Before<'a> {
    /// What it read then.
    Recorded(&'a Reads),
    /// Only when that was, in milliseconds since 1970: something else than turnout made the container.
    Started(i64),
}

/// What the container does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It runs, or is paused or between two starts.
    Live,
    /// It has ended.
    Ended,
    /// It was never started and so has read nothing.
    Unborn,
}

/// What is done about changed files of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// Somebody said so.
    Said(MountedChange),
    /// Nobody said anything; whether DEBUG is true decides.
    Default {
        /// DEBUG is true.
        debug: bool,
    },
}

/// Compares and decides, for one container.
pub fn judge(before: Before<'_>, now: &Reads, policy: &Policy, life: Life) -> Mounted {
    let mut found = Found::default();
    if life != Life::Unborn {
        for (target, read) in &now.0 {
            match before {
                Before::Recorded(old) => {
                    // One that is new in the configuration replaces the container on account of that.
                    if let Some(old) = old.0.get(target) {
                        compare(&mut found, target, old, read);
                    }
                }
                Before::Started(at) => by_time(&mut found, target, read, at),
            }
        }
    }
    let Found { replaced, folders, mut left } = found;
    if folders.is_empty() {
        return act(MountedChange::Recreate, replaced, left);
    }
    let (action, why_left) = match policy {
        Policy::Said(MountedChange::Ignore) => (MountedChange::Ignore, "on_mounted_change is ignore"),
        Policy::Said(action) => (action.clone(), ""),
        Policy::Default { debug: true } if life == Life::Live => {
            (MountedChange::Ignore, "DEBUG is true, where servers are expected to reload by themselves")
        }
        Policy::Default { .. } => (MountedChange::Restart, ""),
    };
    if action == MountedChange::Ignore {
        left.extend(folders.into_iter().map(|what| format!("{what}; it is not restarted for that ({why_left})")));
        return act(MountedChange::Recreate, replaced, left);
    }
    if !replaced.is_empty() || life == Life::Ended {
        // What has ended hears no signal and is not restarted: a job runs again in a new container.
        return act(MountedChange::Recreate, [replaced, folders].concat(), left);
    }
    act(action, folders, left)
}

#[derive(Default)]
struct Found {
    /// Reasons to replace the container.
    replaced: Vec<String>,
    /// Folders with changed files.
    folders: Vec<String>,
    left: Vec<String>,
}

fn act(action: MountedChange, causes: Vec<String>, left: Vec<String>) -> Mounted {
    let mut mounted = Mounted { left, ..Mounted::default() };
    if causes.is_empty() {
        return mounted;
    }
    let cause = causes.join("; ");
    match action {
        MountedChange::Recreate => mounted.recreate = Some(cause),
        MountedChange::Restart => mounted.restart = Some(cause),
        MountedChange::Signal(signal) => mounted.signal = Some((signal, cause)),
        MountedChange::Ignore => mounted.left.push(cause),
    }
    mounted
}

fn compare(found: &mut Found, target: &str, old: &Read, now: &Read) {
    let changed = old.digest != now.digest;
    let replaced = !old.identity.is_empty() && !now.identity.is_empty() && old.identity != now.identity;
    let mounted = format!("{}, mounted at {target},", now.source);
    match now.kind {
        Kind::Text if changed => found.replaced.push(format!("{} at {target} has another text", now.source)),
        Kind::Text => {}
        Kind::File if changed && (replaced || !now.own) => found.replaced.push(format!("{mounted} changed")),
        Kind::File if replaced => found
            .replaced
            .push(format!("{mounted} was replaced (another file of that name), the container still sees the old one")),
        Kind::File if changed => found.left.push(own(&mounted)),
        Kind::File => {}
        Kind::Folder if replaced => found.replaced.push(format!(
            "{mounted} was replaced (another folder of that name), the container still sees the old one"
        )),
        Kind::Folder if changed => {
            let files = differing(&old.files, &now.files);
            found.folders.push(match files.is_empty() {
                true => format!("files in {mounted} changed"),
                false => format!("{} in {mounted} changed", files.join(", ")),
            });
        }
        Kind::Folder => {}
    }
}

fn own(mounted: &str) -> String {
    format!(
        "{mounted} has another content; git does not track it and the container can write it, so that is left to it"
    )
}

fn by_time(found: &mut Found, target: &str, now: &Read, started: i64) {
    let mounted = format!("{}, mounted at {target},", now.source);
    let since = "since the container was started by something else than turnout";
    let replaced = now.born_at > started;
    let written = now.written_at > started;
    match now.kind {
        Kind::Text => found.left.push(format!(
            "whether {} at {target} has another text now is not known, for something else than turnout made the \
             container",
            now.source
        )),
        Kind::File if replaced || written && !now.own => {
            found.replaced.push(format!("{mounted} may have changed {since}"));
        }
        Kind::File if written => found.left.push(own(&mounted)),
        Kind::Folder if replaced => found.replaced.push(format!("{mounted} may have been replaced {since}")),
        Kind::Folder if written => found.folders.push(format!("files in {mounted} may have changed {since}")),
        Kind::File | Kind::Folder => {}
    }
}

/// The files that differ, the first few by name. Empty where one side does not know its files.
fn differing(old: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    const MOST: usize = 3;
    if old.is_empty() || now.is_empty() {
        return Vec::new();
    }
    let all: BTreeSet<&String> = old.keys().chain(now.keys()).collect();
    let mut names: Vec<String> = all.into_iter().filter(|name| old.get(*name) != now.get(*name)).cloned().collect();
    if names.len() > MOST {
        let more = names.len() - MOST;
        names.truncate(MOST);
        names.push(format!("{more} more"));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn read(kind: Kind, digest: &str, identity: &str) -> Read {
        Read {
            kind,
            source: "conf".to_owned(),
            digest: digest.to_owned(),
            identity: identity.to_owned(),
            files: [("conf/site".to_owned(), digest.to_owned()), ("conf/other".to_owned(), "0".to_owned())].into(),
            own: false,
            written_at: 0,
            born_at: 0,
        }
    }

    pub(super) fn of(read: Read) -> Reads {
        Reads([("/t".to_owned(), read)].into())
    }

    /// What is done, in one word, and the reason.
    fn words(mounted: &Mounted) -> String {
        let Mounted { recreate, restart, signal, left } = mounted;
        let parts = [
            recreate.as_ref().map(|why| format!("recreate: {why}")),
            restart.as_ref().map(|why| format!("restart: {why}")),
            signal.as_ref().map(|(signal, why)| format!("{signal}: {why}")),
            (!left.is_empty()).then(|| format!("left: {}", left.join("; "))),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" | ")
    }

    const PROD: Policy = Policy::Default { debug: false };
    const DEV: Policy = Policy::Default { debug: true };

    #[test]
    fn files_and_texts() {
        for (kind, old, now, wanted) in [
            (Kind::File, ("a", "1"), ("a", "1"), ""),
            (Kind::File, ("a", "1"), ("b", "1"), "recreate: conf, mounted at /t, changed"),
            (Kind::File, ("a", "1"), ("b", "2"), "recreate: conf, mounted at /t, changed"),
            (Kind::File, ("a", "1"), ("a", "2"), "recreate: conf, mounted at /t, was replaced (another file"),
            (Kind::Text, ("a", ""), ("a", ""), ""),
            (Kind::Text, ("a", ""), ("b", ""), "recreate: conf at /t has another text"),
            (Kind::Folder, ("a", "1"), ("a", "2"), "recreate: conf, mounted at /t, was replaced (another folder"),
            (Kind::Folder, ("a", "1"), ("b", "2"), "recreate: conf, mounted at /t, was replaced (another folder"),
        ] {
            for policy in [&PROD, &DEV, &Policy::Said(MountedChange::Ignore)] {
                let before = of(read(kind, old.0, old.1));
                let found = judge(Before::Recorded(&before), &of(read(kind, now.0, now.1)), policy, Life::Live);
                let words = words(&found);
                assert!(words.starts_with(wanted) && words.is_empty() == wanted.is_empty(), "{kind:?}: {words}");
            }
        }
    }

    #[test]
    fn changed_folders_go_by_the_policy() {
        let (before, now) = (of(read(Kind::Folder, "a", "1")), of(read(Kind::Folder, "b", "1")));
        let why = "conf/site in conf, mounted at /t, changed";
        let left = |reason: &str| format!("left: {why}; it is not restarted for that ({reason})");
        let debug = left("DEBUG is true, where servers are expected to reload by themselves");
        let hup = MountedChange::Signal("SIGHUP".to_owned());
        for (policy, live, ended) in [
            (PROD, format!("restart: {why}"), format!("recreate: {why}")),
            (DEV, debug, format!("recreate: {why}")),
            (Policy::Said(MountedChange::Recreate), format!("recreate: {why}"), format!("recreate: {why}")),
            (Policy::Said(MountedChange::Restart), format!("restart: {why}"), format!("recreate: {why}")),
            (Policy::Said(hup), format!("SIGHUP: {why}"), format!("recreate: {why}")),
            (
                Policy::Said(MountedChange::Ignore),
                left("on_mounted_change is ignore"),
                left("on_mounted_change is ignore"),
            ),
        ] {
            for (life, wanted) in [(Life::Live, live), (Life::Ended, ended), (Life::Unborn, String::new())] {
                assert_eq!(
                    words(&judge(Before::Recorded(&before), &now, &policy, life)),
                    wanted,
                    "{policy:?} {life:?}"
                );
            }
        }
    }

    #[test]
    fn the_strongest_of_several_is_done_once() {
        let mut before = of(read(Kind::Folder, "a", "1"));
        let mut now = of(read(Kind::Folder, "b", "1"));
        before.0.insert("/f".to_owned(), read(Kind::File, "a", "1"));
        now.0.insert("/f".to_owned(), read(Kind::File, "b", "2"));
        let found = judge(Before::Recorded(&before), &now, &PROD, Life::Live);
        assert_eq!(words(&found), "recreate: conf, mounted at /f, changed; conf/site in conf, mounted at /t, changed");
    }

    #[test]
    fn what_the_container_may_have_written_itself_is_left_and_said() {
        let own = |digest: &str, identity: &str| of(Read { own: true, ..read(Kind::File, digest, identity) });
        let found = judge(Before::Recorded(&own("a", "1")), &own("b", "1"), &PROD, Life::Live);
        assert!(words(&found).starts_with("left: conf, mounted at /t, has another content"), "{found:?}");
        let found = judge(Before::Recorded(&own("a", "1")), &own("b", "2"), &PROD, Life::Live);
        assert_eq!(words(&found), "recreate: conf, mounted at /t, changed");
    }

    #[test]
    fn without_a_record_times_are_compared() {
        for (kind, written, born, wanted) in [
            (Kind::File, 9, 9, ""),
            // At the very moment of the start is before it: a file is written, then the container is started.
            (Kind::File, 10, 10, ""),
            (Kind::Folder, 10, 10, ""),
            (Kind::File, 11, 9, "recreate: conf, mounted at /t, may have changed"),
            (Kind::File, 9, 11, "recreate: conf, mounted at /t, may have changed"),
            (Kind::Folder, 9, 9, ""),
            (Kind::Folder, 11, 9, "restart: files in conf, mounted at /t, may have changed"),
            (Kind::Folder, 11, 11, "recreate: conf, mounted at /t, may have been replaced"),
            (Kind::Text, 0, 0, "left: whether conf at /t has another text"),
        ] {
            let now = of(Read { written_at: written, born_at: born, ..read(kind, "a", "1") });
            let words = words(&judge(Before::Started(10), &now, &PROD, Life::Live));
            assert!(words.starts_with(wanted) && words.is_empty() == wanted.is_empty(), "{kind:?}: {words}");
        }
    }

    #[test]
    fn what_the_container_may_have_written_since_a_start_is_left_and_said() {
        let own = Read { own: true, written_at: 11, ..read(Kind::File, "a", "1") };
        let words = |now: Read| words(&judge(Before::Started(10), &of(now), &PROD, Life::Live));
        assert!(words(own.clone()).starts_with("left: conf, mounted at /t, has another content"));
        assert_eq!(words(Read { written_at: 10, ..own }), "");
    }

    #[test]
    fn the_first_three_files_are_named_and_the_others_counted() {
        let files = |count: usize, digest: &str| -> BTreeMap<String, String> {
            (0..count).map(|number| (format!("f{number}"), digest.to_owned())).collect()
        };
        for (count, expected) in [
            (1, vec!["f0"]),
            (3, vec!["f0", "f1", "f2"]),
            (4, vec!["f0", "f1", "f2", "1 more"]),
            (9, vec!["f0", "f1", "f2", "6 more"]),
        ] {
            assert_eq!(differing(&files(count, "a"), &files(count, "b")), expected);
        }
    }

    #[test]
    fn labels_are_read_back_and_rubbish_is_no_record() {
        let reads = of(read(Kind::Folder, "a", "1"));
        let back = Reads::of_label(&reads.label()).unwrap();
        assert_eq!(back.0["/t"].identity, reads.0["/t"].identity, "what tells a replaced folder");
        assert_eq!(judge(Before::Recorded(&back), &reads, &PROD, Life::Live), Mounted::default());
        let found = judge(Before::Recorded(&back), &of(read(Kind::Folder, "b", "1")), &PROD, Life::Live);
        assert_eq!(words(&found), "restart: files in conf, mounted at /t, changed");
        for rubbish in ["", "[]", "{\"/t\":3}", "x"] {
            assert_eq!(Reads::of_label(rubbish), None, "{rubbish}");
        }
    }
}
