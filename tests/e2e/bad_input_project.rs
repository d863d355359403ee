//! What a push brings that cannot be deployed: each mistake fails its deployment with one error that names the place,
//! and what ran goes on as if nothing had come.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::{bad_input_support, common};
use bad_input_support::{QUICK, Site, assert_says, is_root, unsaid, web, web_with, write};
use common::{daemon::Daemon, http};

/// Files of the push, and what the error says.
type Mistake<'a> = (&'a str, Vec<(&'a str, String)>, &'a [&'a str]);

#[test]
fn a_compose_file_that_cannot_be_used() {
    let site = Site::web();
    let daemon = site.daemon();
    site.deploy(&daemon);
    site.wait_for_page("version 1");
    let before = site.running();
    let compose = |text: String| vec![("compose.yaml", text)];
    let broken = |more: &str| compose(web_with("broken", more));
    let laughs: String =
        (1..12).map(|n| format!("  l{n}: &l{n} [{}]\n", vec![format!("*l{}", n - 1); 12].join(", "))).collect();
    let file = site.path().join("compose.yaml").display().to_string();
    let mistakes: Vec<Mistake<'_>> = vec![
        (
            "an unknown key",
            broken("    imagee: x\n"),
            &["unknown key", "compose.yaml:7", "services.web.imagee", "did you mean 'image'?"],
        ),
        (
            "an unsupported attribute",
            broken("    provider: {type: x}\n"),
            &["no program is started", "services.web.provider"],
        ),
        ("a wrong kind", broken("    environment: 3\n"), &["services.web.environment", "compose.yaml:7"]),
        ("invalid YAML", broken("\tx: [\n"), &["not YAML", "compose.yaml:6", "tab"]),
        ("an unclosed list", compose("services:\n  web:\n    command: [a, b\n".into()), &["compose.yaml:"]),
        ("a merge conflict", compose(format!("<<<<<<< HEAD\n{}", web("x"))), &["not YAML", "compose.yaml:2"]),
        ("a key twice", broken("    image: twice\n"), &["image", "compose.yaml:7"]),
        (
            "a billion laughs",
            compose(format!("x-laughs:\n  l0: &l0 [ha]\n{laughs}{}", web("x"))),
            &["once aliases are expanded", "compose.yaml:"],
        ),
        ("a missing env_file", broken("    env_file: gone.env\n"), &["gone.env", "web"]),
        (
            "an undefined variable that must be set",
            broken("    hostname: ${NEEDED_NAME:?set it in .env}\n"),
            &["is missing a value", "NEEDED_NAME", "compose.yaml:7", "set it in .env", "services.web.hostname"],
        ),
        ("a stranger as dependency", broken("    depends_on: [nobody]\n"), &["undefined service", "nobody", "web"]),
        (
            "a network that is not declared",
            broken("    networks: [nowhere]\n"),
            &["undefined network", "nowhere", "web"],
        ),
        (
            "a circle of dependencies",
            compose(format!("{}  b: {{image: x, depends_on: [web]}}\n", web_with("x", "    depends_on: [b]\n"))),
            &["cycl"],
        ),
        ("an empty file", compose(String::new()), &["compose.yaml", "empty"]),
        ("no service", compose("services: {}\n".into()), &["no service selected"]),
        ("not UTF-8", compose("services:\n  web: {image: \"\u{0}\"}\n".into()), &["compose.yaml:2"]),
        (
            "no image and no build",
            compose("services:\n  web: {command: x}\n".into()),
            &["neither an image nor a build", "web", "compose.yaml:2"],
        ),
    ];
    let mut faults = Vec::new();
    for (what, files, said) in mistakes {
        for (path, text) in &files {
            site.remote.write(path, text);
        }
        site.remote.commit_and_push(what);
        eprintln!("{what}:");
        let error = site.fail(&daemon);
        faults.extend(unsaid(&error, said).iter().map(|fault| format!("{what}: {fault}: {error}")));
        assert!(error.lines().count() < 6 && error.len() < 1500, "{what}: {error}");
        let plan = daemon.turnout(&["plan", &site.name]);
        let text = String::from_utf8_lossy(&plan.stderr);
        assert_eq!(plan.status.code(), Some(1), "{what}: {text}");
        faults.extend(unsaid(&text, said).iter().map(|fault| format!("plan, {what}: {fault}: {text}")));
        site.assert_untouched(&before, "version 1");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    site.remote.remove("compose.yaml").commit_and_push("No file");
    assert_says(&site.fail(&daemon), &["no Compose file", "docker-compose.prod.yml", "compose.yaml"]);
    site.assert_untouched(&before, "version 1");
    assert!(!std::path::Path::new(&file).exists());

    site.remote.write("compose.yaml", &web("version 2")).commit_and_push("Mended");
    site.deploy(&daemon);
    site.wait_for_page("version 2");
}

#[test]
fn an_env_file_that_cannot_be_parsed() {
    let site = Site::web();
    let daemon = site.daemon();
    site.deploy(&daemon);
    site.wait_for_page("version 1");
    let before = site.running();
    site.remote.write("compose.yaml", &web("version 2")).commit_and_push("Second");
    let env = site.path().join(".env");
    let bad: &[(&[u8], &[&str])] = &[
        (b"COLOR=red\nTOKEN='hunter2 never closed\nDEBUG=false\n", &[".env", "line 2"]),
        (b"COLOR=red\n\nhunter2 is no=assignment\n", &[".env", "line 3", "space"]),
        (b"A=1\nB=${A\n", &[".env", "line 2"]),
        (b"A=\xff\xfe\n", &[".env", "UTF-8"]),
        (b"COLOR=Red Wine\n", &["makes the project name", ".env", "COLOR", "Red Wine", "lower"]),
        (b"DEBUG=true\nCOLOR=../..\n", &["makes the project name", "COLOR", "../.."]),
    ];
    for (bytes, said) in bad {
        write(&env, bytes);
        let failed = daemon.turnout(&["deploy", &site.name]);
        assert_eq!(failed.status.code(), Some(1), "{failed:?}");
        let newest = daemon.history().remove(0);
        assert_eq!(newest["state"], "failed", "{newest:#}");
        let error = newest["error"].as_str().unwrap();
        eprintln!("error: {error}");
        assert_says(error, said);
        let shown = String::from_utf8_lossy(&failed.stdout);
        assert_says(&shown, said);
        assert_eq!(shown.matches("failed: ").count(), 1, "{shown}");
        assert!(!error.contains("hunter2") && !daemon.output().contains("hunter2"), "the .env is quoted: {error}");
        site.assert_untouched(&before, "version 1");
    }
    fs::remove_file(&env).unwrap();
    fs::create_dir(&env).unwrap();
    assert_says(&site.fail(&daemon), &[".env", "directory"]);
    site.assert_untouched(&before, "version 1");

    fs::remove_dir(&env).unwrap();
    write(&env, "COLOR=red\n");
    assert!(daemon.turnout(&["deploy", &site.name]).status.success());
    site.wait_for_page("version 2");
}

#[test]
fn a_path_that_vanishes_between_configuration_and_push() {
    let site = Site::web();
    let daemon = site.daemon();
    site.deploy(&daemon);
    site.wait_for_page("version 1");
    let before = site.running();
    let (path, aside) = (site.path(), site.path().with_file_name("aside"));
    let shown = path.display().to_string();
    let mut next = 2;
    let mut push = || {
        site.remote.write("compose.yaml", &web(&format!("version {next}"))).commit_and_push("Next");
        next += 1;
    };

    fs::rename(&path, &aside).unwrap();
    push();
    assert_says(&site.fail(&daemon), &[&shown, "does not exist", "remote"]);
    site.assert_untouched(&before, "version 1");

    write(&path, "a file in its place");
    push();
    assert_says(&site.fail(&daemon), &[&shown, "not a git work tree"]);
    fs::remove_file(&path).unwrap();

    fs::create_dir(&path).unwrap();
    push();
    assert_says(&site.fail(&daemon), &[&shown, "is empty", "remote"]);
    write(&path.join("something"), "else");
    push();
    assert_says(&site.fail(&daemon), &[&shown, "not a git work tree"]);
    fs::remove_dir_all(&path).unwrap();

    fs::rename(&aside, &path).unwrap();
    let away = fs::metadata(&path).unwrap().permissions();
    if rustix::process::geteuid().is_root() {
        // Nothing is denied to root; a tree that belongs to somebody else is refused all the same.
        std::os::unix::fs::chown(&path, Some(12_345), Some(12_345)).unwrap();
        push();
        assert_says(&site.fail(&daemon), &["belongs to another user", &shown, "chown"]);
        std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
    } else {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        push();
        let error = site.fail(&daemon);
        fs::set_permissions(&path, away).unwrap();
        assert_says(&error, &[&shown, "ermission denied"]);
    }
    // What vanished is said by `status` and `check` too, and what was pushed meanwhile is deployed once it is back.
    site.assert_untouched(&before, "version 1");
    site.deploy(&daemon);
    site.wait_for_page(&format!("version {}", next - 1));
    assert_eq!(http::get(daemon.listen(), "/healthz").unwrap().status, 200);
}

#[test]
fn git_trouble_names_what_stands_in_the_way() {
    let site = Site::web();
    let daemon = site.daemon();
    site.deploy(&daemon);
    site.wait_for_page("version 1");
    let before = site.running();
    let (file, first) = (site.path().join("compose.yaml"), site.remote.head());
    let shown = site.path().display().to_string();
    let clean = fs::read_to_string(&file).unwrap();

    // Changed by hand, and by the push.
    site.remote.write("compose.yaml", &web("version 2")).commit_and_push("Second");
    write(&file, format!("{clean}# by hand\n"));
    assert_says(&site.fail(&daemon), &["local changes", &shown, "compose.yaml", "stash"]);
    assert!(fs::read_to_string(&file).unwrap().contains("# by hand"), "what was changed by hand is lost");
    write(&file, &clean);
    site.assert_untouched(&before, "version 1");

    // Local commits on one side, others on the other.
    let local = git2::Repository::open(site.path()).unwrap();
    {
        let who = git2::Signature::now("An Operator", "operator@example.org").unwrap();
        let head = local.head().unwrap().peel_to_commit().unwrap();
        local.commit(Some("HEAD"), &who, &who, "Here only", &head.tree().unwrap(), &[&head]).unwrap();
    }
    assert_says(&site.fail(&daemon), &["have diverged", &shown, "on_divergence"]);
    let back = local.find_object(git2::Oid::from_str(&first).unwrap(), None).unwrap();
    local.reset(&back, git2::ResetType::Hard, None).unwrap();
    site.assert_untouched(&before, "version 1");

    // Deleted on the remote, and the remote itself gone.
    let bare = git2::Repository::open_bare(site.remote.bare_dir()).unwrap();
    bare.find_reference("refs/heads/main").unwrap().rename("refs/heads/other", true, "").unwrap();
    assert_says(&site.fail(&daemon), &["has no branch", "main", "other"]);
    bare.find_reference("refs/heads/other").unwrap().rename("refs/heads/main", true, "").unwrap();
    let aside = site.remote.bare_dir().with_file_name("aside.git");
    fs::rename(site.remote.bare_dir(), &aside).unwrap();
    assert_says(&site.fail(&daemon), &["remote.git", "not found"]);
    fs::rename(&aside, site.remote.bare_dir()).unwrap();

    // A lock that somebody left.
    write(&site.path().join(".git/index.lock"), "");
    assert_says(&site.fail(&daemon), &["index.lock"]);
    fs::remove_file(site.path().join(".git/index.lock")).unwrap();
    site.assert_untouched(&before, "version 1");

    site.deploy(&daemon);
    site.wait_for_page("version 2");
}

#[test]
fn a_git_server_that_hangs_is_given_up() {
    let site = Site::web();
    // Accepts, and never says a word. A name is needed that nobody resolves: the address itself.
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let repos = site.long(&["timeouts: {fetch: 2s}", "branch: main"]);
    let daemon = Daemon::start_with(&repos, QUICK, &[]);
    site.deploy(&daemon);
    site.wait_for_page("version 1");
    let before = site.running();
    let local = git2::Repository::open(site.path()).unwrap();
    let address = server.local_addr().unwrap();
    for scheme in ["http", "git"] {
        local.remote_set_url("origin", &format!("{scheme}://{address}/shop.git")).unwrap();
        site.remote.write("compose.yaml", &web(&format!("by {scheme}"))).commit_and_push("Next");
        let ended = daemon.expect_failure(daemon.deploy_by_push(&site.push()));
        let error = ended["error"].as_str().unwrap();
        eprintln!("error: {error}");
        assert_says(error, &["not done after 2s", "fetch timeout"]);
        let took = ended["ended_at"].as_i64().unwrap() - ended["started_at"].as_i64().unwrap();
        assert!((1_500..15_000).contains(&took), "{took} ms");
    }
    local.remote_set_url("origin", "http://127.0.0.1:1/shop.git").unwrap();
    site.remote.write("compose.yaml", &web("refused")).commit_and_push("Next");
    assert_says(&site.fail(&daemon), &["127.0.0.1:1", "refused"]);
    site.assert_untouched(&before, "version 1");

    local.remote_set_url("origin", &site.remote.url()).unwrap();
    site.deploy(&daemon);
    site.wait_for_page("refused");
}

#[test]
fn a_repository_on_a_full_disk() {
    if !is_root("mounting a small disk for a repository") {
        return;
    }
    let site = Site::web();
    let disk = bad_input_support::mount::SmallDisk::over(&site.path().with_file_name("disk"), 4096);
    let path = site.path().with_file_name("disk").join("tree");
    site.remote.clone_to(&path);
    let daemon = Daemon::start_with(&format!("{}: {}\n", site.name, path.display()), QUICK, &[]);
    site.deploy(&daemon);
    site.wait_for_page("version 1");
    let before = site.running();
    disk.fill();
    // Bytes that do not compress.
    let mut seed = 1_u64;
    let noise: String = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{seed:016x}")
    })
    .take(20_000)
    .collect();
    site.remote.write("noise", &noise).write("compose.yaml", &web("version 2")).commit_and_push("Large");
    assert_says(&site.fail(&daemon), &["no space left", &path.display().to_string()]);
    site.assert_untouched(&before, "version 1");
    disk.free();
    site.deploy(&daemon);
    site.wait_for_page("version 2");
    // Files of one byte have a block each, so that a pack of some kilobytes would fill the disk.
    for number in 0..2000 {
        site.remote.write(&format!("small/{number}"), "x");
    }
    site.remote.commit_and_push("Many");
    assert_says(&site.fail(&daemon), &["too little room for a check-out", &path.display().to_string(), "left free"]);
    assert!(!path.join("small").exists(), "nothing was to be written");
}
