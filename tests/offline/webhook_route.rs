//! The webhook server over a real socket: which deliveries are taken, which are refused, and what is recorded.

use std::{fs, sync::Arc};

use turnout::{
    server::{Ledger, LedgerFault, Receipt, ledger::BoxFuture},
    store::{Finish, NewDelivery, State},
};

use crate::webhook_bench::{Bench, CONFIG, limits, push, sign};

#[tokio::test]
async fn a_push_is_queued_and_named() {
    let bench = Bench::new().await;
    let first = bench.deliver("push", &push("acme/shop", "main", 1)).await;
    assert_eq!(first.status, 202, "{}", first.body);
    assert!(first.head.contains("content-type: application/json"));
    let json = first.json();
    assert_eq!((json["status"].as_str(), json["repository"].as_str()), (Some("queued"), Some("shop")));
    let id = json["deployment"].as_i64().unwrap();
    let kept = bench.store.deployment(id).await.unwrap().unwrap();
    assert_eq!((kept.state, kept.branch.as_deref(), kept.who.as_deref()), (State::Queued, Some("main"), Some("ada")));
    assert_eq!(bench.woken(), ["shop"]);
    let second = bench.deliver("push", &push("acme/shop", "main", 2)).await.json();
    assert_eq!(second["superseded"].as_i64(), Some(id));
}

#[tokio::test]
async fn form_bodies_are_signed_as_they_are() {
    let bench = Bench::new().await;
    let json = push("acme/shop", "main", 1);
    let form = format!("payload={}", url::form_urlencoded::byte_serialize(json.as_bytes()).collect::<String>());
    let signature = sign("secret", form.as_bytes());
    let headers = [
        ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("x-github-event", "push"),
        ("x-hub-signature-256", signature.as_str()),
    ];
    assert_eq!(bench.post(&headers, form.as_bytes()).await.status, 202);
}

#[tokio::test]
async fn what_is_not_wanted_is_200_with_its_reason() {
    let bench = Bench::new().await;
    let zero = format!(r#""after":"{:040x}""#, 0);
    let deleted = push("acme/shop", "main", 7).replace(&format!(r#""after":"{:040x}""#, 7), &zero);
    for (event, body, status, reason) in [
        ("ping", r#"{"zen":"x"}"#.to_owned(), "pong", "ping"),
        ("push", push("acme/shop", "dev", 1), "ignored", "branch dev is not the deployed branch main"),
        ("push", deleted, "ignored", "branch main was deleted"),
        ("push", push("acme/other", "main", 1), "unknown", "acme/other is not configured here"),
        ("push", push("evil/blog", "main", 1), "unknown", "evil/blog is not configured here"),
        ("push", push("me/Turnout", "main", 1), "self", "self-update skipped"),
        ("release", r#"{"action":"published"}"#.to_owned(), "ignored", "events of kind release are not acted on"),
    ] {
        let answer = bench.deliver(event, &body).await;
        let json = answer.json();
        assert_eq!((answer.status, json["status"].as_str()), (200, Some(status)), "{}", answer.body);
        assert!(json["message"].as_str().unwrap().contains(reason), "{}", answer.body);
        assert!(json.get("deployment").is_none());
    }
    assert!(bench.woken().is_empty());
    // Each left a record.
    assert_eq!(bench.store.deliveries(100).await.unwrap().len(), 7);
}

#[tokio::test]
async fn repeats_queue_nothing_unless_the_first_failed() {
    let bench = Bench::new().await;
    let body = push("acme/shop", "main", 1);
    let id = bench.deliver("push", &body).await.json()["deployment"].as_i64().unwrap();
    let repeat = bench.deliver("push", &body).await;
    assert_eq!((repeat.status, repeat.json()["deployment"].as_i64()), (200, Some(id)));
    assert_eq!(repeat.json()["status"], "duplicate");
    assert_eq!(bench.woken().len(), 1);
    bench.store.next("shop").await.unwrap().unwrap();
    bench.store.finish(id, Finish::Failed { error: "x".into() }).await.unwrap();
    assert_eq!(bench.deliver("push", &body).await.status, 202);
}

#[tokio::test]
async fn refusals() {
    let bench = Bench::new().await;
    let body = push("acme/shop", "main", 1);
    let good = sign("secret", body.as_bytes());
    let wrong = sign("other", body.as_bytes());
    let json = ("content-type", "application/json");
    let event = ("x-github-event", "push");
    let signed = |signature: &'static str| ("x-hub-signature-256", signature);
    let good: &'static str = good.leak();
    let wrong: &'static str = wrong.leak();
    for (headers, expected) in [
        (vec![json, event], 401),
        (vec![json, event, signed(wrong)], 401),
        (vec![json, event, signed("sha256=")], 401),
        (vec![json, event, signed("sha256=é")], 401),
        (vec![json, event, ("x-hub-signature", "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59")], 401),
        (vec![json, signed(good)], 400),
        (vec![event, signed(good)], 415),
        (vec![("content-type", "text/plain"), event, signed(good)], 415),
        (vec![json, event, signed(good), ("content-encoding", "gzip")], 415),
        (vec![("content-type", "application/x-www-form-urlencoded"), event, signed(good)], 400),
    ] {
        let answer = bench.post(&headers, body.as_bytes()).await;
        assert_eq!(answer.status, expected, "{headers:?}: {}", answer.body);
        assert_eq!(answer.json()["status"], "error");
        assert!(!answer.body.contains("secret"));
    }
    for bad in [&b"{"[..], b"", b"{\"a\":\"\xff\"}", b"null", b"\x00\x01"] {
        let signature = sign("secret", bad);
        let answer = bench.post(&[json, event, ("x-hub-signature-256", &signature)], bad).await;
        assert_eq!(answer.status, 400, "{bad:?}");
    }
    // Signed for another body: truncated or changed on the way.
    let cut = &body.as_bytes()[..body.len() - 1];
    assert_eq!(bench.post(&[json, event, signed(good)], cut).await.status, 401);
    assert!(bench.woken().is_empty());
    assert!(bench.store.deliveries(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn other_addresses_and_methods() {
    let bench = Bench::new().await;
    for (request, status) in [
        ("GET / HTTP/1.1", 200),
        ("GET /healthz HTTP/1.1", 200),
        ("GET /readyz HTTP/1.1", 200),
        ("GET /webhook HTTP/1.1", 405),
        ("PUT /webhook HTTP/1.1", 405),
        ("POST / HTTP/1.1", 405),
        ("GET /payload HTTP/1.1", 404),
        ("GET /webhook/../etc/passwd HTTP/1.1", 404),
    ] {
        let answer = bench.raw(format!("{request}\r\nhost: x\r\n\r\n").as_bytes()).await;
        assert_eq!(answer.status, status, "{request}");
    }
    assert_eq!(bench.raw(b"not http at all\r\n\r\n").await.status, 400);
    let answer = bench.raw(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(answer.body, r#"{"status":"ok","config":"ok"}"#);
}

#[tokio::test]
async fn edits_of_the_list_count_at_once_and_broken_ones_do_not() {
    let bench = Bench::new().await;
    fs::write(bench.config_file(), "shop: [\n").unwrap();
    assert_eq!(bench.deliver("push", &push("acme/shop", "main", 1)).await.status, 202);
    let health = bench.raw(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!((health.status, health.json()["config"].as_str()), (200, Some("broken")));
    let moved = format!("shop: {{ path: {}/shop, branch: release }}\n", bench.dir.path().display());
    fs::write(bench.config_file(), moved).unwrap();
    assert_eq!(bench.deliver("push", &push("acme/shop", "main", 2)).await.status, 200);
    assert_eq!(bench.deliver("push", &push("acme/shop", "release", 3)).await.status, 202);
}

#[tokio::test]
async fn a_repository_with_its_own_secret_takes_no_other() {
    let config = CONFIG.replace("full_name: acme/blog", "full_name: acme/blog, secret_env: BLOG_SECRET");
    let bench = Bench::with(&config, limits()).await;
    let send = |secret: &str, body: String| {
        let signature = sign(secret, body.as_bytes());
        let bench = &bench;
        async move {
            let headers = [
                ("content-type", "application/json"),
                ("x-github-event", "push"),
                ("x-hub-signature-256", signature.as_str()),
            ];
            bench.post(&headers, body.as_bytes()).await.status
        }
    };
    assert_eq!(send("of the blog", push("acme/blog", "main", 1)).await, 202);
    assert_eq!(send("secret", push("acme/blog", "main", 2)).await, 401);
    assert_eq!(send("of the blog", push("acme/shop", "main", 3)).await, 401);
    assert_eq!(send("secret", push("acme/shop", "main", 4)).await, 202);
    assert_eq!(send("neither", push("acme/blog", "main", 5)).await, 401);
    // Named only after a long list of commits, as some forges do: what came before is signed all the same.
    let late = |number, size: usize| {
        let commits = format!(r#"{{"commits":["{}"],"#, "x".repeat(size));
        push("acme/blog", "main", number).replacen('{', &commits, 1)
    };
    assert_eq!(send("of the blog", late(6, 10_000)).await, 202);
    assert_eq!(send("of the blog", late(7, 900_000)).await, 202);
    assert_eq!(send("secret", late(8, 900_000)).await, 401);
}

/// A ledger that can write nothing. (`tests/offline/store.rs` has the real full disk.)
pub(crate) struct Refusing {
    pub(crate) full: bool,
}

impl Ledger for Refusing {
    fn accept(&self, _delivery: NewDelivery) -> BoxFuture<'_, Result<Receipt, LedgerFault>> {
        let fault = LedgerFault { full: self.full, damaged: false, detail: "at a secret place".to_owned() };
        Box::pin(async move { Err(fault) })
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_promised() {
    for (full, status) in [(true, 507), (false, 503)] {
        let bench = Bench::with_ledger(CONFIG, limits(), |_| Arc::new(Refusing { full })).await;
        let answer = bench.deliver("push", &push("acme/shop", "main", 1)).await;
        assert_eq!(answer.status, status);
        assert!(answer.head.contains("retry-after: 30") && !answer.body.contains("secret place"), "{}", answer.body);
        assert!(bench.woken().is_empty());
        // What promises nothing is answered all the same.
        assert_eq!(bench.deliver("ping", "{}").await.status, 200);
    }
}
