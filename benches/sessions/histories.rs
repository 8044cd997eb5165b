//! Compares a key with a short history of runs and one with a long history: a claim reads few rows of either.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use throughline::{
    Persistence,
    messages::Batch,
    sessions::{AgentThread, BeginRun, ConfirmRun, Resolution, RunReport, SessionArgs},
};

use crate::{
    Failure, claimer,
    figures::{figure, median, ratio},
    open,
};

/// How long each key is read in one round.
const SPAN: Duration = Duration::from_millis(40);

/// The number of runs that one commit writes, and the number that are begun and confirmed in one round.
const BATCH: usize = 100;
const RUNS: u32 = 20;

/// The latencies of one history in each round, in microseconds.
#[derive(Default)]
struct Latencies {
    resolve: Vec<f64>,
    run: Vec<f64>,
}

pub(crate) async fn compare(folder: &Path, attempts: usize, rounds: usize) -> Result<(), Failure> {
    let sizes = [attempts.min(100), attempts];
    let mut keys = Vec::new();
    for size in sizes {
        let db = open(folder, &format!("history-{size}")).await?;
        let agent_thread = db.agent("bench").on("t");
        fill_history(&db, &agent_thread, size).await?;
        keys.push((db, agent_thread));
    }
    let mut latencies = [Latencies::default(), Latencies::default()];
    for _ in 0..rounds {
        for ((_, agent_thread), latencies) in keys.iter().zip(&mut latencies) {
            let (begun, mut count) = (Instant::now(), 0_u32);
            while begun.elapsed() < SPAN {
                check_session(&agent_thread.resolve(claimer()?).await?.resolution)?;
                count += 1;
            }
            latencies.resolve.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(count));
            let begun = Instant::now();
            for _ in 0..RUNS {
                let run = agent_thread.begin(agent_thread.run(claimer()?)?).await?;
                check_session(&run.resolution)?;
                agent_thread.confirm(run.attempt, RunReport::default()).await?;
            }
            latencies.run.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(RUNS));
        }
    }
    for (size, latencies) in sizes.iter().zip(&latencies) {
        figure(format_args!("sessions.resolve_at.{size}"), median(&latencies.resolve), "us");
        figure(format_args!("sessions.begin_and_confirm_at.{size}"), median(&latencies.run), "us");
    }
    let [few, many] = &latencies;
    figure("sessions.resolve_growth", ratio(&many.resolve, &few.resolve), "x");
    figure("sessions.begin_and_confirm_growth", ratio(&many.run, &few.run), "x");
    for (db, _) in keys {
        db.close().await?;
    }
    Ok(())
}

fn check_session(resolution: &Resolution) -> Result<(), Failure> {
    let session = resolution.session.as_ref().ok_or("there is nothing to resume")?;
    if session.as_str().starts_with('s') { Ok(()) } else { Err("it is another session".into()) }
}

/// Writes `attempts` runs; every tenth has a new session.
async fn fill_history(db: &Persistence, agent_thread: &AgentThread, attempts: usize) -> Result<(), Failure> {
    for first in (0..attempts).step_by(BATCH) {
        let mut batch = Batch::new();
        for number in first..attempts.min(first + BATCH) {
            let run: BeginRun = agent_thread.run(claimer()?)?;
            let report = RunReport::of(format!("s{}", number / 10).parse()?);
            let confirm: ConfirmRun = agent_thread.confirmation(run.attempt.clone(), report)?;
            batch = batch.with(SessionArgs::Begin(run)).with(SessionArgs::Confirm(confirm));
        }
        db.batch(batch).await?;
    }
    Ok(())
}
