//! Containers that are in a network without a name there.

use std::collections::BTreeSet;

use bollard::exec::{CreateExecOptions, StartExecResults};
use futures_util::StreamExt;
use serde_json::json;
use turnout::plan::{Intent, Plan};

use crate::common::engine::Stack;

/// Addresses that a container is told for a name.
async fn answers(stack: &Stack, id: &str, name: &str) -> BTreeSet<String> {
    let docker = stack.engine.docker();
    let exec = CreateExecOptions {
        cmd: Some(vec!["nslookup", name]),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..Default::default()
    };
    let exec = docker.create_exec(id, exec).await.unwrap().id;
    let StartExecResults::Attached { mut output, .. } = docker.start_exec(&exec, None).await.unwrap() else {
        panic!("not attached");
    };
    let mut text = String::new();
    while let Some(chunk) = output.next().await {
        text.push_str(&chunk.unwrap().to_string());
    }
    // A name that the engine's resolver does not know it asks others for, of whom none may answer here.
    let asked = text.contains("127.0.0.11") || text.contains("no servers could be reached");
    assert!(asked, "the engine's resolver was not asked: {text}");
    let told = text.lines().skip_while(|line| !line.starts_with("Name:"));
    told.filter_map(|line| line.strip_prefix("Address: ")).map(|address| address.trim().to_owned()).collect()
}

/// What is to be done, with what was altered by hand.
async fn plan(stack: &Stack) -> Plan {
    let observed = stack.engine.observe(&stack.project).await.unwrap();
    let altered = stack.engine.inspect_all(&stack.project, &observed).await.unwrap().altered;
    stack.plan(&Intent { altered, ..Intent::default() }).await
}

/// Two colours in the internal network of what stays: there only what stays has names.
#[tokio::test]
async fn two_colours_have_no_names_in_a_link_network() {
    let mut stays = Stack::new(json!({})).await;
    let link = format!("{}_link", stays.project.name);
    let made = json!({ "networks": { "link": { "name": link, "internal": true } } });
    stays.set(json!({ "db": { "networks": { "link": null } } }), made);
    stays.up().await.unwrap();
    let mut colours = Vec::new();
    for _ in 0..2 {
        let api = json!({ "networks": { "default": null, "link": { "aliases": ["shop"] } } });
        let found = json!({ "networks": { "default": {}, "link": { "name": link, "external": true } } });
        let mut colour = Stack::with(json!({ "api": api }), found).await;
        colour.project.nameless.insert("api".to_owned(), ["link".to_owned()].into());
        colour.up().await.unwrap();
        colours.push(colour);
    }
    let db = stays.one("db").await.id;
    for colour in &colours {
        let api = colour.one("api").await;
        let inspected = colour.engine.docker().inspect_container(&api.id, None).await.unwrap();
        let mut endpoints = inspected.network_settings.unwrap().networks.unwrap();
        let aliases = endpoints.remove(&link).unwrap().aliases.unwrap_or_default();
        assert!(aliases.iter().all(|alias| api.id.starts_with(alias)), "{aliases:?}");
        // In its own network the service is found, and only that of its colour.
        let own = endpoints.remove(&format!("{}_default", colour.project.name)).unwrap().ip_address.unwrap();
        assert_eq!(answers(colour, &api.id, "api").await, [own].into());
        assert_eq!(answers(colour, &api.id, "db").await.len(), 1);
        // The engine's own name for it, which no Compose file knows.
        assert_eq!(answers(&stays, &db, &api.name).await.len(), 1);
    }
    for name in ["api", "shop"] {
        assert_eq!(answers(&stays, &db, name).await, BTreeSet::new(), "{name}");
    }

    let rest = plan(&colours[0]).await;
    assert!(rest.steps.is_empty(), "{}", turnout::plan::render(&rest));
    // The same container, where the network was to have its names: they are missing, and that is told.
    let mut named = colours.remove(1);
    named.project.nameless.clear();
    let words = turnout::plan::render(&plan(&named).await);
    assert!(words.contains("without the name"), "{words}");
    named.apply(&plan(&named).await).await.unwrap();
    assert_eq!(answers(&stays, &db, "shop").await.len(), 1);
    // And the other way round.
    named.project.nameless.insert("api".to_owned(), ["link".to_owned()].into());
    let words = turnout::plan::render(&plan(&named).await);
    assert!(words.contains("is to have no name there"), "{words}");
    named.apply(&plan(&named).await).await.unwrap();
    assert_eq!(answers(&stays, &db, "shop").await, BTreeSet::new());
    assert!(plan(&named).await.steps.is_empty());
}
