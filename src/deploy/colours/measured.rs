//! Others are asked how a new colour does, where it was said that they are: a Prometheus, a command, a page of its own. Beside the lane,
//! and beside whoever looks after the colour: nobody waits for an answer.

use std::time::Duration;

use super::{
    super::{Deployer, now_ms},
    made::{Made, MadeRoute, Speaks},
};
use crate::{
    measure::{Certain, Command, Measured, Number, Page, Prometheus},
    rollout::{Millis, Phase},
    store::{ColourRecord, Wish},
    switch::{
        derived::Measures,
        said::{Asks, Measure, OnUnknown, PLACEHOLDERS, Within},
    },
};

/// At what a colour is that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// It is live, and bakes.
    Bakes,
    /// It waits, and no client meets it.
    Waits,
    /// It waits, with a share of the clients.
    Shares,
}

impl When {
    fn word(self) -> &'static str {
        match self {
            When::Bakes => "bake",
            When::Waits => "wait",
            When::Shares => "canary",
        }
    }
}

/// A colour that is measured, and the one beside it.
#[derive(Clone, Copy)]
pub(super) struct Of<'a> {
    pub(super) repo: &'a str,
    pub(super) one: &'a ColourRecord,
    pub(super) made: &'a Made,
    pub(super) other: Option<&'a ColourRecord>,
    pub(super) when: When,
}

/// One measure, for whoever looks on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// `prometheus`, `command`, `page`.
    pub name: &'static str,
    /// `good`, `bad`, `not known`; none: not asked yet.
    pub state: Option<&'static str>,
    /// What was said last.
    pub said: Option<String>,
    /// When, in milliseconds since 1970.
    pub at: Option<Millis>,
    /// How often it was asked.
    pub asked: u64,
    /// How often the answer was good.
    pub good: u64,
    /// How often there was none that said anything.
    pub not_known: u64,
}

/// What is asked once.
enum Question {
    Prometheus(Prometheus, Within),
    Command(Command),
    Page(Page),
    /// Nobody can be: why.
    Nobody(String),
}

impl Question {
    async fn ask(self) -> Measured {
        match self {
            Question::Prometheus(prometheus, within) => match prometheus.ask().await {
                Number::None(why) => Measured::Unknown(why),
                Number::Is(number) => match within.refuses(number) {
                    Some(why) => Measured::Bad(format!("{} is {why}", shown(number))),
                    None => Measured::Good(shown(number)),
                },
            },
            Question::Command(command) => command.ask().await,
            Question::Page(page) => page.ask().await,
            Question::Nobody(why) => Measured::Unknown(why),
        }
    }
}

/// A number as far as anybody reads it.
fn shown(number: f64) -> String {
    match number.abs() {
        size if size == 0.0 || (1e-3..1e9).contains(&size) => format!("{}", (number * 1e6).round() / 1e6),
        _ => format!("{number:e}"),
    }
}

fn question(of: Of<'_>, measure: &Measure) -> Question {
    let patience = Duration::from_millis(measure.timeout);
    match &measure.asks {
        Asks::Prometheus { url, query, within } => {
            let query = filled(query, of);
            Question::Prometheus(Prometheus { url: url.clone(), query, patience }, *within)
        }
        Asks::Command { run } => {
            Question::Command(Command { run: run.clone(), environment: environment(of), patience })
        }
        Asks::Page { path, to } => {
            let asked = |route: &&MadeRoute| {
                let (named, http) = (to.as_ref(), route.http == Some(true) && route.speaks == Speaks::Plainly);
                http && named.is_none_or(|(service, port)| *service == route.service && *port == route.port)
            };
            match of.made.routes.iter().find(asked) {
                None => Question::Nobody(format!("no route that speaks HTTP leads to whoever answers {path}")),
                Some(route) if !route.preamble().is_empty() => Question::Nobody(format!(
                    "{} is told first for whom a connection is (proxy_protocol), and whoever asks for {path} does not do that yet",
                    route.service
                )),
                Some(route) => Question::Page(Page {
                    targets: route.targets.clone(),
                    host: route.hosts.first().cloned(),
                    path: path.clone(),
                    patience,
                }),
            }
        }
    }
}

/// What a colour is called, by the words that are filled in.
fn called(of: Of<'_>, word: &str) -> String {
    let Of { repo, one, other, .. } = of;
    let other = |of: fn(&ColourRecord) -> String| other.map(of).unwrap_or_default();
    match word {
        "colour" => one.colour.clone(),
        "project" => one.project.clone(),
        "commit" => one.commit.clone().unwrap_or_default(),
        "repository" => repo.to_owned(),
        "other_colour" => other(|other| other.colour.clone()),
        "other_project" => other(|other| other.project.clone()),
        _ => String::new(),
    }
}

fn filled(query: &str, of: Of<'_>) -> String {
    PLACEHOLDERS.iter().fold(query.to_owned(), |query, word| query.replace(&format!("{{{word}}}"), &called(of, word)))
}

/// What a command is told.
fn environment(of: Of<'_>) -> Vec<(String, String)> {
    let words = PLACEHOLDERS.iter().map(|word| (format!("TURNOUT_{}", word.to_uppercase()), called(of, word)));
    let addresses = of.made.routes.iter().flat_map(|route| {
        let name = format!("{}:{}", route.service, route.port);
        route.targets.iter().map(move |target| format!("{name}={target}")).collect::<Vec<_>>()
    });
    let addresses = addresses.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ");
    let more = [("TURNOUT_ADDRESSES", addresses), ("TURNOUT_STATE", of.when.word().to_owned())];
    words.chain(more.map(|(name, value)| (name.to_owned(), value))).collect()
}

impl Deployer {
    /// Has asked whoever is due, and says what is certain of a colour by now, in words.
    pub(super) fn measured(&self, of: Of<'_>) -> Option<Certain> {
        let measures = of.made.judged.measures.as_ref()?;
        let (repo, generation) = (of.repo, of.one.generation);
        // Of requests that nobody sends nothing is measured.
        let wanted = |measure: &Measure| of.when != When::Waits || !matches!(measure.asks, Asks::Prometheus { .. });
        for index in self.measurings.due(repo, generation, &measures.all, wanted) {
            let Some(measure) = measures.all.get(index) else { continue };
            let (question, measures, repo) = (question(of, measure), measures.clone(), repo.to_owned());
            let (seen, stop, redactor) = (self.measurings.clone(), self.bakes.stop.clone(), self.redactor.of(&repo));
            self.bakes.tasks.spawn(async move {
                let measured = tokio::select! {
                    measured = question.ask() => measured,
                    () = stop.cancelled() => return,
                };
                // A command may say anything of the project.
                let said = redactor.redact(measured.said()).into_owned();
                seen.took(&repo, generation, (index, &measures), measured.but(said), now_ms());
            });
        }
        let (index, certain) = self.measurings.certain(repo, generation)?;
        let name = measures.all.get(index).map(|measure| measure.asks.name())?;
        Some(match certain {
            Certain::Bad(said) => Certain::Bad(format!("{} does badly: {name}: {said}", of.one.project)),
            Certain::Unknown(said) => {
                Certain::Unknown(format!("it is not known how {} does: {name}: {said}", of.one.project))
            }
        })
    }

    /// Why a live colour that bakes is to be taken back, if others say so.
    pub(super) fn measured_badly(&self, of: Of<'_>) -> Option<String> {
        let Measures { on_unknown, .. } = of.made.judged.measures.as_ref()?;
        match self.measured(of)? {
            Certain::Bad(said) => Some(said),
            Certain::Unknown(said) if *on_unknown == OnUnknown::Fail => Some(said),
            Certain::Unknown(said) => {
                if self.measurings.tells(of.repo, of.one.generation) {
                    tracing::error!(repo = of.repo, "{said}; the bake goes on, and what it comes to is not known");
                }
                None
            }
        }
    }

    /// Why a next colour that waits is to be given up, if others say so. One of which nothing is known is paused, where nothing else was
    /// said: it is no fault of the colour, and no proof that it does well. `pause`: for how long at most, in milliseconds.
    pub(super) async fn measured_beside(
        &self,
        (repo, one, made): (&str, &ColourRecord, &Made),
        shares: bool,
        pause: Millis,
    ) -> Option<String> {
        let measures = made.judged.measures.as_ref()?;
        let stands = self.recorded(repo).await.ok()?;
        let when = if shares { When::Shares } else { When::Waits };
        match self.measured(Of { repo, one, made, other: stands.live(), when })? {
            Certain::Bad(said) => {
                self.note_turned_down(repo, one, &said).await;
                Some(said)
            }
            Certain::Unknown(said) => match measures.on_unknown {
                OnUnknown::Fail => Some(said),
                OnUnknown::GoOn => {
                    if self.measurings.tells(repo, one.generation) {
                        tracing::error!(repo, "{said}; it goes on all the same");
                    }
                    None
                }
                OnUnknown::Pause => {
                    self.pause_unknown(repo, one, &said, pause).await;
                    None
                }
            },
        }
    }

    async fn pause_unknown(&self, repo: &str, one: &ColourRecord, said: &str, pause: Millis) {
        let Ok(rollout) = self.store.rollout(repo).await else { return };
        // It begins anew when somebody has it go on.
        self.measurings.anew(repo, one.generation);
        if rollout.under_way.is_none_or(|under_way| under_way.phase == Phase::Paused) {
            return;
        }
        let until = now_ms().saturating_add(pause);
        match self.store.wish(repo, Wish::Pause { until }).await {
            Ok(Some(_)) => {
                tracing::error!(
                    repo,
                    "{said}; it is paused: `turnout resume {repo}` has it go on, `turnout abort {repo}` ends it"
                );
                self.waits.one_more();
            }
            Ok(None) => {}
            Err(error) => tracing::error!(repo, "{said}, and that it is to be paused could not be recorded: {error}"),
        }
    }

    /// What was measured of a colour so far; nothing where nobody is asked.
    pub fn measures_of(&self, repo: &str, one: &ColourRecord) -> Vec<Shown> {
        let Some(measures) = Made::read(&one.made).ok().and_then(|made| made.judged.measures) else {
            return Vec::new();
        };
        let seen = self.measurings.seen(repo, one.generation);
        let of = |(index, measure): (usize, &Measure)| {
            let seen = seen.get(index);
            let tally = seen.map(|seen| seen.tally.clone()).unwrap_or_default();
            Shown {
                name: measure.asks.name(),
                state: tally.last.as_ref().map(Measured::word),
                said: tally.last.as_ref().map(|last| last.said().to_owned()),
                at: seen.and_then(|seen| seen.at),
                asked: tally.asked,
                good: tally.good,
                not_known: tally.not_known,
            }
        };
        measures.all.iter().enumerate().map(of).collect()
    }

    /// What the end of a bake says of what others were asked; nothing where nobody was.
    pub(super) fn measured_at_last(&self, repo: &str, live: &ColourRecord) -> Option<String> {
        let measures = Made::read(&live.made).ok()?.judged.measures?;
        let seen = self.measurings.seen(repo, live.generation);
        let each = measures.all.iter().enumerate().map(|(index, measure)| {
            let words = seen.get(index).map_or("not asked".to_owned(), |seen| seen.tally.words());
            format!("{}: {words}", measure.asks.name())
        });
        Some(each.collect::<Vec<_>>().join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::made::tests::shop, *};
    use crate::store::ColourStanding;

    fn record(colour: &str) -> ColourRecord {
        ColourRecord {
            repo: "shop".to_owned(),
            colour: colour.to_owned(),
            project: format!("{colour}shop"),
            standing: ColourStanding::Live,
            generation: 4,
            deployment: None,
            commit: Some("1a2b3c4d".to_owned()),
            since: 0,
            made: String::new(),
        }
    }

    #[test]
    fn a_question_has_the_colours_filled_in() {
        let (blue, red, made) = (record("blue"), record("red"), shop());
        let asks = |asks| Measure { asks, every: 1, timeout: 1_000 };
        let of = |made| Of { repo: "shop", one: &blue, made, other: Some(&red), when: When::Shares };
        let query = r#"x{colour="{colour}",p="{project}"} / x{colour="{other_colour}"} # {commit} {repository} {other_project}"#;
        let query =
            asks(Asks::Prometheus { url: "http://p".to_owned(), query: query.to_owned(), within: Within::default() });
        let Question::Prometheus(found, _) = question(of(&made), &query) else { panic!("another question") };
        assert_eq!(found.query, r#"x{colour="blue",p="blueshop"} / x{colour="red"} # 1a2b3c4d shop redshop"#);
        let run = asks(Asks::Command { run: vec!["/bin/check".to_owned()] });
        let Question::Command(found) = question(of(&made), &run) else { panic!("another question") };
        let told =
            |name: &str| found.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!(told("TURNOUT_COLOUR"), Some("blue"));
        assert_eq!(told("TURNOUT_OTHER_PROJECT"), Some("redshop"));
        assert_eq!(told("TURNOUT_ADDRESSES"), Some("web:80=127.0.0.1:20001"));
        assert_eq!(told("TURNOUT_STATE"), Some("canary"));
        let page = |to| asks(Asks::Page { path: "/deep".to_owned(), to });
        let Question::Page(found) = question(of(&made), &page(None)) else { panic!("another question") };
        assert_eq!((found.targets.len(), found.host.as_deref()), (1, Some("shop.example.org")));
        let other = page(Some(("web".to_owned(), 81)));
        assert!(matches!(question(of(&made), &other), Question::Nobody(why) if why.contains("/deep")));
        let mut told = shop();
        told.routes[0].proxy_protocol = Some(1);
        let found = question(Of { made: &told, ..of(&made) }, &page(None));
        assert!(matches!(found, Question::Nobody(why) if why.contains("proxy_protocol")));
    }

    #[test]
    fn numbers_are_as_long_as_anybody_reads() {
        for (number, said) in
            [(0.1 + 0.2, "0.3"), (0.0, "0"), (7.0, "7"), (0.000_012, "1.2e-5"), (f64::INFINITY, "inf")]
        {
            assert_eq!(shown(number), said);
        }
    }
}
