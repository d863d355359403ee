//! Which paths the daemon's unit leaves writable: a check by hand sees none of the walls that systemd puts round it.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{io::AsyncReadExt as _, process::Command, time};

use crate::deploy::walls::let_write;

/// How long the service manager may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than a unit's few lines is not read.
const MOST: u64 = 64 << 10;

/// The walls of a unit, as far as paths are concerned.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Walls {
    system: String,
    home: String,
    private_tmp: bool,
    writable: Vec<PathBuf>,
    read_only: Vec<PathBuf>,
}

/// Asks the service manager for `turnout.service`. `None` where there is no such unit, or no systemd.
pub(super) async fn walls() -> Option<Walls> {
    let properties = "LoadState,ProtectSystem,ProtectHome,PrivateTmp,ReadWritePaths,ReadOnlyPaths,InaccessiblePaths";
    let mut child = Command::new("systemctl")
        .args(["show", "turnout.service", "--property", properties])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let mut said = String::new();
    let mut out = child.stdout.take()?.take(MOST);
    time::timeout(PATIENCE, out.read_to_string(&mut said)).await.ok()?.ok()?;
    parse(&said)
}

/// Reads what `systemctl show` prints.
fn parse(said: &str) -> Option<Walls> {
    let mut walls = Walls::default();
    let paths = |value: &str| {
        value.split_whitespace().map(|word| PathBuf::from(word.trim_start_matches(['-', '+']))).collect::<Vec<_>>()
    };
    for (name, value) in said.lines().filter_map(|line| line.split_once('=')) {
        match name {
            "LoadState" if value != "loaded" => return None,
            "ProtectSystem" => value.clone_into(&mut walls.system),
            "ProtectHome" => value.clone_into(&mut walls.home),
            "PrivateTmp" => walls.private_tmp = value == "yes",
            "ReadWritePaths" => walls.writable = paths(value),
            "ReadOnlyPaths" | "InaccessiblePaths" => walls.read_only.extend(paths(value)),
            _ => {}
        }
    }
    Some(walls)
}

impl Walls {
    /// Why the daemon cannot write below this path, and what to do, if its unit forbids it. The longest path that
    /// a setting names decides, as in systemd.exec(5).
    pub(super) fn forbid(&self, path: &Path) -> Option<String> {
        let deepest = |paths: &[PathBuf]| {
            paths.iter().filter(|top| path.starts_with(top)).map(|top| top.components().count()).max()
        };
        let below = |tops: &[&str]| tops.iter().any(|top| path.starts_with(top));
        let drop_in = let_write(path);
        if self.private_tmp && below(&["/tmp", "/var/tmp"]) {
            return Some(
                "turnout.service has a /tmp of its own (PrivateTmp) and does not see it; choose another place"
                    .to_owned(),
            );
        }
        if below(&["/home", "/root", "/run/user"]) && !matches!(self.home.as_str(), "" | "no") {
            let hint = if self.home == "read-only" { "" } else { "ProtectHome=read-only and " };
            let open = self.home == "read-only" && deepest(&self.writable).is_some_and(|depth| depth > 1);
            return (!open).then(|| {
                format!(
                    "turnout.service may not write there (ProtectHome={}); {}",
                    self.home,
                    drop_in.replace("ReadWritePaths", &format!("{hint}ReadWritePaths"))
                )
            });
        }
        let writable = deepest(&self.writable);
        if deepest(&self.read_only).is_some_and(|depth| writable.is_none_or(|open| open <= depth)) {
            return Some("turnout.service may not write there (ReadOnlyPaths or InaccessiblePaths)".to_owned());
        }
        let open = writable.is_some() || below(&["/var/lib/turnout", "/run/turnout", "/dev", "/proc", "/sys"]);
        let closed = match self.system.as_str() {
            "strict" => true,
            "full" => below(&["/usr", "/boot", "/efi", "/etc"]),
            "yes" => below(&["/usr", "/boot", "/efi"]),
            _ => false,
        };
        (closed && !open)
            .then(|| format!("turnout.service may not write there (ProtectSystem={}); {drop_in}", self.system))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_units_walls_are_seen() {
        let shipped = "LoadState=loaded\nProtectSystem=strict\nProtectHome=read-only\nPrivateTmp=yes\nReadWritePaths=-/srv -/opt\nReadOnlyPaths=\nInaccessiblePaths=\n";
        let table: [(&str, &str, Option<&str>); 12] = [
            (shipped, "/srv/turnout/shop", None),
            (shipped, "/opt/shop", None),
            (shipped, "/var/lib/turnout/shop", None),
            (shipped, "/data/shop", Some("ReadWritePaths=-/data;")),
            (shipped, "/srvother/shop", Some("ProtectSystem=strict")),
            (shipped, "/home/me/shop", Some("ProtectHome=read-only")),
            (shipped, "/tmp/shop", Some("PrivateTmp")),
            ("LoadState=loaded\nProtectHome=read-only\nReadWritePaths=/home/me\n", "/home/me/shop", None),
            (
                "LoadState=loaded\nProtectHome=yes\nReadWritePaths=/home/me\n",
                "/home/me/shop",
                Some("ProtectHome=read-only"),
            ),
            (
                "LoadState=loaded\nReadWritePaths=/srv\nReadOnlyPaths=/srv/turnout\n",
                "/srv/turnout/shop",
                Some("ReadOnlyPaths"),
            ),
            ("LoadState=loaded\nProtectSystem=full\n", "/data/shop", None),
            ("LoadState=loaded\nProtectSystem=full\n", "/etc/shop", Some("ProtectSystem=full")),
        ];
        for (said, path, wanted) in table {
            let forbidden = parse(said).unwrap().forbid(Path::new(path));
            match wanted {
                None => assert_eq!(forbidden, None, "{path} with {said}"),
                Some(part) => assert!(
                    forbidden.as_deref().is_some_and(|text| text.contains(part)),
                    "{path} with {said}: {forbidden:?}"
                ),
            }
        }
        assert_eq!(parse("LoadState=not-found\nProtectSystem=no\n"), None);
    }
}
