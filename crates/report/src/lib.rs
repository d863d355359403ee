//! What a deployment tells the outside while it runs, and how secrets are kept out of it. Pure.
//!
//! Every folder that does work takes a [`Reporter`] and speaks [`Event`]s. Where events go (terminal, database,
//! log file) is decided far above, and every sink redacts first.

mod causes;
pub mod cut_texts;
mod event;
mod mask;
mod mistake;
mod nearest;
mod needles;
mod number;
pub mod redact;
mod registered;
mod secret_name;
mod shapes;
pub mod table;
pub mod units;
mod views;

pub use causes::with_sources;
pub use event::{Event, Notes, Outcome, Reporter, Silent, StepRef};
pub use mistake::{MISTAKES, Mistake, Mistakes};
pub use nearest::nearest;
pub use number::counted;
pub use secret_name::is_secret_name;
