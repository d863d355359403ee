//! Git LFS of repositories that are reached by SSH: the remote says where its server is and what lets us in.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use crate::git_support;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use git_support::{HttpGit, World, git, lfs_object, ssh::Ssh, update};
use turnout::git::{GitError, Remote};

const LOGIN: &str = "lfs:ticket";

/// A world with an SSH server, and `git-lfs-authenticate` on it as this script says.
fn world(files: usize, script: Option<&str>) -> (World, Ssh, Remote) {
    let world = World::new();
    world.commit(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    for number in 0..files {
        fs::write(world.dev().join(format!("{number}.bin")), lfs_object(world.path(), number.to_string().as_bytes()))
            .unwrap();
    }
    // As text: there need be no git-lfs here.
    git(&world.dev(), &["-c", "filter.lfs.clean=cat", "-c", "filter.lfs.required=false", "add", "."]);
    git(&world.dev(), &["commit", "-q", "-m", "pointers"]);
    world.push();
    let ssh = Ssh::start(&world);
    if let Some(script) = script {
        let program = ssh.folder.join("bin/git-lfs-authenticate");
        fs::write(&program, format!("#!/bin/sh\necho \"$@\" >> {}/asked\n{script}\n", world.path().display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut remote = ssh.remote(&world, &ssh.line("host_ed25519"), "user");
    remote.auth.token = Some("opensesame".into());
    // A hundred connections, one after the other, on a machine that is busy.
    remote.timeout = Duration::from_secs(300);
    (world, ssh, remote)
}

fn answer(port: u16, lasts: i64) -> String {
    let told = serde_json::json!({
        "href": format!("http://127.0.0.1:{port}/x/origin.git/info/lfs"),
        "header": {"Authorization": format!("Basic {}", STANDARD.encode(LOGIN))},
        "expires_in": lasts,
    });
    format!("echo '{told}'")
}

fn server(world: &World) -> HttpGit {
    HttpGit::start(world.path(), Some(LOGIN))
}

/// The server's port is known only when it runs, the script before.
fn answer_with(world: &World, ssh: &Ssh, text: &str) {
    let program = ssh.folder.join("bin/git-lfs-authenticate");
    fs::write(&program, format!("#!/bin/sh\necho \"$@\" >> {}/asked\n{text}\n", world.path().display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
}

fn asked(world: &World) -> Vec<String> {
    fs::read_to_string(world.path().join("asked")).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_remote_says_where_its_server_is_and_lets_us_in() {
    let (world, ssh, remote) = world(3, None);
    let lfs = server(&world);
    answer_with(&world, &ssh, &answer(lfs.port, 3600));
    update(&remote).await.unwrap();
    for number in 0..3 {
        assert_eq!(world.site_file(&format!("{number}.bin")), number.to_string());
    }
    assert_eq!(asked(&world), [format!("{} download", world.origin().display())]);
    let seen = lfs.seen.lock().unwrap().join(" ");
    assert!(!seen.is_empty() && !seen.contains(&STANDARD.encode("x-access-token:opensesame")), "{seen}");
}

/// What lets us in ends before the second hundred of objects is asked for.
#[tokio::test]
async fn what_has_expired_is_asked_for_again() {
    let (world, ssh, remote) = world(101, None);
    let lfs = server(&world);
    answer_with(&world, &ssh, &answer(lfs.port, 0));
    update(&remote).await.unwrap();
    assert_eq!(world.site_file("100.bin"), "100");
    assert!(asked(&world).len() >= 3, "{:?}", asked(&world));
    fs::remove_file(world.path().join("asked")).unwrap();
    fs::remove_dir_all(world.site()).unwrap();
    answer_with(&world, &ssh, &answer(lfs.port, 3600));
    update(&remote).await.unwrap();
    assert_eq!(asked(&world).len(), 1);
}

#[tokio::test]
async fn what_the_remote_answers_instead_is_told() {
    let table = [
        ("echo 'ERROR: no such repository' >&2; exit 1", "ends with 1: ERROR: no such repository"),
        ("echo hello", "answers what is not understood"),
    ];
    for (script, words) in table {
        let (world, _ssh, remote) = world(1, Some(script));
        let error = update(&remote).await.unwrap_err();
        // The usual place, https://127.0.0.1, is not there either; which of both is told depends on how it is not.
        let text = error.to_string();
        assert!(matches!(error, GitError::Lfs { .. } | GitError::Unreachable { .. }), "{error:?}");
        assert!(text.contains(words), "{words}: {text}");
        world.assert_no_litter();
    }
}
