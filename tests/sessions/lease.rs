//! The lease of a run: the runner renews it during the run, and stops a run that lost it.

use std::time::Duration;

use throughline::{
    ErrorKind,
    runs::{RunError, RunSuccess, StopReason},
    sessions::{AttemptState, BeginRun},
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use crate::{
    faults::{Fault, faulty},
    support::{in_memory, laptop, offered, prepared, runner, states},
};

const LEASE: Duration = BeginRun::DEFAULT_LEASE;

#[tokio::test(start_paused = true)]
async fn a_long_run_keeps_its_lease() {
    let (db, faults) = faulty();
    let agent_thread = db.agent("g").on("a");
    let other = agent_thread.clone();
    prepared(&db, &agent_thread, laptop())
        .run(|run| {
            let other = other.clone();
            async move {
                sleep(LEASE * 10).await;
                // A begin without the runner is refused by the store.
                let begin = other.run(laptop()).unwrap();
                assert_eq!(other.begin(begin).await.unwrap_err().kind(), ErrorKind::Busy);
                assert_eq!(run.stop_reason(), None);
                run.pin_session("s1".parse().unwrap()).await?;
                Ok(RunSuccess::new(()))
            }
        })
        .await
        .unwrap();
    // There are three renewals per lease, and none after the end.
    let renewed = faults.seen("renewRun");
    assert!((29..=30).contains(&renewed), "{renewed} renewals");
    sleep(LEASE * 10).await;
    assert_eq!(faults.seen("renewRun"), renewed);
    assert_eq!(offered(&agent_thread, laptop()).await.as_deref(), Some("s1"));
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_lease_cannot_be_renewed_is_stopped_before_it_expires() {
    let (db, faults) = faulty();
    let agent_thread = db.agent("g").on("a");
    let (stop_sender, stop_receiver) = oneshot::channel();
    let mut stop_sender = Some(stop_sender);
    faults.next("renewRun", usize::MAX, Fault::NeverArrived);
    let begun = Instant::now();
    let error = prepared(&db, &agent_thread, laptop())
        .run(|run| {
            let stop_sender = stop_sender.take().unwrap();
            async move {
                run.pin_session("s1".parse().unwrap()).await?;
                stop_sender.send((run.stop_requested().await, begun.elapsed())).unwrap();
                // The run ignores the stop, so the runner drops it.
                std::future::pending::<()>().await;
                Ok(RunSuccess::new(()))
            }
        })
        .await
        .unwrap_err();
    let RunError::Stopped { reason, record_error, .. } = error else { panic!("{error}") };
    assert_eq!((reason, record_error.is_none()), (StopReason::LeaseLost, true));
    // The runner stops the run when a sixth of the lease is left, and drops it when the lease expires.
    let (reason, at) = stop_receiver.await.unwrap();
    assert_eq!((reason, at.as_millis()), (StopReason::LeaseLost, LEASE.as_millis() * 5 / 6));
    assert_eq!(begun.elapsed().as_millis(), LEASE.as_millis());
    // The pinned session is kept.
    assert_eq!(states(&agent_thread).await, [AttemptState::Cancelled]);
    assert_eq!(offered(&agent_thread, laptop()).await.as_deref(), Some("s1"));
}

#[tokio::test(start_paused = true)]
async fn a_lease_survives_a_short_outage() {
    let (db, faults) = faulty();
    let agent_thread = db.agent("g").on("a");
    faults.next("renewRun", 5, Fault::NeverArrived);
    let ran = prepared(&db, &agent_thread, laptop())
        .run(|run| async move {
            sleep(LEASE * 3).await;
            assert_eq!(run.stop_reason(), None);
            Ok(RunSuccess::new(()))
        })
        .await;
    ran.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_lease_another_process_took_moves_no_pointer() {
    let (db, faults) = faulty();
    let agent_thread = db.agent("g").on("a");
    let other = agent_thread.clone();
    let error = prepared(&db, &agent_thread, laptop())
        .run(|run| {
            let (other, faults) = (other.clone(), faults.clone());
            async move {
                run.pin_session("slow".parse().unwrap()).await?;
                // This process is suspended for longer than the lease, and another process begins a run.
                faults.next("renewRun", 2, Fault::NeverArrived);
                tokio::time::advance(LEASE + Duration::from_secs(1)).await;
                let begun = other.begin(other.run(laptop()).unwrap()).await.unwrap();
                assert_eq!(begun.resolution.session.unwrap().as_str(), "slow");
                let report = throughline::sessions::RunReport::of("quick".parse().unwrap());
                other.confirm(begun.attempt, report).await.unwrap();
                Ok(RunSuccess::new("late"))
            }
        })
        .await
        .unwrap_err();
    let RunError::Stopped { reason, output, record_error, .. } = error else { panic!("{error}") };
    assert_eq!((reason, output), (StopReason::LeaseLost, Some("late")));
    assert_eq!(record_error.unwrap().kind(), ErrorKind::Stale);
    assert_eq!(states(&agent_thread).await, [AttemptState::Lapsed, AttemptState::Completed]);
    assert_eq!(offered(&agent_thread, laptop()).await.as_deref(), Some("quick"));
}

#[tokio::test(start_paused = true)]
async fn a_run_during_which_a_reset_occurs_is_stopped_with_a_grace_period() {
    let db = in_memory();
    let agent_thread = db.agent("g").on("a");
    let begun = Instant::now();
    let reset = agent_thread.clone();
    let error = runner(&db)
        .with_grace(Duration::from_secs(7))
        .prepare(agent_thread.run(laptop()).unwrap())
        .run(|run| {
            let reset = reset.clone();
            async move {
                reset.reset().await.unwrap();
                assert_eq!(run.stop_requested().await, StopReason::Superseded);
                std::future::pending::<()>().await;
                Ok(RunSuccess::new(()))
            }
        })
        .await
        .unwrap_err();
    assert!(
        matches!(error, RunError::Stopped { reason: StopReason::Superseded, record_error: None, .. }),
        "{error}"
    );
    assert_eq!(begun.elapsed(), LEASE / 3 + Duration::from_secs(7));
    assert_eq!(states(&agent_thread).await, [AttemptState::Cancelled]);
}
