//! The stream of a thread goes on behind what cannot be read.

use throughline::{
    Effect, ErrorKind, NewMessage, PersistArgs, PersistError, PersistRequest, Persistence, Phase, Position,
    ReadArgs,
    changes::{ThreadEvent, ThreadStream},
    memory::MemoryBackend,
    messages::{ContentChange, UpdateMode},
    plugin::{NextRequest, from_fn},
};

use crate::follow::{append, id, reserve};

/// Returns a store that answers the reads of the thread, and of messages whose id begins with "lost", with this error.
fn failing(kind: ErrorKind) -> Persistence {
    let fault =
        from_fn("fault", Phase::Route, move |request: PersistRequest, next: NextRequest| async move {
            let fails = match &request.args {
                PersistArgs::Read(ReadArgs::Thread(_)) => true,
                PersistArgs::Read(ReadArgs::Get(get)) => get.id.as_str().starts_with("lost"),
                PersistArgs::Read(ReadArgs::Content(read)) => read.id.as_str().starts_with("lost"),
                _ => false,
            };
            if fails {
                return Err(PersistError::new(kind, "this cannot be read").with_effect(Effect::NotApplied));
            }
            next.run(request).await
        });
    Persistence::builder().layer(fault).backend(MemoryBackend::new()).build().unwrap()
}

async fn names_of_all(stream: &mut ThreadStream) -> Vec<&'static str> {
    let mut names = Vec::new();
    while let Some(next) = stream.next_now().await.unwrap() {
        match &next.event {
            ThreadEvent::Unreadable { why } => assert!(why.contains("this cannot be read"), "{why}"),
            ThreadEvent::Damaged(damaged) => {
                assert!(damaged.id.as_ref().is_some_and(|id| id.as_str().starts_with("lost")));
            }
            _ => {}
        }
        names.push(next.event.as_str());
    }
    names
}

#[tokio::test]
async fn a_thread_and_messages_that_cannot_be_read_are_events() {
    for kind in [ErrorKind::Corrupt, ErrorKind::Gone] {
        let db = failing(kind);
        let thread = db.thread("t");
        let mut stream = thread.follow(Position::ZERO);
        thread.add(NewMessage::user("x").with_id(id("lost-1"))).await.unwrap();
        thread.rename("Lisbon".parse().unwrap()).await.unwrap();
        assert_eq!(names_of_all(&mut stream).await, ["damaged", "unreadable"], "{kind:?}");
        reserve(&thread, "lost-2").await;
        append(&thread, "lost-2", "text").await;
        assert_eq!(names_of_all(&mut stream).await, ["damaged", "damaged"], "{kind:?}");
        let mode = UpdateMode::Abandon { reason: Some("stopped".to_owned()) };
        thread.update_content(id("lost-2"), ContentChange::none(), mode).await.unwrap();
        thread.add(NewMessage::user("x")).await.unwrap();
        assert_eq!(names_of_all(&mut stream).await, ["damaged", "added"], "{kind:?}");
        thread.clear().await.unwrap();
        thread.delete_thread().await.unwrap();
        assert_eq!(names_of_all(&mut stream).await, ["cleared", "threadDeleted"], "{kind:?}");
    }
}

#[tokio::test]
async fn another_error_of_a_read_is_returned_and_the_stream_stays() {
    let db = failing(ErrorKind::Busy);
    let thread = db.thread("t");
    thread.add(NewMessage::user("x")).await.unwrap();
    thread.rename("Lisbon".parse().unwrap()).await.unwrap();
    let mut stream = thread.follow(Position::ZERO);
    assert_eq!(stream.next_now().await.unwrap().unwrap().event.as_str(), "added");
    for _ in 0..2 {
        assert_eq!(stream.next_now().await.unwrap_err().kind(), ErrorKind::Busy);
    }
}
