//! What a service manager keeps between two proxies: the control socket, and listeners.

use std::{
    io::IoSliceMut,
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{MetadataExt as _, chown},
            net::{UnixDatagram, UnixListener},
        },
    },
    path::Path,
    process::{Command, Stdio},
};

use rustix::{
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
    process::Signal,
};
use serde_json::json;

use crate::support::{Client, Container, PATIENCE, Place, asked, free_address, program, route};

/// The program with these as its third descriptor and the next one, as a service manager would start it.
fn with(first: impl Into<OwnedFd>, second: Option<OwnedFd>) -> Command {
    let count = if second.is_some() { 2 } else { 1 };
    let proxy = program();
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_PID=$$ exec \"$@\"", "sh"])
        .arg(proxy.get_program());
    command.env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM").env("LISTEN_FDS", count.to_string());
    command.stdin(Stdio::from(first.into()));
    if let Some(second) = second {
        command.stdout(Stdio::from(second));
    }
    command
}

/// A service manager's ear.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Manager {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager(socket)
    }

    /// The next message with this text, and the descriptor that came with it.
    fn hears(&self, text: &str) -> (String, Option<OwnedFd>) {
        loop {
            let (mut bytes, mut space) = ([0; 4_096], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let got =
                recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC).unwrap();
            let fd = ancillary.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
                _ => None,
            });
            let said = String::from_utf8(bytes[..got.bytes].to_vec()).unwrap();
            if said.contains(text) {
                return (said, fd);
            }
        }
    }
}

fn named(address: SocketAddr) -> String {
    format!("FDNAME={}", address.to_string().replace(':', "-"))
}

#[test]
fn a_control_socket_that_is_handed_over_is_served_and_stays() {
    let place = Place::new();
    std::fs::create_dir_all(place.socket().parent().unwrap()).unwrap();
    // Another path than the one that it is told.
    let path = place.socket().with_file_name("handed.sock");
    let control = UnixListener::bind(&path).unwrap();
    let mut proxy = place.begin_with(with(control.try_clone().unwrap(), None), &[]);
    proxy.says("handed.sock");
    let status = || asked(&path, b"{\"version\":1,\"request\":\"status\"}\n");
    assert_eq!(status()["answer"], "status");
    assert!(!place.socket().exists());
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.ended().code(), Some(0));
    // Whoever asks now waits for the next one.
    assert!(path.exists());
    let mut next = place.begin_with(with(control, None), &[]);
    assert_eq!(status()["answer"], "status");
    next.says("ready");
}

/// The numbers of others than root can only be given to a file by root.
#[test]
fn the_owner_of_such_a_socket_may_ask() {
    const SOMEBODY: u32 = 65_534;
    let place = Place::new();
    std::fs::create_dir_all(place.socket().parent().unwrap()).unwrap();
    let control = UnixListener::bind(place.socket()).unwrap();
    let mut proxy = place.begin_with(with(control.try_clone().unwrap(), None), &[]);
    let own = std::fs::metadata(place.socket()).unwrap().uid();
    assert!(proxy.says("may ask").contains(&format!("user {own}, may ask")));
    drop(proxy);
    if chown(place.socket(), Some(SOMEBODY), None).is_ok() {
        let mut proxy = place.begin_with(with(control, None), &[]);
        assert!(proxy.says("may ask").contains(&format!("user {SOMEBODY}, may ask")));
    }
}

#[test]
fn what_is_no_listener_is_refused_by_name() {
    let place = Place::new();
    let (end, _other) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let mut proxy = place.begin_with(with(end, None), &[]);
    proxy.says("handed over as number 1 is neither a control socket");
    assert_eq!(proxy.ended().code(), Some(1));
}

#[test]
fn clients_that_come_between_two_proxies_are_served_by_the_second() {
    let (red, listen, other, place) = (Container::named("red"), free_address(), free_address(), Place::new());
    std::fs::create_dir_all(place.socket().parent().unwrap()).unwrap();
    let heard = place.socket().with_file_name("notify.sock");
    let manager = Manager::at(&heard);
    let mut command = program();
    command.env("NOTIFY_SOCKET", &heard);
    let mut proxy = place.begin_with(command, &[]);
    proxy.says("ready");
    let both = json!([route(listen, "red", 1, red.address), route(other, "red", 1, red.address)]);
    proxy.apply("shop", 1, &both);
    let (mut kept, mut kept_other) = (None, None);
    while kept.is_none() || kept_other.is_none() {
        let (said, fd) = manager.hears("FDSTORE=1");
        if said.contains(&named(listen)) { kept = fd } else { kept_other = fd }
    }

    // A route that goes away is the service manager's no longer, and free at once although that has not closed it.
    proxy.apply("shop", 2, &json!([route(listen, "red", 2, red.address)]));
    manager.hears("FDSTOREREMOVE=1");
    drop(TcpListener::bind(other).unwrap());

    // One that stays is listened on with no proxy there, however that ended.
    proxy.kill();
    let mut client = Client::to(listen);
    let control = UnixListener::bind(place.socket().with_file_name("handed.sock")).unwrap();
    let mut next = place.begin_with(with(control, kept), &[]);
    next.says("ready");
    assert_eq!(client.line(), "red");
    assert_eq!(Client::to(listen).line(), "red");

    // What an earlier proxy left and no route wants is not served.
    drop(next);
    let control = UnixListener::bind(place.socket().with_file_name("again.sock")).unwrap();
    let left = TcpListener::bind(free_address()).unwrap();
    let address = left.local_addr().unwrap();
    let mut next = place.begin_with(with(control, Some(left.try_clone().unwrap().into())), &[]);
    next.says("no route wants it");
    next.says("ready");
    assert!(std::net::TcpStream::connect(address).is_err());
    assert_eq!(Client::to(listen).line(), "red");
}
