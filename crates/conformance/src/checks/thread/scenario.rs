//! Data loss that hosts have seen with stores of their own.

use std::{collections::BTreeSet, time::Duration};

use throughline_core::{
    Content, ErrorKind, MessageId, MetadataPatch, NewMessage, NewReservation, Position, Role, ThreadId,
    changes::{ChangeKind, ChangeScope},
    messages::{PageFrom, Reserve, Update, UpdateMode},
    threads::ListThreads,
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{
        append, changes_after, entry, everything, id, ids, listed, names, new_thread, refused, said, the,
        thread_id, title,
    },
};

checks! {
    Extended "isolation.equal_message_ids_in_two_threads_are_independent" ("T3-S1") [Add Thread Read] "two threads with the same message id each show their own message" => own_rows;
    Extended "isolation.append_affects_one_thread" ("T3-S2") [Add Reserve UpdateContent Thread Read] "an append changes one thread only, and each thread keeps its own times" => own_appends;
    Extended "isolation.attachments_of_a_namesake_are_not_inherited" ("T3-S3") [Add Thread Read] "a message without attachments does not inherit those of the same id in another thread" => own_attachments;
    Extended "messages.attachments_are_kept_cleared_or_replaced" ("T3-S4") [Add Update Read] "an update without attachments keeps them, an empty list clears them, and another list replaces them" => attachments;
    Extended "messages.hundred_updates_keep_created_at" ("T3-S5") [Add UpdateContent Update Thread Read] "a hundred updates keep `created_at` of the message and of the thread" => first_time;
    Extended "isolation.joined_ids_do_not_collide_in_lists" ("T3-S9") [Add Thread Read] "the id pairs (a:b, c) and (a, b:c) are different threads in every list" => joined;
    Extended "keys.conflict_is_limited_to_one_thread" ("T3-S14") [Add Read; keys] "a repeated key is replayed, conflicts with other content, and is free in another thread" => receipts;
    Extended "threads.concurrent_creates_and_renames_are_all_kept" ("RR-S4") [Add Thread Read; threads] "of eight clients that each create and rename twenty threads, every thread keeps its last title" => clients;
    Extended "pages.recall_shows_the_page_before_a_seq" ("RR-S10") [Add Read] "a recall shows at most the limit of messages before a sequence number, oldest first" => recall;
    Extended "threads.invalid_ids_are_refused_at_every_entry_point" ("RR-S13") [Add Thread Read] "every entry point refuses an invalid id, and a valid id is stored unchanged" => names_of_threads;
    Extended "threads.concurrent_first_messages_share_one_thread" ("RR-S15") [Add Thread Read; threads] "concurrent first messages are all stored in one thread that counts each" => first_at_once;
}

async fn own_rows(rig: Rig) {
    let db = rig.db().await;
    for name in ["a", "b"] {
        db.thread(name).add(said("m", name)).await.unwrap();
    }
    for name in ["a", "b"] {
        let read = everything(&db.thread(name)).await;
        assert_eq!((ids(&read), &read[0].content), (vec!["m"], &Content::text(name)));
        let entry = entry(&db, name).await;
        assert_eq!((entry.messages, entry.preview.as_deref()), (1, Some(name)));
    }
    assert_eq!(names(&listed(&db, ListThreads::new(10)).await), ["a", "b"]);
}

async fn own_appends(rig: Rig) {
    let db = rig.db().await;
    let first = db.thread("a").add(said("m", "x")).await.unwrap().message;
    let began = rig.clock.advance(Duration::from_secs(1));
    let row = NewReservation::new(Role::User).with_id(id("m"));
    db.run(Reserve::new(thread_id("b"), row)).await.unwrap();
    rig.clock.advance(Duration::from_secs(1));
    db.thread("b").update_content(id("m"), append("y"), UpdateMode::Final).await.unwrap();
    db.thread("b").edit(id("m"), Content::text("z")).await.unwrap();
    assert_eq!(the(&db.thread("a"), "m").await, first);
    let second = the(&db.thread("b"), "m").await;
    assert_eq!((second.content, second.created_at), (Content::text("z"), began));
    assert_eq!(
        (entry(&db, "a").await.created_at, entry(&db, "b").await.created_at),
        (first.created_at, began)
    );
}

async fn own_attachments(rig: Rig) {
    let db = rig.db().await;
    let message = said("m", "x").with_attachments(["k".parse().unwrap()]);
    let kept = db.thread("a").add(message).await.unwrap().message;
    db.thread("b").add(said("m", "x")).await.unwrap();
    assert_eq!(the(&db.thread("b"), "m").await.attachments, []);
    assert_eq!(the(&db.thread("a"), "m").await, kept);
}

async fn attachments(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let keys = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<_>>();
    thread.add(said("m", "x").with_attachments(keys(&["a"]))).await.unwrap();
    for (given, due) in [(None, &["a"][..]), (Some(&[][..]), &[]), (Some(&["b"][..]), &["b"]), (None, &["b"])]
    {
        let mut update = Update::new(thread_id("t"), id("m"), MetadataPatch::new());
        update.attachments = given.map(keys);
        assert_eq!(db.run(update).await.unwrap().attachments, keys(due));
        assert_eq!(the(&thread, "m").await.attachments, keys(due), "{given:?}");
    }
}

async fn first_time(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let first = thread.add(said("m", "0")).await.unwrap().message;
    let mut last = first.created_at;
    for number in 0..100 {
        last = rig.clock.advance(Duration::from_secs(1));
        if number % 2 == 0 {
            thread.edit(id("m"), Content::text(&number.to_string())).await.unwrap();
        } else {
            thread.update(id("m"), MetadataPatch::new().set("n", &number).unwrap()).await.unwrap();
        }
    }
    // The same message with another time is not taken for a change of it.
    refused(thread.add(said("m", "0").created_at(last)).await, ErrorKind::AlreadyExists);
    let read = the(&thread, "m").await;
    assert_eq!((read.created_at, read.updated_at), (first.created_at, last));
    let entry = entry(&db, "t").await;
    assert_eq!((entry.created_at, entry.active_at, entry.updated_at), (first.created_at, last, last));
}

async fn joined(rig: Rig) {
    let db = rig.db().await;
    let scopes =
        [("a:b", "c"), ("a", "b:c"), ("a:b:c", "a"), ("a/b", "c"), ("a", "b/c"), ("a b", "c"), ("a", "b c")];
    for (number, (tenant, thread)) in scopes.into_iter().enumerate() {
        let db = db.for_tenant(tenant.parse().unwrap());
        db.thread(thread).add(said("m", &number.to_string())).await.unwrap();
    }
    for (number, (tenant, thread)) in scopes.into_iter().enumerate() {
        let db = db.for_tenant(tenant.parse().unwrap());
        let due: BTreeSet<&str> =
            scopes.iter().filter(|scope| scope.0 == tenant).map(|(_, thread)| *thread).collect();
        let entries = listed(&db, ListThreads::new(1)).await;
        assert_eq!(names(&entries), due.into_iter().collect::<Vec<_>>(), "{tenant}");
        assert_eq!(entry(&db, thread).await.preview, Some(number.to_string()));
        assert_eq!(the(&db.thread(thread), "m").await.content, Content::text(&number.to_string()));
    }
}

async fn receipts(rig: Rig) {
    let db = rig.db().await;
    let add = |thread: &str, text: &str| db.thread(thread).add(NewMessage::user(text)).key("c1");
    let first = add("a", "x").await.unwrap();
    let before = everything(&db.thread("b")).await;
    refused(add("a", "y").await, ErrorKind::Conflict);
    refused(db.thread("a").delete(first.message.id.clone()).key("c1").await, ErrorKind::Conflict);
    assert_eq!(everything(&db.thread("b")).await, before);
    let again = add("a", "x").await.unwrap();
    assert!(again.deduplicated && !first.deduplicated);
    assert_eq!(again.message, first.message);
    assert_eq!(everything(&db.thread("a")).await, [first.message]);
    // A key is its thread's: there is nothing of another thread that it could be taken for.
    let other = add("b", "z").await.unwrap();
    assert!(!other.deduplicated);
    assert_eq!(everything(&db.thread("b")).await, [other.message]);
}

const CLIENTS: usize = 8;
const THREADS: usize = 20;

async fn clients(rig: Rig) {
    let db = rig.db().await;
    let client = |client: usize| {
        let db = db.clone();
        async move {
            for number in 0..THREADS {
                let name = format!("{client}.{number}");
                db.create_thread(new_thread(&name)).await.expect("it is created");
                db.thread(name.as_str()).add(said("m", "x")).await.expect("it is added");
                for round in 0..2 {
                    db.thread(name.as_str())
                        .rename(title(&format!("{name} {round}")))
                        .await
                        .expect("it is renamed");
                }
            }
        }
    };
    let clients: Vec<_> = (0..CLIENTS).map(|number| tokio::spawn(client(number))).collect();
    for client in clients {
        client.await.expect("no client panics");
    }
    let entries = listed(&db, ListThreads::new(7)).await;
    let distinct: BTreeSet<&ThreadId> = entries.iter().map(|entry| &entry.thread).collect();
    assert_eq!((entries.len(), distinct.len()), (CLIENTS * THREADS, CLIENTS * THREADS));
    for entry in &entries {
        assert_eq!((entry.title.as_str(), entry.messages), (format!("{} 1", entry.thread).as_str(), 1));
    }
    if rig.capabilities.changes {
        // Every mutation counts, once each.
        let changes = changes_after(&db, ChangeScope::Store, Position::ZERO).await;
        assert_eq!(changes.len(), CLIENTS * THREADS * 4);
        let renamed = changes.iter().filter(|change| change.kind == ChangeKind::ThreadChanged).count();
        assert_eq!(renamed, CLIENTS * THREADS * 2);
    }
}

async fn recall(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let mut seqs = vec![];
    for number in 1..=30 {
        let message = thread.add(said(&number.to_string(), "x")).await.unwrap().message;
        seqs.push(message.seq);
    }
    let location = |number: usize| PageFrom::Before(seqs[number - 1]);
    let numbers = |range: std::ops::RangeInclusive<usize>| range.map(|n| n.to_string()).collect::<Vec<_>>();
    // Ten is what a caller asks for who has no other number, and a page is the oldest first.
    for (from, limit, due) in [
        (PageFrom::End, 10, numbers(21..=30)),
        (location(21), 5, numbers(16..=20)),
        (PageFrom::End, 1, numbers(30..=30)),
        (PageFrom::End, 1000, numbers(1..=30)),
        (location(1), 10, vec![]),
    ] {
        let page = thread.page(from, limit).await.unwrap();
        assert_eq!(ids(&page.messages), due, "{from:?} {limit}");
        assert_eq!(page.has_more, page.messages.first().is_some_and(|first| first.seq > seqs[0]));
    }
    // Where others made one of none and fifty of a thousand, a limit out of bounds is refused.
    for limit in [0, 1001] {
        refused(thread.page(PageFrom::End, limit).await, ErrorKind::Invalid);
    }
    let before = listed_if(&rig, &db).await;
    assert_eq!(db.thread("never").page(PageFrom::End, 10).await.unwrap().messages, []);
    assert_eq!(listed_if(&rig, &db).await, before);
}

/// How many threads are listed, where they are.
async fn listed_if(rig: &Rig, db: &throughline_core::Persistence) -> usize {
    if !rig.capabilities.supports(throughline_core::OpKind::Thread) {
        return 0;
    }
    listed(db, ListThreads::new(10)).await.len()
}

async fn names_of_threads(rig: Rig) {
    let db = rig.db().await;
    let long = "x".repeat(256);
    for text in ["", "a\n", "\ta", "a\u{0}", "a\u{7f}", "\u{85}", long.as_str()] {
        let json = serde_json::to_string(text).unwrap();
        assert!(ThreadId::new(text).is_err() && text.parse::<ThreadId>().is_err(), "{text:?}");
        assert!(ThreadId::try_from(text).is_err() && MessageId::new(text).is_err(), "{text:?}");
        assert!(serde_json::from_str::<ThreadId>(&json).is_err(), "{text:?}");
        refused(db.thread(text).add(said("m", "x")).await, ErrorKind::Invalid);
        refused(db.thread(text).rename(title("x")).await, ErrorKind::Invalid);
        assert_eq!(db.thread(text).summary().await.unwrap_err().kind(), ErrorKind::Invalid, "{text:?}");
    }
    assert_eq!(listed(&db, ListThreads::new(10)).await, []);
    let odd = ["../x", "/etc/x", "A-B", "a-b", "g-not-hex", "a b", "%00", "é", "e\u{301}", "x'; --", "1"];
    for (number, name) in odd.into_iter().enumerate() {
        assert_eq!(ThreadId::new(name).unwrap(), serde_json::from_value(name.into()).unwrap());
        db.create_thread(new_thread(name).with_title(title(name))).await.unwrap();
        for _ in 0..=number {
            db.thread(name).add(NewMessage::user(name)).await.unwrap();
        }
    }
    for (number, name) in odd.into_iter().enumerate() {
        let entry = entry(&db, name).await;
        let due = (thread_id(name), title(name), Some(name.to_owned()), number as u64 + 1);
        assert_eq!((entry.thread, entry.title, entry.preview, entry.messages), due);
    }
    assert_eq!(listed(&db, ListThreads::new(3)).await.len(), odd.len());
}

async fn first_at_once(rig: Rig) {
    let db = rig.db().await;
    for round in 0..8 {
        let name = format!("{round}");
        let adds = (0..8).map(|number| {
            let thread = db.thread(name.as_str());
            tokio::spawn(async move { thread.add(said(&format!("m{number}"), "x")).await })
        });
        let mut seqs = BTreeSet::new();
        for add in adds.collect::<Vec<_>>() {
            seqs.insert(add.await.expect("no caller panics").expect("it is added").message.seq);
        }
        assert_eq!((seqs.len(), everything(&db.thread(name.as_str())).await.len()), (8, 8));
        let entry = entry(&db, &name).await;
        assert_eq!((entry.messages, entry.turns, entry.listed), (8, 8, true));
    }
    assert_eq!(listed(&db, ListThreads::new(3)).await.len(), 8);
}
