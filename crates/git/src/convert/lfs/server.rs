//! Where the objects of Git LFS are asked for (its docs/api/server-discovery.md).

use git2::Config;

use crate::{address::Address, error::GitError, ini};

/// Where to ask.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// The API of a server at this address.
    Api(Address),
    /// The one that the remote names when it is asked by SSH; if it cannot say, the usual place.
    Ssh { remote: Address, https: Address },
    /// The folder of a repository on this machine.
    Folder(String),
}

/// What says where the server is: git's configuration, then `.lfsconfig` of the tree, then the address of the remote.
pub(super) fn find(config: &Config, lfsconfig: Option<&[u8]>, remote: &Address) -> Result<Server, GitError> {
    let keys = ["lfs.url", "remote.origin.lfsurl"];
    let set = |key: &str| config.get_string(key).ok().filter(|text| !text.is_empty());
    let in_tree = |key: &str| lfsconfig.and_then(|text| ini::last(text, key));
    let named = keys.iter().find_map(|key| set(key)).or_else(|| keys.iter().find_map(|key| in_tree(key)));
    match named {
        Some(url) => match Address::parse(url.trim_end_matches('/'))? {
            Address::Local(path) => Ok(Server::Folder(path)),
            api @ Address::Http { .. } => Ok(Server::Api(api)),
            other => beside(&other),
        },
        None => beside(remote),
    }
}

/// The server that belongs to a remote: `<address>.git/info/lfs`, over HTTPS.
fn beside(remote: &Address) -> Result<Server, GitError> {
    let front = match remote {
        Address::Local(path) => return Ok(Server::Folder(path.strip_prefix("file://").unwrap_or(path).to_owned())),
        Address::Http { url, .. } => {
            let mut url = url.clone();
            url.set_query(None);
            url.to_string()
        }
        Address::Ssh { host, path, .. } | Address::Git { host, path, .. } => {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            format!("https://{host}/{}", path.trim_start_matches('/'))
        }
    };
    let front = front.trim_end_matches('/');
    let end = if front.ends_with(".git") { "" } else { ".git" };
    let usual = Address::parse(&format!("{front}{end}/info/lfs"))?;
    Ok(match remote {
        Address::Ssh { .. } => Server::Ssh { remote: remote.clone(), https: usual },
        _ => Server::Api(usual),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_found() {
        let table = [
            ("https://h/a/b", None, "https://h/a/b.git/info/lfs"),
            ("https://u:pw@h/a/b.git/", None, "https://h/a/b.git/info/lfs"),
            ("git@h:a/b.git", None, "https://h/a/b.git/info/lfs"),
            ("ssh://git@h:2222/a/b", None, "https://h/a/b.git/info/lfs"),
            ("git://h/a", None, "https://h/a.git/info/lfs"),
            ("/srv/a.git", None, "/srv/a.git"),
            ("file:///srv/a.git", None, "/srv/a.git"),
            ("git@h:a/b", Some("[lfs]\n\turl = https://x/y/\n"), "https://x/y"),
            ("git@h:a/b", Some("# c\n[LFS]\n  URL = \"https://x/y\" ; why\n[other]\nurl = https://z\n"), "https://x/y"),
            ("git@h:a/b", Some("[remote \"origin\"]\nlfsurl = https://x/z # why\n"), "https://x/z"),
            ("git@h:a/b", Some("[remote \"other\"]\nlfsurl = https://x/z\n"), "https://h/a/b.git/info/lfs"),
        ];
        for (remote, lfsconfig, expected) in table {
            let remote = Address::parse(remote).unwrap();
            let server = find(&Config::new().unwrap(), lfsconfig.map(str::as_bytes), &remote).unwrap();
            let got = match server {
                Server::Api(address) | Server::Ssh { https: address, .. } => address.to_string(),
                Server::Folder(path) => path,
            };
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn settings_go_before_the_tree() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        std::fs::write(&file, "[lfs]\nurl = https://set/\n").unwrap();
        let config = Config::open(&file).unwrap();
        let remote = Address::parse("https://h/a").unwrap();
        let server = find(&config, Some(b"[lfs]\nurl = https://tree/\n"), &remote).unwrap();
        assert_eq!(server, Server::Api(Address::parse("https://set").unwrap()));
    }
}
