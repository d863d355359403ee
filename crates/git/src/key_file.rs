//! What the first bytes of an SSH key's file tell: whether it can serve at all. libssh2 says of every one that cannot only
//! that it could not be used, and the server's operator is blamed for it.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Bytes that are looked at; a key's head has some hundred.
const HEAD: u64 = 4096;
/// How a key in OpenSSH's own form begins, behind its armour.
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Why a key cannot be used, and what to do.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn fault(path: &Path, has_passphrase: bool) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    let shown = path.display();
    Ok(match kind(&head) {
        Kind::Private => None,
        Kind::Locked if has_passphrase => None,
        Kind::Locked => Some(format!(
            "the SSH key {shown} has a passphrase, which nobody is there to type; take it off \
             (`ssh-keygen -p -N '' -f {shown}`, as who owns it), or make one without"
        )),
        Kind::Public => {
            let private = path.with_extension("");
            let which = match path.extension() {
                Some(ending) if ending == "pub" => format!("the private one is {}", private.display()),
                _ => "the private one, made beside it, has the same name without .pub".to_owned(),
            };
            Some(format!("the SSH key {shown} is a public key, which is for the server; {which}"))
        }
        Kind::Putty => Some(format!(
            "the SSH key {shown} is one of PuTTY's; `puttygen {shown} -O private-openssh -o NEW` makes it one that can be used"
        )),
        Kind::Empty => Some(format!("the SSH key {shown} is empty")),
        Kind::Unknown => Some(format!("the SSH key {shown} does not begin as a private key does")),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Private,
    /// Private, behind a passphrase.
    Locked,
    Public,
    Putty,
    Empty,
    Unknown,
}

fn kind(head: &[u8]) -> Kind {
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start();
    let mut lines = text.lines().map(str::trim_end);
    let Some(first) = lines.next() else { return Kind::Empty };
    match first {
        "-----BEGIN OPENSSH PRIVATE KEY-----" => {
            let body: String = lines.take_while(|line| !line.starts_with("-----")).collect();
            // As much of it as holds the name of the cipher.
            let enough = body.len().min(64) / 4 * 4;
            let bytes = body.get(..enough).and_then(|body| STANDARD.decode(body).ok()).unwrap_or_default();
            match bytes.strip_prefix(MAGIC).and_then(|rest| rest.split_at_checked(4)) {
                Some((length, rest)) if length == [0, 0, 0, 4] && rest.starts_with(b"none") => Kind::Private,
                Some(_) => Kind::Locked,
                None => Kind::Unknown,
            }
        }
        "-----BEGIN ENCRYPTED PRIVATE KEY-----" => Kind::Locked,
        _ if first.starts_with("-----BEGIN ") && first.ends_with("PRIVATE KEY-----") => {
            let locked = lines.take(3).any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED"));
            if locked { Kind::Locked } else { Kind::Private }
        }
        _ if first.starts_with("-----BEGIN ") && first.contains("PUBLIC KEY") => Kind::Public,
        _ if first.starts_with("---- BEGIN SSH2 PUBLIC KEY") => Kind::Public,
        _ if ["ssh-", "ecdsa-sha2-", "sk-"].iter().any(|start| first.starts_with(start)) => Kind::Public,
        _ if first.starts_with("PuTTY-User-Key-File") => Kind::Putty,
        _ => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn openssh(cipher: &str) -> String {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(u32::try_from(cipher.len()).unwrap().to_be_bytes());
        bytes.extend(cipher.as_bytes());
        bytes.extend([7; 120]);
        let body = STANDARD.encode(bytes);
        let (one, other) = body.split_at(70);
        format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{one}\n{other}\n-----END OPENSSH PRIVATE KEY-----\n")
    }

    #[test]
    fn a_key_file_is_known_by_its_head() {
        let pem = "-----BEGIN RSA PRIVATE KEY-----\n";
        for (text, wanted) in [
            (openssh("none"), Kind::Private),
            (openssh("aes256-ctr"), Kind::Locked),
            (format!("{pem}MIIE\n"), Kind::Private),
            (format!("{pem}Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMIIE\n"), Kind::Locked),
            ("-----BEGIN PRIVATE KEY-----\nMIIE\n".to_owned(), Kind::Private),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIE\n".to_owned(), Kind::Locked),
            ("ssh-ed25519 AAAA me@here\n".to_owned(), Kind::Public),
            ("ecdsa-sha2-nistp256 AAAA\n".to_owned(), Kind::Public),
            ("PuTTY-User-Key-File-3: ssh-ed25519\n".to_owned(), Kind::Putty),
            ("\n".to_owned(), Kind::Empty),
            ("hello\n".to_owned(), Kind::Unknown),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nbm8=\n".to_owned(), Kind::Unknown),
        ] {
            assert_eq!(kind(text.as_bytes()), wanted, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_told_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("shop.pub");
        std::fs::write(&file, "ssh-ed25519 AAAA\n").unwrap();
        let said = fault(&file, false).unwrap().unwrap();
        assert!(said.ends_with(&format!("the private one is {}", dir.path().join("shop").display())), "{said}");
        std::fs::write(&file, openssh("aes256-ctr")).unwrap();
        assert!(fault(&file, false).unwrap().unwrap().contains("ssh-keygen -p -N ''"));
        assert_eq!(fault(&file, true).unwrap(), None);
        assert!(fault(&dir.path().join("none"), false).is_err());
    }
}
