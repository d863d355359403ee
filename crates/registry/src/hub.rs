//! The Docker Hub's names.

/// The registry of names without one.
pub const HUB: &str = "docker.io";

/// What the Hub's names were called once.
pub const OLD_HUB: &str = "index.docker.io";

/// Where the Hub's registry listens.
pub const HUB_HOST: &str = "registry-1.docker.io";

/// The Docker Hub's key in the Docker client's settings.
pub const HUB_KEY: &str = "https://index.docker.io/v1/";

/// Key of a registry's host in the Docker client's settings: the Hub has one of its own, whatever it is called.
pub fn key_of(host: &str) -> &str {
    if [HUB, OLD_HUB, HUB_HOST].contains(&host) { HUB_KEY } else { host }
}
