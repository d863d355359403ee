//! Asks how a colour does, and counts what was said. What follows from that is decided elsewhere.

mod command;
mod http;
mod page;
mod prometheus;
mod tally;
#[cfg(test)]
mod testing;

pub use command::Command;
pub use page::Page;
pub use prometheus::{Number, Prometheus};
pub use tally::{Certain, Tally};

/// What one question came to, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measured {
    /// It does well.
    Good(String),
    /// It does badly.
    Bad(String),
    /// Nothing was said of it.
    Unknown(String),
}

impl Measured {
    /// `good`, `bad`, or `not known`.
    pub fn word(&self) -> &'static str {
        match self {
            Measured::Good(_) => "good",
            Measured::Bad(_) => "bad",
            Measured::Unknown(_) => "not known",
        }
    }

    /// What was said.
    pub fn said(&self) -> &str {
        let (Measured::Good(said) | Measured::Bad(said) | Measured::Unknown(said)) = self;
        said
    }

    /// The same with what was said otherwise: without secrets.
    #[must_use]
    pub fn but(&self, said: String) -> Measured {
        match self {
            Measured::Good(_) => Measured::Good(said),
            Measured::Bad(_) => Measured::Bad(said),
            Measured::Unknown(_) => Measured::Unknown(said),
        }
    }
}

/// The most that is quoted of what others say, in characters.
const QUOTED: usize = 300;

/// What others say, in one line that is no longer than anybody reads.
fn quoted(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut said: String = line.chars().filter(|c| !c.is_control()).take(QUOTED).collect();
    if said.len() < line.len() && said.chars().count() >= QUOTED {
        said.push('…');
    }
    said
}
