//! Why a delivery is not taken, as an HTTP status and a sentence.

/// A delivery that is not taken. The sentence goes to the sender, so it tells nothing about this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {message}")]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// What the sender is told.
    pub message: String,
}

impl Refusal {
    /// The status of [`Refusal::unproven`]; a forge may want another one to be sent for it.
    pub const UNPROVEN: u16 = 401;

    /// 400: the body or a header cannot be read.
    pub fn malformed(message: impl Into<String>) -> Refusal {
        Refusal { status: 400, message: message.into() }
    }

    /// 401: the proof is missing or wrong.
    pub fn unproven(message: impl Into<String>) -> Refusal {
        Refusal { status: Refusal::UNPROVEN, message: message.into() }
    }

    /// 415: a media type, character set or encoding that is not read.
    pub fn unsupported(message: impl Into<String>) -> Refusal {
        Refusal { status: 415, message: message.into() }
    }
}
