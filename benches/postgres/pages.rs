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

/// How long each store is read in its turn.
const SPAN: Duration = Duration::from_millis(100);

/// What each kind of read took in each round, in microseconds.
#[derive(Default)]
struct Took {
    latest: Vec<f64>,
    middle: Vec<f64>,
}

/// Pages of threads of these lengths, by turns.
pub(crate) async fn compare(cluster: &Cluster, lengths: [usize; 3], rounds: usize) -> Result<(), Failure> {
    let mut stores = Vec::new();
    for messages in &lengths {
        let db = store(cluster, &format!("pages{messages}")).await?;
        prefill(&db, db.thread("filled").id()?, *messages).await?;
        // As the server does by itself, when it comes to it.
        cluster.run(&format!("pages{messages}"), "VACUUM ANALYZE")?;
        stores.push((db, Took::default()));
    }
    for _ in 0..rounds {
        for ((db, took), messages) in stores.iter_mut().zip(&lengths) {
            took.latest.push(turn(db, PageFrom::End).await?);
            let middle = Seq::new(u64::try_from(messages / 2)?);
            took.middle.push(turn(db, PageFrom::After(middle)).await?);
        }
    }
    for ((_, took), messages) in stores.iter().zip(&lengths) {
        figure(format_args!("postgres_read.page50.{messages}"), median(&took.latest), "us");
        figure(format_args!("postgres_read.page50_middle.{messages}"), median(&took.middle), "us");
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

/// What one page takes, in microseconds.
async fn turn(db: &Persistence, from: PageFrom) -> Result<f64, Failure> {
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
