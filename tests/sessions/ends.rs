//! How a run ends: its writes and its pointer are one, a failure says what it means, and a refused session is begun anew once.

use throughline::{
    Effect, ErrorKind, NewMessage, PersistResult,
    messages::{Add, UpdateContent},
    sessions::{AttemptState, Failure, Finished, RunError, RunFailure, RunReport, Withheld},
};

use crate::{
    faults::{Fault, faulty},
    support::{Provider, fails, history, laptop, offered, prepared, resolved, states, stores, talk},
};

fn says(id: &str, text: &str) -> Add {
    Add::new("a".parse().unwrap(), NewMessage::assistant(text).with_id(id.parse().unwrap()))
}

#[tokio::test]
async fn mu_s6_the_end_of_the_turn_and_the_pointer_are_one_commit() {
    for db in stores().await {
        let place = db.agent("g").on("a");
        let ran = prepared(&db, &place, laptop())
            .run(|run| async move {
                run.learned("s1".parse().unwrap()).await?;
                Ok(Finished::new(()).writing(says("m1", "one")).writing(says("m2", "two")))
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
        // The second of its writes is refused: neither it, nor the first one, nor the pointer is there.
        let refused = prepared(&db, &place, laptop())
            .run(|run| async move {
                run.learned("s2".parse().unwrap()).await?;
                Ok(Finished::new("kept").writing(says("m3", "three")).writing(says("m1", "again")))
            })
            .await
            .unwrap_err();
        assert_eq!(refused.effect(), Effect::NotApplied);
        let RunError::NotConfirmed { output, error, .. } = refused else { panic!("{refused}") };
        assert_eq!((output, error.kind(), error.batch_index()), ("kept", ErrorKind::AlreadyExists, Some(1)));
        assert!(db.thread("a").get("m3".parse().unwrap()).await.unwrap().is_none());
        assert_eq!(states(&place).await, [AttemptState::Completed, AttemptState::Failed(Failure::Other)]);
        // The run failed by what the host wrote, which says nothing of the session that the provider has.
        assert_eq!(offered(&place, laptop()).await.as_deref(), Some("s2"));
    }
}

#[tokio::test]
async fn a_stale_write_of_the_host_is_no_stale_run() {
    for db in stores().await {
        let place = db.agent("g").on("a");
        let message = db.thread("a").add(NewMessage::user("hi")).await.unwrap().message;
        let edit = UpdateContent::new(
            "a".parse().unwrap(),
            message.id,
            throughline::messages::ContentChange::Replace(throughline::Content::text("x")),
            throughline::messages::UpdateMode::Edit,
        )
        .expecting(throughline::Revision::new(99));
        let refused = prepared(&db, &place, laptop())
            .run(|_| {
                let edit = edit.clone();
                async move { Ok(Finished::new(()).writing(edit)) }
            })
            .await
            .unwrap_err();
        let RunError::NotConfirmed { error, .. } = refused else { panic!("{refused}") };
        assert_eq!((error.kind(), error.batch_index()), (ErrorKind::Stale, Some(0)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_whose_answer_is_lost_is_made_once() {
    let (db, faults) = faulty();
    let place = db.agent("g").on("a");
    for (fault, message) in [(Fault::AnswerLost, "m1"), (Fault::NeverArrived, "m2")] {
        faults.next("beginRun", 2, fault);
        faults.next("pinSession", 2, fault);
        faults.next("confirmRun", 2, fault);
        let ran = prepared(&db, &place, laptop())
            .run(|run| async move {
                run.learned("s1".parse().unwrap()).await?;
                Ok(Finished::new(()).writing(says(message, "once")))
            })
            .await
            .unwrap();
        assert_eq!(ran.written.len(), 1);
    }
    assert_eq!(states(&place).await, [AttemptState::Completed; 2]);
    assert_eq!(offered(&place, laptop()).await.as_deref(), Some("s1"));
}

#[tokio::test]
async fn a_panic_is_a_failure_of_the_run() {
    for db in stores().await {
        let (provider, place) = (Provider::default(), db.agent("g").on("a"));
        talk(&db, &place, laptop(), &provider).await;
        let error = prepared(&db, &place, laptop())
            .run(|run| async move {
                if run.session().is_some() {
                    panic!("at {}", "work");
                }
                Ok(Finished::new(()))
            })
            .await
            .unwrap_err();
        let RunError::Panicked { message, unrecorded, .. } = error else { panic!("{error}") };
        assert_eq!((message.as_str(), unrecorded.is_none()), ("it panicked: at work", true));
        let last = history(&place).await.pop().unwrap();
        assert_eq!(
            (last.state, last.detail.as_deref()),
            (AttemptState::Failed(Failure::Other), Some("it panicked: at work"))
        );
        assert_eq!(talk(&db, &place, laptop(), &provider).await.output, "s1");
    }
}

#[tokio::test]
async fn mu_s7_what_a_failure_says_of_the_session_is_kept() {
    for db in stores().await {
        let (provider, place) = (Provider::default(), db.agent("g").on("a"));
        talk(&db, &place, laptop(), &provider).await;
        // The network says nothing of it.
        fails(&db, &place, laptop(), || RunFailure::new(Failure::Network).because("cut")).await;
        assert_eq!(offered(&place, laptop()).await.as_deref(), Some("s1"));
        fails(&db, &place, laptop(), || RunFailure::new(Failure::ContextOverflow)).await;
        let withheld = resolved(&place, laptop()).await;
        let overflowed = Withheld::Poisoned(Failure::ContextOverflow);
        assert_eq!((withheld.session, withheld.withheld), (None, Some(overflowed)));
        assert_eq!(history(&place).await[1].detail.as_deref(), Some("cut"));
    }
}

#[tokio::test]
async fn a_failed_run_that_had_learned_its_session_is_gone_on_with() {
    for db in stores().await {
        let place = db.agent("g").on("a");
        let error = prepared(&db, &place, laptop())
            .run(|run| async move {
                run.learned("s1".parse().unwrap()).await?;
                Err::<Finished<()>, _>(RunFailure::new(Failure::Timeout).writing(says("m", "half an answer")))
            })
            .await
            .unwrap_err();
        assert_eq!(error.effect(), Effect::Applied);
        assert_eq!(offered(&place, laptop()).await.as_deref(), Some("s1"));
        assert!(db.thread("a").get("m".parse().unwrap()).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_refused_session_is_begun_anew_once() {
    for db in stores().await {
        let (provider, place) = (Provider::default(), db.agent("g").on("a"));
        let begin = place.run(laptop()).unwrap().in_directory("/d".parse().unwrap());
        crate::support::runner(&db).prepare(begin).run(|run| provider.work(run)).await.unwrap();
        provider.lose("s1");
        let seen = std::sync::Mutex::new(Vec::new());
        let ran = prepared(&db, &place, laptop())
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
            states(&place).await,
            [
                AttemptState::Completed,
                AttemptState::Failed(Failure::SessionNotFound),
                AttemptState::Completed
            ]
        );
        assert_eq!(offered(&place, laptop()).await.as_deref(), Some("s2"));
    }
}

#[tokio::test]
async fn nothing_but_a_refused_session_before_any_tool_is_begun_anew() {
    for db in stores().await {
        let (provider, place) = (Provider::default(), db.agent("g").on("a"));
        let calls = std::sync::atomic::AtomicUsize::new(0);
        let count = || calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        // Nothing was resumed that could have been refused.
        fails(&db, &place, laptop(), || {
            count();
            RunFailure::session_refused()
        })
        .await;
        assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 1);
        talk(&db, &place, laptop(), &provider).await;
        // Every other failure stands, each after one call.
        for failure in [Failure::Network, Failure::RateLimited, Failure::Configuration, Failure::Other] {
            fails(&db, &place, laptop(), || {
                count();
                RunFailure::new(failure)
            })
            .await;
        }
        assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 5);
        // A run that says it runs another session has not been refused.
        prepared(&db, &place, laptop())
            .run(|_| {
                count();
                let report = RunReport::of("another".parse().unwrap());
                async move { Err::<Finished<()>, _>(RunFailure::session_refused().reporting(report)) }
            })
            .await
            .unwrap_err();
        assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 6);
        // A tool has run: it is not for the runner to let it run again.
        prepared(&db, &place, laptop())
            .run(|run| {
                count();
                async move {
                    run.tool_ran();
                    Err::<Finished<()>, _>(RunFailure::session_refused())
                }
            })
            .await
            .unwrap_err();
        assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 7);
        // Refused again with a fresh session, it is over.
        provider.lose("s1");
        talk(&db, &place, laptop(), &provider).await;
        prepared(&db, &place, laptop())
            .run(|_| {
                count();
                async move { Err::<Finished<()>, _>(RunFailure::session_refused()) }
            })
            .await
            .unwrap_err();
        assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 9);
    }
}
