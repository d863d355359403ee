//! repos.yaml.example: a list that could be in use, and every other key as a comment.

use super::SCHEMA_FILE;
use crate::{
    config::repos::{
        keys::{Default, Example, KEYS, Key},
        kind::Kind,
    },
    switch::said::keys as switch,
};

/// Width of the file, as that of this tree's texts.
const WIDTH: usize = 120;

const HEAD: &str = "
# The repositories that turnout deploys. Copy this file to /etc/turnout/repos.yaml and edit it.
#
# Edits count at once, without a restart. A broken edit keeps the list before it, and the log, `turnout status` and
# `turnout check` say what is wrong with it: every mistake with line and column. The first line is for editors that know
# the YAML language server: they check and explain keys while you type. `turnout schema repos` prints what they read.

# --- The short form: the repository's name at the forge (the site that hosts it and sends the webhooks: GitHub), and the
#     path of its working tree on this machine.
#
#     blog: /srv/turnout/blog
#
# The branch that is checked out there is deployed, under the Compose project COLOR + name: `redblog`, where COLOR
# comes from /srv/turnout/blog/.env (default: red). That file's DEBUG chooses docker-compose.dev.yml (true) or
# docker-compose.prod.yml.

blog: /srv/turnout/blog

# --- The long form: a mapping. Only `path` is needed; what is commented out shows its default or an example.

shop:
";

const TAIL: &str = "
# --- Names of the deployer's own repository. Its pushes are answered and logged, and never acted on.
#
# self: [deployer, turnout]

# --- What holds for every repository that does not say otherwise: any key above except OWN.
#
# defaults:
#   branch: production
#   timeouts: { build: 1h }

# --- A repository that is itself called `self`, `defaults` or `repos` needs the keyed shape, which puts all
#     repositories below `repos:`.
#
# repos:
#   blog: /srv/turnout/blog
#   self: /srv/self
";

/// The example file.
pub fn example() -> String {
    let mut text = format!("# yaml-language-server: $schema={SCHEMA_FILE}\n#{HEAD}");
    for (place, key) in KEYS.iter().enumerate() {
        // Two ways to say one thing stand together.
        if place > 0 && key.or.is_none() {
            text.push('\n');
        }
        entry(key, &mut text);
    }
    let own: Vec<&str> = KEYS.iter().filter(|key| !key.is_shared()).map(|key| key.name).collect();
    let own = match own.split_last() {
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    };
    text.push_str(&wrapped_lines(&TAIL.replace("OWN", &own)));
    text
}

fn entry(key: &Key, text: &mut String) {
    let mut help = key.help.to_owned();
    if let Default::Words(words) = key.default {
        help.push_str(&format!(" Default: {words}."));
    }
    if let Some(other) = key.or {
        help.push_str(&format!(" Not with `{other}`."));
    }
    wrap(&help, "  # ", "  # ", text);
    if let Kind::Word(words) = key.kind {
        let longest = words.iter().map(|(word, _)| word.len()).max().unwrap_or(0);
        for (word, meaning) in words {
            let head = format!("  #   {:1$}", format!("{word}: "), longest + 2);
            let below = format!("  #{}", " ".repeat(head.chars().count() - 3));
            wrap(meaning, &head, &below, text);
        }
    }
    let line = match key.example {
        Example::Used(value) => format!("  {}: {value}\n", key.name),
        Example::Commented(value) => format!("  # {}: {value}\n", key.name),
        Example::AsByDefault => format!("  # {}: {}\n", key.name, key.default.value().unwrap_or_default()),
    };
    text.push_str(&line);
    if let Kind::BlueGreen = key.kind {
        wrap("A mapping says single things, as here; docs/repos.md explains each.", "  # ", "  # ", text);
        text.push_str(&format!("  # {}:\n", key.name));
        switch::KEYS.iter().for_each(|key| text.push_str(&format!("  #   {}: {}\n", key.name, key.example)));
    }
}

/// Puts words into lines: the first one begins with `head`, the others with `below`.
fn wrap(words: &str, head: &str, below: &str, text: &mut String) {
    let mut line = head.to_owned();
    let mut empty = true;
    for word in words.split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(line.trim_end());
            text.push('\n');
            line = below.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

/// Lines of comments that have become too long for what was filled in.
fn wrapped_lines(lines: &str) -> String {
    let mut text = String::new();
    for line in lines.lines() {
        match line.strip_prefix("# --- ") {
            Some(words) if line.chars().count() > WIDTH => wrap(words, "# --- ", "#     ", &mut text),
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}
