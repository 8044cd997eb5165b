//! The order and the independence of runs (TC-S10).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use throughline::{
    Effect, ErrorKind, Site,
    runs::{RunError, RunFailure, RunSuccess},
    sessions::{AttemptState, Failure, RunReport},
};
use tokio::{
    sync::{Barrier, Notify},
    time::{Instant, sleep},
};

use crate::support::{Provider, in_memory, laptop, prepared, runner, states, stores};

#[tokio::test]
async fn tc_s10_eight_concurrent_first_runs_create_one_session() {
    for db in stores().await {
        let (provider, agent_thread) = (Provider::default(), db.agent("g").on("a"));
        let concurrent = Arc::new(AtomicUsize::new(0));
        let runs: Vec<_> = (0..8)
            .map(|_| {
                let (db, agent_thread, provider, concurrent) =
                    (db.clone(), agent_thread.clone(), provider.clone(), concurrent.clone());
                tokio::spawn(async move {
                    prepared(&db, &agent_thread, laptop())
                        .run(|run| {
                            let (provider, concurrent) = (provider.clone(), concurrent.clone());
                            async move {
                                assert_eq!(concurrent.fetch_add(1, Ordering::SeqCst), 0);
                                let done = provider.work(run).await;
                                tokio::task::yield_now().await;
                                concurrent.fetch_sub(1, Ordering::SeqCst);
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
        assert_eq!(states(&agent_thread).await, [AttemptState::Completed; 8]);
    }
}

#[tokio::test]
async fn tc_s10_runs_of_other_threads_agents_and_tenants_are_concurrent() {
    for db in stores().await {
        // Each run works until all of them work.
        let all = Arc::new(Barrier::new(4));
        let other = db.for_tenant("other".parse().unwrap());
        let agent_threads = [
            (db.clone(), db.agent("g").on("a")),
            (db.clone(), db.agent("g").on("b")),
            (db.clone(), db.agent("h").on("a")),
            (other.clone(), other.agent("g").on("a")),
        ];
        let runs: Vec<_> = agent_threads
            .into_iter()
            .map(|(db, agent_thread)| {
                let all = all.clone();
                tokio::spawn(async move {
                    let ran = prepared(&db, &agent_thread, laptop()).run(|_| async {
                        all.wait().await;
                        Ok(RunSuccess::new(()))
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
async fn runs_of_several_runners_begin_in_arrival_order() {
    for db in stores().await {
        let agent_thread = db.agent("g").on("a");
        let order = std::sync::Mutex::new(Vec::new());
        let (begun, proceed) = (Notify::new(), Notify::new());
        let first = prepared(&db, &agent_thread, laptop()).run(|_| async {
            begun.notify_one();
            proceed.notified().await;
            order.lock().unwrap().push(0);
            Ok(RunSuccess::new(()))
        });
        let later = |number: usize| {
            let order = &order;
            // Each call has its own handle and its own runner.
            prepared(&db.with_actor("later"), &agent_thread, laptop()).run(move |_| async move {
                order.lock().unwrap().push(number);
                if number == 2 {
                    return Err(RunFailure::new(Failure::Network));
                }
                Ok(RunSuccess::new(()))
            })
        };
        let start_others = async {
            begun.notified().await;
            let all = async { tokio::join!(biased; later(1), later(2), later(3)) };
            let go = async {
                tokio::task::yield_now().await;
                proceed.notify_one();
            };
            tokio::join!(biased; all, go).0
        };
        let (first, (second, third, fourth)) = tokio::join!(first, start_others);
        assert!(first.is_ok() && second.is_ok() && third.is_err() && fourth.is_ok());
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_run_times_out_and_can_be_stopped() {
    let db = in_memory();
    let agent_thread = db.agent("g").on("a");
    let (begun, proceed) = (Notify::new(), Notify::new());
    let first = prepared(&db, &agent_thread, laptop()).run(|_| async {
        begun.notify_one();
        proceed.notified().await;
        Ok(RunSuccess::new(()))
    });
    let later = async {
        begun.notified().await;
        let at = Instant::now();
        let limited = runner(&db).with_wait(Duration::from_secs(90));
        let never = |_| {
            fail_if_called();
            std::future::ready(Ok(RunSuccess::new(())))
        };
        let error = limited.prepare(agent_thread.run(laptop()).unwrap()).run(never).await.unwrap_err();
        let RunError::NotBegun(error) = error else { panic!("{error}") };
        assert_eq!((error.kind(), at.elapsed()), (ErrorKind::Busy, Duration::from_secs(90)));
        assert_eq!((error.effect(), error.site()), (Effect::NotApplied, Some(&Site::Edge)));
        let asked = limited.prepare(agent_thread.run(laptop()).unwrap()).until(sleep(Duration::from_secs(1)));
        let RunError::NotBegun(error) = asked.run(never).await.unwrap_err() else { panic!("the run began") };
        assert_eq!((error.kind(), at.elapsed()), (ErrorKind::Cancelled, Duration::from_secs(91)));
        assert_eq!((error.effect(), error.site()), (Effect::NotApplied, Some(&Site::Edge)));
        proceed.notify_one();
    };
    let (first, ()) = tokio::join!(first, later);
    first.unwrap();
    assert_eq!(states(&agent_thread).await, [AttemptState::Completed]);
}

fn fail_if_called() {
    panic!("this run must not begin");
}

#[tokio::test(start_paused = true)]
async fn a_runner_waits_for_a_run_of_another_process() {
    let db = in_memory();
    let (provider, agent_thread) = (Provider::default(), db.agent("g").on("a"));
    // This run begins without a runner, so it is not in the queue of this process.
    let begun = agent_thread.begin(agent_thread.run(laptop()).unwrap()).await.unwrap();
    let at = Instant::now();
    let limited = runner(&db).with_wait(Duration::from_secs(5));
    let busy = limited.prepare(agent_thread.run(laptop()).unwrap()).run(|run| provider.work(run)).await;
    let RunError::NotBegun(error) = busy.unwrap_err() else { panic!("the run began") };
    assert_eq!((error.kind(), at.elapsed()), (ErrorKind::Busy, Duration::from_secs(5)));
    let end = async {
        sleep(Duration::from_secs(2)).await;
        let report = RunReport::of("other".parse().unwrap());
        agent_thread.confirm(begun.attempt.clone(), report).await.unwrap();
    };
    let ran = prepared(&db, &agent_thread, laptop())
        .run(async |run| Ok(RunSuccess::new(run.session().map(ToString::to_string))));
    let (ran, ()) = tokio::join!(ran, end);
    assert_eq!(ran.unwrap().output.as_deref(), Some("other"));
    // The runner waits for a dead run until its lease expires.
    let at = Instant::now();
    agent_thread.begin(agent_thread.run(laptop()).unwrap()).await.unwrap();
    prepared(&db, &agent_thread, laptop()).run(async |_| Ok(RunSuccess::new(()))).await.unwrap();
    let waited = at.elapsed();
    let lease = throughline::sessions::BeginRun::DEFAULT_LEASE;
    assert!((lease..lease + Duration::from_millis(500)).contains(&waited), "{waited:?}");
}
