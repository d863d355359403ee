//! What goes into an image: its inputs by name, the difference of two lists of them in words, and what is remembered of
//! them.
//!
//! A [`Manifest`] names every input of a build with a short value; its digest is the image's fingerprint, which a label
//! of the image keeps ([`crate::compose::labels::INPUTS`]). [`parents()`] finds the images that a Dockerfile builds upon and what it
//! fetches. [`image_inputs`] reads all of it from where a build would.
//! [`Hasher`] gives the digests of files without reading those again that did not change, and [`Memory`] keeps the
//! manifests of images, for words. Both are memory only: without it files are read and images built once more.

mod hasher;
mod images;
mod manifest;
mod memory;
mod parents;

pub use hasher::Hasher;
pub use images::{InputSettings, Inputs, image_inputs};
pub use manifest::{ABSENT, Manifest, text_digest};
pub use memory::Memory;
pub use parents::{Parents, parents, platform_args, reads_repository};
