//! `ReadPage`: order and cursors.

use throughline_core::{
    ErrorKind, Persistence, Seq, Thread,
    messages::{Batch, PageFrom, ReadPage},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{id, ids, refused, said},
};

checks! {
    Core "pages.forward_pages_show_each_message_once" [Add Read] "forward pages show every message once, in order" => forwards;
    Core "pages.backward_pages_show_each_message_once" [Add Read] "backward pages show every message once, and each page starts with its oldest" => backwards;
    Core "pages.cursor_is_exclusive" [Add Read] "a page excludes the message at its cursor, in both directions" => exclusive;
    Core "pages.exact_last_page_has_no_more" [Add Read] "a page that ends exactly at the last message reports no more" => has_more;
    Core "pages.unwritten_thread_is_empty" [Read] "a page of a thread without any write is empty" => empty;
    Core "pages.cursor_may_name_any_seq" [Add Delete Read] "a cursor may name a sequence number that has no message" => cursor_anywhere;
    Core "pages.limit_is_from_1_to_1000" [Add Read] "a page accepts a limit from 1 to 1000 and refuses others" => limit;
    Core "pages.deletion_of_shown_messages_skips_none" [Add Delete Read] "the next page neither repeats nor skips a message after the shown messages are deleted" => deleted;
    Extended "pages.largest_page_holds_1000_messages" [Add Batch Read] "a page with the largest limit holds 1000 messages and reports more" => thousand;
}

/// A thread of `m0`, `m1`, … and a neighbour whose messages must not show.
async fn thread_of(rig: &Rig, count: usize) -> (Persistence, Thread) {
    let db = rig.db().await;
    let thread = db.thread("t");
    for number in 0..count {
        thread.add(said(&format!("m{number}"), "x")).await.unwrap();
        db.thread("u").add(said(&format!("n{number}"), "x")).await.unwrap();
    }
    (db, thread)
}

/// The ids of each page, from `from` on until there are no more.
async fn pages(thread: &Thread, from: PageFrom, limit: u32) -> Vec<String> {
    let mut pages = Vec::new();
    let mut next = Some(from);
    while let Some(at) = next {
        let page = thread.page(at, limit).await.expect("a page");
        pages.push(ids(&page.messages).join(" "));
        next = page.next(at);
        assert_eq!(page.has_more, next.is_some());
    }
    pages
}

async fn forwards(rig: Rig) {
    let (_db, thread) = thread_of(&rig, 7).await;
    assert_eq!(pages(&thread, PageFrom::Start, 3).await, ["m0 m1 m2", "m3 m4 m5", "m6"]);
    assert_eq!(pages(&thread, PageFrom::Start, 1).await.len(), 7);
}

async fn backwards(rig: Rig) {
    let (_db, thread) = thread_of(&rig, 7).await;
    assert_eq!(pages(&thread, PageFrom::End, 3).await, ["m4 m5 m6", "m1 m2 m3", "m0"]);
    assert_eq!(pages(&thread, PageFrom::End, 1).await.first().map(String::as_str), Some("m6"));
}

async fn exclusive(rig: Rig) {
    let (_db, thread) = thread_of(&rig, 5).await;
    let middle = thread.get(id("m2")).await.unwrap().expect("it is there").seq;
    assert_eq!(pages(&thread, PageFrom::After(middle), 10).await, ["m3 m4"]);
    assert_eq!(pages(&thread, PageFrom::Before(middle), 10).await, ["m0 m1"]);
    assert_eq!(pages(&thread, PageFrom::After(middle), 1).await, ["m3", "m4"]);
    assert_eq!(pages(&thread, PageFrom::Before(middle), 1).await, ["m1", "m0"]);
}

async fn has_more(rig: Rig) {
    let (_db, thread) = thread_of(&rig, 4).await;
    for from in [PageFrom::Start, PageFrom::End] {
        for (limit, more) in [(3, true), (4, false), (5, false)] {
            let page = thread.page(from, limit).await.unwrap();
            assert_eq!(
                (page.messages.len(), page.has_more),
                (limit.min(4) as usize, more),
                "{from:?} {limit}"
            );
        }
    }
}

async fn empty(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    for from in [PageFrom::Start, PageFrom::End, PageFrom::After(Seq::ZERO), PageFrom::Before(Seq::FIRST)] {
        let page = thread.page(from, 10).await.unwrap();
        assert_eq!((page.messages, page.has_more, page.first_open), (vec![], false, None));
        assert_eq!(page.thread.as_str(), "t");
    }
}

async fn cursor_anywhere(rig: Rig) {
    let (_db, thread) = thread_of(&rig, 3).await;
    let far = Seq::new(i64::MAX as u64);
    assert_eq!(pages(&thread, PageFrom::After(Seq::ZERO), 10).await, ["m0 m1 m2"]);
    assert_eq!(pages(&thread, PageFrom::Before(far), 10).await, ["m0 m1 m2"]);
    assert_eq!(pages(&thread, PageFrom::After(far), 10).await, [""]);
    assert_eq!(pages(&thread, PageFrom::Before(Seq::ZERO), 10).await, [""]);
    let gone = thread.delete(id("m1")).await.unwrap().seq;
    assert_eq!(pages(&thread, PageFrom::After(gone), 10).await, ["m2"]);
    assert_eq!(pages(&thread, PageFrom::Before(gone), 10).await, ["m0"]);
}

async fn limit(rig: Rig) {
    let (_db, thread) = thread_of(&rig, 2).await;
    for limit in [0, ReadPage::MAX_LIMIT + 1, u32::MAX] {
        refused(thread.page(PageFrom::Start, limit).await, ErrorKind::Invalid);
        refused(thread.open_reservations(limit).await, ErrorKind::Invalid);
    }
    assert_eq!(pages(&thread, PageFrom::Start, ReadPage::MAX_LIMIT).await, ["m0 m1"]);
    assert_eq!(thread.open_reservations(ReadPage::MAX_LIMIT).await.unwrap().messages, []);
}

async fn deleted(rig: Rig) {
    let (_db, thread) = thread_of(&rig, 6).await;
    let first = thread.page(PageFrom::Start, 2).await.unwrap();
    for name in ["m0", "m1", "m2"] {
        thread.delete(id(name)).await.unwrap();
    }
    thread.add(said("m6", "x")).await.unwrap();
    let next = first.next(PageFrom::Start).expect("there were more");
    assert_eq!(pages(&thread, next, 10).await, ["m3 m4 m5 m6"]);
}

async fn thousand(rig: Rig) {
    let db = rig.db().await;
    let names: Vec<String> = (0..1001).map(|number| format!("m{number}")).collect();
    for some in names.chunks(200) {
        let add = |name: &String| throughline_core::messages::Add::new("t".parse().unwrap(), said(name, "x"));
        db.batch(some.iter().map(add).fold(Batch::new(), Batch::with)).await.unwrap();
    }
    let thread = db.thread("t");
    let page = thread.page(PageFrom::Start, 1000).await.unwrap();
    assert_eq!(
        (ids(&page.messages), page.has_more),
        (names[..1000].iter().map(String::as_str).collect(), true)
    );
    let page = thread.page(PageFrom::End, 1000).await.unwrap();
    assert_eq!((ids(&page.messages), page.has_more), (names[1..].iter().map(String::as_str).collect(), true));
}
