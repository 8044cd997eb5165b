//! Three hosts write and stream into the same threads of one Postgres store, a fourth follows, and the primary is killed under them.
//!
//! ```text
//! cargo run --release -p many_hosts [-- URL]
//! ```
//!
//! Each host is a process of its own (this program again, see `host.rs`). Without a `URL` the example starts a primary and two standbys
//! of its own, of which commits wait for one; it kills the primary with `kill -9`, promotes that standby, and makes the old primary its
//! standby. With a `URL`, which may name several servers, it writes there, in a tenant of its own, and kills nobody.
//!
//! In the end every message that was acknowledged has to be there once, whole, and in the order in which its writer wrote, and to
//! have been told once by the feed (`proof.rs`). What it took stands in a table: before the primary died, meanwhile, and after.
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

/// How many processes write.
const WRITERS: usize = 3;

/// How many messages are acknowledged between one thing and the next.
const MESSAGES: usize = 400;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", name, tenant, url] => host::write(name, tenant.parse()?, url).await,
        ["follow", tenant, url] => host::follow(tenant.parse()?, url).await,
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
    println!("a primary, a standby that commits wait for, and one that they do not wait for");
    let scene = Scene::open(&url).await?;
    let mut hosts = scene.hosts(&url).await?;
    let mut latencies = Latencies::default();
    hosts.acknowledge(MESSAGES, &mut latencies, Phase::Before).await?;

    let killed = Instant::now();
    group.kill()?;
    println!("the primary was killed under {} streams", hosts.streams());
    // Blocking: this process has nothing else to do, and the hosts are others.
    group.promote()?;
    println!("its standby takes writes {:.1} s later", killed.elapsed().as_secs_f64());
    group.rejoin()?;
    println!("and the old primary is its standby {:.1} s later", killed.elapsed().as_secs_f64());
    hosts.each_acknowledges(&mut latencies, Phase::During).await?;
    println!("all hosts were answered again {:.1} s after the kill", killed.elapsed().as_secs_f64());

    hosts.acknowledge(MESSAGES, &mut latencies, Phase::After).await?;
    scene.prove(hosts, &mut latencies, Phase::After).await
}

async fn without_a_failover(url: &str) -> Result<(), Failure> {
    let scene = Scene::open(url).await?;
    let mut hosts = scene.hosts(url).await?;
    let mut latencies = Latencies::default();
    hosts.acknowledge(3 * MESSAGES, &mut latencies, Phase::Before).await?;
    scene.prove(hosts, &mut latencies, Phase::Before).await
}

/// The store as this process sees it, and whose messages they are.
struct Scene {
    db: Persistence,
    tenant: TenantId,
}

impl Scene {
    async fn open(url: &str) -> Result<Self, Failure> {
        let backend = PostgresBackend::open(url).await?;
        let tenant: TenantId = format!("many-hosts-{}", MessageId::mint()).parse()?;
        let db = Persistence::builder().backend(backend).build()?.for_tenant(tenant.clone());
        Ok(Self { db, tenant })
    }

    async fn hosts(&self, url: &str) -> Result<Hosts, Failure> {
        let hosts = Hosts::start(WRITERS, self.tenant.as_str(), url).await?;
        println!("{WRITERS} processes write, and one follows them");
        Ok(hosts)
    }

    /// Ends the hosts, and holds the store and what was followed against what they were answered.
    async fn prove(self, hosts: Hosts, latencies: &mut Latencies, phase: Phase) -> Result<(), Failure> {
        let done = hosts.stop(latencies, phase).await?;
        println!("{latencies}");
        if done.failed > 0 {
            println!("{} calls failed and were told so", done.failed);
        }
        let messages = proof::all_is_there(&self.db, &done.acknowledged).await?;
        let acknowledged = done.acknowledged.len();
        println!(
            "all {acknowledged} acknowledged messages are there once, whole and in order, of {messages}"
        );
        let told = proof::all_was_told(&done.acknowledged, &done.told)?;
        println!("the feed has told each of them once, in {told} changes");
        self.db.close().await?;
        Ok(())
    }
}
