//! Every key of an entry, declared once: name, kind of value with its rules, default, help, where it may stand, how it
//! merges. The reader with its messages, the example file, the JSON Schema and docs/repos.md all come from here.

use super::{
    KEEP_IMAGES, MAX_CHECKOUT, MAX_FETCH, MIN_FREE_DISK,
    choice::Choice,
    draft::Draft,
    fields::Notes,
    kind::{self, Given, Kind},
    {Builder, Divergence, Filters, Orphans, OutsidePaths, Rebuild},
};

/// One key of `repos.yaml`: what it takes, what holds without it, and how it is explained.
#[derive(Debug)]
pub struct Key {
    /// As it is written: `ssh_key`.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Where it may stand.
    pub stands: Stands,
    /// What holds without it.
    pub default: Default,
    /// What it is for: one sentence or more.
    pub help: &'static str,
    /// A value, as it stands in the example file.
    pub example: Example,
    /// Another key that says the same thing in another way; only one of them may be given.
    pub or: Option<&'static str>,
    /// What other tools call it.
    pub synonyms: &'static [&'static str],
    /// How it gets into a draft, and from `defaults:` into one.
    pub(super) fill: Fill,
}

/// Where a key may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// With one repository only.
    Own,
    /// With a repository, and in `defaults:` for all that do not say otherwise. The repository's value replaces the default
    /// one as a whole.
    Shared,
    /// As `Shared`, but part by part.
    SharedInParts,
}

/// What holds without a key.
#[derive(Debug, Clone, Copy)]
pub enum Default {
    /// It must be given.
    Needed,
    /// This word or text.
    Value(&'static str),
    /// A size in bytes, which is shown with a unit.
    Size(u64),
    /// A number of things, such as images or deployments.
    Count(usize),
    /// What these words say.
    Words(&'static str),
    /// Nothing of the kind.
    Nothing,
}

/// How a key stands in the example file.
#[derive(Debug, Clone, Copy)]
pub enum Example {
    /// As part of the example.
    Used(&'static str),
    /// As a comment.
    Commented(&'static str),
    /// As a comment, with its default.
    AsByDefault,
}

/// How a key's value reaches a repository; see [`Key::fill`].
#[derive(Debug)]
pub(super) struct Fill {
    pub(super) set: fn(&mut Draft, &Given<'_>, &mut Notes),
    pub(super) inherit: fn(&mut Draft, &Draft),
}

impl Key {
    /// Whether it may stand in `defaults:`.
    pub fn is_shared(&self) -> bool {
        self.stands != Stands::Own
    }
}

impl Default {
    /// As it would be written in the file, where it is a value.
    pub fn value(&self) -> Option<String> {
        match self {
            Default::Value(text) => Some((*text).to_owned()),
            Default::Size(bytes) => Some(crate::config::takes::size(*bytes)),
            Default::Count(number) => Some(number.to_string()),
            Default::Needed | Default::Words(_) | Default::Nothing => None,
        }
    }
}

/// Fills a field of the draft by a reader of [`Given`]; what is not given is taken from `defaults:` as a whole.
macro_rules! whole {
    ($field:ident, $read:ident) => {
        Fill {
            set: |draft, given, notes| draft.$field = given.$read(notes),
            inherit: |draft, base| {
                if draft.$field.is_none() {
                    draft.$field.clone_from(&base.$field);
                }
            },
        }
    };
}

/// Most earlier images of a service that can be asked for. More is a slip, or a wish for a registry.
const MOST_IMAGES: usize = 1_000;

const fn own(name: &'static str, kind: Kind, fill: Fill, help: &'static str) -> Key {
    let (default, example) = (Default::Nothing, Example::AsByDefault);
    Key { name, kind, stands: Stands::Own, default, help, example, or: None, synonyms: &[], fill }
}

const fn shared(name: &'static str, kind: Kind, fill: Fill, help: &'static str) -> Key {
    Key { stands: Stands::Shared, ..own(name, kind, fill, help) }
}

/// All keys, in the order of the example.
pub static KEYS: &[Key] = &[
    Key {
        default: Default::Needed,
        example: Example::Used("/srv/turnout/shop"),
        synonyms: &["dir", "directory"],
        ..own(
            "path",
            Kind::Path,
            whole!(path, placed_path),
            "The working tree: an absolute path. It may be missing if `remote` is given: the first deployment clones it. It \
             may be a link (current -> releases/7): each deployment follows it once, at its start. No other entry's path may \
             lie in it.",
        )
    },
    Key {
        example: Example::Used("https://github.com/acme/shop.git"),
        synonyms: &["url", "git", "repo"],
        ..own(
            "remote",
            Kind::Text(&kind::REMOTE),
            whole!(remote, text),
            "Where to clone from. https://, ssh://, git@host:owner/name.git, file:// or an absolute path. No passwords in it.",
        )
    },
    Key {
        default: Default::Words("the branch checked out, else the forge's default branch"),
        example: Example::Used("main"),
        ..shared(
            "branch",
            Kind::Text(&kind::BRANCH),
            whole!(branch, text),
            "The deployed branch. Pushes to other branches are answered and ignored.",
        )
    },
    Key {
        default: Default::Words("the repository's name in lower case"),
        example: Example::Used("shop"),
        synonyms: &["project_name"],
        ..own(
            "project",
            Kind::Text(&kind::PROJECT),
            whole!(project, placed_text),
            "The Compose project without its colour. It keeps the stack and its volumes when the entry is renamed.",
        )
    },
    Key {
        example: Example::Used("acme/shop"),
        synonyms: &["repository"],
        ..own(
            "full_name",
            Kind::Text(&kind::FULL_NAME),
            whole!(full_name, placed_text),
            "The repository's full name at the forge. With it, a repository of the same name under another owner is unknown \
             here. Without it, the name above is compared with the short name of the pushed repository, in any case.",
        )
    },
    Key {
        example: Example::Commented("[compose.yaml, compose.staging.yaml]"),
        synonyms: &["files", "file"],
        ..shared(
            "compose_files",
            Kind::Texts {
                rule: &kind::INSIDE,
                needed: Some("names no file; leave the key out for the choice between dev and prod"),
            },
            whole!(compose_files, texts),
            "Compose files in place of the choice by DEBUG, relative to the path. One name or a list.",
        )
    },
    Key {
        default: Default::Value(".env"),
        ..shared(
            "env_file",
            Kind::Text(&kind::INSIDE),
            whole!(env_file, text),
            "The file with DEBUG and COLOR, relative to the path.",
        )
    },
    Key {
        example: Example::Commented("[metrics]"),
        ..shared(
            "profiles",
            Kind::Texts { rule: &kind::ANY, needed: None },
            whole!(profiles, texts),
            "Compose profiles that are on.",
        )
    },
    Key {
        default: Default::Value("auto"),
        ..shared("rebuild", Kind::Word(Rebuild::WORDS), whole!(rebuild, word), "What is rebuilt.")
    },
    Key {
        example: Example::Commented(r#"["web/package-lock.json", "**/*.proto"]"#),
        ..shared(
            "triggers",
            Kind::Texts { rule: &kind::GLOB, needed: None },
            whole!(triggers, texts),
            "Globs of further trigger files, beside requirements.txt, Dockerfile, Dockerfile.dev, Dockerfile.prod, \
             .dockerignore and .env.",
        )
    },
    Key {
        default: Default::Value("refuse"),
        ..shared(
            "on_divergence",
            Kind::Word(Divergence::WORDS),
            whole!(on_divergence, word),
            "What is done when local and remote history have parted.",
        )
    },
    Key {
        stands: Stands::SharedInParts,
        default: Default::Words("the daemon's settings"),
        example: Example::Commented("{ fetch: 5m, build: 30m, apply: 10m, settle: 10s, watch: 60s }"),
        synonyms: &["timeout"],
        ..shared(
            "timeouts",
            Kind::Times,
            Fill {
                set: |draft, given, notes| draft.timeouts = given.times(notes),
                inherit: |draft, base| draft.timeouts.inherit(base.timeouts),
            },
            "Time-outs of this repository. `settle` is how long started containers without a health check must stay up before \
             that counts as success; `watch` is how long the stack is watched after that, while the next push can be deployed \
             already.",
        )
    },
    Key {
        default: Default::Words("the agent"),
        example: Example::Commented("/etc/turnout/keys/shop"),
        ..shared("ssh_key", Kind::Path, whole!(ssh_key, path), "SSH remotes: the private key.")
    },
    Key {
        default: Default::Words("the user's known_hosts"),
        example: Example::Commented("/etc/turnout/known_hosts"),
        ..shared("known_hosts", Kind::Path, whole!(known_hosts, path), "SSH remotes: the trusted host keys.")
    },
    Key {
        example: Example::Commented("SHOP_GIT_TOKEN"),
        synonyms: &["token"],
        ..shared(
            "token_env",
            Kind::Variable,
            whole!(token, variable),
            "HTTPS remotes: the variable of the daemon's environment or .env that holds a token.",
        )
    },
    Key {
        or: Some("token_env"),
        example: Example::Commented("/etc/turnout/shop.token"),
        ..shared("token_file", Kind::Path, whole!(token, file), "HTTPS remotes: the file that holds a token.")
    },
    Key {
        default: Default::Value("false"),
        ..shared("submodules", Kind::Switch, whole!(submodules, switch), "Submodules are updated too.")
    },
    Key {
        example: Example::Commented("[github.com]"),
        ..shared(
            "submodule_hosts",
            Kind::Texts { rule: &kind::HOST, needed: None },
            whole!(submodule_hosts, texts),
            "Hosts that submodules may lie on besides the repository's own; whoever pushes chooses their addresses. \"*\": any.",
        )
    },
    Key {
        default: Default::Size(MAX_FETCH),
        ..shared(
            "max_fetch",
            Kind::Size,
            whole!(max_fetch, size),
            "What one fetch may bring, so that a server without end fills no disk; the list of branches and tags may have a \
             64th of it, and the server's messages a 4096th (but 1 MiB and 64 KiB at least). 0: no limit.",
        )
    },
    Key {
        default: Default::Size(MAX_CHECKOUT),
        ..shared(
            "max_checkout",
            Kind::Size,
            whole!(max_checkout, size),
            "What one check-out may write, LFS objects among it, counted in whole blocks: a small pack can hold what fills a \
             disk. 0: no limit.",
        )
    },
    Key {
        default: Default::Value("false"),
        ..shared(
            "credential_helper",
            Kind::Switch,
            whole!(credential_helper, switch),
            "Without a token: ask the credential helper that the git configuration of turnout's user names. It is a program.",
        )
    },
    Key {
        default: Default::Value("refuse"),
        ..shared(
            "filters",
            Kind::Word(Filters::WORDS),
            whole!(filters, word),
            "What is done with files that pass through a program (filter= in .gitattributes). Git LFS needs no program: turnout \
             fetches its objects itself, with the credentials above.",
        )
    },
    Key {
        default: Default::Value("refuse"),
        ..shared(
            "outside_paths",
            Kind::Word(OutsidePaths::WORDS),
            whole!(outside_paths, word),
            "What is done with files outside of the repository that a commit names and turnout itself would read (env_file, \
             include, extends, build contexts, Dockerfiles, build secrets; links that git tracks). Mounts are not meant, and \
             links that git does not track are followed in any case.",
        )
    },
    Key {
        default: Default::Value("auto"),
        ..shared("builder", Kind::Word(Builder::WORDS), whole!(builder, word), "Which builder makes the images.")
    },
    Key {
        default: Default::Words("restart; ignore where DEBUG is true"),
        example: Example::Commented("{ web: signal SIGHUP, worker: restart }"),
        ..shared(
            "on_mounted_change",
            Kind::MountedChange,
            whole!(on_mounted_change, changes),
            "What is done with a container when files in a folder that it mounts changed: recreate, restart, signal SIGHUP (or \
             another signal) or ignore. One word, or one for each service.",
        )
    },
    Key {
        default: Default::Words("no switch: a deployment changes the stack in place"),
        example: Example::Commented("auto"),
        ..shared(
            "switch",
            Kind::BlueGreen,
            whole!(switch, blue_green),
            "Deploy blue/green: each deployment goes to the colour that is not live, and requests move to it once it is ready, \
             through turnout-proxy. `auto` derives everything from the Compose file; `turnout plan` says what and why. A mapping \
             says single things outright.",
        )
    },
    Key {
        default: Default::Value("remove"),
        ..shared(
            "orphans",
            Kind::Word(Orphans::WORDS),
            whole!(orphans, word),
            "What is done with containers whose service a commit took out or renamed. Only those that turnout deployed; \
             networks that no file names any more go with them, volumes always stay.",
        )
    },
    Key {
        default: Default::Count(KEEP_IMAGES),
        ..shared(
            "keep_images",
            Kind::Count { most: MOST_IMAGES },
            whole!(keep_images, count),
            "How many earlier images of each service stay after a deployment; older ones go. Only images that turnout built \
             for this project, that have no name any more and that no container uses. 0: none stays.",
        )
    },
    Key {
        default: Default::Size(MIN_FREE_DISK),
        ..shared(
            "min_free_disk",
            Kind::Size,
            whole!(min_free_disk, size),
            "What must be free on the disks of the engine's data and of turnout's state before something is built or pulled; \
             with less, the deployment stops there and nothing is changed. 0: not looked at. An engine elsewhere is not looked \
             at. A check-out leaves 64 MiB free on the disk of the work tree, or this where it is less.",
        )
    },
    Key {
        example: Example::Commented("SHOP_WEBHOOK_SECRET"),
        synonyms: &["secret"],
        ..own(
            "secret_env",
            Kind::Variable,
            whole!(secret, variable),
            "The variable that holds a webhook secret of this repository's own; the daemon's then does not authorise it.",
        )
    },
    Key {
        or: Some("secret_env"),
        example: Example::Commented("/etc/turnout/shop.secret"),
        ..own("secret_file", Kind::Path, whole!(secret, file), "The file that holds such a secret.")
    },
];
