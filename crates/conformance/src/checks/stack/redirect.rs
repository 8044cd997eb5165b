//! A redirect owns an id for life.

use throughline_core::{
    Content, ErrorKind, MessageState, MetadataPatch, NewReservation, PersistArgs, Persistence, Role,
    messages::{Batch, Reserve, UpdateMode},
    redirect::{redirect, redirect_messages},
};
use throughline_memory::MemoryBackend;

use crate::{
    check::checks,
    erased::AnyBackend,
    rig::Rig,
    shorthand::{append, everything, id, ids, refused, said, shown, the},
    tap::Counts,
};

checks! {
    Core "redirects.full_redirect_leaves_the_store_empty" ("VL-S4") [Add Reserve UpdateContent Update Delete Read] "with a redirect of all calls the store stays empty, and the target answers every read" => everything_away,
        core alone: "the store is not asked anything, and so has nothing to do wrong";
    Core "redirects.partial_redirect_keeps_other_threads" ("VL-S4") [Add Delete Read] "with a redirect of some threads the other threads stay in the store" => some_threads;
    Core "redirects.reserved_message_stays_with_its_target" ("VL-S5") [Add Reserve UpdateContent Update Delete Read] "a redirected reservation keeps its later updates, deletes and reads in the target" => one_message;
    Extended "redirects.message_is_found_after_reopening" ("VL-S5") [Reserve UpdateContent Read; durable] "a redirected message is found in its target after the store is reopened" => reopened;
    Extended "redirects.unsupported_batch_is_refused" ("VL-S5") [Add Reserve Batch Read] "a redirect refuses a batch that it cannot serve, and never falls through to the store" => batch;
}

fn elsewhere(rig: &Rig) -> Persistence {
    rig.builder().backend(MemoryBackend::new().with_name("elsewhere")).build().unwrap()
}

async fn everything_away(rig: Rig) {
    let target = elsewhere(&rig);
    let counts = Counts::new();
    let backend = rig.tapped(&counts).await;
    let layer = redirect("away", |_, _| true, target.clone());
    let db = rig.builder().layer(layer).backend(backend).build().unwrap();
    let thread = db.thread("t");
    thread.add(said("m", "x")).await.unwrap();
    thread.edit(id("m"), Content::text("y")).await.unwrap();
    thread.update(id("m"), MetadataPatch::new().set("k", &1).unwrap()).await.unwrap();
    let mut draft = thread.reserve(NewReservation::new(Role::Assistant).with_id(id("d"))).await.unwrap();
    draft.append("streamed").await.unwrap();
    draft.finish().await.unwrap();
    thread.add(said("gone", "x")).await.unwrap();
    thread.delete(id("gone")).await.unwrap();
    refused(thread.add(said("m", "again")).await, ErrorKind::AlreadyExists);
    let read = everything(&thread).await;
    assert_eq!(ids(&read), ["m", "d"]);
    assert_eq!(read, everything(&target.thread("t")).await);
    assert_eq!(the(&thread, "d").await.content, Content::text("streamed"));
    assert_eq!(counts.asked(), 0, "the store was asked");
}

async fn some_threads(rig: Rig) {
    let target = elsewhere(&rig);
    let backend = rig.open().await;
    let layer = redirect("old", |_, thread| thread.as_str().starts_with("old:"), target.clone());
    let db = rig.builder().layer(layer).backend(backend).build().unwrap();
    for name in ["old:1", "new:1"] {
        db.thread(name).add(said("m", name)).await.unwrap();
        assert_eq!(the(&db.thread(name), "m").await.content, Content::text(name));
    }
    assert_eq!(ids(&everything(&target.thread("old:1")).await), ["m"]);
    assert_eq!(everything(&target.thread("new:1")).await, []);
    db.thread("old:1").delete(id("m")).await.unwrap();
    assert_eq!(everything(&target.thread("old:1")).await, []);
    assert_eq!(ids(&everything(&db.thread("new:1")).await), ["m"]);
}

fn vault(args: &PersistArgs) -> bool {
    match args {
        PersistArgs::Add(add) => add.id.as_str().starts_with("vault"),
        PersistArgs::Reserve(reserve) => reserve.id.as_str().starts_with("vault"),
        _ => false,
    }
}

fn with_vault(rig: &Rig, backend: AnyBackend, target: &Persistence) -> Persistence {
    let layer = redirect_messages("to-vault", vault, target.clone());
    rig.builder().layer(layer).backend(backend).build().unwrap()
}

async fn reserve(db: &Persistence, name: &str) {
    let reservation = NewReservation::new(Role::Assistant).with_id(id(name));
    db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
}

async fn one_message(rig: Rig) {
    let target = elsewhere(&rig);
    let db = with_vault(&rig, rig.open().await, &target);
    let thread = db.thread("t");
    thread.add(said("before", "x")).await.unwrap();
    reserve(&db, "vault").await;
    thread.add(said("after", "x")).await.unwrap();
    thread.update_content(id("vault"), append("sec"), UpdateMode::Partial).await.unwrap();
    thread.update_content(id("vault"), append("ret"), UpdateMode::Final).await.unwrap();
    thread.update(id("vault"), MetadataPatch::new().set("k", &1).unwrap()).await.unwrap();
    let read = everything(&thread).await;
    assert_eq!(ids(&read), ["before", "vault", "after"]);
    assert_eq!((&read[1].content, read[1].state), (&Content::text("secret"), MessageState::Final));
    assert_eq!(shown(&read[1].metadata), r#"{"k":1}"#);
    assert_eq!(the(&thread, "vault").await, read[1]);
    assert_eq!(ids(&everything(&target.thread("t")).await), ["vault"]);
    // The neighbours are this side's.
    thread.edit(id("before"), Content::text("y")).await.unwrap();
    assert_eq!(target.thread("t").get(id("before")).await.unwrap(), None);
    thread.delete(id("vault")).await.unwrap();
    assert_eq!(everything(&target.thread("t")).await, []);
    assert_eq!(ids(&everything(&thread).await), ["before", "after"]);
    refused(thread.add(said("vault", "x")).await, ErrorKind::Gone);
}

async fn reopened(rig: Rig) {
    let target = elsewhere(&rig);
    let db = with_vault(&rig, rig.open().await, &target);
    reserve(&db, "vault").await;
    db.thread("t").update_content(id("vault"), append("sec"), UpdateMode::Partial).await.unwrap();
    db.close().await.unwrap();
    let db = with_vault(&rig, rig.open().await, &target);
    let thread = db.thread("t");
    assert_eq!(the(&thread, "vault").await.content, Content::text("sec"));
    thread.update_content(id("vault"), append("ret"), UpdateMode::Final).await.unwrap();
    assert_eq!(the(&thread, "vault").await.content, Content::text("secret"));
    db.close().await.unwrap();
    // Without the redirect the store shows the row, but no content.
    let plain = rig.db().await;
    assert_eq!(the(&plain.thread("t"), "vault").await.content, Content::empty());
}

async fn batch(rig: Rig) {
    let target = elsewhere(&rig);
    let db = with_vault(&rig, rig.open().await, &target);
    reserve(&db, "vault").await;
    let add = |name: &str| throughline_core::messages::Add::new("t".parse().unwrap(), said(name, "x"));
    let delete = throughline_core::messages::Delete::new("t".parse().unwrap(), id("vault"));
    refused(db.batch(Batch::new().with(add("a")).with(delete)).await, ErrorKind::Unsupported);
    assert_eq!(ids(&everything(&db.thread("t")).await), ["vault"]);
    db.batch(Batch::new().with(add("a")).with(add("b"))).await.expect("all of it is this side's");
    assert_eq!(ids(&everything(&db.thread("t")).await), ["vault", "a", "b"]);
}
