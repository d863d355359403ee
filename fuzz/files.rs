//! From one fuzzed text to files, and from files to a project.

use std::{collections::BTreeMap, path::PathBuf};

use crate::compose::{
    load::{LoadRequest, Loaded, load},
    source::MapFiles,
};

/// Begins the line that names the next file; what stands before the first is compose.yaml.
const NEXT_FILE: &str = "\n#%% ";

/// The files that a text stands for.
pub fn of(text: &str) -> BTreeMap<String, String> {
    let mut pieces = text.split(NEXT_FILE);
    let mut files: BTreeMap<String, String> = BTreeMap::from([(".env".into(), "A=1\nB=two\nD=$A\n".into())]);
    files.insert("other.yaml".into(), pieces.clone().next().unwrap_or_default().to_owned());
    files.insert("compose.yaml".into(), pieces.next().unwrap_or_default().to_owned());
    for piece in pieces {
        let (name, content) = piece.split_once('\n').unwrap_or((piece, ""));
        files.insert(name.trim().to_owned(), content.to_owned());
    }
    files
}

/// Loads them, every profile active.
pub fn loaded(files: &BTreeMap<String, String>) -> Result<Loaded, String> {
    let paths: Vec<String> = files.keys().map(|name| format!("/p/{name}")).collect();
    let source = MapFiles::new(paths.iter().map(String::as_str).zip(files.values().map(String::as_str)));
    let request =
        LoadRequest { working_dir: PathBuf::from("/p"), profiles: vec!["*".into()], ..LoadRequest::default() };
    load(&request, &source).map_err(|error| error.to_string())
}
