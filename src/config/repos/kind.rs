//! Kinds of values in `repos.yaml`: one reader for each, which is told its rules by the declaration of the key.

use std::{path::PathBuf, time::Duration};

use super::{
    MountedChanges, TimeoutOverrides, TokenSource,
    choice::Choice,
    fields::{Notes, join},
    mounted, names, switching,
};
use crate::yaml::{Entry, Pos};

/// What a key takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// An absolute path without `..`.
    Path,
    /// A text that follows a rule.
    Text(&'static Rule),
    /// One such text, or a list of them.
    Texts {
        /// What each of them must be.
        rule: &'static Rule,
        /// Why a list must not be empty, where it must not.
        needed: Option<&'static str>,
    },
    /// `true` or `false`.
    Switch,
    /// A size; 0 has a meaning.
    Size,
    /// A whole number from 0.
    Count {
        /// The largest number that is taken.
        most: usize,
    },
    /// One of a few words, each with what it means.
    Word(&'static [(&'static str, &'static str)]),
    /// The name of an environment variable of the daemon.
    Variable,
    /// A mapping of time-outs: [`TIMES`].
    Times,
    /// What is done with a container: one word, or a mapping of services to words.
    MountedChange,
    /// How it is deployed blue/green: one word, or a mapping that the project must fit.
    BlueGreen,
}

/// A rule for texts.
#[derive(Debug)]
pub struct Rule {
    /// In words, for the reference.
    pub words: &'static str,
    /// As a regular expression of ECMA-262, for editors: it lets pass whatever the rule does, and perhaps more.
    pub pattern: &'static str,
    /// What is wrong with a text, and what to do.
    fault: fn(&str) -> Option<(String, String)>,
}

/// A complaint about a text that may be quoted.
fn quoted(text: &str, message: &str, hint: Option<&str>) -> Option<(String, String)> {
    hint.map(|hint| (format!("`{text}` {message}"), hint.to_owned()))
}

pub(super) static ANY: Rule = Rule { words: "a text", pattern: r"\S", fault: |_| None };
pub(super) static BRANCH: Rule = Rule {
    words: "a branch's short name",
    pattern: r"^(?!refs/|-)[^\s~^:?*\[\\]+$",
    fault: |text| quoted(text, "is not a branch", names::branch_fault(text)),
};
pub(super) static PROJECT: Rule = Rule {
    words: "a name of a-z, 0-9, - and _",
    pattern: "^[a-z0-9][a-z0-9_-]*$",
    fault: |text| quoted(text, "is not a project's name", names::project_fault(text)),
};
pub(super) static FULL_NAME: Rule = Rule {
    words: "owner/name",
    pattern: "^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+$",
    fault: |text| quoted(text, "is not a full name", names::full_name_fault(text)),
};
/// Not repeated where it is wrong: it may carry a password.
pub(super) static REMOTE: Rule = Rule {
    words: "a URL, git@host:owner/name.git or an absolute path",
    pattern: r"^(https?://|ssh://|git://|file://|/|[^-/:][^/:]*:[^:])(?!.*//[^/]*:[^/]*@).*$",
    fault: |text| names::remote_fault(text).map(|(message, hint)| (message.to_owned(), hint.to_owned())),
};
pub(super) static INSIDE: Rule = Rule {
    words: "a path inside the repository",
    pattern: r"^(?!/)(?!(.*/)?\.\.(/|$))",
    fault: |text| quoted(text, "lies elsewhere", names::inside_fault(text)),
};
pub(super) static HOST: Rule = Rule {
    words: "a host's bare name, or *",
    pattern: r"^(\*|[A-Za-z0-9._:-]+)$",
    fault: |text| {
        let hint = "write the bare name of a host, for instance github.com, or \"*\" for any";
        names::host_fault(text).map(|message| (format!("`{text}` {message}"), hint.to_owned()))
    },
};
pub(super) static GLOB: Rule = Rule {
    words: "a glob",
    pattern: r"\S",
    fault: |text| {
        let hint = "globs are matched against paths inside the repository, for instance web/**/*.lock";
        globset::Glob::new(text).err().map(|error| (format!("`{text}`: {}", error.kind()), hint.to_owned()))
    },
};

/// One part of `timeouts`.
#[derive(Debug)]
pub struct Time {
    /// As it is written: `fetch`.
    pub name: &'static str,
    /// What it limits.
    pub help: &'static str,
    /// 0 has a meaning.
    pub zero: bool,
    /// What other tools call it.
    pub synonyms: &'static [&'static str],
    slot: fn(&mut TimeoutOverrides) -> &mut Option<Duration>,
}

/// The parts of `timeouts`.
pub static TIMES: &[Time] = &[
    Time { name: "fetch", help: "clone or fetch", zero: false, synonyms: &["clone"], slot: |times| &mut times.fetch },
    Time {
        name: "build",
        help: "builds and pulls of images",
        zero: false,
        synonyms: &["pull"],
        slot: |times| &mut times.build,
    },
    Time {
        name: "apply",
        help: "starting containers, dependencies included",
        zero: false,
        synonyms: &["up"],
        slot: |times| &mut times.apply,
    },
    Time {
        name: "settle",
        help: "how long started containers without a health check must stay up",
        zero: true,
        synonyms: &[],
        slot: |times| &mut times.settle,
    },
    Time {
        name: "watch",
        help: "how long the stack is watched after its verdict",
        zero: true,
        synonyms: &[],
        slot: |times| &mut times.watch,
    },
];

/// A value in the file, with what is declared of its key.
pub(super) struct Given<'e> {
    pub(super) kind: &'static Kind,
    pub(super) entry: &'e Entry,
    /// Its path inside the document.
    pub(super) at: &'e str,
}

impl Given<'_> {
    fn pos(&self) -> &Pos {
        &self.entry.node.pos
    }

    pub(super) fn path(&self, notes: &mut Notes) -> Option<PathBuf> {
        notes.absolute(self.entry, self.at)
    }

    pub(super) fn placed_path(&self, notes: &mut Notes) -> Option<(PathBuf, Pos)> {
        self.path(notes).map(|path| (path, self.pos().clone()))
    }

    pub(super) fn text(&self, notes: &mut Notes) -> Option<String> {
        let text = notes.text(self.entry, self.at)?;
        let Kind::Text(rule) = self.kind else { return Some(text) };
        match (rule.fault)(&text) {
            Some((message, hint)) => {
                notes.wrong_hint(self.pos(), self.at, message, hint);
                None
            }
            None => Some(text),
        }
    }

    pub(super) fn placed_text(&self, notes: &mut Notes) -> Option<(String, Pos)> {
        self.text(notes).map(|text| (text, self.pos().clone()))
    }

    pub(super) fn texts(&self, notes: &mut Notes) -> Option<Vec<String>> {
        let texts = notes.texts(self.entry, self.at)?;
        if let Kind::Texts { rule, needed } = self.kind {
            for (text, pos) in &texts {
                if let Some((message, hint)) = (rule.fault)(text) {
                    notes.wrong_hint(pos, self.at, message, hint);
                }
            }
            if let (true, Some(why)) = (texts.is_empty(), needed) {
                notes.wrong(self.pos(), self.at, *why);
            }
        }
        Some(texts.into_iter().map(|(text, _)| text).collect())
    }

    pub(super) fn switch(&self, notes: &mut Notes) -> Option<bool> {
        notes.boolean(self.entry, self.at)
    }

    pub(super) fn size(&self, notes: &mut Notes) -> Option<u64> {
        notes.size(self.entry, self.at)
    }

    pub(super) fn count(&self, notes: &mut Notes) -> Option<usize> {
        let most = if let Kind::Count { most } = self.kind { *most } else { usize::MAX };
        notes.count(self.entry, self.at, most)
    }

    pub(super) fn word<T: Choice>(&self, notes: &mut Notes) -> Option<T> {
        notes.choice(self.entry, self.at)
    }

    /// The name of an environment variable. What is given instead may be the secret itself, so it is not repeated.
    pub(super) fn variable(&self, notes: &mut Notes) -> Option<TokenSource> {
        let name = notes.text(self.entry, self.at)?;
        let token = ["ghp_", "gho_", "ghs_", "github_pat_", "glpat"].iter().any(|prefix| name.starts_with(prefix));
        let word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if token || !word || name.len() > 128 || name.starts_with(|c: char| c.is_ascii_digit()) {
            let hint = "name the environment variable that holds it; the text itself does not belong here";
            notes.wrong_hint(self.pos(), self.at, "is not a variable's name", hint);
            return None;
        }
        Some(TokenSource::Env(name))
    }

    pub(super) fn file(&self, notes: &mut Notes) -> Option<TokenSource> {
        self.path(notes).map(TokenSource::File)
    }

    pub(super) fn changes(&self, notes: &mut Notes) -> Option<MountedChanges> {
        Some(mounted::read(self.entry, self.at, notes))
    }

    pub(super) fn blue_green(&self, notes: &mut Notes) -> Option<switching::Switching> {
        switching::read(self.entry, self.at, notes)
    }

    pub(super) fn times(&self, notes: &mut Notes) -> TimeoutOverrides {
        let mut times = TimeoutOverrides::default();
        let needed = "a mapping such as { build: 30m }";
        let Some(map) = notes.map(&self.entry.node, self.at, needed) else { return times };
        let known: Vec<&str> = TIMES.iter().map(|time| time.name).collect();
        let synonyms = TIMES.iter().flat_map(|time| time.synonyms.iter().map(|other| (*other, time.name)));
        notes.unknown_keys(map, self.at, &known, &synonyms.collect::<Vec<_>>());
        for (key, entry) in map {
            let Some(time) = TIMES.iter().find(|time| time.name == key) else { continue };
            let at = join(self.at, key);
            match notes.duration(entry, &at) {
                Some(Duration::ZERO) if !time.zero => notes.wrong(&entry.node.pos, &at, "must be longer than 0"),
                value => *(time.slot)(&mut times) = value,
            }
        }
        times
    }
}

impl TimeoutOverrides {
    /// Takes what is not set from others, part by part.
    pub(super) fn inherit(&mut self, mut base: TimeoutOverrides) {
        for time in TIMES {
            let own = (time.slot)(self);
            *own = own.or(*(time.slot)(&mut base));
        }
    }
}
