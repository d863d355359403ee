//! Stacks for tests of the engine: projects as values, planned and carried out against the real engine.

use std::{
    collections::BTreeMap,
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use bollard::query_parameters as q;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use turnout::{
    compose::model::Project,
    engine::{
        Apply, ApplyError, Endpoint, Engine, ImageSettings, Report,
        image::{BuildOptions, BuilderChoice},
    },
    plan::{self, Intent, Plan},
    registry::Credentials,
    report::{Event, Reporter},
};

use super::{
    docker::{ProjectGuard, block_on},
    run_id, unique,
};

/// Commands that the image offers.
const APPLETS: &[&str] = &[
    "sh", "sleep", "cat", "echo", "ls", "true", "false", "nslookup", "nc", "httpd", "stat", "test", "touch", "kill",
    "wget", "ip", "env",
];

/// A connection to the engine of `DOCKER_HOST`.
pub async fn connect() -> Engine {
    let host = std::env::var("DOCKER_HOST").ok();
    Engine::connect(&Endpoint::from_host(host.as_deref()).unwrap())
        .await
        .unwrap_or_else(|e| panic!("these tests need a Docker engine, `script/test` starts one: {e}"))
}

/// The image of all stacks here: a static busybox with a shell and little else; `/data` is declared as VOLUME.
pub fn image() -> String {
    format!("turnout-test-engine-{}p{}:1", run_id(), std::process::id())
}

/// Holds [`image`] as long as a stack of this process uses it: the first holder makes it, the last removes it.
pub struct ImageHold;

static HOLDERS: Mutex<usize> = Mutex::new(0);

impl ImageHold {
    /// Blocks others of this process until the image is there.
    pub fn new() -> ImageHold {
        let mut holders = HOLDERS.lock().unwrap_or_else(|e| e.into_inner());
        if *holders == 0 {
            block_on(async {
                import(&connect().await, &image(), &["VOLUME /data", "CMD [\"sleep\",\"1000\"]"]).await;
            });
        }
        *holders += 1;
        ImageHold
    }
}

impl Drop for ImageHold {
    fn drop(&mut self) {
        let mut holders = HOLDERS.lock().unwrap_or_else(|e| e.into_inner());
        *holders -= 1;
        if *holders == 0 {
            block_on(async { super::docker::remove_image(&image()).await });
        }
    }
}

/// Makes an image of the host's static busybox, without any registry.
pub async fn import(engine: &Engine, name: &str, changes: &[&str]) {
    let (repo, tag) = name.split_once(':').unwrap();
    let options = q::CreateImageOptions {
        from_src: Some("-".into()),
        repo: Some(repo.into()),
        tag: Some(tag.into()),
        changes: changes.iter().map(|c| (*c).to_owned()).collect(),
        ..Default::default()
    };
    let busybox = std::fs::read("/bin/busybox").expect("/bin/busybox, from the package busybox-static");
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(busybox.len() as u64);
    archive.append_data(&mut header, "bin/busybox", busybox.as_slice()).unwrap();
    for applet in APPLETS {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, format!("bin/{applet}"), "busybox").unwrap();
    }
    for directory in ["tmp", "data", "etc"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o777);
        header.set_size(0);
        archive.append_data(&mut header, directory, std::io::empty()).unwrap();
    }
    let body = bollard::body_full(archive.into_inner().unwrap().into());
    let mut progress = Box::pin(engine.docker().create_image(Some(options), Some(body), None));
    while let Some(message) = progress.next().await {
        message.expect("import of the test image");
    }
}

/// A project of its own, removed with everything it has when dropped.
pub struct Stack {
    pub engine: Engine,
    pub project: Project,
    pub directory: tempfile::TempDir,
    pub events: Arc<Events>,
    // Dropped in this order: containers before their image.
    _guard: ProjectGuard,
    _image: ImageHold,
}

/// Whether the real Compose CLI is there to compare with; says `not run:` where it is not.
pub fn has_compose_cli() -> bool {
    let version = std::process::Command::new("docker").args(["compose", "version"]).output();
    let there = version.is_ok_and(|output| output.status.success());
    if !there {
        println!("not run: the docker compose plugin to compare with is not installed");
    }
    there
}

/// Keeps what was reported.
#[derive(Default)]
pub struct Events(pub Mutex<Vec<Event>>);

impl Reporter for Events {
    fn report(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Stack {
    /// A stack of these services, written as canonical Compose JSON; what every service needs is filled in.
    pub async fn new(services: Value) -> Stack {
        Stack::with(services, json!({})).await
    }

    /// A stack with further top-level keys.
    pub async fn with(services: Value, top: Value) -> Stack {
        let name = unique("stack");
        let directory = tempfile::tempdir().unwrap();
        let mut stack = Stack {
            engine: connect().await,
            project: Project::default(),
            directory,
            events: Arc::default(),
            _guard: ProjectGuard::new(name.clone()),
            _image: ImageHold::new(),
        };
        stack.project.name = name;
        stack.set(services, top);
        stack
    }

    /// Changes the project's content, as an edit of its file would.
    pub fn set(&mut self, services: Value, top: Value) {
        let name = self.project.name.clone();
        let mut document = json!({ "name": name, "networks": { "default": {} } });
        merge(&mut document, top);
        document["services"] = services;
        for kind in ["networks", "volumes"] {
            let Some(all) = document.get_mut(kind).and_then(Value::as_object_mut) else { continue };
            for (key, value) in all {
                merge(value, json!({}));
                let default = format!("{name}_{key}");
                value.as_object_mut().unwrap().entry("name").or_insert_with(|| default.into());
            }
        }
        for service in document["services"].as_object_mut().unwrap().values_mut() {
            let service = service.as_object_mut().unwrap();
            service.entry("image").or_insert_with(|| image().into());
            service.entry("stop_grace_period").or_insert_with(|| "0s".into());
            if !service.contains_key("network_mode") {
                service.entry("networks").or_insert_with(|| json!({ "default": null }));
            }
        }
        self.project = serde_json::from_value(document).unwrap();
        self.place();
    }

    /// Fills in what a load adds from its surroundings.
    fn place(&mut self) {
        let directory = self.directory.path().canonicalize().unwrap();
        self.project.config_files = vec![directory.join("compose.yaml").to_string_lossy().into_owned()];
        self.project.working_dir = directory;
    }

    /// A stack loaded from YAML by the real Compose CLI, which is also left in the project directory.
    /// Ask [`has_compose_cli`] first.
    pub async fn from_yaml(yaml: &str) -> Stack {
        let mut stack = Stack::new(json!({})).await;
        let path = stack.directory.path().join("compose.yaml");
        std::fs::File::create(&path).unwrap().write_all(yaml.as_bytes()).unwrap();
        let rendered = stack.compose(&["config", "--format", "json"]);
        let name = stack.project.name.clone();
        stack.project = serde_json::from_str(&rendered).unwrap();
        assert_eq!(stack.project.name, name);
        stack.place();
        stack
    }

    /// Runs the real Compose CLI on the project; panics unless it succeeds.
    pub fn compose(&self, arguments: &[&str]) -> String {
        let output = std::process::Command::new("docker")
            .args(["compose", "-p", &self.project.name])
            .args(arguments)
            .current_dir(self.directory.path())
            .output()
            .expect("docker compose");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "docker compose {arguments:?}: {}", text(&output.stderr));
        format!(
            "{}{}",
            text(&output.stdout),
            if arguments[0] == "config" { String::new() } else { text(&output.stderr) }
        )
    }

    /// Observes and plans.
    pub async fn plan(&self, intent: &Intent) -> Plan {
        let observed = self.engine.observe(&self.project).await.unwrap();
        let plan = plan::converge(&self.project, &observed, intent).unwrap();
        plan::check(&plan).unwrap();
        plan
    }

    /// Carries a plan out.
    pub async fn apply(&self, plan: &Plan) -> Result<Report, ApplyError> {
        self.apply_until(plan, &CancellationToken::new()).await
    }

    /// Carries a plan out unless cancelled.
    pub async fn apply_until(&self, plan: &Plan, cancel: &CancellationToken) -> Result<Report, ApplyError> {
        let credentials = Credentials::in_directory(None);
        self.engine.apply(&self.run_of(plan, cancel, &credentials, &*self.events)).await
    }

    /// Carries a plan out, told to somebody else.
    pub async fn apply_told(&self, plan: &Plan, reporter: &dyn Reporter) -> Result<Report, ApplyError> {
        let (cancel, credentials) = (CancellationToken::new(), Credentials::in_directory(None));
        self.engine.apply(&self.run_of(plan, &cancel, &credentials, reporter)).await
    }

    /// Brings back what a failed run has left.
    pub async fn put_back(&self, plan: &Plan, report: &Report) {
        let (cancel, credentials) = (CancellationToken::new(), Credentials::in_directory(None));
        let run = self.run_of(plan, &cancel, &credentials, &*self.events);
        self.engine.put_back(&run, report, plan::Extent::Running).await;
    }

    fn run_of<'a>(
        &'a self,
        plan: &'a Plan,
        cancel: &'a CancellationToken,
        credentials: &'a Credentials,
        reporter: &'a dyn Reporter,
    ) -> Apply<'a> {
        Apply {
            project: &self.project,
            plan,
            reporter,
            cancel,
            stop_timeout: None,
            wait_timeout: Duration::from_secs(30),
            settle: Duration::from_secs(1),
            probing: None,
            reads: None,
            images: ImageSettings {
                builder: BuilderChoice::Auto,
                build_timeout: Duration::from_secs(60),
                pull_timeout: Duration::from_secs(60),
                credentials,
                build_options: BuildOptions::default(),
                inputs: None,
            },
        }
    }

    /// Brings the project up.
    pub async fn up(&self) -> Result<Report, ApplyError> {
        self.apply(&self.plan(&Intent::default()).await).await
    }

    /// Observed containers by name.
    pub async fn containers(&self) -> BTreeMap<String, plan::ObservedContainer> {
        let observed = self.engine.observe(&self.project).await.unwrap();
        observed.containers.into_iter().map(|c| (c.name.clone(), c)).collect()
    }

    /// The only container of a service.
    pub async fn one(&self, service: &str) -> plan::ObservedContainer {
        let mut found: Vec<_> = self.containers().await.into_values().filter(|c| c.service == service).collect();
        assert_eq!(found.len(), 1, "containers of {service}: {found:?}");
        found.remove(0)
    }

    /// What a container prints until it exits.
    pub async fn output(&self, service: &str) -> String {
        let id = self.one(service).await.id;
        let docker = self.engine.docker();
        let mut ended = Box::pin(docker.wait_container(&id, None::<q::WaitContainerOptions>));
        let _ = tokio::time::timeout(Duration::from_secs(60), ended.next()).await.expect("it exits");
        let options = q::LogsOptionsBuilder::new().stdout(true).stderr(true).build();
        let chunks: Vec<_> = docker.logs(&id, Some(options)).collect().await;
        chunks.into_iter().map(|c| c.unwrap().to_string()).collect()
    }
}

fn merge(into: &mut Value, from: Value) {
    if into.is_null() {
        *into = json!({});
    }
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
}
