//! What needs neither Docker, nor a network, nor root: rules of the tree, the loader, the store, the hook.
// For the long JSON of compose_attributes.
#![recursion_limit = "512"]

mod architecture;
mod checklist;
mod compose_attributes;
mod compose_config;
mod compose_corpus;
mod compose_model;
mod image_context;
mod invalid_repos;
mod licences;
mod robustness;
mod store;
mod store_facts;
mod store_holds;
mod webhook_route;
