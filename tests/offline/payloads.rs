//! What is kept of what a delivery said: proven, bounded, without secrets, and no longer than it should be.

use std::time::Duration;

use turnout::{
    config::Secret,
    store::{NewDelivery, Packed, Retention, Store},
};

use crate::webhook_bench::{Bench, CONFIG, Trust, push, sign};

const SECRET: &str = "s3cret-of-the-daemon";

async fn bench() -> Bench {
    Bench::trusting(CONFIG, Trust { secret: Some(Secret::new(SECRET)), ..Trust::default() }).await
}

async fn send(bench: &Bench, media: &str, signed_with: &str, body: &str) -> u16 {
    let signature = sign(signed_with, body.as_bytes());
    let headers = [("content-type", media), ("x-github-event", "push"), ("x-hub-signature-256", signature.as_str())];
    bench.post(&headers, body.as_bytes()).await.status
}

async fn newest(bench: &Bench) -> Option<String> {
    bench.payloads.written().await;
    let newest = bench.store.deliveries(1).await.unwrap().remove(0);
    let payload = bench.store.payload(newest.id).await.unwrap();
    assert_eq!(newest.payload, payload.is_some());
    payload
}

#[tokio::test]
async fn the_payload_is_kept_as_json_without_secrets() {
    let bench = bench().await;
    let (json, form) = ("application/json", "application/x-www-form-urlencoded");
    let of = |number| push("acme/shop", "main", number);
    assert_eq!(send(&bench, json, SECRET, &of(1)).await, 202);
    assert_eq!(newest(&bench).await, Some(of(1)));
    let encoded: String = url::form_urlencoded::byte_serialize(of(2).as_bytes()).collect();
    assert_eq!(send(&bench, form, SECRET, &format!("payload={encoded}")).await, 202);
    assert_eq!(newest(&bench).await, Some(of(2)));
    // Old Gitea versions send the secret along.
    let talkative = of(3).replacen('{', &format!(r#"{{"secret":"{SECRET}","#), 1);
    assert_eq!(send(&bench, json, SECRET, &talkative).await, 202);
    assert_eq!(newest(&bench).await, Some(talkative.replace(SECRET, "[redacted]")));
    // A repeat says nothing new, and what nobody proved is not stored at all.
    assert_eq!(send(&bench, json, SECRET, &talkative).await, 200);
    assert_eq!(newest(&bench).await, None);
    assert_eq!(send(&bench, json, "another", &of(4)).await, 401);
    assert_eq!(bench.store.deliveries(10).await.unwrap().len(), 4);
}

#[tokio::test]
async fn of_a_large_one_nothing_is_kept() {
    let bench = bench().await;
    let sized = |number, size: usize| {
        let body = push("acme/shop", "main", number);
        let filler = "x".repeat(size - body.len() - r#""f":"","#.len());
        body.replacen('{', &format!(r#"{{"f":"{filler}","#), 1)
    };
    for (number, size, kept) in [(1, 64 << 10, true), (2, (64 << 10) + 1, false), (3, 500_000, false)] {
        let body = sized(number, size);
        assert_eq!(body.len(), size);
        assert_eq!(send(&bench, "application/json", SECRET, &body).await, 202);
        assert_eq!(newest(&bench).await.is_some(), kept, "{size}");
    }
}

fn delivery(number: u8) -> NewDelivery {
    NewDelivery {
        forge: "github",
        guid: None,
        event: "push".to_owned(),
        repo: Some("acme/shop".to_owned()),
        git_ref: None,
        commit: None,
        pusher: None,
        digest: [number; 32],
        effect: "ignored",
        reason: "a test".to_owned(),
        deploy: None,
        hooks: Vec::new(),
    }
}

#[tokio::test]
async fn payloads_go_before_their_deliveries_and_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("turnout.db");
    let kept = async |retention: Retention| {
        let store = Store::open(&file, retention).unwrap();
        // Opening thins out.
        store.flush().await.unwrap();
        let mut kept = Vec::new();
        for one in store.deliveries(100).await.unwrap() {
            kept.push((one.id, store.payload(one.id).await.unwrap().is_some()));
        }
        store.close().await;
        kept
    };
    let store = Store::open(&file, Retention::default()).unwrap();
    for number in 1..=5 {
        let id = store.accept(delivery(number)).await.unwrap().delivery;
        store.keep_payloads(vec![(id, Packed::new(&format!("{{\"number\":{number}}}")))]).await.unwrap();
    }
    store.close().await;
    drop(store);
    let all = kept(Retention::default()).await;
    assert_eq!(all, [(5, true), (4, true), (3, true), (2, true), (1, true)]);
    let two = kept(Retention { payloads: 2, ..Retention::default() }).await;
    assert_eq!(two, [(5, true), (4, true), (3, false), (2, false), (1, false)]);
    let one =
        Retention { payloads: 2, deliveries: 1, delivery_age: Duration::from_secs(3_600), ..Retention::default() };
    assert_eq!(kept(one).await, [(5, true)]);
    assert_eq!(kept(Retention { payloads: 0, ..Retention::default() }).await, [(5, false)]);
}
