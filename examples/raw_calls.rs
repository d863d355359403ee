//! The least that ten containers can cost: ten tasks, each with one create and one start call, and nothing else.
//! `script/bench` holds `turnout compose up` against it. Prints milliseconds; removes what it made.
//!
//!     cargo run --release --example raw_calls -- IMAGE PREFIX COUNT [AT-A-TIME]

use std::{error::Error, time::Instant};

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
    docker.create_network(network).await?;
    let names: Vec<String> = (1..=count).map(|number| format!("{prefix}-{number}")).collect();

    let began = Instant::now();
    let runs = stream::iter(names.iter().map(|name| run(&docker, &image, &prefix, name)));
    let outcome: Result<(), _> = runs.buffer_unordered(at_a_time).try_collect().await;
    let took = began.elapsed();

    let remove = RemoveContainerOptionsBuilder::default().force(true).build();
    join_all(names.iter().map(|name| docker.remove_container(name, Some(remove.clone())))).await;
    docker.remove_network(&prefix).await?;
    outcome?;
    println!("{:.2}", took.as_secs_f64() * 1e3);
    Ok(())
}

async fn run(docker: &Docker, image: &str, network: &str, name: &str) -> Result<(), bollard::errors::Error> {
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
