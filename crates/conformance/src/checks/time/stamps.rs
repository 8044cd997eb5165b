//! `created_at` and `updated_at`.

use std::time::Duration;

use throughline_core::{
    Content, MetadataPatch, NewReservation, Role, Timestamp,
    messages::{Add, PageFrom, Reserve, UpdateMode},
};

use crate::{
    check::checks,
    clock::ManualClock,
    rig::Rig,
    shorthand::{append, everything, id, ids, said, the},
};

checks! {
    Core "clocks.created_at_is_kept_by_every_change" [Add Reserve UpdateContent Update Read] "every kind of change keeps `created_at`" => created_at;
    Core "clocks.updated_at_comes_from_the_pipeline_clock" [Add UpdateContent Update Read] "`updated_at` comes from the clock of the pipeline" => updated_at;
    Core "clocks.updated_at_never_decreases" [Add UpdateContent Update Read] "`updated_at` never decreases when the clock jumps back" => clock_jumps_back;
    Core "clocks.distant_times_are_kept" [Add Read] "times far in the past and in the future are kept" => range;
    Core "clocks.order_is_commit_order_for_any_clock" ("VL-S23") [Add Reserve UpdateContent Read] "messages are in commit order with equal times and with a clock that jumps back" => order;
}

async fn created_at(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("a", "x")).await.unwrap();
    let reservation = NewReservation::new(Role::Assistant).with_id(id("r"));
    db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
    for number in 0..20 {
        rig.clock.advance(Duration::from_secs(1));
        thread.edit(id("a"), Content::text("y")).await.unwrap();
        thread.update(id("a"), MetadataPatch::new().set("k", &number).unwrap()).await.unwrap();
        thread.update_content(id("r"), append("y"), UpdateMode::Partial).await.unwrap();
    }
    thread.update_content(id("r"), append("y"), UpdateMode::Final).await.unwrap();
    for message in everything(&thread).await {
        assert_eq!(message.created_at, ManualClock::START, "{}", message.id);
        assert_eq!(message.updated_at, ManualClock::START.plus(Duration::from_secs(20)), "{}", message.id);
    }
}

async fn updated_at(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("m", "x")).await.unwrap();
    let later = rig.clock.advance(Duration::from_micros(1));
    thread.update(id("m"), MetadataPatch::new().set("k", &1).unwrap()).await.unwrap();
    assert_eq!(the(&thread, "m").await.updated_at, later);
    let later = rig.clock.advance(Duration::from_micros(1));
    thread.edit(id("m"), Content::text("y")).await.unwrap();
    assert_eq!(the(&thread, "m").await.updated_at, later);
    // A read is no change.
    rig.clock.advance(Duration::from_micros(1));
    assert_eq!(the(&thread, "m").await.updated_at, later);
}

async fn clock_jumps_back(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("m", "x")).await.unwrap();
    rig.clock.go_back(Duration::from_secs(3600));
    thread.edit(id("m"), Content::text("y")).await.unwrap();
    assert_eq!(the(&thread, "m").await.updated_at, ManualClock::START);
    thread.update(id("m"), MetadataPatch::new().set("k", &1).unwrap()).await.unwrap();
    let read = the(&thread, "m").await;
    assert_eq!((read.created_at, read.updated_at), (ManualClock::START, ManualClock::START));
    assert_eq!((read.content, read.revision.get()), (Content::text("y"), 2));
}

async fn range(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let moments = [i64::MIN, -1, 0, 1, i64::MAX].map(Timestamp::from_micros);
    for (number, moment) in moments.into_iter().enumerate() {
        thread.add(said(&format!("m{number}"), "x").created_at(moment)).await.unwrap();
    }
    let read: Vec<_> = everything(&thread).await.iter().map(|message| message.created_at).collect();
    assert_eq!(read, moments);
}

async fn order(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let mut names = Vec::new();
    let mut last = None;
    for number in 0..12 {
        if number == 6 {
            rig.clock.go_back(Duration::from_secs(3600));
        }
        // Named so that an order by id would be another one.
        let name = format!("{}", 99 - number);
        let added = db.run(Add::new("t".parse().unwrap(), said(&name, "x"))).reply().await.unwrap();
        assert!(added.receipt.position > last, "positions are the order of commits");
        last = added.receipt.position;
        names.push(name);
    }
    assert_eq!(ids(&everything(&thread).await), names);
    let (mut seen, mut from) = (Vec::new(), Some(PageFrom::End));
    while let Some(at) = from {
        let page = thread.page(at, 5).await.unwrap();
        from = page.next(at);
        seen.splice(0..0, page.messages);
    }
    assert_eq!(ids(&seen), names);
    // The revision distinguishes a reservation from a finished message after the jump, and the time does not.
    let reservation = NewReservation::new(Role::Assistant).with_id(id("r"));
    db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
    thread.update_content(id("r"), append("x"), UpdateMode::Final).await.unwrap();
    assert_eq!(the(&thread, "r").await.revision.get(), 2);
}
