//! What a front that keeps its ports needs before anybody is led through it: networks whose gateways are known, and a way to them.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use tokio::{
    io::AsyncWriteExt as _,
    net::TcpListener,
    time::{sleep, timeout},
};

use super::{
    super::{Deployer, Failure, Prepared, of::Of},
    came::Broke,
    checks::Checks,
    way::{How, Way},
};
use crate::{
    engine::{Engine, EngineError},
    plan::{self, Action},
    report::Reporter as _,
    switch::derived::Listen,
};

/// How long a front may take to reach the host.
const REACHES: Duration = Duration::from_secs(6);
/// How long a connection may take to be seen here that was made there.
const SEEN: Duration = Duration::from_millis(300);

impl Deployer {
    /// Makes the networks whose gateways are to be known before anything else can be said. Answers whether any was made.
    pub(super) async fn make_gateways(&self, of: Of<'_>, way: &Way) -> Result<(), Broke> {
        let How::Made(making) = &way.how else { return Ok(()) };
        if !making.looked.gateways.lack() {
            return Ok(());
        }
        let is_network = |action: &Action| matches!(action, Action::CreateNetwork { .. });
        let networks = Prepared { plan: plan::only(&making.stays.plan, is_network), ..making.stays.clone() };
        self.carry_out(of, &networks, &Checks::default()).await.map(drop)
    }

    /// Whether fronts that keep their ports reach turnout-proxy: a firewall may bar it, which would be noticed when requests come.
    /// Where it listens already they do.
    ///
    /// # Errors
    /// One does not.
    pub(super) async fn fronts_reach(&self, of: Of<'_>, way: &Way, engine: &Engine) -> Result<(), Broke> {
        let How::Made(making) = &way.how else { return Ok(()) };
        if !making.looked.derived.routes.iter().any(|route| matches!(route.listen, Listen::Gateway { .. })) {
            return Ok(());
        }
        let before = way.live.iter().flat_map(|(_, live)| &live.routes).flat_map(|route| &route.listen);
        let before: BTreeSet<SocketAddr> = before.copied().collect();
        let running = engine.containers(&of.repo.project, false).await?;
        for route in &making.looked.derived.routes {
            let Listen::Gateway { front, network, port } = &route.listen else { continue };
            let Some((listen, subnet)) = making.looked.gateways.listens(network, *port) else {
                return Err(
                    Failure::new(format!("the network {network} of {front} was made, and has no gateway")).into()
                );
            };
            let container = running.iter().find(|one| one.service == *front && !one.oneoff);
            let Some(container) = container.filter(|_| !before.contains(&listen)) else { continue };
            match reaches(engine, &container.id, listen).await? {
                Some(true) => {}
                Some(false) => {
                    return Err(Failure::new(format!(
                        "{front} does not reach this machine at {listen}, where turnout-proxy would take its requests: rules of a \
                         firewall (INPUT) may bar it"
                    ))
                    .hint(format!(
                        "what was live before stays live; allow it (iptables -I INPUT -p tcp -s {subnet} --dport {port} -j ACCEPT; with ufw: \
                         ufw allow proto tcp from {subnet} to any port {port}), and deploy again"
                    ))
                    .into());
                }
                None => of.recorder.warn(format!(
                    "whether {front} reaches turnout-proxy at {listen} could not be tried: there is nothing in it that connects"
                )),
            }
        }
        Ok(())
    }
}

/// Whether a container gets to an address of this machine; `None`: that could not be tried.
async fn reaches(engine: &Engine, container: &str, at: SocketAddr) -> Result<Option<bool>, Failure> {
    // A port below 1024 may be none that the daemon may have, and another program's one can be asked as it is.
    let listener = match TcpListener::bind(at).await {
        Ok(listener) => listener,
        Err(_) => match TcpListener::bind(SocketAddr::new(at.ip(), 0)).await {
            Ok(listener) => listener,
            Err(error) => {
                return Err(Failure::new(format!("this machine cannot listen on {}: {error}", at.ip())).hint(
                    "a front that keeps its ports needs an engine on this very machine, whose networks are this machine's",
                ));
            }
        },
    };
    let to = listener.local_addr().map_err(|error| Failure::new(format!("a listener of one's own: {error}")))?;
    let came = async {
        let Ok((mut stream, _)) = listener.accept().await else { return false };
        // Who asks for a page is content with that.
        let _ = stream.write_all(b"HTTP/1.0 204 No Content\r\n\r\n").await;
        true
    };
    let tried = async {
        let had = engine.has_connect(container, to).await?;
        // What got here is seen before this ends.
        sleep(SEEN).await;
        Ok::<_, EngineError>(had.then_some(false))
    };
    let outcome = timeout(REACHES, async {
        tokio::select! {
            came = came => Ok(Some(came)),
            tried = tried => tried,
        }
    });
    match outcome.await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Ok(Some(false)),
    }
}
