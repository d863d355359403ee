//! Why a command ended without doing what was asked.

use std::io;

use super::{client::ClientError, follow::Broken};
use crate::{config, deploy::Failure};

/// Why a command ended without doing what was asked.
#[derive(Debug)]
pub enum Trouble {
    /// The daemon could not be asked, or said no.
    Client(ClientError),
    /// The work failed.
    Failure(Failure),
    /// The settings or `repos.yaml` are wrong.
    Mistakes(config::Mistakes),
    /// The daemon has ended meanwhile.
    Gone(String),
    /// An error that has no exit code of its own.
    Other(anyhow::Error),
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl<E: Into<Trouble>> From<Broken<E>> for Trouble {
    fn from(broken: Broken<E>) -> Self {
        match broken {
            Broken::Client(error) => error.into(),
            Broken::Reader(error) => error.into(),
        }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<config::Mistakes> for Trouble {
    fn from(mistakes: config::Mistakes) -> Self {
        Self::Mistakes(mistakes)
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<config::Mistakes>() {
            Ok(mistakes) => Self::Mistakes(mistakes),
            Err(other) => Self::Other(other),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Other(error.into())
    }
}
