//! TLS of listeners, by OpenSSL: certificates from files, chosen by the host that a client names, and read again when they
//! change. A pair of files that cannot be used leaves what was used before in its place.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, SocketAddr},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use openssl::{
    asn1::Asn1Time,
    error::ErrorStack,
    ex_data::Index,
    pkey::PKey,
    ssl::{
        AlpnError, NameType, SniError, Ssl, SslAcceptor, SslAlert, SslContext, SslMethod, SslMode, SslOptions, SslRef,
        select_next_proto,
    },
    x509::{X509, X509Ref},
};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;
use turnout_traffic::{CertificateFiles, Mistakes, Route, Table, Tls, spot::Host, spots::Spots};

/// Bytes of a certificate file or a key: a chain has some ten thousand.
const FILE: u64 = 1 << 20;
/// What is spoken behind TLS, as ALPN writes it.
const PROTOCOLS: &[u8] = b"\x02h2\x08http/1.1";

/// A certificate and its key, as they are used now.
#[derive(Debug)]
pub(crate) struct Pair {
    files: CertificateFiles,
    /// None: they could not be used yet.
    context: RwLock<Option<SslContext>>,
    /// Of the files that were looked at last, whether they could be used or not.
    seen: Mutex<Option<[Stamp; 2]>>,
}

impl Pair {
    pub(crate) fn context(&self) -> Option<SslContext> {
        self.context.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn uses(&self, context: SslContext) {
        *self.context.write().unwrap_or_else(PoisonError::into_inner) = Some(context);
    }
}

/// What a listener shows to its clients.
#[derive(Debug)]
pub(crate) struct Shown {
    spots: Arc<Spots>,
    /// In the order of the routes.
    routes: Vec<Shows>,
}

/// What one of its routes shows.
#[derive(Debug)]
pub(crate) enum Shows {
    /// The same for all of its hosts.
    Pair(Arc<Pair>),
    /// One for each, obtained.
    ByHost(BTreeMap<String, Arc<Pair>>),
}

impl Shown {
    pub(crate) fn new(spots: Arc<Spots>, routes: Vec<Shows>) -> Shown {
        Shown { spots, routes }
    }

    /// The certificate for a host that a client names; for a client that names none, that of the first route.
    fn certificate(&self, name: &str) -> Option<SslContext> {
        let at = self.spots.of_name(name.as_bytes()).or(name.is_empty().then_some(0));
        match self.routes.get(at?)? {
            Shows::Pair(pair) => pair.context(),
            Shows::ByHost(pairs) if name.is_empty() => pairs.values().next()?.context(),
            Shows::ByHost(pairs) => pairs.get(&name.trim_end_matches('.').to_ascii_lowercase())?.context(),
        }
    }

    /// Any that can be used, to begin with.
    fn any(&self) -> Option<SslContext> {
        self.routes.iter().find_map(|shows| match shows {
            Shows::Pair(pair) => pair.context(),
            Shows::ByHost(pairs) => pairs.values().find_map(|pair| pair.context()),
        })
    }
}

/// What tells that a file is another one.
type Stamp = (u64, u64, i64, i64);

/// All pairs that routes name.
pub(crate) struct Store {
    pairs: Mutex<BTreeMap<(String, String), Arc<Pair>>>,
    /// Whether certificates may be obtained.
    obtains: AtomicBool,
    /// Where the one of a host is, that is obtained.
    obtained: Box<dyn Fn(&str) -> PathBuf + Send + Sync>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("pairs", &self.pairs).finish_non_exhaustive()
    }
}

impl Default for Store {
    fn default() -> Store {
        Store::new(true, Box::new(|host: &str| PathBuf::from(host)))
    }
}

/// What is said of routes whose certificates nobody may obtain.
pub(crate) const NOT_AGREED: &str = "certificates are obtained only once you have agreed to the terms of their authority: \
                                     TURNOUT_ACME_AGREE_TERMS=true in turnout's settings";

impl Store {
    pub(crate) fn new(obtains: bool, obtained: Box<dyn Fn(&str) -> PathBuf + Send + Sync>) -> Store {
        Store { pairs: Mutex::default(), obtains: AtomicBool::new(obtains), obtained }
    }

    /// Whether certificates may be obtained from now on.
    pub(crate) fn may_obtain(&self, may: bool) {
        self.obtains.store(may, Relaxed);
    }

    fn pairs(&self) -> MutexGuard<'_, BTreeMap<(String, String), Arc<Pair>>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a route shows. Of what is not known yet there is nothing to be used.
    pub(crate) fn shows(&self, route: &Route) -> Option<Shows> {
        Some(match route.tls.as_ref()? {
            Tls::Files(files) => Shows::Pair(self.pair(files)),
            Tls::Acme => {
                let hosts = route.hosts.iter().map(ToString::to_string);
                Shows::ByHost(hosts.map(|host| (host.clone(), self.pair(&self.files_of(&host)))).collect())
            }
        })
    }

    /// The file of a certificate that is obtained has its key, too.
    fn files_of(&self, host: &str) -> CertificateFiles {
        let file = (self.obtained)(host).to_string_lossy().into_owned();
        CertificateFiles { certificate: file.clone(), key: file }
    }

    /// The pair of these files; one that is not known yet has nothing to be used.
    fn pair(&self, files: &CertificateFiles) -> Arc<Pair> {
        let mut pairs = self.pairs();
        let known = pairs.entry((files.certificate.clone(), files.key.clone())).or_insert_with(|| {
            Arc::new(Pair { files: files.clone(), context: RwLock::default(), seen: Mutex::default() })
        });
        Arc::clone(known)
    }

    /// Whether there is a certificate for a host that was obtained, and can be used.
    pub(crate) fn is_obtained(&self, host: &str) -> bool {
        self.pair(&self.files_of(host)).context().is_some()
    }

    /// A certificate of a host has just been obtained. It waits for the disk.
    pub(crate) fn look(&self, host: &str) {
        let Ok(known) = Host::read(host) else { return };
        self.pair(&self.files_of(host)).look(&[known]);
    }

    /// Reads the files that a table names, or one repository of it, and looks whether they name its hosts. What can be used is,
    /// whatever is wrong with the rest. It waits for the disk.
    ///
    /// # Errors
    /// Every pair that cannot be used, or names a host not, with its path in a route file. One that is obtained may be missing.
    pub(crate) fn load(&self, table: &Table, only: Option<&str>) -> Result<(), Mistakes> {
        let mut mistakes = Mistakes::default();
        let wanted = table.repositories.iter().filter(|(name, _)| only.is_none_or(|only| only == name.as_str()));
        let routes = wanted.flat_map(|(name, repository)| {
            let numbered = repository.routes.iter().enumerate();
            numbered.map(move |(at, route)| (format!("repositories.{name}.routes[{at}].tls"), route))
        });
        for (path, route) in routes {
            match &route.tls {
                None => {}
                Some(Tls::Files(files)) => {
                    let pair = self.pair(files);
                    let stamps = stamps(files);
                    match read(files, &route.hosts) {
                        Ok(context) => {
                            *pair.seen.lock().unwrap_or_else(PoisonError::into_inner) = stamps;
                            pair.uses(context);
                        }
                        Err(message) => mistakes.add(path, message),
                    }
                }
                Some(Tls::Acme) => {
                    if !self.obtains.load(Relaxed) {
                        mistakes.add(path, NOT_AGREED);
                    }
                    for host in &route.hosts {
                        self.pair(&self.files_of(&host.to_string())).look(std::slice::from_ref(host));
                    }
                }
            }
        }
        mistakes.unless_any(())
    }

    /// Reads files again that have changed, and forgets those that no route names. It waits for the disk.
    pub(crate) fn refresh(&self, table: &Table) {
        let mut wanted: BTreeMap<(String, String), Vec<Host>> = BTreeMap::new();
        let mut want = |CertificateFiles { certificate, key }: CertificateFiles, hosts: &[Host]| {
            wanted.entry((certificate, key)).or_default().extend(hosts.iter().cloned());
        };
        for route in table.repositories.values().flat_map(|repository| &repository.routes) {
            match &route.tls {
                None => {}
                Some(Tls::Files(files)) => want(files.clone(), &route.hosts),
                Some(Tls::Acme) => {
                    for host in &route.hosts {
                        want(self.files_of(&host.to_string()), std::slice::from_ref(host));
                    }
                }
            }
        }
        self.pairs().retain(|key, pair| wanted.contains_key(key) || Arc::strong_count(pair) > 1);
        for (key, hosts) in wanted {
            let pair = self.pairs().get(&key).map(Arc::clone);
            if let Some(pair) = pair {
                pair.look(&hosts);
            }
        }
    }
}

impl Pair {
    /// Reads the files again, if they have changed.
    fn look(&self, hosts: &[Host]) {
        let stamps = stamps(&self.files);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // What could not be used is not read again before it has changed.
        if *seen == stamps && (stamps.is_some() || self.context().is_none()) {
            return;
        }
        let certificate = &self.files.certificate;
        match read(&self.files, hosts) {
            Ok(context) => {
                self.uses(context);
                tracing::info!("the certificate {certificate} was read again");
            }
            Err(message) => tracing::error!("what was used before {message}: it is used on"),
        }
        *seen = stamps;
    }
}

fn stamps(files: &CertificateFiles) -> Option<[Stamp; 2]> {
    let stamp = |path: &str| fs::metadata(path).ok().map(|of| (of.ino(), of.len(), of.mtime(), of.mtime_nsec()));
    Some([stamp(&files.certificate)?, stamp(&files.key)?])
}

fn bytes(path: &str) -> Result<Vec<u8>, String> {
    let wrong = |error: io::Error| {
        let user = rustix::process::geteuid().as_raw();
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied => format!(
                "; that is user {user}, who has to be allowed to read the file, and to enter the folders above it (not below /home \
                 or /root)"
            ),
            _ => String::new(),
        };
        format!("{path} cannot be read by turnout-proxy's user: {error}{remedy}")
    };
    let file = fs::File::open(Path::new(path)).map_err(wrong)?;
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, FILE + 1), &mut bytes).map_err(wrong)?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= FILE => Ok(bytes),
        _ => Err(format!("{path} is larger than {FILE} bytes: is it another file?")),
    }
}

/// Whether a pair can be used for these hosts. It waits for the disk.
pub(crate) fn try_read(files: &CertificateFiles, hosts: &[Host]) -> Result<(), String> {
    read(files, hosts).map(drop)
}

/// A pair, if it can be used for these hosts.
fn read(files: &CertificateFiles, hosts: &[Host]) -> Result<SslContext, String> {
    let CertificateFiles { certificate, key } = files;
    let chain = X509::stack_from_pem(&bytes(certificate)?)
        .map_err(|error| format!("{certificate} is no certificate in PEM form: {}", first(&error)))?;
    let mut chain = chain.into_iter();
    let own = chain.next().ok_or_else(|| format!("{certificate} has no certificate in PEM form"))?;
    let private = PKey::private_key_from_pem_callback(&bytes(key)?, |_| Ok(0))
        .map_err(|error| format!("{key} is no private key in PEM form without a password: {}", first(&error)))?;
    let public =
        own.public_key().map_err(|error| format!("{certificate} has no key that is understood: {}", first(&error)))?;
    if !public.public_eq(&private) {
        return Err(format!("{key} is not the key of {certificate}"));
    }
    let missing: Vec<String> = hosts.iter().filter(|host| !names(&own, host)).map(|host| format!("`{host}`")).collect();
    if !missing.is_empty() {
        return Err(format!("{certificate} does not name {}; it names {}", missing.join(", "), all_names(&own)));
    }
    if Asn1Time::days_from_now(0).is_ok_and(|now| own.not_after() < now) {
        tracing::warn!("the certificate {certificate} ended at {}", own.not_after());
    }
    context(&own, chain, &private).map_err(|error| format!("{certificate} cannot be used: {}", first(&error)))
}

fn first(error: &ErrorStack) -> String {
    error.errors().first().and_then(|error| error.reason()).unwrap_or("no reason is told").to_owned()
}

/// Mozilla's intermediate level: TLS 1.2 and 1.3, ciphers that keep the past secret.
fn context(
    own: &X509Ref,
    chain: impl Iterator<Item = X509>,
    key: &PKey<openssl::pkey::Private>,
) -> Result<SslContext, ErrorStack> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    builder.set_certificate(own)?;
    for further in chain {
        builder.add_extra_chain_cert(further)?;
    }
    builder.set_private_key(key)?;
    builder.check_private_key()?;
    builder.set_mode(SslMode::ENABLE_PARTIAL_WRITE | SslMode::ACCEPT_MOVING_WRITE_BUFFER | SslMode::RELEASE_BUFFERS);
    builder.set_options(SslOptions::NO_RENEGOTIATION);
    builder.set_alpn_select_callback(|_, offered| select_next_proto(PROTOCOLS, offered).ok_or(AlpnError::NOACK));
    builder.set_servername_callback(choose);
    Ok(builder.build().into_context())
}

/// For a listener without any certificate that can be used: whichever host a client names, it is told that there is none.
fn empty() -> Result<SslContext, ErrorStack> {
    static EMPTY: OnceLock<SslContext> = OnceLock::new();
    if let Some(context) = EMPTY.get() {
        return Ok(context.clone());
    }
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    builder.set_servername_callback(choose);
    Ok(EMPTY.get_or_init(|| builder.build().into_context()).clone())
}

/// Where a handshake keeps what its listener shows.
fn shown_by() -> Result<Index<Ssl, Arc<Shown>>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, Arc<Shown>>> = OnceLock::new();
    match INDEX.get() {
        Some(index) => Ok(*index),
        None => {
            let new = Ssl::new_ex_index()?;
            Ok(*INDEX.get_or_init(|| new))
        }
    }
}

/// The certificate of the host that the client names.
fn choose(ssl: &mut SslRef, alert: &mut SslAlert) -> Result<(), SniError> {
    let name = ssl.servername(NameType::HOST_NAME).unwrap_or_default().to_owned();
    let context = shown_by().ok().and_then(|index| ssl.ex_data(index).and_then(|of| of.certificate(&name)));
    match context {
        Some(context) => ssl.set_ssl_context(&context).map_err(|_| SniError::ALERT_FATAL),
        None => {
            *alert = SslAlert::UNRECOGNIZED_NAME;
            Err(SniError::ALERT_FATAL)
        }
    }
}

/// Speaks TLS with a client of a listener.
pub(crate) async fn accept(stream: TcpStream, shown: Arc<Shown>) -> Result<SslStream<TcpStream>, String> {
    let wrong = |error: ErrorStack| error.to_string();
    let context = match shown.any() {
        Some(context) => context,
        None => empty().map_err(wrong)?,
    };
    let mut ssl = Ssl::new(&context).map_err(wrong)?;
    ssl.set_ex_data(shown_by().map_err(wrong)?, shown);
    let mut stream = SslStream::new(ssl, stream).map_err(wrong)?;
    Pin::new(&mut stream).accept().await.map_err(|error| error.to_string())?;
    Ok(stream)
}

/// Whether a certificate names a host.
fn names(certificate: &X509Ref, host: &Host) -> bool {
    let Some(known) = certificate.subject_alt_names() else { return false };
    let dns =
        |wanted: &str| known.iter().filter_map(|name| name.dnsname()).any(|name| name.eq_ignore_ascii_case(wanted));
    match host {
        Host::Below(parent) => dns(&format!("*.{parent}")),
        Host::Exact(name) => {
            let parent = name.split_once('.').map(|(_, parent)| parent).filter(|parent| parent.contains('.'));
            let ip = name.parse().ok().map(|ip| match ip {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            });
            dns(name)
                || parent.is_some_and(|parent| dns(&format!("*.{parent}")))
                || ip.is_some_and(|ip| known.iter().any(|name| name.ipaddress() == Some(&ip)))
        }
    }
}

fn all_names(certificate: &X509Ref) -> String {
    let known = certificate.subject_alt_names();
    let names: Vec<String> =
        known.iter().flatten().filter_map(|name| name.dnsname()).map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "no host".to_owned() } else { names.join(", ") }
}

/// Says why a client's TLS did not come about; that is the client's matter.
pub(crate) fn failed(listen: SocketAddr, peer: SocketAddr, reason: &str) {
    tracing::debug!(%listen, %peer, "a client's TLS did not come about: {reason}");
}
