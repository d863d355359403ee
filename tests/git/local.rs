//! Updates from repositories on this machine: what moves, what is kept, what is refused.

use std::path::Path;

use crate::git_support;
use git_support::{Heard, World, commit_in, git, update};
use tokio_util::sync::CancellationToken;
use turnout::git::{self as product, Change, Divergence, GitError, Moved, Reason, Remote};

#[tokio::test]
async fn clones_then_follows() {
    let world = World::new();
    for url in [world.origin().display().to_string(), format!("file://{}", world.origin().display())] {
        let _ = std::fs::remove_dir_all(world.site());
        let remote = world.remote_at(&url);
        let first = update(&remote).await.unwrap();
        assert_eq!((first.old.as_deref(), &first.moved, first.branch.as_str()), (None, &Moved::Cloned, "main"));
        assert_eq!(git(&world.site(), &["status", "--porcelain"]), "");
        assert_eq!(git(&world.site(), &["rev-parse", "HEAD"]), first.new);
        assert_eq!(git(&world.site(), &["rev-parse", "@{upstream}"]), first.new);
        let again = update(&remote).await.unwrap();
        assert_eq!(again.moved, Moved::UpToDate { ahead: 0 });
        assert!(!again.changed());

        world.commit("app.txt", &format!("two {url}\n"));
        let tip = world.commit("new/file.txt", &url);
        world.push();
        // From now on without a configured address: `origin` of the clone is asked.
        let moved = update(&Remote { url: None, ..remote }).await.unwrap();
        assert_eq!(moved.moved, Moved::FastForwarded { commits: 2 });
        assert_eq!((moved.old.unwrap(), &moved.new), (first.new, &tip));
        assert_eq!(world.site_file("new/file.txt"), url);
        assert_eq!(git(&world.site(), &["status", "--porcelain"]), "");
    }
    world.assert_no_litter();
}

#[tokio::test]
async fn an_empty_folder_is_a_place_to_clone_to() {
    let world = World::new();
    std::fs::create_dir(world.site()).unwrap();
    assert_eq!(update(&world.remote()).await.unwrap().moved, Moved::Cloned);
}

#[tokio::test]
async fn untracked_and_unconcerned_changes_stay() {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    std::fs::write(world.site().join(".env"), "DEBUG=true\n").unwrap();
    std::fs::write(world.site().join("Dockerfile"), "FROM mine\n").unwrap();
    world.commit("app.txt", "two\n");
    world.push();
    assert_eq!(update(&world.remote()).await.unwrap().moved, Moved::FastForwarded { commits: 1 });
    assert_eq!(world.site_file(".env"), "DEBUG=true\n");
    assert_eq!(world.site_file("Dockerfile"), "FROM mine\n");
    assert_eq!(world.site_file("app.txt"), "two\n");
}

#[tokio::test]
async fn local_changes_in_the_way_are_named_and_nothing_moves() {
    let world = World::new();
    let first = update(&world.remote()).await.unwrap();
    std::fs::write(world.site().join("app.txt"), "mine\n").unwrap();
    std::fs::write(world.site().join("fresh.txt"), "mine too\n").unwrap();
    world.commit("app.txt", "two\n");
    world.commit("fresh.txt", "theirs\n");
    world.commit("Dockerfile", "FROM two\n");
    world.push();
    let error = update(&world.remote()).await.unwrap_err();
    let GitError::LocalChanges { files, .. } = &error else { panic!("{error}") };
    assert_eq!(files, &["app.txt", "fresh.txt"]);
    assert!(error.to_string().contains("commit, stash"), "{error}");
    assert_eq!(git(&world.site(), &["rev-parse", "HEAD"]), first.new);
    assert_eq!(world.site_file("Dockerfile"), "FROM scratch\n");
    assert_eq!(world.site_file("fresh.txt"), "mine too\n");

    let heard = Heard::default();
    let reset = Remote { on_divergence: Divergence::Reset, ..world.remote() };
    product::update(&reset, &heard, CancellationToken::new()).await.unwrap();
    assert_eq!(world.site_file("app.txt"), "two\n");
    assert!(heard.all().contains("overwritten (on_divergence: reset): app.txt, fresh.txt"), "{}", heard.all());
}

#[tokio::test]
async fn files_that_need_a_filter_are_refused_before_anything_is_written() {
    let world = World::new();
    let first = update(&world.remote()).await.unwrap();
    std::fs::create_dir_all(world.dev().join("deep/er")).unwrap();
    // The attributes come with the very push, and lie beside the file.
    world.commit("deep/er/.gitattributes", "*.env filter=turned\n*.txt working-tree-encoding=UTF-16\n");
    world.commit("deep/er/app.env", "stored\n");
    world.commit("deep/er/plain", "two\n");
    world.commit("app.txt", "two\n");
    world.push();
    let error = update(&world.remote()).await.unwrap_err();
    let GitError::Filtered { files, .. } = &error else { panic!("{error}") };
    assert_eq!(files, &["deep/er/app.env (filter=turned)"]);
    assert_eq!(git(&world.site(), &["rev-parse", "HEAD"]), first.new);
    assert_eq!(git(&world.site(), &["status", "--porcelain"]), "");
    assert!(!world.site().join("deep").exists());

    // A clone is no way around it, and leaves nothing half made.
    let other = World::new();
    other.commit(".gitattributes", "app.txt filter=turned\n");
    other.push();
    let error = update(&other.remote()).await.unwrap_err();
    assert!(matches!(error, GitError::Filtered { .. }), "{error}");
    assert!(!other.site().exists());

    // What somebody let git write is taken as it is.
    git(&world.site(), &["-c", "filter.turned.smudge=cat", "pull", "-q", "--ff-only", "origin", "main"]);
    assert!(update(&world.remote()).await.is_ok());
}

#[tokio::test]
async fn encrypted_text_in_place_of_a_file_is_refused() {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    world.commit(".gitattributes", "*.env filter=git-crypt\n");
    world.commit("app.env", "\0GITCRYPT\0and so on");
    // One without the attribute is only a file.
    world.commit("about.txt", "\0GITCRYPT\0and so on");
    world.push();
    // By a git that knows nothing of the filter.
    git(&world.site(), &["pull", "-q", "--ff-only", "origin", "main"]);
    let error = update(&world.remote()).await.unwrap_err();
    let GitError::Unfiltered { files, .. } = &error else { panic!("{error}") };
    assert_eq!(files, &["app.env (filter=git-crypt)"]);
    std::fs::write(world.site().join("app.env"), "TOKEN=1\n").unwrap();
    update(&world.remote()).await.unwrap();
}

#[tokio::test]
async fn a_file_that_changes_is_replaced_and_not_written_over() {
    use std::io::Read as _;
    let world = World::new();
    update(&world.remote()).await.unwrap();
    // Who has it open, or runs it, goes on with what it was.
    let mut open = std::fs::File::open(world.site().join("app.txt")).unwrap();
    world.commit("app.txt", "two\n");
    world.push();
    update(&world.remote()).await.unwrap();
    let mut text = String::new();
    open.read_to_string(&mut text).unwrap();
    assert_eq!(text, "one\n");
    assert_eq!(world.site_file("app.txt"), "two\n");
    assert_eq!(git(&world.site(), &["status", "--porcelain"]), "");
    assert!(!world.site().join(".git/turnout-copy").exists());
}

#[tokio::test]
async fn a_crash_between_files_and_branch_is_repaired() {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    let tip = world.commit("app.txt", "two\n");
    world.push();
    update(&world.remote()).await.unwrap();
    // As if the process had died after the files were written.
    git(&world.site(), &["update-ref", "refs/heads/main", "HEAD~1"]);
    assert_eq!(update(&world.remote()).await.unwrap().new, tip);
    assert_eq!(git(&world.site(), &["status", "--porcelain"]), "");
}

/// A site with a local commit and a remote with another one.
async fn diverged(local_file: &str) -> (World, String, String) {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    let local = commit_in(&world.site(), local_file, "local\n");
    let remote = world.commit("app.txt", "two\n");
    world.push();
    (world, local, remote)
}

#[tokio::test]
async fn divergence_is_refused_by_default() {
    let (world, local, remote) = diverged("local.txt").await;
    let before = git(&world.site(), &["rev-parse", "HEAD"]);
    for _ in 0..2 {
        let error = update(&world.remote()).await.unwrap_err().to_string();
        assert!(error.contains(&local[..7]) && error.contains(&remote[..7]), "{error}");
        assert!(error.contains("1 local commit up to") && error.contains("1 on the remote"), "{error}");
    }
    assert_eq!(git(&world.site(), &["rev-parse", "HEAD"]), before);
    assert_eq!(world.site_file("app.txt"), "one\n");
}

#[tokio::test]
async fn divergence_can_be_reset() {
    let (world, _, tip) = diverged("local.txt").await;
    let remote = Remote { on_divergence: Divergence::Reset, ..world.remote() };
    let updated = update(&remote).await.unwrap();
    assert_eq!((updated.new, updated.moved), (tip, Moved::Reset { dropped: 1 }));
    assert_eq!(git(&world.site(), &["status", "--porcelain"]), "");
    assert!(!world.site().join("local.txt").exists());
}

#[tokio::test]
async fn divergence_can_be_rebased() {
    let (world, _, tip) = diverged("local.txt").await;
    let remote = Remote { on_divergence: Divergence::Rebase, ..world.remote() };
    let updated = update(&remote).await.unwrap();
    assert_eq!((&updated.moved, &updated.remote_tip), (&Moved::Rebased { commits: 1 }, &tip));
    assert_eq!(git(&world.site(), &["rev-parse", "HEAD~1"]), tip);
    assert_eq!(git(&world.site(), &["rev-parse", "HEAD"]), updated.new);
    assert_eq!(git(&world.site(), &["log", "-1", "--format=%an %s"]), "Ann set local.txt");
    assert_eq!(git(&world.site(), &["status", "--porcelain"]), "");
    assert_eq!((world.site_file("local.txt"), world.site_file("app.txt")), ("local\n".into(), "two\n".into()));
    assert_eq!(update(&remote).await.unwrap().moved, Moved::UpToDate { ahead: 1 });
}

#[tokio::test]
async fn a_rebase_that_conflicts_changes_nothing() {
    let (world, local, _) = diverged("app.txt").await;
    let remote = Remote { on_divergence: Divergence::Rebase, ..world.remote() };
    let error = update(&remote).await.unwrap_err();
    let GitError::RebaseConflict { files, commit, .. } = &error else { panic!("{error}") };
    assert_eq!(files, &["app.txt"]);
    assert!(local.starts_with(commit));
    assert_eq!(git(&world.site(), &["rev-parse", "HEAD"]), local);
    assert_eq!(world.site_file("app.txt"), "local\n");
    assert_eq!(git(&world.site(), &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn local_commits_on_top_are_no_divergence() {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    let local = commit_in(&world.site(), "local.txt", "x");
    let updated = update(&world.remote()).await.unwrap();
    assert_eq!((updated.new, updated.moved), (local, Moved::UpToDate { ahead: 1 }));
}

#[tokio::test]
async fn a_force_push_is_told_from_local_commits() {
    let world = World::new();
    world.commit("app.txt", "two\n");
    world.push();
    update(&world.remote()).await.unwrap();
    git(&world.dev(), &["reset", "-q", "--hard", "HEAD~1"]);
    world.push();
    for _ in 0..2 {
        let error = update(&world.remote()).await.unwrap_err();
        assert!(matches!(error, GitError::Rewound { dropped: 1, .. }), "{error}");
    }
    // A rebase does not bring back what the remote has taken away; a local commit of ours stays.
    commit_in(&world.site(), "local.txt", "x");
    let rebase = Remote { on_divergence: Divergence::Rebase, ..world.remote() };
    assert_eq!(update(&rebase).await.unwrap().moved, Moved::Rebased { commits: 1 });
    assert_eq!((world.site_file("app.txt"), world.site_file("local.txt")), ("one\n".into(), "x".into()));
    assert_eq!(git(&world.site(), &["status", "--porcelain"]), "");

    let reset = Remote { on_divergence: Divergence::Reset, ..world.remote() };
    assert_eq!(update(&reset).await.unwrap().moved, Moved::Reset { dropped: 1 });
}

#[tokio::test]
async fn a_rewritten_branch_is_a_divergence() {
    let world = World::new();
    world.commit("app.txt", "two\n");
    world.push();
    update(&world.remote()).await.unwrap();
    git(&world.dev(), &["reset", "-q", "--hard", "HEAD~1"]);
    let tip = world.commit("app.txt", "other two\n");
    world.push();
    let error = update(&world.remote()).await.unwrap_err();
    assert!(matches!(error, GitError::Diverged { ahead: 1, behind: 1, .. }), "{error}");
    let reset = Remote { on_divergence: Divergence::Reset, ..world.remote() };
    assert_eq!(update(&reset).await.unwrap().new, tip);
    assert_eq!(world.site_file("app.txt"), "other two\n");
}

#[tokio::test]
async fn the_configured_branch_is_switched_to() {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    git(&world.dev(), &["switch", "-q", "-c", "production"]);
    let tip = world.commit("app.txt", "production\n");
    world.push();
    let remote = Remote { branch: Some("production".into()), ..world.remote() };
    let updated = update(&remote).await.unwrap();
    assert_eq!((updated.moved, updated.new), (Moved::Switched { from: "main".into() }, tip));
    assert_eq!(git(&world.site(), &["branch", "--show-current"]), "production");
    assert_eq!(git(&world.site(), &["status", "--porcelain"]), "");
    // Without a configured branch, the one that is checked out is followed.
    let tip = world.commit("app.txt", "production 2\n");
    world.push();
    assert_eq!(update(&world.remote()).await.unwrap().new, tip);

    let missing = Remote { branch: Some("nowhere".into()), ..world.remote() };
    let error = update(&missing).await.unwrap_err().to_string();
    assert!(error.contains("no branch \"nowhere\"") && error.contains("main, production"), "{error}");
}

#[tokio::test]
async fn a_detached_head_is_left_only_when_nothing_is_lost() {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    git(&world.site(), &["checkout", "-q", "--detach"]);
    let error = update(&world.remote()).await.unwrap_err().to_string();
    assert!(error.contains("not on a branch") && error.contains("no branch is configured"), "{error}");

    let remote = Remote { branch: Some("main".into()), ..world.remote() };
    assert!(matches!(update(&remote).await.unwrap().moved, Moved::Switched { .. }));
    assert_eq!(git(&world.site(), &["branch", "--show-current"]), "main");

    git(&world.site(), &["checkout", "-q", "--detach"]);
    commit_in(&world.site(), "lost.txt", "x");
    let error = update(&remote).await.unwrap_err();
    assert!(matches!(error, GitError::Detached { .. }), "{error}");
}

#[tokio::test]
async fn states_that_cannot_be_updated_say_so() {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    let merge_head = world.site().join(".git/MERGE_HEAD");
    std::fs::write(&merge_head, format!("{}\n", git(&world.site(), &["rev-parse", "HEAD"]))).unwrap();
    let error = update(&world.remote()).await.unwrap_err().to_string();
    assert!(error.contains("in the middle of a merge") && error.contains("--abort"), "{error}");
    std::fs::remove_file(merge_head).unwrap();

    std::fs::write(world.site().join(".git/index.lock"), "").unwrap();
    world.commit("app.txt", "two\n");
    world.push();
    let error = update(&world.remote()).await.unwrap_err().to_string();
    assert!(error.contains("index.lock"), "{error}");
    std::fs::remove_file(world.site().join(".git/index.lock")).unwrap();
    update(&world.remote()).await.unwrap();
}

#[tokio::test]
async fn paths_that_are_no_work_tree_say_so() {
    let world = World::new();
    let at = |path: &Path| Remote { path: path.to_owned(), ..world.remote() };
    let plain = world.path().join("plain");
    std::fs::create_dir(&plain).unwrap();
    std::fs::write(plain.join("file"), "x").unwrap();
    let inside = world.dev().join("inside");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(inside.join("file"), "x").unwrap();
    let table = [
        (at(&plain), "there is no .git in it"),
        (at(&plain.join("file")), "it is a file"),
        (at(&inside), "it lies inside the repository"),
        (at(&world.origin()), "it is a bare repository"),
        (at(&world.path().join("no/such")), "its parent folder"),
        (Remote { url: None, ..at(&world.path().join("absent")) }, "no remote is configured"),
        (Remote { url: Some("/no/such.git".into()), ..at(&world.path().join("absent")) }, "/no/such.git was not found"),
        (
            Remote { url: Some("ftp://u:hunter2@h/x".into()), ..at(&world.path().join("absent")) },
            "the scheme is none of",
        ),
    ];
    for (remote, expected) in table {
        let error = update(&remote).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    world.assert_no_litter();
    assert_eq!(std::fs::read_to_string(plain.join("file")).unwrap(), "x");

    let empty = World::empty();
    let error = update(&empty.remote()).await.unwrap_err().to_string();
    assert!(error.contains("is empty"), "{error}");
    empty.assert_no_litter();
    assert!(!empty.site().exists());
}

#[tokio::test]
async fn foreign_owners_are_refused_with_advice() {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    if std::os::unix::fs::chown(world.site(), Some(12345), None).is_err() {
        println!("not run: changing the owner of a folder takes root");
        return;
    }
    std::os::unix::fs::chown(world.site().join(".git"), Some(12345), None).unwrap();
    let error = update(&world.remote()).await.unwrap_err().to_string();
    assert!(error.contains("belongs to another user") && error.contains("safe.directory"), "{error}");
}

#[tokio::test]
async fn the_repository_of_another_user_behind_a_path_is_refused_with_advice() {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    let address = format!("file://{}", world.origin().display());
    let auth = product::GitAuth::default();
    assert_eq!(product::foreseen(&auth, &address), Vec::<String>::new());
    if std::os::unix::fs::chown(world.origin(), Some(12345), None).is_err() {
        println!("not run: changing the owner of a folder takes root");
        return;
    }
    let fetched = update(&world.remote_at(&address)).await.unwrap_err().to_string();
    let foreseen = product::foreseen(&auth, &address).join("; ");
    for said in [fetched, foreseen] {
        assert!(said.contains("belongs to another user") && said.contains("safe.directory"), "{said}");
        assert!(said.contains(&world.origin().display().to_string()), "{said}");
    }
}

#[tokio::test]
async fn a_vanished_work_tree_is_cloned_again() {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    std::fs::remove_dir_all(world.site()).unwrap();
    assert_eq!(update(&world.remote()).await.unwrap().moved, Moved::Cloned);
}

#[tokio::test]
async fn what_a_crashed_clone_left_is_swept() {
    let world = World::new();
    let left = world.path().join(".site.clone-1-0");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("half"), "x").unwrap();
    update(&world.remote()).await.unwrap();
    world.assert_no_litter();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_updates_at_once_do_not_hurt_each_other() {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    let tip = world.commit("app.txt", "two\n");
    world.push();
    let remote = world.remote();
    let (a, b) = tokio::join!(update(&remote), update(&remote));
    assert_eq!((a.unwrap().new, b.unwrap().new), (tip.clone(), tip));
    assert_eq!(git(&world.site(), &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn submodules_follow_at_all_depths() {
    let world = World::new();
    for name in ["inner", "outer"] {
        git(world.path(), &["init", "-q", "--bare", "-b", "main", &format!("{name}.git")]);
        git(world.path(), &["clone", "-q", &format!("{name}.git"), name]);
        commit_in(&world.path().join(name), &format!("{name}.txt"), "one\n");
        git(&world.path().join(name), &["push", "-q", "origin", "HEAD"]);
    }
    let inner = world.path().join("inner.git").display().to_string();
    git(&world.path().join("outer"), &["submodule", "--quiet", "add", &inner, "deep/inner"]);
    git(&world.path().join("outer"), &["commit", "-q", "-m", "add inner"]);
    git(&world.path().join("outer"), &["push", "-q", "origin", "HEAD"]);
    git(&world.dev(), &["submodule", "--quiet", "add", "../outer.git", "lib/outer"]);
    git(&world.dev(), &["commit", "-q", "-m", "add outer"]);
    world.push();

    update(&world.remote()).await.unwrap();
    assert_eq!(world.site_file("lib/outer/outer.txt"), "one\n");
    assert_eq!(world.site_file("lib/outer/deep/inner/inner.txt"), "one\n");
    assert_eq!(git(&world.site(), &["status", "--porcelain"]), "");

    commit_in(&world.path().join("outer"), "outer.txt", "two\n");
    git(&world.path().join("outer"), &["push", "-q", "origin", "HEAD"]);
    git(&world.dev().join("lib/outer"), &["pull", "-q", "origin", "main"]);
    git(&world.dev(), &["commit", "-q", "-a", "-m", "move outer"]);
    world.push();
    let before = git(&world.site(), &["rev-parse", "HEAD"]);
    let updated = update(&world.remote()).await.unwrap();
    assert_eq!(world.site_file("lib/outer/outer.txt"), "two\n");
    assert_eq!(git(&world.site(), &["status", "--porcelain"]), "");
    let changed = product::changed_files(&world.site(), &before, &updated.new).unwrap();
    assert_eq!(changed.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["lib/outer"]);
}

#[tokio::test]
async fn submodules_that_are_left_out_are_named() {
    let world = World::new();
    git(world.path(), &["init", "-q", "--bare", "-b", "main", "outer.git"]);
    git(world.path(), &["clone", "-q", "outer.git", "outer"]);
    commit_in(&world.path().join("outer"), "outer.txt", "one\n");
    git(&world.path().join("outer"), &["push", "-q", "origin", "HEAD"]);
    git(&world.dev(), &["submodule", "--quiet", "add", "../outer.git", "named"]);
    git(&world.dev(), &["submodule", "--quiet", "add", "../outer.git", "off"]);
    git(&world.dev(), &["config", "-f", ".gitmodules", "submodule.off.update", "none"]);
    // A repository that was added like a file.
    git(&world.dev(), &["clone", "-q", "../outer.git", "stray"]);
    git(&world.dev(), &["-c", "advice.addEmbeddedRepo=false", "add", "."]);
    git(&world.dev(), &["commit", "-q", "-m", "add three"]);
    world.push();

    let heard = Heard::default();
    product::update(&world.remote(), &heard, CancellationToken::new()).await.unwrap();
    let left_out = |submodules| -> Vec<(String, Reason)> {
        let found = product::left_out(&world.site(), submodules).unwrap();
        found.into_iter().map(|left_out| (left_out.path, left_out.reason)).collect()
    };
    let (off, stray) = (("off".to_owned(), Reason::UpdateNone), ("stray".to_owned(), Reason::NotConfigured));
    assert_eq!(left_out(true), [off.clone(), stray.clone()]);
    assert_eq!(left_out(false), [("named".to_owned(), Reason::NotWanted), off, stray]);
    assert_eq!(world.site_file("named/outer.txt"), "one\n");
    // As git itself leaves them.
    for path in ["off", "stray"] {
        assert_eq!(std::fs::read_dir(world.site().join(path)).unwrap().count(), 0, "{path}");
    }
    let heard = heard.all();
    assert!(
        heard.contains("stray is a submodule of which .gitmodules says nothing") && heard.contains("off is"),
        "{heard}"
    );
    assert!(heard.contains("Warning") && !heard.contains("named is"), "{heard}");
}

#[tokio::test]
async fn shallow_clones_follow_too() {
    let world = World::new();
    world.commit("app.txt", "two\n");
    world.push();
    let url = format!("file://{}", world.origin().display());
    git(world.path(), &["clone", "-q", "--depth", "1", &url, "site"]);
    let tip = world.commit("app.txt", "three\n");
    world.push();
    let updated = update(&Remote { url: None, ..world.remote() }).await.unwrap();
    assert_eq!(updated.new, tip);
    git(&world.site(), &["fsck"]);
    assert_eq!(update(&world.remote()).await.unwrap().moved, Moved::UpToDate { ahead: 0 });
    let gone = git(&world.dev(), &["rev-parse", "HEAD~2"]);
    let error = product::changed_files(&world.site(), &gone, "HEAD").unwrap_err();
    assert!(error.to_string().contains("shallow"), "{error}");
}

#[tokio::test]
async fn questions_are_answered() {
    let world = World::new();
    let first = update(&world.remote()).await.unwrap().new;
    git(&world.dev(), &["rm", "-q", "Dockerfile"]);
    world.commit("app.txt", "two\n");
    let tip = world.commit("sub/ünï.txt", "x");
    world.push();
    update(&world.remote()).await.unwrap();
    let site = world.site();

    let head = product::head(&site).unwrap();
    assert_eq!((head.commit.as_str(), head.branch.as_deref()), (tip.as_str(), Some("main")));
    assert_eq!((head.subject.as_str(), head.author.as_str()), ("set sub/ünï.txt", "Ann"));
    assert!(tip.starts_with(&head.short));

    let names = |files: Vec<product::ChangedFile>| {
        files.into_iter().map(|file| format!("{:?} {}", file.change, file.path)).collect::<Vec<_>>()
    };
    assert_eq!(
        names(product::changed_files(&site, &first, "HEAD").unwrap()),
        ["Deleted Dockerfile", "Modified app.txt", "Added sub/ünï.txt"]
    );
    assert_eq!(names(product::changed_files(&site, "HEAD~1", "HEAD").unwrap()), ["Added sub/ünï.txt"]);
    std::fs::write(site.join("app.txt"), "by hand").unwrap();
    std::fs::write(site.join("untracked"), "x").unwrap();
    let by_hand = product::changed_in_work_tree(&site, "HEAD").unwrap();
    assert_eq!((by_hand.len(), by_hand[0].change), (1, Change::Modified));
    assert_eq!(names(by_hand), ["Modified app.txt"]);

    assert!(product::is_tracked(&site, Path::new("app.txt")).unwrap());
    assert!(!product::is_tracked(&site, Path::new("untracked")).unwrap());
    assert!(!product::is_tracked(&site, Path::new("absent")).unwrap());

    let log = product::short_log(&site, Some(&first), "HEAD", 10).unwrap();
    assert_eq!(log.iter().map(|entry| entry.subject.as_str()).collect::<Vec<_>>(), ["set sub/ünï.txt", "set app.txt"]);
    assert_eq!(product::short_log(&site, None, "HEAD", 3).unwrap().len(), 3);

    for base in ["HEAD~9", "0123456789012345678901234567890123456789", "no such", ""] {
        let error = product::changed_files(&site, base, "HEAD").unwrap_err();
        assert!(matches!(error, GitError::UnknownCommit { .. }), "{base}: {error}");
    }
    assert!(product::head(world.path()).is_err());
}
