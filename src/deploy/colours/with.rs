//! What a plan of one of the projects of a colour is made for.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::super::of::Of;
use crate::{config::Repo, report::Reporter};

/// For whom something is planned.
#[derive(Clone, Copy)]
pub struct With<'a> {
    /// The repository whose colours they are.
    pub repo: &'a Repo,
    /// Who is told.
    pub reporter: &'a dyn Reporter,
    /// Calls it off.
    pub cancel: &'a CancellationToken,
    /// Everything is rebuilt.
    pub rebuild: bool,
    /// Where digests of files are remembered, in place of the usual folder.
    pub digests: Option<&'a PathBuf>,
    /// An engine that is down is not waited for.
    pub at_once: bool,
}

impl<'a> With<'a> {
    /// For a deployment.
    pub fn of(of: Of<'a>) -> With<'a> {
        let Of { job, repo, recorder, cancel, .. } = of;
        With { repo, reporter: recorder, cancel, rebuild: job.force_rebuild, digests: None, at_once: false }
    }
}

/// Which projects of a look are planned, and how.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Only the services that all colours share.
    Staying,
    /// The same, with fresh containers: what an adoption that was broken off has left of them may have other volumes.
    Adopted,
    /// The whole colour, as it is.
    Colour,
    /// The colour, with fresh containers; images are built and pulled.
    Fresh,
    /// The same, with the images that are there.
    Made,
    /// Of the colour what must not run twice: created and not started, with the images that are there.
    Created,
    /// What is there of the colour already, with the images that are there.
    Settled,
}

impl Which {
    /// Why containers are replaced of which nothing changed; `None`: they are not.
    pub fn anew(self) -> Option<&'static str> {
        match self {
            Which::Fresh | Which::Made | Which::Created => Some("each deployment makes its colour's containers anew"),
            Which::Adopted => Some("a first switch that was broken off has left it, perhaps with other volumes"),
            Which::Staying | Which::Colour | Which::Settled => None,
        }
    }
}
