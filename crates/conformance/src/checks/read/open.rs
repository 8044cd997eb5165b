//! `ListOpen`.

use std::time::Duration;

use throughline_core::{
    Message, NewReservation, Persistence, Role,
    messages::{ListOpen, OpenReservations, Reserve, UpdateMode},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, id, said},
};

checks! {
    Core "drafts.list_shows_open_messages_only" [Add Reserve UpdateContent Read] "the list of open messages shows their committed content and contains no settled message" => listed;
    Core "drafts.list_is_ordered_by_thread_and_seq" [Reserve Read] "the list of open messages is ordered by thread bytes and sequence number, without gaps or repeats" => order;
    Core "drafts.list_of_a_thread_shows_that_thread" [Reserve Read] "the list of open messages of one thread shows that thread only" => of_thread;
    Core "drafts.expired_list_shows_ended_leases" [Reserve UpdateContent Read] "the list of expired drafts shows the open messages whose lease has ended" => expired;
    Core "drafts.list_shows_no_other_tenant" [Reserve Read] "the list of open messages shows no message of another tenant" => tenant;
}

async fn reserve(db: &Persistence, thread: &str, name: &str, lease: Duration) -> Message {
    let reservation = NewReservation::new(Role::Assistant).with_id(id(name)).with_lease(lease);
    db.run(Reserve::new(thread.parse().unwrap(), reservation)).await.unwrap().message
}

const LEASE: Duration = Duration::from_secs(10);

fn named(open: &OpenReservations) -> Vec<String> {
    open.messages.iter().map(|message| format!("{}/{}", message.thread, message.id)).collect()
}

async fn listed(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("said", "x")).await.unwrap();
    let reserved = reserve(&db, "t", "reserved", LEASE).await;
    for (name, mode) in [
        ("streaming", UpdateMode::Partial),
        ("final", UpdateMode::Final),
        ("abandoned", UpdateMode::Abandon { reason: None }),
    ] {
        reserve(&db, "t", name, LEASE).await;
        thread.update_content(id(name), append("so far"), mode).await.unwrap();
    }
    let streaming = thread.get(id("streaming")).await.unwrap().expect("it is there");
    assert_eq!(streaming.content, throughline_core::Content::text("so far"));
    let open = db.open_reservations(10).await.unwrap();
    assert_eq!(open, OpenReservations { messages: vec![reserved, streaming], damaged: vec![], next: None });
}

async fn order(rig: Rig) {
    let db = rig.db().await;
    // By bytes: upper-case before lower-case, a prefix before what it begins, non-ASCII last.
    let expected = ["B/1", "B/2", "a/1", "a/2", "a b/1", "ab/1", "é/1"];
    for location in ["é/1", "a/1", "ab/1", "B/1", "a b/1", "a/2", "B/2"] {
        let (thread, name) = location.split_once('/').unwrap();
        reserve(&db, thread, name, LEASE).await;
    }
    for limit in [1, 2, 3, 6, 7, 8] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let open = db.read(ListOpen { after, ..ListOpen::new(limit) }).await.unwrap();
            assert!(open.messages.len() <= limit as usize);
            seen.extend(named(&open));
            after = open.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected, "in pages of {limit}");
    }
    assert_eq!(db.open_reservations(7).await.unwrap().next, None);
}

async fn of_thread(rig: Rig) {
    let db = rig.db().await;
    for thread in ["a", "b", "a/", "aa"] {
        for name in ["1", "2"] {
            reserve(&db, thread, name, LEASE).await;
        }
    }
    let open = db.thread("a").open_reservations(10).await.unwrap();
    assert_eq!((named(&open), open.next), (vec!["a/1".to_owned(), "a/2".to_owned()], None));
    let first = db.thread("a").open_reservations(1).await.unwrap();
    let rest = ListOpen { after: first.next, ..ListOpen::new(1).in_thread("a".parse().unwrap()) };
    let rest = db.read(rest).await.unwrap();
    assert_eq!((named(&rest), rest.next), (vec!["a/2".to_owned()], None));
    assert_eq!(named(&db.thread("unknown").open_reservations(10).await.unwrap()), [""; 0]);
}

async fn expired(rig: Rig) {
    let db = rig.db().await;
    reserve(&db, "t", "short", LEASE).await;
    reserve(&db, "t", "long", LEASE * 3).await;
    reserve(&db, "t", "renewed", LEASE).await;
    let expired = || db.read(ListOpen::new(10).expired_only());
    rig.clock.advance(LEASE - Duration::from_micros(1));
    assert_eq!(named(&expired().await.unwrap()), [""; 0]);
    let renewal = throughline_core::messages::ContentChange::none();
    db.thread("t").update_content(id("renewed"), renewal, UpdateMode::Partial).await.unwrap();
    rig.clock.advance(Duration::from_micros(1));
    assert_eq!(named(&expired().await.unwrap()), ["t/short"]);
    rig.clock.advance(LEASE);
    assert_eq!(named(&expired().await.unwrap()), ["t/short", "t/renewed"]);
    rig.clock.advance(LEASE);
    let first = db.read(ListOpen::new(2).expired_only()).await.unwrap();
    assert_eq!(named(&first), ["t/short", "t/long"]);
    let rest = ListOpen { after: first.next, ..ListOpen::new(2).expired_only() };
    assert_eq!(named(&db.read(rest).await.unwrap()), ["t/renewed"]);
    // All of them are still open: that a lease ended settles nothing by itself.
    assert_eq!(db.open_reservations(10).await.unwrap().messages.len(), 3);
}

async fn tenant(rig: Rig) {
    let db = rig.db().await;
    let other = db.for_tenant("other".parse().unwrap());
    reserve(&db, "t", "ours", LEASE).await;
    reserve(&other, "t", "theirs", LEASE).await;
    assert_eq!(named(&db.open_reservations(10).await.unwrap()), ["t/ours"]);
    assert_eq!(named(&other.open_reservations(10).await.unwrap()), ["t/theirs"]);
    assert_eq!(named(&other.thread("t").open_reservations(10).await.unwrap()), ["t/theirs"]);
}
