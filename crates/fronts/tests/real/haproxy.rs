//! HAProxy.

use std::{net::SocketAddr, path::Path};

use turnout_fronts::{Front as _, Haproxy, Open, Stands};

use crate::{
    load, only,
    program::{self, Program, free},
    share_under_load, shared, swaps, switch_under_load,
    upstream::Upstream,
};

fn configuration(folder: &Path, at: SocketAddr, more: &str) -> String {
    format!(
        "global
    stats socket {folder}/socket level admin
    server-state-base {folder}/state
defaults
    mode http
    load-server-state-from-file local
    timeout connect 5s
    timeout client 30s
    timeout server 30s
backend turnout
    stick-table type string len 128 size 1k nopurge store gpt0,gpc0
frontend web
    bind {at}
    default_backend shop
backend shop
    server red 127.0.0.1:1 disabled
    server blue 127.0.0.1:1 disabled
{more}",
        folder = folder.display()
    )
}

async fn started(folder: &Path, at: SocketAddr, more: &str) -> Option<(Program, Haproxy)> {
    std::fs::create_dir_all(folder.join("state")).unwrap();
    std::fs::write(folder.join("haproxy.cfg"), configuration(folder, at, more)).unwrap();
    let file = folder.join("haproxy.cfg").display().to_string();
    let mut program = program::start("haproxy", &["-db", "-f", &file], folder)?;
    program.listens(at, folder).await;
    program.listens_on(&folder.join("socket"), folder).await;
    let front = Haproxy {
        socket: folder.join("socket"),
        repository: "shop".to_owned(),
        backends: vec!["shop".to_owned()],
        table: "turnout".to_owned(),
        state: Some(folder.join("state")),
    };
    Some((program, front))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switches_and_loses_nothing() {
    let (folder, at) = (tempfile::tempdir().unwrap(), free());
    let Some((program, front)) = started(folder.path(), at, "").await else { return };
    assert_eq!(front.stands().await.unwrap(), Stands::Unknown);
    let came = switch_under_load(&front, "shop", at, swaps(6), async |colour, _| {
        drained(&front, colour).await;
    })
    .await;
    assert_eq!((came.stale, came.reset), (0, 0), "clients keep their connections");
    program.end().await;
}

async fn drained(front: &Haproxy, colour: &str) {
    while front.open(colour).await.unwrap() != Open::Counted(0) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_requests_by_weights_and_loses_nothing() {
    let (folder, at) = (tempfile::tempdir().unwrap(), free());
    let Some((program, front)) = started(folder.path(), at, "").await else { return };
    let came = share_under_load(&front, "shop", at, async |colour, _| drained(&front, colour).await).await;
    assert_eq!((came.stale, came.reset), (0, 0), "clients keep their connections");
    program.end().await;
}

/// A backend that chooses otherwise gives no share, and that is found before anything moves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_keeps_no_share_is_refused() {
    for (balance, takes) in [("roundrobin", true), ("leastconn", false), ("static-rr", false), ("source", false)] {
        let (folder, at) = (tempfile::tempdir().unwrap(), free());
        let more = format!("    balance {balance}\n");
        let Some((program, front)) = started(folder.path(), at, &more).await else { return };
        let (red, blue) = (Upstream::start("red").await, Upstream::start("blue").await);
        front.apply(&only(7, "shop", "red", &red)).await.unwrap();
        let could = front.could_share().await.map_err(|error| error.to_string());
        assert_eq!(could.is_ok(), takes, "{balance}: {could:?}");
        if let Err(said) = could {
            assert!(said.contains(&format!("chooses by {balance} in its backend shop")), "{said}");
        }
        if balance == "static-rr" {
            // Nobody asked beforehand: its weights cannot change, and not a request goes where it was to have a fifth of them.
            let wanted = shared(8, "shop", &[("red", 80, &red), ("blue", 20, &blue)]);
            let failed = front.apply(&wanted).await.unwrap_err();
            assert!(
                failed.to_string().contains("does not take `set server shop/red weight 4`") && !failed.unknown(),
                "{failed}"
            );
            assert_eq!(load::count(at, 40).await.keys().collect::<Vec<_>>(), ["red"]);
            assert!(matches!(front.stands().await.unwrap(), Stands::Leads(led) if led.generation == 7));
        }
        program.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_lacks_is_found_and_what_it_forgets_is_seen() {
    let (folder, at) = (tempfile::tempdir().unwrap(), free());
    let Some((program, front)) = started(folder.path(), at, "").await else { return };
    let (red, blue) = (Upstream::start("red").await, Upstream::start("blue").await);
    let lacks = front.check(&only(1, "shop", "green", &red)).await.unwrap_err().to_string();
    assert!(lacks.contains("no server green in its backend shop; write there"), "{lacks}");
    let other = Haproxy { backends: vec!["web".to_owned()], ..started_as(&front, "shop") };
    assert!(other.stands().await.unwrap_err().to_string().contains("has no backend web"));
    let other = Haproxy { table: "none".to_owned(), ..started_as(&front, "shop") };
    assert!(other.stands().await.unwrap_err().to_string().contains("stick-table type string"));

    front.apply(&only(7, "shop", "red", &red)).await.unwrap();
    let older = front.apply(&only(6, "shop", "blue", &blue)).await.unwrap_err();
    assert!(older.to_string().contains("is older") && !older.unknown(), "{older}");
    let thief = started_as(&front, "blog").apply(&only(9, "shop", "blue", &blue)).await.unwrap_err().to_string();
    assert!(thief.contains("for the repository shop"), "{thief}");
    assert_eq!(load::ask(at).await, "red");
    // Both get requests, and somebody gives them other weights by hand.
    let both = shared(8, "shop", &[("red", 80, &red), ("blue", 20, &blue)]);
    front.apply(&both).await.unwrap();
    front.say("set server shop/red weight 9").await;
    assert!(
        matches!(front.stands().await.unwrap(), Stands::Otherwise { why, .. } if why.contains("the weight 9 in place of 4"))
    );
    assert!(front.apply(&both).await.unwrap());
    assert_eq!(front.stands().await.unwrap(), Stands::Leads(both.led()));
    // By hand.
    front.apply(&only(9, "shop", "blue", &blue)).await.unwrap();
    front.say("set server shop/red state ready").await;
    assert!(
        matches!(front.stands().await.unwrap(), Stands::Otherwise { why, .. } if why.contains("shop/red gets requests too"))
    );
    assert!(front.apply(&only(10, "shop", "blue", &blue)).await.unwrap());
    program.end().await;

    // Addresses and states come back from the file; which deployment that was does not, so it is told again.
    let (program, front) = started(folder.path(), at, "").await.unwrap();
    assert_eq!(load::ask(at).await, "blue");
    assert_eq!(front.stands().await.unwrap(), Stands::Unknown);
    assert!(front.apply(&only(10, "shop", "blue", &blue)).await.unwrap());
    program.end().await;
    let gone = front.stands().await.unwrap_err();
    assert!(gone.is_absent(), "{gone}");
}

fn started_as(front: &Haproxy, repository: &str) -> Haproxy {
    Haproxy {
        socket: front.socket.clone(),
        repository: repository.to_owned(),
        backends: front.backends.clone(),
        table: front.table.clone(),
        state: front.state.clone(),
    }
}

/// What somebody says by hand.
trait Say {
    async fn say(&self, words: &str);
}

impl Say for Haproxy {
    async fn say(&self, words: &str) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::UnixStream::connect(&self.socket).await.unwrap();
        stream.write_all(format!("{words}\n").as_bytes()).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
    }
}
