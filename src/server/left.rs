//! What a deployment that came to no good end has left behind it: what was deployed last with success does not run then, or
//! not all of it.

use super::wire::Left;
use crate::store::{Deployment, Filter, State, Store, StoreError};

/// Deployments looked through.
const LOOK_BACK: usize = 20;

/// What the newest deployment that changed something has left, where it did not succeed.
pub(super) async fn left(store: &Store, repo: &str) -> Result<Option<Left>, StoreError> {
    let filter = Filter { repo: Some(repo.to_owned()), limit: LOOK_BACK, ..Filter::default() };
    for deployment in store.history(filter).await? {
        match deployment.state {
            State::Succeeded => return Ok(None),
            State::Failed | State::Cancelled | State::Interrupted => {}
            _ => continue,
        }
        // Its phases come only with itself.
        if let Some(left) = store.deployment(deployment.id).await?.as_ref().and_then(of) {
            return Ok(Some(left));
        }
    }
    Ok(None)
}

fn of(deployment: &Deployment) -> Option<Left> {
    let reached = |name: &str| deployment.phases.iter().any(|phase| phase.name == name);
    let (commit, whole) = (deployment.commit_after.clone()?, reached("settle"));
    (whole || reached("apply")).then_some(Left { commit, deployment: deployment.id, state: deployment.state, whole })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::Phase;
    use crate::store::{Cause, Finish, NewDeployment, Retention, Update};

    #[tokio::test]
    async fn what_failed_after_it_was_carried_out_is_what_runs() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("turnout.db"), Retention::default()).unwrap();
        let deployed = async |commit: &str, phases: &[Phase], ends: Finish| {
            let wanted = NewDeployment {
                repo: "shop".to_owned(),
                branch: None,
                pinned: false,
                commit: None,
                kind: Cause::Manual,
                cause: "asked for".to_owned(),
                who: None,
                force_rebuild: false,
                new_stack: false,
                back: false,
                past: false,
            };
            store.enqueue(wanted).await.unwrap();
            let id = store.next("shop").await.unwrap().unwrap().id;
            for phase in phases {
                let update = Update { phase: Some(*phase), commit_after: Some(commit.to_owned()), ..Update::default() };
                store.update(id, update).await.unwrap();
            }
            assert!(store.finish(id, ends).await.unwrap());
            id
        };
        let failed = || Finish::Failed { error: "no".to_owned() };
        let succeeded = |commit: &str| Finish::Succeeded {
            project: "redshop".to_owned(),
            commit: commit.to_owned(),
            reached: None,
            watch: None,
        };
        let all = [Phase::Fetching, Phase::Planning, Phase::Applying, Phase::Settling];
        deployed("1111", &all, succeeded("1111")).await;
        assert_eq!(left(&store, "shop").await.unwrap(), None);
        let id = deployed("2222", &all, failed()).await;
        let told = left(&store, "shop").await.unwrap().unwrap();
        assert_eq!(told.to_string(), format!("what runs is 2222, whose deployment {id} failed"));
        assert_eq!(store.hold("shop", None).await.unwrap().commit.as_deref(), Some("2222"));
        // One that changed nothing leaves what was.
        deployed("3333", &all[..2], failed()).await;
        assert_eq!(left(&store, "shop").await.unwrap(), Some(told));
        let id = deployed("4444", &all[..3], failed()).await;
        let told = left(&store, "shop").await.unwrap().unwrap().to_string();
        assert_eq!(
            told,
            format!("deployment {id} of 4444 failed while it changed what runs, which may be of several commits")
        );
    }
}
