use std::time::{Duration, Instant};

use throughline::{Persistence, Seq, messages::PageFrom};
use throughline_postgres_cluster::Cluster;

use crate::{
    Failure,
    figures::{figure, median, ratio},
    prefill::prefill,
    store,
};

const PAGE: u32 = 50;

/// How long each store is read in one round.
const SPAN: Duration = Duration::from_millis(100);

/// The latencies of each kind of read in each round, in microseconds.
#[derive(Default)]
struct Latencies {
    latest: Vec<f64>,
    middle: Vec<f64>,
}

/// Reads pages of threads of these lengths, alternately.
pub(crate) async fn compare(cluster: &Cluster, lengths: [usize; 3], rounds: usize) -> Result<(), Failure> {
    let mut stores = Vec::new();
    for messages in &lengths {
        let db = store(cluster, &format!("pages{messages}")).await?;
        prefill(&db, db.thread("filled").id()?, *messages).await?;
        // The server would do this itself later, at a time that the benchmark does not control.
        cluster.run(&format!("pages{messages}"), "VACUUM ANALYZE")?;
        stores.push((db, Latencies::default()));
    }
    for _ in 0..rounds {
        for ((db, latencies), messages) in stores.iter_mut().zip(&lengths) {
            latencies.latest.push(measure(db, PageFrom::End).await?);
            let middle = Seq::new(u64::try_from(messages / 2)?);
            latencies.middle.push(measure(db, PageFrom::After(middle)).await?);
        }
    }
    for ((_, latencies), messages) in stores.iter().zip(&lengths) {
        figure(format_args!("postgres_read.page50.{messages}"), median(&latencies.latest), "us");
        figure(format_args!("postgres_read.page50_middle.{messages}"), median(&latencies.middle), "us");
    }
    if let [(_, short), .., (_, long)] = &stores[..] {
        figure("postgres_read.page50_growth", ratio(&long.latest, &short.latest), "x");
        figure("postgres_read.page50_middle_growth", ratio(&long.middle, &short.middle), "x");
    }
    for (db, _) in stores {
        db.close().await?;
    }
    Ok(())
}

/// Measures the mean latency of a page, in microseconds.
async fn measure(db: &Persistence, from: PageFrom) -> Result<f64, Failure> {
    let (thread, begun, mut count) = (db.thread("filled"), Instant::now(), 0_u32);
    while begun.elapsed() < SPAN {
        let page = thread.page(from, PAGE).await?;
        if page.messages.len() != PAGE as usize {
            return Err("a page is not full".into());
        }
        count += 1;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(count))
}
