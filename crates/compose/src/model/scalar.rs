//! Small types whose JSON form is Go's, such as modes as `"0440"`.
//!
//! Both ways are needed: writing feeds `config-hash` and `config`, reading takes a rendered project back.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeStruct};

/// Whether a value is its type's default; Go's `omitempty` for scalars.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A Go `float32`; JSON is its shortest form.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct GoF32(pub f32);

impl fmt::Display for GoF32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for GoF32 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The shortest decimal text of the f32, carried over in a type that prints just those digits.
        let shortest = self.0.to_string();
        match shortest.parse::<i64>() {
            Ok(whole) => serializer.serialize_newtype_struct(Self::NAME, &whole),
            Err(_) => {
                serializer.serialize_newtype_struct(Self::NAME, &shortest.parse().unwrap_or_else(|_| f64::from(self.0)))
            }
        }
    }
}

impl GoF32 {
    /// Tells writers that a whole number is a float still: YAML gives large ones an exponent, JSON does not.
    pub(crate) const NAME: &'static str = "GoF32";
}

impl<'de> Deserialize<'de> for GoF32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f32::deserialize(deserializer).map(Self)
    }
}

/// A file mode; JSON is quoted octal with a leading zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileMode(pub i64);

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Go puts the sign behind the zero.
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "0{sign}{:o}", self.0.unsigned_abs())
    }
}

impl Serialize for FileMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(number) => Ok(Self(number)),
            NumberOrText::Text(text) => i64::from_str_radix(&text, 8)
                .map(Self)
                .map_err(|_| de::Error::custom(format!("invalid file mode {text:?}, expected octal digits"))),
        }
    }
}

/// A device count, -1 for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceCount(pub i64);

impl Serialize for DeviceCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for DeviceCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(number) => Ok(Self(number)),
            NumberOrText::Text(text) if text.eq_ignore_ascii_case("all") => Ok(Self(-1)),
            NumberOrText::Text(text) => text.parse().map(Self).map_err(|_| {
                de::Error::custom(format!("invalid value {text:?}, the only value allowed is 'all' or a number"))
            }),
        }
    }
}

/// Host name to addresses; JSON is a sorted list of `host=ip`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExtraHosts(pub BTreeMap<String, Vec<String>>);

impl ExtraHosts {
    /// Every pair, joined by `separator`, sorted. The engine wants `:`, files and hashes `=`.
    pub fn lines(&self, separator: &str) -> Vec<String> {
        let mut lines: Vec<String> =
            self.0.iter().flat_map(|(host, ips)| ips.iter().map(move |ip| format!("{host}{separator}{ip}"))).collect();
        lines.sort();
        lines
    }

    /// Adds `host=ip[,ip]` or `host:ip`; brackets around an IPv6 address are dropped.
    pub fn push_line(&mut self, line: &str) -> Result<(), String> {
        let (host, ips) = line
            .split_once('=')
            .or_else(|| line.split_once(':'))
            .ok_or_else(|| format!("invalid additional host, missing IP: {line}"))?;
        self.push(host, ips.split(','))
    }

    /// Adds addresses of one host.
    pub fn push<'a>(&mut self, host: &str, ips: impl Iterator<Item = &'a str>) -> Result<(), String> {
        if host.is_empty() || host.contains([':', '=']) {
            return Err(format!("bad host name {host:?}"));
        }
        let list = self.0.entry(host.to_owned()).or_default();
        for ip in ips {
            let bare = ip.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).filter(|inner| !inner.is_empty());
            list.push(bare.unwrap_or(ip).to_owned());
        }
        Ok(())
    }
}

impl Serialize for ExtraHosts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.lines("="))
    }
}

impl<'de> Deserialize<'de> for ExtraHosts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut hosts = Self::default();
        for line in Vec::<String>::deserialize(deserializer)? {
            hosts.push_line(&line).map_err(de::Error::custom)?;
        }
        Ok(hosts)
    }
}

/// A ulimit: one number, or soft and hard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ulimit {
    /// Soft and hard at once; 0 = not used.
    pub single: i64,
    /// What a process has at its start; it may raise it up to the hard limit.
    pub soft: i64,
    /// What it cannot go beyond.
    pub hard: i64,
}

impl Serialize for Ulimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.single != 0 {
            return serializer.serialize_i64(self.single);
        }
        let mut map = serializer.serialize_struct("Ulimit", 2)?;
        if self.soft != 0 {
            map.serialize_field("soft", &self.soft)?;
        }
        if self.hard != 0 {
            map.serialize_field("hard", &self.hard)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Ulimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Single(i64),
            Pair {
                #[serde(default)]
                soft: i64,
                #[serde(default)]
                hard: i64,
            },
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Single(single) => Self { single, soft: 0, hard: 0 },
            Form::Pair { soft, hard } => Self { single: 0, soft, hard },
        })
    }
}

/// One entry of `env_file`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnvFile {
    /// The file, absolute.
    pub path: String,
    /// Whether its absence is an error.
    pub required: bool,
    /// `raw`, or empty for the default format.
    pub format: String,
    /// Written as a mapping where a text would do: in `pre_start`, which came with Compose 5.
    pub long: bool,
}

impl Serialize for EnvFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.required && !self.long {
            return serializer.serialize_str(&self.path);
        }
        let mut map = serializer.serialize_struct("EnvFile", 3)?;
        if !self.path.is_empty() {
            map.serialize_field("path", &self.path)?;
        }
        if !self.required {
            map.serialize_field("required", &self.required)?;
        }
        if !self.format.is_empty() {
            map.serialize_field("format", &self.format)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for EnvFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Path(String),
            Long {
                #[serde(default)]
                path: String,
                #[serde(default = "yes")]
                required: bool,
                #[serde(default)]
                format: String,
            },
        }
        fn yes() -> bool {
            true
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Path(path) => Self { path, required: true, format: String::new(), long: false },
            Form::Long { path, required, format } => Self { path, required, format, long: false },
        })
    }
}

/// One entry of `build.ssh`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SshKey {
    /// Identifier, `default` for the agent.
    pub id: String,
    /// Socket or key path; empty = agent.
    pub path: String,
}

impl Serialize for SshKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.path.is_empty() {
            return serializer.serialize_str(&self.id);
        }
        // Compose 2.40 writes invalid JSON here and fails; the short form of the file syntax reads back.
        serializer.serialize_str(&format!("{}={}", self.id, self.path))
    }
}

impl<'de> Deserialize<'de> for SshKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (id, path) = text.split_once('=').unwrap_or((&text, ""));
        Ok(Self { id: id.to_owned(), path: path.to_owned() })
    }
}

/// A scalar that is written as a number or as text.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum NumberOrText {
    Number(i64),
    Text(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Bytes;

    #[test]
    fn scalars_print_and_read_back() {
        fn check<T: Serialize + de::DeserializeOwned + PartialEq + fmt::Debug>(value: T, json: &str) {
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
            assert_eq!(serde_json::from_str::<T>(json).unwrap(), value);
        }
        check(Bytes(-1), r#""-1""#);
        check(Bytes(67_108_864), r#""67108864""#);
        check(FileMode(0o440), r#""0440""#);
        check(GoF32(0.1), "0.1");
        check(GoF32(2.0), "2");
        check(DeviceCount(-1), "-1");
        check(Ulimit { single: 65535, soft: 0, hard: 0 }, "65535");
        check(Ulimit { single: 0, soft: 1, hard: 2 }, r#"{"soft":1,"hard":2}"#);
        check(Ulimit::default(), "{}");
        check(SshKey { id: "default".into(), path: String::new() }, r#""default""#);
        check(SshKey { id: "k".into(), path: "/p".into() }, r#""k=/p""#);
        check(EnvFile { path: "/a".into(), required: true, ..EnvFile::default() }, r#""/a""#);
        check(
            EnvFile { path: "/a".into(), format: "raw".into(), ..EnvFile::default() },
            r#"{"path":"/a","required":false,"format":"raw"}"#,
        );
        let mut hosts = ExtraHosts::default();
        hosts.push_line("z:[::1]").unwrap();
        hosts.push_line("a=1.2.3.4,5.6.7.8").unwrap();
        check(hosts, r#"["a=1.2.3.4","a=5.6.7.8","z=::1"]"#);
    }

    proptest::proptest! {
        #[test]
        fn every_f32_reads_back(bits: u32) {
            let value = f32::from_bits(bits);
            if value.is_finite() {
                let json = serde_json::to_string(&GoF32(value)).unwrap();
                proptest::prop_assert_eq!(serde_json::from_str::<GoF32>(&json).unwrap(), GoF32(value));
            }
        }
    }
}
