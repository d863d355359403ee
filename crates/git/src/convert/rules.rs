//! What the attributes of a file and the settings of its repository ask for. The rules are those of git's convert.c.

use git2::Config;

use super::encoding::Encoding;

/// The attributes that say how a file is converted, in the order of [`Given`].
pub(super) const NAMES: [&str; 6] = ["text", "crlf", "eol", "ident", "filter", "working-tree-encoding"];

/// The attributes of one file as they are written; `true` and `false` are those that are set and unset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Given {
    text: Option<Vec<u8>>,
    crlf: Option<Vec<u8>>,
    eol: Option<Vec<u8>>,
    ident: Option<Vec<u8>>,
    filter: Option<Vec<u8>>,
    encoding: Option<Vec<u8>>,
}

impl Given {
    /// From the states in the order of [`NAMES`].
    pub(super) fn from_states(mut states: impl Iterator<Item = Option<Vec<u8>>>) -> Self {
        let mut next = || states.next().flatten();
        Self { text: next(), crlf: next(), eol: next(), ident: next(), filter: next(), encoding: next() }
    }
}

/// Line endings of a repository: `core.autocrlf` and `core.eol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Endings {
    auto: Auto,
    eol_crlf: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Auto {
    #[default]
    Off,
    On,
    Input,
}

impl Endings {
    pub(super) fn of(config: &Config) -> Self {
        let auto = match config.get_string("core.autocrlf") {
            Ok(text) if text.eq_ignore_ascii_case("input") => Auto::Input,
            _ if config.get_bool("core.autocrlf").unwrap_or(false) => Auto::On,
            _ => Auto::Off,
        };
        let eol_crlf = config.get_string("core.eol").is_ok_and(|text| text.eq_ignore_ascii_case("crlf"));
        Self { auto, eol_crlf }
    }

    fn text_is_crlf(self) -> bool {
        match self.auto {
            Auto::On => true,
            Auto::Input => false,
            Auto::Off => self.eol_crlf,
        }
    }
}

/// How line endings are converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// No byte is changed: `-text`, or `binary`.
    Binary,
    /// It is text: LF in git, and CRLF in the work tree or not.
    Text {
        /// CRLF in the work tree.
        crlf: bool,
    },
    /// Text if it looks like it.
    Auto {
        /// CRLF in the work tree.
        crlf: bool,
    },
}

/// What is done with one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) lines: Lines,
    /// git looks at the whole file before it converts lines.
    whole: bool,
    pub(super) ident: bool,
    /// The name of a driver.
    pub(super) filter: Option<String>,
    /// The encoding in the work tree, where it is another than UTF-8; or the name of one that is not known here.
    pub(super) encoding: Option<Result<Encoding, String>>,
}

impl Rules {
    /// What git's `convert_attrs` makes of it.
    pub(super) fn new(given: &Given, endings: Endings) -> Self {
        let asked = |attribute: &Option<Vec<u8>>| match attribute.as_deref() {
            Some(b"true") => Some(Asked::Text),
            Some(b"false") => Some(Asked::Binary),
            Some(b"input") => Some(Asked::TextLf),
            Some(b"auto") => Some(Asked::Auto),
            _ => None,
        };
        let asked = asked(&given.text).or_else(|| asked(&given.crlf));
        let eol = match given.eol.as_deref() {
            Some(b"lf") => Some(false),
            Some(b"crlf") => Some(true),
            _ => None,
        };
        let default = endings.text_is_crlf();
        let lines = match (asked, eol) {
            (Some(Asked::Binary), _) => Lines::Binary,
            (Some(Asked::Auto), Some(crlf)) => Lines::Auto { crlf },
            (_, Some(crlf)) => Lines::Text { crlf },
            (Some(Asked::Auto), None) => Lines::Auto { crlf: default },
            (Some(Asked::Text), None) => Lines::Text { crlf: default },
            (Some(Asked::TextLf), None) => Lines::Text { crlf: false },
            (None, None) => match endings.auto {
                Auto::Off => Lines::Binary,
                Auto::On => Lines::Auto { crlf: true },
                Auto::Input => Lines::Auto { crlf: false },
            },
        };
        let named = |attribute: &Option<Vec<u8>>| {
            let value = attribute.as_deref().filter(|value| !matches!(*value, b"true" | b"false" | b""))?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        let encoding = match given.encoding.as_deref() {
            // Git stops with an error at these two.
            Some(word @ (b"true" | b"false")) => Some(Err(String::from_utf8_lossy(word).into_owned())),
            None | Some(b"") => None,
            Some(name) => Encoding::named(&String::from_utf8_lossy(name)),
        };
        // `text=auto` without a word on the form in the work tree, also where that is LF.
        let whole = matches!(lines, Lines::Auto { crlf: true }) || matches!((asked, eol), (Some(Asked::Auto), None));
        Self { lines, whole, ident: given.ident.as_deref() == Some(b"true"), filter: named(&given.filter), encoding }
    }

    /// Whether git converts letter by letter, and does not look at the whole of the file first.
    pub(super) fn is_streamed(&self) -> bool {
        !self.whole && self.encoding.is_none() && self.filter.is_none()
    }

    /// Whether the bytes are the same in git and in the work tree.
    pub(super) fn is_plain(&self) -> bool {
        self.lines == Lines::Binary && !self.ident && self.filter.is_none() && self.encoding.is_none()
    }
}

#[derive(Clone, Copy)]
enum Asked {
    Text,
    TextLf,
    Binary,
    Auto,
}
