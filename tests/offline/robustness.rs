//! Hostile projects: each ends with one short error that says where and which bound was passed, or loads; always in
//! bounded memory. Each is loaded by a process of its own, whose peak memory the kernel tells.

use std::{
    fmt::Write,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use turnout::compose::{
    load::{LoadRequest, load},
    render::{Format, render},
    source::DiskFiles,
};

/// Names the directory that the child loads; without it [`child`] does nothing.
const DIRECTORY: &str = "TURNOUT_ROBUSTNESS_DIRECTORY";
/// A load and its printing, however hostile, in MiB. The most is a hundred thousand services: 16 KiB each.
const MOST_MEMORY: u64 = 2048;
/// Of a message, in bytes.
const LONGEST_MESSAGE: usize = 4000;

/// Not a test by itself: what the other tests start.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let request = LoadRequest { working_dir: directory.clone(), ..LoadRequest::default() };
    let loaded = load(&request, &DiskFiles::default());
    let (name, text) = match loaded {
        Ok(loaded) => match render(&loaded.project, Format::Yaml, true) {
            Ok(text) => ("accepted", format!("{} services, {} bytes", loaded.project.services.len(), text.len())),
            Err(error) => ("refused", error.to_string()),
        },
        Err(error) => ("refused", error.to_string()),
    };
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    fs::write(directory.join("peak"), peak.trim().trim_end_matches(" kB")).unwrap();
    fs::write(directory.join(name), text).unwrap();
}

/// A project on the disk.
struct Project(tempfile::TempDir);

impl Project {
    fn new(compose: &str) -> Project {
        let project = Project(tempfile::tempdir().unwrap());
        project.with("compose.yaml", compose)
    }

    fn with(self, name: &str, text: &str) -> Project {
        fs::write(self.path(name), text).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What came of loading it: the text of the error, or what was loaded.
    fn load(&self) -> Result<String, String> {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "robustness::child", "--test-threads", "1"])
            .env(DIRECTORY, self.0.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "the load did not end by itself: {output:?}");
        let peak: u64 = fs::read_to_string(self.path("peak")).unwrap().parse().unwrap();
        assert!(peak / 1024 <= MOST_MEMORY, "{} MiB", peak / 1024);
        match fs::read_to_string(self.path("refused")) {
            Ok(error) => Err(error),
            Err(_) => Ok(fs::read_to_string(self.path("accepted")).unwrap()),
        }
    }

    /// Loads it, and wants an error with all of these words.
    #[track_caller]
    fn refused(&self, words: &[&str]) {
        let error = self.load().expect_err("refused");
        for word in words {
            assert!(error.contains(word), "wants {word:?}: {error}");
        }
        assert!(error.len() < LONGEST_MESSAGE, "{} bytes: {error}", error.len());
    }

    #[track_caller]
    fn accepted(&self, what: &str) {
        let loaded = self.load().unwrap();
        assert!(loaded.starts_with(what), "{loaded}");
    }
}

const SERVICE: &str = "services: {a: {image: x}}\n";

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        writeln!(text, "{}", line(n)).unwrap();
        text
    })
}

fn named_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

// ---------------------------------------------------------------- aliases and nesting

#[test]
fn billion_laughs() {
    let bomb = |item: &str| {
        let levels = lines(11, |n| format!("x-{}: &a{} [{}]", n + 1, n + 1, vec![format!("*a{n}"); 10].join(",")));
        Project::new(&format!("x-0: &a0 {item}\n{levels}{SERVICE}"))
    };
    bomb("lol").refused(&["compose.yaml:7:", "more than 500000 values once aliases are expanded"]);
    // Long texts instead of many.
    bomb(&format!("\"{}\"", "lol ".repeat(250_000)))
        .refused(&["compose.yaml:3:", "more than 67108864 bytes of text once aliases are expanded"]);
}

#[test]
fn billion_laughs_by_merge_keys() {
    let levels = lines(20, |n| format!("x-{0}: &a{0} {{l{0}: {{<<: *a{n}}}, r{0}: {{<<: *a{n}}}}}", n + 1));
    Project::new(&format!("x-0: &a0 {{k: v}}\n{levels}{SERVICE}"))
        .refused(&["compose.yaml:", "more than 500000 values once aliases are expanded"]);
    // Merged side by side, the same keys again: nothing grows.
    let merges = vec!["*a0"; 10_000].join(", ");
    Project::new(&format!("x-0: &a0 {{k: v}}\nx-1: {{<<: [{merges}]}}\n{SERVICE}")).accepted("1 services");
}

#[test]
fn anchors_that_contain_themselves() {
    Project::new(&format!("x-a: &a\n  b: [*a]\n{SERVICE}")).refused(&["compose.yaml:2:7", "inside the value"]);
    Project::new(&format!("x-a: &a {{<<: *a}}\n{SERVICE}")).refused(&["compose.yaml:1:", "inside the value"]);
    Project::new(&format!("x-a: &a {{b: &b {{c: *a, d: *b}}}}\n{SERVICE}")).refused(&["compose.yaml:1:"]);
}

#[test]
fn deep_nesting() {
    let deep = |open: &str, close: &str, levels| {
        Project::new(&format!("x-a: {}{}\n{SERVICE}", open.repeat(levels), close.repeat(levels)))
    };
    deep("[", "]", 100).accepted("1 services");
    deep("{a: ", "}", 100).accepted("1 services");
    for levels in [200, 100_000] {
        deep("[", "]", levels).refused(&["compose.yaml:1:", "nested deeper than 128 levels"]);
        deep("[", "", levels).refused(&["compose.yaml:1:", "nested deeper than 128 levels"]);
        deep("{a: ", "}", levels).refused(&["compose.yaml:1:", "nested deeper than 128 levels"]);
        deep("\n  ? ", "", levels).refused(&["compose.yaml:"]);
        deep("[{a: [", "]}]", levels).refused(&["compose.yaml:1:", "nested deeper than 128 levels"]);
    }
    Project::new(&format!("x-a:\n  {}b\n{SERVICE}", "- ".repeat(100_000)))
        .refused(&["compose.yaml:2:", "nested deeper than 128 levels"]);
    let block = lines(2000, |n| format!("{}a:", " ".repeat(n)));
    Project::new(&format!("{SERVICE}x-a:\n{}", block.replace("\n", "\n ").trim_end()))
        .refused(&["compose.yaml:", "nested deeper than 128 levels"]);
    let chain = lines(200, |n| format!("x-{}: &a{} [*a{n}]", n + 1, n + 1));
    Project::new(&format!("x-0: &a0 [x]\n{chain}{SERVICE}"))
        .refused(&["compose.yaml:127:", "nested deeper than 128 levels"]);
}

// ---------------------------------------------------------------- much of everything

#[test]
fn thousands_of_services() {
    let services = |count| format!("services:\n{}", lines(count, |n| format!("  s{n}: {{image: x}}")));
    Project::new(&services(10_000)).accepted("10000 services");
    Project::new(&services(100_000)).refused(&["compose.yaml:", "more than 10000 services"]);
}

#[test]
fn long_texts() {
    let words = "word ".repeat(300_000);
    let text = format!(
        "x-plain: {words}\nx-single: '{words}'\nx-double: \"{words}\"\nx-block: |\n{}{SERVICE}",
        "  a line\n".repeat(100_000)
    );
    Project::new(&text).accepted("1 services");
    Project::new(&format!("? {}\n: b\n", "k".repeat(2_000_000))).refused(&["compose.yaml:"]);
    Project::new(&format!("{}: b\n", "k".repeat(2_000_000)))
        .refused(&["compose.yaml:1:", "mapping values are not allowed"]);
}

#[test]
fn many_keys() {
    let labels = lines(50_000, |n| format!("      l{n}: v"));
    Project::new(&format!("services:\n  a:\n    image: x\n    labels:\n{labels}")).accepted("1 services");
    let same = lines(50_000, |_| "x-a: 1".to_owned());
    Project::new(&same).refused(&["compose.yaml:2:1", "\"x-a\" already defined at line 1"]);
    Project::new(&format!("x-a: [{}]\n{SERVICE}", "a,".repeat(1_200_000)))
        .refused(&["compose.yaml:1:", "more than 500000 values"]);
}

#[test]
fn files_beyond_the_limit() {
    Project::new(&format!("#{}\n{SERVICE}", "x".repeat(9 << 20)))
        .refused(&["compose.yaml", "larger than 8388608 bytes"]);
    let big = Project::new("services: {a: {image: x, env_file: big.env}}\n");
    fs::File::create(big.path("big.env")).unwrap().set_len(100 << 20).unwrap();
    big.refused(&["compose.yaml:1:", "services.a.env_file", "big.env", "larger than 8388608 bytes"]);
    let dot_env = Project::new(SERVICE);
    fs::File::create(dot_env.path(".env")).unwrap().set_len(100 << 20).unwrap();
    dot_env.refused(&["/.env", "larger than 8388608 bytes"]);
}

#[test]
fn many_documents() {
    let documents = lines(500, |n| format!("---\nservices: {{s{n}: {{image: x}}}}"));
    Project::new(&documents).accepted("500 services");
    let over = "---\nx-b: 1\n".repeat(300);
    Project::new(&format!("x-a: [{}]\n{SERVICE}{over}", "x,".repeat(100_000))).refused(&[
        "compose.yaml:",
        "too many documents",
        "more than 10000000 values",
    ]);
    let empty = "---\n".repeat(500_000);
    Project::new(&empty).refused(&["compose.yaml:2:1", "must be a mapping, not null"]);
}

#[test]
fn warnings_of_a_hundred_thousand_variables() {
    let list = lines(100_000, |n| format!("      - \"$V{n}\""));
    Project::new(&format!("services:\n  a:\n    image: x\n    command:\n{list}")).accepted("1 services");
}

// ---------------------------------------------------------------- variables

#[test]
fn defaults_in_defaults() {
    let nested = |levels| {
        let text = format!("{}x{}", "${A:-".repeat(levels), "}".repeat(levels));
        Project::new(&format!("services:\n  a:\n    image: \"{text}\"\n"))
    };
    nested(50).accepted("1 services");
    nested(100_000).refused(&["compose.yaml:3:12", "services.a.image", "deeper than 64 levels"]);
    let open = "${A:-{".repeat(100_000);
    Project::new(&format!("services:\n  a:\n    image: \"{open}\"\n"))
        .refused(&["compose.yaml:3:12", "services.a.image"]);
}

#[test]
fn long_values_many_times() {
    let value = "x".repeat(1 << 20);
    Project::new(&format!("services:\n  a:\n    image: \"{}\"\n", "$A".repeat(100)))
        .with(".env", &format!("A={value}\n"))
        .refused(&["compose.yaml:3:12", "services.a.image", "grows beyond 8388608 bytes"]);
    Project::new(&format!("services:\n  a:\n    image: x\n    command:\n{}", "      - $A\n".repeat(200)))
        .with(".env", &format!("A={value}\n"))
        .refused(&["compose.yaml:68:9", "services.a.command[63]", "interpolated texts exceed 67108864 bytes"]);
    Project::new(SERVICE).with(".env", &format!("A={value}\n{}", lines(200, |n| format!("B{n}=$A")))).refused(&[
        "/.env",
        "line 65",
        "exceed 67108864 bytes",
    ]);
    // Twice as long with every line.
    Project::new(SERVICE)
        .with(".env", &format!("B0=xxxxxxxx\n{}", lines(100, |n| format!("B{}=$B{n}$B{n}", n + 1))))
        .refused(&["/.env", "line 22", "grows beyond 8388608 bytes"]);
}

// ---------------------------------------------------------------- files that lead to files

#[test]
fn includes_in_a_circle() {
    Project::new("include: [b.yaml]\n")
        .with("b.yaml", "include: [c.yaml]\n")
        .with("c.yaml", "include: [./b.yaml]\n")
        .refused(&["c.yaml:1:11", "include[0]", "include cycle detected: compose.yaml -> b.yaml -> c.yaml -> b.yaml"]);
}

#[test]
fn includes_that_fan_out() {
    let mut project = Project::new("include: [f0.yaml]\n");
    for n in 0..8 {
        let files = vec![format!("f{}.yaml", n + 1); 10].join(", ");
        project = project.with(&format!("f{n}.yaml"), &format!("include: [{files}]\n"));
    }
    project.with("f8.yaml", SERVICE).refused(&["more than 1000 files are read", ".yaml:1:"]);
}

#[test]
fn includes_in_a_long_row() {
    let mut project = Project::new("include: [f0.yaml]\n");
    for n in 0..60 {
        project = project.with(&format!("f{n}.yaml"), &format!("include: [f{}.yaml]\n", n + 1));
    }
    project.with("f60.yaml", SERVICE).refused(&["nested too deeply", ".yaml:1:11"]);
}

#[test]
fn extends_in_a_circle_over_files() {
    Project::new("services:\n  a: {extends: {file: b.yaml, service: b}}\n")
        .with("b.yaml", "services:\n  b: {extends: {file: compose.yaml, service: a}}\n")
        .refused(&["compose.yaml:2:16", "services.a.extends", "circular reference: a in b.yaml -> b in compose.yaml"]);
    Project::new("services:\n  a: {extends: a}\n").refused(&["compose.yaml:2:", "circular reference"]);
}

#[test]
fn extends_in_a_long_row() {
    let row = lines(5000, |n| format!("  s{n}: {{extends: s{}}}", n + 1));
    Project::new(&format!("services:\n{row}  s5000: {{image: x}}\n")).refused(&[
        "compose.yaml:",
        "services.s",
        "too long a chain",
    ]);
    let mut files = Project::new("services:\n  a: {extends: {file: f0.yaml, service: a}}\n");
    for n in 0..200 {
        let text = format!("services:\n  a: {{extends: {{file: f{}.yaml, service: a}}}}\n", n + 1);
        files = files.with(&format!("f{n}.yaml"), &text);
    }
    files.with("f200.yaml", SERVICE).refused(&[".yaml:2:", "too long a chain"]);
}

#[test]
fn extends_that_copy_much() {
    let list = vec!["x"; 20_000].join(",");
    let copies = lines(100, |n| format!("  s{n}: {{extends: base}}"));
    Project::new(&format!("services:\n  base: {{image: x, security_opt: [{list}]}}\n{copies}"))
        .refused(&["compose.yaml:2:", "extends copies more than 500000 values"]);
    let copies = lines(1000, |n| format!("  s{n}: {{extends: base}}"));
    Project::new(&format!("services:\n  base: {{image: x, command: {}}}\n{copies}", "x".repeat(1 << 20)))
        .refused(&["compose.yaml:2:", "extends copies more than 67108864 bytes of text"]);
}

// ---------------------------------------------------------------- what is no file

#[test]
fn a_compose_file_that_is_none() {
    let directory = Project(tempfile::tempdir().unwrap());
    fs::create_dir(directory.path("compose.yaml")).unwrap();
    directory.refused(&["compose.yaml", "is a directory"]);

    let pipe = Project(tempfile::tempdir().unwrap());
    named_pipe(&pipe.path("compose.yaml"));
    pipe.refused(&["compose.yaml", "is a named pipe"]);

    let circle = Project(tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink("compose.yaml", circle.path("compose.yaml")).unwrap();
    assert!(circle.load().is_err());

    let endless = Project(tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink("/dev/zero", endless.path("compose.yaml")).unwrap();
    endless.refused(&["compose.yaml", "is a device"]);

    let secret = Project::new(SERVICE);
    fs::set_permissions(secret.path("compose.yaml"), fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads it all the same.
    match secret.load() {
        Err(error) => assert!(error.contains("compose.yaml") && error.contains("ermission denied"), "{error}"),
        Ok(loaded) => assert!(loaded.starts_with("1 services")),
    }

    Project::new("\u{0}").refused(&["compose.yaml:1:1", "control characters"]);
    let binary = Project(tempfile::tempdir().unwrap());
    fs::write(binary.path("compose.yaml"), b"services:\n  a: \xff\xfe\n").unwrap();
    binary.refused(&["compose.yaml", "not UTF-8"]);
}

#[test]
fn an_env_file_that_is_none() {
    let project = || Project::new("services:\n  a:\n    image: x\n    env_file: e\n");
    let words = ["compose.yaml:", "services.a.env_file"];

    let directory = project();
    fs::create_dir(directory.path("e")).unwrap();
    directory.refused(&[&words[..], &["is a directory"]].concat());

    let pipe = project();
    named_pipe(&pipe.path("e"));
    pipe.refused(&[&words[..], &["is a named pipe"]].concat());

    let endless = project();
    std::os::unix::fs::symlink("/dev/zero", endless.path("e")).unwrap();
    endless.refused(&[&words[..], &["is a device"]].concat());

    let circle = project();
    std::os::unix::fs::symlink("e", circle.path("e")).unwrap();
    circle.refused(&words);

    let dot_env = Project::new(SERVICE);
    named_pipe(&dot_env.path(".env"));
    dot_env.refused(&["/.env", "is a named pipe"]);
}

// ---------------------------------------------------------------- the program

#[test]
fn the_program_says_it_in_one_short_message() {
    let levels = lines(11, |n| format!("x-{}: &a{} [{}]", n + 1, n + 1, vec![format!("*a{n}"); 10].join(",")));
    let project = Project::new(&format!("x-0: &a0 lol\n{levels}{SERVICE}"));
    let output = Command::new(env!("CARGO_BIN_EXE_turnout"))
        .args(["compose", "config"])
        .current_dir(project.0.path())
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    assert!(error.contains("compose.yaml:7:") && error.len() < LONGEST_MESSAGE, "{error}");
}
