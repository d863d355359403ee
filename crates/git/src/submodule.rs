//! Brings submodules to the commits that the checked-out commit names, at all depths.
//!
//! Done by hand rather than with libgit2's own update, so that their transfers too run through the relay and ask the
//! same questions.

use std::path::Path;

use git2::{Repository, SubmoduleUpdate};

use super::{
    address::Address,
    advance, checkout, detached,
    error::GitError,
    gitlinks, modules, objects,
    open::open,
    repack,
    session::Session,
    transfer::{self, Want},
};

/// Submodules inside submodules, at most. Limits what a hostile repository can make us fetch.
const DEEPEST: usize = 8;

/// Updates all submodules of a work tree.
pub(super) fn update_all(repo: &Repository, top: &Address, session: &Session) -> Result<(), GitError> {
    update_below(repo, &Above { top, parent: top }, session, 0)
}

/// The submodules of what is checked out that lie on hosts that nobody allowed, each with its path and its host. Asks
/// nobody, so those inside submodules are not among them.
///
/// # Errors
/// When the work tree cannot be read.
pub fn foreign(path: &Path, remote: &str, allowed: &[String]) -> Result<Vec<(String, String)>, GitError> {
    let (repo, top) = (open(path)?, Address::parse(remote)?);
    modules::read(&repo)?;
    let submodules = repo.submodules().map_err(|error| GitError::local(path, "read the submodules of", &error))?;
    let elsewhere = submodules.iter().filter_map(|submodule| {
        let address = Address::parse(&resolved_url(submodule, &top, path).ok()?).ok()?;
        let host = address.host().filter(|host| !may_ask(host, &top, allowed))?;
        Some((submodule.path().to_string_lossy().into_owned(), host.to_owned()))
    });
    Ok(elsewhere.collect())
}

/// Whose submodules they are.
struct Above<'a> {
    /// The repository that is deployed. The token is for its host.
    top: &'a Address,
    /// The one that names them.
    parent: &'a Address,
}

fn update_below(repo: &Repository, above: &Above<'_>, session: &Session, depth: usize) -> Result<(), GitError> {
    if modules::read(repo)?.is_none() {
        return Ok(());
    }
    let local = |error: git2::Error| GitError::local(&session.remote.path, "read the submodules of", &error);
    if depth >= DEEPEST {
        return Err(GitError::other("update submodules", format!("they are nested deeper than {DEEPEST} levels")));
    }
    // As with git, one that nobody configured is no fault; it is told elsewhere.
    let left_out = gitlinks::in_repository(repo, &session.remote.path, true)?;
    for submodule in repo.submodules().map_err(local)? {
        session.go_on()?;
        let name = submodule.path().to_string_lossy().into_owned();
        if submodule.head_id().is_none()
            || submodule.update_strategy() == SubmoduleUpdate::None
            || left_out.iter().any(|left_out| left_out.path == name)
        {
            continue;
        }
        update(submodule, &name, above, session, depth)
            .map_err(|error| GitError::Submodule { name, source: Box::new(error) })?;
    }
    Ok(())
}

fn update(
    mut submodule: git2::Submodule<'_>,
    name: &str,
    above: &Above<'_>,
    session: &Session,
    depth: usize,
) -> Result<(), GitError> {
    let path = session.remote.path.join(name);
    let local = |error: git2::Error| GitError::local(&path, "update", &error);
    let Some(wanted) = submodule.head_id() else { return Ok(()) };
    // Follows .gitmodules also where its address has changed since.
    submodule.init(true).map_err(local)?;
    let repo = match submodule.open() {
        Ok(repo) => repo,
        Err(_) => submodule.repo_init(true).map_err(local)?,
    };
    let url = resolved_url(&submodule, above.parent, &session.remote.path)?;
    let address = Address::parse(&url)?;
    if matches!(address, Address::Local(_)) && !matches!(above.parent, Address::Local(_)) {
        // As git since CVE-2022-39253: a repository from elsewhere must not read local paths.
        return Err(GitError::BadAddress {
            address: address.to_string(),
            message: "a submodule of a remote repository must not lie on this machine".to_owned(),
        });
    }
    if let Some(host) = address.host().filter(|host| !may_ask(host, above.top, &session.remote.submodule_hosts)) {
        let (host, main) = (host.to_owned(), above.top.to_string());
        return Err(GitError::ForeignHost { address: address.to_string(), host, main });
    }
    if objects::commit(&repo, wanted).is_err() {
        let token_allowed = transfer::shares_host(above.top, &address);
        transfer::fetch(&repo, &address, token_allowed, &Want::Commit(wanted), session)?;
    }
    let head = repo.head().ok().and_then(|head| head.target());
    if head != Some(wanted) || checkout::is_unfinished(&repo) {
        checkout::to(&repo, wanted, advance::mode(session), session)?;
        detached::arrive(&repo, wanted).map_err(local)?;
        checkout::finished(&repo, session)?;
    }
    update_below(&repo, &Above { top: above.top, parent: &address }, session, depth + 1)?;
    repack::when_due(&repo, session);
    Ok(())
}

/// Whether a submodule may lie on this host: whoever pushes chooses it, and with it whom turnout connects to.
fn may_ask(host: &str, top: &Address, allowed: &[String]) -> bool {
    top.host()
        .into_iter()
        .chain(allowed.iter().map(String::as_str))
        .any(|known| known == "*" || known.eq_ignore_ascii_case(host))
}

/// The address of a submodule; relative ones count from the address of the repository that contains it.
fn resolved_url(submodule: &git2::Submodule<'_>, main: &Address, path: &Path) -> Result<String, GitError> {
    let url = submodule.url().ok().flatten().unwrap_or_default().to_owned();
    if !(url.starts_with("./") || url.starts_with("../")) {
        return Ok(url);
    }
    let base = match main {
        Address::Local(text) if !text.contains("://") => {
            std::path::absolute(text).map_or_else(|_| text.clone(), |path| path.to_string_lossy().into_owned())
        }
        // With credentials: a neighbour is on the same host.
        Address::Http { url, .. } => url.to_string(),
        _ => main.to_string(),
    };
    let mut base = base.trim_end_matches('/').to_owned();
    let mut rest = url.as_str();
    loop {
        if let Some(shorter) = rest.strip_prefix("./") {
            rest = shorter;
        } else if let Some(shorter) = rest.strip_prefix("../") {
            rest = shorter;
            let Some(cut) = base.rfind(['/', ':']).filter(|cut| !base.get(..*cut).unwrap_or("").ends_with(['/', ':']))
            else {
                return Err(GitError::BadAddress {
                    address: url.clone(),
                    message: format!("it leads out of {} ({})", main, path.display()),
                });
            };
            let colon = base.as_bytes().get(cut) == Some(&b':');
            base.truncate(cut);
            if colon {
                return Ok(format!("{base}:{rest}"));
            }
        } else {
            return Ok(format!("{base}/{rest}"));
        }
    }
}
