//! What people and editors read about settings and `repos.yaml`, written from the declarations: pages of docs/, the example
//! file, the JSON Schema. `tests/offline/declared.rs` holds the files of this tree to it.

mod example;
mod forms;
mod repos_page;
mod schema;
mod settings_page;
mod switch_schema;

pub use example::example;
pub use repos_page::repos_page;
pub use schema::repos_schema;
pub use settings_page::settings_page;

/// Where the package puts the schema of `repos.yaml`.
pub const SCHEMA_FILE: &str = "/usr/share/turnout/repos.schema.json";
/// The same, below the folder that is laid out as `/usr/share`.
pub const SCHEMA_IN_SHARE: &str = "turnout/repos.schema.json";

/// A text as a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
