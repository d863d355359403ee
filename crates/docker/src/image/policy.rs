//! When an image is pulled, by the service's `pull_policy` (Compose specification). Pure.

use std::time::Duration;

use turnout_compose::model;

/// `pull_policy` of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullPolicy {
    /// When absent (also `missing`, `if_not_present`, `refresh`, and nothing).
    #[default]
    Missing,
    /// Every time, even when it is there.
    Always,
    /// Not even when absent.
    Never,
    /// Never, but build every time.
    Build,
    /// When absent, or when the local tag is older than this.
    Every(Duration),
}

/// What to do about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullDecision {
    /// It is pulled; the text says why.
    Pull(String),
    /// It is left as it is; the text says why.
    Keep(String),
    /// It is absent and may not be pulled.
    Refuse(String),
}

impl PullPolicy {
    /// Reads the text of `pull_policy`.
    pub fn parse(text: &str) -> Result<Self, String> {
        const DAY: u64 = 24 * 60 * 60;
        match text {
            "" | "missing" | "if_not_present" | "refresh" => Ok(Self::Missing),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            "build" => Ok(Self::Build),
            "daily" => Ok(Self::Every(Duration::from_secs(DAY))),
            "weekly" => Ok(Self::Every(Duration::from_secs(7 * DAY))),
            other => other.strip_prefix("every_").and_then(duration).map(Self::Every).ok_or_else(|| {
                format!(
                    "pull_policy {other:?} is unknown: use always, never, missing, build, daily, weekly or every_<duration>"
                )
            }),
        }
    }

    /// Decides. `present`: the image is here for the right platform. `last_tag` and `now`: seconds since 1970, of
    /// the local tag's last change and of now. `buildable`: the service can build it.
    pub fn decide(self, present: bool, last_tag: Option<i64>, now: i64, buildable: bool) -> PullDecision {
        use PullDecision::{Keep, Pull, Refuse};
        match self {
            Self::Always => Pull("pull_policy is always".into()),
            Self::Build => Keep("pull_policy is build".into()),
            Self::Never if present || buildable => Keep("pull_policy is never".into()),
            Self::Never => Refuse("the image is absent and pull_policy is never: load or build it".into()),
            Self::Missing | Self::Every(_) if !present => Pull("the image is absent".into()),
            Self::Missing => Keep("the image is here".into()),
            Self::Every(limit) => match last_tag {
                None => Keep("the engine does not tell how old the local tag is".into()),
                Some(then) => {
                    let age = u64::try_from(now.saturating_sub(then)).unwrap_or(0);
                    if age > limit.as_secs() {
                        Pull(format!("the local tag is {age} s old, more than {} s", limit.as_secs()))
                    } else {
                        Keep(format!("the local tag is {age} s old"))
                    }
                }
            },
        }
    }
}

/// A duration such as `12h`, `1h30m`, `2d` or `1w`.
fn duration(text: &str) -> Option<Duration> {
    model::Duration::parse(text).ok().map(model::Duration::as_std)
}

/// A platform (`os[/architecture[/variant]]`) as the engine's API takes it, in JSON; `None` without an architecture.
pub fn platform_json(wanted: &str) -> Option<String> {
    let (os, architecture, variant) = platform_parts(wanted)?;
    let architecture = architecture?;
    let mut parts = serde_json::json!({ "os": os, "architecture": architecture });
    if !variant.is_empty() {
        parts["variant"] = variant.into();
    }
    Some(parts.to_string())
}

/// Operating system, architecture and variant of a wish; `None` where nothing is wished.
pub fn platform_parts(wanted: &str) -> Option<(String, Option<String>, String)> {
    let mut parts = wanted.split('/').map(str::to_ascii_lowercase);
    let first = parts.next().filter(|first| !first.is_empty())?;
    // One word is an operating system or an architecture.
    let (os, architecture) = match (parts.next(), first.as_str()) {
        (Some(architecture), _) => (first, architecture),
        (None, "linux" | "windows" | "darwin" | "freebsd") => return Some((first, None, String::new())),
        (None, _) => ("linux".to_owned(), first),
    };
    let (architecture, implied) = architecture_alias(&architecture);
    Some((os, Some(architecture), parts.next().unwrap_or(implied)))
}

/// The usual name of an architecture, and the variant that its other name implies.
fn architecture_alias(text: &str) -> (String, String) {
    let (architecture, variant) = match text {
        "x86_64" | "x86-64" => ("amd64", ""),
        "aarch64" => ("arm64", ""),
        "i386" => ("386", ""),
        "armhf" => ("arm", "v7"),
        "armel" => ("arm", "v6"),
        other => (other, ""),
    };
    (architecture.to_owned(), variant.to_owned())
}

/// Whether an image of `have` (`os`, `architecture`, `variant`) serves a service that wants `wanted`
/// (`os[/architecture[/variant]]`, empty = any).
pub fn platform_fits(wanted: &str, os: &str, architecture: &str, variant: &str) -> bool {
    let Some((wanted_os, wanted_arch, wanted_variant)) = platform_parts(wanted) else { return true };
    let Some(wanted_arch) = wanted_arch else { return os.eq_ignore_ascii_case(&wanted_os) };
    let normal = |arch: &str, variant: &str| match (arch, variant.to_ascii_lowercase().as_str()) {
        ("arm64", "v8") | ("arm64", "8") | ("amd64", "v1") => String::new(),
        ("arm", "" | "7") => "v7".to_owned(),
        (_, other) => other.to_owned(),
    };
    let wanted_variant = normal(&wanted_arch, &wanted_variant);
    let (have_arch, _) = architecture_alias(&architecture.to_ascii_lowercase());
    wanted_os.eq_ignore_ascii_case(os) && wanted_arch == have_arch && wanted_variant == normal(&have_arch, variant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read() {
        for (text, expected) in [
            ("", Some(PullPolicy::Missing)),
            ("refresh", Some(PullPolicy::Missing)),
            ("always", Some(PullPolicy::Always)),
            ("daily", Some(PullPolicy::Every(Duration::from_secs(86_400)))),
            ("every_1h30m", Some(PullPolicy::Every(Duration::from_secs(5_400)))),
            ("every_2w", Some(PullPolicy::Every(Duration::from_secs(1_209_600)))),
            ("every_", None),
            ("every_5", None),
            ("every_5x", None),
            ("sometimes", None),
        ] {
            assert_eq!(PullPolicy::parse(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn decisions() {
        let every = PullPolicy::Every(Duration::from_secs(100));
        for (policy, present, tag, buildable, expected) in [
            (PullPolicy::Missing, true, None, false, "keep"),
            (PullPolicy::Missing, false, None, false, "pull"),
            (PullPolicy::Always, true, None, false, "pull"),
            (PullPolicy::Never, false, None, false, "refuse"),
            (PullPolicy::Never, false, None, true, "keep"),
            (PullPolicy::Never, true, None, false, "keep"),
            (PullPolicy::Build, false, None, true, "keep"),
            (every, false, None, false, "pull"),
            (every, true, Some(950), false, "keep"),
            (every, true, Some(899), false, "pull"),
            (every, true, Some(2_000), false, "keep"),
            (every, true, None, false, "keep"),
        ] {
            let decided = match policy.decide(present, tag, 1_000, buildable) {
                PullDecision::Pull(_) => "pull",
                PullDecision::Keep(_) => "keep",
                PullDecision::Refuse(_) => "refuse",
            };
            assert_eq!(decided, expected, "{policy:?} {present} {tag:?} {buildable}");
        }
    }

    #[test]
    fn platforms_are_written_as_the_engine_reads_them() {
        for (wanted, expected) in [
            ("", None),
            ("linux", None),
            ("linux/arm64", Some(r#"{"architecture":"arm64","os":"linux"}"#)),
            ("aarch64", Some(r#"{"architecture":"arm64","os":"linux"}"#)),
            ("linux/arm/v6", Some(r#"{"architecture":"arm","os":"linux","variant":"v6"}"#)),
            ("linux/armhf", Some(r#"{"architecture":"arm","os":"linux","variant":"v7"}"#)),
        ] {
            assert_eq!(platform_json(wanted).as_deref(), expected, "{wanted}");
        }
    }

    #[test]
    fn platforms() {
        for (wanted, os, arch, variant, expected) in [
            ("", "linux", "amd64", "", true),
            ("linux/amd64", "linux", "amd64", "", true),
            ("linux/x86_64", "linux", "amd64", "", true),
            ("linux/arm64", "linux", "amd64", "", false),
            ("linux/arm64", "linux", "arm64", "v8", true),
            ("linux/arm64/v8", "linux", "arm64", "", true),
            ("linux/arm/v6", "linux", "arm", "v7", false),
            ("linux/arm", "linux", "arm", "v7", true),
            ("windows/amd64", "linux", "amd64", "", false),
            ("linux", "linux", "riscv64", "", true),
            ("amd64", "linux", "amd64", "", true),
        ] {
            assert_eq!(platform_fits(wanted, os, arch, variant), expected, "{wanted} {os}/{arch}/{variant}");
        }
    }
}
