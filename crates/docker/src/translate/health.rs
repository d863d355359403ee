//! Health checks and restart policies as the engine takes them.

use bollard::models::{HealthConfig, RestartPolicy as ApiRestart, RestartPolicyNameEnum};
use turnout_compose::model::{Deploy, Duration, Healthcheck, RestartPolicy};

use super::{gate, refuse, some_list};
use crate::{ApiVersion, EngineError};

/// `healthcheck`.
///
/// # Errors
/// What this daemon does not know.
pub fn health(name: &str, check: &Healthcheck, version: ApiVersion) -> Result<HealthConfig, EngineError> {
    let Healthcheck { test, timeout, interval, retries, start_period, start_interval, disable } = check;
    if start_interval.is_some() {
        gate(version, ApiVersion::v1(44), "25.0", name, "healthcheck.start_interval")?;
        if start_period.is_none() {
            return Err(refuse(
                name,
                "healthcheck.start_interval",
                "healthcheck.start_interval requires healthcheck.start_period to be set",
            ));
        }
    }
    let nanoseconds = |d: &Option<Duration>| d.map(|Duration(n)| n);
    Ok(HealthConfig {
        test: if *disable { Some(vec!["NONE".to_owned()]) } else { some_list(test) },
        interval: nanoseconds(interval),
        timeout: nanoseconds(timeout),
        retries: retries.map(|r| i64::try_from(r).unwrap_or(i64::MAX)),
        start_period: nanoseconds(start_period),
        start_interval: nanoseconds(start_interval),
    })
}

/// `deploy.restart_policy` wins over `restart`; neither is an empty name.
///
/// # Errors
/// What is no policy.
pub fn restart_policy(name: &str, restart: &str, deploy: Option<&Deploy>) -> Result<ApiRestart, EngineError> {
    let (attribute, condition, attempts) = match deploy.and_then(|d| d.restart_policy.as_ref()) {
        // Delay and window are an orchestrator's.
        Some(RestartPolicy { condition, delay: _, max_attempts, window: _ }) => {
            ("deploy.restart_policy.condition", condition.as_str(), max_attempts.unwrap_or(0))
        }
        None => match restart.split_once(':') {
            Some((condition, attempts)) => {
                let refuse = |_| refuse(name, "restart", format!("{attempts:?} is not a number of attempts"));
                ("restart", condition, attempts.parse::<u64>().map_err(refuse)?)
            }
            None => ("restart", restart, 0),
        },
    };
    let policy = match condition {
        "" => RestartPolicyNameEnum::EMPTY,
        "no" | "none" => RestartPolicyNameEnum::NO,
        "always" | "any" => RestartPolicyNameEnum::ALWAYS,
        "on-failure" => RestartPolicyNameEnum::ON_FAILURE,
        "unless-stopped" => RestartPolicyNameEnum::UNLESS_STOPPED,
        other => {
            let reason = format!("{other:?} is not one of no, always, on-failure[:attempts], unless-stopped");
            return Err(refuse(name, attribute, reason));
        }
    };
    Ok(ApiRestart { name: Some(policy), maximum_retry_count: i64::try_from(attempts).ok() })
}
