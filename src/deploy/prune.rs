//! `turnout prune`: what turnout left on this host that nobody needs, and its removal. Never volumes, never containers.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Failure, Planner, busy, clock, leftovers};
use crate::{
    config::{Repo, units},
    decide::leftovers::{self as decide, Judged, short},
    engine::{Engine, EngineError},
    git,
    inputs::Memory,
};

/// Half-written files older than this have no writer any more.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// A project that this turnout deployed, and the repository that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// The repository's name in the list, then.
    pub repo: String,
    /// The Compose project.
    pub project: String,
}

/// Whose images are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    repo: String,
    project: String,
    /// How many earlier images stay; none where the repository is gone from the list.
    keep: Option<usize>,
}

/// What was found, in words.
#[derive(Debug, Clone, Default)]
pub struct Pruned {
    /// A line for each thing.
    pub lines: Vec<String>,
    /// How many things went, or would go.
    pub removed: usize,
    /// Bytes that were, or would be, freed at most.
    pub freed: u64,
    /// Not all could be looked at or removed.
    pub incomplete: bool,
}

/// Looks, and removes unless `dry`. `wanted`: only these repositories, also such as are gone from the list.
///
/// # Errors
/// When a name is unknown, or the engine does not answer.
pub async fn prune(planner: &Planner, deployed: &[Deployed], wanted: &[String], dry: bool) -> Result<Pruned, Failure> {
    let current = planner.repos.current();
    let configured = &current.repos.repos;
    for name in wanted {
        if !deployed.iter().any(|known| known.repo.eq_ignore_ascii_case(name)) {
            planner.find(name)?;
        }
    }
    let engine = planner.engine().await?;
    let state = &planner.settings.state_dir;
    let mut found = Pruned::default();
    for target in targets(configured, deployed, wanted) {
        let _busy = match busy::attempt(state, &target.repo) {
            Ok(Some(busy)) => Some(busy),
            Ok(None) => {
                found.not(format!(
                    "{}: a deployment is under way, or what one left in part is put right, so its images are not looked at",
                    target.repo
                ));
                continue;
            }
            // Who may only look need not write.
            Err(_) if dry => None,
            Err(error) => {
                let hint = "run it as the daemon's user, or with --dry-run";
                return Err(Failure::new(format!("cannot write in {}: {error}", state.display())).hint(hint));
            }
        };
        let images = engine.built_images(&target.project).await?;
        let judged = match target.keep {
            Some(keep) => decide::earlier(&images, keep),
            None => decide::abandoned(&images, &target.repo),
        };
        found.images(&engine, judged, dry).await;
    }
    if wanted.is_empty() {
        found.lists(&engine, state, configured, dry).await?;
    }
    let looked_at = |repo: &&Repo| wanted.is_empty() || wanted.iter().any(|name| name.eq_ignore_ascii_case(&repo.name));
    for repo in configured.iter().filter(looked_at) {
        for folder in git::abandoned_clones(&repo.path) {
            let what = format!("{}, a clone that was broken off", folder.path().display());
            let size = folder.size();
            found.thing(what, size, dry, || folder.remove());
        }
    }
    Ok(found)
}

/// Projects whose images are looked at: each that was deployed, as one of the list or as one that is gone from it.
fn targets(configured: &[Repo], deployed: &[Deployed], wanted: &[String]) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for Deployed { repo, project } in deployed {
        if !wanted.is_empty() && !wanted.iter().any(|name| name.eq_ignore_ascii_case(repo)) {
            continue;
        }
        let own = configured.iter().find(|other| other.name.eq_ignore_ascii_case(repo));
        // A colour of a repository that bears another name in the list now is that repository's.
        let heir = configured.iter().find(|other| project.ends_with(&other.project));
        let keep = own.or(heir).map(|repo| repo.keep_images);
        let repo = own.or(heir).map_or_else(|| repo.clone(), |repo| repo.name.clone());
        let target = Target { repo, project: project.clone(), keep };
        if !targets.iter().any(|other| other.project == target.project) {
            targets.push(target);
        }
    }
    targets
}

impl Pruned {
    fn not(&mut self, line: String) {
        self.lines.push(line);
        self.incomplete = true;
    }

    async fn images(&mut self, engine: &Engine, judged: Judged, dry: bool) {
        let Judged { removals, spared } = judged;
        for removal in removals {
            let size = units::shown(removal.size);
            if dry {
                let (id, of, why) = (short(&removal.id), &removal.of, &removal.why);
                self.lines.push(format!("would remove image {id} of {of}, {why}: up to {size}"));
            } else {
                match leftovers::remove(engine, &removal).await {
                    Ok(text) if text.starts_with("removed") => self.lines.push(format!("{text}: up to {size}")),
                    Ok(text) => {
                        self.not(text);
                        continue;
                    }
                    Err(error) => {
                        self.not(format!("image {} of {}: {error}", short(&removal.id), removal.of));
                        continue;
                    }
                }
            }
            self.removed += 1;
            self.freed = self.freed.saturating_add(removal.size);
        }
        self.lines.extend(spared.into_iter().map(|text| format!("stays: {text}")));
    }

    /// What turnout remembers under the state directory of images and repositories that are gone.
    async fn lists(
        &mut self,
        engine: &Engine,
        state: &Path,
        configured: &[Repo],
        dry: bool,
    ) -> Result<(), EngineError> {
        let folder = state.join("inputs");
        let known: BTreeSet<String> = configured.iter().map(|repo| hex::encode(&repo.name)).collect();
        for (path, name) in files(&folder) {
            let Some((of, "digests" | "mounted")) = name.split_once('.') else { continue };
            if !known.contains(of) {
                let what = format!("{}, digests of a repository that is not in the list any more", path.display());
                self.file(&path, what, dry);
            }
        }
        let memory = Memory::new(folder.join("images"));
        for (image, path) in memory.images() {
            if engine.built_image(&image).await?.is_none() {
                let what = format!("{}, what an image was built from that is gone", path.display());
                self.file(&path, what, dry);
            }
        }
        for folder in [&folder, &folder.join("images")] {
            for (path, _) in files(folder) {
                let old = fs::metadata(&path).and_then(|meta| meta.modified());
                let old = old.is_ok_and(|at| clock::now().duration_since(at).is_ok_and(|age| age > ABANDONED));
                if old && path.extension().is_some_and(|ext| ext == "new") {
                    self.file(&path, format!("{}, half-written", path.display()), dry);
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, what: String, dry: bool) {
        let size = fs::metadata(path).map_or(0, |meta| meta.len());
        self.thing(what, size, dry, || fs::remove_file(path));
    }

    fn thing(&mut self, what: String, size: u64, dry: bool, remove: impl FnOnce() -> std::io::Result<()>) {
        let shown = units::shown(size);
        if dry {
            self.lines.push(format!("would remove {what}: {shown}"));
        } else if let Err(error) = remove() {
            return self.not(format!("cannot remove {what}: {error}"));
        } else {
            self.lines.push(format!("removed {what}: {shown}"));
        }
        self.removed += 1;
        self.freed = self.freed.saturating_add(size);
    }
}

/// Plain files of a folder with their names, sorted; none of one that is not there.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let plain = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let mut files: Vec<_> =
        plain.filter_map(|entry| Some((entry.path(), entry.file_name().into_string().ok()?))).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_deployed_project_is_looked_at_once_and_by_the_right_rule() {
        let look = |path: &Path| crate::config::repos::PathState::Directory(path.to_path_buf());
        let list = "shop: { path: /srv/shop, keep_images: 5 }\nsite: { path: /srv/site, project: blog }\n";
        let configured = crate::config::repos::parse(list, "repos.yaml", &look).unwrap().repos;
        let deployed = |repo: &str, project: &str| Deployed { repo: repo.into(), project: project.into() };
        let all = [
            deployed("shop", "redshop"),
            deployed("shop", "blueshop"),
            deployed("blog", "redblog"),
            deployed("wiki", "redwiki"),
            deployed("old", "redshop"),
        ];
        let show = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            let targets = targets(&configured, &all, &wanted);
            targets.into_iter().map(|t| format!("{} {} {:?}", t.repo, t.project, t.keep)).collect::<Vec<_>>()
        };
        assert_eq!(
            show(&[]),
            ["shop redshop Some(5)", "shop blueshop Some(5)", "site redblog Some(3)", "wiki redwiki None"]
        );
        assert_eq!(show(&["Wiki"]), ["wiki redwiki None"]);
        assert_eq!(show(&["old"]), ["shop redshop Some(5)"]);
    }
}
