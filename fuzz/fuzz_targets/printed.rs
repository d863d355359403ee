//! What is printed of a project, if it can be read again, is the same project with the same hashes. The real tool breaks
//! this rule in many places, which are copied and left out here as they are found: a finding is first compared with
//! `docker compose config` of what it printed.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use turnout_fuzz::{
    compose::{
        hash,
        model::{Project, Service, Ulimit},
        render::{Format, RenderError, render},
    },
    files,
    yaml::{Limits, Node, Value, parse},
};

fuzz_target!(|text: &str| {
    if let Ok(loaded) = files::loaded(&files::of(text)) {
        printed_loads_again(&loaded.project, text);
    }
});

/// JSON only: a text that looks like a date or a number stands bare in the YAML that serde_norway writes.
fn printed_loads_again(project: &Project, text: &str) {
    let printed = match render(project, Format::Json, true) {
        Ok(printed) => printed,
        Err(RenderError::SshKeyInJson { .. }) => return,
        Err(error) => panic!("{error}: {text:?}"),
    };
    let documents = match parse(&printed, "printed", &Limits::default()) {
        Ok(documents) => documents,
        Err(error) => panic!("{error}\nin {printed}\nfrom {text:?}"),
    };
    // A line break of YAML that JSON has in its texts as it is.
    let broken = printed.contains('\u{85}');
    if broken || prints_what_it_would_not_read(project) || documents.iter().any(has_odd_key) {
        return;
    }
    // Compose prints a good deal that it does not read again, such as a `memswap_limit` of -1 as a text.
    let Ok(again) = files::loaded(&BTreeMap::from([("compose.yaml".to_owned(), printed.clone())])) else { return };
    let second = render(&again.project, Format::Json, true).unwrap_or_else(|error| panic!("{error}: {text:?}"));
    assert!(second == printed, "printed again as\n{second}\nafter\n{printed}\nfrom {text:?}");
    for (name, service) in &project.services {
        let other = again.project.services.get(name).map(hash::service_hash);
        assert_eq!(Some(hash::service_hash(service)), other, "{name} in {printed}\nfrom {text:?}");
    }
}

/// What Compose 2.40 prints in JSON and does not read again, which is copied: throttled devices with capitals, services
/// that use models without the models, variables without a name, an empty
/// `dockerfile_inline`, limits of which one is nothing, resources and contexts whose name became empty, a `network_mode`
/// of nothing, which keeps a service out of the default network until it is printed, a `memswap_limit` of -1, printed as a text.
fn prints_what_it_would_not_read(project: &Project) -> bool {
    project.services.values().any(|service| {
        service.build.as_ref().is_some_and(|build| {
            build.context.is_empty() || (build.dockerfile.is_empty() && build.dockerfile_inline.is_empty())
        }) || service.blkio_config.is_some()
            || !service.models.is_empty()
            || service.environment.contains_key("")
            || service.ports.iter().any(|port| port.mode.is_empty())
            || service.memswap_limit.0 < 0
            || (service.network_mode.is_empty() && service.networks.is_empty() && service.provider.is_none())
            || limits(service).any(|limit| limit.single == 0 && (limit.soft == 0) != (limit.hard == 0))
    }) || project.volumes.values().flatten().any(|it| it.name.is_empty())
        || project.networks.values().flatten().any(|it| it.name.is_empty())
        || project.secrets.values().chain(project.configs.values()).any(|it| it.name.is_empty())
}

/// Those of the service and of its build.
fn limits(service: &Service) -> impl Iterator<Item = &Ulimit> {
    service.ulimits.values().chain(service.build.iter().flat_map(|build| build.ulimits.values()))
}

/// Every `$` is doubled when printed, as Compose does it, but in a key it is never taken for a variable.
/// And it makes keys of nothing (`labels: [""]`) that it refuses to read.
fn has_odd_key(node: &Node) -> bool {
    match &node.value {
        Value::Map(map) => {
            map.iter().any(|(key, entry)| key.is_empty() || key.contains('$') || has_odd_key(&entry.node))
        }
        Value::Seq(items) => items.iter().any(has_odd_key),
        _ => false,
    }
}
