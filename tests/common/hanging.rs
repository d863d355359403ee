//! What never answers: a file system without a server, and a pipe that nobody writes to.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// A file system whose server never answers. Ends, and with it the hanging, when it is dropped.
pub struct Hanging {
    server: Child,
    folder: PathBuf,
    _home: TempDir,
}

impl Hanging {
    /// One at a folder of its own. Nothing, and says so, where it cannot be made.
    pub fn new() -> Option<Self> {
        let home = TempDir::new().unwrap();
        let folder = home.path().canonicalize().unwrap().join("mnt");
        fs::create_dir(&folder).unwrap();
        let script = "exec 3<>/dev/fuse && mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0,allow_other \
                      hanging \"$1\" && echo there && exec sleep 1000";
        let mut command = Command::new("sh");
        let mut server = command
            .args(["-c", script, "sh"])
            .arg(&folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut hanging = Self { server, folder, _home: home };
        if line.trim() == "there" {
            return Some(hanging);
        }
        let _ = hanging.server.wait();
        println!("not run: needs root and /dev/fuse, to make a file system that hangs");
        None
    }

    /// Where it is mounted.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = Command::new("umount").arg("-l").arg(&self.folder).stderr(Stdio::null()).status();
    }
}

/// Makes a named pipe.
pub fn pipe(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}
