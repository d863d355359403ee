//! The document as a whole: which shape, which entries.

use super::{
    DEFAULT_SELF, LookAt, Repos,
    draft::Draft,
    fields::{Notes, join, kind},
    names,
    validate::{self, Named},
};
use crate::{
    config::mistake::{Mistake, Mistakes, Place},
    yaml::{self, Entry, Limits, Map, Node, Pos, Value},
};

/// `repos.yaml` of ten thousand repositories fits; anything deeper or larger is another file by mistake.
const LIMITS: Limits =
    Limits { max_bytes: 4 << 20, max_depth: 16, max_nodes: 200_000, max_text: 16 << 20, refuse_apparent_cycles: false };
const TOP: [&str; 3] = ["repos", "self", "defaults"];

/// Reads `repos.yaml`.
///
/// `look_at` answers what lies at a path. An empty document is a list of no repositories.
///
/// # Errors
/// All mistakes, ordered by place. Text that is not YAML is a single mistake.
pub fn parse(text: &str, file: &str, look_at: LookAt<'_>) -> Result<Repos, Mistakes> {
    let (repos, mistakes) = parse_sound(text, file, look_at)?;
    mistakes.unless_any(repos)
}

/// Reads `repos.yaml` as [`parse`] does, and gives the entries that have no mistake beside the mistakes: for a check that
/// is to find the faults of those as well.
///
/// # Errors
/// Text that is not YAML, or more than one document.
pub fn parse_sound(text: &str, file: &str, look_at: LookAt<'_>) -> Result<(Repos, Mistakes), Mistakes> {
    let mut documents = yaml::parse(text, file, &LIMITS).map_err(|error| {
        let mistake = Mistake::new(Place::At(error.pos), "", error.message);
        Mistakes::one(match error.hint {
            Some(hint) => mistake.hint(hint),
            None => mistake,
        })
    })?;
    if let Some(second) = documents.get(1) {
        let mistake = Mistake::new(Place::At(second.pos.clone()), "", "a second document begins here");
        return Err(Mistakes::one(mistake.hint("put all repositories into one")));
    }
    let mut notes = Notes::default();
    let root = documents.pop();
    let repos = root.as_ref().map(|root| document(root, look_at, &mut notes)).unwrap_or_default();
    let mut mistakes = Mistakes(notes.mistakes);
    mistakes.0.sort_by_key(|mistake| match &mistake.place {
        Place::At(pos) => (pos.line, pos.column),
        Place::File(_) | Place::Source(_) => (0, 0),
    });
    let sound =
        repos.repos.into_iter().filter(|repo| !mistakes.0.iter().any(|mistake| concerns(&mistake.path, &repo.name)));
    let repos = Repos { repos: sound.collect(), warnings: notes.warnings, self_names: repos.self_names };
    Ok((repos, mistakes))
}

/// Whether a mistake at this path of the document is one of this entry; one in `defaults` is one of every entry.
pub(super) fn concerns(path: &str, name: &str) -> bool {
    let path = path.strip_prefix("repos.").unwrap_or(path);
    let below = |top: &str| path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    below(name) || below("defaults")
}

fn document(root: &Node, look_at: LookAt<'_>, notes: &mut Notes) -> Repos {
    if root.value == Value::Null {
        return Repos { self_names: default_self(), ..Repos::default() };
    }
    let Some(top) = notes.map(root, "", "a mapping of names to paths") else { return Repos::default() };
    let self_names = match top.get("self") {
        Some(entry) => self_names(entry, notes),
        None => default_self(),
    };
    let defaults = match top.get("defaults") {
        Some(entry) => notes
            .map(&entry.node, "defaults", "a mapping of settings")
            .map(|map| Draft::read(map, "defaults", false, notes))
            .unwrap_or_default(),
        None => Draft::default(),
    };
    let mut entries = Vec::new();
    match top.get("repos") {
        Some(keyed) => {
            for (key, entry) in top.iter().filter(|(key, _)| !TOP.contains(&key.as_str())) {
                let hint = "beside `repos:` only `self:` and `defaults:` may stand; move a repository below `repos:`";
                notes.wrong_hint(&entry.key_pos, &join("", key), "unknown key", hint);
            }
            match &keyed.node.value {
                Value::Null => {}
                Value::Map(map) => read_entries(map.iter(), "repos", notes, &mut entries),
                other => notes.wrong_hint(
                    &keyed.node.pos,
                    "repos",
                    format!("is {}, a mapping of names to paths is needed", kind(other)),
                    "a repository that is itself called repos goes below `repos:`",
                ),
            }
        }
        None => read_entries(top.iter().filter(|(key, _)| !TOP.contains(&key.as_str())), "", notes, &mut entries),
    }
    let named = entries.into_iter().map(|named| Named { draft: named.draft.or(&defaults), ..named }).collect();
    let repos = validate::all(named, look_at, &self_names, notes);
    Repos { repos, self_names, warnings: Vec::new() }
}

fn read_entries<'m>(
    map: impl Iterator<Item = (&'m String, &'m Entry)>,
    at: &str,
    notes: &mut Notes,
    out: &mut Vec<Named>,
) {
    for (name, entry) in map {
        let at = join(at, name);
        if let Some(hint) = names::name_fault(name) {
            notes.wrong_hint(&entry.key_pos, &at, "is not a repository's name", hint);
        }
        let draft = match &entry.node.value {
            Value::Str(_) => short(entry, &at, notes),
            Value::Map(map) => long(map, &entry.key_pos, &at, notes),
            other => {
                let message = format!("is {}, a path or a mapping is needed", kind(other));
                notes.wrong_hint(&entry.node.pos, &at, message, "write `name: /srv/name`");
                Draft::default()
            }
        };
        out.push(Named { name: name.clone(), at, key_pos: entry.key_pos.clone(), draft });
    }
}

fn short(entry: &Entry, at: &str, notes: &mut Notes) -> Draft {
    let path = notes.absolute(entry, at).map(|path| (path, entry.node.pos.clone()));
    Draft { path, ..Draft::default() }
}

fn long(map: &Map, key_pos: &Pos, at: &str, notes: &mut Notes) -> Draft {
    let draft = Draft::read(map, at, true, notes);
    if !map.contains_key("path") {
        notes.wrong_hint(key_pos, at, "has no `path`", "every repository needs the path of its working tree");
    }
    draft
}

fn self_names(entry: &Entry, notes: &mut Notes) -> Vec<String> {
    let names = notes.texts(entry, "self").unwrap_or_default();
    for (name, pos) in &names {
        let fault = if name.contains('/') { names::full_name_fault(name) } else { names::name_fault(name) };
        if fault.is_some() {
            let hint = "`self:` lists names of the deployer's own repository: deployer, or owner/deployer";
            notes.wrong_hint(pos, "self", format!("`{name}` is not a repository's name"), hint);
        }
    }
    names.into_iter().map(|(name, _)| name).collect()
}

fn default_self() -> Vec<String> {
    DEFAULT_SELF.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, time::Duration};

    use super::super::{Divergence, PathState, Rebuild, Repo, TokenSource};
    use super::*;

    fn read(text: &str) -> Result<Repos, Mistakes> {
        parse(text, "repos.yaml", &|path| PathState::Directory(path.to_path_buf()))
    }

    #[test]
    fn the_plain_shape() {
        let repos = read("shop: /srv/shop\nBlog:\n  path: /srv/blog\n  project: weblog\n").unwrap();
        assert_eq!(repos.self_names, ["deployer", "turnout"]);
        let [shop, blog] = repos.repos.as_slice() else { panic!("{repos:?}") };
        assert_eq!(
            (shop.name.as_str(), shop.path.to_str(), shop.project.as_str()),
            ("shop", Some("/srv/shop"), "shop")
        );
        assert_eq!((shop.env_file.as_str(), shop.rebuild), (".env", Rebuild::Auto));
        assert_eq!(blog.project, "weblog");
        assert_eq!(repos.by_name("BLOG").map(|repo| repo.name.as_str()), Some("Blog"));
    }

    #[test]
    fn the_keyed_shape_with_defaults() {
        let text = "
self: [ops/deployer]
defaults: { branch: production, timeouts: { build: 1h }, token_env: GIT_TOKEN }
repos:
  self: /srv/self
  shop:
    path: /srv/shop
    branch: staging
    full_name: Acme/shop
    remote: https://github.com/Acme/shop.git
    timeouts: { settle: 0 }
    triggers: [web/*.lock]
    on_divergence: rebase
    token_file: /etc/turnout/token
";
        let repos = read(text).unwrap();
        assert_eq!(repos.self_names, ["ops/deployer"]);
        let [first, shop] = repos.repos.as_slice() else { panic!("{repos:?}") };
        assert_eq!((first.name.as_str(), first.branch.as_deref()), ("self", Some("production")));
        assert_eq!(first.token, Some(TokenSource::Env("GIT_TOKEN".into())));
        let Repo { branch, timeouts, token, on_divergence, .. } = shop;
        assert_eq!(branch.as_deref(), Some("staging"));
        assert_eq!((timeouts.build, timeouts.settle), (Some(Duration::from_secs(3600)), Some(Duration::ZERO)));
        assert_eq!(*token, Some(TokenSource::File(PathBuf::from("/etc/turnout/token"))));
        assert_eq!(*on_divergence, Divergence::Rebase);
    }

    #[test]
    fn entries_without_a_mistake_are_told_beside_the_mistakes() {
        let look_at = |path: &std::path::Path| PathState::Directory(path.to_owned());
        let read = |text: &str| {
            let (repos, mistakes) = parse_sound(text, "repos.yaml", &look_at).unwrap();
            (repos.repos.into_iter().map(|repo| repo.name).collect::<Vec<_>>(), mistakes.0.len())
        };
        assert_eq!(read("shop: /srv/shop\nblog: { path: /srv/blog, brunch: x }\n"), (vec!["shop".to_owned()], 1));
        assert_eq!(read("repos:\n  shop: /srv/shop\n  blog: 7\n"), (vec!["shop".to_owned()], 1));
        assert_eq!(read("defaults: { brunch: x }\nrepos:\n  shop: /srv/shop\n"), (vec![], 1));
        assert_eq!(read("shop: /srv/shop\n"), (vec!["shop".to_owned()], 0));
    }

    #[test]
    fn empty_documents_are_empty_lists() {
        for text in ["", "# nothing yet\n", "repos:\n", "repos: {}\n", "{}"] {
            assert!(read(text).unwrap().repos.is_empty(), "{text:?}");
        }
    }

    #[test]
    fn a_repository_that_is_also_the_deployer_is_odd_but_valid() {
        let repos = read("deployer: /srv/deployer\n").unwrap();
        assert_eq!(repos.warnings.len(), 1);
    }
}
