//! The lease of a run: kept while it runs, however long, and told where it is lost.

use std::time::Duration;

use throughline::{
    ErrorKind,
    sessions::{AttemptState, BeginRun, Finished, RunError, Stop},
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
    let place = db.agent("g").on("a");
    let other = place.clone();
    prepared(&db, &place, laptop())
        .run(|run| {
            let other = other.clone();
            async move {
                sleep(LEASE * 10).await;
                // Who does not stand in the line is refused by the store.
                let begin = other.run(laptop()).unwrap();
                assert_eq!(other.begin(begin).await.unwrap_err().kind(), ErrorKind::Busy);
                assert_eq!(run.stop(), None);
                run.learned("s1".parse().unwrap()).await?;
                Ok(Finished::new(()))
            }
        })
        .await
        .unwrap();
    // Three for each lease, and nothing in between or afterwards.
    let renewed = faults.seen("renewRun");
    assert!((29..=30).contains(&renewed), "{renewed} renewals");
    sleep(LEASE * 10).await;
    assert_eq!(faults.seen("renewRun"), renewed);
    assert_eq!(offered(&place, laptop()).await.as_deref(), Some("s1"));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_renewed_is_lost_in_time() {
    let (db, faults) = faulty();
    let place = db.agent("g").on("a");
    let (told, was_told) = oneshot::channel();
    let mut told = Some(told);
    faults.next("renewRun", usize::MAX, Fault::NeverArrived);
    let begun = Instant::now();
    let error = prepared(&db, &place, laptop())
        .run(|run| {
            let told = told.take().unwrap();
            async move {
                run.learned("s1".parse().unwrap()).await?;
                told.send((run.stopped().await, begun.elapsed())).unwrap();
                // It does not stop: it is dropped.
                std::future::pending::<()>().await;
                Ok(Finished::new(()))
            }
        })
        .await
        .unwrap_err();
    let RunError::Stopped { why, unrecorded, .. } = error else { panic!("{error}") };
    assert_eq!((why, unrecorded.is_none()), (Stop::LeaseLost, true));
    // Told when a sixth of the lease is left, and over when it is.
    let (why, at) = was_told.await.unwrap();
    assert_eq!((why, at.as_millis()), (Stop::LeaseLost, LEASE.as_millis() * 5 / 6));
    assert_eq!(begun.elapsed().as_millis(), LEASE.as_millis());
    // What it had learned is gone on with.
    assert_eq!(states(&place).await, [AttemptState::Cancelled]);
    assert_eq!(offered(&place, laptop()).await.as_deref(), Some("s1"));
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_kept_through_a_short_outage() {
    let (db, faults) = faulty();
    let place = db.agent("g").on("a");
    faults.next("renewRun", 5, Fault::NeverArrived);
    let ran = prepared(&db, &place, laptop())
        .run(|run| async move {
            sleep(LEASE * 3).await;
            assert_eq!(run.stop(), None);
            Ok(Finished::new(()))
        })
        .await;
    ran.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_place_was_taken_is_dropped_at_once_and_moves_nothing() {
    let (db, faults) = faulty();
    let place = db.agent("g").on("a");
    let other = place.clone();
    let error = prepared(&db, &place, laptop())
        .run(|run| {
            let (other, faults) = (other.clone(), faults.clone());
            async move {
                run.learned("slow".parse().unwrap()).await?;
                // This process stands still for longer than the lease, and another one comes along.
                faults.next("renewRun", 2, Fault::NeverArrived);
                tokio::time::advance(LEASE + Duration::from_secs(1)).await;
                let begun = other.begin(other.run(laptop()).unwrap()).await.unwrap();
                assert_eq!(begun.resolution.session.unwrap().as_str(), "slow");
                let report = throughline::sessions::RunReport::of("quick".parse().unwrap());
                other.confirm(begun.attempt, report).await.unwrap();
                Ok(Finished::new("late"))
            }
        })
        .await
        .unwrap_err();
    let RunError::Stopped { why, output, unrecorded, .. } = error else { panic!("{error}") };
    assert_eq!((why, output), (Stop::LeaseLost, Some("late")));
    assert_eq!(unrecorded.unwrap().kind(), ErrorKind::Stale);
    assert_eq!(states(&place).await, [AttemptState::Lapsed, AttemptState::Completed]);
    assert_eq!(offered(&place, laptop()).await.as_deref(), Some("quick"));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_overtaken_by_a_reset_is_told_and_has_its_time() {
    let db = in_memory();
    let place = db.agent("g").on("a");
    let begun = Instant::now();
    let reset = place.clone();
    let error = runner(&db)
        .with_grace(Duration::from_secs(7))
        .prepare(place.run(laptop()).unwrap())
        .run(|run| {
            let reset = reset.clone();
            async move {
                reset.reset().await.unwrap();
                assert_eq!(run.stopped().await, Stop::Superseded);
                std::future::pending::<()>().await;
                Ok(Finished::new(()))
            }
        })
        .await
        .unwrap_err();
    assert!(matches!(error, RunError::Stopped { why: Stop::Superseded, unrecorded: None, .. }), "{error}");
    assert_eq!(begun.elapsed(), LEASE / 3 + Duration::from_secs(7));
    assert_eq!(states(&place).await, [AttemptState::Cancelled]);
}
