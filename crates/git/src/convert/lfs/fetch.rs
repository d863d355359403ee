//! Brings objects here: from the server that counts, or out of another repository on this machine.

use super::{
    Lfs, batch,
    lack::{Lack, MISSING},
    pointer::Pointer,
    server::{self, Server},
    store::Store,
};
use crate::{address::Address, again, error::GitError, session::Session};

impl Lfs {
    /// Brings objects here that are not. Each is whole and right, or the error says why not; what has arrived stays.
    pub(in crate::convert) fn fetch(
        &self,
        wanted: &[Pointer],
        session: &Session,
    ) -> Result<Result<(), Lack>, GitError> {
        let mut missing: Vec<&Pointer> = Vec::new();
        for pointer in wanted {
            session.go_on()?;
            if !missing.contains(&pointer) && !self.store.has(pointer) {
                missing.push(pointer);
            }
        }
        if missing.is_empty() {
            return Ok(Ok(()));
        }
        let Some(remote) = &self.remote else {
            return Ok(Err(Lack {
                reason: "the repository has no remote to ask".to_owned(),
                advice: "set `remote` in repos.yaml".to_owned(),
            }));
        };
        match server::find(&self.config, self.lfsconfig.as_deref(), remote)? {
            Server::Folder(path) => self.copy(&path, &missing),
            Server::Ssh { remote, https } => {
                again::with_patience(session, &format!("the fetch of LFS objects of {remote}"), || {
                    missing.retain(|pointer| !self.store.has(pointer));
                    batch::fetch_by_ssh(self, &remote, &https, &missing, session)
                })
            }
            Server::Api(address) => {
                again::with_patience(session, &format!("the fetch of LFS objects from {address}"), || {
                    // What has arrived before is not fetched twice.
                    missing.retain(|pointer| !self.store.has(pointer));
                    batch::fetch(self, &address, &missing, session)
                })
            }
        }
    }

    /// Takes objects out of another repository on this machine, bare or not.
    fn copy(&self, path: &str, missing: &[&Pointer]) -> Result<Result<(), Lack>, GitError> {
        let folder = std::path::Path::new(path);
        // As with submodules (CVE-2022-39253): a repository from elsewhere names no path on this machine.
        if !matches!(self.remote, Some(Address::Local(_))) {
            let address = path.to_owned();
            let message = "the LFS server of a remote repository must not lie on this machine".to_owned();
            return Err(GitError::BadAddress { address, message });
        }
        let stores = [Store::in_folder(&folder.join(".git")), Store::in_folder(folder)];
        for pointer in missing {
            let mut found = false;
            for store in &stores {
                let taken = self.store.copy_from(store, pointer);
                found |= taken.map_err(|error| GitError::io(folder, "copy an LFS object from", &error))?;
                if found {
                    break;
                }
            }
            if !found {
                return Ok(Err(Lack {
                    reason: format!("{path} has no object {}", pointer.oid),
                    advice: MISSING.to_owned(),
                }));
            }
        }
        Ok(Ok(()))
    }
}
