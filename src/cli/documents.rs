//! `turnout documents`: man pages, shell completions and the schema of `repos.yaml`, made from what is declared so that they
//! cannot go stale. `turnout schema` prints the last.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use super::{
    args::{Arguments, DocumentsArgs, SchemaArgs, SchemaOf},
    trouble::Trouble,
};
use crate::config::reference;

/// Where each shell looks, below a `share` directory, and under which name.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions/turnout"),
    (Shell::Zsh, "zsh/vendor-completions/_turnout"),
    (Shell::Fish, "fish/vendor_completions.d/turnout.fish"),
];

/// Writes everything below the directory, as `/usr/share` is laid out.
pub(super) fn documents(args: &DocumentsArgs) -> Result<ExitCode, Trouble> {
    let mut pages = 0;
    let mut grammar = Arguments::command();
    grammar.build();
    for (name, page) in manual(&grammar)? {
        write(&args.directory.join("man/man1").join(name), &page)?;
        pages += 1;
    }
    for (shell, place) in COMPLETIONS {
        let mut script = Vec::new();
        generate(shell, &mut Arguments::command(), "turnout", &mut script);
        write(&args.directory.join(place), &script)?;
    }
    write(&args.directory.join(reference::SCHEMA_IN_SHARE), json(SchemaOf::Repos).as_bytes())?;
    writeln!(
        io::stdout(),
        "{pages} man pages, completions for {} shells and a schema, in {}",
        COMPLETIONS.len(),
        args.directory.display()
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a schema.
pub(super) fn schema(args: &SchemaArgs) -> Result<ExitCode, Trouble> {
    write!(io::stdout(), "{}", json(args.of))?;
    Ok(ExitCode::SUCCESS)
}

fn json(of: SchemaOf) -> String {
    let schema = match of {
        SchemaOf::Repos => reference::repos_schema(),
    };
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

/// `turnout.1` and one page a command that people see: file names and texts.
fn manual(grammar: &clap::Command) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut pages = vec![("turnout.1".to_owned(), page(grammar.clone(), "turnout")?)];
    for command in grammar.get_subcommands() {
        if command.is_hide_set() || command.get_name() == "help" {
            continue;
        }
        let name = format!("turnout-{}", command.get_name());
        pages.push((format!("{name}.1"), page(command.clone(), &name)?));
    }
    Ok(pages)
}

fn page(command: clap::Command, name: &str) -> io::Result<Vec<u8>> {
    // A page is found by the name with a hyphen, and is headed by it.
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    let mut text = Vec::new();
    clap_mangen::Man::new(command.name(name)).manual("turnout").render(&mut text)?;
    Ok(text)
}

fn write(file: &Path, text: &[u8]) -> Result<(), anyhow::Error> {
    let directory = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_lies_where_the_example_names_it() {
        let dir = tempfile::tempdir().unwrap();
        documents(&DocumentsArgs { directory: dir.path().to_path_buf() }).unwrap();
        let below = reference::SCHEMA_FILE.strip_prefix("/usr/share/").unwrap();
        let schema: serde_json::Value = serde_json::from_slice(&fs::read(dir.path().join(below)).unwrap()).unwrap();
        assert_eq!(schema, reference::repos_schema());
        assert!(
            reference::example().starts_with(&format!("# yaml-language-server: $schema={}\n", reference::SCHEMA_FILE))
        );
    }

    #[test]
    fn every_command_that_people_see_has_a_page() {
        let grammar = Arguments::command();
        let pages = manual(&grammar).unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for wanted in ["turnout.1", "turnout-serve.1", "turnout-check.1", "turnout-compose.1"] {
            assert!(names.contains(&wanted), "{wanted} is not among {names:?}");
        }
        assert!(!names.contains(&"turnout-documents.1"));
        for (name, text) in &pages {
            let text = String::from_utf8(text.clone()).unwrap();
            let heading = name.trim_end_matches(".1");
            assert!(text.contains(&format!(".TH {heading} 1")), "{name}: {text}");
        }
    }
}
