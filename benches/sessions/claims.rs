//! Eight claimers of one key at once: by hand one wins and the others are told so, through the runner each has its turn.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use throughline::{
    ErrorKind, Persistence,
    sessions::{Finished, RunReport, SessionRunner},
};
use tokio::sync::Barrier;

use crate::{
    Failure, claimer,
    figures::{figure, median},
    open,
};

const CLAIMERS: usize = 8;

/// Two handles on one file, as two processes have, so that it is not a lock of this one that decides.
pub(crate) async fn one_wins(folder: &Path, rounds: usize) -> Result<(), Failure> {
    let handles = [open(folder, "claims").await?, open(folder, "claims").await?];
    let (mut claimed, mut served) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        claimed.push(by_hand(&handles, &format!("hand-{round}")).await?);
        served.push(through_a_runner(&handles[0], &format!("runner-{round}")).await?);
    }
    figure(format_args!("sessions.one_of.{CLAIMERS}"), median(&claimed), "us");
    figure(format_args!("sessions.all_of.{CLAIMERS}_in_turn"), median(&served), "us");
    for db in handles {
        db.close().await?;
    }
    Ok(())
}

/// What it takes until one has begun and the others know it, in microseconds.
async fn by_hand(handles: &[Persistence; 2], thread: &str) -> Result<f64, Failure> {
    let at_once = Arc::new(Barrier::new(CLAIMERS + 1));
    let mut claims = Vec::new();
    for number in 0..CLAIMERS {
        let place = handles[number % 2].agent("bench").on(thread);
        let (begin, at_once) = (place.run(claimer()?)?, at_once.clone());
        claims.push(tokio::spawn(async move {
            at_once.wait().await;
            place.begin(begin).await
        }));
    }
    at_once.wait().await;
    let begun = Instant::now();
    let mut winners = Vec::new();
    for claim in claims {
        match claim.await? {
            Ok(run) => winners.push(run.attempt),
            Err(error) if error.kind() == ErrorKind::Busy => {}
            Err(error) => return Err(error.into()),
        }
    }
    let took = begun.elapsed().as_secs_f64() * 1e6;
    let [winner] = <[_; 1]>::try_from(winners).map_err(|winners| format!("{} have won", winners.len()))?;
    let place = handles[0].agent("bench").on(thread);
    place.confirm(winner, RunReport::of("s".parse()?)).await?;
    Ok(took)
}

/// What it takes until each of them has begun, confirmed and ended its run, in microseconds.
async fn through_a_runner(db: &Persistence, thread: &str) -> Result<f64, Failure> {
    let runner = SessionRunner::new(db.clone());
    let at_work = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let mut runs = Vec::new();
    for _ in 0..CLAIMERS {
        let begin = db.agent("bench").on(thread).run(claimer()?)?;
        let (runner, at_work) = (runner.clone(), at_work.clone());
        runs.push(tokio::spawn(async move {
            let ran = runner.prepare(begin).run(|run| {
                let at_work = &at_work;
                async move {
                    let others = at_work.fetch_add(1, Ordering::SeqCst);
                    if run.session().is_none() {
                        run.learned("s".parse()?).await?;
                    }
                    at_work.fetch_sub(1, Ordering::SeqCst);
                    Ok(Finished::new((others, run.session().is_none())))
                }
            });
            ran.await.map(|ran| ran.output).map_err(|error| error.to_string())
        }));
    }
    let mut fresh = 0;
    for run in runs {
        let (others, is_fresh) = run.await??;
        if others > 0 {
            return Err("two were at work at once".into());
        }
        fresh += usize::from(is_fresh);
    }
    if fresh == 1 {
        return Ok(begun.elapsed().as_secs_f64() * 1e6);
    }
    Err(format!("{fresh} have begun a session").into())
}
