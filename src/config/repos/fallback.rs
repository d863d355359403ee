//! Which entries count while `repos.yaml` has mistakes: those without a mistake as they are now, the others as they
//! were when they had none.

use std::collections::BTreeSet;

use super::{Repos, parse::concerns};
use crate::config::mistake::Mistakes;

/// What counts while the file has mistakes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fallback {
    /// The list that counts.
    pub repos: Repos,
    /// What that means, in words.
    pub consequence: String,
}

/// Paths in the document of what concerns every entry: a mistake there leaves nothing of the file to rely upon.
const EVERYWHERE: [&str; 4] = ["", "repos", "self", "defaults"];

/// What counts where there is neither an entry without a mistake nor a former one.
const NOTHING: &str = "nothing is deployed until it is repaired";

/// Puts together what counts: `sound` are the entries without a mistake (`None`: the text cannot be read at all), `good`
/// is the last list that counted.
pub fn fallback(sound: Option<Repos>, mistakes: &Mistakes, good: &Repos) -> Fallback {
    let everywhere = |path: &str| EVERYWHERE.contains(&path) || path.starts_with("defaults.");
    let whole = mistakes.0.iter().any(|mistake| everywhere(&mistake.path));
    let Some(mut repos) = sound.filter(|_| !whole) else {
        let consequence = match good.repos.is_empty() {
            true => NOTHING.to_owned(),
            false => "the last good list counts".to_owned(),
        };
        return Fallback { repos: good.clone(), consequence };
    };
    let wrong = |name: &str| mistakes.0.iter().any(|mistake| concerns(&mistake.path, name));
    let mut kept = Vec::new();
    for former in good.repos.iter().filter(|former| wrong(&former.name)) {
        // Another entry may have taken its name or its work tree over.
        let taken =
            |other: &super::Repo| other.name.eq_ignore_ascii_case(&former.name) || other.real_path == former.real_path;
        if !repos.repos.iter().any(taken) {
            kept.push(former.name.clone());
            repos.repos.push(former.clone());
        }
    }
    let tops = mistakes.0.iter().filter_map(|mistake| top(&mistake.path));
    if repos.repos.is_empty() {
        return Fallback { repos, consequence: NOTHING.to_owned() };
    }
    let lost: BTreeSet<&str> = tops.filter(|name| repos.by_name(name).is_none()).collect();
    let mut parts = Vec::new();
    if !kept.is_empty() {
        let count = if kept.len() == 1 { "counts as it was" } else { "count as they were" };
        parts.push(format!("{} {count} before the mistake", list(kept.iter().map(String::as_str))));
    }
    if !lost.is_empty() {
        let left =
            if lost.len() == 1 { "is left out until it is corrected" } else { "are left out until they are corrected" };
        parts.push(format!("{} {left}", list(lost.into_iter())));
    }
    parts.push("the other entries are in use".to_owned());
    Fallback { repos, consequence: parts.join(", ") }
}

/// The entry that a path in the document leads into.
fn top(path: &str) -> Option<&str> {
    let path = path.strip_prefix("repos.").unwrap_or(path);
    path.split(['.', '[']).next().filter(|name| !name.is_empty())
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::super::{PathState, parse_sound};
    use super::*;

    fn read(text: &str) -> (Option<Repos>, Mistakes) {
        match parse_sound(text, "repos.yaml", &|path| PathState::Directory(path.to_path_buf())) {
            Ok((repos, mistakes)) => (Some(repos), mistakes),
            Err(mistakes) => (None, mistakes),
        }
    }

    #[test]
    fn a_mistake_costs_the_entry_it_is_in() {
        let (good, none) = read("shop: /srv/shop\nblog: { path: /srv/blog, branch: main }\nold: /srv/old\n");
        assert!(none.0.is_empty());
        let good = good.unwrap();
        for (text, names, words) in [
            // Unreadable as a whole, or wrong in what concerns every entry.
            ("shop: [\n", "shop blog old", "the last good list counts"),
            ("defaults: { brunch: x }\nshop: /srv/new\n", "shop blog old", "the last good list counts"),
            ("repos: 7\n", "shop blog old", "the last good list counts"),
            ("7\n", "shop blog old", "the last good list counts"),
            ("self: [a b]\nshop: /srv/shop\n", "shop blog old", "the last good list counts"),
            // One is wrong and stays as it was, one is gone, one is new.
            (
                "shop: /srv/shop\nblog: { path: /srv/blog, brunch: x }\nnew: /srv/new\n",
                "shop new blog",
                "`blog` counts as it was before the mistake, the other entries are in use",
            ),
            (
                "repos:\n  shop: /srv/shop\n  wiki: 7\n",
                "shop",
                "`wiki` is left out until it is corrected, the other entries are in use",
            ),
            // Its work tree is another's now.
            (
                "weblog: /srv/blog\nblog: { path: /srv/blog2, brunch: x }\n",
                "weblog",
                "`blog` is left out until it is corrected, the other entries are in use",
            ),
        ] {
            let (sound, mistakes) = read(text);
            let Fallback { repos, consequence } = fallback(sound, &mistakes, &good);
            let found: Vec<_> = repos.repos.iter().map(|repo| repo.name.as_str()).collect();
            assert_eq!((found.join(" ").as_str(), consequence.as_str()), (names, words), "{text}");
        }
        let (sound, mistakes) = read("blog: { path: /srv/blog, branch: dev, brunch: x }\n");
        let blog = fallback(sound, &mistakes, &good).repos.repos.remove(0);
        assert_eq!(blog.branch.as_deref(), Some("main"), "nothing of the wrong entry counts");
        let (sound, mistakes) = read("shop: [\n");
        assert_eq!(fallback(sound, &mistakes, &Repos::default()).consequence, NOTHING);
        let (sound, mistakes) = read("shop: 7\nblog: relative\n");
        assert_eq!(fallback(sound, &mistakes, &Repos::default()).consequence, NOTHING);
    }
}
