//! More of what docker/compose's own end-to-end tests assert: of files, variables and images. See
//! docs/compose-commands.md.

use crate::compose_cli_support;
use compose_cli_support::{Ran, Site};

#[test]
fn env_files_are_read_raw_and_with_their_comments() {
    let site = Site::new(
        "services:
  raw: {image: 'IMAGE', command: [sh, -c, 'echo $$TEST_VAR'], env_file: [{path: raw.env, format: raw}]}
  commented: {image: 'IMAGE', command: [env], env_file: commented.env, environment: [SHELL_SAYS]}
",
    );
    site.write("raw.env", "TEST_VAR='{\"key\": \"$value\"}'");
    site.write("commented.env", "COMMENT=1234 #5\nJOINED=1234#5\nQUOTED=\"1234 #5\"\n# NONE=1\nSHELL_SAYS=no\n");
    assert_eq!(site.ours(&["run", "--rm", "raw"]).ok().out.trim(), "'{\"key\": \"$value\"}'");
    let printed = site.ours(&["run", "--rm", "commented"]).ok().out;
    for line in ["COMMENT=1234", "JOINED=1234#5", "QUOTED=1234 #5"] {
        assert!(printed.lines().any(|found| found == line), "{line}: {printed}");
    }
    assert!(!printed.contains("NONE=") && !printed.contains("SHELL_SAYS="), "{printed}");
    let mut told = site.ours_with(&["run", "--rm", "commented"]);
    let printed = Ran::of(told.env("SHELL_SAYS", "yes").output().unwrap()).ok().out;
    assert!(printed.contains("SHELL_SAYS=yes\n"), "{printed}");
}

#[test]
fn files_are_found_from_folders_below_and_by_variables() {
    let site = Site::new("services: {test: {image: 'IMAGE', command: [echo, '${ROOT}-${SUB}']}}\n");
    site.write(".env", "ROOT=root\nSUB=root\n");
    std::fs::create_dir(site.path().join("sub")).unwrap();
    site.write("sub/.env", "SUB=sub\n");
    site.write("other.yaml", "services: {other: {image: 'IMAGE'}}\n");
    site.write("file.env", "COMPOSE_FILE=other.yaml\nROOT=file\n");
    let below = |args: &[&str]| {
        let mut command = site.ours_with(args);
        Ran::of(command.current_dir(site.path().join("sub")).output().unwrap())
    };
    let printed = below(&["run", "--rm", "test"]).ok();
    assert_eq!(printed.out.trim(), "root-sub", "the folder one stands in goes before the project's: {printed:?}");
    assert_eq!(below(&["ps", "-aq"]).ok().out, "");
    // By an env file, and by the project's folder.
    let services = |args: &[&str]| site.ours(&[args, &["config", "--services"]].concat()).ok().out;
    assert_eq!(services(&["--env-file", "file.env"]), "other\n");
    let here = site.path().to_str().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = site.ours_with(&["--project-directory", here, "config"]);
    let printed = Ran::of(command.current_dir(elsewhere.path()).output().unwrap()).ok().out;
    assert!(printed.contains("root-root"), "{printed}");
}

#[test]
fn contexts_of_the_project_are_built_first_over_two_steps_and_in_inactive_profiles() {
    let site = Site::new(
        "services:
  main: {build: {dockerfile_inline: 'FROM middle', additional_contexts: {middle: 'service:middle'}}}
  middle: {build: {dockerfile_inline: 'FROM bottom', additional_contexts: {bottom: 'service:bottom'}}}
  bottom: {profiles: [never], build: {dockerfile_inline: \"FROM IMAGE\\nRUN printf '%70000s\\\\n' end\"}}
",
    );
    let mut build = site.ours_with(&["build", "main"]);
    let ran = Ran::of(build.env("DOCKER_BUILDKIT", "1").output().unwrap());
    if ran.err.contains("additional_contexts") {
        return; // This engine's BuildKit takes no image of its own store for a context.
    }
    let ran = ran.ok();
    for name in ["bottom", "middle", "main"] {
        assert!(ran.err.contains(&format!("{name}  Built")), "{name}: {ran:?}");
    }
    assert!(ran.out.contains("end"), "a line of 70,000 characters arrives");
    site.ours(&["--profile", "never", "down", "--rmi", "local"]).ok();
}

#[test]
fn secrets_of_an_included_file_come_from_its_environment() {
    let site = Site::new("include: [{path: child/compose.yaml, env_file: child/secret.env}]\n");
    std::fs::create_dir(site.path().join("child")).unwrap();
    site.write(
        "child/compose.yaml",
        "services: {included: {image: 'IMAGE', command: [cat, /run/secrets/s], secrets: [s]}}\nsecrets: {s: {environment: TOLD}}\n",
    );
    site.write("child/secret.env", "TOLD=a-secret\n");
    let ran = site.ours(&["run", "--rm", "included"]).ok();
    assert_eq!(ran.out.trim(), "a-secret", "{ran:?}");
}
