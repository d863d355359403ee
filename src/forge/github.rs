//! GitHub's deliveries. Few values are read and most may be missing: senders differ and change. Gitea, Forgejo and Gogs speak
//! the same dialect where their bodies are JSON.
//!
//! Events and fields: <https://docs.github.com/en/webhooks/webhook-events-and-payloads>.

use super::{
    Forge, Kind, Proof, Refusal, Repository, Statuses,
    event::{CiResult, Event, Merge, Push, PushedRepo, Release},
    fields::{Fields, is_zero},
    json_found::Path,
    proof::{Digits, Hash, Over, Signature},
};

/// GitHub's webhooks, as its documentation describes them ("Webhook events and payloads").
pub static GITHUB: Forge = Forge {
    name: "github",
    proof: Proof::Signed(Signature {
        header: "X-Hub-Signature-256",
        hash: Hash::Sha256,
        prefix: "sha256=",
        digits: Digits::Hex,
        over: Over::Body,
    }),
    event_header: "X-GitHub-Event",
    delivery_headers: &["X-GitHub-Delivery"],
    statuses: Statuses { accepted: 202, ignored: 200, unproven: 401 },
    repository: Repository { within: REPOSITORY, wanted: &[NAME, FULL_NAME, DEFAULT_BRANCH], read: repository },
    kinds: &[
        // Of app hooks and some others it names no repository, so it is answered before one is looked for.
        Kind { names: &["ping"], wanted: &[], read: |_, _| Ok(vec![Event::Ping]) },
        Kind {
            names: &["push"],
            wanted: &[
                &["ref"],
                &["before"],
                &["after"],
                &["deleted"],
                &["forced"],
                &["pusher", "name"],
                &["pusher", "login"],
                &["pusher", "username"],
                SENDER[0],
                SENDER[1],
                SENDER[2],
            ],
            read: push,
        },
        Kind {
            names: &["pull_request"],
            wanted: &[
                ACTION,
                &["pull_request", "merged"],
                &["pull_request", "merge_commit_sha"],
                &["pull_request", "base", "ref"],
                &["pull_request", "head", "ref"],
                &["pull_request", "merged_by", "login"],
                SENDER[0],
                SENDER[1],
                SENDER[2],
            ],
            read: |repository, fields| noted(merge(repository, fields)),
        },
        Kind {
            names: &["release"],
            wanted: &[ACTION, &["release", "tag_name"], &["release", "prerelease"], SENDER[0], SENDER[1], SENDER[2]],
            read: |repository, fields| noted(release(repository, fields)),
        },
        Kind {
            names: &["workflow_run"],
            wanted: &[
                ACTION,
                &["workflow_run", "name"],
                &["workflow_run", "conclusion"],
                &["workflow_run", "event"],
                &["workflow_run", "head_sha"],
                &["workflow_run", "head_branch"],
                &["workflow_run", "head_repository", "full_name"],
            ],
            read: |repository, fields| noted(workflow_run(repository, fields)),
        },
        Kind {
            names: &["check_suite"],
            wanted: &[
                ACTION,
                &["check_suite", "app", "name"],
                &["check_suite", "conclusion"],
                &["check_suite", "head_sha"],
                &["check_suite", "head_branch"],
            ],
            read: |repository, fields| noted(check_suite(repository, fields)),
        },
        Kind {
            names: &["check_run"],
            wanted: &[
                ACTION,
                &["check_run", "name"],
                &["check_run", "conclusion"],
                &["check_run", "head_sha"],
                &["check_run", "check_suite", "head_branch"],
            ],
            read: |repository, fields| noted(check_run(repository, fields)),
        },
        Kind {
            names: &["status"],
            wanted: &[&["sha"], &["state"], &["context"]],
            read: |repository, fields| noted(status(repository, fields)),
        },
    ],
};

const REPOSITORY: Path = &["repository"];
const NAME: Path = &["repository", "name"];
const FULL_NAME: Path = &["repository", "full_name"];
const DEFAULT_BRANCH: Path = &["repository", "default_branch"];
const ACTION: Path = &["action"];
const SENDER: [Path; 3] = [&["sender", "name"], &["sender", "login"], &["sender", "username"]];

fn repository(fields: &Fields<'_>) -> Result<PushedRepo, Refusal> {
    if !fields.object(REPOSITORY)? {
        return Err(Refusal::malformed("it names no repository"));
    }
    let (name, full_name) = (fields.filled(NAME)?, fields.filled(FULL_NAME)?);
    let default_branch = fields.filled(DEFAULT_BRANCH)?;
    let name = name.or_else(|| full_name.and_then(|name| name.rsplit('/').next()));
    let name = name.ok_or_else(|| Refusal::malformed("the repository has no name"))?;
    Ok(PushedRepo {
        name: name.to_owned(),
        full_name: full_name.map(str::to_owned),
        default_branch: default_branch.map(str::to_owned),
    })
}

/// What only is noted is never refused: a body of an unexpected shape is then one of those that are only named.
fn noted(event: Result<Option<Event>, Refusal>) -> Result<Vec<Event>, Refusal> {
    Ok(event.ok().flatten().into_iter().collect())
}

fn push(repository: &Repository, fields: &Fields<'_>) -> Result<Vec<Event>, Refusal> {
    let repo = (repository.read)(fields)?;
    let git_ref = fields.text(&["ref"])?.ok_or_else(|| Refusal::malformed("the push names no ref"))?;
    let after = fields.commit(&["after"])?.ok_or_else(|| Refusal::malformed("the push names no commit"))?;
    let before = fields.commit(&["before"])?;
    let people: [Path; 6] =
        [&["pusher", "name"], &["pusher", "login"], &["pusher", "username"], SENDER[0], SENDER[1], SENDER[2]];
    let push = Push {
        repo,
        git_ref: git_ref.to_owned(),
        before,
        deleted: fields.flag(&["deleted"])? || is_zero(&after),
        after,
        forced: fields.flag(&["forced"])?,
        pusher: fields.person(&people),
    };
    Ok(vec![push.event()])
}

/// `merge_commit_sha` is also given for what was not merged (a merge that was tried), so `merged` comes first.
fn merge(repository: &Repository, fields: &Fields<'_>) -> Result<Option<Event>, Refusal> {
    if fields.text(ACTION)? != Some("closed") || !fields.flag(&["pull_request", "merged"])? {
        return Ok(None);
    }
    let Some(into) = fields.filled(&["pull_request", "base", "ref"])? else { return Ok(None) };
    Ok(Some(Event::Merged(Merge {
        repo: (repository.read)(fields)?,
        into: into.to_owned(),
        from: fields.filled(&["pull_request", "head", "ref"])?.map(str::to_owned),
        commit: fields.commit(&["pull_request", "merge_commit_sha"])?,
        by: fields.person(&[&["pull_request", "merged_by", "login"], SENDER[0], SENDER[1], SENDER[2]]),
    })))
}

fn release(repository: &Repository, fields: &Fields<'_>) -> Result<Option<Event>, Refusal> {
    if fields.text(ACTION)? != Some("published") {
        return Ok(None);
    }
    let Some(tag) = fields.filled(&["release", "tag_name"])? else { return Ok(None) };
    Ok(Some(Event::Released(Release {
        repo: (repository.read)(fields)?,
        tag: tag.to_owned(),
        preliminary: fields.flag(&["release", "prerelease"])?,
        by: fields.person(&SENDER),
    })))
}

/// Whether a check ended well; `None` where it did neither well nor badly (skipped, neutral, cancelled), or goes on.
fn passed(word: Option<&str>) -> Option<bool> {
    match word? {
        "success" => Some(true),
        "failure" | "timed_out" | "startup_failure" | "error" => Some(false),
        _ => None,
    }
}

/// A completed check. Real bodies have conclusions with other actions, and none with this one: both are looked at.
fn completed(
    repository: &Repository,
    fields: &Fields<'_>,
    conclusion: Path,
    commit: Path,
) -> Result<Option<CiResult>, Refusal> {
    if fields.text(ACTION)? != Some("completed") {
        return Ok(None);
    }
    let (Some(passed), Some(commit)) = (passed(fields.text(conclusion)?), fields.commit(commit)?) else {
        return Ok(None);
    };
    Ok(Some(CiResult { repo: (repository.read)(fields)?, name: None, commit, branch: None, passed }))
}

/// The run of a fork's pull request names the fork's branch, which may be called as ours is: the branch counts only of a run
/// for a push to this very repository.
fn workflow_run(repository: &Repository, fields: &Fields<'_>) -> Result<Option<Event>, Refusal> {
    let conclusion: Path = &["workflow_run", "conclusion"];
    let Some(result) = completed(repository, fields, conclusion, &["workflow_run", "head_sha"])? else {
        return Ok(None);
    };
    let head = fields.filled(&["workflow_run", "head_repository", "full_name"])?;
    let own = head.is_some() && head == result.repo.full_name.as_deref();
    let by_push = fields.text(&["workflow_run", "event"])? == Some("push");
    let branch = fields.filled(&["workflow_run", "head_branch"])?.filter(|_| own && by_push);
    let (name, branch) = (fields.label(&["workflow_run", "name"])?, branch.map(str::to_owned));
    Ok(Some(Event::Checked(CiResult { name, branch, ..result })))
}

/// GitHub gives no branch for what a fork pushed.
fn check_suite(repository: &Repository, fields: &Fields<'_>) -> Result<Option<Event>, Refusal> {
    let conclusion: Path = &["check_suite", "conclusion"];
    let Some(result) = completed(repository, fields, conclusion, &["check_suite", "head_sha"])? else {
        return Ok(None);
    };
    let branch = fields.filled(&["check_suite", "head_branch"])?.map(str::to_owned);
    let name = fields.label(&["check_suite", "app", "name"])?;
    Ok(Some(Event::Checked(CiResult { name, branch, ..result })))
}

fn check_run(repository: &Repository, fields: &Fields<'_>) -> Result<Option<Event>, Refusal> {
    let conclusion: Path = &["check_run", "conclusion"];
    let Some(result) = completed(repository, fields, conclusion, &["check_run", "head_sha"])? else { return Ok(None) };
    let branch = fields.filled(&["check_run", "check_suite", "head_branch"])?.map(str::to_owned);
    let name = fields.label(&["check_run", "name"])?;
    Ok(Some(Event::Checked(CiResult { name, branch, ..result })))
}

/// A commit's status. Its branches are a list, which is not read.
fn status(repository: &Repository, fields: &Fields<'_>) -> Result<Option<Event>, Refusal> {
    let (Some(passed), Some(commit)) = (passed(fields.text(&["state"])?), fields.commit(&["sha"])?) else {
        return Ok(None);
    };
    let (repo, name) = ((repository.read)(fields)?, fields.label(&["context"])?);
    Ok(Some(Event::Checked(CiResult { repo, name, commit, branch: None, passed })))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;
    use crate::forge::json::Scanner;

    fn all(event: &str, json: &str) -> Result<Vec<Event>, Refusal> {
        let mut scanner = Scanner::new(GITHUB.wanted(Some(event)));
        scanner.feed(json.as_bytes());
        let scanned = scanner.finish().map_err(|fault| Refusal::malformed(format!("{fault:?}")))?;
        GITHUB.read(event, &scanned)
    }

    fn read(event: &str, json: &str) -> Result<Event, Refusal> {
        let mut events = all(event, json)?;
        assert_eq!(events.len(), 1, "{events:?}");
        Ok(events.remove(0))
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
        let event = |event: &str, name: &str| read(event, &sample(&format!("github/{name}.json")).unwrap()).unwrap();
        let Event::Tag(tag) = event("push", "push-tag") else { panic!() };
        assert_eq!((tag.name.as_str(), tag.deleted), ("v0.0.1", false));
        let Event::Merged(merge) = event("pull_request", "pull_request-merged") else { panic!() };
        assert_eq!((merge.into.as_str(), merge.commit.map(|commit| commit.len())), ("main", Some(40)));
        assert!(matches!(event("pull_request", "pull_request-closed-unmerged"), Event::Other { repo: Some(_), .. }));
        let Event::Released(release) = event("release", "release-published") else { panic!() };
        assert_eq!((release.tag.as_str(), release.by.as_deref()), ("0.0.1", Some("Codertocat")));
        // For a dispatch and not for a push: nobody vouches for its branch.
        let Event::Checked(result) = event("workflow_run", "workflow_run-completed") else { panic!() };
        assert_eq!((result.passed, result.branch), (true, None));
    }

    /// A branch is gone by its flag, or by having no commit any more.
    #[test]
    fn a_push_says_that_its_branch_is_gone() {
        let (id, zeros) = ("a".repeat(40), "0".repeat(40));
        for (flag, after, deleted) in [
            ("", &id, false),
            (r#""deleted":false,"#, &id, false),
            (r#""deleted":true,"#, &id, true),
            ("", &zeros, true),
            (r#""deleted":false,"#, &zeros, true),
            (r#""deleted":true,"#, &zeros, true),
        ] {
            let json = format!(r#"{{{flag}"ref":"refs/heads/main","after":"{after}","repository":{{"name":"shop"}}}}"#);
            let Event::Push(push) = read("push", &json).unwrap() else { panic!("{json}") };
            assert_eq!(push.deleted, deleted, "{json}");
        }
    }

    /// Bodies of our own, with no more than what is read.
    #[test]
    fn what_is_noted_is_understood() {
        let id = "a".repeat(40);
        let body = |rest: &str| {
            let rest = rest.replace("ID", &id);
            format!(r#"{{"repository":{{"name":"shop","full_name":"acme/shop"}},"sender":{{"login":"ada"}},{rest}}}"#)
        };
        let merged = r#""action":"closed","pull_request":{"merged":true,"merge_commit_sha":"ID","base":{"ref":"main"},"head":{"ref":"fix"},"merged_by":{"login":"bob"}}"#;
        let Event::Merged(merge) = read("pull_request", &body(merged)).unwrap() else { panic!() };
        assert_eq!(
            (merge.into.as_str(), merge.from.as_deref(), merge.by.as_deref()),
            ("main", Some("fix"), Some("bob"))
        );
        assert_eq!((merge.commit.as_deref(), merge.repo.full_name.as_deref()), (Some(id.as_str()), Some("acme/shop")));
        let published = r#""action":"published","release":{"tag_name":"v1","prerelease":true}"#;
        let Event::Released(release) = read("release", &body(published)).unwrap() else { panic!() };
        assert_eq!((release.tag.as_str(), release.preliminary, release.by.as_deref()), ("v1", true, Some("ada")));

        let run = r#""action":"completed","workflow_run":{"name":"CI","conclusion":"success","event":"push","head_sha":"ID","head_branch":"main","head_repository":{"full_name":"acme/shop"}}"#;
        let checked = |event: &str, json: &str| match read(event, &body(json)).unwrap() {
            Event::Checked(CiResult { name, branch, passed, commit, repo: _ }) => {
                assert_eq!(commit, id);
                Some((name.unwrap_or_default(), branch.unwrap_or_default(), passed))
            }
            Event::Other { repo: Some(_), .. } => None,
            other => panic!("{other:?}"),
        };
        let some = |name: &str, branch: &str, passed| Some((name.to_owned(), branch.to_owned(), passed));
        assert_eq!(checked("workflow_run", run), some("CI", "main", true));
        assert_eq!(checked("workflow_run", &run.replace("success", "timed_out")), some("CI", "main", false));
        // Whose branch that is, nobody vouches for.
        assert_eq!(checked("workflow_run", &run.replace(r#""push""#, r#""pull_request""#)), some("CI", "", true));
        assert_eq!(checked("workflow_run", &run.replace("acme/shop", "evil/shop")), some("CI", "", true));
        for (from, to) in [("completed", "in_progress"), (r#""success""#, "null"), ("success", "skipped")] {
            assert_eq!(checked("workflow_run", &run.replace(from, to)), None, "{to}");
        }
        let suite = r#""action":"completed","check_suite":{"app":{"name":"Actions"},"conclusion":"failure","head_sha":"ID","head_branch":null}"#;
        assert_eq!(checked("check_suite", suite), some("Actions", "", false));
        let run = r#""action":"completed","check_run":{"name":"lint","conclusion":"success","head_sha":"ID","check_suite":{"head_branch":"main"}}"#;
        assert_eq!(checked("check_run", run), some("lint", "main", true));
        assert_eq!(checked("status", r#""sha":"ID","state":"error","context":"ci/x""#), some("ci/x", "", false));
        assert_eq!(checked("status", r#""sha":"ID","state":"pending","context":"ci/x""#), None);
    }

    #[test]
    fn what_is_noted_is_never_refused() {
        for (event, json) in [
            ("release", r#"{"action":"published"}"#),
            ("release", r#"{"action":"published","release":7,"repository":7}"#),
            ("pull_request", r#"{"action":"closed","pull_request":{"merged":true,"base":{"ref":"main"}}}"#),
            ("pull_request", r#"{"action":"closed","action":"closed","pull_request":{"merged":true}}"#),
            ("status", r#"{"sha":"abc","state":"success","repository":{"name":"shop"}}"#),
            ("push_to_the_moon", "{}"),
        ] {
            assert!(matches!(read(event, json).unwrap(), Event::Other { name, .. } if name == event), "{json}");
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
