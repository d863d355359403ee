//! Types that attributes get after interpolation: `"${REPLICAS}"` is text until here.

use super::model::go_float;
use turnout_yaml::Value;

/// A type that text is turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cast {
    Int,
    Float,
    /// Rounded to 32 bits, as `cpus` is.
    Float32,
    Bool,
}

/// The type of the attribute at a path, list positions written `[]`, if it has one (compose-go
/// `interpolateTypeCastMapping`).
pub(super) fn cast_at(path: &[&str]) -> Option<Cast> {
    match path {
        // Each step is a container like that of a service.
        ["services", name, "pre_start", "[]", rest @ ..] => cast_at(&[&["services", *name], rest].concat()),
        ["services", _, rest @ ..] => match rest {
            ["cpu_count" | "cpu_period" | "cpu_quota" | "cpu_rt_period" | "cpu_rt_runtime" | "cpu_shares"]
            | ["oom_score_adj" | "pids_limit" | "scale"]
            | ["deploy", "replicas"]
            | ["deploy", "update_config" | "rollback_config", "parallelism"]
            | ["deploy", "restart_policy", "max_attempts"]
            | ["deploy", "placement", "max_replicas_per_node"]
            | ["healthcheck", "retries"]
            | ["ports", "[]", "target"]
            | ["ulimits", _]
            | ["ulimits", _, "hard" | "soft"] => Some(Cast::Int),
            ["cpu_percent"] | ["deploy", "update_config" | "rollback_config", "max_failure_ratio"] => Some(Cast::Float),
            ["cpus"] => Some(Cast::Float32),
            ["init" | "oom_kill_disable" | "privileged" | "read_only" | "stdin_open" | "tty"]
            | ["healthcheck", "disable"]
            | ["volumes", "[]", "read_only"]
            | ["volumes", "[]", "volume", "nocopy"] => Some(Cast::Bool),
            _ => None,
        },
        ["networks", _, "external" | "internal" | "attachable" | "enable_ipv4" | "enable_ipv6"]
        | ["volumes" | "secrets" | "configs", _, "external"] => Some(Cast::Bool),
        _ => None,
    }
}

/// Turns `text` into its type. A warning comes along when the spelling is not YAML 1.2.
///
/// # Errors
///
/// What would be right.
pub(super) fn apply(cast: Cast, text: &str) -> Result<(Value, Option<String>), String> {
    match cast {
        Cast::Int => {
            let digits = text.strip_prefix('+').unwrap_or(text);
            let signed_twice = digits.len() < text.len() && digits.starts_with(['+', '-']);
            match digits.parse::<i64>() {
                Ok(number) if !signed_twice => Ok((Value::Int(number), None)),
                _ => Err("a whole number such as 3".into()),
            }
        }
        Cast::Float => number(text).map(|n| (Value::Float(n), None)),
        #[expect(clippy::cast_possible_truncation, reason = "the attribute has 32 bits")]
        Cast::Float32 => number(text).map(|n| (Value::Float(f64::from(n as f32)), None)),
        Cast::Bool => {
            let unusual = |value: bool| {
                let message = format!("{text:?} for boolean is not supported by YAML 1.2, please use `{value}`");
                Ok((Value::Bool(value), Some(message)))
            };
            match text.to_lowercase().as_str() {
                "true" => Ok((Value::Bool(true), None)),
                "false" => Ok((Value::Bool(false), None)),
                "y" | "yes" | "on" => unusual(true),
                "n" | "no" | "off" => unusual(false),
                _ => Err("true or false".into()),
            }
        }
    }
}

fn number(text: &str) -> Result<f64, String> {
    go_float(text).ok_or_else(|| "a number such as 0.5".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_what_the_attribute_needs() {
        for (cast, text, want) in [
            (Cast::Int, "3", Some(Value::Int(3))),
            (Cast::Int, "-1", Some(Value::Int(-1))),
            (Cast::Int, "+2", Some(Value::Int(2))),
            (Cast::Int, "+-2", None),
            (Cast::Int, "1.5", None),
            (Cast::Int, "", None),
            (Cast::Int, "0x10", None),
            (Cast::Float, "0.25", Some(Value::Float(0.25))),
            (Cast::Float, "1e999", None),
            (Cast::Float32, "0.1", Some(Value::Float(f64::from(0.1_f32)))),
            (Cast::Bool, "TRUE", Some(Value::Bool(true))),
            (Cast::Bool, "Off", Some(Value::Bool(false))),
            (Cast::Bool, "1", None),
        ] {
            assert_eq!(apply(cast, text).ok().map(|(value, _)| value), want, "{cast:?} {text:?}");
        }
        assert!(apply(Cast::Bool, "yes").unwrap().1.unwrap().contains("please use `true`"));
        assert!(apply(Cast::Bool, "true").unwrap().1.is_none());
    }

    #[test]
    fn paths_find_their_types() {
        for (path, want) in [
            ("services/web/ports/[]/target", Some(Cast::Int)),
            ("services/web/cpus", Some(Cast::Float32)),
            ("services/web/ulimits/nofile/soft", Some(Cast::Int)),
            ("networks/a/internal", Some(Cast::Bool)),
            ("secrets/a/external", Some(Cast::Bool)),
            ("services/web/image", None),
            ("services/web/environment/scale", None),
        ] {
            assert_eq!(cast_at(&path.split('/').collect::<Vec<_>>()), want, "{path}");
        }
    }
}
