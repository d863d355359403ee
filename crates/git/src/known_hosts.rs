//! Decides whether an SSH host key is trusted, by the text of a known_hosts file.
//!
//! The format is that of sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT": plain, wildcard, negated and hashed names,
//! `[host]:port` for other ports than 22, the markers `@revoked` and `@cert-authority` (which is skipped: host
//! certificates are not supported). Pure.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// What the file says of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostKey {
    /// The key is listed for the host.
    Trusted,
    /// The host is not listed.
    Unknown,
    /// The host is listed with another key of the same type, on this line.
    Changed(usize),
    /// The host is listed with keys of other types only.
    OtherType(Vec<String>),
    /// The key is marked as revoked, on this line.
    Revoked(usize),
}

/// Looks a host's key up.
pub(super) fn check(text: &str, host: &str, port: u16, key: &[u8]) -> HostKey {
    let host = host.to_ascii_lowercase();
    let name = if port == 22 { host } else { format!("[{host}]:{port}") };
    let kind = key_type(key);
    let mut verdict = HostKey::Unknown;
    let mut trusted = false;
    for (number, line) in text.lines().enumerate() {
        let mut words = line.split_ascii_whitespace().peekable();
        let marker = words.next_if(|word| word.starts_with('@'));
        let (Some(names), Some(listed_type), Some(listed)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        if names.starts_with('#') || !names_match(names, &name) {
            continue;
        }
        let same = STANDARD.decode(listed).is_ok_and(|listed| listed == key);
        match marker {
            Some("@revoked") if same => return HostKey::Revoked(number + 1),
            Some(_) => continue,
            None if same => trusted = true,
            None if listed_type == kind => verdict = HostKey::Changed(number + 1),
            None => match &mut verdict {
                HostKey::OtherType(types) => types.push(listed_type.to_owned()),
                HostKey::Unknown => verdict = HostKey::OtherType(vec![listed_type.to_owned()]),
                _ => {}
            },
        }
    }
    if trusted { HostKey::Trusted } else { verdict }
}

/// Whether any key is trusted for the host. Which one it shows is only known once it is asked.
pub(super) fn lists(text: &str, host: &str, port: u16) -> bool {
    let host = host.to_ascii_lowercase();
    let name = if port == 22 { host } else { format!("[{host}]:{port}") };
    text.lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        let names = words.next().filter(|names| !names.starts_with(['@', '#']));
        names.is_some_and(|names| names_match(names, &name)) && words.nth(1).is_some()
    })
}

/// The type a key blob says it is: its first string. RFC 4253 §6.6.
pub(super) fn key_type(key: &[u8]) -> &str {
    let Some((length, rest)) = key.split_first_chunk::<4>() else { return "" };
    let length = u32::from_be_bytes(*length) as usize;
    rest.get(..length).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or("")
}

/// The fingerprint as `ssh` prints it.
pub(super) fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

fn names_match(names: &str, name: &str) -> bool {
    if let Some(hashed) = names.strip_prefix("|1|") {
        return hash_matches(hashed, name).unwrap_or(false);
    }
    let mut matched = false;
    for pattern in names.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if wildcard(pattern, name) => return false,
            Some(_) => {}
            None => matched |= wildcard(pattern, name),
        }
    }
    matched
}

fn hash_matches(hashed: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let mut mac = Hmac::<Sha1>::new_from_slice(&STANDARD.decode(salt).ok()?).ok()?;
    mac.update(name.as_bytes());
    Some(mac.verify_slice(&STANDARD.decode(hash).ok()?).is_ok())
}

/// `*` and `?`, without regard to case, in linear space and without recursion.
fn wildcard(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match (pattern.get(p), name.get(n)) {
            (Some(b'*'), _) => {
                star = Some((p, n));
                p += 1;
            }
            (Some(b'?'), _) => (p, n) = (p + 1, n + 1),
            (Some(a), Some(b)) if a.eq_ignore_ascii_case(b) => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, n) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|rest| *rest == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &str, fill: u8) -> Vec<u8> {
        let mut key = u32::try_from(kind.len()).unwrap().to_be_bytes().to_vec();
        key.extend_from_slice(kind.as_bytes());
        key.extend_from_slice(&[fill; 8]);
        key
    }

    #[test]
    fn hosts_are_looked_up_without_a_key() {
        let table = [
            ("h.example ssh-ed25519 AAAA", 22, true),
            ("[h.example]:2222 ssh-ed25519 AAAA", 22, false),
            ("[h.example]:2222 ssh-ed25519 AAAA", 2222, true),
            ("*.example ssh-ed25519 AAAA", 22, true),
            ("#h.example ssh-ed25519 AAAA", 22, false),
            ("@revoked h.example ssh-ed25519 AAAA", 22, false),
            ("h.example ssh-ed25519", 22, false),
            ("", 22, false),
        ];
        for (text, port, wanted) in table {
            assert_eq!(lists(text, "H.example", port), wanted, "{text:?}, port {port}");
        }
    }

    #[test]
    fn keys_are_judged() {
        let ours = key("ssh-ed25519", 1);
        let mine = STANDARD.encode(&ours);
        let other = STANDARD.encode(key("ssh-ed25519", 2));
        let rsa = STANDARD.encode(key("ssh-rsa", 3));
        let mut mac = Hmac::<Sha1>::new_from_slice(b"salty").unwrap();
        mac.update(b"[h.example]:2222");
        let hashed = format!("|1|{}|{}", STANDARD.encode(b"salty"), STANDARD.encode(mac.finalize().into_bytes()));
        let table: Vec<(String, u16, HostKey)> = vec![
            (format!("h.example ssh-ed25519 {mine}"), 22, HostKey::Trusted),
            (format!("H.EXAMPLE ssh-ed25519 {mine} comment"), 22, HostKey::Trusted),
            (format!("h.example ssh-ed25519 {mine}"), 2222, HostKey::Unknown),
            (format!("[h.example]:2222,x ssh-ed25519 {mine}"), 2222, HostKey::Trusted),
            (format!("{hashed} ssh-ed25519 {mine}"), 2222, HostKey::Trusted),
            (format!("{hashed} ssh-ed25519 {mine}"), 22, HostKey::Unknown),
            (format!("*.example ssh-ed25519 {mine}"), 22, HostKey::Trusted),
            (format!("*.example,!h.* ssh-ed25519 {mine}"), 22, HostKey::Unknown),
            (format!("h.e?ample ssh-ed25519 {other}"), 22, HostKey::Changed(1)),
            (format!("h.example ssh-ed25519 {other}\nh.example ssh-ed25519 {mine}"), 22, HostKey::Trusted),
            (format!("h.example ssh-rsa {rsa}"), 22, HostKey::OtherType(vec!["ssh-rsa".into()])),
            (format!("\n@revoked * ssh-ed25519 {mine}\nh.example ssh-ed25519 {mine}"), 22, HostKey::Revoked(2)),
            (format!("@cert-authority * ssh-ed25519 {mine}"), 22, HostKey::Unknown),
            (format!("# h.example ssh-ed25519 {mine}"), 22, HostKey::Unknown),
            ("h.example ssh-ed25519".into(), 22, HostKey::Unknown),
            ("|1|x|y ssh-ed25519 AAAA\n|1|| a b\n\0".into(), 22, HostKey::Unknown),
        ];
        for (text, port, expected) in table {
            assert_eq!(check(&text, "h.example", port, &ours), expected, "{text}");
        }
    }

    #[test]
    fn odd_blobs_have_no_type() {
        assert_eq!(key_type(&[]), "");
        assert_eq!(key_type(&[0, 0, 0, 9, b'x']), "");
        assert_eq!(key_type(&key("ssh-rsa", 0)), "ssh-rsa");
    }
}
