//! What carries deployments out: its parts. What it does stands in the files of its single acts.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::{
    acting, bakes, holdings, judgings, leftovers, meanwhile, measurings, mends, planner::Planner,
    recorder::LiveProgress, renewals, stills, watches, woken,
};
use crate::{report::redact::Redactor, store::Store};

/// Transient progress that watchers may lag behind before they miss some.
const LIVE_PROGRESS: usize = 256;

/// Carries deployments out. One for the whole daemon.
pub struct Deployer {
    /// Reads and plans.
    pub planner: Planner,
    /// Where everything is kept.
    pub store: Store,
    /// What is hidden from every sink; of a repository what [`Redactor::of`] gives for it.
    pub redactor: Redactor,
    /// Progress for those who watch.
    pub live: broadcast::Sender<LiveProgress>,
    /// What is watched after its verdict.
    pub watches: watches::Watches,
    /// What woke deployments that wait.
    pub waits: woken::Waits,
    /// What the engine holds.
    pub holdings: holdings::Holdings,
    /// What of the live colours stands still.
    pub stills: Arc<stills::Stills>,
    /// Repositories whose colours may not be as they should be, until they are.
    pub(super) mends: Arc<mends::Mends>,
    /// Who changes colours.
    pub(super) acting: acting::Acting,
    /// Bakes that go on beside the lanes.
    pub bakes: bakes::Bakes,
    /// What is built of deployments that wait for a bake.
    pub meanwhile: meanwhile::Meanwhile,
    /// What is known of the answers of colours that are judged.
    pub(super) judgings: judgings::Judgings,
    /// What others say of them.
    pub(super) measurings: measurings::Measurings,
    /// Which program of turnout-proxy was to take over.
    pub(super) renewals: renewals::Renewals,
    pub(super) tidy: leftovers::Tidy,
}

impl Deployer {
    /// A deployer with these parts.
    pub fn new(mut planner: Planner, store: Store, redactor: Redactor) -> Self {
        planner.redactor = redactor.clone();
        let (live, _) = broadcast::channel(LIVE_PROGRESS);
        let (watches, tidy) = (watches::Watches::default(), leftovers::Tidy::default());
        let (waits, holdings) = (woken::Waits::default(), holdings::Holdings::default());
        let (bakes, mends, acting) = (bakes::Bakes::default(), Arc::default(), acting::Acting::default());
        let meanwhile = meanwhile::Meanwhile::new(planner.settings.parallel);
        let (judgings, measurings) = (judgings::Judgings::default(), measurings::Measurings::default());
        let stills = Arc::default();
        Self {
            planner,
            store,
            redactor,
            live,
            watches,
            waits,
            holdings,
            stills,
            mends,
            acting,
            bakes,
            meanwhile,
            judgings,
            measurings,
            renewals: renewals::Renewals::default(),
            tidy,
        }
    }
}
