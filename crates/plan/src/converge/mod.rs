//! `up`: which steps bring what is there to what the project says.
//!
//! The order of phases is Compose's: images, networks and volumes, containers (dependencies first), starts. Within it all
//! that can be created is, before anything is stopped ([`super::order`]). What can only be known while executing (does a
//! build yield a new image?) becomes a [`super::Condition`].

mod bound;
mod containers;
mod draft;
mod idle;
mod images;
mod judge;
mod members;
mod names;
mod overlap;
mod pre_start;
mod resources;
mod select;
mod sharing;
mod starts;
mod stops;
mod swaps;
mod trial;

use super::{Intent, Observed, Plan, PlanError};
pub(super) use draft::{Draft, any_of};
pub use idle::may_end;
pub(super) use pre_start::{actions as pre_start_actions, cause as step_left, removal as step_removal};
pub use select::dependencies;
pub(super) use select::in_dependency_order;
pub use sharing::namespace_owners;
pub(super) use sharing::shares;
pub(super) use turnout_compose::labels::final_name;
use turnout_compose::model::Project;

/// Plans `up` for the services of `intent` and what they depend on.
///
/// Pure: the same three values give the same plan. Two plans in a row, the first executed, give an empty second one,
/// except for pulls that a policy repeats and for jobs that `intent` wants to run again.
///
/// # Errors
/// When the project cannot be brought up at all; nothing has been touched then.
pub fn converge(project: &Project, observed: &Observed, intent: &Intent) -> Result<Plan, PlanError> {
    let services = select::services(project, intent)?;
    let mut draft = Draft::new(project, observed, intent, services);
    select::warn_of_idle_wishes(&mut draft);
    resources::require_externals(&draft)?;
    images::plan(&mut draft)?;
    resources::plan(&mut draft)?;
    containers::orphans(&mut draft);
    containers::plan(&mut draft)?;
    pre_start::leftovers(&mut draft);
    names::settle(&mut draft);
    bound::settle(&mut draft);
    if !intent.no_start {
        starts::plan(&mut draft)?;
    }
    resources::idle_networks(&mut draft);
    starts::unchanged(&mut draft);
    Ok(draft.finish())
}
