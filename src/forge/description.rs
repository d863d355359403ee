//! A forge as a description: what tells it from others, and of code only what reads its bodies.

use super::{
    event::{Event, PushedRepo, shown},
    fields::Fields,
    json_found,
    proof::Proof,
    refusal::Refusal,
};

/// Who sends deliveries, as a description.
#[derive(Debug)]
pub struct Forge {
    /// A word for records and addresses.
    pub name: &'static str,
    /// What proves a delivery.
    pub proof: Proof,
    /// The header with the event's name.
    pub event_header: &'static str,
    /// Headers with the delivery's identity, the best first. It is not signed.
    pub delivery_headers: &'static [&'static str],
    /// What it wants to be answered.
    pub statuses: Statuses,
    /// How its bodies name their repository, whatever the event.
    pub repository: Repository,
    /// The events that are understood. Any other is named, and remembered.
    pub kinds: &'static [Kind],
}

/// HTTP statuses for what forges treat differently: some count what is no 2xx as a failure, and switch the webhook off after
/// a few; some show 403 and not 401 as a wrong secret. What concerns the transfer alone (408, 413, 415, 503, 507) is HTTP's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statuses {
    /// A deployment was queued, or what was pushed waits.
    pub accepted: u16,
    /// Understood; nothing to do.
    pub ignored: u16,
    /// The proof is missing or wrong.
    pub unproven: u16,
}

/// How a body names its repository. Read before the proof, where repositories have secrets of their own: to find the secret.
#[derive(Debug)]
pub struct Repository {
    /// The object that all of it stands in; it has all arrived when that is closed.
    pub within: json_found::Path,
    /// The places that are looked at besides.
    pub wanted: &'static [json_found::Path],
    /// Reads it. 400 where none is named.
    pub read: fn(&Fields<'_>) -> Result<PushedRepo, Refusal>,
}

/// Events of one kind.
#[derive(Debug)]
pub struct Kind {
    /// Its names in [`Forge::event_header`].
    pub names: &'static [&'static str],
    /// The places in a body that are looked at, besides the repository's.
    pub wanted: &'static [json_found::Path],
    /// Reads a proven body. None at all: it is one of those that are only named. 400 where it is not what the event's name
    /// promises and that matters, because something would be deployed by it.
    pub read: fn(&Repository, &Fields<'_>) -> Result<Vec<Event>, Refusal>,
}

impl Forge {
    /// The kind that an event of this name is of.
    fn kind(&self, event: &str) -> Option<&'static Kind> {
        self.kinds.iter().find(|kind| kind.names.contains(&event))
    }

    /// The places in a body that are looked at, given the event's name as the head has it.
    pub(super) fn wanted(&self, event: Option<&str>) -> Vec<json_found::Path> {
        let of_kind = event.and_then(|event| self.kind(event)).map_or(&[][..], |kind| kind.wanted);
        let Repository { within, wanted, read: _ } = &self.repository;
        std::iter::once(within).chain(*wanted).chain(of_kind).copied().collect()
    }

    /// The repository that a body names. `None` where it has not all arrived, `Some(None)` where it cannot be read.
    pub(super) fn named(&self, fields: &Fields<'_>) -> Option<Option<PushedRepo>> {
        fields.is_complete(self.repository.within).then(|| (self.repository.read)(fields).ok())
    }

    /// Reads what was found in a proven body: one event or more.
    pub(super) fn read(&self, event: &str, scanned: &json_found::Scanned) -> Result<Vec<Event>, Refusal> {
        if !scanned.object {
            return Err(Refusal::malformed("the JSON is no object"));
        }
        let fields = Fields::of(scanned);
        let mut events = match self.kind(event) {
            Some(kind) => (kind.read)(&self.repository, &fields)?,
            None => Vec::new(),
        };
        if events.is_empty() {
            let repo = (self.repository.read)(&fields).ok();
            events.push(Event::Other { name: shown(event), repo });
        }
        Ok(events)
    }
}
