//! One session for an agent in a thread (TC-S1 to TC-S11, TC-S14).

use throughline::{
    ErrorKind,
    sessions::{
        AttemptState, Failure, Finished, GenerationCause, HandOff, PointerState, RunFailure, Withheld,
    },
};

use crate::support::{Provider, fails, history, laptop, offered, prepared, resolved, states, stores, talk};

#[tokio::test]
async fn tc_s1_a_session_that_was_bound_is_resumed() {
    for db in stores().await {
        let (provider, place) = (Provider::default(), db.agent("g").on("a"));
        let first = talk(&db, &place, laptop(), &provider).await;
        assert_eq!((first.output.as_str(), first.resolution.session), ("s1", None));
        assert_eq!(first.resolution.withheld, Some(Withheld::NoSession));
        let second = talk(&db, &place, laptop(), &provider).await;
        assert_eq!(second.output, "s1");
        assert_eq!(second.resolution.session.unwrap().as_str(), "s1");
        assert_eq!((second.resolution.gap, second.refused), (None, None));
        let pointer = second.changed.binding.pointer.unwrap();
        assert_eq!((pointer.session.as_str(), pointer.state), ("s1", PointerState::Confirmed));
        assert_eq!(pointer.attempt, Some(second.attempt));
        assert_eq!(states(&place).await, [AttemptState::Completed; 2]);
    }
}

#[tokio::test]
async fn tc_s2_tc_s3_threads_and_agents_have_sessions_of_their_own() {
    for db in stores().await {
        let provider = Provider::default();
        let places = [db.agent("g").on("a"), db.agent("g").on("b"), db.agent("h").on("a")];
        for round in 0..10 {
            for (place, session) in places.iter().zip(["s1", "s2", "s3"]) {
                let ran = talk(&db, place, laptop(), &provider).await;
                assert_eq!(ran.output, session, "round {round}");
            }
        }
        assert_eq!((provider.begun(), provider.calls()), (3, 30));
    }
}

#[tokio::test]
async fn tc_s4_tc_s5_a_reset_lasts_until_a_run_is_confirmed() {
    for db in stores().await {
        let (provider, place) = (Provider::default(), db.agent("g").on("a"));
        let created = talk(&db, &place, laptop(), &provider).await.changed.binding.created_at;
        let reset = place.reset().await.unwrap().binding;
        assert_eq!((reset.generation.get(), reset.cause), (2, GenerationCause::Reset));
        for _ in 0..2 {
            let error = fails(&db, &place, laptop(), || RunFailure::new(Failure::Network)).await;
            assert!(error.to_string().starts_with("the run failed (network), run `"), "{error}");
            assert_eq!(offered(&place, laptop()).await, None);
        }
        let ran = talk(&db, &place, laptop(), &provider).await;
        assert_eq!((ran.output.as_str(), ran.resolution.session), ("s2", None));
        let binding = ran.changed.binding;
        assert_eq!((binding.generation.get(), binding.created_at), (2, created));
        assert_eq!(offered(&place, laptop()).await.as_deref(), Some("s2"));
        let sessions: Vec<_> = history(&place)
            .await
            .into_iter()
            .map(|attempt| attempt.session.map(|session| session.to_string()))
            .collect();
        assert_eq!(sessions, [Some("s1".to_owned()), None, None, Some("s2".to_owned())]);
    }
}

#[tokio::test]
async fn tc_s6_an_id_that_was_only_given_is_never_resumed() {
    for db in stores().await {
        let place = db.agent("g").on("a");
        let begin = || place.run(laptop()).unwrap().assigning("given".parse().unwrap());
        let runner = crate::support::runner(&db);
        // It is confirmed without a word of the session: there is none.
        let ran = runner
            .prepare(begin())
            .run(async |run| {
                assert_eq!(run.assigned().unwrap().as_str(), "given");
                Ok(Finished::new(()))
            })
            .await
            .unwrap();
        assert_eq!((ran.changed.moved, ran.changed.binding.pointer), (false, None));
        assert_eq!(resolved(&place, laptop()).await.withheld, Some(Withheld::Provisional));
        // The provider has it: it is.
        runner
            .prepare(begin())
            .run(|run| async move {
                run.learned(run.assigned().unwrap().clone()).await?;
                Ok(Finished::new(()))
            })
            .await
            .unwrap();
        assert_eq!(offered(&place, laptop()).await.as_deref(), Some("given"));
        // A run that resumes has no use for another.
        runner
            .prepare(begin())
            .run(async |run| {
                assert_eq!((run.assigned(), run.session().unwrap().as_str()), (None, "given"));
                Ok(Finished::new(()))
            })
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn tc_s7_a_reset_is_of_one_thread() {
    for db in stores().await {
        let (provider, agent) = (Provider::default(), db.agent("g"));
        let (a, b) = (agent.on("a"), agent.on("b"));
        talk(&db, &a, laptop(), &provider).await;
        talk(&db, &b, laptop(), &provider).await;
        a.reset().await.unwrap();
        assert_eq!(talk(&db, &b, laptop(), &provider).await.output, "s2");
        assert_eq!(talk(&db, &a, laptop(), &provider).await.output, "s3");
    }
}

#[tokio::test]
async fn tc_s9_a_run_in_no_thread_touches_none() {
    for db in stores().await {
        let (provider, agent) = (Provider::default(), db.agent("g"));
        let place = agent.on("a");
        talk(&db, &place, laptop(), &provider).await;
        let alone = talk(&db, &agent.isolated(), laptop(), &provider).await;
        assert_eq!((alone.output.as_str(), alone.resolution.session), ("s2", None));
        assert_eq!(offered(&place, laptop()).await.as_deref(), Some("s1"));
        assert_eq!(history(&place).await.len(), 1);
    }
}

#[tokio::test]
async fn tc_s11_a_run_that_a_reset_has_overtaken_saves_nothing() {
    for db in stores().await {
        let (provider, place) = (Provider::default(), db.agent("g").on("a"));
        talk(&db, &place, laptop(), &provider).await;
        let late = prepared(&db, &place, laptop())
            .run(|run| {
                let place = place.clone();
                async move {
                    place.reset().await.unwrap();
                    // It is told at its next word.
                    let refused = run.learned("late".parse().unwrap()).await.unwrap_err();
                    assert_eq!(refused.kind(), ErrorKind::Stale);
                    Ok(Finished::new("late"))
                }
            })
            .await
            .unwrap_err();
        let throughline::sessions::RunError::Stopped { why, output, unrecorded, .. } = late else {
            panic!("{late}")
        };
        assert_eq!(
            (why, output, unrecorded.is_none()),
            (throughline::sessions::Stop::Superseded, Some("late"), true)
        );
        assert_eq!(offered(&place, laptop()).await, None);
        assert_eq!(states(&place).await, [AttemptState::Completed, AttemptState::Cancelled]);
        // Its lease is given back, and the new generation begins anew.
        assert_eq!(talk(&db, &place, laptop(), &provider).await.output, "s2");
    }
}

#[tokio::test]
async fn tc_s14_work_that_is_handed_on_stays_in_its_thread() {
    for db in stores().await {
        let provider = Provider::default();
        let first = talk(&db, &db.agent("g").on("a"), laptop(), &provider).await;
        let origin = HandOff {
            agent: "g".parse().unwrap(),
            thread: "a".parse().unwrap(),
            attempt: Some(first.attempt),
        };
        let handed = db.agent("h").handed_off(origin.clone());
        assert_eq!(talk(&db, &handed, laptop(), &provider).await.output, "s2");
        assert_eq!(history(&db.agent("h").on("a")).await[0].origin, Some(origin));
        assert_eq!(offered(&db.agent("g").on("a"), laptop()).await.as_deref(), Some("s1"));
    }
}
