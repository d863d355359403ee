//! Paths of a repository as text: relative, with slashes, as git prints them.

/// Without `./` at the front and slashes at the end; the top itself is empty.
pub(super) fn tidy(path: &str) -> &str {
    let mut path = path.trim_end_matches('/');
    while let Some(rest) = path.strip_prefix("./") {
        path = rest.trim_start_matches('/');
    }
    if path == "." { "" } else { path }
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
    fn three_are_named_and_what_is_beyond_them_is_counted() {
        assert_eq!(name_some(&["a"]), "a");
        assert_eq!(name_some(&["a", "b", "c"]), "a, b, c");
        assert_eq!(name_some(&["a", "b", "c", "d"]), "a, b, c and 1 more");
        assert_eq!(name_some(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
    }
}
