//! Shapes that credentials have, whoever they belong to.

use std::{borrow::Cow, sync::OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::mask::MASK;

/// What a place in the text may be the beginning of.
#[derive(Clone, Copy)]
enum Shape {
    /// The password of an address: `://user:password@`.
    Url,
    /// A header whose whole value is secret.
    Header,
    /// A forge's token: the prefix stays, so that the reader sees what kind it was.
    Token,
    /// A value after a name that tells of a secret: `password=…`.
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
    if value.starts_with(MASK) {
        return None; // before its end is looked for: a line may be full of them
    }
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
            if inner.starts_with(MASK) {
                return None;
            }
            return match inner.find(quote) {
                Some(0) => None,
                Some(end) => Some((1, 1 + end)),
                None => Some((1, rest.len())),
            };
        }
        _ => (0, rest),
    };
    if value.starts_with(MASK) {
        return None;
    }
    let length =
        value.find(|c: char| c.is_whitespace() || matches!(c, '&' | '"' | '\'' | ';' | '`')).unwrap_or(value.len());
    (length > 0).then_some((from, from + length))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
