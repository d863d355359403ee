//! Git LFS without its program: objects from a server, from another repository, and those that cannot be had.

use crate::git_support;
use git_support::{HttpGit, World, git, lfs_object, update};
use turnout::git::{GitError, Remote};

/// A world whose site was pulled by a git that knows nothing of LFS, so that a pointer lies where the model should.
fn with_a_pointer(content: &[u8]) -> (World, String) {
    let world = World::new();
    git(world.path(), &["clone", "-q", "origin.git", "site"]);
    let pointer = lfs_object(world.path(), content);
    world.commit("deep/.gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    world.commit("deep/model.bin", &pointer);
    // One without the attribute is only a text.
    world.commit("about.txt", &pointer);
    world.push();
    git(&world.site(), &["pull", "-q", "--ff-only", "origin", "main"]);
    (world, pointer)
}

#[tokio::test]
async fn pointers_in_a_work_tree_become_their_content() {
    let content = b"model\0".repeat(100_000);
    let (world, pointer) = with_a_pointer(&content);
    let server = HttpGit::start(world.path(), None);
    let remote = world.remote_at(&format!("http://127.0.0.1:{}/origin.git", server.port));
    update(&remote).await.unwrap();
    assert_eq!(std::fs::read(world.site().join("deep/model.bin")).unwrap(), content);
    assert_eq!(world.site_file("about.txt"), pointer);
    // The next update asks nobody.
    std::fs::remove_dir_all(world.path().join("lfs-objects")).unwrap();
    std::fs::write(world.site().join("deep/model.bin"), pointer).unwrap();
    update(&remote).await.unwrap();
    assert_eq!(std::fs::read(world.site().join("deep/model.bin")).unwrap(), content);
    assert!(!world.site().join(".git/turnout-lfs").exists());
}

#[tokio::test]
async fn the_token_goes_to_the_server_of_the_repository_only() {
    let (world, _) = with_a_pointer(b"model");
    let server = HttpGit::start(world.path(), Some("x-access-token:opensesame"));
    let stranger = HttpGit::start(world.path(), None);
    // Objects lie elsewhere, as with forges that keep them in a store of another host.
    std::fs::write(world.path().join("lfs-elsewhere"), format!("http://127.0.0.1:{}", stranger.port)).unwrap();
    let mut remote = world.remote_at(&format!("http://127.0.0.1:{}/origin.git", server.port));
    let error = update(&remote).await.unwrap_err();
    assert!(matches!(error, GitError::Denied { .. }), "{error}");
    remote.auth.token = Some("opensesame".into());
    update(&remote).await.unwrap();
    assert_eq!(world.site_file("deep/model.bin"), "model");
    assert!(stranger.seen.lock().unwrap().is_empty(), "the token was sent to another host");
}

#[tokio::test]
async fn a_server_named_in_the_tree_is_asked_without_the_token() {
    let (world, _) = with_a_pointer(b"model");
    let server = HttpGit::start(world.path(), Some("x-access-token:opensesame"));
    let lfs = HttpGit::start(world.path(), None);
    world.commit(".lfsconfig", &format!("[lfs]\n\turl = http://127.0.0.1:{}/elsewhere/info/lfs\n", lfs.port));
    world.push();
    git(&world.site(), &["pull", "-q", "--ff-only", "origin", "main"]);
    let mut remote = world.remote_at(&format!("http://127.0.0.1:{}/origin.git", server.port));
    remote.auth.token = Some("opensesame".into());
    update(&remote).await.unwrap();
    assert_eq!(world.site_file("deep/model.bin"), "model");
    assert!(lfs.seen.lock().unwrap().is_empty(), "the token was sent to another server");
}

#[tokio::test]
async fn what_cannot_be_had_is_named_with_what_to_do() {
    let (world, _) = with_a_pointer(b"model");
    let server = HttpGit::start(world.path(), None);
    let remote = world.remote_at(&format!("http://127.0.0.1:{}/origin.git", server.port));
    let object = |folder: &str| std::fs::read_dir(world.path().join(folder)).unwrap().next().unwrap().unwrap().path();
    let at = object("lfs-objects");

    std::fs::write(&at, "muddle").unwrap();
    let error = lacking(&remote).await;
    assert!(error.contains("more bytes arrive than the 5"), "{error}");
    std::fs::write(&at, "mode").unwrap();
    let error = lacking(&remote).await;
    assert!(error.contains("4 bytes arrived, the pointer says 5"), "{error}");
    std::fs::write(&at, "madel").unwrap();
    let error = lacking(&remote).await;
    assert!(error.contains("its SHA-256 is"), "{error}");
    assert!(!error.contains("signature"), "what gives access to the object is shown: {error}");

    std::fs::remove_file(&at).unwrap();
    let error = lacking(&remote).await;
    for words in ["deep/model.bin", "Object does not exist", "git lfs push --all origin", "git lfs pull in"] {
        assert!(error.contains(words), "{words}: {error}");
    }
    let kept = world.site().join(".git/lfs");
    assert_eq!(std::fs::read_dir(kept.join("tmp")).unwrap().count(), 0, "half an object was left");
    assert!(!kept.join("objects").exists(), "a wrong object was kept");
}

async fn lacking(remote: &Remote) -> String {
    let error = update(remote).await.unwrap_err();
    let GitError::Lfs { files, .. } = &error else { panic!("{error}") };
    assert_eq!(files, &["deep/model.bin"]);
    error.to_string()
}

#[tokio::test]
async fn a_remote_on_this_machine_gives_its_objects_itself() {
    let (world, pointer) = with_a_pointer(b"model");
    let error = lacking(&world.remote()).await;
    assert!(error.contains("has no object"), "{error}");
    let oid = pointer.split("sha256:").nth(1).unwrap().get(..64).unwrap();
    let folder = world.origin().join("lfs/objects").join(&oid[..2]).join(&oid[2..4]);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(oid), "model").unwrap();
    update(&world.remote()).await.unwrap();
    assert_eq!(world.site_file("deep/model.bin"), "model");
}

#[tokio::test]
async fn a_tree_from_elsewhere_names_no_folder_of_this_machine() {
    let (world, _) = with_a_pointer(b"model");
    let server = HttpGit::start(world.path(), None);
    world.commit(".lfsconfig", &format!("[lfs]\n\turl = {}\n", world.origin().display()));
    world.push();
    git(&world.site(), &["pull", "-q", "--ff-only", "origin", "main"]);
    let remote = world.remote_at(&format!("http://127.0.0.1:{}/origin.git", server.port));
    let error = update(&remote).await.unwrap_err();
    assert!(error.to_string().contains("must not lie on this machine"), "{error}");
}
