//! No operation in tenant or thread X changes or reveals anything in Y.

use throughline_core::{
    Content, ErrorKind, MetadataPatch, NewReservation, Persistence, Role, Thread,
    messages::{Add, Batch, Reserve, UpdateMode},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, everything, id, ids, refused, said, the},
};

checks! {
    Core "isolation.tenants_do_not_affect_each_other" [Add Reserve UpdateContent Update Delete Read] "no operation of one tenant changes or reveals data of another tenant" => tenant;
    Core "isolation.threads_do_not_affect_each_other" [Add Reserve UpdateContent Update Delete Read] "no operation in one thread changes or reveals data of another thread" => thread;
    Core "isolation.joined_ids_do_not_collide" [Add Read] "the id pairs (a:b, c) and (a, b:c) are different, for any separator" => joined;
    Core "isolation.ids_are_compared_byte_by_byte" [Add Delete Read] "ids differ by case, blanks, pattern characters and Unicode normalization forms" => bytes;
    Core "isolation.long_ids_differ_in_their_last_byte" [Add Reserve UpdateContent Read] "ids of 255 bytes that differ only in the last byte are different" => long;
    Extended "isolation.batch_affects_its_own_tenant_only" [Add Batch Read] "a batch affects its own tenant only" => batch;
}

/// The same ids, `m` final, `r` open and `d` deleted, in two threads that must not meet.
async fn alike(db: &Persistence, thread: &Thread, text: &str) {
    thread.add(said("m", text)).await.unwrap();
    thread.add(said("d", text)).await.unwrap();
    thread.delete(id("d")).await.unwrap();
    let reservation = NewReservation::new(Role::Assistant).with_id(id("r"));
    db.run(Reserve::new(thread.id().unwrap().clone(), reservation)).await.unwrap();
}

/// Everything that can be done to `thread` leaves `other` as it was.
async fn apart(db: &Persistence, thread: &Thread, other: &Thread) {
    let before = everything(other).await;
    assert_eq!(ids(&before), ["m", "r"]);
    refused(thread.add(said("m", "again")).await, ErrorKind::AlreadyExists);
    thread.add(said("new", "x")).await.unwrap();
    thread.edit(id("m"), Content::text("edited")).await.unwrap();
    thread.update(id("m"), MetadataPatch::new().set("k", &1).unwrap()).await.unwrap();
    thread.update_content(id("r"), append("streamed"), UpdateMode::Partial).await.unwrap();
    assert_eq!(everything(other).await, before);
    thread.update_content(id("r"), append("!"), UpdateMode::Abandon { reason: None }).await.unwrap();
    thread.delete(id("m")).await.unwrap();
    refused(thread.add(said("d", "x")).await, ErrorKind::Gone);
    let reservation = NewReservation::new(Role::Assistant).with_id(id("other"));
    db.run(Reserve::new(thread.id().unwrap().clone(), reservation)).await.unwrap();
    assert_eq!(everything(other).await, before);
    assert_eq!(other.get(id("new")).await.unwrap(), None);
    let open = other.open_reservations(10).await.unwrap().messages;
    assert_eq!(ids(&open), ["r"]);
    // A write to the first message does not affect the second one.
    other.edit(id("m"), Content::text("mine")).await.unwrap();
    other.update_content(id("r"), append("mine"), UpdateMode::Final).await.unwrap();
    assert_eq!(the(other, "m").await.content, Content::text("mine"));
    other.delete(id("m")).await.unwrap();
}

async fn tenant(rig: Rig) {
    let db = rig.db().await;
    let other = db.for_tenant("other".parse().unwrap());
    let (ours, theirs) = (db.thread("t"), other.thread("t"));
    alike(&db, &ours, "ours").await;
    alike(&other, &theirs, "theirs").await;
    assert_eq!(the(&theirs, "m").await.content, Content::text("theirs"));
    assert_eq!(the(&theirs, "m").await.tenant.as_str(), "other");
    apart(&db, &ours, &theirs).await;
}

async fn thread(rig: Rig) {
    let db = rig.db().await;
    let (one, two) = (db.thread("one"), db.thread("two"));
    alike(&db, &one, "one").await;
    alike(&db, &two, "two").await;
    assert_eq!(the(&two, "m").await.content, Content::text("two"));
    apart(&db, &one, &two).await;
}

async fn joined(rig: Rig) {
    let db = rig.db().await;
    let mut locations = Vec::new();
    for glue in [":", "/", "|", " ", ".", "\u{1F517}"] {
        let [left, right] = [format!("a{glue}b"), format!("b{glue}c")];
        // As tenant and thread, and as thread and message.
        locations.push((left.clone(), "c".to_owned(), "m".to_owned()));
        locations.push(("a".to_owned(), right.clone(), "m".to_owned()));
        locations.push(("t".to_owned(), left, "c".to_owned()));
        locations.push(("t".to_owned(), "a".to_owned(), right));
    }
    for (tenant, thread, message) in &locations {
        let db = db.for_tenant(tenant.as_str().parse().unwrap());
        let text = format!("{tenant}\n{thread}\n{message}");
        db.thread(thread.as_str()).add(said(message, &text)).await.expect("each is another message");
    }
    for (tenant, thread, message) in &locations {
        let db = db.for_tenant(tenant.as_str().parse().unwrap());
        let text = format!("{tenant}\n{thread}\n{message}");
        assert_eq!(the(&db.thread(thread.as_str()), message).await.content, Content::text(&text));
    }
}

async fn bytes(rig: Rig) {
    let db = rig.db().await;
    // The last two pairs look alike: composed and decomposed, and two letters that fold into one.
    let names = [
        "id", "ID", "Id", "id ", " id", "id%", "i_", "%", "_", "*", "i*", "'", "\"", "\\", "0", "00", "0.0",
        "-0", "1e0", "null", "é", "e\u{301}", "ß", "ss",
    ];
    for name in names {
        db.thread(name).add(said("m", name)).await.expect("each is another thread");
        db.thread("t").add(said(name, name)).await.expect("each is another message");
        let other = db.for_tenant(name.parse().unwrap());
        other.thread("t").add(said("m", name)).await.expect("each is another tenant");
    }
    for name in names {
        let [thread, other] = [db.thread(name), db.for_tenant(name.parse().unwrap()).thread("t")];
        for thread in [&thread, &other] {
            assert_eq!(ids(&everything(thread).await), ["m"], "{name:?}");
            assert_eq!(the(thread, "m").await.content, Content::text(name));
        }
        assert_eq!(the(&db.thread("t"), name).await.content, Content::text(name));
    }
    assert_eq!(ids(&everything(&db.thread("t")).await), names);
    db.thread("t").delete(id("%")).await.unwrap();
    assert_eq!(everything(&db.thread("t")).await.len(), names.len() - 1);
}

async fn long(rig: Rig) {
    let db = rig.db().await;
    let [one, two] = ["1", "2"].map(|end| format!("{}{end}", "é".repeat(127)));
    assert_eq!(one.len(), 255);
    for (tenant, thread, message) in
        [(&one, &one, &one), (&two, &one, &one), (&one, &two, &one), (&one, &one, &two)]
    {
        let db = db.for_tenant(tenant.as_str().parse().unwrap());
        let reservation = NewReservation::new(Role::Assistant).with_id(id(message));
        db.run(Reserve::new(thread.as_str().parse().unwrap(), reservation)).await.expect("another message");
        db.thread(thread.as_str()).update_content(id(message), append("x"), UpdateMode::Final).await.unwrap();
    }
    let db = db.for_tenant(one.as_str().parse().unwrap());
    assert_eq!(ids(&everything(&db.thread(one.as_str())).await), [one.as_str(), two.as_str()]);
}

async fn batch(rig: Rig) {
    let db = rig.db().await;
    let other = db.for_tenant("other".parse().unwrap());
    let batch = || {
        let add = |thread: &str| Add::new(thread.parse().unwrap(), said("m", thread));
        Batch::new().with(add("a")).with(add("b"))
    };
    db.batch(batch()).await.unwrap();
    assert_eq!(everything(&other.thread("a")).await, []);
    other.batch(batch()).await.expect("the other tenant has none of them");
    for name in ["a", "b"] {
        assert_eq!(the(&other.thread(name), "m").await.tenant.as_str(), "other");
        assert_eq!(the(&db.thread(name), "m").await.tenant, *db.tenant());
    }
}
