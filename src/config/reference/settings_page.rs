//! docs/settings.md: what every setting of the daemon takes, from where, and what holds without it.

use super::cell;
use crate::config::table::{Kind, Setting, TABLE, default_text};

const HEAD: &str = "# Settings of the daemon

Every setting of `turnout serve` and of the commands that need one. Made from `src/config/table.rs`, where each is declared
once; `turnout serve --help` says the same.

A setting comes from the first of these places that has it: the command line, the environment, the daemon's own `.env`
(beside `repos.yaml`, or as `--env-file` says), the default. An empty variable counts as none. In the `.env`, a name with
`TURNOUT_` that is none of these is a mistake. What a single repository sets otherwise is in [repos.md](repos.md).

| option | variables | takes | default | |
|---|---|---|---|---|
";

/// The reference of all settings, as Markdown.
pub fn settings_page() -> String {
    let mut text = HEAD.to_owned();
    for setting in TABLE {
        let Setting { name, env, aliases, takes, help, kind, .. } = setting;
        let option = match kind {
            Kind::SecretValue => "-".to_owned(),
            Kind::Value | Kind::Flag => format!("`--{name}`"),
        };
        let variables: Vec<String> = std::iter::once(env).chain(*aliases).map(|name| format!("`{name}`")).collect();
        let (default, takes) = (cell(default_text(setting)), cell(&takes.words()));
        let default = if setting.shown_default.is_empty() { format!("`{default}`") } else { default };
        text.push_str(&format!("| {option} | {} | {takes} | {default} | {} |\n", variables.join(", "), cell(help)));
    }
    text
}
