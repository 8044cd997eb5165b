//! The laws about failures.

use throughline_core::{
    Effect, ErrorKind, NewMessage, OpKind, PersistArgs, PersistError, PersistResult, Site,
    messages::{Add, Added, Delete},
};

use crate::{
    laws::{
        bench::{Bench, takes_keys},
        every_field,
        law::laws,
        operations,
        probe::{Act, Reach},
    },
    shorthand::{everything, id},
};

laws! {
    All "laws.inner_error_keeps_kind_effect_and_site" "an error from inside keeps its kind, effect, site and batch index" => error;
    All "laws.inner_error_fails_every_operation" "an error from inside fails the call in every operation" => every_operation;
    All "laws.every_error_kind_passes_unchanged" "an error of every kind and effect passes unchanged in every operation, after exactly one inner call" => each_kind;
    All "laws.inner_panic_is_attributed" "a panic inside is answered with its site, and the next call succeeds" => panic;
    All "laws.inner_short_circuit_is_returned" "an answer of an inner layer is returned, and the store receives no call" => short_circuit;
    All "laws.layer_works_after_errors_and_panics" "the layer serves calls after errors and panics as before" => goes_on;
    Refuses "laws.own_refusal_names_the_layer" "a refusal by the layer names the layer, and the inner stack receives no call" => own_error;
}

fn add(name: &str) -> PersistArgs {
    Add::new(operations::t(), NewMessage::user("x").with_id(id(name))).into()
}

/// The errors of every kind and effect that a call can end with.
fn errors() -> Vec<PersistError> {
    let effects = [Effect::NotApplied, Effect::Unknown, Effect::Applied];
    let each = |kind: ErrorKind| {
        let fits = move |effect: &Effect| !kind.is_refusal() || *effect == Effect::NotApplied;
        effects
            .into_iter()
            .filter(fits)
            .map(move |effect| PersistError::new(kind, "from inside").with_effect(effect).with_batch_index(3))
    };
    ErrorKind::ALL.iter().copied().flat_map(each).collect()
}

async fn error(bench: Bench) {
    for (number, error) in errors().into_iter().enumerate() {
        // Enough for a layer that repeats the call.
        bench.inside.act(std::iter::repeat_n(Act::Fail(error.clone()), 16));
        let came = bench.call(add(&format!("m{number}")), None).await.expect_err("it failed");
        assert_eq!((came.kind(), came.effect()), (error.kind(), error.effect()), "{came}");
        assert_eq!(came.site(), Some(&Site::Layer("inside".into())), "{came}");
        assert_eq!(came.batch_index(), Some(3), "{came}");
        assert!(came.detail().ends_with("from inside"), "{came}");
        bench.inside.behave();
    }
}

async fn every_operation(bench: Bench) {
    for (case, args) in bench.operations("x") {
        for kind in [ErrorKind::Corrupt, ErrorKind::Denied] {
            let error = PersistError::new(kind, "from inside").with_effect(Effect::NotApplied);
            if kind == ErrorKind::Corrupt && is_for_damaged(&args) {
                bench.inside.fail_unless(|_| false, error, Reach::Never);
            } else {
                // The first inner call, which can be a read of the layer itself.
                bench.inside.act([Act::Fail(error)]);
            }
            match bench.call(args.clone(), None).await {
                Ok(_) => panic!("{case}: an error became an answer"),
                Err(error) => assert_eq!(error.kind(), kind, "{case}: {error}"),
            }
            bench.inside.behave();
        }
    }
}

/// Whether a call is for damaged messages: a failed read of the layer itself does not refuse such a call.
fn is_for_damaged(args: &PersistArgs) -> bool {
    match args {
        PersistArgs::Import(import) => import.restores_damaged,
        PersistArgs::Delete(delete) => delete.only_damaged,
        _ => false,
    }
}

/// For stacks of several layers, only one in so many errors is checked.
const SOME: usize = 9;

async fn each_kind(bench: Bench) {
    for (number, (case, args)) in every_field::writes("x").into_iter().chain(every_field::reads()).enumerate()
    {
        let bench = bench.for_tenant(&format!("n{number}"));
        if !bench.profile.hides.is_empty() {
            // A layer with reads of its own finds a message.
            bench.call(add("r"), None).await.expect("it is added");
        }
        for (at, error) in errors().into_iter().enumerate() {
            let key = (takes_keys(&args) && at % 2 == 0).then_some("k");
            let may_repeat =
                error.effect() == Effect::NotApplied || (key.is_some() && error.effect() == Effect::Unknown);
            let repeats = bench.profile.repeats && error.kind().passes_with_time() && may_repeat;
            // A read has no effect: the pipeline sets this, independent of the error.
            let cannot_be = matches!(args, PersistArgs::Read(_)) && error.effect() != Effect::NotApplied;
            if repeats || cannot_be || (!bench.is_one_layer() && (at + number) % SOME != 0) {
                continue;
            }
            let (answer, passed) = bench.scripted(args.clone(), key, Act::Fail(error.clone())).await;
            let reported = format!("{case}, {}, {:?}", error.kind(), error.effect());
            let Err(came) = answer else { panic!("{reported}: an error became an answer") };
            if bench.refuses_itself(&args, &came, &passed) {
                break;
            }
            assert_eq!((came.kind(), came.effect()), (error.kind(), error.effect()), "{reported}: {came}");
            assert_eq!(came.site(), Some(&Site::Layer("inside".into())), "{reported}: {came}");
            assert_eq!(passed.len(), 1, "{reported}: how often the call was passed on");
        }
    }
}

async fn panic(bench: Bench) {
    for (name, act) in [("called", Act::PanicWhenCalled), ("polled", Act::PanicWhenPolled)] {
        bench.inside.act([act]);
        let error = bench.call(add(name), None).await.expect_err("it panicked");
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Panicked, Effect::NotApplied), "{error}");
        assert_eq!(error.site(), Some(&Site::Layer("inside".into())), "{error}");
        bench.call(add(name), None).await.expect("the next call");
    }
}

async fn short_circuit(bench: Bench) {
    bench.call(add("m"), None).await.expect("it is added");
    // The inner form of the answer, which a layer that changes content does not return to its callers.
    let (came, _) = bench.passed(OpKind::Add).remove(0).answer.expect("it answered").expect("well");
    let PersistResult::Add(Added { message, .. }) = came else { unreachable!("an addition") };
    bench.call(Delete::new(operations::t(), id("m")).into(), None).await.expect("it is deleted");
    bench.inside.act([Act::Answer(Box::new(Added { message, deduplicated: true }.into()))]);
    let answer = bench.call(add("m"), None).await.expect("it is answered");
    assert!(answer.result.is_deduplicated());
    assert_eq!(answer.receipt.position, None);
    assert_eq!(everything(&bench.db.thread("t")).await, []);
}

async fn goes_on(bench: Bench) {
    for round in 0..20 {
        let error = PersistError::new(ErrorKind::Denied, "from inside").with_effect(Effect::NotApplied);
        let acts = [Act::Fail(error), Act::PanicWhenPolled, Act::PanicWhenCalled];
        for act in acts {
            bench.inside.act([act]);
            bench.call(add("m"), None).await.expect_err("it failed");
        }
        bench.call(add(&format!("m{round}")), None).await.expect("it serves as before");
    }
    assert_eq!(everything(&bench.db.thread("t")).await.len(), 20);
    // More failures than any limit of running calls.
    for number in 0..if bench.is_one_layer() { MANY } else { MANY / 8 } {
        let bench = bench.for_tenant(&format!("n{}", number / 200));
        let error = PersistError::new(ErrorKind::Denied, "from inside").with_effect(Effect::NotApplied);
        bench.inside.act([Act::Fail(error)]);
        let kind = bench.call(add("m"), None).await.expect_err("it failed").kind();
        assert_eq!(kind, ErrorKind::Denied, "the failure {number}");
    }
    bench.call(add("last"), None).await.expect("it serves as before");
}

/// The number of calls that fail before the last one.
const MANY: usize = 2400;

async fn own_error(bench: Bench) {
    for (by, refused) in bench.profile.refuses.clone() {
        let error = bench.call(refused, None).await.expect_err("it refuses that");
        assert_eq!(error.site().map(Site::name), Some(&*by), "{error}");
        assert_eq!(error.effect(), Effect::NotApplied, "{error}");
        assert_eq!(bench.inside.count(), 0, "it was passed on");
    }
    bench.call(add("m"), None).await.expect("the layer does not refuse this call");
}
