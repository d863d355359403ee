//! Circles between the files of a crate: files that name each other, directly or through others.
//!
//! A name that a file hands on (`pub use step::Action` in `lib.rs`) counts as the file that defines it: whoever takes it
//! through the door of a folder does not depend on all that lies behind that door. For the same reason the name of a
//! module alone (`use super::resolve`, or a variable that happens to be called so) is no use of its file: what is taken
//! through it (`resolve::paths::made`) is named where it is taken.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use syn::{ItemUse, UseTree, visit::Visit};

use crate::imports::{self, Named, Taken};

/// One file of a crate.
struct File {
    /// Below the top of the tree.
    name: String,
    /// `[apply, put_back]` for `src/apply/put_back.rs`; empty for the crate's own.
    module: Vec<String>,
    /// What it defines at its top.
    defines: BTreeSet<String>,
    taken: Taken,
    /// Modules from which it takes everything.
    globs: Vec<Vec<String>>,
    names: Vec<Named>,
}

/// Files that need each other, directly or through others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Circle {
    /// Who uses whom within the circle.
    pub uses: Vec<Use>,
}

/// A file that names what another one defines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The file that does.
    pub from: String,
    /// The file that is used.
    pub to: String,
    /// What of it, each with the first line that says so: `Slot (12)`.
    pub what: Vec<String>,
}

/// Who uses whom in this tree, crate by crate.
pub fn uses() -> Vec<Use> {
    sources().iter().flat_map(|source| uses_of(&read(source))).collect()
}

/// Where the code of each crate lies.
fn sources() -> Vec<PathBuf> {
    let crates = imports::rooms().into_iter().filter(|(room, _)| matches!(room, imports::Room::Crate(_)));
    crates.map(|(_, folder)| folder).chain([imports::top().join("src")]).collect()
}

fn read(source: &Path) -> BTreeMap<Vec<String>, File> {
    let files = imports::product_files(source)
        .into_iter()
        .filter(|file| *file != source.join("main.rs") || !source.join("lib.rs").exists());
    let read = files.map(|path| {
        let module = imports::module_of(path.strip_prefix(source).unwrap());
        let name = path.strip_prefix(imports::top()).unwrap().display().to_string();
        (module.clone(), File::of(name, module, &imports::parsed(&path)))
    });
    read.collect()
}

impl File {
    fn of(name: String, module: Vec<String>, parsed: &syn::File) -> Self {
        let mut seen = Seen::default();
        seen.visit_file(parsed);
        let names = imports::named_in(parsed, &name);
        File { name, module, defines: seen.defines, taken: seen.taken, globs: seen.globs, names }
    }
}

/// What stands at the top of a file.
#[derive(Default)]
struct Seen {
    defines: BTreeSet<String>,
    taken: Taken,
    globs: Vec<Vec<String>>,
}

impl Seen {
    fn tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| before.iter().cloned().chain([name.to_string()]).collect::<Vec<_>>();
        match tree {
            UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) if name.ident == "self" => {
                let last = before.last().cloned().unwrap_or_default();
                self.taken.insert(last, before.to_vec());
            }
            UseTree::Name(name) => drop(self.taken.insert(name.ident.to_string(), with(&name.ident))),
            UseTree::Rename(name) => drop(self.taken.insert(name.rename.to_string(), with(&name.ident))),
            UseTree::Glob(_) => self.globs.push(before.to_vec()),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(before, tree)),
        }
    }
}

impl<'ast> Visit<'ast> for Seen {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        use syn::Item::{Const, Enum, Fn, Macro, Static, Struct, Trait, Type, Union};
        let name = match item {
            Const(item) => Some(&item.ident),
            Enum(item) => Some(&item.ident),
            Fn(item) => Some(&item.sig.ident),
            Macro(item) => item.ident.as_ref(),
            Static(item) => Some(&item.ident),
            Struct(item) => Some(&item.ident),
            Trait(item) => Some(&item.ident),
            Type(item) => Some(&item.ident),
            Union(item) => Some(&item.ident),
            syn::Item::Mod(item) if item.content.is_some() => Some(&item.ident),
            syn::Item::Use(ItemUse { tree, attrs, .. }) if !imports::is_for_tests(attrs) => {
                self.tree(&[], tree);
                None
            }
            _ => None,
        };
        self.defines.extend(name.map(ToString::to_string));
    }
}

/// The file that defines what a path leads to, as written in one of them; none where it leaves the crate, or ends at a
/// module.
fn lead<'f>(files: &'f BTreeMap<Vec<String>, File>, from: &File, path: &[String], depth: usize) -> Option<&'f File> {
    // Names that are handed on in a circle do not compile; this holds for what was not understood.
    if depth > 16 {
        return None;
    }
    let mut rest = path;
    let mut module = match rest.first()?.as_str() {
        "crate" => {
            rest = &rest[1..];
            Vec::new()
        }
        "self" => {
            rest = &rest[1..];
            from.module.clone()
        }
        "super" => {
            let mut module = from.module.clone();
            while rest.first().is_some_and(|word| word == "super") {
                module.pop()?;
                rest = &rest[1..];
            }
            module
        }
        first => {
            let child: Vec<String> = from.module.iter().cloned().chain([first.to_owned()]).collect();
            if !files.contains_key(&child) {
                // A name that the file has taken in, perhaps only to hand it on.
                let whole: Vec<String> = from.taken.get(first)?.iter().chain(&rest[1..]).cloned().collect();
                return if whole == path { None } else { lead(files, from, &whole, depth + 1) };
            }
            from.module.clone()
        }
    };
    // `super` and `crate` alone are visibilities.
    let mut word = rest.first()?;
    loop {
        let mut child = module.clone();
        child.push(word.clone());
        if !files.contains_key(&child) {
            break;
        }
        module = child;
        rest = &rest[1..];
        match rest.first() {
            Some(next) => word = next,
            None => return None,
        }
    }
    let file = files.get(&module)?;
    // Everything of a module is taken from the module itself, whatever of it is used then.
    if word == "*" || file.defines.contains(word) {
        return Some(file);
    }
    if let Some(path) = file.taken.get(word) {
        let whole: Vec<String> = path.iter().chain(&rest[1..]).cloned().collect();
        return lead(files, file, &whole, depth + 1);
    }
    for glob in &file.globs {
        let whole: Vec<String> = glob.iter().chain(rest).cloned().collect();
        if let Some(found) = lead(files, file, &whole, depth + 1)
            && found.defines.contains(word)
        {
            return Some(found);
        }
    }
    None
}

/// Who uses whom in one crate.
fn uses_of(files: &BTreeMap<Vec<String>, File>) -> Vec<Use> {
    let mut found: BTreeMap<(&str, &str), BTreeMap<&str, &str>> = BTreeMap::new();
    for file in files.values() {
        for Named { path, at, .. } in file.names.iter().filter(|named| !named.handed_on) {
            if let Some(used) = lead(files, file, path, 0)
                && used.name != file.name
            {
                let (word, line) = (path.last().map_or("", String::as_str), at.rsplit(':').next().unwrap_or_default());
                found.entry((&file.name, &used.name)).or_default().entry(word).or_insert(line);
            }
        }
    }
    let told = |what: BTreeMap<&str, &str>| what.iter().map(|(word, line)| format!("{word} ({line})")).collect();
    (found.into_iter())
        .map(|((from, to), what)| Use { from: from.to_owned(), to: to.to_owned(), what: told(what) })
        .collect()
}

/// The circles that remain without some uses, each of them from the first file to the second.
pub fn circles(uses: &[Use], but: &[(&str, &str)]) -> Vec<Circle> {
    let edges = edges(uses, but);
    let reached: BTreeMap<&str, BTreeSet<&str>> = edges.keys().map(|from| (*from, reach(&edges, from))).collect();
    let mut circles = BTreeSet::new();
    for (file, others) in reached.iter().filter(|(file, others)| others.contains(*file)) {
        let back = |other: &&str| reached.get(other).is_some_and(|back| back.contains(file));
        circles.insert(others.iter().copied().filter(back).collect::<BTreeSet<&str>>());
    }
    let has = |from: &str, to: &str| edges.get(from).is_some_and(|to_them| to_them.contains(&to));
    let within = |files: BTreeSet<&str>| {
        let own = uses.iter().filter(|used| files.contains(used.from.as_str()) && files.contains(used.to.as_str()));
        Circle { uses: own.filter(|used| has(&used.from, &used.to)).cloned().collect() }
    };
    circles.into_iter().map(within).collect()
}

/// Whether one file needs another, directly or through others, without some uses.
pub fn needs(uses: &[Use], but: &[(&str, &str)], from: &str, to: &str) -> bool {
    let edges = edges(uses, but);
    edges.get_key_value(from).is_some_and(|(from, _)| reach(&edges, from).contains(to))
}

fn edges<'u>(uses: &'u [Use], but: &[(&str, &str)]) -> BTreeMap<&'u str, Vec<&'u str>> {
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let counts = |used: &&Use| !but.contains(&(used.from.as_str(), used.to.as_str()));
    uses.iter().filter(counts).for_each(|used| edges.entry(&used.from).or_default().push(&used.to));
    edges
}

/// The files that are reached from one by going on along uses.
fn reach<'f>(edges: &BTreeMap<&'f str, Vec<&'f str>>, from: &'f str) -> BTreeSet<&'f str> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(file) = open.pop() {
        open.extend(edges.get(file).into_iter().flatten().filter(|next| found.insert(**next)));
    }
    found
}

#[test]
fn a_use_leads_to_the_file_that_defines_what_is_used() {
    let texts = [
        // A variable is called like a module.
        ("", "mod door; mod load; mod place; mod size; pub use place::Place; fn root() { let load = 1; drop(load); }"),
        ("door", "pub use super::size::of;"),
        // What is taken through doors, and a module of which nothing is used.
        ("load", "use super::{Place, door, size}; fn load(at: Place) { door::of(at) }"),
        ("place", "pub struct Place;"),
        // Everything of a module.
        ("size", "use super::place::*; pub fn of(_: Place) {}"),
    ];
    let files = texts.map(|(name, text)| {
        let module: Vec<String> = name.split("::").filter(|word| !word.is_empty()).map(str::to_owned).collect();
        (module.clone(), File::of(format!("{name}.rs"), module, &syn::parse_file(text).unwrap()))
    });
    let uses = uses_of(&files.into());
    let told: Vec<String> = uses.iter().map(|used| format!("{} {}", used.from, used.to)).collect();
    assert_eq!(told, ["load.rs place.rs", "load.rs size.rs", "size.rs place.rs"]);
    // The root only hands on: nothing goes round.
    assert_eq!(circles(&uses, &[]), []);
}
