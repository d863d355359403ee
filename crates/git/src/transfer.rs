//! Fetches one branch (or one commit) of a remote into a reference of ours.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use git2::{
    AutotagOption, Direction, ErrorClass, ErrorCode, FetchOptions, Oid, RemoteCallbacks, RemoteUpdateFlags, Repository,
};

use super::{
    address::Address,
    again, arrived,
    auth::Answers,
    budget::Part,
    error::{GitError, clean, not_owned, out_of_space},
    objects,
    relay::Route,
    remote::GitAuth,
    session::Session,
};
use turnout_report::{Event, counted};

/// Progress is told at most this often.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// Everything that may hold a commit.
const ALL: [&str; 2] = ["+refs/heads/*:refs/turnout/all/heads/*", "+refs/tags/*:refs/turnout/all/tags/*"];

/// References that a fetch writes beside the one that is wanted, at most: tags that come with the commits, branches that are
/// searched. Each is a file of its own, which no bound of a pack counts.
pub(super) const MOST_NAMES: usize = 5_000;

/// What to fetch.
pub(super) enum Want<'w> {
    /// The branch of this name.
    Branch(&'w str),
    /// The branch that the remote's HEAD names.
    DefaultBranch,
    /// All branches, until this commit is there.
    Commit(Oid),
    /// What a branch, a tag, a reference in full or a commit of this name stands for.
    Revision(&'w str),
    /// All branches and tags, and of their commits the one whose digits begin so.
    Prefix(&'w str),
}

/// What was fetched.
#[derive(Debug)]
pub(super) struct Fetched {
    /// The branch; empty where no branch was asked for by name.
    pub(super) branch: String,
    /// The commit at its tip.
    pub(super) tip: Oid,
}

/// The reference that holds a fetched tip until the work tree has followed. Not the remote-tracking branch: that one
/// says what we knew before, which is how a rewound branch is told from local commits.
pub(super) fn fetched_ref(branch: &str) -> String {
    format!("refs/turnout/fetched/{branch}")
}

/// Fetches into a repository. What may pass is tried again.
pub(super) fn fetch(
    repo: &Repository,
    address: &Address,
    token_allowed: bool,
    want: &Want<'_>,
    session: &Session,
) -> Result<Fetched, GitError> {
    again::with_patience(session, &format!("fetch from {address}"), || {
        once(repo, address, token_allowed, want, session)
    })
}

fn once(
    repo: &Repository,
    address: &Address,
    token_allowed: bool,
    want: &Want<'_>,
    session: &Session,
) -> Result<Fetched, GitError> {
    session.go_on()?;
    session.relay.take_fault();
    let answers = Answers::new(&session.remote.auth, address, token_allowed);
    let edge = Edge::of(repo);
    let fetched = talk(repo, address, &answers, want, session);
    edge.keep();
    fetched.map_err(|trouble| match trouble {
        Trouble::Ours(error) => error,
        Trouble::Theirs(error) => explain(&error, address, &answers, session),
    })
}

/// The edge of a shallow clone: the file that names the commits at which history is cut off. libgit2 1.9 empties it in
/// a fetch from a local path, and without it git takes the repository for damaged.
struct Edge(Option<(PathBuf, Vec<u8>)>);

impl Edge {
    fn of(repo: &Repository) -> Self {
        let file = repo.commondir().join("shallow");
        Self(std::fs::read(&file).ok().filter(|text| !text.is_empty()).map(|text| (file, text)))
    }

    fn keep(self) {
        let Some((file, text)) = self.0 else { return };
        if std::fs::metadata(&file).is_ok_and(|found| found.len() > 0) {
            return;
        }
        let fresh = file.with_file_name("shallow.turnout");
        let _ = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, &file));
    }
}

enum Trouble {
    Ours(GitError),
    Theirs(git2::Error),
}

impl From<GitError> for Trouble {
    fn from(error: GitError) -> Self {
        Self::Ours(error)
    }
}

impl From<git2::Error> for Trouble {
    fn from(error: git2::Error) -> Self {
        Self::Theirs(error)
    }
}

fn talk(
    repo: &Repository,
    address: &Address,
    answers: &Answers,
    want: &Want<'_>,
    session: &Session,
) -> Result<Fetched, Trouble> {
    let way = Way::to(address, repo, session)?;
    let begin = |part: Part| session.relay.budget().begin(part, part.limit(session.remote.most_bytes));
    begin(Part::List);
    let mut remote = repo.remote_anonymous(&way.url)?;
    let mut connection = remote.connect_auth(Direction::Fetch, Some(callbacks(answers, address, session)), None)?;
    begin(Part::Pack);
    let heads: Vec<(String, Oid)> =
        connection.list()?.iter().map(|head| (head.name().to_owned(), head.oid())).collect();
    let named =
        |folder: &str| heads.iter().filter(|(name, _)| name.starts_with(folder) && !name.ends_with("^{}")).count();
    let (branches, tags) = (named("refs/heads/"), named("refs/tags/"));
    let few = branches + tags <= MOST_NAMES;
    let follow_tags = if tags <= MOST_NAMES { AutotagOption::Auto } else { AutotagOption::None };
    if tags > MOST_NAMES {
        let text =
            format!("{address} has {tags} tags, of which none is fetched: more than {MOST_NAMES} are not followed");
        session.tell(Event::Info { text });
    }
    let default = || {
        let symbolic = connection.list().ok()?.iter().find(|head| head.name() == "HEAD")?.symref_target()?.to_owned();
        symbolic.strip_prefix("refs/heads/").map(str::to_owned)
    };
    let (branch, tip, refspecs) = match want {
        Want::Commit(oid) => {
            let all = "+refs/heads/*:refs/remotes/origin/*".to_owned();
            // A commit that no branch holds can still be asked for by name, if the server allows it.
            let exact = format!("+{oid}:refs/turnout/fetched-commit");
            let listed = heads.iter().any(|(_, tip)| tip == oid);
            let refspecs = match (few, listed) {
                (true, true) => vec![all],
                (true, false) => vec![all, exact],
                (false, _) => vec![exact],
            };
            (String::new(), *oid, refspecs)
        }
        Want::Revision(name) => {
            let found = Found::among(&heads, name, default(), few, address)?;
            (String::new(), found.tip, found.refspecs)
        }
        Want::Prefix(digits) if !few => {
            let (address, digits) = (address.to_string(), (*digits).to_owned());
            return Err(GitError::TooManyNames { address, digits, names: branches + tags, most: MOST_NAMES }.into());
        }
        Want::Prefix(_) => (String::new(), Oid::ZERO_SHA1, ALL.map(str::to_owned).to_vec()),
        Want::Branch(_) | Want::DefaultBranch => {
            let name = match want {
                Want::Branch(name) => (*name).to_owned(),
                _ => default()
                    .or_else(|| {
                        connection
                            .default_branch()
                            .ok()
                            .and_then(|name| name.as_str().ok()?.strip_prefix("refs/heads/").map(str::to_owned))
                    })
                    .unwrap_or_else(|| "main".to_owned()),
            };
            let tip = tip_of(&name, &heads, address)?;
            let refspec = format!("+refs/heads/{name}:{}", fetched_ref(&name));
            (name, tip, vec![refspec])
        }
    };
    let fetch = |connection: &mut git2::RemoteConnection<'_, '_, '_>, refspecs: &[String]| {
        let mut options = FetchOptions::new();
        options
            .remote_callbacks(callbacks(answers, address, session))
            .download_tags(follow_tags)
            .update_fetchhead(false);
        let before = arrived::Before::of(repo);
        connection.remote().download(refspecs, Some(&mut options))?;
        // No reference may name what is taken away again.
        before.look(&|| session.go_on())?;
        connection.remote().disconnect()?;
        let mut callbacks = callbacks(answers, address, session);
        let flags = RemoteUpdateFlags::empty();
        connection.remote().update_tips(Some(&mut callbacks), flags, follow_tags, None)?;
        Ok::<_, Trouble>(())
    };
    match refspecs.split_last() {
        Some((exact, all)) if !all.is_empty() && !matches!(want, Want::Prefix(_)) => {
            fetch(&mut connection, all)?;
            if objects::commit(repo, tip).is_err() {
                drop(connection);
                let mut connection =
                    remote.connect_auth(Direction::Fetch, Some(callbacks(answers, address, session)), None)?;
                let fetched = fetch(&mut connection, std::slice::from_ref(exact));
                if let (Want::Revision(name), Err(Trouble::Theirs(_))) = (want, &fetched) {
                    return Err(missing(&heads, name, address).into());
                }
                fetched?;
            }
        }
        _ => fetch(&mut connection, &refspecs)?,
    }
    if let Want::Prefix(digits) = want {
        let commit = repo.find_commit_by_prefix(digits).map_err(|_| missing(&heads, digits, address))?;
        return Ok(Fetched { branch, tip: commit.id() });
    }
    if let Want::Revision(name) = want {
        // A tag may be an object of its own, that names the commit.
        let commit = objects::commit_of(repo, tip);
        let tip = commit.map_err(|_| missing(&heads, name, address))?.id();
        return Ok(Fetched { branch, tip });
    }
    if objects::commit(repo, tip).is_err() {
        let path = session.remote.path.clone();
        return Err(GitError::UnknownCommit { path, revision: tip.to_string(), shallow: repo.is_shallow() }.into());
    }
    Ok(Fetched { branch, tip })
}

/// What a revision is on the remote.
struct Found {
    tip: Oid,
    /// What brings it here; the last one is tried only if the others have not.
    refspecs: Vec<String>,
}

impl Found {
    /// A branch wins over a tag. Parts of a name count from its end (`pull/1/head`), as for `git ls-remote`. `few`: all branches
    /// and tags may be searched for a commit that none of them names.
    fn among(
        heads: &[(String, Oid)],
        name: &str,
        default_branch: Option<String>,
        few: bool,
        address: &Address,
    ) -> Result<Found, GitError> {
        if heads.is_empty() {
            return Err(GitError::EmptyRemote { address: address.to_string() });
        }
        let into = |full: &str| format!("+{full}:refs/turnout/pinned");
        let real = || heads.iter().filter(|(full, _)| !full.ends_with("^{}"));
        if name.len() == 40
            && let Ok(tip) = Oid::from_str(name)
        {
            let listed = real().find(|(_, known)| *known == tip);
            let refspecs = match listed {
                Some((full, _)) => vec![into(full)],
                // A commit that nothing names can be asked for by itself, if the server allows it.
                None if !few => vec![into(name)],
                None => ALL.iter().map(|all| (*all).to_owned()).chain([into(name)]).collect(),
            };
            return Ok(Found { tip, refspecs });
        }
        let default = default_branch.filter(|_| name == "HEAD").map(|branch| format!("refs/heads/{branch}"));
        let whole =
            [default.unwrap_or_default(), name.to_owned(), format!("refs/heads/{name}"), format!("refs/tags/{name}")];
        let exact = whole.iter().find_map(|full| real().find(|(known, _)| known == full));
        let end = format!("/{name}");
        let found = exact.or_else(|| real().find(|(full, _)| full.ends_with(&end)));
        let (full, tip) = found.ok_or_else(|| missing(heads, name, address))?;
        Ok(Found { tip: *tip, refspecs: vec![into(full)] })
    }
}

fn missing(heads: &[(String, Oid)], name: &str, address: &Address) -> GitError {
    let short = |full: &str| full.strip_prefix("refs/heads/").or(full.strip_prefix("refs/tags/")).map(str::to_owned);
    let there = heads.iter().filter(|(full, _)| !full.ends_with("^{}")).filter_map(|(full, _)| short(full)).collect();
    GitError::MissingRevision { address: address.to_string(), revision: name.to_owned(), there }
}

fn tip_of(branch: &str, heads: &[(String, Oid)], address: &Address) -> Result<Oid, GitError> {
    let branches: Vec<_> =
        heads.iter().filter_map(|(name, tip)| Some((name.strip_prefix("refs/heads/")?, *tip))).collect();
    if branches.is_empty() {
        return Err(GitError::EmptyRemote { address: address.to_string() });
    }
    branches.iter().find(|(name, _)| *name == branch).map(|(_, tip)| *tip).ok_or_else(|| GitError::MissingBranch {
        address: address.to_string(),
        branch: branch.to_owned(),
        there: branches.iter().map(|(name, _)| (*name).to_owned()).collect(),
    })
}

/// How libgit2 reaches an address: through the relay.
struct Way {
    url: String,
}

impl Way {
    fn to(address: &Address, repo: &Repository, session: &Session) -> Result<Self, GitError> {
        let open = |route: Route| {
            session.relay.open(route).map_err(|error| GitError::other("open a local port for the transfer", error))
        };
        Ok(match address {
            Address::Local(path) => Self { url: path.clone() },
            Address::Git { host, port, path } => {
                let local = open(Route::Fixed { host: host.clone(), port: *port })?;
                Self { url: format!("git://127.0.0.1:{local}{path}") }
            }
            Address::Ssh { user, host, port, path, scp } => {
                let local = open(Route::Fixed { host: host.clone(), port: *port })?;
                let user = user.as_deref().unwrap_or("git");
                let url = if *scp {
                    format!("[{user}@127.0.0.1:{local}]:{path}")
                } else {
                    format!("ssh://{user}@127.0.0.1:{local}{path}")
                };
                Self { url }
            }
            Address::Http { url, host, port } => {
                let configured = repo.config().and_then(|config| config.get_string("http.proxy")).ok();
                let env = |name: &str| std::env::var(name).ok();
                let outer = turnout_net::proxy::applies_to(host, url.scheme() == "https", configured, &env)?;
                let tls = url.scheme() == "https";
                let local = open(Route::Http { host: host.clone(), port: *port, tls, via: outer, redirects: false })?;
                let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
                // Credentials are given on demand only, so that no message of libgit2 can show them.
                Self { url: format!("http://127.0.0.1:{local}{}{query}", url.path()) }
            }
        })
    }
}

fn callbacks<'c>(answers: &'c Answers, address: &'c Address, session: &'c Session) -> RemoteCallbacks<'c> {
    let mut callbacks = RemoteCallbacks::new();
    callbacks.credentials(|_relay, user, kinds| answers.credentials(user, kinds));
    callbacks.certificate_check(|cert, _relay| answers.certificate(cert));
    let too_much = |part: Part, bytes: u64| {
        let limit = part.limit(session.remote.most_bytes);
        if bytes > limit {
            session.relay.blame(part.exceeded(&address.to_string(), limit));
        }
        bytes > limit
    };
    let said = Cell::new(0);
    callbacks.sideband_progress(move |text| {
        said.set(said.get() + text.len() as u64);
        !session.stop.is_cancelled() && !too_much(Part::Messages, said.get())
    });
    let told: Cell<Option<Instant>> = Cell::new(None);
    callbacks.transfer_progress(move |progress| {
        let now = Instant::now();
        if told.get().is_none_or(|last| now.duration_since(last) >= PROGRESS_EVERY) {
            told.set(Some(now));
            let text = format!(
                "{} of {} objects, {} KiB",
                progress.received_objects(),
                progress.total_objects(),
                progress.received_bytes() / 1024
            );
            session.tell(Event::Progress { subject: format!("fetch {address}"), text });
        }
        // Also of a repository on this machine, to which no relay leads.
        let too_many = progress.total_objects() > arrived::MOST_OBJECTS;
        if too_many {
            let count = counted(progress.total_objects(), "object");
            let text =
                format!("it sends {count}, more than the {} that turnout takes in one fetch", arrived::MOST_OBJECTS);
            session.relay.blame(GitError::other(format!("fetch from {address}"), text));
        }
        !session.stop.is_cancelled() && !too_many && !too_much(Part::Pack, progress.received_bytes() as u64)
    });
    callbacks
}

/// Finds the true cause of a failed transfer: the most exact witness first.
fn explain(error: &git2::Error, address: &Address, answers: &Answers, session: &Session) -> GitError {
    if session.stop.is_cancelled() {
        return session.cancelled();
    }
    if let Some(verdict) = answers.verdict() {
        return verdict;
    }
    if let Some(fault) = session.relay.take_fault() {
        return fault;
    }
    let message = clean(error.message());
    if out_of_space(&message) {
        return GitError::NoSpace { path: session.remote.path.clone() };
    }
    if let Some(path) = not_owned(&message) {
        return GitError::WrongOwner { path };
    }
    let gone = |message: &str| {
        [
            "not found",
            "does not exist",
            "404",
            "not appear to be a git repository",
            "failed to resolve path",
            "unsupported URL",
            "could not find repository",
        ]
        .iter()
        .any(|words| message.contains(words))
    };
    match (error.code(), error.class()) {
        (ErrorCode::Auth, _) => answers.denied(),
        (_, ErrorClass::Ssh) if message.contains("authenticat") => answers.denied(),
        (_, ErrorClass::Http) if message.contains("401") || message.contains("403") => answers.denied(),
        (ErrorCode::Certificate, _) | (_, ErrorClass::Ssl) if message.contains("certificate") => {
            GitError::Certificate { address: address.to_string(), message }
        }
        (ErrorCode::Owner, _) => GitError::WrongOwner { path: Path::new(&address.to_string()).to_owned() },
        (ErrorCode::NotFound, _) => GitError::NotFound { address: address.to_string() },
        _ if gone(&message) => GitError::NotFound { address: address.to_string() },
        (_, ErrorClass::Net | ErrorClass::Http | ErrorClass::Ssh | ErrorClass::Ssl) => {
            GitError::broken_off(address, &message)
        }
        _ if message.contains("EOF") => GitError::broken_off(address, &message),
        _ => GitError::other(format!("fetch from {address}"), message),
    }
}

/// Whether a token for `main` may be sent to `other`.
pub(super) fn shares_host(main: &Address, other: &Address) -> bool {
    match (main, other) {
        (Address::Http { url: a, host: ha, port: pa }, Address::Http { url: b, host: hb, port: pb }) => {
            ha == hb && pa == pb && a.scheme() == b.scheme()
        }
        _ => false,
    }
}

/// Warns where a token would travel in the clear.
pub(super) fn warn_of_plain_http(address: &Address, auth: &GitAuth, session: &Session) {
    if let Address::Http { url, .. } = address
        && url.scheme() == "http"
        && (auth.token.is_some() || url.password().is_some())
    {
        session.tell(Event::Warning { text: format!("the token for {address} travels unencrypted: use https") });
    }
}
