//! What people and editors read about settings and `repos.yaml`, written from the declarations: pages of docs/, the example
//! file, the JSON Schema. `tests/offline/declared.rs` holds the files of this tree to it.

mod settings_page;

pub use settings_page::settings_page;

/// A text as a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
