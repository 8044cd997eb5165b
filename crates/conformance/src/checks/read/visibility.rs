//! `ReadPage`: which messages show.

use throughline_core::{
    NewReservation, Persistence, Role, Thread,
    messages::{Page, PageFrom, Reserve, UpdateMode, Visibility},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, id, ids, said, the},
};

checks! {
    Core "pages.default_visibility_shows_every_state" [Add Reserve UpdateContent Read] "by default a page shows every message with its state" => all;
    Core "pages.final_visibility_shows_final_messages_only" [Add Reserve UpdateContent Read] "a page of final messages shows those before and after an open one, and no others" => finals;
    Core "pages.limit_counts_visible_messages" [Add Reserve UpdateContent Read] "the limit of a page counts visible messages only" => final_limit;
    Core "pages.every_page_reports_the_first_open_message" [Add Reserve UpdateContent Delete Read] "every page reports the sequence number of the first open message" => first_open;
    Core "pages.consumer_page_stops_before_the_first_open_message" ("VL-S18") [Add Reserve UpdateContent Read] "a consumer's page stops before the first open message and continues once it is settled" => settled;
    Core "pages.backward_consumer_page_hides_later_messages" ("VL-S18") [Add Reserve UpdateContent Read] "a backward consumer's page shows no message after the first open one" => settled_backwards;
    Core "pages.resumed_consumer_sees_every_settled_message" ("VL-S21") [Add Reserve UpdateContent Read] "a consumer that resumes at its cursor after a crash sees every settled message, in order" => consumer;
}

async fn reserve(db: &Persistence, name: &str) {
    let reservation = NewReservation::new(Role::Assistant).with_id(id(name));
    db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
}

async fn settle(thread: &Thread, name: &str, mode: UpdateMode) {
    thread.update_content(id(name), append("x"), mode).await.unwrap();
}

/// `a` final, `b` abandoned, `c` open, `d` final, `e` open and streaming, `f` abandoned, `g` final.
async fn mixed(rig: &Rig) -> (Persistence, Thread) {
    let db = rig.db().await;
    let thread = db.thread("t");
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        match name {
            "a" | "d" | "g" => drop(thread.add(said(name, "x")).await.unwrap()),
            _ => reserve(&db, name).await,
        }
    }
    settle(&thread, "e", UpdateMode::Partial).await;
    for name in ["b", "f"] {
        settle(&thread, name, UpdateMode::Abandon { reason: None }).await;
    }
    (db, thread)
}

async fn page(thread: &Thread, from: PageFrom, limit: u32, visibility: Visibility) -> Page {
    thread.page_showing(from, limit, visibility).await.expect("a page")
}

async fn all(rig: Rig) {
    let (_db, thread) = mixed(&rig).await;
    let shown = page(&thread, PageFrom::Start, 10, Visibility::All).await;
    let states: Vec<_> = shown.messages.iter().map(|message| message.state.as_str()).collect();
    let expected = ["final", "abandoned", "reserved", "final", "streaming", "abandoned", "final"];
    assert_eq!(states, expected);
    assert_eq!(thread.page(PageFrom::Start, 10).await.unwrap(), shown);
}

async fn finals(rig: Rig) {
    let (_db, thread) = mixed(&rig).await;
    for from in [PageFrom::Start, PageFrom::End] {
        let shown = page(&thread, from, 10, Visibility::Final).await;
        assert_eq!((ids(&shown.messages), shown.has_more), (vec!["a", "d", "g"], false));
    }
}

async fn final_limit(rig: Rig) {
    let (_db, thread) = mixed(&rig).await;
    let d = the(&thread, "d").await.seq;
    for (from, limit, names, more) in [
        (PageFrom::Start, 2, vec!["a", "d"], true),
        (PageFrom::Start, 3, vec!["a", "d", "g"], false),
        (PageFrom::End, 2, vec!["d", "g"], true),
        (PageFrom::After(d), 1, vec!["g"], false),
        (PageFrom::Before(d), 1, vec!["a"], false),
    ] {
        let shown = page(&thread, from, limit, Visibility::Final).await;
        assert_eq!((ids(&shown.messages), shown.has_more), (names, more), "{from:?} {limit}");
    }
}

async fn first_open(rig: Rig) {
    let (_db, thread) = mixed(&rig).await;
    let (c, e) = (the(&thread, "c").await.seq, the(&thread, "e").await.seq);
    for visibility in [Visibility::All, Visibility::Final, Visibility::Settled] {
        for from in [PageFrom::Start, PageFrom::End, PageFrom::After(e)] {
            // Whatever the page shows, and wherever it begins.
            assert_eq!(
                page(&thread, from, 1, visibility).await.first_open,
                Some(c),
                "{from:?} {visibility:?}"
            );
        }
    }
    thread.delete(id("c")).await.unwrap();
    assert_eq!(thread.page(PageFrom::Start, 1).await.unwrap().first_open, Some(e));
    settle(&thread, "e", UpdateMode::Final).await;
    assert_eq!(thread.page(PageFrom::Start, 1).await.unwrap().first_open, None);
}

async fn settled(rig: Rig) {
    let (_db, thread) = mixed(&rig).await;
    let shown = page(&thread, PageFrom::Start, 10, Visibility::Settled).await;
    assert_eq!((ids(&shown.messages), shown.has_more), (vec!["a", "b"], false));
    let shown = page(&thread, PageFrom::Start, 1, Visibility::Settled).await;
    assert_eq!((ids(&shown.messages), shown.has_more), (vec!["a"], true));
    let cursor = the(&thread, "b").await.seq;
    let behind = page(&thread, PageFrom::After(cursor), 10, Visibility::Settled).await;
    assert_eq!((ids(&behind.messages), behind.has_more), (vec![], false));
    settle(&thread, "c", UpdateMode::Final).await;
    let behind = page(&thread, PageFrom::After(cursor), 10, Visibility::Settled).await;
    assert_eq!(ids(&behind.messages), ["c", "d"]);
    settle(&thread, "e", UpdateMode::Abandon { reason: None }).await;
    let behind = page(&thread, PageFrom::After(cursor), 10, Visibility::Settled).await;
    assert_eq!((ids(&behind.messages), behind.first_open), (vec!["c", "d", "e", "f", "g"], None));
}

async fn settled_backwards(rig: Rig) {
    let (_db, thread) = mixed(&rig).await;
    let shown = page(&thread, PageFrom::End, 10, Visibility::Settled).await;
    assert_eq!((ids(&shown.messages), shown.has_more), (vec!["a", "b"], false));
    let shown = page(&thread, PageFrom::End, 1, Visibility::Settled).await;
    assert_eq!((ids(&shown.messages), shown.has_more), (vec!["b"], true));
    let g = the(&thread, "g").await.seq;
    let shown = page(&thread, PageFrom::Before(g), 10, Visibility::Settled).await;
    assert_eq!(ids(&shown.messages), ["a", "b"]);
}

/// A consumer of settled messages that dies in the middle of every page, with a cursor that it keeps.
async fn consumer(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let names: Vec<String> = (0..12).map(|number| format!("m{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        if number % 4 == 1 {
            reserve(&db, name).await;
        } else {
            thread.add(said(name, "x")).await.unwrap();
        }
    }
    // Settled in another order than they were reserved in, one each time that the consumer comes to a stop.
    let mut open = vec!["m1", "m9", "m5"];
    let (mut seen, mut cursor) = (Vec::new(), PageFrom::Start);
    loop {
        let shown = page(&thread, cursor, 3, Visibility::Settled).await;
        let Some(last) = shown.messages.first() else {
            let Some(name) = open.pop() else { break };
            settle(&thread, name, UpdateMode::Final).await;
            continue;
        };
        // The reader handles the whole page, but dies after it stored only the cursor behind the first message.
        cursor = PageFrom::After(last.seq);
        seen.extend(shown.messages.iter().map(|message| message.id.as_str().to_owned()));
    }
    let mut first_time: Vec<String> = Vec::new();
    for name in seen {
        if !first_time.contains(&name) {
            first_time.push(name);
        }
    }
    assert_eq!(first_time, names);
}
