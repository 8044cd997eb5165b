//! `Batch`.

use throughline_core::{
    Content, ErrorKind, MessageState, MetadataPatch, NewReservation, PersistArgs, PersistResult, Revision,
    Role, ThreadId,
    changes::ChangeScope,
    messages::{
        Add, Batch, Batched, ContentChange, Delete, GetMessage, Reserve, Update, UpdateContent, UpdateMode,
    },
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{
        append, changes_after, everything, facts, id, ids, position, refused, replace, said, shown, the,
    },
};

checks! {
    Extended "batches.items_are_applied_in_order" [Add Reserve UpdateContent Update Delete Batch Read] "the items of a batch are applied in order, and each sees the effects of earlier items" => order;
    Extended "batches.one_invalid_item_refuses_the_batch" ("VL-S19") [Add Batch Read] "an invalid third item of five refuses the batch, and a retry without it writes four" => third_of_five;
    Extended "batches.refused_item_is_named_and_nothing_is_written" [Add Reserve UpdateContent Update Delete Batch Read] "each refused item refuses the whole batch, is named by its index, and changes nothing" => refusals;
    Extended "batches.several_threads_are_written_atomically" [Add Batch Read] "a batch over several threads is applied in all of them or in none" => threads;
    Extended "batches.receipt_is_in_commit_order" [Add Batch Read] "the position of a batch is above all earlier and below all later positions" => receipt;
    Extended "batches.each_item_takes_a_position" [Add Batch Read; changes] "each change of a batch takes its own position in item order, and the receipt holds the last" => positions;
    Extended "batches.nested_batch_and_read_are_refused" [Add Batch Read] "a batch refuses a nested batch or a read and names the item" => nested;
    Extended "batches.empty_batch_is_refused" [Add Batch Read] "an empty batch is refused and takes no position" => empty;
    Extended "batches.answer_above_the_call_limit_is_refused" [Add Update Delete Batch Read] "a batch whose answers exceed the limit of the call is refused as a whole" => answer_limit;
    Extended "batches.rewritten_content_is_limited" [Add UpdateContent Batch Read] "a batch that rewrites more than 64 MiB of stored content is refused as a whole, and names the item" => rewritten;
    Extended "batches.250_items_are_applied_in_order" [Add Batch Read] "a batch of 250 items is applied completely and in order" => many;
}

fn t() -> ThreadId {
    "t".parse().unwrap()
}

fn add(name: &str) -> PersistArgs {
    Add::new(t(), said(name, name)).into()
}

fn change(name: &str, change: ContentChange, mode: UpdateMode) -> UpdateContent {
    UpdateContent::new(t(), id(name), change, mode)
}

async fn order(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("old", "x")).await.unwrap();
    let batch = Batch::new()
        .with(Reserve::new(t(), NewReservation::new(Role::Assistant).with_id(id("m"))))
        .with(change("m", append("a"), UpdateMode::Partial).expecting(Revision::FIRST))
        .with(change("m", append("b"), UpdateMode::Final).expecting(Revision::new(2)))
        .with(Update::new(t(), id("m"), MetadataPatch::new().set("k", &1).unwrap()))
        .with(change("m", append("c"), UpdateMode::Edit))
        .with(Delete::new(t(), id("old")))
        .with(add("n"));
    let Batched { outputs, deduplicated } = db.batch(batch).await.expect("a batch");
    assert!(!deduplicated);
    let kinds: Vec<_> = outputs.iter().map(|output| output.kind().as_str()).collect();
    let expected = ["reserve", "updateContent", "updateContent", "update", "updateContent", "delete", "add"];
    assert_eq!(kinds, expected);
    let (PersistResult::UpdateContent(edited), PersistResult::Update(patched)) = (&outputs[4], &outputs[3])
    else {
        panic!("the outputs are in the order of the items");
    };
    assert_eq!((edited.revision, edited.state), (Revision::new(4), MessageState::Final));
    assert_eq!(shown(&patched.metadata), r#"{"k":1}"#);
    let read = everything(&thread).await;
    assert_eq!(ids(&read), ["m", "n"]);
    assert_eq!((&read[0].content, read[0].revision), (&Content::text("abc"), Revision::new(4)));
    let PersistResult::Add(added) = &outputs[6] else { panic!("the last output is the last item's") };
    assert_eq!(read[1], added.message);
}

async fn third_of_five(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("taken", "x")).await.unwrap();
    let items = ["a", "b", "taken", "c", "d"];
    let batch = items.iter().fold(Batch::new(), |batch, name| batch.with(add(name)));
    let error = refused(db.batch(batch).await, ErrorKind::AlreadyExists);
    assert_eq!(error.batch_index(), Some(2));
    assert_eq!(ids(&everything(&thread).await), ["taken"]);
    for name in ["a", "b", "c", "d"] {
        assert_eq!(thread.get(id(name)).await.unwrap(), None);
    }
    let rest = items.iter().filter(|name| **name != "taken");
    let batch = rest.fold(Batch::new(), |batch, name| batch.with(add(name)));
    assert_eq!(db.batch(batch).await.expect("without it").outputs.len(), 4);
    assert_eq!(ids(&everything(&thread).await), ["taken", "a", "b", "c", "d"]);
}

async fn refusals(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    for name in ["final", "dead"] {
        thread.add(said(name, name)).await.unwrap();
    }
    thread.delete(id("dead")).await.unwrap();
    db.run(Reserve::new(t(), NewReservation::new(Role::Assistant).with_id(id("open")))).await.unwrap();
    let before = everything(&thread).await;
    // Everything that a batch can change is changed before the fault, as far as the fault is one behind that.
    let changes: [PersistArgs; 5] = [
        add("first"),
        Update::new(t(), id("open"), MetadataPatch::new().set("lost", &true).unwrap()).into(),
        change("final", replace("lost"), UpdateMode::Edit).into(),
        change("open", append("lost"), UpdateMode::Final).into(),
        Delete::new(t(), id("final")).into(),
    ];
    let stale_patch = Update::new(t(), id("open"), MetadataPatch::new()).expecting(Revision::new(9));
    let faults: [(usize, PersistArgs, ErrorKind); 8] = [
        (4, add("final"), ErrorKind::AlreadyExists),
        (5, add("dead"), ErrorKind::Gone),
        (5, Delete::new(t(), id("unknown")).into(), ErrorKind::NotFound),
        (5, Update::new(t(), id("final"), MetadataPatch::new()).into(), ErrorKind::NotFound),
        (3, stale_patch.into(), ErrorKind::Stale),
        (4, change("open", append("x"), UpdateMode::Partial).into(), ErrorKind::Stale),
        (3, change("open", append("x"), UpdateMode::Edit).into(), ErrorKind::Conflict),
        // An id that the batch itself has used.
        (1, add("first"), ErrorKind::AlreadyExists),
    ];
    for (index, fault, kind) in faults {
        let batch = changes.iter().take(index).cloned().fold(Batch::new(), Batch::with);
        let error = refused(db.batch(batch.with(fault).with(add("last"))).await, kind);
        assert_eq!(error.batch_index(), Some(index), "{error}");
        assert_eq!(everything(&thread).await, before, "after {error}");
    }
    let free = Batch::new().with(add("first")).with(add("last"));
    db.batch(free).await.expect("a refused batch uses no id");
}

async fn threads(rig: Rig) {
    let db = rig.db().await;
    let batch = |names: [&str; 3]| {
        names
            .iter()
            .fold(Batch::new(), |batch, name| batch.with(Add::new(name.parse().unwrap(), said("m", name))))
    };
    let error = refused(db.batch(batch(["a", "b", "a"])).await, ErrorKind::AlreadyExists);
    assert_eq!(error.batch_index(), Some(2));
    for name in ["a", "b"] {
        assert_eq!(everything(&db.thread(name)).await, []);
    }
    db.batch(batch(["a", "b", "c"])).await.expect("one in each");
    for name in ["a", "b", "c"] {
        assert_eq!(the(&db.thread(name), "m").await.content, Content::text(name));
    }
}

async fn receipt(rig: Rig) {
    let db = rig.db().await;
    let single = |name: &str| db.run(Add::new(t(), said(name, name))).reply();
    let before = position(&single("a").await.unwrap());
    let batch = db.batch(Batch::new().with(add("b")).with(add("c")).with(add("d")));
    let batch = position(&batch.reply().await.unwrap());
    let after = position(&single("e").await.unwrap());
    assert!(before < batch && batch < after, "{before}, {batch}, {after}");
    // A refused one takes none that a reader would miss.
    refused(db.batch(Batch::new().with(add("f")).with(add("a"))).await, ErrorKind::AlreadyExists);
    assert!(position(&single("g").await.unwrap()) > after);
}

async fn positions(rig: Rig) {
    let db = rig.db().await;
    let before = position(&db.run(Add::new(t(), said("a", "a"))).reply().await.unwrap());
    let batch = db.batch(Batch::new().with(add("b")).with(add("c")).with(add("d")));
    let batch = position(&batch.reply().await.unwrap());
    let changes = changes_after(&db, ChangeScope::Tenant, before).await;
    let of: Vec<_> =
        changes.iter().filter_map(|change| change.kind.message()).map(|m| m.id.clone()).collect();
    assert_eq!(of, [id("b"), id("c"), id("d")]);
    let at: Vec<_> = changes.iter().map(|change| change.position).collect();
    assert!(at.is_sorted_by(|one, next| one < next), "{at:?}");
    assert_eq!(at.last(), Some(&batch));
    // A reader goes on between two changes of a batch.
    assert_eq!(changes_after(&db, ChangeScope::Tenant, at[0]).await, changes[1..]);
}

async fn nested(rig: Rig) {
    let db = rig.db().await;
    let inner = Batch::new().with(add("inner"));
    let error = refused(db.batch(Batch::new().with(add("a")).with(inner)).await, ErrorKind::Invalid);
    assert_eq!(error.batch_index(), Some(1));
    let read = GetMessage { thread: t(), id: id("a") };
    let error = refused(db.batch(Batch::new().with(read).with(add("a"))).await, ErrorKind::Invalid);
    assert_eq!(error.batch_index(), Some(0));
    assert_eq!(everything(&db.thread("t")).await, []);
}

async fn empty(rig: Rig) {
    let db = rig.db().await;
    refused(db.batch(Batch::new()).await, ErrorKind::Invalid);
    assert_eq!(everything(&db.thread("t")).await, []);
    db.batch(Batch::new().with(add("m"))).await.expect("one item is enough");
}

async fn many(rig: Rig) {
    let db = rig.db().await;
    let names: Vec<String> = (0..250).map(|number| format!("m{number}")).collect();
    let batch = names.iter().fold(Batch::new(), |batch, name| batch.with(add(name)));
    assert_eq!(db.batch(batch).await.expect("a batch").outputs.len(), names.len());
    assert_eq!(ids(&everything(&db.thread("t")).await), names);
}

/// Edits that append a byte to one message. Each rewrites the whole content.
async fn rewritten(rig: Rig) {
    const SIZE: u64 = 5 << 20;
    const ITEMS: usize = 1000;
    let db = rig.db().await;
    let thread = db.thread("t");
    // The JSON around the text takes less than 64 bytes, and the appended bytes fit too.
    let size = rig.capabilities.max_content_bytes.map_or(SIZE, |limit| limit.min(SIZE));
    let size = size.saturating_sub(64 + ITEMS as u64);
    thread.add(said("m", &"x".repeat(usize::try_from(size).expect("it is small")))).await.unwrap();
    let before = the(&thread, "m").await;
    let stored = before.content.byte_len() as u64;
    let rewritten = (0..).scan(0, |sum, appended| {
        *sum += stored + appended;
        Some(*sum)
    });
    let accepted = rewritten.take(ITEMS).take_while(|sum| *sum <= Batch::MAX_REWRITTEN_BYTES).count();
    if accepted == ITEMS {
        // Content within the limit of this store hardly reaches the limit of a batch.
        return;
    }
    let edits = |count| {
        (0..count).fold(Batch::new(), |batch, _| batch.with(change("m", append("y"), UpdateMode::Edit)))
    };
    let error = refused(db.batch(edits(accepted + 1)).await, ErrorKind::TooLarge);
    assert_eq!(error.batch_index(), Some(accepted), "{error}");
    assert!(the(&thread, "m").await == before, "the refused batch has changed the message");
    // A smaller one is accepted.
    db.batch(edits(2)).await.expect("a batch within the limit");
    assert_eq!(the(&thread, "m").await.content.byte_len() as u64, stored + 2);
}

async fn answer_limit(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let message = said("m", "x").with_metadata(facts(&format!(r#"{{"k":"{}"}}"#, "x".repeat(1 << 10))));
    thread.add(message).await.unwrap();
    let patch = |number: u32| {
        let patch = MetadataPatch::new().set("n", &number).unwrap();
        Update::new(t(), id("m"), patch)
    };
    let patches = (0..10).fold(Batch::new(), |batch, number| batch.with(patch(number)));
    let before = everything(&thread).await;
    let error = refused(db.batch(patches.clone().answering_within(5 << 10)).await, ErrorKind::TooLarge);
    assert_eq!(error.batch_index(), Some(4), "the fifth answer exceeds it");
    assert_eq!(everything(&thread).await, before);
    // Content that the call itself carries does not count towards the limit of the answer.
    let added = Batch::new().with(Add::new(t(), said("n", &"x".repeat(8 << 10)))).with(patch(7));
    db.batch(added.answering_within(5 << 10)).await.expect("a small answer");
    assert_eq!(db.batch(patches.answering_within(12 << 10)).await.unwrap().outputs.len(), 10);
}
