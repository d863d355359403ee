//! Spellings that the real `docker compose` still takes although it has given them up: taken, and noted in its words.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _, Write as _},
};

use anyhow::bail;

use super::args::{Ansi, ComposeCommand, Global};

/// Says on standard error what to write instead of what was written.
///
/// # Errors
/// A former spelling beside the one that replaced it.
pub(super) fn note(argv: &[OsString], global: &Global, command: &ComposeCommand) -> anyhow::Result<()> {
    if global.no_ansi && global.ansi != Ansi::Auto {
        bail!("cannot specify DEPRECATED \"--no-ansi\" and \"--ansi\". Please use only \"--ansi\"");
    }
    if global.workdir.is_some() && global.project_directory.is_some() {
        bail!(
            "cannot specify DEPRECATED \"--workdir\" and \"--project-directory\". Please use only \
             \"--project-directory\" instead"
        );
    }
    let mut err = io::stderr().lock();
    let red = |text: &str| {
        if io::stderr().is_terminal() { format!("\u{1b}[31m{text}\u{1b}[0m") } else { text.to_owned() }
    };
    for line in notes(argv, global, command) {
        writeln!(err, "{}", red(&line))?;
    }
    Ok(())
}

/// The lines to say.
fn notes(argv: &[OsString], global: &Global, command: &ComposeCommand) -> Vec<String> {
    let written = |flag: &str| argv.iter().skip(1).any(|word| word == flag);
    let mut lines = Vec::new();
    if global.no_ansi {
        lines.push("option '--no-ansi' is DEPRECATED ! Please use '--ansi' instead.".to_owned());
    }
    if global.workdir.is_some() {
        let instead = "Please use '--project-directory' instead.";
        lines.push(format!("option '--workdir' is DEPRECATED at root level! {instead}"));
    }
    match command {
        ComposeCommand::Up(_) | ComposeCommand::Create(_) if written("--y") => {
            lines.push("warning: --y is deprecated, please use --yes instead".to_owned());
        }
        ComposeCommand::Down(_) if written("--volume") => {
            lines.push("warning: --volume is deprecated, please use --volumes".to_owned());
        }
        ComposeCommand::Build(args) if args.progress.is_some() && args.ssh.is_none() => {
            let instead = "better use `docker compose --progress xx build ...";
            lines.push(format!("--progress is a global compose flag, {instead}"));
        }
        ComposeCommand::Pull(args) => {
            let given = [(args.no_parallel, "--no-parallel"), (args.parallel, "--parallel")];
            for (_, flag) in given.iter().filter(|(given, _)| *given) {
                lines.push(format!("option '{flag}' is DEPRECATED and will be ignored."));
            }
        }
        _ => {}
    }
    lines
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{super::args::ComposeCli, *};

    #[test]
    fn former_spellings_are_noted_and_no_others() {
        for (line, told) in [
            ("up -d", ""),
            ("up --y", "warning: --y is deprecated, please use --yes instead"),
            ("create -y", ""),
            ("down --volume", "warning: --volume is deprecated, please use --volumes"),
            ("down --volumes", ""),
            ("--no-ansi ps", "option '--no-ansi' is DEPRECATED ! Please use '--ansi' instead."),
            (
                "--workdir x ps",
                "option '--workdir' is DEPRECATED at root level! Please use '--project-directory' instead.",
            ),
            ("pull --parallel", "option '--parallel' is DEPRECATED and will be ignored."),
            ("build --compress --force-rm --no-rm --parallel", ""),
            (
                "build --progress plain",
                "--progress is a global compose flag, better use `docker compose --progress xx build ...",
            ),
        ] {
            let argv: Vec<OsString> = std::iter::once("compose").chain(line.split(' ')).map(OsString::from).collect();
            let cli = ComposeCli::try_parse_from(&argv).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(notes(&argv, &cli.global, &cli.command).join("\n"), told, "{line}");
        }
    }
}
