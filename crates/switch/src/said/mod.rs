//! What the user said: `switch:` of `repos.yaml`, and `x-turnout:` of the Compose file, at the top and in services
//! (docs/repos.md, "Under `switch`"). `repos.yaml` wins.

mod adapter;
mod analysis;
mod beyond;
mod fields;
pub mod keys;
mod measure;
pub mod parts;
mod read;
mod steps;
mod words;

pub use analysis::{Analysis, AnalysisSaid, Rules, TIMES};
pub(crate) use fields::shown_time;
pub use measure::{Asks, Bound, Measure, OnUnknown, PLACEHOLDERS, Within};
pub use words::*;
