//! A layer that answers what it may not.

use throughline_core::{
    Effect, ErrorKind, Message, PersistArgs, PersistError, PersistRequest, PersistResult, Phase, ReadResult,
    Site,
    messages::{Add, Reserved, TakenMessage},
    plugin::{NextRequest, from_fn},
    threads::ThreadResult,
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{id, said},
};

checks! {
    Core "layers.wrong_answer_is_a_contract_violation" ("VL-S7") [Add Read] "a layer that answers for another variant, tenant, thread or id is named as a contract violation" => answers;
    Extended "layers.wrong_taken_message_is_a_contract_violation" ("VL-S7") [Add Thread Read] "a layer that answers `TakeLast` with a wrong message is named as a contract violation" => taken;
    Core "layers.wrong_forwarded_call_is_a_contract_violation" ("VL-S7") [Add Delete Read] "a layer that forwards another thread, id or operation is named, and no effect is applied" => passes_on;
}

/// A change that the misbehaving layer makes to an answer.
type Spoil = fn(&mut PersistResult);

const SPOILS: [(&str, Spoil); 5] = [
    ("id", |result| message(result).id = id("other")),
    ("thread", |result| message(result).thread = "other".parse().unwrap()),
    ("tenant", |result| message(result).tenant = "other".parse().unwrap()),
    ("variant", |result| {
        let message = message(result).clone();
        *result = Reserved { message, deduplicated: false }.into();
    }),
    ("read", |result| *result = ReadResult::Get(None).into()),
];

/// The message in an answer to `Add`.
fn message(result: &mut PersistResult) -> &mut Message {
    match result {
        PersistResult::Add(added) => &mut added.message,
        other => panic!("an answer to {:?}", other.kind()),
    }
}

async fn answers(rig: Rig) {
    for (case, spoil) in SPOILS {
        let rig = rig.sibling(case);
        let layer =
            from_fn("spoils", Phase::Observe, move |request: PersistRequest, next: NextRequest| async move {
                let is_write = request.kind().is_write();
                let mut response = next.run(request).await?;
                if is_write {
                    spoil(&mut response.result);
                }
                Ok(response)
            });
        let db = rig.builder().layer(layer).backend(rig.open().await).build().unwrap();
        let error = db.thread("t").add(said("m", "x")).await.expect_err(case);
        violation(&error, "spoils");
        // The write was made before the answer was spoilt, and that is what is said.
        assert_eq!(error.effect(), Effect::Applied, "{case}: {error}");
        assert!(db.thread("t").get(id("m")).await.unwrap().is_some());
    }
}

/// A change that the misbehaving layer makes to the answer to [`TakeLastMessage`](throughline_core::messages::TakeLastMessage).
type SpoilTaken = fn(&mut TakenMessage);

const SPOILS_OF_TAKEN: [(&str, SpoilTaken); 6] = [
    ("id", |taken| taken.message.as_mut().unwrap().id = id("other")),
    ("thread", |taken| taken.message.as_mut().unwrap().thread = "other".parse().unwrap()),
    ("tenant", |taken| taken.message.as_mut().unwrap().tenant = "other".parse().unwrap()),
    ("deleted-id", |taken| taken.deleted.as_mut().unwrap().id = id("other")),
    ("deleted-thread", |taken| taken.deleted.as_mut().unwrap().thread = "other".parse().unwrap()),
    ("deletion", |taken| taken.deleted = None),
];

async fn taken(rig: Rig) {
    let sound: (&str, SpoilTaken) = ("nothing", |_| {});
    for (case, spoil) in [sound].into_iter().chain(SPOILS_OF_TAKEN) {
        let rig = rig.sibling(case);
        let layer =
            from_fn("spoils", Phase::Observe, move |request: PersistRequest, next: NextRequest| async move {
                let mut response = next.run(request).await?;
                if let PersistResult::Thread(ThreadResult::TakeLast(taken)) = &mut response.result {
                    spoil(taken);
                }
                Ok(response)
            });
        let db = rig.builder().layer(layer).backend(rig.open().await).build().unwrap();
        db.thread("t").add(said("m", "x")).await.unwrap();
        let taken = db.thread("t").take_last().await;
        if case == "nothing" {
            assert_eq!(taken.expect(case).message.map(|message| message.id), Some(id("m")));
            continue;
        }
        let error = taken.expect_err(case);
        violation(&error, "spoils");
        assert_eq!(error.effect(), Effect::Applied, "{case}: {error}");
    }
}

#[track_caller]
fn violation(error: &PersistError, site: &str) {
    assert_eq!(error.kind(), ErrorKind::ContractViolation, "{error}");
    assert_eq!(error.site().map(Site::name), Some(site), "{error}");
}

async fn passes_on(rig: Rig) {
    let add = |thread: &str, name: &str| -> PersistArgs {
        Add::new(thread.parse().unwrap(), said(name, "x")).into()
    };
    let delete = throughline_core::messages::Delete::new("t".parse().unwrap(), id("m")).into();
    let others: [PersistArgs; 3] = [add("other", "m"), add("t", "other"), delete];
    for (number, other) in others.into_iter().enumerate() {
        let rig = rig.sibling(&number.to_string());
        let layer =
            from_fn("strays", Phase::Observe, move |mut request: PersistRequest, next: NextRequest| {
                let other = other.clone();
                async move {
                    if request.kind().is_write() {
                        request.args = other;
                    }
                    next.run(request).await
                }
            });
        let db = rig.builder().layer(layer).backend(rig.open().await).build().unwrap();
        let error = db.thread("t").add(said("m", "x")).await.expect_err("it strays");
        violation(&error, "strays");
        assert_eq!(error.effect(), Effect::NotApplied, "{error}");
        for (thread, name) in [("t", "m"), ("t", "other"), ("other", "m")] {
            assert_eq!(db.thread(thread).get(id(name)).await.unwrap(), None);
        }
    }
}
