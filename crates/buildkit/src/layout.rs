//! A directory in OCI's image layout (image-layout.md of the OCI image specification): blobs by digest, and an index of
//! what they are.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use turnout_files::{Kind, Opened, Reach};

use super::{error::OfferError, walk::told};

/// The annotation that names an entry.
const NAME: &str = "org.opencontainers.image.ref.name";

/// One such directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    directory: PathBuf,
    reach: Reach,
}

impl Layout {
    /// The one in a directory, read and written as far as this reaches.
    pub fn new(reach: &Reach, directory: &Path) -> Self {
        Self { directory: directory.to_owned(), reach: reach.clone() }
    }

    /// Opens a blob, and tells its size.
    ///
    /// # Errors
    /// See [`Reach::open`].
    pub fn open(&self, blob: &Path) -> io::Result<Opened> {
        self.reach.open(blob)
    }

    /// Where a blob is, or would be. `None` for what is no digest: its text must not become a path.
    pub fn blob(&self, digest: &str) -> Option<PathBuf> {
        let hex = digest.strip_prefix("sha256:")?;
        let sound = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
        sound.then(|| self.directory.join("blobs/sha256").join(hex))
    }

    /// Where blobs are written before they are complete.
    pub fn ingest(&self) -> PathBuf {
        self.directory.join("ingest")
    }

    /// The digest under a tag; with `single`, else that of the only entry there is. `None` when there is none.
    pub fn find(&self, tag: &str, single: bool) -> Result<Option<String>, OfferError> {
        let Some(index) = self.index()? else { return Ok(None) };
        let entries = index.get("manifests").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let named = entries.iter().find(|entry| name_of(entry) == Some(tag));
        let only = entries.first().filter(|_| single && entries.len() == 1);
        let digest = named.or(only).and_then(|entry| entry.get("digest")).and_then(Value::as_str);
        Ok(digest.filter(|digest| self.blob(digest).is_some()).map(str::to_owned))
    }

    /// Puts a descriptor under a tag; what had the tag loses it.
    pub fn put(&self, descriptor: &str, tag: &str) -> Result<(), OfferError> {
        let mut descriptor: Value = serde_json::from_str(descriptor).map_err(|error| {
            self.error(format!("the engine described the cache it wrote in unknown words: {error}"))
        })?;
        if let Some(fields) = descriptor.as_object_mut() {
            fields.insert("annotations".to_owned(), json!({ NAME: tag }));
        }
        let mut index = self.index()?.unwrap_or_else(|| json!({"schemaVersion": 2, "manifests": []}));
        match index.get_mut("manifests").and_then(Value::as_array_mut) {
            Some(entries) => {
                entries.retain(|entry| name_of(entry) != Some(tag));
                entries.push(descriptor);
            }
            None => return Err(self.error("its index.json has no manifests: name another directory".to_owned())),
        }
        let write = || {
            fs::create_dir_all(&self.directory)?;
            replace(&self.directory.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
            replace(&self.directory.join("index.json"), index.to_string().as_bytes())
        };
        write().map_err(|error: io::Error| self.error(error.to_string()))
    }

    fn index(&self) -> Result<Option<Value>, OfferError> {
        let text = match self.reach.read(&self.directory.join("index.json"), Kind::LAYOUT) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.error(told(&error, ""))),
        };
        let index = serde_json::from_slice(&text);
        index.map(Some).map_err(|error| self.error(format!("its index.json is damaged: {error}")))
    }

    fn error(&self, problem: String) -> OfferError {
        OfferError::Layout { path: self.directory.clone(), problem }
    }
}

fn name_of(entry: &Value) -> Option<&str> {
    entry.get("annotations")?.get(NAME)?.as_str()
}

/// Writes a file whole or not at all.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let mut file = fs::File::create(&name)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&name, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(&Reach::Anywhere, &directory.path().join("new"));
        assert_eq!(layout.find("latest", true).unwrap(), None);
        let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
        layout.put(&json!({"digest": digest("a"), "size": 1}).to_string(), "latest").unwrap();
        assert_eq!(layout.find("latest", false).unwrap(), Some(digest("a")));
        assert_eq!(layout.find("other", false).unwrap(), None);
        assert_eq!(layout.find("other", true).unwrap(), Some(digest("a")));
        layout.put(&json!({"digest": digest("b")}).to_string(), "latest").unwrap();
        layout.put(&json!({"digest": digest("c")}).to_string(), "other").unwrap();
        assert_eq!(layout.find("latest", true).unwrap(), Some(digest("b")));
        assert_eq!(layout.find("other", true).unwrap(), Some(digest("c")));
    }

    #[test]
    fn only_digests_become_paths() {
        let layout = Layout::new(&Reach::Anywhere, Path::new("/x"));
        assert!(layout.blob(&format!("sha256:{}", "0f".repeat(32))).is_some());
        for wrong in ["", "sha256:", "sha256:../../etc/passwd", "md5:aa", &format!("sha256:{}", "A".repeat(64))] {
            assert_eq!(layout.blob(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_damaged_index_is_told() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("index.json"), "{").unwrap();
        let error = Layout::new(&Reach::Anywhere, directory.path()).find("latest", true).unwrap_err().to_string();
        assert!(error.contains("index.json is damaged"), "{error}");
    }
}
