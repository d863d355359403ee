//! How much is read of which kind of file.

/// A kind of file: the most that is read of one, in bytes. A larger one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The most that is read, in bytes.
    pub most: u64,
}

impl Kind {
    /// Compose files, `.env`, `env_file`, `label_file`: 8 MiB. The largest Compose files in use have a few hundred
    /// kilobytes; what is parsed takes many times its size in memory.
    pub const PROJECT: Self = Self { most: 8 << 20 };
    /// Dockerfiles: 4 MiB.
    pub const DOCKERFILE: Self = Self { most: 4 << 20 };
    /// `.dockerignore`: what its patterns may have.
    pub const IGNORE: Self = Self { most: 1 << 20 };
    /// Secrets of a build: what BuildKit takes of one (500 KiB).
    pub const BUILD_SECRET: Self = Self { most: 500 << 10 };
    /// Private keys, in whatever format.
    pub const KEY: Self = Self { most: 64 << 10 };
    /// The index of a folder of images.
    pub const LAYOUT: Self = Self { most: 4 << 20 };
    /// Seccomp profiles (JSON).
    pub const PROFILE: Self = Self { most: 1 << 20 };
}
