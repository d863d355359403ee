//! Relative paths become absolute.

use std::path::Path;

use crate::{
    error::LoadError,
    lexical::join,
    remote,
    source::{FileSource, reason},
};
use turnout_yaml::{Node, Value};

/// Makes the paths of a model absolute, in place; `dir` may itself be relative, for a file that is extended.
///
/// `home` is what `~` stands for; without it, `~` is left alone. `files` knows symbolic links.
///
/// # Errors
///
/// A bind mount without a source, a watched path that leads nowhere.
pub fn resolve(root: &mut Node, dir: &Path, home: Option<&str>, files: &dyn FileSource) -> Result<(), LoadError> {
    let base = Base { dir: dir.to_string_lossy().into_owned(), home, files };
    let Some(sections) = root.as_map_mut() else { return Ok(()) };
    for (section, entry) in sections {
        let Some(children) = entry.node.as_map_mut() else { continue };
        for (name, entry) in children {
            let node = &mut entry.node;
            match section.as_str() {
                "services" => base.service(node, &format!("services.{name}"))?,
                "volumes" => base.volume(node),
                "configs" | "secrets" => change(node, &["file"], &|path| base.mount(path)),
                _ => {}
            }
        }
    }
    Ok(())
}

struct Base<'a> {
    dir: String,
    home: Option<&'a str>,
    files: &'a dyn FileSource,
}

impl Base<'_> {
    fn service(&self, node: &mut Node, path: &str) -> Result<(), LoadError> {
        let context = |text: &str| self.context(text);
        let file = |text: &str| self.file(text);
        change(node, &["build", "context"], &context);
        change(node, &["build", "additional_contexts", "*"], &context);
        change(node, &["build", "ssh", "*"], &|text| self.mount(text));
        change(node, &["env_file", "*", "path"], &file);
        change(node, &["label_file", "*"], &file);
        change(node, &["extends", "file"], &|text| {
            if remote::parse(text).is_some() { text.to_owned() } else { self.file(text) }
        });
        change(node, &["develop", "watch", "*", "path"], &file);
        self.watched(node, &format!("{path}.develop.watch"))?;
        let steps = node.as_map_mut().and_then(|map| map.get_mut("pre_start"));
        if let Some(Value::Seq(steps)) = steps.map(|entry| &mut entry.node.value) {
            for (index, step) in steps.iter_mut().enumerate() {
                self.service(step, &format!("{path}.pre_start[{index}]"))?;
            }
        }
        let Some(entry) = node.as_map_mut().and_then(|map| map.get_mut("volumes")) else { return Ok(()) };
        let Value::Seq(mounts) = &mut entry.node.value else { return Ok(()) };
        for (index, mount) in mounts.iter_mut().enumerate() {
            if mount.get("type").and_then(Node::as_str) != Some("bind") {
                continue;
            }
            if mount.get("source").is_none() {
                let message = "invalid mount config for type \"bind\": field Source must not be empty";
                return Err(LoadError::at(format!("{path}.volumes[{index}]"), mount, message)
                    .hint("give the host path as source"));
            }
            change(mount, &["source"], &|text| self.mount(text));
        }
        Ok(())
    }

    /// Events name the real path of what is watched: the first symbolic link on the way is replaced by where it leads.
    fn watched(&self, service: &mut Node, path: &str) -> Result<(), LoadError> {
        let develop = service.as_map_mut().and_then(|map| map.get_mut("develop"));
        let rules = develop.and_then(|develop| develop.node.as_map_mut()?.get_mut("watch"));
        let Some(Value::Seq(rules)) = rules.map(|entry| &mut entry.node.value) else { return Ok(()) };
        for (index, rule) in rules.iter_mut().enumerate() {
            let Some(entry) = rule.as_map_mut().and_then(|map| map.get_mut("path")) else { continue };
            let Value::Str(text) = &mut entry.node.value else { continue };
            let Some(steps) = text.strip_prefix('/') else { continue };
            let mut way = String::new();
            for step in steps.split('/').filter(|step| !step.is_empty()) {
                way = format!("{way}/{step}");
                match self.files.link_target(Path::new(&way)) {
                    Ok(None) => {}
                    Ok(Some(target)) => {
                        *text = text.replacen(&way, &target.to_string_lossy(), 1);
                        break;
                    }
                    Err(error) => {
                        let message = format!("the symbolic link {way} leads nowhere: {}", reason(&error));
                        return Err(LoadError::at(format!("{path}[{index}].path"), &entry.node, message)
                            .hint("create what it leads to, or watch another path"));
                    }
                }
            }
        }
        Ok(())
    }

    /// The `device` of a local volume that is in truth a bind mount.
    fn volume(&self, node: &mut Node) {
        let text = |node: &Node, key: &str| node.get(key).and_then(Node::as_str).map(str::to_owned);
        let bind = node.get("driver_opts").and_then(|options| text(options, "o"));
        if text(node, "driver").as_deref() == Some("local") && bind.as_deref() == Some("bind") {
            change(node, &["driver_opts", "device"], &|path| self.mount(path));
        }
    }

    fn file(&self, path: &str) -> String {
        let path = self.expand(path);
        if path.is_empty() || path.starts_with('/') { path } else { join(&self.dir, &path) }
    }

    /// A path that the engine sees: one that is absolute on Windows counts as absolute, too.
    fn mount(&self, path: &str) -> String {
        let path = self.expand(path);
        if path.starts_with('/') || absolute_on_windows(&path) { path } else { join(&self.dir, &path) }
    }

    fn context(&self, path: &str) -> String {
        let remote = ["github.com/", "git@", "service:"].iter().any(|prefix| path.starts_with(prefix));
        if remote || path.contains("://") { path.to_owned() } else { self.file(path) }
    }

    fn expand(&self, path: &str) -> String {
        match (path.strip_prefix('~'), self.home) {
            (Some(rest), Some(home)) => join(home, rest.trim_start_matches('/')),
            _ => path.to_owned(),
        }
    }
}

/// `C:\x`, `\\host\share`. A lone `C:` is relative to that drive.
fn absolute_on_windows(path: &str) -> bool {
    let separator = |b: Option<&u8>| matches!(b, Some(b'\\' | b'/'));
    let bytes = path.as_bytes();
    (bytes.get(1) == Some(&b':') && separator(bytes.get(2))) || (separator(bytes.first()) && separator(bytes.get(1)))
}

/// Changes the text at `path`; `*` is every item of a list or value of a mapping.
fn change(node: &mut Node, path: &[&str], with: &dyn Fn(&str) -> String) {
    let Some((key, rest)) = path.split_first() else {
        if let Value::Str(text) = &mut node.value {
            *text = with(text);
        }
        return;
    };
    match &mut node.value {
        Value::Map(map) if *key == "*" => map.values_mut().for_each(|entry| change(&mut entry.node, rest, with)),
        Value::Seq(items) if *key == "*" => items.iter_mut().for_each(|item| change(item, rest, with)),
        Value::Map(map) => {
            if let Some(entry) = map.get_mut(*key) {
                change(&mut entry.node, rest, with);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{DiskFiles, MapFiles};

    #[test]
    fn a_watched_path_follows_the_first_link_on_its_way() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(real.join("here/in")).unwrap();
        std::os::unix::fs::symlink("here", real.join("link")).unwrap();
        std::os::unix::fs::symlink("in", real.join("here/inner")).unwrap();
        std::os::unix::fs::symlink("nowhere", real.join("lost")).unwrap();
        let watch = |path: &str| {
            let text = format!(
                "services: {{a: {{develop: {{watch: [{{path: {path}, action: rebuild}}]}}, env_file: [{{path: {path}}}]}}}}"
            );
            let mut root = turnout_yaml::parse(&text, "f", &turnout_yaml::Limits::default()).unwrap().remove(0);
            resolve(&mut root, &real, None, &DiskFiles::default()).map_err(|error| error.to_string())?;
            let service = root.get("services").and_then(|services| services.get("a")).unwrap();
            let at = |list: Option<&Node>| match &list.unwrap().value {
                Value::Seq(items) => items[0].get("path").and_then(Node::as_str).unwrap().to_owned(),
                _ => String::new(),
            };
            // What is not watched stays.
            assert_eq!(at(service.get("env_file")), real.join(path).to_string_lossy());
            Ok::<_, String>(at(service.get("develop").and_then(|develop| develop.get("watch"))))
        };
        for (path, expected) in
            [("here/x", "here/x"), ("link/x", "here/x"), ("link/inner/y", "here/inner/y"), ("here/inner", "here/in")]
        {
            assert_eq!(watch(path).unwrap(), real.join(expected).to_string_lossy());
        }
        let told = watch("lost/x").unwrap_err();
        assert!(told.starts_with("f:1:41: services.a.develop.watch[0].path: the symbolic link "), "{told}");
    }

    #[test]
    fn paths_become_absolute() {
        let files = MapFiles::default();
        let base = Base { dir: "/p".to_owned(), home: Some("/home/u"), files: &files };
        for (path, file, mount) in [
            ("./a", "/p/a", "/p/a"),
            ("../a/", "/a", "/a"),
            ("/abs/../kept", "/abs/../kept", "/abs/../kept"),
            ("~/x", "/home/u/x", "/home/u/x"),
            ("", "", "/p"),
            ("C:\\x", "/p/C:\\x", "C:\\x"),
            ("\\\\.\\pipe\\docker", "/p/\\\\.\\pipe\\docker", "\\\\.\\pipe\\docker"),
        ] {
            assert_eq!((base.file(path).as_str(), base.mount(path).as_str()), (file, mount), "{path}");
        }
        for remote in ["https://x/y.git", "git@host:x", "github.com/a/b", "service:x", "docker-image://alpine"] {
            assert_eq!(base.context(remote), remote);
        }
        assert_eq!(base.context("./dir"), "/p/dir");
    }
}
