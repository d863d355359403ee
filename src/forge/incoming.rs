//! A body while it arrives: hashed, and looked through for the few values that count, piece by piece. Of it no
//! more is kept than a payload may have, so that neither its size nor the number of slow senders is a matter of memory.
//!
//! What it says is told only by [`Whole`], which knows first whose proof it has. Before that only the repository's name can
//! be asked for ([`Incoming::repository`]): it says whose secret is to be tried.

use sha2::{Digest as _, Sha256};

use super::{
    Event, Forge, PushedRepo, Refusal,
    body::{Form, Media},
    fields::Fields,
    json::Scanner,
    json_found::{Fault, Scanned},
    proof::{Check, Claim, Key},
};

/// A delivery that is arriving: its proof and what decisions need of it are taken from the bytes as they come.
#[derive(Debug)]
pub struct Incoming {
    forge: &'static Forge,
    digest: Sha256,
    /// What the head claims as proof, if it claims any.
    claim: Option<Claim>,
    by_daemon: Option<Check>,
    by_repo: Option<Check>,
    /// What the headers say that the body is, or why it will not be read.
    reader: Result<Format, Refusal>,
}

#[derive(Debug)]
struct Format {
    form: Option<Form>,
    /// A piece of the form's value.
    decoded: Vec<u8>,
    scanner: Scanner,
    payload: Payload,
}

/// The JSON as it came, while there is not more of it than may be kept.
#[derive(Debug)]
struct Payload {
    most: usize,
    bytes: Option<Vec<u8>>,
}

/// What the head of a request says, before its body has come.
#[derive(Debug)]
pub struct Announced<'h> {
    /// The event's name, if there is one. It says which values are looked for.
    pub event: Option<&'h str>,
    /// What the body is, or why it will not be read.
    pub media: Result<Media, Refusal>,
    /// The claimed proof, if there is one.
    pub claim: Option<Claim>,
    /// Bytes of JSON that are kept until it is proven, to be remembered with the delivery. Of a larger one nothing is; 0:
    /// nothing at all.
    pub payload: usize,
}

/// The repository that an unproven body names.
#[derive(Debug, PartialEq, Eq)]
pub enum Naming {
    /// It may still come.
    NotYet,
    /// The body has named it, and is not yet proven.
    Named(PushedRepo),
    /// None that can be read.
    Never,
}

/// A body of which all has arrived.
#[derive(Debug)]
pub struct Whole {
    /// SHA-256 of the body; by it a delivery sent twice is recognised although its unsigned id differs.
    pub digest: [u8; 32],
    forge: &'static Forge,
    by_daemon: Option<Check>,
    by_repo: Option<Check>,
    scanned: Result<Scanned, Refusal>,
    payload: Option<Vec<u8>>,
}

impl Incoming {
    /// Begins. `key` is the daemon's, where it has one.
    pub fn new(forge: &'static Forge, announced: Announced<'_>, key: Option<&Key>) -> Incoming {
        let Announced { event, media, claim, payload } = announced;
        let reader = media.map(|media| Format {
            form: (media == Media::Form).then(Form::default),
            decoded: Vec::new(),
            scanner: Scanner::new(forge.wanted(event)),
            payload: Payload { most: payload, bytes: (payload > 0).then(Vec::new) },
        });
        let by_daemon = key.zip(claim.as_ref()).map(|(key, claim)| key.begin(claim));
        Incoming { forge, digest: Sha256::new(), claim, by_daemon, by_repo: None, reader }
    }

    /// The next piece.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        for check in [&mut self.by_daemon, &mut self.by_repo].into_iter().flatten() {
            check.feed(bytes);
        }
        if let Ok(reader) = &mut self.reader {
            reader.feed(bytes);
        }
    }

    /// The repository that the body names, as far as it has arrived.
    pub fn repository(&self) -> Naming {
        let Ok(reader) = &self.reader else { return Naming::Never };
        match self.forge.named(&reader.scanner.so_far()) {
            Some(named) => named.map_or(Naming::Never, Naming::Named),
            None if reader.scanner.is_broken() => Naming::Never,
            None => Naming::NotYet,
        }
    }

    /// From now on the proof is computed with this key too. `before` are the pieces that have arrived already.
    pub fn check_too<'b>(&mut self, key: &Key, before: impl Iterator<Item = &'b [u8]>) {
        self.by_repo = self.claim.as_ref().map(|claim| {
            let mut check = key.begin(claim);
            before.for_each(|piece| check.feed(piece));
            check
        });
    }

    /// All has arrived.
    pub fn whole(self) -> Whole {
        let Incoming { forge, digest, claim: _, by_daemon, by_repo, reader } = self;
        let (scanned, payload) = match reader {
            Ok(mut reader) => {
                let payload = reader.payload.bytes.take();
                (reader.finish(), payload)
            }
            Err(refusal) => (Err(refusal), None),
        };
        Whole { digest: digest.finalize().into(), forge, by_daemon, by_repo, scanned, payload }
    }
}

impl Format {
    fn feed(&mut self, bytes: &[u8]) {
        match &mut self.form {
            None => {
                self.scanner.feed(bytes);
                self.payload.feed(bytes);
            }
            Some(form) => {
                self.decoded.clear();
                form.feed(bytes, &mut self.decoded);
                self.scanner.feed(&self.decoded);
                self.payload.feed(&self.decoded);
            }
        }
    }

    fn finish(self) -> Result<Scanned, Refusal> {
        self.form.map_or(Ok(()), Form::finish)?;
        self.scanner.finish().map_err(|fault| match fault {
            Fault::Encoding => Refusal::malformed("the body is not UTF-8"),
            Fault::Depth => Refusal::malformed("the JSON is nested too deeply"),
            Fault::Syntax { line, column } => {
                Refusal::malformed(format!("the body is not JSON (line {line}, column {column})"))
            }
        })
    }
}

impl Payload {
    fn feed(&mut self, more: &[u8]) {
        if let Some(bytes) = &mut self.bytes {
            match bytes.len() + more.len() <= self.most {
                true => bytes.extend_from_slice(more),
                false => self.bytes = None,
            }
        }
    }
}

impl Whole {
    /// Whether the daemon's secret proves it.
    pub fn is_by_daemon(&self) -> bool {
        self.by_daemon.as_ref().is_some_and(Check::is_proven)
    }

    /// Whether the repository's own secret proves it.
    pub fn is_by_repo(&self) -> bool {
        self.by_repo.as_ref().is_some_and(Check::is_proven)
    }

    /// The repository that it names, whatever event it is.
    pub fn repository(&self) -> Option<PushedRepo> {
        self.scanned.as_ref().ok().and_then(|scanned| self.forge.named(&Fields::of(scanned)).flatten())
    }

    /// The JSON as it came, where it was not too large to be kept. To be asked for after the proof.
    pub fn take_payload(&mut self) -> Option<String> {
        self.payload.take().and_then(|bytes| String::from_utf8(bytes).ok())
    }

    /// What it says: one event, or more. `name` is the same as it was announced.
    ///
    /// # Errors
    /// 415 and 400 where it cannot be read or is not what the event's name promises.
    pub fn events(self, name: &str) -> Result<Vec<Event>, Refusal> {
        self.forge.read(name, &self.scanned?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Secret,
        forge::{GITHUB, Head},
    };

    const PUSH: &[u8] = br#"{"ref":"refs/heads/main","repository":{"name":"shop","full_name":"acme/shop"}}"#;

    fn key(secret: &str) -> Key {
        GITHUB.proof.key(&Secret::new(secret)).unwrap()
    }

    /// A push whose signature is made with this secret, begun.
    fn begun(signer: Option<&str>, daemon: Option<&Key>, form: bool, body: &[u8], payload: usize) -> Incoming {
        let kind: &[u8] = if form { b"application/x-www-form-urlencoded" } else { b"application/json" };
        let claim = signer.map(|signer| {
            let (_, proof) = GITHUB.proof.prove(&Secret::new(signer), Head::new(&|_| None), body).unwrap();
            GITHUB.proof.claim(Head::new(&|_| Some(proof.as_bytes()))).unwrap()
        });
        let media = super::super::body::media(Some(kind), None);
        Incoming::new(&GITHUB, Announced { event: Some("push"), media, claim, payload }, daemon)
    }

    /// Two secrets may prove a delivery, and whoever deploys asks which of them did.
    #[test]
    fn each_key_is_asked_by_itself() {
        for (signer, daemons, by_daemon, by_repo) in [
            (Some("daemon"), Some("daemon"), true, false),
            (Some("repo"), Some("daemon"), false, true),
            (Some("repo"), None, false, true),
            (Some("repo"), Some("repo"), true, true),
            (Some("another"), Some("daemon"), false, false),
            (None, Some("daemon"), false, false),
        ] {
            let daemons = daemons.map(key);
            let mut incoming = begun(signer, daemons.as_ref(), false, PUSH, 0);
            // The repository's is known only when its name has come: what came before is gone through again.
            let (before, after) = PUSH.split_at(70);
            let pieces = before.chunks(32);
            pieces.clone().for_each(|piece| incoming.feed(piece));
            incoming.check_too(&key("repo"), pieces);
            incoming.feed(after);
            let whole = incoming.whole();
            assert_eq!((whole.is_by_daemon(), whole.is_by_repo()), (by_daemon, by_repo), "{signer:?}");
        }
        let mut alone = begun(Some("repo"), None, false, PUSH, 0);
        alone.feed(PUSH);
        let whole = alone.whole();
        assert!(!whole.is_by_daemon() && !whole.is_by_repo(), "no key was given");
    }

    #[test]
    fn a_payload_is_kept_whole_or_not_at_all() {
        let form = [b"payload=", PUSH].concat();
        for (most, kept) in
            [(PUSH.len() + 1, true), (PUSH.len(), true), (PUSH.len() - 1, false), (9, false), (0, false)]
        {
            for size in [1, 7, PUSH.len(), form.len()] {
                for (is_form, body) in [(false, PUSH), (true, &form)] {
                    let mut incoming = begun(None, None, is_form, body, most);
                    body.chunks(size).for_each(|piece| incoming.feed(piece));
                    let payload = incoming.whole().take_payload();
                    let expected = kept.then_some(PUSH);
                    assert_eq!(payload.as_deref().map(str::as_bytes), expected, "{most} {size} {is_form}");
                }
            }
        }
    }

    #[test]
    fn what_has_arrived_whole_names_its_repository() {
        for (body, expected) in [
            (PUSH, Some("acme/shop")),
            (br#"{"ref":"refs/heads/main"}"#, None),
            (br#"{"repository":{"full_name":"acme/shop"}"#, None),
        ] {
            let mut incoming = begun(None, None, false, body, 0);
            incoming.feed(body);
            let named = incoming.whole().repository().and_then(|repo| repo.full_name);
            assert_eq!(named.as_deref(), expected, "{}", String::from_utf8_lossy(body));
        }
        let after = format!(r#"{{"after":"{}","#, "a".repeat(40));
        let mut incoming = begun(None, None, false, b"", 0);
        incoming.feed(after.as_bytes());
        incoming.feed(&PUSH[1..]);
        let events = incoming.whole().events("push").unwrap();
        assert!(matches!(&events[..], [Event::Push(push)] if push.git_ref == "refs/heads/main"), "{events:?}");
    }

    /// What the repository's own secret is looked up by, before anything is proven.
    #[test]
    fn the_repository_is_named_as_soon_as_it_has_arrived_whole() {
        let begin = || begun(None, None, false, b"", 0);
        let mut incoming = begin();
        let named = |incoming: &Incoming| match incoming.repository() {
            Naming::NotYet => "not yet".to_owned(),
            Naming::Never => "never".to_owned(),
            Naming::Named(repo) => repo.full_name.unwrap_or_default(),
        };
        incoming.feed(br#"{"ref":"refs/heads/main","repository":{"name":"shop","full_name":"acme/shop""#);
        assert_eq!(named(&incoming), "not yet");
        incoming.feed(b"}");
        assert_eq!(named(&incoming), "acme/shop");
        let mut nameless = begin();
        nameless.feed(br#"{"repository":{"name":7}"#);
        assert_eq!(named(&nameless), "never");
        // What is no JSON will not name one, however much may come.
        let mut broken = begin();
        broken.feed(br#"{"ref":x"#);
        assert_eq!(named(&broken), "never");
    }
}
