//! nginx.

use std::{net::SocketAddr, path::Path};

use turnout_fronts::{Front as _, Nginx, Open, Stands};

use crate::{
    load, only,
    program::{self, Program, free},
    share_under_load, shared, swaps, switch_under_load,
    upstream::Upstream,
};

fn configuration(folder: &Path, at: SocketAddr) -> String {
    format!(
        "daemon off;
user root;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/turnout/*.conf;
    server {{
        listen {at};
        location / {{
            proxy_pass http://shop;
        }}
    }}
}}
",
        folder = folder.display()
    )
}

async fn started(folder: &Path, at: SocketAddr, first: &Upstream) -> Option<(Program, Nginx)> {
    std::fs::create_dir_all(folder.join("turnout")).unwrap();
    std::fs::write(folder.join("nginx.conf"), configuration(folder, at)).unwrap();
    let file = folder.join("turnout/shop.conf");
    std::fs::write(&file, format!("upstream shop {{ server {}; }}\n", first.address)).unwrap();
    let conf = folder.join("nginx.conf").display().to_string();
    let log = folder.join("error.log").display().to_string();
    let mut program = program::start("nginx", &["-c", &conf, "-e", &log], folder)?;
    program.listens(at, folder).await;
    let pid = Some(folder.join("nginx.pid"));
    Some((program, Nginx { file, pid, answers: free(), repository: "shop".to_owned(), patience: Nginx::PATIENCE }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switches_and_loses_no_request() {
    let (folder, at) = (tempfile::tempdir().unwrap(), free());
    let first = Upstream::start("red").await;
    let Some((program, front)) = started(folder.path(), at, &first).await else { return };
    assert_eq!(front.stands().await.unwrap(), Stands::Unknown);
    // It closes idle connections.
    let came = switch_under_load(&front, "shop", at, swaps(6), async |colour, _| {
        drained(&front, colour).await;
    })
    .await;
    assert_eq!(came.reset, 0);
    program.end().await;
}

async fn drained(front: &Nginx, colour: &str) {
    while front.open(colour).await.unwrap() != Open::Counted(0) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_requests_by_weights_and_loses_no_request() {
    let (folder, at) = (tempfile::tempdir().unwrap(), free());
    let first = Upstream::start("red").await;
    let Some((program, front)) = started(folder.path(), at, &first).await else { return };
    let came = share_under_load(&front, "shop", at, async |colour, _| drained(&front, colour).await).await;
    assert_eq!(came.reset, 0);
    program.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_it_does_not_take_is_put_back() {
    let (folder, at) = (tempfile::tempdir().unwrap(), free());
    let (red, blue) = (Upstream::start("red").await, Upstream::start("blue").await);
    let Some((program, mut front)) = started(folder.path(), at, &red).await else { return };
    front.apply(&only(7, "shop", "red", &red)).await.unwrap();
    let before = std::fs::read_to_string(&front.file).unwrap();
    let older = front.apply(&only(6, "shop", "blue", &blue)).await.unwrap_err().to_string();
    assert!(older.contains("is older"), "{older}");
    let (file, answers) = (front.file.clone(), front.answers);
    let other = Nginx { repository: "blog".to_owned(), file, pid: None, answers, patience: Nginx::PATIENCE };
    let thief = other.apply(&only(9, "shop", "blue", &blue)).await.unwrap_err().to_string();
    assert!(thief.contains("for the repository shop"), "{thief}");

    // Somebody breaks the configuration: the workers of before run on.
    let conf = folder.path().join("nginx.conf");
    let good = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, format!("{good}nonsense;\n")).unwrap();
    front.patience = std::time::Duration::from_millis(500);
    let failed = front.apply(&only(8, "shop", "blue", &blue)).await.unwrap_err();
    assert!(failed.to_string().contains("nginx -t") && failed.unknown(), "{failed}");
    front.patience = Nginx::PATIENCE;
    assert_eq!(std::fs::read_to_string(&front.file).unwrap(), before);
    assert_eq!(load::ask(at).await, "red");
    std::fs::write(&conf, good).unwrap();

    front.apply(&shared(9, "shop", &[("red", 50, &red), ("blue", 50, &blue)])).await.unwrap();
    assert_eq!(load::count(at, 20).await.len(), 2);
    // A file that nobody had it read.
    std::fs::write(&front.file, before).unwrap();
    assert!(
        matches!(front.stands().await.unwrap(), Stands::Otherwise { why, .. } if why.contains("says something else"))
    );
    front.apply(&only(10, "shop", "red", &red)).await.unwrap();
    assert_eq!(load::ask(at).await, "red");

    let known = front.pid.replace(folder.path().join("gone.pid"));
    assert!(front.check(&only(11, "shop", "blue", &blue)).await.unwrap_err().is_absent());
    // As one that was killed may have left it: the number is somebody else's by now, who is told nothing.
    let stale = folder.path().join("stale.pid");
    std::fs::write(&stale, std::process::id().to_string()).unwrap();
    front.pid = Some(stale);
    let stale = front.apply(&only(11, "shop", "blue", &blue)).await.unwrap_err();
    assert!(stale.is_absent() && stale.to_string().contains("is another program's"), "{stale}");
    front.pid = known;
    program.end().await;
    // It knows nothing, and that is no reason to take it for one that was never told.
    let (stands, tells) = (front.stands().await, front.apply(&only(11, "shop", "blue", &blue)).await);
    assert!(stands.unwrap_err().is_absent() && tells.unwrap_err().is_absent());
    assert!(std::fs::read_to_string(&front.file).unwrap().contains("\"generation\":10"), "its file is as it was");
}
