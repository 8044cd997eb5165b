//! Adds while many idle streams are open, against the same adds without them.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use throughline::messages::PageFrom;
use tokio::task::JoinSet;

use crate::{
    Failure,
    adds::Connections,
    figures::{figure, median, ratio},
    host::{Host, tenant},
    stream_reader::StreamReader,
    tasks::micros,
};

const COUNT: usize = 64;
const TURN: Duration = Duration::from_millis(500);
/// The files of the process besides the two of each stream.
const OTHERS: usize = 500;
/// The connections that are opened at once.
const OPENING: usize = 32;

/// Raises the limit of open files, and returns how many of these streams it allows.
fn allowed(wanted: usize) -> Result<usize, Failure> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let files = maximum.map_or(Ok(usize::MAX), usize::try_from)?;
    Ok(wanted.min(files.saturating_sub(OTHERS) / 2))
}

async fn open(host: &Host, count: usize) -> Result<Vec<StreamReader>, Failure> {
    let page = host.db.for_tenant(tenant()).thread("thread-0").page(PageFrom::End, 1).await?;
    let (mut streams, mut opening) = (Vec::new(), JoinSet::new());
    for number in 0..count {
        let (address, target) =
            (host.address, format!("/v1/threads/idle-{number}/stream?after={}", page.position));
        opening.spawn(async move { StreamReader::open(address, &target).await });
        if opening.len() == OPENING
            && let Some(opened) = opening.join_next().await
        {
            streams.push(opened??);
        }
    }
    while let Some(opened) = opening.join_next().await {
        streams.push(opened??);
    }
    Ok(streams)
}

pub(crate) async fn compare(rounds: usize, wanted: usize) -> Result<(), Failure> {
    let count = allowed(wanted)?;
    let host = Host::start(count).await?;
    let mut connections = Connections::open(host.address, COUNT).await?;
    let (mut with, mut without) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for _ in 0..rounds {
        let streams = open(&host, count).await?;
        let sample = connections.run(TURN).await?;
        with.0.push(micros(&sample.latencies, 0.99));
        with.1.push(sample.rate);
        drop(streams);
        // The server notices the ends of the connections meanwhile.
        connections.run(TURN).await?;
        let sample = connections.run(TURN).await?;
        without.0.push(micros(&sample.latencies, 0.99));
        without.1.push(sample.rate);
    }
    figure("http.idle_streams", count as f64, "streams");
    figure("http.adds_p99_with_idle_streams", median(&with.0), "us");
    figure("http.adds_p99_without_idle_streams", median(&without.0), "us");
    figure("http.idle_streams_p99", ratio(&with.0, &without.0), "x");
    figure("http.idle_streams_adds", ratio(&with.1, &without.1), "x");
    drop(connections);
    host.stop().await
}
