//! Traefik, by its file provider.

use std::{net::SocketAddr, path::Path};

use turnout_fronts::{Drain, Front as _, Open, Stands, Traefik};

use crate::{
    load, only,
    program::{self, Program, free},
    share_under_load, swaps, switch_under_load,
    upstream::Upstream,
};

/// Its own configuration, and the user's router, which names the service that is written by turnout.
async fn started(folder: &Path, at: SocketAddr) -> Option<(Program, Traefik)> {
    let dynamic = folder.join("dynamic");
    std::fs::create_dir_all(&dynamic).unwrap();
    let file = folder.join("traefik.yml");
    let text = format!(
        "global: {{ checkNewVersion: false, sendAnonymousUsage: false }}
entryPoints: {{ web: {{ address: \"{at}\" }} }}
providers: {{ file: {{ directory: {}, watch: true }} }}
",
        dynamic.display()
    );
    std::fs::write(&file, text).unwrap();
    let router = "http: { routers: { shop: { rule: 'PathPrefix(`/`)', entryPoints: [web], service: shop@file } } }\n";
    std::fs::write(dynamic.join("router.yml"), router).unwrap();
    let mut program = program::start("traefik", &[&format!("--configFile={}", file.display())], folder)?;
    program.listens(at, folder).await;
    Some((program, Traefik { file: dynamic.join("shop.yml"), repository: "shop".to_owned() }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switches_and_loses_nothing() {
    let (folder, at) = (tempfile::tempdir().unwrap(), free());
    let Some((program, front)) = started(folder.path(), at).await else { return };
    assert_eq!(front.stands().await.unwrap(), Stands::Unknown);
    assert_eq!((front.means().drain, front.open("red").await.unwrap()), (Drain::Waited, Open::Unseen));
    // It does not tell what is open; the deployer waits a time, the test looks into the container.
    let came = switch_under_load(&front, "shop", at, swaps(2), async |_, before| before.idle().await).await;
    assert_eq!((came.stale, came.reset), (0, 0), "clients keep their connections");
    program.end().await;

    // What it leads by is in its file: it comes back as it was.
    let (program, front) = started(folder.path(), at).await.unwrap();
    assert!(matches!(front.stands().await.unwrap(), Stands::Leads(led) if led.generation > 1));
    let red = Upstream::start("red").await;
    let file = front.file.clone();
    let thief = Traefik { file, repository: "blog".to_owned() };
    let said = thief.apply(&only(99, "shop", "red", &red)).await.unwrap_err().to_string();
    assert!(said.contains("is led for the repository shop"), "{said}");
    program.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_requests_and_loses_nothing() {
    let (folder, at) = (tempfile::tempdir().unwrap(), free());
    let Some((program, front)) = started(folder.path(), at).await else { return };
    let came = share_under_load(&front, "shop", at, async |_, before| before.idle().await).await;
    assert_eq!((came.stale, came.reset), (0, 0), "clients keep their connections");
    assert_eq!(load::ask(at).await, "blue");
    program.end().await;
}
