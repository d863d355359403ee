//! Paths as text, the way Go's `filepath` treats them: no look at the disk, `..` removed by name.

/// The shortest equal path; `.` for nothing.
pub(super) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            other => parts.push(other),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// `path` seen from `base`; an absolute `path` stays.
pub(super) fn join(base: &str, path: &str) -> String {
    if path.starts_with('/') || base.is_empty() { clean(path) } else { clean(&format!("{base}/{path}")) }
}

/// The directory that a path lies in.
pub(super) fn dir(path: &str) -> String {
    match path.rfind('/') {
        Some(0) => "/".to_owned(),
        Some(at) => clean(&path[..at]),
        None => ".".to_owned(),
    }
}

/// Last part of a path.
pub(super) fn base(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// `target` as seen from `base`; both absolute or both relative, otherwise `target` itself.
pub(super) fn relative(base: &str, target: &str) -> String {
    let (base, target) = (clean(base), clean(target));
    if base.starts_with('/') != target.starts_with('/') {
        return target;
    }
    let parts =
        |path: &str| path.split('/').filter(|p| !p.is_empty() && *p != ".").map(str::to_owned).collect::<Vec<_>>();
    let (from, to) = (parts(&base), parts(&target));
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let mut out = vec!["..".to_owned(); from.len() - common];
    out.extend(to.into_iter().skip(common));
    if out.is_empty() { ".".to_owned() } else { out.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_as_go_has_them() {
        for (given, want) in
            [("", "."), ("a/../..", ".."), ("/..", "/"), ("a//b/./c/", "a/b/c"), ("../a", "../a"), ("/a/../b", "/b")]
        {
            assert_eq!(clean(given), want, "{given:?}");
        }
        for (a, b, want) in [("/p", "x", "/p/x"), ("/p", "../x", "/x"), ("sub", "x", "sub/x"), ("/p", "/q", "/q")] {
            assert_eq!(join(a, b), want);
        }
        for (a, b, want) in [("/p", "/p", "."), ("/p", "/p/a/b", "a/b"), ("/p/a", "/p/b", "../b"), ("a", "a/c", "c")] {
            assert_eq!(relative(a, b), want);
        }
        assert_eq!((dir("/a/b"), dir("/a"), dir("a")), ("/a".into(), "/".into(), ".".into()));
        assert_eq!(base("/a/b/"), "b");
    }
}
