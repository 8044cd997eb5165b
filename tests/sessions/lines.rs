//! Who waits for whom (TC-S10).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use throughline::{
    Effect, ErrorKind, Site,
    sessions::{AttemptState, Failure, Finished, RunError, RunFailure, RunReport},
};
use tokio::{
    sync::{Barrier, Notify},
    time::{Instant, sleep},
};

use crate::support::{Provider, in_memory, laptop, prepared, runner, states, stores};

#[tokio::test]
async fn tc_s10_eight_first_messages_make_one_session() {
    for db in stores().await {
        let (provider, place) = (Provider::default(), db.agent("g").on("a"));
        let at_once = Arc::new(AtomicUsize::new(0));
        let runs: Vec<_> = (0..8)
            .map(|_| {
                let (db, place, provider, at_once) =
                    (db.clone(), place.clone(), provider.clone(), at_once.clone());
                tokio::spawn(async move {
                    prepared(&db, &place, laptop())
                        .run(|run| {
                            let (provider, at_once) = (provider.clone(), at_once.clone());
                            async move {
                                assert_eq!(at_once.fetch_add(1, Ordering::SeqCst), 0);
                                let done = provider.work(run).await;
                                tokio::task::yield_now().await;
                                at_once.fetch_sub(1, Ordering::SeqCst);
                                done
                            }
                        })
                        .await
                        .unwrap()
                        .output
                })
            })
            .collect();
        for run in runs {
            assert_eq!(run.await.unwrap(), "s1");
        }
        assert_eq!((provider.begun(), provider.calls()), (1, 8));
        assert_eq!(states(&place).await, [AttemptState::Completed; 8]);
    }
}

#[tokio::test]
async fn tc_s10_other_threads_agents_and_tenants_wait_for_nobody() {
    for db in stores().await {
        // Each is at work until all of them are.
        let all = Arc::new(Barrier::new(4));
        let other = db.for_tenant("other".parse().unwrap());
        let places = [
            (db.clone(), db.agent("g").on("a")),
            (db.clone(), db.agent("g").on("b")),
            (db.clone(), db.agent("h").on("a")),
            (other.clone(), other.agent("g").on("a")),
        ];
        let runs: Vec<_> = places
            .into_iter()
            .map(|(db, place)| {
                let all = all.clone();
                tokio::spawn(async move {
                    let ran = prepared(&db, &place, laptop()).run(|_| async {
                        all.wait().await;
                        Ok(Finished::new(()))
                    });
                    ran.await.unwrap();
                })
            })
            .collect();
        for run in runs {
            run.await.unwrap();
        }
    }
}

#[tokio::test]
async fn runs_begin_in_the_order_in_which_they_came_whoever_made_their_runner() {
    for db in stores().await {
        let place = db.agent("g").on("a");
        let order = std::sync::Mutex::new(Vec::new());
        let (begun, go_on) = (Notify::new(), Notify::new());
        let first = prepared(&db, &place, laptop()).run(|_| async {
            begun.notify_one();
            go_on.notified().await;
            order.lock().unwrap().push(0);
            Ok(Finished::new(()))
        });
        let later = |number: usize| {
            let order = &order;
            // A handle of its own, and a runner of its own.
            prepared(&db.with_actor("later"), &place, laptop()).run(move |_| async move {
                order.lock().unwrap().push(number);
                if number == 2 {
                    return Err(RunFailure::new(Failure::Network));
                }
                Ok(Finished::new(()))
            })
        };
        let let_go = async {
            begun.notified().await;
            let all = async { tokio::join!(biased; later(1), later(2), later(3)) };
            let go = async {
                tokio::task::yield_now().await;
                go_on.notify_one();
            };
            tokio::join!(biased; all, go).0
        };
        let (first, (second, third, fourth)) = tokio::join!(first, let_go);
        assert!(first.is_ok() && second.is_ok() && third.is_err() && fourth.is_ok());
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_has_a_limit_and_can_be_given_up() {
    let db = in_memory();
    let place = db.agent("g").on("a");
    let (begun, go_on) = (Notify::new(), Notify::new());
    let first = prepared(&db, &place, laptop()).run(|_| async {
        begun.notify_one();
        go_on.notified().await;
        Ok(Finished::new(()))
    });
    let later = async {
        begun.notified().await;
        let at = Instant::now();
        let limited = runner(&db).waiting(Duration::from_secs(90));
        let never = |_| {
            not_to_be_called();
            std::future::ready(Ok(Finished::new(())))
        };
        let error = limited.prepare(place.run(laptop()).unwrap()).run(never).await.unwrap_err();
        let RunError::NotBegun(error) = error else { panic!("{error}") };
        assert_eq!((error.kind(), at.elapsed()), (ErrorKind::Busy, Duration::from_secs(90)));
        assert_eq!((error.effect(), error.site()), (Effect::NotApplied, Some(&Site::Edge)));
        let asked = limited.prepare(place.run(laptop()).unwrap()).until(sleep(Duration::from_secs(1)));
        let RunError::NotBegun(error) = asked.run(never).await.unwrap_err() else { panic!("it began") };
        assert_eq!((error.kind(), at.elapsed()), (ErrorKind::Cancelled, Duration::from_secs(91)));
        assert_eq!((error.effect(), error.site()), (Effect::NotApplied, Some(&Site::Edge)));
        go_on.notify_one();
    };
    let (first, ()) = tokio::join!(first, later);
    first.unwrap();
    assert_eq!(states(&place).await, [AttemptState::Completed]);
}

fn not_to_be_called() {
    panic!("it is not to be called");
}

#[tokio::test(start_paused = true)]
async fn a_run_of_another_process_is_waited_for_too() {
    let db = in_memory();
    let (provider, place) = (Provider::default(), db.agent("g").on("a"));
    // Begun by hand, it stands in no line of this process.
    let begun = place.begin(place.run(laptop()).unwrap()).await.unwrap();
    let at = Instant::now();
    let limited = runner(&db).waiting(Duration::from_secs(5));
    let busy = limited.prepare(place.run(laptop()).unwrap()).run(|run| provider.work(run)).await;
    let RunError::NotBegun(error) = busy.unwrap_err() else { panic!("it began") };
    assert_eq!((error.kind(), at.elapsed()), (ErrorKind::Busy, Duration::from_secs(5)));
    let end = async {
        sleep(Duration::from_secs(2)).await;
        let report = RunReport::of("theirs".parse().unwrap());
        place.confirm(begun.attempt.clone(), report).await.unwrap();
    };
    let ran = prepared(&db, &place, laptop())
        .run(async |run| Ok(Finished::new(run.session().map(ToString::to_string))));
    let (ran, ()) = tokio::join!(ran, end);
    assert_eq!(ran.unwrap().output.as_deref(), Some("theirs"));
    // One that died is waited for until its lease has ended.
    let at = Instant::now();
    place.begin(place.run(laptop()).unwrap()).await.unwrap();
    prepared(&db, &place, laptop()).run(async |_| Ok(Finished::new(()))).await.unwrap();
    let waited = at.elapsed();
    let lease = throughline::sessions::BeginRun::DEFAULT_LEASE;
    assert!((lease..lease + Duration::from_millis(500)).contains(&waited), "{waited:?}");
}
