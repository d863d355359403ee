//! Whether all is there of a colour that is to be brought back: it is started again as it was made, and nothing of it is made anew.
//! Pure.

use super::made::Made;
use crate::{deploy::Failure, engine::ContainerStatus, git, report::counted, store::ColourRecord};

/// Whether each of its services has all its containers.
///
/// # Errors
/// One was removed. Nothing has changed then; `bakes`: both colours run, so that whoever makes it anew has to end that first.
pub(super) fn refuse(
    colour: &ColourRecord,
    made: &Made,
    there: &[ContainerStatus],
    bakes: bool,
) -> Result<(), Failure> {
    let missing = missing(made, there);
    if missing.is_empty() {
        return Ok(());
    }
    let ColourRecord { repo, project, commit, .. } = colour;
    let anew = match (commit.as_deref().map(git::short), bakes) {
        (Some(commit), true) => format!("`turnout deploy {repo} --commit {commit} --now`"),
        (Some(commit), false) => format!("`turnout deploy {repo} --commit {commit}`"),
        (None, true) => format!("`turnout deploy {repo} --previous --now`"),
        (None, false) => format!("`turnout deploy {repo} --previous`"),
    };
    let first = if bakes { ", after the bake, which it ends as good" } else { "" };
    let were = if missing.len() == 1 { "was" } else { "were" };
    let summary = format!("{project} cannot be brought back as it was: {} {were} removed", missing.join(" and "));
    Err(Failure::new(summary)
        .hint(format!("nothing was changed, and what is live stays live; {anew} makes that commit anew{first}")))
}

/// The containers of services that are not there, in words. How many there were is known of those that requests go to.
fn missing(made: &Made, there: &[ContainerStatus]) -> Vec<String> {
    let of = |service: &String| {
        let found = there.iter().filter(|one| one.service == *service && !one.oneoff).count();
        let routes = made.routes.iter().filter(|route| route.service == *service);
        let wanted = routes.map(|route| route.targets.len()).max().unwrap_or_default().max(1);
        match found {
            found if found >= wanted => None,
            0 => Some(format!("the container of {service}")),
            _ => Some(format!("{} of {service}, of {wanted},", counted(wanted - found, "container"))),
        }
    };
    made.not_jobs().iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        deploy::colours::made::{MadeService, tests::shop},
        store::ColourStanding,
    };

    fn container(service: &str) -> ContainerStatus {
        ContainerStatus {
            id: String::new(),
            name: String::new(),
            service: service.to_owned(),
            number: Some(1),
            oneoff: false,
            image: String::new(),
            state: "exited".to_owned(),
            health: None,
            exit_code: Some(0),
            status: String::new(),
            ports: Vec::new(),
            created: 0,
            needs: Vec::new(),
        }
    }

    #[test]
    fn what_was_removed_is_named_with_what_to_do() {
        let service = |name: &str, job| MadeService {
            name: name.to_owned(),
            restart: String::new(),
            alone: false,
            held: false,
            job,
            patience: None,
        };
        let routed = shop();
        let mut route = routed.routes.first().cloned().unwrap();
        route.service = "web".to_owned();
        route.targets = ["127.0.0.1:20000", "127.0.0.1:20001"].map(|at| at.parse().unwrap()).to_vec();
        let services = vec![service("web", false), service("worker", false), service("migrate", true)];
        let made = Made { services, routes: vec![route], ..Made::default() };
        let colour = ColourRecord {
            repo: "shop".to_owned(),
            colour: "red".to_owned(),
            project: "redshop".to_owned(),
            standing: ColourStanding::Kept,
            generation: 1,
            deployment: None,
            commit: Some("0123456789abcdef".to_owned()),
            since: 0,
            made: String::new(),
        };
        let said = |there: &[&str], bakes| {
            let there: Vec<_> = there.iter().map(|service| container(service)).collect();
            refuse(&colour, &made, &there, bakes)
                .err()
                .map(|failure| (failure.summary, failure.hint.unwrap_or_default()))
        };
        // A job's container is not started again.
        assert_eq!(said(&["web", "web", "worker"], false), None);
        let (summary, hint) = said(&["web"], false).unwrap();
        assert_eq!(
            summary,
            "redshop cannot be brought back as it was: 1 container of web, of 2, and the container of worker were removed"
        );
        assert!(hint.contains("`turnout deploy shop --commit 0123456` makes"), "{hint}");
        let (_, hint) = said(&["web", "web"], true).unwrap();
        assert!(hint.contains("`turnout deploy shop --commit 0123456 --now` makes"), "{hint}");
    }
}
