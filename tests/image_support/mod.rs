//! What the image tests share: the real engine, a throw-away context, and unique names that are cleaned up.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test may panic, and say why it does not run"
)]

pub(crate) use crate::common;
pub mod registry;

use std::{collections::BTreeMap, path::PathBuf, sync::Mutex, time::Duration};

use common::docker;
pub use common::docker::remove_image as remove;
use tokio_util::sync::CancellationToken;
use turnout::{
    compose::model::{Build, FileObject, Project},
    engine::{
        Engine,
        image::{BuildOptions, BuilderChoice, ImageContext, ImageError, ImageId},
    },
    registry::Credentials,
    report::{Event, Reporter},
};

/// Keeps what is reported.
#[derive(Default)]
pub struct Keep {
    pub events: Mutex<Vec<Event>>,
    /// Cancelled when a line with this text is seen that does not merely announce a step.
    pub trip: Option<(String, CancellationToken)>,
}

impl Reporter for Keep {
    fn report(&self, event: Event) {
        if let (Event::Output { line, .. }, Some((text, token))) = (&event, &self.trip)
            && line.contains(text.as_str())
            && !line.contains("RUN")
        {
            token.cancel();
        }
        self.events.lock().unwrap().push(event);
    }
}

impl Keep {
    pub fn text(&self) -> String {
        let mut text = String::new();
        for event in self.events.lock().unwrap().iter() {
            match event {
                Event::Output { line, .. } => text.push_str(line),
                Event::Info { text: t } | Event::Warning { text: t } | Event::Build { text: t, .. } => text.push_str(t),
                Event::Progress { subject, text: t } => text.push_str(&format!("{subject}: {t}")),
                _ => {}
            }
            text.push('\n');
        }
        text
    }
}

pub use common::unique;

/// The engine; these tests need one.
pub async fn engine() -> Engine {
    common::engine::connect().await
}

/// A project with one service `web`, and the directory of its build context, which holds busybox as `sh`.
pub struct Bench {
    pub dir: tempfile::TempDir,
    pub project: Project,
    pub reporter: Keep,
    pub cancel: CancellationToken,
    pub builder: BuilderChoice,
    pub timeout: Duration,
    pub credentials: Credentials,
    pub options: BuildOptions,
    pub marks: BTreeMap<String, String>,
    _guard: LabelGuard,
}

/// Removes the images with the label [`MARK`] of a bench: what a failed build of the classic builder leaves has no name.
struct LabelGuard(String);

/// On every stage of a bench's Dockerfile; its value is the bench's project.
const MARK: &str = "turnout.test";

impl Drop for LabelGuard {
    fn drop(&mut self) {
        docker::block_on(docker::remove_images_of(&format!("{MARK}={}", self.0), &self.0));
    }
}

impl Bench {
    pub fn new(stem: &str, dockerfile: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let project = Project { name: unique(stem), working_dir: dir.path().to_owned(), ..Project::default() };
        let dockerfile = marked(dockerfile, &project.name);
        let mut bench = Self {
            _guard: LabelGuard(project.name.clone()),
            dir,
            project,
            reporter: Keep::default(),
            cancel: CancellationToken::new(),
            builder: BuilderChoice::Auto,
            timeout: Duration::from_secs(120),
            credentials: Credentials::default(),
            options: BuildOptions::default(),
            marks: BTreeMap::new(),
        };
        bench.write("Dockerfile", dockerfile);
        std::fs::copy("/bin/busybox", bench.dir.path().join("sh")).expect("busybox-static is installed");
        bench.build(|build| build.context = ".".into());
        bench
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn build(&mut self, edit: impl FnOnce(&mut Build)) {
        let service = self.project.services.entry("web".into()).or_default();
        let build = service.build.get_or_insert_with(Build::default);
        edit(build);
        if build.context == "." {
            build.context = self.dir.path().to_string_lossy().into_owned();
        }
    }

    pub fn secret(&mut self, name: &str, object: FileObject) {
        self.project.secrets.insert(name.into(), object);
        self.build(|build| {
            build.secrets.push(turnout::compose::model::FileReference { source: name.into(), ..Default::default() })
        });
    }

    pub fn image(&self) -> String {
        let image = &self.project.services["web"].image;
        if image.is_empty() { format!("{}-web", self.project.name) } else { image.clone() }
    }

    pub fn cx<'a>(&'a self, environment: &'a BTreeMap<String, String>) -> ImageContext<'a> {
        ImageContext {
            reporter: &self.reporter,
            cancel: &self.cancel,
            builder: self.builder,
            build_timeout: self.timeout,
            pull_timeout: self.timeout,
            environment,
            credentials: &self.credentials,
            options: self.options,
            marks: &self.marks,
        }
    }

    pub async fn run(&self, engine: &Engine) -> Result<ImageId, ImageError> {
        loop {
            let cx = self.cx(&self.project.environment);
            let built = turnout::engine::image::build_service(engine, &self.project, "web", &cx).await;
            // The classic builder's search for cached images fails when a test beside this one removes one of them.
            match &built {
                Err(ImageError::Build { message, .. }) if message.starts_with("unable to find image \"sha256:") => {}
                _ => return built,
            }
        }
    }

    pub async fn pull(&self, engine: &Engine) -> Result<ImageId, ImageError> {
        let image = self.project.services["web"].image_name(&self.project.name, "web");
        let cx = self.cx(&self.project.environment);
        turnout::engine::image::pull_for(engine, &self.project, "web", &image, &cx).await
    }
}

/// The Dockerfile with [`MARK`] after every FROM.
fn marked(dockerfile: &str, value: &str) -> String {
    let mark = |line: &str| match line.starts_with("FROM ") {
        true => format!("{line}\nLABEL {MARK}={value}\n"),
        false => format!("{line}\n"),
    };
    dockerfile.lines().map(mark).collect()
}

/// What `docker save` gives of an image, by path; blobs as they are.
pub async fn saved(engine: &Engine, image: &str) -> BTreeMap<String, Vec<u8>> {
    use futures_util::StreamExt;
    let mut saved = Vec::new();
    let mut stream = std::pin::pin!(engine.docker().export_image(image));
    while let Some(chunk) = stream.next().await {
        saved.extend_from_slice(&chunk.unwrap());
    }
    untarred(&saved)
}

fn untarred(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    use std::io::Read;
    let mut members = BTreeMap::new();
    for entry in tar::Archive::new(bytes).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        members.insert(entry.path().unwrap().to_string_lossy().trim_end_matches('/').to_owned(), content);
    }
    members
}

/// The files of an image, by path, with their content: its layers from first to last, whiteouts ignored.
pub async fn files_of(engine: &Engine, image: &str) -> BTreeMap<String, Vec<u8>> {
    let members = saved(engine, image).await;
    let manifest: serde_json::Value = serde_json::from_slice(&members["manifest.json"]).unwrap();
    let layers = manifest[0]["Layers"].as_array().unwrap();
    layers.iter().flat_map(|layer| untarred(&plain(&members[layer.as_str().unwrap()]))).collect()
}

/// A layer as it is unpacked: engines with containerd's image store save it compressed.
fn plain(layer: &[u8]) -> Vec<u8> {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };
    if !layer.starts_with(&[0x1f, 0x8b]) {
        return layer.to_vec();
    }
    let mut gunzip = Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = gunzip.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(layer).unwrap());
        gunzip.wait_with_output().unwrap().stdout
    })
}
