//! What the webhook route needs of the store, and nothing more.

use std::{future::Future, pin::Pin};

use crate::store::{NewDelivery, Store, StoreError};

/// A future in a box.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Takes verified deliveries and answers when they are on disk.
pub trait Ledger: Send + Sync {
    /// Records a delivery and queues what it asks for.
    fn accept(&self, delivery: NewDelivery) -> BoxFuture<'_, Result<Receipt, LedgerFault>>;
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    /// The record of it.
    pub delivery: i64,
    /// The deployment queued for it.
    pub deployment: Option<i64>,
    /// A queued one that it replaced.
    pub superseded: Option<i64>,
    /// The deployment that the same delivery led to before.
    pub duplicate_of: Option<i64>,
    /// The repository is held, in words: nothing was queued, and what was pushed waits.
    pub held: Option<String>,
}

/// Why a delivery could not be recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct LedgerFault {
    /// The disk is full, as opposed to anything that may pass by itself.
    pub full: bool,
    /// The database is damaged: no delivery can be recorded until somebody sees to it.
    pub damaged: bool,
    /// For the log, not for the sender.
    pub detail: String,
}

impl Ledger for Store {
    fn accept(&self, delivery: NewDelivery) -> BoxFuture<'_, Result<Receipt, LedgerFault>> {
        Box::pin(async move {
            let accepted = Store::accept(self, delivery).await;
            accepted
                .map(|accepted| Receipt {
                    delivery: accepted.delivery,
                    deployment: accepted.deployment,
                    superseded: accepted.superseded,
                    duplicate_of: accepted.duplicate_of,
                    held: accepted.held.map(|hold| hold.to_string()),
                })
                .map_err(|error: StoreError| LedgerFault {
                    full: error.is_full(),
                    damaged: matches!(error, StoreError::Broken(_)),
                    detail: error.to_string(),
                })
        })
    }
}
