//! Keeps secrets out of everything that is shown or stored. Applied at the sinks.
//!
//! Two nets, one after the other: the secrets that were registered (in the forms in which programs print them), then
//! the shapes that credentials have (a password in a URL, an `Authorization` header, a forge's token). The second net
//! also catches what nobody registered.
//!
//! Whose a secret is decides where it is looked for. The daemon's own are looked for everywhere. Those of a project were
//! chosen by whoever may push to it, so they are looked for only in what is told of its repository: else one pusher could
//! blot words out of the lines of all the others ([`Redactor::of`]).

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use serde::Deserialize;

pub use super::mask::{MASK, MOST_OF_PROJECT, SHORTEST_SECRET};
use super::registered::{self, Finder, Registered};
pub use super::shapes::redact_shapes;

/// Text that `Debug` and `Display` do not show. Reading it takes a call of [`Secret::reveal`], which is easy to find.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that must send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Removes secrets from text. Clones share what is registered.
#[derive(Clone, Default)]
pub struct Redactor {
    known: Arc<Known>,
    whose: Whose,
}

/// Whose secrets one looks for.
#[derive(Clone, Default)]
enum Whose {
    /// The daemon's and those of every project: nothing can be missed.
    #[default]
    All,
    /// The daemon's alone.
    Daemon,
    /// The daemon's and one project's.
    Project(Arc<Kept>),
}

#[derive(Default)]
struct Known {
    daemon: Kept,
    /// By the repository's name in `repos.yaml`, in small letters: in whatever way it is written, it is the same.
    projects: RwLock<BTreeMap<String, Arc<Kept>>>,
}

/// The secrets of one owner.
#[derive(Default)]
struct Kept {
    registered: Mutex<Registered>,
    finder: RwLock<Arc<Finder>>,
}

impl Kept {
    fn register<T: AsRef<str>>(&self, secrets: &[T], for_good: bool) {
        // Held while the finder is built, which others go on using meanwhile.
        let mut registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        if registered.add(secrets.iter().map(AsRef::as_ref), for_good) {
            let finder = Arc::new(registered.finder());
            *self.finder.write().unwrap_or_else(PoisonError::into_inner) = finder;
        }
    }

    fn finder(&self) -> Arc<Finder> {
        Arc::clone(&self.finder.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Redactor {
    /// A redactor that knows only the shapes of credentials.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a secret of the daemon: from now on neither it nor its base64 form passes, and no way to write either
    /// into a URL or JSON. The lines of a longer text (a private key) are registered one by one. Text below
    /// [`SHORTEST_SECRET`] is ignored.
    pub fn add(&self, secret: &str) {
        self.known.daemon.register(&[secret], true);
    }

    /// Registers the secrets of a project, see [`Redactor::add`] and [`Redactor::of`]; those that are known already cost
    /// next to nothing. When there are too many, they make room for newer ones of the same project, and of those that come
    /// together the later for the earlier: see [`super::registered`].
    pub fn add_all<T: AsRef<str>>(&self, secrets: &[T]) {
        match &self.whose {
            Whose::Project(project) => project.register(secrets, false),
            Whose::All | Whose::Daemon => self.known.daemon.register(secrets, false),
        }
    }

    /// Registers a wrapped secret, see [`Redactor::add`].
    pub fn add_secret(&self, secret: &Secret) {
        self.add(secret.reveal());
    }

    /// For what is told of one repository, by its name in `repos.yaml`: looks for the daemon's secrets and this project's,
    /// and takes those that are registered with it as this project's.
    #[must_use]
    pub fn of(&self, repo: &str) -> Redactor {
        let project = self.project(repo).unwrap_or_else(|| {
            let mut projects = self.known.projects.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(projects.entry(repo.to_lowercase()).or_default())
        });
        Redactor { known: Arc::clone(&self.known), whose: Whose::Project(project) }
    }

    /// As [`Redactor::of`], of a name that may be nobody's: then nothing of a project is known that could be told. Without
    /// one it looks for the secrets of all.
    #[must_use]
    pub fn about(&self, repo: Option<&str>) -> Redactor {
        let whose = match repo.filter(|repo| !repo.is_empty()) {
            None => Whose::All,
            Some(repo) => self.project(repo).map_or(Whose::Daemon, Whose::Project),
        };
        Redactor { known: Arc::clone(&self.known), whose }
    }

    /// For the words of turnout itself, in which nothing of a project is quoted: looks for the daemon's secrets alone.
    #[must_use]
    pub fn own(&self) -> Redactor {
        Redactor { known: Arc::clone(&self.known), whose: Whose::Daemon }
    }

    fn project(&self, repo: &str) -> Option<Arc<Kept>> {
        self.known.projects.read().unwrap_or_else(PoisonError::into_inner).get(&repo.to_lowercase()).cloned()
    }

    fn finders(&self) -> Vec<Arc<Finder>> {
        let mut finders = vec![self.known.daemon.finder()];
        match &self.whose {
            Whose::Daemon => {}
            Whose::Project(project) => finders.push(project.finder()),
            Whose::All => {
                let projects = self.known.projects.read().unwrap_or_else(PoisonError::into_inner);
                finders.extend(projects.values().map(|project| project.finder()));
            }
        }
        finders
    }

    /// The text without secrets; borrowed when there were none. Where it was cut, pieces of secrets count as well: see
    /// [`super::cut_texts`]. Time is linear in the text's length, and of a redactor for
    /// all in the number of projects.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let finders = self.finders();
        let masked = match registered::mask(&finders, text, MASK) {
            Some(masked) => Cow::Owned(redact_shapes(&masked).into_owned()),
            None => redact_shapes(text),
        };
        if matches!(masked, Cow::Borrowed(_)) || !registered::finds(&finders, &masked) {
            return masked;
        }
        // The mask and its neighbours form a secret, or a secret is part of the mask itself. Rare enough to give up
        // the line.
        Cow::Owned(String::new())
    }

    /// The same for every text of a JSON value.
    pub fn redact_json(&self, value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::String(text) => Value::String(self.redact(&text).into_owned()),
            Value::Array(items) => Value::Array(items.into_iter().map(|item| self.redact_json(item)).collect()),
            Value::Object(map) => map.into_iter().map(|(key, item)| (key, self.redact_json(item))).collect(),
            other => other,
        }
    }

    /// A line fit for a log: without secrets and without control characters.
    pub fn line<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.redact(text) {
            Cow::Borrowed(clean) => escape_controls(clean),
            Cow::Owned(clean) => Cow::Owned(escape_controls(&clean).into_owned()),
        }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

/// Text of somebody else (a server, a library), fit to be shown: no control characters, nothing that looks like a secret.
pub fn foreign(message: &str) -> String {
    escape_controls(&redact_shapes(message.trim())).into_owned()
}

/// Makes control characters visible, so that output of a foreign program can neither move the cursor nor forge lines.
/// Tabs stay. Also escaped: the Unicode line ends and the marks that turn the direction of writing.
pub fn escape_controls(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if is_control(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn is_control(c: char) -> bool {
    c != '\t' && is_unfit(c)
}

/// Whether a character has no place in a line that others read: control characters, line ends, and [`is_mark`].
pub fn is_unfit(c: char) -> bool {
    c.is_control() || is_mark(c)
}

/// The Unicode line ends, and the marks that turn the direction of writing (Unicode Standard Annex 9, section 2): text
/// from outside could show itself as another with them.
fn is_mark(c: char) -> bool {
    matches!(
        c,
        '\u{2028}' | '\u{2029}' | '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// As [`escape_controls`], of a text whose own line ends stay.
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c != '\n' && is_control(c)) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split('\n').map(escape_controls).collect::<Vec<_>>().join("\n"))
}

/// Makes the marks visible that turn the direction of writing, and nothing else: for whole lines as they are written to a
/// log. In JSON they become its own escapes.
pub fn escape_marks(text: &str, json: bool) -> Cow<'_, str> {
    if !text.chars().any(is_mark) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match (is_mark(c), json) {
            (true, true) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            (true, false) => out.extend(c.escape_unicode()),
            (false, _) => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Makes visible whatever in a JSON text has no place in a terminal, with JSON's own escapes: what somebody outside wrote may stand
/// in it as it came. Line ends and tabs stay; other characters below U+0020 stand between values alone, where they go.
pub fn escape_json(text: &str) -> Cow<'_, str> {
    let loose = |c: char| is_control(c) && c != '\n';
    if !text.chars().any(loose) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !loose(c) => out.push(c),
            '\0'..'\u{20}' => {}
            c => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use base64::{
        Engine as _,
        engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
    };
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn registered_secrets_are_masked_in_every_form() {
        let redactor = Redactor::new();
        let twin = redactor.clone();
        redactor.add("s3cr3t/Wörd!");
        redactor.add("abc"); // too short
        redactor.add("-----BEGIN KEY-----\nMIIEvQIBADANBg\nkq\n-----END KEY-----\n");
        let basic = STANDARD.encode("x-access-token:s3cr3t/Wörd!");
        for (input, hidden) in [
            ("say s3cr3t/Wörd!".to_owned(), "s3cr3t"),
            ("say s3cr3t%2FW%C3%B6rd%21".to_owned(), "s3cr3t"),
            ("say s3cr3t%2fw%c3%b6rd%21 s3cr3t%2fW%c3%b6rd%21".to_owned(), "s3cr3t%2fW"),
            (format!("Basic {basic}"), &basic[24..30]),
            ("line MIIEvQIBADANBg".to_owned(), "MIIE"),
        ] {
            let out = twin.redact(&input);
            assert!(!out.contains(hidden), "{input} -> {out}");
            assert!(out.contains(MASK), "{input} -> {out}");
        }
        assert_eq!(twin.redact("abc END KEY kq"), "abc END KEY kq");
        assert!(matches!(twin.redact("plain"), Cow::Borrowed("plain")));
    }

    #[test]
    fn a_projects_secrets_are_masked_in_what_is_told_of_it_alone() {
        let redactor = Redactor::new();
        redactor.add("of-the-daemon");
        let (shop, blog) = (redactor.of("shop"), redactor.of("blog"));
        shop.add_all(&["deployment"]);
        blog.add_all(&["hunter22"]);
        let text = "deployment hunter22 of-the-daemon";
        for (redactor, expected) in [
            (&shop, "[redacted] hunter22 [redacted]"),
            (&redactor.about(Some("shop")), "[redacted] hunter22 [redacted]"),
            (&redactor.of("Shop"), "[redacted] hunter22 [redacted]"),
            (&blog, "deployment [redacted] [redacted]"),
            (&redactor.own(), "deployment hunter22 [redacted]"),
            // Of which repository it is, nobody said: then nothing may pass.
            (&redactor, "[redacted] [redacted] [redacted]"),
            (&redactor.about(None), "[redacted] [redacted] [redacted]"),
            (&redactor.about(Some("unknown")), "deployment hunter22 [redacted]"),
        ] {
            assert_eq!(redactor.redact(text), expected);
        }
        // Secrets of several owners that overlap are one gap.
        blog.add_all(&["ployment hun"]);
        assert_eq!(redactor.redact("deployment hunter22"), "[redacted]");
        // What is registered with one project takes no room of another's.
        blog.add_all(&(0..200).map(|n| format!("{n:05}").repeat(2_000)).collect::<Vec<_>>());
        assert_eq!(shop.redact("a deployment"), "a [redacted]");
    }

    #[test]
    fn a_secret_that_is_part_of_the_mask_takes_the_line_with_it() {
        let redactor = Redactor::new();
        redactor.add("redacted");
        redactor.add("hunter22");
        assert_eq!(redactor.redact("a hunter22 b"), "");
    }

    #[test]
    fn pieces_of_secrets_are_masked_where_a_text_was_cut() {
        let redactor = Redactor::new();
        let secret: String = (0..300).map(|n| char::from(b'A' + (n * n % 53) as u8 % 26)).collect();
        redactor.add(&secret);
        redactor.add("hunter-22-hunter");
        let long = ". ".repeat(2_500);
        let huge = "0123456789".repeat(90);
        redactor.add(&huge);
        for (text, expected) in [
            (format!("say {}…", &secret[..200]), "say [redacted]…".to_owned()),
            (format!("say {}… (do this)", &secret[..8]), "say [redacted]… (do this)".to_owned()),
            (format!("…{} said", &secret[100..]), "…[redacted] said".to_owned()),
            (format!("last: …{}", &secret[292..]), "last: …[redacted]".to_owned()),
            (format!("{long}{}", &secret[..150]), format!("{long}[redacted]")),
            // Long ones are known by their first bytes, and in a text that escapes they are found too.
            (format!("{}…", &huge[..700]), "[redacted]…".to_owned()),
            (format!("…{} x", &huge[5..]), "…[redacted] x".to_owned()),
            ("hunter\\u002d22-hu…".to_owned(), "[redacted]…".to_owned()),
            // A piece that is short, not at a cut or from the middle is no piece.
            ("a hunter-…".to_owned(), "a hunter-…".to_owned()),
            ("a hunter-22-hu b…".to_owned(), "a hunter-22-hu b…".to_owned()),
            ("a hunter-22-hu".to_owned(), "a hunter-22-hu".to_owned()),
        ] {
            assert_eq!(redactor.redact(&text), expected, "{text}");
        }
    }

    #[test]
    fn control_characters_become_visible() {
        let table = [
            ("plain\ttext ü", "plain\ttext ü"),
            ("a\u{1b}[31mred", "a\\u{1b}[31mred"),
            ("one\ntwo\r", "one\\ntwo\\r"),
            ("\u{202e}evil\u{9b}\u{7f}", "\\u{202e}evil\\u{9b}\\u{7f}"),
        ];
        for (input, expected) in table {
            assert_eq!(escape_controls(input), expected);
        }
        assert_eq!(Redactor::new().line("token=abc\u{1b}"), "token=[redacted]");
        for mark in "\u{2028}\u{2029}\u{61c}\u{200e}\u{200f}\u{202a}\u{202d}\u{202e}\u{2066}\u{2069}".chars() {
            assert_eq!(escape_controls(&format!("a{mark}b")), format!("a{}b", mark.escape_unicode()));
        }
        assert_eq!(escape_lines("a\nb\u{1b}\r\n"), "a\nb\\u{1b}\\r\n");
        assert!(matches!(escape_lines("a\nb\n"), Cow::Borrowed(_)));
        assert_eq!(escape_marks("\u{1b}[31m\u{202e}evil\n", false), "\u{1b}[31m\\u{202e}evil\n");
        assert_eq!(escape_marks(r#"{"a":"\n"}"#, true), r#"{"a":"\n"}"#);
        let evil = "{\r\n\t\"a\":\"\u{9b}31m\u{7f}\u{202e}ö\"}";
        assert_eq!(escape_json(evil), "{\n\t\"a\":\"\\u009b31m\\u007f\\u202eö\"}");
        let json = escape_marks("{\"a\":\"\u{202e}evil\"}", true).into_owned();
        assert!(json.is_ascii(), "{json}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["a"], "\u{202e}evil");
    }

    #[test]
    fn secrets_do_not_print_themselves() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "[redacted] [redacted]");
        assert_eq!(secret.reveal(), "hunter2");
    }

    /// Time that a quadratic search of these texts exceeds a hundred times, even where everything is slow.
    const QUICK: std::time::Duration = std::time::Duration::from_secs(20);

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test measures how the time grows")]
    fn a_megabyte_of_bait_is_quick() {
        let redactor = Redactor::new();
        redactor.add("aaaaaaaaaaaaaaaaab");
        let started = std::time::Instant::now();
        for bait in [
            "://",
            "a",
            "password=\"",
            "authorization:",
            "://@",
            "ghp_",
            "authorization: [redacted]",
            "%61",
            "\\u0061",
            "password=[redacted]",
            "password='[redacted]",
            "\\\\",
            "\\u{",
            "%",
            "…",
            "…aaaaaaaa",
        ] {
            let text = bait.repeat(1_000_000 / bait.len());
            let _ = redactor.redact(&text);
        }
        assert!(started.elapsed() < QUICK, "{:?}", started.elapsed());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test measures how the time grows")]
    fn secrets_of_one_repeated_byte_are_quick_and_leave_nothing() {
        let redactor = Redactor::new();
        let started = std::time::Instant::now();
        let secrets: Vec<String> = (1..40).map(|length| "a".repeat(length * 1_601)).collect();
        redactor.add_all(&secrets);
        redactor.add_all(&(4..600).map(|length| "a".repeat(length)).collect::<Vec<_>>());
        for text in ["a".repeat(1_000_000), "a".repeat(60_000) + "b", STANDARD.encode("a".repeat(700_000))] {
            let out = redactor.redact(&text);
            assert!(out.len() < 20, "{out:.100}");
        }
        assert!(started.elapsed() < QUICK, "{:?}", started.elapsed());
    }

    #[test]
    fn escaped_and_encoded_secrets_are_masked() {
        let redactor = Redactor::new();
        let secret = "p\"ä<ss>/w or+d&~";
        redactor.add(secret);
        let json = serde_json::Value::from(secret).to_string();
        let ascii = r#"p\"\u00e4\u003css\u003e\/w or+d\u0026~"#;
        let twice = serde_json::Value::from(json.as_str()).to_string();
        let mut texts = vec![
            json,
            ascii.to_owned(),
            twice,
            format!("{secret:?}"),
            // As browsers, Go, curl and forms write it.
            "p%22%C3%A4%3Css%3E%2Fw%20or%2Bd%26~".to_owned(),
            "p%22%c3%a4%3css%3e/w%20or+d&~".to_owned(),
            "p%22%C3%A4%3Css%3E%2Fw+or%2Bd%26%7E".to_owned(),
        ];
        for before in ["", "u", "us", "user:"] {
            let whole = format!("{before}{secret}and more");
            texts.push(STANDARD.encode(&whole));
            texts.push(URL_SAFE_NO_PAD.encode(&whole));
            texts.push(STANDARD.encode(&whole).replace('/', "\\/").replace('+', "%2B"));
        }
        for text in texts {
            let out = redactor.redact(&format!("<{text}>")).into_owned();
            assert!(out.contains(MASK) && out.len() < 40, "{text} -> {out}");
        }
    }

    proptest! {
        #[test]
        fn a_registered_secret_never_passes(
            secrets in proptest::collection::vec("[a-c\\]\\[redt:/@=%é]{4,8}", 1..4),
            pieces in proptest::collection::vec("[a-c:/@= redt\\[\\]]{0,6}|token=|://|ghp_", 0..6),
            picks in proptest::collection::vec(0usize..4, 0..6),
        ) {
            let redactor = Redactor::new();
            for secret in &secrets { redactor.add(secret); }
            let mut text = String::new();
            for (i, piece) in pieces.iter().enumerate() {
                text.push_str(piece);
                if let Some(secret) = picks.get(i).and_then(|p| secrets.get(*p)) { text.push_str(secret); }
            }
            let out = redactor.redact(&text);
            for secret in &secrets {
                prop_assert!(!out.contains(secret.as_str()), "{secret} in {out}");
            }
        }

        #[test]
        fn any_text_is_taken(text in ".{0,200}") {
            let redactor = Redactor::new();
            redactor.add("some secret");
            let _ = redactor.line(&text);
        }
    }
}
