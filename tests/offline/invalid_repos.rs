//! Every file of `tests/invalid-repos` holds one mistake in `repos.yaml`; the snapshots hold what is said about it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use turnout::config::{PathState, repos};

/// A disk as the corpus imagines it.
fn look_at(path: &Path) -> PathState {
    match path.to_str().unwrap_or_default() {
        "/srv/link-to-shop" => PathState::Directory(PathBuf::from("/srv/shop")),
        "/srv/file" => PathState::NotADirectory,
        "/srv/secret" => PathState::Unreadable("permission denied".to_owned()),
        "/srv/missing" => PathState::Missing { parent_exists: true, real: path.to_path_buf() },
        text if text.starts_with("/srv/missing/") => {
            PathState::Missing { parent_exists: false, real: path.to_path_buf() }
        }
        _ => PathState::Directory(path.to_path_buf()),
    }
}

#[test]
fn every_mistake_is_told_with_place_and_hint() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/invalid-repos");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 20, "the corpus is gone");
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap();
        let mistakes = repos::parse(&text, "repos.yaml", &look_at).expect_err(&name);
        assert!(!mistakes.to_string().contains("hunter2"), "{name} shows a secret");
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false, snapshot_path => "../invalid-repos-snapshots" }, {
            insta::assert_snapshot!(name, format!("{text}\n=>\n{mistakes}"));
        });
    }
}

#[test]
fn the_example_is_valid() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("repos.yaml.example");
    let text = fs::read_to_string(file).unwrap();
    let repos = repos::parse(&text, "repos.yaml.example", &look_at).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert!(repos.repos.len() >= 2);
    assert_eq!(repos.warnings, []);
}
