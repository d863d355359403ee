//! One look at a repository that is deployed blue/green: what its Compose file says, derived, and dressed as the two projects
//! that run. Reads, changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use super::{
    super::{Failure, TreeProject, View, planner::Planner},
    canary::Canary,
    facts,
    gateways::{self, Gateways},
    judged::Judged,
    made::{Made, MadeRoute, MadeRuns, MadeService, MadeSnapshot, MadeTls, Obtained, Promotion, Speaks},
    mistaken, obtained, other, ports,
    reach::{self, Reach},
    snapshots,
};
use crate::{
    compose::{labels, model::Project},
    config::{Repo, Settings},
    engine::Engine,
    plan,
    store::Store,
    switch::{
        self, Class, Derived, ReadFrom, Reason, Said,
        derived::{Listen, Origin, Route},
        dress::{self, Coloured, Dress, StayingDress},
        protocol::Protocol as Spoken,
        said::{self, OnFailure, Promote},
    },
    traffic::spot::{Host, Network, Prefix},
};

/// The colour of listeners whose port turnout chooses: it is no colour's own.
const NO_COLOUR: &str = "";

/// What a look gives.
#[derive(Debug, Clone)]
pub struct Looked {
    /// All that was derived.
    pub derived: Derived,
    /// The project of the colour.
    pub colour: TreeProject,
    /// The same, with what Compose has no words for.
    pub coloured: Coloured,
    /// The project of what stays.
    pub staying: TreeProject,
    /// What brings the colour back.
    pub made: Made,
    /// Where fronts that keep their ports find turnout-proxy.
    pub gateways: Gateways,
}

/// What a look at the colours of a repository needs.
pub struct Looking<'a> {
    /// Reads the Compose files, and asks the engine.
    pub planner: &'a Planner,
    /// Has the ports that were chosen, and which colour stands where.
    pub store: &'a Store,
    /// The repository whose colours are looked at.
    pub repo: &'a Repo,
    /// Where its files are read.
    pub view: View,
    /// The engine that is there.
    pub engine: &'a Engine,
}

/// Looks at a repository in one colour. `staying`: the COLOR that what stays is read with.
///
/// # Errors
/// When the files or the engine cannot be read, what was said does not fit, or something is refused.
pub async fn look(of: &Looking<'_>, colour: &str, staying: &str) -> Result<Looked, Failure> {
    let Looking { planner, store, repo, view, engine } = of;
    let mut moving = planner.read_in(repo, view.clone(), colour).await?;
    let mut remaining = match colour == staying {
        true => moving.clone(),
        false => planner.read_in(repo, view.clone(), staying).await?,
    };
    let said =
        Said::read(repo.switch.as_ref(), &moving.project).map_err(|mistakes| mistaken::not_said(repo, &mistakes))?;
    let mut facts = facts::gather(repo, &moving, colour, engine, &planner.settings.state_dir).await?;
    let volumes = named_volumes(&remaining.project);
    facts.volumes.clone_from(&volumes);
    let derived = switch::derive(&moving.project, &facts, &said);
    refuse(repo, &derived, &planner.settings)?;
    let own = engine.containers(&moving.stack.project, false).await?;
    let runs = own.iter().any(|one| !one.oneoff && !one.ports.is_empty());
    let loopback = ports::choose(store, &repo.name, colour, &derived, runs).await?;
    let listeners = listeners(store, repo, &derived).await?;

    let project = moving.stack.project.clone();
    let copies = copies(planner, repo, &derived)?;
    let dressed = Dress {
        name: project,
        staying: repo.project.clone(),
        loopback: loopback.clone(),
        volumes,
        snapshots: copies.iter().map(MadeSnapshot::pair).map(|(place, path)| (path, place)).collect(),
    };
    let fault = |missing: dress::Missing| Failure::new(missing.to_string());
    let coloured = dress::coloured(&moving.project, &derived, &dressed).map_err(fault)?;
    let gateways = Gateways::of(engine, &remaining.project, &repo.project, &derived).await?;
    let addresses = gateways.addresses();
    let mut dressed = StayingDress { name: repo.project.clone(), gateways: addresses, ..StayingDress::default() };
    let mut stays = dress::staying(&remaining.project, &derived, &dressed).map_err(fault)?;
    dressed.volumes = from_before(engine, &stays).await?;
    if !dressed.volumes.is_empty() {
        stays = dress::staying(&remaining.project, &derived, &dressed).map_err(fault)?;
    }
    let runs = what_runs(&moving.project, &derived);
    let made = Made { snapshots: copies, runs, ..made(&derived, &coloured, (&loopback, &listeners), &gateways) };
    refuse_late_jobs(repo, &made)?;
    refuse_no_share(repo, &made)?;
    moving.project = coloured.project.clone();
    remaining.project = stays;
    remaining.stack.project.clone_from(&repo.project);
    remaining.warnings.clear();
    Ok(Looked { derived, colour: moving, coloured, staying: remaining, made, gateways })
}

/// The copies of mounted files that a colour reads.
fn copies(planner: &Planner, repo: &Repo, derived: &Derived) -> Result<Vec<MadeSnapshot>, Failure> {
    let folder = snapshots::folder(&planner.settings.state_dir, &repo.name);
    if folder.to_str().is_none() {
        // Neither the engine's API nor what is kept of a colour has words for it.
        return Err(Failure::new(format!("the state directory's name is no UTF-8: {}", folder.display()))
            .hint("nothing was changed; name another one with STATE_DIR"));
    }
    let copies = derived.files.iter().filter_map(|file| {
        let ReadFrom::Snapshot(id) = &file.read else { return None };
        let path = PathBuf::from(&file.path);
        let place = snapshots::place(&folder, &path, id);
        Some(MadeSnapshot { path, place, shown: file.shown.clone(), writable: file.writable })
    });
    Ok(copies.collect())
}

/// With what was derived nothing can be switched.
fn refuse(repo: &Repo, derived: &Derived, settings: &Settings) -> Result<(), Failure> {
    let mut refused: Vec<String> =
        derived.refusals.iter().map(|refusal| format!("{}; write: {}", refusal.cause, refusal.line)).collect();
    refused.extend(not_there_yet(derived));
    refused.extend(obtained::refused(derived, settings));
    if refused.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("{} cannot be switched: {}", repo.name, refused.join("; ")))
        .hint(format!("nothing was changed; `turnout plan {}` shows all that was derived", repo.name)))
}

/// A job that comes after a change-over would have to run long after its files were read, where the next colour waits.
fn refuse_late_jobs(repo: &Repo, made: &Made) -> Result<(), Failure> {
    let waits = made.promotion.is_some() || !made.canary.steps.is_empty();
    let late = made.services.iter().find(|one| one.job && one.alone).filter(|_| waits);
    let Some(late) = late else { return Ok(()) };
    let (what, key) = match made.promotion {
        Some(_) => ("`promote` other than auto is", "promote"),
        None => ("`steps` are", "steps"),
    };
    Err(Failure::new(format!(
        "{} cannot be switched: {what} not there yet for a stack whose job {} waits for a service that must not run twice",
        repo.name, late.name
    ))
    .hint(format!("nothing was changed; take `{key}` out")))
}

/// Two that must not run at once cannot share requests.
fn refuse_no_share(repo: &Repo, made: &Made) -> Result<(), Failure> {
    let Some(first) = made.routes.first().filter(|_| !made.canary.steps.is_empty()) else { return Ok(()) };
    if !made.routes_of(false).is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} cannot be switched: `steps` share requests between two colours, and {}, to which they go, must not run twice",
        repo.name, first.service
    ))
    .hint("nothing was changed; take `steps` out"))
}

/// What was derived, and this turnout cannot do yet: each with what to write.
pub fn not_there_yet(derived: &Derived) -> Vec<String> {
    let means = derived.adapter.as_ref().map(other::means);
    let mut refused: Vec<String> = means.iter().flat_map(|means| other::not_shared(means, &derived.canary)).collect();
    for route in &derived.routes {
        let place = || format!("the route to {}:{}", route.service, route.port);
        if let Some(means) = means.filter(|means| !means.bytes && !route.spoken.may_be_http())
            && matches!(route.listen, Listen::Other { .. })
        {
            refused.push(format!(
                "{} is no HTTP, and {} is told to lead HTTP only; take it out of `adapter`",
                place(),
                means.program
            ));
        }
        let hosts =
            route.hosts.iter().filter_map(|host| Host::read(host).err().map(|why| format!("host {host}: {why}")));
        let path =
            route.path.iter().filter_map(|path| Prefix::read(path).err().map(|why| format!("path {path}: {why}")));
        let said = [("proxied_by", &route.proxied_by), ("trusted", &route.trusted)];
        let networks = said.into_iter().flat_map(|(key, all)| all.iter().map(move |of| (key, of)));
        let networks = networks.filter_map(|(key, of)| Network::read(of).err().map(|why| format!("{key} {of}: {why}")));
        let beside = beside(route).into_iter().map(str::to_owned);
        refused.extend(hosts.chain(path).chain(networks).chain(beside).map(|why| format!("{}: {why}", place())));
    }
    refused.extend(gateways::refused(derived));
    refused.extend(reach::not_kept(derived));
    if derived.promote_deadline.from != Origin::Default && derived.promote.value != Promote::Manual {
        refused.push(
            "promote_deadline says how long a promotion is waited for, and none is: write `promote: manual`, or take it out"
                .to_owned(),
        );
    }
    refused
}

/// What does not go together with what is spoken on a route.
fn beside(route: &Route) -> Vec<&'static str> {
    let spoken = route.spoken.protocol();
    let bytes = matches!(spoken, Some(Spoken::Tcp | Spoken::Https));
    let h2c = matches!(spoken, Some(Spoken::H2c | Spoken::Grpc));
    let rules = [
        (bytes && route.path.is_some(), "path is none of bytes that are passed on; take it out"),
        (
            bytes && route.redirect.is_some(),
            "redirect beside a protocol whose bytes are passed on; take one of them out",
        ),
        (
            bytes && !route.trusted.is_empty(),
            "trusted is about headers, and bytes that are passed on have none; take it out",
        ),
        (
            route.redirect.is_some() && route.tls.is_some(),
            "redirect leads to https, which this route is: it has `tls`; take it out",
        ),
        (
            route.hsts.is_some() && route.tls.is_none(),
            "hsts is believed of answers over TLS alone; write it at the route that has `tls`",
        ),
        (bytes && route.tls.is_some(), "tls beside a protocol whose bytes are passed on; take one of them out"),
        (spoken == Some(Spoken::Tcp) && !route.hosts.is_empty(), "hosts need protocol http, h2c, grpc or https"),
        (
            h2c && route.proxy_protocol.is_some(),
            "proxy_protocol beside h2c or grpc: requests of many clients share a connection to its containers; take it out",
        ),
    ];
    rules.into_iter().filter(|(is, _)| *is).map(|(_, why)| why).collect()
}

/// Engine names of a project's volumes, by Compose key.
pub(super) fn named_volumes(project: &Project) -> BTreeMap<String, String> {
    let named = project.volumes.iter().filter_map(|(key, volume)| {
        let volume = volume.as_ref()?;
        (!volume.name.is_empty()).then(|| (key.clone(), volume.name.clone()))
    });
    named.collect()
}

/// Volumes that are there from the time before the switch, by key: another project made them, and they are used as they are.
async fn from_before(engine: &Engine, project: &Project) -> Result<BTreeMap<String, String>, Failure> {
    let frame = Project { name: project.name.clone(), volumes: project.volumes.clone(), ..Project::default() };
    let observed = engine.observe(&frame).await?;
    let others = observed.volumes.into_iter().filter(|(key, volume)| {
        let external = project.volumes.get(key).and_then(Option::as_ref).is_some_and(|volume| volume.external);
        !external && volume.labels.get(labels::PROJECT).is_none_or(|owner| *owner != project.name)
    });
    Ok(others.map(|(key, volume)| (key, volume.name)).collect())
}

/// Ports of this machine, by service and port in its containers.
type Chosen = BTreeMap<(String, u16), u16>;

/// Where the proxy listens.
async fn listeners(store: &Store, repo: &Repo, derived: &Derived) -> Result<Chosen, Failure> {
    let chosen = |route: &&Route| matches!(&route.listen, Listen::Host { port: None, .. });
    let routes: Vec<Route> = derived.routes.iter().filter(chosen).cloned().collect();
    match routes.is_empty() {
        true => Ok(BTreeMap::new()),
        false => ports::choose(store, &repo.name, NO_COLOUR, &Derived { routes, ..derived.clone() }, true).await,
    }
}

fn made(
    derived: &Derived,
    coloured: &Coloured,
    (loopback, listeners): (&Chosen, &Chosen),
    gateways: &Gateways,
) -> Made {
    let project = &coloured.project;
    let first = switch::stage::stages(coloured, derived).first;
    let is_late = |name: &String| first.as_ref().is_none_or(|first| !first.services.contains_key(name));
    let services = plan::dependency_order(project).into_iter().filter_map(|name| {
        let (fate, service) = (derived.services.get(&name)?, project.services.get(&name)?);
        let alone = is_late(&name);
        Some(MadeService {
            restart: service.restart.clone(),
            alone,
            held: alone && matches!(fate.class, Class::Held | Class::Routed | Class::Internal),
            job: fate.class == Class::Job,
            patience: fate.gate.as_ref().map(|gate| millis(gate.timeout.value.as_std())),
            name,
        })
    });
    let routes = derived.routes.iter().filter_map(|route| {
        let key = (route.service.clone(), route.port);
        let first = *loopback.get(&key)?;
        let mut front = None;
        let listen = match &route.listen {
            Listen::Host { addresses, port } => {
                let port = port.or_else(|| listeners.get(&key).copied())?;
                addresses.iter().map(|address| SocketAddr::new(*address, port)).collect()
            }
            Listen::Other { .. } => Vec::new(),
            Listen::Gateway { network, port, .. } => {
                let (at, subnet) = gateways.listens(network, *port).unzip();
                front = Some(subnet.unwrap_or_default());
                at.into_iter().collect()
            }
        };
        let fate = derived.services.get(&route.service)?;
        let gate = fate.gate.as_ref()?;
        let replicas = u16::try_from(fate.replicas.max(1)).unwrap_or(1);
        Some(MadeRoute {
            listen,
            service: route.service.clone(),
            port: route.port,
            targets: (0..replicas).map(|more| SocketAddr::new(LOOPBACK, first.saturating_add(more))).collect(),
            http: route.spoken.protocol().map(|protocol| protocol == Spoken::Http),
            is_said: Some(route.spoken.protocol().is_some()),
            page: gate.page.value.clone(),
            patience: millis(gate.timeout.value.as_std()),
            hosts: route.hosts.clone(),
            path: route.path.clone(),
            strip_path: route.strip_path,
            tls: match &route.tls {
                Some(said::Tls::Files { certificate, key }) => Some(MadeTls::Files(certificate.clone(), key.clone())),
                Some(said::Tls::Auto) => Some(MadeTls::Obtained(Obtained::Acme)),
                None => None,
            },
            drain: Some(derived.drain.value.as_std().as_secs()),
            speaks: match route.spoken.protocol() {
                Some(Spoken::H2c | Spoken::Grpc) => Speaks::H2c,
                Some(Spoken::Https) if !route.hosts.is_empty() => Speaks::NamedTls,
                _ => Speaks::Plainly,
            },
            proxied_by: route.proxied_by.clone(),
            proxy_protocol: route.proxy_protocol,
            redirect: route.redirect,
            hsts: route.hsts.map(|hsts| hsts.as_std().as_secs()),
            trusted: route.trusted.clone(),
            health: (gate.page.from != Origin::Default).then(|| gate.page.value.clone()),
            front,
        })
    });
    // Two fronts of one network find it at one place.
    let mut all: Vec<MadeRoute> = Vec::new();
    for route in routes {
        if route.front.is_none()
            || all.iter().all(|known| (&known.service, &known.listen) != (&route.service, &route.listen))
        {
            all.push(route);
        }
    }
    Made {
        services: services.collect(),
        routes: all,
        bake: i64::try_from(millis(derived.bake.value.as_std())).unwrap_or(i64::MAX),
        goes_back: derived.on_failure.value == OnFailure::Rollback,
        judged: Judged::of(derived),
        promotion: promotion(derived),
        led_by: derived.adapter.as_ref().map(other::word),
        stand_ins: BTreeMap::new(),
        returns: BTreeSet::new(),
        snapshots: Vec::new(),
        reach: Reach::of(derived),
        canary: Canary::of(derived),
        runs: Vec::new(),
    }
}

/// What is to run once a colour of this project is live.
fn what_runs(project: &Project, derived: &Derived) -> Vec<MadeRuns> {
    let wanted = derived.services.iter().filter(|(_, fate)| fate.class != Class::Job && fate.replicas > 0);
    let each = wanted.map(|(name, fate)| {
        let serves = matches!(fate.class, Class::Routed | Class::Held | Class::Internal);
        let is_engine = matches!(fate.reason, Reason::Engine { .. });
        MadeRuns {
            service: name.clone(),
            stays: fate.class.stays(),
            ends: !serves && !is_engine && plan::may_end(project, name),
        }
    });
    each.collect()
}

/// What it waits for once it is ready.
fn promotion(derived: &Derived) -> Option<Promotion> {
    let (by_itself, within) = match derived.promote.value {
        Promote::Auto => return None,
        Promote::Manual => (false, derived.promote_deadline.value),
        Promote::After(after) => (true, after),
    };
    Some(Promotion { by_itself, within: i64::try_from(millis(within.as_std())).unwrap_or(i64::MAX) })
}

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
