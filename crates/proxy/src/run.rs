//! `turnout-proxy run`: puts it together, runs it, takes it down in order.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Semaphore, mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use turnout_report::counted;
use turnout_traffic::control::Answer;

use crate::{
    access::AccessLog,
    args::Settings,
    board::Board,
    certificates::Certificates,
    change::Changer,
    control::{self, Allowed, Asked, Ear, Seat},
    dies, handed,
    house::House,
    limits,
    overlap::{self, Given, Link, Parcel, Taken, Word},
    scrape,
    start::{ControlSocket, Start},
    worker::Workers,
};

/// How long connections that are cut may take to notice, and answers at the control socket to be taken.
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
    let taken = overlap::taken()?;
    // Takes connections and changes the table; what is open is served by threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start its threads: {error}"))?;
    let outcome = runtime.block_on(serve(settings, taken));
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

async fn serve(settings: Settings, taken: Option<Taken>) -> Result<(), String> {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "turnout-proxy begins");
    let mut signals = Signals::new().map_err(|error| format!("cannot take signals: {error}"))?;
    let Start { keeper, served, origin, durable, doors, control, metrics, link } = Start::of(&settings, taken)?;
    let Settings { state_dir, mut control_user, max_connections, max_connections_per_route, grace, linger, .. } =
        settings;
    let most = limits::connections(max_connections);
    let (cut, when_cut) = watch::channel(false);
    let (ending, when_ending) = watch::channel(false);
    let main = watch::Sender::new(link.is_none());
    let access = settings.access_log.map(|path| AccessLog::open(path, settings.access_log_format)).transpose()?;
    let certificates = Certificates::new(&state_dir);
    let house = Arc::new(House {
        board: Board::with(certificates.store()),
        certificates,
        workers: Workers::start(settings.threads)?,
        places: Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(usize::MAX))),
        open: AtomicU64::new(0),
        places_at_door: usize::try_from(max_connections_per_route.min(most)).unwrap_or(usize::MAX),
        times: settings.times,
        access,
        cut: when_cut,
        ending: when_ending,
        main: main.subscribe(),
    });
    let ControlSocket { listener, path: socket, mode, owner } = control;
    control_user.extend(owner);
    let serial = served.serial;
    let changer = Changer::start(keeper, (served, origin), doors, Arc::clone(&house)).await;
    if !durable {
        changer.is_not_durable();
    }
    if let Some(link) = link {
        takes_over(link, &changer).await;
        main.send_replace(true);
        handed::tell(&house.board.served());
        house.certificates.again();
    }
    let (renewals, mut renewed) = mpsc::channel(1);
    let seat = Seat::of(socket.clone(), mode);
    let ear = Arc::new(Ear::of(listener));
    let asked = Asked { changer: Arc::clone(&changer), allowed: Allowed(control_user), renewals };
    let asked = tokio::spawn(control::serve(Arc::clone(&ear), seat, asked));
    let swept = tokio::spawn(sweep(Arc::clone(&house)));
    let refreshed = tokio::spawn(refresh(Arc::clone(&changer)));
    let scraped_at = metrics.as_ref().map(|listener| listener.as_fd().try_clone_to_owned()).transpose();
    let scraped_at = scraped_at.map_err(|error| format!("there is no descriptor for the metrics more: {error}"))?;
    let scraped = metrics.map(|listener| tokio::spawn(scrape::serve(listener, Arc::clone(&changer))));
    let count = counted(changer.status().routes.len(), "route");
    tracing::info!(socket = %socket.display(), serial, "ready: {count}");
    notify(&[NotifyState::Ready]);

    let given = loop {
        let tell = tokio::select! {
            wanted = signals.next() => match wanted {
                Wanted::End => break None,
                Wanted::Reload => {
                    reread(&changer, &house, "SIGHUP").await;
                    continue;
                }
            },
            Some(tell) = renewed.recv() => tell,
        };
        if changer.status().serial > 0 {
            reread(&changer, &house, "before another process takes over").await;
        }
        let control = (&*ear, socket.clone(), mode);
        match hand_over(&changer, &house, control, scraped_at.as_ref(), &main).await {
            Ok(given) => {
                let _ = tell.send(Ok(()));
                break Some(given);
            }
            Err(message) => {
                tracing::error!("{message}");
                let _ = tell.send(Err(message));
            }
        }
    };

    let open = counted(changer.status().connections, "connection");
    let _ = ending.send(true);
    let (told, mut ends) = mpsc::unbounded_channel();
    let (removes, took_over) = (mode.is_some() && given.is_none(), Instant::now());
    let within = match given {
        None => {
            let ends = format!("ends: takes no connections any more; {open} may end within {grace} s");
            notify(&[NotifyState::Stopping, NotifyState::Status(&ends)]);
            tracing::info!("turnout-proxy {ends}");
            changer.end().await;
            let before = Arc::clone(changer.before());
            let _ = tokio::task::spawn_blocking(move || before.each(&Word::End { grace })).await;
            grace
        }
        Some(Given { link, pid, program }) => {
            tracing::info!(
                "process {pid} ({program}) has taken over; {open} may end within {linger} s with process {}",
                std::process::id()
            );
            // Whoever connects is the other process's alone.
            asked.abort();
            let changer = Arc::clone(&changer);
            tokio::task::spawn_blocking(move || {
                let outcome = overlap::follow(&link, &changer, &told);
                tracing::debug!(?outcome, "the process that took over is not heard any more");
            });
            linger
        }
    };
    drop((ear, scraped_at));
    let all_ended = async {
        let _all = house.places.acquire_many(most).await;
        changer.before().ended().await;
        if !*house.main.borrow() {
            // Whoever asked for this at the control socket is told.
            sleep_until(took_over + LAST).await;
        }
    };
    tokio::pin!(all_ended);
    let ended = tokio::select! {
        ended = timeout(Duration::from_secs(within.into()), &mut all_ended) => ended.is_ok(),
        () = signals.end() => {
            tracing::warn!("asked to end a second time");
            false
        }
        Some(grace) = ends.recv() => timeout(Duration::from_secs(grace.into()), &mut all_ended).await.is_ok(),
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
    // Whoever finds no socket any more may start another one at once.
    let _ = timeout(LAST, changer.writes_no_more()).await;
    if removes {
        let _ = std::fs::remove_file(&socket);
    }
    tracing::info!("turnout-proxy has ended");
    Ok(())
}

/// Reads again what others write: the route file, certificates; and opens the access log anew.
async fn reread(changer: &Arc<Changer>, house: &House, why: &str) {
    if let Some(access) = &house.access {
        access.reopen();
    }
    changer.refresh_certificates().await;
    house.certificates.again();
    match changer.reload().await {
        Answer::Refused(refusal) => {
            tracing::error!("{why}: the route file was not taken over, what was served is served: {}", refusal.message)
        }
        Answer::Applied { changed: false, .. } => tracing::info!("{why}: the route file is what is served"),
        Answer::Applied { .. }
        | Answer::Status(_)
        | Answer::Metrics { .. }
        | Answer::Counters(_)
        | Answer::Done { .. } => {}
    }
}

/// Says that this process serves, waits until it is the service, and has the one before serve by its table.
async fn takes_over(link: Link, changer: &Changer) {
    dies::here("before", "saying that it serves");
    let link = tokio::task::spawn_blocking(move || {
        let outcome = Taken::serves(&link);
        outcome.map(|()| link)
    });
    match link.await {
        Ok(Ok(link)) => {
            changer.before().add(link);
            changer.tell_before().await;
        }
        // From the table on this is the proxy, whatever became of the one before.
        Ok(Err(error)) => tracing::warn!("the proxy before this one went away while it handed over: {error}"),
        Err(error) => tracing::error!(%error, "a fault in turnout-proxy itself"),
    }
}

/// Has another process take over.
///
/// # Errors
/// Why none has; then all is as it was.
async fn hand_over(
    changer: &Changer,
    house: &Arc<House>,
    (ear, path, mode): (&Ear, std::path::PathBuf, Option<u32>),
    metrics: Option<&OwnedFd>,
    main: &watch::Sender<bool>,
) -> Result<Given, String> {
    let doors = changer.turn().await.map_err(|refusal| refusal.message)?;
    ear.hears(false);
    let at = Arc::clone(house);
    // A fault of that thread is said there.
    let _ = tokio::task::spawn_blocking(move || at.certificates.rest()).await;
    let given = async {
        let no_more = |error: std::io::Error| format!("there is no descriptor more: {error}");
        let (listeners, lock, table) = changer.to_hand_over(&doors).await?;
        let control = (ear.listener().map_err(no_more)?, path, mode);
        let metrics = metrics.map(OwnedFd::try_clone).transpose().map_err(no_more)?;
        let parcel = Parcel { listeners, control, metrics, lock, table };
        let given = tokio::task::spawn_blocking(move || overlap::hand_over(&parcel)).await;
        given.map_err(|error| format!("a fault in turnout-proxy itself: {error}"))?
    };
    match given.await {
        Ok(given) => {
            notify(&[NotifyState::MainPid(given.pid)]);
            main.send_replace(false);
            dies::here("after", "naming the next process");
            if let Err(error) = given.link.say(&Word::Main, None) {
                tracing::warn!("process {} has taken over, and is gone: {error}", given.pid);
            }
            changer.leaves(doors).await;
            Ok(given)
        }
        Err(message) => {
            ear.hears(true);
            house.certificates.go_on(&house.board.served());
            Err(message)
        }
    }
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
