//! The steps of a canary, as they were decided when a colour was made. Kept with [`Made`](super::made::Made), as JSON. Pure.

use serde::{Deserialize, Serialize};

use crate::{
    rollout::Millis,
    switch::{Derived, said::StickySaid},
    traffic::beyond::Sticky,
};

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// In their order; none: requests move all at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// A client stays with its colour by its address, and not by a cookie.
    #[serde(default)]
    pub by_address: bool,
}

/// A share of the requests, for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// How many of a hundred clients, from 1 to 99.
    pub percent: u64,
    /// How long, in milliseconds. `None`: until somebody promotes it.
    #[serde(default)]
    pub lasts: Option<Millis>,
}

impl Canary {
    /// From what was derived.
    pub fn of(derived: &Derived) -> Canary {
        let steps = derived.canary.steps.iter().flat_map(|steps| &steps.value).map(|step| Step {
            percent: u64::from(step.weight),
            lasts: step.lasts.map(|lasts| Millis::try_from(lasts.as_std().as_millis()).unwrap_or(Millis::MAX)),
        });
        Canary { steps: steps.collect(), by_address: derived.canary.sticky.value == StickySaid::Address }
    }

    /// The step of that number, from 1.
    pub fn step(&self, number: u32) -> Option<Step> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        self.steps.get(at).copied()
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }

    /// In the words of turnout-proxy.
    pub fn sticky(&self) -> Sticky {
        if self.by_address { Sticky::Address } else { Sticky::Cookie }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_from_one_and_kept() {
        let steps = vec![Step { percent: 5, lasts: Some(2_000) }, Step { percent: 50, lasts: None }];
        let canary = Canary { steps, by_address: false };
        let percent = |number| canary.step(number).map(|step| step.percent);
        assert_eq!([0, 1, 2, 3].map(percent), [None, Some(5), Some(50), None]);
        assert_eq!((canary.count(), canary.sticky()), (2, Sticky::Cookie));
        let text = serde_json::to_string(&canary).unwrap();
        assert_eq!(serde_json::from_str::<Canary>(&text).unwrap(), canary);
        // Of an earlier turnout.
        assert_eq!(serde_json::from_str::<Canary>("{}").unwrap(), Canary::default());
    }
}
