//! `build.additional_contexts`: contexts that a Dockerfile knows by name. Pure.

use std::path::{Path, PathBuf};

use turnout_compose::model::Project;

/// What stands behind a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// A directory of this host, absolute.
    Directory(PathBuf),
    /// Something the engine fetches: an image (`docker-image://…`), a Git or HTTP address.
    Address(String),
    /// An image in a directory of OCI's layout.
    Layout {
        /// Where it lies on this host, absolute.
        directory: PathBuf,
        /// Tag in its index.
        tag: String,
        /// Digest, if one is given.
        digest: Option<String>,
    },
}

impl NamedContext {
    /// Reads what is written. A service is its image, which the plan has built before.
    pub fn parse(written: &str, base: &Path, project: &Project) -> Result<Self, String> {
        if let Some(service) = written.strip_prefix("service:") {
            let found = project.services.get(service).or_else(|| project.disabled_services.get(service));
            let found = found.ok_or_else(|| format!("names the service {service}, which is not in the project"))?;
            return Ok(Self::Address(format!("docker-image://{}", found.image_name(&project.name, service))));
        }
        if let Some(layout) = written.strip_prefix("oci-layout://") {
            let (rest, digest) = match layout.split_once('@') {
                Some((rest, digest)) => (rest, Some(digest.to_owned())),
                None => (layout, None),
            };
            let (directory, tag) = rest.split_once(':').unwrap_or((rest, "latest"));
            return Ok(Self::Layout { directory: base.join(directory), tag: tag.to_owned(), digest });
        }
        if written.starts_with("docker-image://") || is_remote(written) {
            return Ok(Self::Address(written.to_owned()));
        }
        if let Some((scheme, _)) = written.split_once("://") {
            return Err(format!(
                "{scheme}:// is not known: use a directory, service:NAME, docker-image://, oci-layout://, or a Git or \
                 HTTP address"
            ));
        }
        Ok(Self::Directory(base.join(written)))
    }
}

/// Whether a context is fetched by the engine.
pub fn is_remote(context: &str) -> bool {
    ["http://", "https://", "git://", "ssh://", "git@", "github.com/"].iter().any(|prefix| context.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use turnout_compose::model::Service;

    #[test]
    fn contexts_are_read() {
        let project = Project {
            name: "p".into(),
            services: [("base".to_owned(), Service::default())].into(),
            ..Project::default()
        };
        let parse = |text: &str| NamedContext::parse(text, Path::new("/srv/p"), &project);
        let address = |text: &str| Ok(NamedContext::Address(text.to_owned()));
        assert_eq!(parse("service:base"), address("docker-image://p-base"));
        assert_eq!(parse("docker-image://alpine"), address("docker-image://alpine"));
        assert_eq!(parse("https://x.example/r.git#v1"), address("https://x.example/r.git#v1"));
        assert_eq!(parse("../other"), Ok(NamedContext::Directory("/srv/p/../other".into())));
        assert_eq!(
            parse("oci-layout://lay:v1@sha256:ab"),
            Ok(NamedContext::Layout {
                directory: "/srv/p/lay".into(),
                tag: "v1".into(),
                digest: Some("sha256:ab".into())
            })
        );
        assert!(parse("service:gone").is_err());
        assert!(parse("ftp://x").is_err());
    }
}
