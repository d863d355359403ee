//! What holds for every project, every state and every intent: plans pass the checker, can be carried out, and leave
//! nothing to do; also when the carrying out was cut off anywhere.

use proptest::prelude::*;
use serde_json::json;

use super::converge::final_name;
use super::simulate::World;
use super::*;
use turnout_compose::{
    labels,
    model::{Network, Project, Volume},
};
use turnout_report::Outcome;

/// Bytes that decide; reads zeroes at the end, so that shrinking means simplifying.
struct Tape<'a>(std::slice::Iter<'a, u8>);

impl Tape<'_> {
    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % limit
    }
    fn rarely(&mut self) -> bool {
        self.below(4) == 3
    }
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn project(tape: &mut Tape<'_>) -> Project {
    let mut project = Project { name: "p".to_owned(), ..Project::default() };
    let count = 1 + tape.below(NAMES.len());
    for (index, name) in NAMES.iter().enumerate().take(count) {
        let mut service = json!({"environment": {"A": tape.below(3).to_string()}});
        let fields = service.as_object_mut().unwrap();
        match tape.below(4) {
            0 | 1 => drop(fields.insert("image".to_owned(), json!("shared"))),
            2 => drop(fields.insert("build".to_owned(), json!({"context": "/x"}))),
            _ => {
                fields.insert("image".to_owned(), json!(format!("i-{name}")));
                fields.insert("build".to_owned(), json!({"context": "/x"}));
            }
        }
        let mut edges = serde_json::Map::new();
        let mut mode = None;
        for other in NAMES.iter().take(index) {
            match tape.below(8) {
                1 => drop(edges.insert((*other).to_owned(), json!({"condition": "service_started", "required": true}))),
                2 => drop(edges.insert(
                    (*other).to_owned(),
                    json!({"condition": "service_started", "required": true, "restart": true}),
                )),
                3 => drop(edges.insert(
                    (*other).to_owned(),
                    json!({"condition": "service_completed_successfully", "required": tape.rarely()}),
                )),
                4 => drop(edges.insert((*other).to_owned(), json!({"condition": "service_started"}))),
                5 => mode = Some(*other),
                6 => drop(fields.insert("volumes_from".to_owned(), json!([other]))),
                7 => drop(fields.insert("links".to_owned(), json!([other]))),
                _ => {}
            }
        }
        fields.insert("depends_on".to_owned(), edges.into());
        match mode {
            Some(owner) => drop(fields.insert("network_mode".to_owned(), json!(format!("service:{owner}")))),
            None if tape.rarely() => drop(fields.insert("networks".to_owned(), json!({"default": null, "back": null}))),
            None => drop(fields.insert("networks".to_owned(), json!({"default": null}))),
        }
        if tape.rarely() {
            fields.insert("volumes".to_owned(), json!([{"type": "volume", "source": "data", "target": "/d"}]));
        }
        if tape.rarely() {
            fields.insert("pre_start".to_owned(), json!([{"command": ["a"]}, {"image": "shared"}]));
        }
        match tape.below(6) {
            4 => drop(fields.insert("scale".to_owned(), json!(3))),
            5 => drop(fields.insert("scale".to_owned(), json!(0))),
            _ => {}
        }
        project.services.insert((*name).to_owned(), serde_json::from_value(service).unwrap());
    }
    for key in ["default", "back"] {
        let network = Network { name: format!("p_{key}"), ..Network::default() };
        project.networks.insert(key.to_owned(), Some(network));
    }
    project.volumes.insert("data".to_owned(), Some(Volume { name: "p_data".to_owned(), ..Volume::default() }));
    project
}

/// Something happens: to the file, to the engine, or to both.
fn happen(tape: &mut Tape<'_>, project: &mut Project, world: &mut World) {
    let services: Vec<String> = project.services.keys().cloned().collect();
    let service = services[tape.below(services.len())].clone();
    let containers = world.observed.containers.len();
    let container = if containers == 0 { None } else { Some(tape.below(containers)) };
    match (tape.below(17), container) {
        (0, _) => {
            let definition = project.services.get_mut(&service).unwrap();
            definition.environment.insert("A".to_owned(), Some("changed".to_owned()));
        }
        (1, _) => project.services.get_mut(&service).unwrap().scale = Some(i64::try_from(tape.below(4)).unwrap()),
        (2, _) => project.networks.get_mut("default").unwrap().as_mut().unwrap().internal = true,
        (3, _) => project.volumes.get_mut("data").unwrap().as_mut().unwrap().driver = "other".to_owned(),
        (4, _) => drop(world.observed.networks.remove("default")),
        (5, _) => world.observed.images.values_mut().for_each(|image| image.id = None),
        (6, _) => {
            for (index, image) in world.observed.images.values_mut().enumerate() {
                image.id = Some(format!("sha256:retagged-{index}"));
            }
        }
        (7, _) => drop(world.yields.insert("shared".to_owned(), "sha256:news".to_owned())),
        (8, _) => drop(world.yields.insert(format!("p-{service}"), "sha256:news".to_owned())),
        (9, Some(at)) => drop(world.observed.containers.remove(at)),
        (10, Some(at)) => world.observed.containers[at].state = RunState::Exited(1),
        (11, Some(at)) if tape.rarely() => {
            world.observed.containers[at].state = RunState::Created;
            world.observed.containers[at].networks.values_mut().for_each(String::clear);
        }
        (11, Some(at)) => world.observed.containers[at].state = RunState::Paused,
        (12, Some(at)) => world.observed.containers[at].state = RunState::Dead,
        (13, Some(at)) => drop(world.observed.containers[at].labels.remove(labels::ONEOFF)),
        (14, Some(at)) => {
            // A replacement that was cut off after the old container was removed.
            let name = final_name(&world.observed.containers[at].name).to_owned();
            let name = format!("0123456789ab_{name}");
            if world.named(&name).is_none() {
                world.observed.containers[at].name = name;
            }
        }
        (15, Some(at)) => {
            // A replacement that was cut off before.
            let mut copy = world.observed.containers[at].clone();
            copy.name = format!("{}_{}", &copy.id[..12], final_name(&copy.name));
            copy.id = world.fresh_id();
            copy.state = RunState::Created;
            if world.named(&copy.name).is_none() {
                world.observed.containers.push(copy);
            }
        }
        (16, _) => {
            let id = world.fresh_id();
            let stranger = Existing { service: "elsewhere".to_owned(), name: format!("stranger-{id}"), id };
            world.observed.networks.get_mut("default").into_iter().for_each(|n| n.strangers.push(stranger.clone()));
        }
        _ => {}
    }
}

fn intent(tape: &mut Tape<'_>, project: &Project) -> Intent {
    let mut intent = Intent { yes_recreate_volumes: tape.rarely(), remove_orphans: tape.rarely(), ..Intent::default() };
    for (name, service) in &project.services {
        if service.build.is_some() && tape.rarely() {
            intent.build.insert(name.clone(), "test".to_owned());
        }
        if tape.below(8) == 7 {
            intent.services.push(name.clone());
        }
    }
    intent.no_deps = tape.rarely();
    intent.force_recreate = tape.below(8) == 7;
    intent.start_first = start_first(tape, project);
    intent
}

/// Services that ask for it, some of which must not.
fn start_first(tape: &mut Tape<'_>, project: &Project) -> std::collections::BTreeMap<String, Result<(), String>> {
    let mut asked = std::collections::BTreeMap::new();
    for name in project.services.keys() {
        match tape.below(4) {
            0 => {}
            1 => drop(asked.insert(name.clone(), Err("it writes the volume data".to_owned()))),
            _ => drop(asked.insert(name.clone(), Ok(()))),
        }
    }
    asked
}

/// With `--no-deps` nobody starts an owner that has ended, and whoever lives in its namespaces cannot start, as in Compose.
fn is_stranded(project: &Project, world: &World, intent: &Intent) -> bool {
    let ended = |owner: &str| {
        let mut own = world.observed.containers.iter().filter(|c| c.service == owner);
        own.any(|c| !matches!(c.state, RunState::Running | RunState::Paused | RunState::Exited(0)))
    };
    let named = |owner: &str| intent.services.iter().any(|name| name == owner);
    let owners = |name: &String| namespace_owners(&project.services[name]).any(|owner| !named(owner) && ended(owner));
    intent.no_deps && intent.services.iter().any(owners)
}

/// Plans and checks; a refusal is a fair answer, and ends the run.
fn plan(project: &Project, world: &World, intent: &Intent) -> Option<Plan> {
    let plan = converge(project, &world.observed, intent).ok()?;
    if let Err(fault) = check(&plan) {
        panic!("{fault}\n{}", render(&plan));
    }
    Some(plan)
}

fn assert_converged(project: &Project, world: &World, intent: &Intent, before: &str) {
    let quiet = Intent { services: intent.services.clone(), no_deps: intent.no_deps, ..Intent::default() };
    let second = converge(project, &world.observed, &quiet).unwrap();
    assert!(second.steps.is_empty(), "{before}\nthen:\n{}", render(&second));
    for (name, service) in &project.services {
        let members: Vec<_> = world.observed.containers.iter().filter(|c| c.service == *name).collect();
        if intent.services.is_empty() {
            assert_eq!(members.len(), service.scale() as usize, "{name}\n{before}");
            assert!(members.iter().all(|c| final_name(&c.name) == c.name), "{before}");
            assert!(members.iter().all(|c| matches!(c.state, RunState::Running | RunState::Exited(0))), "{before}");
        }
    }
}

/// `(project, world)` after a deployment and some events.
fn history(tape: &mut Tape<'_>) -> Option<(Project, World)> {
    let (mut project, mut world) = (project(tape), World::default());
    world.unknown.extend(NAMES.iter().map(|name| format!("i-{name}")));
    let first = plan(&project, &world, &Intent::default())?;
    world.apply(&project, &first);
    assert_converged(&project, &world, &Intent::default(), &render(&first));
    for _ in 0..tape.below(4) {
        happen(tape, &mut project, &mut world);
    }
    Some((project, world))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn a_plan_carried_out_leaves_nothing_to_do(bytes in prop::collection::vec(any::<u8>(), 0..90)) {
        let mut tape = Tape(bytes.iter());
        let Some((project, mut world)) = history(&mut tape) else { return Ok(()) };
        let intent = intent(&mut tape, &project);
        prop_assume!(!is_stranded(&project, &world, &intent));
        let Some(plan) = plan(&project, &world, &intent) else { return Ok(()) };
        world.apply(&project, &plan);
        assert_converged(&project, &world, &intent, &render(&plan));
    }

    #[test]
    fn a_plan_cut_off_anywhere_is_mended_by_the_next(
        bytes in prop::collection::vec(any::<u8>(), 0..90), cut in 0usize..30,
    ) {
        let mut tape = Tape(bytes.iter());
        let Some((project, mut world)) = history(&mut tape) else { return Ok(()) };
        let start_first = start_first(&mut tape, &project);
        let intent = Intent { yes_recreate_volumes: tape.rarely(), start_first, ..Intent::default() };
        let Some(cut_off) = plan(&project, &world, &intent) else { return Ok(()) };
        world.apply_first(&project, &cut_off, cut);
        let Some(next) = plan(&project, &world, &intent) else { return Ok(()) };
        world.apply(&project, &next);
        assert_converged(&project, &world, &intent, &format!("{}cut at {cut}\n{}", render(&cut_off), render(&next)));
    }

    #[test]
    fn nothing_is_stopped_before_its_replacement_is_there(bytes in prop::collection::vec(any::<u8>(), 0..90)) {
        let mut tape = Tape(bytes.iter());
        let Some((project, world)) = history(&mut tape) else { return Ok(()) };
        let intent = intent(&mut tape, &project);
        let Some(plan) = plan(&project, &world, &intent) else { return Ok(()) };
        // Whoever needs what is to be replaced itself cannot be created before; a trial says that it can be.
        let waits = plan.steps.iter().any(|step| match &step.action {
            Action::RemoveNetwork { reason, .. } => *reason == NetworkRemoval::Replaced,
            Action::RemoveVolume { replaced, .. } => *replaced,
            _ => false,
        });
        prop_assume!(!waits);
        let mut made: Vec<&str> = Vec::new();
        for step in &plan.steps {
            match &step.action {
                Action::CreateContainer { replaces: Some(old), .. } => made.push(&old.id),
                Action::StopContainer { id, .. } => {
                    let successor = plan.steps.iter().any(|step| matches!(
                        &step.action, Action::CreateContainer { replaces: Some(old), .. } if old.id == *id
                    ));
                    prop_assert!(!successor || made.contains(&id.as_str()), "{}", render(&plan));
                }
                _ => {}
            }
        }
    }

    /// Wherever it is cut off, and while the next plan mends that: who has taken over runs, or who is to be relieved.
    #[test]
    fn of_what_starts_first_one_runs_at_any_time(bytes in prop::collection::vec(any::<u8>(), 0..90), cut in 0usize..30) {
        let mut tape = Tape(bytes.iter());
        let Some((project, mut world)) = history(&mut tape) else { return Ok(()) };
        let intent = Intent { start_first: start_first(&mut tape, &project), ..Intent::default() };
        let Some(whole) = plan(&project, &world, &intent) else { return Ok(()) };
        let first: Vec<(String, Option<u32>)> = whole.steps.iter().filter_map(|step| match &step.action {
            Action::AwaitReady { service, number, .. } => Some((service.clone(), *number)),
            _ => None,
        }).collect();
        let running = |world: &World, (service, number): &(String, Option<u32>)| {
            let of = |c: &&ObservedContainer| c.service == *service && c.number == *number;
            world.observed.containers.iter().filter(of).filter(|c| c.state == RunState::Running).count()
        };
        for count in 0..=whole.steps.len() {
            let mut now = world.clone();
            now.apply_first(&project, &whole, count);
            for one in &first {
                let running = running(&now, one);
                prop_assert!((1..=2).contains(&running), "{running} of {one:?} after {count}:\n{}", render(&whole));
            }
        }
        world.apply_first(&project, &whole, cut);
        let Some(next) = plan(&project, &world, &intent) else { return Ok(()) };
        for count in 0..=next.steps.len() {
            let mut now = world.clone();
            now.apply_first(&project, &next, count);
            for one in &first {
                let both = format!("cut at {cut} of\n{}then after {count} of\n{}", render(&whole), render(&next));
                prop_assert!(running(&now, one) >= 1, "none of {one:?}: {both}");
                prop_assert!(count < next.steps.len() || running(&now, one) == 1, "two of {one:?}: {both}");
            }
        }
    }

    #[test]
    fn what_a_failed_run_stopped_runs_again(
        bytes in prop::collection::vec(any::<u8>(), 0..90), cut in 0usize..24, called_off in any::<bool>(),
    ) {
        let mut tape = Tape(bytes.iter());
        let Some((project, mut world)) = history(&mut tape) else { return Ok(()) };
        let intent = intent(&mut tape, &project);
        prop_assume!(!is_stranded(&project, &world, &intent));
        let Some(whole) = plan(&project, &world, &intent) else { return Ok(()) };
        // What is left of a network that somebody has removed cannot be started; the next deployment mends it.
        let held = |name: &String, id: &String| world.networks().any(|n| n.name == *name && (id.is_empty() || n.id == *id));
        prop_assume!(world.observed.containers.iter().all(|c| c.networks.iter().all(|(name, id)| held(name, id))));
        let networks: Vec<String> = world.networks().map(|network| network.name.clone()).collect();
        let strangers: Vec<(String, Existing)> =
            world.networks().flat_map(|n| n.strangers.iter().map(|stranger| (n.name.clone(), stranger.clone()))).collect();
        let before = world.observed.containers.clone();
        let live = |c: &&ObservedContainer| matches!(c.state, RunState::Running | RunState::Paused);
        let ran: std::collections::BTreeSet<String> = before.iter().filter(live).map(|c| c.id.clone()).collect();

        // The step at the cut is refused, or the run is called off before it; what comes after is not begun.
        let did = world.apply_first(&project, &whole, cut);
        // Nor can what is left of one that could not be made anew; that is told.
        let refused = whole.steps.get(cut).map(|step| &step.action).filter(|_| !called_off);
        prop_assume!(match refused {
            Some(Action::CreateNetwork { name, .. }) => !networks.contains(name),
            _ => true,
        });
        let ended = did.iter().map(|did| if *did { Outcome::Done } else { Outcome::Skipped });
        let ended: Vec<Outcome> =
            ended.chain((!called_off).then_some(Outcome::Failed)).chain(std::iter::repeat(Outcome::Abandoned)).take(whole.steps.len()).collect();
        let now = world.observed.containers.clone();
        let networks = world.networks().map(|network| network.name.clone()).collect();
        let (attempts, stopping) = (world.attempts.clone(), Default::default());
        let failed = Failed {
            project: &project, plan: &whole, ended: &ended, ran: &ran, attempts: &attempts, stopping: &stopping, now: &now,
            networks: &networks,
        };
        let back = put_back(&failed, Extent::Running);
        prop_assert_eq!(check(&back), Ok(()));
        world.apply(&project, &back);

        let told = || format!("{}cut at {cut}\nthen:\n{}", render(&whole), render(&back));
        for (network, stranger) in strangers {
            let within = world.networks().any(|n| n.name == network && n.strangers.contains(&stranger));
            prop_assert!(within, "{} is not in {network} any more:\n{}", stranger.name, told());
        }
        prop_assert!(world.networks().all(|n| project.networks.values().flatten().any(|own| own.name == n.name)));
        // What is waited for in vain, or is a job, is not waited for again.
        let waits = whole.steps.iter().any(|step| match &step.action {
            Action::WaitFor { condition, .. } => condition == "service_completed_successfully",
            Action::RunPreStart { .. } => true,
            _ => false,
        }) || matches!(refused, Some(Action::WaitFor { .. }));
        for old in before.iter().filter(live) {
            let goes = whole.steps.iter().any(|step| match &step.action {
                Action::RemoveContainer { id, reason, .. } => *id == old.id && *reason != Removal::Replaced,
                _ => false,
            });
            // Consent to lose its data is consent to lose it.
            let volume = whole.steps.iter().any(|step| matches!(step.action, Action::RemoveVolume { .. }));
            let refused = matches!(refused, Some(Action::StartContainer { .. }));
            // Nobody can start alone who lived on in namespaces of one that had ended.
            let mut open = vec![old.service.as_str()];
            let mut alone = false;
            while let Some(service) = open.pop() {
                for owner in namespace_owners(&project.services[service]) {
                    alone |= !before.iter().any(|other| other.service == owner && live(&other));
                    open.push(owner);
                }
            }
            // Nor without a container of its own that is made for the new namespaces; that is told.
            let unmade = whole.steps.iter().any(|step| matches!(
                &step.action,
                Action::CreateContainer { create_as, replaces: Some(of), .. }
                    if of.id == old.id && !attempts.contains_key(create_as)
            ));
            alone |= unmade && back.warnings.iter().any(|told| told.starts_with(&format!("{} stays stopped", old.name)));
            if goes || volume || refused || waits || alone {
                continue;
            }
            let stands = |c: &ObservedContainer| {
                c.service == old.service && c.number == old.number
                    && matches!(c.state, RunState::Running | RunState::Paused | RunState::Exited(0))
            };
            prop_assert!(world.observed.containers.iter().any(stands), "{} does not run:\n{}", old.name, told());
        }
        for made in world.observed.containers.iter().filter(|c| before.iter().all(|old| old.id != c.id)) {
            let own = final_name(&made.name);
            // The engine starts no dead one again.
            let alone = namespace_owners(&project.services[&made.service]).next().is_none()
                && project.services.values().all(|other| namespace_owners(other).all(|owner| owner != made.service));
            // Of those that share namespaces the new ones are kept for the next deployment where an old one is gone.
            let stands = |c: &ObservedContainer| c.state != RunState::Dead && c.name == own && (alone || live(&c));
            let beside = world.observed.containers.iter().any(|c| c.id != made.id && stands(c));
            let runs = matches!(made.state, RunState::Running | RunState::Exited(0));
            prop_assert!(own == made.name || !beside || runs, "{} is left:\n{}", made.name, told());
        }
        let quiet = Intent { yes_recreate_volumes: intent.yes_recreate_volumes, ..Intent::default() };
        let Some(next) = plan(&project, &world, &quiet) else { return Ok(()) };
        world.apply(&project, &next);
        assert_converged(&project, &world, &quiet, &format!("{}{}", told(), render(&next)));
    }

    #[test]
    fn down_leaves_nothing_of_its_own(bytes in prop::collection::vec(any::<u8>(), 0..90), with_file in any::<bool>()) {
        let mut tape = Tape(bytes.iter());
        let Some((project, mut world)) = history(&mut tape) else { return Ok(()) };
        let options = DownOptions {
            project: "p".to_owned(), volumes: true, remove_orphans: true, ..DownOptions::default()
        };
        let plan = down(with_file.then_some(&project), &world.observed, &options);
        check(&plan).unwrap();
        world.apply(&project, &plan);
        prop_assert!(world.observed.containers.is_empty());
        prop_assert!(world.observed.networks.is_empty() && world.observed.volumes.is_empty());
    }
}
