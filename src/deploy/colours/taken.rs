//! Ports of the live colour at which somebody else listens. A port of the loopback interface is a container's own as long as that
//! runs; afterwards whoever takes it gets its requests, and its container cannot be started again there.

use std::{net::SocketAddr, time::Duration};

use tokio::{net::TcpStream, time::timeout};

use super::{stands::Stands, still::Still};

/// How long a port of this machine may take to say whether anybody listens.
const ANSWERS: Duration = Duration::from_millis(200);

/// Says of each service that stands still who else listens where its containers did.
pub async fn taken(stands: &Stands, mut seen: Vec<Still>) -> Vec<Still> {
    let Ok(Some((_, made))) = stands.live_made() else { return seen };
    for one in seen.iter_mut().filter(|one| !one.stays) {
        let own = made.routes.iter().filter(|route| route.service == one.service);
        let mut others: Vec<SocketAddr> = Vec::new();
        for target in own.flat_map(|route| &route.targets) {
            if !others.contains(target) && listens(*target).await {
                others.push(*target);
            }
        }
        if !others.is_empty() {
            let others = others.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ");
            one.said.push_str(&format!(
                ", and somebody else listens on {others} and gets its requests (`ss -ltnp` says who)"
            ));
        }
    }
    seen
}

async fn listens(target: SocketAddr) -> bool {
    timeout(ANSWERS, TcpStream::connect(target)).await.is_ok_and(|connected| connected.is_ok())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::{super::made::tests::shop, *};
    use crate::store::{ColourRecord, ColourStanding};

    #[tokio::test]
    async fn whoever_has_the_port_of_a_container_that_does_not_run_is_told_of() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let mut made = shop();
        let service = made.routes[0].service.clone();
        made.routes.truncate(1);
        made.routes[0].targets = vec![at];
        let live = ColourRecord {
            repo: "shop".to_owned(),
            colour: "red".to_owned(),
            project: "redshop".to_owned(),
            standing: ColourStanding::Live,
            generation: 1,
            deployment: None,
            commit: None,
            since: 0,
            made: made.to_text(),
        };
        let stands = Stands { all: vec![live], switch: None };
        let still = |service: &str, stays| Still {
            service: service.to_owned(),
            stays,
            said: format!("{service} has no container"),
        };
        let seen = vec![still(&service, false), still(&service, true), still("worker", false)];
        let said: Vec<String> = taken(&stands, seen.clone()).await.into_iter().map(|one| one.said).collect();
        let others = format!("somebody else listens on {at} and gets its requests");
        assert!(said[0].contains(&others), "{said:?}");
        assert_eq!((&said[1], &said[2]), (&seen[1].said, &seen[2].said));
        drop(listener);
        assert_eq!(taken(&stands, seen.clone()).await, seen);
    }
}
