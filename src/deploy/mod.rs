//! The pipeline of one deployment.

pub mod stack;
