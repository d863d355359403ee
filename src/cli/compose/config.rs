//! `config`: the loaded project, or one aspect of it, as Compose prints it.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{self, Write as _},
};

use anyhow::{Context as _, bail};

use super::{
    args::ConfigArgs,
    session::{Session, load_with},
    table::table,
    variables::{Variable, variables},
};
use crate::compose::{
    hash::service_hash,
    model::Project,
    render::{Format, render},
};

/// `config`.
pub(super) fn config(session: &Session, args: &ConfigArgs) -> anyhow::Result<u8> {
    for (given, name) in [
        (args.no_normalize, "--no-normalize"),
        (args.no_path_resolution, "--no-path-resolution"),
        (args.no_consistency, "--no-consistency"),
    ] {
        if given {
            bail!("{name} is not supported: the model is always normalised, resolved and checked");
        }
    }
    let mut request = session.request()?;
    request.services.clone_from(&args.services);
    // The defaults of variables stand in the text as it was written.
    request.options.interpolate = !(args.no_interpolate || args.variables);
    request.options.resolve_env_files = !args.no_env_resolution;
    let project = load_with(&request)?;
    if args.quiet {
        return Ok(0);
    }
    let text = print(&project, args)?;
    match &args.output {
        Some(path) => std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?,
        None => io::stdout().write_all(text.as_bytes())?,
    }
    Ok(0)
}

fn print(project: &Project, args: &ConfigArgs) -> anyhow::Result<String> {
    Ok(if args.services_only {
        lines(project.dependency_order().unwrap_or_else(|_| project.services.keys().map(String::as_str).collect()))
    } else if args.images {
        let images = project.services.iter().map(|(name, service)| service.image_name(&project.name, name));
        lines(images.collect::<Vec<_>>())
    } else if args.volumes {
        lines(project.volumes.keys())
    } else if args.networks {
        lines(project.networks.keys())
    } else if args.models {
        lines(project.models.values().map(|model| &model.model).filter(|model| !model.is_empty()))
    } else if args.profiles {
        let services = project.services.values().chain(project.disabled_services.values());
        lines(services.flat_map(|service| &service.profiles).collect::<BTreeSet<_>>())
    } else if let Some(wanted) = &args.hash {
        hashes(project, wanted)?
    } else if args.environment {
        lines(project.environment.iter().map(|(name, value)| format!("{name}={value}")))
    } else if args.variables {
        variable_table(project, args.format == "json")?
    } else {
        let format = if args.format == "json" { Format::Json } else { Format::Yaml };
        render(project, format, !args.no_interpolate)?
    })
}

/// `NAME HASH` of these services; the hash is the one that containers carry.
fn hashes(project: &Project, wanted: &str) -> anyhow::Result<String> {
    let names: Vec<&str> = match wanted {
        "*" => project.services.keys().map(String::as_str).collect(),
        list => list.split(',').collect(),
    };
    let mut text = String::new();
    for name in names {
        let Some(service) = project.services.get(name) else { bail!("no such service: {name}") };
        writeln!(text, "{name} {}", service_hash(service))?;
    }
    Ok(text)
}

fn variable_table(project: &Project, json: bool) -> anyhow::Result<String> {
    let found = variables(&serde_json::to_value(project)?);
    if json {
        let object: serde_json::Map<String, serde_json::Value> = found
            .into_iter()
            .map(|(name, Variable { required, default, alternate })| {
                let value = serde_json::json!({
                    "Name": name, "DefaultValue": default, "PresenceValue": alternate, "Required": required,
                });
                (name, value)
            })
            .collect();
        return Ok(format!("{}\n", serde_json::to_string_pretty(&object)?));
    }
    let rows: Vec<Vec<String>> =
        found.into_iter().map(|(name, v)| vec![name, v.required.to_string(), v.default, v.alternate]).collect();
    Ok(table(&["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"], &rows, 20, 3))
}

fn lines<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for item in items {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{item}");
    }
    text
}
