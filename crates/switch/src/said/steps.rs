//! `steps` and `sticky`: the shares of the requests that a next colour gets before it gets all of them.

use serde_json::Value;

use super::{
    fields::{Fields, Reading, below},
    parts::{self, MOST_STEPS},
    words::{StepSaid, StepsSaid, StickySaid},
};

/// Reads both keys where they stand.
pub(super) fn steps(reading: &mut Reading, fields: &Fields<'_>) -> StepsSaid {
    let sticky = [("cookie", StickySaid::Cookie), ("address", StickySaid::Address)];
    StepsSaid {
        steps: fields.get("steps").and_then(|(at, value)| list(reading, &at, value)),
        sticky: fields.get("sticky").and_then(|(at, value)| reading.word(&at, value, &sticky)),
    }
}

fn list(reading: &mut Reading, path: &str, value: &Value) -> Option<Vec<StepSaid>> {
    let list = reading.list(path, value)?;
    if list.is_empty() || list.len() > MOST_STEPS {
        reading.mistakes.add(path, format!("is a list of {}; from 1 to {MOST_STEPS} steps may be", list.len()));
        return None;
    }
    let read: Vec<_> =
        list.iter().enumerate().map(|(at, item)| step(reading, &format!("{path}[{at}]"), item)).collect();
    let steps = read.into_iter().collect::<Option<Vec<StepSaid>>>()?;
    let falls = steps.windows(2).position(|pair| matches!(pair, [one, next] if next.weight <= one.weight));
    if let Some(at) = falls {
        // A client that was moved once is not moved back, so a smaller share would be none.
        reading.mistakes.add(format!("{path}[{}].weight", at + 1), "is not more than that of the step before it");
        return None;
    }
    Some(steps)
}

fn step(reading: &mut Reading, path: &str, value: &Value) -> Option<StepSaid> {
    let fields = reading.fields(path, value, &parts::names(parts::STEP), &[])?;
    let lasts = match fields.get("for") {
        Some((at, value)) => match reading.duration(&at, value)? {
            duration if duration.0 > 0 => Some(duration),
            _ => {
                reading.wrong(&at, value, "a duration longer than nothing, such as 2m,");
                return None;
            }
        },
        None => None,
    };
    let Some((at, value)) = fields.get("weight") else {
        reading.mistakes.add(below(path, "weight"), "is missing");
        return None;
    };
    let weight = value.as_u64().and_then(|weight| u8::try_from(weight).ok()).filter(|weight| (1..=99).contains(weight));
    if weight.is_none() {
        reading.wrong(&at, value, "a share from 1 to 99, of 100 clients (all of them is the switch itself),");
    }
    Some(StepSaid { weight: weight?, lasts })
}
