//! Scalar types whose JSON form is Go's: durations as `1m30s`, sizes as quoted decimals, modes as `"0440"`.
//!
//! Both ways are needed: writing feeds `config-hash` and `config`, reading takes a rendered project back.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};

/// Whether a value is its type's default; Go's `omitempty` for scalars.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A duration in nanoseconds; JSON is Go text such as `1m30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Duration(pub i64);

impl Duration {
    /// As a standard duration; negative values become zero.
    pub fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }

    /// Whole seconds, truncated, as the engine's `StopTimeout` wants them.
    pub fn whole_seconds(self) -> i64 {
        self.0 / NANOS_PER_SECOND
    }

    /// Reads Go text, plus the units `d` (24 h) and `w` (7 d) that Compose files may use.
    ///
    /// A bare number is refused except `0`. The message of the error names the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse_duration(text).map(Self)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let negative = self.0 < 0;
        let total = self.0.unsigned_abs();
        if total == 0 {
            return f.write_str("0s");
        }
        if negative {
            f.write_str("-")?;
        }
        let second = NANOS_PER_SECOND.unsigned_abs();
        if total < second {
            let (unit, name) = match total {
                0..1_000 => (1, "ns"),
                1_000..1_000_000 => (1_000, "µs"),
                _ => (1_000_000, "ms"),
            };
            return write!(f, "{}{name}", with_fraction(total, unit));
        }
        let minutes = total / (60 * second);
        let hours = minutes / 60;
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if minutes > 0 {
            write!(f, "{}m", minutes % 60)?;
        }
        write!(f, "{}s", with_fraction(total % (60 * second), second))
    }
}

/// `value / unit` as a decimal without trailing zeros.
fn with_fraction(value: u64, unit: u64) -> String {
    let whole = value / unit;
    let rest = value % unit;
    if rest == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{rest:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

const NANOS_PER_SECOND: i64 = 1_000_000_000;

fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("invalid duration {text:?}");
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or("")),
        Some(b'+') => (false, text.get(1..).unwrap_or("")),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut exact: i128 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return Err(invalid()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 40 {
            return Err(invalid());
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        exact = whole.checked_mul(scale).and_then(|v| exact.checked_add(v)).ok_or_else(invalid)?;
        if !fraction.is_empty() {
            // Digits past the nanosecond of any unit carry no information; 20 keep the division within i128.
            let digits: String = fraction.chars().take(20).collect();
            let numerator: i128 = digits.parse().map_err(|_| invalid())?;
            let divisor = 10_i128.pow(u32::try_from(digits.len()).map_err(|_| invalid())?);
            exact = numerator
                .checked_mul(scale)
                .map(|v| v / divisor)
                .and_then(|v| exact.checked_add(v))
                .ok_or_else(invalid)?;
        }
        rest = after;
    }
    let value = i64::try_from(exact).map_err(|_| invalid())?;
    Ok(if negative { -value } else { value })
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// A size in bytes; JSON is a quoted decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bytes(pub i64);

impl Bytes {
    /// Reads `512`, `64m`, `1.5gb`, `2GiB` (1024-based). A file gives a negative size as a number, not as text.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse_bytes(text).map(Self)
    }
}

fn parse_bytes(text: &str) -> Result<i64, String> {
    let invalid = || format!("invalid size {text:?}");
    let number_end = text.rfind(|c: char| c.is_ascii_digit() || c == '.').map_or(0, |i| i + 1);
    let (number, suffix) = text.split_at(number_end);
    // One space may stand between number and unit.
    let suffix = suffix.strip_prefix(' ').unwrap_or(suffix);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let value = go_float(number).filter(|value| value.is_finite()).ok_or_else(invalid)?;
    let suffix = suffix.to_ascii_lowercase();
    let power = match suffix.as_str() {
        "" | "b" => 0,
        _ => {
            let (letter, tail) = suffix.split_at_checked(1).ok_or_else(invalid)?;
            if !matches!(tail, "" | "b" | "ib") {
                return Err(invalid());
            }
            match letter {
                "k" => 1,
                "m" => 2,
                "g" => 3,
                "t" => 4,
                "p" => 5,
                _ => return Err(invalid()),
            }
        }
    };
    if value < 0.0 {
        return Err(invalid());
    }
    let bytes = value * 1024_f64.powi(power);
    if bytes >= 9.2e18 {
        return Err(invalid());
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded just above; Go truncates the same way")]
    let bytes = bytes as i64;
    Ok(bytes)
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(number) => Ok(Self(number)),
            NumberOrText::Text(text) => {
                text.parse().map_or_else(|_| Self::parse(&text), |number| Ok(Self(number))).map_err(de::Error::custom)
            }
        }
    }
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
        if let Ok(integer) = shortest.parse::<i64>() {
            return serializer.serialize_i64(integer);
        }
        serializer.serialize_f64(shortest.parse().unwrap_or_else(|_| f64::from(self.0)))
    }
}

impl<'de> Deserialize<'de> for GoF32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f32::deserialize(deserializer).map(Self)
    }
}

/// Reads a number as Go's `ParseFloat` does: `_` between digits and hexadecimal floats are fine, overflow is not.
pub fn go_float(text: &str) -> Option<f64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let value = match digits.get(..2) {
        Some("0x" | "0X") => hexadecimal_float(digits.get(2..)?)?,
        _ if digits.starts_with(['+', '-']) => return None,
        _ => {
            let bytes = digits.as_bytes();
            let digit_at = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
            let separates = |(at, b): (usize, &u8)| *b != b'_' || (digit_at(at.checked_sub(1)) && digit_at(Some(at + 1)));
            if !bytes.iter().enumerate().all(separates) {
                return None;
            }
            let value: f64 = digits.replace('_', "").parse().ok()?;
            let named = digits.starts_with(['i', 'I']);
            (value.is_finite() || value.is_nan() || named).then_some(value)?
        }
    };
    Some(if negative { -value } else { value })
}

/// `1.8p3` = 1.5 * 2^3; the exponent is required.
fn hexadecimal_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if (whole.is_empty() && fraction.is_empty()) || mantissa.len() > 64 {
        return None;
    }
    let digit = |value: f64, character: char| Some(value * 16.0 + f64::from(character.to_digit(16)?));
    let value = whole.chars().chain(fraction.chars()).try_fold(0.0, digit)?;
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?.checked_mul(4)?)?;
    Some(value * 2_f64.powi(shift)).filter(|value| value.is_finite())
}

/// A file mode; JSON is quoted octal with a leading zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileMode(pub i64);

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0{:o}", self.0)
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
        let mut lines: Vec<String> = self
            .0
            .iter()
            .flat_map(|(host, ips)| ips.iter().map(move |ip| format!("{host}{separator}{ip}")))
            .collect();
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
    /// Soft limit.
    pub soft: i64,
    /// Hard limit.
    pub hard: i64,
}

impl Serialize for Ulimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.single != 0 {
            return serializer.serialize_i64(self.single);
        }
        let mut map = serializer.serialize_map(None)?;
        if self.soft != 0 {
            map.serialize_entry("soft", &self.soft)?;
        }
        if self.hard != 0 {
            map.serialize_entry("hard", &self.hard)?;
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
    /// Absolute path.
    pub path: String,
    /// Whether its absence is an error.
    pub required: bool,
    /// `raw`, or empty for the default format.
    pub format: String,
}

impl Serialize for EnvFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.required {
            return serializer.serialize_str(&self.path);
        }
        let mut map = serializer.serialize_map(None)?;
        if !self.path.is_empty() {
            map.serialize_entry("path", &self.path)?;
        }
        map.serialize_entry("required", &self.required)?;
        if !self.format.is_empty() {
            map.serialize_entry("format", &self.format)?;
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
            Form::Path(path) => Self { path, required: true, format: String::new() },
            Form::Long { path, required, format } => Self { path, required, format },
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

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(i64),
    Text(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_go_does() {
        for (text, printed) in [
            ("0", "0s"),
            ("1ns", "1ns"),
            ("1500us", "1.5ms"),
            ("1.5µs", "1.5µs"),
            ("90s", "1m30s"),
            ("1m30s", "1m30s"),
            ("1500ms", "1.5s"),
            ("2d", "48h0m0s"),
            ("1w", "168h0m0s"),
            (".5s", "500ms"),
            ("1h0.25s", "1h0m0.25s"),
            ("-1m", "-1m0s"),
        ] {
            assert_eq!(Duration::parse(text).map(|d| d.to_string()), Ok(printed.to_owned()), "{text}");
        }
        for text in ["", "10", "-", "1x", "s", ".s", "1..2s", "99999999999h", "1 s"] {
            assert!(Duration::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_read_as_go_units_does() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("64MiB", 64 << 20),
            ("1.5g", 3 << 29),
            ("2 kb", 2048),
            ("1_0m", 10 << 20),
            ("0x1p2m", 4 << 20),
        ] {
            assert_eq!(Bytes::parse(text), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "m", "1x", "1mm", "-2", "1e400", "9999999999g", "1__0m", "_1m", "0x10m", "+-1m", "-1"] {
            assert!(Bytes::parse(text).is_err(), "{text:?}");
        }
    }

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
        check(EnvFile { path: "/a".into(), required: true, format: String::new() }, r#""/a""#);
        check(
            EnvFile { path: "/a".into(), required: false, format: "raw".into() },
            r#"{"path":"/a","required":false,"format":"raw"}"#,
        );
        let mut hosts = ExtraHosts::default();
        hosts.push_line("z:[::1]").unwrap();
        hosts.push_line("a=1.2.3.4,5.6.7.8").unwrap();
        check(hosts, r#"["a=1.2.3.4","a=5.6.7.8","z=::1"]"#);
    }

    proptest::proptest! {
        #[test]
        fn every_duration_reads_back(nanos in i64::MIN + 1..=i64::MAX) {
            let text = Duration(nanos).to_string();
            proptest::prop_assert_eq!(Duration::parse(&text), Ok(Duration(nanos)));
        }

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
