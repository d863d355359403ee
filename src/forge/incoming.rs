//! A body while it arrives: hashed, and looked through for the few values that count, piece by piece. Nothing of it is
//! kept, so that neither its size nor the number of slow senders is a matter of memory.
//!
//! What it says is told only by [`Whole`], which knows first whose signature it has. Before that only the repository's
//! name can be asked for ([`Incoming::repository`]): it says whose secret is to be tried.

use sha2::{Digest as _, Sha256};

use super::{
    Forge, PushedRepo, Refusal, SigningKey,
    body::{Form, Media},
    event::Event,
    json::{Fault, Scanned, Scanner},
    signature::{Check, Claimed},
};

/// See the module.
#[derive(Debug)]
pub struct Incoming {
    forge: Forge,
    digest: Sha256,
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
}

/// The repository that an unproven body names.
#[derive(Debug, PartialEq, Eq)]
pub enum Naming {
    /// It may still come.
    NotYet,
    /// This one.
    Named(PushedRepo),
    /// None that can be read.
    Never,
}

/// A body of which all has arrived.
#[derive(Debug)]
pub struct Whole {
    /// SHA-256 of the body; by it a delivery sent twice is recognised although its unsigned id differs.
    pub digest: [u8; 32],
    forge: Forge,
    by_daemon: Option<Check>,
    by_repo: Option<Check>,
    scanned: Result<Scanned, Refusal>,
}

impl Incoming {
    /// Begins. `key` is the daemon's, where it has one.
    pub fn new(forge: Forge, media: Result<Media, Refusal>, key: Option<&SigningKey>) -> Incoming {
        let reader = media.map(|media| Format {
            form: (media == Media::Form).then(Form::default),
            decoded: Vec::new(),
            scanner: Scanner::new(forge.wanted()),
        });
        Incoming { forge, digest: Sha256::new(), by_daemon: key.map(SigningKey::begin), by_repo: None, reader }
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
        match self.forge.named(reader.scanner.so_far()) {
            Some(named) => named.map_or(Naming::Never, Naming::Named),
            None if reader.scanner.is_broken() => Naming::Never,
            None => Naming::NotYet,
        }
    }

    /// From now on the signature is computed with this key too. `before` are the pieces that have arrived already.
    pub fn check_too<'b>(&mut self, key: &SigningKey, before: impl Iterator<Item = &'b [u8]>) {
        let mut check = key.begin();
        before.for_each(|piece| check.feed(piece));
        self.by_repo = Some(check);
    }

    /// All has arrived.
    pub fn whole(self) -> Whole {
        let Incoming { forge, digest, by_daemon, by_repo, reader } = self;
        let scanned = reader.and_then(Format::finish);
        Whole { digest: digest.finalize().into(), forge, by_daemon, by_repo, scanned }
    }
}

impl Format {
    fn feed(&mut self, bytes: &[u8]) {
        match &mut self.form {
            None => self.scanner.feed(bytes),
            Some(form) => {
                self.decoded.clear();
                form.feed(bytes, &mut self.decoded);
                self.scanner.feed(&self.decoded);
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

impl Whole {
    /// Whether the daemon's key made this signature.
    pub fn is_by_daemon(&self, claimed: &Claimed) -> bool {
        self.by_daemon.clone().is_some_and(|check| check.is(claimed))
    }

    /// Whether the repository's own key made this signature.
    pub fn is_by_repo(&self, claimed: &Claimed) -> bool {
        self.by_repo.clone().is_some_and(|check| check.is(claimed))
    }

    /// The repository that it names, whatever event it is.
    pub fn repository(&self) -> Option<PushedRepo> {
        self.scanned.as_ref().ok().and_then(|scanned| self.forge.named(&scanned.found).flatten())
    }

    /// What it says.
    ///
    /// # Errors
    /// 415 and 400 where it cannot be read or is not what the event's name promises.
    pub fn event(self, name: &str) -> Result<Event, Refusal> {
        self.forge.read(name, &self.scanned?)
    }
}
