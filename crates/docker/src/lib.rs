//! Docker's engine: how it is reached, what it holds for a project, and how a plan is carried out on it. The client library is
//! bollard.
//!
//! Nothing here decides: [`Engine::observe`] fills the planner's snapshot, [`Engine::apply`] carries a plan out.
//! How a service becomes a container is in [`translate`], as pure functions.

pub mod aftermath;
mod altered;
mod api_version;
pub mod apply;
mod client_settings;
pub mod clock;
mod connect;
mod context;
mod dial;
pub mod disk;
mod doubtful;
pub mod endpoint;
mod engine;
pub mod error;
mod gateway;
pub mod glance;
pub mod happenings;
mod health;
pub mod held;
pub mod image;
mod image_facts;
pub mod inspect;
mod kept_networks;
pub mod learned;
pub mod leftovers;
mod lines;
pub mod logs;
pub mod memory;
pub mod observe;
pub mod patience;
mod probe;
mod proxy_variables;
mod published;
mod raw;
mod remember;
mod remove_stopped;
mod rest;
pub mod settle;
pub mod signals;
mod since;
mod ssh;
pub mod stacks;
pub mod status;
mod support;
mod times;
pub mod translate;
mod turns;
mod unreachable;

pub use altered::Inspected;
pub use api_version::ApiVersion;
pub use apply::{
    Apply, ApplyError, ContainerRef, ImageSettings, InputReader, InputsRead, Left, OneOff, Report, StepReport,
    as_oneoff,
};
pub use client_settings::ClientSettings;
pub use doubtful::{Doubtful, Stand, Stands};
pub use endpoint::Endpoint;
pub use engine::Engine;
pub use error::EngineError;
pub use gateway::Gateway;
pub use image_facts::ImageSays;
pub use kept_networks::KeptNetwork;
pub use logs::{LogLine, LogOptions, Logs};
pub use probe::Probing;
pub use proxy_variables::read_proxy_variables;
pub use published::Published;
pub use remember::Remembered;
pub use remove_stopped::RemovedProject;
pub use rest::{Ended, Wake};
pub use settle::{Settle, SettleError, Unsettled};
pub use stacks::Stack;
pub use status::{ContainerStatus, ProjectStatus};
pub use turns::{Needs, with_dependents};
