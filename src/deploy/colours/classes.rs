//! A service that stayed so far and is to have colours now, or the other way round: it would run in both places for a while, on the
//! same storage perhaps, and the live colour would lose it under its name. That is refused before anything is changed, with the
//! line that keeps its former class.

use std::collections::BTreeMap;

use super::{
    super::{Deployer, Failure},
    look::Looked,
    made::{Made, MadeService},
    stands::Stands,
};
use crate::{config::Repo, engine::Engine, store::ColourStanding, switch::Class};

impl Deployer {
    /// See the module.
    ///
    /// # Errors
    /// There is one.
    pub(super) async fn refuse_moved(
        &self,
        repo: &Repo,
        engine: &Engine,
        stands: &Stands,
        looked: &Looked,
    ) -> Result<(), Failure> {
        let mut moved = BTreeMap::new();
        let runs = |standing| matches!(standing, ColourStanding::Live | ColourStanding::Previous);
        for one in stands.all.iter().filter(|one| runs(one.standing)) {
            let made = Made::read(&one.made).map_err(Failure::new)?;
            let stays = |one: &&MadeService| looked.staying.project.services.contains_key(&one.name);
            moved.extend(made.services.iter().filter(stays).map(|one| (one.name.clone(), class(&made, one))));
        }
        for one in engine.containers(&repo.project, true).await?.into_iter().filter(|one| !one.oneoff) {
            if looked.colour.project.services.contains_key(&one.service)
                && matches!(one.state.as_str(), "running" | "restarting")
            {
                moved.insert(one.service, Class::Shared);
            }
        }
        if moved.is_empty() {
            return Ok(());
        }
        let now = moved.iter().map(|(name, was)| {
            let is = looked.derived.services.get(name);
            let is = is.map_or_else(|| "gone".to_owned(), |fate| format!("{} ({})", fate.class, fate.reason));
            format!("{name} is {is} now, and was {was} when it was deployed last")
        });
        let now: Vec<String> = now.collect();
        let lines: Vec<String> = moved.iter().map(|(name, was)| format!("{name}: {was}")).collect();
        Err(Failure::new(format!(
            "{}: to change over between what stays and what has colours is not there yet",
            now.join("; ")
        ))
        .hint(format!(
            "nothing was changed; to keep what was, write in repos.yaml, {}: switch: {{ services: {{ {} }} }}; for the new class \
             deploy once without `switch` and once with it again (turnout plan says both times what waits; volumes stay)",
            repo.name,
            lines.join(", ")
        )))
    }
}

/// As what a service of a colour was made, as far as that was kept.
fn class(made: &Made, one: &MadeService) -> Class {
    let has_route = made.routes.iter().any(|route| route.service == one.name);
    match (one.job, has_route, one.alone, one.held) {
        (true, ..) => Class::Job,
        (_, true, true, _) | (_, _, true, true) => Class::Held,
        (_, true, false, _) => Class::Routed,
        (_, false, true, false) => Class::Worker,
        (_, false, false, _) => Class::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::made::tests::shop, *};

    #[test]
    fn what_a_service_was_is_told_by_what_is_kept_of_it() {
        let mut made = shop();
        let of = |made: &Made| made.services.iter().map(|one| class(made, one).to_string()).collect::<Vec<_>>();
        assert_eq!(of(&made), ["job", "routed", "worker"]);
        made.routes.clear();
        assert_eq!(of(&made), ["job", "internal", "worker"]);
        made.services.iter_mut().for_each(|one| (one.alone, one.held) = (true, true));
        assert_eq!(of(&made), ["job", "held", "held"]);
    }
}
