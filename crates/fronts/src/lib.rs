//! Proxies of others that lead requests to the live colour of a repository, in the place of turnout-proxy: one trait
//! ([`Front`]), and a file for each program that keeps it.
//!
//! Who is live is what the program itself says: each is read back ([`Front::stands`]), and nothing is remembered here. What a
//! program cannot do it declares ([`Means`]), so that a plan can say what is lost.

mod caddy;
mod error;
mod file;
mod front;
mod haproxy;
mod http;
mod nginx;
mod record;
mod table;
mod traefik;
mod wanted;
mod weigh;
mod workers;

pub use caddy::Caddy;
pub use error::FrontError;
pub use front::{Front, Told};
pub use haproxy::Haproxy;
pub use nginx::Nginx;
pub use traefik::Traefik;
pub use wanted::{Drain, Led, LedColour, Means, Open, Place, Stands, Wanted};
