//! What must not run twice ends: nothing that was told to end runs when that is answered, and nothing starts it again.

use bollard::{
    models::{ContainerCreateBody, HostConfig, RestartPolicy, RestartPolicyNameEnum},
    query_parameters as q,
};

use crate::common;
use common::{docker, engine, unique};

/// (service, what it runs): one that hears the signal, one that has to be killed, one that never stays up.
const THREE: [(&str, &str); 3] = [
    ("hears", "trap 'exit 0' TERM; while :; do sleep 0.1; done"),
    ("deaf", "trap '' TERM; while :; do sleep 0.1; done"),
    ("falls", "exit 1"),
];

#[test]
fn nothing_that_was_told_to_end_runs_when_that_is_answered() {
    let project = unique("rests");
    let _guard = docker::ProjectGuard::new(&project);
    docker::block_on(async {
        let docker = docker::connect().await;
        for (service, script) in THREE {
            start(&docker, &project, (service, script), "").await;
        }
        let engine = engine::connect().await;
        let ended = engine.end(&project, &[]).await.unwrap();
        let mut names: Vec<_> = ended.containers.iter().map(|one| one.service.clone()).collect();
        names.sort();
        assert!(names == ["deaf", "falls", "hears"] || names == ["deaf", "hears"], "{names:?}");
        for (service, _) in THREE {
            let found = docker.inspect_container(&format!("{project}-{service}-1"), None).await.unwrap();
            let (state, policy) = (found.state.unwrap(), found.host_config.unwrap().restart_policy.unwrap());
            assert_eq!((state.running, state.restarting), (Some(false), Some(false)), "{service}: {state:?}");
            assert_eq!(policy.name, Some(RestartPolicyNameEnum::NO), "{service}");
        }
        ended.released().await.unwrap();
        let again = engine.end(&project, &[]).await.unwrap();
        assert!(again.containers.is_empty(), "who did not run is not named: {:?}", again.containers);
    });
}

#[test]
fn what_depends_on_a_service_ends_before_it_and_what_does_not_beside_it() {
    let project = unique("turns");
    let _guard = docker::ProjectGuard::new(&project);
    docker::block_on(async {
        let docker = docker::connect().await;
        let [hears, deaf, _] = THREE.map(|(_, script)| script);
        start(&docker, &project, ("web", deaf), "db:service_started:false").await;
        start(&docker, &project, ("db", hears), "").await;
        start(&docker, &project, ("queue", hears), "").await;
        let engine = engine::connect().await;
        engine.end(&project, &[]).await.unwrap().released().await.unwrap();
        let mut ended = Vec::new();
        for service in ["queue", "web", "db"] {
            let found = docker.inspect_container(&format!("{project}-{service}-1"), None).await.unwrap();
            ended.push((found.state.unwrap().finished_at.unwrap(), service));
        }
        assert!(ended.is_sorted(), "{ended:?}");
    });
}

/// One container that runs, with a second to end, and what its service depends on.
async fn start(docker: &bollard::Docker, project: &str, (service, script): (&str, &str), depends_on: &str) {
    let label = |key: &str, value: &str| (format!("com.docker.compose.{key}"), value.to_owned());
    let labels = [
        (docker::PROJECT.to_owned(), project.to_owned()),
        label("service", service),
        label("container-number", "1"),
        label("oneoff", "False"),
        label("config-hash", "x"),
        label("depends_on", depends_on),
    ];
    let policy = RestartPolicy { name: Some(RestartPolicyNameEnum::ALWAYS), maximum_retry_count: None };
    let body = ContainerCreateBody {
        image: Some(docker::base_image()),
        cmd: Some(["sh", "-c", script].map(str::to_owned).to_vec()),
        labels: Some(labels.into()),
        stop_timeout: Some(1),
        host_config: Some(HostConfig { restart_policy: Some(policy), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let name = format!("{project}-{service}-1");
    let options = q::CreateContainerOptionsBuilder::new().name(&name).build();
    docker.create_container(Some(options), body).await.unwrap();
    docker.start_container(&name, None::<q::StartContainerOptions>).await.unwrap();
}
