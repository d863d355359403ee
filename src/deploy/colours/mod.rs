//! Blue/green deployment: a repository with `switch` has two colours, of which one gets the requests. A deployment makes the
//! other one, asks it whether it is ready, and has the routes of turnout-proxy lead there.
//!
//! ```text
//! look     Compose file -> derived -> two projects: the colour, and what stays (databases)     reads only
//! plan     does anything change? which colour is next?                                         reads only
//! warm     images; what stays; the next colour but for what must not run twice; its gate
//! change   requests held where they must be; old workers end, new ones start
//! switch   the proxy's routes, all at once: from here on the next colour is the live one
//! bake     beside the lane: both run; then the old one is stopped and kept, or requests go back to it
//! ```
//!
//! Who is live is what the proxy's routes say ([`stands`]); what the store has is what was known last. After a crash nothing
//! is resumed in the middle: [`mend`](Deployer::mend) brings the live colour to what it should be, and the deployment begins
//! anew.

mod adopt;
mod analyse;
mod ask;
mod attend;
mod bake;
mod begun;
mod beside;
mod came;
mod canary;
pub(in crate::deploy) mod checks;
mod classes;
pub(in crate::deploy) mod facts;
mod fronts;
mod gate_waits;
mod gateways;
mod gating;
mod given_up;
mod judged;
mod kept;
mod kept_images;
mod kernel;
mod later;
mod lead;
mod led;
mod left_behind;
mod look;
mod looks;
mod made;
mod maintain;
mod meanwhile;
mod measured;
mod memory;
mod mend;
mod missing;
mod mistaken;
mod must_end;
mod obtained;
mod other;
mod own_proxy;
mod past;
mod plan;
mod ports;
mod preview;
mod reach;
mod reached;
mod reroute;
mod rerouted;
mod revert;
mod share;
mod shared;
mod snapshots;
mod stands;
mod start;
mod stays;
mod still;
mod stopped;
mod taken;
mod third;
mod tree;
mod tried;
mod turn;
mod unswitch;
mod unswitch_acts;
mod unswitch_ends;
mod unswitched;
mod way;
mod way_out;
mod whole;
mod with;

pub use ask::Asked;
pub use attend::Ready;
pub(super) use came::{Broke, Moved, Planned};
pub use given_up::further_back;
pub use judged::{Counted, counted_of};
pub use kept::until as kept_until;
pub use look::{Looked, Looking, look, not_there_yet};
pub use made::{Made, Promotion};
pub use measured::Shown as ShownMeasure;
pub use obtained::refused;
pub use own_proxy::Glance;
pub use past::Begun;
pub use preview::derive;
pub(super) use rerouted::Rerouted;
pub use share::Share;
pub use stands::Stands;
pub use still::{Still, still};
pub use stopped::Stopped;
pub use taken::taken;
pub use third::third;
pub use tried::{Untried, tried};
pub(super) use unswitch::{Unplanned, Unswitch};
pub use way::another;
pub(super) use way::{Way, awaits};
