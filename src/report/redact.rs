//! Keeps secrets out of everything that is shown or stored. Applied at the sinks.
//!
//! Two nets, one after the other: the secrets that were registered (in the forms in which programs print them), then
//! the shapes that credentials have (a password in a URL, an `Authorization` header, a forge's token). The second net
//! also catches what nobody registered.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashSet},
    fmt,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use serde::Deserialize;

/// What stands in the place of a secret.
pub const MASK: &str = "[redacted]";

/// Secrets shorter than this many bytes are not registered: they would blot out ordinary words.
pub const SHORTEST_SECRET: usize = 4;

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
    known: Arc<RwLock<Known>>,
}

#[derive(Default)]
struct Known {
    secrets: HashSet<String>,
    needles: BTreeSet<String>,
    finder: Option<AhoCorasick>,
}

impl Redactor {
    /// A redactor that knows only the shapes of credentials.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a secret: from now on neither it nor its URL-encoded, base64 or JSON-escaped form passes. The lines of
    /// a longer text (a private key) are registered one by one. Text below [`SHORTEST_SECRET`] is ignored.
    pub fn add(&self, secret: &str) {
        self.add_all(&[secret]);
    }

    /// Registers several secrets at once, see [`Redactor::add`]; those that are known already cost next to nothing.
    pub fn add_all<T: AsRef<str>>(&self, secrets: &[T]) {
        let secrets = || secrets.iter().map(AsRef::as_ref);
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if secrets().all(|secret| known.secrets.contains(secret)) {
                return;
            }
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let known = &mut *known;
        let before = known.needles.len();
        for secret in secrets() {
            if known.secrets.insert(secret.to_owned()) {
                known.needles.extend(forms(secret));
            }
        }
        if known.needles.len() != before {
            // Longest first at the same place, so that a secret that begins with another one goes as a whole.
            known.finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&known.needles).ok();
        }
    }

    /// Registers a wrapped secret, see [`Redactor::add`].
    pub fn add_secret(&self, secret: &Secret) {
        self.add(secret.reveal());
    }

    /// The text without secrets; borrowed when there were none. Time is linear in the text's length.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let masked = match known.mask(text, MASK) {
            Some(masked) => Cow::Owned(redact_shapes(&masked).into_owned()),
            None => redact_shapes(text),
        };
        if !known.found_in(&masked) {
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

impl Known {
    fn mask(&self, text: &str, mask: &str) -> Option<String> {
        let finder = self.finder.as_ref()?;
        let mut out: Option<String> = None;
        let mut copied = 0;
        for found in finder.find_iter(text) {
            let out = out.get_or_insert_with(|| String::with_capacity(text.len()));
            out.push_str(text.get(copied..found.start()).unwrap_or_default());
            out.push_str(mask);
            copied = found.end();
        }
        if let Some(out) = &mut out {
            out.push_str(text.get(copied..).unwrap_or_default());
        }
        out
    }

    fn found_in(&self, text: &str) -> bool {
        self.finder.as_ref().is_some_and(|finder| finder.is_match(text))
    }
}

/// The forms in which a secret turns up in output.
fn forms(secret: &str) -> Vec<String> {
    let mut texts = vec![secret, secret.trim()];
    if secret.trim().contains('\n') {
        // The lines of a key block; short ones and the armour lines are no secret.
        texts.extend(secret.lines().map(str::trim).filter(|line| line.len() >= 8 && !line.starts_with("-----")));
    }
    let mut out = Vec::new();
    for text in texts {
        if text.len() < SHORTEST_SECRET {
            continue;
        }
        out.push(text.to_owned());
        out.push(percent_encoded(text, true));
        out.push(percent_encoded(text, false));
        out.push(percent_encoded(text, true).replace("%20", "+"));
        let json = serde_json::Value::from(text).to_string();
        out.push(json.trim_matches('"').to_owned());
        for engine in [&STANDARD, &URL_SAFE] {
            out.push(engine.encode(text));
            // As part of something longer, as in the `user:token` of basic authentication: each of the three ways in
            // which the secret can lie on the three-byte groups, without the characters that depend on neighbours.
            for shift in 0..3usize {
                let mut bytes = vec![0u8; shift];
                bytes.extend_from_slice(text.as_bytes());
                let encoded = engine.encode(&bytes);
                let from = (shift * 8).div_ceil(6);
                let to = bytes.len() * 8 / 6;
                if let Some(core) = encoded.get(from..to)
                    && core.len() >= SHORTEST_SECRET
                {
                    out.push(core.to_owned());
                }
            }
        }
    }
    out.retain(|form| form.len() >= SHORTEST_SECRET);
    out.sort();
    out.dedup();
    out
}

fn percent_encoded(text: &str, upper: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ if upper => out.push_str(&format!("%{byte:02X}")),
            _ => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out
}

/// What a place in the text may be the beginning of.
#[derive(Clone, Copy)]
enum Shape {
    /// `://user:password@`
    Url,
    /// A header whose whole value is secret.
    Header,
    /// A forge's token: the prefix stays, so that the reader sees what kind it was.
    Token,
    /// `password=…`
    Assignment,
}

/// Beginnings, in lower case; found without regard to case.
const SHAPES: &[(&str, Shape)] = &[
    ("://", Shape::Url),
    ("authorization", Shape::Header),
    ("x-registry-auth", Shape::Header),
    ("x-registry-config", Shape::Header),
    ("private-token", Shape::Header),
    ("ghp_", Shape::Token),
    ("gho_", Shape::Token),
    ("ghu_", Shape::Token),
    ("ghs_", Shape::Token),
    ("ghr_", Shape::Token),
    ("github_pat_", Shape::Token),
    ("glpat-", Shape::Token),
    ("gldt-", Shape::Token),
    ("glcbt-", Shape::Token),
    ("password=", Shape::Assignment),
    ("passwd=", Shape::Assignment),
    ("passphrase=", Shape::Assignment),
    ("token=", Shape::Assignment),
    ("secret=", Shape::Assignment),
    ("api_key=", Shape::Assignment),
    ("apikey=", Shape::Assignment),
];

/// Masks whatever has the shape of a credential, without knowing any.
pub fn redact_shapes(text: &str) -> Cow<'_, str> {
    if text.is_empty() {
        return Cow::Borrowed(text);
    }
    static FINDER: OnceLock<Option<AhoCorasick>> = OnceLock::new();
    let finder = FINDER.get_or_init(|| {
        AhoCorasick::builder()
            // Made in a quarter of the time that the automatic choice takes: a short command needs it for a few lines.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .build(SHAPES.iter().map(|(word, _)| word))
            .ok()
    });
    let Some(finder) = finder else { return Cow::Borrowed(text) };

    let mut out = String::new();
    let mut copied = 0;
    for found in finder.find_iter(text) {
        if found.start() < copied {
            continue; // inside a value that is masked already
        }
        let Some((_, shape)) = SHAPES.get(found.pattern().as_usize()) else { continue };
        let rest = text.get(found.end()..).unwrap_or_default();
        let value = match shape {
            Shape::Url => url_password(rest),
            Shape::Header => header_value(rest),
            Shape::Token => token_rest(rest),
            Shape::Assignment => assigned_value(rest),
        };
        if let Some((from, to)) = value
            && !rest.get(from..).unwrap_or_default().starts_with(MASK)
        {
            out.push_str(text.get(copied..found.end() + from).unwrap_or_default());
            out.push_str(MASK);
            copied = found.end() + to;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

/// The range of the password (or of a lone user name that is not `git`) in what follows `://`.
fn url_password(rest: &str) -> Option<(usize, usize)> {
    let end = rest
        .find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '<' | '>' | '`'))
        .unwrap_or(rest.len());
    let at = rest.get(..end)?.rfind('@')?;
    let user = rest.get(..at)?;
    match user.find(':') {
        Some(colon) if colon + 1 < at => Some((colon + 1, at)),
        // A name alone is only a secret where it is long, as in https://TOKEN@host.
        None if user.len() >= 16 => Some((0, at)),
        _ => None,
    }
}

/// The range of a header's value in what follows its name, in the forms `Name: value`, `"name":"value"`, `name=value`.
fn header_value(rest: &str) -> Option<(usize, usize)> {
    let after_quote = rest.trim_start_matches(['"', '\'']);
    let after_sign = after_quote.trim_start().strip_prefix([':', '='])?;
    let value = after_sign.trim_start_matches([' ', '\t', '"', '\'']);
    let from = rest.len() - value.len();
    let length = value.find(['\r', '\n', '"', '\'']).unwrap_or(value.len());
    (length > 0).then_some((from, from + length))
}

fn token_rest(rest: &str) -> Option<(usize, usize)> {
    let length =
        rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))).unwrap_or(rest.len());
    // Below this it is a word that merely begins alike.
    (length >= 10).then_some((0, length))
}

fn assigned_value(rest: &str) -> Option<(usize, usize)> {
    let (from, value) = match rest.chars().next()? {
        quote @ ('"' | '\'') => {
            let inner = rest.get(1..)?;
            return match inner.find(quote) {
                Some(0) => None,
                Some(end) => Some((1, 1 + end)),
                None => Some((1, rest.len())),
            };
        }
        _ => (0, rest),
    };
    let length =
        value.find(|c: char| c.is_whitespace() || matches!(c, '&' | '"' | '\'' | ';' | '`')).unwrap_or(value.len());
    (length > 0).then_some((from, from + length))
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
    c != '\t'
        && (c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shapes_of_credentials_are_masked() {
        let table = [
            (
                "fetch https://bob:hunter2@example.org/x.git failed",
                "fetch https://bob:[redacted]@example.org/x.git failed",
            ),
            ("https://bob:p@ss:w@example.org/x", "https://bob:[redacted]@example.org/x"),
            ("https://0123456789abcdef0123@example.org/x", "https://[redacted]@example.org/x"),
            ("ssh://git@example.org/x a@b", "ssh://git@example.org/x a@b"),
            ("http://example.org:80/a@b", "http://example.org:80/a@b"),
            ("postgres://u:pw@db/x and redis://:pw@r", "postgres://u:[redacted]@db/x and redis://:[redacted]@r"),
            ("Authorization: Bearer abc.def\nHost: x", "Authorization: [redacted]\nHost: x"),
            ("curl -H 'authorization: token abc' http://x", "curl -H 'authorization: [redacted]' http://x"),
            (r#"{"Authorization":"Basic Zm9v","a":1}"#, r#"{"Authorization":"[redacted]","a":1}"#),
            ("X-Registry-Auth: eyJ1c2Vy", "X-Registry-Auth: [redacted]"),
            ("authorization failed for bob", "authorization failed for bob"),
            ("with ghp_abcdefghij0123456789 here", "with ghp_[redacted] here"),
            ("GITHUB_PAT_11AAAAAAA0abcdefgh", "GITHUB_PAT_[redacted]"),
            ("glpat-xxxxxxxxxxxxxxxxxxxx.", "glpat-[redacted]"),
            ("ghp_short", "ghp_short"),
            ("GET /x?password=foo&y=1", "GET /x?password=[redacted]&y=1"),
            ("POSTGRES_PASSWORD=foo bar", "POSTGRES_PASSWORD=[redacted] bar"),
            ("access_token='a b' c", "access_token='[redacted]' c"),
            ("password= x", "password= x"),
            ("nothing to hide: a=b", "nothing to hide: a=b"),
        ];
        for (input, expected) in table {
            assert_eq!(redact_shapes(input), expected, "{input}");
        }
    }

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
    fn a_secret_that_is_part_of_the_mask_takes_the_line_with_it() {
        let redactor = Redactor::new();
        redactor.add("redacted");
        redactor.add("hunter22");
        assert_eq!(redactor.redact("a hunter22 b"), "");
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
    }

    #[test]
    fn secrets_do_not_print_themselves() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "[redacted] [redacted]");
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn a_megabyte_of_bait_is_quick() {
        let redactor = Redactor::new();
        redactor.add("aaaaaaaaaaaaaaaaab");
        let started = std::time::Instant::now();
        for bait in ["://", "a", "password=\"", "authorization:", "://@", "ghp_"] {
            let text = bait.repeat(1_000_000 / bait.len());
            let _ = redactor.redact(&text);
        }
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
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
