//! One `pre_start` step of a service (Compose 5): a container that runs to its end before the service starts.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Service;

/// A container that runs to its end before a service starts: a container specification of its own, which the loader
/// has completed with that of the service.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PreStart {
    /// What the container is like. Only attributes that a step may have are set. Volumes are the step's own; those of
    /// the service come with `volumes_from` its container.
    pub spec: Service,
    /// Run for every container of the service instead of once; refused by the engine, as by Compose 5.6.
    pub per_replica: bool,
    /// All variables, once the env files were read. Neither printed nor hashed, as by Compose 5.6.
    pub environment: BTreeMap<String, Option<String>>,
}

impl PreStart {
    /// A step that is like this.
    pub fn new(mut spec: Service, per_replica: bool) -> PreStart {
        spec.env_file.iter_mut().for_each(|file| file.long = true);
        PreStart { spec, per_replica, environment: BTreeMap::new() }
    }

    /// The service that the step's container is made of; `image` is that of its service, for a step that names none.
    pub fn as_service(&self, image: &str) -> Service {
        let mut service = self.spec.clone();
        if service.image.is_empty() {
            image.clone_into(&mut service.image);
        }
        if !self.environment.is_empty() {
            service.environment.clone_from(&self.environment);
        }
        // A service is on some network; a step that is to share a namespace instead cannot say that it leaves them.
        if !service.network_mode.is_empty() {
            service.networks.clear();
        }
        service
    }
}

impl Service {
    /// The service and its `pre_start` steps: everything of it that is a container.
    pub fn with_steps(&self) -> impl Iterator<Item = &Service> {
        std::iter::once(self).chain(self.pre_start.iter().map(|step| &step.spec))
    }
}

/// The form in files and in the hash: the specification and, behind it, what only a step has.
#[derive(Serialize, Deserialize)]
struct Written<S> {
    #[serde(flatten)]
    spec: S,
    #[serde(default)]
    per_replica: bool,
}

impl Serialize for PreStart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Without what is never written for `false`, a step reads like a service.
        if !self.per_replica {
            return self.spec.serialize(serializer);
        }
        Written { spec: &self.spec, per_replica: true }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PreStart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { spec, per_replica } = Written::<Service>::deserialize(deserializer)?;
        Ok(PreStart::new(spec, per_replica))
    }
}
