//! Resumed only where it lives (MU-S1 to MU-S5, MU-S10 to MU-S13, TC-S8).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use throughline::{
    ErrorKind,
    sessions::{Claimer, Directory, Finished, Gap, Reach, RunError, RunReport, Withheld},
};

use crate::support::{Provider, laptop, offered, on, prepared, resolved, stores, talk};

fn codex() -> Claimer {
    Claimer { provider: "codex".parse().unwrap(), ..laptop() }
}

#[tokio::test]
async fn mu_s1_mu_s2_another_runtime_has_the_directory_and_not_the_session() {
    for db in stores().await {
        let (provider, place) = (Provider::default(), db.agent("g").on("a"));
        let begin = place.run(laptop()).unwrap().in_directory("/d".parse().unwrap());
        crate::support::runner(&db).prepare(begin).run(|run| provider.work(run)).await.unwrap();
        let desktop = || on("desktop", "root-1");
        let moved = prepared(&db, &place, desktop())
            .run(async |run| {
                assert_eq!((run.session(), run.work_dir().unwrap().as_str()), (None, "/d"));
                let gap = Gap { session: Some("s1".parse().unwrap()), reason: Withheld::RuntimeMismatch };
                assert_eq!(run.gap(), Some(&gap));
                Ok(Finished::new(()))
            })
            .await
            .unwrap();
        // It has said nothing of a session: the pointer stays, whole.
        assert_eq!(moved.changed.binding.pointer.unwrap().runtime.unwrap().id.as_str(), "laptop");
        // The gap was told once.
        prepared(&db, &place, desktop())
            .run(async |run| {
                assert_eq!((run.session(), run.gap()), (None, None));
                Ok(Finished::new(()))
            })
            .await
            .unwrap();
        // Work of the first runtime still goes on.
        assert_eq!(talk(&db, &place, laptop(), &provider).await.output, "s1");
        // Where the second one gets a session, both have their own.
        assert_eq!(talk(&db, &place, desktop(), &provider).await.output, "s2");
        assert_eq!(offered(&place, laptop()).await.as_deref(), Some("s1"));
        assert_eq!(offered(&place, desktop()).await.as_deref(), Some("s2"));
        // The same name with another root is another one.
        let anew = resolved(&place, on("desktop", "root-2")).await;
        assert_eq!((anew.session, anew.withheld), (None, Some(Withheld::RootEpoch)));
    }
}

#[tokio::test]
async fn tc_s8_another_provider_has_its_own_and_the_first_is_still_there() {
    for db in stores().await {
        let (provider, place) = (Provider::default(), db.agent("g").on("a"));
        talk(&db, &place, laptop(), &provider).await;
        let other = resolved(&place, codex()).await;
        assert_eq!((other.session, other.withheld), (None, Some(Withheld::ProviderMismatch)));
        assert_eq!(talk(&db, &place, codex(), &provider).await.output, "s2");
        assert_eq!(offered(&place, laptop()).await.as_deref(), Some("s1"));
        assert_eq!(offered(&place, codex()).await.as_deref(), Some("s2"));
    }
}

#[tokio::test]
async fn mu_s5_a_run_without_a_session_wipes_no_pointer() {
    for db in stores().await {
        let (provider, place) = (Provider::default(), db.agent("g").on("a"));
        talk(&db, &place, laptop(), &provider).await;
        let silent = prepared(&db, &place, laptop()).run(async |_| Ok(Finished::new(()))).await.unwrap();
        assert!(!silent.changed.moved);
        assert_eq!(silent.changed.binding.pointer.unwrap().session.as_str(), "s1");
        assert_eq!(offered(&place, laptop()).await.as_deref(), Some("s1"));
    }
}

#[tokio::test]
async fn mu_s10_a_session_without_its_artifact_is_told_to_exactly_one_run() {
    for db in stores().await {
        let (provider, place) = (Provider::default(), db.agent("g").on("a"));
        talk(&db, &place, laptop(), &provider).await;
        prepared(&db, &place, laptop())
            .run(|run| async move {
                run.learned("lost".parse().unwrap()).await?;
                Ok(Finished::new(()).reporting(RunReport::default().without_artifact()))
            })
            .await
            .unwrap();
        let mut gaps = Vec::new();
        for _ in 0..2 {
            let ran = talk(&db, &place, laptop(), &provider).await;
            // The older one, which is good, is gone on with.
            assert_eq!(ran.output, "s1");
            gaps.push(ran.resolution.gap.map(|gap| (gap.session.unwrap().to_string(), gap.reason)));
        }
        assert_eq!(gaps, [Some(("lost".to_owned(), Withheld::ArtifactMissing)), None]);
    }
}

#[tokio::test]
async fn mu_s11_what_was_found_is_what_is_begun_on() {
    for db in stores().await {
        let (provider, place) = (Provider::default(), db.agent("g").on("a"));
        let begin = || place.run(laptop()).unwrap();
        let runner = crate::support::runner(&db);
        let first = begin().in_directory("/d".parse().unwrap());
        runner.prepare(first).run(|run| provider.work(run)).await.unwrap();
        // It is the same directory, however it is spelt.
        let same = runner
            .prepare(begin())
            .looking(async |seen| {
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
            .looking(move |_| async move { gone })
            .run(async |run| {
                assert_eq!((run.session(), run.work_dir()), (None, None));
                assert_eq!(run.gap().unwrap().reason, Withheld::WorkDirGone);
                Ok(Finished::new(()))
            })
            .await;
        gone.unwrap();
    }
}

#[tokio::test]
async fn what_has_changed_since_it_was_looked_at_is_looked_at_again() {
    for db in stores().await {
        let (provider, place) = (Provider::default(), db.agent("g").on("a"));
        talk(&db, &place, laptop(), &provider).await;
        let looks = Arc::new(AtomicUsize::new(0));
        let ran = prepared(&db, &place, laptop())
            .looking(|seen| {
                let (place, looks) = (place.clone(), looks.clone());
                async move {
                    // The first time somebody retires it while it is looked at.
                    if looks.fetch_add(1, Ordering::SeqCst) == 0 {
                        place.retire(seen.session.unwrap()).await.unwrap();
                        return Reach { directory: Directory::Same, session_missing: false };
                    }
                    Reach::default()
                }
            })
            .run(|run| provider.work(run))
            .await
            .unwrap();
        assert_eq!((ran.output.as_str(), ran.resolution.gap.unwrap().reason), ("s2", Withheld::Retired));
        // There was neither a session nor a directory to look at the second time.
        assert_eq!(looks.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn mu_s13_queued_work_keeps_to_its_generation() {
    for db in stores().await {
        let (provider, place) = (Provider::default(), db.agent("g").on("a"));
        let first = talk(&db, &place, laptop(), &provider).await;
        let queued = laptop().queued_under(first.resolution.generation);
        place.reset().await.unwrap();
        assert_eq!(talk(&db, &place, laptop(), &provider).await.output, "s2");
        // It was queued before the reset: it goes on with what was there, and moves nothing of what came after.
        let late = talk(&db, &place, queued.clone(), &provider).await;
        assert_eq!((late.output.as_str(), late.changed.moved), ("s1", false));
        assert_eq!(late.changed.binding.pointer.unwrap().session.as_str(), "s2");
        assert_eq!(offered(&place, laptop()).await.as_deref(), Some("s2"));
        assert_eq!(offered(&place, queued).await.as_deref(), Some("s1"));
        // A generation that there is not yet is none.
        let never = laptop().queued_under(first.resolution.generation.next().next());
        let refused = prepared(&db, &place, never).run(async |_| Ok(Finished::new(()))).await.unwrap_err();
        let RunError::NotBegun(error) = refused else { panic!("{refused}") };
        assert_eq!(error.kind(), ErrorKind::Stale);
    }
}
