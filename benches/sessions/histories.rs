//! One key with few runs behind it, and one with many: a claim reads a few rows of either.

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

/// How long each is read in its turn.
const SPAN: Duration = Duration::from_millis(40);

/// So many runs are written in one commit, and begun and confirmed in a turn.
const BATCH: usize = 100;
const TURN: u32 = 20;

/// What was measured of one history in each round, in microseconds.
#[derive(Default)]
struct Took {
    resolve: Vec<f64>,
    run: Vec<f64>,
}

pub(crate) async fn compare(folder: &Path, attempts: usize, rounds: usize) -> Result<(), Failure> {
    let sizes = [attempts.min(100), attempts];
    let mut keys = Vec::new();
    for size in sizes {
        let db = open(folder, &format!("history-{size}")).await?;
        let place = db.agent("bench").on("t");
        filled(&db, &place, size).await?;
        keys.push((db, place));
    }
    let mut took = [Took::default(), Took::default()];
    for _ in 0..rounds {
        for ((_, place), took) in keys.iter().zip(&mut took) {
            let (begun, mut count) = (Instant::now(), 0_u32);
            while begun.elapsed() < SPAN {
                found(&place.resolve(claimer()?).await?.resolution)?;
                count += 1;
            }
            took.resolve.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(count));
            let begun = Instant::now();
            for _ in 0..TURN {
                let run = place.begin(place.run(claimer()?)?).await?;
                found(&run.resolution)?;
                place.confirm(run.attempt, RunReport::default()).await?;
            }
            took.run.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(TURN));
        }
    }
    for (size, took) in sizes.iter().zip(&took) {
        figure(format_args!("sessions.resolve_at.{size}"), median(&took.resolve), "us");
        figure(format_args!("sessions.begin_and_confirm_at.{size}"), median(&took.run), "us");
    }
    let [few, many] = &took;
    figure("sessions.resolve_growth", ratio(&many.resolve, &few.resolve), "x");
    figure("sessions.begin_and_confirm_growth", ratio(&many.run, &few.run), "x");
    for (db, _) in keys {
        db.close().await?;
    }
    Ok(())
}

fn found(resolution: &Resolution) -> Result<(), Failure> {
    let session = resolution.session.as_ref().ok_or("there is nothing to resume")?;
    if session.as_str().starts_with('s') { Ok(()) } else { Err("it is another session".into()) }
}

/// So many runs, every tenth with a session of its own.
async fn filled(db: &Persistence, place: &AgentThread, attempts: usize) -> Result<(), Failure> {
    for first in (0..attempts).step_by(BATCH) {
        let mut batch = Batch::new();
        for number in first..attempts.min(first + BATCH) {
            let run: BeginRun = place.run(claimer()?)?;
            let report = RunReport::of(format!("s{}", number / 10).parse()?);
            let confirm: ConfirmRun = place.confirmation(run.attempt.clone(), report)?;
            batch = batch.with(SessionArgs::Begin(run)).with(SessionArgs::Confirm(confirm));
        }
        db.batch(batch).await?;
    }
    Ok(())
}
