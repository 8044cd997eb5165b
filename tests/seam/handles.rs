//! Law 4 where a handle answers by itself: its errors say their effect and their site as those of a call do.

use throughline::{
    Effect, ErrorKind, MessageId, NewMessage, NewReservation, NewThread, OpKind, PersistArgs, PersistError,
    PersistRequest, PersistResult, Persistence, Phase, Position, ReadArgs, ReadResult, Role,
    ids::AttemptId,
    memory::MemoryBackend,
    messages::{PageFrom, Visibility},
    plugin::{NextRequest, from_fn},
    sessions::{Claimer, RunReport, Runtime},
    threads::ForkPoint,
};

use crate::said;

fn memory() -> Persistence {
    Persistence::builder().backend(MemoryBackend::new()).build().unwrap()
}

fn m(id: &str) -> MessageId {
    id.parse().unwrap()
}

/// As of the edge, with nothing applied.
fn is_local(error: &PersistError, kind: ErrorKind, operation: OpKind) {
    assert_eq!(said(error), (kind, Effect::NotApplied, "edge"), "{error}");
    assert_eq!(error.operation(), Some(operation), "{error}");
}

#[tokio::test]
async fn a_fork_that_cannot_begin_has_applied_nothing() {
    let db = memory();
    let thread = db.thread("t");
    thread.add(NewMessage::user("hello").with_id(m("m"))).await.unwrap();
    thread.reserve(NewReservation::new(Role::Assistant).with_id(m("open"))).await.unwrap();
    let to = |id: &str| NewThread::new().with_id(id.parse().unwrap());
    let of = async |at: &str, to: NewThread| thread.fork(&m(at), to).await.unwrap_err();
    is_local(&of("nope", to("f")).await, ErrorKind::NotFound, OpKind::Thread);
    is_local(&of("open", to("f")).await, ErrorKind::Conflict, OpKind::Thread);
    is_local(&of("m", to("t")).await, ErrorKind::Invalid, OpKind::Thread);
    is_local(&db.thread("").fork(&m("m"), to("f")).await.unwrap_err(), ErrorKind::Invalid, OpKind::Thread);
    assert_eq!(db.thread("f").entry().await.unwrap(), None);
}

/// Of a fork that stops in its midst there is a part, which no list shows.
#[tokio::test]
async fn a_fork_that_stops_in_its_midst_says_where() {
    let db = memory();
    let thread = db.thread("t");
    thread.add(NewMessage::user("hello").with_id(m("m"))).await.unwrap();
    let point = ForkPoint { thread: "t".parse().unwrap(), message: m("m") };
    let to = || NewThread::new().with_id("f".parse().unwrap());
    db.create_thread(to().forked_from(point).hidden()).await.unwrap();
    db.thread("f").add(NewMessage::user("another").with_id(m("m"))).await.unwrap();
    let error = thread.fork(&m("m"), to()).await.unwrap_err();
    assert_eq!(said(&error), (ErrorKind::Conflict, Effect::Unknown, "edge"));
    assert_eq!((error.operation(), error.thread().unwrap().as_str()), (Some(OpKind::Import), "f"));
}

#[tokio::test]
async fn a_fork_whose_message_goes_meanwhile_says_where() {
    let gone = from_fn("gone", Phase::Route, |request: PersistRequest, next: NextRequest| async move {
        let is_page = matches!(&request.args, PersistArgs::Read(ReadArgs::Page(_)));
        let mut answer = next.run(request).await?;
        if let (true, PersistResult::Read(ReadResult::Page(page))) = (is_page, &mut answer.result) {
            page.messages.clear();
        }
        Ok(answer)
    });
    let db = Persistence::builder().layer(gone).backend(MemoryBackend::new()).build().unwrap();
    db.thread("t").add(NewMessage::user("hello").with_id(m("m"))).await.unwrap();
    let error = db.thread("t").fork(&m("m"), NewThread::new()).await.unwrap_err();
    is_local(&error, ErrorKind::Gone, OpKind::Read);
}

#[tokio::test]
async fn an_unusable_id_is_refused_at_the_edge_by_every_call() {
    let db = memory();
    let none = db.thread("");
    is_local(&none.add(NewMessage::user("x")).await.unwrap_err(), ErrorKind::Invalid, OpKind::Add);
    let walked = none.walk(PageFrom::Start, Visibility::All).next().await.unwrap_err();
    is_local(&walked, ErrorKind::Invalid, OpKind::Read);
    is_local(&none.changes(Position::ZERO).unwrap_err(), ErrorKind::Invalid, OpKind::Read);
    is_local(&none.purge().await.unwrap_err(), ErrorKind::Invalid, OpKind::Thread);
    let nobody = db.agent("").on("t");
    let runtime = Runtime::new("laptop".parse().unwrap(), "root-1".parse().unwrap());
    let claimer = Claimer::new("claude".parse().unwrap(), runtime);
    is_local(&nobody.run(claimer).unwrap_err(), ErrorKind::Invalid, OpKind::Session);
    let report = RunReport::of("session-7".parse().unwrap());
    let confirmed = nobody.confirmation(AttemptId::mint(), report).unwrap_err();
    is_local(&confirmed, ErrorKind::Invalid, OpKind::Session);
}

#[tokio::test]
async fn a_draft_that_is_settled_refuses_at_the_edge() {
    let db = memory();
    let mut draft = db.thread("t").reserve(Role::Assistant).await.unwrap();
    draft.finish().await.unwrap();
    is_local(&draft.append("late").await.unwrap_err(), ErrorKind::Stale, OpKind::UpdateContent);
    is_local(&draft.abandon("no").await.unwrap_err(), ErrorKind::Stale, OpKind::UpdateContent);
}
