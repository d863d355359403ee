//! What the user said: `switch:` of `repos.yaml`, and `x-turnout:` of the Compose file, at the top and in services
//! (docs of the switch, §1). `repos.yaml` wins.

mod adapter;
mod beyond;
mod fields;
mod read;
mod steps;
mod words;

pub use read::{KEYS, LATER, SERVICE_KEYS};
pub use words::*;
