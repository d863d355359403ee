//! GitHub's deliveries. Few values are read and most may be missing: senders differ and change.

use super::{
    Refusal,
    event::{Event, Push, PushedRepo, shown},
    json::{Found, Path, Scanned, Value},
};

/// The places that are looked at; the constants below number them.
pub const WANTED: &[Path] = &[
    &["ref"],
    &["before"],
    &["after"],
    &["deleted"],
    &["forced"],
    &["repository"],
    &["repository", "name"],
    &["repository", "full_name"],
    &["repository", "default_branch"],
    &["pusher", "name"],
    &["pusher", "login"],
    &["pusher", "username"],
    &["sender", "name"],
    &["sender", "login"],
    &["sender", "username"],
];
const REF: usize = 0;
const BEFORE: usize = 1;
const AFTER: usize = 2;
const DELETED: usize = 3;
const FORCED: usize = 4;
const REPOSITORY: usize = 5;
const NAME: usize = 6;
const FULL_NAME: usize = 7;
const DEFAULT_BRANCH: usize = 8;
/// Whoever did it, by the names in the order in which they are believed.
const PERSON: std::ops::RangeInclusive<usize> = 9..=14;

/// Reads a body by its event's name.
///
/// # Errors
/// 400 for what is no object and for pushes without repository, ref or commit.
pub fn read(event: &str, scanned: &Scanned) -> Result<Event, Refusal> {
    if !scanned.object {
        return Err(Refusal::malformed("the JSON is no object"));
    }
    let found = scanned.found.as_slice();
    match event {
        // Of app hooks and some others it names no repository, so it is answered before one is looked for.
        "ping" => Ok(Event::Ping),
        "push" => push(found).map(Event::Push),
        other => Ok(Event::Other { name: shown(other), repo: repository(found).ok() }),
    }
}

/// See [`super::Forge::named`].
pub fn named(found: &[Option<Found>]) -> Option<Option<PushedRepo>> {
    let complete = at(found, REPOSITORY)?.complete;
    complete.then(|| repository(found).ok())
}

fn at(found: &[Option<Found>], place: usize) -> Option<&Found> {
    found.get(place)?.as_ref()
}

/// What stands at a place; `null` counts as missing.
fn value(found: &[Option<Found>], place: usize) -> Result<Option<&Value>, Refusal> {
    let name = || WANTED.get(place).map(|path| path.join(".")).unwrap_or_default();
    match at(found, place) {
        None | Some(Found { value: Value::Null, twice: false, .. }) => Ok(None),
        Some(Found { twice: true, .. }) => Err(Refusal::malformed(format!("the JSON has {} twice", name()))),
        Some(Found { value: Value::Long, .. }) => Err(Refusal::malformed(format!("{} is too long", name()))),
        Some(found) => Ok(Some(&found.value)),
    }
}

fn text(found: &[Option<Found>], place: usize) -> Result<Option<&str>, Refusal> {
    match value(found, place)? {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(_) => Err(unexpected(place)),
    }
}

fn flag(found: &[Option<Found>], place: usize) -> Result<bool, Refusal> {
    match value(found, place)? {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(unexpected(place)),
    }
}

fn unexpected(place: usize) -> Refusal {
    let name = WANTED.get(place).map(|path| path.join(".")).unwrap_or_default();
    Refusal::malformed(format!("the JSON has an unexpected shape: {name}"))
}

fn repository(found: &[Option<Found>]) -> Result<PushedRepo, Refusal> {
    match value(found, REPOSITORY)? {
        None => return Err(Refusal::malformed("it names no repository")),
        Some(Value::Object) => {}
        Some(_) => return Err(unexpected(REPOSITORY)),
    }
    let some = |place| text(found, place).map(|text| text.filter(|text| !text.is_empty()));
    let (name, full_name, default_branch) = (some(NAME)?, some(FULL_NAME)?, some(DEFAULT_BRANCH)?);
    let name = name.or_else(|| full_name.and_then(|name| name.rsplit('/').next()));
    let name = name.ok_or_else(|| Refusal::malformed("the repository has no name"))?;
    Ok(PushedRepo {
        name: name.to_owned(),
        full_name: full_name.map(str::to_owned),
        default_branch: default_branch.map(str::to_owned),
    })
}

fn push(found: &[Option<Found>]) -> Result<Push, Refusal> {
    let repo = repository(found)?;
    let git_ref = text(found, REF)?.ok_or_else(|| Refusal::malformed("the push names no ref"))?;
    let after = text(found, AFTER)?.ok_or_else(|| Refusal::malformed("the push names no commit"))?;
    let before = text(found, BEFORE)?;
    if !is_commit(after) || before.is_some_and(|before| !is_commit(before)) {
        return Err(Refusal::malformed("a commit is not a full hexadecimal id"));
    }
    let zero = after.bytes().all(|byte| byte == b'0');
    // Nothing depends on who it was: a value of another shape counts as missing.
    let person = |place| text(found, place).ok().flatten().filter(|name| !name.is_empty()).map(shown);
    Ok(Push {
        repo,
        git_ref: git_ref.to_owned(),
        before: before.map(str::to_ascii_lowercase),
        after: after.to_ascii_lowercase(),
        deleted: flag(found, DELETED)? || zero,
        forced: flag(found, FORCED)?,
        pusher: PERSON.into_iter().find_map(person),
    })
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;
    use crate::forge::json::Scanner;

    fn read(event: &str, json: &str) -> Result<Event, Refusal> {
        let mut scanner = Scanner::new(WANTED);
        scanner.feed(json.as_bytes());
        let scanned = scanner.finish().map_err(|fault| Refusal::malformed(format!("{fault:?}")))?;
        super::read(event, &scanned)
    }

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
            ("push", push(r#","repository":{"name":"shop"},"repository":{"name":"blog"}"#).as_str()),
            ("push", push(r#","repository":{"name":"shop","name":"blog"}"#).as_str()),
            ("push", push(r#","repository":[{"name":"shop"}]"#).as_str()),
            ("push", push(r#","repository":{"name":7}"#).as_str()),
            ("push", push(r#","repository":{"name":"shop"},"deleted":0"#).as_str()),
            ("push", push(&format!(r#","repository":{{"name":"{}"}}"#, "x".repeat(5_000))).as_str()),
            ("ping", "[]"),
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
