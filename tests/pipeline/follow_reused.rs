//! The stream of a thread that reuses ids: content of one message is never shown as that of another one with its id.

use throughline::{
    Content, Delta, MessageState, NewMessage, NewThread, Position, Thread,
    changes::{StreamCursor, ThreadEvent},
    messages::{ContentChange, UpdateMode},
};

use super::follow::{Reader, append, id, partial, reserve, stacks};

/// The events from a cursor on, as the reader takes them.
async fn read(
    thread: &Thread,
    cursor: StreamCursor,
    reader: &mut Reader,
) -> (Vec<&'static str>, StreamCursor) {
    let mut stream = thread.follow(cursor);
    let mut events = Vec::new();
    while let Some(next) = stream.next_now().await.unwrap() {
        reader.take(&next.event);
        events.push(next.event.as_str());
    }
    (events, stream.cursor().clone())
}

#[tokio::test]
async fn a_deletion_and_the_next_message_of_the_id_are_shown_in_order() {
    for db in stacks().await {
        let new = NewThread::new().with_id("t".parse().unwrap()).reusing_ids();
        db.create_thread(new).await.unwrap();
        let thread = db.thread("t");
        let mut reader = Reader::default();
        reserve(&thread, "m").await;
        append(&thread, "m", "the old text").await;
        let (events, cursor) = read(&thread, Position::ZERO.into(), &mut reader).await;
        assert_eq!(events, ["thread", "reserved", "delta"]);
        reader.expect_same(&thread).await;
        append(&thread, "m", " and more of it").await;
        thread.delete(id("m")).await.unwrap();
        reserve(&thread, "m").await;
        append(&thread, "m", "a new text").await;
        let (events, cursor) = read(&thread, cursor, &mut reader).await;
        assert_eq!(events, ["deleted", "reserved", "delta"]);
        reader.expect_same(&thread).await;
        append(&thread, "m", ", which goes on").await;
        let end = thread.update_content(id("m"), ContentChange::none(), UpdateMode::Final).await.unwrap();
        assert_eq!(end.state, MessageState::Final);
        let (events, cursor) = read(&thread, cursor, &mut reader).await;
        assert_eq!(events, ["delta", "finished"]);
        thread.delete(id("m")).await.unwrap();
        thread.add(NewMessage::user("third").with_id(id("m"))).await.unwrap();
        let (events, _) = read(&thread, cursor, &mut reader).await;
        assert_eq!(events, ["deleted", "added"]);
        reader.expect_same(&thread).await;
        // A late reader sees the deletions, and content of the last message only.
        let mut late = Reader::default();
        let (events, _) = read(&thread, Position::ZERO.into(), &mut late).await;
        assert_eq!(events, ["thread", "deleted", "deleted", "added"]);
        late.expect_same(&thread).await;
        let content = thread.get(id("m")).await.unwrap().unwrap().content;
        assert_eq!(content, Content::text("third"));
    }
}

#[tokio::test]
async fn a_draft_of_a_deleted_message_ends_and_leaves_the_next_one_alone() {
    for db in stacks().await {
        db.create_thread(NewThread::new().with_id("t".parse().unwrap()).reusing_ids()).await.unwrap();
        let thread = db.thread("t");
        let reservation = throughline::NewReservation::new(throughline::Role::Assistant).with_id(id("m"));
        let mut draft = thread.reserve(reservation).await.unwrap();
        draft.append("the old ").await.unwrap();
        draft.flush().await.unwrap();
        thread.delete(id("m")).await.unwrap();
        reserve(&thread, "m").await;
        partial(&thread, "m", ContentChange::Append(Delta::text("new"))).await;
        draft.append("text").await.unwrap();
        let error = draft.finish().await.unwrap_err();
        assert_eq!(error.kind(), throughline::ErrorKind::Stale, "{error}");
        append(&thread, "m", " text").await;
        let end = thread.update_content(id("m"), ContentChange::none(), UpdateMode::Final).await.unwrap();
        assert_eq!(end.state, MessageState::Final);
        let read = thread.get(id("m")).await.unwrap().unwrap();
        assert_eq!(read.content, Content::text("new text"));
        assert!(matches!(
            thread.follow(Position::ZERO).next_now().await.unwrap().unwrap().event,
            ThreadEvent::Thread(_)
        ));
    }
}
