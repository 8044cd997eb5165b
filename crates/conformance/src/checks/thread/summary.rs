//! The counters, preview and times of a thread summary.

use std::time::Duration;

use throughline_core::{
    Content, MessageState, NewMessage, NewReservation, Persistence, Role, Timestamp,
    messages::{Reserve, UpdateMode},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, entry, id, json, replace, said, silent, the, thread_id},
};

checks! {
    Extended "threads.preview_is_the_first_80_characters" [Add Thread Read] "a preview is the first 80 characters of the text and ends at a character boundary" => preview;
    Extended "threads.preview_is_of_the_latest_user_message" [Add Reserve UpdateContent Thread Read] "the preview shows the latest final user message by sequence number" => latest;
    Extended "threads.preview_changes_with_edits_and_deletions" [Add UpdateContent Delete Thread Read] "the preview changes with an edit, and a deletion restores the preview of the message before" => follow_up;
    Extended "threads.summary_counts_final_messages_only" [Add Reserve UpdateContent Delete Thread Read] "the summary counts messages, turns and bytes of final messages only" => counts;
    Extended "threads.activity_is_the_last_change_of_a_settled_message" [Add Reserve UpdateContent Update Thread Read] "`active_at` is the last change of a settled message, and open messages do not affect it" => times;
    Extended "threads.summary_times_never_decrease" [Add UpdateContent Delete Thread Read] "the times of a summary never decrease when the clock jumps back" => clock_jumps_back;
    Extended "threads.deleted_open_message_leaves_no_activity" [Add Reserve UpdateContent Delete Thread Read] "the deletion of an open message does not change `active_at`" => open_deleted;
    Extended "threads.implicit_thread_starts_with_its_first_message" [Add Reserve Thread Read] "a thread that no caller created takes its creation time from its first message" => first;
}

async fn preview_of(db: &Persistence) -> Option<String> {
    entry(db, "t").await.preview
}

async fn preview(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let wide = "é".repeat(79);
    let cases: [(Content, Option<String>); 8] = [
        (Content::text("short"), Some("short".into())),
        (Content::text(&"x".repeat(80)), Some("x".repeat(80))),
        (Content::text(&"y".repeat(81)), Some("y".repeat(80))),
        (Content::text(&format!("{wide}🦀 and more")), Some(format!("{wide}🦀"))),
        (Content::text("a\nb\u{0}c"), Some("a\nb\u{0}c".into())),
        (json(r#"[{"type":"image"}, "one", {"type":"text","text":"two"}]"#), Some("one two".into())),
        (json(r#"[{"type":"image"}]"#), None),
        (Content::empty(), None),
    ];
    for (content, due) in cases {
        thread.add(NewMessage::new(Role::User, content.clone())).await.unwrap();
        assert_eq!(preview_of(&db).await, due, "{}", content.as_json());
    }
}

async fn reserve(db: &Persistence, name: &str, role: Role) {
    let row = NewReservation::new(role).with_id(id(name));
    db.run(Reserve::new(thread_id("t"), row)).await.unwrap();
}

async fn latest(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(NewMessage::assistant("hello")).await.unwrap();
    assert_eq!(preview_of(&db).await, None);
    thread.add(said("a", "first")).await.unwrap();
    assert_eq!(preview_of(&db).await.as_deref(), Some("first"));
    reserve(&db, "b", Role::User).await;
    thread.update_content(id("b"), append("dictated"), UpdateMode::Partial).await.unwrap();
    thread.add(said("c", "third").created_at(Timestamp::from_micros(1))).await.unwrap();
    thread.add(NewMessage::assistant("an answer")).await.unwrap();
    thread.add(NewMessage::system("a rule")).await.unwrap();
    assert_eq!(preview_of(&db).await.as_deref(), Some("third"));
    // It settles later, but its seq is lower than that of the third message.
    thread.update_content(id("b"), append(""), UpdateMode::Final).await.unwrap();
    assert_eq!(preview_of(&db).await.as_deref(), Some("third"));
    reserve(&db, "d", Role::User).await;
    thread.update_content(id("d"), append("abandoned"), UpdateMode::Abandon { reason: None }).await.unwrap();
    assert_eq!(preview_of(&db).await.as_deref(), Some("third"));
    reserve(&db, "e", Role::User).await;
    thread.update_content(id("e"), append("fifth"), UpdateMode::Final).await.unwrap();
    assert_eq!(preview_of(&db).await.as_deref(), Some("fifth"));
}

async fn follow_up(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    for name in ["one", "two", "three"] {
        thread.add(said(name, name)).await.unwrap();
        thread.add(NewMessage::assistant("an answer")).await.unwrap();
    }
    thread.edit(id("two"), Content::text("edited")).await.unwrap();
    assert_eq!(preview_of(&db).await.as_deref(), Some("three"));
    thread.edit(id("three"), Content::text("corrected")).await.unwrap();
    assert_eq!(preview_of(&db).await.as_deref(), Some("corrected"));
    thread.delete(id("three")).await.unwrap();
    assert_eq!(preview_of(&db).await.as_deref(), Some("edited"));
    // Not the one that is shown.
    thread.delete(id("one")).await.unwrap();
    assert_eq!(preview_of(&db).await.as_deref(), Some("edited"));
    thread.delete(id("two")).await.unwrap();
    assert_eq!(preview_of(&db).await, None);
    thread.add(said("four", "four")).await.unwrap();
    assert_eq!(preview_of(&db).await.as_deref(), Some("four"));
}

async fn counted(db: &Persistence) -> (u64, u64, u64) {
    let entry = entry(db, "t").await;
    (entry.messages, entry.turns, entry.bytes)
}

async fn counts(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let bytes = |text: &str| Content::text(text).byte_len() as u64;
    let (ask, answer) = (bytes("ask"), bytes("answer"));
    thread.add(said("u", "ask")).await.unwrap();
    assert_eq!(counted(&db).await, (1, 1, ask));
    reserve(&db, "a", Role::Assistant).await;
    thread.update_content(id("a"), replace("answer"), UpdateMode::Partial).await.unwrap();
    assert_eq!(counted(&db).await, (1, 1, ask));
    thread.update_content(id("a"), append(""), UpdateMode::Final).await.unwrap();
    assert_eq!(counted(&db).await, (2, 1, ask + answer));
    reserve(&db, "b", Role::User).await;
    thread.update_content(id("b"), replace("lost"), UpdateMode::Abandon { reason: None }).await.unwrap();
    assert_eq!(counted(&db).await, (2, 1, ask + answer));
    thread.edit(id("a"), Content::text("é, a longer answer")).await.unwrap();
    let longer = bytes("é, a longer answer");
    assert_eq!(counted(&db).await, (2, 1, ask + longer));
    thread.edit(id("a"), Content::empty()).await.unwrap();
    let empty = Content::empty().byte_len() as u64;
    assert_eq!(counted(&db).await, (2, 1, ask + empty));
    thread.add(silent("s", Role::System)).await.unwrap();
    assert_eq!(counted(&db).await, (3, 1, ask + 2 * empty));
    for name in ["b", "s"] {
        thread.delete(id(name)).await.unwrap();
    }
    assert_eq!(counted(&db).await, (2, 1, ask + empty));
    thread.delete(id("u")).await.unwrap();
    assert_eq!(counted(&db).await, (1, 0, empty));
    // A message of another thread does not count.
    db.thread("T").add(said("u", "ask")).await.unwrap();
    assert_eq!(counted(&db).await, (1, 0, empty));
}

/// When it began, was last active and was last changed.
async fn times_of(db: &Persistence) -> [i64; 3] {
    let entry = entry(db, "t").await;
    [entry.created_at, entry.active_at, entry.updated_at].map(Timestamp::as_micros)
}

async fn times(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let at = |time| rig.clock.set(Timestamp::from_micros(time));
    at(10);
    db.create_thread(crate::shorthand::new_thread("t")).await.unwrap();
    assert_eq!(times_of(&db).await, [10, 10, 10]);
    at(20);
    thread.add(said("m", "x")).await.unwrap();
    assert_eq!(times_of(&db).await, [10, 20, 20]);
    at(30);
    reserve(&db, "r", Role::Assistant).await;
    thread.update_content(id("r"), append("x"), UpdateMode::Partial).await.unwrap();
    thread.update(id("r"), Default::default()).await.unwrap();
    assert_eq!(times_of(&db).await, [10, 20, 20]);
    at(40);
    thread.rename("x".parse().unwrap()).await.unwrap();
    assert_eq!(times_of(&db).await, [10, 20, 40]);
    at(50);
    thread.update_content(id("r"), append("x"), UpdateMode::Final).await.unwrap();
    assert_eq!(times_of(&db).await, [10, 50, 50]);
    at(60);
    thread.update(id("m"), Default::default()).await.unwrap();
    assert_eq!(times_of(&db).await, [10, 60, 60]);
    at(70);
    thread.edit(id("m"), Content::text("y")).await.unwrap();
    assert_eq!(times_of(&db).await, [10, 70, 70]);
    at(80);
    reserve(&db, "s", Role::Assistant).await;
    thread.update_content(id("s"), append("x"), UpdateMode::Abandon { reason: None }).await.unwrap();
    assert_eq!(times_of(&db).await, [10, 80, 80]);
    // An imported time in the past does not count as activity.
    thread.add(said("old", "x").created_at(Timestamp::from_micros(-1))).await.unwrap();
    assert_eq!(times_of(&db).await, [10, 80, 80]);
}

async fn clock_jumps_back(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    for name in ["a", "b"] {
        thread.add(said(name, "x")).await.unwrap();
    }
    let mut last = times_of(&db).await;
    let began = last[0];
    for step in 0..6 {
        rig.clock.go_back(Duration::from_secs(3600));
        match step {
            0 => drop(thread.add(said("c", "x")).await.unwrap()),
            1 => drop(thread.edit(id("b"), Content::text("y")).await.unwrap()),
            2 => drop(thread.delete(id("b")).await.unwrap()),
            3 => drop(thread.rename("x".parse().unwrap()).await.unwrap()),
            4 => drop(thread.archive(true).await.unwrap()),
            _ => drop(thread.clear().await.unwrap()),
        }
        let now = times_of(&db).await;
        assert!(now.iter().zip(last).all(|(now, before)| *now >= before), "{now:?} after {last:?}");
        assert_eq!(now[0], began);
        last = now;
    }
    let now = rig.clock.advance(Duration::from_secs(24 * 3600)).as_micros();
    thread.add(said("d", "x")).await.unwrap();
    assert_eq!(times_of(&db).await, [began, now, now]);
}

async fn open_deleted(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let at = |time| rig.clock.set(Timestamp::from_micros(time));
    at(10);
    thread.add(said("m", "x")).await.unwrap();
    at(20);
    reserve(&db, "r", Role::Assistant).await;
    at(30);
    thread.update_content(id("r"), append("x"), UpdateMode::Partial).await.unwrap();
    assert_eq!(the(&thread, "r").await.state, MessageState::Streaming);
    at(40);
    thread.delete(id("r")).await.unwrap();
    assert_eq!(times_of(&db).await, [10, 10, 40]);
    // Of a settled one it stays known when it was last changed.
    at(50);
    thread.add(said("n", "x")).await.unwrap();
    at(60);
    thread.delete(id("n")).await.unwrap();
    assert_eq!(times_of(&db).await, [10, 50, 60]);
    assert_eq!(thread.rebuild_summary().await.unwrap().summary, entry(&db, "t").await);
    assert_eq!(times_of(&db).await, [10, 50, 60]);
}

async fn first(rig: Rig) {
    let db = rig.db().await;
    let now = rig.clock.advance(Duration::from_secs(1)).as_micros();
    db.thread("t").add(said("m", "x").created_at(Timestamp::from_micros(5))).await.unwrap();
    assert_eq!(times_of(&db).await, [5, 5, 5]);
    let row = NewReservation::new(Role::Assistant).with_id(id("m"));
    db.run(Reserve::new(thread_id("u"), row)).await.unwrap();
    let entry = entry(&db, "u").await;
    assert_eq!([entry.created_at, entry.active_at, entry.updated_at].map(Timestamp::as_micros), [now; 3]);
    assert!(entry.title.is_untitled() && entry.owner.is_none() && entry.labels.is_empty() && !entry.archived);
}
