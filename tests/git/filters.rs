//! Check-outs of files that pass through filters: Git LFS and git-crypt as they are in the field, beside what real git
//! with their programs leaves.

use std::{path::Path, process::Command};

use crate::git_support;
use git_support::{HttpGit, World, git, lfs_object, update};
use turnout::git::{Filters, GitError};

fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        println!("not run: {program} is not installed");
    }
    found
}

#[tokio::test]
async fn lfs_comes_with_the_clone_and_follows_each_push() {
    let world = World::new();
    let (one, two) = (b"first \0 model".repeat(50_000), b"second".to_vec());
    world.commit("deep/.gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    world.commit("deep/model.bin", &lfs_object(world.path(), &one));
    world.commit("deep/small.bin", "not stored by LFS\n");
    world.push();
    let server = HttpGit::start(world.path(), None);
    let remote = world.remote_at(&format!("http://127.0.0.1:{}/origin.git", server.port));
    update(&remote).await.unwrap();
    let model = || std::fs::read(world.site().join("deep/model.bin")).unwrap();
    assert_eq!(model(), one);
    assert_eq!(world.site_file("deep/small.bin"), "not stored by LFS\n");
    world.commit("deep/model.bin", &lfs_object(world.path(), &two));
    world.push();
    update(&remote).await.unwrap();
    assert_eq!(model(), two);

    // An object that cannot be had: nothing moves.
    let head = git(&world.site(), &["rev-parse", "HEAD"]);
    let pointer = lfs_object(world.path(), b"third");
    let oid = pointer.split("sha256:").nth(1).unwrap().get(..64).unwrap();
    std::fs::remove_file(world.path().join("lfs-objects").join(oid)).unwrap();
    world.commit("deep/model.bin", &pointer);
    world.commit("app.txt", "two\n");
    world.push();
    let error = update(&remote).await.unwrap_err();
    assert!(matches!(error, GitError::Lfs { .. }), "{error}");
    assert_eq!((git(&world.site(), &["rev-parse", "HEAD"]), world.site_file("app.txt")), (head, "one\n".to_owned()));
    assert_eq!(model(), two);

    // A file that was changed by hand stands in the way, as any other.
    lfs_object(world.path(), b"third");
    std::fs::write(world.site().join("deep/model.bin"), "mine").unwrap();
    let error = update(&remote).await.unwrap_err();
    assert!(matches!(error, GitError::LocalChanges { .. }), "{error}");
    assert_eq!(model(), b"mine");
}

#[tokio::test]
async fn what_git_lfs_itself_made_is_whole_for_it() {
    if !is_there("git-lfs") {
        return;
    }
    let world = World::new();
    git(&world.dev(), &["lfs", "install", "--local"]);
    git(&world.dev(), &["lfs", "track", "*.bin"]);
    for number in 0..120 {
        std::fs::write(world.dev().join(format!("{number}.bin")), format!("object {number}\n").repeat(number)).unwrap();
    }
    git(&world.dev(), &["add", "."]);
    git(&world.dev(), &["commit", "-q", "-m", "objects"]);
    // To a remote on this machine git-lfs copies the objects.
    world.push();
    update(&world.remote()).await.unwrap();
    for number in 0..120 {
        assert_eq!(world.site_file(&format!("{number}.bin")), format!("object {number}\n").repeat(number));
    }
    git(&world.site(), &["lfs", "install", "--local"]);
    assert!(git(&world.site(), &["lfs", "fsck"]).contains("OK"));
    git(&world.site(), &["read-tree", "HEAD"]);
    assert_eq!(git(&world.site(), &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn git_crypt_runs_where_it_may() {
    if !is_there("git-crypt") {
        return;
    }
    let world = World::new();
    let crypt = |folder: &Path, args: &[&str]| {
        let done = Command::new("git-crypt").current_dir(folder).args(args).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let key = world.path().join("key").display().to_string();
    crypt(&world.dev(), &["init"]);
    crypt(&world.dev(), &["export-key", &key]);
    world.commit(".gitattributes", "*.env filter=git-crypt diff=git-crypt\n");
    world.push();
    let mut remote = world.remote();
    update(&remote).await.unwrap();
    world.commit("app.env", "TOKEN=hunter\n");
    world.push();
    let error = update(&remote).await.unwrap_err();
    assert!(error.to_string().contains("app.env (filter=git-crypt)"), "{error}");
    // Programs may run, and none is configured: ciphertext is known when it is seen.
    remote.filters = Filters::Run;
    let error = update(&remote).await.unwrap_err();
    assert!(error.to_string().contains("unlock"), "{error}");
    crypt(&world.site(), &["unlock", &key]);
    update(&remote).await.unwrap();
    assert_eq!(world.site_file("app.env"), "TOKEN=hunter\n");
    world.commit("app.env", "TOKEN=gatherer\n");
    world.push();
    update(&remote).await.unwrap();
    assert_eq!(world.site_file("app.env"), "TOKEN=gatherer\n");
    assert_eq!(git(&world.site(), &["status", "--porcelain"]), "");
}
