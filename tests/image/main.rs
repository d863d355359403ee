//! Images against a real engine: built, pulled, kept, and handed on.

#[path = "../git_support/mod.rs"]
mod git_support;
#[path = "../image_support/mod.rs"]
mod image_support;

mod attributes;
mod build;
mod gha;
mod interchange;
mod large;
mod pull;
mod sources;
mod store;
