//! `config`: the loaded project, or one aspect of it, as Compose prints it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::{self, Write as _},
};

use super::{
    args::ConfigArgs,
    digests,
    session::{Session, load_model_with, load_with},
    variables::variables,
};
use anyhow::{Context as _, bail};
use serde::Serialize as _;
use turnout_compose::{
    hash::printed_service_hash,
    load::{EnvFiles, LoadRequest},
    model::{Project, Service},
    render::{Format, render, render_model, yaml_table},
};
use turnout_report::table::table;
use turnout_yaml::Node;

pub(super) fn config(session: &Session, args: &ConfigArgs) -> anyhow::Result<u8> {
    let wants_digests = args.resolve_image_digests || args.lock_image_digests;
    let mut request = session.request()?;
    let options = &mut request.options;
    options.interpolate = !args.no_interpolate;
    options.normalise = !args.no_normalize && !session.global.compatibility;
    options.resolve_paths = !args.no_path_resolution;
    options.check_consistency = !args.no_consistency;
    let text = if let Some(aspect) = aspect(args) {
        // Aspects come before the document. They need no env file to be there, and look for nobody's container.
        request.options.env_files = if aspect == Aspect::Environment { EnvFiles::OfActive } else { EnvFiles::OfNone };
        request.options.unique_container_names = false;
        if !matches!(aspect, Aspect::Services | Aspect::Volumes | Aspect::Networks | Aspect::Models | Aspect::Hash(_)) {
            request.services.clone_from(&args.services);
        }
        let separator = if session.compatible() { '_' } else { '-' };
        let text = print_aspect(&mut request, aspect, args, separator)?;
        // Only these are silenced by `--quiet` in Compose 2.40; the other names are printed all the same.
        let yaml = args.format.as_deref() == Some("yaml");
        if !args.quiet || !(aspect == Aspect::Environment || aspect == Aspect::Variables && yaml) {
            io::stdout().write_all(text.as_bytes())?;
        }
        return Ok(0);
    } else if args.no_interpolate {
        let mut root = load_model_with(&request)?;
        if wants_digests {
            digests::pin_model(session, &mut root)?;
        }
        if args.lock_image_digests {
            only_images(&mut root);
        }
        render_model(&root, document_format(args)?, request.options.normalise)?
    } else {
        request.services.clone_from(&args.services);
        // The loader has read the files of what is active by then; only services that are active by name remain.
        request.options.env_files =
            if args.no_env_resolution { EnvFiles::OfActive } else { EnvFiles::OfActiveAndSelected };
        let mut project = load_with(&request)?;
        if wants_digests {
            digests::pin(session, &mut project)?;
        }
        if args.lock_image_digests {
            project = images_of(project);
        }
        render(&project, document_format(args)?, true)?
    };
    if args.quiet {
        return Ok(0);
    }
    match args.output.as_ref().filter(|path| !path.is_empty()) {
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

/// `separator`: what stands between project and service in the name of an image that is built.
fn print_aspect(
    request: &mut LoadRequest,
    aspect: Aspect<'_>,
    args: &ConfigArgs,
    separator: char,
) -> anyhow::Result<String> {
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
            let image = |(name, service): (&String, &Service)| {
                let own = match service.image.is_empty() {
                    true => format!("{}{separator}{name}", project.name),
                    false => service.image.clone(),
                };
                // Those that steps have of their own; an inherited one is named once.
                let steps = service.pre_start.iter().map(|step| &step.spec.image);
                let steps: Vec<String> = steps.filter(|image| !image.is_empty() && **image != own).cloned().collect();
                std::iter::once(own).chain(steps)
            };
            lines(project.services.iter().flat_map(image).collect::<Vec<_>>())
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

fn document_format(args: &ConfigArgs) -> anyhow::Result<Format> {
    match args.format.as_deref().unwrap_or_default() {
        "json" => Ok(Format::Json),
        "yaml" | "" => Ok(Format::Yaml),
        other => bail!("--format '{other}' is not supported: write yaml or json"),
    }
}

/// `NAME HASH` of these services: what Compose prints here, which is not what containers carry when there are env
/// files or shared namespaces.
fn hashes(project: &Project, wanted: &str) -> anyhow::Result<String> {
    let mut names: Vec<&str> = match wanted {
        "*" => project.services.keys().map(String::as_str).collect(),
        list => list.split(',').collect(),
    };
    names.sort_unstable();
    let default_platform = project.environment.get("DOCKER_DEFAULT_PLATFORM").filter(|platform| !platform.is_empty());
    for (name, Service { build, platform, .. }) in &project.services {
        let platforms = build.as_ref().map(|build| &build.platforms).filter(|platforms| !platforms.is_empty());
        if let (Some(default), Some(platforms), "") = (default_platform, platforms, platform.as_str())
            && !platforms.contains(default)
        {
            bail!(
                "service \"{name}\" build.platforms does not support value set by DOCKER_DEFAULT_PLATFORM: {default}: add it, or unset the variable"
            );
        }
    }
    let mut text = String::new();
    for name in names {
        let Some(service) = project.services.get(name) else { bail!("no such service: {name}") };
        // What is built is built for this platform, and the hash knows.
        let hash = match (default_platform, &service.build) {
            (Some(platform), Some(_)) if service.platform.is_empty() => {
                printed_service_hash(&Service { platform: platform.clone(), ..service.clone() })
            }
            _ => printed_service_hash(service),
        };
        writeln!(text, "{name} {hash}")?;
    }
    Ok(text)
}

fn variable_table(root: &Node, format: &str) -> anyhow::Result<String> {
    let found = variables(root);
    Ok(match format.to_lowercase().as_str() {
        "json" | "{{json.}}" => {
            let variables: BTreeMap<_, _> =
                found.iter().map(|(name, variable)| (name.as_str(), variable.in_json(name))).collect();
            let mut json = Vec::new();
            let indented = serde_json::ser::PrettyFormatter::with_indent(b"    ");
            variables.serialize(&mut serde_json::Serializer::with_formatter(&mut json, indented))?;
            format!("{}\n\n", String::from_utf8(json)?)
        }
        // Only this very spelling.
        _ if format == "yaml" => {
            let variables: BTreeMap<_, _> =
                found.iter().map(|(name, variable)| (name.as_str(), variable.printed(name))).collect();
            yaml_table(&variables)?
        }
        "" | "table" | "pretty" => {
            let rows: Vec<Vec<String>> =
                found.into_iter().map(|(name, v)| vec![name, v.required.to_string(), v.default, v.alternate]).collect();
            table(&["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"], &rows, 20, 3)
        }
        _ => bail!("--format '{format}' is not supported: write table, yaml or json"),
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
