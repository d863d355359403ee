//! The least that ten containers can cost: ten tasks, each with one create and one start call, and nothing else; then
//! one of them stopped, removed, created and started; then all stopped and removed, side by side again.
//! `script/bench` holds `turnout compose` against it. Prints the three times in milliseconds, then those of making and of
//! removing their network, which any `up` and `down` needs as well; removes what it made.
//!
//!     cargo run --release --example raw_calls -- IMAGE PREFIX COUNT [AT-A-TIME]
#![allow(clippy::disallowed_methods, reason = "it measures")]

use std::{
    error::Error,
    io::Write as _,
    time::{Duration, Instant},
};

use bollard::{
    Docker,
    models::{ContainerCreateBody, HostConfig, NetworkCreateRequest},
    query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder},
};
use futures_util::{StreamExt as _, TryStreamExt as _, future::join_all, stream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(image), Some(prefix), Some(count)) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: raw_calls IMAGE PREFIX COUNT".into());
    };
    let count: usize = count.parse()?;
    let at_a_time = arguments.next().map_or(Ok(count), |text| text.parse())?;
    let docker = Docker::connect_with_defaults()?.negotiate_version().await?;
    let network = NetworkCreateRequest { name: prefix.clone(), ..Default::default() };
    let began = Instant::now();
    docker.create_network(network).await?;
    let network_made = milliseconds(began);
    let names: Vec<String> = (1..=count).map(|number| format!("{prefix}-{number}")).collect();

    let outcome = measure(&docker, &image, &prefix, &names, at_a_time).await;

    let remove = RemoveContainerOptionsBuilder::default().force(true).build();
    join_all(names.iter().map(|name| docker.remove_container(name, Some(remove.clone())))).await;
    let began = Instant::now();
    // The engine answers a removal a moment before the container has left its network.
    while let Err(error) = docker.remove_network(&prefix).await {
        if began.elapsed() > PATIENCE {
            return Err(error.into());
        }
        tokio::time::sleep(RETRY).await;
    }
    let network_removed = milliseconds(began);
    let [up, replace, down] = outcome?;
    writeln!(std::io::stdout(), "{up:.2} {replace:.2} {down:.2} {network_made:.2} {network_removed:.2}")?;
    Ok(())
}

/// Longest wait for containers to leave their network.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(10);

/// Milliseconds of creating and starting all, of replacing the first by another one, and of stopping and removing all.
async fn measure(docker: &Docker, image: &str, network: &str, names: &[String], at_a_time: usize) -> Answer<[f64; 3]> {
    let began = Instant::now();
    let runs = stream::iter(names.iter().map(|name| run(docker, image, network, name)));
    let () = runs.buffer_unordered(at_a_time).try_collect().await?;
    let up = milliseconds(began);

    let began = Instant::now();
    if let Some(first) = names.first() {
        end(docker, first).await?;
        run(docker, image, network, first).await?;
    }
    let replace = milliseconds(began);

    let began = Instant::now();
    let ends = stream::iter(names.iter().map(|name| end(docker, name)));
    let () = ends.buffer_unordered(at_a_time).try_collect().await?;
    Ok([up, replace, milliseconds(began)])
}

type Answer<T> = Result<T, bollard::errors::Error>;

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

async fn end(docker: &Docker, name: &str) -> Answer<()> {
    docker.stop_container(name, None).await?;
    docker.remove_container(name, None).await
}

async fn run(docker: &Docker, image: &str, network: &str, name: &str) -> Answer<()> {
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(vec!["sleep".to_owned(), "1000000".to_owned()]),
        host_config: Some(HostConfig {
            network_mode: Some(network.to_owned()),
            init: Some(true),
            ..Default::default()
        }),
        ..Default::default()
    };
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    docker.create_container(Some(options), body).await?;
    docker.start_container(name, None).await
}
