//! Short ways to a derived stack.

use serde_json::Value;
use turnout_compose::{
    load::{LoadRequest, load},
    model::Project,
    source::MapFiles,
};
use turnout_switch::{Class, Derived, Facts, FileFacts, FileKind, ImageFacts, Mistakes, Said, derive};

/// The project `shop` of a Compose file in `/srv/shop`.
pub fn project(text: &str) -> Project {
    try_project(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// As [`project`], where the loader may refuse it.
pub fn try_project(text: &str) -> Result<Project, String> {
    let request = LoadRequest {
        working_dir: "/srv/shop".into(),
        files: vec!["compose.yaml".into()],
        project_name: Some("shop".into()),
        ..LoadRequest::default()
    };
    let loaded = load(&request, &MapFiles::new([("/srv/shop/compose.yaml", text)]));
    loaded.map(|loaded| loaded.project).map_err(|error| error.to_string())
}

/// Nothing that cannot be seen in the file.
pub fn no_facts() -> Facts {
    Facts::default()
}

/// Facts of images: name, volumes, ports.
pub fn images(images: &[(&str, &[&str], &[u16])]) -> Facts {
    let facts = images.iter().map(|(name, volumes, ports)| {
        let volumes = volumes.iter().map(|path| (*path).to_owned()).collect();
        ((*name).to_owned(), ImageFacts { volumes, ports: ports.iter().copied().collect(), ..ImageFacts::default() })
    });
    Facts { images: facts.collect(), ..Facts::default() }
}

/// Tracked files: path and text.
pub fn tracked(files: &[(&str, &str)]) -> Facts {
    let facts = files.iter().map(|(path, text)| {
        (
            (*path).to_owned(),
            FileFacts { tracked: true, kind: FileKind::Ordinary, text: (*text).to_owned(), inside: None },
        )
    });
    Facts { files: facts.collect(), ..Facts::default() }
}

/// What is derived, with `switch:` as JSON.
pub fn derived_as(text: &str, facts: &Facts, switch: &Value) -> Derived {
    let project = project(text);
    let said = Said::read(Some(switch), &project).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    derive(&project, facts, &said)
}

/// What is derived where nothing is said.
pub fn derived(text: &str, facts: &Facts) -> Derived {
    derived_as(text, facts, &Value::from("auto"))
}

/// Mistakes of what is said.
pub fn mistakes(text: &str, switch: Value) -> Mistakes {
    Said::read(Some(&switch), &project(text)).unwrap_err()
}

/// `web: routed, db: shared`.
pub fn classes(derived: &Derived) -> String {
    let all = derived.services.iter().map(|(name, fate)| format!("{name}: {}", fate.class));
    all.collect::<Vec<_>>().join(", ")
}

/// Why a service has its class.
pub fn why(derived: &Derived, service: &str) -> String {
    derived.services[service].reason.to_string()
}

/// Whether a service is of a class, for this reason.
pub fn check(derived: &Derived, service: &str, class: Class, reason: &str) {
    let fate = derived.services.get(service).unwrap_or_else(|| panic!("no {service}"));
    assert_eq!((fate.class, fate.reason.to_string().as_str()), (class, reason), "{service}");
}

/// Causes of refusals.
pub fn refused(derived: &Derived) -> Vec<String> {
    derived.refusals.iter().map(|refusal| format!("{} <- {}", refusal.cause, refusal.line)).collect()
}
