//! Why there is no plan. Nothing was touched when one of these is returned.

use thiserror::Error;

/// Why a plan cannot be made. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// A service was named that the project does not have.
    #[error("no such service: {name} (the project has: {known})")]
    UnknownService {
        /// The name as it was asked for.
        name: String,
        /// The services that there are, separated by commas.
        known: String,
    },
    /// The project has no active service.
    #[error("no service selected (every service is inactive: activate one of their profiles, or add a service)")]
    NoServices,
    /// More containers than any host has room for; each would be planned.
    #[error("services.{service} makes it more than {most} containers (lower its scale or deploy.replicas)")]
    TooMany {
        /// The service with which the bound is passed.
        service: String,
        /// What a plan may have.
        most: u64,
    },
    /// Services depend on each other in a circle.
    #[error("services depend on each other in a circle: {0}")]
    Cycle(String),
    /// External networks or volumes do not exist.
    #[error("{0} (create with `docker network create` or `docker volume create`, or remove `external: true`)")]
    ExternalMissing(String),
    /// A network of the expected name belongs to something else.
    #[error(
        "network {name} was found but has incorrect label com.docker.compose.network set to {found:?} (expected: \
         {key:?}); to use an existing network set `external: true`, else remove or rename it"
    )]
    NetworkLabel {
        /// The name of the network in the engine.
        name: String,
        /// The key that the network has in the Compose file, and that the label should have.
        key: String,
        /// What the label has instead.
        found: String,
    },
    /// A container must be replaced, but a label that this needs is missing.
    #[error(
        "container {container} of service {service} must be replaced ({cause}), but its label {label} is missing or \
         unreadable; remove the container (`docker rm -f {container}`) and try again"
    )]
    ContainerLabel {
        /// The container that must be replaced.
        container: String,
        /// The service that it is of.
        service: String,
        /// The label that is missing or makes no sense.
        label: String,
        /// Why it must be replaced.
        cause: String,
    },
    /// An image is absent, and nothing may bring it.
    #[error("image {image} of service {service} is not there, and {why}")]
    ImageMissing {
        /// The service that runs it.
        service: String,
        /// The image that is not there.
        image: String,
        /// Why it is neither pulled nor built.
        why: String,
    },
    /// A build was asked for a service that says nothing about building.
    #[error("service {0} has no `build` section, so it cannot be built")]
    NothingToBuild(String),
    /// A pull policy could not be read.
    #[error(
        "services.{service}.pull_policy: {policy:?} is not a pull policy (use always, never, missing, build, daily, weekly or every_<duration>)"
    )]
    PullPolicy {
        /// The service that has it.
        service: String,
        /// The policy as written.
        policy: String,
    },
    /// A container name is fixed, so there can be only one.
    #[error(
        "services.{service}.container_name: {name} is fixed, so the service cannot have {scale} containers (remove container_name, or scale to 1)"
    )]
    FixedName {
        /// The service that should have several containers.
        service: String,
        /// The one name that its containers may have.
        name: String,
        /// How many containers it should have.
        scale: u32,
    },
    /// Somebody shares a namespace or volumes of a service that has no container.
    #[error(
        "service {service}: cannot share {what} with service {target}: container missing (start {target} too, or set its scale to 1)"
    )]
    ShareMissing {
        /// The service that shares something of another.
        service: String,
        /// The namespace, or volumes, that it shares.
        what: String,
        /// The other service, which has no container.
        target: String,
    },
    /// Somebody waits for the health of a service that has no health check.
    #[error(
        "dependency failed to start: {dependent} waits for {service} to be healthy, but {service} has no healthcheck configured (add one to services.{service}, or depend with condition: service_started)"
    )]
    NoHealthcheck {
        /// The service that is waited for.
        service: String,
        /// The service that waits.
        dependent: String,
    },
}
