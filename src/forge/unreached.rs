//! Whether pushes of the repository that an entry deploys would come to that entry: a renamed one is found by nothing.

use super::{PushedRepo, find_repo};
use crate::config::{Repo, Repos};

/// That pushes of the repository at this address (an entry's remote) do not come to the entry, as far as its name there is
/// what the address says, and what to do. `None` where they do, or where the address is no forge's.
pub fn unreached(repo: &Repo, repos: &Repos, address: &str) -> Option<String> {
    let full_name = full_name(address)?;
    let name = full_name.rsplit('/').next().unwrap_or(full_name).to_owned();
    let pushed = PushedRepo { name, full_name: Some(full_name.to_owned()), default_branch: None };
    if find_repo(&pushed, repos).is_ok_and(|found| found.name == repo.name) {
        return None;
    }
    let own = match &repo.full_name {
        Some(own) => format!("its `full_name`, {own}, is"),
        None => "it has no `full_name`, and its name is".to_owned(),
    };
    Some(format!(
        "pushes of {full_name} are not deployed by it: {own} not that of its remote; where the forge calls it so, write \
         `full_name: {full_name}`"
    ))
}

/// `owner/name` of an address at a server.
fn full_name(address: &str) -> Option<&str> {
    let path = match address.split_once("://") {
        Some(("file", _)) => return None,
        Some((_, rest)) => rest.split_once('/')?.1,
        // As ssh takes it: a colon before the first slash.
        None => {
            let (host, path) = address.rsplit_once(':')?;
            if host.contains('/') {
                return None;
            }
            path
        }
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    path.contains('/').then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PathState, repos};

    #[test]
    fn an_entry_that_nothing_would_find_is_told() {
        let text = "{ store: /srv/a, Wiki: /srv/b, blog: { path: /srv/c, full_name: acme/old } }";
        let there = |path: &std::path::Path| PathState::Directory(path.to_path_buf());
        let repos = repos::parse(text, "repos.yaml", &there).unwrap();
        let said = |name: &str, address: &str| {
            let repo = repos.repos.iter().find(|repo| repo.name == name).unwrap();
            unreached(repo, &repos, address)
        };
        for address in
            ["git@github.com:acme/shop.git", "https://github.com/acme/shop", "ssh://git@host:2222/acme/shop.git/"]
        {
            let told = said("store", address).unwrap();
            assert!(told.contains("no `full_name`") && told.ends_with("`full_name: acme/shop`"), "{told}");
        }
        assert!(said("blog", "git@github.com:acme/blog.git").unwrap().contains("acme/old, is not"));
        for (name, address) in [
            ("store", "git@github.com:acme/store.git"),
            ("Wiki", "https://github.com/acme/wiki.git"),
            ("blog", "https://github.com/acme/old.git"),
            ("store", "/tmp/try/remote"),
            ("store", "file:///tmp/try/remote"),
            ("store", "./some/where:else/shop"),
        ] {
            assert_eq!(said(name, address), None, "{name} {address}");
        }
    }
}
