//! Paths of a repository as text: relative, with slashes, as git prints them.

/// Without `./` at the front and slashes at the end; the top itself is empty.
pub(super) fn tidy(path: &str) -> &str {
    let mut path = path.trim_end_matches('/');
    while let Some(rest) = path.strip_prefix("./") {
        path = rest.trim_start_matches('/');
    }
    if path == "." { "" } else { path }
}

/// The path as seen from a folder that contains it; empty for the folder itself.
pub(super) fn within<'p>(folder: &str, path: &'p str) -> Option<&'p str> {
    let (folder, path) = (tidy(folder), tidy(path));
    if folder.is_empty() {
        return Some(path);
    }
    match path.strip_prefix(folder)? {
        "" => Some(""),
        rest => rest.strip_prefix('/'),
    }
}

/// Up to three names and how many there are beyond them.
pub(super) fn name_some(paths: &[&str]) -> String {
    const NAMED: usize = 3;
    let mut out = paths.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    if paths.len() > NAMED {
        out.push_str(&format!(" and {} more", paths.len() - NAMED));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_contain_what_lies_in_them() {
        let table = [
            ("", "a/b", Some("a/b")),
            (".", "a/b", Some("a/b")),
            ("./", "a", Some("a")),
            ("a", "a/b", Some("b")),
            ("./a/", "a/b/c", Some("b/c")),
            ("a", "ab/c", None),
            ("a", "a", Some("")),
            ("a/b", "a", None),
        ];
        for (folder, path, expected) in table {
            assert_eq!(within(folder, path), expected, "{folder} {path}");
        }
    }
}
