//! The gate against real files, links, pipes and devices.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::*;

/// A server: the repository `shop` in `srv/shop`, what else it has beside.
struct Server {
    dir: tempfile::TempDir,
    links: BTreeSet<PathBuf>,
    modules: BTreeSet<PathBuf>,
    outside: bool,
}

impl Server {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("srv/shop/conf/deep")).unwrap();
        fs::create_dir_all(dir.path().join("srv/shop/module")).unwrap();
        fs::create_dir_all(dir.path().join("etc/shop")).unwrap();
        for (file, text) in [
            ("srv/shop/conf/app.env", "inside"),
            ("srv/other.env", "another's"),
            ("etc/shop/prod.env", "outside"),
            ("etc/secret", "secret"),
        ] {
            fs::write(dir.path().join(file), text).unwrap();
        }
        Self { dir, links: BTreeSet::new(), modules: ["module".into()].into(), outside: false }
    }

    fn top(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    /// A link that came with a commit.
    fn committed(mut self, at: &str, to: &str) -> Self {
        self.links.insert(at.into());
        self.own(at, to)
    }

    /// A link that the server's user made.
    fn own(self, at: &str, to: &str) -> Self {
        symlink(to.replace('@', &self.top().display().to_string()), self.top().join("srv/shop").join(at)).unwrap();
        self
    }

    fn reach(&self) -> Reach {
        let root = self.top().join("srv/shop");
        Reach::Repository(Arc::new(Repository {
            name: "shop".into(),
            written: root.clone(),
            root,
            links: self.links.clone(),
            modules: self.modules.clone(),
            outside: self.outside,
        }))
    }

    /// What is read at a path below the repository, or the error.
    fn read(&self, path: &str) -> String {
        let path = match path.strip_prefix('@') {
            Some(absolute) => PathBuf::from(format!("{}{absolute}", self.top().display())),
            None => self.top().join("srv/shop").join(path),
        };
        match self.reach().read(&path, Kind::PROJECT) {
            Ok(bytes) => String::from_utf8(bytes).unwrap(),
            Err(error) => format!("refused: {error}").replace(&self.top().display().to_string(), "@"),
        }
    }
}

#[test]
fn what_a_commit_chose_stays_inside_and_what_the_server_chose_does_not() {
    let server = Server::new()
        .committed("in", "conf/app.env")
        .committed("in-absolute", "@/srv/shop/conf/app.env")
        .committed("conf/deep/up", "../../conf/app.env")
        .committed("round", "../shop/conf/app.env")
        .committed("out", "../other.env")
        .committed("out-absolute", "@/etc/secret")
        .committed("folder-out", "@/etc")
        .committed("null", "/dev/null")
        .committed("to-own", "own")
        .committed("circle", "circle")
        .own("own", "@/etc/shop/prod.env")
        .own("own-up", "../../etc/shop/prod.env")
        .own("own-folder", "@/etc/shop")
        .own("own-to-out", "out-absolute")
        .own("module/link", "@/etc/secret")
        .own("gone", "@/etc/none")
        .own("self", "/proc/self/environ")
        .own("self-fd", "/proc/self/fd/0")
        .own("kernel", "/sys/kernel/uevent_seqnum");
    let outside =
        |to: &str| format!("refused: is outside of the repository ({to}), and a commit may not choose such a file");
    let by_link = |link: &str, to: &str| {
        let why = "and a commit may not choose such a file";
        format!("refused: is outside of the repository: the link {link} in it leads to {to}, {why}")
    };
    let absent = "refused: No such file or directory (os error 2)".to_owned();
    let kernels =
        |path: &str| format!("refused: is a file of the kernel's own ({path}), which is never read for a repository");
    for (path, expected) in [
        ("conf/app.env", "inside".to_owned()),
        ("conf/../conf/app.env", "inside".to_owned()),
        ("in", "inside".to_owned()),
        ("in-absolute", "inside".to_owned()),
        ("conf/deep/up", "inside".to_owned()),
        ("round", "inside".to_owned()),
        ("@/srv/shop/in", "inside".to_owned()),
        ("@/srv/../srv/shop/in", "inside".to_owned()),
        ("null", String::new()),
        ("/dev/null", String::new()),
        // The server's own.
        ("own", "outside".to_owned()),
        ("own-up", "outside".to_owned()),
        ("own-folder/prod.env", "outside".to_owned()),
        ("to-own", "outside".to_owned()),
        ("gone", absent.clone()),
        // The commit's.
        ("@/etc/secret", outside("@/etc/secret")),
        ("../other.env", outside("@/srv/other.env")),
        ("conf/../../other.env", outside("@/srv/other.env")),
        ("@/etc/none", absent),
        ("out", by_link("out", "@/srv/other.env")),
        ("out-absolute", by_link("out-absolute", "@/etc/secret")),
        ("folder-out/secret", by_link("folder-out", "@/etc/secret")),
        ("own-folder/../secret", outside("@/etc/secret")),
        ("own-to-out", by_link("out-absolute", "@/etc/secret")),
        ("module/link", by_link("module/link", "@/etc/secret")),
        // Nobody's.
        ("self", kernels("/proc/self/environ")),
        ("self-fd", kernels("/proc/self/fd/0")),
        ("kernel", kernels("/sys/kernel/uevent_seqnum")),
        ("circle", "refused: Too many levels of symbolic links (os error 40)".to_owned()),
        ("conf", "refused: is a directory, not a file".to_owned()),
    ] {
        assert_eq!(server.read(path), expected, "{path}");
    }
}

#[test]
fn with_leave_all_is_read_but_what_is_the_kernels() {
    let server = Server::new().committed("out", "@/etc/secret").committed("self", "/proc/self/environ");
    let server = Server { outside: true, ..server };
    assert_eq!(server.read("out"), "secret");
    assert_eq!(server.read("../other.env"), "another's");
    assert_eq!(server.read("@/etc/secret"), "secret");
    for path in ["self", "/proc/self/environ", "/proc/1/../self/environ", "/dev/fd/0", "/dev/stdin"] {
        assert!(server.read(path).contains("a file of the kernel's own"), "{path}: {}", server.read(path));
    }
}

#[test]
fn only_regular_files_are_read_each_with_its_bound() {
    let server = Server::new()
        .committed("zero", "/dev/zero")
        .own("own-zero", "/dev/zero")
        .own("terminal", "/dev/ptmx")
        .own("tty", "/dev/tty");
    let shop = server.top().join("srv/shop");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        shop.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(shop.join("socket")).unwrap();
    for reach in [Reach::Anywhere, server.reach()] {
        for (name, what) in [
            ("own-zero", "a device"),
            ("terminal", "a terminal"),
            ("tty", "a terminal"),
            ("pipe", "a named pipe"),
            ("socket", "a socket"),
            ("conf", "a directory"),
        ] {
            let error = reach.read(&shop.join(name), Kind::PROJECT).unwrap_err();
            assert_eq!(error.to_string(), format!("is {what}, not a file"), "{name}");
            assert!(hint(&error).is_some());
            let folder = reach.folder(&shop.join(name)).map(|_| ()).map_err(|error| error.to_string());
            let expected = if name == "conf" { Ok(()) } else { Err(format!("is {what}, not a directory")) };
            assert_eq!(folder, expected, "{name}");
        }
        let file = shop.join("conf/app.env");
        assert_eq!(reach.read(&file, Kind { most: 6 }).unwrap(), b"inside");
        let error = reach.read(&file, Kind { most: 5 }).unwrap_err();
        assert_eq!((error.kind(), &*error.to_string()), (io::ErrorKind::InvalidData, "larger than 5 bytes"));
        assert_eq!(reach.folder(&file).unwrap_err().to_string(), "is a file, not a directory");
    }
    assert!(server.read("zero").contains("the link zero in it leads to /dev/zero"));
}

#[test]
fn a_folder_that_is_exchanged_for_a_link_leads_nowhere_else() {
    let server = Server::new();
    let shop = server.top().join("srv/shop");
    let context = server.reach().folder(&shop).unwrap();
    let read = |path: &Path| {
        let (_, file) = context.open(path).map_err(|error| error.to_string())?;
        io::read_to_string(file).map_err(|error| error.to_string())
    };
    let file = shop.join("conf/app.env");
    assert_eq!(read(&file).as_deref(), Ok("inside"));
    fs::rename(shop.join("conf"), shop.join("aside")).unwrap();
    fs::create_dir(server.top().join("etc/conf")).unwrap();
    fs::write(server.top().join("etc/conf/app.env"), "elsewhere").unwrap();
    symlink(server.top().join("etc/conf"), shop.join("conf")).unwrap();
    assert!(read(&file).unwrap_err().contains("was exchanged"));
    // The folder itself: its files stay what they were.
    fs::rename(&shop, server.top().join("srv/moved")).unwrap();
    symlink(server.top().join("etc"), &shop).unwrap();
    assert_eq!(read(&shop.join("aside/app.env")).as_deref(), Ok("inside"));
}
