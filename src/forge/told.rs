//! What happened at a forge, in words. What is made of it is said behind them, by whoever decides.

use super::event::{CiResult, Event, Merge, Push, Release, Tag, shown};

/// An event in words, as they stand before what follows from it: `fix was merged into main as 78a76ee by ada`.
pub(super) fn told(event: &Event) -> String {
    match event {
        Event::Ping => "ping".to_owned(),
        Event::Push(push) => pushed(push),
        Event::Tag(Tag { name, .. }) => format!("tag {} moved", shown(name)),
        Event::Merged(merge) => merged(merge),
        Event::Released(Release { tag, preliminary, .. }) => {
            let kind = if *preliminary { "preliminary release" } else { "release" };
            format!("{kind} {} was published", shown(tag))
        }
        Event::Checked(result) => checked(result),
        Event::Other { name, .. } => format!("an event of kind {name}"),
    }
}

/// As [`told`]: `push of 199eddf to master by Codertocat`.
pub(super) fn pushed(push: &Push) -> String {
    let to = shown(push.git_ref.strip_prefix("refs/heads/").unwrap_or(&push.git_ref));
    if push.deleted {
        return format!("branch {to} was deleted");
    }
    let verb = if push.forced { "forced push" } else { "push" };
    let by = push.pusher.as_deref().map(|pusher| format!(" by {pusher}")).unwrap_or_default();
    format!("{verb} of {} to {to}{by}", short(&push.after))
}

fn merged(Merge { repo: _, into, from, commit, by }: &Merge) -> String {
    let from = from.as_deref().map(|from| format!("{} was ", shown(from))).unwrap_or_default();
    let commit = commit.as_deref().map(|commit| format!(" as {}", short(commit))).unwrap_or_default();
    let by = by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
    format!("{from}merged into {}{commit}{by}", shown(into))
}

fn checked(CiResult { repo: _, name, commit, branch, passed }: &CiResult) -> String {
    let name = name.as_deref().unwrap_or("a check");
    let of = branch.as_deref().map(|branch| format!(" of {}", shown(branch))).unwrap_or_default();
    let how = if *passed { "passed" } else { "failed" };
    format!("{name} {how} for {}{of}", short(commit))
}

fn short(commit: &str) -> String {
    commit.chars().take(7).collect()
}
