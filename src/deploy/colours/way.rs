//! The way of one deployment from the live colour to the next one: what its actions know of each other. It is in no state:
//! after a crash it is found out anew.

use std::time::Duration;

use super::{
    bake,
    canary::Step,
    lead::Lead,
    look::Looked,
    made::{Made, Promotion},
    stands::Stands,
    with::Which,
};
use crate::{
    compose::model::Project,
    config::Repo,
    deploy::{Failure, Prepared},
    engine::Wake,
    git,
    report::units,
    rollout::{Bake, Millis, Phase, UnderWay},
    store::ColourRecord,
};

/// Why a deployment waits while the one before it bakes.
pub fn awaits(repo: &Repo) -> Failure {
    Failure::new(format!("both colours of {} run until the last switch has proved itself", repo.name)).hint(format!(
        "`turnout promote {}` ends that as good at once, `turnout rollback {}` goes back",
        repo.name, repo.name
    ))
}

/// How long a bake goes on, as it ends a sentence about who waits for it.
pub fn another(bake: Bake) -> String {
    format!(", another {} s", bake::left(bake) / 1_000)
}

/// Milliseconds, as people say them.
pub(super) fn in_words(millis: Millis) -> String {
    units::words(Duration::from_millis(u64::try_from(millis).unwrap_or_default()))
}

/// From one colour to another.
pub struct Way {
    /// Who leads requests.
    pub steer: Lead,
    /// How the colours stood when it was planned.
    pub stands: Stands,
    /// Who is live, and what it was made as; `None` at the first deployment.
    pub live: Option<(ColourRecord, Made)>,
    /// The colour that is next.
    pub colour: String,
    /// Its Compose project.
    pub project: String,
    /// What it is made as, as far as that is known: what is spoken on a route, the gate tells.
    pub made: Made,
    /// The COLOR that what stays is read with.
    pub staying: String,
    /// How it comes about.
    pub how: How,
    /// What runs in place, from the time before the switch, and hands over.
    pub adopts: Option<Adopts>,
    /// Of the next change of the routes within this deployment.
    pub revision: u64,
    /// Requests are held by this deployment.
    pub held: bool,
    /// Somebody goes back by it: it waits for nobody, and is not judged.
    pub goes_back: bool,
}

/// A project that runs in place.
#[derive(Debug, Clone)]
pub struct Adopts {
    /// Its Compose project, as `redshop`.
    pub project: String,
    /// Its colour, `red`.
    pub colour: String,
    /// What of it runs and will stay, as the project of what stays: it cannot run twice, so all of it ends before the next
    /// colour starts.
    pub stays: Vec<String>,
    /// Its connections come over the proxy.
    pub led: Option<Led>,
}

/// Connections that are made to what runs in place come over the proxy, or will as soon as its ports are free.
#[derive(Debug, Clone)]
pub struct Led {
    /// What it is, for the routes.
    pub made: Made,
    /// The kernel leads new ones there already.
    pub by_kernel: bool,
}

impl Adopts {
    /// Whether the next colour can start beside it.
    pub fn beside(&self) -> bool {
        self.stays.is_empty()
    }

    /// Whether requests and connections to it can wait.
    pub fn can_wait(&self) -> bool {
        self.led.as_ref().is_some_and(|led| !led.made.routes.is_empty())
    }
}

/// How what stays is planned, where this is adopted.
pub fn staying_anew(adopts: Option<&Adopts>) -> Which {
    match adopts {
        Some(adopts) if !adopts.beside() => Which::Adopted,
        _ => Which::Staying,
    }
}

/// How the next colour comes about.
pub enum How {
    /// It is made from the files.
    Made(Box<Making>),
    /// It was live before, and is brought back.
    Back,
    /// It was made, and has waited to be promoted. Its containers are as they were made, whatever the files say by now.
    Ready,
}

/// What making a colour has to go by.
pub struct Making {
    /// The last look.
    pub looked: Looked,
    /// What is done to what stays, as planned first.
    pub stays: Prepared,
    /// What is done to the colour, as planned first.
    pub moves: Prepared,
}

impl Way {
    /// The number of the next change of the routes.
    pub fn age(&mut self, generation: i64) -> (u64, u64) {
        self.revision += 1;
        (u64::try_from(generation).unwrap_or_default(), self.revision - 1)
    }

    /// The project whose place it takes.
    pub fn before(&self) -> Option<&str> {
        let in_place = self.adopts.as_ref().map(|adopts| adopts.project.as_str());
        in_place.or(self.live.as_ref().map(|(live, _)| live.project.as_str()))
    }

    /// How what stays is planned.
    pub fn staying_anew(&self) -> Which {
        staying_anew(self.adopts.as_ref())
    }

    /// The project of what stays, where it is made from the files.
    pub fn staying_project(&self) -> Option<&Project> {
        match &self.how {
            How::Made(making) => Some(&making.looked.staying.project),
            How::Back | How::Ready => None,
        }
    }

    /// Whether it is brought back.
    pub fn is_back(&self) -> bool {
        matches!(self.how, How::Back)
    }

    /// Whether it waits for anything. The first colour of all, and one by which somebody goes back, do not.
    fn waits(&self) -> bool {
        self.live.is_some() && self.adopts.is_none() && !self.goes_back
    }

    /// What it waits for once it is ready.
    pub fn promotion(&self) -> Option<&Promotion> {
        self.made.promotion.as_ref().filter(|_| self.waits())
    }

    /// In how many steps requests go to it.
    pub fn steps(&self) -> u32 {
        if self.waits() { self.made.canary.count() } else { 0 }
    }

    /// How long it waits, at this step: until when at most, and whether it goes on by itself then.
    pub fn lasts(&self, step: u32) -> Option<(Millis, bool)> {
        let lasts = self.made.canary.step(step).and_then(|step| step.lasts).map(|lasts| (lasts, true));
        // What has no time of its own waits for a person, as long as a promotion is waited for.
        lasts.or_else(|| self.promotion().map(|promotion| (promotion.within, promotion.by_itself && step == 0)))
    }

    /// Why it waits, as it stands.
    pub fn awaits_promotion(&self, repo: &Repo, stands: UnderWay) -> Failure {
        let (name, phase) = (&repo.name, stands.phase);
        let live = self.live.as_ref().map_or("nothing", |(live, _)| live.project.as_str());
        if let Some(step) = self.made.canary.step(stands.step) {
            return self.awaits_step(name, live, stands, step);
        }
        let what = match phase {
            Phase::Counting => "is ready, and gets the requests when its time has come",
            Phase::Paused => "is ready, and paused",
            _ => "is ready, and waits to be promoted",
        };
        let on = match phase {
            Phase::Paused => {
                format!("`turnout resume {name}` has it go on, `turnout promote {name}` has requests go there")
            }
            _ => format!("`turnout promote {name}` has requests go there at once"),
        };
        let longest = self.promotion().filter(|_| phase == Phase::Offered).map(|promotion| {
            format!(
                "; whoever waits for this deployment may leave (Ctrl-C): it goes on, for {} at most",
                in_words(promotion.within)
            )
        });
        Failure::new(format!("{} {what}; {live} gets the requests until then", self.project)).hint(format!(
            "`turnout preview {name}` says where it is reached; {on}; `turnout abort {name}` gives it up{}",
            longest.unwrap_or_default()
        ))
    }

    /// Why it waits in a step of a canary.
    fn awaits_step(&self, name: &str, live: &str, stands: UnderWay, step: Step) -> Failure {
        let UnderWay { phase, step: number, steps, .. } = stands;
        let until = match phase {
            Phase::Paused => "; it is paused",
            Phase::Offered => ", until somebody promotes it",
            _ => "",
        };
        let next = match number < steps {
            true => format!("goes on with step {}", number + 1),
            false => "has all requests go there".to_owned(),
        };
        let full = if number < steps { ", `--full` has all requests go there" } else { "" };
        let resume = if phase == Phase::Paused {
            format!("`turnout resume {name}` begins its step anew; ")
        } else {
            String::new()
        };
        Failure::new(format!(
            "{} has {} % of the clients, step {number} of {steps}{until}; {live} has the others",
            self.project, step.percent
        ))
        .hint(format!("{resume}`turnout promote {name}` {next}{full}; `turnout abort {name}` gives it up"))
    }

    /// Services that end in the live colour before others start in the next one.
    pub fn ends(&self) -> Vec<String> {
        if self.adopts.is_some() {
            return self.made.alone();
        }
        let Some((_, live)) = &self.live else { return Vec::new() };
        let mut ends = live.alone();
        // What has come to be alone only now, too.
        let there = |name: &String| live.services.iter().any(|one| one.name == *name && !one.job);
        ends.extend(self.made.alone().into_iter().filter(there));
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    /// Of those, what ends before requests are held, for nobody asks it; and what ends while they are.
    pub fn in_two(&self, ends: Vec<String>) -> (Vec<String>, Vec<String>) {
        if !self.holds() {
            return (Vec::new(), ends);
        }
        let live = self.live.as_ref().map(|(_, made)| made.asked_by_nobody()).unwrap_or_default();
        let next = self.made.asked_by_nobody();
        // What one of the two colours has otherwise is asked.
        let alone = |name: &String| live.contains(name) && (next.contains(name) || !self.made.has(name));
        ends.into_iter().partition(alone)
    }

    /// What of the live colour is started again where the way there is given up.
    pub fn starts_again(&self) -> Vec<Wake> {
        let ends = self.ends();
        let live = self.live.iter().flat_map(|(_, live)| [live.wakes(false), live.wakes(true)].concat());
        live.filter(|wake| ends.contains(&wake.service)).collect()
    }

    /// The commit of the next colour. `checked_out`: of what is made now.
    pub fn commit(&self, checked_out: &str) -> String {
        let earlier = self.stands.of(&self.colour).and_then(|one| one.commit.clone());
        earlier.filter(|_| self.is_back()).unwrap_or_else(|| checked_out.to_owned())
    }

    /// What a success has to say.
    pub fn summary(&self, commit: &str, by_hand: &[String]) -> String {
        let before = match &self.live {
            Some((live, _)) => format!(", before it {}", live.project),
            None => String::new(),
        };
        let how = match self.goes_back {
            _ if self.is_back() => "brought back",
            true => "made again",
            false => "made",
        };
        let said = format!("{} ({}) was {how} and is live{before}", self.project, git::short(commit));
        [&[said][..], by_hand].concat().join("; ")
    }

    /// The plan in words.
    pub fn text(&self) -> String {
        match &self.how {
            How::Made(making) => format!("{}\n{}", making.stays.text, making.moves.text),
            How::Ready => format!("{} is ready and gets the requests\n", self.project),
            How::Back => format!("{} is started again and gets the requests\n", self.project),
        }
    }

    /// Whether requests are held while services change over.
    pub fn holds(&self) -> bool {
        let adopts = self.adopts.as_ref().is_some_and(|adopts| adopts.can_wait() && self.made.holds());
        adopts || self.live.as_ref().is_some_and(|(_, made)| made.holds() || self.made.holds())
    }
}
