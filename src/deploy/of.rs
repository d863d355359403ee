//! What each act of a deployment is given.

use tokio_util::sync::CancellationToken;

use super::Recorder;
use crate::{
    config::{Repo, Timeouts},
    store::Deployment,
};

/// What a deployment is about.
#[derive(Clone, Copy)]
pub struct Of<'a> {
    pub job: &'a Deployment,
    pub repo: &'a Repo,
    pub timeouts: &'a Timeouts,
    pub recorder: &'a Recorder,
    pub cancel: &'a CancellationToken,
}
