//! Commands and flags of the real `docker compose` that turnout does not carry out: known, so that they are refused by
//! name and with a reason instead of being called a spelling mistake.

use clap::{Arg, ArgAction, ArgMatches, Command};

/// A flag: its command (empty = before the command), its long and short name, whether it takes a value, and why not.
type Flag = (&'static str, &'static str, Option<char>, bool, &'static str);

const COMMANDS: &[(&str, &str)] = &[
    ("alpha", "experimental commands are not supported"),
    ("bridge", "conversion to Kubernetes needs Docker's transformer images; use the real `docker compose bridge`"),
    ("generate", "experimental commands are not supported"),
    ("publish", "OCI artifacts of Compose files are not supported; use the real `docker compose publish`"),
    ("viz", "experimental commands are not supported"),
];

const FLAGS: &[Flag] = &[("up", "menu", None, false, "there is no menu of keys; COMPOSE_MENU is ignored")];

/// Makes the grammar know what is refused.
pub(super) fn known(mut command: Command) -> Command {
    for (name, why) in COMMANDS {
        let rest = Arg::new("rest").num_args(0..).trailing_var_arg(true).allow_hyphen_values(true);
        command = command.subcommand(Command::new(name).about(*why).hide(true).disable_help_flag(true).arg(rest));
    }
    for (of, long, short, valued, _) in FLAGS {
        let mut arg = Arg::new(*long).long(*long).hide(true);
        arg = arg.action(if *valued { ArgAction::Append } else { ArgAction::SetTrue });
        if let Some(short) = short {
            arg = arg.short(*short);
        }
        // Hidden: it takes no place in the order of the help.
        let with = |command: Command| command.next_display_order(None).arg(arg).next_display_order(0);
        command = if of.is_empty() { with(command) } else { command.mut_subcommand(of, with) };
    }
    command
}

/// What was asked for that is refused, with the reason.
pub(super) fn refusal(matches: &ArgMatches) -> Option<String> {
    let given = |matches: &ArgMatches, long: &str| {
        let told = matches.try_contains_id(long).ok().and_then(|_| matches.value_source(long));
        // `--menu=false` asks for what is done anyway.
        let declined = matches.try_get_one::<bool>(long).ok().flatten() == Some(&false);
        told == Some(clap::parser::ValueSource::CommandLine) && !declined
    };
    let global = FLAGS.iter().find(|(of, long, ..)| of.is_empty() && given(matches, long));
    if let Some((_, long, .., why)) = global {
        return Some(format!("--{long} is not supported: {why}"));
    }
    let (name, inner) = matches.subcommand()?;
    if let Some((_, why)) = COMMANDS.iter().find(|(command, _)| *command == name) {
        return Some(format!("`{name}` is not supported: {why}"));
    }
    let (_, long, .., why) = FLAGS.iter().find(|(of, long, ..)| *of == name && given(inner, long))?;
    Some(format!("{name} --{long} is not supported: {why}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::{
        super::args::{ComposeCli, lenient},
        *,
    };

    #[test]
    fn refusals_name_what_was_asked_and_why() {
        for (line, told) in [
            ("viz --indentation-size 1", Some("`viz` is not supported: experimental")),
            ("watch --no-up web", None),
            ("up -w", None),
            ("up --menu -d", Some("up --menu is not supported")),
            ("build --compress web", None),
            ("--verbose up", None),
            ("up -d web", None),
            ("up --menu=false --watch=false", None),
            ("up --menu=true", Some("up --menu is not supported")),
            ("run -T web publish", None),
        ] {
            let argv = std::iter::once("turnout compose").chain(line.split(' '));
            let matches = lenient(known(ComposeCli::command())).try_get_matches_from(argv).unwrap();
            let found = refusal(&matches);
            assert_eq!(found.is_some(), told.is_some(), "{line}: {found:?}");
            assert!(found.unwrap_or_default().starts_with(told.unwrap_or_default()), "{line}");
        }
    }

    #[test]
    fn nothing_is_refused_that_is_carried_out() {
        let mut own = ComposeCli::command();
        own.build();
        for (name, _) in COMMANDS {
            assert!(own.find_subcommand(name).is_none(), "{name}");
        }
        for (of, long, ..) in FLAGS {
            let command = if of.is_empty() { Some(&own) } else { own.find_subcommand(of) };
            let command = command.unwrap_or_else(|| panic!("no command {of}"));
            assert!(!command.get_arguments().any(|argument| argument.get_long() == Some(long)), "{of} --{long}");
        }
    }
}
