//! Adds from many connections, against the same adds from as many tasks in process.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::{
    Failure,
    connection::Connection,
    figures::{figure, median, ratio},
    host::Host,
    tasks::{Sample, Tasks, micros},
    text::TEXT,
};

const COUNT: usize = 64;
const TURN: Duration = Duration::from_millis(500);

/// Connections that add messages, each to its own thread.
pub(crate) struct Connections(Vec<Connection>);

impl Connections {
    pub(crate) async fn open(server: SocketAddr, count: usize) -> Result<Self, Failure> {
        let mut all = Vec::new();
        for number in 0..count {
            all.push(Connection::open(server, &format!("thread-{number}"), TEXT).await?);
        }
        let mut all = Self(all);
        all.run(Duration::from_millis(50)).await?;
        Ok(all)
    }

    pub(crate) async fn run(&mut self, span: Duration) -> Result<Sample, Failure> {
        let begun = Instant::now();
        let mut writers = JoinSet::new();
        for mut connection in self.0.drain(..) {
            writers.spawn(async move {
                let (mut latencies, mut last) = (Vec::new(), begun);
                while last - begun < span {
                    connection.add().await?;
                    let now = Instant::now();
                    latencies.push(now - last);
                    last = now;
                }
                Ok::<_, Failure>((connection, latencies))
            });
        }
        let mut all = Histogram::new_with_max(60_000_000_000, 3)?;
        while let Some(writer) = writers.join_next().await {
            let (connection, latencies) = writer??;
            self.0.push(connection);
            for latency in latencies {
                all.record(u64::try_from(latency.as_nanos())?)?;
            }
        }
        Ok(Sample { rate: all.len() as f64 / begun.elapsed().as_secs_f64(), latencies: all })
    }
}

/// The samples of one contender.
struct Samples {
    rates: Vec<f64>,
    latencies: Histogram<u32>,
}

impl Samples {
    fn new() -> Result<Self, Failure> {
        Ok(Self { rates: Vec::new(), latencies: Histogram::new_with_max(60_000_000_000, 3)? })
    }

    fn push(&mut self, sample: &Sample) -> Result<(), Failure> {
        self.rates.push(sample.rate);
        Ok(self.latencies.add(&sample.latencies)?)
    }

    fn report(&self, name: &str) {
        figure(format_args!("{name}.{COUNT}"), median(&self.rates), "adds/s");
        figure(format_args!("{name}_p50.{COUNT}"), micros(&self.latencies, 0.5), "us");
        figure(format_args!("{name}_p99.{COUNT}"), micros(&self.latencies, 0.99), "us");
    }
}

pub(crate) async fn compare(rounds: usize) -> Result<(), Failure> {
    let host = Host::start(16).await?;
    let in_process = Tasks::over(host.db.clone(), COUNT).await?;
    let mut connections = Connections::open(host.address, COUNT).await?;
    let (mut ours, mut theirs) = (Samples::new()?, Samples::new()?);
    for _ in 0..rounds {
        theirs.push(&in_process.run(TURN).await?)?;
        ours.push(&connections.run(TURN).await?)?;
    }
    ours.report("http.adds");
    theirs.report("http.in_process");
    figure(format_args!("http.vs_in_process.{COUNT}"), ratio(&ours.rates, &theirs.rates), "x");
    drop(connections);
    in_process.close().await?;
    host.stop().await
}
