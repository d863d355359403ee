//! Which containers of a colour turnout has stopped: that they ended is no fault of theirs. Pure.

use std::collections::BTreeSet;

use super::{made::Made, stands::Stands};
use crate::store::ColourStanding;

/// Exit codes of a process that ended because it was told to: of its own accord, or by SIGHUP, SIGINT, SIGQUIT, SIGKILL or
/// SIGTERM, of which the engine's code is 128 and the signal's number. With any other code it had a reason of its own.
const TOLD: [i64; 6] = [0, 129, 130, 131, 137, 143];

/// What of a project turnout has stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// Nothing: who stands still there ended by itself, or somebody else stopped it.
    Nothing,
    /// All but these services, which are jobs and are never stopped.
    AllBut(BTreeSet<String>),
    /// These services: they must not run in two colours at once.
    Only(BTreeSet<String>),
}

impl Stopped {
    /// Of a repository's project. `staying`: the project of what no colour has.
    pub fn of(stands: &Stands, project: &str, staying: &str) -> Stopped {
        let Some(colour) = stands.all.iter().find(|one| one.project == project) else {
            // What ran in place when the first colour came stands still, and has no record any more.
            return match stands.live().is_some() && project != staying {
                true => Stopped::AllBut(BTreeSet::new()),
                false => Stopped::Nothing,
            };
        };
        let made = Made::read(&colour.made).unwrap_or_default();
        match colour.standing {
            ColourStanding::Kept | ColourStanding::Failed | ColourStanding::Removed => {
                Stopped::AllBut(made.services.iter().filter(|one| one.job).map(|one| one.name.clone()).collect())
            }
            ColourStanding::Previous => Stopped::Only(made.alone().into_iter().collect()),
            ColourStanding::Live | ColourStanding::Next | ColourStanding::InPlace | ColourStanding::Leaving => {
                Stopped::Nothing
            }
        }
    }

    /// Whether it was turnout that ended a container. `why`: what is known of a fault of its colour; whoever is named there fell by
    /// itself.
    pub fn ended(&self, container: &str, service: &str, code: i64, why: Option<&str>) -> bool {
        let of_those = match self {
            Stopped::Nothing => false,
            Stopped::AllBut(jobs) => !jobs.contains(service),
            Stopped::Only(services) => services.contains(service),
        };
        of_those && TOLD.contains(&code) && !why.is_some_and(|why| names(why, container))
    }
}

/// Whether a text names a container, and not one whose name only begins so.
fn names(text: &str, container: &str) -> bool {
    let of_a_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    text.split(|letter| !of_a_name(letter)).any(|word| word.trim_end_matches('.') == container)
}

#[cfg(test)]
mod tests {
    use super::{
        super::made::{MadeService, tests::shop},
        *,
    };
    use crate::store::ColourRecord;

    fn stands(colours: &[(&str, ColourStanding)]) -> Stands {
        let service = |name: &str, alone, job| MadeService {
            name: name.to_owned(),
            restart: String::new(),
            alone,
            held: false,
            job,
            patience: None,
        };
        let services =
            vec![service("web", false, false), service("worker", true, false), service("migrate", false, true)];
        let made = Made { services, ..shop() }.to_text();
        let record = |(colour, standing): &(&str, ColourStanding)| ColourRecord {
            repo: "shop".to_owned(),
            colour: (*colour).to_owned(),
            project: format!("{colour}shop"),
            standing: *standing,
            generation: 1,
            deployment: None,
            commit: None,
            since: 0,
            made: made.clone(),
        };
        Stands { all: colours.iter().map(record).collect(), switch: None }
    }

    #[test]
    fn an_end_is_turnouts_where_it_has_stopped_the_colour() {
        use ColourStanding::{Failed, Kept, Live, Next, Previous, Removed};
        // The colour's standing; service and exit code; whether turnout ended it.
        for (standing, service, code, by_turnout) in [
            (Kept, "web", 143, true),
            (Kept, "web", 137, true),
            (Kept, "web", 0, true),
            (Kept, "web", 1, false),
            // Ended by a fault that the kernel saw.
            (Kept, "web", 139, false),
            (Kept, "migrate", 0, false),
            (Failed, "worker", 143, true),
            (Removed, "web", 143, true),
            (Previous, "worker", 143, true),
            (Previous, "web", 143, false),
            (Live, "web", 137, false),
            (Next, "worker", 143, false),
        ] {
            let of = Stopped::of(&stands(&[("blue", Live), ("red", standing)]), "redshop", "shop");
            let found = of.ended(&format!("redshop-{service}-1"), service, code, None);
            assert_eq!(found, by_turnout, "{standing:?} {service} {code}");
        }
    }

    #[test]
    fn who_is_named_as_the_fault_fell_by_itself() {
        let of =
            Stopped::of(&stands(&[("blue", ColourStanding::Live), ("red", ColourStanding::Failed)]), "redshop", "shop");
        let ended = |container: &str, why: &str| of.ended(container, "web", 137, Some(why));
        assert!(!ended("redshop-web-1", "redshop-web-1 ended with exit code 137 while redshop bakes"));
        assert!(!ended("redshop-web-1", "it was (redshop-web-1)."));
        assert!(ended("redshop-web-1", "redshop-web-11 ended with exit code 137 while redshop bakes"));
        assert!(ended("redshop-web-1", "somebody went back"));
    }

    #[test]
    fn what_ran_in_place_before_is_stopped_and_has_no_record() {
        use ColourStanding::{Live, Next};
        let adopted = stands(&[("blue", Live)]);
        assert!(Stopped::of(&adopted, "redshop", "shop").ended("redshop-web-1", "web", 137, None));
        assert_eq!(Stopped::of(&adopted, "shop", "shop"), Stopped::Nothing);
        // Before it is live, and without colours, nothing is known.
        assert_eq!(Stopped::of(&stands(&[("blue", Next)]), "redshop", "shop"), Stopped::Nothing);
        assert_eq!(Stopped::of(&stands(&[]), "redshop", "shop"), Stopped::Nothing);
    }
}
