//! Rules for the names in `repos.yaml`.

/// The Compose project that a repository's name gives: lower case, without the characters that Compose drops.
/// Empty if nothing is left.
pub fn project_from(name: &str) -> String {
    let kept: String =
        name.to_ascii_lowercase().chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
    kept.trim_start_matches(['-', '_']).to_owned()
}

/// Compose's rule for project names, as a complaint.
pub(super) fn project_fault(project: &str) -> Option<&'static str> {
    let starts = project.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let rest = project.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'));
    if starts && rest && project.len() <= 128 {
        None
    } else {
        Some("a project is made of a-z, 0-9, - and _ and begins with a letter or digit")
    }
}

/// What a repository may be called here, as a complaint.
pub(super) fn name_fault(name: &str) -> Option<&'static str> {
    if name.contains('/') {
        Some("use the name without its owner, and give the owner as `full_name: owner/name`")
    } else if !is_name(name) {
        Some("a name is made of letters, digits, -, _ and . and does not begin with - or .")
    } else {
        None
    }
}

/// `owner/name`, with any depth of owners, as a complaint.
pub(super) fn full_name_fault(name: &str) -> Option<&'static str> {
    let parts: Vec<&str> = name.split('/').collect();
    if parts.len() >= 2 && parts.len() <= 16 && parts.iter().all(|part| is_name(part)) {
        None
    } else {
        Some("write it as at the forge: owner/name")
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && !name.starts_with(['-', '.'])
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// git's rule for branch names (git-check-ref-format(1)), as a complaint.
pub(super) fn branch_fault(branch: &str) -> Option<&'static str> {
    if branch.starts_with("refs/") {
        return Some("write the branch's short name, for instance main");
    }
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    let bad = branch.starts_with('-')
        || branch.ends_with('.')
        || branch == "@"
        || branch.contains("..")
        || branch.contains("@{")
        || branch.len() > 255
        || branch.chars().any(|c| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\'))
        || branch.split('/').any(bad_part);
    bad.then_some("git does not allow this as a branch's name")
}

/// Remotes that would be misread or would give a credential away, as (message, hint).
pub(super) fn remote_fault(remote: &str) -> Option<(&'static str, &'static str)> {
    if remote.starts_with('-') {
        return Some(("is not a remote", "write a URL such as https://github.com/owner/name.git"));
    }
    if let Ok(url) = url::Url::parse(remote)
        && url.password().is_some()
    {
        return Some(("carries a password", "take it out of the URL and give it by `token_env` or `token_file`"));
    }
    let scp_like = remote.split_once(':').is_some_and(|(host, path)| {
        // `ext::…` is git's way to start a program.
        !host.is_empty() && !host.contains('/') && !path.is_empty() && !path.starts_with(':')
    });
    let by_scheme = ["https://", "http://", "ssh://", "git://", "file://"].iter().any(|s| remote.starts_with(s));
    if by_scheme || scp_like || remote.starts_with('/') {
        None
    } else {
        Some(("is not a remote", "write https://…, ssh://…, git@host:owner/name.git, file://… or an absolute path"))
    }
}

/// The bare name or address of a host, or `*`, as a complaint.
pub(super) fn host_fault(host: &str) -> Option<&'static str> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':' | b'_');
    if host == "*" || host.bytes().all(good) && !host.contains("..") && (host.matches(':').count() != 1) {
        None
    } else {
        Some("is not the name of a host")
    }
}

/// A file named relative to the repository that stays inside it, as a complaint.
pub(super) fn inside_fault(file: &str) -> Option<&'static str> {
    if file.starts_with('/') || file.split('/').any(|part| part == "..") {
        Some("name a file inside the repository, relative to its path")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_from_names() {
        for (name, project) in [("Shop", "shop"), ("my.Shop_2", "myshop_2"), ("__x", "x"), ("...", "")] {
            assert_eq!(project_from(name), project);
        }
    }

    #[test]
    fn branches() {
        for good in ["main", "feature/a-b", "v1.2", "ünïcode"] {
            assert_eq!(branch_fault(good), None, "{good}");
        }
        for bad in
            ["", "-x", "a..b", "a b", "refs/heads/main", "x.lock", "a//b", ".a", "a/.b", "a@{1}", "@", "a:b", "x."]
        {
            assert!(branch_fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn hosts() {
        for good in ["*", "github.com", "git-1.example.org", "10.0.0.1", "::1", "h_x"] {
            assert_eq!(host_fault(good), None, "{good}");
        }
        for bad in ["https://h", "h/x", "git@h", "h:22", "*.h", "a..b", "h x"] {
            assert!(host_fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn remotes() {
        for good in
            ["https://github.com/a/b.git", "git@github.com:a/b.git", "ssh://git@h:22/a", "/srv/git/a.git", "file:///a"]
        {
            assert_eq!(remote_fault(good), None, "{good}");
        }
        for bad in ["-oProxyCommand=x", "https://me:token@h/a", "shop", "./shop", "ext::sh -c x"] {
            assert!(remote_fault(bad).is_some(), "{bad}");
        }
    }
}
