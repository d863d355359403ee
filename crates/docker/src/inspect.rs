//! Questions to the engine that several parts ask: a container's state, its last lines, its events.

use std::{collections::HashMap, pin::Pin, time::Duration};

use bollard::{
    models::{ContainerInspectResponse, EventMessage},
    query_parameters::{EventsOptions, InspectContainerOptions, LogsOptionsBuilder},
};
use futures_util::{Stream, StreamExt, stream};
use turnout_report::{Reporter, cut_texts::CUT};

use super::{Engine, EngineError, observe::absent_is_none};

/// Longest line of a log that is kept; longer ones are cut.
const LINE_BYTES: usize = 4096;
/// The engine keeps a longer line in pieces of this size (moby `daemon/logger/copier.go`, `defaultBufSize`), and counts
/// each as a line.
const PIECE_BYTES: usize = 16 << 10;
/// How long the last lines of a container are waited for: they explain a failure, and must not hold it back.
const LAST_LINES: Duration = Duration::from_secs(5);

/// Events of containers. Never ends, so that losing the connection only costs latency.
pub type ContainerEvents = Pin<Box<dyn Stream<Item = EventMessage> + Send>>;

impl Engine {
    /// A container by ID or name; `None` when there is none.
    pub(super) async fn find_container(&self, id: &str) -> Result<Option<ContainerInspectResponse>, EngineError> {
        absent_is_none(self.ask(self.docker().inspect_container(id, None::<InspectContainerOptions>)).await)
            .map_err(|e| EngineError::api(format!("inspect container {id}"), e))
    }

    /// Events of these kinds from these containers, from now on.
    pub(super) fn container_events(&self, ids: &[&str], kinds: &[&str]) -> ContainerEvents {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("container".to_owned(), owned(ids)),
            ("event".to_owned(), owned(kinds)),
        ]);
        self.events(filters)
    }

    /// Events by the engine's filters.
    pub(super) fn events(&self, filters: HashMap<String, Vec<String>>) -> ContainerEvents {
        let options = EventsOptions { since: None, until: None, filters: Some(filters) };
        let events = self.docker().events(Some(options)).filter_map(|event| async move { event.ok() });
        Box::pin(events.chain(stream::pending()))
    }

    /// The last lines of a container's log, for a failure's explanation; none when they cannot be had.
    pub async fn last_lines(&self, id: &str, lines: usize, reporter: &dyn Reporter) -> Vec<String> {
        // Without them nobody knows what in its words is secret.
        let Ok(variables) = self.variables_of(id).await else { return Vec::new() };
        reporter.variables(&variables);
        // One more, so that the first that is shown is whole.
        let tail = (lines + 1).to_string();
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&tail).build();
        let mut text = String::new();
        let mut chunks = Box::pin(self.docker().logs(id, Some(options)));
        let read = async {
            while let Some(Ok(chunk)) = chunks.next().await {
                text.push_str(&chunk.to_string());
                if text.len() > LINE_BYTES * (lines + 1) {
                    return false;
                }
            }
            true
        };
        // What has come by then is better than nothing.
        let whole = tokio::time::timeout(LAST_LINES, read).await.unwrap_or(false);
        if !whole && !text.ends_with('\n') {
            text.push(CUT);
        }
        last_of(&text, lines)
    }

    /// The variables that a container was made with; none where it is gone.
    async fn variables_of(&self, id: &str) -> Result<Vec<(String, String)>, EngineError> {
        let found = self.find_container(id).await?;
        let variables = found.and_then(|found| found.config).and_then(|config| config.env).unwrap_or_default();
        Ok(pairs(&variables))
    }
}

/// Variables as a container has them, `NAME=value`, apart.
pub(super) fn pairs(variables: &[String]) -> Vec<(String, String)> {
    let pair = |text: &String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    variables.iter().filter_map(pair).collect()
}

/// The last lines of a text that holds one more where there were more. [`CUT`] stands where one of them is not whole.
fn last_of(text: &str, lines: usize) -> Vec<String> {
    let all: Vec<&str> = text.lines().map(|line| line.trim_end_matches('\r')).collect();
    let begun = all.len() <= lines && text.len() >= PIECE_BYTES;
    let last = all.iter().enumerate().skip(all.len().saturating_sub(lines)).map(|(at, line)| {
        let mut kept = if at == 0 && begun { String::from(CUT) } else { String::new() };
        kept.extend(line.chars().take(LINE_BYTES));
        if line.chars().nth(LINE_BYTES).is_some() {
            kept.push(CUT);
        }
        kept
    });
    last.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_not_whole_say_so() {
        let long = "x".repeat(PIECE_BYTES);
        let kept = "x".repeat(LINE_BYTES);
        for (text, expected) in [
            ("", vec![]),
            ("a\r\nb\n", vec!["a".to_owned(), "b".to_owned()]),
            // The first may be the end of a longer one.
            ("a\nb\nc\n", vec!["b".to_owned(), "c".to_owned()]),
            (&format!("a\n{long}\n"), vec![format!("{CUT}a"), format!("{kept}{CUT}")]),
            (&format!("a\n{long}\nb\n"), vec![format!("{kept}{CUT}"), "b".to_owned()]),
        ] {
            assert_eq!(last_of(text, 2), expected);
        }
    }
}
