//! A run that is left: asked to stop, dropped at any point, cut off from its runtime.

use std::{future::Future, pin::pin, task::Poll, time::Duration};

use throughline::{
    ErrorKind, NewMessage,
    messages::Add,
    sessions::{AttemptState, Finished, RunError, Stop},
};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep},
};

use crate::{
    faults::{Fault, faulty},
    support::{Provider, in_memory, laptop, offered, prepared, runner, states, stores, talk},
};

#[tokio::test(start_paused = true)]
async fn mu_s9_a_run_that_is_asked_to_stop_keeps_what_it_has_learned() {
    let db = in_memory();
    let (provider, place) = (Provider::default(), db.agent("g").on("a"));
    talk(&db, &place, laptop(), &provider).await;
    let (ask, asked) = oneshot::channel::<()>();
    let mut ask = Some(ask);
    let stopped = prepared(&db, &place, laptop())
        .until(async { drop(asked.await) })
        .run(|run| {
            let ask = ask.take().unwrap();
            async move {
                run.learned("s2".parse().unwrap()).await?;
                drop(ask);
                assert_eq!(run.stopped().await, Stop::Asked);
                Err::<Finished<()>, _>(throughline::sessions::RunFailure::new(
                    throughline::sessions::Failure::Other,
                ))
            }
        })
        .await
        .unwrap_err();
    assert!(matches!(stopped, RunError::Stopped { why: Stop::Asked, unrecorded: None, .. }), "{stopped}");
    assert_eq!(states(&place).await, [AttemptState::Completed, AttemptState::Cancelled]);
    assert_eq!(offered(&place, laptop()).await.as_deref(), Some("s2"));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_does_not_stop_is_dropped_when_its_time_is_up() {
    let db = in_memory();
    let place = db.agent("g").on("a");
    let begun = Instant::now();
    let error = runner(&db)
        .with_grace(Duration::from_secs(3))
        .prepare(place.run(laptop()).unwrap())
        .until(sleep(Duration::from_secs(10)))
        .run(|_| std::future::pending::<Result<Finished<()>, _>>())
        .await
        .unwrap_err();
    assert!(matches!(error, RunError::Stopped { why: Stop::Asked, .. }), "{error}");
    assert_eq!(begun.elapsed(), Duration::from_secs(13));
    assert_eq!(states(&place).await, [AttemptState::Cancelled]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_asked_to_stop_and_is_done_is_confirmed() {
    let db = in_memory();
    let place = db.agent("g").on("a");
    let ran = prepared(&db, &place, laptop())
        .until(sleep(Duration::from_secs(1)))
        .run(|run| async move {
            run.stopped().await;
            run.learned("s1".parse().unwrap()).await?;
            Ok(Finished::new(()))
        })
        .await;
    assert!(ran.unwrap().changed.moved);
}

#[tokio::test]
async fn a_run_that_is_dropped_lets_the_next_one_begin_and_keeps_what_it_has_learned() {
    for db in stores().await {
        let place = db.agent("g").on("a");
        let learned = Notify::new();
        let running = prepared(&db, &place, laptop()).run(|run| {
            let learned = &learned;
            async move {
                run.learned("s1".parse().unwrap()).await?;
                learned.notify_one();
                std::future::pending::<Result<Finished<()>, _>>().await
            }
        });
        tokio::select! {
            _ = running => unreachable!("it never ends"),
            () = learned.notified() => {}
        }
        // No lease has to run out: the drop has given it back before the next one is let in.
        let next = prepared(&db, &place, laptop())
            .run(async |run| Ok(Finished::new(run.session().map(ToString::to_string))))
            .await
            .unwrap();
        assert_eq!(next.output.as_deref(), Some("s1"));
        assert_eq!(states(&place).await, [AttemptState::Cancelled, AttemptState::Completed]);
    }
}

/// Drops a run after each number of polls: whatever it was doing, the next one begins, and nothing is half done.
#[tokio::test(start_paused = true)]
async fn a_run_can_be_dropped_anywhere() {
    let mut ends = std::collections::BTreeMap::new();
    for polls in 0..64 {
        let (db, _faults) = faulty();
        let place = db.agent("g").on("a");
        let done = {
            let mut running = pin!(prepared(&db, &place, laptop()).run(|run| async move {
                run.learned("s1".parse().unwrap()).await?;
                tokio::task::yield_now().await;
                let answer = NewMessage::assistant("hi").with_id("m".parse().unwrap());
                Ok(Finished::new(()).writing(Add::new("a".parse().unwrap(), answer)))
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
        let next = prepared(&db, &place, laptop())
            .run(async |run| Ok(Finished::new(run.session().map(ToString::to_string))))
            .await
            .unwrap();
        let states = states(&place).await;
        let written = db.thread("a").get("m".parse().unwrap()).await.unwrap().is_some();
        match states.as_slice() {
            // It never began.
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
    assert_eq!(ends.len(), 3, "it was dropped before it began, in its midst, and at its end: {ends:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_beginning_was_lost_does_not_block_the_next() {
    let (db, faults) = faulty();
    let place = db.agent("g").on("a");
    faults.next("beginRun", 100, Fault::AnswerLost);
    let error = prepared(&db, &place, laptop()).run(async |_| Ok(Finished::new(()))).await.unwrap_err();
    let RunError::NotBegun(error) = error else { panic!("{error}") };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    faults.next("beginRun", 0, Fault::AnswerLost);
    let before = Instant::now();
    prepared(&db, &place, laptop()).run(async |_| Ok(Finished::new(()))).await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    assert_eq!(states(&place).await, [AttemptState::Cancelled, AttemptState::Completed]);
}
