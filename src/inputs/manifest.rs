//! The inputs of an image by name, and their difference in words.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::report::is_secret_name;

/// Value of an image that is not on the engine: the build fetches it, and what it fetched nobody is told.
pub const ABSENT: &str = "absent";

/// How many differences are named.
const NAMED: usize = 3;
/// Longest value that is printed, in bytes; more says nothing to a reader.
const PRINTED: usize = 60;

// Kinds of inputs. The name of an input begins with its kind; a space follows.
const FILE: &str = "file";
const LINK: &str = "link";
const FOLDER: &str = "folder";
const OTHER: &str = "entry";
const ARGUMENT: &str = "build argument";
const IMAGE: &str = "base image";
const SETTING: &str = "setting";
const DOCKERFILE: &str = "dockerfile";

/// The inputs of one image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Manifest {
    inputs: BTreeMap<String, String>,
}

impl Manifest {
    /// A regular file: its permissions and the digest of its content.
    pub fn file(&mut self, name: &str, mode: u32, digest: &str) {
        self.put(FILE, name, format!("{mode:o} {digest}"));
    }

    /// A symbolic link and where it leads.
    pub fn link(&mut self, name: &str, target: &str) {
        self.put(LINK, name, target.to_owned());
    }

    /// A folder and its permissions.
    pub fn folder(&mut self, name: &str, mode: u32) {
        self.put(FOLDER, name, format!("{mode:o}"));
    }

    /// What has no content of its own, such as a pipe.
    pub fn other(&mut self, name: &str, what: &str) {
        self.put(OTHER, name, what.to_owned());
    }

    /// A build argument. One whose name or value looks like a secret is kept as a digest only.
    pub fn argument(&mut self, name: &str, value: &str) {
        let value = if is_secret(name, value) { text_digest(value.as_bytes()) } else { value.to_owned() };
        self.put(ARGUMENT, name, value);
    }

    /// An image that the build reads, by its ID; none when the engine does not have it.
    pub fn image(&mut self, reference: &str, id: Option<&str>) {
        self.put(IMAGE, reference, id.unwrap_or(ABSENT).to_owned());
    }

    /// The images that were not on the engine, by their references.
    pub fn absent_images(&self) -> Vec<String> {
        let absent = self.inputs.iter().filter(|(name, value)| *value == ABSENT && split(name).1 == IMAGE);
        absent.map(|(name, _)| split(name).2.to_owned()).collect()
    }

    /// Notes of one of those that it has come, with its ID.
    pub fn image_came(&mut self, reference: &str, id: &str) {
        for (name, value) in &mut self.inputs {
            let (_, kind, own) = split(name);
            if kind == IMAGE && own == reference && *value == ABSENT {
                id.clone_into(value);
            }
        }
    }

    /// Anything else that has a name and a value, such as the target. An empty value is no input.
    pub fn setting(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.put(SETTING, name, value.to_owned());
        }
    }

    /// The Dockerfile, by the name a reader knows it by.
    pub fn dockerfile(&mut self, name: &str, content: &[u8]) {
        self.put(DOCKERFILE, name, text_digest(content));
    }

    fn put(&mut self, kind: &str, name: &str, value: String) {
        self.inputs.insert(format!("{kind} {name}"), value);
    }

    /// Takes over all of another, as the inputs of one of several services that share an image.
    pub fn absorb(&mut self, service: &str, other: Manifest) {
        for (name, value) in other.inputs {
            self.inputs.insert(format!("{service}: {name}"), value);
        }
    }

    /// Number of inputs.
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// The fingerprint: `sha256:…` over names and values.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for (name, value) in &self.inputs {
            for text in [name, value] {
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text);
            }
        }
        format!("sha256:{}", hex::encode(hash.finalize()))
    }

    /// In what this one (the present) differs from what an image was built from, in words; `None` if in nothing.
    pub fn differs_from(&self, built: &Manifest) -> Option<String> {
        let mut all = Vec::new();
        let exchanged = self.exchanged(built);
        if let Some((text, _)) = &exchanged {
            all.push((rank(DOCKERFILE), text.clone()));
        }
        let names = exchanged.map(|(_, names)| names).unwrap_or_default();
        for (name, value) in self.inputs.iter().filter(|(name, _)| !names.contains(name)) {
            match built.inputs.get(name) {
                Some(was) if was == value || pruned(name, value) => {}
                was => all.push((rank(name), say(name, was, Some(value)))),
            }
        }
        let gone = |name: &String| !self.inputs.contains_key(name) && !names.contains(&name);
        for (name, was) in built.inputs.iter().filter(|(name, _)| gone(name)) {
            all.push((rank(name), say(name, Some(was), None)));
        }
        if all.is_empty() {
            return None;
        }
        // A folder that is new says less than the files in it.
        all.sort_by_key(|(rank, _)| *rank);
        // A Dockerfile lies in its context as well, as a rule: of both it would be said.
        let mut said = BTreeSet::new();
        all.retain(|(_, text)| said.insert(text.clone()));
        let count = all.len();
        let mut text = all.into_iter().take(NAMED).map(|(_, text)| text).collect::<Vec<_>>().join("; ");
        if count > NAMED {
            text.push_str(&format!("; and {} more", count - NAMED));
        }
        Some(text)
    }

    /// Another Dockerfile was chosen (and perhaps the former removed): one change, not one that came and one that went.
    /// The words, and the names that they cover, whether as Dockerfile or as a file of the context.
    fn exchanged<'m>(&'m self, built: &'m Manifest) -> Option<(String, Vec<&'m String>)> {
        let only = |of: &'m Manifest, other: &Manifest| {
            let mut found =
                of.inputs.keys().filter(|name| split(name).1 == DOCKERFILE && !other.inputs.contains_key(*name));
            found.next().filter(|_| found.next().is_none())
        };
        let (is, was) = (only(self, built)?, only(built, self)?);
        let ((service, _, is_path), (former, _, was_path)) = (split(is), split(was));
        if service != former {
            return None;
        }
        let text = format!("the Dockerfile is {is_path}, was {was_path}");
        let text = if service.is_empty() { text } else { format!("{service}: {text}") };
        let mut names = vec![is, was];
        // The same two, as files of the context.
        for (of, path) in [(self, is_path), (built, was_path)] {
            names.extend(of.inputs.keys().filter(|name| split(name) == (service, FILE, path)));
        }
        Some((text, names))
    }
}

fn split(name: &str) -> (&str, &str, &str) {
    // `SERVICE: kind name` where several services share the image.
    let (service, rest) = match name.split_once(": ") {
        Some((service, rest)) if !service.contains(' ') => (service, rest),
        _ => ("", name),
    };
    let kinds = [FILE, LINK, FOLDER, OTHER, ARGUMENT, IMAGE, SETTING, DOCKERFILE];
    let found = kinds.iter().find_map(|kind| Some((*kind, rest.strip_prefix(kind)?.strip_prefix(' ')?)));
    let (kind, rest) = found.unwrap_or((SETTING, rest));
    (service, kind, rest)
}

/// An image that was pruned is none that changed. One that came, as somebody pulled it, may well be another than the
/// build had fetched.
fn pruned(name: &str, is: &str) -> bool {
    split(name).1 == IMAGE && is == ABSENT
}

/// What a reader wants to know first.
fn rank(name: &str) -> u8 {
    match split(name).1 {
        SETTING => 0,
        ARGUMENT => 1,
        DOCKERFILE => 2,
        IMAGE => 3,
        FILE | LINK | OTHER => 4,
        _ => 5,
    }
}

fn say(name: &str, was: Option<&String>, is: Option<&String>) -> String {
    let (service, kind, name) = split(name);
    let what = match kind {
        ARGUMENT | IMAGE | LINK | FOLDER => format!("{kind} {name}"),
        _ => name.to_owned(),
    };
    let text = match (kind, was, is) {
        (SETTING | ARGUMENT, Some(was), Some(is)) if printable(was) && printable(is) => {
            format!("{what} is {}, was {}", quoted(is), quoted(was))
        }
        (SETTING | ARGUMENT, None, Some(is)) if printable(is) => format!("{what} is {}, was not set", quoted(is)),
        (SETTING | ARGUMENT, Some(was), None) if printable(was) => {
            format!("{what} is not set any more, was {}", quoted(was))
        }
        (SETTING | ARGUMENT, ..) => format!("{what} differs"),
        (LINK, Some(was), Some(is)) => format!("{what} leads to {is}, led to {was}"),
        (IMAGE, Some(was), Some(_)) if was == ABSENT => {
            format!("{what} is there now, and may be another one than the build fetched")
        }
        (IMAGE, Some(_), Some(_)) => format!("{what} is another one than the image was built from"),
        (FILE, Some(was), Some(is)) if content(was) == content(is) => {
            format!("the permissions of {what} are {}, were {}", mode(is), mode(was))
        }
        (FOLDER, Some(was), Some(is)) => format!("the permissions of {what} are {is}, were {was}"),
        (_, Some(_), Some(_)) => format!("{what} differs from what the image was built from"),
        (_, None, _) => format!("{what} is new"),
        (_, Some(_), None) => format!("{what} is gone"),
    };
    if service.is_empty() { text } else { format!("{service}: {text}") }
}

fn mode(value: &str) -> &str {
    value.split_once(' ').map_or(value, |(mode, _)| mode)
}

fn content(value: &str) -> &str {
    value.split_once(' ').map_or(value, |(_, digest)| digest)
}

fn printable(value: &str) -> bool {
    value.len() <= PRINTED && !value.starts_with("sha256:") && !value.contains('\n')
}

fn quoted(value: &str) -> String {
    if value.is_empty() || value.contains(' ') { format!("{value:?}") } else { value.to_owned() }
}

/// Whether a build argument may be something that nobody should read in a log.
fn is_secret(name: &str, value: &str) -> bool {
    let userinfo = value
        .split_once("://")
        .is_some_and(|(_, rest)| rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')));
    userinfo || is_secret_name(name)
}

/// `sha256:…` of a content.
pub fn text_digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built() -> Manifest {
        let mut made = Manifest::default();
        made.file("index.html", 0o644, "aa");
        made.folder("img", 0o755);
        made.link("now", "v1");
        made.argument("VERSION", "7");
        made.argument("DB_PASSWORD", "hunter2");
        made.argument("INDEX", "https://u:p@h/x");
        made.setting("target", "dev");
        made.image("acme/base", Some("sha256:11"));
        made.image("acme/fetched", None);
        made.dockerfile("Dockerfile", b"FROM scratch");
        made
    }

    #[test]
    fn differences_are_named() {
        type Change = fn(&mut Manifest);
        let table: Vec<(Change, Option<&str>)> = vec![
            (|_| {}, None),
            (|m| m.file("index.html", 0o644, "bb"), Some("index.html differs from what the image was built from")),
            (|m| m.file("index.html", 0o755, "aa"), Some("the permissions of index.html are 755, were 644")),
            (|m| m.file("new", 0o644, "aa"), Some("new is new")),
            (|m| m.link("now", "v2"), Some("link now leads to v2, led to v1")),
            (|m| m.argument("VERSION", "8"), Some("build argument VERSION is 8, was 7")),
            (|m| m.argument("MORE", ""), Some("build argument MORE is \"\", was not set")),
            (|m| m.argument("DB_PASSWORD", "x"), Some("build argument DB_PASSWORD differs")),
            (|m| m.argument("INDEX", "https://u:q@h/x"), Some("build argument INDEX differs")),
            (|m| m.setting("target", "prod"), Some("target is prod, was dev")),
            (|m| m.setting("network", "host"), Some("network is host, was not set")),
            (
                |m| m.image("acme/base", Some("sha256:22")),
                Some("base image acme/base is another one than the image was built from"),
            ),
            (|m| m.image("acme/base", None), None),
            (
                |m| m.image("acme/fetched", Some("sha256:33")),
                Some("base image acme/fetched is there now, and may be another one than the build fetched"),
            ),
            (|m| m.dockerfile("Dockerfile", b"FROM x"), Some("Dockerfile differs from what the image was built from")),
            (|m| drop(m.inputs.remove("file index.html")), Some("index.html is gone")),
        ];
        for (number, (change, expected)) in table.into_iter().enumerate() {
            let mut now = built();
            change(&mut now);
            assert_eq!(now.differs_from(&built()).as_deref(), expected, "{number}");
            assert_eq!(now == built(), now.fingerprint() == built().fingerprint(), "{number}");
        }
        assert!(!format!("{:?}", built()).contains("hunter2"));
    }

    #[test]
    fn another_dockerfile_is_one_difference() {
        let with = |dockerfile: &str, files: &[&str]| {
            let mut made = Manifest::default();
            made.dockerfile(dockerfile, b"FROM scratch");
            files.iter().for_each(|file| made.file(file, 0o644, "aa"));
            made
        };
        let table: [(&[&str], &[&str], &str); 3] = [
            (&["Dockerfile"], &["Dockerfile", "Dockerfile.dev"], "the Dockerfile is Dockerfile.dev, was Dockerfile"),
            (&["Dockerfile"], &["Dockerfile.dev"], "the Dockerfile is Dockerfile.dev, was Dockerfile"),
            (&["a"], &["b"], "the Dockerfile is Dockerfile.dev, was Dockerfile; b is new; a is gone"),
        ];
        for (were, are, expected) in table {
            let (built, now) = (with("Dockerfile", were), with("Dockerfile.dev", are));
            assert_eq!(now.differs_from(&built).as_deref(), Some(expected));
            let (mut of_built, mut of_now) = (Manifest::default(), Manifest::default());
            of_built.absorb("web", built);
            of_now.absorb("web", now);
            assert_eq!(of_now.differs_from(&of_built), Some(format!("web: {}", expected.replace("; ", "; web: "))));
        }
    }

    #[test]
    fn many_differences_are_counted_and_the_telling_ones_come_first() {
        let mut now = built();
        for name in ["a", "b", "c"] {
            now.file(name, 0o644, "aa");
        }
        now.setting("target", "prod");
        assert_eq!(now.differs_from(&built()).unwrap(), "target is prod, was dev; a is new; b is new; and 1 more");
        let mut shared = Manifest::default();
        shared.absorb("web", built());
        let mut other = Manifest::default();
        other.absorb("web", now);
        assert!(other.differs_from(&shared).unwrap().starts_with("web: target is prod, was dev; web: a is new"));
    }

    #[test]
    fn images_that_came_with_the_build_are_noted() {
        let mut shared = Manifest::default();
        shared.absorb("web", built());
        assert_eq!(shared.absent_images(), ["acme/fetched"]);
        shared.image_came("acme/fetched", "sha256:44");
        shared.image_came("acme/base", "sha256:44");
        assert!(shared.absent_images().is_empty());
        let mut later = Manifest::default();
        later.absorb("web", built());
        later.image_came("acme/fetched", "sha256:55");
        let said = later.differs_from(&shared).unwrap();
        assert_eq!(said, "web: base image acme/fetched is another one than the image was built from");
    }

    #[test]
    fn names_and_values_do_not_run_into_each_other() {
        let (mut one, mut other) = (Manifest::default(), Manifest::default());
        one.link("a", "bc");
        other.link("ab", "c");
        assert_ne!(one.fingerprint(), other.fingerprint());
    }
}
