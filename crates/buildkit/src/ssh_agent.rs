//! An SSH agent inside this process, for keys that the Compose file names by their files.
//!
//! It lists its keys and signs with them, and refuses everything else, as BuildKit's own client has it: a build must not
//! be able to change what an agent holds.

use std::{io, sync::Arc};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{
    ssh_key::SshKey,
    ssh_wire::{Wire, put_text},
};

/// Largest message accepted, in bytes; OpenSSH's own limit.
const MAX_MESSAGE: u32 = 256 * 1024;
/// Kinds of messages.
const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGNATURE: u8 = 14;

/// Serves one conversation to its end.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, keys: Arc<Vec<SshKey>>) -> io::Result<()> {
    loop {
        let length = match stream.read_u32().await {
            Ok(length) if length <= MAX_MESSAGE => length,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "a message of an SSH client is too long")),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut message = vec![0; usize::try_from(length).unwrap_or_default()];
        stream.read_exact(&mut message).await?;
        let mut answer = Vec::new();
        put_text(&mut answer, &answer_to(&message, &keys).unwrap_or_else(|| vec![FAILURE]));
        stream.write_all(&answer).await?;
    }
}

/// The answer; `None` refuses.
fn answer_to(message: &[u8], keys: &[SshKey]) -> Option<Vec<u8>> {
    let (kind, rest) = message.split_first()?;
    let mut answer = Vec::new();
    match *kind {
        REQUEST_IDENTITIES => {
            answer.push(IDENTITIES);
            answer.extend_from_slice(&u32::try_from(keys.len()).ok()?.to_be_bytes());
            for key in keys {
                put_text(&mut answer, &key.public);
                put_text(&mut answer, key.comment.as_bytes());
            }
        }
        SIGN_REQUEST => {
            let mut reader = Wire(rest);
            let (public, data) = (reader.text().ok()?, reader.text().ok()?);
            let flags = reader.number().unwrap_or_default();
            let key = keys.iter().find(|key| key.public == public)?;
            answer.push(SIGNATURE);
            put_text(&mut answer, &key.sign(data, flags).ok()?);
        }
        _ => return None,
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use turnout_files::Reach;

    /// Keys of every kind, made and checked by OpenSSH.
    #[tokio::test]
    async fn openssh_lists_and_signs_with_every_kind_of_key() {
        let directory = tempfile::tempdir().unwrap();
        for (kind, bits, format) in [
            ("ed25519", "256", ""),
            ("rsa", "2048", ""),
            ("rsa", "2048", "PEM"),
            ("rsa", "2048", "PKCS8"),
            ("ecdsa", "256", ""),
            ("ecdsa", "384", "PEM"),
            ("ecdsa", "521", ""),
        ] {
            let name = directory.path().join(format!("{kind}-{bits}-{format}"));
            let mut make = Command::new("ssh-keygen");
            make.args(["-q", "-N", "", "-C", "a comment", "-t", kind, "-b", bits, "-f"]).arg(&name);
            if !format.is_empty() {
                make.args(["-m", format]);
            }
            let Ok(made) = make.stdin(Stdio::null()).status() else { return };
            assert!(made.success());
            let key =
                SshKey::read(&Reach::Anywhere, &name).unwrap_or_else(|why| panic!("{kind} {bits} {format}: {why}"));
            let public = std::fs::read_to_string(name.with_extension("pub")).unwrap();
            let socket = name.with_extension("sock");
            let listener = tokio::net::UnixListener::bind(&socket).unwrap();
            let keys = Arc::new(vec![key]);
            let served = tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let _ = serve(stream, Arc::clone(&keys)).await;
                }
            });
            // `ssh-add -T` signs something with the agent's key and checks it with the public one.
            for arguments in [&["-L"][..], &["-T"][..]] {
                let mut check = tokio::process::Command::new("ssh-add");
                check.args(arguments).env("SSH_AUTH_SOCK", &socket);
                if arguments == ["-T"] {
                    check.arg(name.with_extension("pub"));
                }
                let said = check.output().await.unwrap();
                let text = String::from_utf8_lossy(&said.stdout).into_owned();
                assert!(said.status.success(), "{kind} {bits} {format} {arguments:?}: {said:?}");
                if arguments == ["-L"] {
                    let half = public.split(' ').nth(1).unwrap();
                    assert!(text.contains(half), "{kind} {bits} {format}: {text}");
                }
            }
            served.abort();
        }
    }

    #[test]
    fn a_protected_key_and_what_is_no_key_are_refused_with_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        for format in ["RFC4716", "PEM"] {
            let name = directory.path().join(format);
            let mut make = Command::new("ssh-keygen");
            make.args(["-q", "-N", "passphrase", "-t", "rsa", "-b", "2048", "-m", format, "-f"]).arg(&name);
            let Ok(made) = make.stdin(Stdio::null()).status() else { return };
            assert!(made.success());
            let why = SshKey::read(&Reach::Anywhere, &name).unwrap_err();
            assert!(why.contains("passphrase") && why.contains("agent"), "{format}: {why}");
        }
        for text in
            ["", "hello", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END", "-----BEGIN PRIVATE KEY-----\n"]
        {
            assert!(SshKey::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_but_listing_and_signing_is_done() {
        for message in [&[][..], &[17, 0, 0], &[19], &[SIGN_REQUEST, 0, 0, 0, 9]] {
            assert_eq!(answer_to(message, &[]), None, "{message:?}");
        }
        assert_eq!(answer_to(&[REQUEST_IDENTITIES], &[]), Some(vec![IDENTITIES, 0, 0, 0, 0]));
    }
}
