//! Reads the Compose files of a project and merges their YAML documents in order, `include` and `extends` resolved on
//! the way.

use std::path::Path;

use turnout_yaml::{Map, Node, Pos, Value};

use super::{
    canonical,
    error::{LoadError, Warning},
    extends, include, interpolate_tree, merge,
    merge_reset::Resets,
    merge_unique, resolve, schema,
    session::{Scope, Session},
};

/// What is done with a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Part of the project.
    Whole,
    /// Only read for a service that another one extends: neither checked nor completed on its own.
    ExtendsBase,
}

/// Loads files over one another into one complete tree; `including` are the files that led here.
///
/// # Errors
///
/// The first mistake.
pub(super) fn load_model(
    session: &mut Session<'_>,
    scope: &Scope,
    files: &[String],
    including: &[String],
) -> Result<Node, LoadError> {
    let start = Pos::new(session.shown(files.first().map_or("", String::as_str)).into(), 1, 1);
    let mut root = Node::new(Value::Map(Map::new()), start);
    for file in files {
        (root, _) = load_file(session, scope, file, root, including, Use::Whole)?;
    }
    resolve::defaults::apply(&mut root);
    resolve::validate::check(&root)?;
    if session.resolve_paths || !including.is_empty() {
        resolve::paths::resolve(&mut root, Path::new(&scope.working_dir), session.home, session.files)?;
    }
    resolve::environment::resolve(&mut root, &scope.environment);
    Ok(root)
}

/// Lays every document of a file over `root`. Also gives what the last document resets.
///
/// # Errors
///
/// The first mistake.
pub(super) fn load_file(
    session: &mut Session<'_>,
    scope: &Scope,
    file: &str,
    mut root: Node,
    including: &[String],
    purpose: Use,
) -> Result<(Node, Resets), LoadError> {
    let mut resets = Resets::default();
    for mut document in session.documents(file)? {
        session.count_rework(&root, &document.pos)?;
        resets = Resets::take(&mut document);
        if document.as_map().is_none() {
            return Err(LoadError::at(
                "",
                &document,
                format!("top-level object must be a mapping, not {}", document.value.kind()),
            )
            .hint("begin with services: and remove empty documents"));
        }
        if session.interpolate {
            let lookup = |name: &str| scope.environment.get(name).cloned();
            interpolate_tree::interpolate(&mut document, &lookup, &mut session.interpolated, &mut session.warnings)?;
        }
        if purpose == Use::Whole {
            extends::apply(session, scope, &mut document, file, &resets)?;
        }
        resets.apply(&mut root, &[]);
        if purpose == Use::Whole {
            include::apply(session, scope, &mut document, file, including)?;
        }
        root = merge::merge(root, document)?;
        merge_unique::enforce(&mut root)?;
        if purpose == Use::Whole {
            schema::check(&root)?;
            drop_version(session, &mut root);
        }
        canonical::canonicalise(&mut root, !session.interpolate, &mut session.ports, &mut session.warnings)?;
        omit_empty(&mut root);
        merge_unique::enforce(&mut root)?;
    }
    Ok((root, resets))
}

fn drop_version(session: &mut Session<'_>, root: &mut Node) {
    if let Some(entry) = root.as_map_mut().and_then(|map| map.shift_remove("version")) {
        let message =
            "the attribute `version` is obsolete, it will be ignored, please remove it to avoid potential confusion";
        session.warnings.push(Warning::at("version", &entry.key_pos, message));
    }
}

/// Empty items of `dns` say nothing.
fn omit_empty(root: &mut Node) {
    let Some(services) = root.as_map_mut().and_then(|map| map.get_mut("services")) else { return };
    for service in services.node.as_map_mut().into_iter().flat_map(|map| map.values_mut()) {
        let Some(dns) = service.node.as_map_mut().and_then(|map| map.get_mut("dns")) else { continue };
        if let Value::Seq(items) = &mut dns.node.value {
            items.retain(|item| !item.is_null() && item.as_str() != Some(""));
        }
    }
}
