//! Calls with the same idempotency keys from several processes, repeated.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    sync::Arc,
};

use fastrand::Rng;
use throughline_core::{
    Content, Delta, MessageId, NewReservation, PersistError, PersistResult, Persistence, Role,
    messages::{Add, Batch, ContentChange, UpdateMode},
};
use throughline_reliability::{
    acks::{message, metadata},
    worker::Job,
};
use tokio::task::JoinSet;

use crate::{Outcome, opened};

/// Makes the call of every key one to five times, in random order, and appends a line for each answer.
pub(crate) async fn repeat(job: Job) -> Outcome {
    let log = OpenOptions::new()
        .append(true)
        .create_new(true)
        .open(job.acks.join(format!("{}.answers", job.process)))?;
    let db = opened(&job).await?;
    let mut random = Rng::with_seed(job.seed);
    let mut keys: Vec<u64> = (0..job.operations.unwrap_or(0)).collect();
    random.shuffle(&mut keys);
    let (log, keys) = (Arc::new(log), Arc::new(keys));
    let mut tasks = JoinSet::new();
    for task in 0..job.tasks {
        let (db, log, keys, mut random) = (db.clone(), Arc::clone(&log), Arc::clone(&keys), random.fork());
        let step = usize::try_from(job.tasks)?;
        let first = usize::try_from(task)?;
        tasks.spawn(async move {
            for key in keys.iter().skip(first).step_by(step) {
                for _ in 0..random.u32(1..=5) {
                    answer(&db, &log, *key).await?;
                }
            }
            Outcome::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    db.close().await?;
    Ok(())
}

/// Makes the call twice concurrently, so that one transaction contains the same key twice.
async fn answer(db: &Persistence, log: &File, key: u64) -> Outcome {
    let (one, two) = tokio::join!(call(db, key), call(db, key));
    for (mut result, deduplicated) in [one?, two?] {
        // The only difference of a replayed answer.
        result = result.replace("\"deduplicated\":true", "\"deduplicated\":false");
        let line = format!("{key}\t{deduplicated}\t{result}\n");
        { log }.write_all(line.as_bytes())?;
    }
    Ok(())
}

/// Makes the call of a key. Returns its answer, and whether it was replayed.
async fn call(db: &Persistence, number: u64) -> Result<(String, bool), PersistError> {
    let key = format!("k{number}");
    let thread = db.thread(format!("t{}", number % 8));
    let id = || MessageId::new(format!("m{number}"));
    let reservation = || NewReservation::new(Role::Assistant).with_metadata(metadata(&key));
    let (result, deduplicated): (PersistResult, bool) = match number % 5 {
        0 => {
            let added = thread.add(message(&key)).key(&key[..]).await?;
            (added.clone().into(), added.deduplicated)
        }
        1 => {
            let add = |item| {
                let name = format!("{key}.{item}");
                Ok::<_, PersistError>(Add::new(thread.id()?.clone(), message(&name)))
            };
            let batched = db.batch(Batch::new().with(add(0)?).with(add(1)?)).key(&key[..]).await?;
            (batched.clone().into(), batched.deduplicated)
        }
        2 => {
            let reserve = throughline_core::messages::Reserve::new(thread.id()?.clone(), reservation());
            let reserved = db.run(reserve).key(&key[..]).await?;
            (reserved.clone().into(), reserved.deduplicated)
        }
        3 => {
            let change = ContentChange::Append(Delta::Blocks(Content::text("once")));
            let updated = thread.update_content(id()?, change, UpdateMode::Partial).key(&key[..]).await?;
            (updated.clone().into(), updated.deduplicated)
        }
        _ => {
            let deleted = thread.delete(id()?).key(&key[..]).await?;
            (deleted.clone().into(), deleted.deduplicated)
        }
    };
    Ok((serde_json::to_string(&result).expect("an answer serializes"), deduplicated))
}
