//! Law 8 with a fault between the two stores of a redirect: the other side has the message, and this side missed it.

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
    faults::{Fault, Faults},
    gated::{Gated, OPEN},
};

/// A redirect of all that the assistant says, faults on either side of it, and a clock.
struct Sides {
    db: Persistence,
    there: Persistence,
    faults_here: Faults,
    faults_there: Faults,
    clock: Arc<AtomicI64>,
}

fn sides() -> Sides {
    let (faults_here, faults_there, clock) = (Faults::default(), Faults::default(), Arc::default());
    let now = |clock: &Arc<AtomicI64>| {
        let clock = Arc::clone(clock);
        move || Timestamp::from_micros(clock.load(Ordering::SeqCst))
    };
    let there = Persistence::builder().clock(now(&clock)).layer(faults_there.layer());
    let there = there.backend(MemoryBackend::new().with_name("there")).build().unwrap();
    let rule = |args: &PersistArgs| match args {
        PersistArgs::Add(add) => add.role == Role::Assistant,
        PersistArgs::Reserve(reserve) => reserve.role == Role::Assistant,
        _ => false,
    };
    let db = Persistence::builder()
        .clock(now(&clock))
        .layer(redirect_messages("vault", rule, there.clone()))
        .layer(faults_here.layer())
        .backend(MemoryBackend::new().with_name("here"))
        .build()
        .unwrap();
    Sides { db, there, faults_here, faults_there, clock }
}

fn m() -> MessageId {
    "m".parse().unwrap()
}

fn answer() -> NewMessage {
    NewMessage::assistant("whole").with_id(m())
}

/// What a model is shown.
async fn history(thread: &Thread) -> Vec<Message> {
    thread.page_showing(PageFrom::Start, 10, Visibility::Final).await.unwrap().messages
}

impl Sides {
    fn thread(&self) -> Thread {
        self.db.thread("t")
    }

    async fn read(&self) -> Message {
        self.thread().get(m()).await.unwrap().expect("it is there")
    }

    async fn kept_there(&self) -> Option<Message> {
        self.there.thread("t").get(m()).await.unwrap()
    }

    /// Sweeps after the lease has expired: nothing fails, and nothing is abandoned.
    async fn sweep(&self) {
        self.clock.fetch_add(3_600_000_000, Ordering::SeqCst);
        let recovered = self.db.recover_expired_drafts("its writer is gone").await.unwrap();
        assert!(recovered.failed.is_empty() && recovered.abandoned.is_empty(), "{recovered:?}");
        assert!(self.db.open_reservations(10).await.unwrap().messages.is_empty());
    }
}

#[tokio::test]
async fn an_addition_whose_row_here_was_not_settled_is_answered_shown_and_settled_by_the_sweep() {
    for fault in [Fault::Refused, Fault::NeverArrived, Fault::AnswerLost] {
        let sides = sides();
        sides.faults_here.next(OpKind::UpdateContent, &[fault]);
        let added =
            sides.thread().add(answer()).await.expect("the message is there, and that is what counts");
        assert!(sides.faults_here.are_over(), "{fault:?} has come");
        assert_eq!(sides.read().await, added.message, "{fault:?}");
        assert_eq!(sides.kept_there().await.map(|kept| kept.content), Some(Content::text("whole")));
        // Later ones stand behind it, whatever became of its row.
        sides.thread().add(NewMessage::user("next")).await.unwrap();
        sides.sweep().await;
        assert_eq!(sides.read().await, added.message, "{fault:?}, recovered");
        let history = history(&sides.thread()).await;
        assert_eq!((history.len(), &history[0]), (2, &added.message), "{fault:?}");
    }
}

#[tokio::test]
async fn an_end_whose_row_here_was_not_settled_is_what_the_sweep_makes_of_it() {
    let abandon = || UpdateMode::Abandon { reason: Some("stopped".to_owned()) };
    for (mode, state) in [(UpdateMode::Final, MessageState::Final), (abandon(), MessageState::Abandoned)] {
        let sides = sides();
        let thread = sides.thread();
        let reservation = NewReservation::new(Role::Assistant).with_id(m());
        sides.db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
        let append = |text| ContentChange::Append(Delta::text(text));
        thread.update_content(m(), append("half"), UpdateMode::Partial).await.unwrap();
        sides.faults_here.next(OpKind::UpdateContent, &[Fault::Refused]);
        let ended = thread.update_content(m(), append(" more"), mode.clone()).await.unwrap();
        assert_eq!((ended.state, sides.faults_here.are_over()), (state, true));
        let told = sides.read().await;
        assert_eq!((&told.content, told.state), (&Content::text("half more"), state));
        sides.sweep().await;
        assert_eq!(sides.read().await, told, "the sweep learns how it ended");
        assert_eq!(told.abandon_reason.as_deref(), (state == MessageState::Abandoned).then_some("stopped"));
        assert_eq!(history(&thread).await.len(), usize::from(state == MessageState::Final));
    }
}

/// The call is made again with its key, whatever was lost between the two stores.
#[tokio::test]
async fn a_repeated_addition_settles_what_the_first_one_left() {
    let cases = [
        ("the reservation here", OpKind::Reserve, Fault::AnswerLost, true),
        ("the message there", OpKind::Add, Fault::AnswerLost, false),
        ("the message there, not made", OpKind::Add, Fault::NeverArrived, false),
        ("the message there, refused", OpKind::Add, Fault::Refused, false),
        ("the end here", OpKind::UpdateContent, Fault::NeverArrived, true),
    ];
    for (what, kind, fault, is_here) in cases {
        let sides = sides();
        let faults = if is_here { &sides.faults_here } else { &sides.faults_there };
        faults.next(kind, &[fault]);
        let add = || sides.thread().add(answer()).key("k");
        let first = add().await;
        assert!(faults.are_over(), "{what}");
        if let Err(error) = &first {
            // Nothing of the message is anywhere, or it is not known.
            let kept = sides.kept_there().await.is_some();
            assert!(error.effect() == Effect::Unknown || !kept, "{what}: {error}");
            assert!(error.is_transient(), "{what}: {error}");
        }
        let again = add().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(sides.read().await, again.message, "{what}");
        assert_eq!(history(&sides.thread()).await, [again.message], "{what}");
        assert!(sides.db.open_reservations(10).await.unwrap().messages.is_empty(), "{what}");
        assert_eq!(sides.there.thread("t").page(PageFrom::Start, 10).await.unwrap().messages.len(), 1);
    }
}

#[tokio::test]
async fn an_addition_without_a_key_whose_answer_was_lost_there_is_learnt_by_its_id() {
    let sides = sides();
    sides.faults_there.next(OpKind::Add, &[Fault::AnswerLost]);
    let error = sides.thread().add(answer()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown), "{error}");
    assert_eq!(error.message(), Some(&m()));
    let learnt = sides.read().await;
    assert_eq!((&learnt.content, learnt.state), (&Content::text("whole"), MessageState::Final));
    sides.sweep().await;
    assert_eq!(history(&sides.thread()).await, [learnt]);
}

/// A caller that leaves between the two: the call goes on, here as well.
#[tokio::test]
async fn an_addition_whose_caller_leaves_between_the_two_is_settled_on_both_sides() {
    let (gated, gates) = Gated::new(0, OPEN);
    let there = Persistence::builder().backend(gated).build().unwrap();
    let layer = redirect_messages("vault", |_: &PersistArgs| true, there);
    let db = Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap();
    let left = tokio::spawn(db.thread("t").add(answer()).into_future());
    gates.arrival().await;
    left.abort();
    assert!(left.await.unwrap_err().is_cancelled());
    gates.before.add_permits(OPEN);
    // Both stores are in memory: it needs no time, only turns.
    for _ in 0..1000 {
        yield_now().await;
    }
    let history = history(&db.thread("t")).await;
    assert_eq!(history.iter().map(|message| &message.content).collect::<Vec<_>>(), [&Content::text("whole")]);
}

#[tokio::test]
async fn a_deletion_that_missed_the_row_here_can_be_made_again() {
    let sides = sides();
    let seq = sides.thread().add(answer()).await.unwrap().message.seq;
    sides.faults_here.next(OpKind::Delete, &[Fault::Refused]);
    let error = sides.thread().delete(m()).await.unwrap_err();
    assert_ne!(error.effect(), Effect::NotApplied, "it is gone there: {error}");
    assert_eq!(sides.kept_there().await, None);
    assert_eq!(sides.thread().delete(m()).await.unwrap().seq, seq);
    assert_eq!(sides.thread().get(m()).await.unwrap(), None);
}

#[tokio::test]
async fn a_deletion_that_missed_the_row_here_shows_no_empty_message() {
    let sides = sides();
    let before = sides.thread().add(answer()).await.unwrap().message;
    sides.faults_here.next(OpKind::Delete, &[Fault::Refused]);
    let error = sides.thread().delete(m()).await.unwrap_err();
    let after = sides.thread().get(m()).await.unwrap();
    match error.effect() {
        Effect::Applied => assert_eq!(after, None, "{error}"),
        Effect::NotApplied => assert_eq!(after, Some(before), "{error}"),
        Effect::Unknown => assert!(after.is_none() || after == Some(before), "{error}"),
    }
    assert_eq!(history(&sides.thread()).await, after.as_slice());
}

/// What the other side refuses once, while nothing of it is anywhere.
async fn refused_there(sides: &Sides, message: NewMessage) {
    sides.faults_there.next(OpKind::Add, &[Fault::Refused]);
    let error = sides.thread().add(message).await.unwrap_err();
    assert_eq!(error.effect(), Effect::NotApplied);
    let shown = sides.thread().page(PageFrom::Start, 10).await.unwrap().messages;
    assert_eq!(shown, [], "nothing of it is there");
    assert_eq!(sides.thread().get(m()).await.unwrap(), None);
}

#[tokio::test]
async fn a_row_whose_message_never_arrived_is_settled_by_the_sweep() {
    let sides = sides();
    refused_there(&sides, answer()).await;
    let later = sides.thread().add(NewMessage::user("later")).await.unwrap().message;
    assert_eq!(sides.db.open_reservations(10).await.unwrap().messages.len(), 1);
    sides.clock.store(3_600_000_000, Ordering::SeqCst);
    let recovered = sides.db.recover_expired_drafts("its writer is gone").await.unwrap();
    assert_eq!((recovered.abandoned.len(), recovered.failed.len()), (1, 0));
    assert!(sides.db.open_reservations(10).await.unwrap().messages.is_empty());
    let settled = sides.thread().page_showing(PageFrom::Start, 10, Visibility::Settled).await.unwrap();
    assert_eq!(settled.messages, [later]);
}

#[tokio::test]
async fn a_call_with_a_key_that_was_refused_there_can_be_repeated() {
    let sides = sides();
    let add = || sides.thread().add(NewMessage::assistant("whole")).key("k");
    sides.faults_there.next(OpKind::Add, &[Fault::Refused]);
    let refused = add().await.unwrap_err();
    assert_eq!(refused.effect(), Effect::NotApplied);
    let repeated = add().await.unwrap();
    assert!(repeated.deduplicated);
    let again = add().await.unwrap();
    assert_eq!(again.message.id, repeated.message.id);
    assert_eq!(history(&sides.thread()).await.len(), 1);
}

#[tokio::test]
async fn an_id_of_the_callers_own_lives_on_after_a_refusal_for_good() {
    let sides = sides();
    sides.faults_there.next(OpKind::Add, &[Fault::Denied]);
    let refused = sides.thread().add(answer()).await.unwrap_err();
    assert_eq!((refused.kind(), refused.effect()), (ErrorKind::Denied, Effect::NotApplied));
    let added = sides.thread().add(answer()).await.unwrap().message;
    assert_eq!(history(&sides.thread()).await, [added]);
}

#[tokio::test]
async fn a_reservation_with_a_key_that_was_refused_there_can_be_repeated() {
    let sides = sides();
    let reserve = || sides.thread().reserve(Role::Assistant).key("k");
    sides.faults_there.next(OpKind::Reserve, &[Fault::Refused]);
    assert_eq!(reserve().await.unwrap_err().effect(), Effect::NotApplied);
    let mut draft = reserve().await.unwrap();
    assert!(draft.deduplicated());
    draft.append("whole").await.unwrap();
    draft.finish().await.unwrap();
    let [message] = &history(&sides.thread()).await[..] else { panic!("one message") };
    assert_eq!((&message.id, &message.content), (draft.id(), &Content::text("whole")));
}

#[tokio::test]
async fn a_page_of_nothing_but_rows_without_a_message_leads_on_to_the_next() {
    let sides = sides();
    refused_there(&sides, answer()).await;
    let later = sides.thread().add(NewMessage::user("later")).await.unwrap().message;
    let page = sides.thread().page(PageFrom::Start, 1).await.unwrap();
    assert_eq!((page.messages, page.has_more), (vec![later.clone()], false));
    let page = sides.thread().page(PageFrom::Before(later.seq), 1).await.unwrap();
    assert_eq!((page.messages, page.has_more), (vec![], false));
}
