//! `RenameThread`.

use std::time::Duration;

use throughline_core::{ErrorKind, Title, threads::RenameThread};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{entry, everything, new_thread, refused, said, thread_id, title},
};

checks! {
    Extended "threads.rename_trims_blanks_and_changes_the_title_only" [Add Thread Read] "a rename trims surrounding blanks and changes only the title" => renamed;
    Extended "threads.rename_of_another_title_is_stale" [Thread Read] "a rename that expects another title is stale, and one that expects the current title succeeds" => expected;
    Extended "threads.title_before_the_first_message_is_kept" ("RR-S11") [Add Thread Read] "a title from before the first message is kept, blanks are no title, an unknown thread is not found" => before_the_first;
}

async fn renamed(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("m", "x")).await.unwrap();
    db.thread("u").add(said("m", "x")).await.unwrap();
    let (before, other) = (entry(&db, "t").await, entry(&db, "u").await);
    let longest = "é".repeat(Title::MAX_BYTES / 2);
    for (text, kept) in
        [(" \tTrip\u{0} to\nLisbon \r\n", "Trip\u{0} to\nLisbon"), (longest.as_str(), &longest)]
    {
        let now = rig.clock.advance(Duration::from_secs(1));
        let answer = thread.rename(title(text)).await.unwrap();
        let mut due = before.clone();
        (due.title, due.updated_at) = (title(kept), now);
        assert_eq!((&answer.summary, answer.deduplicated), (&due, false));
        assert_eq!(answer.summary.title.as_str(), kept);
        assert_eq!(entry(&db, "t").await, due);
    }
    assert_eq!(entry(&db, "u").await, other);
    // Longer ones are no titles at all.
    assert!(Title::new(longest + "x").is_err());
}

async fn expected(rig: Rig) {
    let db = rig.db().await;
    db.create_thread(new_thread("t")).await.unwrap();
    let rename = |to: &str, from: &str| {
        db.on_thread(RenameThread::new(thread_id("t"), title(to)).expecting(title(from)))
    };
    assert_eq!(rename("made", "Untitled").await.unwrap().summary.title, title("made"));
    let before = entry(&db, "t").await;
    for seen in ["Untitled", "Made", "made up"] {
        refused(rename("late", seen).await, ErrorKind::Stale);
    }
    assert_eq!(entry(&db, "t").await, before);
    // Blanks around what was seen are not part of it either.
    assert_eq!(rename("chosen", " made ").await.unwrap().summary.title, title("chosen"));
    assert_eq!(db.thread("t").rename(title("whatever")).await.unwrap().summary.title, title("whatever"));
}

async fn before_the_first(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    db.create_thread(new_thread("t")).await.unwrap();
    thread.rename(title("chosen")).await.unwrap();
    thread.add(said("m", "a question")).await.unwrap();
    let named = entry(&db, "t").await;
    assert_eq!((named.title, named.messages), (title("chosen"), 1));
    let before = everything(&thread).await;
    let blank = thread.rename(title(" \u{2003}\n")).await.unwrap().summary;
    assert_eq!(blank.title.as_str(), "Untitled");
    assert_eq!(entry(&db, "t").await.title, Title::default());
    assert_eq!(everything(&thread).await, before);
    refused(db.thread("u").rename(title("chosen")).await, ErrorKind::NotFound);
    assert_eq!(db.thread("u").summary().await.unwrap(), None);
}
