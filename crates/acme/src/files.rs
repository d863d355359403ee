//! What is kept on the disk. Each file is whole at every moment: temporary, fsync, rename, fsync of the folder; mode 0600.
//!
//! ```text
//! FOLDER/accounts/NAME.json        the key of the account at one directory
//! FOLDER/certificates/HOST.pem     a certificate, those that lead to its authority, and its key
//! FOLDER/orders/HOST.json          the order that is under way, and what failed
//! FOLDER/ordered.json              when orders were made, of the last hour
//! FOLDER/authority.json            whose certificates are obtained, as the caller was told
//! ```

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use openssl::{asn1::Asn1Time, x509::X509};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use crate::{
    AcmeError,
    due::{self, Lifetime, Ordered},
    key::Key,
    record::Record,
};

/// Bytes of a file at most.
const LARGEST: u64 = 1 << 20;
/// Characters of a host that become a file's name; longer ones are named by their digest.
const NAMED: usize = 200;

/// The folder in which accounts, orders under way, keys and certificates lie.
#[derive(Debug, Clone)]
pub struct Files {
    folder: PathBuf,
}

/// An account, as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    key: String,
    /// What the authority was told last.
    #[serde(default)]
    contact: Vec<String>,
}

impl Files {
    /// In this folder, which is made where it is needed.
    pub fn of(folder: PathBuf) -> Files {
        Files { folder }
    }

    /// Where a host's certificate is, or will be, with its key.
    pub fn certificate(&self, host: &str) -> PathBuf {
        self.folder.join("certificates").join(format!("{}.pem", name(host)))
    }

    fn record_path(&self, host: &str) -> PathBuf {
        self.folder.join("orders").join(format!("{}.json", name(host)))
    }

    fn account_path(&self, directory: &str) -> PathBuf {
        let host =
            url::Url::parse(directory).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        let host: String =
            host.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')).take(80).collect();
        let digest = hex::encode(Sha256::digest(directory));
        self.folder.join("accounts").join(format!("{host}-{}.json", digest.get(..12).unwrap_or_default()))
    }

    /// What is known of a host; nothing, where nothing is kept.
    ///
    /// # Errors
    /// It cannot be read. The caller may go on with nothing.
    pub fn record(&self, host: &str) -> Result<Record, String> {
        Ok(read(&self.record_path(host))?.unwrap_or_default())
    }

    /// Keeps it.
    ///
    /// # Errors
    /// The disk's.
    pub fn keep(&self, host: &str, record: &Record) -> Result<(), AcmeError> {
        write(&self.record_path(host), to_json(record)?.as_bytes())
    }

    /// Writes down that another order is made for a host, if one more may be. On the disk before it is made.
    pub(crate) fn order(&self, host: &str) -> Result<(), AcmeError> {
        let path = self.folder.join("ordered.json");
        let mut made: Vec<Ordered> = read(&path).map_err(AcmeError::Here)?.unwrap_or_default();
        let bounded = |seconds: i64| AcmeError::Bounded(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
        due::order(&mut made, host, now()).map_err(bounded)?;
        write(&path, to_json(&made)?.as_bytes())
    }

    /// What was kept by [`Files::keep_settings`].
    ///
    /// # Errors
    /// It cannot be read.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<Option<T>, String> {
        read(&self.folder.join("authority.json"))
    }

    /// Keeps what the caller was told.
    ///
    /// # Errors
    /// The disk's.
    pub fn keep_settings(&self, settings: &impl Serialize) -> Result<(), AcmeError> {
        write(&self.folder.join("authority.json"), to_json(settings)?.as_bytes())
    }

    /// How long the certificate of a host counts. None: there is none, or none that can be read.
    pub fn lifetime(&self, host: &str) -> Option<Lifetime> {
        let own = X509::from_pem(&bytes(&self.certificate(host)).ok()??).ok()?;
        let serial = own.serial_number().to_bn().ok()?.to_vec();
        let salt = serial.iter().fold(0_u64, |salt, byte| salt.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        Some(Lifetime { from: seconds(own.not_before())?, to: seconds(own.not_after())?, salt })
    }

    /// Whether the certificate of a host that is in its place has this key.
    pub(crate) fn has_key(&self, host: &str, key: &str) -> bool {
        let there = bytes(&self.certificate(host)).ok().flatten().unwrap_or_default();
        String::from_utf8_lossy(&there).contains(key)
    }

    /// Puts a host's certificate in its place, with its key.
    pub(crate) fn put_certificate(&self, host: &str, chain: &[u8], key: &str) -> Result<(), AcmeError> {
        // The chain first: readers of certificates and of keys each skip what is the other's.
        write(&self.certificate(host), &[chain, b"\n", key.as_bytes()].concat())
    }

    /// The account's key at a directory, and what was said of whom to write to. One that is not there yet is made, and kept
    /// before it is used.
    pub(crate) fn account(&self, directory: &str) -> Result<(Key, Vec<String>), AcmeError> {
        let path = self.account_path(directory);
        let kept: Option<Kept> = read(&path).map_err(AcmeError::Here)?;
        match kept {
            Some(Kept { key, contact }) => {
                let broken = |_| AcmeError::Here(format!("{}: there is no key in it", path.display()));
                Ok((Key::from_pem(&key).map_err(broken)?, contact))
            }
            None => {
                let key = Key::new()?;
                self.keep_account(directory, &key, &[])?;
                Ok((key, Vec::new()))
            }
        }
    }

    pub(crate) fn keep_account(&self, directory: &str, key: &Key, contact: &[String]) -> Result<(), AcmeError> {
        let kept = Kept { key: key.to_pem()?, contact: contact.to_vec() };
        write(&self.account_path(directory), to_json(&kept)?.as_bytes())
    }
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "compared with the ends of certificates")]
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Names of hosts are those of files, but for their length.
fn name(host: &str) -> String {
    if host.len() <= NAMED { host.to_owned() } else { hex::encode(Sha256::digest(host)) }
}

fn seconds(time: &openssl::asn1::Asn1TimeRef) -> Option<i64> {
    let since = Asn1Time::from_unix(0).ok()?.diff(time).ok()?;
    Some(i64::from(since.days) * 86_400 + i64::from(since.secs))
}

fn to_json(what: &impl Serialize) -> Result<String, AcmeError> {
    serde_json::to_string_pretty(what).map_err(|error| AcmeError::Here(format!("cannot be written as JSON: {error}")))
}

fn bytes(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let wrong = |error: io::Error| format!("{} cannot be read: {error}", path.display());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error)),
    };
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).map_err(wrong)?;
    Ok(Some(bytes))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    let Some(bytes) = bytes(path)? else { return Ok(None) };
    // serde_json's own words may quote what is in there, a key.
    let broken = |_| format!("{} is not what was written there; it may be removed", path.display());
    serde_json::from_slice(&bytes).map(Some).map_err(broken)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), AcmeError> {
    let cannot = |error: io::Error| AcmeError::Here(format!("{} cannot be written: {error}", path.display()));
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(cannot)?;
    let new = path.with_extension("new");
    // One that a crash left may have another mode.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot(error)),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(cannot)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(cannot)?;
    fs::rename(&new, path).map_err(cannot)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(cannot)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::record::UnderWay;

    #[test]
    fn what_is_kept_comes_back_and_is_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(folder.path().join("acme"));
        let directory = "https://a.example/directory";
        let (key, contact) = files.account(directory).unwrap();
        assert!(contact.is_empty());
        files.keep_account(directory, &key, &["mailto:a@b.example".to_owned()]).unwrap();
        let (again, contact) = files.account(directory).unwrap();
        assert_eq!((again.jwk().unwrap(), contact.len()), (key.jwk().unwrap(), 1));
        assert_ne!(files.account("https://a.example/other").unwrap().0.jwk().unwrap(), key.jwk().unwrap());

        let host = "h".repeat(253);
        let order = Some(UnderWay { url: "u".to_owned(), key: "secret".to_owned() });
        let record = Record { directory: directory.to_owned(), order, failures: 2, ..Record::default() };
        assert_eq!(files.record(&host).unwrap(), Record::default());
        files.keep(&host, &record).unwrap();
        assert_eq!(files.record(&host).unwrap(), record);
        assert!(!format!("{record:?}").contains("secret"));

        let (chain, key) = crate::alpn::certificate(&host, "x").unwrap();
        assert_eq!(files.lifetime(&host), None);
        files.put_certificate(&host, &chain, std::str::from_utf8(&key).unwrap()).unwrap();
        let there = files.lifetime(&host).unwrap();
        let (own, other) = (String::from_utf8(key).unwrap(), Key::new().unwrap().to_pem().unwrap());
        assert_eq!([own, other].map(|key| files.has_key(&host, &key)), [true, false]);
        assert_eq!(there.to - there.from, 86_400);
        for path in [files.certificate(&host), files.record_path(&host), files.account_path(directory)] {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
    }

    #[test]
    fn what_is_damaged_is_said_without_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(folder.path().to_owned());
        files.keep("a.example", &Record::default()).unwrap();
        fs::write(files.record_path("a.example"), "{\"order\":\"secret\"").unwrap();
        let said = files.record("a.example").unwrap_err();
        assert!(said.contains("is not what was written there") && !said.contains("secret"), "{said}");
    }
}
