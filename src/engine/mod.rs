//! (to come)

pub mod image;
