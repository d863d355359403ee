//! What is done about an event of the forge, and why. The repository is looked up here.

use super::{
    event::{Event, Push, PushedRepo, shown},
    hook::{Hook, HooksOf, hooks_of},
    told::{pushed, told},
};
use crate::config::{Repo, Repos};

/// One thing that is done about a delivery. A delivery has a list of them, each with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A deployment is wanted.
    Deploy(Wanted),
    /// A hook of the repository is run.
    Run(Hook),
    /// Nothing but that it is remembered, with the reason why nothing is done.
    Remember(Note),
}

/// The deployment that a push asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The repository's configured name.
    pub repo: String,
    /// Its Compose project without colour.
    pub project: String,
    /// Without `refs/heads/`.
    pub branch: String,
    /// The commit that the push names. The deployment takes the branch's tip: deliveries may arrive out of order.
    pub commit: String,
    /// Who pushed, as the forge names them.
    pub pusher: Option<String>,
    /// The cause in words: `push of 199eddf to master by Codertocat`.
    pub cause: String,
}

/// Why nothing is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
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
        /// Why nothing is deployed, for the record and the forge.
        reason: String,
    },
    /// Nothing to do.
    Ignored {
        /// The configured repository, where one was found.
        repo: Option<String>,
        /// Why nothing is done, for the record and the forge.
        reason: String,
    },
}

impl Effect {
    /// A word for records.
    pub fn kind(&self) -> &'static str {
        match self {
            Effect::Deploy(_) => "deploy",
            Effect::Run(_) => "hook",
            Effect::Remember(Note::Ping) => "ping",
            Effect::Remember(Note::SelfSkip { .. }) => "self",
            Effect::Remember(Note::Unknown { .. }) => "unknown",
            Effect::Remember(Note::Ignored { .. }) => "ignored",
        }
    }

    /// The reason in words.
    pub fn reason(&self) -> String {
        match self {
            Effect::Deploy(wanted) => wanted.cause.clone(),
            Effect::Run(Hook { name, cause, .. }) => format!("hook {name}: {cause}"),
            Effect::Remember(Note::Ping) => "ping".to_owned(),
            Effect::Remember(Note::SelfSkip { repo }) => format!("{repo} is the deployer itself: self-update skipped"),
            Effect::Remember(Note::Unknown { reason, .. } | Note::Ignored { reason, .. }) => reason.clone(),
        }
    }

    /// The deployment, if it is one.
    pub fn wanted(&self) -> Option<&Wanted> {
        match self {
            Effect::Deploy(wanted) => Some(wanted),
            Effect::Run(_) | Effect::Remember(_) => None,
        }
    }

    /// The hook, if it is one.
    pub fn hook(&self) -> Option<&Hook> {
        match self {
            Effect::Run(hook) => Some(hook),
            Effect::Deploy(_) | Effect::Remember(_) => None,
        }
    }

    /// The repository: by its configured name where one was found, else as sent.
    pub fn repo(&self) -> Option<&str> {
        match self {
            Effect::Deploy(wanted) => Some(&wanted.repo),
            Effect::Run(hook) => Some(&hook.repo),
            Effect::Remember(Note::SelfSkip { repo } | Note::Unknown { repo, .. }) => Some(repo),
            Effect::Remember(Note::Ignored { repo, .. }) => repo.as_deref(),
            Effect::Remember(Note::Ping) => None,
        }
    }
}

/// Decides about the events of a delivery: one effect for each, in their order, and behind them the further hooks that
/// `hooks` names. `checked_out` answers which branch a working tree is on, where none is configured.
///
/// A delivery asks for one deployment at most: it is of one repository, of which one branch is deployed, and of two pushes of
/// that the later one counts. Where there is nothing to deploy, the first hook takes the place of the reason why nothing
/// is done.
pub fn effects(
    events: &[Event],
    repos: &Repos,
    checked_out: &dyn Fn(&Repo) -> Option<String>,
    hooks: &HooksOf,
) -> Vec<Effect> {
    let mut effects: Vec<Effect> = events.iter().map(|event| effect(event, repos, checked_out)).collect();
    let mut newest = None;
    for effect in effects.iter_mut().rev() {
        let Effect::Deploy(wanted) = effect else { continue };
        match &newest {
            None => newest = Some(wanted.cause.clone()),
            Some(cause) => {
                let reason = format!("{}, and after it a {cause}", wanted.cause);
                *effect = Effect::Remember(Note::Ignored { repo: Some(wanted.repo.clone()), reason });
            }
        }
    }
    let mut further = Vec::new();
    for (event, effect) in events.iter().zip(&mut effects) {
        let own =
            event.repo().filter(|pushed| !is_self(pushed, repos)).and_then(|pushed| find_repo(pushed, repos).ok());
        let Some(repo) = own else { continue };
        let mut wanted = hooks_of(event, repo, hooks).into_iter();
        if let Effect::Remember(_) = effect
            && let Some(first) = wanted.next()
        {
            *effect = Effect::Run(first);
        }
        further.extend(wanted.map(Effect::Run));
    }
    effects.extend(further);
    effects
}

fn effect(event: &Event, repos: &Repos, checked_out: &dyn Fn(&Repo) -> Option<String>) -> Effect {
    match event {
        Event::Ping => Effect::Remember(Note::Ping),
        Event::Push(push) => of_pushed(&push.repo, repos, &|repo| wanted(push, repo, checked_out)),
        Event::Tag(tag) => {
            let reason = || format!("{}; only branches are deployed", told(event));
            of_pushed(&tag.repo, repos, &|_| Err(reason()))
        }
        // The push to the base is told of besides, and is what deploys: to act on both would deploy twice.
        Event::Merged(_) => noted(event, repos, format!("{}; the push of it is what is acted on", told(event))),
        Event::Released(_) | Event::Checked(_) => {
            noted(event, repos, format!("{}; only pushes are acted on", told(event)))
        }
        Event::Other { name, .. } => noted(event, repos, format!("events of kind {name} are not acted on")),
    }
}

/// What is made of something that was pushed: `wanted` says it for a configured repository.
fn of_pushed(pushed: &PushedRepo, repos: &Repos, wanted: &dyn Fn(&Repo) -> Result<Wanted, String>) -> Effect {
    if is_self(pushed, repos) {
        return Effect::Remember(Note::SelfSkip { repo: shown(display_name(pushed)) });
    }
    let repo = match find_repo(pushed, repos) {
        Ok(repo) => repo,
        Err(reason) => return Effect::Remember(Note::Unknown { repo: shown(display_name(pushed)), reason }),
    };
    match wanted(repo) {
        Ok(wanted) => Effect::Deploy(wanted),
        Err(reason) => Effect::Remember(Note::Ignored { repo: Some(repo.name.clone()), reason }),
    }
}

/// Of a kind that is only noted.
fn noted(event: &Event, repos: &Repos, reason: String) -> Effect {
    let repo = event.repo().and_then(|repo| find_repo(repo, repos).ok()).map(|repo| repo.name.clone());
    Effect::Remember(Note::Ignored { repo, reason })
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
    Ok(Wanted {
        repo: repo.name.clone(),
        project: repo.project.clone(),
        cause: pushed(push),
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
    use super::{
        super::event::{CiResult, Merge, Release},
        *,
    };
    use crate::{
        config::{PathState, repos},
        forge::no_hooks,
    };

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
        let mut effects = effects(&[push.event()], &config(), &blog_is_on_staging, &no_hooks);
        assert_eq!(effects.len(), 1);
        let wanted = effects[0].wanted().map(|wanted| wanted.repo.as_str());
        assert_eq!(wanted.is_some(), effects[0].kind() == "deploy");
        assert!(wanted.is_none() || wanted == effects[0].repo());
        effects.remove(0)
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
    fn what_is_made_of_a_push() {
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
    fn what_is_only_noted() {
        let repo = PushedRepo { name: "shop".into(), full_name: None, default_branch: None };
        let commit = "2".repeat(40);
        let merge = Merge {
            repo: repo.clone(),
            into: "main".into(),
            from: Some("fix\n".into()),
            commit: Some(commit.clone()),
            by: Some("ada".into()),
        };
        let result = CiResult {
            repo: repo.clone(),
            name: Some("CI".into()),
            commit,
            branch: Some("main".into()),
            passed: false,
        };
        for (event, reason) in [
            (Event::Other { name: "star".into(), repo: None }, "events of kind star are not acted on"),
            (Event::Ping, "ping"),
            (
                Event::Merged(merge),
                "fix\u{fffd} was merged into main as 2222222 by ada; the push of it is what is acted on",
            ),
            (
                Event::Released(Release { repo, tag: "v1".into(), preliminary: true, by: None }),
                "preliminary release v1 was published; only pushes are acted on",
            ),
            (
                Event::Checked(CiResult { branch: None, passed: true, name: None, ..result.clone() }),
                "a check passed for 2222222; only pushes are acted on",
            ),
            (Event::Checked(result), "CI failed for 2222222 of main; only pushes are acted on"),
        ] {
            let found = effects(std::slice::from_ref(&event), &config(), &|_| None, &no_hooks);
            let repo = event.repo().map(|_| "shop");
            assert_eq!(
                found.iter().map(|effect| (effect.reason(), effect.repo())).collect::<Vec<_>>(),
                [(reason.to_owned(), repo)]
            );
        }
    }

    #[test]
    fn hooks_stand_beside_a_deployment_or_in_the_place_of_nothing() {
        let merge = |name: &str| {
            let repo = PushedRepo { name: name.into(), full_name: None, default_branch: None };
            Event::Merged(Merge { repo, into: "main".into(), ..Merge::default() })
        };
        let hooks = |repo: &Repo, event: &Event| match event {
            Event::Push(_) => vec![format!("{}-pushed", repo.name)],
            Event::Merged(_) => vec!["announce".to_owned(), "tidy".to_owned()],
            _ => Vec::new(),
        };
        let events = [
            Event::Push(push("shop", None, "refs/heads/main")),
            merge("shop"),
            merge("nobody's"),
            merge("deployer"),
            Event::Ping,
        ];
        let found = effects(&events, &config(), &|_| None, &hooks);
        let said: Vec<_> = found.iter().map(|effect| (effect.kind(), effect.reason())).collect();
        let only_noted = "merged into main; the push of it is what is acted on".to_owned();
        assert_eq!(
            said,
            [
                ("deploy", "push of 2222222 to main by ada".to_owned()),
                ("hook", "hook announce: merged into main".to_owned()),
                ("ignored", only_noted.clone()),
                ("ignored", only_noted),
                ("ping", "ping".to_owned()),
                ("hook", "hook shop-pushed: push of 2222222 to main by ada".to_owned()),
                ("hook", "hook tidy: merged into main".to_owned()),
            ]
        );
        assert!(found.iter().filter_map(Effect::hook).all(|hook| hook.repo == "shop"));
    }

    #[test]
    fn of_two_pushes_of_the_branch_the_later_one_is_deployed() {
        let moved = |after: &str, branch: &str| {
            Event::Push(Push { after: after.repeat(40), ..push("shop", None, &format!("refs/heads/{branch}")) })
        };
        let events = [moved("3", "main"), moved("4", "dev"), moved("5", "main"), moved("6", "x")];
        let found = effects(&events, &config(), &|_| None, &no_hooks);
        let said: Vec<_> = found.iter().map(|effect| (effect.kind(), effect.reason())).collect();
        assert_eq!(
            said[0],
            ("ignored", "push of 3333333 to main by ada, and after it a push of 5555555 to main by ada".to_owned())
        );
        assert_eq!(said[2], ("deploy", "push of 5555555 to main by ada".to_owned()));
        assert_eq!(said.iter().filter(|(kind, _)| *kind == "ignored").count(), 3);
    }
}
