//! `config`: the loaded project, or one aspect of it, as Compose prints it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::{self, Write as _},
};

use anyhow::{Context as _, bail};

use super::{
    args::ConfigArgs,
    digests,
    session::{Session, load_model_with, load_with},
    table::table,
    variables::{Variable, variables},
};
use crate::{
    compose::{
        hash::printed_service_hash,
        load::LoadRequest,
        model::{Project, Service},
        render::{Format, render, render_model, yaml_table},
    },
    yaml::Node,
};

/// `config`.
pub(super) fn config(session: &Session, args: &ConfigArgs) -> anyhow::Result<u8> {
    let wants_digests = args.resolve_image_digests || args.lock_image_digests;
    let mut request = session.request()?;
    let options = &mut request.options;
    options.interpolate = !args.no_interpolate;
    options.normalise = !args.no_normalize;
    options.resolve_paths = !args.no_path_resolution;
    options.check_consistency = !args.no_consistency;
    let text = if let Some(aspect) = aspect(args) {
        // Aspects come before the document, and none of them needs an env file to be there.
        request.options.resolve_env_files = aspect == Aspect::Environment;
        if !matches!(aspect, Aspect::Services | Aspect::Volumes | Aspect::Networks | Aspect::Models | Aspect::Hash(_)) {
            request.services.clone_from(&args.services);
        }
        let text = print_aspect(&mut request, aspect, args)?;
        io::stdout().write_all(text.as_bytes())?;
        return Ok(0);
    } else if args.no_interpolate {
        let mut root = load_model_with(&request)?;
        if wants_digests {
            digests::pin_model(session, &mut root)?;
        }
        if args.lock_image_digests {
            only_images(&mut root);
        }
        render_model(&root, document_format(args))?
    } else {
        request.services.clone_from(&args.services);
        // `--no-env-resolution` changes nothing here in Compose 2.40, either: the loader has read the files by then.
        let mut project = load_with(&request)?;
        if wants_digests {
            digests::pin(session, &mut project)?;
        }
        if args.lock_image_digests {
            project = images_of(project);
        }
        render(&project, document_format(args), true)?
    };
    if args.quiet {
        return Ok(0);
    }
    match &args.output {
        Some(path) => std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?,
        None => io::stdout().write_all(text.as_bytes())?,
    }
    Ok(0)
}

/// A project of nothing but images: an override file that pins them.
fn images_of(project: Project) -> Project {
    let only = |service: Service| Service { image: service.image, ..Service::default() };
    let services = project.services.into_iter().map(|(name, service)| (name, only(service)));
    Project { services: services.collect(), ..Project::default() }
}

/// The same of a document.
fn only_images(root: &mut Node) {
    let Some(map) = root.as_map_mut() else { return };
    map.retain(|key, _| key == "services");
    let services = map.get_mut("services").and_then(|entry| entry.node.as_map_mut());
    for service in services.into_iter().flat_map(|map| map.values_mut()) {
        if let Some(map) = service.node.as_map_mut() {
            map.retain(|key, _| key == "image");
        }
    }
}

/// One aspect of a project.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aspect<'a> {
    Services,
    Volumes,
    Networks,
    Models,
    Hash(&'a str),
    Profiles,
    Images,
    Variables,
    Environment,
}

/// The aspect asked for; of several, the one that Compose takes.
fn aspect(args: &ConfigArgs) -> Option<Aspect<'_>> {
    let hash = args.hash.as_deref().filter(|list| !list.is_empty());
    [
        (args.services_only, Aspect::Services),
        (args.volumes, Aspect::Volumes),
        (args.networks, Aspect::Networks),
        (args.models, Aspect::Models),
        (hash.is_some(), Aspect::Hash(hash.unwrap_or_default())),
        (args.profiles, Aspect::Profiles),
        (args.images, Aspect::Images),
        (args.variables, Aspect::Variables),
        (args.environment, Aspect::Environment),
    ]
    .into_iter()
    .find_map(|(given, aspect)| given.then_some(aspect))
}

fn print_aspect(request: &mut LoadRequest, aspect: Aspect<'_>, args: &ConfigArgs) -> anyhow::Result<String> {
    match aspect {
        // Names can be told without typing what may still be variables.
        Aspect::Services if args.no_interpolate => {
            let root = load_model_with(request)?;
            let services = root.get("services").and_then(Node::as_map);
            return Ok(lines(services.into_iter().flat_map(|map| map.keys())));
        }
        // The defaults of variables stand in the text as it was written.
        Aspect::Variables => {
            request.options.interpolate = false;
            return variable_table(&load_model_with(request)?, args.format.as_deref().unwrap_or_default());
        }
        _ => {}
    }
    let project = load_with(request)?;
    Ok(match aspect {
        Aspect::Services | Aspect::Variables => {
            let unordered = |_| project.services.keys().map(String::as_str).collect();
            lines(project.dependency_order().unwrap_or_else(unordered))
        }
        Aspect::Images => {
            let images = project.services.iter().map(|(name, service)| service.image_name(&project.name, name));
            lines(images.collect::<Vec<_>>())
        }
        Aspect::Volumes => lines(project.volumes.keys()),
        Aspect::Networks => lines(project.networks.keys()),
        Aspect::Models => lines(project.models.values().map(|model| &model.model).filter(|model| !model.is_empty())),
        Aspect::Profiles => {
            let services = project.services.values().chain(project.disabled_services.values());
            lines(services.flat_map(|service| &service.profiles).collect::<BTreeSet<_>>())
        }
        Aspect::Hash(wanted) => hashes(&project, wanted)?,
        Aspect::Environment => {
            let mut variables: Vec<_> =
                project.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
            variables.sort();
            lines(variables)
        }
    })
}

fn document_format(args: &ConfigArgs) -> Format {
    if args.format.as_deref() == Some("json") { Format::Json } else { Format::Yaml }
}

/// `NAME HASH` of these services: what Compose prints here, which is not what containers carry when there are env
/// files or shared namespaces.
fn hashes(project: &Project, wanted: &str) -> anyhow::Result<String> {
    let names: Vec<&str> = match wanted {
        "*" => project.services.keys().map(String::as_str).collect(),
        list => list.split(',').collect::<BTreeSet<_>>().into_iter().collect(),
    };
    let mut text = String::new();
    for name in names {
        let Some(service) = project.services.get(name) else { bail!("no such service: {name}") };
        writeln!(text, "{name} {}", printed_service_hash(service))?;
    }
    Ok(text)
}

fn variable_table(root: &Node, format: &str) -> anyhow::Result<String> {
    let found = variables(root);
    Ok(match format {
        "json" => {
            let object: serde_json::Map<String, serde_json::Value> = found
                .into_iter()
                .map(|(name, Variable { required, default, alternate })| {
                    let value = serde_json::json!({
                        "Name": name, "DefaultValue": default, "PresenceValue": alternate, "Required": required,
                    });
                    (name, value)
                })
                .collect();
            format!("{}\n", serde_json::to_string_pretty(&object)?)
        }
        "yaml" => {
            let variables: BTreeMap<_, _> =
                found.iter().map(|(name, variable)| (name.as_str(), variable.printed(name))).collect();
            yaml_table(&variables)?
        }
        _ => {
            let rows: Vec<Vec<String>> =
                found.into_iter().map(|(name, v)| vec![name, v.required.to_string(), v.default, v.alternate]).collect();
            table(&["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"], &rows, 20, 3)
        }
    })
}

fn lines<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for item in items {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{item}");
    }
    text
}
