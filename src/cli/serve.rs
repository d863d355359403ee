//! `turnout serve`: puts the daemon together, runs it, takes it down in order.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::TcpListener as StdListener,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    net::{TcpListener, TcpSocket},
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::{
    ends::Ends,
    log_file::Limits as LogLimits,
    logging,
    notify::notify,
    room_first::{Doors, once_there_is_room},
    standing::Standing,
    state_room,
};
use crate::{
    config::{DEFAULT_LISTEN, LATELY, LiveRepos, LiveSecret, LogFormat, Mistake, Mistakes, Place, Secret, Settings},
    deploy::{Deployer, Planner},
    lane::{self, Lanes},
    outbox::Outbox,
    report::{counted, redact::Redactor},
    server::{
        self, IntakeLimits, IntakeState, ListenLimits, command, control,
        payloads::Payloads,
        pulse::{Part, Pulse},
    },
    store::{DomainEvent, Only, Retention, Store},
};

/// How often `repos.yaml` is looked at when nothing else asks for it.
const REFRESH: Duration = Duration::from_secs(5);
/// How often the daemon looks at itself, unless the watchdog wants to know more often.
const LOOK: Duration = Duration::from_secs(15);
/// How long a part of it may take to answer: longer than the database waits for a lock.
const PATIENCE: Duration = Duration::from_secs(8);
/// How often an engine that answers is asked again.
const ENGINE_LOOK: Duration = Duration::from_secs(10);
/// Connections that the kernel keeps until they are accepted. One that finds this queue full tries again only after a
/// second; the kernel's own limit (`net.core.somaxconn`) is the same number.
const BACKLOG: u32 = 4096;
/// How long a proven delivery waits for its turn to be recorded. Forges give a delivery about ten seconds.
const PLACE_WAIT: Duration = Duration::from_secs(5);
/// How often the database is copied.
const COPY_EVERY: Duration = Duration::from_secs(86_400);
/// Mistakes in `repos.yaml` that the journal tells.
const MISTAKES: usize = 5;
/// How long the database may take for its last writes.
const LAST_WRITES: Duration = Duration::from_secs(5);
/// In the state directory, the last `repos.yaml` that had no mistake.
/// Where `serve` tells of a mistake in its settings before there is a log.
const SECRET_HINT: &str = "put WEBHOOK_SECRET=… into the daemon's .env or environment (the same text as in the webhook's \
                           settings at the forge), or say --insecure-no-secret on a machine that nobody else reaches";

/// Runs the daemon until a signal ends it.
///
/// # Errors
/// Whatever prevents the start; afterwards only failures of the listening sockets.
pub async fn serve(settings: Settings) -> anyhow::Result<()> {
    let webhook_secret = settings.webhook_secret.clone().filter(|secret| !secret.is_empty());
    if webhook_secret.is_none() && !settings.insecure_no_secret {
        let place = Place::Source("webhook-secret".to_owned());
        let mistake = Mistake::new(place, "", "there is no webhook secret, so anybody could deploy").hint(SECRET_HINT);
        return Err(Mistakes::one(mistake).into());
    }
    let redactor = Redactor::new();
    if let Some(secret) = &settings.webhook_secret {
        redactor.add_secret(secret);
    }
    let format = match settings.log_format {
        LogFormat::Text => logging::Format::Text,
        LogFormat::Json => logging::Format::Json,
    };
    let kept = LogLimits { days: settings.log_keep, file: settings.log_file_limit, all: settings.log_limit };
    let log = logging::start(&settings.log_level, format, &settings.log_dir, kept, &redactor)?;
    let log = Arc::new(Mutex::new(Some(log)));
    // Also where an error ends this.
    let _written = WrittenAtLast(Arc::clone(&log));
    // Not on standard error, past the redactor and without a priority.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a fault in turnout itself")));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "turnout begins");
    if webhook_secret.is_none() {
        tracing::warn!(
            "deliveries are taken without a signature (--insecure-no-secret): whoever reaches the port can deploy"
        );
    }

    let secret = settings.webhook_secret_file.as_deref().zip(settings.webhook_secret.clone());
    let secret = secret.map(|(file, secret)| Arc::new(LiveSecret::new(file, secret).looking_every(LATELY)));
    let ends = Ends::take_over(settings.shutdown_grace, move || drop(WrittenAtLast(log)))?;
    let mut again = signal(SignalKind::hangup())?;
    let settings = Arc::new(settings);
    std::fs::create_dir_all(&settings.state_dir)
        .with_context(|| format!("cannot make the state directory {}", settings.state_dir.display()))?;
    let repos = Arc::new(open_repos(&settings)?.looking_every(LATELY));
    for secret in repos.current().secrets.values() {
        redactor.add_secret(secret);
    }
    let retention = Retention {
        delivery_age: settings.delivery_retention,
        deliveries: settings.delivery_keep,
        payloads: settings.payload_keep,
        deployments: settings.history_keep,
        copies: settings.backup_keep,
        ..Retention::default()
    };
    let web = web_listener(&settings)?;
    let address = web.local_addr()?;
    let limits = listen_limits(&settings);
    // Both doors are opened before anything is said to be ready, and before what may wait for room on a full disk.
    let socket = control::listen(&settings.socket, settings.socket_mode)
        .with_context(|| format!("cannot open the control socket {}", settings.socket.display()))?;
    let doors = Doors { web, control: socket };
    let open = async || Store::open(&settings.database(), retention);
    let (store, doors) = once_there_is_room(doors, &limits, open).await?;
    let planner = Planner::new(Arc::clone(&settings), Arc::clone(&repos))?;
    let deployer = Arc::new(Deployer::new(planner, store.clone(), redactor));
    let lanes = Lanes::within(Arc::clone(&deployer), deployer.meanwhile.places());

    let stop = CancellationToken::new();
    let queued = store.from_now(Only::queued());
    let (recovered, doors) = once_there_is_room(doors, &limits, async || store.recover().await).await?;
    ends.begin();
    let unknown = store.unknown_events().await?;
    if !unknown.is_empty() {
        tracing::warn!(
            "the journal has events that this turnout does not know, written by a later one; they are skipped: {}",
            unknown.join(", ")
        );
    }
    if !recovered.interrupted.is_empty() {
        tracing::warn!(
            deployments = ?recovered.interrupted,
            given_up = ?recovered.given_up,
            "when turnout ended, this was under way: {}",
            counted(recovered.interrupted.len(), "deployment")
        );
    }
    // It reads what may not answer.
    let resume = async || {
        tokio::select! {
            biased;
            () = ends.asked() => Ok(()),
            resumed = deployer.resume_watches() => resumed,
        }
    };
    let ((), Doors { web, control: socket }) = once_there_is_room(doors, &limits, resume).await?;
    // Before a lane begins: whoever was held by the daemon before is let through.
    tokio::select! {
        biased;
        () = ends.asked() => {}
        () = deployer.resume_colours() => {}
    }
    for repo in &recovered.queued {
        tracing::info!(repo, "{repo} has a deployment waiting");
        lanes.wake(repo);
    }

    for id in recovered.given_up {
        let (deployer, stop) = (Arc::clone(&deployer), stop.clone());
        tokio::spawn(async move { deployer.see_to(id, stop).await });
    }

    let payloads = Payloads::new(store.clone());
    let intake = intake(&settings, webhook_secret, secret.as_ref(), &repos, &store, (&lanes, &deployer.redactor));
    let intake = intake.with_payloads(Arc::clone(&payloads)).with_stills(Arc::clone(&deployer.stills));
    let intake = Arc::new(intake);
    // Ends after the last delivery.
    let delivered = CancellationToken::new();
    let keeping = tokio::spawn({
        let (payloads, delivered) = (Arc::clone(&payloads), delivered.clone());
        async move { payloads.run(delivered).await }
    });
    let (refusals, pulse) = (Arc::clone(&intake.refusals), Arc::clone(&intake.pulse));
    let web =
        tokio::spawn(server::serve(web, server::router(intake), limits, refusals, stop.clone().cancelled_owned()));
    let control = command::Control {
        deployer: Arc::clone(&deployer),
        lanes: lanes.clone(),
        started_at: crate::deploy::now_ms(),
        stop: stop.clone(),
        followers: command::followers(),
        pulse: Arc::clone(&pulse),
        payloads,
    };
    let control = tokio::spawn(control::serve(socket, control::router(control), stop.clone(), settings.shutdown_grace));
    let looking = tokio::spawn({
        let deployer = Arc::clone(&deployer);
        async move { look_for_engine(&deployer).await }
    });
    let holding = tokio::spawn({
        let deployer = Arc::clone(&deployer);
        async move { deployer.holdings.keep(&deployer.planner).await }
    });
    let stills = tokio::spawn({
        let deployer = Arc::clone(&deployer);
        async move { deployer.tell_what_stands_still().await }
    });
    let watch = Watch {
        address,
        deployer: Arc::clone(&deployer),
        lanes: lanes.clone(),
        pulse: Arc::clone(&pulse),
        engine: EngineSeen::default(),
    };
    let waker = tokio::spawn({
        let (lanes, store) = (lanes.clone(), store.clone());
        async move { lane::wake_by_journal(&lanes, &store, queued).await }
    });
    let timer = tokio::spawn({
        let lanes = lanes.clone();
        async move { lane::wake_what_is_due(&lanes).await }
    });
    let proxy = tokio::spawn({
        let deployer = Arc::clone(&deployer);
        async move { deployer.keep_colours().await }
    });
    let kept = tokio::spawn({
        let deployer = Arc::clone(&deployer);
        async move { deployer.remove_what_is_kept().await }
    });
    let teller = tokio::spawn(tell_of_config(Arc::clone(&repos), Arc::clone(&deployer)));
    // Whom to tell comes with later settings; what was left of former ones is seen to.
    let seed = RandomState::new().hash_one(std::process::id());
    let outbox = Outbox::new(store.clone(), Vec::new(), deployer.redactor.clone(), seed, crate::deploy::now_ms());
    let outbox = tokio::spawn({
        let stop = stop.clone();
        async move { outbox.run(&stop).await }
    });
    let keeper = tokio::spawn(keep(Arc::clone(&repos), secret, watch, stop.clone()));
    let copier = tokio::spawn(keep_copies(store.clone(), settings.backup_keep));

    let count = repos.current().repos.repos.len();
    tracing::info!(%address, socket = %settings.socket.display(), repositories = count, "ready");
    notify(&[sd_notify::NotifyState::Ready]);

    loop {
        tokio::select! {
            () = ends.asked() => break,
            _ = again.recv() => tracing::info!(change = ?repos.refresh(), "SIGHUP: looked at repos.yaml"),
        }
    }
    let ends = "ends: no new deployments, those under way end after their step";
    notify(&[sd_notify::NotifyState::Stopping, sd_notify::NotifyState::Status(ends)]);
    tracing::info!("turnout {ends}");
    pulse.stops();
    stop.cancel();
    if tokio::time::timeout(settings.shutdown_grace, lanes.shut_down()).await.is_err() {
        leave(&store, &lanes, settings.shutdown_grace).await;
    }
    deployer.watches.stop().await;
    deployer.bakes.stop().await;
    web.await.context("the webhook server failed")??;
    delivered.cancel();
    control.await.context("the control socket failed")?;
    keeper.abort();
    looking.abort();
    kept.abort();
    holding.abort();
    stills.abort();
    proxy.abort();
    copier.abort();
    if let Err(error) = outbox.await {
        // What is not told now is told after the next start; the end goes on.
        tracing::error!(%error, "the outbox failed");
    }
    if let Err(error) = keeping.await {
        tracing::error!(%error, "what the last deliveries said is not kept");
    }
    waker.abort();
    timer.abort();
    teller.abort();
    let _ = std::fs::remove_file(&settings.socket);
    let write = async {
        if let Err(error) = store.tell(DomainEvent::DaemonEnds {}).await {
            tracing::error!(%error, "the database could not be written to the end");
        }
        // Then it is one file, as a backup of the directory wants it.
        store.close().await;
    };
    if tokio::time::timeout(LAST_WRITES, write).await.is_err() {
        tracing::error!(
            "the database does not end its writes: is its disk stuck? what was acknowledged is on the disk"
        );
    }
    tracing::info!("turnout has ended");
    Ok(())
}

/// Writes what the log still holds when it is dropped: at the end of the daemon, on whichever thread that comes.
struct WrittenAtLast(Arc<Mutex<Option<logging::Guard>>>);

impl Drop for WrittenAtLast {
    fn drop(&mut self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Marks what does not end as what goes on at the next start. Left running in the database it would count as a crash there,
/// and be given up after some more.
async fn leave(store: &Store, lanes: &Lanes<Arc<Deployer>>, grace: Duration) {
    for id in lanes.running() {
        tracing::warn!(deployment = id, "a step is still under way after {grace:?}; it goes on at the next start");
        let note = store.interrupt(id, "the daemon was stopped, and a step did not end in time");
        match tokio::time::timeout(LAST_WRITES, note).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(deployment = id, %error, "that it goes on could not be recorded"),
            Err(_) => tracing::error!(deployment = id, "that it goes on could not be recorded in {LAST_WRITES:?}"),
        }
    }
}

fn open_repos(settings: &Settings) -> anyhow::Result<LiveRepos> {
    // Tokens and secrets may stand in the daemon's environment or its `.env`.
    Ok(LiveRepos::open_with(&settings.repos, settings.variables(), &settings.last_good())?)
}

fn listen_limits(settings: &Settings) -> ListenLimits {
    ListenLimits {
        bounds: server::visitors::Bounds {
            all: settings.max_connections,
            one_sender: settings.max_connections_per_source,
            proxies: settings.trusted_proxies.clone(),
        },
        header_timeout: settings.header_timeout,
        grace: settings.shutdown_grace,
    }
}

/// The webhook server's socket: systemd's, if it passed one, else our own.
fn web_listener(settings: &Settings) -> anyhow::Result<TcpListener> {
    let mut passed = listenfd::ListenFd::from_env();
    if passed.len() > 0 {
        let listener: Option<StdListener> =
            passed.take_tcp_listener(0).context("systemd passed a socket that is not a TCP listener")?;
        if let Some(listener) = listener {
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            tracing::info!(%address, "listening on the socket that systemd passed");
            let wanted = settings.listen;
            if wanted != address && wanted.to_string() != DEFAULT_LISTEN {
                tracing::warn!(
                    "the setting listen ({wanted}) does not count: turnout.socket has the address {address}"
                );
            }
            return Ok(TcpListener::from_std(listener)?);
        }
    }
    let listen = || -> std::io::Result<TcpListener> {
        let socket = if settings.listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(settings.listen)?;
        socket.listen(BACKLOG)
    };
    listen().with_context(|| {
        format!("cannot listen on {}; is the port taken? another is chosen with --listen", settings.listen)
    })
}

fn intake(
    settings: &Settings,
    webhook_secret: Option<Secret>,
    secret: Option<&Arc<LiveSecret>>,
    repos: &Arc<LiveRepos>,
    store: &Store,
    (lanes, redactor): (&Lanes<Arc<Deployer>>, &Redactor),
) -> IntakeState {
    let lanes = lanes.clone();
    IntakeState::new(
        Arc::clone(repos),
        webhook_secret,
        Arc::new(store.clone()),
        Arc::new(move |repo| lanes.wake(repo)),
        Arc::new(server::checked_out),
        IntakeLimits {
            body: settings.body_limit,
            requests: settings.max_requests,
            place_wait: PLACE_WAIT,
            body_timeout: settings.body_timeout,
            payload: if settings.payload_keep == 0 { 0 } else { settings.payload_limit },
        },
    )
    .with_live_secret(secret.cloned())
    .with_redactor(redactor.clone())
}

/// Looks at `repos.yaml` and at the daemon itself now and then, and tells systemd's watchdog while all is alive.
async fn keep(repos: Arc<LiveRepos>, own: Option<Arc<LiveSecret>>, mut watch: Watch, stop: CancellationToken) {
    let watchdog = sd_notify::watchdog_enabled();
    // Several looks fit into the watchdog's time, so that one that is slow costs nothing.
    let pause = watchdog.map_or(LOOK, |limit| (limit / 4).min(LOOK));
    let mut refresh = tokio::time::interval(pause.min(REFRESH));
    let mut look = tokio::time::interval(pause);
    let mut standing = Standing::new(watch.address);
    let mut news = watch.deployer.store.newest_event();
    // The journal tells of it, too, unless the database cannot be written.
    let mut config = repos.changes();
    let mut stills = watch.deployer.stills.changes();
    // Parts that did not answer when it was told last.
    let mut silent = Vec::new();
    // When what has changed is to be told.
    let mut due = Some(standing.due());
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let work = async {
        loop {
            tokio::select! {
                _ = refresh.tick() => {
                    for secret in repos.current().secrets.values() {
                        watch.deployer.redactor.add_secret(secret);
                    }
                    if let Some(own) = &own {
                        watch.deployer.redactor.add_secret(&own.current());
                    }
                }
                changed = news.changed(), if due.is_none() => match changed {
                    Ok(()) => due = Some(standing.due()),
                    Err(_) => return, // the store has ended
                },
                Ok(()) = config.changed() => due = due.or_else(|| Some(standing.due())),
                Ok(()) = stills.changed() => due = due.or_else(|| Some(standing.due())),
                () = tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => {
                    due = match standing.tell(&watch.deployer, &watch.pulse).await {
                        true => None,
                        false => Some(standing.due() + LOOK),
                    };
                }
                _ = look.tick() => {
                    watch.look(pause.min(PATIENCE)).await;
                    let waits = watch.pulse.waiting_for();
                    if waits != silent {
                        silent = waits;
                        due = due.or_else(|| Some(standing.due()));
                    }
                    if watchdog.is_some() && watch.pulse.failing().is_empty() {
                        notify(&[sd_notify::NotifyState::Watchdog]);
                    }
                }
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

/// Writes into the journal what becomes of `repos.yaml`. Beside everything else: a database that does not answer must not
/// keep the daemon from looking at itself.
async fn tell_of_config(repos: Arc<LiveRepos>, deployer: Arc<Deployer>) {
    let mut changes = repos.changes();
    if repos.broken().is_some() {
        changes.mark_changed();
    }
    while changes.changed().await.is_ok() {
        let clean = |text: &str| deployer.redactor.own().redact(text).into_owned();
        let event = match repos.broken() {
            None => DomainEvent::ConfigReloaded { repositories: repos.checked().repos.repos.len() },
            Some(broken) => DomainEvent::ConfigBroken {
                consequence: clean(&broken.consequence),
                mistakes: broken.mistakes.0.iter().take(MISTAKES).map(|mistake| clean(&mistake.to_string())).collect(),
            },
        };
        if let Err(error) = deployer.store.tell(event).await {
            tracing::warn!("what became of repos.yaml is not in the journal: {error}");
        }
    }
}

/// Keeps a copy of the database every day, by the clock that nobody can set; at the start only where there is none of the
/// last day, so that a daemon that is restarted often does not push the older ones out.
async fn keep_copies(store: Store, keep: usize) {
    if keep == 0 {
        return;
    }
    let now = crate::deploy::now();
    // One of the future says nothing.
    let age = store.last_copy().and_then(|made| now.duration_since(made).ok());
    let mut pause = age.map_or(Duration::ZERO, |age| COPY_EVERY.saturating_sub(age));
    loop {
        tokio::time::sleep(pause).await;
        let copying = store.clone();
        match tokio::task::spawn_blocking(move || copying.keep_copy(keep)).await {
            Ok(Ok(Some(copy))) => tracing::info!(copy = %copy.display(), "the database was copied"),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::error!("the database could not be copied: {error}"),
            Err(error) => tracing::error!("the database could not be copied: {error}"),
        }
        pause = COPY_EVERY;
    }
}

/// What is looked at to know that the daemon lives.
struct Watch {
    address: std::net::SocketAddr,
    deployer: Arc<Deployer>,
    lanes: Lanes<Arc<Deployer>>,
    pulse: Arc<Pulse>,
    engine: EngineSeen,
}

/// When the engine was asked last, and whether it answered.
#[derive(Default)]
struct EngineSeen(Option<(tokio::time::Instant, bool)>);

impl Watch {
    async fn look(&mut self, patience: Duration) {
        let store = async {
            match self.deployer.store.flush().await {
                Ok(()) => true,
                // Deliveries are told so, and a restart makes no room.
                Err(error) => error.is_full(),
            }
        };
        let lanes = async {
            self.lanes.answer().await;
            true
        };
        let (store, lanes, intake, engine) = tokio::join!(
            tokio::time::timeout(patience, store),
            tokio::time::timeout(patience, lanes),
            tokio::time::timeout(patience, server::pulse::answers(self.address)),
            self.engine.answers(&self.deployer, patience),
        );
        let [store, lanes, intake] = [store, lanes, intake].map(|answer| answer.unwrap_or(false));
        let disk = state_room::is_there(&self.deployer.planner.settings.state_dir).await;
        let parts = [
            (Part::Store, store),
            (Part::Lanes, lanes),
            (Part::Intake, intake),
            (Part::Disk, disk),
            (Part::Engine, engine),
        ];
        let missing: Vec<Part> = parts.into_iter().filter(|(_, answers)| !answers).map(|(part, _)| part).collect();
        self.pulse.note(&missing);
    }
}

impl EngineSeen {
    /// Asked less often than the daemon's own parts: an idle daemon should cost next to nothing.
    async fn answers(&mut self, deployer: &Deployer, patience: Duration) -> bool {
        if let Some((asked, answered)) = self.0
            && asked.elapsed() < ENGINE_LOOK
            && answered
        {
            return true;
        }
        let answered =
            tokio::time::timeout(patience, deployer.planner.engine()).await.is_ok_and(|engine| engine.is_ok());
        self.0 = Some((tokio::time::Instant::now(), answered));
        answered
    }
}

/// Says at the start whether the engine answers; deployments wait for it themselves.
async fn look_for_engine(deployer: &Deployer) {
    match deployer.planner.engine().await {
        Ok(engine) => {
            tracing::info!(endpoint = %engine.endpoint(), api = %engine.version(), "the Docker engine answers")
        }
        Err(error) => tracing::warn!(%error, "the Docker engine does not answer yet"),
    }
}
