//! The size of one service in entries: list items and keys, as the engine will get them for each container.

use std::io;

use serde::Serialize;
use serde_json::{Serializer, ser::Formatter};

use super::Service;

impl Service {
    /// Items of lists and keys of mappings at every depth, variables of env files and each port of a range counted. So
    /// much is sent to the engine for each of its containers, and held there.
    pub fn entries(&self) -> usize {
        let mut counted = Counting(0);
        let mut sink = Serializer::with_formatter(io::sink(), &mut counted);
        // Nothing is written, and the model has nothing that JSON lacks; what cannot be told is too much.
        if self.serialize(&mut sink).is_err() {
            return usize::MAX;
        }
        let exposed: usize = self.expose.iter().map(|written| exposed_ports(written) - 1).sum();
        let of_steps: usize = self.pre_start.iter().map(|step| step.environment.len()).sum();
        counted.0.saturating_add(exposed).saturating_add(of_steps)
    }
}

/// Ports of an entry of `expose`; one for what is no range.
pub(crate) fn exposed_ports(written: &str) -> usize {
    let (ports, _) = written.split_once('/').unwrap_or((written, ""));
    let ends =
        ports.split_once('-').and_then(|(first, last)| Some((first.parse::<u16>().ok()?, last.parse::<u16>().ok()?)));
    ends.map_or(1, |(first, last)| usize::from(last.saturating_sub(first)) + 1)
}

/// Counts what JSON would have.
struct Counting(usize);

impl Formatter for &mut Counting {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, _: &mut W, _: bool) -> io::Result<()> {
        self.0 = self.0.saturating_add(1);
        Ok(())
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, _: &mut W, _: bool) -> io::Result<()> {
        self.0 = self.0.saturating_add(1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_mappings_count_at_every_depth() {
        let entries = |json: &str| serde_json::from_str::<Service>(json).unwrap().entries();
        // The command and the entry point are always said.
        assert_eq!(entries("{}"), 2);
        assert_eq!(entries(r#"{"image":"a,b"}"#), 3);
        assert_eq!(entries(r#"{"command":["a","b"]}"#), 4);
        assert_eq!(entries(r#"{"environment":{"A":"1","B":null}}"#), 5);
        assert_eq!(entries(r#"{"networks":{"n":{"aliases":["x","y"]},"m":null}}"#), 8);
        assert_eq!(entries(r#"{"expose":["80","1-100/udp"]}"#), 104);
        assert_eq!(entries(r#"{"expose":["9-8"]}"#), 4);
    }
}
