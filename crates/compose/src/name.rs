//! The project's name: from the command line, the environment, the files or the directory, in this order (Compose
//! specification, "Version and name top-level elements").

use std::path::Path;

use turnout_yaml::{Node, Value};

use super::{
    error::{LoadError, Warning},
    interpolate_tree, lexical,
    request::{LoadOptions, LoadRequest},
    select_files::Environment,
    source::FileSource,
};

/// The project's name: given, `COMPOSE_PROJECT_NAME`, the last `name:` of the files, or the directory.
///
/// `documents` are those of the files, in order; of a file that is wrong there are none, which is found again, with its
/// place, when the file is loaded. Unless normalising, a name in a file is taken as written.
///
/// # Errors
///
/// A given name that is not already normal, or nothing left after normalising.
pub(super) fn project_name<'a>(
    given: Option<&str>,
    environment: &Environment,
    documents: impl IntoIterator<Item = &'a Node>,
    directory: &str,
    options: &LoadOptions,
    files: &dyn FileSource,
    warnings: &mut Vec<Warning>,
) -> Result<String, LoadError> {
    let imposed = given.filter(|name| !name.is_empty()).map(|name| (name, "--project-name")).or_else(|| {
        let name = environment.get("COMPOSE_PROJECT_NAME").filter(|name| !name.is_empty())?;
        Some((name.as_str(), "COMPOSE_PROJECT_NAME"))
    });
    if let Some((name, from)) = imposed {
        if normalise(name) != name {
            return Err(LoadError::new(format!(
                "invalid project name {name:?} in {from}: must consist only of lowercase alphanumeric characters, hyphens, and underscores as well as start with a letter or number"
            ))
            .hint(format!("for instance {:?}", normalise(name))));
        }
        return Ok(name.to_owned());
    }
    let mut written = None;
    for document in documents {
        if let Some(node) = document.get("name")
            && let Value::Str(name) = &node.value
            && !name.is_empty()
        {
            written = Some(node.clone());
        }
    }
    let name = match written {
        Some(mut node) => {
            if options.interpolate {
                let lookup = |name: &str| environment.get(name).cloned();
                interpolate_tree::interpolate_at("name", &mut node, &lookup, warnings)?;
            }
            let name = node.as_str().unwrap_or_default();
            if options.normalise { normalise(name) } else { name.to_owned() }
        }
        None => {
            let base = lexical::base(directory);
            if let Ok(Some(target)) = files.link_target(Path::new(directory))
                && target.file_name().is_none_or(|name| name != base)
            {
                let message = format!(
                    "the project is named {base:?} after the symbolic link {directory}, which leads to {}",
                    target.display()
                );
                warnings.push(Warning::new(message));
            }
            normalise(base)
        }
    };
    if name.is_empty() {
        return Err(LoadError::new("project name must not be empty")
            .hint("set name: in the Compose file, COMPOSE_PROJECT_NAME, or --project-name"));
    }
    Ok(name)
}

/// The name that a project will have unless its files say another one: given, of the environment, or the folder's. For
/// what may begin before the files are read; nothing is read for it. `None` where only the files can tell.
pub fn presumed_name(request: &LoadRequest) -> Option<String> {
    let of_environment = |name: &str| request.process_env.get(name).map(String::as_str).filter(|it| !it.is_empty());
    let imposed = request.project_name.as_deref().filter(|name| !name.is_empty());
    if let Some(name) = imposed.or_else(|| of_environment("COMPOSE_PROJECT_NAME")) {
        return Some(name.to_owned()).filter(|name| normalise(name) == *name);
    }
    let cwd = request.working_dir.to_string_lossy();
    let directory = match (&request.project_directory, request.files.first()) {
        (Some(directory), _) => lexical::join(&cwd, &directory.to_string_lossy()),
        (None, Some(file)) => lexical::dir(&lexical::join(&cwd, file)),
        (None, None) if of_environment("COMPOSE_FILE").is_some() => return None,
        (None, None) => lexical::clean(&cwd),
    };
    Some(normalise(lexical::base(&directory))).filter(|name| !name.is_empty())
}

/// Lower case, nothing but `[a-z0-9_-]`, no leading `_` or `-`.
pub(super) fn normalise(name: &str) -> String {
    let kept: String = name.to_lowercase().chars().filter(|c| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-')).collect();
    kept.trim_start_matches(['_', '-']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MapFiles;
    use turnout_yaml::{Limits, parse};

    #[test]
    fn what_a_project_will_be_called() {
        let presumed = |given: Option<&str>, variable: &str, directory: Option<&str>, files: &[&str]| {
            let (name, value) = variable.split_once('=').unwrap_or_default();
            presumed_name(&LoadRequest {
                working_dir: "/srv/My Shop".into(),
                project_directory: directory.map(Into::into),
                files: files.iter().map(|file| (*file).to_owned()).collect(),
                project_name: given.map(str::to_owned),
                process_env: [(name.to_owned(), value.to_owned())].into(),
                ..LoadRequest::default()
            })
        };
        for (given, variable, directory, files, expected) in [
            (Some("p"), "COMPOSE_PROJECT_NAME=e", Some("d"), &["f/a.yaml"][..], Some("p")),
            (None, "COMPOSE_PROJECT_NAME=e", Some("d"), &["f/a.yaml"], Some("e")),
            (None, "COMPOSE_PROJECT_NAME=", Some("d"), &["f/a.yaml"], Some("d")),
            (None, "", None, &["../f/a.yaml", "g/b.yaml"], Some("f")),
            (None, "", None, &["a.yaml"], Some("myshop")),
            (None, "", None, &[], Some("myshop")),
            // Refused by the loader, which says why.
            (Some("No"), "", None, &[], None),
            (None, "COMPOSE_FILE=x.yaml", None, &[], None),
            (None, "", Some("/"), &[], None),
        ] {
            let found = presumed(given, variable, directory, files);
            assert_eq!(found.as_deref(), expected, "{given:?} {variable} {directory:?} {files:?}");
        }
    }

    #[test]
    fn names_by_priority() {
        let env = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Environment>()
        };
        let name = |given: Option<&str>, environment: &Environment, texts: &[&str], dir: &str| {
            let documents = texts.iter().flat_map(|text| parse(text, "", &Limits::default()).unwrap_or_default());
            let (documents, options) = (documents.collect::<Vec<_>>(), LoadOptions::default());
            project_name(given, environment, &documents, dir, &options, &MapFiles::default(), &mut Vec::new())
        };
        let from_env = env(&[("COMPOSE_PROJECT_NAME", "e"), ("X", "Y.z")]);
        assert_eq!(name(Some("p"), &from_env, &["name: f"], "/d").unwrap(), "p");
        assert_eq!(name(None, &from_env, &["name: f"], "/d").unwrap(), "e");
        assert_eq!(name(None, &env(&[("X", "Y.z")]), &["name: f", "name: Ref_$X"], "/d").unwrap(), "ref_yz");
        assert_eq!(name(None, &env(&[]), &["services: {}"], "/a/_My Dir.X").unwrap(), "mydirx");
        assert!(name(Some("Ref-OS"), &env(&[]), &[], "/d").unwrap_err().to_string().contains("\"ref-os\""));
        assert!(name(None, &env(&[]), &["{}"], "/___").is_err());
    }
}
