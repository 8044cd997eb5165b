//! Each agent has one session in each thread (TC-S1 to TC-S11, TC-S14).

use throughline::{
    ErrorKind,
    runs::{RunFailure, RunSuccess},
    sessions::{AttemptState, Failure, GenerationCause, HandOff, PointerState, Withheld},
};

use crate::support::{
    Provider, fails, history, laptop, offered, prepared, resolved, run_once, states, stores,
};

#[tokio::test]
async fn tc_s1_the_second_run_resumes_the_session_of_the_first() {
    for db in stores().await {
        let (provider, agent_thread) = (Provider::default(), db.agent("g").on("a"));
        let first = run_once(&db, &agent_thread, laptop(), &provider).await;
        assert_eq!((first.output.as_str(), first.resolution.session), ("s1", None));
        assert_eq!(first.resolution.withheld, Some(Withheld::NoSession));
        let second = run_once(&db, &agent_thread, laptop(), &provider).await;
        assert_eq!(second.output, "s1");
        assert_eq!(second.resolution.session.unwrap().as_str(), "s1");
        assert_eq!((second.resolution.gap, second.refused), (None, None));
        let pointer = second.changed.binding.pointer.unwrap();
        assert_eq!((pointer.session.as_str(), pointer.state), ("s1", PointerState::Confirmed));
        assert_eq!(pointer.attempt, Some(second.attempt));
        assert_eq!(states(&agent_thread).await, [AttemptState::Completed; 2]);
    }
}

#[tokio::test]
async fn tc_s2_tc_s3_each_agent_has_its_own_session_in_each_thread() {
    for db in stores().await {
        let provider = Provider::default();
        let agent_threads = [db.agent("g").on("a"), db.agent("g").on("b"), db.agent("h").on("a")];
        for round in 0..10 {
            for (agent_thread, session) in agent_threads.iter().zip(["s1", "s2", "s3"]) {
                let ran = run_once(&db, agent_thread, laptop(), &provider).await;
                assert_eq!(ran.output, session, "round {round}");
            }
        }
        assert_eq!((provider.begun(), provider.calls()), (3, 30));
    }
}

#[tokio::test]
async fn tc_s4_tc_s5_a_reset_lasts_until_a_run_is_confirmed() {
    for db in stores().await {
        let (provider, agent_thread) = (Provider::default(), db.agent("g").on("a"));
        let created = run_once(&db, &agent_thread, laptop(), &provider).await.changed.binding.created_at;
        let reset = agent_thread.reset().await.unwrap().binding;
        assert_eq!((reset.generation.get(), reset.cause), (2, GenerationCause::Reset));
        for _ in 0..2 {
            let error = fails(&db, &agent_thread, laptop(), || RunFailure::new(Failure::Network)).await;
            assert!(error.to_string().starts_with("the run failed (network), run `"), "{error}");
            assert_eq!(offered(&agent_thread, laptop()).await, None);
        }
        let ran = run_once(&db, &agent_thread, laptop(), &provider).await;
        assert_eq!((ran.output.as_str(), ran.resolution.session), ("s2", None));
        let binding = ran.changed.binding;
        assert_eq!((binding.generation.get(), binding.created_at), (2, created));
        assert_eq!(offered(&agent_thread, laptop()).await.as_deref(), Some("s2"));
        let sessions: Vec<_> = history(&agent_thread)
            .await
            .into_iter()
            .map(|attempt| attempt.session.map(|session| session.to_string()))
            .collect();
        assert_eq!(sessions, [Some("s1".to_owned()), None, None, Some("s2".to_owned())]);
    }
}

#[tokio::test]
async fn tc_s6_an_assigned_id_is_resumed_only_after_the_provider_confirmed_it() {
    for db in stores().await {
        let agent_thread = db.agent("g").on("a");
        let begin = || agent_thread.run(laptop()).unwrap().assigning("given".parse().unwrap());
        let runner = crate::support::runner(&db);
        // The run is confirmed without a pinned session, so there is none to resume.
        let ran = runner
            .prepare(begin())
            .run(async |run| {
                assert_eq!(run.assigned().unwrap().as_str(), "given");
                Ok(RunSuccess::new(()))
            })
            .await
            .unwrap();
        assert_eq!((ran.changed.moved, ran.changed.binding.pointer), (false, None));
        assert_eq!(resolved(&agent_thread, laptop()).await.withheld, Some(Withheld::Provisional));
        // The provider confirms the given id, so the session exists.
        runner
            .prepare(begin())
            .run(|run| async move {
                run.pin_session(run.assigned().unwrap().clone()).await?;
                Ok(RunSuccess::new(()))
            })
            .await
            .unwrap();
        assert_eq!(offered(&agent_thread, laptop()).await.as_deref(), Some("given"));
        // A run that resumes a session ignores a given id.
        runner
            .prepare(begin())
            .run(async |run| {
                assert_eq!((run.assigned(), run.session().unwrap().as_str()), (None, "given"));
                Ok(RunSuccess::new(()))
            })
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn tc_s7_a_reset_affects_one_thread() {
    for db in stores().await {
        let (provider, agent) = (Provider::default(), db.agent("g"));
        let (a, b) = (agent.on("a"), agent.on("b"));
        run_once(&db, &a, laptop(), &provider).await;
        run_once(&db, &b, laptop(), &provider).await;
        a.reset().await.unwrap();
        assert_eq!(run_once(&db, &b, laptop(), &provider).await.output, "s2");
        assert_eq!(run_once(&db, &a, laptop(), &provider).await.output, "s3");
    }
}

#[tokio::test]
async fn tc_s9_an_isolated_run_affects_no_thread() {
    for db in stores().await {
        let (provider, agent) = (Provider::default(), db.agent("g"));
        let agent_thread = agent.on("a");
        run_once(&db, &agent_thread, laptop(), &provider).await;
        let alone = run_once(&db, &agent.isolated(), laptop(), &provider).await;
        assert_eq!((alone.output.as_str(), alone.resolution.session), ("s2", None));
        assert_eq!(offered(&agent_thread, laptop()).await.as_deref(), Some("s1"));
        assert_eq!(history(&agent_thread).await.len(), 1);
    }
}

#[tokio::test]
async fn tc_s11_a_run_during_which_a_reset_occurs_moves_no_pointer() {
    for db in stores().await {
        let (provider, agent_thread) = (Provider::default(), db.agent("g").on("a"));
        run_once(&db, &agent_thread, laptop(), &provider).await;
        let late = prepared(&db, &agent_thread, laptop())
            .run(|run| {
                let agent_thread = agent_thread.clone();
                async move {
                    agent_thread.reset().await.unwrap();
                    // The run learns of the reset at its next call.
                    let refused = run.pin_session("late".parse().unwrap()).await.unwrap_err();
                    assert_eq!(refused.kind(), ErrorKind::Stale);
                    Ok(RunSuccess::new("late"))
                }
            })
            .await
            .unwrap_err();
        let throughline::runs::RunError::Stopped { reason, output, record_error, .. } = late else {
            panic!("{late}")
        };
        assert_eq!(
            (reason, output, record_error.is_none()),
            (throughline::runs::StopReason::Superseded, Some("late"), true)
        );
        assert_eq!(offered(&agent_thread, laptop()).await, None);
        assert_eq!(states(&agent_thread).await, [AttemptState::Completed, AttemptState::Cancelled]);
        // The runner has returned the lease, and the new generation begins a new session.
        assert_eq!(run_once(&db, &agent_thread, laptop(), &provider).await.output, "s2");
    }
}

#[tokio::test]
async fn tc_s14_handed_off_work_stays_in_its_thread() {
    for db in stores().await {
        let provider = Provider::default();
        let first = run_once(&db, &db.agent("g").on("a"), laptop(), &provider).await;
        let origin = HandOff {
            agent: "g".parse().unwrap(),
            thread: "a".parse().unwrap(),
            attempt: Some(first.attempt),
        };
        let handed = db.agent("h").handed_off(origin.clone());
        assert_eq!(run_once(&db, &handed, laptop(), &provider).await.output, "s2");
        assert_eq!(history(&db.agent("h").on("a")).await[0].origin, Some(origin));
        assert_eq!(offered(&db.agent("g").on("a"), laptop()).await.as_deref(), Some("s1"));
    }
}
