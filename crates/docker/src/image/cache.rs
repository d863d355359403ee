//! `build.cache_from` and `build.cache_to`: what is written, as BuildKit takes it. Pure.

use std::{collections::BTreeMap, fmt, path::Path};

/// Where BuildKit reads a cache from, or writes it to.
#[derive(Clone, PartialEq, Eq)]
pub struct CacheEntry {
    /// `registry`, `inline`, `local`, `gha`, …
    pub kind: String,
    /// What belongs to the kind; may hold credentials.
    pub attributes: BTreeMap<String, String>,
}

impl fmt::Debug for CacheEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheEntry").field("kind", &self.kind).field("keys", &self.attributes.keys()).finish()
    }
}

/// Attributes whose values are secret.
const SECRET: &[&str] = &["token", "secret_access_key", "access_key_id", "session_token", "secret", "account_key"];

impl CacheEntry {
    /// Reads one entry: an image reference, or `type=…,key=value,…`. What GitHub's runner tells its jobs about the
    /// cache is added to `type=gha`, relative directories of `type=local` are taken from `base`.
    pub fn parse(written: &str, base: &Path, environment: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut attributes = BTreeMap::new();
        if written.contains('=') {
            for field in csv(written)? {
                let (key, value) = field
                    .split_once('=')
                    .ok_or_else(|| format!("{field:?} is not key=value: write type=registry,ref=IMAGE"))?;
                attributes.insert(key.trim().to_ascii_lowercase(), value.to_owned());
            }
        } else {
            attributes.insert("type".to_owned(), "registry".to_owned());
            attributes.insert("ref".to_owned(), written.to_owned());
        }
        let kind = attributes.remove("type").filter(|kind| !kind.is_empty());
        let mut entry = Self { kind: kind.ok_or("has no type: write type=registry,ref=IMAGE")?, attributes };
        match entry.kind.as_str() {
            "registry" if entry.text("ref").is_empty() => return Err("type=registry needs ref=IMAGE".to_owned()),
            "local" => {
                for key in ["src", "dest"] {
                    if let Some(path) = entry.attributes.get_mut(key) {
                        *path = base.join(&*path).to_string_lossy().into_owned();
                    }
                }
            }
            "gha" => {
                for (key, variable) in [
                    ("token", "ACTIONS_RUNTIME_TOKEN"),
                    ("url", "ACTIONS_CACHE_URL"),
                    ("url_v2", "ACTIONS_RESULTS_URL"),
                ] {
                    if let Some(value) = environment.get(variable).filter(|value| !value.is_empty()) {
                        entry.attributes.entry(key.to_owned()).or_insert_with(|| value.clone());
                    }
                }
            }
            _ => {}
        }
        Ok(entry)
    }

    /// An attribute; empty when absent.
    pub fn text(&self, key: &str) -> &str {
        self.attributes.get(key).map(String::as_str).unwrap_or_default()
    }

    /// The image, if this is an image and nothing more: what the engine's own build address understands.
    pub fn plain_image(&self) -> Option<&str> {
        let only = self.attributes.len() == 1;
        self.attributes.get("ref").map(String::as_str).filter(|_| self.kind == "registry" && only)
    }

    /// Values that must not be shown.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().filter(|(key, _)| SECRET.contains(&key.as_str())).map(|(_, value)| value.as_str())
    }
}

/// Fields between commas; quotes keep a comma inside, twice a quote is one.
fn csv(text: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    if quoted {
        return Err("a quote is not closed".to_owned());
    }
    fields.push(field);
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<CacheEntry, String> {
        let environment = [("ACTIONS_RUNTIME_TOKEN".to_owned(), "t0ken".to_owned())].into();
        CacheEntry::parse(text, Path::new("/srv/p"), &environment)
    }

    #[test]
    fn entries_are_read() {
        let image = parse("registry.example/app:cache").unwrap();
        assert_eq!((image.kind.as_str(), image.plain_image()), ("registry", Some("registry.example/app:cache")));
        let mode = parse("type=registry,ref=r/x,mode=max").unwrap();
        assert_eq!((mode.text("mode"), mode.plain_image()), ("max", None));
        assert_eq!(parse("type=local,dest=cache").unwrap().text("dest"), "/srv/p/cache");
        assert_eq!(parse("type=local,src=/var/cache").unwrap().text("src"), "/var/cache");
        assert_eq!(parse("type=x,\"a=1,2\",\"b=\"\"q\"\"\"").unwrap().attributes.len(), 2);
        let gha = parse("type=gha,scope=main").unwrap();
        assert_eq!((gha.text("token"), gha.text("scope")), ("t0ken", "main"));
        assert_eq!(gha.secrets().collect::<Vec<_>>(), ["t0ken"]);
        assert!(!format!("{gha:?}").contains("t0ken"));
        for wrong in ["ref=x", "type=registry", "type=x,y", "type=x,\"a=1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
