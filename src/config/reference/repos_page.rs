//! docs/repos.md: what every key of `repos.yaml` takes, and what holds without it.

use super::{SCHEMA_FILE, cell};
use crate::{
    config::repos::{
        keys::{Default, KEYS, Key, Stands},
        kind::{Kind, TIMES},
    },
    switch::{
        Protocol,
        said::{
            keys as switch,
            parts::{self, Part},
        },
    },
};

const HEAD: &str = "# repos.yaml

Every key of the list of repositories. Made from `src/config/repos/keys.rs` and, under `switch`, `crates/switch/src/said/keys.rs` and
`parts.rs`, where each is declared once;
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

const SWITCH: &str = "
## Under `switch`

Each can be said by a commit, too, under `x-turnout` of the Compose file, unless it says otherwise here; `repos.yaml` wins. A key
without a value is as if it were not there. [switch.md](switch.md#saying-otherwise) tells what follows from them.
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
    text.push_str(SWITCH);
    for (title, keys) in [
        ("", switch::KEYS),
        ("Of a service, under `services`:\n\n", switch::SERVICE_KEYS),
        ("Of an entry of `routes`:\n\n", switch::ROUTE_KEYS),
        ("Of `analysis`:\n\n", switch::ANALYSIS_KEYS),
    ] {
        text.push_str(&format!("\n{title}| key | takes | default | such as | |\n|---|---|---|---|---|\n"));
        keys.iter().for_each(|key| text.push_str(&of_switch(key)));
    }
    for (title, parts) in [
        ("`health`", parts::HEALTH),
        ("`tls` of a route, by files", parts::TLS_FILES),
        ("`preview`", parts::PREVIEW),
        ("Each of `pins`", parts::PIN),
        ("Each of `steps`", parts::STEP),
        ("`prometheus` of `analysis`", parts::PROMETHEUS),
        ("`command` of `analysis`", parts::COMMAND),
        ("`page` of `analysis`", parts::ASKED_PAGE),
        ("And each of these three", parts::MEASURED),
    ] {
        text.push_str(&of_parts(title, parts));
    }
    for (program, parts) in parts::ADAPTERS {
        text.push_str(&of_parts(&format!("`{program}` of `adapter`"), parts));
    }
    text
}

fn of_switch(key: &switch::Key) -> String {
    let switch::Key { name, form, default, help, example, by_commit } = key;
    let by_commit = if *by_commit { "" } else { " No commit may say it." };
    let (takes, example) = (cell(&takes_in_switch(*form)), cell(example));
    format!("| `{name}` | {takes} | {} | `{example}` | {}{by_commit} |\n", cell(default), cell(help))
}

/// What a key under `switch` takes, in words.
fn takes_in_switch(form: switch::Form) -> String {
    use switch::Form;
    let listed = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let takes = match form {
        Form::Word(words) => return listed(words),
        Form::Protocol => return listed(Protocol::WORDS),
        Form::Number { most } => return format!("a whole number from 1 to {most}"),
        Form::Flag => "true or false",
        Form::Duration => "a duration such as 90s, 1.5h or 1w",
        Form::Age => "a time such as 1y, 180d or 24h; two years at most",
        Form::Share => "a share from 0% to 100%",
        Form::Page => "a path that begins with /",
        Form::Pages => "a list of paths that begin with /",
        Form::Texts => "a list of texts",
        Form::Colours => "two words of a-z, 0-9, - and _",
        Form::Listen => "a port, or an address with one",
        Form::Target => "a service with a port of its containers; without it, its only one",
        Form::Tls => return format!("`acme`, or a mapping of {}", parts_of(parts::TLS_FILES)),
        Form::Protocols => "a protocol, or a mapping to protocols",
        Form::Health => return format!("a path, or a mapping of {}", parts_of(parts::HEALTH)),
        Form::Routes => "a list of mappings",
        Form::Services => "a mapping of services to a class, or to a mapping",
        Form::Promote => "`auto`, `manual`, or `after` and a duration",
        Form::Analysis => "`on`, `off`, or a mapping",
        Form::Prometheus => return measured(parts::PROMETHEUS),
        Form::Command => return measured(parts::COMMAND),
        Form::AskedPage => return format!("a path, or {}", measured(parts::ASKED_PAGE)),
        Form::Preview => return format!("a host's name, `cookie`, or a mapping of {}", parts_of(parts::PREVIEW)),
        Form::Mirror => "a share from 1% to 100%",
        Form::Pins => return format!("a list of mappings of {}", parts_of(parts::PIN)),
        Form::Steps => return format!("a list of mappings of {}", parts_of(parts::STEP)),
        Form::Adapter => {
            let programs: Vec<&str> = parts::ADAPTERS.iter().map(|(name, _)| *name).collect();
            return format!("one of {}, with a mapping", listed(&programs));
        }
        Form::Text => "a text",
        Form::File => "an absolute path",
        Form::Decimal => "a number",
        Form::Weight => "a whole number from 1 to 99",
        Form::Host => "a host's name, without a port",
        Form::Token => "a name of a header or a cookie",
        Form::PinValue => return format!("1 to {} characters of ASCII", parts::LONGEST_PIN),
        Form::Origin => "an address that begins with http:// or https://",
        Form::AsciiPage => "a path that begins with /, in ASCII",
        Form::Arguments => "a list of texts",
        Form::AdapterWord => "a name",
        Form::Words | Form::Names => "a name, or a mapping of targets to names",
    };
    takes.to_owned()
}

/// The names of parts.
fn parts_of(parts: &[Part]) -> String {
    parts.iter().map(|part| format!("`{}`", part.name)).collect::<Vec<_>>().join(", ")
}

fn measured(own: &[Part]) -> String {
    format!("a mapping of {}, or a list of such", parts_of(&[own, parts::MEASURED].concat()))
}

/// What stands inside the value of a key.
fn of_parts(title: &str, parts: &[Part]) -> String {
    let each = parts.iter().map(|part| {
        let needed = if part.required { "; must be given" } else { "" };
        format!("- `{}` ({}{needed}): {}\n", part.name, takes_in_switch(part.form), part.help)
    });
    format!("\n{title}:\n\n{}", each.collect::<String>())
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
