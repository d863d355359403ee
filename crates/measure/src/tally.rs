//! What was said so far of one measure. Pure.

use crate::Measured;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often it was asked.
    pub asked: u64,
    /// How often the answer was good.
    pub good: u64,
    /// How often it was not known.
    pub not_known: u64,
    /// Bad ones in a row. One that says nothing in between is neither here nor there.
    pub bad: u64,
    /// Those in a row that said nothing.
    pub unknown: u64,
    /// The last one.
    pub last: Option<Measured>,
}

/// What is certain by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certain {
    /// It does badly: what was said last.
    Bad(String),
    /// Nothing can be learned: why, the last time.
    Unknown(String),
}

impl Tally {
    /// Takes an answer in. Answers what is certain with it: `looks` bad ones in a row, or `unknowns` that said nothing.
    pub fn take(&mut self, measured: Measured, looks: u64, unknowns: u64) -> Option<Certain> {
        self.asked = self.asked.saturating_add(1);
        let certain = match &measured {
            Measured::Good(_) => {
                (self.bad, self.unknown) = (0, 0);
                self.good = self.good.saturating_add(1);
                None
            }
            Measured::Bad(said) => {
                (self.bad, self.unknown) = (self.bad.saturating_add(1), 0);
                (self.bad >= looks.max(1)).then(|| Certain::Bad(said.clone()))
            }
            Measured::Unknown(said) => {
                self.unknown = self.unknown.saturating_add(1);
                self.not_known = self.not_known.saturating_add(1);
                (self.unknown >= unknowns.max(1)).then(|| Certain::Unknown(said.clone()))
            }
        };
        self.last = Some(measured);
        certain
    }

    /// In words: `good in 4 of 4`.
    pub fn words(&self) -> String {
        let Tally { asked, good, not_known, .. } = self;
        let unknown = if *not_known > 0 { format!(", not known in {not_known}") } else { String::new() };
        match asked {
            0 => "not asked yet".to_owned(),
            _ => format!("good in {good} of {asked}{unknown}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_a_row_are_certain() {
        let good = || Measured::Good("1".to_owned());
        let bad = || Measured::Bad("2".to_owned());
        let none = || Measured::Unknown("3".to_owned());
        let is_bad = Some(Certain::Bad("2".to_owned()));
        let is_unknown = Some(Certain::Unknown("3".to_owned()));
        for (said, expected) in [
            (vec![bad()], None),
            (vec![bad(), bad()], is_bad.clone()),
            (vec![bad(), good(), bad()], None),
            // A monitor that answers every second time hides nothing.
            (vec![bad(), none(), bad()], is_bad.clone()),
            (vec![none(), none()], None),
            (vec![none(), none(), none()], is_unknown.clone()),
            (vec![none(), none(), bad(), none()], None),
            (vec![none(), none(), good(), none()], None),
            (vec![bad(), none(), none(), none()], is_unknown),
        ] {
            let mut tally = Tally::default();
            let found = said.iter().cloned().fold(None, |_, one| tally.take(one, 2, 3));
            assert_eq!(found, expected, "{said:?}");
        }
        let mut tally = Tally::default();
        assert_eq!(tally.words(), "not asked yet");
        [good(), none(), bad()].into_iter().for_each(|one| drop(tally.take(one, 2, 3)));
        assert_eq!(tally.words(), "good in 1 of 3, not known in 1");
    }
}
