//! `turnout-proxy run`: puts it together, runs it, takes it down in order.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Semaphore, watch},
    time::timeout,
};
use turnout_report::counted;
use turnout_traffic::control::Answer;

use crate::{
    access::AccessLog,
    args::Settings,
    board::Board,
    certificates::Certificates,
    change::Changer,
    control::{self, Allowed, Seat},
    handed::{self, Handed},
    house::House,
    limits,
    route_file::Keeper,
    scrape,
    worker::Workers,
};

/// How long connections that are cut may take to notice.
const LAST: Duration = Duration::from_secs(1);

/// How often idle connections to containers are looked at.
const SWEEP: Duration = Duration::from_secs(1);

/// How often certificates on the disk are looked at.
const REFRESH: Duration = Duration::from_secs(5);

/// Runs until a signal ends it.
///
/// # Errors
/// Whatever prevents the start. A damaged route file does not.
pub(crate) fn run(settings: Settings) -> Result<(), String> {
    log(settings.log_level);
    // Takes connections and changes the table; what is open is served by threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start its threads: {error}"))?;
    let outcome = runtime.block_on(serve(settings));
    // Not for a thread that hangs at the disk: what was acknowledged is on it.
    runtime.shutdown_background();
    outcome
}

fn log(level: tracing::level_filters::LevelFilter) {
    let lines = tracing_subscriber::fmt().with_max_level(level).with_target(false).with_ansi(false);
    let lines = lines.with_writer(std::io::stderr);
    // journald stamps each line itself.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        lines.without_time().init()
    } else {
        lines.init()
    }
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a fault in turnout-proxy itself")));
}

async fn serve(settings: Settings) -> Result<(), String> {
    let Settings {
        state_dir,
        socket,
        socket_mode,
        mut control_user,
        max_connections,
        max_connections_per_route,
        grace,
        threads,
        times,
        access_log,
        access_log_format,
        metrics,
        ..
    } = settings;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "turnout-proxy begins");
    let mut signals = Signals::new().map_err(|error| format!("cannot take signals: {error}"))?;
    let Handed { control: opened, doors } = handed::take()?;
    let (keeper, served, origin) = Keeper::open(&state_dir)?;
    let most = limits::connections(max_connections);
    let (cut, when_cut) = watch::channel(false);
    let (ending, when_ending) = watch::channel(false);
    let access = access_log.map(|path| AccessLog::open(path, access_log_format)).transpose()?;
    let scraped = metrics.map(scrape::listen).transpose()?;
    let certificates = Certificates::new(&state_dir);
    let house = Arc::new(House {
        board: Board::with(certificates.store()),
        certificates,
        workers: Workers::start(threads)?,
        places: Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(usize::MAX))),
        open: AtomicU64::new(0),
        places_at_door: usize::try_from(max_connections_per_route.min(most)).unwrap_or(usize::MAX),
        times,
        access,
        cut: when_cut,
        ending: when_ending,
    });
    let handed_over = opened.map(control::handed_over).transpose()?;
    let its_own = handed_over.is_none();
    let (listener, socket) = match handed_over {
        None => (control::listen(&socket, socket_mode)?, socket),
        Some((listener, path, owner)) => {
            tracing::debug!("the control socket was handed over, and its owner, user {owner}, may ask");
            control_user.push(owner);
            (listener, path)
        }
    };
    let serial = served.serial;
    let changer = Changer::start(keeper, (served, origin), doors, Arc::clone(&house)).await;
    let seat = Seat::of(socket.clone(), its_own.then_some(socket_mode));
    let asked = tokio::spawn(control::serve(listener, seat, Arc::clone(&changer), Allowed(control_user)));
    let swept = tokio::spawn(sweep(Arc::clone(&house)));
    let refreshed = tokio::spawn(refresh(Arc::clone(&changer)));
    let scraped = scraped.map(|listener| tokio::spawn(scrape::serve(listener, Arc::clone(&changer))));
    let count = counted(changer.status().routes.len(), "route");
    tracing::info!(socket = %socket.display(), serial, "ready: {count}");
    notify(&[NotifyState::Ready]);

    while signals.next().await == Wanted::Reload {
        if let Some(access) = &house.access {
            access.reopen();
        }
        changer.refresh_certificates().await;
        house.certificates.again();
        match changer.reload().await {
            Answer::Refused(refusal) => tracing::error!(
                "SIGHUP: the route file was not taken over, what was served is served: {}",
                refusal.message
            ),
            Answer::Applied { changed: false, .. } => tracing::info!("SIGHUP: the route file is what is served"),
            Answer::Applied { .. }
            | Answer::Status(_)
            | Answer::Metrics { .. }
            | Answer::Counters(_)
            | Answer::Done { .. } => {}
        }
    }

    let open = changer.status().connections;
    let ends = format!("ends: takes no connections any more; {} may end within {grace} s", counted(open, "connection"));
    notify(&[NotifyState::Stopping, NotifyState::Status(&ends)]);
    let _ = ending.send(true);
    tracing::info!("turnout-proxy {ends}");
    changer.end().await;
    let all_ended = house.places.acquire_many(most);
    tokio::pin!(all_ended);
    let ended = tokio::select! {
        ended = timeout(Duration::from_secs(grace.into()), &mut all_ended) => ended.is_ok(),
        () = signals.end() => {
            tracing::warn!("asked to end a second time");
            false
        }
    };
    if !ended {
        let open = changer.status().connections;
        tracing::warn!("{} did not end by themselves and are cut", counted(open, "connection"));
        let _ = cut.send(true);
        let _ = timeout(LAST, all_ended).await;
    }
    asked.abort();
    swept.abort();
    refreshed.abort();
    if let Some(scraped) = scraped {
        scraped.abort();
    }
    if let Some(access) = house.access.clone() {
        let _ = tokio::task::spawn_blocking(move || access.finish()).await;
    }
    if its_own {
        let _ = std::fs::remove_file(&socket);
    }
    tracing::info!("turnout-proxy has ended");
    Ok(())
}

/// Closes connections to containers that have no request, until it is dropped.
async fn sweep(house: Arc<House>) {
    let mut clock = tokio::time::interval(SWEEP);
    loop {
        clock.tick().await;
        house.board.sweep();
    }
}

/// Looks at certificates on the disk, until it is dropped.
async fn refresh(changer: Arc<Changer>) {
    let mut clock = tokio::time::interval(REFRESH);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        changer.refresh_certificates().await;
    }
}

/// What a signal asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Reload,
    End,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Wanted {
        tokio::select! {
            _ = self.terminate.recv() => Wanted::End,
            _ = self.interrupt.recv() => Wanted::End,
            _ = self.hang_up.recv() => Wanted::Reload,
        }
    }

    async fn end(&mut self) {
        while self.next().await != Wanted::End {}
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}
