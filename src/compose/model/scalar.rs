//! Scalar types whose JSON form is Go's: durations as `1m30s`, sizes as quoted decimals, modes as `"0440"`.

use serde::{Deserialize, Serialize};

/// Whether a value is its type's default; Go's `omitempty` for scalars.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A duration in nanoseconds; JSON is Go text such as `1m30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Duration(pub i64);

/// A size in bytes; JSON is a quoted decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Bytes(pub i64);

/// A Go `float32`; JSON is its shortest form.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
pub struct GoF32(pub f32);

/// A file mode; JSON is quoted octal with a leading zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FileMode(pub i64);

/// A device count, -1 for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DeviceCount(pub i64);

/// Host name to addresses; JSON is a sorted list of `host=ip`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExtraHosts(pub std::collections::BTreeMap<String, Vec<String>>);

/// A ulimit: one number, or soft and hard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ulimit {
    /// Soft and hard at once; 0 = not used.
    pub single: i64,
    /// Soft limit.
    pub soft: i64,
    /// Hard limit.
    pub hard: i64,
}

/// One entry of `env_file`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EnvFile {
    /// Absolute path.
    pub path: String,
    /// Whether its absence is an error.
    pub required: bool,
    /// `raw`, or empty for the default format.
    pub format: String,
}

/// One entry of `build.ssh`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SshKey {
    /// Identifier, `default` for the agent.
    pub id: String,
    /// Socket or key path; empty = agent.
    pub path: String,
}
