//! GitHub's deliveries. Few fields are read and most may be missing: senders differ and change.

use serde::{Deserialize, de::IgnoredAny};

use super::{
    Refusal,
    event::{Event, Push, PushedRepo, shown},
};

/// Reads a body by its event's name.
///
/// # Errors
/// 400 for text that is not JSON and for pushes without repository, ref or commit.
pub fn read(event: &str, json: &str) -> Result<Event, Refusal> {
    match event {
        // Of app hooks and some others it names no repository, so it is answered before one is looked for.
        "ping" => parse::<Any>(json).map(|_| Event::Ping),
        "push" => push(parse(json)?).map(Event::Push),
        other => {
            let any: Any = parse(json)?;
            let repo = any.repository.and_then(|repo| repository(repo).ok());
            Ok(Event::Other { name: shown(other), repo })
        }
    }
}

#[derive(Deserialize)]
struct Any {
    #[serde(default, deserialize_with = "lenient")]
    repository: Option<RawRepository>,
}

#[derive(Deserialize)]
struct RawPush {
    #[serde(rename = "ref")]
    git_ref: Option<String>,
    before: Option<String>,
    after: Option<String>,
    deleted: Option<bool>,
    forced: Option<bool>,
    repository: Option<RawRepository>,
    #[serde(default, deserialize_with = "lenient")]
    pusher: Option<RawUser>,
    #[serde(default, deserialize_with = "lenient")]
    sender: Option<RawUser>,
}

#[derive(Deserialize)]
struct RawRepository {
    name: Option<String>,
    full_name: Option<String>,
    default_branch: Option<String>,
}

#[derive(Deserialize)]
struct RawUser {
    name: Option<String>,
    login: Option<String>,
    username: Option<String>,
}

impl RawUser {
    fn known_as(self) -> Option<String> {
        self.name.or(self.login).or(self.username).filter(|name| !name.is_empty())
    }
}

/// A field that nothing depends on: a value of another shape counts as missing.
fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either<T> {
        Wanted(T),
        Other(IgnoredAny),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Wanted(value) => Some(value),
        Either::Other(_) => None,
    })
}

fn parse<'j, T: Deserialize<'j>>(json: &'j str) -> Result<T, Refusal> {
    serde_json::from_str(json).map_err(|error| {
        // The error's own text may repeat a value of the body; place and kind are enough.
        let what = if error.is_data() { "the JSON has an unexpected shape" } else { "the body is not JSON" };
        Refusal::malformed(format!("{what} (line {}, column {})", error.line(), error.column()))
    })
}

fn repository(raw: RawRepository) -> Result<PushedRepo, Refusal> {
    let RawRepository { name, full_name, default_branch } = raw;
    let full_name = full_name.filter(|name| !name.is_empty());
    let from_full = || full_name.as_deref().and_then(|name| name.rsplit('/').next()).map(str::to_owned);
    let name = name.filter(|name| !name.is_empty()).or_else(from_full);
    let name = name.ok_or_else(|| Refusal::malformed("the repository has no name"))?;
    Ok(PushedRepo { name, full_name, default_branch: default_branch.filter(|name| !name.is_empty()) })
}

fn push(raw: RawPush) -> Result<Push, Refusal> {
    let RawPush { git_ref, before, after, deleted, forced, repository: repo, pusher, sender } = raw;
    let repo = repository(repo.ok_or_else(|| Refusal::malformed("the push names no repository"))?)?;
    let git_ref = git_ref.ok_or_else(|| Refusal::malformed("the push names no ref"))?;
    let after = after.ok_or_else(|| Refusal::malformed("the push names no commit"))?;
    if !is_commit(&after) || before.as_deref().is_some_and(|before| !is_commit(before)) {
        return Err(Refusal::malformed("a commit is not a full hexadecimal id"));
    }
    let zero = after.bytes().all(|byte| byte == b'0');
    Ok(Push {
        repo,
        git_ref,
        before: before.map(|before| before.to_ascii_lowercase()),
        after: after.to_ascii_lowercase(),
        deleted: deleted.unwrap_or(false) || zero,
        forced: forced.unwrap_or(false),
        pusher: pusher.and_then(RawUser::known_as).or(sender.and_then(RawUser::known_as)).map(|name| shown(&name)),
    })
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    /// The sample bodies lie beside the project, not in it.
    pub(crate) fn sample(name: &str) -> Option<String> {
        let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared"));
        let shared = std::env::var_os("TURNOUT_SHARED").map_or(beside, PathBuf::from);
        let file = shared.join("payloads").join(name);
        if !shared.exists() {
            println!("not run: {} is not there", shared.display());
            return None;
        }
        Some(fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
    }

    #[test]
    fn samples() {
        let Some(json) = sample("github/push-default-branch.json") else { return };
        let Event::Push(push) = read("push", &json).unwrap() else { panic!() };
        assert_eq!(push.repo.full_name.as_deref(), Some("Codertocat/Hello-World"));
        assert_eq!(push.git_ref, "refs/heads/master");
        assert_eq!(push.after, "199eddf46df50de8d02e99bf1c5fdb4101338224");
        assert!(!push.deleted && !push.forced);
        assert_eq!(push.pusher.as_deref(), Some("Codertocat"));

        let push = |name: &str| match read("push", &sample(name).unwrap()).unwrap() {
            Event::Push(push) => push,
            other => panic!("{other:?}"),
        };
        assert!(push("github/push-branch-delete.json").deleted);
        assert!(push("github/push-forced.json").forced);
        assert!(push("github/push-tag.json").git_ref.starts_with("refs/tags/"));
        assert!(push("github/push-new-branch.json").before.unwrap().bytes().all(|b| b == b'0'));
        // Gitea and its kin speak the same dialect.
        for name in [
            "gitea/push-default-branch.json",
            "forgejo/push-default-branch-multi.json",
            "gogs/push-default-branch.json",
        ] {
            assert!(push(name).git_ref.starts_with("refs/heads/"), "{name}");
        }

        assert_eq!(read("ping", &sample("github/ping.json").unwrap()).unwrap(), Event::Ping);
        for name in ["pull_request-merged", "release-published", "workflow_run-completed"] {
            let event = read("other", &sample(&format!("github/{name}.json")).unwrap()).unwrap();
            assert!(event.repo().is_some(), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_400() {
        let id = "1".repeat(40);
        let push = |tail: &str| format!(r#"{{"ref":"refs/heads/main","after":"{id}"{tail}}}"#);
        for (event, json) in [
            ("push", ""),
            ("push", "{"),
            ("push", "[]"),
            ("push", "null"),
            ("ping", "pong"),
            ("issues", "{"),
            ("push", push("").as_str()),
            ("push", push(r#","repository":{}"#).as_str()),
            ("push", push(r#","repository":"shop""#).as_str()),
            ("push", r#"{"ref":"refs/heads/main","after":"--upload-pack","repository":{"name":"shop"}}"#),
            ("push", r#"{"ref":"refs/heads/main","after":"abc","repository":{"name":"shop"}}"#),
            ("push", push(r#","before":"xyz","repository":{"name":"shop"}"#).as_str()),
            ("push", push(r#","ref":"refs/heads/other","repository":{"name":"shop"}"#).as_str()),
            ("push", &format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000))),
        ] {
            assert_eq!(read(event, json).unwrap_err().status, 400, "{event} {json:.80}");
        }
    }

    #[test]
    fn odd_but_readable() {
        let id = "A".repeat(64);
        let json = format!(
            r#"{{"ref":"refs/heads/main","after":"{id}","repository":{{"full_name":"a/shop"}},"pusher":"x","sender":{{"login":"me\u0007"}}}}"#
        );
        let Event::Push(push) = read("push", &json).unwrap() else { panic!() };
        assert_eq!((push.repo.name.as_str(), push.pusher.as_deref()), ("shop", Some("me\u{fffd}")));
        assert_eq!(push.after, "a".repeat(64));
        assert!(matches!(read("star", r#"{"repository":7}"#).unwrap(), Event::Other { repo: None, .. }));
    }
}
