//! A session is resumed only where its provider keeps it (MU-S1 to MU-S5, MU-S10 to MU-S13, TC-S8).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use throughline::{
    ErrorKind,
    runs::{RunError, RunSuccess},
    sessions::{Claimer, Directory, Gap, Reach, RunReport, Withheld},
};

use crate::support::{Provider, laptop, offered, on, prepared, resolved, run_once, stores};

fn codex() -> Claimer {
    Claimer { provider: "codex".parse().unwrap(), ..laptop() }
}

#[tokio::test]
async fn mu_s1_mu_s2_another_runtime_gets_the_directory_but_not_the_session() {
    for db in stores().await {
        let (provider, agent_thread) = (Provider::default(), db.agent("g").on("a"));
        let begin = agent_thread.run(laptop()).unwrap().in_directory("/d".parse().unwrap());
        crate::support::runner(&db).prepare(begin).run(|run| provider.work(run)).await.unwrap();
        let desktop = || on("desktop", "root-1");
        let moved = prepared(&db, &agent_thread, desktop())
            .run(async |run| {
                assert_eq!((run.session(), run.work_dir().unwrap().as_str()), (None, "/d"));
                let gap = Gap { session: Some("s1".parse().unwrap()), reason: Withheld::RuntimeMismatch };
                assert_eq!(run.gap(), Some(&gap));
                Ok(RunSuccess::new(()))
            })
            .await
            .unwrap();
        // The run pinned no session, so the pointer stays unchanged.
        assert_eq!(moved.changed.binding.pointer.unwrap().runtime.unwrap().id.as_str(), "laptop");
        // Only the first run reports the gap.
        prepared(&db, &agent_thread, desktop())
            .run(async |run| {
                assert_eq!((run.session(), run.gap()), (None, None));
                Ok(RunSuccess::new(()))
            })
            .await
            .unwrap();
        // The first runtime still resumes its session.
        assert_eq!(run_once(&db, &agent_thread, laptop(), &provider).await.output, "s1");
        // When the second runtime learns a session, each has its own.
        assert_eq!(run_once(&db, &agent_thread, desktop(), &provider).await.output, "s2");
        assert_eq!(offered(&agent_thread, laptop()).await.as_deref(), Some("s1"));
        assert_eq!(offered(&agent_thread, desktop()).await.as_deref(), Some("s2"));
        // The same runtime with another root epoch has no session.
        let other_root = resolved(&agent_thread, on("desktop", "root-2")).await;
        assert_eq!((other_root.session, other_root.withheld), (None, Some(Withheld::RootEpoch)));
    }
}

#[tokio::test]
async fn tc_s8_each_provider_keeps_its_own_session() {
    for db in stores().await {
        let (provider, agent_thread) = (Provider::default(), db.agent("g").on("a"));
        run_once(&db, &agent_thread, laptop(), &provider).await;
        let other = resolved(&agent_thread, codex()).await;
        assert_eq!((other.session, other.withheld), (None, Some(Withheld::ProviderMismatch)));
        assert_eq!(run_once(&db, &agent_thread, codex(), &provider).await.output, "s2");
        assert_eq!(offered(&agent_thread, laptop()).await.as_deref(), Some("s1"));
        assert_eq!(offered(&agent_thread, codex()).await.as_deref(), Some("s2"));
    }
}

#[tokio::test]
async fn mu_s5_a_run_without_a_session_keeps_the_pointer() {
    for db in stores().await {
        let (provider, agent_thread) = (Provider::default(), db.agent("g").on("a"));
        run_once(&db, &agent_thread, laptop(), &provider).await;
        let without_session =
            prepared(&db, &agent_thread, laptop()).run(async |_| Ok(RunSuccess::new(()))).await.unwrap();
        assert!(!without_session.changed.moved);
        assert_eq!(without_session.changed.binding.pointer.unwrap().session.as_str(), "s1");
        assert_eq!(offered(&agent_thread, laptop()).await.as_deref(), Some("s1"));
    }
}

#[tokio::test]
async fn mu_s10_the_gap_of_a_missing_artifact_is_reported_to_exactly_one_run() {
    for db in stores().await {
        let (provider, agent_thread) = (Provider::default(), db.agent("g").on("a"));
        run_once(&db, &agent_thread, laptop(), &provider).await;
        prepared(&db, &agent_thread, laptop())
            .run(|run| async move {
                run.pin_session("lost".parse().unwrap()).await?;
                Ok(RunSuccess::new(()).with_report(RunReport::default().without_artifact()))
            })
            .await
            .unwrap();
        let mut gaps = Vec::new();
        for _ in 0..2 {
            let ran = run_once(&db, &agent_thread, laptop(), &provider).await;
            // The run resumes the older session, which is intact.
            assert_eq!(ran.output, "s1");
            gaps.push(ran.resolution.gap.map(|gap| (gap.session.unwrap().to_string(), gap.reason)));
        }
        assert_eq!(gaps, [Some(("lost".to_owned(), Withheld::ArtifactMissing)), None]);
    }
}

#[tokio::test]
async fn mu_s11_the_result_of_the_check_decides_the_session_and_the_directory() {
    for db in stores().await {
        let (provider, agent_thread) = (Provider::default(), db.agent("g").on("a"));
        let begin = || agent_thread.run(laptop()).unwrap();
        let runner = crate::support::runner(&db);
        let first = begin().in_directory("/d".parse().unwrap());
        runner.prepare(first).run(|run| provider.work(run)).await.unwrap();
        // The directory is the same, also in another spelling.
        let same = runner
            .prepare(begin())
            .check_reach(async |seen| {
                assert_eq!((seen.session.unwrap().as_str(), seen.work_dir.unwrap().as_str()), ("s1", "/d"));
                Reach::default()
            })
            .run(|run| provider.work(run))
            .await
            .unwrap();
        assert_eq!(same.output, "s1");
        let gone = Reach { directory: Directory::Gone, session_missing: false };
        let gone = runner
            .prepare(begin())
            .check_reach(move |_| async move { gone })
            .run(async |run| {
                assert_eq!((run.session(), run.work_dir()), (None, None));
                assert_eq!(run.gap().unwrap().reason, Withheld::WorkDirGone);
                Ok(RunSuccess::new(()))
            })
            .await;
        gone.unwrap();
    }
}

#[tokio::test]
async fn a_session_that_is_retired_during_the_check_is_resolved_again() {
    for db in stores().await {
        let (provider, agent_thread) = (Provider::default(), db.agent("g").on("a"));
        run_once(&db, &agent_thread, laptop(), &provider).await;
        let checks = Arc::new(AtomicUsize::new(0));
        let ran = prepared(&db, &agent_thread, laptop())
            .check_reach(|seen| {
                let (agent_thread, checks) = (agent_thread.clone(), checks.clone());
                async move {
                    // Another caller retires the session during the first check.
                    if checks.fetch_add(1, Ordering::SeqCst) == 0 {
                        agent_thread.retire(seen.session.unwrap()).await.unwrap();
                        return Reach { directory: Directory::Same, session_missing: false };
                    }
                    Reach::default()
                }
            })
            .run(|run| provider.work(run))
            .await
            .unwrap();
        assert_eq!((ran.output.as_str(), ran.resolution.gap.unwrap().reason), ("s2", Withheld::Retired));
        // The second resolution has neither a session nor a directory, so there is no second check.
        assert_eq!(checks.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn mu_s13_queued_work_resumes_the_generation_in_which_it_was_queued() {
    for db in stores().await {
        let (provider, agent_thread) = (Provider::default(), db.agent("g").on("a"));
        let first = run_once(&db, &agent_thread, laptop(), &provider).await;
        let queued = laptop().queued_under(first.resolution.generation);
        agent_thread.reset().await.unwrap();
        assert_eq!(run_once(&db, &agent_thread, laptop(), &provider).await.output, "s2");
        // The task was queued before the reset: it resumes the old generation, and does not move the pointer of the new one.
        let late = run_once(&db, &agent_thread, queued.clone(), &provider).await;
        assert_eq!((late.output.as_str(), late.changed.moved), ("s1", false));
        assert_eq!(late.changed.binding.pointer.unwrap().session.as_str(), "s2");
        assert_eq!(offered(&agent_thread, laptop()).await.as_deref(), Some("s2"));
        assert_eq!(offered(&agent_thread, queued).await.as_deref(), Some("s1"));
        // A generation that does not exist yet is refused.
        let never = laptop().queued_under(first.resolution.generation.next().next());
        let refused =
            prepared(&db, &agent_thread, never).run(async |_| Ok(RunSuccess::new(()))).await.unwrap_err();
        let RunError::NotBegun(error) = refused else { panic!("{refused}") };
        assert_eq!(error.kind(), ErrorKind::Stale);
    }
}
