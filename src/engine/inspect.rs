//! Small questions to the engine that several parts ask.

use std::{collections::HashMap, pin::Pin};

use bollard::{
    models::{ContainerInspectResponse, EventMessage},
    query_parameters::{EventsOptions, InspectContainerOptions, LogsOptionsBuilder},
};
use futures_util::{Stream, StreamExt, stream};

use super::{Engine, EngineError, observe::absent_is_none};

/// Longest line of a log that is kept; longer ones are cut.
const LINE_BYTES: usize = 4096;

/// Events of containers. Never ends, so that losing the connection only costs latency.
pub type ContainerEvents = Pin<Box<dyn Stream<Item = EventMessage> + Send>>;

impl Engine {
    /// A container by ID or name; `None` when there is none.
    pub(super) async fn find_container(&self, id: &str) -> Result<Option<ContainerInspectResponse>, EngineError> {
        absent_is_none(self.docker().inspect_container(id, None::<InspectContainerOptions>).await)
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
    pub async fn last_lines(&self, id: &str, lines: usize) -> Vec<String> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&lines.to_string()).build();
        let mut text = String::new();
        let mut chunks = Box::pin(self.docker().logs(id, Some(options)));
        while let Some(Ok(chunk)) = chunks.next().await {
            text.push_str(&chunk.to_string());
            if text.len() > LINE_BYTES * (lines + 1) {
                break;
            }
        }
        let all: Vec<String> =
            text.lines().map(|line| line.trim_end_matches('\r').chars().take(LINE_BYTES).collect()).collect();
        all.into_iter().rev().take(lines).rev().collect()
    }
}
