//! What is done about an event of the forge, and why. The repository is looked up here.

use super::event::{Event, Push, PushedRepo, shown};
use crate::config::{Repo, Repos};

/// What is done about an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A deployment is wanted.
    Deploy(Wanted),
    /// The forge asks whether somebody listens.
    Ping,
    /// The deployer's own repository: never acted on.
    SelfSkip {
        /// Its name as sent.
        repo: String,
    },
    /// No repository of that name is configured.
    Unknown {
        /// Its name as sent.
        repo: String,
        /// The sentence.
        reason: String,
    },
    /// Nothing to do.
    Ignored {
        /// The configured repository, where one was found.
        repo: Option<String>,
        /// The sentence.
        reason: String,
    },
}

/// The deployment that a push asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The repository's configured name.
    pub repo: String,
    /// Its Compose project without colour.
    pub project: String,
    /// The branch.
    pub branch: String,
    /// The commit that the push names. The deployment takes the branch's tip: deliveries may arrive out of order.
    pub commit: String,
    /// Who pushed.
    pub pusher: Option<String>,
    /// The cause in words: `push of 199eddf to master by Codertocat`.
    pub cause: String,
}

impl Effect {
    /// A word for records.
    pub fn kind(&self) -> &'static str {
        match self {
            Effect::Deploy(_) => "deploy",
            Effect::Ping => "ping",
            Effect::SelfSkip { .. } => "self",
            Effect::Unknown { .. } => "unknown",
            Effect::Ignored { .. } => "ignored",
        }
    }

    /// The reason in words.
    pub fn reason(&self) -> String {
        match self {
            Effect::Deploy(wanted) => wanted.cause.clone(),
            Effect::Ping => "ping".to_owned(),
            Effect::SelfSkip { repo } => format!("{repo} is the deployer itself: self-update skipped"),
            Effect::Unknown { reason, .. } | Effect::Ignored { reason, .. } => reason.clone(),
        }
    }
}

/// Decides about an event. `checked_out` answers which branch a working tree is on, where none is configured.
pub fn effect(event: &Event, repos: &Repos, checked_out: &dyn Fn(&Repo) -> Option<String>) -> Effect {
    let push = match event {
        Event::Ping => return Effect::Ping,
        Event::Other { name, repo } => {
            let repo = repo.as_ref().and_then(|repo| find_repo(repo, repos).ok()).map(|repo| repo.name.clone());
            return Effect::Ignored { repo, reason: format!("events of kind {name} are not acted on") };
        }
        Event::Push(push) => push,
    };
    if is_self(&push.repo, repos) {
        return Effect::SelfSkip { repo: shown(display_name(&push.repo)) };
    }
    let repo = match find_repo(&push.repo, repos) {
        Ok(repo) => repo,
        Err(reason) => return Effect::Unknown { repo: shown(display_name(&push.repo)), reason },
    };
    match wanted(push, repo, checked_out) {
        Ok(wanted) => Effect::Deploy(wanted),
        Err(reason) => Effect::Ignored { repo: Some(repo.name.clone()), reason },
    }
}

/// Finds the configured repository, names compared without case.
///
/// The full name counts first. The short name counts for entries that configure no full name; an entry that does is
/// found by its short name only if the sender gives no full name and no other entry could be meant.
///
/// # Errors
/// Why there is none, in words.
pub fn find_repo<'r>(pushed: &PushedRepo, repos: &'r Repos) -> Result<&'r Repo, String> {
    if let Some(full_name) = &pushed.full_name {
        let by_full_name = |repo: &&Repo| repo.full_name.as_deref().is_some_and(|own| same(own, full_name));
        if let Some(repo) = repos.repos.iter().find(by_full_name) {
            return Ok(repo);
        }
    }
    let short = |repo: &&Repo| match &repo.full_name {
        None => same(&repo.name, &pushed.name),
        Some(_) if pushed.full_name.is_some() => false,
        Some(own) => own.rsplit('/').next().is_some_and(|own| same(own, &pushed.name)),
    };
    let mut found = repos.repos.iter().filter(short);
    let name = shown(display_name(pushed));
    match (found.next(), found.next()) {
        (Some(repo), None) => Ok(repo),
        (Some(one), Some(other)) => {
            Err(format!("{name} could be {} or {}: the delivery names no owner", one.name, other.name))
        }
        (None, _) => Err(format!("{name} is not configured here")),
    }
}

fn is_self(pushed: &PushedRepo, repos: &Repos) -> bool {
    repos.self_names.iter().any(|own| {
        if own.contains('/') {
            pushed.full_name.as_deref().is_some_and(|full_name| same(own, full_name))
        } else {
            same(own, &pushed.name)
        }
    })
}

fn wanted(push: &Push, repo: &Repo, checked_out: &dyn Fn(&Repo) -> Option<String>) -> Result<Wanted, String> {
    if let Some(tag) = push.git_ref.strip_prefix("refs/tags/") {
        return Err(format!("tag {} moved; only branches are deployed", shown(tag)));
    }
    let Some(branch) = push.git_ref.strip_prefix("refs/heads/") else {
        return Err(format!("{} is not a branch", shown(&push.git_ref)));
    };
    let deployed = repo.branch.clone().or_else(|| checked_out(repo)).or_else(|| push.repo.default_branch.clone());
    let Some(deployed) = deployed else {
        return Err(format!("it is not known which branch of {} is deployed; say `branch:` in repos.yaml", repo.name));
    };
    if branch != deployed {
        return Err(format!("branch {} is not the deployed branch {deployed}", shown(branch)));
    }
    if push.deleted {
        return Err(format!("branch {deployed} was deleted"));
    }
    if push.before.as_deref() == Some(push.after.as_str()) {
        return Err("the push changes nothing: a test delivery".to_owned());
    }
    let short: String = push.after.chars().take(7).collect();
    let verb = if push.forced { "forced push" } else { "push" };
    let by = push.pusher.as_deref().map(|pusher| format!(" by {pusher}")).unwrap_or_default();
    Ok(Wanted {
        repo: repo.name.clone(),
        project: repo.project.clone(),
        cause: format!("{verb} of {short} to {deployed}{by}"),
        branch: deployed,
        commit: push.after.clone(),
        pusher: push.pusher.clone(),
    })
}

fn display_name(pushed: &PushedRepo) -> &str {
    pushed.full_name.as_deref().unwrap_or(&pushed.name)
}

/// Names of forges are compared without case; those of branches and paths never.
fn same(one: &str, other: &str) -> bool {
    one == other || one.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PathState, repos};

    const CONFIG: &str = "
self: [deployer, ops/turnout]
repos:
  shop: { path: /srv/shop, branch: main }
  Blog: { path: /srv/blog, full_name: acme/Blog }
  wiki-a: { path: /srv/wiki-a, full_name: a/wiki }
  wiki-b: { path: /srv/wiki-b, full_name: b/wiki }
";

    fn config() -> Repos {
        repos::parse(CONFIG, "repos.yaml", &|path| PathState::Directory(path.to_path_buf())).unwrap()
    }

    fn push(name: &str, full_name: Option<&str>, git_ref: &str) -> Push {
        Push {
            repo: PushedRepo { name: name.into(), full_name: full_name.map(Into::into), default_branch: None },
            git_ref: git_ref.into(),
            before: Some("1".repeat(40)),
            after: "2".repeat(40),
            pusher: Some("ada".into()),
            ..Push::default()
        }
    }

    fn judge(push: Push) -> Effect {
        let blog_is_on_staging = |repo: &Repo| (repo.name == "Blog").then(|| "staging".to_owned());
        effect(&Event::Push(push), &config(), &blog_is_on_staging)
    }

    #[test]
    fn who_is_meant() {
        for (name, full_name, expected) in [
            ("shop", Some("anybody/shop"), Ok("shop")),
            ("SHOP", None, Ok("shop")),
            ("blog", Some("ACME/blog"), Ok("Blog")),
            ("blog", Some("evil/blog"), Err("evil/blog is not configured here")),
            ("blog", None, Ok("Blog")),
            ("wiki", Some("b/wiki"), Ok("wiki-b")),
            ("wiki", None, Err("wiki could be wiki-a or wiki-b: the delivery names no owner")),
            ("wiki-a", Some("x/wiki-a"), Err("x/wiki-a is not configured here")),
            ("../shop", None, Err("../shop is not configured here")),
            ("a\nb", None, Err("a\u{fffd}b is not configured here")),
        ] {
            let pushed = PushedRepo { name: name.into(), full_name: full_name.map(Into::into), default_branch: None };
            let config = config();
            let found = find_repo(&pushed, &config).map(|repo| repo.name.as_str());
            assert_eq!(found, expected.map_err(str::to_owned), "{name} {full_name:?}");
        }
    }

    #[test]
    fn effects() {
        let zero = "0".repeat(40);
        for (push, kind, reason) in [
            (push("shop", None, "refs/heads/main"), "deploy", "push of 2222222 to main by ada"),
            (
                Push { forced: true, ..push("shop", None, "refs/heads/main") },
                "deploy",
                "forced push of 2222222 to main by ada",
            ),
            (push("shop", None, "refs/heads/Main"), "ignored", "branch Main is not the deployed branch main"),
            (push("shop", None, "refs/heads/x/main"), "ignored", "branch x/main is not the deployed branch main"),
            (push("shop", None, "refs/tags/main"), "ignored", "tag main moved; only branches are deployed"),
            (push("shop", None, "refs/notes/x"), "ignored", "refs/notes/x is not a branch"),
            (push("shop", None, "main"), "ignored", "main is not a branch"),
            (
                Push { deleted: true, after: zero.clone(), ..push("shop", None, "refs/heads/main") },
                "ignored",
                "branch main was deleted",
            ),
            (
                Push { before: Some("2".repeat(40)), ..push("shop", None, "refs/heads/main") },
                "ignored",
                "the push changes nothing: a test delivery",
            ),
            (push("blog", Some("acme/blog"), "refs/heads/staging"), "deploy", "push of 2222222 to staging by ada"),
            (
                push("wiki", Some("a/wiki"), "refs/heads/main"),
                "ignored",
                "it is not known which branch of wiki-a is deployed; say `branch:` in repos.yaml",
            ),
            (
                push("Deployer", Some("x/Deployer"), "refs/heads/main"),
                "self",
                "x/Deployer is the deployer itself: self-update skipped",
            ),
            (
                push("turnout", Some("OPS/turnout"), "refs/heads/main"),
                "self",
                "OPS/turnout is the deployer itself: self-update skipped",
            ),
            (push("turnout", Some("me/turnout"), "refs/heads/main"), "unknown", "me/turnout is not configured here"),
        ] {
            let effect = judge(push);
            assert_eq!((effect.kind(), effect.reason().as_str()), (kind, reason));
        }
    }

    #[test]
    fn the_default_branch_counts_where_nothing_else_is_known() {
        let mut push = push("wiki", Some("a/wiki"), "refs/heads/trunk");
        push.repo.default_branch = Some("trunk".into());
        assert_eq!(judge(push).kind(), "deploy");
    }

    #[test]
    fn other_events() {
        let other = Event::Other { name: "star".into(), repo: None };
        assert_eq!(effect(&other, &config(), &|_| None).reason(), "events of kind star are not acted on");
        assert_eq!(effect(&Event::Ping, &config(), &|_| None), Effect::Ping);
    }
}
