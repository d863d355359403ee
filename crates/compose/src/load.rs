//! From a request to a loaded project: the whole pipeline on one screen.

use std::rc::Rc;

use super::{
    document,
    error::{LoadError, Warning, distinct},
    lexical,
    model::Project,
    name,
    resolve::{self, FinishContext},
    select_files,
    session::{Scope, Session},
    source::FileSource,
};
use turnout_yaml::{Entry, Node, Value};

pub use super::{
    name::presumed_name,
    request::{EnvFiles, LoadOptions, LoadRequest},
};

/// A loaded project and what was odd about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The project, typed and complete.
    pub project: Project,
    /// What was odd about its files, each once.
    pub warnings: Vec<Warning>,
}

/// A project before it is typed: every document merged, short forms expanded.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The merged document, short forms expanded.
    pub root: Node,
    /// What was odd about its files, each once.
    pub warnings: Vec<Warning>,
}

/// Loads a project exactly as Compose 2.40.3 does.
///
/// # Errors
///
/// The first mistake found, with attribute path and place.
pub fn load(request: &LoadRequest, files: &dyn FileSource) -> Result<Loaded, LoadError> {
    let Gathered { root, name, selected, mut warnings } = gather(request, files, true)?;
    let options = &request.options;
    let context = FinishContext {
        name,
        working_dir: selected.directory.into(),
        environment: selected.environment,
        profiles: selected.profiles,
        services: request.services.clone(),
        config_files: selected.files,
        env_files: selected.env_files,
        normalise: options.normalise,
        check_consistency: options.check_consistency,
        read_env_files: options.env_files,
        unique_container_names: options.unique_container_names,
        all_resources: options.all_resources,
        files,
    };
    let project = resolve::finish(root, &context, &mut warnings)?;
    let project = Project { repository: options.repository.clone(), ..project };
    Ok(Loaded { project, warnings: distinct(warnings) })
}

/// Loads a project without typing it: no service is selected, nothing is checked between services.
///
/// This is what `config --no-interpolate` prints, where numbers may still be variables.
///
/// # Errors
///
/// As [`load`].
pub fn load_model(request: &LoadRequest, files: &dyn FileSource) -> Result<Model, LoadError> {
    let Gathered { mut root, name, selected, warnings } = gather(request, files, false)?;
    if request.options.normalise {
        resolve::normalise(&mut root, &name, &selected.environment)?;
        let pos = root.pos.clone();
        if let Some(map) = root.as_map_mut() {
            map.insert("name".to_owned(), Entry { key_pos: pos.clone(), node: Node::new(Value::Str(name), pos) });
        }
    }
    Ok(Model { root, warnings: distinct(warnings) })
}

struct Gathered {
    root: Node,
    name: String,
    selected: select_files::Selection,
    warnings: Vec<Warning>,
}

/// With `variables`, what a document names without a value (`- KEY`) takes it from the environment.
fn gather(request: &LoadRequest, files: &dyn FileSource, variables: bool) -> Result<Gathered, LoadError> {
    let mut warnings = Vec::new();
    let options = &request.options;
    if !request.working_dir.is_absolute() {
        return Err(LoadError::new(format!("the working directory {} is not absolute", request.working_dir.display())));
    }

    // Environment, files, directory, profiles; then the name, which variables may refer to.
    let mut selected = select_files::select(request, files, &mut warnings)?;
    let mut session = Session::new(request, files);
    // The first fetched file has its paths relative to its own folder; the project is named after this one still.
    let named_after = selected.directory.clone();
    let mut fetched = false;
    for file in &mut selected.files {
        if let Some((local, _)) = session.fetched(file)? {
            if !std::mem::replace(&mut fetched, true) {
                selected.directory = lexical::dir(&local);
            }
            *file = local;
        }
    }
    session.look_ahead(&selected.files)?;
    let name = name::project_name(
        request.project_name.as_deref(),
        &selected.environment,
        selected.files.iter().flat_map(|file| session.seen(file)),
        &named_after,
        options,
        files,
        &mut warnings,
    )?;
    if !variables {
        selected.environment.clear();
    }
    selected.environment.insert("COMPOSE_PROJECT_NAME".into(), name.clone());

    // Every document of every file over the ones before, with what it extends and includes.
    let scope = Scope {
        working_dir: selected.directory.clone(),
        loader_dir: selected.directory.clone(),
        environment: Rc::new(selected.environment.clone()),
    };
    session.warnings = warnings;
    let root = document::load_model(&mut session, &scope, &selected.files, &[])?;
    if root.as_map().is_none_or(|map| map.is_empty()) {
        return Err(LoadError::at("", &root, "empty compose file").hint("begin with services:"));
    }
    Ok(Gathered { root, name, selected, warnings: session.warnings })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MapFiles;

    fn run(files: &[(&str, &str)]) -> Result<Loaded, LoadError> {
        let request = LoadRequest { working_dir: "/p".into(), ..LoadRequest::default() };
        load(&request, &MapFiles::new(files.iter().copied()))
    }

    fn error(files: &[(&str, &str)]) -> String {
        run(files).unwrap_err().to_string()
    }

    #[test]
    fn files_documents_extends_and_include_come_together() {
        let loaded = run(&[
            ("/p/compose.yaml", "include: [sub/c.yaml]\nservices:\n  a: {extends: {file: sub/base.yaml, service: z}, environment: {X: $V}}\n---\nservices: {a: {image: i:2}}\n"),
            ("/p/compose.override.yml", "services: {a: {ports: !override ['81']}}\n"),
            ("/p/.env", "V=main\n"),
            ("/p/sub/.env", "V=sub\nW=sub\n"),
            ("/p/sub/base.yaml", "services: {z: {image: i:1, ports: ['80'], build: ., environment: {Y: $V}}}\n"),
            ("/p/sub/c.yaml", "services: {b: {image: 'j:$V-$W', volumes: ['./d:/d']}}\n"),
        ])
        .unwrap();
        let services = &loaded.project.services;
        assert_eq!(services["a"].image, "i:2");
        assert_eq!(services["a"].environment["X"].as_deref(), Some("main"));
        assert_eq!(services["a"].environment["Y"].as_deref(), Some("main"));
        assert_eq!(services["a"].ports.len(), 1);
        assert_eq!(services["a"].ports[0].target, 81);
        assert_eq!(services["a"].build.as_ref().unwrap().context, "/p/sub");
        assert_eq!(services["b"].image, "j:main-sub");
        assert_eq!(services["b"].volumes[0].source, "/p/sub/d");
        assert_eq!(loaded.warnings, []);
    }

    #[test]
    fn warnings_come_once_and_say_where() {
        let loaded =
            run(&[("/p/compose.yaml", "version: '3'\nservices: {a: {image: 'i$X$X', tty: 'yes'}}\n")]).unwrap();
        let texts: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 3, "{texts:?}");
        assert!(
            texts.iter().any(|t| t.starts_with("compose.yaml:2:23: services.a.image: The \"X\" variable is not set")),
            "{texts:?}"
        );
        assert!(texts.iter().any(|t| t.starts_with("compose.yaml:1:1: version: ")), "{texts:?}");
    }

    #[test]
    fn mistakes_are_named_with_file_and_attribute() {
        for (files, part) in [
            (vec![("/p/compose.yaml", "")], "empty compose file"),
            (vec![("/p/compose.yaml", "- a\n")], "compose.yaml:1:1: top-level object must be a mapping"),
            (vec![("/p/compose.yaml", "services: [a]\n")], "services: must be a mapping"),
            (
                vec![("/p/compose.yaml", "include: [compose.yaml]\n")],
                "compose.yaml:1:11: include[0]: include cycle detected",
            ),
            (
                vec![("/p/compose.yaml", "include: [b.yaml]\n"), ("/p/b.yaml", "include: [compose.yaml]\n")],
                "b.yaml:1:11: include[0]: include cycle",
            ),
            (
                vec![("/p/compose.yaml", "include: [no.yaml]\n")],
                "compose.yaml:1:11: include[0]: cannot read /p/no.yaml",
            ),
            (
                vec![("/p/compose.yaml", "services:\n  a: {extends: b}\n  b: {extends: a}\n")],
                "circular reference: a in compose.yaml -> b in compose.yaml -> a in compose.yaml",
            ),
            (
                vec![("/p/compose.yaml", "services:\n  a: {extends: no}\n")],
                "compose.yaml:2:16: services.a.extends: cannot extend service \"a\": service \"no\" not found",
            ),
            (
                vec![("/p/compose.yaml", "services:\n  a: {extends: {file: no.yaml, service: b}}\n")],
                "services.a.extends.file: cannot read /p/no.yaml",
            ),
            (
                vec![
                    ("/p/compose.yaml", "include: [b.yaml]\nservices: {a: {image: x}}\n"),
                    ("/p/b.yaml", "services: {a: {image: y}}\n"),
                ],
                "compose.yaml:2:12: services.a: services.a conflicts with imported resource",
            ),
            (
                vec![("/p/compose.yaml", "services: {a: {image: x}}\n"), ("/p/.env", "A='x\n")],
                "failed to read /p/.env: line 1: unterminated",
            ),
        ] {
            let error = error(&files);
            assert!(error.contains(part), "wants {part:?}: {error}");
        }
    }

    #[test]
    fn what_is_short_to_write_and_long_to_read_out_has_bounds() {
        let many = |count: usize, service: &str| {
            let services: String = (0..count).map(|n| format!("  s{n}: {{image: x, {service}}}\n")).collect();
            format!("services:\n{services}")
        };
        // Each service within what one alone may have; all of them are too many.
        assert!(run(&[("/p/compose.yaml", &many(1, "ports: ['1-65535:1-65535']"))]).is_ok());
        let ports = error(&[("/p/compose.yaml", &many(2, "ports: ['1-65535:1-65535']"))]);
        assert!(ports.starts_with("compose.yaml:3:26: services.s1.ports[0]: the ports of the project's"), "{ports}");
        let included: Vec<(String, String)> = (0..3)
            .map(|n| (format!("/p/i{n}.yaml"), format!("services: {{i{n}: {{image: x, ports: ['1-65535']}}}}\n")))
            .collect();
        let mut files: Vec<(&str, &str)> = included.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        files.push(("/p/compose.yaml", "include: [i0.yaml, i1.yaml, i2.yaml]\n"));
        assert!(error(&files).contains("services.i1.ports[0]: the ports of the project's"), "{}", error(&files));
        let exposed = error(&[("/p/compose.yaml", &many(3, "expose: ['1-65535']"))]);
        assert!(exposed.starts_with("compose.yaml:3:27: services.s1.expose[0]: the ports that"), "{exposed}");
        let services = error(&[("/p/compose.yaml", &many(10_001, "scale: 0"))]);
        assert!(services.contains("the project has more than 10000 services"), "{services}");

        // The same file for each service.
        let text = format!("A={}\n", "x".repeat(8 << 20));
        let services = many(9, "env_file: [big.env]");
        let env = error(&[("/p/compose.yaml", &services), ("/p/big.env", &text)]);
        assert!(env.contains("services.s7.env_file[0]: what is read for the services"), "{env}");
        // Each value refers to the former one twice.
        let doubled: String = (0..20).map(|n| format!("A{}=${{A{n}}}${{A{n}}}\n", n + 1)).collect::<String>().replacen(
            "${A0}${A0}",
            "0123456789",
            1,
        );
        let services = many(9, "env_file: [doubled.env]");
        let env = error(&[("/p/compose.yaml", &services), ("/p/doubled.env", &doubled)]);
        assert!(env.contains("the variables and labels of all services exceed"), "{env}");
        let labels = many(9, "label_file: [big.env]");
        assert!(error(&[("/p/compose.yaml", &labels), ("/p/big.env", &text)]).contains("services.s7.label_file[0]"));

        // A step has all that its service has.
        let steps = vec!["{command: x}"; 2_000].join(", ");
        let variables: String = (0..600).map(|n| format!("K{n}: v, ")).collect();
        let text = format!("services: {{a: {{image: x, environment: {{{variables}}}, pre_start: [{steps}]}}}}\n");
        let copied = error(&[("/p/compose.yaml", &text)]);
        assert!(copied.contains("services.a.pre_start[") && copied.contains("take over more than"), "{copied}");

        // Files that are a million values each, by aliases, and texts that variables make long, file by file.
        let list = vec!["0"; 1_000].join(",");
        let aliases = vec!["*l"; 400].join(",");
        let wide = format!("x-l: &l [{list}]\nx-m: [{aliases}]\nservices: {{}}\n");
        let long = format!("x-t: ['{}']\nservices: {{}}\n", "$V".repeat(6));
        for (text, said) in [(wide, "the project's files come to more than"), (long, "interpolated texts exceed")] {
            let names: Vec<String> = (0..12).map(|n| format!("w{n}.yaml")).collect();
            let main = format!("include: [{}]\nservices: {{a: {{image: x}}}}\n", names.join(", "));
            let paths: Vec<String> = names.iter().map(|name| format!("/p/{name}")).collect();
            let mut files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), text.as_str())).collect();
            let env = format!("V={}\n", "x".repeat(1 << 20));
            files.extend([("/p/compose.yaml", main.as_str()), ("/p/.env", env.as_str())]);
            let error = error(&files);
            assert!(error.contains(said), "wants {said}: {error}");
        }
        // Variables that each of many included files sees.
        let names: Vec<String> = (0..40).map(|n| format!("/p/e{n}.yaml")).collect();
        let main = format!("include: [{}]\nservices: {{a: {{image: x}}}}\n", names.join(", "));
        let mut files: Vec<(&str, &str)> = names.iter().map(|path| (path.as_str(), "services: {}\n")).collect();
        let env = format!("V={}\n", "x".repeat(8 << 20));
        files.extend([("/p/compose.yaml", main.as_str()), ("/p/.env", env.as_str())]);
        assert!(error(&files).contains("the variables of all included files exceed"), "{}", error(&files));
    }

    #[test]
    fn hostile_projects_end_early() {
        let mut chain = String::from("services:\n  s0: {image: x}\n");
        for n in 1..300 {
            chain.push_str(&format!("  s{n}: {{extends: s{}}}\n", n - 1));
        }
        // Every service is settled once, so the order written decides the depth: backwards is the worst.
        let mut backwards: Vec<&str> = chain.lines().skip(1).collect();
        backwards.reverse();
        let backwards = format!("services:\n{}\n", backwards.join("\n"));
        assert!(run(&[("/p/compose.yaml", &chain)]).is_ok());
        assert!(error(&[("/p/compose.yaml", &backwards)]).contains("too long a chain"));

        let list = vec!["x"; 20_000].join(",");
        let mut copies = format!("services:\n  base: {{image: x, security_opt: [{list}]}}\n");
        for n in 0..100 {
            copies.push_str(&format!("  s{n}: {{extends: base}}\n"));
        }
        assert!(error(&[("/p/compose.yaml", &copies)]).contains("extends copies more than"));

        // Each file includes the next one twice over.
        let names: Vec<String> = (0..20).map(|n| format!("/p/f{n}.yaml")).collect();
        let texts: Vec<String> = (0..20).map(|n| format!("include: [f{0}.yaml, f{0}.yaml]\n", n + 1)).collect();
        let mut files: Vec<(&str, &str)> =
            names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
        files.push(("/p/f20.yaml", "services: {a: {image: x}}\n"));
        files.push(("/p/compose.yaml", "include: [f0.yaml]\n"));
        assert!(error(&files).contains("more than 1000 files are read"));

        let deep = format!("x-a: {}{}\nservices: {{a: {{image: x}}}}\n", "[".repeat(100), "]".repeat(100));
        assert!(run(&[("/p/compose.yaml", &deep)]).is_ok());
    }
}
