//! The end of a run: its writes and its pointer are one commit, a failure classifies the session, and a refused session
//! is replaced once.

use throughline::{
    Effect, ErrorKind, NewMessage, PersistResult,
    messages::{Add, UpdateContent},
    runs::{RunError, RunFailure, RunSuccess},
    sessions::{AttemptState, Failure, RunReport, Withheld},
};

use crate::{
    faults::{Fault, faulty},
    support::{Provider, fails, history, laptop, offered, prepared, resolved, run_once, states, stores},
};

fn answer(id: &str, text: &str) -> Add {
    Add::new("a".parse().unwrap(), NewMessage::assistant(text).with_id(id.parse().unwrap()))
}

#[tokio::test]
async fn mu_s6_the_writes_of_a_run_and_its_pointer_are_one_commit() {
    for db in stores().await {
        let agent_thread = db.agent("g").on("a");
        let ran = prepared(&db, &agent_thread, laptop())
            .run(|run| async move {
                run.pin_session("s1".parse().unwrap()).await?;
                Ok(RunSuccess::new(()).with_write(answer("m1", "one")).with_write(answer("m2", "two")))
            })
            .await
            .unwrap();
        let ids: Vec<_> = ran
            .written
            .iter()
            .map(|written| match written {
                PersistResult::Add(added) => added.message.id.to_string(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(ids, ["m1", "m2"]);
        assert!(ran.changed.moved);
        // One of the writes is refused, so neither write nor the pointer is stored.
        let refused = prepared(&db, &agent_thread, laptop())
            .run(|run| async move {
                run.pin_session("s2".parse().unwrap()).await?;
                Ok(RunSuccess::new("kept")
                    .with_write(answer("m3", "three"))
                    .with_write(answer("m1", "again")))
            })
            .await
            .unwrap_err();
        assert_eq!(refused.effect(), Effect::NotApplied);
        let RunError::NotConfirmed { output, error, .. } = refused else { panic!("{refused}") };
        assert_eq!((output, error.kind(), error.batch_index()), ("kept", ErrorKind::AlreadyExists, Some(1)));
        assert!(db.thread("a").get("m3".parse().unwrap()).await.unwrap().is_none());
        assert_eq!(
            states(&agent_thread).await,
            [AttemptState::Completed, AttemptState::Failed(Failure::Other)]
        );
        // The failed write of the host does not affect the session of the provider.
        assert_eq!(offered(&agent_thread, laptop()).await.as_deref(), Some("s2"));
    }
}

#[tokio::test]
async fn a_stale_write_of_the_host_is_reported_as_the_failed_batch_item() {
    for db in stores().await {
        let agent_thread = db.agent("g").on("a");
        let message = db.thread("a").add(NewMessage::user("hi")).await.unwrap().message;
        let edit = UpdateContent::new(
            "a".parse().unwrap(),
            message.id,
            throughline::messages::ContentChange::Replace(throughline::Content::text("x")),
            throughline::messages::UpdateMode::Edit,
        )
        .expecting(throughline::Revision::new(99));
        let refused = prepared(&db, &agent_thread, laptop())
            .run(|_| {
                let edit = edit.clone();
                async move { Ok(RunSuccess::new(()).with_write(edit)) }
            })
            .await
            .unwrap_err();
        let RunError::NotConfirmed { error, .. } = refused else { panic!("{refused}") };
        assert_eq!((error.kind(), error.batch_index()), (ErrorKind::Stale, Some(0)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_whose_answer_is_lost_is_applied_once() {
    let (db, faults) = faulty();
    let agent_thread = db.agent("g").on("a");
    for (fault, message) in [(Fault::AnswerLost, "m1"), (Fault::NeverArrived, "m2")] {
        faults.next("beginRun", 2, fault);
        faults.next("pinSession", 2, fault);
        faults.next("confirmRun", 2, fault);
        let ran = prepared(&db, &agent_thread, laptop())
            .run(|run| async move {
                run.pin_session("s1".parse().unwrap()).await?;
                Ok(RunSuccess::new(()).with_write(answer(message, "once")))
            })
            .await
            .unwrap();
        assert_eq!(ran.written.len(), 1);
    }
    assert_eq!(states(&agent_thread).await, [AttemptState::Completed; 2]);
    assert_eq!(offered(&agent_thread, laptop()).await.as_deref(), Some("s1"));
}

#[tokio::test]
async fn a_panic_of_the_work_fails_the_run() {
    for db in stores().await {
        let (provider, agent_thread) = (Provider::default(), db.agent("g").on("a"));
        run_once(&db, &agent_thread, laptop(), &provider).await;
        let error = prepared(&db, &agent_thread, laptop())
            .run(|run| async move {
                if run.session().is_some() {
                    panic!("at {}", "work");
                }
                Ok(RunSuccess::new(()))
            })
            .await
            .unwrap_err();
        let RunError::Panicked { message, record_error, .. } = error else { panic!("{error}") };
        assert_eq!((message.as_str(), record_error.is_none()), ("it panicked: at work", true));
        let last = history(&agent_thread).await.pop().unwrap();
        assert_eq!(
            (last.state, last.detail.as_deref()),
            (AttemptState::Failed(Failure::Other), Some("it panicked: at work"))
        );
        assert_eq!(run_once(&db, &agent_thread, laptop(), &provider).await.output, "s1");
    }
}

#[tokio::test]
async fn mu_s7_a_failure_that_poisons_the_session_withholds_it() {
    for db in stores().await {
        let (provider, agent_thread) = (Provider::default(), db.agent("g").on("a"));
        run_once(&db, &agent_thread, laptop(), &provider).await;
        // A network failure does not affect the session.
        fails(&db, &agent_thread, laptop(), || RunFailure::new(Failure::Network).with_cause("cut")).await;
        assert_eq!(offered(&agent_thread, laptop()).await.as_deref(), Some("s1"));
        fails(&db, &agent_thread, laptop(), || RunFailure::new(Failure::ContextOverflow)).await;
        let withheld = resolved(&agent_thread, laptop()).await;
        let overflowed = Withheld::Poisoned(Failure::ContextOverflow);
        assert_eq!((withheld.session, withheld.withheld), (None, Some(overflowed)));
        assert_eq!(history(&agent_thread).await[1].detail.as_deref(), Some("cut"));
    }
}

#[tokio::test]
async fn the_session_of_a_failed_run_is_resumed() {
    for db in stores().await {
        let agent_thread = db.agent("g").on("a");
        let error = prepared(&db, &agent_thread, laptop())
            .run(|run| async move {
                run.pin_session("s1".parse().unwrap()).await?;
                Err::<RunSuccess<()>, _>(
                    RunFailure::new(Failure::Timeout).with_write(answer("m", "half an answer")),
                )
            })
            .await
            .unwrap_err();
        assert_eq!(error.effect(), Effect::Applied);
        assert_eq!(offered(&agent_thread, laptop()).await.as_deref(), Some("s1"));
        assert!(db.thread("a").get("m".parse().unwrap()).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_refused_session_is_replaced_by_a_new_one_once() {
    for db in stores().await {
        let (provider, agent_thread) = (Provider::default(), db.agent("g").on("a"));
        let begin = agent_thread.run(laptop()).unwrap().in_directory("/d".parse().unwrap());
        crate::support::runner(&db).prepare(begin).run(|run| provider.work(run)).await.unwrap();
        provider.forget("s1");
        let seen = std::sync::Mutex::new(Vec::new());
        let ran = prepared(&db, &agent_thread, laptop())
            .run(|run| {
                let gap = run.gap().map(|gap| (gap.session.clone().unwrap().to_string(), gap.reason));
                let dir = run.work_dir().map(ToString::to_string);
                seen.lock().unwrap().push((run.session().map(ToString::to_string), dir, gap));
                provider.work(run)
            })
            .await
            .unwrap();
        assert_eq!((ran.output.as_str(), ran.refused.unwrap().as_str()), ("s2", "s1"));
        let dir = || Some("/d".to_owned());
        assert_eq!(
            seen.into_inner().unwrap(),
            [
                (Some("s1".to_owned()), dir(), None),
                (None, dir(), Some(("s1".to_owned(), Withheld::ArtifactMissing)))
            ]
        );
        assert_eq!(
            states(&agent_thread).await,
            [
                AttemptState::Completed,
                AttemptState::Failed(Failure::SessionNotFound),
                AttemptState::Completed
            ]
        );
        assert_eq!(offered(&agent_thread, laptop()).await.as_deref(), Some("s2"));
    }
}

#[tokio::test]
async fn only_a_session_refused_before_any_tool_call_is_replaced() {
    for db in stores().await {
        let (provider, agent_thread) = (Provider::default(), db.agent("g").on("a"));
        let calls = std::sync::atomic::AtomicUsize::new(0);
        let count = || calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        // No session was resumed, so none can be refused.
        fails(&db, &agent_thread, laptop(), || {
            count();
            RunFailure::session_refused()
        })
        .await;
        assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 1);
        run_once(&db, &agent_thread, laptop(), &provider).await;
        // The runner does not retry other failures.
        for failure in [Failure::Network, Failure::RateLimited, Failure::Configuration, Failure::Other] {
            fails(&db, &agent_thread, laptop(), || {
                count();
                RunFailure::new(failure)
            })
            .await;
        }
        assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 5);
        // A run that reports another session was not refused.
        prepared(&db, &agent_thread, laptop())
            .run(|_| {
                count();
                let report = RunReport::of("another".parse().unwrap());
                async move { Err::<RunSuccess<()>, _>(RunFailure::session_refused().with_report(report)) }
            })
            .await
            .unwrap_err();
        assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 6);
        // A tool has run, so the runner must not run the agent again.
        prepared(&db, &agent_thread, laptop())
            .run(|run| {
                count();
                async move {
                    run.record_tool_call();
                    Err::<RunSuccess<()>, _>(RunFailure::session_refused())
                }
            })
            .await
            .unwrap_err();
        assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 7);
        // A fresh session that is also refused ends the run.
        provider.forget("s1");
        run_once(&db, &agent_thread, laptop(), &provider).await;
        prepared(&db, &agent_thread, laptop())
            .run(|_| {
                count();
                async move { Err::<RunSuccess<()>, _>(RunFailure::session_refused()) }
            })
            .await
            .unwrap_err();
        assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 9);
    }
}
