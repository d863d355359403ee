//! Mounts of a service, short syntax of the Compose specification: `[source:]target[:options]`.

use super::made::{map_at, text};
use crate::{error::LoadError, lexical::clean};
use turnout_yaml::{Node, Value};

/// Expands one entry of `volumes`.
pub(super) fn expand(node: &mut Node, path: &str, lenient: bool) -> Result<(), LoadError> {
    let Some(spec) = node.as_str() else { return Ok(()) };
    match parse_volume(spec) {
        Ok(volume) => {
            node.value = volume.into_value(node);
            Ok(())
        }
        Err(_) if lenient => Ok(()),
        Err(reason) => Err(LoadError::at(path, node, format!("invalid volume '{spec}': {reason}"))
            .hint("the form is [source:]target[:options], for example ./data:/data:ro")),
    }
}

/// A mount as its short form says it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShortVolume {
    /// Host path or volume name; empty = anonymous.
    pub source: String,
    /// Container path, as written.
    pub target: String,
    /// The option `ro` was given.
    pub read_only: bool,
    nocopy: bool,
    propagation: String,
    selinux: String,
    /// Specs of one or two characters get no `volume` section. It makes no mount differ, but the hash.
    bare: bool,
}

impl ShortVolume {
    /// Whether the source is a host path.
    pub fn is_bind(&self) -> bool {
        let mut characters = self.source.chars();
        match characters.next() {
            Some('.' | '/' | '~') => true,
            Some('\\') => characters.next() == Some('\\'),
            Some(first) => first.is_alphabetic() && characters.next() == Some(':'),
            None => false,
        }
    }

    fn into_value(self, short: &Node) -> Value {
        let bind = self.is_bind();
        let mut entries = vec![("type", text(if bind { "bind" } else { "volume" }))];
        if !self.source.is_empty() {
            entries.push(("source", text(self.source)));
        }
        entries.push(("target", text(if self.bare { self.target } else { clean(&self.target) })));
        if self.read_only {
            entries.push(("read_only", Value::Bool(true)));
        }
        let mut options = Vec::new();
        if !self.selinux.is_empty() {
            options.push(("selinux", text(self.selinux)));
        }
        if !self.propagation.is_empty() {
            options.push(("propagation", text(self.propagation)));
        }
        if bind {
            // The short form has always created a missing host path.
            options.push(("create_host_path", Value::Bool(true)));
        }
        if !options.is_empty() {
            entries.push(("bind", map_at(&short.pos, options)));
        }
        if self.nocopy {
            entries.push(("volume", map_at(&short.pos, [("nocopy", Value::Bool(true))])));
        } else if !bind && !self.bare {
            entries.push(("volume", map_at(&short.pos, [])));
        }
        map_at(&short.pos, entries)
    }
}

/// Reads the short form of a mount.
///
/// # Errors
///
/// Says what is wrong with the text.
pub fn parse_volume(spec: &str) -> Result<ShortVolume, String> {
    let mut volume = ShortVolume::default();
    match spec.len() {
        0 => return Err("it is empty".to_owned()),
        1 | 2 => {
            spec.clone_into(&mut volume.target);
            volume.bare = true;
            return Ok(volume);
        }
        _ => {}
    }
    let sections = sections(spec);
    let count = sections.len();
    for (index, section) in sections.into_iter().enumerate() {
        let last = index + 1 == count;
        if section.is_empty() {
            return Err("empty section between colons".to_owned());
        }
        if volume.source.is_empty() && !last {
            volume.source = section;
        } else if volume.target.is_empty() {
            volume.target = section;
        } else if !last {
            return Err("too many colons".to_owned());
        } else {
            options(&mut volume, &section);
        }
    }
    Ok(volume)
}

/// Parts between colons. A colon after a single letter is a drive's; colons inside `${…}` do not count.
fn sections(spec: &str) -> Vec<String> {
    let mut sections = Vec::new();
    let mut section = String::new();
    let mut depth = 0_u32;
    let mut characters = spec.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '$' if characters.peek() == Some(&'{') => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ':' if depth == 0 => {
                let mut so_far = section.chars();
                let drive = so_far.next().is_some_and(char::is_alphabetic) && so_far.next().is_none();
                if !drive {
                    sections.push(std::mem::take(&mut section));
                    continue;
                }
            }
            _ => {}
        }
        section.push(character);
    }
    if depth == 0 {
        sections.push(section);
    }
    sections
}

/// Options after the second colon; unknown ones (`cached`) are ignored, as Compose does.
fn options(volume: &mut ShortVolume, list: &str) {
    for option in list.split(',') {
        match option {
            "ro" => volume.read_only = true,
            "rw" => volume.read_only = false,
            "nocopy" => volume.nocopy = true,
            "rprivate" | "private" | "rshared" | "shared" | "rslave" | "slave" => {
                option.clone_into(&mut volume.propagation);
            }
            "z" | "Z" => option.clone_into(&mut volume.selinux),
            _ => {}
        }
    }
}
