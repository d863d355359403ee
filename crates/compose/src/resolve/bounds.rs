//! Refuses projects with too many services or exposed ports. What comes after the typing goes through all of them more
//! than once.

use super::places::Places;
use crate::{
    canonical::MAX_PORTS,
    error::LoadError,
    model::{Project, entries::exposed_ports},
};

/// Services of a project, those of inactive profiles counted. Large ones have some hundred.
const MAX_SERVICES: usize = 10_000;

/// Refuses what is too much.
///
/// # Errors
/// With the service, its place and the bound.
pub(super) fn check(project: &Project, places: &Places<'_>) -> Result<(), LoadError> {
    let mut exposed = 0_usize;
    for (number, (name, service)) in project.services.iter().chain(&project.disabled_services).enumerate() {
        if number >= MAX_SERVICES {
            let message = format!("the project has more than {MAX_SERVICES} services");
            return Err(places.error(&["services", name], message).hint("make several projects of it"));
        }
        for (index, written) in service.expose.iter().enumerate() {
            exposed = exposed.saturating_add(exposed_ports(written));
            if exposed > MAX_PORTS {
                let message = format!("the ports that the project's services expose come to more than {MAX_PORTS}");
                let path = ["services", name, "expose", &format!("[{index}]")];
                return Err(places.error(&path, message).hint("expose smaller ranges"));
            }
        }
    }
    Ok(())
}
