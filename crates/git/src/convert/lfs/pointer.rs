//! The text that git stores in place of a file of Git LFS (its docs/spec.md, "The Pointer").

/// No pointer is longer, in bytes.
pub(crate) const LONGEST: usize = 1024;
/// Names of the format, the present one and those before it.
const VERSIONS: &[&str] =
    &["https://git-lfs.github.com/spec/v1", "https://hawser.github.com/spec/v1", "http://git-media.io/v/2"];

/// What a pointer points to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pointer {
    /// SHA-256 of the content, in hex.
    pub(crate) oid: String,
    /// Size of the content in bytes.
    pub(crate) size: u64,
    /// Whether programs (`lfs.extension`) have changed the content before it was stored.
    pub(crate) extended: bool,
}

impl Pointer {
    /// The pointer, if the text is one.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= LONGEST {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?.trim_end();
        let mut lines = text.lines().filter_map(|line| line.trim_end().split_once(' '));
        if !lines.next().is_some_and(|(key, value)| key == "version" && VERSIONS.contains(&value)) {
            return None;
        }
        let (mut oid, mut size, mut extended) = (None, None, false);
        for (key, value) in lines {
            match key {
                "oid" => oid = value.strip_prefix("sha256:").filter(|hex| is_sha256(hex)).map(str::to_ascii_lowercase),
                "size" => size = value.parse().ok(),
                _ => extended |= key.starts_with("ext-"),
            }
        }
        Some(Self { oid: oid?, size: size?, extended })
    }
}

fn is_sha256(hex: &str) -> bool {
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_told_from_other_text() {
        let oid = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";
        let text = |lines: &str| format!("version https://git-lfs.github.com/spec/v1\n{lines}");
        let table = [
            (text(&format!("oid sha256:{oid}\nsize 12345\n")), Some((12345, false))),
            (text(&format!("oid sha256:{oid}\nsize 0")), Some((0, false))),
            (text(&format!("ext-0-foo sha256:{oid}\noid sha256:{oid}\nsize 1\n")), Some((1, true))),
            (text(&format!("oid sha256:{}\nsize 1\n", &oid[1..])), None),
            (text(&format!("oid sha256:{oid}\nsize -1\n")), None),
            (text(&format!("oid sha256:{oid}\n")), None),
            (format!("version https://other.example/\noid sha256:{oid}\nsize 1\n"), None),
            (format!("oid sha256:{oid}\nsize 1\n"), None),
            (text(&format!("oid sha256:{oid}\nsize 1\n{}", "x y\n".repeat(300))), None),
            (String::new(), None),
        ];
        for (text, expected) in table {
            let got = Pointer::parse(text.as_bytes());
            assert_eq!(got.as_ref().map(|pointer| (pointer.size, pointer.extended)), expected, "{text}");
            assert!(got.is_none_or(|pointer| pointer.oid == oid));
        }
    }
}
