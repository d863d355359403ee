//! Servers that send without end, and repositories that would have others asked: real ones, that speak as much of git's
//! protocol as it takes.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
};

use std::os::unix::fs::symlink;

use crate::git_support;
use git_support::{Heard, HttpGit, World, commit_in, git, update};
use turnout::git::{self as product, GitError, Remote};

const MIB: u64 = 1024 * 1024;
const TIP: &str = "1111111111111111111111111111111111111111";

/// What a server does too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endless {
    List,
    Messages,
    Pack,
    /// Not endless: it only says that four billion objects will follow.
    Count,
}

fn line(text: &[u8]) -> Vec<u8> {
    [format!("{:04x}", text.len() + 4).as_bytes(), text].concat()
}

/// Speaks as `git://`. Sends until nobody takes it any more.
fn serve(endless: Endless) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Ends with the test process; it holds nothing but its port.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = talk(stream, endless);
            });
        }
    });
    port
}

fn talk(mut to: TcpStream, endless: Endless) -> std::io::Result<()> {
    // The request, whatever it is.
    read_line(&mut to)?;
    to.write_all(&line(format!("{TIP} refs/heads/main\0side-band-64k ofs-delta\n").as_bytes()))?;
    if endless == Endless::List {
        for number in 0_u64.. {
            to.write_all(&line(format!("{TIP} refs/heads/z{number:0200}\n").as_bytes()))?;
        }
    }
    to.write_all(b"0000")?;
    while !read_line(&mut to)?.starts_with(b"done") {}
    to.write_all(&line(b"NAK\n"))?;
    if endless == Endless::Messages {
        loop {
            to.write_all(&line(&[&[2], "counting, still counting\n".repeat(100).as_bytes()].concat()))?;
        }
    }
    let count = if endless == Endless::Count { u32::MAX } else { 1_000_000 };
    to.write_all(&line(&[&[1], &b"PACK\0\0\0\x02"[..], &count.to_be_bytes()].concat()))?;
    for number in 0_u64.. {
        to.write_all(&line(&[&[1], &blob(number)[..]].concat()))?;
    }
    Ok(())
}

/// A whole packet of the client.
fn read_line(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = [0; 4];
    from.read_exact(&mut head)?;
    let length = usize::from_str_radix(std::str::from_utf8(&head).unwrap(), 16).unwrap();
    let mut rest = vec![0; length.saturating_sub(4)];
    from.read_exact(&mut rest)?;
    Ok(rest)
}

/// An entry of a pack: a blob of 32 KiB that is stored, not compressed, and differs from all others.
fn blob(number: u64) -> Vec<u8> {
    let mut content = vec![b'x'; 32 * 1024];
    content[..8].copy_from_slice(&number.to_be_bytes());
    let size = content.len();
    // Type 3, and the size in groups of four and seven bits.
    let mut out = vec![0x80 | 0x30 | (size & 0xf) as u8];
    let mut rest = size >> 4;
    while rest > 0x7f {
        out.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    out.push(rest as u8);
    // zlib (RFC 1950), with one stored block (RFC 1951).
    out.extend_from_slice(&[0x78, 0x01, 0x01]);
    let length = u16::try_from(size).unwrap();
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(&content);
    let (a, b) = content.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    out.extend_from_slice(&((b << 16) | a).to_be_bytes());
    out
}

/// Bytes below a folder.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries
        .iter()
        .map(|entry| if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().unwrap().len() })
        .sum()
}

#[tokio::test]
async fn what_has_no_end_is_ended_and_named() {
    let table = [
        (Endless::List, "sends more than 1.0 MB as the list of its branches and tags"),
        (Endless::Messages, "sends more than 65.5 kB as messages"),
        (Endless::Pack, "sends more than 4.1 MB as the objects"),
    ];
    for (endless, words) in table {
        let world = World::empty();
        let port = serve(endless);
        let mut remote = world.remote_at(&format!("git://127.0.0.1:{port}/x"));
        remote.most_bytes = 4 * MIB;
        let error = update(&remote).await.unwrap_err();
        assert!(matches!(error, GitError::TooMuch { .. }), "{endless:?}: {error:?}");
        let text = error.to_string();
        for words in [words, "127.0.0.1", "raise max_fetch"] {
            assert!(text.contains(words), "{endless:?}, {words}: {text}");
        }
        world.assert_no_litter();
    }
}

/// The next fetch does not find the disk full of what the last one left.
#[tokio::test]
async fn what_was_too_much_is_not_kept() {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    let before = size(&world.site());
    let port = serve(Endless::Pack);
    let mut remote = world.remote_at(&format!("git://127.0.0.1:{port}/x"));
    remote.most_bytes = 8 * MIB;
    for _ in 0..3 {
        let error = update(&remote).await.unwrap_err();
        assert!(matches!(error, GitError::TooMuch { .. }), "{error:?}");
    }
    let after = size(&world.site());
    assert!(after < before + MIB, "{before} bytes before, {after} after");
    update(&world.remote()).await.unwrap();
}

#[tokio::test]
async fn a_count_that_cannot_be_is_only_an_error() {
    let world = World::empty();
    let mut remote = world.remote_at(&format!("git://127.0.0.1:{}/x", serve(Endless::Count)));
    remote.most_bytes = 4 * MIB;
    update(&remote).await.unwrap_err();
    world.assert_no_litter();
}

/// The same for a repository on this machine, to which no relay leads.
#[tokio::test]
async fn a_fetch_from_a_folder_has_its_limit_too() {
    let world = World::new();
    // Nothing that can be compressed.
    let mut noise = vec![0; 3 * MIB as usize];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    std::fs::write(world.dev().join("noise"), noise).unwrap();
    git(&world.dev(), &["add", "noise"]);
    git(&world.dev(), &["commit", "-q", "-m", "noise"]);
    world.push();
    let mut remote = world.remote();
    remote.most_bytes = 2 * MIB;
    let error = update(&remote).await.unwrap_err();
    assert!(matches!(error, GitError::TooMuch { .. }), "{error:?}");
    remote.most_bytes = 5 * MIB;
    update(&remote).await.unwrap();
}

/// A small pack can hold what fills a disk.
#[tokio::test]
async fn what_a_check_out_may_write_has_its_limit() {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    let before = world.site_file("app.txt");
    world.commit("app.txt", "changed\n");
    // Zeros, which git packs to a thousandth.
    for name in ["one", "two"] {
        std::fs::write(world.dev().join(name), vec![0; 3 * MIB as usize]).unwrap();
    }
    git(&world.dev(), &["add", "."]);
    git(&world.dev(), &["commit", "-q", "-m", "zeros"]);
    world.push();
    let mut remote = world.remote();
    remote.most_written = 5 * MIB;
    let error = update(&remote).await.unwrap_err();
    assert!(matches!(error, GitError::TooLarge { .. }), "{error:?}");
    let text = error.to_string();
    for words in ["6.2 MB", "5.2 MB", "nothing was written", "raise max_checkout"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(world.site_file("app.txt"), before);
    assert!(!world.site().join("one").exists());
    remote.most_written = 7 * MIB;
    update(&remote).await.unwrap();
    assert_eq!(world.site_file("app.txt"), "changed\n");
}

/// libgit2 reads `.gitignore` and `.gitattributes` through links, and waits at a pipe for ever.
#[tokio::test]
async fn a_link_of_gits_own_files_to_a_pipe_holds_nothing_up() {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    let pipe = world.path().join("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    for name in [".gitignore", ".gitattributes"] {
        symlink(&pipe, world.dev().join(name)).unwrap();
    }
    git(&world.dev(), &["add", "."]);
    git(&world.dev(), &["commit", "-q", "-m", "trap"]);
    world.push();
    update(&world.remote()).await.unwrap();
    let looked = turnout::git::changed_by_hand(&world.site()).unwrap_err().to_string();
    assert!(looked.contains(".gitattributes is a link to something else than a file"), "{looked}");
    // A file where the next commit has a folder: it is asked whether it may go.
    std::fs::create_dir(world.site().join("place")).unwrap();
    std::fs::write(world.site().join("place/own"), "mine").unwrap();
    world.commit("place", "a file\n");
    world.push();
    let error = update(&world.remote()).await.unwrap_err();
    assert!(error.to_string().contains("place"), "{error}");
    std::fs::remove_dir_all(world.site().join("place")).unwrap();
    update(&world.remote()).await.unwrap();
    assert_eq!(world.site_file("place"), "a file\n");
}

/// A repository with a submodule `lib` at an address, which has one itself, `inner`, on the same host.
fn with_submodules(lib_address: &str) -> World {
    let world = World::new();
    for name in ["lib", "inner"] {
        git(world.path(), &["init", "-q", "--bare", "-b", "main", &format!("{name}.git")]);
        git(world.path(), &["clone", "-q", &format!("{name}.git"), &format!("{name}-dev")]);
        commit_in(&world.path().join(format!("{name}-dev")), &format!("{name}.txt"), "text\n");
    }
    let (lib, inner) = (world.path().join("lib-dev"), world.path().join("inner-dev"));
    git(&inner, &["push", "-q", "origin", "HEAD"]);
    submodule(&lib, "inner", &format!("{lib_address}/inner.git"), &inner);
    git(&lib, &["push", "-q", "origin", "HEAD"]);
    submodule(&world.dev(), "lib", &format!("{lib_address}/lib.git"), &lib);
    world.push();
    world
}

/// Takes a submodule in by its address, without asking anybody.
fn submodule(folder: &Path, name: &str, url: &str, at: &Path) {
    let tip = git(at, &["rev-parse", "HEAD"]);
    std::fs::write(folder.join(".gitmodules"), format!("[submodule \"{name}\"]\n\tpath = {name}\n\turl = {url}\n"))
        .unwrap();
    git(folder, &["add", ".gitmodules"]);
    git(folder, &["update-index", "--add", "--cacheinfo", &format!("160000,{tip},{name}")]);
    git(folder, &["commit", "-q", "-m", "submodule"]);
}

/// One server that stands for two hosts by its two names.
fn two_hosts(auth: Option<&str>) -> (World, HttpGit, Remote) {
    // The submodules are on a server of their own, which asks everybody who they are.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    drop(other);
    let world = with_submodules(&format!("http://localhost:{port}"));
    let stranger = HttpGit::start_at(port, world.path(), auth);
    let own = HttpGit::start(world.path(), Some("x-access-token:opensesame"));
    let mut remote = world.remote_at(&format!("http://127.0.0.1:{}/origin.git", own.port));
    remote.auth.token = Some("opensesame".into());
    (world, stranger, remote)
}

#[tokio::test]
async fn submodules_of_other_hosts_only_where_allowed() {
    let (world, stranger, mut remote) = two_hosts(None);
    let error = update(&remote).await.unwrap_err();
    let GitError::Submodule { name, source } = &error else { panic!("{error:?}") };
    assert!(
        name == "lib" && matches!(&**source, GitError::ForeignHost { host, .. } if host == "localhost"),
        "{error:?}"
    );
    assert!(error.to_string().contains("submodule_hosts: [localhost]"), "{error}");
    assert_eq!(*stranger.seen.lock().unwrap(), Vec::<String>::new());
    let foreign = product::foreign_submodules(&world.site(), remote.url.as_deref().unwrap(), &[]).unwrap();
    assert_eq!(foreign, [("lib".to_owned(), "localhost".to_owned())]);
    for allowed in ["LocalHost", "*"] {
        let _ = std::fs::remove_dir_all(world.site());
        remote.submodule_hosts = vec!["example.org".to_owned(), allowed.to_owned()];
        update(&remote).await.unwrap();
        assert_eq!(world.site_file("lib/inner/inner.txt"), "text\n");
    }
    let foreign = product::foreign_submodules(&world.site(), remote.url.as_deref().unwrap(), &remote.submodule_hosts);
    assert_eq!(foreign.unwrap(), []);
}

/// A submodule of a submodule is on the same host as the one that names it, and yet not on that of the token.
#[tokio::test]
async fn the_token_goes_to_no_submodule_of_another_host_at_any_depth() {
    let (world, stranger, mut remote) = two_hosts(Some("x-access-token:opensesame"));
    remote.submodule_hosts = vec!["localhost".to_owned()];
    let error = update(&remote).await.unwrap_err();
    assert!(matches!(error, GitError::Submodule { .. }), "{error:?}");
    // The first one is let in without it, so that the second is asked for.
    std::fs::write(world.path().join("open-lib"), "").unwrap();
    let error = update(&remote).await.unwrap_err();
    assert!(error.to_string().contains("inner"), "{error}");
    assert_eq!(*stranger.seen.lock().unwrap(), Vec::<String>::new(), "the token was sent to another host");
}

/// What is no file's content has a limit, too: libgit2 holds it whole. A commit in the middle of the history is met by walks.
#[tokio::test]
async fn a_commit_that_fills_the_memory_is_not_taken_in() {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    let before = (git(&world.site(), &["for-each-ref"]), size(&world.site()));
    let message = world.path().join("message");
    std::fs::write(&message, "m".repeat(2 * MIB as usize)).unwrap();
    git(&world.dev(), &["commit", "-q", "--allow-empty", "-F", message.to_str().unwrap()]);
    let large = git(&world.dev(), &["rev-parse", "HEAD"]);
    world.commit("app.txt", "after it\n");
    world.push();
    for _ in 0..2 {
        let error = update(&world.remote()).await.unwrap_err().to_string();
        assert!(error.contains(&format!("commit {} has 2.0 MB", large.trim())), "{error}");
        assert_eq!(git(&world.site(), &["for-each-ref"]), before.0);
    }
    assert!(size(&world.site()) < before.1 + MIB / 2);
    git(&world.dev(), &["reset", "-q", "--hard", "HEAD~2"]);
    world.commit("app.txt", "without it\n");
    git(&world.dev(), &["push", "-q", "--force", "origin", "HEAD"]);
    update(&world.remote()).await.unwrap();
    assert_eq!(world.site_file("app.txt"), "without it\n");
}

/// Pushes these files as one commit, after an update to the state before it; gives what the next update says.
async fn refused_with(files: &[(&str, &[u8])]) -> String {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    let before = git(&world.site(), &["rev-parse", "HEAD"]);
    for (name, text) in files {
        let file = world.dev().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    git(&world.dev(), &["add", "-A", "-f"]);
    git(&world.dev(), &["commit", "-q", "-m", "hostile"]);
    world.push();
    let error = update(&world.remote()).await.unwrap_err().to_string();
    assert_eq!(git(&world.site(), &["rev-parse", "HEAD"]), before);
    assert_eq!(git(&world.site(), &["status", "--porcelain"]), "");
    error
}

/// libgit2 follows includes there, to anything on this machine; git does not.
#[tokio::test]
async fn settings_of_submodules_that_include_others_are_refused() {
    let error = refused_with(&[(".gitmodules", b"[include]\n\tpath = /dev/zero\n")]).await;
    assert!(error.contains(".gitmodules: it includes other files"), "{error}");
    let error = refused_with(&[(".gitmodules", &vec![b'\n'; MIB as usize + 1])]).await;
    assert!(error.contains(".gitmodules: ") && error.contains("more than"), "{error}");
}

/// The same where it came into the work tree by another way, for everything that has libgit2 read it.
#[tokio::test]
async fn settings_of_submodules_in_the_work_tree_are_looked_at_before_libgit2_reads_them() {
    let world = with_submodules("/nowhere");
    let mut remote = world.remote();
    remote.submodules = false;
    update(&remote).await.unwrap();
    let file = world.site().join(".gitmodules");
    let rest = std::fs::read_to_string(&file).unwrap();
    let check = |what: &str| {
        let site = world.site();
        let asked = [
            product::left_out(&site, false).map(drop),
            product::foreign_submodules(&site, "/nowhere", &[]).map(drop),
            product::changed_in_work_tree(&site, "HEAD").map(drop),
            product::changed_by_hand(&site).map(drop),
        ];
        for (number, asked) in asked.into_iter().enumerate() {
            let error = asked.unwrap_err().to_string();
            assert!(error.contains(".gitmodules") && error.contains(what), "{number}: {error}");
        }
        std::fs::remove_file(&file).unwrap();
    };
    std::fs::write(&file, format!("{rest}[includeIf \"gitdir:/\"]\n\tpath = /dev/zero\n")).unwrap();
    check("includes other files");
    symlink("/dev/zero", &file).unwrap();
    check("it is a link");
    rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    check("it is no file");
}

/// They are held, taken apart, while files are matched; to leave one out would change line ends without a word.
#[tokio::test]
async fn attributes_and_ignores_are_bounded_one_by_one_and_together() {
    let line = b"*.txt text\n";
    let of = |bytes: usize| line.repeat(bytes / line.len() + 1);
    for name in [".gitattributes", ".gitignore"] {
        let error = refused_with(&[(name, &of(MIB as usize))]).await;
        assert!(error.contains(name) && error.contains("more than 1.0 MB"), "{error}");
        let names = ["a", "b", "c", "d", "e"].map(|folder| format!("{folder}/{name}"));
        let text = of(MIB as usize - 100_000);
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), text.as_slice())).collect();
        let error = refused_with(&files).await;
        assert!(error.contains(&names[4]) && error.contains("more than 4.1 MB together"), "{error}");
    }
    let short = b"a b\n".repeat(30_000);
    let error = refused_with(&[(".gitattributes", &short), ("d/.gitattributes", &short), ("d/x.txt", b"x\n")]).await;
    assert!(error.contains("d/.gitattributes") && error.contains("more than 50000 lines"), "{error}");
}

/// Long folders make long paths of short names, each of them held.
#[tokio::test]
async fn a_tree_of_long_paths_is_refused_before_it_is_held() {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    let folder = vec!["f".repeat(250); 15].join("/");
    let blob = git(&world.dev(), &["hash-object", "-w", "/dev/null"]);
    let list: String = (0..20_000).map(|number| format!("100644 {}\t{folder}/{number}\n", blob.trim())).collect();
    std::fs::write(world.path().join("list"), list).unwrap();
    let mut add = std::process::Command::new("git");
    add.args(["update-index", "--add", "--index-info"]).current_dir(world.dev());
    assert!(add.stdin(std::fs::File::open(world.path().join("list")).unwrap()).status().unwrap().success());
    git(&world.dev(), &["commit", "-q", "-m", "long"]);
    world.push();
    let error = update(&world.remote()).await.unwrap_err().to_string();
    assert!(error.contains("paths of its files have more than 67.1 MB together"), "{error}");
}

/// Gives the newest commit so many tags more, as a server keeps them that was asked to have many.
fn tag(world: &World, tags: usize) {
    let origin = world.origin();
    let tip = git(&origin, &["rev-parse", "refs/heads/main"]);
    let tip = tip.trim();
    git(&origin, &["pack-refs", "--all"]);
    let tags: String = (0..tags).map(|number| format!("{tip} refs/tags/x{number:07}\n")).collect();
    let packed = format!("# pack-refs with: peeled fully-peeled sorted \n{tip} refs/heads/main\n{tags}");
    std::fs::write(origin.join("packed-refs"), packed).unwrap();
}

fn files_below(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries.iter().map(|entry| if entry.path().is_dir() { files_below(&entry.path()) } else { 1 }).sum()
}

/// Each tag is a file in the clone, which no bound of a pack counts.
#[tokio::test]
async fn tags_follow_their_commits_unless_there_are_too_many() {
    for (tags, follow) in [(20, true), (6_000, false)] {
        let world = World::new();
        tag(&world, tags);
        let heard = Heard::default();
        let stop = tokio_util::sync::CancellationToken::new();
        product::update(&world.remote(), &heard, stop).await.unwrap();
        let kept = files_below(&world.site().join(".git/refs/tags"));
        assert_eq!(kept, if follow { tags } else { 0 });
        assert_eq!(heard.all().contains("has 6000 tags, of which none is fetched"), !follow, "{}", heard.all());
        // An update brings none either.
        world.commit("app.txt", "two\n");
        world.push();
        update(&world.remote()).await.unwrap();
        assert_eq!(std::fs::read_to_string(world.site().join("app.txt")).unwrap(), "two\n");
        assert_eq!(files_below(&world.site().join(".git/refs/tags")), kept);
    }
}

/// Nor are so many searched for a commit by its first digits; by all of them it is found.
#[tokio::test]
async fn a_commit_is_not_looked_for_among_too_many_names() {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    tag(&world, 6_000);
    git(&world.dev(), &["checkout", "-q", "-b", "aside"]);
    let tip = world.commit("app.txt", "aside\n");
    world.push();
    let stop = tokio_util::sync::CancellationToken::new;
    let error = product::check_out(&world.remote(), &tip[..8], &Heard::default(), stop()).await.unwrap_err();
    assert!(error.to_string().contains("6002 branches and tags, and at most 5000 are searched"), "{error}");
    product::check_out(&world.remote(), &tip, &Heard::default(), stop()).await.unwrap();
    assert_eq!(std::fs::read_to_string(world.site().join("app.txt")).unwrap(), "aside\n");
    assert!(files_below(&world.site().join(".git/refs")) < 10);
}
