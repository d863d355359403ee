//! Which changed files ask for a rebuild of everything.

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use super::paths::tidy;

/// Files at the top of a repository whose change always rebuilds.
pub const TRIGGER_NAMES: [&str; 6] =
    ["requirements.txt", "Dockerfile", "Dockerfile.dev", "Dockerfile.prod", ".dockerignore", ".env"];

/// A file that asks for a rebuild by lying at the top of the repository.
pub const REBUILD_TRIGGER: &str = "REBUILD_TRIGGER";

/// The names above and the configured globs. A glob counts from the top of the repository: `*` does not cross a slash,
/// `**` does, and a trailing slash means everything below.
#[derive(Debug, Clone, Default)]
pub struct Triggers {
    globs: GlobSet,
}

/// A glob that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the trigger {glob:?} is no valid glob: {message}")]
pub struct BadGlob {
    /// As `repos.yaml` has it.
    pub glob: String,
    /// What is wrong with it.
    pub message: String,
}

impl Triggers {
    /// The names and these globs besides.
    ///
    /// # Errors
    /// The first glob that cannot be understood.
    pub fn new<S: AsRef<str>>(globs: &[S]) -> Result<Self, BadGlob> {
        let mut set = GlobSetBuilder::new();
        for glob in globs {
            set.add(compile(glob.as_ref())?);
        }
        let bad = |error: globset::Error| BadGlob { glob: String::new(), message: error.kind().to_string() };
        Ok(Self { globs: set.build().map_err(bad)? })
    }

    /// Whether a changed file is a trigger.
    pub fn matches(&self, path: &str) -> bool {
        TRIGGER_NAMES.contains(&path) || self.globs.is_match(path)
    }
}

fn compile(text: &str) -> Result<Glob, BadGlob> {
    let bad = |message: String| BadGlob { glob: text.to_owned(), message };
    let folder = text.ends_with('/');
    let tidied = tidy(text.trim_start_matches('/'));
    if tidied.is_empty() {
        return Err(bad("it is empty".to_owned()));
    }
    let pattern = if folder { format!("{tidied}/**") } else { tidied.to_owned() };
    GlobBuilder::new(&pattern)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|error| bad(error.kind().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_match_from_the_top() {
        let triggers = Triggers::new(&["*.lock", "deploy/", "**/package.json", "./conf/*.toml", "/{a,b}.txt"]).unwrap();
        let table = [
            ("Dockerfile", true),
            ("docs/Dockerfile", false),
            (".env", true),
            (".env.local", false),
            ("Cargo.lock", true),
            ("sub/Cargo.lock", false),
            ("deploy/x/y", true),
            ("deployment", false),
            ("package.json", true),
            ("a/b/package.json", true),
            ("conf/x.toml", true),
            ("conf/x/y.toml", false),
            ("b.txt", true),
        ];
        for (path, expected) in table {
            assert_eq!(triggers.matches(path), expected, "{path}");
        }
        assert!(!Triggers::default().matches("Cargo.lock"));
    }

    #[test]
    fn bad_globs_are_named() {
        for glob in ["a[", "", "/", "{a"] {
            assert_eq!(Triggers::new(&[glob]).unwrap_err().glob, glob);
        }
    }
}
