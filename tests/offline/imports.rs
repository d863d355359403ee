//! Who uses whom: what crates ask for in their manifests, and what the code of each folder names. Read with a parser, so
//! that grouped, renamed and nested imports count as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use syn::{ItemUse, UseTree, visit::Visit};

/// A path in the code, and where it is first named: `crate::engine::Engine` at `src/deploy/mod.rs:7`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// The path's words; the last is `*` where everything of a module is taken in.
    pub path: Vec<String>,
    /// File below the top of the tree, and line.
    pub at: String,
    /// It stands in a `pub use`: it is handed on, which alone uses nothing.
    pub handed_on: bool,
    /// Modules within the file in which it stands.
    inside: Vec<String>,
}

/// Names that a file takes in, each with its path as it is written.
pub type Taken = BTreeMap<String, Vec<String>>;

/// A room of the house: a crate below `crates/`, or a folder of `src/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// `crates/NAME`.
    Crate(String),
    /// `src/NAME`.
    Folder(String),
}

impl Room {
    /// Its name alone.
    pub fn name(&self) -> &str {
        let (Self::Crate(name) | Self::Folder(name)) = self;
        name
    }
}

/// The top of the tree.
pub fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All rooms and where their code lies.
pub fn rooms() -> BTreeMap<Room, PathBuf> {
    let folders = |parent: &Path| -> Vec<PathBuf> {
        let found = fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path());
        found.filter(|path| path.is_dir()).collect()
    };
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let crates = folders(&top().join("crates")).into_iter().map(|path| (Room::Crate(name(&path)), path.join("src")));
    let own = folders(&top().join("src")).into_iter().map(|path| (Room::Folder(name(&path)), path));
    crates.chain(own).collect()
}

/// The Rust files below a folder but those of tests.
pub fn product_files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                open.push(path);
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    let tests = test_files(&found);
    found.retain(|file| !tests.iter().any(|test| file == test || file.starts_with(test.with_extension(""))));
    found.sort();
    found
}

/// Files that are modules for tests alone: `#[cfg(test)] mod tests;`.
fn test_files(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for file in files {
        let inside = match file.file_stem().unwrap().to_str().unwrap() {
            "mod" | "lib" | "main" => file.parent().unwrap().to_path_buf(),
            _ => file.with_extension(""),
        };
        for item in parsed(file).items {
            if let syn::Item::Mod(module) = item
                && module.content.is_none()
                && is_for_tests(&module.attrs)
            {
                let name = module.ident.to_string();
                found.insert(inside.join(format!("{name}.rs")));
                found.insert(inside.join(name).join("mod.rs"));
            }
        }
    }
    let folders: Vec<PathBuf> =
        found.iter().filter(|path| path.ends_with("mod.rs")).map(|path| path.parent().unwrap().to_path_buf()).collect();
    found.extend(folders);
    found
}

/// A file as the parser sees it.
pub fn parsed(file: &Path) -> syn::File {
    syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Whether what has these attributes is for tests alone.
pub fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

/// Every path that a file names outside its tests, as it is written; `relative` is its name below the top of the tree.
pub fn named_in(file: &syn::File, relative: &str) -> Vec<Named> {
    Reader::of(file, relative).found
}

/// Every path that a file leads to outside its tests, from the root of its crate or from another crate: `self`, `super` and names
/// that the file has taken in are followed.
pub fn reached(file: &Path) -> Vec<Named> {
    let relative = file.strip_prefix(top()).unwrap();
    let source = if relative.starts_with("crates") { 3 } else { 1 };
    let module = module_of(&relative.iter().skip(source).collect::<PathBuf>());
    reached_in(&parsed(file), &relative.display().to_string(), &module)
}

/// The same of a file that was parsed, and is this module of its crate.
pub fn reached_in(file: &syn::File, relative: &str, module: &[String]) -> Vec<Named> {
    let Reader { found, taken, .. } = Reader::of(file, relative);
    found.into_iter().map(|named| Named { path: led(&named, &taken, module), ..named }).collect()
}

/// `[apply, put_back]` for `apply/put_back.rs`; empty for the crate's own.
pub fn module_of(relative: &Path) -> Vec<String> {
    let mut words: Vec<String> =
        relative.with_extension("").iter().map(|word| word.to_string_lossy().into_owned()).collect();
    words.pop_if(|last| matches!(last.as_str(), "mod" | "lib" | "main"));
    words
}

/// Where a path leads: `use crate as top` makes `crate::deploy` of `top::deploy`, and in `store/log.rs` so does `super::super`.
fn led(named: &Named, taken: &Taken, module: &[String]) -> Vec<String> {
    let mut path = named.path.clone();
    // A name may be one for a name; each is followed once.
    let mut followed = BTreeSet::new();
    while let Some(first) = path.first().cloned()
        && followed.insert(first.clone())
        && let Some(whole) = taken.get(&first)
    {
        path.splice(..1, whole.iter().cloned());
    }
    // `crate::{self as top}`.
    let mut words = 0;
    path.retain(|word| {
        words += 1;
        words == 1 || word != "self"
    });
    let mut at: Vec<String> = module.iter().chain(&named.inside).cloned().collect();
    if !path.first().is_some_and(|first| first == "self" || first == "super") {
        return path;
    }
    while let Some(first) = path.first().filter(|first| *first == "self" || *first == "super") {
        if first == "super" {
            at.pop();
        }
        path.remove(0);
    }
    ["crate".to_owned()].into_iter().chain(at).chain(path).collect()
}

struct Reader {
    relative: String,
    handed_on: bool,
    inside: Vec<String>,
    taken: Taken,
    found: Vec<Named>,
}

impl Reader {
    fn of(file: &syn::File, relative: &str) -> Reader {
        let mut reader = Reader {
            relative: relative.to_owned(),
            handed_on: false,
            inside: Vec::new(),
            taken: Taken::new(),
            found: Vec::new(),
        };
        reader.visit_file(file);
        reader
    }

    fn add(&mut self, path: Vec<String>, line: usize) {
        let (at, inside) = (format!("{}:{line}", self.relative), self.inside.clone());
        self.found.push(Named { path, at, handed_on: self.handed_on, inside });
    }

    fn take(&mut self, name: &syn::Ident, path: &[String]) {
        self.taken.insert(name.to_string(), path.to_vec());
    }

    fn tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| before.iter().cloned().chain([name.to_string()]).collect::<Vec<_>>();
        match tree {
            UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) if name.ident == "self" => {
                before.last().iter().for_each(|last| drop(self.taken.insert((*last).clone(), before.to_vec())));
                self.add(with(&name.ident), name.ident.span().start().line);
            }
            UseTree::Name(name) => {
                self.take(&name.ident, &with(&name.ident));
                self.add(with(&name.ident), name.ident.span().start().line);
            }
            UseTree::Rename(name) => {
                self.take(&name.rename, &with(&name.ident));
                self.add(with(&name.ident), name.ident.span().start().line);
            }
            UseTree::Glob(glob) => {
                let path = before.iter().cloned().chain(["*".to_owned()]).collect();
                self.add(path, glob.star_token.spans[0].start().line);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(before, tree)),
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        use syn::Item::{Const, Enum, ExternCrate, Fn, Impl, Macro, Mod, Static, Struct, Trait, Type, Union, Use};
        let attributes = match item {
            Const(item) => &item.attrs,
            Enum(item) => &item.attrs,
            ExternCrate(item) => &item.attrs,
            Fn(item) => &item.attrs,
            Impl(item) => &item.attrs,
            Macro(item) => &item.attrs,
            Mod(item) => &item.attrs,
            Static(item) => &item.attrs,
            Struct(item) => &item.attrs,
            Trait(item) => &item.attrs,
            Type(item) => &item.attrs,
            Union(item) => &item.attrs,
            Use(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if !is_for_tests(attributes) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.handed_on = !matches!(item.vis, syn::Visibility::Inherited);
        self.tree(&[], &item.tree);
        self.handed_on = false;
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.inside.push(item.ident.to_string());
        syn::visit::visit_item_mod(self, item);
        self.inside.pop();
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        let path = vec![item.ident.to_string()];
        if let Some((_, name)) = &item.rename {
            self.take(name, &path);
        }
        self.add(path, item.ident.span().start().line);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let line = path.segments.first().map_or(0, |segment| segment.ident.span().start().line);
        self.add(words, line);
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, made: &'ast syn::Macro) {
        // What is handed to a macro is words, not yet code: paths in it are found by their form.
        let line = made.path.segments.first().map_or(0, |segment| segment.ident.span().start().line);
        let text = made.tokens.to_string().replace(" :: ", "::");
        for word in text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
            if let Some((_, _)) = word.split_once("::") {
                self.add(word.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect(), line);
            }
        }
        syn::visit::visit_macro(self, made);
    }
}

/// Which rooms each room uses, each with the first place that says so.
pub fn graph() -> BTreeMap<Room, BTreeMap<Room, String>> {
    let rooms = rooms();
    let mut graph = BTreeMap::new();
    for (room, folder) in &rooms {
        let uses: &mut BTreeMap<Room, String> = graph.entry(room.clone()).or_default();
        for file in product_files(folder) {
            for Named { path, at, .. } in reached(&file) {
                let Some(used) = used(room, &path) else { continue };
                if used != *room && (rooms.contains_key(&used) || used.name() == "*") {
                    uses.entry(used).or_insert(at);
                }
            }
        }
    }
    graph
}

/// The room that a path leads into; one called `*` where all are taken in at once. Folders of `src` reach crates by the names that `src/lib.rs` gives them.
pub fn used(from: &Room, path: &[String]) -> Option<Room> {
    let first = path.first()?;
    if let Some(name) = first.strip_prefix("turnout_") {
        return Some(Room::Crate(name.to_owned()));
    }
    match (from, first.as_str(), path.get(1)) {
        (Room::Folder(_), "crate" | "turnout", Some(name)) => {
            let known = short_names().get(name);
            Some(known.map_or_else(|| Room::Folder(name.clone()), |known| Room::Crate(known.clone())))
        }
        _ => None,
    }
}

/// What `src/lib.rs` calls the crates: `engine` is `docker`.
fn short_names() -> &'static BTreeMap<String, String> {
    static NAMES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
        let items = parsed(&top().join("src/lib.rs")).items.into_iter();
        let renamed = items.filter_map(|item| match item {
            syn::Item::Use(ItemUse { tree: UseTree::Rename(rename), .. }) => Some(rename),
            _ => None,
        });
        renamed
            .filter_map(|rename| {
                let name = rename.ident.to_string().strip_prefix("turnout_")?.to_owned();
                Some((rename.rename.to_string(), name))
            })
            .collect()
    });
    &NAMES
}

/// For each package of this tree: all packages that come with it, as cargo resolved them. Not those for tests.
pub fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        // Packages for other platforms need not be here.
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform"])
        .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
        .current_dir(top())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let texts = |value: &serde_json::Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let names: BTreeMap<String, String> =
        metadata["packages"].as_array().unwrap().iter().map(|p| (texts(p, "id"), texts(p, "name"))).collect();
    let mut direct: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        let used = node["deps"].as_array().unwrap().iter().filter(|dep| {
            dep["dep_kinds"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
        });
        direct.insert(texts(node, "id"), used.map(|dep| texts(dep, "pkg")).collect());
    }
    let own = metadata["workspace_members"].as_array().unwrap().iter().filter_map(|id| id.as_str());
    own.map(|id| {
        let (mut found, mut open) = (BTreeSet::new(), vec![id.to_owned()]);
        while let Some(id) = open.pop() {
            for next in direct.get(&id).into_iter().flatten() {
                if found.insert(names[next].clone()) {
                    open.push(next.clone());
                }
            }
        }
        (names[id].clone(), found)
    })
    .collect()
}
