//! Going to a commit that somebody named, and back to the branch: nothing is lost, nothing is refused for our own doing.

use crate::git_support;
use git_support::{World, commit_in, git, update};
use tokio_util::sync::CancellationToken;
use turnout::{
    git::{self as product, GitError, Moved, Remote, Updated},
    report::Silent,
};

async fn check_out(remote: &Remote, revision: &str) -> Result<Updated, GitError> {
    product::check_out(remote, revision, &Silent, CancellationToken::new()).await
}

/// A site that follows its own branch: no branch is configured.
fn site(world: &World) -> Remote {
    world.remote()
}

fn state(world: &World) -> (String, String, String) {
    let site = world.site();
    (
        git(&site, &["rev-parse", "HEAD"]),
        git(&site, &["rev-parse", "--abbrev-ref", "HEAD"]),
        git(&site, &["status", "--porcelain"]),
    )
}

#[tokio::test]
async fn there_and_back() {
    let world = World::new();
    let first = git(&world.dev(), &["rev-parse", "HEAD"]);
    let second = world.commit("app.txt", "two\n");
    world.push();
    update(&site(&world)).await.unwrap();
    for named in [&first, &first[..7], "v1"] {
        git(&world.dev(), &["tag", "-f", "-a", "-m", "One", "v1", &first]);
        git(&world.dev(), &["push", "-q", "-f", "--tags"]);
        let gone = check_out(&site(&world), named).await.unwrap();
        assert_eq!(
            (gone.moved, &gone.new, gone.branch.as_str()),
            (Moved::Detached { from: "main".into() }, &first, "main")
        );
        assert_eq!(state(&world), (first.clone(), "HEAD".into(), String::new()));
        assert_eq!(git(&world.site(), &["rev-parse", "main"]), second, "no branch moves");
        // Once more: nothing to do.
        assert_eq!(check_out(&site(&world), named).await.unwrap().moved, Moved::UpToDate { ahead: 0 });
        let back = update(&site(&world)).await.unwrap();
        assert_eq!(back.moved, Moved::Switched { from: gone.new[..7].to_owned() });
        assert_eq!(state(&world), (second.clone(), "main".into(), String::new()));
        assert_eq!(world.site_file("app.txt"), "two\n");
    }
    // From one commit to another, then to a branch that has moved on.
    let third = world.commit("app.txt", "three\n");
    check_out(&site(&world), &first).await.unwrap();
    check_out(&site(&world), &second[..10]).await.unwrap();
    world.push();
    let back = update(&site(&world)).await.unwrap();
    assert_eq!((back.new, back.branch.as_str()), (third.clone(), "main"));
    assert_eq!(state(&world), (third, "main".into(), String::new()));
}

#[tokio::test]
async fn a_commit_that_is_not_here_is_fetched() {
    let world = World::new();
    let first = update(&site(&world)).await.unwrap().new;
    git(&world.dev(), &["switch", "-q", "-c", "side"]);
    let side = world.commit("app.txt", "side\n");
    let tip = world.commit("app.txt", "further\n");
    world.push();
    for named in [&side[..9], &side, "side"] {
        let gone = check_out(&site(&world), named).await.unwrap();
        assert_eq!(gone.new, if named == "side" { tip.clone() } else { side.clone() });
        // No branch but ours, and no litter in what `git log --all` shows.
        let refs = git(&world.site(), &["for-each-ref", "--format=%(refname)", "refs/heads", "refs/turnout/all"]);
        assert_eq!(refs, "refs/heads/main");
        // Its commits are part of no branch here, and yet it is our own doing to be there.
        assert_eq!(update(&site(&world)).await.unwrap().new, first);
    }
    let error = check_out(&site(&world), "feedbeef").await.unwrap_err();
    assert!(matches!(&error, GitError::MissingRevision { .. }) && error.to_string().contains("side"), "{error}");
    let error = check_out(&site(&world), "v9").await.unwrap_err();
    assert!(matches!(error, GitError::MissingRevision { .. }), "{error}");
    assert_eq!(state(&world).0, first);
}

#[tokio::test]
async fn an_absent_work_tree_is_cloned_first() {
    let world = World::new();
    let first = git(&world.dev(), &["rev-parse", "HEAD"]);
    world.commit("app.txt", "two\n");
    world.push();
    assert_eq!(check_out(&site(&world), &first[..8]).await.unwrap().new, first);
    assert_eq!(world.site_file("app.txt"), "one\n");
}

#[tokio::test]
async fn local_commits_and_changes_are_kept() {
    let world = World::new();
    let first = git(&world.dev(), &["rev-parse", "HEAD"]);
    update(&site(&world)).await.unwrap();
    world.commit("app.txt", "two\n");
    world.push();
    update(&site(&world)).await.unwrap();
    let own = commit_in(&world.site(), "own.txt", "ours\n");
    std::fs::write(world.site().join("Dockerfile"), "FROM mine\n").unwrap();
    check_out(&site(&world), &first).await.unwrap();
    assert_eq!(world.site_file("Dockerfile"), "FROM mine\n");
    // Back on the branch with its own commit on top; that is not a divergence of our making.
    let back = update(&site(&world)).await.unwrap();
    assert_eq!((back.new, world.site_file("own.txt").as_str()), (own.clone(), "ours\n"));
    assert_eq!(world.site_file("Dockerfile"), "FROM mine\n");

    // A change that stands in the way is named, and nothing moves.
    std::fs::write(world.site().join("app.txt"), "by hand\n").unwrap();
    let error = check_out(&site(&world), &first).await.unwrap_err();
    let GitError::LocalChanges { files, .. } = &error else { panic!("{error}") };
    assert_eq!(files, &["app.txt"]);
    assert_eq!((state(&world).0, state(&world).1.as_str()), (own.clone(), "main"));
    git(&world.site(), &["checkout", "-q", "app.txt"]);

    // Somebody's own commits without a branch are not ours to leave.
    check_out(&site(&world), &first).await.unwrap();
    commit_in(&world.site(), "more.txt", "more\n");
    for error in [check_out(&site(&world), &first).await.unwrap_err(), update(&site(&world)).await.unwrap_err()] {
        assert!(matches!(error, GitError::Detached { .. }), "{error}");
    }
}

/// What a process leaves that dies between the first file and HEAD: some files are of the commit it was on its way to.
fn cut_off(world: &World, target: &str) {
    let git_dir = world.site().join(".git");
    git(&world.site(), &["read-tree", target]);
    git(&world.site(), &["checkout-index", "-f", "app.txt"]);
    let head = git(&world.site(), &["rev-parse", "HEAD"]);
    std::fs::write(git_dir.join("turnout-checkout"), format!("note\n{head}\n{target}\n")).unwrap();
}

#[tokio::test]
async fn a_check_out_that_was_cut_off_is_ended_before_another_begins() {
    let world = World::new();
    let first = git(&world.dev(), &["rev-parse", "HEAD"]);
    world.commit("other.txt", "two\n");
    let second = world.commit("app.txt", "two\n");
    world.push();
    update(&site(&world)).await.unwrap();
    cut_off(&world, &first);
    assert_eq!(world.site_file("app.txt"), "one\n");
    // The branch has nothing new: HEAD says that all is done already.
    assert_eq!(update(&site(&world)).await.unwrap().new, second);
    assert_eq!((world.site_file("app.txt").as_str(), world.site_file("other.txt").as_str()), ("two\n", "two\n"));
    assert_eq!(state(&world), (second.clone(), "main".into(), String::new()));
    assert!(!world.site().join(".git/turnout-checkout").exists() && !world.site().join(".git/TURNOUT_BRANCH").exists());

    // The same on the way there, and on the way to a commit that the branch was to move to.
    cut_off(&world, &first);
    assert_eq!(check_out(&site(&world), &second).await.unwrap().new, second);
    assert_eq!(world.site_file("app.txt"), "two\n");
    update(&site(&world)).await.unwrap();
    let third = world.commit("app.txt", "three\n");
    world.push();
    git(&world.site(), &["fetch", "-q", "origin", "main"]);
    cut_off(&world, &third);
    let fourth = world.commit("app.txt", "four\n");
    world.push();
    assert_eq!(update(&site(&world)).await.unwrap().new, fourth);
    assert_eq!(state(&world), (fourth, "main".into(), String::new()));
    assert_eq!(world.site_file("app.txt"), "four\n");
}
