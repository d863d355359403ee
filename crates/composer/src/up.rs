//! `up`, `create` and `scale`.

use std::{collections::BTreeMap, time::Duration};

use super::{
    args::{CreateArgs, PullChoice, ScaleArgs, UpArgs},
    converge::{builds, converge, intent, one_scale, pull, without_dependencies},
    progress::Progress,
    remote_stack,
    session::{Session, grace},
    wait, watch,
};
use turnout_plan::{self as plan, Earlier, Intent, Observed, Plan};

pub(super) async fn up(session: &Session, args: &UpArgs) -> anyhow::Result<u8> {
    super::attach::consistent(args)?;
    let mut project = session.load_looking(&args.services).await?;
    remote_stack::consent(session, &project, args.yes)?;
    if args.no_deps {
        without_dependencies(&mut project, &args.services);
    }
    let attached =
        !(project.services.is_empty() || args.detach || args.wait || args.no_start || session.global.dry_run);
    if attached {
        super::attach::shown(&project, args)?;
    }
    if args.watch {
        watch::check(&project)?;
    }
    // 0 is no limit, as in the real one.
    if let Some(seconds) = args.wait_timeout.filter(|seconds| *seconds > 0) {
        session.wait_timeout.get_or_init(|| Duration::from_secs(seconds));
    }
    let intent = Intent {
        no_deps: args.no_deps,
        no_start: args.no_start,
        no_build: args.no_build,
        force_recreate: args.force_recreate,
        no_recreate: args.no_recreate,
        always_recreate_deps: args.always_recreate_deps,
        renew_anon_volumes: args.renew_anon_volumes,
        yes_recreate_volumes: args.yes,
        pull: pull(args.pull),
        build: if args.build { builds(&project, &[]) } else { BTreeMap::new() },
        ..intent(session, &args.services, &args.scale, args.remove_orphans)?
    };
    let progress = Progress::new(session.mode()).without_output(args.quiet_build).without_pulls(args.quiet_pull);
    let stop_timeout = grace(args.timeout);
    if attached {
        let (hooks, said) = tokio::sync::mpsc::unbounded_channel();
        let progress = progress.with_hooks(hooks.clone());
        // As the real one does: create, attach, start; so that nothing is missed that a container says.
        let creation = Intent { no_start: true, ..intent.clone() };
        let engine = converge(session, &mut project, &creation, stop_timeout, &progress).await?;
        // What was to be made anew was made anew just now.
        let rest = Intent {
            force_recreate: false,
            renew_anon_volumes: false,
            always_recreate_deps: false,
            no_recreate: true,
            remove_orphans: false,
            ignore_orphans: true,
            pull: None,
            build: BTreeMap::new(),
            ..intent
        };
        let start = async {
            let quiet = |observed: &mut Observed, _: &Earlier| {
                Ok(Plan { warnings: Vec::new(), ..plan::converge(&project, observed, &rest)? })
            };
            session.bring_about(&engine, &project, stop_timeout, &progress, quiet).await
        };
        let following =
            super::attach::Attached { session, engine: &engine, project: &project, args, stop_timeout, hooks };
        let (told, lines) = tokio::sync::mpsc::unbounded_channel();
        let options = watch::Options { prune: true, quiet: args.quiet_build };
        let watcher = match args.watch {
            true => Some(watch::Watcher::new(session, &engine, &project, options, told)?),
            false => None,
        };
        return following.follow(start, said, watcher, lines).await;
    }
    let engine = converge(session, &mut project, &intent, stop_timeout, &progress).await?;
    if args.no_start || session.global.dry_run {
        return Ok(0);
    }
    if args.wait {
        let limit = args.wait_timeout.map(Duration::from_secs);
        wait::until_ready(session, &engine, &project, limit, &progress).await?;
    }
    Ok(0)
}

/// `scale`: an `up` of the named services, with these numbers of containers.
pub(super) async fn scale(session: &Session, args: &ScaleArgs) -> anyhow::Result<u8> {
    let named = args.scale.iter().map(|text| Ok(one_scale(text)?.0)).collect::<anyhow::Result<Vec<String>>>()?;
    let mut project = session.load_looking(&named).await?;
    if args.no_deps {
        without_dependencies(&mut project, &named);
    }
    let intent = Intent { no_deps: args.no_deps, ..intent(session, &named, &args.scale, false)? };
    let progress = Progress::new(session.mode());
    converge(session, &mut project, &intent, None, &progress).await?;
    Ok(0)
}

pub(super) async fn create(session: &Session, args: &CreateArgs) -> anyhow::Result<u8> {
    let mut project = session.load_looking(&args.services).await?;
    let intent = Intent {
        no_start: true,
        no_build: args.no_build,
        force_recreate: args.force_recreate,
        no_recreate: args.no_recreate,
        yes_recreate_volumes: args.yes,
        pull: pull(args.pull),
        build: if args.build || args.pull == PullChoice::Build { builds(&project, &[]) } else { BTreeMap::new() },
        ..intent(session, &args.services, &args.scale, args.remove_orphans)?
    };
    let progress = Progress::new(session.mode()).without_pulls(args.quiet_pull);
    converge(session, &mut project, &intent, None, &progress).await?;
    Ok(0)
}
