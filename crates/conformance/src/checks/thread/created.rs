//! `ListThreads` by the time of creation, and with threads that have no settled message.

use throughline_core::{
    ErrorKind, Labels, NewReservation, Persistence, Role, Timestamp,
    backend::EstimatedSize as _,
    messages::{PageFrom, ReadPage, Reserve, UpdateMode},
    threads::{ListThreads, PublishThread, ThreadCursor, ThreadOrder, ThreadSummary},
};

use crate::{
    check::checks,
    checks::read::bytes::expect_bounded,
    rig::Rig,
    shorthand::{append, facts, id, listed, names, new_thread, refused, said, thread_id},
};

checks! {
    Extended "threads.list_by_creation_runs_in_both_directions" [Add Thread Read] "a list by creation is newest or oldest first, each the reverse of the other, with ids as tie breakers" => order;
    Extended "threads.list_by_creation_pages_neither_repeat_nor_skip" [Add Thread Read] "pages of a list by creation neither repeat nor skip a thread when times are equal" => pages;
    Extended "threads.list_by_creation_continues_after_other_writes" [Add Thread Read] "pages of a list by creation neither repeat nor skip a thread while threads are created, written to and deleted" => writes;
    Extended "threads.list_by_creation_filters_like_the_default_list" [Add Thread Read] "the owner, the labels and the archive flag filter a list by creation" => filters;
    Extended "threads.list_by_creation_ends_at_its_byte_bound" [Add Thread Read] "a list by creation ends at its byte bound, and the next pages show each thread once" => bytes;
    Extended "threads.unlisted_threads_are_listed_on_request" [Add Reserve UpdateContent Thread Read] "a list shows threads without a settled message on request, in each order" => unlisted;
    Extended "threads.hidden_thread_is_in_no_list" [Add Thread Read] "no list shows a hidden thread, also not one of unlisted threads" => hidden;
    Extended "threads.list_refuses_a_cursor_of_another_order" [Add Thread Read] "a list refuses the cursor of another order" => cursors,
        core alone: "the pipeline refuses it before a store is asked";
}

const NEWEST: ThreadOrder = ThreadOrder::NewestCreated;
const OLDEST: ThreadOrder = ThreadOrder::OldestCreated;

fn by(order: ThreadOrder) -> ListThreads {
    ListThreads::new(100).ordered_by(order)
}

async fn create(db: &Persistence, thread: &str, at: i64) {
    db.create_thread(new_thread(thread).created_at(Timestamp::from_micros(at))).await.expect("a new thread");
}

/// Creates a thread at this time, with a message of now.
async fn begin(db: &Persistence, thread: &str, at: i64) {
    create(db, thread, at).await;
    db.thread(thread).add(said("m", "x")).await.expect("a message");
}

fn reversed<'n>(names: &[&'n str]) -> Vec<&'n str> {
    names.iter().rev().copied().collect()
}

async fn order(rig: Rig) {
    let db = rig.db().await;
    // The latest activity is that of the oldest thread.
    for (thread, at) in [("new", 40), ("é", 30), ("a", 30), ("B", 30), ("a2", 30), ("early", -5), ("old", 7)]
    {
        begin(&db, thread, at).await;
        rig.clock.advance(std::time::Duration::from_secs(1));
    }
    let due = ["early", "old", "B", "a", "a2", "é", "new"];
    assert_eq!(names(&listed(&db, by(OLDEST)).await), due);
    assert_eq!(names(&listed(&db, by(NEWEST)).await), reversed(&due));
    let active = listed(&db, ListThreads::new(100)).await;
    assert_eq!(names(&active), ["old", "early", "a2", "B", "a", "é", "new"]);
    // Neither a message nor a change of the thread moves it.
    db.thread("new").add(said("n", "x")).await.unwrap();
    db.thread("old").rename("x".parse().unwrap()).await.unwrap();
    assert_eq!(names(&listed(&db, by(OLDEST)).await), due);
    let shown = listed(&db, by(NEWEST)).await;
    assert!(shown.iter().all(|entry| active.iter().any(|other| other.thread == entry.thread)));
    // A thread that its first message creates is as old as that message.
    rig.clock.set(Timestamp::from_micros(35));
    db.thread("implied").add(said("m", "x")).await.unwrap();
    assert_eq!(names(&listed(&db, by(NEWEST)).await)[..3], ["new", "implied", "é"]);
    // Other tenants have other threads.
    let other = db.for_tenant("other".parse().unwrap());
    begin(&other, "theirs", 50).await;
    assert_eq!(names(&listed(&other, by(NEWEST)).await), ["theirs"]);
    assert_eq!(names(&listed(&db, by(NEWEST)).await)[0], "new");
}

async fn pages(rig: Rig) {
    let db = rig.db().await;
    for (thread, at) in [("a", 1), ("b", 1), ("c", 1), ("d", 2), ("e", 2), ("f", 3), ("g", 1), ("A", 1)] {
        begin(&db, thread, at).await;
    }
    let due = ["A", "a", "b", "c", "g", "d", "e", "f"];
    for limit in 1..=9 {
        for (order, due) in [(OLDEST, due.to_vec()), (NEWEST, reversed(&due))] {
            let list = ListThreads { limit, ..by(order) };
            assert_eq!(names(&listed(&db, list.clone()).await), due, "{limit} at once, {order}");
            let first = db.threads(list).await.unwrap();
            let next = (limit < 8).then(|| ThreadCursor::of(order, first.threads.last().unwrap()));
            assert_eq!(first.next, next, "{limit} at once, {order}");
        }
    }
    // A cursor may name a time and an id without a thread.
    let after = |order, at, thread: &str| {
        let cursor = ThreadCursor { order, at: Timestamp::from_micros(at), thread: thread.parse().unwrap() };
        listed(&db, by(order).after(cursor))
    };
    assert_eq!(names(&after(OLDEST, 1, "d").await), ["g", "d", "e", "f"]);
    assert_eq!(names(&after(NEWEST, 1, "d").await), ["c", "b", "a", "A"]);
    assert_eq!(after(OLDEST, 3, "f").await, []);
    assert_eq!(after(NEWEST, i64::MIN, "a").await, []);
    assert_eq!(after(NEWEST, i64::MAX, "a").await.len(), 8);
}

/// Walks over a list, two threads at a time, and writes after the first page.
async fn walk(db: &Persistence, order: ThreadOrder, write: impl AsyncFnOnce(&Persistence)) -> Vec<String> {
    let mut list = ListThreads { limit: 2, ..by(order) };
    let (mut seen, mut write) = (Vec::new(), Some(write));
    loop {
        let page = db.threads(list.clone()).await.unwrap();
        seen.extend(page.threads.iter().map(|entry| entry.thread.to_string()));
        if let Some(write) = write.take() {
            write(db).await;
        }
        match page.next {
            Some(next) => list = list.after(next),
            None => return seen,
        }
    }
}

async fn writes(rig: Rig) {
    let db = rig.db().await;
    for (number, thread) in ["a", "b", "c", "d", "e", "f", "g", "h"].into_iter().enumerate() {
        begin(&db, thread, 10 * number as i64).await;
    }
    let seen = walk(&db, OLDEST, async |db| {
        // A thread of the first page, and one that comes.
        for thread in ["a", "e"] {
            db.thread(thread).add(said("n", "x")).await.unwrap();
        }
        db.thread("c").delete_thread().await.unwrap();
        // Created after all others, and before the cursor.
        begin(db, "x", 1000).await;
        begin(db, "before", 5).await;
    });
    assert_eq!(seen.await, ["a", "b", "d", "e", "f", "g", "h", "x"]);
    let seen = walk(&db, NEWEST, async |db| {
        for thread in ["x", "b"] {
            db.thread(thread).add(said("o", "x")).await.unwrap();
        }
        db.thread("d").delete_thread().await.unwrap();
        // Created before the cursor, which is after `h`, and behind it.
        begin(db, "y", 2000).await;
        begin(db, "behind", 25).await;
    });
    assert_eq!(seen.await, ["x", "h", "g", "f", "e", "behind", "b", "before", "a"]);
    assert_eq!(names(&listed(&db, by(NEWEST)).await)[..2], ["y", "x"]);
}

async fn filters(rig: Rig) {
    let db = rig.db().await;
    let labels = || Labels::new().with("project", "atlas").expect("a label");
    for (number, thread) in ["a", "b", "c", "d", "e", "f"].into_iter().enumerate() {
        let mut new = new_thread(thread).created_at(Timestamp::from_micros(number as i64));
        if number % 2 == 0 {
            new = new.with_owner("ann".parse().unwrap());
        }
        if number >= 2 {
            new = new.with_labels(labels());
        }
        db.create_thread(new).await.unwrap();
        db.thread(thread).add(said("m", "x")).await.unwrap();
    }
    db.thread("c").archive(true).await.unwrap();
    db.thread("d").archive(true).await.unwrap();
    for (list, due) in [
        (by(OLDEST), vec!["a", "b", "e", "f"]),
        (by(OLDEST).archived(), vec!["c", "d"]),
        (by(OLDEST).archived_too(), vec!["a", "b", "c", "d", "e", "f"]),
        (by(OLDEST).of_owner("ann".parse().unwrap()), vec!["a", "e"]),
        (by(OLDEST).archived_too().with_labels(labels()), vec!["c", "d", "e", "f"]),
        (by(OLDEST).archived_too().with_labels(labels()).of_owner("ann".parse().unwrap()), vec!["c", "e"]),
        (by(OLDEST).of_owner("bob".parse().unwrap()), vec![]),
    ] {
        for limit in [1, 2, 100] {
            let list = ListThreads { limit, ..list.clone() };
            assert_eq!(names(&listed(&db, list.clone()).await), due, "{list:?}");
            let list = list.ordered_by(NEWEST);
            assert_eq!(names(&listed(&db, list.clone()).await), reversed(&due), "{list:?}");
        }
    }
}

async fn bytes(rig: Rig) {
    const BOUND: u32 = 32 << 10;
    let db = rig.db().await;
    let due: Vec<String> = (0..12).map(|number| format!("t{number:02}")).collect();
    for (at, name) in (0..).zip(&due) {
        let large = facts(&format!(r#"{{"memo":"{}"}}"#, "x".repeat(10 << 10)));
        let new = new_thread(name).created_at(Timestamp::from_micros(at / 2));
        db.create_thread(new.with_metadata(large)).await.unwrap();
        if at % 3 == 0 {
            db.thread(name.as_str()).archive(true).await.unwrap();
        }
    }
    for order in [OLDEST, NEWEST] {
        for bound in [1, BOUND, ReadPage::MAX_BYTES] {
            let (mut sizes, mut seen) = (Vec::new(), Vec::new());
            let mut next = Some(by(order).unlisted_too().archived_too().with_max_bytes(bound));
            while let Some(list) = next.take() {
                let page = db.threads(list.clone()).await.unwrap();
                sizes.push(page.threads.iter().map(ThreadSummary::estimated_size).collect());
                seen.extend(page.threads.iter().map(|entry| entry.thread.to_string()));
                next = page.next.map(|cursor| list.after(cursor));
            }
            if order == NEWEST {
                seen.reverse();
            }
            assert_eq!(seen, due, "{order}, {bound} bytes");
            expect_bounded(&sizes, bound);
            let pages = [(1, 12), (ReadPage::MAX_BYTES, 1)].into_iter().find(|(of, _)| *of == bound);
            assert!(pages.is_none_or(|(_, pages)| pages == sizes.len()), "{order}, {bound} bytes");
        }
    }
}

async fn unlisted(rig: Rig) {
    let db = rig.db().await;
    begin(&db, "begun", 10).await;
    create(&db, "created", 20).await;
    let reserved = NewReservation::new(Role::Assistant).with_id(id("r"));
    create(&db, "reserved", 5).await;
    db.run(Reserve::new(thread_id("reserved"), reserved)).await.unwrap();
    db.thread("reserved").update_content(id("r"), append("x"), UpdateMode::Partial).await.unwrap();
    create(&db, "gone", 15).await;
    db.thread("gone").delete_thread().await.unwrap();
    for (order, due) in
        [(OLDEST, ["reserved", "begun", "created"]), (NEWEST, ["created", "begun", "reserved"])]
    {
        for limit in 1..=4 {
            let list = ListThreads { limit, ..by(order) }.unlisted_too();
            assert_eq!(names(&listed(&db, list).await), due, "{limit} at once, {order}");
        }
        assert_eq!(names(&listed(&db, by(order)).await), ["begun"], "{order}");
    }
    // By activity, a thread without a settled message is as old as its creation.
    for limit in 1..=4 {
        let list = ListThreads { limit, ..ListThreads::new(1).unlisted_too() };
        assert_eq!(names(&listed(&db, list).await), ["begun", "created", "reserved"], "{limit} at once");
    }
    let entry = &listed(&db, by(NEWEST).unlisted_too()).await[0];
    assert_eq!((entry.listed, entry.messages), (false, 0));
    // The archive, and the first message.
    db.thread("created").archive(true).await.unwrap();
    assert_eq!(names(&listed(&db, by(NEWEST).unlisted_too()).await), ["begun", "reserved"]);
    assert_eq!(names(&listed(&db, by(NEWEST).unlisted_too().archived()).await), ["created"]);
    db.thread("created").archive(false).await.unwrap();
    db.thread("created").add(said("m", "x")).await.unwrap();
    assert_eq!(names(&listed(&db, by(NEWEST)).await), ["created", "begun"]);
    assert_eq!(names(&listed(&db, by(NEWEST).unlisted_too()).await), ["created", "begun", "reserved"]);
    assert_eq!(db.thread("reserved").page(PageFrom::Start, 10).await.unwrap().messages.len(), 1);
}

async fn hidden(rig: Rig) {
    let db = rig.db().await;
    begin(&db, "begun", 10).await;
    let created =
        |at| new_thread(if at == 20 { "empty" } else { "written" }).created_at(Timestamp::from_micros(at));
    db.create_thread(created(20).hidden()).await.unwrap();
    db.create_thread(created(5).hidden()).await.unwrap();
    db.thread("written").add(said("m", "x")).await.unwrap();
    for order in ThreadOrder::ALL {
        assert_eq!(names(&listed(&db, by(order).archived_too()).await), ["begun"], "{order}");
        assert_eq!(names(&listed(&db, by(order).archived_too().unlisted_too()).await), ["begun"], "{order}");
    }
    for thread in ["empty", "written"] {
        db.on_thread(PublishThread { thread: thread_id(thread) }).await.unwrap();
    }
    assert_eq!(names(&listed(&db, by(NEWEST)).await), ["empty", "begun", "written"]);
    assert_eq!(names(&listed(&db, by(OLDEST).unlisted_too()).await), ["written", "begun", "empty"]);
}

async fn cursors(rig: Rig) {
    let db = rig.db().await;
    for (thread, at) in [("a", 1), ("b", 2)] {
        begin(&db, thread, at).await;
    }
    for order in ThreadOrder::ALL {
        let next =
            db.threads(ListThreads { limit: 1, ..by(order) }).await.unwrap().next.expect("there is more");
        for other in ThreadOrder::ALL {
            let list = db.threads(by(other).after(next.clone())).await;
            if other == order {
                assert_eq!(list.unwrap().threads.len(), 1);
            } else {
                refused(list, ErrorKind::Invalid);
            }
        }
    }
}
