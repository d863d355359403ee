//! What the engine holds of all stacks, with the times that are needed to tell it later, and the stream of what changes of it.
//! Who keeps it, and for how long it is believed, is decided elsewhere.

use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
};

use bollard::{
    models::{EventMessage, EventMessageTypeEnum as Type},
    query_parameters::EventsOptions,
};
use futures_util::{Stream, StreamExt as _, stream};
use turnout_compose::labels;

use super::{Engine, EngineError, clock::here, happenings::shown, since, stacks::Stack, times::milliseconds};

/// Events that change what is shown of a stack.
const KINDS: [&str; 14] = [
    "tag",
    "untag",
    "delete",
    "create",
    "start",
    "die",
    "stop",
    "destroy",
    "rename",
    "pause",
    "unpause",
    "health_status",
    "update",
    "restart",
];
/// Containers that are looked at beside each other.
const AT_ONCE: usize = 8;
/// Nanoseconds in a millisecond.
const NANOS: i64 = 1_000_000;

/// Stacks by project, with the times of their containers.
#[derive(Debug, Clone, Default)]
pub struct Held {
    stacks: BTreeMap<String, Stack>,
    /// When each container was started and when it ended, by ID, in milliseconds of the engine's clock.
    times: HashMap<String, (Option<i64>, Option<i64>)>,
    /// How far the engine's clock is ahead of ours, in milliseconds.
    ahead: i64,
}

impl Held {
    /// The stacks, in words that are true at a moment: milliseconds since 1970 by our clock.
    pub fn at(&self, now: i64) -> BTreeMap<String, Stack> {
        let mut stacks = self.stacks.clone();
        let now = now.saturating_add(self.ahead);
        for container in stacks.values_mut().flat_map(|stack| &mut stack.containers) {
            let (started, ended) = self.times.get(&container.id).copied().unwrap_or_default();
            container.status = since::anew(&container.status, started, ended, now);
        }
        stacks
    }

    /// Takes what was read of one project in place of what is known of it. Its volumes are those of the last full look: no
    /// event of the engine says whose a volume is, so that an event of one asks for such a look.
    pub fn replace(&mut self, project: &str, part: Held) {
        let Held { stacks: mut read, times, ahead: _ } = part;
        let former = self.stacks.remove(project);
        for container in former.iter().flat_map(|stack| &stack.containers) {
            self.times.remove(&container.id);
        }
        self.times.extend(times);
        let volumes = former.map(|former| former.volumes).unwrap_or_default();
        let stack = match read.remove(project) {
            Some(stack) => Stack { volumes, ..stack },
            None if volumes.is_empty() => return,
            None => Stack { project: project.to_owned(), volumes, ..Stack::default() },
        };
        self.stacks.insert(project.to_owned(), stack);
    }
}

/// What something that happened may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// The containers of one project.
    Project(String),
    /// Whatever.
    Anything,
}

/// Changes as they come. Ends when the connection to the engine is lost. Dropping it hangs up.
pub type Changes = Pin<Box<dyn Stream<Item = Changed> + Send>>;

impl Engine {
    /// Everything that the engine holds of Compose stacks. Of what was `known` before, containers whose times still give the
    /// engine's words are not looked at again.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn held(&self, known: &Held) -> Result<Held, EngineError> {
        let ahead = self.ahead().await / NANOS;
        self.with_times(self.stacks().await?, ahead, known).await
    }

    /// The containers of one project; see [`Held::replace`]. Of what was `known`, those whose times still give the engine's
    /// words are not looked at again: a deployment makes many events, each of which leads here.
    ///
    /// # Errors
    /// As [`Engine::held`].
    pub async fn held_of(&self, project: &str, known: &Held) -> Result<Held, EngineError> {
        self.with_times(self.stack_of(project).await?, known.ahead, known).await
    }

    /// What changes from now on.
    pub async fn changes(&self) -> Changes {
        let since = here().saturating_add(self.ahead().await);
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let filters =
            HashMap::from([("type".to_owned(), owned(&["container", "volume"])), ("event".to_owned(), owned(&KINDS))]);
        let options = EventsOptions { since: Some(shown(since)), until: None, filters: Some(filters) };
        let events = self.docker().events(Some(options));
        let whole = events.take_while(|event| std::future::ready(event.is_ok()));
        Box::pin(whole.filter_map(|event| std::future::ready(event.ok().and_then(changed))))
    }

    async fn with_times(&self, stacks: BTreeMap<String, Stack>, ahead: i64, known: &Held) -> Result<Held, EngineError> {
        let now = (here() / NANOS).saturating_add(ahead);
        let mut times: HashMap<String, (Option<i64>, Option<i64>)> = HashMap::new();
        let mut ids = Vec::new();
        for container in stacks.values().flat_map(|stack| &stack.containers) {
            match known.times.get(&container.id) {
                Some((started, ended)) if since::anew(&container.status, *started, *ended, now) == container.status => {
                    times.insert(container.id.clone(), (*started, *ended));
                }
                _ => ids.push(container.id.clone()),
            }
        }
        let looks = ids.into_iter().map(|id| async move {
            let state = self.find_container(&id).await?.and_then(|found| found.state).unwrap_or_default();
            // Year 1 is how the daemon says "never".
            let time = |text: Option<String>| text.and_then(|text| milliseconds(&text)).filter(|at| *at > 0);
            Ok::<_, EngineError>((id, (time(state.started_at), time(state.finished_at))))
        });
        let looks: Vec<_> = looks.collect();
        let all: Vec<Result<_, EngineError>> = stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
        for look in all {
            let (id, found) = look?;
            times.insert(id, found);
        }
        Ok(Held { stacks, times, ahead })
    }
}

/// What an event changes of what is shown; nothing where it is of no Compose project.
fn changed(event: EventMessage) -> Option<Changed> {
    if event.typ == Some(Type::VOLUME) {
        return Some(Changed::Anything);
    }
    let project = event.actor?.attributes?.remove(labels::PROJECT)?;
    Some(Changed::Project(project))
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;

    use super::*;
    use crate::ContainerStatus;

    fn container(id: &str, status: &str) -> ContainerStatus {
        ContainerStatus {
            id: id.to_owned(),
            name: id.to_owned(),
            service: "web".to_owned(),
            number: Some(1),
            oneoff: false,
            image: String::new(),
            state: String::new(),
            health: None,
            exit_code: None,
            status: status.to_owned(),
            ports: Vec::new(),
            created: 0,
        }
    }

    fn held(project: &str, containers: &[ContainerStatus], volumes: &[&str], started: i64) -> Held {
        let stack = Stack {
            project: project.to_owned(),
            containers: containers.to_vec(),
            volumes: volumes.iter().map(|name| (*name).to_owned()).collect(),
            ..Stack::default()
        };
        let times = containers.iter().map(|container| (container.id.clone(), (Some(started), None))).collect();
        Held { stacks: [(project.to_owned(), stack)].into(), times, ahead: 0 }
    }

    #[test]
    fn one_project_is_replaced_and_its_volumes_stay() {
        let mut known = held("shop", &[container("a", "Up 1 second")], &["data"], 0);
        known.replace("shop", held("shop", &[container("b", "Up 1 second")], &[], 60_000));
        known.replace("blog", held("blog", &[container("c", "Up 1 second")], &[], 0));
        let shown = known.at(120_000);
        assert_eq!(shown["shop"].containers[0].status, "Up About a minute");
        assert_eq!(shown["blog"].containers[0].status, "Up 2 minutes");
        assert!(shown["shop"].volumes.contains("data") && !known.times.contains_key("a"));
        // Without containers its volumes are all that is left; without those nothing.
        known.replace("shop", Held::default());
        known.replace("blog", Held::default());
        let shown = known.at(0);
        assert_eq!(shown.keys().collect::<Vec<_>>(), ["shop"]);
        assert!(shown["shop"].containers.is_empty());
    }

    #[test]
    fn an_event_says_what_it_changes() {
        let of = |typ: Type, label: &str| {
            let attributes = HashMap::from([(label.to_owned(), "shop".to_owned())]);
            let actor = EventActor { id: None, attributes: Some(attributes) };
            changed(EventMessage { typ: Some(typ), actor: Some(actor), ..EventMessage::default() })
        };
        assert_eq!(of(Type::CONTAINER, labels::PROJECT), Some(Changed::Project("shop".to_owned())));
        assert_eq!(of(Type::CONTAINER, "name"), None);
        assert_eq!(of(Type::VOLUME, "driver"), Some(Changed::Anything));
    }
}
