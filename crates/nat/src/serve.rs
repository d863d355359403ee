//! The helper: one request on standard input, one answer on standard output, and the end of it. A service manager that listens
//! for it hands each connection over as both; who starts it itself has the right already, and is asked for nothing.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::SocketAddr,
    os::{fd::AsFd, unix::fs::MetadataExt as _},
    process::{Command, Stdio},
    time::Duration,
};

use rustix::net::{SocketAddrUnix, sockopt};

use crate::{
    listens,
    message::{Answer, BYTES, Lead, Request},
    rules::{self, Rule, Whose},
    tracked,
};

/// Where the programs are looked for; nothing of the caller's says so.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
/// How long a request is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Seconds for which the programs wait for others that write rules.
const LOCK: &str = "5";
/// The kernel's list of connections, and how much of it is read.
const TRACKED: &str = "/proc/net/nf_conntrack";
const TRACKED_BYTES: u64 = 64 << 20;
/// The kernel's lists of sockets, and how much of each is read.
const SOCKETS: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
const SOCKETS_BYTES: u64 = 64 << 20;

/// Answers one request. What is refused is an answer, too.
///
/// # Errors
/// When nobody can be answered.
pub fn serve() -> Result<(), String> {
    let answer = match asked() {
        Ok((request, whose)) => carry_out(&request, whose),
        Err(message) => Answer::Refused { message },
    };
    let mut line = serde_json::to_vec(&answer).map_err(|error| error.to_string())?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line).and_then(|()| out.flush()).map_err(|error| format!("the answer was not taken: {error}"))
}

/// With whose rights the rules are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rights {
    /// Those of whoever asks: he could write them himself.
    Asker,
    /// A service manager's.
    Ours,
}

fn asked() -> Result<(Request, Rights), String> {
    let stdin = io::stdin();
    let whose = may_ask(&stdin)?;
    let mut line = Vec::new();
    let most = BYTES as u64;
    BufReader::new(stdin.lock().take(most))
        .read_until(b'\n', &mut line)
        .map_err(|error| format!("the request could not be read: {error}"))?;
    let request: Request =
        serde_json::from_slice(&line).map_err(|error| format!("the request is not understood: {error}"))?;
    request.check()?;
    Ok((request, whose))
}

/// Over a socket only root, and whoever owns it.
fn may_ask(stdin: &impl AsFd) -> Result<Rights, String> {
    let Ok(address) = rustix::net::getsockname(stdin) else { return Ok(Rights::Asker) };
    let peer = sockopt::socket_peercred(stdin).map_err(|error| format!("who asks cannot be told: {error}"))?;
    let _ = sockopt::set_socket_timeout(stdin, sockopt::Timeout::Recv, Some(PATIENCE));
    let address = SocketAddrUnix::try_from(address).ok();
    let path =
        address.as_ref().and_then(SocketAddrUnix::path_bytes).map(|path| String::from_utf8_lossy(path).into_owned());
    let owner = path.and_then(|path| fs::metadata(path).ok()).map(|of| of.uid());
    let uid = peer.uid.as_raw();
    if uid == 0 || Some(uid) == owner || uid == rustix::process::geteuid().as_raw() {
        return Ok(if uid == 0 { Rights::Asker } else { Rights::Ours });
    }
    Err(format!("user {uid} may not ask for this: only root and the owner of the socket"))
}

fn carry_out(request: &Request, whose: Rights) -> Answer {
    let done = match request {
        Request::Set { repository, daemon, leads, .. } => {
            let of = Whose { repository: repository.clone(), daemon: daemon.clone() };
            set(&of, leads, whose).map(|without| Answer::Done { without })
        }
        Request::Clear { repository, daemon, .. } => {
            let of = Whose { repository: repository.clone(), daemon: daemon.clone() };
            lead_no_more(&of).map(|()| Answer::Done { without: Vec::new() })
        }
        Request::List { daemon, .. } => all().map(|all| {
            let own = all.into_iter().filter(|(_, whose, _, rule)| leads(rule) && whose.is_of(daemon.as_deref()));
            let leads: BTreeSet<(String, Lead)> = own.map(|(_, whose, lead, _)| (whose.repository, lead)).collect();
            Answer::Leads { leads: leads.into_iter().collect() }
        }),
        Request::Forget { daemon, .. } => forget(daemon.as_deref()).map(|leads| Answer::Leads { leads }),
        Request::Open { leads, .. } => Ok(Answer::Open {
            open: tracked().map(|tracked| {
                let sockets = leads.iter().any(|lead| lead.from.is_ipv6()).then(|| sockets(SOCKETS[1])).flatten();
                tracked::open(&tracked, leads).with_untracked(&tracked, &sockets.unwrap_or_default(), leads)
            }),
        }),
    };
    done.unwrap_or_else(|message| Answer::Refused { message })
}

/// Adds what is missing before it takes away what is too much, so that a listener that stays led is led all the while.
fn set(of: &Whose, leads: &[Lead], whose: Rights) -> Result<Vec<String>, String> {
    let mut published = rules::published(&run(V4, &["-t", "nat", "-S", rules::PUBLISHED])?);
    published
        .extend(run(V6, &["-t", "nat", "-S", rules::PUBLISHED]).iter().flat_map(|listing| rules::published(listing)));
    let listening = listening();
    let leads_of = |whose: &Whose, rule: &Rule| is_same(whose, of) && self::leads(rule);
    let mine: Vec<Lead> =
        all()?.into_iter().filter(|(_, whose, _, rule)| leads_of(whose, rule)).map(|(.., lead, _)| lead).collect();
    for lead in leads {
        // One that is led already may have lost its container meanwhile.
        let known = published.contains(&lead.from.port()) || mine.contains(lead);
        // turnout-proxy gives a listener of its own back to the engine.
        if !known && !listens::stays_with_one(&listening, *lead, whose == Rights::Asker) {
            return Err(format!(
                "{} is not published by the engine (no rule of its chain {}), and no user's program listens both there and \
                 on {}",
                lead.from,
                rules::PUBLISHED,
                lead.to
            ));
        }
    }
    let mut without = Vec::new();
    for lead in leads {
        let program = if lead.from.is_ipv4() { V4 } else { V6 };
        let added = rules::rules(of, *lead).iter().try_for_each(|rule| add(program, rule));
        match added {
            Ok(()) => {}
            // The engine publishes for IPv6 also where the kernel translates none of it.
            Err(message) if program == V6 => {
                clear(of, &[lead])?;
                without.push(format!("{}: {message}", lead.from));
            }
            Err(message) => {
                return Err(match clear(of, &[]) {
                    Ok(()) => message,
                    Err(more) => format!("{message}; what was added is still there: {more}"),
                });
            }
        }
    }
    for (program, whose, lead, rule) in all()? {
        // One of an earlier version leads as ours does, which is there by now.
        if is_same(&whose, of) && (whose != *of || !leads.contains(&lead)) {
            remove(program, &rule)?;
        }
    }
    Ok(without)
}

/// Who listens where. What cannot be read lists nobody.
fn listening() -> Vec<(SocketAddr, u32)> {
    SOCKETS.into_iter().filter_map(sockets).flat_map(|listing| listens::listening(&listing)).collect()
}

fn sockets(path: &str) -> Option<String> {
    read(path, SOCKETS_BYTES)
}

/// The kernel's list of connections, where it has one.
fn tracked() -> Option<String> {
    read(TRACKED, TRACKED_BYTES)
}

fn read(path: &str, most: u64) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path).ok()?.take(most).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Whether it leads connections, or has to do with those that are led.
fn leads(rule: &Rule) -> bool {
    rule.table == "nat"
}

/// Nothing new of a repository is led any more. Connections of IPv6 that were led need what tracks them.
fn lead_no_more(of: &Whose) -> Result<(), String> {
    let own: Vec<_> = all()?.into_iter().filter(|(_, whose, ..)| is_same(whose, of)).collect();
    let (leading, others): (Vec<_>, Vec<_>) = own.into_iter().partition(|(.., rule)| leads(rule));
    let mut just_now = BTreeSet::new();
    for (program, _, lead, rule) in leading {
        remove(program, &rule)?;
        just_now.insert(lead);
    }
    let tracked = tracked();
    for (program, _, lead, rule) in others {
        // One that was being made is in no list.
        if program == V4 || !(just_now.contains(&lead) || is_led(tracked.as_deref(), lead)) {
            remove(program, &rule)?;
        }
    }
    Ok(())
}

/// Removes what only tracks connections that were led, where none of them is left. Answers what stays.
fn forget(daemon: Option<&str>) -> Result<Vec<(String, Lead)>, String> {
    let others = all()?.into_iter().filter(|(_, whose, _, rule)| !leads(rule) && whose.is_of(daemon));
    let others: Vec<_> = others.collect();
    // Looked at after them: what leads is set before what goes with it.
    let leading: Vec<_> = all()?.into_iter().filter(|(.., rule)| leads(rule)).collect();
    let (tracked, mut left) = (tracked(), BTreeSet::new());
    for (program, whose, lead, rule) in others {
        if leading.iter().any(|(_, of, leads, _)| (of, leads) == (&whose, &lead)) {
            continue;
        }
        match is_led(tracked.as_deref(), lead) {
            true => drop(left.insert((whose.repository, lead))),
            false => remove(program, &rule)?,
        }
    }
    Ok(left.into_iter().collect())
}

/// Whether a connection is open that was led so. Where the kernel does not say, none is.
fn is_led(tracked: Option<&str>, lead: Lead) -> bool {
    tracked.is_some_and(|tracked| tracked::open(tracked, &[lead]).led > 0)
}

/// Removes a repository's rules; only those of these, where some are named.
fn clear(of: &Whose, only: &[&Lead]) -> Result<(), String> {
    for (program, whose, lead, rule) in all()? {
        if is_same(&whose, of) && (only.is_empty() || only.contains(&&lead)) {
            remove(program, &rule)?;
        }
    }
    Ok(())
}

/// Whether a rule is a repository's of this daemon, or of one that did not say which.
fn is_same(whose: &Whose, of: &Whose) -> bool {
    whose.repository == of.repository && whose.is_of(of.daemon.as_deref())
}

const V4: &str = "iptables";
const V6: &str = "ip6tables";

/// All rules that are turnout's, and the program that knows them. A kernel without translation of IPv6 has none of it.
fn all() -> Result<Vec<(&'static str, Whose, Lead, Rule)>, String> {
    let mut all = Vec::new();
    for (program, table) in [(V4, "nat"), (V4, "filter"), (V6, "nat"), (V6, "filter")] {
        let listing = match run(program, &["-t", table, "-S"]) {
            Err(_) if program == V6 => continue,
            listing => listing?,
        };
        all.extend(rules::ours(table, &listing).into_iter().map(|(whose, lead, rule)| (program, whose, lead, rule)));
    }
    Ok(all)
}

fn add(program: &str, rule: &Rule) -> Result<(), String> {
    if run(program, &rule.arguments("-C")).is_ok() {
        return Ok(());
    }
    run(program, &rule.arguments("-I")).map(drop)
}

fn remove(program: &str, rule: &Rule) -> Result<(), String> {
    run(program, &rule.arguments("-D")).map(drop)
}

/// Runs one of the two programs. What it wrote.
fn run(program: &str, arguments: &[impl AsRef<str>]) -> Result<String, String> {
    let found = FOLDERS.iter().map(|folder| format!("{folder}/{program}")).find(|path| fs::metadata(path).is_ok());
    let path = found.ok_or_else(|| format!("{program} is not installed (looked in {})", FOLDERS.join(", ")))?;
    let arguments: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
    let output = Command::new(&path)
        .args(["-w", LOCK])
        .args(&arguments)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{path} could not be run: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {}: {}", arguments.join(" "), said.lines().next().unwrap_or("it failed and said nothing")))
}
