//! Values that an attribute has when a file leaves it out.

use turnout_yaml::{Entry, Map, Node, Pos, Value};

/// Fills in defaults, in place.
pub fn apply(root: &mut Node) {
    let Some(services) = child(root, "services").and_then(Node::as_map_mut) else { return };
    for entry in services.values_mut() {
        service(&mut entry.node);
    }
}

fn service(node: &mut Node) {
    if let Some(build) = child(node, "build") {
        set(build, "context", || Value::Str(".".to_owned()));
    }
    each(child(node, "secrets"), |secret| {
        let source = secret.get("source").and_then(Node::as_str).unwrap_or_default().to_owned();
        set(secret, "target", || Value::Str(format!("/run/secrets/{source}")));
    });
    each(child(node, "ports"), |port| {
        set(port, "protocol", || Value::Str("tcp".to_owned()));
        set(port, "mode", || Value::Str("ingress".to_owned()));
    });
    each(child(node, "gpus"), device_request);
    let devices = ["deploy", "resources", "reservations", "devices"];
    each(devices.iter().try_fold(node, |node, key| child(node, key)), device_request);
}

fn device_request(request: &mut Node) {
    if request.get("device_ids").is_none() {
        set(request, "count", || Value::Str("all".to_owned()));
    }
}

fn child<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    node.as_map_mut()?.get_mut(key).map(|entry| &mut entry.node)
}

fn each(list: Option<&mut Node>, change: impl Fn(&mut Node)) {
    if let Some(Value::Seq(items)) = list.map(|node| &mut node.value) {
        items.iter_mut().for_each(change);
    }
}

/// Sets `key` of a mapping unless it is there, even as null.
fn set(node: &mut Node, key: &str, value: impl FnOnce() -> Value) {
    let pos = node.pos.clone();
    if let Some(map) = node.as_map_mut().filter(|map| !map.contains_key(key)) {
        insert(map, &pos, key, value());
    }
}

/// Puts a value that no file holds, at the place of what it belongs to.
pub(super) fn insert(map: &mut Map, pos: &Pos, key: &str, value: Value) {
    map.insert(key.to_owned(), Entry { key_pos: pos.clone(), node: Node::new(value, pos.clone()) });
}
