//! What docker/compose's own end-to-end tests assert, held on `turnout compose`. The table in docs/compose-commands.md
//! says which of them each test here stands for.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a failure is the report")]

mod common;
mod compose_cli_support;

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
