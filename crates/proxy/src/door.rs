//! A listener: takes connections, as many as may be, and hands each to a colour.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd as _, OwnedFd},
    sync::{Arc, OnceLock, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use turnout_traffic::Protocol;

use crate::{
    arrives::{self, Arrived},
    board::Listening,
    handed,
    house::House,
    http,
    pass::pass,
    socket::break_off,
};

/// Connections that the kernel keeps until they are taken.
const BACKLOG: u32 = 4_096;
/// Pause after a failed accept: the reason (no more file descriptors) does not pass at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often an address is tried that another program has.
const BIND_PAUSE: Duration = Duration::from_secs(1);
/// How often one for which another one stands in: it is known that it becomes free.
const STAND_IN_PAUSE: Duration = Duration::from_millis(5);

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Whose connections arrive there: its own address, or that for which it stands in.
    pub(crate) serves: SocketAddr,
    /// Another one stands in for it: that it cannot be had yet is no fault.
    pub(crate) may_wait: bool,
}

/// A listener that is served.
#[derive(Debug)]
pub(crate) struct Door {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    /// The listener once more, for a process that takes over.
    shared: Arc<OnceLock<OwnedFd>>,
}

/// Listens. `[::]` takes IPv6 only, so that it can be had beside `0.0.0.0`.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    bound(address)?.listen(BACKLOG)
}

/// Whether an address can be listened on. Nobody who connects meanwhile is taken.
pub(crate) fn try_listen(address: SocketAddr) -> io::Result<()> {
    bound(address).map(drop)
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if address.is_ipv6() {
        rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
    }
    // Connections of an earlier process that are closing are no hindrance.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

impl Door {
    /// Serves a route that the board has. Without a listener one is made as soon as the address can be had.
    pub(crate) fn open(
        address: SocketAddr,
        Place { serves, may_wait }: Place,
        listener: Option<TcpListener>,
        house: Arc<House>,
    ) -> Door {
        let pause = if may_wait { STAND_IN_PAUSE } else { BIND_PAUSE };
        let (stop, mut stopped) = watch::channel(false);
        let shared = Arc::new(OnceLock::new());
        let share = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let listener = match listener {
                Some(listener) => Some(listener),
                None => tokio::select! {
                    listener = at_last(address, pause) => Some(listener),
                    () = told(&mut stopped) => None,
                },
            };
            if let (Some(listener), Some(listening)) = (listener, house.board.listening(serves)) {
                let door = (address == serves).then(|| Arc::clone(&listening.door));
                drop(listening);
                match listener.as_fd().try_clone_to_owned() {
                    Ok(descriptor) => drop(share.set(descriptor)),
                    Err(error) => tracing::warn!("{address} could not be handed over to another process: {error}"),
                }
                door.iter().for_each(|door| door.listening.store(true, Relaxed));
                receive((address, serves), listener, &house, stopped).await;
                door.iter().for_each(|door| door.listening.store(false, Relaxed));
            }
        });
        Door { stop, task, shared }
    }

    /// Its listener, for a process that takes over; `None`: it has none yet.
    pub(crate) fn listener(&self) -> io::Result<Option<OwnedFd>> {
        self.shared.get().map(OwnedFd::try_clone).transpose()
    }

    /// Listens no longer. What the kernel had taken until then is served.
    pub(crate) async fn close(self) {
        let _ = self.stop.send(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a fault in turnout-proxy itself");
        }
    }
}

/// Waits until this process is the service.
async fn is_main(main: &mut watch::Receiver<bool>) {
    if main.wait_for(|main| *main).await.is_err() {
        std::future::pending().await
    }
}

/// Waits until the door is to be closed; whoever opened it may be gone.
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn at_last(address: SocketAddr, pause: Duration) -> TcpListener {
    loop {
        sleep(pause).await;
        match listen(address) {
            Ok(listener) => {
                tracing::info!("{address} is listened on at last");
                return listener;
            }
            Err(error) => tracing::debug!(%address, %error, "still cannot be listened on"),
        }
    }
}

/// A place in the house, and one at the door.
type Places = (OwnedSemaphorePermit, OwnedSemaphorePermit);

async fn receive(
    (address, serves): (SocketAddr, SocketAddr),
    listener: TcpListener,
    house: &Arc<House>,
    mut stopped: watch::Receiver<bool>,
) {
    let at_door = Arc::new(Semaphore::new(house.places_at_door));
    let (mut crowded, mut left, mut main) = (false, false, house.main.clone());
    loop {
        let (client, peer) = tokio::select! {
            biased;
            () = told(&mut stopped) => break,
            () = is_main(&mut main), if !left => {
                handed::leave(&listener, address);
                left = true;
                continue;
            }
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!("a connection to {address} could not be taken: {error}");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let places = match without_waiting(house, &at_door) {
            Some(places) => {
                crowded = false;
                Some(places)
            }
            None => {
                if !crowded {
                    tracing::warn!(
                        "as many connections as may be are open: further ones to {address} wait until one ends"
                    );
                }
                crowded = true;
                tokio::select! {
                    biased;
                    () = told(&mut stopped) => None,
                    places = waiting(house, &at_door) => places,
                }
            }
        };
        let Some(places) = places else {
            if *house.main.borrow() {
                break_off(&client);
            } else {
                // It was taken here, so that no other process has it.
                let (house, at_door) = (Arc::clone(house), Arc::clone(&at_door));
                tokio::spawn(async move {
                    if let Some(places) = waiting(&house, &at_door).await {
                        serve(client, peer, serves, places, &house);
                    }
                });
            }
            break;
        };
        serve(client, peer, serves, places, house);
    }
    // Another process listens with the same socket, and takes what the kernel has.
    if !*house.main.borrow() {
        return;
    }
    // What the kernel has taken is ours: nobody else would answer it.
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((client, peer)) = listener.accept() {
        let Ok(client) = client.set_nonblocking(true).and_then(|()| TcpStream::from_std(client)) else { continue };
        match without_waiting(house, &at_door) {
            Some(places) => serve(client, peer, serves, places, house),
            None => break_off(&client),
        }
    }
    // Where the process ends, the next one goes on with it.
    if !*house.ending.borrow() {
        handed::forget(&listener, address);
    }
}

fn without_waiting(house: &House, at_door: &Arc<Semaphore>) -> Option<Places> {
    let door = Arc::clone(at_door).try_acquire_owned().ok()?;
    Some((Arc::clone(&house.places).try_acquire_owned().ok()?, door))
}

async fn waiting(house: &House, at_door: &Arc<Semaphore>) -> Option<Places> {
    let door = Arc::clone(at_door).acquire_owned().await.ok()?;
    Some((Arc::clone(&house.places).acquire_owned().await.ok()?, door))
}

/// Serves the connection on a thread that does so. One that is not understood claims its target at once, by the table of this
/// moment.
fn serve(client: TcpStream, peer: SocketAddr, address: SocketAddr, places: Places, house: &Arc<House>) {
    // Whoever waits for its bytes is woken by the thread that registers it.
    let client = match client.into_std() {
        Ok(client) => client,
        Err(error) => return tracing::warn!("a connection to {address} could not be handed over: {error}"),
    };
    let here = move || {
        TcpStream::from_std(client).inspect_err(|error| {
            tracing::warn!("a connection to {address} could not be handed over: {error}");
        })
    };
    let listening = house.board.listening(address);
    if listening.as_ref().is_some_and(|listening| listening.protocol.is_http()) {
        let open = Open::of(house);
        let house_of_it = Arc::clone(house);
        house.workers.spawn(async move {
            if let Ok(client) = here() {
                http::serve(client, peer, address, house_of_it).await;
            }
            drop(open);
            drop(places);
        });
        return;
    }
    if let Some(listening) = listening.filter(|of| of.protocol == Protocol::Tls || !of.proxied_by.is_empty()) {
        let open = Open::of(house);
        house.workers.spawn(async move {
            if let Ok(client) = here() {
                asked(client, peer, address, &listening, &open.0).await;
            }
            drop(open);
            drop(places);
        });
        return;
    }
    let Some(claim) = house.board.claim(address, peer.ip(), &[]) else {
        if let Ok(client) = here() {
            break_off(&client);
        }
        return;
    };
    let open = Open::of(house);
    house.workers.spawn(async move {
        if let Ok(client) = here() {
            pass(client, Arrived::plainly(peer), address, claim, &open.0.board, open.0.cut.clone()).await;
        }
        drop(open);
        drop(places);
    });
}

/// Asks a connection whose it is, or which host it names, and gives it to a colour of that moment.
async fn asked(mut client: TcpStream, peer: SocketAddr, address: SocketAddr, listening: &Listening, house: &House) {
    let mut arrived = Arrived::plainly(peer);
    let asks = async {
        if !listening.proxied_by.is_empty() {
            arrived.client = arrives::whose(&mut client, peer, &listening.proxied_by).await?;
        }
        if listening.protocol == Protocol::Tls {
            arrived.host = arrives::host(&mut client, &mut arrived.early).await?;
        }
        Ok(())
    };
    let mut cut = house.cut.clone();
    let outcome = tokio::select! {
        outcome = timeout(house.times.head_timeout, asks) => outcome.unwrap_or(Err("it says nothing for too long")),
        _ = cut.wait_for(|cut| *cut) => Err("the proxy ends"),
    };
    if let Err(reason) = outcome {
        tracing::debug!(listen = %address, %peer, "a connection is not taken: {reason}");
        return break_off(&client);
    }
    match house.board.claim_named(address, &arrived.host, arrived.client.ip(), &[]) {
        // What it was asked for is what is served still.
        Some(claim) if claim.serving().route.protocol == listening.protocol => {
            pass(client, arrived, address, claim, &house.board, cut).await;
        }
        Some(_) => break_off(&client),
        None if listening.protocol == Protocol::Tls => {
            tracing::debug!(listen = %address, %peer, host = %arrived.host, "nobody has the host that it names");
            listening.answered_here(None);
            arrives::refuse_host(&mut client).await;
        }
        None => break_off(&client),
    }
}

/// Counts a connection until this is dropped.
struct Open(Arc<House>);

impl Open {
    fn of(house: &Arc<House>) -> Open {
        house.open.fetch_add(1, Relaxed);
        Open(Arc::clone(house))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}
