//! What docker/compose's own end-to-end tests assert, held on `turnout compose`. The table in docs/compose-commands.md
//! says which of them each test here stands for.

use crate::compose_cli_support;
use compose_cli_support::{Ran, Site};

/// Looks for texts in what was said.
trait Has {
    fn says(&self, text: &str) -> &Self;
    fn prints(&self, text: &str) -> &Self;
    fn never_says(&self, text: &str) -> &Self;
}

impl Has for Ran {
    #[track_caller]
    fn says(&self, text: &str) -> &Self {
        assert!(self.err.contains(text), "wanted {text:?} on standard error: {self:?}");
        self
    }

    #[track_caller]
    fn prints(&self, text: &str) -> &Self {
        assert!(self.out.contains(text), "wanted {text:?} on standard output: {self:?}");
        self
    }

    #[track_caller]
    fn never_says(&self, text: &str) -> &Self {
        assert!(!self.err.contains(text) && !self.out.contains(text), "unwanted {text:?}: {self:?}");
        self
    }
}

#[test]
fn pulls_say_what_is_skipped_and_what_must_be_built() {
    let site = Site::new(
        "services:
  here: {image: 'IMAGE', pull_policy: missing}
  built: {build: .}
  far: {image: 'turnout.invalid/far:1', build: .}
",
    );
    let quick = site.ours(&["pull", "here", "built"]).ok();
    quick.says("built Skipped - No image to be pulled");
    quick.says("here Skipped - Image is already present locally").never_says("Pulling");
    let hint = "WARNING: Some service image(s) must be built from source by running:\n    docker compose build far";
    let tolerated = site.ours(&["pull", "--ignore-pull-failures", "far"]).ok();
    tolerated.says("far Pulling").says("far Warning").says(hint);
    site.ours(&["pull", "far"]).fails(hint);
}

#[test]
fn a_missing_env_file_is_no_obstacle_to_what_reads_none() {
    let site = Site::new(
        "services:
  web: {image: 'IMAGE', QUICK}
  other: {image: 'IMAGE', env_file: missing.env}
",
    );
    site.ours(&["up", "-d", "web"]).ok();
    for line in [
        "ps",
        "logs",
        "pause web",
        "unpause web",
        "stop",
        "start web",
        "restart web",
        "top",
        "images",
        "exec web true",
        "kill",
        "rm -f",
        "pull --policy missing",
        "build",
        "down",
    ] {
        site.ours(&line.split(' ').collect::<Vec<_>>()).ok();
    }
    site.ours(&["up", "-d"]).fails("missing.env");
}

#[test]
fn pausing_twice_fails() {
    let site = Site::new("services: {web: {image: 'IMAGE', QUICK}}\n");
    site.ours(&["pause", "web"]).ok();
    site.ours(&["up", "-d"]).ok();
    site.ours(&["pause", "web"]).ok();
    site.ours(&["pause", "web"]).fails("already paused");
    site.ours(&["unpause", "web"]).ok();
    site.ours(&["unpause", "web"]).fails("not paused");
    // The variable names the project, whatever is wrong with the rest.
    for command in ["pause", "ps", "logs"] {
        site.ours(&[command, "does_not_exist"]).ok();
    }
}

#[test]
fn a_terminal_is_not_given_to_a_pipe() {
    let site = Site::new("services: {cat: {image: 'IMAGE', command: cat}}\n");
    site.ours_fed(&["run", "--rm", "cat"], "piped-content\n").ok().prints("piped-content");
    for wish in ["--tty", "--no-TTY=false", "-it"] {
        site.ours_fed(&["run", "--rm", wish, "cat"], "x").fails("the input device is not a TTY");
    }
    site.ours_fed(&["run", "--rm", "--tty", "-T", "cat"], "x").fails("--tty and --no-TTY can't be used together");
}

#[test]
fn run_in_the_background_keeps_input_open() {
    let site = Site::new("services: {test: {image: 'IMAGE', command: [sleep, '1000'], QUICK}}\n");
    site.ours(&["run", "-d", "test", "cat"]).ok();
    site.ours(&["exec", "--index=1", "test", "true"]).fails("service \"test\" is not running container #1");
    site.ours(&["exec", "test", "cat", "/proc/1/cmdline"]).ok().prints("cat");
    site.ours(&["up", "-d"]).ok();
    site.ours(&["exec", "test", "cat", "/proc/1/cmdline"]).ok().prints("sleep");
    site.ours(&["down", "--remove-orphans", "-t", "0"]).ok();
}

#[test]
fn all_resources_are_made_without_services() {
    let site = Site::new("networks: {net: {}}\nvolumes: {vol: {}}\n");
    let up = site.ours(&["--all-resources", "up"]).ok();
    up.says(&format!("Volume {}_vol  Created", site.project));
    up.says(&format!("Network {}_net  Created", site.project));
    site.ours(&["down", "-v"]).ok();
}

#[test]
fn waiting_for_health_fails_after_the_start() {
    let site = Site::new(
        "services:
  web: {image: 'IMAGE', depends_on: {db: {condition: service_healthy}}}
  db: {image: 'IMAGE', QUICK}
",
    );
    let ran = site.ours(&["up", "-d"]).fails("dependency failed to start: container");
    ran.says("db-1  Started").says("db-1 has no healthcheck configured");
    site.write(
        "compose.yaml",
        "services:
  web: {image: 'IMAGE', depends_on: {db: {condition: service_healthy}}}
  db: {image: 'IMAGE', QUICK, command: [sh, -c, 'exit 1']}
",
    );
    site.ours(&["up", "-d"]).fails("db-1 exited (1)");
}

#[test]
fn hooks_speak_through_the_log() {
    let site = Site::new(
        "services:
  web:
    image: 'IMAGE'
    command: [sh, -c, 'sleep 1']
    post_start: [{command: [echo, hook is here]}]
",
    );
    site.ours(&["up"]).ok().prints("web-1 ->  | hook is here\n");
    site.ours(&["up", "-d"]).ok().never_says("hook is here");
}

#[test]
fn builds_speak_on_standard_output() {
    let site = Site::new("services: {web: {build: ., QUICK}}\n");
    site.write("Dockerfile", "FROM IMAGE\nCOPY file /file\n");
    site.write("file", "a\n");
    for builder in ["0", "1"] {
        let run = |args: &[&str]| Ran::of(site.ours_with(args).env("DOCKER_BUILDKIT", builder).output().unwrap()).ok();
        run(&["build"]).prints("COPY file /file").says("web  Built");
        let quiet = run(&["build", "--quiet"]);
        assert_eq!(quiet.out, "", "{quiet:?}");
    }
    site.ours(&["down", "--rmi", "local"]).ok();
}

#[test]
fn builds_follow_depends_on() {
    let site = Site::new(
        "services:
  # Before the other by name.
  app: {depends_on: [base], build: {dockerfile_inline: 'FROM PROJECT-own'}}
  base: {image: PROJECT-own, build: {dockerfile_inline: 'FROM IMAGE'}}
",
    );
    let yaml = std::fs::read_to_string(site.path().join("compose.yaml")).unwrap();
    site.write("compose.yaml", &yaml.replace("PROJECT", &site.project));
    for args in [["build"].as_slice(), &["build", "--with-dependencies", "app"], &["up", "--no-start", "--build"]] {
        site.ours(args).ok().says("app  Built").says("own  Built");
        site.ours(&["down", "--rmi", "all"]).ok();
    }
}

#[test]
fn a_network_made_anew_is_told_in_the_real_words() {
    let site = Site::new("services: {web: {image: 'IMAGE', networks: [net], QUICK}}\nnetworks: {net: {}}\n");
    site.ours(&["up", "-d"]).ok();
    site.write(
        "compose.yaml",
        "services: {web: {image: 'IMAGE', networks: [net], QUICK}}\nnetworks: {net: {labels: {a: b}}}\n",
    );
    let name = &site.project;
    site.ours(&["up", "-d"]).ok().says(&format!(
        "
 Container {name}-web-1  Stopped
 Network {name}_net  Removed
 Network {name}_net  Creating
 Network {name}_net  Created
 Container {name}-web-1  Starting
 Container {name}-web-1  Started"
    ));
}

#[test]
fn former_spellings_are_taken() {
    let site = Site::new("services: {web: {image: 'IMAGE', QUICK}}\nvolumes: {v: {}}\n");
    let here = site.path().to_str().unwrap().to_owned();
    site.ours(&["--verbose", "up", "-d", "--y"]).ok().says("--y is deprecated, please use --yes instead");
    let mount = format!("{here}:/foo");
    let ran = site.ours(&["run", "--rm", "--volumes", &mount, "--labels", "a=b", "web", "ls", "/foo"]);
    ran.ok().prints("compose.yaml");
    site.ours(&["build", "--progress", "plain", "--parallel", "--compress", "--force-rm", "--no-rm"]).ok();
    site.ours(&["--no-ansi", "--workdir", &here, "ps"]).ok().says("option '--workdir' is DEPRECATED at root level!");
    site.ours(&["-v"]).ok().prints("Docker Compose version 2.40");
    site.ours(&["down", "--volume"]).ok().says("--volume is deprecated, please use --volumes");
    site.ours(&["--compatibility", "up", "-d"]).ok().says(&format!("Container {}_web_1  Started", site.project));
    site.ours(&["down"]).ok();
}

#[test]
fn a_run_mentions_what_the_last_one_left() {
    let site = Site::new("services: {back: {image: 'IMAGE', command: [echo, hello]}}\n");
    site.ours(&["run", "back"]).ok().prints("hello").never_says("orphan");
    site.ours(&["run", "back"]).ok().prints("hello").says("orphan");
    // Those that have ended go, as with the real one; nothing is said of what is not there any more.
    site.ours(&["run", "--rm", "--remove-orphans", "back"]).ok().prints("hello");
    site.ours(&["run", "back"]).ok().never_says("orphan");
    site.ours(&["down", "--remove-orphans"]).ok();
}

#[test]
fn builders_refuse_platforms_and_privileges_in_the_real_words() {
    let site = Site::new(
        "services:
  platforms:
    image: turnout-none
    build: {dockerfile_inline: 'FROM IMAGE', platforms: [linux/amd64, linux/arm64]}
",
    );
    let refused = |variable: (&str, &str), words: &str| {
        let ran = Ran::of(site.ours_with(&["build"]).env(variable.0, variable.1).output().unwrap());
        ran.fails(words);
    };
    let classic = "set DOCKER_BUILDKIT=1 to use BuildKit";
    refused(("DOCKER_BUILDKIT", "0"), &format!("the classic builder doesn't support multi-arch build, {classic}"));
    refused(
        ("DOCKER_DEFAULT_PLATFORM", "windows/amd64"),
        "service \"platforms\" build.platforms does not support value set by DOCKER_DEFAULT_PLATFORM: windows/amd64",
    );
    refused(("DOCKER_BUILDKIT", "1"), "Multi-platform build is not supported for the docker driver.");
    site.write(
        "compose.yaml",
        "services: {s: {platform: linux/riscv64, build: {dockerfile_inline: 'FROM IMAGE', platforms: [linux/amd64]}}}\n",
    );
    site.ours(&["build"]).fails("service.build.platforms MUST include service.platform \"linux/riscv64\"");
    site.write("compose.yaml", "services: {s: {build: {dockerfile_inline: 'FROM IMAGE', privileged: true}}}\n");
    refused(("DOCKER_BUILDKIT", "0"), &format!("the classic builder doesn't support privileged mode, {classic}"));
    site.write("compose.yaml", "services: {s: {build: {dockerfile_inline: 'FROM IMAGE'}}}\n");
    let mut unkeyed = site.ours_with(&["build", "--ssh", ""]);
    let ran = Ran::of(unkeyed.env_remove("SSH_AUTH_SOCK").output().unwrap());
    ran.fails("invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set");
}

#[test]
fn docker_runs_it_as_its_plugin() {
    let site = Site::new("services: {web: {image: 'IMAGE', QUICK}}\n");
    let plugins = site.path().join("docker/cli-plugins");
    std::fs::create_dir_all(&plugins).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_turnout"), plugins.join("docker-compose")).unwrap();
    let docker = |args: &[&str]| {
        let mut command = std::process::Command::new("docker");
        command.args(args).current_dir(site.path()).env("DOCKER_CONFIG", site.path().join("docker"));
        command.env("COMPOSE_PROJECT_NAME", &site.project);
        Ran::of(command.output().unwrap())
    };
    docker(&["compose", "version"]).ok().prints("(as turnout ");
    docker(&["compose", "up", "-d"]).ok().says("web-1  Started");
    docker(&["compose", "down", "-t", "0"]).ok();
    docker(&["--log-level", "info", "compose", "ps"]).fails("docker --log-level before compose is not supported");
    // By the former name, without Docker's command line.
    let mut alone = std::process::Command::new(plugins.join("docker-compose"));
    Ran::of(alone.arg("version").output().unwrap()).ok().prints("(as turnout ");
}

/// The tests of ours that the table of the 5.x series names exist.
#[test]
fn the_table_of_compose_5_names_tests_that_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_to_string(root.join("docs/compose-commands.md")).unwrap();
    let section = docs.split("## Compose 5 end-to-end tests").nth(1).unwrap();
    let mut named = 0;
    for row in section.lines().filter(|line| line.starts_with("| ")) {
        // `file: function`, the file below tests/ or in the library.
        let quoted = row.split('`').skip(1).step_by(2).filter_map(|word| word.split_once(": "));
        for (file, function) in quoted.filter(|(_, function)| function.contains('_')) {
            // The beginning of a long name is enough.
            let function = function.trim_end_matches('…');
            let own = root.join("tests").join(format!("{file}.rs"));
            let text = match std::fs::read_to_string(&own) {
                Ok(text) => text,
                Err(_) => [
                    "crates/compose/src/schema/mod.rs",
                    "crates/compose/src/hash.rs",
                    "crates/plan/src/situations/replace.rs",
                    "crates/plan/src/situations/images.rs",
                ]
                .map(|file| std::fs::read_to_string(root.join(file)).unwrap())
                .concat(),
            };
            assert!(text.contains(&format!("fn {function}")), "no test {function} in {file}: {row}");
            named += 1;
        }
    }
    assert!(named >= 20, "{named} names were understood");
}

/// The table in docs/compose-commands.md has a row a test, and the tests of ours that it names exist.
#[test]
fn the_table_of_upstreams_tests_names_tests_that_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_to_string(root.join("docs/compose-commands.md")).unwrap();
    let section = docs.split("## Upstream's own end-to-end tests").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows.len(), 145, "one row for each test of pkg/e2e at 2.40.3");
    let mut seen = std::collections::BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [upstream, asserts, held] = cells[..] else { panic!("three cells: {row}") };
        let name = upstream.trim_matches('`');
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        assert!(name.starts_with("Test") && plain && seen.insert(name), "one test a row, once: {row}");
        assert!(!asserts.is_empty(), "{row}");
        let ours: Vec<_> = held.split('`').filter_map(|word| word.split_once("::")).collect();
        for (file, function) in &ours {
            let text = std::fs::read_to_string(root.join("tests").join(format!("{file}.rs"))).expect(row);
            assert!(text.contains(&format!("fn {function}(")), "no test {function} in {file}: {row}");
        }
        // Or a file with tests of its own.
        let mut files = held.split('`').filter(|word| word.ends_with(".rs"));
        let known = ["the suite only", "refused: ", "skipped upstream", "needs "];
        let other = files.any(|file| root.join(file).is_file()) || known.iter().any(|word| held.starts_with(word));
        assert!(!ours.is_empty() || other, "{row}");
    }
}
