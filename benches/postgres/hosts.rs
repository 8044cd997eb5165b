//! Several processes that write into one store.

use std::{env, process::Stdio, time::Duration};

use throughline::postgres::PostgresBackend;
use throughline_postgres_cluster::Cluster;
use tokio::process::Command;

use crate::{
    Failure,
    figures::{figure, median, ratio},
    stack, store,
    tasks::Tasks,
};

const TASKS: usize = 64;

/// How long each process writes. They do not begin at one moment, so this is long beside that.
const SPAN: Duration = Duration::from_secs(2);

/// What one process does: writes, and prints how many writes a second.
pub(crate) async fn host(url: &str) -> Result<(), Failure> {
    let tasks = Tasks::over(stack::over(PostgresBackend::open(url).await?)?, TASKS).await?;
    println!("{}", tasks.run(SPAN).await?.rate);
    tasks.close().await
}

/// One process and three, by turns.
pub(crate) async fn compare(cluster: &Cluster, rounds: usize) -> Result<(), Failure> {
    store(cluster, "hosts").await?.close().await?;
    let url = cluster.url("hosts");
    let (mut one, mut three) = (Vec::new(), Vec::new());
    for _ in 0..rounds.div_ceil(2) {
        one.push(run(&url, 1).await?);
        three.push(run(&url, 3).await?);
    }
    figure("postgres_write.one_process.64", median(&one), "writes/s");
    figure("postgres_write.three_processes.64", median(&three), "writes/s");
    figure("postgres_write.three_vs_one.64", ratio(&three, &one), "x");
    Ok(())
}

async fn run(url: &str, processes: usize) -> Result<f64, Failure> {
    let mut hosts = Vec::new();
    for _ in 0..processes {
        let mut host = Command::new(env::current_exe()?);
        hosts.push(host.args(["--host", url]).stdout(Stdio::piped()).kill_on_drop(true).spawn()?);
    }
    let mut rate = 0.0;
    for host in hosts {
        let output = host.wait_with_output().await?;
        if !output.status.success() {
            return Err("a process that writes has failed".into());
        }
        rate += String::from_utf8(output.stdout)?.trim().parse::<f64>()?;
    }
    Ok(rate)
}
