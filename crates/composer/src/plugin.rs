//! turnout in the place of Docker's Compose plugin: a link named `docker-compose` among `~/.docker/cli-plugins` makes
//! `docker compose …` this program, a link of that name in `$PATH` the former `docker-compose …`.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

use turnout_compose::labels::COMPOSE_VERSION;

/// Name under which Docker's command line looks for its plugin, and under which Compose 1 was called.
const NAME: &str = "docker-compose";
/// The argument with which Docker's command line asks whether a program is a plugin.
const METADATA: &str = "docker-cli-plugin-metadata";

/// What a program of that name was called for.
#[derive(Debug, PartialEq, Eq)]
pub enum Called {
    /// To say what it is, as JSON (Docker's plugin protocol, schema 0.1.0).
    Metadata(String),
    /// For a command: the words after `compose`.
    Command(Vec<OsString>),
    /// With flags of `docker` before `compose`, which are not carried out: the complaint.
    Refused(String),
}

/// What the words mean, where the program was called by that name.
///
/// `by_docker`: Docker's command line says of itself that it has started the program.
pub fn called(argv: &[OsString], by_docker: bool) -> Option<Called> {
    let (program, words) = argv.split_first()?;
    if Path::new(program).file_stem() != Some(OsStr::new(NAME)) {
        return None;
    }
    Some(match words.first() {
        Some(first) if first == METADATA => Called::Metadata(metadata()),
        Some(first) if first == "compose" => Called::Command(words.get(1..).unwrap_or_default().to_vec()),
        // Docker hands its own flags on as they were written.
        Some(first) if by_docker => Called::Refused(format!(
            "docker {} before compose is not supported: set DOCKER_HOST, DOCKER_CONTEXT, DOCKER_CONFIG or DOCKER_TLS_VERIFY instead",
            first.to_string_lossy()
        )),
        _ => Called::Command(words.to_vec()),
    })
}

fn metadata() -> String {
    serde_json::json!({
        "SchemaVersion": "0.1.0",
        "Vendor": "turnout",
        "Version": COMPOSE_VERSION,
        "ShortDescription": "Docker Compose, as turnout does it",
    })
    .to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test code: a failure is the report")]
mod tests {
    use super::*;

    fn call(line: &str, by_docker: bool) -> Option<Called> {
        called(&line.split(' ').map(OsString::from).collect::<Vec<_>>(), by_docker)
    }

    #[test]
    fn the_name_decides_what_the_words_mean() {
        let command = |line: &str| Some(Called::Command(line.split(' ').map(OsString::from).collect()));
        assert_eq!(call("/usr/bin/turnout compose up", false), None);
        assert_eq!(call("/p/docker-compose compose up -d", true), command("up -d"));
        assert_eq!(call("docker-compose up -d", false), command("up -d"));
        assert_eq!(call("docker-compose -f a.yaml config", false), command("-f a.yaml config"));
        assert_eq!(call("docker-compose compose", true), Some(Called::Command(Vec::new())));
        let Some(Called::Refused(why)) = call("docker-compose --context there compose ps", true) else {
            panic!("flags of docker are not carried out, so they are not passed over");
        };
        assert!(why.starts_with("docker --context before compose is not supported: set DOCKER_HOST, "), "{why}");
        let Some(Called::Metadata(text)) = call("docker-compose docker-cli-plugin-metadata", true) else {
            panic!("Docker asks for it first");
        };
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&told["SchemaVersion"], &told["Vendor"]), (&"0.1.0".into(), &"turnout".into()));
    }
}
