//! Bounds the size of a project while it is read. Size is counted in entries: items of lists and keys of mappings, at
//! every depth, of all its services.
//!
//! A list that an alias repeats, or an env file that many services name, is short to write: services times entries is
//! what it comes to, and what is held of each entry is far more than its text.

use turnout_yaml::{Node, Value};

use crate::error::LoadError;

/// Entries of all services of a project, what short forms, aliases, env and label files become counted. Large projects
/// have some ten thousand; each entry takes up to half a kilobyte while the project is loaded.
pub(crate) const MAX_ENTRIES: usize = 400_000;

/// What is too much, in words.
pub(crate) fn too_many() -> String {
    format!("the services of the project have more than {MAX_ENTRIES} entries in all (list items and keys)")
}

/// What to do about it.
pub(crate) const FEWER: &str = "name fewer variables, labels, networks, mounts or ports for each service, or make several \
                                projects of it";

/// Entries counted so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Entries(usize);

impl Entries {
    /// Those of all services of a document.
    ///
    /// # Errors
    /// The attribute that is too much, with its place.
    pub(super) fn of(root: &Node) -> Result<Entries, LoadError> {
        let mut entries = Entries::default();
        for (name, entry) in root.get("services").and_then(Node::as_map).into_iter().flatten() {
            entries.add_service(name, &entry.node)?;
        }
        Ok(entries)
    }

    /// Those of one more service.
    ///
    /// # Errors
    /// The attribute that is too much, with its place.
    pub(super) fn add_service(&mut self, name: &str, service: &Node) -> Result<(), LoadError> {
        for (key, entry) in service.as_map().into_iter().flatten() {
            if !self.add(count(&entry.node).saturating_add(1)) {
                let mut error = LoadError::at(format!("services.{name}.{key}"), &entry.node, too_many()).hint(FEWER);
                error.pos = Some(entry.key_pos.clone());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Some more; whether all are still within the bound.
    pub(super) fn add(&mut self, more: usize) -> bool {
        self.0 = self.0.saturating_add(more);
        self.0 <= MAX_ENTRIES
    }
}

fn count(node: &Node) -> usize {
    match &node.value {
        Value::Seq(items) => items.iter().map(|item| count(item).saturating_add(1)).sum(),
        Value::Map(map) => map.values().map(|entry| count(&entry.node).saturating_add(1)).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        load::{LoadRequest, Loaded, load},
        source::MapFiles,
    };

    fn run(files: &[(&str, &str)]) -> Result<Loaded, String> {
        let request = LoadRequest { working_dir: "/p".into(), ..LoadRequest::default() };
        load(&request, &MapFiles::new(files.iter().copied())).map_err(|error| error.to_string())
    }

    /// Services that all have the same attributes.
    fn many(count: usize, head: &str, service: &str, tail: &str) -> String {
        let services: String = (0..count).map(|n| format!("  s{n:03}: {{image: x, {service}}}\n")).collect();
        format!("{head}services:\n{services}{tail}")
    }

    #[test]
    fn services_times_what_each_names_is_bounded() {
        let names = |form: &dyn Fn(usize) -> String| (0..1000).map(form).collect::<Vec<_>>().join(", ");
        let objects = |section: &str, object: &str| {
            let objects: String = (0..1000).map(|n| format!("  n{n}: {object}\n")).collect();
            format!("{section}:\n{objects}")
        };
        // A mount in its short form becomes six entries, a secret two.
        for (attribute, list, tail, count) in [
            ("networks", names(&|n| format!("n{n}")), objects("networks", "{external: true}"), 401),
            ("secrets", names(&|n| format!("n{n}")), objects("secrets", "{file: f}"), 201),
            ("volumes", names(&|n| format!("'n{n}:/n{n}'")), objects("volumes", ""), 80),
            ("environment", names(&|n| format!("N{n}=")), String::new(), 401),
        ] {
            let head = format!("x-l: &l [{list}]\n");
            let text = |count: usize| many(count, &head, &format!("{attribute}: *l"), &tail);
            let within = run(&[("/p/compose.yaml", &text(10))]);
            assert!(within.is_ok(), "{attribute}: {within:?}");
            let error = run(&[("/p/compose.yaml", &text(count))]).unwrap_err();
            assert!(error.starts_with("compose.yaml:") && error.contains(": services.s"), "{attribute}: {error}");
            assert!(error.contains(&format!(".{attribute}: {}", too_many())), "{attribute}: {error}");
        }
    }

    #[test]
    fn env_and_label_files_count_for_each_service_that_names_them() {
        let lines: String = (0..40_000).map(|n| format!("v{n}=\n")).collect();
        for attribute in ["env_file", "label_file"] {
            let text = |count: usize| many(count, "", &format!("{attribute}: [e]"), "");
            assert!(run(&[("/p/compose.yaml", &text(9)), ("/p/e", &lines)]).is_ok(), "{attribute}");
            let error = run(&[("/p/compose.yaml", &text(320)), ("/p/e", &lines)]).unwrap_err();
            assert!(error.starts_with("compose.yaml:11:"), "{attribute}: {error}");
            assert!(error.contains(&format!(": services.s009.{attribute}[0]: {}", too_many())), "{attribute}: {error}");
        }
        // Both are counted together, and with what the services themselves say.
        let both = many(5, "", "env_file: [e], label_file: [e]", "");
        let error = run(&[("/p/compose.yaml", &both), ("/p/e", &lines)]).unwrap_err();
        assert!(error.contains(".env_file[0]: the services of the project have more than"), "{error}");
    }

    #[test]
    fn variables_of_many_short_lines_are_bounded() {
        let lines = |count: usize| (0..count).map(|n| format!("v{n}=\n")).collect::<String>();
        let one = "services: {a: {image: x}}\n";
        let error = run(&[("/p/compose.yaml", one), ("/p/.env", &lines(100_002))]).unwrap_err();
        assert!(error.contains("/p/.env: line 100002: there are more than 100000 variables"), "{error}");
        for format in ["", ", format: raw"] {
            let text = format!("services: {{a: {{image: x, env_file: [{{path: e{format}}}]}}}}\n");
            let error = run(&[("/p/compose.yaml", &text), ("/p/e", &lines(100_002))]).unwrap_err();
            assert!(error.contains("line 100002: there are more than 100000 variables"), "{error}");
        }
        // Each included file sees those of the project.
        let names: Vec<String> = (0..12).map(|n| format!("/p/i{n}.yaml")).collect();
        let main = format!("include: [{}]\n{one}", names.join(", "));
        let env = lines(90_000);
        let mut files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "services: {}\n")).collect();
        files.extend([("/p/compose.yaml", main.as_str()), ("/p/.env", env.as_str())]);
        let error = run(&files).unwrap_err();
        assert!(error.contains("the variables of all included files exceed a number of 1000000"), "{error}");
    }

    #[test]
    fn warnings_are_bounded() {
        let lines: String = (0..20_000).map(|n| format!("v{n}=$a{n}$b{n}\n")).collect();
        let texts: String = (0..20_000).map(|n| format!("$c{n}$d{n}")).collect();
        let by_env_file = "services: {a: {image: x, env_file: [e]}}\n".to_owned();
        let by_text = format!("services: {{a: {{image: x, command: '{texts}'}}}}\n");
        let plain = "services: {a: {image: x}}\n".to_owned();
        for (text, env) in [(by_env_file, ""), (by_text, ""), (plain, lines.as_str())] {
            let warnings = run(&[("/p/compose.yaml", &text), ("/p/.env", env), ("/p/e", &lines)]).unwrap().warnings;
            assert_eq!(warnings.len(), 1001);
            assert!(warnings[0].message.contains("is not set"), "{}", warnings[0]);
            assert!(warnings[1000].message.starts_with("there are more than 1000 warnings"), "{}", warnings[1000]);
        }
    }

    #[test]
    fn a_thousand_warnings_are_no_more_than_that() {
        use crate::error::{Warning, distinct, keep};
        let mut warnings = Vec::new();
        for number in 0..1_000_000 {
            keep(&mut warnings, Warning::new(format!("{}", number % 1000)));
            assert!(warnings.len() <= 10_002);
        }
        assert_eq!(distinct(warnings).len(), 1000);
    }
}
