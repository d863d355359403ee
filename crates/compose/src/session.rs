//! One load from its beginning to its end: what it reads from, what it has read, and the bounds of that.

use std::{collections::BTreeMap, path::Path, rc::Rc};

use turnout_yaml::{Limits, Node, Pos, parse};

use super::{
    error::{LoadError, Warning},
    lexical,
    remote::{self, RemoteFile},
    request::LoadRequest,
    select_files::{Environment, FILE_NAMES, read_text},
    source::FileSource,
    tree_size::size,
};

/// Files read for one project, `include` and `extends` counted each time.
const MAX_READS: usize = 1000;

/// Bytes read for one project.
const MAX_READ_BYTES: usize = 64 << 20;

/// How often over one file's bounds all files of a project may go, aliases expanded: a short file can be a million values,
/// and many files may be included.
const FILES_AT_MOST: usize = 2;

/// Bytes of all variables that the included files see, each file's own counted. They are copied for each.
const MAX_ENVIRONMENT: usize = 256 << 20;
/// How many they are.
const MAX_VARIABLES: usize = 1_000_000;

/// Values that are looked at again because another document was laid over them. Every document means a look at the
/// whole, so that many of them would take time by the square.
const MAX_REWORK: usize = 10_000_000;

/// One load: what it reads from, its bounds, and what it found odd.
pub(super) struct Session<'a> {
    pub files: &'a dyn FileSource,
    /// Directory that relative paths end up at; absolute.
    pub cwd: String,
    pub stdin: Option<&'a str>,
    /// What `~` stands for.
    pub home: Option<&'a str>,
    /// Environment of the process.
    environment: &'a Environment,
    pub interpolate: bool,
    /// Whether the main files' paths become absolute; those of included and extended ones always do.
    pub resolve_paths: bool,
    pub limits: Limits,
    pub warnings: Vec<Warning>,
    /// Documents of files that were looked at for the project's name, until they are loaded.
    ahead: BTreeMap<String, Vec<Node>>,
    reads: usize,
    read_bytes: usize,
    copied_nodes: usize,
    copied_bytes: usize,
    reworked: usize,
    nodes: usize,
    text: usize,
    /// Bytes that interpolation yielded.
    pub interpolated: usize,
    /// Ports that short forms became.
    pub ports: usize,
    environments: usize,
    variables: usize,
}

/// Where relative paths and variables of some files come from.
#[derive(Clone)]
pub(super) struct Scope {
    /// What the files' own paths are relative to. For an included file this is itself relative to the including one.
    pub working_dir: String,
    /// Where files named by `extends` and `include` are looked for.
    pub loader_dir: String,
    /// What `${NAME}` in those files is looked up in.
    pub environment: Rc<Environment>,
}

impl<'a> Session<'a> {
    /// A load that has read nothing yet.
    pub(super) fn new(request: &'a LoadRequest, files: &'a dyn FileSource) -> Self {
        Session {
            files,
            cwd: request.working_dir.to_string_lossy().into_owned(),
            stdin: request.stdin.as_deref(),
            home: request.process_env.get("HOME").map(String::as_str),
            environment: &request.process_env,
            interpolate: request.options.interpolate,
            resolve_paths: request.options.resolve_paths,
            limits: Limits { refuse_apparent_cycles: true, ..request.options.limits },
            warnings: Vec::new(),
            ahead: BTreeMap::new(),
            reads: 0,
            read_bytes: 0,
            copied_nodes: 0,
            copied_bytes: 0,
            reworked: 0,
            nodes: 0,
            text: 0,
            interpolated: 0,
            ports: 0,
            environments: 0,
            variables: 0,
        }
    }

    /// Text of a file; `-` is standard input.
    pub(super) fn read(&mut self, path: &str) -> Result<String, LoadError> {
        self.reads += 1;
        if self.reads > MAX_READS {
            return Err(LoadError::new(format!("more than {MAX_READS} files are read, the last one {path}"))
                .hint("use fewer include and extends entries"));
        }
        let text = if path == "-" {
            self.stdin.map(str::to_owned).ok_or_else(|| LoadError::new("standard input was asked for but not given"))?
        } else {
            read_text(&lexical::join(&self.cwd, path), self.files, "create the file, or name another")?
        };
        self.read_bytes = self.read_bytes.saturating_add(text.len());
        if self.read_bytes > MAX_READ_BYTES {
            return Err(LoadError::new(format!(
                "the project's files exceed {MAX_READ_BYTES} bytes, the last one {path}"
            ))
            .hint("use fewer or smaller files"));
        }
        Ok(text)
    }

    /// Reads the documents of a file.
    pub(super) fn documents(&mut self, path: &str) -> Result<Vec<Node>, LoadError> {
        let documents = match self.ahead.remove(path) {
            Some(documents) => documents,
            None => {
                let text = self.read(path)?;
                parse(&text, &self.shown(path), &self.limits)?
            }
        };
        for document in &documents {
            self.count_document(document)?;
        }
        Ok(documents)
    }

    /// Counts what files are made of, each time that they are read.
    fn count_document(&mut self, document: &Node) -> Result<(), LoadError> {
        let (nodes, bytes) = size(document);
        self.nodes = self.nodes.saturating_add(nodes);
        self.text = self.text.saturating_add(bytes);
        let (most_nodes, most_text) = (FILES_AT_MOST * self.limits.max_nodes, FILES_AT_MOST * self.limits.max_text);
        let (most, what) = match (self.nodes > most_nodes, self.text > most_text) {
            (true, _) => (most_nodes, "values"),
            (false, true) => (most_text, "bytes of text"),
            (false, false) => return Ok(()),
        };
        Err(LoadError::new(format!("the project's files come to more than {most} {what}, aliases expanded"))
            .pos(document.pos.clone())
            .hint("include and extend fewer or smaller files"))
    }

    /// Counts the variables that an included file sees.
    pub(super) fn count_environment(&mut self, environment: &Environment) -> Result<(), LoadError> {
        let bytes: usize = environment.iter().map(|(key, value)| key.len() + value.len()).sum();
        self.environments = self.environments.saturating_add(bytes);
        self.variables = self.variables.saturating_add(environment.len());
        let exceeded = match (self.environments > MAX_ENVIRONMENT, self.variables > MAX_VARIABLES) {
            (true, _) => format!("{MAX_ENVIRONMENT} bytes"),
            (false, true) => format!("a number of {MAX_VARIABLES}"),
            (false, false) => return Ok(()),
        };
        Err(LoadError::new(format!("the variables of all included files exceed {exceeded}, each file's own counted"))
            .hint("include fewer files, or make their env files smaller"))
    }

    /// Reads files before they are loaded, for [`Session::seen`].
    ///
    /// # Errors
    ///
    /// A file that cannot be read. What is wrong in its text is told when it is loaded, each file in its turn.
    pub(super) fn look_ahead(&mut self, paths: &[String]) -> Result<(), LoadError> {
        let texts = paths.iter().map(|path| self.read(path)).collect::<Result<Vec<_>, _>>()?;
        for (path, text) in paths.iter().zip(texts) {
            if let Ok(documents) = parse(&text, &self.shown(path), &self.limits) {
                self.ahead.insert(path.clone(), documents);
            }
        }
        Ok(())
    }

    /// Documents of a file that was read ahead.
    pub(super) fn seen(&self, path: &str) -> &[Node] {
        self.ahead.get(path).map(Vec::as_slice).unwrap_or_default()
    }

    /// Counts values that `extends` copies.
    pub(super) fn count_copy(&mut self, node: &Node) -> Result<(), LoadError> {
        let (nodes, bytes) = size(node);
        self.copied_nodes = self.copied_nodes.saturating_add(nodes);
        self.copied_bytes = self.copied_bytes.saturating_add(bytes);
        let (most, what) = if self.copied_nodes > self.limits.max_nodes {
            (self.limits.max_nodes, "values")
        } else if self.copied_bytes > self.limits.max_text {
            (self.limits.max_text, "bytes of text")
        } else {
            return Ok(());
        };
        Err(LoadError::new(format!("extends copies more than {most} {what}"))
            .pos(node.pos.clone())
            .hint("extend smaller services"))
    }

    /// Counts what is looked at again for the sake of the document that begins at `pos`.
    pub(super) fn count_rework(&mut self, root: &Node, pos: &Pos) -> Result<(), LoadError> {
        self.reworked = self.reworked.saturating_add(size(root).0);
        if self.reworked <= MAX_REWORK {
            return Ok(());
        }
        Err(LoadError::new(format!("too many documents lie over too large a project: more than {MAX_REWORK} values"))
            .pos(pos.clone())
            .hint("write fewer documents (---) and files"))
    }

    /// Where a remote file lies once it was fetched: the file, and the folder of what it belongs to. `None` for a path
    /// of this machine.
    pub(super) fn fetched(&self, path: &str) -> Result<Option<(String, String)>, LoadError> {
        let refused = |why: String, hint: &str| {
            let shown = turnout_report::redact::redact_shapes(path);
            Err(LoadError::new(format!("{shown}: {why}")).hint(hint))
        };
        let switch = |name: &str| match self.environment.get(name).map(String::as_str).unwrap_or_default() {
            "" | "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(()),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Err(format!("remote files are disabled by {name}")),
            other => Err(format!("{name} must be true or false, not {other:?}")),
        };
        let copy = "download the file, and name the copy";
        let file = match remote::parse(path) {
            None => return Ok(None),
            Some(RemoteFile::Oci(reference)) => {
                let found =
                    switch("COMPOSE_EXPERIMENTAL_OCI_REMOTE").and_then(|()| self.files.fetch_artifact(&reference));
                return match found {
                    Ok(folder) => {
                        let folder = folder.to_string_lossy().into_owned();
                        Ok(Some((lexical::join(&folder, remote::ARTIFACT_FILE), folder)))
                    }
                    Err(why) => refused(why, "or download the project, and name the copy"),
                };
            }
            Some(RemoteFile::Git(file)) => file,
        };
        if let Err(why) = switch("COMPOSE_EXPERIMENTAL_GIT_REMOTE") {
            return refused(why, copy);
        }
        let inside = match file.inside() {
            Ok(inside) => inside,
            Err(why) => return refused(why, "name a folder inside it"),
        };
        let folder = match self.files.fetch(&file) {
            Ok(folder) => folder.to_string_lossy().into_owned(),
            Err(why) => return refused(why, copy),
        };
        let found = lexical::join(&folder, &inside);
        let mut names = FILE_NAMES.iter().map(|name| lexical::join(&found, name));
        let file = match self.is_dir(&found) {
            false => Some(found),
            true => names.find(|name| self.files.exists(Path::new(name)) && !self.is_dir(name)),
        };
        match file {
            // A repository must not show what else lies on this machine.
            Some(file) if !self.files.stays_in(Path::new(&file), Path::new(&folder)) => {
                refused("a symbolic link leads out of the repository".to_owned(), "name a file inside it")
            }
            Some(file) => Ok(Some((file, folder))),
            None => refused(
                format!("there is no {} in it", FILE_NAMES.join(", ")),
                "name the file after the reference: #REF:FILE",
            ),
        }
    }

    /// A file's name in messages.
    pub(super) fn shown(&self, path: &str) -> String {
        let prefix = format!("{}/", lexical::clean(&self.cwd));
        path.strip_prefix(&prefix).unwrap_or(path).to_owned()
    }

    /// Whether a directory is there.
    pub(super) fn is_dir(&self, path: &str) -> bool {
        self.files.is_dir(Path::new(&lexical::join(&self.cwd, path)))
    }
}
