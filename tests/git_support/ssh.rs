//! A real SSH server with keys of its own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use turnout::git::Remote;

use super::{Server, World};

/// An SSH server with its own keys.
pub struct Ssh {
    pub server: Server,
    pub folder: PathBuf,
}

impl Ssh {
    pub fn start(world: &World) -> Self {
        let folder = world.path().join("ssh");
        // `bin` is where its commands are looked for first.
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        for (name, kind) in [
            ("host_ed25519", "ed25519"),
            ("host_ecdsa", "ecdsa"),
            ("user", "ed25519"),
            ("stranger", "rsa"),
            ("user_rsa", "rsa"),
        ] {
            Self::keygen(&folder.join(name), kind);
        }
        let mut authorized = std::fs::read_to_string(folder.join("user.pub")).unwrap();
        authorized.push_str(&std::fs::read_to_string(folder.join("user_rsa.pub")).unwrap());
        std::fs::write(folder.join("authorized_keys"), authorized).unwrap();
        // sshd wants it, in the distribution's build; it is empty and belongs to root.
        let _ = std::fs::create_dir_all("/run/sshd");
        let at = folder.clone();
        let server = Server::start(move |port| {
            let config = at.join("sshd_config");
            let text = format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host_ed25519\nHostKey {0}/host_ecdsa\n\
                 AuthorizedKeysFile {0}/authorized_keys\nPidFile none\nStrictModes no\nUsePAM no\n\
                 PasswordAuthentication no\nKbdInteractiveAuthentication no\nSetEnv PATH={0}/bin:/usr/local/bin:/usr/bin:/bin\n",
                at.display()
            );
            std::fs::write(&config, text).unwrap();
            let mut sshd = Command::new("/usr/sbin/sshd");
            sshd.arg("-D").arg("-f").arg(config);
            sshd
        });
        Self { server, folder }
    }

    fn keygen(path: &Path, kind: &str) {
        let made = Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(path).status().unwrap();
        assert!(made.success());
    }

    /// A known_hosts line for a host key.
    pub fn line(&self, key: &str) -> String {
        let key = std::fs::read_to_string(self.folder.join(format!("{key}.pub"))).unwrap();
        format!("[127.0.0.1]:{} {key}", self.server.port)
    }

    pub fn remote(&self, world: &World, known_hosts: &str, key: &str) -> Remote {
        let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
        let url = format!("ssh://{}@127.0.0.1:{}{}", user.trim(), self.server.port, world.origin().display());
        let mut remote = world.remote_at(&url);
        let file = self.folder.join("known_hosts");
        std::fs::write(&file, known_hosts).unwrap();
        remote.auth.known_hosts = Some(file);
        remote.auth.ssh_key = Some(self.folder.join(key));
        remote
    }
}
