//! Commands about the colours of a repository that is deployed blue/green: rollback, promote, preview, pause, resume,
//! maintain, abort.

use std::{
    fs::File,
    io::{Read as _, Stdout},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use tokio::time::sleep;

use super::{
    args::{MaintainArgs, OnOff},
    client::{Client, ClientError, DAEMON, whoami},
    progress::Display,
    show::to_its_end,
    trouble::Trouble,
    waiting::Waiting,
    when::when,
};
use crate::{
    git::short,
    report::redact::escape_controls,
    server::wire::{AskRequest, AskedReply, ColourStatus, ColoursStatus, MaintainRequest, PreviewPlace, PreviewReply},
    store::Deployment,
};

/// Goes back to the colour that was live before, or further.
pub(super) async fn rollback(client: &Client, repo: &str, to: Option<String>) -> Result<ExitCode, Trouble> {
    asks(client, repo, "rollback", AskRequest { to, ..AskRequest::default() }).await
}

/// Has a next colour that waits go on, or ends a bake as good.
pub(super) async fn promote(client: &Client, repo: &str, full: bool) -> Result<ExitCode, Trouble> {
    asks(client, repo, "promote", AskRequest { full, ..AskRequest::default() }).await
}

/// Has a next colour that waits stay as it is.
pub(super) async fn pause(client: &Client, repo: &str) -> Result<ExitCode, Trouble> {
    ask(client, repo, "pause").await
}

/// Has it go on.
pub(super) async fn resume(client: &Client, repo: &str) -> Result<ExitCode, Trouble> {
    ask(client, repo, "resume").await
}

/// The longest page, in bytes: what a request to the daemon may have is twice that, and quotes and ends of lines count double there.
const PAGE: u64 = 32 << 10;

/// Has requests answered by a page, or no longer.
pub(super) async fn maintain(client: &Client, args: &MaintainArgs) -> Result<ExitCode, Trouble> {
    let MaintainArgs { repo, state, page, socket: _ } = args;
    let page = page.as_deref().map(read_page).transpose()?;
    let request = MaintainRequest { on: *state == OnOff::On, who: whoami(), page };
    let AskedReply { said, .. } = client.post(&format!("/v1/repositories/{repo}/maintain"), &request).await?;
    let mut display = Display::stdout();
    said.iter().try_for_each(|said| display.say(said))?;
    Ok(ExitCode::SUCCESS)
}

fn read_page(path: &Path) -> Result<String, Trouble> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(PAGE + 1).read_to_string(&mut text));
    match read {
        Ok(read) if read as u64 <= PAGE => Ok(text),
        Ok(_) => Err(anyhow::anyhow!("{} has more than {PAGE} bytes: that is too long a page", path.display()).into()),
        Err(error) => Err(anyhow::anyhow!("the page {} cannot be read: {error}", path.display()).into()),
    }
}

/// Says where a next colour is reached that waits to be promoted.
pub(super) async fn preview(client: &Client, repo: &str) -> Result<ExitCode, Trouble> {
    let mut display = Display::stdout();
    let reply: PreviewReply = client.get(&format!("/v1/repositories/{repo}/preview")).await?;
    let PreviewReply { project, commit, places, reached, cookie, percent } = reply;
    let commit = commit.as_deref().map_or_else(String::new, |commit| format!(" ({})", short(commit)));
    let gets = percent.map_or("gets no requests yet".to_owned(), |percent| format!("gets {percent} % of the clients"));
    display.say(&format!("{project}{commit} is ready and {gets}; on this machine it is reached at"))?;
    for PreviewPlace { service, port, address, http } in &places {
        let address = if *http { format!("http://{address}/") } else { address.clone() };
        display.say(&format!("  {service}:{port}  {address}"))?;
    }
    for address in &reached {
        display.say(&format!("as long as it waits, also at {address}"))?;
    }
    if let Some(cookie) = &cookie {
        display.say(&format!(
            "as long as it waits, also at the usual addresses with this cookie, which is a secret: {cookie} (in a browser's console: \
             document.cookie = '{cookie}; path=/')"
        ))?;
    }
    if places.is_empty() {
        display.say("  no port: whoever gets requests of it changes over only then")?;
    }
    display.say(&format!("`turnout promote {repo}` has requests go there, `turnout abort {repo}` gives it up"))?;
    Ok(ExitCode::SUCCESS)
}

/// Gives up what is under way.
pub(super) async fn abort(client: &Client, repo: &str) -> Result<ExitCode, Trouble> {
    ask(client, repo, "abort").await
}

async fn ask(client: &Client, repo: &str, what: &str) -> Result<ExitCode, Trouble> {
    asks(client, repo, what, AskRequest::default()).await
}

async fn asks(client: &Client, repo: &str, what: &str, request: AskRequest) -> Result<ExitCode, Trouble> {
    let mut display = Display::stdout();
    let who = whoami();
    let AskedReply { said, deployment, after } =
        meanwhile(client, repo, what, &AskRequest { who, ..request }, &mut display).await?;
    for said in said.iter().flat_map(|said| said.lines()) {
        display.say(said)?;
    }
    match deployment {
        Some(id) => Ok(to_its_end(client, id, after, &mut display).await?.0),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Time between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(200);

/// Asks, and says what is done already while the answer waits for the end of containers: requests have moved long before that.
async fn meanwhile(
    client: &Client,
    repo: &str,
    what: &str,
    request: &AskRequest,
    display: &mut Display<Stdout>,
) -> Result<AskedReply, Trouble> {
    let (path, colours) = (format!("/v1/repositories/{repo}/{what}"), format!("/v1/repositories/{repo}/colours"));
    let before = client.get::<ColoursStatus>(&colours).await.ok().filter(|before| before.bakes_until.is_some());
    let waiting = Waiting::for_(DAEMON, None);
    let asked = client.post_told(&path, request, &waiting);
    tokio::pin!(asked);
    let Some(before) = before else { return Ok(asked.await?) };
    if let (Some(previous), "promote") = (&before.previous, what) {
        waiting.now(format!("the end of the containers of {}", previous.project), None);
    }
    loop {
        tokio::select! {
            biased;
            reply = &mut asked => return Ok(reply?),
            () = sleep(LOOK) => {}
        }
        let now = tokio::select! {
            biased;
            reply = &mut asked => return Ok(reply?),
            now = client.get::<ColoursStatus>(&colours) => now,
        };
        let Some((said, ends)) = now.ok().and_then(|now| moved(&before, &now)) else { continue };
        display.say(&said)?;
        waiting.now(format!("the end of the containers of {ends}"), None);
        return Ok(asked.await?);
    }
}

/// What is live by now, in words, and whose containers are being stopped; `None` where requests have not moved.
fn moved(before: &ColoursStatus, now: &ColoursStatus) -> Option<(String, String)> {
    let (was, is) = (before.live.as_ref()?, now.live.as_ref()?);
    let commit = is.commit.as_deref().map_or_else(String::new, |commit| format!(" ({})", short(commit)));
    let said = format!("{}{commit} is live again; {} is being stopped", is.project, was.project);
    (was.project != is.project).then(|| (said, was.project.clone()))
}

/// Ends a bake as good before something else is asked for; where there is none, nothing is said.
pub(super) async fn promote_first(client: &Client, repo: &str, display: &mut Display<Stdout>) -> Result<(), Trouble> {
    let asked: Result<AskedReply, ClientError> = client
        .post(
            &format!("/v1/repositories/{repo}/promote"),
            &AskRequest { who: whoami(), bake_only: true, ..AskRequest::default() },
        )
        .await;
    match asked {
        Ok(AskedReply { said, .. }) => Ok(said.iter().try_for_each(|said| display.say(said))?),
        Err(ClientError::Refused { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Waits until the switch of a deployment has proved itself. Exit code 1 where it was taken back, or where that is not known.
pub(super) async fn wait(
    client: &Client,
    deployment: &Deployment,
    display: &mut Display<Stdout>,
) -> Result<ExitCode, Trouble> {
    let (repo, place) = (&deployment.repo, format!("/v1/repositories/{}", deployment.repo));
    let before: ColoursStatus = client.get(&format!("{place}/colours")).await?;
    let colours: ColoursStatus = match before.bakes_until {
        Some(until) => {
            let live = before.live.as_ref().map_or("the live colour", |live| live.project.as_str());
            display.say(&format!(
                "waiting until {}, when {live} has baked: `turnout promote {repo}` ends that as good, `turnout rollback {repo}` \
                 goes back",
                when(until)
            ))?;
            client.get(&format!("{place}/bake")).await?
        }
        None => before.clone(),
    };
    let own = deployment.project.as_deref().unwrap_or(repo);
    let (said, code) = verdict((deployment.id, own), &before, &colours);
    display.say(&said)?;
    Ok(code)
}

/// What became of a deployment, by its number and its colour's project. `before`: when the wait began.
fn verdict((id, own): (i64, &str), before: &ColoursStatus, colours: &ColoursStatus) -> (String, ExitCode) {
    if colours.bakes_until.is_some() {
        let said = "the daemon ends, and the bake goes on at its next start: what comes of it is not known yet";
        return (said.to_owned(), ExitCode::FAILURE);
    }
    let live = colours.live.as_ref();
    let is_own = |one: &ColourStatus| one.deployment == Some(id) || one.project == own;
    if live.is_some_and(is_own) {
        let said = match before.bakes_until {
            Some(_) => format!("{own} has proved itself"),
            None => format!("{own} is live, and nothing bakes"),
        };
        return (said, ExitCode::SUCCESS);
    }
    let live = live.map_or("nothing", |live| live.project.as_str());
    let why = colours.failed_for.as_ref().map(|why| format!(": {}", escape_controls(why))).unwrap_or_default();
    (format!("it was taken back; {live} is live{why}"), ExitCode::FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_is_told_when_it_is_done() {
        let live = |project: &str| ColoursStatus {
            live: Some(ColourStatus {
                colour: String::new(),
                project: project.to_owned(),
                state: "live".to_owned(),
                generation: 1,
                deployment: None,
                commit: Some("0123456789abcdef".to_owned()),
                since: 0,
                kept_until: None,
            }),
            ..ColoursStatus::default()
        };
        let (said, ends) = moved(&live("redshop"), &live("blueshop")).unwrap();
        assert_eq!(said, "blueshop (0123456) is live again; redshop is being stopped");
        assert_eq!(ends, "redshop");
        assert_eq!(moved(&live("redshop"), &live("redshop")), None);
        assert_eq!(moved(&live("redshop"), &ColoursStatus::default()), None);
    }

    #[test]
    fn what_is_said_is_what_came_of_it() {
        let colours = |project: &str, id, bakes_until| {
            let live = ColourStatus {
                colour: String::new(),
                project: project.to_owned(),
                state: "live".to_owned(),
                generation: 1,
                deployment: Some(id),
                commit: None,
                since: 0,
                kept_until: None,
            };
            ColoursStatus { live: Some(live), bakes_until, ..ColoursStatus::default() }
        };
        let baking = colours("blueshop", 7, Some(1));
        let still = colours("blueshop", 7, None);
        for (before, after, said, code) in [
            (&baking, &still, "blueshop has proved itself", ExitCode::SUCCESS),
            (&still, &still, "blueshop is live, and nothing bakes", ExitCode::SUCCESS),
            (&baking, &colours("redshop", 6, None), "it was taken back; redshop is live", ExitCode::FAILURE),
            (&baking, &baking, "the daemon ends, and the bake goes on", ExitCode::FAILURE),
        ] {
            let (found, with) = verdict((7, "blueshop"), before, after);
            assert!(found.starts_with(said), "{found}");
            assert_eq!(format!("{with:?}"), format!("{code:?}"), "{said}");
        }
    }
}
