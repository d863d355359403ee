//! What the engine holds of all stacks, with the times that are needed to tell it later, and the stream of what changes of it.
//! Who keeps it, and for how long it is believed, is decided elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    pin::Pin,
};

use bollard::{
    models::{EventMessage, EventMessageTypeEnum as Type},
    query_parameters::EventsOptions,
};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
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

/// When a container was started and when it ended, in milliseconds of the engine's clock.
type Times = (Option<i64>, Option<i64>);

/// Stacks by project, with the times of their containers.
#[derive(Debug, Clone, Default)]
pub struct Held {
    stacks: BTreeMap<String, Stack>,
    /// By the container's full ID.
    times: HashMap<String, Times>,
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
    /// A container of a project.
    Container {
        /// The Compose project's name.
        project: String,
        /// Full ID of the container.
        id: String,
    },
    /// It cannot be told what: all is to be looked at anew.
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
        self.with_times(self.stacks().await?, ahead, known, HashMap::new()).await
    }

    /// The containers of one project, some of which are said to have changed; see [`Held::replace`]. Of the others, those
    /// whose times still give the engine's words are not looked at again: a deployment makes many events, each of which
    /// leads here.
    ///
    /// # Errors
    /// As [`Engine::held`].
    pub async fn held_of(&self, project: &str, changed: &BTreeSet<String>, known: &Held) -> Result<Held, EngineError> {
        // The engine tells of an end before its list shows it: some 100 ms, while it takes networks down. It holds the
        // container meanwhile, so that whoever has been told of that one by itself is told the truth by the list, too.
        let seen = self.times_of(changed.iter().cloned()).await?;
        let mut before = Held { times: known.times.clone(), ahead: known.ahead, ..Held::default() };
        before.times.retain(|id, _| !changed.contains(id));
        let stacks = self.stack_of(project).await?;
        self.with_times(stacks, known.ahead, &before, seen).await
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

    /// Adds the times that the engine's words need. Those that were `seen` just now are not asked for.
    async fn with_times(
        &self,
        stacks: BTreeMap<String, Stack>,
        ahead: i64,
        known: &Held,
        mut seen: HashMap<String, Times>,
    ) -> Result<Held, EngineError> {
        let now = (here() / NANOS).saturating_add(ahead);
        let (mut times, mut ids) = (HashMap::new(), Vec::new());
        for container in stacks.values().flat_map(|stack| &stack.containers) {
            let fits =
                |(started, ended): &&Times| since::anew(&container.status, *started, *ended, now) == container.status;
            match seen.remove(&container.id).or_else(|| known.times.get(&container.id).filter(fits).copied()) {
                Some(found) => drop(times.insert(container.id.clone(), found)),
                None => ids.push(container.id.clone()),
            }
        }
        times.extend(self.times_of(ids).await?);
        Ok(Held { stacks, times, ahead })
    }

    /// When containers were started and when they ended, as the engine tells of each by itself. One that is gone has neither.
    async fn times_of(&self, ids: impl IntoIterator<Item = String>) -> Result<HashMap<String, Times>, EngineError> {
        let looks = ids.into_iter().map(|id| async move {
            let state = self.find_container(&id).await?.and_then(|found| found.state).unwrap_or_default();
            // Year 1 is how the daemon says "never".
            let time = |text: Option<String>| text.and_then(|text| milliseconds(&text)).filter(|at| *at > 0);
            Ok::<_, EngineError>((id, (time(state.started_at), time(state.finished_at))))
        });
        let looks: Vec<_> = looks.collect();
        stream::iter(looks).buffer_unordered(AT_ONCE).try_collect().await
    }
}

/// What an event changes of what is shown; nothing where it is of no Compose project.
fn changed(event: EventMessage) -> Option<Changed> {
    if event.typ == Some(Type::VOLUME) {
        return Some(Changed::Anything);
    }
    let actor = event.actor?;
    let (project, id) = (actor.attributes?.remove(labels::PROJECT)?, actor.id?);
    Some(Changed::Container { project, id })
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
            needs: Vec::new(),
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
            let actor = EventActor { id: Some("1".to_owned()), attributes: Some(attributes) };
            changed(EventMessage { typ: Some(typ), actor: Some(actor), ..EventMessage::default() })
        };
        assert_eq!(
            of(Type::CONTAINER, labels::PROJECT),
            Some(Changed::Container { project: "shop".to_owned(), id: "1".to_owned() })
        );
        assert_eq!(of(Type::CONTAINER, "name"), None);
        assert_eq!(of(Type::VOLUME, "driver"), Some(Changed::Anything));
    }
}
