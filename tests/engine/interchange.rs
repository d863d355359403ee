//! One project, two tools: what the real Compose CLI makes of our objects, and we of its.

use crate::common;
use common::{
    engine::{Stack, has_compose_cli, image},
    inspect,
};
use turnout::plan::{Intent, RunState};

/// Much of what people write, with names that cannot collide.
fn yaml() -> String {
    let image = image();
    format!(
        r#"
services:
  db:
    image: {image}
    stop_grace_period: 1s
    environment: {{ MODE: prod, LIST: "a,b<c>&d" }}
    volumes:
      - state:/state
      - ./conf:/conf:ro
      - /scratch
    healthcheck: {{ test: ["CMD", "true"], interval: 1s, start_period: 500ms, retries: 3 }}
    networks: {{ back: {{ aliases: [database] }} }}
  migrate:
    image: {image}
    command: ["true"]
    networks: [back]
    depends_on: {{ db: {{ condition: service_healthy }} }}
  web:
    image: {image}
    stop_grace_period: 1s
    command: sleep 900
    init: true
    expose: ["8080"]
    ports: ["127.0.0.1::80"]
    cpus: 0.5
    mem_limit: 64m
    tmpfs: /run
    ulimits: {{ nofile: 1024, nproc: {{ soft: 64, hard: 128 }} }}
    extra_hosts: ["host.docker.internal:host-gateway"]
    labels: {{ a.b: "1" }}
    logging: {{ driver: json-file, options: {{ max-size: 1m }} }}
    restart: unless-stopped
    secrets: [key]
    networks: {{ front: {{ priority: 10 }}, back: }}
    depends_on:
      db: {{ condition: service_healthy, restart: true }}
      migrate: {{ condition: service_completed_successfully }}
  side:
    image: {image}
    stop_grace_period: 1s
    network_mode: "service:web"
    volumes_from: [db]
    deploy: {{ replicas: 2, resources: {{ limits: {{ pids: 50 }} }} }}
networks: {{ front: , back: {{ internal: true }} }}
volumes: {{ state: }}
secrets: {{ key: {{ file: ./key }} }}
"#
    )
}

async fn stack() -> Option<Stack> {
    if !has_compose_cli() {
        return None;
    }
    let stack = Stack::from_yaml(&yaml()).await;
    std::fs::create_dir(stack.directory.path().join("conf")).unwrap();
    std::fs::write(stack.directory.path().join("key"), "k").unwrap();
    Some(stack)
}

/// Names, IDs and hashes; what must not change.
async fn identity(stack: &Stack) -> Vec<(String, String, String)> {
    stack.containers().await.into_values().map(|c| (c.name, c.id, c.config_hash)).collect()
}

#[tokio::test]
async fn checklist_02_the_cli_finds_nothing_to_change_after_us() {
    let Some(stack) = stack().await else { return };
    stack.up().await.unwrap();
    let before = identity(&stack).await;
    assert_eq!(before.len(), 5);
    let said = stack.compose(&["up", "-d"]);
    assert_eq!(identity(&stack).await, before, "{said}");
    assert!(!said.contains("Recreate") && !said.contains("Created"), "{said}");
    let listed = stack.compose(&["ps", "--all", "--format", "{{.Service}} {{.State}}"]);
    for line in ["db running", "web running", "side running", "migrate exited"] {
        assert!(listed.contains(line), "{listed}");
    }
    // Without any file: labels alone must carry the order and the objects.
    let said = stack.compose(&["down", "--volumes"]);
    assert!(stack.containers().await.is_empty(), "{said}");
}

#[tokio::test]
async fn checklist_03_we_find_nothing_to_change_after_the_cli() {
    let Some(stack) = stack().await else { return };
    stack.compose(&["up", "-d"]);
    let before = identity(&stack).await;
    let plan = stack.plan(&Intent::default()).await;
    assert!(plan.steps.is_empty(), "{}", turnout::plan::render(&plan));
    assert_eq!(identity(&stack).await, before);
}

#[tokio::test]
async fn both_tools_create_the_same_containers() {
    let Some(stack) = stack().await else { return };
    let project = stack.project.name.clone();
    stack.compose(&["up", "-d"]);
    let theirs = inspect::project(&project);
    stack.compose(&["down", "--volumes"]);
    stack.up().await.unwrap();
    inspect::assert_same(&theirs, &inspect::project(&project));
}

#[tokio::test]
async fn the_cli_continues_what_we_recreated() {
    if !has_compose_cli() {
        return;
    }
    let mut stack = Stack::from_yaml(&yaml().replace("MODE: prod", "MODE: old")).await;
    std::fs::create_dir(stack.directory.path().join("conf")).unwrap();
    std::fs::write(stack.directory.path().join("key"), "k").unwrap();
    stack.compose(&["up", "-d"]);
    let path = stack.directory.path().join("compose.yaml");
    std::fs::write(path, yaml()).unwrap();
    let rendered = stack.compose(&["config", "--format", "json"]);
    let (directory, files) = (stack.project.working_dir.clone(), stack.project.config_files.clone());
    stack.project = serde_json::from_str(&rendered).unwrap();
    (stack.project.working_dir, stack.project.config_files) = (directory, files);
    stack.up().await.unwrap();
    assert_eq!(stack.one("db").await.state, RunState::Running);
    let before = identity(&stack).await;
    let said = stack.compose(&["up", "-d"]);
    assert_eq!(identity(&stack).await, before, "{said}");
}
