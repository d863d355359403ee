//! Where a repository is fetched from, and how.

use super::{Failure, Planner};
use crate::{
    config::{self, Repo, Timeouts},
    git,
};

/// A check-out leaves this much free for those who share the disk, the journal of deployments among them, unless
/// `min_free_disk` asks for less. Not all that a build needs: a commit that mends things on a full disk is a few files.
const SPARE: u64 = 64 << 20;

impl Planner {
    /// Where and how to fetch.
    ///
    /// # Errors
    /// When its token cannot be read.
    pub(super) fn remote(&self, repo: &Repo, timeouts: &Timeouts) -> Result<git::Remote, Failure> {
        let token = match &repo.token {
            None => None,
            Some(source) => {
                let token = self.repos.secret(source).map_err(|reason| {
                    Failure::new(format!("the token of {}: {reason}", repo.name))
                        .hint("set the variable in turnout's environment or .env, or correct the file in repos.yaml")
                })?;
                self.redactor.add_secret(&token);
                Some(token)
            }
        };
        Ok(git::Remote {
            path: repo.real_path.clone(),
            url: repo.remote.clone(),
            branch: repo.branch.clone(),
            auth: git::GitAuth {
                ssh_key: repo.ssh_key.clone(),
                known_hosts: repo.known_hosts.clone(),
                token,
                credential_helper: repo.credential_helper,
                ..git::GitAuth::default()
            },
            on_divergence: match repo.on_divergence {
                config::Divergence::Refuse => git::Divergence::Refuse,
                config::Divergence::Reset => git::Divergence::Reset,
                config::Divergence::Rebase => git::Divergence::Rebase,
            },
            timeout: timeouts.fetch,
            submodules: repo.submodules,
            submodule_hosts: repo.submodule_hosts.clone(),
            most_bytes: repo.max_fetch,
            most_written: repo.max_checkout,
            spare: repo.min_free_disk.min(SPARE),
            filters: match repo.filters {
                config::Filters::Refuse => git::Filters::Refuse,
                config::Filters::Run => git::Filters::Run,
            },
            // It chooses the stack and holds its settings: nothing that a push says may take it away.
            own_files: vec![repo.env_file.clone().into()],
            ..git::Remote::new(repo.real_path.clone())
        })
    }
}
