//! `COLOR` in `.env` names a colour of another pair than the one between which the repository went: another project is made beside
//! the two, and what becomes of those has to be said. Pure.

use crate::{
    store::{ColourRecord, ColourStanding},
    switch::derived::Colours,
};

/// What that means, in words; `None` where the colours that are there are of the pair. `env_file`: where `COLOR` stands.
pub fn third(repo: &str, all: &[ColourRecord], pair: &Colours, env_file: &str) -> Option<String> {
    let Colours { named, partner } = pair;
    let is_there = |one: &&ColourRecord| one.repo == repo && one.standing != ColourStanding::Removed;
    let there: Vec<&ColourRecord> = all.iter().filter(is_there).collect();
    let others: Vec<&ColourRecord> =
        there.iter().copied().filter(|one| one.colour != *named && one.colour != *partner).collect();
    let first = others.first()?;
    let mut said =
        format!("COLOR in {env_file} names {named}, so {repo} goes between {named} and {partner} from now on");
    if !there.iter().any(|one| one.colour == *named) {
        let made = first.project.strip_prefix(&first.colour).map_or_else(|| named.clone(), |of| format!("{named}{of}"));
        let beside: Vec<&str> = there.iter().map(|one| one.project.as_str()).collect();
        said.push_str(&format!(": {made} comes as a project of its own beside {}", beside.join(" and ")));
    }
    let fates: Vec<String> = others.iter().map(|one| fate(one, repo)).collect();
    said.push_str(&format!("; {}; what stays, and its volumes, are as they were", fates.join("; ")));
    if let Some(live) = others.iter().find(|one| one.standing == ColourStanding::Live) {
        said.push_str(&format!("; to go on with the colours of before, write COLOR={}", live.colour));
    }
    Some(said)
}

/// What becomes of a colour that is no part of the pair any more.
fn fate(one: &ColourRecord, repo: &str) -> String {
    let ColourRecord { project, standing, .. } = one;
    match standing {
        ColourStanding::Live | ColourStanding::InPlace => {
            format!(
                "{project} gets the requests until then, and is afterwards what `turnout rollback {repo}` brings back"
            )
        }
        ColourStanding::Previous => {
            format!("`turnout rollback {repo}` brings {project} back as long as both colours run")
        }
        ColourStanding::Kept => {
            format!(
                "{project} stays stopped, and is removed when it was kept long enough (`turnout status {repo}` says when)"
            )
        }
        ColourStanding::Failed | ColourStanding::Next => {
            format!("{project} stays until somebody removes it (`turnout compose -p {project} down`)")
        }
        ColourStanding::Leaving => format!("{project} comes back in place first"),
        ColourStanding::Removed => format!("{project} is removed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colour(colour: &str, standing: ColourStanding) -> ColourRecord {
        ColourRecord {
            repo: "shop".to_owned(),
            colour: colour.to_owned(),
            project: format!("{colour}shop"),
            standing,
            generation: 1,
            deployment: None,
            commit: None,
            since: 0,
            made: String::new(),
        }
    }

    fn said(named: &str, partner: &str, all: &[(&str, ColourStanding)]) -> Option<String> {
        let all: Vec<_> = all.iter().map(|(name, standing)| colour(name, *standing)).collect();
        third("shop", &all, &Colours { named: named.to_owned(), partner: partner.to_owned() }, ".env")
    }

    #[test]
    fn a_third_project_is_not_made_without_a_word() {
        use ColourStanding::{Failed, Kept, Live, Removed};
        assert_eq!(said("red", "blue", &[]), None);
        assert_eq!(said("red", "blue", &[("blue", Live), ("red", Kept)]), None);
        assert_eq!(said("green", "blue", &[("blue", Live), ("red", Removed)]), None);
        assert_eq!(
            said("green", "blue", &[("blue", Kept), ("red", Live)]).unwrap(),
            "COLOR in .env names green, so shop goes between green and blue from now on: greenshop comes as a project of its own \
             beside blueshop and redshop; redshop gets the requests until then, and is afterwards what `turnout rollback shop` \
             brings back; what stays, and its volumes, are as they were; to go on with the colours of before, write COLOR=red"
        );
        // It was made, and what is left of the pair before goes its way.
        assert_eq!(
            said("green", "blue", &[("blue", Kept), ("green", Live), ("red", Kept)]).unwrap(),
            "COLOR in .env names green, so shop goes between green and blue from now on; redshop stays stopped, and is removed when \
             it was kept long enough (`turnout status shop` says when); what stays, and its volumes, are as they were"
        );
        assert!(said("green", "blue", &[("red", Failed)]).unwrap().contains("`turnout compose -p redshop down`"));
    }
}
