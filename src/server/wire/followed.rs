//! A log as one follows it, and how far a reader is in it.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    report::Event,
    store::{Deployment, LogLine},
};

/// One item of a followed log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Followed {
    /// A line that is kept.
    Line {
        /// The number of the deployment whose line it is.
        deployment: i64,
        /// The name of its repository, since one log may tell of many.
        repo: String,
        /// The line as it lies in the database, with its number.
        line: LogLine,
    },
    /// Something that only matters while one watches.
    Live {
        /// The number of the deployment that it happened in.
        deployment: i64,
        /// What happened, such as how far a pull is; it is kept nowhere.
        event: Event,
    },
    /// A deployment began, in the log of many. Only for those who ask for their position.
    Begun(Box<Deployment>),
    /// A deployment came to its verdict, in the log of many; lines of its watch may follow. Only for those who ask for their
    /// position, who may be told it again after a connection was cut off.
    Verdict(Box<Deployment>),
    /// The deployment ended; the last item when one deployment is followed.
    Ended(Box<Deployment>),
    /// What the log waits for. Only for those who ask for it.
    Waiting(Waiting),
    /// Something was forgotten before it could be shown, because the reader is too slow; in words.
    Missed(String),
    /// Where the log of many deployments stands, before its first line. Only for those who ask for it.
    Position(Position),
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What for, as it goes on from "waiting for".
    pub what: String,
    /// How long at most, in words, where there is a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<String>,
}

/// How far a reader is in the log of many deployments: `7,5:120,6:0` is one that began when 7 was the newest, 5 and 6 had
/// not ended, and of these lines up to 120 and none were shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// The newest deployment when the reader came. Later ones are shown from their beginning.
    pub newest: i64,
    /// Last lines that the reader has, by deployment. Of others up to `newest` nothing is wanted.
    pub seen: BTreeMap<i64, i64>,
}

/// Deployments of a position, at most: the newest. What is longer than a request may be is not sent.
const MOST_SEEN: usize = 200;
/// The line of a deployment of which no more is wanted.
pub(in crate::server) const ALL: i64 = i64::MAX;

impl Position {
    /// A line was shown.
    pub fn reached(&mut self, deployment: i64, line: i64) {
        self.seen.insert(deployment, line);
        while self.seen.len() > MOST_SEEN {
            self.seen.pop_first();
        }
    }

    /// The end of a deployment was shown.
    pub fn ended(&mut self, deployment: i64) {
        self.reached(deployment, ALL);
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.newest)?;
        self.seen.iter().try_for_each(|(deployment, line)| write!(f, ",{deployment}:{line}"))
    }
}

impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(',').take(MOST_SEEN + 1);
        let newest = parts.next().and_then(|newest| newest.parse().ok()).ok_or(())?;
        let pair = |part: &str| {
            let (deployment, line) = part.split_once(':')?;
            Some((deployment.parse().ok()?, line.parse().ok()?))
        };
        let seen = parts.map(|part| pair(part).ok_or(())).collect::<Result<_, _>>()?;
        Ok(Position { newest, seen })
    }
}

impl Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|()| serde::de::Error::custom("no position in a log"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_goes_there_and_back() {
        let mut position: Position = "7,5:120,6:0".parse().unwrap();
        assert_eq!((position.newest, position.seen[&5], position.seen[&6]), (7, 120, 0));
        assert_eq!(position.to_string(), "7,5:120,6:0");
        position.ended(6);
        position.reached(9, 3);
        let again: Position = serde_json::from_str(&serde_json::to_string(&position).unwrap()).unwrap();
        assert_eq!(again, position);
        for wrong in ["", "x", "7,", "7,5", "7,5:x", "7;5:1"] {
            assert!(wrong.parse::<Position>().is_err(), "{wrong}");
        }
        (0..1_000).for_each(|id| position.reached(id, 1));
        assert!(position.to_string().len() < 8_000 && position.seen.contains_key(&999), "not bounded");
    }
}
