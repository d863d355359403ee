//! How a registry asks who is there: the `WWW-Authenticate` header (RFC 9110, 11.6.1; for tokens the distribution
//! project's token specification). Pure.

use std::collections::BTreeMap;

use hyper::{HeaderMap, header::WWW_AUTHENTICATE};

/// What to prove, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// A user name and a password.
    Basic,
    /// A token, which another server gives.
    Bearer {
        /// Where the token is had.
        realm: String,
        /// What that server calls this registry; may be empty.
        service: String,
        /// What the token must allow; may be empty.
        scope: String,
    },
}

/// The challenge to answer; a token before a password, as Docker's client does it.
pub fn of(headers: &HeaderMap) -> Option<Challenge> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let mut found: Vec<Challenge> = values.filter_map(read).collect();
    found.sort_by_key(|challenge| matches!(challenge, Challenge::Basic));
    found.into_iter().next()
}

fn read(text: &str) -> Option<Challenge> {
    let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut parameters = parameters(rest);
    let mut take = |name: &str| parameters.remove(name).unwrap_or_default();
    let (realm, service, scope) = (take("realm"), take("service"), take("scope"));
    (!realm.is_empty()).then_some(Challenge::Bearer { realm, service, scope })
}

/// `name="value",name=value`; a value in quotes may have commas in it.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => after.split_once(',').map_or((after.trim().to_owned(), ""), |(v, a)| (v.trim().to_owned(), a)),
        };
        found.insert(name.trim().to_ascii_lowercase(), value);
        rest = after.trim_start_matches([',', ' ', '\t']);
    }
    found
}

/// The text up to the closing quote, and what comes after it.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return (value, text.get(at + 1..).unwrap_or_default()),
            '\\' if !escaped => escaped = true,
            c => {
                escaped = false;
                value.push(c);
            }
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: &str, scope: &str| {
            Some(Challenge::Bearer { realm: realm.into(), service: service.into(), scope: scope.into() })
        };
        for (lines, want) in [
            (&[r#"Basic realm="x""#][..], Some(Challenge::Basic)),
            (
                &[r#"Bearer realm="https://a/t",service="r.io",scope="repository:a/b:pull,push""#],
                bearer("https://a/t", "r.io", "repository:a/b:pull,push"),
            ),
            (&["bearer realm=https://a/t, Service=s"], bearer("https://a/t", "s", "")),
            (&[r#"Bearer service="a\"b", realm="https://a""#], bearer("https://a", "a\"b", "")),
            (&["Basic", r#"Bearer realm="https://a""#], bearer("https://a", "", "")),
            (&[r#"Bearer service="without a realm""#], None),
            (&["Negotiate"], None),
            (&[r#"Bearer realm="never closed"#], bearer("never closed", "", "")),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(WWW_AUTHENTICATE, line.parse().unwrap());
            }
            assert_eq!(of(&headers), want, "{lines:?}");
        }
    }
}
