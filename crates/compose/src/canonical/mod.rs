//! Short forms become long forms, in place.
//!
//! Runs after every merge, so that a later document merges with long forms only. Rules: compose-go 2.9.1, `transform`.

mod command;
mod forms;
mod made;
mod port;
mod volume;

pub use command::split_words;
pub(super) use port::MAX_PORTS;
pub use volume::parse_volume;

use super::{
    entries::Entries,
    error::{LoadError, Warning},
};
use turnout_yaml::{Node, Value};

/// Expands every short form of the document and drops empty `dns` entries.
///
/// With `keep_unparsable`, a short form that cannot be read is left as it stands: variables that were not replaced
/// may stand in it. `ports` counts what ranges have become in the whole project so far.
///
/// # Errors
///
/// A short form that cannot be read, or more entries than a project may have, with attribute path and place.
pub fn canonicalise(
    root: &mut Node,
    keep_unparsable: bool,
    ports: &mut usize,
    warnings: &mut Vec<Warning>,
) -> Result<(), LoadError> {
    // As written first: what a short form becomes is several times as much.
    Entries::of(root)?;
    let mut entries = Entries::default();
    let Some(sections) = root.as_map_mut() else { return Ok(()) };
    if let Some(services) = sections.get_mut("services").and_then(|entry| entry.node.as_map_mut()) {
        for (name, entry) in services {
            let path = format!("services.{name}");
            forms::service(&mut entry.node, &path, keep_unparsable, ports)?;
            entries.add_service(name, &entry.node)?;
        }
    }
    for section in ["volumes", "networks", "secrets", "configs"] {
        if let Some(resources) = sections.get_mut(section).and_then(|entry| entry.node.as_map_mut()) {
            for (name, entry) in resources {
                forms::external(&mut entry.node, &format!("{section}.{name}"), warnings)?;
            }
        }
    }
    if let Some(Value::Seq(includes)) = sections.get_mut("include").map(|entry| &mut entry.node.value) {
        for include in includes {
            forms::text_to_map(include, "path");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use turnout_yaml::{Limits, parse};

    fn service(text: &str) -> Result<String, String> {
        let text = format!("services: {{a: {text}}}");
        let mut root = parse(&text, "c.yaml", &Limits::default()).unwrap().remove(0);
        canonicalise(&mut root, false, &mut 0, &mut Vec::new()).map_err(|e| e.to_string())?;
        Ok(show(root.get("services").and_then(|s| s.get("a")).unwrap()))
    }

    fn show(node: &Node) -> String {
        match &node.value {
            Value::Map(map) => {
                let entries = map.iter().map(|(key, entry)| format!("{key}: {}", show(&entry.node)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
            Value::Seq(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
            Value::Str(text) => text.clone(),
            Value::Null => "null".to_owned(),
            Value::Int(value) => value.to_string(),
            Value::Bool(value) => value.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn short_forms_expand() {
        for (short, long) in [
            ("{build: .}", "{build: {context: .}}"),
            ("{build: {secrets: [s], provenance: true}}", "{build: {secrets: [{source: s}], provenance: true}}"),
            ("{build: {ssh: [default, k=/p]}}", "{build: {ssh: {default: null, k: /p}}}"),
            ("{build: {additional_contexts: [a=b=c]}}", "{build: {additional_contexts: {a: b=c}}}"),
            ("{depends_on: [b]}", "{depends_on: {b: {condition: service_started, required: true}}}"),
            (
                "{depends_on: {b: {condition: service_healthy}}}",
                "{depends_on: {b: {condition: service_healthy, required: true}}}",
            ),
            ("{env_file: e}", "{env_file: [{path: e, required: true}]}"),
            ("{env_file: [{path: e, required: false}]}", "{env_file: [{path: e, required: false}]}"),
            ("{label_file: l}", "{label_file: [l]}"),
            ("{extends: b}", "{extends: {service: b}}"),
            ("{gpus: all}", "{gpus: [{count: all}]}"),
            ("{networks: [a, b]}", "{networks: {a: null, b: null}}"),
            ("{dns: ''}", "{dns: []}"),
            (
                "{devices: [/dev/x, '/a:/b', '/a:/b:r']}",
                "{devices: [{source: /dev/x, target: /dev/x, permissions: rwm}, {source: /a, target: /b, permissions: rwm}, {source: /a, target: /b, permissions: r}]}",
            ),
            ("{develop: {watch: [{ignore: x}]}}", "{develop: {watch: [{ignore: [x]}]}}"),
            ("{volumes: [/a]}", "{volumes: [{type: volume, target: /a}]}"),
            ("{volumes: [/abc]}", "{volumes: [{type: volume, target: /abc, volume: {}}]}"),
            (
                "{volumes: ['./s:/t/../u:ro,z']}",
                "{volumes: [{type: bind, source: ./s, target: /u, read_only: true, bind: {selinux: z, create_host_path: true}}]}",
            ),
            ("{volumes: ['v:/y']}", "{volumes: [{type: volume, target: v:/y, volume: {}}]}"),
            (
                "{volumes: ['vol:/y:nocopy']}",
                "{volumes: [{type: volume, source: vol, target: /y, volume: {nocopy: true}}]}",
            ),
            (
                "{ports: [80, '8000-8001:90-91/udp']}",
                "{ports: [{mode: ingress, target: 80, protocol: tcp}, {mode: ingress, target: 90, published: 8000, protocol: udp}, {mode: ingress, target: 91, published: 8001, protocol: udp}]}",
            ),
            (
                "{ports: ['127.0.0.1::5005', '[::1]:1:2', '8000-9000:81']}",
                "{ports: [{mode: ingress, host_ip: 127.0.0.1, target: 5005, protocol: tcp}, {mode: ingress, host_ip: ::1, target: 2, published: 1, protocol: tcp}, {mode: ingress, target: 81, published: 8000-9000, protocol: tcp}]}",
            ),
            (
                "{ports: ['8-10']}",
                "{ports: [{mode: ingress, target: 10, protocol: tcp}, {mode: ingress, target: 8, protocol: tcp}, {mode: ingress, target: 9, protocol: tcp}]}",
            ),
        ] {
            assert_eq!(service(short).as_deref(), Ok(long), "{short}");
        }
    }

    #[test]
    fn unreadable_forms_are_named() {
        for (short, expected) in [
            ("{ports: ['abc:80']}", "services.a.ports[0]: invalid host port 'abc'"),
            ("{ports: ['80:70000']}", "services.a.ports[0]: invalid container port '70000'"),
            ("{ports: ['1-3:80-81']}", "services.a.ports[0]: ranges differ in length: '80-81' and '1-3'"),
            ("{ports: ['::1:80:80']}", "services.a.ports[0]: invalid IP address '::1'"),
            ("{ports: ['80/xyz']}", "services.a.ports[0]: invalid protocol 'xyz'"),
            ("{volumes: ['abc::/x']}", "services.a.volumes[0]: invalid volume 'abc::/x': empty section between colons"),
            ("{volumes: ['abc:/x:ro:rw']}", "services.a.volumes[0]: invalid volume 'abc:/x:ro:rw': too many colons"),
            ("{devices: ['a:b:c:d']}", "services.a.devices[0]: confusing device 'a:b:c:d'"),
            ("{build: {ssh: [other]}}", "services.a.build.ssh[0]: invalid ssh key 'other'"),
            (
                "{build: {additional_contexts: [x]}}",
                "services.a.build.additional_contexts[0]: invalid value 'x', expected key=value",
            ),
        ] {
            let error = service(short).unwrap_err();
            assert!(error.contains(expected), "{short}: {error}");
        }
    }
}
