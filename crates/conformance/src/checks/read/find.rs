//! `FindMessages`.

use std::time::Duration;

use throughline_core::{
    Content, ErrorKind, MessageState, Metadata, MetadataPatch, MetadataScalar, NewMessage, NewReservation,
    Persistence, Role, Timestamp,
    backend::EstimatedSize as _,
    messages::{
        Add, Batch, FindMessages, FindOrder, FoundMessages, Import, ImportRow, Reserve, UpdateMode,
        Visibility,
    },
    threads::Keep,
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, everything, id, ids, refused, said, thread_id},
};

checks! {
    Extended "finds.value_finds_exactly_its_messages" [Add Read; indexed_metadata] "a find returns exactly the messages whose field means the same string, integer or boolean" => values;
    Extended "finds.pages_show_each_message_once_in_order" [Add Import Read; indexed_metadata] "the pages of a find show each message once, in both orders of a thread and of a tenant" => pages;
    Extended "finds.patched_message_is_found_by_its_new_value" [Add Update Read; indexed_metadata] "a message is found by the value of its last patch, and not by an earlier one" => patched;
    Extended "finds.removed_messages_are_not_found" [Add Delete Thread Read; indexed_metadata] "a find returns no message that was deleted, pruned, cleared or removed with its thread" => removed;
    Extended "finds.scope_excludes_other_threads" [Add Read; indexed_metadata] "a find in a thread returns no message of another thread" => scope;
    Extended "finds.other_tenants_do_not_affect_pages" [Add Read; indexed_metadata] "messages of other tenants change neither the messages of a find nor its pages" => tenants;
    Extended "finds.visibility_decides_the_states" [Reserve UpdateContent Update Read; indexed_metadata] "a find returns final messages, and abandoned and open ones if it asks for them" => states;
    Extended "finds.undeclared_field_is_refused_by_name" [Add Read; indexed_metadata] "a find by a field that is not declared is refused, and the error names the field" => undeclared;
    Extended "finds.page_ends_at_its_byte_bound" [Add Read; indexed_metadata] "a page of a find ends before the message that exceeds its byte bound, and the next page starts there" => bytes;
    Extended "finds.imported_and_batched_messages_are_found" [Add Batch Import Read; indexed_metadata] "a find returns messages that a batch or an import has added" => brought;
    Extended "finds.random_writes_are_found_as_by_a_scan" [Add Reserve UpdateContent Update Delete Thread Read; indexed_metadata] "after random writes, every find returns the messages that a scan of the threads returns" => random;
    Extended "finds.messages_are_found_after_reopening" [Add Update Delete Read; indexed_metadata durable] "a store that was opened again finds the same messages" => reopened;
}

/// The first field that the store declares.
fn field(rig: &Rig) -> String {
    rig.capabilities.indexed_metadata.iter().next().expect("a declared field").to_owned()
}

fn metadata(name: &str, value: &str) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.set_raw("other", serde_json::value::RawValue::from_string("\"tool\"".to_owned()).expect("JSON"));
    metadata.set_raw(name, serde_json::value::RawValue::from_string(value.to_owned()).expect("JSON"));
    metadata
}

/// A message with this JSON under the field.
fn with(message: &str, field: &str, value: &str) -> NewMessage {
    said(message, "x").with_metadata(metadata(field, value))
}

async fn found(db: &Persistence, find: FindMessages) -> Vec<String> {
    let page = page(db, find).await;
    assert_eq!(page.next, None);
    ids(&page.messages).into_iter().map(str::to_owned).collect()
}

async fn page(db: &Persistence, find: FindMessages) -> FoundMessages {
    let page = db.find(find).await.expect("a find");
    assert_eq!(page.damaged, []);
    page
}

/// Follows the pages of a find.
async fn walk(db: &Persistence, mut find: FindMessages) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    loop {
        let page = page(db, find.clone()).await;
        pages.push(ids(&page.messages).into_iter().map(str::to_owned).collect());
        let Some(next) = page.next else { return pages };
        find = find.after(next);
    }
}

fn oldest(name: &str, value: impl Into<MetadataScalar>, limit: u32) -> FindMessages {
    FindMessages::new(name, value, limit).ordered(FindOrder::OldestFirst)
}

async fn values(rig: Rig) {
    let (db, field) = (rig.db().await, field(&rig));
    let long = "x".repeat(1000);
    let long_json = format!("\"{long}\"");
    for (name, value) in [
        ("text", "\"tool\""),
        ("escaped", "\"t\\u006fol\""),
        ("upper", "\"Tool\""),
        ("longer", "\"tools\""),
        ("empty", "\"\""),
        ("nul", "\"a\\u0000b\""),
        ("one", "1"),
        ("text-one", "\"1\""),
        ("fraction", "1.0"),
        ("true", "true"),
        ("text-true", "\"true\""),
        ("largest", "18446744073709551615"),
        ("smallest", "-9223372036854775808"),
        ("null", "null"),
        ("array", "[\"tool\"]"),
        ("long", &long_json),
        ("longer-still", &format!("\"{long}y\"")),
    ] {
        db.thread("t").add(with(name, &field, value)).await.expect("an addition");
    }
    let cases: [(MetadataScalar, &[&str]); 12] = [
        ("tool".into(), &["text", "escaped"]),
        ("Tool".into(), &["upper"]),
        ("too".into(), &[]),
        ("".into(), &["empty"]),
        ("a\u{0}b".into(), &["nul"]),
        (1_i64.into(), &["one"]),
        ("1".into(), &["text-one"]),
        (true.into(), &["true"]),
        ("true".into(), &["text-true"]),
        (u64::MAX.into(), &["largest"]),
        (i64::MIN.into(), &["smallest"]),
        (long.into(), &["long"]),
    ];
    for (value, due) in cases {
        assert_eq!(found(&db, oldest(&field, value.clone(), 100)).await, due, "{value:?}");
        assert_eq!(
            found(&db, oldest(&field, value.clone(), 100).in_thread(thread_id("t"))).await,
            due,
            "{value:?} in the thread"
        );
    }
    let page = page(&db, oldest(&field, "tool", 1)).await;
    assert_eq!(page.messages, everything(&db.thread("t")).await[..1], "whole messages");
}

async fn pages(rig: Rig) {
    let (db, field) = (rig.db().await, field(&rig));
    // The order of the times is not that of the sequence numbers.
    let row = |name: &str, micros: i64| ImportRow {
        metadata: metadata(&field, "\"tool\""),
        ..ImportRow::new(id(name), Role::User, Content::text("x"), Timestamp::from_micros(micros))
    };
    // Messages of one moment are ordered by thread and sequence number. A time can be negative.
    for (thread, rows) in [
        ("t", vec![row("c", 30), row("a", -10), row("e", 50)]),
        ("b", vec![row("b2", 20), row("d", 40)]),
        ("a", vec![row("b1", 20)]),
    ] {
        db.run(Import::new(thread_id(thread), rows)).await.expect("an import");
    }
    db.thread("t").add(with("none", &field, "\"other\"")).await.expect("an addition");
    let (in_tenant, in_thread) = (["a", "b1", "b2", "c", "d", "e"], ["c", "a", "e"]);
    let forward = |limit| oldest(&field, "tool", limit);
    let backward = |limit| FindMessages::new(&field, "tool", limit);
    let divided = |all: &[&str], limit: usize| -> Vec<Vec<String>> {
        all.chunks(limit).map(|page| page.iter().map(|id| (*id).to_owned()).collect()).collect()
    };
    for limit in 1..=7 {
        for (due, forward, backward) in [
            (&in_tenant[..], forward(limit), backward(limit)),
            (
                &in_thread[..],
                forward(limit).in_thread(thread_id("t")),
                backward(limit).in_thread(thread_id("t")),
            ),
        ] {
            assert_eq!(
                walk(&db, forward).await,
                divided(due, limit as usize),
                "oldest first, {limit} a page"
            );
            let reversed: Vec<&str> = due.iter().rev().copied().collect();
            assert_eq!(
                walk(&db, backward).await,
                divided(&reversed, limit as usize),
                "newest first, {limit} a page"
            );
        }
    }
    assert_eq!(walk(&db, forward(3).in_thread(thread_id("nothing"))).await, [Vec::<String>::new()]);
}

async fn patched(rig: Rig) {
    let (db, field) = (rig.db().await, field(&rig));
    let thread = db.thread("t");
    for (name, value) in [("set", "\"old\""), ("cleared", "\"old\""), ("stays", "\"old\"")] {
        thread.add(with(name, &field, value)).await.expect("an addition");
    }
    thread.add(said("late", "x")).await.expect("an addition");
    rig.clock.advance(Duration::from_secs(1));
    let patch = |value: &str| MetadataPatch::new().set(&*field, value).expect("a value");
    thread.update(id("set"), patch("new")).await.expect("a patch");
    thread.update(id("late"), patch("new")).await.expect("a patch");
    thread.update(id("cleared"), MetadataPatch::new().clear(&*field)).await.expect("a patch");
    let other = MetadataPatch::new().set("another field", "new").expect("a value");
    thread.update(id("stays"), other).await.expect("a patch");
    assert_eq!(found(&db, oldest(&field, "old", 9)).await, ["stays"]);
    assert_eq!(found(&db, oldest(&field, "new", 9)).await, ["set", "late"]);
    thread.update(id("set"), patch("old")).await.expect("a patch");
    assert_eq!(found(&db, oldest(&field, "old", 9).in_thread(thread_id("t"))).await, ["set", "stays"]);
}

async fn removed(rig: Rig) {
    let (db, field) = (rig.db().await, field(&rig));
    for (thread, names) in [
        ("t", ["deleted", "stays"]),
        ("pruned", ["old", "young"]),
        ("cleared", ["c1", "c2"]),
        ("dead", ["d1", "d2"]),
    ] {
        for name in names {
            db.thread(thread).add(with(name, &field, "\"tool\"")).await.expect("an addition");
            rig.clock.advance(Duration::from_secs(1));
        }
    }
    assert_eq!(found(&db, oldest(&field, "tool", 9)).await.len(), 8);
    db.thread("t").delete(id("deleted")).await.expect("a deletion");
    db.thread("pruned").prune(Keep::everything().messages(1)).await.expect("a prune");
    db.thread("cleared").clear().await.expect("a clear");
    db.thread("dead").delete_thread().await.expect("a deletion");
    let due = ["stays", "young"];
    assert_eq!(found(&db, oldest(&field, "tool", 9)).await, due);
    for thread in ["cleared", "dead"] {
        let find = oldest(&field, "tool", 9).in_thread(thread_id(thread));
        assert_eq!(found(&db, find).await, Vec::<String>::new(), "{thread}");
    }
    db.purge().await.expect("a purge");
    db.thread("cleared").add(with("again", &field, "\"tool\"")).await.expect("an addition");
    assert_eq!(found(&db, oldest(&field, "tool", 9)).await, ["stays", "young", "again"]);
}

async fn scope(rig: Rig) {
    let (db, field) = (rig.db().await, field(&rig));
    for (thread, name) in [("t", "a"), ("t2", "b"), ("T", "c"), ("t", "d")] {
        db.thread(thread).add(with(name, &field, "\"tool\"")).await.expect("an addition");
        rig.clock.advance(Duration::from_secs(1));
    }
    let handle = db.thread("t").find(&field, "tool", 9).await.expect("a find");
    assert_eq!(ids(&handle.messages), ["d", "a"]);
    assert_eq!(found(&db, oldest(&field, "tool", 9).in_thread(thread_id("T"))).await, ["c"]);
    assert_eq!(found(&db, oldest(&field, "tool", 9)).await, ["a", "b", "c", "d"]);
}

async fn tenants(rig: Rig) {
    let (store, field) = (rig.db().await, field(&rig));
    let db = store.for_tenant("mine".parse().expect("a tenant"));
    for n in 0..5 {
        db.thread(["t", "u"][n % 2])
            .add(with(&format!("m{n}"), &field, "\"tool\""))
            .await
            .expect("an addition");
        rig.clock.advance(Duration::from_secs(1));
    }
    let finds = [
        FindMessages::new(&field, "tool", 2),
        oldest(&field, "tool", 3),
        oldest(&field, "tool", 5),
        FindMessages::new(&field, "tool", 2).in_thread(thread_id("t")),
    ];
    let mut before = Vec::new();
    for find in &finds {
        before.push(page(&db, find.clone()).await);
    }
    for tenant in ["mine2", "min", "MINE"] {
        let other = store.for_tenant(tenant.parse().expect("a tenant"));
        for n in 0..9 {
            other.thread("t").add(with(&format!("m{n}"), &field, "\"tool\"")).await.expect("an addition");
        }
        assert_eq!(found(&other, oldest(&field, "tool", 99)).await.len(), 9);
    }
    for (find, due) in finds.into_iter().zip(before) {
        assert_eq!(page(&db, find.clone()).await, due, "{find:?}");
    }
}

async fn states(rig: Rig) {
    let (db, field) = (rig.db().await, field(&rig));
    let thread = db.thread("t");
    for name in ["open", "left", "done", "patched"] {
        let row = NewReservation::new(Role::Assistant).with_id(id(name)).with_metadata(metadata(&field, "7"));
        db.run(Reserve::new(thread_id("t"), row)).await.expect("a reservation");
        thread.update_content(id(name), append("x"), UpdateMode::Partial).await.expect("an append");
    }
    thread
        .update_content(id("left"), append("."), UpdateMode::Abandon { reason: None })
        .await
        .expect("an end");
    thread.update_content(id("done"), append("."), UpdateMode::Final).await.expect("an end");
    let patch = MetadataPatch::new().set(&*field, &8).expect("a value");
    thread.update(id("patched"), patch).await.expect("a patch");
    thread.update_content(id("patched"), append("."), UpdateMode::Final).await.expect("an end");
    for (visibility, due) in [
        (Visibility::Final, &["done"][..]),
        (Visibility::Settled, &["left", "done"]),
        (Visibility::All, &["open", "left", "done"]),
    ] {
        let find = oldest(&field, 7_i64, 9).showing(visibility);
        assert_eq!(found(&db, find.clone().in_thread(thread_id("t"))).await, due, "{visibility:?}");
        assert_eq!(found(&db, find).await, due, "{visibility:?}");
    }
    assert_eq!(found(&db, oldest(&field, 8_i64, 9)).await, ["patched"]);
    let open = page(&db, oldest(&field, 7_i64, 1).showing(Visibility::All)).await.messages;
    assert_eq!((open[0].state, open[0].content.plain_text(9)), (MessageState::Streaming, "x".to_owned()));
}

async fn undeclared(rig: Rig) {
    let (db, field) = (rig.db().await, field(&rig));
    let name = format!("{field}-undeclared");
    db.thread("t").add(with("m", &name, "\"tool\"")).await.expect("an addition");
    for find in
        [FindMessages::new(&name, "tool", 1), FindMessages::new(&name, "tool", 1).in_thread(thread_id("t"))]
    {
        let error = refused(db.find(find).await, ErrorKind::Unsupported);
        let detail = error.to_string();
        assert!(detail.contains(&format!("`{name}`")) && detail.contains(&field), "{detail}");
    }
}

async fn bytes(rig: Rig) {
    let (db, field) = (rig.db().await, field(&rig));
    for name in ["a", "b", "c"] {
        let message = NewMessage::user(&"x".repeat(10_000)).with_id(id(name));
        let message = message.with_metadata(metadata(&field, "\"tool\""));
        db.thread("t").add(message).await.expect("an addition");
        rig.clock.advance(Duration::from_secs(1));
    }
    let message = page(&db, oldest(&field, "tool", 1)).await.messages.remove(0);
    let size = u32::try_from(message.estimated_size()).expect("a small message");
    // A store can estimate each message some bytes larger.
    for (max_bytes, due) in [(1, 1), (size + size / 2, 1), (2 * size + size / 2, 2), (4 * size, 3)] {
        let pages = walk(&db, oldest(&field, "tool", 9).with_max_bytes(max_bytes)).await;
        assert_eq!(pages[0].len(), due, "{max_bytes} bytes, and a message has {size}");
        assert_eq!(pages.concat(), ["a", "b", "c"], "{max_bytes} bytes");
    }
}

async fn brought(rig: Rig) {
    let (db, field) = (rig.db().await, field(&rig));
    let add = |name: &str| Add::new(thread_id("t"), with(name, &field, "\"tool\""));
    db.batch(Batch::new().with(add("b1")).with(add("b2"))).await.expect("a batch");
    let now = rig.clock.advance(Duration::from_secs(1));
    let row = ImportRow {
        metadata: metadata(&field, "\"tool\""),
        ..ImportRow::new(id("i"), Role::User, Content::text("x"), now)
    };
    db.run(Import::new(thread_id("t"), vec![row])).await.expect("an import");
    assert_eq!(found(&db, oldest(&field, "tool", 9)).await, ["b1", "b2", "i"]);
    assert_eq!(found(&db, oldest(&field, "tool", 9).in_thread(thread_id("t"))).await, ["b1", "b2", "i"]);
}

/// A generator of numbers.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        let sides = of.len() as u64;
        let at = (sides > 0).then(|| self.throw(sides))?;
        of.get(usize::try_from(at).ok()?).cloned()
    }
}

const THREADS: [&str; 3] = ["t", "u", "v"];

/// Makes one random write. A message of an earlier write may be gone or settled: the store then refuses, and changes nothing.
async fn write(
    db: &Persistence,
    field: &str,
    step: u64,
    dice: &mut Dice,
    names: &mut Vec<(&'static str, String)>,
) {
    let value = i64::try_from(dice.throw(3)).expect("a small number");
    let thread = dice.pick(&THREADS).expect("a thread");
    let (kind, name) = (dice.throw(12), format!("m{step}"));
    let any = dice.pick(names).filter(|_| kind > 5);
    let metadata = metadata(field, &value.to_string());
    match (kind, any) {
        (5, _) => {
            let row = NewReservation::new(Role::Assistant).with_id(id(&name)).with_metadata(metadata);
            db.run(Reserve::new(thread_id(thread), row)).await.expect("a reservation");
            names.push((thread, name));
        }
        (6..=7, Some((of, name))) => {
            let patch = match dice.throw(3) {
                0 => MetadataPatch::new().clear(field),
                _ => MetadataPatch::new().set(field, &value).expect("a value"),
            };
            drop(db.thread(of).update(id(&name), patch).await);
        }
        (8, Some((of, name))) => {
            let mode = match dice.throw(2) {
                0 => UpdateMode::Final,
                _ => UpdateMode::Abandon { reason: None },
            };
            drop(db.thread(of).update_content(id(&name), append("x"), mode).await);
        }
        (9..=10, Some((of, name))) => drop(db.thread(of).delete(id(&name)).await),
        (11, Some(_)) => {
            if dice.throw(3) == 0 {
                drop(db.thread(thread).clear().await);
            }
        }
        _ => {
            let message = said(&name, "x").with_metadata(metadata);
            db.thread(thread).add(message).await.expect("an addition");
            names.push((thread, name));
        }
    }
}

async fn random(rig: Rig) {
    let (db, field) = (rig.db().await, field(&rig));
    let (mut dice, mut names) = (Dice(rig.seed), Vec::new());
    for step in 0..120 {
        rig.clock.advance(Duration::from_millis(dice.throw(2)));
        write(&db, &field, step, &mut dice, &mut names).await;
    }
    for value in 0..3_i64 {
        for visibility in [Visibility::Final, Visibility::Settled, Visibility::All] {
            let mut scanned = Vec::new();
            for thread in THREADS {
                let mut messages = everything(&db.thread(thread)).await;
                messages.retain(|message| {
                    let is_shown = match visibility {
                        Visibility::Final => message.state == MessageState::Final,
                        Visibility::Settled => !message.state.is_open(),
                        Visibility::All => true,
                    };
                    is_shown && MetadataScalar::under(&message.metadata, &field) == Some(value.into())
                });
                let find = oldest(&field, value, 3).showing(visibility).in_thread(thread_id(thread));
                assert_eq!(
                    walk(&db, find).await.concat(),
                    ids(&messages),
                    "{value} in {thread}, {visibility:?}"
                );
                scanned.extend(messages);
            }
            scanned.sort_by(|a, b| (a.created_at, &a.thread, a.seq).cmp(&(b.created_at, &b.thread, b.seq)));
            let find = oldest(&field, value, 4).showing(visibility);
            assert_eq!(walk(&db, find).await.concat(), ids(&scanned), "{value}, {visibility:?}");
        }
    }
}

async fn reopened(rig: Rig) {
    let field = field(&rig);
    let db = rig.db().await;
    let thread = db.thread("t");
    for name in ["stays", "patched", "deleted"] {
        thread.add(with(name, &field, "\"tool\"")).await.expect("an addition");
    }
    let patch = MetadataPatch::new().set(&*field, "other").expect("a value");
    thread.update(id("patched"), patch).await.expect("a patch");
    thread.delete(id("deleted")).await.expect("a deletion");
    db.close().await.expect("a close");
    let db = rig.db().await;
    assert_eq!(found(&db, oldest(&field, "tool", 9)).await, ["stays"]);
    assert_eq!(found(&db, oldest(&field, "other", 9)).await, ["patched"]);
    db.thread("t").add(with("new", &field, "\"tool\"")).await.expect("an addition");
    assert_eq!(found(&db, oldest(&field, "tool", 9)).await, ["stays", "new"]);
}
