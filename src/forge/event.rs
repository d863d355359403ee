//! What a delivery says, in words that no longer depend on the forge.

use crate::report::redact::is_unfit;

/// An event that was verified and read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The forge asks whether somebody listens.
    Ping,
    /// A branch moved, or another ref that is no tag.
    Push(Push),
    /// A tag was made, moved or removed.
    Tag(Tag),
    /// A pull or merge request was merged.
    Merged(Merge),
    /// A release was published.
    Released(Release),
    /// A check of a commit ended.
    Checked(CiResult),
    /// An event that turnout has no use for.
    Other {
        /// The event's name as sent.
        name: String,
        /// The repository, where one is named.
        repo: Option<PushedRepo>,
    },
}

impl Event {
    /// The repository that the event is about.
    pub fn repo(&self) -> Option<&PushedRepo> {
        match self {
            Event::Ping => None,
            Event::Push(push) => Some(&push.repo),
            Event::Tag(tag) => Some(&tag.repo),
            Event::Merged(merge) => Some(&merge.repo),
            Event::Released(release) => Some(&release.repo),
            Event::Checked(result) => Some(&result.repo),
            Event::Other { repo, .. } => repo.as_ref(),
        }
    }

    /// The full ref that it is about. Untrusted text.
    pub fn git_ref(&self) -> Option<String> {
        match self {
            Event::Push(push) => Some(push.git_ref.clone()),
            Event::Tag(tag) => Some(format!("refs/tags/{}", tag.name)),
            Event::Merged(merge) => Some(format!("refs/heads/{}", merge.into)),
            Event::Released(release) => Some(format!("refs/tags/{}", release.tag)),
            Event::Checked(result) => result.branch.as_ref().map(|branch| format!("refs/heads/{branch}")),
            Event::Ping | Event::Other { .. } => None,
        }
    }

    /// The commit that it names, a full lower-case id.
    pub fn commit(&self) -> Option<&str> {
        match self {
            Event::Push(push) => Some(&push.after),
            Event::Tag(tag) => Some(&tag.after),
            Event::Merged(merge) => merge.commit.as_deref(),
            Event::Checked(result) => Some(&result.commit),
            Event::Ping | Event::Released(_) | Event::Other { .. } => None,
        }
    }

    /// Who did it, fit to be shown.
    pub fn who(&self) -> Option<&str> {
        match self {
            Event::Push(push) => push.pusher.as_deref(),
            Event::Tag(tag) => tag.pusher.as_deref(),
            Event::Merged(merge) => merge.by.as_deref(),
            Event::Released(release) => release.by.as_deref(),
            Event::Ping | Event::Checked(_) | Event::Other { .. } => None,
        }
    }
}

/// A repository as the forge names it. Untrusted text: compare it, show it through `shown`, never build paths of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PushedRepo {
    /// The short name.
    pub name: String,
    /// `owner/name`, where the forge has owners.
    pub full_name: Option<String>,
    /// The forge's default branch.
    pub default_branch: Option<String>,
}

/// A branch moved, or another ref that is no tag.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Push {
    /// The repository that was pushed to.
    pub repo: PushedRepo,
    /// The full ref: `refs/heads/main`.
    pub git_ref: String,
    /// The commit before; all zeros where there was none.
    pub before: Option<String>,
    /// The commit now, a full lower-case id; all zeros where the ref was deleted.
    pub after: String,
    /// The ref was deleted.
    pub deleted: bool,
    /// History was rewritten.
    pub forced: bool,
    /// Who pushed, as the forge names them.
    pub pusher: Option<String>,
}

/// A tag was made, moved or removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tag {
    /// The repository that the tag is of.
    pub repo: PushedRepo,
    /// The tag's name, without `refs/tags/`.
    pub name: String,
    /// What it names now: a commit, or the tag's own object; all zeros where it was removed.
    pub after: String,
    /// It was removed.
    pub deleted: bool,
    /// Who pushed, as the forge names them.
    pub pusher: Option<String>,
}

impl Push {
    /// As what a push of this ref is read: tags come as pushes at most forges.
    pub fn event(self) -> Event {
        match self.git_ref.strip_prefix("refs/tags/").map(str::to_owned) {
            Some(name) => {
                let Push { repo, after, deleted, pusher, git_ref: _, before: _, forced: _ } = self;
                Event::Tag(Tag { repo, name, after, deleted, pusher })
            }
            None => Event::Push(self),
        }
    }
}

/// A pull or merge request was merged. The same forge also tells of the push to its base; that one deploys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Merge {
    /// The repository with the base.
    pub repo: PushedRepo,
    /// The branch that it was merged into.
    pub into: String,
    /// The branch that was merged, as whoever asked for it called it: often another repository's.
    pub from: Option<String>,
    /// The commit that the base has now, where the forge tells.
    pub commit: Option<String>,
    /// Who merged it.
    pub by: Option<String>,
}

/// A release was published.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Release {
    /// The repository that the release is of.
    pub repo: PushedRepo,
    /// The tag that it was published from.
    pub tag: String,
    /// It is marked as not final.
    pub preliminary: bool,
    /// Who published it.
    pub by: Option<String>,
}

/// A check of a commit ended, well or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CiResult {
    /// The repository that the commit is of.
    pub repo: PushedRepo,
    /// What was checked by: a workflow, a job.
    pub name: Option<String>,
    /// The commit, a full lower-case id.
    pub commit: String,
    /// The branch, where the forge vouches that it is one of this repository: a fork's may have any name.
    pub branch: Option<String>,
    /// It ended well.
    pub passed: bool,
}

/// Untrusted text made fit for a log line or an answer: one line, no control characters, nothing that turns the direction
/// of writing, not endless.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 120;
    let mut out: String = text.chars().take(MOST).map(|c| if is_unfit(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(MOST).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo() -> PushedRepo {
        PushedRepo { name: "shop".to_owned(), ..PushedRepo::default() }
    }

    #[test]
    fn each_event_says_whose_it_is_where_what_and_by_whom() {
        let text = |text: &str| text.to_owned();
        let some = |text: &str| Some(text.to_owned());
        let push = Push {
            repo: repo(),
            git_ref: text("refs/heads/main"),
            after: text("1"),
            pusher: some("ada"),
            ..Push::default()
        };
        let tag = Tag { repo: repo(), name: text("v1"), after: text("2"), pusher: some("bob"), ..Tag::default() };
        let merge = Merge { repo: repo(), into: text("main"), commit: some("3"), by: some("cleo"), ..Merge::default() };
        let release = Release { repo: repo(), tag: text("v2"), by: some("dan"), ..Release::default() };
        let checked = CiResult { repo: repo(), commit: text("4"), branch: some("next"), ..CiResult::default() };
        let elsewhere = CiResult { branch: None, ..checked.clone() };
        let table = [
            (push.clone().event(), Some("refs/heads/main"), Some("1"), Some("ada")),
            (Push { git_ref: text("refs/tags/v0"), ..push }.event(), Some("refs/tags/v0"), Some("1"), Some("ada")),
            (Event::Tag(tag), Some("refs/tags/v1"), Some("2"), Some("bob")),
            (Event::Merged(merge), Some("refs/heads/main"), Some("3"), Some("cleo")),
            (Event::Released(release), Some("refs/tags/v2"), None, Some("dan")),
            (Event::Checked(checked), Some("refs/heads/next"), Some("4"), None),
            (Event::Checked(elsewhere), None, Some("4"), None),
            (Event::Other { name: text("star"), repo: Some(repo()) }, None, None, None),
        ];
        for (event, git_ref, commit, who) in &table {
            assert_eq!(event.repo(), Some(&repo()), "{event:?}");
            assert_eq!(
                (event.git_ref().as_deref(), event.commit(), event.who()),
                (*git_ref, *commit, *who),
                "{event:?}"
            );
        }
        let ping = Event::Ping;
        assert_eq!((ping.repo(), ping.git_ref(), ping.commit(), ping.who()), (None, None, None, None));
    }
}
