//! What `turnout plan` plans for: what is checked out, or the tip of the branch, fetched into a folder beside the work tree.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::{Failure, Planner, View};
use crate::{
    config::Repo,
    git,
    plan::Plan,
    report::{Event, Reporter, counted},
    store::WantedCommit,
};

/// Folder of the state directory in which previews lie.
const FOLDER: &str = "plans";

/// What a plan is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The repository, as `repos.yaml` calls it.
    pub repo: &'a str,
    /// As if with `--rebuild`.
    pub rebuild: bool,
    /// For the branch's tip, fetched for it.
    pub fetch: bool,
}

/// What is planned for. The folder of a preview goes when this is dropped.
pub struct Seen {
    /// Where files are read.
    pub view: View,
    /// The commit; `None`: what is checked out.
    pub commit: Option<String>,
    /// Where digests are remembered, in place of the usual folder.
    pub digests: Option<PathBuf>,
    _preview: Option<git::Preview>,
}

/// A plan, and what it is for.
pub struct Planned {
    /// The steps; none where something is refused.
    pub plan: Option<Plan>,
    /// What is printed.
    pub text: String,
    /// What it is for.
    pub seen: Seen,
}

impl Seen {
    /// A failure in which files are called by their names.
    pub fn failure(&self, failure: Failure) -> Failure {
        let (summary, hint) =
            (self.view.named(&failure.summary), failure.hint.as_deref().map(|hint| self.view.named(hint)));
        Failure { summary, hint, ..failure }
    }
}

impl Planner {
    /// Looks at what is checked out, or fetches, and says which it is. `wanted`: the newest commit that was pushed and that
    /// no deployment has brought.
    ///
    /// # Errors
    /// When the fetch fails.
    pub async fn look(
        &self,
        repo: &Repo,
        fetch: bool,
        wanted: Option<&WantedCommit>,
        reporter: &dyn Reporter,
        cancel: &CancellationToken,
    ) -> Result<Seen, Failure> {
        if !fetch {
            let (path, followed) = (repo.real_path.clone(), repo.branch.clone());
            let read = tokio::task::spawn_blocking(move || {
                let head = git::head(&path).ok()?;
                let branch = followed.or_else(|| head.branch.clone());
                let tip = branch.as_deref().and_then(|branch| git::branch_tip(&path, branch));
                Some((head, branch, tip))
            });
            // One that is not cloned, or broken, is told of where it is read.
            if let Some((head, branch, tip)) = read.await.ok().flatten() {
                reporter.info(checked_out(&repo.name, &head, branch.as_deref(), tip.as_deref(), wanted));
            }
            return Ok(Seen { view: View::of(repo), commit: None, digests: None, _preview: None });
        }
        let timeouts = repo.timeouts.over(&self.settings.timeouts);
        let remote = self.remote(repo, &timeouts)?;
        let (subject, text) = (format!("the remote of {}", repo.name), format!("{} s", timeouts.fetch.as_secs()));
        reporter.report(Event::Progress { subject, text });
        let folder = self.settings.state_dir.join(FOLDER);
        let preview = git::preview(&remote, &folder, &Quiet(reporter), cancel.clone()).await?;
        reporter.info(fetched(repo, &preview));
        if !preview.submodules.is_empty() {
            reporter.warn(format!(
                "submodules are not fetched for a plan, so what is built of them may differ from a deployment's: planned with {}",
                preview.submodules.join("; ")
            ));
        }
        if !preview.left_out.is_empty() {
            reporter.info(format!("not looked at: {}", preview.left_out.join(", ")));
        }
        Ok(Seen {
            view: View::through(repo, &preview.tree),
            commit: Some(preview.commit.clone()),
            digests: Some(preview.beside.clone()),
            _preview: Some(preview),
        })
    }
}

/// What is said of a fetch whose files nobody sees: progress is of no use, and its limit was told.
struct Quiet<'r>(&'r dyn Reporter);

impl Reporter for Quiet<'_> {
    fn report(&self, event: Event) {
        if !matches!(event, Event::Progress { .. }) {
            self.0.report(event);
        }
    }
}

/// That the plan is for what is checked out, and how that stands to what is wanted.
fn checked_out(
    name: &str,
    head: &git::Head,
    followed: Option<&str>,
    tip: Option<&str>,
    wanted: Option<&WantedCommit>,
) -> String {
    let on = head.branch.as_deref().map_or_else(|| ", on no branch".to_owned(), |branch| format!(" on {branch}"));
    let here = format!("planned for what is checked out: {}{on}", git::short(&head.commit));
    let plans = format!("`turnout plan {name} --fetch` plans for the branch as it is at the remote now");
    match (wanted.filter(|wanted| wanted.commit != head.commit), tip.filter(|tip| *tip != head.commit), followed) {
        (Some(wanted), _, _) => {
            format!("{here}; behind: {} is wanted ({}); {plans}", git::short(&wanted.commit), wanted.cause)
        }
        (None, Some(tip), Some(branch)) => {
            format!("{here}; {branch} was at {} at the last fetch; {plans}", git::short(tip))
        }
        _ => format!("{here}; {plans}"),
    }
}

/// That the plan is for the branch's tip, and how far what is checked out is from it.
fn fetched(repo: &Repo, preview: &git::Preview) -> String {
    let (tip, branch, path) = (git::short(&preview.commit), &preview.branch, repo.path.display());
    let at = format!("planned for {tip}, where {branch} is at the remote");
    let Some(head) = preview.head.as_deref().map(git::short) else {
        return format!("{at}; {path} is not cloned yet, and was left as it is");
    };
    let way = match (preview.ahead, preview.behind) {
        (0, 0) => "which is checked out".to_owned(),
        (0, behind) => format!("{} beyond {head}, which is checked out", counted(behind, "commit")),
        (ahead, behind) => format!(
            "while {head} is checked out, with {} that the branch does not have, and without {} of it: what a deployment \
             makes of that says on_divergence ({})",
            counted(ahead, "commit"),
            counted(behind, "commit"),
            match repo.on_divergence {
                crate::config::Divergence::Refuse => "refuse, so it would fail",
                crate::config::Divergence::Reset => "reset, so they would be given up",
                crate::config::Divergence::Rebase => "rebase, so they would be put on top, and are not in this plan",
            }
        ),
    };
    format!("{at}, {way}; {path} was left as it is")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(branch: Option<&str>) -> git::Head {
        git::Head {
            commit: "1a2b3c4d".repeat(5),
            short: "1a2b3c4".to_owned(),
            subject: String::new(),
            author: String::new(),
            branch: branch.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_checked_out_is_told_with_what_is_wanted() {
        let wanted = WantedCommit {
            commit: "5d6e7f80".repeat(5),
            branch: None,
            cause: "push of 5d6e7f8 to main by ann".to_owned(),
            since: 0,
            before: 3,
        };
        let (here, there) = (head(None).commit, wanted.commit.clone());
        let plans = "; `turnout plan shop --fetch` plans for the branch as it is at the remote now";
        let main = head(Some("main"));
        for (head, tip, wanted, said) in [
            (&main, &here, None, "1a2b3c4 on main"),
            (&main, &there, None, "1a2b3c4 on main; main was at 5d6e7f8 at the last fetch"),
            (
                &main,
                &there,
                Some(&wanted),
                "1a2b3c4 on main; behind: 5d6e7f8 is wanted (push of 5d6e7f8 to main by ann)",
            ),
            (&head(None), &here, None, "1a2b3c4, on no branch"),
        ] {
            let told = checked_out("shop", head, Some("main"), Some(tip), wanted);
            assert_eq!(told, format!("planned for what is checked out: {said}{plans}"));
        }
    }
}
