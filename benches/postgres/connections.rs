//! Compares stores with row-level security and behind a pooler with a direct connection. One run measures all three
//! alternately.

use std::time::{Duration, Instant};

use throughline::{NewMessage, Persistence, messages::PageFrom, postgres::PostgresBackend};
use throughline_postgres_cluster::{Cluster, Pooler};

use crate::{
    Failure,
    figures::{figure, median, ratio},
    stack,
    tasks::Tasks,
};

const SPAN: Duration = Duration::from_millis(500);

/// The numbers of concurrent writers: one, and enough to fill transactions.
const TASKS: [usize; 2] = [1, 64];

/// The number of pages that each contender reads in one round.
const PAGES: u32 = 100;

struct Contender {
    name: &'static str,
    store: Persistence,
    writes: Vec<Tasks>,
    rates: [Vec<f64>; TASKS.len()],
    pages: Vec<f64>,
}

pub(crate) async fn compare(cluster: &Cluster, rounds: usize) -> Result<(), Failure> {
    let pooler = Pooler::start(cluster, &[])?;
    cluster.run("postgres", "CREATE ROLE bench LOGIN PASSWORD 'p'")?;
    let mut contenders = Vec::new();
    let mut names = vec!["direct", "row_security", "pgbouncer"];
    if Pooler::can_keep_statements() {
        names.push("prepared_behind_pgbouncer");
    } else {
        println!("skipped: prepared statements behind PgBouncer (1.22 or newer is not installed)");
    }
    for name in names {
        cluster.run("postgres", &format!("CREATE DATABASE connection_{name} OWNER bench"))?;
        let url = format!("postgres://bench:p@{}/connection_{name}", cluster.address());
        let pooled = cluster.url_at(&pooler.address(), &format!("connection_{name}"));
        let store = || async {
            let options = PostgresBackend::builder();
            stack::over(match name {
                "row_security" => options.row_security().open(&url).await?,
                "pgbouncer" => options.pgbouncer().open(&pooled).await?,
                "prepared_behind_pgbouncer" => options.prepared_statements().open(&pooled).await?,
                _ => options.open(&url).await?,
            })
        };
        let mut writes = Vec::new();
        for tasks in TASKS {
            writes.push(Tasks::over(store().await?, tasks).await?);
        }
        let store = store().await?;
        for _ in 0..50 {
            store.thread("page").add(NewMessage::user(&"x".repeat(200))).await?;
        }
        contenders.push(Contender { name, store, writes, rates: Default::default(), pages: Vec::new() });
    }
    for _ in 0..rounds {
        for contender in &mut contenders {
            for (writes, rates) in contender.writes.iter().zip(&mut contender.rates) {
                rates.push(writes.run(SPAN).await?.rate);
            }
            let begun = Instant::now();
            for _ in 0..PAGES {
                contender.store.thread("page").page(PageFrom::End, 50).await?;
            }
            contender.pages.push(f64::from(PAGES) / begun.elapsed().as_secs_f64());
        }
    }
    let (direct, others) = contenders.split_first().expect("the direct one");
    for Contender { name, rates, pages, .. } in others {
        for ((tasks, rates), direct) in TASKS.iter().zip(rates).zip(&direct.rates) {
            figure(format_args!("postgres_write.{name}.{tasks}"), median(rates), "writes/s");
            figure(format_args!("postgres_write.{name}_vs_direct.{tasks}"), ratio(rates, direct), "x");
        }
        figure(format_args!("postgres_read.{name}_page_vs_direct"), ratio(pages, &direct.pages), "x");
    }
    for contender in contenders {
        for writes in contender.writes {
            writes.close().await?;
        }
        contender.store.close().await?;
    }
    Ok(())
}
