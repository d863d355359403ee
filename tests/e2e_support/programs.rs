//! Images of this machine's own programs: an engine without a network has no others.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::common::unique;

/// What an image is made of.
#[derive(Default)]
pub struct Programs<'a> {
    /// Programs and libraries, with their paths here; what those link to goes along.
    pub files: &'a [&'a str],
    /// Whole folders.
    pub folders: &'a [&'a str],
    /// Texts of its own, by path.
    pub texts: &'a [(&'a str, &'a str)],
    /// Names besides `app`: by those a service is known for what it is.
    pub names: &'a [&'a str],
    /// More folders with programs.
    pub path: &'a str,
    /// What it declares besides, as in a Dockerfile.
    pub says: &'a [&'a str],
}

/// An image with several names, until it is dropped.
pub struct Image {
    /// The first part of its names.
    pub of: String,
    names: Vec<String>,
}

impl Image {
    /// Makes it; busybox is in it, and its user is no root.
    pub fn new(wanted: &Programs<'_>) -> Image {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in ["bin", "tmp", "data", "etc", "app", "usr/bin"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        for path in ["tmp", "data"] {
            fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o1777)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/tmp:/bin/sh\n").unwrap();
        for (path, text) in wanted.texts {
            let path = root.join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for applet in ["sh", "sleep", "mkdir", "cp", "httpd", "cat", "nc", "wget"] {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        let mut all: Vec<PathBuf> = wanted.files.iter().map(PathBuf::from).collect();
        for program in wanted.files {
            let said = Command::new("ldd").arg(program).output().unwrap();
            let said = String::from_utf8_lossy(&said.stdout).into_owned();
            all.extend(said.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
        }
        all.sort();
        all.dedup();
        // Each where it lies here, whatever links lead there.
        for path in &all {
            let to = root.join(path.strip_prefix("/").unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(path, to).unwrap();
        }
        for folder in wanted.folders {
            let to = root.join(folder.trim_start_matches('/'));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            assert!(Command::new("cp").arg("-rL").arg(folder).arg(to).status().unwrap().success());
        }
        import(root, wanted)
    }
}

fn import(root: &Path, Programs { names, path, says, .. }: &Programs<'_>) -> Image {
    let of = unique("data");
    let path = format!("ENV PATH=/bin:/usr/bin{path}");
    let changes = [path.as_str(), "USER 1000"].into_iter().chain(says.iter().copied());
    let changes: Vec<&str> = changes.flat_map(|change| ["--change", change]).collect();
    // Folder by folder: an engine that imports does not follow links to folders of this machine.
    let mut tar =
        Command::new("tar").arg("-C").arg(root).args(["-cf", "-", "."]).stdout(Stdio::piped()).spawn().unwrap();
    let done = Command::new("docker")
        .arg("import")
        .args(&changes)
        .args(["-", &format!("{of}/app")])
        .stdin(tar.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(tar.wait().unwrap().success());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for name in *names {
        docker(&["tag", &format!("{of}/app"), &format!("{of}/{name}")]);
    }
    Image { of, names: names.iter().map(|name| (*name).to_owned()).collect() }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.names.push("app".to_owned());
        for name in &self.names {
            docker(&["image", "rm", "-f", &format!("{}/{name}", self.of)]);
        }
    }
}

/// Volumes without a name that go along from container to container: none of those takes them along when it goes. Made before the
/// stack, and dropped after it.
#[derive(Default)]
pub struct Nameless(Vec<String>);

impl Nameless {
    /// Those of a container.
    pub fn note(&mut self, container: &str) {
        let said = docker(&["inspect", "-f", "{{range .Mounts}}{{.Name}} {{end}}", container]);
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        self.0.extend(said.split_whitespace().filter(|name| name.len() == 64).map(str::to_owned));
    }
}

impl Drop for Nameless {
    fn drop(&mut self) {
        for volume in &self.0 {
            docker(&["volume", "rm", volume]);
        }
    }
}

/// Runs Docker's client.
pub fn docker(arguments: &[&str]) -> Output {
    Command::new("docker").args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// What a command prints in a container.
pub fn said_in(container: &str, command: &[&str]) -> String {
    let said = docker(&[&["exec", container], command].concat());
    String::from_utf8_lossy(&said.stdout).trim().to_owned()
}
