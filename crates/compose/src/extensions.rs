//! What `x-*` keys hold, for those who give one of them a meaning.

use crate::{model::Project, render::node_json};

impl Project {
    /// What a service says under an `x-*` key, as JSON; nothing where it says nothing. What JSON does not have, such as an
    /// infinite number, is refused.
    ///
    /// # Errors
    ///
    /// Names the place and the value that has no JSON form.
    pub fn service_extension(&self, service: &str, key: &str) -> Result<Option<serde_json::Value>, String> {
        let own = self.extras.inside.get("services").and_then(|services| services.inside.get(service));
        let node = own.and_then(|own| own.own.iter().find(|(name, _)| name == key));
        node.map(|(_, node)| node_json(node)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        load::{LoadRequest, load},
        source::MapFiles,
    };

    #[test]
    fn a_services_own_keys_are_found() {
        let text = "services: {web: {image: a, x-turnout: {class: shared, list: [1]}}, db: {image: b}}\n";
        let request =
            LoadRequest { working_dir: "/srv".into(), files: vec!["compose.yaml".into()], ..LoadRequest::default() };
        let project = load(&request, &MapFiles::new([("/srv/compose.yaml", text)])).unwrap().project;
        let found = project.service_extension("web", "x-turnout").unwrap();
        assert_eq!(found, Some(serde_json::json!({"class": "shared", "list": [1]})));
        assert_eq!(project.service_extension("db", "x-turnout"), Ok(None));
        assert_eq!(project.service_extension("gone", "x-turnout"), Ok(None));
    }
}
