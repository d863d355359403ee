//! Programs of filters: what they are given, what becomes of their faults, that they end.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::*;
use turnout_report::{Event, Reporter};

/// Turns letters, for many files; speaks the protocol with nothing but bash.
const PROCESS: &str = r#"
packet() { printf '%04x%s' $((${#1} + 4)) "$1"; }
read_packet() { local head; IFS= read -r -N 4 head || exit 0; length=$((16#$head)); packet=''
  [ $length = 0 ] && return 1; IFS= read -r -N $((length - 4)) packet; }
read_list() { list=''; while read_packet; do list+=$packet; done; }
export LC_ALL=C
echo started >>"$1"
read_list; packet $'git-filter-server\n'; packet $'version=2\n'; printf 0000
read_list; packet $'capability=clean\n'; packet $'capability=smudge\n'; printf 0000
while :; do
  read_list; names=$list; read_list; content=$list
  case $names in
    *bad*) packet $'status=error\n'; printf 0000 ;;
    *dies*) echo 'out of order' >&2; exit 3 ;;
    *) packet $'status=success\n'; printf 0000
       packet "$(printf %s "$content" | tr a-z A-Z)"; printf 0000; printf 0000 ;;
  esac
done
"#;

#[derive(Default, Clone)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Reporter for Heard {
    fn report(&self, event: Event) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

/// A site of these files, and its configuration.
fn site(folder: &Path, files: &[(&str, &str)], settings: &[(&str, &str)]) -> std::path::PathBuf {
    let files: Vec<_> = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    repository(folder, &files);
    git(folder, &["clone", "-q", "--no-checkout", "origin.git", "site"], b"");
    let site = folder.join("site");
    for (key, value) in settings {
        git(&site, &["config", key, value], b"");
    }
    site
}

/// What each file becomes, or the error.
async fn written(site: &Path, filters: Filters, names: &[&str]) -> (Result<Vec<String>, GitError>, String) {
    let (heard, place) = (Heard::default(), site.to_owned());
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let remote = Remote { filters, ..Remote::new(site) };
    let written = on_a_thread(&remote, &heard, CancellationToken::new(), move |session| {
        let repo = Repository::open(&place).unwrap();
        let tree = repo.head().unwrap().peel_to_tree().unwrap();
        let mut converter = Converter::new(&repo, Source::Tree(&tree), session)?;
        let all = blobs(&repo);
        let files: Vec<_> =
            names.iter().map(|name| all.iter().find(|(path, _)| path == name.as_bytes()).unwrap().clone()).collect();
        converter.prepare(files.iter().map(|(path, id)| (path.as_slice(), *id)))?;
        files.iter().map(|(path, id)| Ok(text(&bytes(converter.to_work_tree(path, *id)?)))).collect()
    })
    .await;
    let heard = heard.0.lock().unwrap().join("\n");
    (written, heard)
}

#[tokio::test]
async fn single_programs_convert_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let files = [(".gitattributes", "*.t filter=up\n"), ("deep/it's.t", "abc\n"), ("plain", "abc\n")];
    let settings = [
        (
            "filter.up.smudge",
            "cat - \"$GIT_DIR/HEAD\" | tr a-z A-Z; echo %f; pwd; echo ${WEBHOOK_SECRET-none}${CARGO-none}",
        ),
        ("filter.up.clean", "head -n 1 | tr A-Z a-z"),
    ];
    let site = site(folder.path(), &files, &settings);
    let (got, _) = written(&site, Filters::Run, &["deep/it's.t", "plain"]).await;
    let head =
        format!("ABC\nREF: REFS/HEADS/MAIN\ndeep/it's.t\n{}\nnonenone\n", site.canonicalize().unwrap().display());
    assert_eq!(got.unwrap(), [head, "abc\n".to_owned()]);

    std::fs::create_dir(site.join("deep")).unwrap();
    for (content, same) in [("ABC\nmore\n", true), ("ABD\n", false)] {
        std::fs::write(site.join("deep/it's.t"), content).unwrap();
        let place = site.clone();
        let told = in_session(&site, Filters::Run, move |session| {
            let repo = Repository::open(&place).unwrap();
            // The index knows the attributes, which do not lie in the work tree.
            git(&place, &["read-tree", "HEAD"], b"");
            let mut converter = Converter::new(&repo, Source::WorkTree, session)?;
            let all = blobs(&repo);
            let (path, id) = all.iter().find(|(path, _)| path == b"deep/it's.t").unwrap();
            converter.is_same(path, *id, &place.join("deep/it's.t"))
        });
        assert_eq!(told.await.unwrap(), same, "{content:?}");
    }
}

#[tokio::test]
async fn a_program_for_many_files_is_started_once() {
    let folder = tempfile::tempdir().unwrap();
    let files =
        [(".gitattributes", "*.t filter=up\n"), ("a.t", "abc"), ("b.t", "def"), ("bad.t", "x"), ("dies.t", "y")];
    let script = folder.path().join("filter.sh");
    std::fs::write(&script, PROCESS).unwrap();
    let log = folder.path().join("log");
    let command = format!("bash {} {}", script.display(), log.display());
    let site = site(folder.path(), &files, &[("filter.up.process", &command)]);
    // As with git, one that is not required leaves what it fails at as it is stored; here it is told.
    let (got, heard) = written(&site, Filters::Run, &["a.t", "bad.t", "b.t"]).await;
    assert_eq!(got.unwrap(), ["ABC", "x", "DEF"]);
    assert!(heard.contains("bad.t stays as it is stored") && heard.contains("Warning"), "{heard}");
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "started\n");
    let (got, heard) = written(&site, Filters::Run, &["dies.t", "a.t"]).await;
    assert_eq!(got.unwrap(), ["y", "ABC"], "it is started anew for the next file");
    assert!(heard.contains("out of order"), "{heard}");

    git(&site, &["config", "filter.up.required", "true"], b"");
    for (name, words) in [("bad.t", "it says: error"), ("dies.t", "out of order")] {
        let error = written(&site, Filters::Run, &["a.t", name]).await.0.unwrap_err();
        assert!(matches!(error, GitError::Filter { .. }) && error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn faults_are_told_and_stop_what_is_required() {
    let folder = tempfile::tempdir().unwrap();
    let files = [(".gitattributes", "*.t filter=f\n"), ("a.t", "abc")];
    let fails = "cat; echo 'no key at https://u:secretpw@h/' >&2; exit 4";
    let site = site(folder.path(), &files, &[("filter.f.smudge", fails), ("filter.f.required", "true")]);
    let error = written(&site, Filters::Run, &["a.t"]).await.0.unwrap_err().to_string();
    assert!(error.contains("exit status: 4") && error.contains("no key at") && !error.contains("secretpw"), "{error}");
    git(&site, &["config", "filter.f.required", "false"], b"");
    assert_eq!(written(&site, Filters::Run, &["a.t"]).await.0.unwrap(), ["abc"]);
}

#[tokio::test]
async fn what_may_be_written_depends_on_the_policy_and_the_driver() {
    let crypt = "\0GITCRYPT\0x";
    let required = ("filter.f.required", "true");
    let smudge = ("filter.f.smudge", "cat");
    let clean = ("filter.f.clean", "cat");
    // Policy, configuration, content: the words of the refusal, or none.
    type Row<'r> = (Filters, &'r [(&'r str, &'r str)], &'r str, Option<&'r str>);
    let table: &[Row<'_>] = &[
        (Filters::Refuse, &[], "abc", Some("filters: run")),
        (Filters::Refuse, &[smudge], "abc", Some("filters: run")),
        (Filters::Run, &[], "abc", None),
        (Filters::Run, &[clean], "abc", None),
        (Filters::Run, &[smudge], crypt, None),
        (Filters::Run, &[], crypt, Some("unlock")),
        (Filters::Run, &[clean], crypt, Some("unlock")),
        (Filters::Run, &[clean, required], "abc", Some("names no smudge program")),
    ];
    for (filters, settings, content, refused) in table {
        let folder = tempfile::tempdir().unwrap();
        let files = [(".gitattributes", "*.t filter=f\n"), ("a.t", *content)];
        let site = site(folder.path(), &files, settings);
        let (got, _) = written(&site, *filters, &["a.t"]).await;
        match (got, refused) {
            (Ok(got), None) => assert_eq!(got, [*content]),
            (Err(error @ GitError::Filtered { .. }), Some(words)) => {
                let shown = error.to_string();
                assert!(shown.contains("a.t (filter=f)") && shown.contains(words), "{shown}");
            }
            (got, _) => panic!("{filters:?} {settings:?}: {got:?}"),
        }
    }
}

#[tokio::test]
async fn unknown_encodings_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let files =
        [(".gitattributes", "a working-tree-encoding=SHIFT-JIS\nb working-tree-encoding\n"), ("a", "x"), ("b", "x")];
    let site = site(folder.path(), &files, &[]);
    let error = written(&site, Filters::Run, &["a", "b"]).await.0.unwrap_err().to_string();
    for words in ["a (working-tree-encoding=SHIFT-JIS)", "b (working-tree-encoding=true)", "UTF-16"] {
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a test's own thread")]
async fn a_program_that_does_not_end_is_killed_with_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let files = [(".gitattributes", "*.t filter=f\n"), ("a.t", "abc")];
    let pids = folder.path().join("pids");
    // The process that sleeps is a child of the shell's child.
    let command = format!("(sleep 600 & echo $! >{0}.new; mv {0}.new {0}; wait)", pids.display());
    let site = site(folder.path(), &files, &[("filter.f.smudge", &command)]);
    let cancel = CancellationToken::new();
    let (place, stop, seen) = (site.clone(), cancel.clone(), pids.clone());
    let watcher = std::thread::spawn(move || {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !seen.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.cancel();
    });
    let remote = Remote { filters: Filters::Run, ..Remote::new(&site) };
    let began = Instant::now();
    let got = on_a_thread(&remote, &Silent, cancel, move |session| {
        let repo = Repository::open(&place).unwrap();
        let tree = repo.head().unwrap().peel_to_tree().unwrap();
        let mut converter = Converter::new(&repo, Source::Tree(&tree), session)?;
        let (path, id) = blobs(&repo).pop().unwrap();
        converter.to_work_tree(&path, id).map(drop)
    })
    .await;
    watcher.join().unwrap();
    assert!(matches!(got, Err(GitError::Cancelled { .. })), "{got:?}");
    assert!(began.elapsed() < Duration::from_secs(40));
    let pid = std::fs::read_to_string(&pids).unwrap();
    let state = Path::new("/proc").join(pid.trim()).join("stat");
    let deadline = Instant::now() + Duration::from_secs(10);
    // Killed means gone, or dead and not yet collected by its new parent.
    let dead = || std::fs::read_to_string(&state).map_or(true, |stat| stat.contains(") Z "));
    while !dead() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(dead(), "the sleeping program still runs");
}
