//! What two proxies say to each other, over a pair of sockets: a length in four bytes, to which a descriptor may be attached, and
//! as many bytes of JSON.

use std::{
    io::{self, IoSlice, IoSliceMut, Read as _, Write as _},
    mem::MaybeUninit,
    net::SocketAddr,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use turnout_traffic::{bounds, control::Status};

/// Version of what is said here. Programs of two versions say it to each other: a word that is there stays as it is.
pub(crate) const VERSION: u64 = 1;
/// Bytes of one word at most: it may hold two route files, written as text.
const BYTES: usize = 4 * bounds::BYTES;

/// See the drawing in `overlap`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(crate) enum Word {
    /// The new one: who it is.
    Hello { version: u64, pid: u32, program: String },
    /// A listener of routes comes along.
    Listener { address: SocketAddr },
    /// The listener of the control socket comes along; `mode`: the old one opened it, and no service manager did.
    Control { path: PathBuf, mode: Option<u32> },
    /// The metrics' listener comes along.
    Metrics,
    /// The lock of the state directory comes along.
    Lock,
    /// The new one is the only writer from here on. `served`: the route file with requests standing as they do; `kept`: the one on
    /// the disk; `foreign`: what lies there is another one; `durable`: the disk said that it has what is served.
    Table { served: String, kept: Option<String>, foreign: bool, durable: bool },
    /// The new one listens and serves.
    Serves,
    /// The service manager knows the new one as the service.
    Main,
    /// The old one is to serve what it has by this table, in place of its own.
    Follow { served: String },
    /// How does it stand?
    Ask,
    /// How it stands; the answer to the two before, and the one after.
    Stands { status: Box<Status> },
    /// What is open to the old one has so many seconds to end.
    End { grace: u32 },
}

/// One end. It waits for the disk's and the peer's sake: not for a thread of the runtime.
#[derive(Debug)]
pub(crate) struct Link(UnixStream);

impl Link {
    pub(crate) fn of(stream: UnixStream) -> Link {
        Link(stream)
    }

    /// How long a word may take, both ways; `None`: for ever.
    pub(crate) fn waits(&self, time: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(time)?;
        self.0.set_write_timeout(time)
    }

    /// Says a word, and sends a descriptor along.
    pub(crate) fn say(&self, word: &Word, with: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let bytes = serde_json::to_vec(word).map_err(io::Error::other)?;
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?.to_be_bytes();
        let descriptors: Vec<BorrowedFd<'_>> = with.into_iter().collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::Error::other("there is no room for a descriptor"));
        }
        let sent = sendmsg(self.0.as_fd(), &[IoSlice::new(&length)], &mut ancillary, SendFlags::NOSIGNAL)?;
        // The descriptor went with the first byte.
        (&self.0).write_all(length.get(sent..).unwrap_or_default())?;
        (&self.0).write_all(&bytes)
    }

    /// The next word, and the descriptor that came along.
    pub(crate) fn hear(&self) -> io::Result<(Word, Option<OwnedFd>)> {
        let (mut length, mut space) = ([0; 4], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got =
            recvmsg(self.0.as_fd(), &mut [IoSliceMut::new(&mut length)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?
                .bytes;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let came = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        (&self.0).read_exact(length.get_mut(got..).unwrap_or_default())?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > BYTES {
            return Err(io::Error::other(format!("a word of {length} bytes is too long")));
        }
        let mut bytes = vec![0; length];
        (&self.0).read_exact(&mut bytes)?;
        Ok((serde_json::from_slice(&bytes).map_err(io::Error::other)?, came))
    }

    /// Says a word, and hears how the other one stands.
    pub(crate) fn asks(&self, word: &Word) -> io::Result<Status> {
        self.say(word, None)?;
        match self.hear()? {
            (Word::Stands { status }, _) => Ok(*status),
            (other, _) => Err(io::Error::other(format!("it answers {other:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_arrives_with_its_descriptor_and_a_long_one_without() {
        let (one, other) = UnixStream::pair().unwrap();
        let (one, other) = (Link::of(one), Link::of(other));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        one.say(&Word::Listener { address }, Some(listener.as_fd())).unwrap();
        one.say(&Word::Ask, None).unwrap();
        let (word, came) = other.hear().unwrap();
        assert!(matches!(word, Word::Listener { address: said } if said == address), "{word:?}");
        assert_eq!(std::net::TcpListener::from(came.unwrap()).local_addr().unwrap(), address);
        let (word, came) = other.hear().unwrap();
        assert!(matches!(word, Word::Ask) && came.is_none(), "{word:?}");
        let long = "x".repeat(bounds::BYTES);
        let says = std::thread::spawn(move || one.say(&Word::Follow { served: long }, None).map(|()| one));
        let (word, _) = other.hear().unwrap();
        assert!(matches!(&word, Word::Follow { served } if served.len() == bounds::BYTES));
        drop(says.join().unwrap().unwrap());
        assert_eq!(other.hear().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
