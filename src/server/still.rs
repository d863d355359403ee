//! What of the live colour ought to take requests and does not run: whoever asks how things stand is told, since the proxy only says
//! where it leads.

use std::collections::BTreeSet;

use crate::engine::ContainerStatus;

/// For each service that requests go to and of which no container runs: what there is of it, in words.
pub(super) fn still(routed: &BTreeSet<&str>, there: &[ContainerStatus]) -> Vec<String> {
    let of = |service: &str| there.iter().filter(|one| one.service == service && !one.oneoff).collect::<Vec<_>>();
    let said = |service: &&str| {
        let all = of(service);
        match all.first() {
            None => Some(format!("{service} has no container")),
            Some(_) if all.iter().any(|one| one.state == "running") => None,
            Some(one) => Some(format!("{} is {}", one.name, one.state)),
        }
    };
    routed.iter().filter_map(said).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(service: &str, state: &str, oneoff: bool) -> ContainerStatus {
        ContainerStatus {
            id: String::new(),
            name: format!("redshop-{service}-1"),
            service: service.to_owned(),
            number: Some(1),
            oneoff,
            image: String::new(),
            state: state.to_owned(),
            health: None,
            exit_code: None,
            status: String::new(),
            ports: Vec::new(),
            created: 0,
        }
    }

    #[test]
    fn what_takes_requests_and_does_not_run_is_named() {
        let routed = BTreeSet::from(["api", "web"]);
        let web = |state| vec![container("web", state, false), container("api", "running", false)];
        assert_eq!(still(&routed, &web("running")), Vec::<String>::new());
        assert_eq!(still(&routed, &web("exited")), ["redshop-web-1 is exited"]);
        assert_eq!(
            still(&routed, &[container("web", "running", true)]),
            ["api has no container", "web has no container"]
        );
        // One of two is enough to be answered.
        let two = [container("web", "exited", false), container("web", "running", false)];
        assert_eq!(still(&BTreeSet::from(["web"]), &two), Vec::<String>::new());
        assert_eq!(still(&BTreeSet::new(), &[container("worker", "exited", false)]), Vec::<String>::new());
    }
}
