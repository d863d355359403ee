//! Hooks as effects of a delivery: asked for by the second forge's events, on disk before it is answered, and read from the
//! journal by whoever runs them, which here is a destination of the outbox that only notes them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use turnout::{
    config::Repo,
    forge::Event,
    outbox::{Destination, Outbox, Outcome},
    report::redact::Redactor,
    store::{DomainEvent, Gap, Journaled, Letter, State},
};

use crate::{
    second_forge::{CONFIG, FORGES, deliver, push_hook},
    webhook_bench::{Bench, Trust},
    webhook_route::Refusing,
};

/// A repository announces what was merged into its branch, and tidies up after a push; the blog has none.
fn hooks(repo: &Repo, event: &Event) -> Vec<String> {
    match event {
        Event::Merged(_) if repo.name == "shop" => vec!["announce".to_owned(), "close-preview".to_owned()],
        Event::Push(_) if repo.name == "shop" => vec!["purge-cache".to_owned()],
        _ => Vec::new(),
    }
}

fn trust() -> Trust {
    Trust { forges: FORGES, hooks: Arc::new(hooks), ..Trust::default() }
}

fn merge(full_name: &str) -> String {
    let id = "c".repeat(40);
    format!(
        r#"{{"project":{{"path_with_namespace":"{full_name}"}},"user":{{"username":"bob"}},
            "object_attributes":{{"action":"merge","target_branch":"main","merge_commit_sha":"{id}"}}}}"#
    )
}

/// Runs nothing, and notes what it would run.
#[derive(Default)]
struct Runner {
    ran: Mutex<Vec<String>>,
    came: Notify,
}

impl Destination for Runner {
    fn name(&self) -> &str {
        "hooks"
    }

    fn letter(&self, event: &Journaled) -> Option<String> {
        match event.what.known()? {
            DomainEvent::HookWanted { name, cause, .. } => {
                Some(format!("{} of {}: {cause}", name, event.repo.as_deref()?))
            }
            _ => None,
        }
    }

    fn missed(&self, gap: Gap) -> Option<String> {
        Some(gap.to_string())
    }

    fn deliver<'a>(&'a self, letter: &'a Letter) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            self.ran.lock().unwrap().push(letter.payload.clone());
            self.came.notify_one();
            Outcome::Taken
        })
    }
}

#[tokio::test]
async fn events_of_the_second_forge_ask_for_hooks_and_the_journal_hands_them_on() {
    let bench = Bench::trusting(CONFIG, trust()).await;
    let runner = Arc::new(Runner::default());
    let destinations: Vec<Arc<dyn Destination>> = vec![runner.clone()];
    let outbox = Outbox::new(bench.store.clone(), destinations, Redactor::new(), 7, 0);
    let stop = CancellationToken::new();
    let ends = stop.clone();
    let posting = tokio::spawn(async move { outbox.run(&ends).await });
    while bench.store.posted("hooks").await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }

    let merged = deliver(&bench, Some("secret"), "Merge Request Hook", &merge("acme/tools/shop")).await;
    let json = merged.json();
    assert_eq!((merged.status, json["status"].as_str()), (201, Some("hook")), "{}", merged.body);
    assert_eq!(json["repository"].as_str(), Some("shop"));
    let reason =
        "hook announce: merged into main as ccccccc by bob; hook close-preview: merged into main as ccccccc by bob";
    assert_eq!(json["message"].as_str(), Some(reason));
    let kept = bench.store.deliveries(1).await.unwrap().remove(0);
    assert_eq!((kept.effect.as_str(), kept.reason.as_str(), kept.deployment), ("hook", reason, None));
    assert!(bench.woken().is_empty(), "{:?}", bench.woken());

    // Beside a deployment; and not again where that is recognised as the same.
    let body = push_hook("acme/tools/shop", "main", 1);
    let pushed = deliver(&bench, Some("secret"), "Push Hook", &body).await;
    assert_eq!((pushed.status, pushed.json()["status"].as_str()), (201, Some("queued")));
    let deployment = pushed.json()["deployment"].as_i64().unwrap();
    assert_eq!(bench.store.deployment(deployment).await.unwrap().unwrap().state, State::Queued);
    assert_eq!(deliver(&bench, Some("secret"), "Push Hook", &body).await.json()["status"].as_str(), Some("duplicate"));
    // Who has none is answered as ever.
    let own = deliver(&bench, Some("of the blog"), "Merge Request Hook", &merge("acme/blog")).await;
    assert_eq!((own.status, own.json()["status"].as_str()), (200, Some("ignored")), "{}", own.body);

    // What comes last has come after all that is not to come.
    let last = deliver(&bench, Some("secret"), "Push Hook", &push_hook("acme/tools/shop", "dev", 2)).await;
    assert_eq!(last.json()["status"].as_str(), Some("hook"), "{}", last.body);
    let all = async {
        while runner.ran.lock().unwrap().len() < 4 {
            runner.came.notified().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.unwrap_or_else(|_| panic!("{:?}", runner.ran.lock()));
    stop.cancel();
    posting.await.unwrap();
    assert_eq!(
        *runner.ran.lock().unwrap(),
        [
            "announce of shop: merged into main as ccccccc by bob",
            "close-preview of shop: merged into main as ccccccc by bob",
            "purge-cache of shop: push of 0000000 to main by ada",
            "purge-cache of shop: push of 0000000 to dev by ada",
        ]
    );
}

#[tokio::test]
async fn a_hook_that_cannot_be_recorded_is_not_promised() {
    let bench = Bench::trusting_with_ledger(CONFIG, trust(), |_| Arc::new(Refusing { full: true })).await;
    let merged = deliver(&bench, Some("secret"), "Merge Request Hook", &merge("acme/tools/shop")).await;
    assert_eq!(merged.status, 507, "{}", merged.body);
}
