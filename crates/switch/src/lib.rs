//! What blue/green deployment makes of a Compose project, as data with reasons: pure, from a typed project, facts that
//! the caller has looked up, and what the user said. The rules in their order: ADR 23.

mod analysis;
mod beyond;
mod clash;
pub mod class;
mod classify;
mod derive;
pub mod derived;
pub mod dress;
mod explain;
pub mod facts;
mod found;
mod gate;
mod hosts;
pub mod in_place;
mod jobs;
mod known;
mod links;
mod measures;
mod pace;
pub mod protocol;
mod redirect;
pub mod refusal;
mod refuse;
mod routes;
pub mod said;
pub mod snapshot;
pub mod stage;
mod steps;
pub mod storage;
mod units;
mod view;

pub use analysis::not_kept as analysis_not_kept;
pub use beyond::not_kept;
pub use clash::clashes;
pub use class::{Class, Reason, Source};
pub use derive::derive;
pub use derived::Derived;
pub use explain::explain;
pub use facts::{Facts, FileFacts, FileKind, ImageFacts, Keeps, ReadFrom};
pub use known::{Why, not_http};
pub use measures::not_kept as measures_not_kept;
pub use refusal::Refusal;
pub use said::Said;
pub use storage::Storage;
pub use turnout_report::{Mistake, Mistakes};
