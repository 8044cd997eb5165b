//! Runs that are stopped, dropped at any point, or whose begin is lost.

use std::{future::Future, pin::pin, task::Poll, time::Duration};

use throughline::{
    ErrorKind, NewMessage,
    messages::Add,
    runs::{RunError, RunSuccess, StopReason},
    sessions::AttemptState,
};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep},
};

use crate::{
    faults::{Fault, faulty},
    support::{Provider, in_memory, laptop, offered, prepared, run_once, runner, states, stores},
};

#[tokio::test(start_paused = true)]
async fn mu_s9_a_stopped_run_keeps_its_pinned_session() {
    let db = in_memory();
    let (provider, agent_thread) = (Provider::default(), db.agent("g").on("a"));
    run_once(&db, &agent_thread, laptop(), &provider).await;
    let (ask, asked) = oneshot::channel::<()>();
    let mut ask = Some(ask);
    let stopped = prepared(&db, &agent_thread, laptop())
        .until(async { drop(asked.await) })
        .run(|run| {
            let ask = ask.take().unwrap();
            async move {
                run.pin_session("s2".parse().unwrap()).await?;
                drop(ask);
                assert_eq!(run.stop_requested().await, StopReason::Requested);
                Err::<RunSuccess<()>, _>(throughline::runs::RunFailure::new(
                    throughline::sessions::Failure::Other,
                ))
            }
        })
        .await
        .unwrap_err();
    assert!(
        matches!(stopped, RunError::Stopped { reason: StopReason::Requested, record_error: None, .. }),
        "{stopped}"
    );
    assert_eq!(states(&agent_thread).await, [AttemptState::Completed, AttemptState::Cancelled]);
    assert_eq!(offered(&agent_thread, laptop()).await.as_deref(), Some("s2"));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ignores_a_stop_is_dropped_after_its_grace_period() {
    let db = in_memory();
    let agent_thread = db.agent("g").on("a");
    let begun = Instant::now();
    let error = runner(&db)
        .with_grace(Duration::from_secs(3))
        .prepare(agent_thread.run(laptop()).unwrap())
        .until(sleep(Duration::from_secs(10)))
        .run(|_| std::future::pending::<Result<RunSuccess<()>, _>>())
        .await
        .unwrap_err();
    assert!(matches!(error, RunError::Stopped { reason: StopReason::Requested, .. }), "{error}");
    assert_eq!(begun.elapsed(), Duration::from_secs(13));
    assert_eq!(states(&agent_thread).await, [AttemptState::Cancelled]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_completes_after_a_stop_is_confirmed() {
    let db = in_memory();
    let agent_thread = db.agent("g").on("a");
    let ran = prepared(&db, &agent_thread, laptop())
        .until(sleep(Duration::from_secs(1)))
        .run(|run| async move {
            run.stop_requested().await;
            run.pin_session("s1".parse().unwrap()).await?;
            Ok(RunSuccess::new(()))
        })
        .await;
    assert!(ran.unwrap().changed.moved);
}

#[tokio::test]
async fn a_dropped_run_returns_its_lease_and_keeps_its_pinned_session() {
    for db in stores().await {
        let agent_thread = db.agent("g").on("a");
        let pinned = Notify::new();
        let running = prepared(&db, &agent_thread, laptop()).run(|run| {
            let pinned = &pinned;
            async move {
                run.pin_session("s1".parse().unwrap()).await?;
                pinned.notify_one();
                std::future::pending::<Result<RunSuccess<()>, _>>().await
            }
        });
        tokio::select! {
            _ = running => unreachable!("the run never ends"),
            () = pinned.notified() => {}
        }
        // The drop returns the lease before the next run begins, so the next run does not wait for its expiry.
        let next = prepared(&db, &agent_thread, laptop())
            .run(async |run| Ok(RunSuccess::new(run.session().map(ToString::to_string))))
            .await
            .unwrap();
        assert_eq!(next.output.as_deref(), Some("s1"));
        assert_eq!(states(&agent_thread).await, [AttemptState::Cancelled, AttemptState::Completed]);
    }
}

/// Drops a run after each number of polls. The next run must begin, and no change may be partial.
#[tokio::test(start_paused = true)]
async fn a_run_can_be_dropped_at_any_await_without_a_partial_change() {
    let mut ends = std::collections::BTreeMap::new();
    for polls in 0..64 {
        let (db, _faults) = faulty();
        let agent_thread = db.agent("g").on("a");
        let done = {
            let mut running = pin!(prepared(&db, &agent_thread, laptop()).run(|run| async move {
                run.pin_session("s1".parse().unwrap()).await?;
                tokio::task::yield_now().await;
                let answer = NewMessage::assistant("hi").with_id("m".parse().unwrap());
                Ok(RunSuccess::new(()).with_write(Add::new("a".parse().unwrap(), answer)))
            }));
            let mut done = false;
            for _ in 0..polls {
                let polled = std::future::poll_fn(|cx| Poll::Ready(running.as_mut().poll(cx))).await;
                if polled.is_ready() {
                    done = true;
                    break;
                }
                tokio::task::yield_now().await;
            }
            done
        };
        let next = prepared(&db, &agent_thread, laptop())
            .run(async |run| Ok(RunSuccess::new(run.session().map(ToString::to_string))))
            .await
            .unwrap();
        let states = states(&agent_thread).await;
        let written = db.thread("a").get("m".parse().unwrap()).await.unwrap().is_some();
        match states.as_slice() {
            // The dropped run had not begun.
            [AttemptState::Completed] => assert_eq!((next.output, written, done), (None, false, false)),
            [AttemptState::Cancelled, AttemptState::Completed] => assert!(!written && !done),
            [AttemptState::Completed, AttemptState::Completed] => {
                assert_eq!((next.output.as_deref(), written), (Some("s1"), true));
            }
            other => panic!("after {polls} polls: {other:?}"),
        }
        *ends.entry(format!("{states:?}")).or_insert(0) += 1;
        if done {
            break;
        }
    }
    assert_eq!(
        ends.len(),
        3,
        "the drops must occur before the begin, in the middle, and at the end: {ends:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_begin_lost_its_answer_does_not_block_the_next_run() {
    let (db, faults) = faulty();
    let agent_thread = db.agent("g").on("a");
    faults.next("beginRun", 100, Fault::AnswerLost);
    let error =
        prepared(&db, &agent_thread, laptop()).run(async |_| Ok(RunSuccess::new(()))).await.unwrap_err();
    let RunError::NotBegun(error) = error else { panic!("{error}") };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    faults.next("beginRun", 0, Fault::AnswerLost);
    let before = Instant::now();
    prepared(&db, &agent_thread, laptop()).run(async |_| Ok(RunSuccess::new(()))).await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    assert_eq!(states(&agent_thread).await, [AttemptState::Cancelled, AttemptState::Completed]);
}
