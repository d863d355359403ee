//! Further back than to the colour that was live before (`rollback --to`): which commit is meant, how it comes to be live again, and what
//! is taken back with it. The deployment that does it is one like any other, but that it waits for nobody.

use std::sync::Arc;

use super::{
    super::{Deployer, Failure, bakes::Ask, guard},
    stands::Stands,
};
use crate::{
    config::Repo,
    git::{self, short},
    report::counted,
    store::{Cause, ColourRecord, ColourStanding, Deployment, DeploymentId, NewDeployment, State, TakenBack},
};

/// Most commits that are taken back by one way back: as many are told apart by whoever reads the list.
const MOST: usize = 200;
/// Fewest digits by which a commit is known, as for git. Fewer decimal digits than a commit's usual short form are a deployment's number.
const FEWEST: usize = 4;
/// The usual short form of a commit.
const SHORT: usize = 7;

/// What somebody calls a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Meant {
    /// By the deployment that brought it.
    Number(DeploymentId),
    /// By its first digits.
    Digits(String),
}

/// A commit to go back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Its name in full, whatever somebody called it by.
    pub commit: String,
    /// The last deployment that brought it.
    deployment: Option<DeploymentId>,
}

/// What it takes to have it live again.
enum Way {
    /// Nothing: it is.
    Live,
    /// One move of the routes: it is the colour before, and runs still.
    Move,
    /// A start: its colour is kept.
    Wake,
    /// It has to be made anew.
    Make,
}

/// What was begun, in words, and the deployment that does what is left.
pub struct Begun {
    /// What is done, and what will be.
    pub said: String,
    /// By whom; `None`: it is done.
    pub deployment: Option<DeploymentId>,
}

impl Past {
    /// `1a2b3c4 of deployment 12`.
    fn shown(&self) -> String {
        let of = self.deployment.map(|id| format!(" of deployment {id}"));
        format!("{}{}", short(&self.commit), of.unwrap_or_default())
    }
}

/// A number of up to six digits is a deployment's; four hexadecimal digits and more are a commit's.
fn meant(text: &str) -> Option<Meant> {
    let all = |is: fn(&u8) -> bool| !text.is_empty() && text.bytes().all(|byte| is(&byte));
    if all(u8::is_ascii_digit) && text.len() < SHORT {
        return text.parse().ok().map(Meant::Number);
    }
    let fits = (FEWEST..=40).contains(&text.len()) && all(u8::is_ascii_hexdigit);
    fits.then(|| Meant::Digits(text.to_ascii_lowercase()))
}

/// Where a commit stands among the colours.
fn way(stands: &Stands, commit: &str) -> Way {
    let runs = |standing| stands.at(standing).is_some_and(|one| one.commit.as_deref() == Some(commit));
    if runs(ColourStanding::Live) {
        Way::Live
    } else if runs(ColourStanding::Previous) {
        Way::Move
    } else if runs(ColourStanding::Kept) && stands.at(ColourStanding::Previous).is_none() {
        Way::Wake
    } else {
        Way::Make
    }
}

impl Deployer {
    /// The commit that somebody calls so, to which a repository can go back.
    ///
    /// # Errors
    /// There is none, or several; or it is none to go back to. With what to do next.
    pub async fn past(&self, repo: &Repo, to: &str) -> Result<Past, Failure> {
        let name = &repo.name;
        let stands = self.recorded(name).await?;
        if repo.switch.is_none() {
            return Err(Failure::new(format!(
                "{name} is deployed in place, without `switch`: there is no other colour to which requests could go back"
            ))
            .hint(format!("turnout deploy {name} --commit {to} deploys an earlier commit in place")));
        }
        let Some(live) = stands.live().and_then(|live| live.commit.clone()) else {
            return Err(Failure::new(format!(
                "nothing of {name} is live whose commit is known: there is nothing to go back from"
            ))
            .hint(format!("turnout deploy {name} --commit {to} deploys a commit by its name")));
        };
        match meant(to) {
            Some(Meant::Number(id)) => self.of_number(name, id).await,
            Some(Meant::Digits(digits)) => self.of_digits(repo, &digits, &live).await,
            None => {
                let shown: String = to.chars().take(60).flat_map(char::escape_debug).collect();
                Err(Failure::new(format!(
                    "`{shown}` is neither a deployment's number nor the first digits of a commit"
                ))
                .hint(format!(
                    "`turnout history {name}` lists both; tags and branches: turnout deploy {name} --commit NAME"
                )))
            }
        }
    }

    async fn of_number(&self, name: &str, id: DeploymentId) -> Result<Past, Failure> {
        let found = self.store.deployment(id).await.map_err(Failure::from)?;
        let lists =
            format!("`turnout history {name}` lists those that succeeded; a commit can be named in place of a number");
        let Some(found) = found.filter(|found| found.repo == *name) else {
            return Err(Failure::new(format!("{name} has no deployment {id}, or its record is gone")).hint(lists));
        };
        let Deployment { state, commit_after, .. } = found;
        match commit_after {
            Some(commit) if state == State::Succeeded => Ok(Past { commit, deployment: Some(id) }),
            _ => Err(Failure::new(format!("deployment {id} of {name} is {state}: it never was live")).hint(lists)),
        }
    }

    async fn of_digits(&self, repo: &Repo, digits: &str, live: &str) -> Result<Past, Failure> {
        let name = &repo.name;
        let several = |which: &str| {
            Failure::new(format!("several commits of {name} begin with {digits}{which}"))
                .hint("give more of its digits; nothing was changed")
        };
        let deployed = self.store.deployed_as(name, digits).await.map_err(Failure::from)?;
        match &deployed[..] {
            [] => {}
            [one] => {
                let (commit, id) = one.clone();
                return Ok(Past { commit, deployment: Some(id) });
            }
            more => {
                let named: Vec<String> = more
                    .iter()
                    .map(|(commit, id)| format!("{} of deployment {id}", commit.get(..12).unwrap_or(commit)))
                    .collect();
                return Err(several(&format!(" ({})", named.join(", "))));
            }
        }
        let (path, wanted, tip) = (repo.real_path.clone(), digits.to_owned(), live.to_owned());
        let found = tokio::task::spawn_blocking(move || {
            let known = git::known(&path, &wanted)?;
            let reach = match &known {
                git::Known::Commit(commit) => git::reach(&path, &tip, commit)?,
                _ => git::Reach::Absent,
            };
            Ok::<_, git::GitError>((known, reach))
        });
        let found = found.await.map_err(|lost| guard::fault(&format!("looking for a commit was lost: {lost}")))?;
        match found.map_err(Failure::from)? {
            (git::Known::Several, _) => Err(several("")),
            (git::Known::Commit(commit), git::Reach::Within) => Ok(Past { commit, deployment: None }),
            (git::Known::Commit(commit), _) => Err(Failure::new(format!(
                "{} is not in the history of {}, which is live, and was never deployed here: that would be no way back",
                short(&commit),
                short(live)
            ))
            .hint(format!("deploy it all the same, with promotion and steps: turnout deploy {name} --commit {}", short(&commit)))),
            (git::Known::Absent, _) => Err(Failure::new(format!("no commit of {name} that is here begins with {digits}")).hint(format!(
                "`turnout history {name}` lists what was deployed; turnout deploy {name} --commit {digits} asks the remote for it, too"
            ))),
        }
    }

    /// Begins it. What is under way was called off before.
    ///
    /// # Errors
    /// When the colour that bakes could not be left, or the store does not answer.
    pub async fn go_back_to(self: &Arc<Self>, repo: &Repo, past: &Past, who: Option<String>) -> Result<Begun, Failure> {
        let name = &repo.name;
        let who_said = who.clone().unwrap_or_else(|| "somebody".to_owned());
        let why = format!("{who_said} went back to {}", short(&past.commit));
        let before = self.recorded(name).await?;
        let left = self.newer(repo, &past.commit, before.live(), None).await;
        let mut said = Vec::new();
        let way = way(&before, &past.commit);
        if matches!(way, Way::Live) {
            self.store.note_reverted(name, TakenBack { commits: left, why }).await.map_err(Failure::from)?;
            return Ok(Begun { said: format!("{} is live already", past.shown()), deployment: None });
        }
        if let Some(done) = self.ask_bake(name, Ask::Revert(why.clone())).await {
            // Both colours are taken; and the one before is nearer to what is wanted than the one that is left.
            said.push(done?);
        }
        let stands = self.recorded(name).await?;
        let from = stands.live().map_or_else(|| "nothing".to_owned(), |live| live.project.clone());
        match self::way(&stands, &past.commit) {
            Way::Live | Way::Move => {
                said.push(taken_back(&left));
                self.store.note_reverted(name, TakenBack { commits: left, why }).await.map_err(Failure::from)?;
                return Ok(Begun { said: joined(said), deployment: None });
            }
            Way::Wake => said.push(format!(
                "back to {}: its colour is kept, and is started again; {from} gets the requests until it has passed its gate",
                past.shown()
            )),
            Way::Make => said.push(format!(
                "back to {}: its files are checked out, it is made as the colour that is not live and has to pass its gate, without a \
                 promotion and without steps; {from} gets the requests until then",
                past.shown()
            )),
        }
        said.push(taken_back(&left));
        let wanted = NewDeployment {
            repo: name.clone(),
            branch: None,
            commit: Some(past.commit.clone()),
            kind: Cause::Manual,
            cause: format!("back to {}", past.shown()),
            who,
            force_rebuild: false,
            pinned: true,
            new_stack: false,
            back: true,
            past: true,
        };
        let queued = self.store.enqueue(wanted).await.map_err(Failure::from)?;
        Ok(Begun { said: joined(said), deployment: Some(queued.deployment) })
    }

    /// Commits that are not wanted any more where somebody goes back to this one: those after it that are live, or known of the branch, or
    /// were pushed. `before`: pushes that came before this deployment was asked for; later ones are newer.
    async fn newer(
        &self,
        repo: &Repo,
        commit: &str,
        live: Option<&ColourRecord>,
        before: Option<DeploymentId>,
    ) -> Vec<String> {
        let wanted = self.store.wanted(&repo.name).await.ok().flatten();
        let wanted =
            wanted.filter(|wanted| before.is_none_or(|before| wanted.before <= before)).map(|wanted| wanted.commit);
        let live = live.and_then(|live| live.commit.clone());
        let sure: Vec<String> = live.into_iter().chain(wanted).collect();
        let (path, branch, base) = (repo.real_path.clone(), repo.branch.clone(), commit.to_owned());
        let tips = sure.clone();
        let walked = tokio::task::spawn_blocking(move || {
            let tip = git::followed_tip(&path, branch.as_deref());
            let tips: Vec<String> = tips.into_iter().chain(tip).collect();
            git::beyond(&path, &base, &tips, MOST)
        });
        let mut all = match walked.await {
            Ok(Ok(all)) => all,
            Ok(Err(_)) | Err(_) => Vec::new(),
        };
        // Whatever git knows of them. One that lies before it is no newer one.
        let known: Vec<String> = sure.into_iter().filter(|one| one != commit && !all.contains(one)).collect();
        for one in known {
            let (path, base, tip) = (repo.real_path.clone(), one.clone(), commit.to_owned());
            let within = tokio::task::spawn_blocking(move || git::reach(&path, &tip, &base)).await;
            if !matches!(within, Ok(Ok(git::Reach::Within))) {
                all.push(one);
            }
        }
        all
    }

    /// What a deployment takes back that goes back, once requests go to what it was to bring: what was live, or all that is newer.
    pub(super) async fn left_behind(
        &self,
        repo: &Repo,
        job: &Deployment,
        live: Option<&ColourRecord>,
    ) -> Option<TakenBack> {
        if !job.back {
            return None;
        }
        let who = job.who.as_deref().unwrap_or("somebody");
        let target = job.wanted_commit.as_deref();
        let (commits, why) = match target.filter(|_| job.past) {
            Some(commit) => {
                (self.newer(repo, commit, live, Some(job.id)).await, format!("{who} went back to {}", short(commit)))
            }
            None => (live.and_then(|live| live.commit.clone()).into_iter().collect(), "somebody went back".to_owned()),
        };
        Some(TakenBack { commits, why })
    }

    /// Whether the colour that stands by is the one to which a deployment goes back: neither git nor a build has a part in it then.
    pub(in crate::deploy) async fn wakes(&self, job: &Deployment) -> Result<bool, Failure> {
        if !job.back {
            return Ok(false);
        }
        let stands = self.recorded(&job.repo).await?;
        let by = stands.at(ColourStanding::Previous).or_else(|| stands.at(ColourStanding::Kept));
        // Of the way back to the colour before it is told when it is looked for.
        Ok(!job.past || by.is_some_and(|by| by.commit == job.wanted_commit))
    }
}

fn joined(said: Vec<String>) -> String {
    said.into_iter().filter(|said| !said.is_empty()).collect::<Vec<_>>().join("\n")
}

fn taken_back(left: &[String]) -> String {
    match left {
        [] => String::new(),
        [one] => format!(
            "taken back with that: {}; it is not deployed again by itself, what is pushed from now on is",
            short(one)
        ),
        [newest, ..] => format!(
            "taken back with that: {} after it, {} among them; none is deployed again by itself, what is pushed from now on is",
            counted(left.len(), "commit"),
            short(newest)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_are_deployments_and_digits_are_commits() {
        for (text, expected) in [
            ("7", Some(Meant::Number(7))),
            ("123456", Some(Meant::Number(123_456))),
            ("1234567", Some(Meant::Digits("1234567".to_owned()))),
            ("1A2b", Some(Meant::Digits("1a2b".to_owned()))),
            ("1a2", None),
            ("", None),
            ("main", None),
            ("HEAD~1", None),
            ("-7", None),
        ] {
            assert_eq!(meant(text), expected, "{text}");
        }
        assert!(meant(&"a".repeat(40)).is_some() && meant(&"a".repeat(41)).is_none());
    }

    #[test]
    fn a_colour_that_stands_by_is_the_shortest_way() {
        let one = |colour: &str, standing, commit: &str| ColourRecord {
            repo: "shop".to_owned(),
            colour: colour.to_owned(),
            project: format!("{colour}shop"),
            standing,
            generation: 1,
            deployment: None,
            commit: Some(commit.to_owned()),
            since: 0,
            made: String::new(),
        };
        let word = |other, commit: &str| {
            let all = vec![one("red", ColourStanding::Live, "c"), one("blue", other, "b")];
            match way(&Stands { all, switch: None }, commit) {
                Way::Live => "live",
                Way::Move => "move",
                Way::Wake => "wake",
                Way::Make => "make",
            }
        };
        for (other, commit, expected) in [
            (ColourStanding::Previous, "c", "live"),
            (ColourStanding::Previous, "b", "move"),
            (ColourStanding::Kept, "b", "wake"),
            (ColourStanding::Failed, "b", "make"),
            (ColourStanding::Removed, "b", "make"),
            (ColourStanding::Kept, "a", "make"),
        ] {
            assert_eq!(word(other, commit), expected, "{other:?} {commit}");
        }
    }
}
