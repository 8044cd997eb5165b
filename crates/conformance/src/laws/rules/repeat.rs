//! Layers that make calls again.

use throughline_core::{
    Effect, ErrorKind, NewMessage, PersistArgs, PersistError, messages::Add, operations::Addressed as _,
};

use crate::laws::{bench::Bench, law::laws, operations, probe::Act};

laws! {
    Repeats "laws.transient_failure_is_retried_with_the_same_key" "a transient failure is retried as the same call, with the same id and key" => repeats;
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
        // An outer layer changes the content once.
        let made = visits[0].args.clone();
        assert!(!bench.profile.hides.is_empty() || made == args, "{made:?}");
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
