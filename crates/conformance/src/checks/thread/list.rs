//! `ListThreads`: order and cursors.

use std::time::Duration;

use throughline_core::{
    ErrorKind, Persistence, Timestamp,
    messages::ReadPage,
    threads::{ListPurgeable, ListThreads, ThreadCursor, ThreadOrder},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{id, listed, names, refused, said},
};

checks! {
    Extended "threads.list_is_ordered_by_activity" [Add Update Thread Read] "a list is ordered by activity, latest first, and then by id bytes" => order;
    Extended "threads.list_pages_neither_repeat_nor_skip" [Add Thread Read] "pages of a list neither repeat nor skip a thread when activity times are equal" => pages;
    Extended "threads.exact_last_list_page_has_no_next" [Add Thread Read] "a page that ends exactly at the last thread has no next cursor" => next;
    Extended "threads.list_cursor_may_name_no_thread" [Add Thread Read] "the cursor of a list may name a time and id without a thread" => cursor_anywhere;
    Extended "threads.list_shows_no_other_tenant" [Add Thread Read] "a list shows no thread of another tenant" => tenant;
    Extended "threads.list_limit_is_from_1_to_1000" [Thread Read] "a list accepts a limit from 1 to 1000 and refuses others" => limit,
        core alone: "the pipeline refuses another limit before a store is asked";
}

/// Adds a message at this time to each of these threads.
async fn active(rig: &Rig, db: &Persistence, threads: &[(&str, i64)]) {
    for (thread, at) in threads {
        rig.clock.set(Timestamp::from_micros(*at));
        db.thread(*thread).add(said("m", "x")).await.unwrap();
    }
}

async fn order(rig: Rig) {
    let db = rig.db().await;
    active(&rig, &db, &[("é", 20), ("a", 20), ("B", 20), ("b", 10), ("c", 30), ("a2", 20), ("d", -5)]).await;
    let list = || ListThreads::new(10);
    assert_eq!(names(&listed(&db, list()).await), ["c", "B", "a", "a2", "é", "b", "d"]);
    rig.clock.set(Timestamp::from_micros(31));
    db.thread("b").add(said("n", "x")).await.unwrap();
    assert_eq!(names(&listed(&db, list()).await), ["b", "c", "B", "a", "a2", "é", "d"]);
    // A change of metadata is activity, another title is none.
    rig.clock.set(Timestamp::from_micros(40));
    db.thread("a").update(id("m"), Default::default()).await.unwrap();
    db.thread("d").rename("x".parse().unwrap()).await.unwrap();
    assert_eq!(names(&listed(&db, list()).await), ["a", "b", "c", "B", "a2", "é", "d"]);
}

async fn pages(rig: Rig) {
    let db = rig.db().await;
    let times = [("a", 1), ("b", 1), ("c", 1), ("d", 2), ("e", 2), ("f", 3), ("g", 1), ("A", 1)];
    active(&rig, &db, &times).await;
    let due = ["f", "d", "e", "A", "a", "b", "c", "g"];
    for limit in 1..=9 {
        let entries = listed(&db, ListThreads::new(limit)).await;
        assert_eq!(names(&entries), due, "{limit} at once");
        assert!(entries.iter().zip(listed(&db, ListThreads::new(9)).await).all(|(a, b)| *a == b));
    }
}

async fn next(rig: Rig) {
    let db = rig.db().await;
    active(&rig, &db, &[("a", 3), ("b", 2), ("c", 1)]).await;
    for (limit, shown, next) in [(2, 2, Some("b")), (3, 3, None), (4, 3, None)] {
        let list = db.threads(ListThreads::new(limit)).await.unwrap();
        assert_eq!(
            (list.threads.len(), list.next.map(|next| next.thread.to_string()).as_deref()),
            (shown, next)
        );
    }
}

async fn cursor_anywhere(rig: Rig) {
    let db = rig.db().await;
    active(&rig, &db, &[("a", 10), ("c", 10), ("d", 5)]).await;
    let after = |at, thread: &str| {
        let (order, at) = (ThreadOrder::LatestActivity, Timestamp::from_micros(at));
        let cursor = ThreadCursor { order, at, thread: thread.parse().unwrap() };
        listed(&db, ListThreads::new(10).after(cursor))
    };
    assert_eq!(names(&after(99, "x").await), ["a", "c", "d"]);
    assert_eq!(names(&after(10, "b").await), ["c", "d"]);
    assert_eq!(names(&after(7, "a").await), ["d"]);
    assert_eq!(after(5, "d").await, []);
    assert_eq!(after(i64::MIN, "a").await, []);
    // The thread at the cursor has become active meanwhile, and is not shown again.
    let page = db.threads(ListThreads::new(2)).await.unwrap();
    rig.clock.set(Timestamp::from_micros(50));
    db.thread("c").add(said("n", "x")).await.unwrap();
    let rest = listed(&db, ListThreads::new(2).after(page.next.expect("there were more"))).await;
    assert_eq!(names(&rest), ["d"]);
}

async fn tenant(rig: Rig) {
    let db = rig.db().await;
    let other = db.for_tenant("other".parse().unwrap());
    active(&rig, &db, &[("a", 1), ("b", 2)]).await;
    rig.clock.advance(Duration::from_secs(1));
    active(&rig, &other, &[("b", 3), ("c", 4)]).await;
    let (here, there) = (listed(&db, ListThreads::new(1)).await, listed(&other, ListThreads::new(1)).await);
    assert_eq!((names(&here), names(&there)), (vec!["b", "a"], vec!["c", "b"]));
    assert!(here.iter().all(|entry| entry.tenant == *db.tenant()));
    other.thread("b").delete_thread().await.unwrap();
    assert_eq!(listed(&db, ListThreads::new(1)).await, here);
}

async fn limit(rig: Rig) {
    let db = rig.db().await;
    for limit in [0, ReadPage::MAX_LIMIT + 1, u32::MAX] {
        refused(db.threads(ListThreads::new(limit)).await, ErrorKind::Invalid);
        refused(db.read(ListPurgeable { after: None, limit }).await, ErrorKind::Invalid);
    }
    assert_eq!(db.threads(ListThreads::new(ReadPage::MAX_LIMIT)).await.unwrap().threads, []);
}
