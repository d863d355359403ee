//! Plans in words: one step's action, and the digests in it.

use super::Action;

/// One step's action in words, without its cause: `create container shop-web-1`.
pub fn action(action: &Action) -> String {
    match action {
        Action::Pull { image, tolerate_failure: false, .. } => format!("pull {image}"),
        Action::Pull { image, tolerate_failure: true, .. } => format!("try to pull {image}"),
        Action::Build { service, image } => format!("build {image} for {service}"),
        Action::CreateNetwork { name, .. } => format!("create network {name}"),
        Action::TryNetwork { name, .. } => format!("try out network {name}"),
        Action::DisconnectContainer { network, container, .. } => {
            format!("disconnect container {} from network {network}", container.name)
        }
        Action::ConnectContainer { network, container, .. } => {
            format!("connect container {} to network {network}", container.name)
        }
        Action::CreateVolume { name, .. } => format!("create volume {name}"),
        Action::RenameContainer { from, to, .. } => format!("rename container {from} to {to}"),
        Action::CreateContainer { replaces: Some(old), .. } => {
            format!("create the replacement of container {}", old.name)
        }
        Action::CreateContainer { create_as, .. } => format!("create container {create_as}"),
        Action::StopContainer { name, .. } => format!("stop container {name}"),
        Action::RemoveContainer { name, volumes: false, .. } => format!("remove container {name}"),
        Action::RemoveContainer { name, volumes: true, .. } => {
            format!("remove container {name} and its anonymous volumes")
        }
        Action::RestartContainer { name, .. } => format!("restart container {name}"),
        Action::SignalContainer { name, signal, .. } => format!("send {signal} to container {name}"),
        Action::UnpauseContainer { name, .. } => format!("resume container {name}"),
        Action::WaitFor { service, condition, required, .. } => {
            let until = match condition.as_str() {
                "service_healthy" => "is healthy",
                "service_completed_successfully" => "has completed",
                _ => "is started",
            };
            format!("wait until {service} {until}{}", if *required { "" } else { ", and go on if it fails" })
        }
        Action::RunPreStart { service, index, .. } => format!("run pre_start[{index}] of {service}"),
        Action::StartContainer { name, .. } => format!("start container {name}"),
        Action::AwaitReady { name, .. } => format!("wait until container {name} is ready"),
        Action::RemoveNetwork { name, .. } => format!("remove network {name}"),
        Action::RemoveVolume { name, .. } => format!("remove volume {name}"),
        Action::RemoveImage { image } => format!("remove image {image}"),
    }
}
