//! Layers that make calls again.

use throughline_core::{
    Effect, ErrorKind, NewMessage, PersistArgs, PersistError, messages::Add, operations::Addressed as _,
};

use crate::{
    laws::{
        bench::{Bench, takes_keys},
        every_field,
        law::laws,
        operations,
        probe::Act,
    },
    shorthand::id,
};

use super::passage::take_back_additions;

laws! {
    Repeats "laws.transient_failure_is_retried_with_the_same_key" "a transient failure is retried as the same call, with the same id and key" => repeats;
    Repeats "laws.unknown_outcome_is_retried_only_with_a_key" "a call of unknown outcome is retried only if it has a key, and each retry carries the key" => only_with_a_key;
    Repeats "laws.other_failures_are_not_retried" "a permanent failure, or one that may have been applied, is not retried" => no_more;
}

fn busy() -> Act {
    Act::Fail(PersistError::new(ErrorKind::Busy, "from inside").with_effect(Effect::NotApplied))
}

fn add() -> PersistArgs {
    Add::new(operations::t(), NewMessage::user("x")).into()
}

async fn repeats(bench: Bench) {
    for key in [None, Some("k")] {
        bench.inside.act([busy(), busy()]);
        let args = add();
        bench.call(args.clone(), key).await.expect("it passes");
        let visits = bench.inside.visits();
        assert_eq!(visits.len(), 3);
        // An outer layer changes the content once, and adds its facts once.
        let made = visits[0].args.clone();
        let mut forwarded = made.clone();
        take_back_additions(&bench, &mut forwarded, &args);
        assert!(!bench.profile.hides.is_empty() || forwarded == args, "{made:?}");
        assert_eq!(made.message(), args.message());
        for (number, visit) in visits.iter().enumerate() {
            assert_eq!(visit.args, made);
            assert_eq!(visit.context.attempt() as usize, number + 1);
            assert_eq!(visit.context.idempotency().map(|idempotency| idempotency.key.as_str()), key);
        }
    }
}

async fn no_more(bench: Bench) {
    for (kind, effect, key) in [
        (ErrorKind::Denied, Effect::NotApplied, Some("k")),
        (ErrorKind::Corrupt, Effect::Unknown, Some("k")),
        (ErrorKind::Unavailable, Effect::Unknown, None),
        (ErrorKind::Timeout, Effect::Applied, Some("k")),
    ] {
        bench.inside.act([Act::Fail(PersistError::new(kind, "from inside").with_effect(effect))]);
        bench.call(add(), key).await.expect_err("it failed");
        assert_eq!(bench.inside.visits().len(), 1, "{kind}, {effect}");
        bench.inside.behave();
    }
}

async fn only_with_a_key(bench: Bench) {
    for (number, (case, args)) in every_field::writes("x").into_iter().enumerate() {
        let bench = bench.for_tenant(&format!("n{number}"));
        if !bench.profile.hides.is_empty() {
            // A layer with reads of its own finds a message.
            let found = Add::new(operations::t(), NewMessage::user("x").with_id(id("r")));
            bench.call(found.into(), None).await.expect("it is added");
        }
        let kinds = ErrorKind::ALL.iter().copied();
        for kind in kinds.filter(|kind| kind.passes_with_time() && !kind.is_refusal()) {
            let unknown = PersistError::new(kind, "from inside").with_effect(Effect::Unknown);
            let (answer, passed) = bench.scripted(args.clone(), None, Act::Fail(unknown.clone())).await;
            let Err(error) = answer else { panic!("{case}, {kind}: an error became an answer") };
            if bench.refuses_itself(&args, &error, &passed) {
                break;
            }
            assert_eq!(passed.len(), 1, "{case}, {kind}: how often the call without a key was passed on");
            assert_eq!((error.kind(), error.effect()), (kind, Effect::Unknown), "{case}: {error}");
            if !takes_keys(&args) {
                continue;
            }
            let (_, passed) = bench.scripted(args.clone(), Some("k"), Act::Fail(unknown)).await;
            for visit in &passed {
                let key = visit.context.idempotency().map(|idempotency| idempotency.key.as_str());
                assert_eq!(key, Some("k"), "{case}, {kind}: the key of attempt {}", visit.context.attempt());
                assert!(visit.args == passed[0].args, "{case}, {kind}: another call was retried");
            }
        }
    }
}
