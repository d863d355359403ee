//! By what the answers of a colour are judged, and what had been counted when requests moved to it. Kept with
//! [`Made`](super::made::Made), as JSON. Pure.

use serde::{Deserialize, Serialize};

use crate::{
    rollout::{
        Generation,
        analysis::{Counts, Rules},
    },
    store::ColourRecord,
    switch::{Derived, derived::Measures},
    traffic::control::{Counters, HttpCounts, RouteCounters},
};

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// `None`: its answers are not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
    /// What had been counted when requests moved; `None`: they have not, or it could not be learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// Who else is asked; `None`: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measures: Option<Measures>,
}

/// What had been counted when requests moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// When the proxy had begun that counted it: another one counts from nothing.
    pub began: u64,
    /// Of the colour before: the requests that it is compared with.
    pub before: Counts,
    /// Of the new one: a preview, pins or a canary may have led requests there already.
    pub own: Counts,
}

impl Judged {
    /// From what was derived.
    pub fn of(derived: &Derived) -> Judged {
        let measures = derived.measures.as_ref().map(|measures| measures.value.clone());
        Judged { rules: derived.analysis.value, baseline: None, measures }
    }

    /// Whether both judge by the same. What had been counted at the move belongs to one move alone.
    pub fn judges_as(&self, other: &Judged) -> bool {
        let Judged { rules, baseline: _, measures } = self;
        (rules, measures) == (&other.rules, &other.measures)
    }
}

impl Baseline {
    /// What there is to compare with later. `first`: an earlier reading, after which enough may have come to speak of the minutes before
    /// the move alone; else all counts that there are.
    pub fn at(
        now: &Counters,
        first: Option<&Counters>,
        rules: &Rules,
        live: (&str, Generation),
        next: (&str, Generation),
    ) -> Baseline {
        let all = of(now, live, &any).unwrap_or_default();
        let first = first.filter(|first| first.began == now.began).and_then(|first| of(first, live, &any));
        let lately = first.and_then(|first| all.since(&first)).filter(|came| came.ended >= rules.min_requests);
        let own = of(now, next, &any).unwrap_or_default();
        Baseline { began: now.began, before: lately.unwrap_or(all), own }
    }

    /// What came of requests to the new colour since. `None`: it is in no route whose requests are counted.
    pub fn since(&self, now: &Counters, live: (&str, Generation)) -> Option<Counts> {
        let all = of(now, live, &any)?;
        let since = if now.began == self.began { all.since(&self.own) } else { None };
        // Counts that began anew did so after the move.
        Some(since.unwrap_or(all))
    }
}

/// What was counted of a colour, for whoever looks on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Its share of the clients, in percent.
    pub clients: Option<u64>,
    /// Requests in flight, and tunnels.
    pub open: Option<u64>,
    /// What came of its requests.
    pub counts: Option<Counts>,
}

/// What was counted of a colour, in the routes in which the live one is: by a preview one may be reached by a route of its own.
pub fn counted_of(counters: &Counters, one: &ColourRecord, live: Option<&ColourRecord>) -> Option<Counted> {
    let live = live.map(|live| (live.colour.as_str(), live.generation));
    let usual = |route: &RouteCounters| {
        live.is_none_or(|live| route.colours.iter().any(|colour| is(&colour.name, colour.generation, live)))
    };
    let which = (one.colour.as_str(), one.generation);
    let counts = of(counters, which, &usual)?;
    let routes = counters.routes.iter().filter(|route| usual(route));
    let (mut clients, mut open) = (0, 0_u64);
    for route in routes {
        let all = route.colours.iter().fold(0_u64, |sum, colour| sum.saturating_add(colour.weight));
        for colour in route.colours.iter().filter(|colour| is(&colour.name, colour.generation, which)) {
            clients = clients.max(colour.weight.saturating_mul(100) / all.max(1));
            open = open.saturating_add(colour.open);
        }
    }
    Some(Counted { clients: Some(clients), open: Some(open), counts: Some(counts) })
}

/// The routes of a judgement that takes all of them.
pub fn any(_: &RouteCounters) -> bool {
    true
}

/// Routes in which two colours share the requests.
pub fn shared<'a>(one: (&'a str, Generation), other: (&'a str, Generation)) -> impl Fn(&RouteCounters) -> bool + 'a {
    move |route| {
        let gets =
            |which| route.colours.iter().any(|colour| is(&colour.name, colour.generation, which) && colour.weight > 0);
        gets(one) && gets(other)
    }
}

/// What was counted of a colour in these routes; `None`: it is in none of them.
pub fn of(counters: &Counters, which: (&str, Generation), among: &dyn Fn(&RouteCounters) -> bool) -> Option<Counts> {
    let routes = counters.routes.iter().filter(|route| among(route));
    let found = routes.flat_map(|route| &route.colours).filter(|colour| is(&colour.name, colour.generation, which));
    found.map(|colour| counts(&colour.http)).reduce(|one, other| one.and(&other))
}

fn is(name: &str, generation: u64, (colour, made): (&str, Generation)) -> bool {
    name == colour && u64::try_from(made) == Ok(generation)
}

/// Requests that the proxy sent nowhere are in its failures alone, and those that broke off after their head in its answers, too.
fn counts(http: &HttpCounts) -> Counts {
    let failures = &http.failures;
    let unanswered = [failures.bad_gateway, failures.unavailable, failures.timeout];
    let sum = |counts: &[u64]| counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let [.., server_errors] = http.answers;
    let ended = sum(&http.answers).saturating_add(sum(&unanswered));
    let failed = server_errors.saturating_add(failures.all()).min(ended);
    Counts { ended, failed, times: http.latency }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        rollout::analysis::TIMES,
        traffic::control::{ColourCounters, Failures, LATENCY_MILLIS},
    };

    const RULES: Rules = Rules { min_requests: 50, errors: 500, times_before: 3, p50: None, p99: None, looks: 2 };
    const RED: (&str, Generation) = ("red", 3);
    const BLUE: (&str, Generation) = ("blue", 4);

    fn http(good: u64, bad: u64) -> HttpCounts {
        let mut http = HttpCounts { requests: good + bad, answers: [0, good, 0, 0, bad], ..HttpCounts::default() };
        http.latency[2] = good + bad;
        http
    }

    fn colour((name, generation): (&str, Generation), weight: u64, http: HttpCounts) -> ColourCounters {
        let generation = u64::try_from(generation).unwrap();
        ColourCounters { name: name.to_owned(), generation, weight, open: 0, http }
    }

    fn counters(began: u64, routes: Vec<Vec<ColourCounters>>) -> Counters {
        let route = |(at, colours)| RouteCounters {
            listen: std::net::SocketAddr::from(([127, 0, 0, 1], 8000 + at)),
            hosts: Vec::new(),
            path: None,
            requests: 0,
            answered_here: 0,
            waiting: 0,
            fallback_asked: 0,
            fallback_served: 0,
            colours,
        };
        let routes = (0_u16..).zip(routes).map(route).collect();
        Counters { began, repository: "shop".to_owned(), generation: 4, revision: 0, routes }
    }

    #[test]
    fn classes_of_time_are_the_same_everywhere() {
        assert_eq!(TIMES, LATENCY_MILLIS);
    }

    #[test]
    fn what_failed_is_counted_once_and_copies_are_not() {
        let failures = Failures { bad_gateway: 1, unavailable: 2, timeout: 3, broken_off: 4 };
        let mut all = HttpCounts { failures, ..http(90, 10) };
        all.mirrored.requests = 1_000;
        let found = counts(&all);
        assert_eq!((found.ended, found.failed, found.times[2]), (106, 20, 100));
        // Broken off after an answer of 500: no more fail than there were.
        let failures = Failures { broken_off: 10, ..Failures::default() };
        assert_eq!(counts(&HttpCounts { failures, ..http(0, 10) }).failed, 10);
    }

    #[test]
    fn what_came_before_the_move_is_no_fault_of_the_new_colour() {
        let first = counters(1, vec![vec![colour(RED, 100, http(1_000, 500))]]);
        // Somebody has looked at a preview that did not work.
        let now = counters(1, vec![vec![colour(RED, 100, http(1_100, 500)), colour(BLUE, 0, http(3, 9))]]);
        let baseline = Baseline::at(&now, Some(&first), &RULES, RED, BLUE);
        assert_eq!((baseline.before.ended, baseline.before.failed, baseline.own.failed), (100, 0, 9));
        // Too few came since, or another process has counted.
        let few = counters(1, vec![vec![colour(RED, 100, http(1_010, 500))]]);
        assert_eq!(Baseline::at(&few, Some(&first), &RULES, RED, BLUE).before.failed, 500);
        let anew = counters(2, vec![vec![colour(RED, 100, http(60, 0))]]);
        assert_eq!(Baseline::at(&anew, Some(&first), &RULES, RED, BLUE).before.ended, 60);

        let later = |began, good, bad| counters(began, vec![vec![colour(BLUE, 100, http(good, bad))]]);
        let since = |now: &Counters| baseline.since(now, BLUE).map(|came| (came.ended, came.failed));
        assert_eq!(since(&later(1, 53, 9)), Some((50, 0)));
        // The proxy was started again: all that it knows came after the move.
        assert_eq!(since(&later(2, 53, 9)), Some((62, 9)));
        assert_eq!(since(&later(1, 1, 0)), Some((1, 0)));
        assert_eq!(since(&first), None);
        // Containers of another deployment have the same name.
        assert_eq!(baseline.since(&later(1, 53, 9), ("blue", 5)), None);
    }

    #[test]
    fn two_colours_are_compared_where_both_get_requests() {
        let now = counters(
            1,
            vec![
                vec![colour(RED, 95, http(95, 0)), colour(BLUE, 5, http(4, 1))],
                // A preview by a host name of its own, and a route to a service that changes over later.
                vec![colour(BLUE, 100, http(0, 70))],
                vec![colour(RED, 100, http(30, 0)), colour(BLUE, 0, http(0, 0))],
            ],
        );
        let both = shared(RED, BLUE);
        let ended = |which| of(&now, which, &both).map(|counts| counts.ended);
        assert_eq!((ended(RED), ended(BLUE)), (Some(95), Some(5)));
        assert_eq!(of(&now, RED, &any).map(|counts| counts.ended), Some(125));
    }
}
