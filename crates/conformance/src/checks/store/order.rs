//! Sequence numbers and positions.

use throughline_core::{
    Content, ErrorKind, NewReservation, ReadArgs, Role,
    messages::{Add, GetMessage, Reserve, Update, UpdateContent, UpdateMode},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, everything, id, ids, position, refused, said},
};

checks! {
    Core "messages.seqs_are_assigned_in_arrival_order" [Add Reserve UpdateContent Read] "sequence numbers are assigned in arrival order and do not depend on later changes" => seq;
    Core "changes.positions_increase_across_the_store" [Add Reserve UpdateContent Update Delete Read] "every change has a higher position than all earlier changes of all threads and tenants" => positions;
    Core "changes.reads_and_refusals_have_no_position" [Add Read] "a read or a refused call has no position" => no_position;
    Extended "changes.replays_have_no_position" [Add Read; keys] "a replayed call has no position and takes none" => replay;
}

async fn seq(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let mut names = Vec::new();
    for number in 0..12 {
        let name = format!("m{number}");
        if number % 3 == 0 {
            let reservation = NewReservation::new(Role::Assistant).with_id(id(&name));
            db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
        } else {
            thread.add(said(&name, "x")).await.unwrap();
        }
        db.thread("other").add(said(&name, "x")).await.unwrap();
        names.push(name);
    }
    let seqs = |messages: &[throughline_core::Message]| messages.iter().map(|m| m.seq).collect::<Vec<_>>();
    let before = everything(&thread).await;
    assert_eq!(ids(&before), names);
    assert!(seqs(&before).is_sorted_by(|a, b| a < b), "{:?}", seqs(&before));
    for name in ["m9", "m0", "m3"] {
        thread.update_content(id(name), append("x"), UpdateMode::Final).await.unwrap();
    }
    thread.edit(id("m1"), Content::text("edited")).await.unwrap();
    let after = everything(&thread).await;
    assert_eq!((ids(&after), seqs(&after)), (names.iter().map(String::as_str).collect(), seqs(&before)));
}

async fn positions(rig: Rig) {
    let db = rig.db().await;
    let other = db.for_tenant("other".parse().unwrap());
    let t = || "t".parse().unwrap();
    let reservation = NewReservation::new(Role::Assistant).with_id(id("r"));
    let change = |mode| db.run(UpdateContent::new(t(), id("r"), append("x"), mode)).reply();
    let positions = [
        position(&db.run(Add::new(t(), said("m", "x"))).reply().await.unwrap()),
        position(&other.run(Add::new(t(), said("m", "x"))).reply().await.unwrap()),
        position(&db.run(Reserve::new(t(), reservation)).reply().await.unwrap()),
        position(&change(UpdateMode::Partial).await.unwrap()),
        position(&db.run(Add::new("u".parse().unwrap(), said("m", "x"))).reply().await.unwrap()),
        position(&change(UpdateMode::Final).await.unwrap()),
        position(&change(UpdateMode::Edit).await.unwrap()),
        position(&db.run(Update::new(t(), id("m"), Default::default())).reply().await.unwrap()),
        position(&other.thread("t").delete(id("m")).reply().await.unwrap()),
        position(&db.run(Add::new(t(), said("n", "x"))).reply().await.unwrap()),
    ];
    assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
}

async fn no_position(rig: Rig) {
    let db = rig.db().await;
    let add = || db.run(Add::new("t".parse().unwrap(), said("m", "x"))).reply();
    let first = position(&add().await.unwrap());
    refused(add().await.map(|reply| reply.output), ErrorKind::AlreadyExists);
    let get = GetMessage { thread: "t".parse().unwrap(), id: id("m") };
    let read = db.run(ReadArgs::Get(get)).reply().await.unwrap();
    assert_eq!(read.receipt.position, None);
    let second = db.run(Add::new("t".parse().unwrap(), said("n", "x"))).reply().await.unwrap();
    assert!(position(&second) > first);
}

async fn replay(rig: Rig) {
    let db = rig.db().await;
    let add = |name: &str| db.run(Add::new("t".parse().unwrap(), said(name, "x"))).key(name).reply();
    let first = position(&add("m").await.unwrap());
    let again = add("m").await.unwrap();
    assert!(again.output.deduplicated);
    assert_eq!(again.receipt.position, None);
    assert!(position(&add("n").await.unwrap()) > first);
}
