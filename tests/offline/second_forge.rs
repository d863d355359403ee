//! A forge of another kind than GitHub, described here alone: a token in place of a signature, other headers, event names,
//! fields and statuses. It goes through the real server to a deployment that is accepted, beside GitHub.
//!
//! It is GitLab, so that recorded bodies can be taken; what the product would need besides (who sends what when) is left out.

use std::{fs, path::PathBuf};

use turnout::{
    config::Secret,
    forge::{
        CiResult, Event, Fields, Forge, GITHUB, Head, Kind, Merge, Proof, Push, PushedRepo, Refusal, Repository,
        Statuses, is_zero,
        json_found::Path,
        proof::{Digits, Hash, Over, Signature},
    },
    store::State,
};

use crate::webhook_bench::{Answer, Bench, Trust, push};

pub(crate) const CONFIG: &str = "
shop: { path: $/shop, branch: main, full_name: acme/tools/shop }
blog: { path: $/blog, branch: main, full_name: acme/blog, secret_env: BLOG_SECRET }
";

static GITLAB: Forge = gitlab("gitlab", Proof::Token { header: "X-Gitlab-Token" });
/// The same with a signature over id, time and body.
static STAMPED: Forge = gitlab(
    "stamped",
    Proof::Signed(Signature {
        header: "webhook-signature",
        hash: Hash::Sha256,
        prefix: "v1,",
        digits: Digits::Base64,
        over: Over::Stamped { id: "webhook-id", time: "webhook-timestamp" },
    }),
);
/// The same without any proof.
static OPEN: Forge = gitlab("open", Proof::Nothing);

pub(crate) static FORGES: &[&Forge] = &[&GITHUB, &GITLAB, &STAMPED, &OPEN];

const fn gitlab(name: &'static str, proof: Proof) -> Forge {
    Forge {
        name,
        proof,
        event_header: "X-Gitlab-Event",
        delivery_headers: &["Idempotency-Key", "X-Gitlab-Event-UUID"],
        // GitLab switches a webhook off that is answered with anything but 2xx too often.
        statuses: Statuses { accepted: 201, ignored: 200, unproven: 403 },
        repository: Repository { within: &["project"], wanted: &[FULL_NAME, DEFAULT_BRANCH], read: project },
        kinds: &[
            Kind {
                names: &["Push Hook", "Tag Push Hook"],
                wanted: &[&["ref"], &["before"], &["after"], &["user_username"], &["user_name"]],
                read: pushed,
            },
            Kind {
                names: &["Merge Request Hook"],
                wanted: &[
                    &["object_attributes", "action"],
                    &["object_attributes", "target_branch"],
                    &["object_attributes", "merge_commit_sha"],
                    &["user", "username"],
                ],
                read: merged,
            },
            Kind {
                names: &["Pipeline Hook"],
                wanted: &[
                    &["object_attributes", "status"],
                    &["object_attributes", "ref"],
                    &["object_attributes", "sha"],
                    &["object_attributes", "source"],
                ],
                read: pipeline,
            },
        ],
    }
}

const FULL_NAME: Path = &["project", "path_with_namespace"];
const DEFAULT_BRANCH: Path = &["project", "default_branch"];

fn project(fields: &Fields<'_>) -> Result<PushedRepo, Refusal> {
    let full_name = fields.filled(FULL_NAME)?.ok_or_else(|| Refusal::malformed("it names no project"))?;
    Ok(PushedRepo {
        // `project.name` is a title.
        name: full_name.rsplit('/').next().unwrap_or(full_name).to_owned(),
        full_name: Some(full_name.to_owned()),
        default_branch: fields.filled(DEFAULT_BRANCH)?.map(str::to_owned),
    })
}

fn pushed(repository: &Repository, fields: &Fields<'_>) -> Result<Vec<Event>, Refusal> {
    let missing = || Refusal::malformed("the push names no ref or no commit");
    let after = fields.commit(&["after"])?.ok_or_else(missing)?;
    let push = Push {
        repo: (repository.read)(fields)?,
        git_ref: fields.filled(&["ref"])?.ok_or_else(missing)?.to_owned(),
        before: fields.commit(&["before"])?,
        deleted: is_zero(&after),
        after,
        forced: false,
        pusher: fields.person(&[&["user_username"], &["user_name"]]),
    };
    Ok(vec![push.event()])
}

fn merged(repository: &Repository, fields: &Fields<'_>) -> Result<Vec<Event>, Refusal> {
    if fields.text(&["object_attributes", "action"])? != Some("merge") {
        return Ok(Vec::new());
    }
    let into = fields.filled(&["object_attributes", "target_branch"])?.unwrap_or_default().to_owned();
    let commit = fields.commit(&["object_attributes", "merge_commit_sha"])?;
    let by = fields.person(&[&["user", "username"]]);
    Ok(vec![Event::Merged(Merge { repo: (repository.read)(fields)?, into, from: None, commit, by })])
}

fn pipeline(repository: &Repository, fields: &Fields<'_>) -> Result<Vec<Event>, Refusal> {
    let passed = match fields.text(&["object_attributes", "status"])? {
        Some("success") => true,
        Some("failed") => false,
        _ => return Ok(Vec::new()),
    };
    let Some(commit) = fields.commit(&["object_attributes", "sha"])? else { return Ok(Vec::new()) };
    let by_push = fields.text(&["object_attributes", "source"])? == Some("push");
    let branch = fields.filled(&["object_attributes", "ref"])?.filter(|_| by_push).map(str::to_owned);
    let name = Some("pipeline".to_owned());
    Ok(vec![Event::Checked(CiResult { repo: (repository.read)(fields)?, name, commit, branch, passed })])
}

async fn bench(secret: Option<&str>) -> Bench {
    let trust = Trust { secret: secret.map(Secret::new), forges: FORGES, ..Trust::default() };
    Bench::trusting(CONFIG, trust).await
}

pub(crate) fn push_hook(full_name: &str, branch: &str, number: u64) -> String {
    format!(
        r#"{{"object_kind":"push","before":"{:040x}","after":"{number:040x}","ref":"refs/heads/{branch}","user_username":"ada",
            "project":{{"name":"The Shop","path_with_namespace":"{full_name}","default_branch":"main"}}}}"#,
        number + 1_000_000
    )
}

pub(crate) async fn deliver(bench: &Bench, token: Option<&str>, event: &str, body: &str) -> Answer {
    let mut headers = vec![("content-type", "application/json"), ("x-gitlab-event", event), ("idempotency-key", "one")];
    headers.extend(token.map(|token| ("x-gitlab-token", token)));
    bench.post_to("/webhook/gitlab", &headers, body.as_bytes()).await
}

#[tokio::test]
async fn its_push_becomes_a_deployment() {
    let bench = bench(Some("secret")).await;
    let body = push_hook("acme/tools/shop", "main", 1);
    let first = deliver(&bench, Some("secret"), "Push Hook", &body).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let id = first.json()["deployment"].as_i64().unwrap();
    let kept = bench.store.deployment(id).await.unwrap().unwrap();
    assert_eq!((kept.state, kept.branch.as_deref(), kept.who.as_deref()), (State::Queued, Some("main"), Some("ada")));
    assert_eq!(bench.woken(), ["shop"]);
    let recorded = bench.store.deliveries(1).await.unwrap().remove(0);
    assert_eq!((recorded.event.as_str(), recorded.guid.as_deref()), ("Push Hook", Some("one")));
    assert_eq!(recorded.repo.as_deref(), Some("acme/tools/shop"));
    // The same again is a repeat, and GitHub's own come in beside it.
    let repeat = deliver(&bench, Some("secret"), "Push Hook", &body).await;
    assert_eq!((repeat.status, repeat.json()["status"].as_str()), (200, Some("duplicate")));
    assert_eq!(bench.deliver("push", &push("acme/tools/shop", "main", 2)).await.status, 202);
}

#[tokio::test]
async fn its_proof_is_its_own() {
    let bench = bench(Some("secret")).await;
    let body = push_hook("acme/tools/shop", "main", 1);
    for token in [None, Some(""), Some("Secret"), Some("secret2"), Some("of the blog")] {
        let answer = deliver(&bench, token, "Push Hook", &body).await;
        assert_eq!(answer.status, 403, "{token:?}: {}", answer.body);
        assert!(!answer.body.contains("secret2"), "{}", answer.body);
    }
    // What proves a delivery of one forge proves none of another's.
    let signature = GITHUB.proof.prove(&Secret::new("secret"), Head::new(&|_| None), body.as_bytes()).unwrap();
    let json = ("content-type", "application/json");
    let signed = [json, ("x-gitlab-event", "Push Hook"), (signature.0, signature.1.as_str())];
    assert_eq!(bench.post_to("/webhook/gitlab", &signed, body.as_bytes()).await.status, 403);
    let token = [json, ("x-github-event", "push"), ("x-gitlab-token", "secret")];
    assert_eq!(bench.post_to("/webhook", &token, push("acme/tools/shop", "main", 1).as_bytes()).await.status, 401);
    // A repository with a secret of its own takes that one, and no other.
    let own = push_hook("acme/blog", "main", 3);
    assert_eq!(deliver(&bench, Some("secret"), "Push Hook", &own).await.status, 403);
    assert_eq!(deliver(&bench, Some("of the blog"), "Push Hook", &own).await.status, 201);
    assert_eq!(bench.woken(), ["blog"]);
    for path in ["/webhook/github", "/webhook/", "/webhook/gitea"] {
        assert_eq!(bench.post_to(path, &token, b"{}").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_stamped_signature_covers_id_and_time() {
    let bench = bench(Some("secret")).await;
    let body = push_hook("acme/tools/shop", "main", 1);
    let stamp = |name: &str| match name {
        "webhook-id" => Some(&b"msg_1"[..]),
        "webhook-timestamp" => Some(&b"1700000000"[..]),
        _ => None,
    };
    let (name, signature) = STAMPED.proof.prove(&Secret::new("secret"), Head::new(&stamp), body.as_bytes()).unwrap();
    for (id, status) in [("msg_2", 403), ("msg_1", 201)] {
        let headers = [
            ("content-type", "application/json"),
            ("x-gitlab-event", "Push Hook"),
            ("webhook-id", id),
            ("webhook-timestamp", "1700000000"),
            (name, signature.as_str()),
        ];
        let answer = bench.post_to("/webhook/stamped", &headers, body.as_bytes()).await;
        assert_eq!(answer.status, status, "{id}: {}", answer.body);
    }
}

#[tokio::test]
async fn nothing_proves_nothing_unless_the_operator_takes_that() {
    let body = push_hook("acme/tools/shop", "main", 1);
    let headers = [("content-type", "application/json"), ("x-gitlab-event", "Push Hook")];
    for (secret, status) in [(Some("secret"), 403), (None, 201)] {
        let answer = bench(secret).await.post_to("/webhook/open", &headers, body.as_bytes()).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    // Not even then where the repository has a secret.
    let own = push_hook("acme/blog", "main", 1);
    let answer = bench(None).await.post_to("/webhook/open", &headers, own.as_bytes()).await;
    assert_eq!(answer.status, 403, "{}", answer.body);
}

#[tokio::test]
async fn its_other_events_are_remembered_with_what_they_say() {
    let bench = bench(Some("secret")).await;
    let id = "c".repeat(40);
    let project = r#""project":{"path_with_namespace":"acme/tools/shop"}"#;
    for (event, body, reason) in [
        (
            "Merge Request Hook",
            format!(
                r#"{{{project},"user":{{"username":"bob"}},"object_attributes":{{"action":"merge","target_branch":"main","merge_commit_sha":"{id}"}}}}"#
            ),
            "merged into main as ccccccc by bob; the push of it is what is acted on",
        ),
        (
            "Pipeline Hook",
            format!(
                r#"{{{project},"object_attributes":{{"status":"failed","ref":"main","sha":"{id}","source":"push"}}}}"#
            ),
            "pipeline failed for ccccccc of main; only pushes are acted on",
        ),
        ("Issue Hook", format!("{{{project}}}"), "events of kind Issue Hook are not acted on"),
    ] {
        let answer = deliver(&bench, Some("secret"), event, &body).await;
        let json = answer.json();
        assert_eq!((answer.status, json["status"].as_str()), (200, Some("ignored")), "{}", answer.body);
        assert_eq!((json["message"].as_str(), json["repository"].as_str()), (Some(reason), Some("shop")));
    }
    assert!(bench.woken().is_empty());
    let recorded = bench.store.deliveries(10).await.unwrap();
    let known: Vec<_> = recorded.iter().map(|one| (one.git_ref.as_deref(), one.commit.is_some())).collect();
    assert_eq!(known, [(None, false), (Some("refs/heads/main"), true), (Some("refs/heads/main"), true)]);
}

/// The recorded bodies lie beside the project, not in it.
#[tokio::test]
async fn recorded_bodies_are_understood() {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared"));
    let folder = std::env::var_os("TURNOUT_SHARED").map_or(beside, PathBuf::from).join("payloads/gitlab");
    if !folder.exists() {
        println!("not run: {} is not there", folder.display());
        return;
    }
    let config = "
shop: { path: $/shop, branch: master, full_name: gitlab-org/hello-world }
blog: { path: $/blog, branch: master, full_name: group1/group2/group3/grp2repo }
";
    let trust = Trust { forges: FORGES, ..Trust::default() };
    let bench = Bench::trusting(config, trust).await;
    let mut said = Vec::new();
    for (file, event) in [
        ("push-default-branch", "Push Hook"),
        ("push-branch-delete", "Push Hook"),
        ("push-subgroup", "Push Hook"),
        ("tag_push", "Tag Push Hook"),
        ("merge_request-merged", "Merge Request Hook"),
        ("merge_request-closed-unmerged", "Merge Request Hook"),
        ("pipeline", "Pipeline Hook"),
    ] {
        let body = fs::read_to_string(folder.join(file).with_extension("json")).unwrap();
        let answer = deliver(&bench, Some("secret"), event, &body).await;
        let json = answer.json();
        said.push(format!("{file}: {} {} {}", answer.status, json["status"], json["message"]).replace('"', ""));
    }
    insta::assert_snapshot!(said.join("\n"), @r"
    push-default-branch: 201 queued push of 2adc946 to master by sytses
    push-branch-delete: 200 ignored branch feature is not the deployed branch master
    push-subgroup: 201 queued push of 2adc946 to master by sytses
    tag_push: 200 ignored tag v1.0.0 moved; only branches are deployed
    merge_request-merged: 200 ignored merged into master as 78a76ee by sytses; the push of it is what is acted on
    merge_request-closed-unmerged: 200 ignored events of kind Merge Request Hook are not acted on
    pipeline: 200 ignored pipeline passed for bcbb5ec; only pushes are acted on
    ");
}
