//! Caddy.

use std::{net::SocketAddr, path::Path};

use turnout_fronts::{Caddy, Front as _, Stands};

use crate::{
    load, only,
    program::{self, Program, free},
    share_under_load, swaps, switch_under_load,
    upstream::Upstream,
};

fn configuration(admin: SocketAddr, at: SocketAddr, first: &Upstream) -> String {
    format!(
        r#"{{"admin":{{"listen":"{admin}"}},"apps":{{"http":{{"servers":{{"srv0":{{
            "listen":["{at}"],"automatic_https":{{"disable":true}},"routes":[
            {{"handle":[{{"@id":"shop","handler":"reverse_proxy","upstreams":[{{"dial":"{}"}}]}}]}}]}}}}}}}}}}"#,
        first.address
    )
}

async fn started(folder: &Path, admin: SocketAddr, at: SocketAddr, first: &Upstream) -> Option<Program> {
    std::fs::write(folder.join("caddy.json"), configuration(admin, at, first)).unwrap();
    let conf = folder.join("caddy.json").display().to_string();
    let mut program = program::start("caddy", &["run", "--config", &conf], folder)?;
    program.listens(at, folder).await;
    Some(program)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switches_and_loses_no_request() {
    let (folder, admin, at) = (tempfile::tempdir().unwrap(), free(), free());
    let first = Upstream::start("red").await;
    let Some(program) = started(folder.path(), admin, at, &first).await else { return };
    let front = Caddy::on_port(admin, "shop".to_owned(), vec!["shop".to_owned()]);
    assert_eq!(front.stands().await.unwrap(), Stands::Unknown);
    // It does not tell what is open; the deployer waits a time, the test looks into the container. Idle connections it closes, and
    // resets a few new ones that meet its change of configuration: counted and said, for that is Caddy's own.
    switch_under_load(&front, "shop", at, swaps(6), async |_, before| before.idle().await).await;
    program.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_requests_by_how_often_an_upstream_stands_there() {
    let (folder, admin, at) = (tempfile::tempdir().unwrap(), free(), free());
    let first = Upstream::start("red").await;
    let Some(program) = started(folder.path(), admin, at, &first).await else { return };
    let front = Caddy::on_port(admin, "shop".to_owned(), vec!["shop".to_owned()]);
    share_under_load(&front, "shop", at, async |_, before| before.idle().await).await;
    program.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_lacks_is_found_and_what_it_forgets_is_seen() {
    let (folder, admin, at) = (tempfile::tempdir().unwrap(), free(), free());
    let (red, blue) = (Upstream::start("red").await, Upstream::start("blue").await);
    let Some(program) = started(folder.path(), admin, at, &red).await else { return };
    let front = Caddy::on_port(admin, "shop".to_owned(), vec!["shop".to_owned()]);
    let lacks = front.check(&only(1, "web", "blue", &blue)).await.unwrap_err().to_string();
    assert!(lacks.contains("knows no handler web") && lacks.contains("@id"), "{lacks}");
    front.apply(&only(7, "shop", "blue", &blue)).await.unwrap();
    assert_eq!(load::ask(at).await, "blue");
    assert!(front.apply(&only(6, "shop", "red", &red)).await.unwrap_err().to_string().contains("is older"));
    let thief = Caddy::on_port(admin, "blog".to_owned(), vec!["shop".to_owned()]);
    let thief = thief.apply(&only(9, "shop", "red", &red)).await.unwrap_err().to_string();
    assert!(thief.contains("for the repository shop"), "{thief}");
    // A way to choose that gives no share.
    let policy = r#"{"selection_policy":{"policy":"least_conn"}}"#;
    program::post(admin, "/id/shop/load_balancing", policy).await;
    let no_share = front.could_share().await.unwrap_err().to_string();
    assert!(no_share.contains("chooses by least_conn in its handler shop"), "{no_share}");
    // By its place in the configuration, for who has no `@id`.
    let place = "/config/apps/http/servers/srv0/routes/0/handle/0".to_owned();
    let by_place = Caddy::on_port(admin, "shop".to_owned(), vec![place]);
    assert!(matches!(by_place.stands().await.unwrap(), Stands::Leads(led) if led.generation == 7));
    program.end().await;
    // Its file knows nothing of that.
    let program = started(folder.path(), admin, at, &red).await.unwrap();
    assert_eq!(front.stands().await.unwrap(), Stands::Unknown);
    assert!(front.apply(&only(7, "shop", "blue", &blue)).await.unwrap());
    assert_eq!(load::ask(at).await, "blue");
    program.end().await;
}
