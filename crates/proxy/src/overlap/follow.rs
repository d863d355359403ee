//! A process that another one has followed: it serves what is open to it by the table of that one.

use std::io;

use tokio::sync::mpsc;

use super::{
    before::merged,
    wire::{Link, Word},
};
use crate::change::Changer;

/// Serves by the table of the next one, until that is gone. `ends`: how many seconds what is open has from now on.
pub(crate) fn follow(link: &Link, changer: &Changer, ends: &mpsc::UnboundedSender<u32>) -> io::Result<()> {
    link.waits(None)?;
    loop {
        let (word, _) = link.hear()?;
        match &word {
            Word::Follow { served } => changer.follows(served),
            Word::End { grace } => drop(ends.send(*grace)),
            _ => {}
        }
        // What is before this one hears it as well.
        let status = Box::new(merged(changer.status(), changer.before().each(&word)));
        link.say(&Word::Stands { status }, None)?;
    }
}
