//! `turnout deploy`: queues a deployment, and follows it to its end.

use std::process::ExitCode;

use super::{
    args::DeployArgs,
    client::{Client, whoami},
    colours,
    progress::Display,
    show::to_its_end,
    trouble::Trouble,
};
use crate::{
    server::wire::{DeployReply, DeployRequest, HoldReply, HoldRequest},
    store::State,
};

/// Queues a deployment, follows it, exits with its outcome: 0 succeeded, 1 failed, 3 superseded, cancelled or interrupted.
pub(super) async fn deploy(client: &Client, args: &DeployArgs) -> Result<ExitCode, Trouble> {
    let who = whoami();
    let DeployArgs { repo, rebuild, commit, previous, hold, release, new_stack, now, wait, detach: _, socket: _ } =
        args;
    let mut display = Display::stdout();
    if *hold && commit.is_none() && !previous {
        if *rebuild {
            return Err(Trouble::Other(anyhow::anyhow!(
                "--hold alone deploys nothing, so there is nothing to rebuild; add --commit or --previous"
            )));
        }
        let reply: HoldReply = client.post("/v1/hold", &HoldRequest { repo: repo.clone(), who }).await?;
        reply.notes.iter().try_for_each(|note| display.say(note))?;
        return Ok(ExitCode::SUCCESS);
    }
    let request = DeployRequest {
        repo: repo.clone(),
        rebuild: *rebuild,
        who,
        commit: commit.clone(),
        previous: *previous,
        hold: *hold,
        release: *release,
        new_stack: *new_stack,
    };
    let plain = commit.is_none() && !previous && !release && !new_stack;
    let path = if plain { "/v1/deployments" } else { "/v1/deployments-by-hand" };
    let reply: DeployReply = client.post(path, &request).await?;
    reply.notes.iter().try_for_each(|note| display.say(note))?;
    let id = reply.deployment;
    // Afterwards, so that no other deployment that waits for it goes first.
    if *now {
        colours::promote_first(client, repo, &mut display).await?;
    }
    if args.detach {
        display.say(&format!("deployment {id} is queued"))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(superseded) = reply.superseded {
        display.say(&format!("deployment {id} takes the place of {superseded}, which was waiting"))?;
    }
    let (code, deployment) = to_its_end(client, id, None, &mut display).await?;
    match deployment {
        Some(deployment) if *wait && deployment.state == State::Succeeded => {
            colours::wait(client, &deployment, &mut display).await
        }
        _ => Ok(code),
    }
}
