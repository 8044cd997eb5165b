//! Three hosts write and stream into the same threads of one Postgres store, while a fourth reads the change feed. The
//! example kills the primary during the writes.
//!
//! ```text
//! cargo run --release -p many_hosts [-- URL]
//! ```
//!
//! Each host is a separate process (this program again, see `host.rs`). Without a `URL` the example starts a primary
//! and two standbys, one of them synchronous. It kills the primary with `kill -9`, promotes the synchronous standby,
//! and attaches the old primary as its standby. With a `URL`, which may name several servers, it writes there in its
//! own tenant, and kills no server.
//!
//! At the end `proof.rs` checks every acknowledged message: it is stored once, complete, and in the order of its
//! writer, and the feed has emitted it once. A table shows the latencies before, during and after the failover.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod host;
mod hosts;
mod latency;
mod proof;

use std::{env, error::Error, time::Instant};

use throughline::{MessageId, Persistence, TenantId, postgres::PostgresBackend};
use throughline_postgres_cluster::{Group, Installation};

use crate::{
    hosts::Hosts,
    latency::{Latencies, Phase},
};

type Failure = Box<dyn Error + Send + Sync>;

/// The number of writer processes.
const WRITERS: usize = 3;

/// The number of acknowledged messages between two steps.
const MESSAGES: usize = 400;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", name, tenant, url] => host::write(name, tenant.parse()?, url).await,
        ["subscribe", tenant, url] => host::subscribe(tenant.parse()?, url).await,
        [] => match Installation::find() {
            Some(installation) => with_a_failover(&installation).await,
            None => {
                println!(
                    "SKIPPED: many hosts (PostgreSQL 15 or newer is not installed, and no URL was given)"
                );
                Ok(())
            }
        },
        [url] => without_a_failover(url).await,
        _ => Err("one argument, or none: the URL of a database".into()),
    }
}

async fn with_a_failover(installation: &Installation) -> Result<(), Failure> {
    let mut group = Group::start(installation, true)?;
    let url = group.url("postgres");
    println!("a primary, a synchronous standby, and an asynchronous standby");
    let scenario = Scenario::open(&url).await?;
    let mut hosts = scenario.hosts(&url).await?;
    let mut latencies = Latencies::default();
    hosts.acknowledge(MESSAGES, &mut latencies, Phase::Before).await?;

    let killed = Instant::now();
    group.kill()?;
    println!("killed the primary during {} streams", hosts.streams());
    // These calls block. This process does nothing else, and the hosts are other processes.
    group.promote()?;
    println!("the standby accepts writes {:.1} s after the kill", killed.elapsed().as_secs_f64());
    group.rejoin()?;
    println!("the old primary is its standby {:.1} s after the kill", killed.elapsed().as_secs_f64());
    hosts.each_acknowledges(&mut latencies, Phase::During).await?;
    println!("all hosts have acknowledged writes {:.1} s after the kill", killed.elapsed().as_secs_f64());

    hosts.acknowledge(MESSAGES, &mut latencies, Phase::After).await?;
    scenario.prove(hosts, &mut latencies, Phase::After).await
}

async fn without_a_failover(url: &str) -> Result<(), Failure> {
    let scenario = Scenario::open(url).await?;
    let mut hosts = scenario.hosts(url).await?;
    let mut latencies = Latencies::default();
    hosts.acknowledge(3 * MESSAGES, &mut latencies, Phase::Before).await?;
    scenario.prove(hosts, &mut latencies, Phase::Before).await
}

/// The store as this process sees it, and the tenant of this run.
struct Scenario {
    db: Persistence,
    tenant: TenantId,
}

impl Scenario {
    async fn open(url: &str) -> Result<Self, Failure> {
        let backend = PostgresBackend::open(url).await?;
        let tenant: TenantId = format!("many-hosts-{}", MessageId::mint()).parse()?;
        let db = Persistence::builder().backend(backend).build()?.for_tenant(tenant.clone());
        Ok(Self { db, tenant })
    }

    async fn hosts(&self, url: &str) -> Result<Hosts, Failure> {
        let hosts = Hosts::start(WRITERS, self.tenant.as_str(), url).await?;
        println!("{WRITERS} processes write, and one reads the change feed");
        Ok(hosts)
    }

    /// Ends the hosts, and verifies the store and the change feed against the acknowledged messages.
    async fn prove(self, hosts: Hosts, latencies: &mut Latencies, phase: Phase) -> Result<(), Failure> {
        let done = hosts.stop(latencies, phase).await?;
        println!("{latencies}");
        if done.failed > 0 {
            println!("{} calls failed with an error", done.failed);
        }
        let messages = proof::all_are_stored(&self.db, &done.acknowledged).await?;
        let acknowledged = done.acknowledged.len();
        println!(
            "all {acknowledged} acknowledged messages (of {messages}) are stored once, complete and in order"
        );
        let changes = proof::all_were_emitted(&done.acknowledged, &done.changes)?;
        println!("the feed emitted each of them once, in {changes} changes");
        self.db.close().await?;
        Ok(())
    }
}
