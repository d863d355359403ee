//! Maintenance: requests to a repository are answered by a page of turnout-proxy's own until somebody ends it. It is kept by the
//! proxy, so it lasts over deployments and over the end of either process.

use super::{
    super::{Deployer, Failure},
    made::Made,
};
use crate::config::Repo;

impl Deployer {
    /// Begins or ends it. `page`: HTML in place of a line of text. Answers what was done, in words.
    ///
    /// # Errors
    /// Nothing is live, nothing of it speaks HTTP, or the proxy does not answer.
    pub async fn maintain(&self, repo: &Repo, on: bool, page: Option<String>) -> Result<String, Failure> {
        let name = &repo.name;
        let stands = self.recorded(name).await?;
        let Some(live) = stands.live() else {
            return Err(Failure::new(format!("{name} is not live behind turnout-proxy: nothing answers in its place"))
                .hint("only what is deployed blue/green, with `switch` in repos.yaml, has a maintenance page"));
        };
        let made = Made::read(&live.made).map_err(Failure::new)?;
        if let Some(other) = &made.led_by {
            return Err(Failure::new(format!("requests to {name} come over {other}, not over turnout-proxy"))
                .hint("its own configuration has a maintenance page"));
        }
        let spoken: Vec<&str> =
            made.routes.iter().filter(|route| route.http == Some(true)).map(|route| route.service.as_str()).collect();
        if spoken.is_empty() {
            return Err(Failure::new(format!("no route of {name} speaks HTTP: there is no page to answer with"))
                .hint(format!("turnout compose -p {} stop ends its services", live.project)));
        }
        let changed = self.proxy().await?.maintain(name, on, page).await?;
        let others: Vec<String> = made.routes.iter().filter(|route| route.http != Some(true)).map(place).collect();
        let but = match others.is_empty() || !on {
            true => String::new(),
            false => format!("; {} speaks no HTTP and is served as before", others.join(", ")),
        };
        Ok(match (on, changed) {
            (true, true) => format!(
                "requests to {name} are answered with 503 and a page: `turnout maintain {name} off` ends that{but}"
            ),
            (true, false) => format!("requests to {name} were answered so already; the page is the one given now{but}"),
            (false, true) => format!("requests to {name} go to {} again", live.project),
            (false, false) => format!("{name} was not being maintained; requests go to {}", live.project),
        })
    }
}

fn place(route: &super::made::MadeRoute) -> String {
    format!("{}:{}", route.service, route.port)
}
