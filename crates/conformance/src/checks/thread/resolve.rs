//! Which message a provider means.

use throughline_core::{
    Delta, ErrorKind, MessageId, MessageState, NewReservation, Persistence, Role, Timestamp,
    messages::{
        Alias, AliasCursor, ContentChange, Import, ImportRow, ListAliases, Mismatch, Origin, Reserve,
        ResolveId, ResolvedBy, ResolvedId, SkippedId, UpdateMode,
    },
    threads::Generation,
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, everything, id, ids, refused, said, the, thread_id},
};

checks! {
    Extended "aliases.legacy_id_is_found_in_its_thread_only" ("T3-S6") [Thread Import UpdateContent Read] "a legacy message resolves to its id in its own thread and in no other" => legacy_ids;
    Extended "aliases.two_items_of_a_turn_are_two_messages" ("T3-S7") [Thread Reserve Read] "two items of one turn resolve to two messages" => two_items;
    Extended "aliases.repeated_item_in_a_later_turn_is_new" ("T3-S8") [Thread Add Read] "an item id that repeats in a later turn resolves to a new message after its question" => later_turn;
    Extended "aliases.repeated_resolution_gives_the_same_id" [Thread Reserve Read] "a repeated resolution gives the same id, on every handle, before and after the message is written" => again;
    Extended "aliases.turn_resolves_to_its_latest_message_without_item" [Thread Read] "an origin without an item resolves by its turn, to the latest message of that turn" => turn;
    Extended "aliases.event_resolves_to_its_message_permanently" [Thread Add Read] "an event id alone resolves to its message permanently" => event;
    Extended "aliases.user_message_ends_a_turn_without_id" [Thread Add Read] "without a turn id the next user message ends the turn" => no_turn;
    Extended "aliases.deleted_question_still_ends_the_turn" [Thread Add Delete Read] "a deleted user message still ends the turn before it" => question_gone;
    Extended "aliases.mismatched_legacy_id_is_skipped" [Thread Import Read] "a legacy id of another turn, item or role, or of a deleted message, is skipped" => mismatches;
    Extended "aliases.deleted_message_does_not_return" [Thread Add Delete Read] "an origin of a deleted message fails as gone and creates no new message" => gone;
    Extended "aliases.cleared_thread_forgets_its_aliases" [Thread Add Read] "a cleared thread forgets its aliases and refuses a writer of the earlier generation" => cleared;
    Extended "aliases.empty_origin_and_taken_id_are_refused" [Thread Add Read] "a resolution with an empty origin or an id that is already taken is refused" => malformed_ids;
    Extended "aliases.ids_with_separators_do_not_collide" [Thread Read] "provider ids that contain separators do not collide" => separate;
    Extended "aliases.lists_are_paged_per_thread_and_message" [Thread Import Read] "aliases are listed page by page, for all messages and for one" => listed;
    Extended "aliases.survive_reopening" [Thread Import Add Delete Read; durable] "aliases resolve alike after the store is reopened" => reopened;
    Extended "aliases.repeated_key_gets_the_first_answer" [Thread Read; keys] "a resolution that is repeated with its key gets the first answer" => key;
}

fn origin(turn: &str, item: &str) -> Origin {
    let mut origin = Origin::new();
    if !turn.is_empty() {
        origin = origin.in_turn(turn.parse().expect("a valid id"));
    }
    if !item.is_empty() {
        origin = origin.item(item.parse().expect("a valid id"));
    }
    origin
}

/// With an id for a new one that says what it was asked for.
fn asked(thread: &str, origin: Origin, fresh: &str) -> ResolveId {
    ResolveId { fresh: id(fresh), ..ResolveId::new(thread_id(thread), origin) }
}

async fn resolve(db: &Persistence, asked: ResolveId) -> ResolvedId {
    db.on_thread(asked).await.expect("it is resolved")
}

/// The id and how it was found.
async fn found(db: &Persistence, asked: ResolveId) -> (String, ResolvedBy) {
    let resolved = resolve(db, asked).await;
    (resolved.id.as_str().to_owned(), resolved.by)
}

fn fresh(name: &str) -> (String, ResolvedBy) {
    (name.to_owned(), ResolvedBy::Fresh)
}

fn skipped(name: &str, why: Mismatch) -> SkippedId {
    SkippedId { id: id(name), why }
}

fn row(name: &str, role: Role, origin: Origin) -> ImportRow {
    ImportRow::new(id(name), role, throughline_core::Content::text("hello "), Timestamp::from_micros(7))
        .with_origin(origin)
}

async fn import(db: &Persistence, rows: Vec<ImportRow>) {
    db.run(Import::new(thread_id("a"), rows)).await.expect("it is imported");
}

async fn legacy_ids(rig: Rig) {
    let db = rig.db().await;
    import(&db, vec![row("assistant:item-1", Role::Assistant, origin("turn-1", ""))]).await;
    let legacy = [id("assistant:item-1"), id("assistant:turn-1")];
    let here = || asked("a", origin("turn-1", "item-1"), "new-a").or_legacy(legacy.clone());
    let resolved = resolve(&db, here()).await;
    assert_eq!(
        (resolved.id.as_str(), resolved.by, resolved.state, &*resolved.skipped),
        ("assistant:item-1", ResolvedBy::Legacy, Some(MessageState::Final), &[][..])
    );
    let more = ContentChange::Append(Delta::text("world"));
    db.thread("a").update_content(resolved.id, more, UpdateMode::Edit).await.unwrap();
    let rows = everything(&db.thread("a")).await;
    assert_eq!(ids(&rows), ["assistant:item-1"]);
    assert_eq!(rows[0].content.plain_text(100), "hello world");
    // By now it has the name.
    let again = resolve(&db, asked("a", origin("turn-1", "item-1"), "new-a")).await;
    assert_eq!((again.id.as_str(), again.by), ("assistant:item-1", ResolvedBy::Item));
    let there = asked("b", origin("turn-1", "item-1"), "new-b").or_legacy(legacy.clone());
    let resolved = resolve(&db, there).await;
    assert_eq!((resolved.id.as_str(), resolved.by, resolved.state), ("new-b", ResolvedBy::Fresh, None));
    assert_eq!(
        resolved.skipped,
        [
            skipped("assistant:item-1", Mismatch::NoSuchMessage),
            skipped("assistant:turn-1", Mismatch::NoSuchMessage)
        ]
    );
    assert_eq!(everything(&db.thread("a")).await, rows);
}

async fn two_items(rig: Rig) {
    let db = rig.db().await;
    for (item, name) in [("i1", "m1"), ("i2", "m2")] {
        let resolved = resolve(&db, asked("a", origin("turn", item), name)).await;
        assert_eq!((resolved.id.as_str(), resolved.by), (name, ResolvedBy::Fresh));
        let reserve = NewReservation::new(Role::Assistant).with_id(resolved.id.clone());
        db.run(Reserve::new(thread_id("a"), reserve)).await.unwrap();
        db.thread("a").update_content(resolved.id, append(item), UpdateMode::Final).await.unwrap();
    }
    let reported: Vec<String> =
        everything(&db.thread("a")).await.iter().map(|message| message.content.plain_text(9)).collect();
    assert_eq!(reported, ["i1", "i2"]);
    // Not one turn of old, either, that both would have been under.
    import(&db, vec![row("assistant:old", Role::Assistant, origin("old", ""))]).await;
    let old = |item, name| asked("a", origin("old", item), name).or_legacy([id("assistant:old")]);
    assert_eq!(found(&db, old("i1", "x")).await, ("assistant:old".to_owned(), ResolvedBy::Legacy));
    let other = resolve(&db, old("i2", "y")).await;
    assert_eq!((other.id.as_str(), other.by), ("y", ResolvedBy::Fresh));
    assert_eq!(other.skipped, [skipped("assistant:old", Mismatch::OtherItem)]);
}

async fn later_turn(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("a");
    for n in 1..=2 {
        thread.add(said(&format!("q{n}"), "why?")).await.unwrap();
        let resolved =
            resolve(&db, asked("a", origin(&format!("turn-{n}"), "seg:0"), &format!("a{n}"))).await;
        assert_eq!(resolved.by, ResolvedBy::Fresh);
        let answer = throughline_core::NewMessage::assistant("so").with_id(resolved.id);
        thread.add(answer).await.unwrap();
    }
    assert_eq!(ids(&everything(&thread).await), ["q1", "a1", "q2", "a2"]);
    // A repeated delivery of the first turn resolves to the message of the first turn.
    let first = found(&db, asked("a", origin("turn-1", "seg:0"), "x")).await;
    assert_eq!(first, ("a1".to_owned(), ResolvedBy::Item));
}

async fn again(rig: Rig) {
    let db = rig.db().await;
    let first = resolve(&db, asked("a", origin("turn", "i"), "m")).await;
    assert_eq!((first.id.as_str(), first.by, first.state), ("m", ResolvedBy::Fresh, None));
    // Nothing was written under it yet, and no entry of the thread is listed for it.
    let other = db.for_tenant(throughline_core::TenantId::default());
    let second = resolve(&other, asked("a", origin("turn", "i"), "other")).await;
    assert_eq!((second.id.as_str(), second.by, second.state), ("m", ResolvedBy::Item, None));
    assert!(!db.thread("a").summary().await.unwrap().expect("the thread has begun").listed);
    let reserve = NewReservation::new(Role::Assistant).with_id(id("m"));
    db.run(Reserve::new(thread_id("a"), reserve)).await.unwrap();
    let third = resolve(&db, asked("a", origin("turn", "i"), "other")).await;
    assert_eq!((third.by, third.state), (ResolvedBy::Item, Some(MessageState::Reserved)));
    // Another tenant has another message.
    let stranger = db.for_tenant("stranger".parse().unwrap());
    assert_eq!(found(&stranger, asked("a", origin("turn", "i"), "theirs")).await, fresh("theirs"));
    // Another role in the same turn has another message.
    let tool = asked("a", origin("turn", "i"), "tool").of(Role::Tool);
    assert_eq!(found(&db, tool).await, fresh("tool"));
}

async fn turn(rig: Rig) {
    let db = rig.db().await;
    assert_eq!(found(&db, asked("a", origin("t1", ""), "m1")).await, fresh("m1"));
    assert_eq!(found(&db, asked("a", origin("t1", ""), "x")).await, ("m1".to_owned(), ResolvedBy::Turn));
    // An item of the turn is a message of its own, and by then the latest.
    assert_eq!(found(&db, asked("a", origin("t1", "i"), "m2")).await, fresh("m2"));
    assert_eq!(found(&db, asked("a", origin("t1", ""), "x")).await, ("m2".to_owned(), ResolvedBy::Turn));
    assert_eq!(found(&db, asked("a", origin("t2", ""), "m3")).await, fresh("m3"));
    assert_eq!(found(&db, asked("b", origin("t1", ""), "m4")).await, fresh("m4"));
}

async fn event(rig: Rig) {
    let db = rig.db().await;
    let of_event = |name: &str| Origin::new().event(name.parse().unwrap());
    assert_eq!(found(&db, asked("a", of_event("e"), "m1")).await, fresh("m1"));
    db.thread("a").add(said("q", "why?")).await.unwrap();
    let reported_again = found(&db, asked("a", of_event("e"), "x")).await;
    assert_eq!(reported_again, ("m1".to_owned(), ResolvedBy::Event));
    assert_eq!(found(&db, asked("a", of_event("f"), "m2")).await, fresh("m2"));
    assert_eq!(found(&db, asked("b", of_event("e"), "m3")).await, fresh("m3"));
    // With an item id, the event id does not decide.
    let with_item = || origin("", "i").event("e".parse().unwrap());
    assert_eq!(found(&db, asked("a", with_item(), "m4")).await, fresh("m4"));
    let reported_again = found(&db, asked("a", of_event("e"), "x")).await;
    assert_eq!(reported_again, ("m1".to_owned(), ResolvedBy::Event));
}

async fn no_turn(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("a");
    thread.add(said("q1", "why?")).await.unwrap();
    assert_eq!(found(&db, asked("a", origin("", "i"), "m1")).await, fresh("m1"));
    thread.add(throughline_core::NewMessage::assistant("so").with_id(id("m1"))).await.unwrap();
    let same = found(&db, asked("a", origin("", "i"), "x")).await;
    assert_eq!(same, ("m1".to_owned(), ResolvedBy::Item));
    thread.add(said("q2", "and?")).await.unwrap();
    let next = resolve(&db, asked("a", origin("", "i"), "m2")).await;
    assert_eq!((next.id.as_str(), next.by), ("m2", ResolvedBy::Fresh));
    assert_eq!(next.skipped, [skipped("m1", Mismatch::TurnIsOver)]);
    // A legacy id follows the same rule: `m1` is older than the question.
    let legacy_id = asked("a", origin("", "j"), "m3").or_legacy([id("m1")]);
    assert_eq!(resolve(&db, legacy_id).await.skipped, [skipped("m1", Mismatch::OtherItem)]);
    thread.add(throughline_core::NewMessage::assistant("old").with_id(id("m4"))).await.unwrap();
    thread.add(said("q3", "but?")).await.unwrap();
    let legacy_id = asked("a", origin("", "k"), "m5").or_legacy([id("m4")]);
    assert_eq!(resolve(&db, legacy_id).await.skipped, [skipped("m4", Mismatch::TurnIsOver)]);
}

async fn question_gone(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("a");
    let answer = |name: &str| throughline_core::NewMessage::assistant("so").with_id(id(name));
    thread.add(said("q1", "why?")).await.unwrap();
    assert_eq!(found(&db, asked("a", origin("", "i"), "m1")).await, fresh("m1"));
    thread.add(answer("m1")).await.unwrap();
    thread.add(said("q2", "and?")).await.unwrap();
    thread.delete(id("q2")).await.unwrap();
    let next = resolve(&db, asked("a", origin("", "i"), "m2")).await;
    assert_eq!((next.id.as_str(), next.by), ("m2", ResolvedBy::Fresh));
    assert_eq!(next.skipped, [skipped("m1", Mismatch::TurnIsOver)]);
    thread.add(answer("m2")).await.unwrap();
    // A deleted answer and an earlier question do not end the turn.
    thread.delete(id("m1")).await.unwrap();
    thread.delete(id("q1")).await.unwrap();
    let same = found(&db, asked("a", origin("", "i"), "x")).await;
    assert_eq!(same, ("m2".to_owned(), ResolvedBy::Item));
}

async fn mismatches(rig: Rig) {
    let db = rig.db().await;
    import(
        &db,
        vec![
            row("first", Role::Assistant, origin("turn-1", "")),
            row("named", Role::Assistant, origin("turn-2", "other")),
            row("user", Role::User, Origin::new()),
            row("mine", Role::Assistant, origin("turn-2", "")),
        ],
    )
    .await;
    let legacy = ["first", "named", "user", "missing", "mine"].map(id);
    let resolved = resolve(&db, asked("a", origin("turn-2", "seg:0"), "x").or_legacy(legacy)).await;
    assert_eq!((resolved.id.as_str(), resolved.by), ("mine", ResolvedBy::Legacy));
    assert_eq!(
        resolved.skipped,
        [
            skipped("first", Mismatch::OtherTurn),
            skipped("named", Mismatch::OtherItem),
            skipped("user", Mismatch::OtherRole),
            skipped("missing", Mismatch::NoSuchMessage),
        ]
    );
    db.thread("a").delete(id("first")).await.unwrap();
    let resolved = resolve(&db, asked("a", origin("turn-1", "seg:0"), "y").or_legacy([id("first")])).await;
    assert_eq!((resolved.id.as_str(), resolved.by), ("y", ResolvedBy::Fresh));
    assert_eq!(resolved.skipped, [skipped("first", Mismatch::Deleted)]);
}

async fn gone(rig: Rig) {
    let db = rig.db().await;
    let resolved = resolve(&db, asked("a", origin("turn", "i"), "m")).await;
    db.thread("a")
        .add(throughline_core::NewMessage::assistant("so").with_id(resolved.id.clone()))
        .await
        .unwrap();
    db.thread("a").delete(resolved.id).await.unwrap();
    let error = refused(db.on_thread(asked("a", origin("turn", "i"), "x")).await, ErrorKind::Gone);
    assert_eq!(error.message().map(MessageId::as_str), Some("m"));
    // Another item of the turn is not held up.
    assert_eq!(found(&db, asked("a", origin("turn", "j"), "y")).await, fresh("y"));
}

async fn cleared(rig: Rig) {
    let db = rig.db().await;
    resolve(&db, asked("a", origin("turn", "i"), "m")).await;
    db.thread("a").add(throughline_core::NewMessage::assistant("so").with_id(id("m"))).await.unwrap();
    let begun = db.thread("a").clear().await.unwrap().summary.generation;
    let before = asked("a", origin("turn", "i"), "x").in_generation(Generation::FIRST);
    refused(db.on_thread(before).await, ErrorKind::Stale);
    let list = ListAliases::new(thread_id("a"), 10);
    assert_eq!(db.read(list.clone()).await.unwrap().aliases, []);
    let now = asked("a", origin("turn", "i"), "y").in_generation(begun);
    assert_eq!(found(&db, now).await, fresh("y"));
    db.thread("a").delete_thread().await.unwrap();
    refused(db.on_thread(asked("a", origin("turn", "i"), "z")).await, ErrorKind::Gone);
    assert_eq!(db.read(list).await.unwrap().aliases, []);
}

async fn malformed_ids(rig: Rig) {
    let db = rig.db().await;
    refused(db.on_thread(asked("a", Origin::new(), "m")).await, ErrorKind::Invalid);
    let many = (0..=ResolveId::MAX_LEGACY).map(|n| id(&n.to_string()));
    let too_many = asked("a", origin("t", ""), "m").or_legacy(many);
    refused(db.on_thread(too_many).await, ErrorKind::Invalid);
    assert_eq!(db.thread("a").summary().await.unwrap(), None);
    let as_many = (0..ResolveId::MAX_LEGACY).map(|n| id(&n.to_string()));
    assert_eq!(found(&db, asked("a", origin("t", ""), "m").or_legacy(as_many)).await, fresh("m"));
    db.thread("a").add(said("taken", "x")).await.unwrap();
    let error = refused(db.on_thread(asked("a", origin("u", ""), "taken")).await, ErrorKind::AlreadyExists);
    assert_eq!(error.message().map(MessageId::as_str), Some("taken"));
}

async fn separate(rig: Rig) {
    let db = rig.db().await;
    for (turn, item, name) in
        [("a:b", "c", "1"), ("a", "b:c", "2"), ("", "a:b:c", "3"), ("a:b:c", "", "4"), ("A", "b:c", "5")]
    {
        assert_eq!(found(&db, asked("t", origin(turn, item), name)).await, fresh(name));
    }
    for (turn, item, name) in [("a:b", "c", "1"), ("a", "b:c", "2"), ("", "a:b:c", "3")] {
        let known = found(&db, asked("t", origin(turn, item), "x")).await;
        assert_eq!(known, (name.to_owned(), ResolvedBy::Item));
    }
}

async fn listed(rig: Rig) {
    let db = rig.db().await;
    import(
        &db,
        vec![
            row("z", Role::Assistant, origin("t1", "i1")),
            row("b", Role::Tool, origin("t1", "i2")),
            row("none", Role::User, Origin::new()),
        ],
    )
    .await;
    let asked = asked("a", origin("t1", "i3"), "a-new");
    resolve(&db, asked).await;
    let alias = |name: &str, role, item| Alias { message: id(name), role, origin: origin("t1", item) };
    let all = [
        alias("a-new", Role::Assistant, "i3"),
        alias("b", Role::Tool, "i2"),
        alias("z", Role::Assistant, "i1"),
    ];
    let list = ListAliases::new(thread_id("a"), 2);
    let page = db.read(list.clone()).await.unwrap();
    assert_eq!(page.aliases, all[..2]);
    let rest = db.read(ListAliases { after: page.next, ..list.clone() }).await.unwrap();
    assert_eq!((&*rest.aliases, rest.next), (&all[2..], None));
    let exact = db.read(ListAliases { limit: 3, ..list.clone() }).await.unwrap();
    assert_eq!((exact.aliases.len(), exact.next), (3, None));
    let one = db.read(list.clone().of_message(id("b"))).await.unwrap();
    assert_eq!((&*one.aliases, one.next), (&all[1..2], None));
    // In a list of one message, a cursor at another message is behind, or before, all of its aliases.
    for (before, count) in [("a-new", 1), ("z", 0)] {
        let after = Some(AliasCursor { message: id(before), n: u64::from(count == 1) << 40 });
        let page = db.read(ListAliases { after, ..list.clone().of_message(id("b")) }).await.unwrap();
        assert_eq!(page.aliases.len(), count, "behind `{before}`");
    }
    assert_eq!(db.read(list.of_message(id("none"))).await.unwrap().aliases, []);
    refused(db.read(ListAliases::new(thread_id("a"), 0)).await, ErrorKind::Invalid);
    // A repeated import records no alias twice.
    import(&db, vec![row("z", Role::Assistant, origin("t1", "i1"))]).await;
    let whole = db.read(ListAliases::new(thread_id("a"), 10)).await.unwrap();
    assert_eq!(whole.aliases, all);
}

async fn reopened(rig: Rig) {
    let db = rig.db().await;
    import(&db, vec![row("old", Role::Assistant, origin("t1", "i1"))]).await;
    resolve(&db, asked("a", origin("t2", "i1"), "new")).await;
    resolve(&db, asked("a", origin("", "i2"), "over")).await;
    db.thread("a").add(said("q", "why?")).await.unwrap();
    db.thread("a").delete(id("q")).await.unwrap();
    let db = rig.reopen(db).await;
    for (turn, name) in [("t1", "old"), ("t2", "new")] {
        let known = found(&db, asked("a", origin(turn, "i1"), "x")).await;
        assert_eq!(known, (name.to_owned(), ResolvedBy::Item));
    }
    assert_eq!(the(&db.thread("a"), "old").await.state, MessageState::Final);
    assert_eq!(found(&db, asked("a", origin("", "i2"), "y")).await, fresh("y"));
}

async fn key(rig: Rig) {
    let db = rig.db().await;
    let call = || db.on_thread(asked("a", origin("turn", "i"), "m")).key("k");
    let first = call().await.unwrap();
    let second = call().await.unwrap();
    assert_eq!(second, ResolvedId { deduplicated: true, ..first });
    // The replay wins over the new id of a later call.
    assert_eq!(db.on_thread(asked("a", origin("turn", "i"), "n")).key("k").await.unwrap(), second);
    refused(db.on_thread(asked("a", origin("turn", "j"), "m")).key("k").await, ErrorKind::Conflict);
}
