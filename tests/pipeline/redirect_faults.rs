//! Law 8 with a fault between the two stores of a redirect: the target has the message, and the local store missed the change.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use throughline::{
    Content, Delta, Effect, ErrorKind, Message, MessageId, MessageState, NewMessage, NewReservation, OpKind,
    PersistArgs, Persistence, Role, Thread, Timestamp,
    memory::MemoryBackend,
    messages::{ContentChange, PageFrom, Reserve, UpdateMode, Visibility},
    redirect::redirect_messages,
};

use tokio::task::yield_now;

use crate::{
    blocked::{BlockedStore, OPEN},
    faults::{Fault, Faults},
};

/// A redirect of the assistant's messages, faults in both stores, and a clock.
struct Stores {
    db: Persistence,
    target: Persistence,
    local_faults: Faults,
    target_faults: Faults,
    clock: Arc<AtomicI64>,
}

fn stores() -> Stores {
    let (local_faults, target_faults, clock) = (Faults::default(), Faults::default(), Arc::default());
    let now = |clock: &Arc<AtomicI64>| {
        let clock = Arc::clone(clock);
        move || Timestamp::from_micros(clock.load(Ordering::SeqCst))
    };
    let target = Persistence::builder().clock(now(&clock)).layer(target_faults.layer());
    let target = target.backend(MemoryBackend::new().with_name("target")).build().unwrap();
    let rule = |args: &PersistArgs| match args {
        PersistArgs::Add(add) => add.role == Role::Assistant,
        PersistArgs::Reserve(reserve) => reserve.role == Role::Assistant,
        _ => false,
    };
    let db = Persistence::builder()
        .clock(now(&clock))
        .layer(redirect_messages("vault", rule, target.clone()))
        .layer(local_faults.layer())
        .backend(MemoryBackend::new().with_name("here"))
        .build()
        .unwrap();
    Stores { db, target, local_faults, target_faults, clock }
}

fn m() -> MessageId {
    "m".parse().unwrap()
}

fn answer() -> NewMessage {
    NewMessage::assistant("whole").with_id(m())
}

/// Returns the history that a model receives.
async fn history(thread: &Thread) -> Vec<Message> {
    thread.page_showing(PageFrom::Start, 10, Visibility::Final).await.unwrap().messages
}

impl Stores {
    fn thread(&self) -> Thread {
        self.db.thread("t")
    }

    async fn read(&self) -> Message {
        self.thread().get(m()).await.unwrap().expect("the message is stored")
    }

    async fn in_target(&self) -> Option<Message> {
        self.target.thread("t").get(m()).await.unwrap()
    }

    /// Recovers expired drafts. Checks that nothing fails and that nothing is abandoned.
    async fn recover(&self) {
        self.clock.fetch_add(3_600_000_000, Ordering::SeqCst);
        let recovered = self.db.recover_expired_drafts("its writer is gone").await.unwrap();
        assert!(recovered.failed.is_empty() && recovered.abandoned.is_empty(), "{recovered:?}");
        assert!(self.db.open_reservations(10).await.unwrap().messages.is_empty());
    }
}

#[tokio::test]
async fn an_add_whose_local_row_stays_open_succeeds_and_recovery_settles_the_row() {
    for fault in [Fault::Refused, Fault::NeverArrived, Fault::AnswerLost] {
        let stores = stores();
        stores.local_faults.next(OpKind::UpdateContent, &[fault]);
        let added = stores.thread().add(answer()).await.expect("the target has the message");
        assert!(stores.local_faults.are_used_up(), "{fault:?} occurred");
        assert_eq!(stores.read().await, added.message, "{fault:?}");
        assert_eq!(stores.in_target().await.map(|kept| kept.content), Some(Content::text("whole")));
        // Later messages follow it, whatever the state of its local row.
        stores.thread().add(NewMessage::user("next")).await.unwrap();
        stores.recover().await;
        assert_eq!(stores.read().await, added.message, "{fault:?}, recovered");
        let history = history(&stores.thread()).await;
        assert_eq!((history.len(), &history[0]), (2, &added.message), "{fault:?}");
    }
}

#[tokio::test]
async fn recovery_settles_a_local_row_like_the_message_in_the_target() {
    let abandon = || UpdateMode::Abandon { reason: Some("stopped".to_owned()) };
    for (mode, state) in [(UpdateMode::Final, MessageState::Final), (abandon(), MessageState::Abandoned)] {
        let stores = stores();
        let thread = stores.thread();
        let reservation = NewReservation::new(Role::Assistant).with_id(m());
        stores.db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
        let append = |text| ContentChange::Append(Delta::text(text));
        thread.update_content(m(), append("half"), UpdateMode::Partial).await.unwrap();
        stores.local_faults.next(OpKind::UpdateContent, &[Fault::Refused]);
        let ended = thread.update_content(m(), append(" more"), mode.clone()).await.unwrap();
        assert_eq!((ended.state, stores.local_faults.are_used_up()), (state, true));
        let ended_message = stores.read().await;
        assert_eq!((&ended_message.content, ended_message.state), (&Content::text("half more"), state));
        stores.recover().await;
        assert_eq!(stores.read().await, ended_message, "recovery learns how the message ended");
        assert_eq!(
            ended_message.abandon_reason.as_deref(),
            (state == MessageState::Abandoned).then_some("stopped")
        );
        assert_eq!(history(&thread).await.len(), usize::from(state == MessageState::Final));
    }
}

/// The call is repeated with its key after a loss between the two stores.
#[tokio::test]
async fn a_repeated_add_with_its_key_completes_an_interrupted_add() {
    let cases = [
        ("the local reservation", OpKind::Reserve, Fault::AnswerLost, true),
        ("the message in the target", OpKind::Add, Fault::AnswerLost, false),
        ("the message in the target, not made", OpKind::Add, Fault::NeverArrived, false),
        ("the message in the target, refused", OpKind::Add, Fault::Refused, false),
        ("the local finish", OpKind::UpdateContent, Fault::NeverArrived, true),
    ];
    for (case, kind, fault, is_local) in cases {
        let stores = stores();
        let faults = if is_local { &stores.local_faults } else { &stores.target_faults };
        faults.next(kind, &[fault]);
        let add = || stores.thread().add(answer()).key("k");
        let first = add().await;
        assert!(faults.are_used_up(), "{case}");
        if let Err(error) = &first {
            // Either no store has the message, or the effect is unknown.
            let kept = stores.in_target().await.is_some();
            assert!(error.effect() == Effect::Unknown || !kept, "{case}: {error}");
            assert!(error.is_transient(), "{case}: {error}");
        }
        let again = add().await.unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(stores.read().await, again.message, "{case}");
        assert_eq!(history(&stores.thread()).await, [again.message], "{case}");
        assert!(stores.db.open_reservations(10).await.unwrap().messages.is_empty(), "{case}");
        assert_eq!(stores.target.thread("t").page(PageFrom::Start, 10).await.unwrap().messages.len(), 1);
    }
}

#[tokio::test]
async fn an_add_without_a_key_whose_answer_was_lost_can_be_read_by_its_id() {
    let stores = stores();
    stores.target_faults.next(OpKind::Add, &[Fault::AnswerLost]);
    let error = stores.thread().add(answer()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown), "{error}");
    assert_eq!(error.message(), Some(&m()));
    let stored = stores.read().await;
    assert_eq!((&stored.content, stored.state), (&Content::text("whole"), MessageState::Final));
    stores.recover().await;
    assert_eq!(history(&stores.thread()).await, [stored]);
}

/// The caller leaves between the two writes; the call completes in both stores.
#[tokio::test]
async fn an_add_completes_in_both_stores_after_its_caller_left() {
    let (blocked, barriers) = BlockedStore::new(0, OPEN);
    let target = Persistence::builder().backend(blocked).build().unwrap();
    let layer = redirect_messages("vault", |_: &PersistArgs| true, target);
    let db = Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap();
    let dropped = tokio::spawn(db.thread("t").add(answer()).into_future());
    barriers.arrival().await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    barriers.before.add_permits(OPEN);
    // Both stores are in memory, so the call needs only polls, no time.
    for _ in 0..1000 {
        yield_now().await;
    }
    let history = history(&db.thread("t")).await;
    assert_eq!(history.iter().map(|message| &message.content).collect::<Vec<_>>(), [&Content::text("whole")]);
}

#[tokio::test]
async fn a_delete_that_failed_in_the_local_store_can_be_repeated() {
    let stores = stores();
    let seq = stores.thread().add(answer()).await.unwrap().message.seq;
    stores.local_faults.next(OpKind::Delete, &[Fault::Refused]);
    let error = stores.thread().delete(m()).await.unwrap_err();
    assert_ne!(error.effect(), Effect::NotApplied, "the target has deleted it: {error}");
    assert_eq!(stores.in_target().await, None);
    assert_eq!(stores.thread().delete(m()).await.unwrap().seq, seq);
    assert_eq!(stores.thread().get(m()).await.unwrap(), None);
}

#[tokio::test]
async fn a_delete_that_failed_in_the_local_store_shows_no_empty_message() {
    let stores = stores();
    let before = stores.thread().add(answer()).await.unwrap().message;
    stores.local_faults.next(OpKind::Delete, &[Fault::Refused]);
    let error = stores.thread().delete(m()).await.unwrap_err();
    let after = stores.thread().get(m()).await.unwrap();
    match error.effect() {
        Effect::Applied => assert_eq!(after, None, "{error}"),
        Effect::NotApplied => assert_eq!(after, Some(before), "{error}"),
        Effect::Unknown => assert!(after.is_none() || after == Some(before), "{error}"),
    }
    assert_eq!(history(&stores.thread()).await, after.as_slice());
}

/// Adds a message that the target refuses once. Checks that no store has it.
async fn add_refused_by_target(stores: &Stores, message: NewMessage) {
    stores.target_faults.next(OpKind::Add, &[Fault::Refused]);
    let error = stores.thread().add(message).await.unwrap_err();
    assert_eq!(error.effect(), Effect::NotApplied);
    let shown = stores.thread().page(PageFrom::Start, 10).await.unwrap().messages;
    assert_eq!(shown, [], "no message is stored");
    assert_eq!(stores.thread().get(m()).await.unwrap(), None);
}

#[tokio::test]
async fn recovery_abandons_a_local_row_whose_message_the_target_refused() {
    let stores = stores();
    add_refused_by_target(&stores, answer()).await;
    let later = stores.thread().add(NewMessage::user("later")).await.unwrap().message;
    assert_eq!(stores.db.open_reservations(10).await.unwrap().messages.len(), 1);
    stores.clock.store(3_600_000_000, Ordering::SeqCst);
    let recovered = stores.db.recover_expired_drafts("its writer is gone").await.unwrap();
    assert_eq!((recovered.abandoned.len(), recovered.failed.len()), (1, 0));
    assert!(stores.db.open_reservations(10).await.unwrap().messages.is_empty());
    let settled = stores.thread().page_showing(PageFrom::Start, 10, Visibility::Settled).await.unwrap();
    assert_eq!(settled.messages, [later]);
}

#[tokio::test]
async fn an_add_with_a_key_can_be_repeated_after_the_target_refused_it() {
    let stores = stores();
    let add = || stores.thread().add(NewMessage::assistant("whole")).key("k");
    stores.target_faults.next(OpKind::Add, &[Fault::Refused]);
    let refused = add().await.unwrap_err();
    assert_eq!(refused.effect(), Effect::NotApplied);
    let repeated = add().await.unwrap();
    assert!(repeated.deduplicated);
    let again = add().await.unwrap();
    assert_eq!(again.message.id, repeated.message.id);
    assert_eq!(history(&stores.thread()).await.len(), 1);
}

#[tokio::test]
async fn a_given_id_can_be_used_again_after_the_target_denied_it() {
    let stores = stores();
    stores.target_faults.next(OpKind::Add, &[Fault::Denied]);
    let refused = stores.thread().add(answer()).await.unwrap_err();
    assert_eq!((refused.kind(), refused.effect()), (ErrorKind::Denied, Effect::NotApplied));
    let added = stores.thread().add(answer()).await.unwrap().message;
    assert_eq!(history(&stores.thread()).await, [added]);
}

#[tokio::test]
async fn a_reservation_with_a_key_can_be_repeated_after_the_target_refused_it() {
    let stores = stores();
    let reserve = || stores.thread().reserve(Role::Assistant).key("k");
    stores.target_faults.next(OpKind::Reserve, &[Fault::Refused]);
    assert_eq!(reserve().await.unwrap_err().effect(), Effect::NotApplied);
    let mut draft = reserve().await.unwrap();
    assert!(draft.deduplicated());
    draft.append("whole").await.unwrap();
    draft.finish().await.unwrap();
    let [message] = &history(&stores.thread()).await[..] else { panic!("one message") };
    assert_eq!((&message.id, &message.content), (draft.id(), &Content::text("whole")));
}

#[tokio::test]
async fn a_page_skips_local_rows_without_a_message() {
    let stores = stores();
    add_refused_by_target(&stores, answer()).await;
    let later = stores.thread().add(NewMessage::user("later")).await.unwrap().message;
    let page = stores.thread().page(PageFrom::Start, 1).await.unwrap();
    assert_eq!((page.messages, page.has_more), (vec![later.clone()], false));
    let page = stores.thread().page(PageFrom::Before(later.seq), 1).await.unwrap();
    assert_eq!((page.messages, page.has_more), (vec![], false));
}
