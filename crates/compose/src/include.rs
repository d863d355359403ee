//! `include`: loads other projects and copies their services, networks, volumes, secrets, configs and models into this
//! one (Compose specification, `include`).

use std::{path::Path, rc::Rc};

use turnout_yaml::{Entry, Map, Node, Value};

use super::{
    document::load_model,
    error::{LoadError, Warning},
    lexical, merge,
    select_files::{Environment, read_env_files},
    session::{Scope, Session},
};

/// Files that include one another, at most.
const MAX_DEPTH: usize = 32;

/// Resources that are copied.
const RESOURCES: [&str; 6] = ["services", "volumes", "networks", "secrets", "configs", "models"];

/// Copies what a document of `file` includes into it; `including` are the files that led to `file`.
///
/// # Errors
///
/// A file that cannot be loaded, a circle, or a name that is defined twice and differently.
pub(super) fn apply(
    session: &mut Session<'_>,
    scope: &Scope,
    document: &mut Node,
    file: &str,
    including: &[String],
) -> Result<(), LoadError> {
    let Some(root) = document.as_map_mut() else { return Ok(()) };
    let Some(entry) = root.shift_remove("include") else { return Ok(()) };
    let mut including = including.to_vec();
    including.push(file.to_owned());
    let items = match entry.node.value {
        Value::Null => return Ok(()),
        Value::Seq(items) => items,
        other => {
            let message = format!("`include` must be a list, not {}", other.kind());
            return Err(LoadError::new(message).path("include").pos(entry.node.pos).hint("write include: [FILE]"));
        }
    };
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("include[{index}]");
        let place = |error: LoadError| {
            if error.pos.is_some() { error } else { error.path(path.clone()).pos(item.pos.clone()) }
        };
        let inclusion = Inclusion::read(&path, &item)?;
        if inclusion.files.is_empty() {
            variables(session, scope, &inclusion, inclusion.project_directory.as_deref().unwrap_or_default())
                .map_err(place)?;
            // Compose passes over such an entry; silence would hide a misspelt key.
            let mut warning = Warning::at(&path, &item.pos, "path is missing, nothing is included");
            warning.hint = Some("write {path: FILE}, or remove the entry".to_owned());
            session.warnings.push(warning);
            continue;
        }
        let imported = load(session, scope, inclusion, &including).map_err(place)?;
        import(imported, root)?;
    }
    Ok(())
}

struct Inclusion {
    files: Vec<String>,
    project_directory: Option<String>,
    env_files: Vec<String>,
}

impl Inclusion {
    fn read(path: &str, node: &Node) -> Result<Inclusion, LoadError> {
        if let Value::Str(file) = &node.value {
            return Ok(Inclusion { files: vec![file.clone()], project_directory: None, env_files: Vec::new() });
        }
        if node.is_null() {
            return Ok(Inclusion { files: Vec::new(), project_directory: None, env_files: Vec::new() });
        }
        if node.as_map().is_none() {
            let message = format!("must be a file or a mapping, not {}", node.value.kind());
            return Err(LoadError::at(path, node, message).hint("write FILE or {path: FILE}"));
        }
        let files = strings(&format!("{path}.path"), node.get("path"))?;
        let directory = match node.get("project_directory") {
            Some(list) if list.as_seq().is_some() => {
                return Err(LoadError::at(format!("{path}.project_directory"), list, "must be a string, not a list"));
            }
            other => strings(&format!("{path}.project_directory"), other)?,
        };
        let mut directory: Vec<String> = directory.into_iter().filter(|text| !text.is_empty()).collect();
        let env_files = strings(&format!("{path}.env_file"), node.get("env_file"))?;
        Ok(Inclusion { files, project_directory: directory.pop(), env_files })
    }
}

/// A string or a list of strings.
fn strings(path: &str, node: Option<&Node>) -> Result<Vec<String>, LoadError> {
    let wrong = |node: &Node| {
        LoadError::at(path, node, format!("must be a string or a list of strings, not {}", node.value.kind()))
    };
    match node.map(|node| (node, &node.value)) {
        None | Some((_, Value::Null)) => Ok(Vec::new()),
        Some((_, Value::Str(text))) => Ok(vec![text.clone()]),
        Some((_, Value::Seq(items))) => {
            items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(|| wrong(item))).collect()
        }
        Some((node, _)) => Err(wrong(node)),
    }
}

fn load(
    session: &mut Session<'_>,
    scope: &Scope,
    inclusion: Inclusion,
    including: &[String],
) -> Result<Node, LoadError> {
    let mut files = Vec::with_capacity(inclusion.files.len());
    let mut fetched_dir = None;
    for file in &inclusion.files {
        files.push(match session.fetched(file)? {
            Some((local, _)) => {
                if files.is_empty() {
                    fetched_dir = Some(lexical::dir(&local));
                }
                local
            }
            None => lexical::join(&scope.loader_dir, file),
        });
    }
    let Some(main) = files.first() else { return Err(LoadError::new("path is missing")) };
    if including.contains(main) || including.len() > MAX_DEPTH {
        let way = including.iter().chain([main]).map(|file| session.shown(file)).collect::<Vec<_>>().join(" -> ");
        let message =
            if including.contains(main) { "include cycle detected" } else { "includes are nested too deeply" };
        return Err(LoadError::new(format!("{message}: {way}")).hint("remove one of these includes"));
    }
    // Relative to the loader's directory, like Go: the parent makes it absolute later.
    let seen_from = |path: &str| {
        let path = lexical::join(&scope.loader_dir, path);
        let directory = if session.is_dir(&path) { path } else { lexical::dir(&path) };
        lexical::relative(&scope.loader_dir, &directory)
    };
    let (working_dir, directory) = match &inclusion.project_directory {
        None => (fetched_dir.unwrap_or_else(|| seen_from(main)), lexical::dir(main)),
        Some(given) if given.starts_with('/') => (given.clone(), given.clone()),
        Some(given) => (seen_from(given), lexical::join(&scope.working_dir, given)),
    };
    let (directory, environment) = variables(session, scope, &inclusion, &directory)?;
    let inner = Scope { working_dir, loader_dir: directory, environment: Rc::new(environment) };
    load_model(session, &inner, &files, including)
}

/// The absolute directory of an inclusion, and the variables that its files see.
fn variables(
    session: &mut Session<'_>,
    scope: &Scope,
    inclusion: &Inclusion,
    directory: &str,
) -> Result<(String, Environment), LoadError> {
    let directory = lexical::join(&session.cwd, directory);
    let env_files = env_files(session, scope, &inclusion.env_files, &directory)?;
    let mut environment = (*scope.environment).clone();
    for (key, value) in read_env_files(&environment, &env_files, session.files, &mut session.warnings)? {
        environment.entry(key).or_insert(value);
    }
    session.count_environment(&environment)?;
    Ok((directory, environment))
}

fn env_files(
    session: &Session<'_>,
    scope: &Scope,
    given: &[String],
    directory: &str,
) -> Result<Vec<String>, LoadError> {
    if given.is_empty() {
        let default = lexical::join(directory, ".env");
        let path = Path::new(&default);
        let there = session.files.exists(path) && !session.files.is_dir(path);
        return Ok(if there { vec![default] } else { Vec::new() });
    }
    let mut found = Vec::with_capacity(given.len());
    for file in given {
        let path = lexical::join(&session.cwd, &lexical::join(&scope.working_dir, file));
        if session.files.is_dir(Path::new(&path)) {
            return Err(LoadError::new(format!("{path} is not a file")).hint("env_file must name a file"));
        }
        found.push(path);
    }
    Ok(found)
}

/// Copies resources; equal ones may meet, different ones may not.
fn import(imported: Node, root: &mut Map) -> Result<(), LoadError> {
    let Value::Map(mut imported) = imported.value else { return Ok(()) };
    for kind in RESOURCES {
        let Some(Entry { key_pos, node }) = imported.swap_remove(kind) else { continue };
        let Value::Map(resources) = node.value else { continue };
        let slot = root
            .entry(kind.to_owned())
            .or_insert_with(|| Entry { key_pos, node: Node::new(Value::Map(Map::new()), node.pos.clone()) });
        if slot.node.is_null() {
            slot.node.value = Value::Map(Map::new());
        }
        let Value::Map(target) = &mut slot.node.value else {
            return Err(LoadError::at(kind, &slot.node, format!("must be a mapping, not {}", slot.node.value.kind())));
        };
        for (name, entry) in resources {
            match target.get(&name) {
                Some(own) if merge::same(&own.node, &entry.node) => {}
                Some(own) => {
                    let path = format!("{kind}.{name}");
                    return Err(LoadError::new(format!("{path} conflicts with imported resource"))
                        .path(path)
                        .pos(own.key_pos.clone())
                        .hint(format!(
                            "the included one stands at {}; rename one of them, or change it in an override file",
                            entry.key_pos
                        )));
                }
                None => {
                    target.insert(name, entry);
                }
            }
        }
    }
    Ok(())
}
