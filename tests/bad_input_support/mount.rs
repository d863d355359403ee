//! A disk so small that it can be filled.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

/// A tmpfs. Unmounted on drop, whoever still uses it.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of `kib` KiB over a directory, which is made where it is missing. Needs root.
    pub fn over(directory: &Path, kib: u32) -> Self {
        Self::mounted(directory, &format!("size={kib}k,mode=755"))
    }

    /// As [`SmallDisk::over`], with room enough for bytes and for so many files.
    pub fn of_inodes(directory: &Path, files: u32) -> Self {
        Self::mounted(directory, &format!("size=64m,nr_inodes={files},mode=755"))
    }

    fn mounted(directory: &Path, options: &str) -> Self {
        fs::create_dir_all(directory).unwrap();
        let mut mount = Command::new("mount");
        assert!(run(mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(directory)), "mount");
        Self(directory.to_owned())
    }

    /// Fills it to the last byte.
    pub fn fill(&self) {
        let mut file = fs::File::options().create(true).append(true).open(self.ballast()).unwrap();
        for size in [65_536, 4096, 1] {
            let block = vec![b'x'; size];
            while file.write_all(&block).is_ok() {}
        }
    }

    /// Makes the room again.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the daemon under test may still have files open there.
        if !run(Command::new("umount").arg("-l").arg(&self.0)) {
            eprintln!("a small disk stays mounted at {}", self.0.display());
        }
    }
}

fn run(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}
