//! Eight claimers claim one key at once. Without a runner, one begins and the others are refused; with a runner, they
//! run in turn.

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
    runs::{RunSuccess, SessionRunner},
    sessions::RunReport,
};
use tokio::sync::Barrier;

use crate::{
    Failure, claimer,
    figures::{figure, median},
    open,
};

const CLAIMERS: usize = 8;

/// Two handles on one file, as in two processes, so that no lock inside a process decides.
pub(crate) async fn one_wins(folder: &Path, rounds: usize) -> Result<(), Failure> {
    let handles = [open(folder, "claims").await?, open(folder, "claims").await?];
    let (mut claimed, mut served) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        claimed.push(measure_claims(&handles, &format!("hand-{round}")).await?);
        served.push(measure_runner(&handles[0], &format!("runner-{round}")).await?);
    }
    figure(format_args!("sessions.one_of.{CLAIMERS}"), median(&claimed), "us");
    figure(format_args!("sessions.all_of.{CLAIMERS}_in_turn"), median(&served), "us");
    for db in handles {
        db.close().await?;
    }
    Ok(())
}

/// Measures the time until one claimer has begun and the others are refused, in microseconds.
async fn measure_claims(handles: &[Persistence; 2], thread: &str) -> Result<f64, Failure> {
    let at_once = Arc::new(Barrier::new(CLAIMERS + 1));
    let mut claims = Vec::new();
    for number in 0..CLAIMERS {
        let agent_thread = handles[number % 2].agent("bench").on(thread);
        let (begin, at_once) = (agent_thread.run(claimer()?)?, at_once.clone());
        claims.push(tokio::spawn(async move {
            at_once.wait().await;
            agent_thread.begin(begin).await
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
    let agent_thread = handles[0].agent("bench").on(thread);
    agent_thread.confirm(winner, RunReport::of("s".parse()?)).await?;
    Ok(took)
}

/// Measures the time until each claimer has begun, confirmed and ended its run, in microseconds.
async fn measure_runner(db: &Persistence, thread: &str) -> Result<f64, Failure> {
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
                        run.pin_session("s".parse()?).await?;
                    }
                    at_work.fetch_sub(1, Ordering::SeqCst);
                    Ok(RunSuccess::new((others, run.session().is_none())))
                }
            });
            ran.await.map(|ran| ran.output).map_err(|error| error.to_string())
        }));
    }
    let mut fresh = 0;
    for run in runs {
        let (others, is_fresh) = run.await??;
        if others > 0 {
            return Err("two runs overlapped".into());
        }
        fresh += usize::from(is_fresh);
    }
    if fresh == 1 {
        return Ok(begun.elapsed().as_secs_f64() * 1e6);
    }
    Err(format!("{fresh} runs began a session").into())
}
