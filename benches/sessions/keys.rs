//! Compares runs of a thousand keys at once with the same number of runs of one key.

use std::{path::Path, sync::Arc, time::Instant};

use throughline::{
    Persistence,
    runs::{RunSuccess, SessionRunner},
};
use tokio::sync::Barrier;

use crate::{
    Failure, claimer,
    figures::{figure, median, ratio},
    open,
};

const KEYS: usize = 1000;

pub(crate) async fn compare(folder: &Path, rounds: usize) -> Result<(), Failure> {
    let db = open(folder, "keys").await?;
    run_at_barrier(&db).await?;
    let (mut parallel, mut sequence) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        parallel.push(runs(&db, |number| format!("{round}-{number}")).await?);
        sequence.push(runs(&db, |_| format!("one-{round}")).await?);
    }
    figure(format_args!("sessions.runs_of_one_key.{KEYS}"), median(&sequence), "runs/s");
    figure(format_args!("sessions.runs_of_as_many_keys.{KEYS}"), median(&parallel), "runs/s");
    figure(format_args!("sessions.keys_in_parallel.{KEYS}"), ratio(&parallel, &sequence), "x");
    Ok(db.close().await?)
}

/// Lets all runs wait at a barrier. The function would never complete if one key waited for another.
async fn run_at_barrier(db: &Persistence) -> Result<(), Failure> {
    let all = Arc::new(Barrier::new(KEYS));
    let runner = SessionRunner::new(db.clone());
    let mut tasks = Vec::with_capacity(KEYS);
    for number in 0..KEYS {
        let begin = db.agent("bench").on(format!("all-{number}")).run(claimer()?)?;
        let (runner, all) = (runner.clone(), all.clone());
        tasks.push(tokio::spawn(async move {
            let ran = runner.prepare(begin).run(|_| async {
                all.wait().await;
                Ok(RunSuccess::new(()))
            });
            ran.await.map(drop).map_err(|error| error.to_string())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// Returns runs per second: each task begins, pins and confirms one run. The agent takes no time.
async fn runs(db: &Persistence, thread: impl Fn(usize) -> String) -> Result<f64, Failure> {
    let runner = SessionRunner::new(db.clone());
    let mut tasks = Vec::with_capacity(KEYS);
    let begun = Instant::now();
    for number in 0..KEYS {
        let begin = db.agent("bench").on(thread(number)).run(claimer()?)?;
        let runner = runner.clone();
        tasks.push(tokio::spawn(async move {
            let ran = runner.prepare(begin).run(|run| async move {
                run.pin_session("s".parse()?).await?;
                Ok(RunSuccess::new(()))
            });
            ran.await.map(drop).map_err(|error| error.to_string())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(KEYS as f64 / begun.elapsed().as_secs_f64())
}
