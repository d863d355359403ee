//! What the user said: `switch:` of `repos.yaml`, and `x-turnout:` of the Compose file, at the top and in services
//! (docs of the switch, §1). `repos.yaml` wins.

mod adapter;
mod analysis;
mod beyond;
mod fields;
mod measure;
mod read;
mod steps;
mod words;

pub use analysis::{Analysis, AnalysisSaid, MOST_LOOKS, MOST_REQUESTS, MOST_TIMES, Rules, TIMES};
pub(crate) use fields::shown_time;
pub use measure::{Asks, Bound, Measure, OnUnknown, PLACEHOLDERS, Within};
pub use read::{KEYS, LATER, ROUTE_KEYS, SERVICE_KEYS};
pub use words::*;
