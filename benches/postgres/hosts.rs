//! Compares several processes that write into one store with inserts of `pgbench`.

use std::{env, fs, path::PathBuf, process::Stdio, time::Duration};

use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use throughline::{Content, postgres::PostgresBackend};
use throughline_postgres_cluster::{Cluster, Installation};
use tokio::process::Command;

use crate::{
    Failure,
    figures::{figure, median, ratio},
    pool, stack, store,
    tasks::Tasks,
    text::TEXT,
};

const TASKS: usize = 64;

/// How long each process writes. The processes do not start at the same moment, so the span is long in comparison.
const SPAN: Duration = Duration::from_secs(2);

/// Runs one writer process, which prints its writes per second.
pub(crate) async fn host(url: &str) -> Result<(), Failure> {
    let tasks = Tasks::over(stack::over(PostgresBackend::open(url).await?)?, TASKS).await?;
    println!("{}", tasks.run(SPAN).await?.rate);
    tasks.close().await
}

/// Compares one process, three processes, and `pgbench`, alternately.
pub(crate) async fn compare(
    installation: &Installation,
    cluster: &Cluster,
    rounds: usize,
) -> Result<(), Failure> {
    store(cluster, "hosts").await?.close().await?;
    let url = cluster.url("hosts");
    let inserter = Pgbench::prepare(installation, cluster).await?;
    let (mut one, mut three, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds.div_ceil(2) {
        one.push(run(&url, 1).await?);
        three.push(run(&url, 3).await?);
        plain.push(inserter.run(round).await?);
    }
    figure("postgres_write.one_process.64", median(&one), "writes/s");
    figure("postgres_write.three_processes.64", median(&three), "writes/s");
    figure("postgres_write.three_vs_one.64", ratio(&three, &one), "x");
    figure("postgres_write.pgbench.64", median(&plain), "writes/s");
    figure("postgres_write.three_vs_pgbench.64", ratio(&three, &plain), "x");
    Ok(())
}

/// The `pgbench` client, which inserts rows like those of the pool, each in its own transaction.
struct Pgbench {
    program: PathBuf,
    url: String,
    folder: TempDir,
}

impl Pgbench {
    async fn prepare(installation: &Installation, cluster: &Cluster) -> Result<Self, Failure> {
        cluster.run("postgres", "CREATE DATABASE pgbench")?;
        let url = cluster.url("pgbench");
        let mut db = PgConnection::connect(&url).await?;
        sqlx::query(pool::SCHEMA).execute(&mut db).await?;
        db.close().await?;
        let folder = tempfile::tempdir()?;
        let script = format!(
            "\\set n :n + 1\n\
             INSERT INTO messages (thread_pk, message_id, seq, role, state, revision, created_at, updated_at, metadata, content) \
             VALUES (:client_id, '0199a000-0000-7000-8000-' || lpad((:n)::text, 12, '0'), :n, 'user', 'final', 1, 0, 0, '{{}}', \
             repeat('x', {}));\n",
            Content::text(TEXT).as_json().len()
        );
        fs::write(folder.path().join("insert.sql"), script)?;
        Ok(Self { program: installation.program("pgbench"), url, folder })
    }

    /// Returns inserts per second over 64 connections.
    async fn run(&self, round: usize) -> Result<f64, Failure> {
        let output = Command::new(&self.program)
            .args(["--no-vacuum", "--protocol=prepared", "--jobs=2", "--file=insert.sql"])
            .arg(format!("--client={TASKS}"))
            .arg(format!("--time={}", SPAN.as_secs()))
            .arg(format!("--define=n={}", round * 10_000_000))
            .arg(&self.url)
            .current_dir(self.folder.path())
            .output()
            .await?;
        let stdout = String::from_utf8(output.stdout)?;
        let rate = stdout.lines().find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next());
        let failed = || format!("pgbench: {}", String::from_utf8_lossy(&output.stderr));
        Ok(rate.ok_or_else(failed)?.parse()?)
    }
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
