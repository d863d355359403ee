//! What is written about settings and `repos.yaml` is what the declarations give. `INSTA_UPDATE=always` writes it anew, as it
//! does with snapshots.

use std::{fs, path::Path};

use turnout::config::reference;

fn is_what_is_declared(file: &str, declared: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var("INSTA_UPDATE").is_ok_and(|how| how == "always") {
        fs::write(&path, declared).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(declared.lines()).position(|(found, declared)| found != declared);
    let line = differs.map_or_else(|| "their ends differ".to_owned(), |line| format!("first in line {}", line + 1));
    assert!(
        found == declared,
        "{file} is not what is declared, {line}; `INSTA_UPDATE=always cargo test --test offline declared` writes it anew"
    );
}

#[test]
fn the_page_of_settings_is_what_is_declared() {
    is_what_is_declared("docs/settings.md", &reference::settings_page());
}

#[test]
fn the_page_of_keys_is_what_is_declared() {
    is_what_is_declared("docs/repos.md", &reference::repos_page());
}

#[test]
fn the_example_is_what_is_declared() {
    is_what_is_declared("repos.yaml.example", &reference::example());
}
