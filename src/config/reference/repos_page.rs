//! docs/repos.md.

use super::{SCHEMA_FILE, cell};
use crate::config::repos::{
    keys::{Default, KEYS, Key, Stands},
    kind::{Kind, TIMES},
};

const HEAD: &str = "# repos.yaml

Every key of the list of repositories. Made from `src/config/repos/keys.rs`, where each is declared once;
[repos.yaml.example](../repos.yaml.example) has them in the form of a file.

The file maps the name of each repository to the path of its working tree, or to a mapping of the keys below. Two names are
reserved beside them: `self` lists names of the deployer's own repository (default: `[deployer, turnout]`), whose pushes are
never acted on; `defaults` is a mapping of what holds for every repository that does not say otherwise. Where `repos:` is
given, the repositories stand below that, and any name is free.

";

const EDITORS: &str = "Editors that know the YAML language server check and complete the file with

```yaml
# yaml-language-server: $schema=FILE
```

as its first line; `turnout schema repos` prints that schema. It knows what can be told without looking at this machine and
at other entries; `turnout check` knows all.

";

/// The reference of all keys, as Markdown.
pub fn repos_page() -> String {
    let mut text = HEAD.to_owned();
    text.push_str(&EDITORS.replace("FILE", SCHEMA_FILE));
    text.push_str("| key | takes | default | in `defaults` | |\n|---|---|---|---|---|\n");
    for key in KEYS {
        let Key { name, kind, stands, help, .. } = key;
        let default = match (key.default.value(), &key.default) {
            (Some(value), _) => format!("`{value}`"),
            (None, Default::Words(words)) => (*words).to_owned(),
            (None, Default::Needed) => "must be given".to_owned(),
            (None, _) => "none".to_owned(),
        };
        let shared = match stands {
            Stands::Own => "no",
            Stands::Shared => "yes, replaced as a whole",
            Stands::SharedInParts => "yes, part by part",
        };
        let or = key.or.map(|other| format!(" Not with `{other}`.")).unwrap_or_default();
        let (takes, default) = (cell(&takes(kind)), cell(&default));
        text.push_str(&format!("| `{name}` | {takes} | {default} | {shared} | {}{or} |\n", cell(help)));
    }
    for key in KEYS {
        if let Kind::Word(words) = key.kind {
            text.push_str(&format!("\n`{}`:\n\n", key.name));
            for (word, meaning) in words {
                text.push_str(&format!("- `{word}`: {meaning}\n"));
            }
        }
    }
    text.push_str("\n`timeouts`:\n\n");
    for time in TIMES {
        let zero = if time.zero { "; 0: not at all" } else { "" };
        text.push_str(&format!("- `{}`: {}{zero}\n", time.name, time.help));
    }
    text
}

/// What a key takes, in words.
fn takes(kind: &Kind) -> String {
    match kind {
        Kind::Path => "an absolute path".to_owned(),
        Kind::Text(rule) => rule.words.to_owned(),
        Kind::Texts { rule, .. } => format!("{}, or a list of such", rule.words),
        Kind::Switch => "true or false".to_owned(),
        Kind::Size => "a size such as 500MB or 1GiB".to_owned(),
        Kind::Count { most } => format!("a whole number from 0 to {most}"),
        Kind::Word(words) => words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::Variable => "a variable's name".to_owned(),
        Kind::Times => "a mapping of durations".to_owned(),
        Kind::BlueGreen => "`auto`, `off`, or a mapping".to_owned(),
        Kind::MountedChange => "one word, or a mapping of services to words".to_owned(),
    }
}
