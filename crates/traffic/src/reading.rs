//! Values out of JSON, with every mistake on the way: objects, texts, numbers, lists, names, addresses.

use std::net::{IpAddr, SocketAddr};

use crate::{
    bounds, later,
    mistake::{Mistakes, quoted},
    tree::Tree,
};

/// Collects what is wrong while a table is read, so that all of it is told at once.
#[derive(Default)]
pub(crate) struct Reading {
    pub(crate) mistakes: Mistakes,
}

/// An object whose keys are known ones, each once.
pub(crate) struct Fields<'t> {
    path: String,
    entries: Vec<(&'t str, &'t Tree)>,
}

impl<'t> Fields<'t> {
    pub(crate) fn get(&self, key: &str) -> Option<&'t Tree> {
        self.entries.iter().find(|(known, _)| *known == key).map(|(_, value)| *value)
    }

    /// Where the object stands.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn at(&self, key: &str) -> String {
        below(&self.path, key)
    }
}

/// The path of a key.
pub(crate) fn below(path: &str, key: &str) -> String {
    match (path.is_empty(), plain(key)) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{path}.{key}"),
        (true, false) => quoted(key),
        (false, false) => format!("{path}.{}", quoted(key)),
    }
}

/// Whether a name is made of what names are made of.
fn plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= bounds::NAME
        && !name.starts_with(['-', '.'])
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

impl Reading {
    pub(crate) fn wrong(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.mistakes.add(path, message);
    }

    /// An object's entries, each key once.
    pub(crate) fn entries<'t>(&mut self, path: &str, tree: &'t Tree) -> Option<Vec<(&'t str, &'t Tree)>> {
        let Tree::Map(map) = tree else {
            self.wrong(path, format!("is {}; an object is wanted", tree.kind()));
            return None;
        };
        let mut entries: Vec<(&str, &Tree)> = Vec::with_capacity(map.len().min(bounds::REPOSITORIES));
        let mut keys = std::collections::BTreeSet::new();
        for (key, value) in map {
            if keys.insert(key.as_str()) {
                entries.push((key, value));
            } else {
                self.wrong(below(path, key), "stands here twice");
            }
        }
        Some(entries)
    }

    /// An object with these keys and no others. `later`: keys that will be.
    pub(crate) fn fields<'t>(
        &mut self,
        path: &str,
        tree: &'t Tree,
        keys: &[&str],
        later: &[&str],
    ) -> Option<Fields<'t>> {
        let mut entries = self.entries(path, tree)?;
        entries.retain(|(key, _)| {
            if keys.contains(key) {
                return true;
            }
            let message = match later.contains(key) {
                true => later::not_yet("this key"),
                false => format!("unknown key; known here: {}", keys.join(", ")),
            };
            self.wrong(below(path, key), message);
            false
        });
        Some(Fields { path: path.to_owned(), entries })
    }

    pub(crate) fn required<'t>(&mut self, fields: &Fields<'t>, key: &str) -> Option<&'t Tree> {
        let found = fields.get(key);
        if found.is_none() {
            self.wrong(fields.at(key), "is missing");
        }
        found
    }

    pub(crate) fn text<'t>(&mut self, path: &str, tree: &'t Tree) -> Option<&'t str> {
        if let Tree::Text(text) = tree {
            return Some(text);
        }
        self.wrong(path, format!("is {}; a text is wanted", tree.kind()));
        None
    }

    pub(crate) fn required_text<'t>(&mut self, fields: &Fields<'t>, key: &str) -> Option<&'t str> {
        let tree = self.required(fields, key)?;
        self.text(&fields.at(key), tree)
    }

    /// A text that may be missing. None: it is something else.
    pub(crate) fn optional_text<'t>(&mut self, fields: &Fields<'t>, key: &str) -> Option<Option<&'t str>> {
        match fields.get(key) {
            None => Some(None),
            Some(tree) => self.text(&fields.at(key), tree).map(Some),
        }
    }

    pub(crate) fn required_switch(&mut self, fields: &Fields<'_>, key: &str) -> Option<bool> {
        let tree = self.required(fields, key)?;
        self.switch(&fields.at(key), tree)
    }

    /// False where it is missing.
    pub(crate) fn optional_switch(&mut self, fields: &Fields<'_>, key: &str) -> Option<bool> {
        fields.get(key).map_or(Some(false), |tree| self.switch(&fields.at(key), tree))
    }

    pub(crate) fn switch(&mut self, path: &str, tree: &Tree) -> Option<bool> {
        if let Tree::Bool(value) = tree {
            return Some(*value);
        }
        self.wrong(path, format!("is {}; true or false is wanted", tree.kind()));
        None
    }

    pub(crate) fn number(&mut self, path: &str, tree: &Tree, least: u64, most: u64) -> Option<u64> {
        if let Tree::Whole(number) = tree
            && (least..=most).contains(number)
        {
            return Some(*number);
        }
        let is = match tree {
            Tree::Whole(number) => number.to_string(),
            other => other.kind().to_owned(),
        };
        self.wrong(path, format!("is {is}; a whole number from {least} to {most} is wanted"));
        None
    }

    pub(crate) fn required_number(&mut self, fields: &Fields<'_>, key: &str, least: u64, most: u64) -> Option<u64> {
        let tree = self.required(fields, key)?;
        self.number(&fields.at(key), tree, least, most)
    }

    /// A number that may be missing. None: it is something else.
    pub(crate) fn optional_number(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        least: u64,
        most: u64,
    ) -> Option<Option<u64>> {
        match fields.get(key) {
            None => Some(None),
            Some(tree) => self.number(&fields.at(key), tree, least, most).map(Some),
        }
    }

    pub(crate) fn list<'t>(&mut self, path: &str, tree: &'t Tree, least: usize, most: usize) -> Option<&'t [Tree]> {
        let Tree::List(list) = tree else {
            self.wrong(path, format!("is {}; a list is wanted", tree.kind()));
            return None;
        };
        if !(least..=most).contains(&list.len()) {
            self.wrong(path, format!("has {} entries; from {least} to {most} may be", list.len()));
            return None;
        }
        Some(list)
    }

    /// A text that is read further.
    pub(crate) fn read_text<T>(
        &mut self,
        path: &str,
        text: &str,
        read: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        read(text).map_err(|message| self.wrong(path, format!("{} {message}", quoted(text)))).ok()
    }

    /// A list of texts, none of them twice; empty where it is missing, and not where it stands there.
    pub(crate) fn each_once<T: PartialEq>(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        most: usize,
        read: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Option<Vec<T>> {
        let Some(tree) = fields.get(key) else { return Some(Vec::new()) };
        let list = self.list(&fields.at(key), tree, 1, most)?;
        let mut all = Vec::new();
        for (index, tree) in list.iter().enumerate() {
            let path = format!("{}[{index}]", fields.at(key));
            let Some(text) = self.text(&path, tree) else { continue };
            match self.read_text(&path, text, &read) {
                Some(value) if all.contains(&value) => self.wrong(path, format!("{} stands twice", quoted(text))),
                value => all.extend(value),
            }
        }
        (all.len() == list.len()).then_some(all)
    }

    /// A name of a repository or a colour.
    pub(crate) fn name(&mut self, path: &str, name: &str) -> Option<String> {
        if plain(name) {
            return Some(name.to_owned());
        }
        let most = bounds::NAME;
        let rule = format!("a name has letters, digits, -, _ and ., at most {most}, and does not begin with - or .");
        self.wrong(path, format!("{} is no name: {rule}", quoted(name)));
        None
    }

    /// An address with a port, in the one form that it has.
    pub(crate) fn address(&mut self, path: &str, tree: &Tree) -> Option<SocketAddr> {
        let text = self.text(path, tree)?;
        let Ok(address) = text.parse::<SocketAddr>() else {
            let message = "is no address with a port; as 0.0.0.0:80 or [::]:80, not a host name";
            self.wrong(path, format!("{} {message}", quoted(text)));
            return None;
        };
        if address.port() == 0 {
            self.wrong(path, "has port 0, which means any port; name one");
            return None;
        }
        if let IpAddr::V6(ip) = address.ip()
            && let Some(ip) = ip.to_ipv4_mapped()
        {
            self.wrong(path, format!("is an IPv4 address in the form of IPv6; write {ip}:{}", address.port()));
            return None;
        }
        Some(address)
    }

    pub(crate) fn one_of<T: Copy>(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        known: &[(&str, T)],
        later: &[&str],
    ) -> Option<T> {
        let word = self.required_text(fields, key)?;
        if let Some((_, value)) = known.iter().find(|(name, _)| *name == word) {
            return Some(*value);
        }
        let message = match later.contains(&word) {
            true => later::not_yet(&quoted(word)),
            false => {
                let known: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                format!("{} is not known; known here: {}", quoted(word), known.join(", "))
            }
        };
        self.wrong(fields.at(key), message);
        None
    }
}
