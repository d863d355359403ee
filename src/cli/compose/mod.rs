//! `turnout compose`: arguments, then one file a group of commands.

pub mod args;
