//! Law 4 for errors that a handle returns itself: they have a site and an effect like the errors of a call.

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

use crate::kind_effect_site;

fn memory() -> Persistence {
    Persistence::builder().backend(MemoryBackend::new()).build().unwrap()
}

fn m(id: &str) -> MessageId {
    id.parse().unwrap()
}

/// Checks that the error comes from the edge, with nothing applied.
fn assert_edge_error(error: &PersistError, kind: ErrorKind, operation: OpKind) {
    assert_eq!(kind_effect_site(error), (kind, Effect::NotApplied, "edge"), "{error}");
    assert_eq!(error.operation(), Some(operation), "{error}");
}

#[tokio::test]
async fn a_fork_that_is_refused_at_its_start_reports_not_applied() {
    let db = memory();
    let thread = db.thread("t");
    thread.add(NewMessage::user("hello").with_id(m("m"))).await.unwrap();
    thread.reserve(NewReservation::new(Role::Assistant).with_id(m("open"))).await.unwrap();
    let to = |id: &str| NewThread::new().with_id(id.parse().unwrap());
    let fork_error = async |at: &str, to: NewThread| thread.fork(&m(at), to).await.unwrap_err();
    assert_edge_error(&fork_error("nope", to("f")).await, ErrorKind::NotFound, OpKind::Thread);
    assert_edge_error(&fork_error("open", to("f")).await, ErrorKind::Conflict, OpKind::Thread);
    assert_edge_error(&fork_error("m", to("t")).await, ErrorKind::Invalid, OpKind::Thread);
    assert_edge_error(
        &db.thread("").fork(&m("m"), to("f")).await.unwrap_err(),
        ErrorKind::Invalid,
        OpKind::Thread,
    );
    assert_eq!(db.thread("f").summary().await.unwrap(), None);
}

/// A fork that fails midway leaves a hidden thread.
#[tokio::test]
async fn a_fork_that_fails_midway_names_the_import_and_the_new_thread() {
    let db = memory();
    let thread = db.thread("t");
    thread.add(NewMessage::user("hello").with_id(m("m"))).await.unwrap();
    let point = ForkPoint { thread: "t".parse().unwrap(), message: m("m") };
    let to = || NewThread::new().with_id("f".parse().unwrap());
    db.create_thread(to().forked_from(point).hidden()).await.unwrap();
    db.thread("f").add(NewMessage::user("another").with_id(m("m"))).await.unwrap();
    let error = thread.fork(&m("m"), to()).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Conflict, Effect::Unknown, "edge"));
    assert_eq!((error.operation(), error.thread().unwrap().as_str()), (Some(OpKind::Import), "f"));
}

#[tokio::test]
async fn a_fork_whose_message_is_deleted_meanwhile_reports_gone() {
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
    assert_edge_error(&error, ErrorKind::Gone, OpKind::Read);
}

#[tokio::test]
async fn every_call_with_an_invalid_id_is_refused_at_the_edge() {
    let db = memory();
    let invalid = db.thread("");
    assert_edge_error(
        &invalid.add(NewMessage::user("x")).await.unwrap_err(),
        ErrorKind::Invalid,
        OpKind::Add,
    );
    let walked = invalid.walk(PageFrom::Start, Visibility::All).next().await.unwrap_err();
    assert_edge_error(&walked, ErrorKind::Invalid, OpKind::Read);
    assert_edge_error(&invalid.changes(Position::ZERO).unwrap_err(), ErrorKind::Invalid, OpKind::Read);
    assert_edge_error(&invalid.purge().await.unwrap_err(), ErrorKind::Invalid, OpKind::Thread);
    let agent_thread = db.agent("").on("t");
    let runtime = Runtime::new("laptop".parse().unwrap(), "root-1".parse().unwrap());
    let claimer = Claimer::new("claude".parse().unwrap(), runtime);
    assert_edge_error(&agent_thread.run(claimer).unwrap_err(), ErrorKind::Invalid, OpKind::Session);
    let report = RunReport::of("session-7".parse().unwrap());
    let confirmed = agent_thread.confirmation(AttemptId::mint(), report).unwrap_err();
    assert_edge_error(&confirmed, ErrorKind::Invalid, OpKind::Session);
}

#[tokio::test]
async fn append_and_abandon_after_finish_are_refused_at_the_edge() {
    let db = memory();
    let mut draft = db.thread("t").reserve(Role::Assistant).await.unwrap();
    draft.finish().await.unwrap();
    assert_edge_error(&draft.append("late").await.unwrap_err(), ErrorKind::Stale, OpKind::UpdateContent);
    assert_edge_error(&draft.abandon("no").await.unwrap_err(), ErrorKind::Stale, OpKind::UpdateContent);
}
