//! REL-34: a call at a limit is accepted, a call beyond it is refused by name, and a refused call uses almost no memory.

use std::{fs, io::Write as _};

use serde_json::value::RawValue;
use throughline_core::{
    Content, Delta, Effect, ErrorKind, MessageId, Metadata, MetadataPatch, NewMessage, NewReservation,
    NewThread, PersistArgs, PersistError, Persistence, Result, Role, Thread, Timestamp,
    ids::AttachmentKey,
    messages::{Add, Batch, ContentChange, Import, ImportRow, PageFrom, Reserve, UpdateMode},
};
use throughline_layers::limits::LimitsLayer;
use throughline_reliability::{Report, skipped};
use throughline_sqlite::{SqliteBackend, SqliteOptions};

const MIB: usize = 1 << 20;

/// The defaults of the layer, as its page states them.
const CONTENT: usize = 8 * MIB;
const METADATA: usize = 256 << 10;
const DEPTH: usize = 64;
const ATTACHMENTS: usize = 256;
const BATCH_ITEMS: usize = 512;
const BATCH_BYTES: usize = 16 * MIB;

/// The default limit of the store for one message.
const STORED: usize = 64 * MIB;

/// The most growth of memory while a message grows to its limit and the store refuses more.
const MEMORY: usize = 256 * MIB;

/// The most memory of a refused call, whatever its size.
const SPENT: usize = 4 * MIB;

/// A depth of nesting far beyond the limit.
const ABYSS: usize = 1_000_000;

async fn guarded() -> Persistence {
    let backend = SqliteBackend::temporary().await.unwrap();
    Persistence::builder().layer(LimitsLayer::new()).backend(backend).build().unwrap()
}

/// Returns content with this many bytes of JSON.
fn content(bytes: usize) -> Content {
    Content::from_json(format!("[\"{}\"]", "x".repeat(bytes - 4))).unwrap()
}

/// Returns metadata with this many bytes.
fn metadata(bytes: usize) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.set("k", &"x".repeat(bytes - 3)).unwrap();
    assert_eq!(metadata.byte_len(), bytes);
    metadata
}

fn nested(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

fn id(id: &str) -> MessageId {
    id.parse().unwrap()
}

/// Asserts that the layer refused the call, before it reached the store.
#[track_caller]
fn refused<T>(answer: Result<T>, detail: &str) {
    let error = answer.err().unwrap_or_else(|| panic!("accepted, and not refused as {detail}"));
    assert_eq!((error.kind(), error.effect()), (ErrorKind::TooLarge, Effect::NotApplied), "{error}");
    assert_eq!((error.site().map(throughline_core::Site::name), error.detail()), (Some("limits"), detail));
}

/// Returns the limit, one more than the limit, and ten times the limit.
fn around(limit: usize) -> [usize; 3] {
    [limit, limit + 1, 10 * limit]
}

#[tokio::test]
async fn rel_34_content_is_accepted_up_to_the_byte() {
    let db = guarded().await;
    let thread = db.thread("t");
    let mut report = Report::new("REL-34-CONTENT");
    thread.add(NewMessage::user("x").with_id(id("final"))).await.unwrap();
    for open in ["open", "appended"] {
        let reserve = Reserve::new(id_of(&thread), NewReservation::new(Role::Assistant).with_id(id(open)));
        db.run(reserve).await.unwrap();
    }
    for bytes in around(CONTENT) {
        let replace =
            thread.update_content(id("open"), ContentChange::Replace(content(bytes)), UpdateMode::Partial);
        let row = ImportRow::new(id("imported"), Role::User, content(bytes), Timestamp::from_micros(0));
        let answers = [
            thread.add(NewMessage::new(Role::User, content(bytes))).await.map(drop),
            thread.edit(id("final"), content(bytes)).await.map(drop),
            replace.await.map(drop),
            db.batch(Batch::new().with(add(&thread, content(bytes)))).await.map(drop),
            db.run(Import::new(id_of(&thread), vec![row])).await.map(drop),
        ];
        for answer in answers {
            if bytes == CONTENT {
                answer.unwrap();
            } else {
                refused(answer, &format!("{bytes} bytes of content are more than the {CONTENT} allowed"));
            }
        }
        let text = Delta::text("x".repeat(bytes));
        let append =
            thread.update_content(id("appended"), ContentChange::Append(text), UpdateMode::Partial).await;
        if bytes == CONTENT {
            // The store also counts the frame of a text block.
            assert_eq!(append.unwrap_err().kind(), ErrorKind::TooLarge);
            let fits = Delta::text("x".repeat(CONTENT - Content::text("").byte_len()));
            let append = ContentChange::Append(fits);
            thread.update_content(id("appended"), append, UpdateMode::Partial).await.unwrap();
        } else {
            refused(append, &format!("{bytes} bytes of content are more than the {CONTENT} allowed"));
        }
        report.count(format!("{bytes} bytes"), 6);
    }
    let summary = thread.summary().await.unwrap().unwrap();
    assert_eq!(summary.messages, 4, "the store has no refused message");
    db.close().await.unwrap();
    report.finish();
}

#[tokio::test]
async fn rel_34_other_values_are_accepted_up_to_their_limits() {
    let db = guarded().await;
    let thread = db.thread("t");
    let mut report = Report::new("REL-34-UNITS");
    thread.add(NewMessage::user("x").with_id(id("m"))).await.unwrap();
    for bytes in around(METADATA) {
        let patch = || MetadataPatch::new().set("k", &"x".repeat(bytes - 3)).unwrap();
        let answers = [
            thread.add(NewMessage::user("x").with_metadata(metadata(bytes))).await.map(drop),
            thread.update(id("m"), patch()).await.map(drop),
            thread.annotate(patch()).await.map(drop),
            db.create_thread(NewThread::new().with_metadata(metadata(bytes))).await.map(drop),
        ];
        for answer in answers {
            taken_at(METADATA, bytes, answer, "bytes of metadata");
        }
    }
    for levels in around(DEPTH) {
        let deep = || Content::from_json(nested(levels)).unwrap();
        let add = thread.add(NewMessage::new(Role::User, deep())).await.map(drop);
        taken_at(DEPTH, levels, add, "levels of nesting in content");
        let mut metadata = Metadata::new();
        metadata.set_raw("k", RawValue::from_string(nested(levels)).unwrap());
        let add = thread.add(NewMessage::user("x").with_metadata(metadata)).await.map(drop);
        taken_at(DEPTH, levels, add, "levels of nesting in metadata");
    }
    for count in around(ATTACHMENTS) {
        let keys = (0..count).map(|n| format!("file {n}").parse::<AttachmentKey>().unwrap());
        let add = thread.add(NewMessage::user("x").with_attachments(keys)).await.map(drop);
        taken_at(ATTACHMENTS, count, add, "attachments");
    }
    for count in around(BATCH_ITEMS) {
        let batch = (0..count).fold(Batch::new(), |batch, _| batch.with(add(&thread, content(5))));
        taken_at(BATCH_ITEMS, count, db.batch(batch).await.map(drop), "operations in a batch");
    }
    for bytes in around(BATCH_BYTES) {
        // Items of half the content limit, and one item with the rest.
        let item = CONTENT / 2;
        let whole = (0..bytes / item).fold(Batch::new(), |batch, _| batch.with(add(&thread, content(item))));
        let batch = match bytes % item {
            0 => whole,
            // Content has at least five bytes, so the item before is five bytes shorter.
            rest => (0..bytes / item - 1)
                .fold(Batch::new(), |batch, _| batch.with(add(&thread, content(item))))
                .with(add(&thread, content(item - 5)))
                .with(add(&thread, content(rest + 5))),
        };
        let answer = db.batch(batch).await.map(drop);
        taken_at(BATCH_BYTES, bytes, answer, "bytes of content and metadata in a batch");
    }
    for length in around(255) {
        let answer = "i".repeat(length).parse::<MessageId>();
        assert_eq!(answer.is_ok(), length == 255, "an id of {length} bytes");
    }
    report.count("limits", 7);
    db.close().await.unwrap();
    report.finish();
}

#[tokio::test]
async fn rel_34_million_levels_of_nesting_are_refused_without_a_stack_overflow() {
    let backend = SqliteBackend::temporary().await.unwrap();
    // A value that deep has more bytes than metadata may have.
    let limits = LimitsLayer::new().metadata_bytes(CONTENT);
    let db = Persistence::builder().layer(limits).backend(backend).build().unwrap();
    let thread = db.thread("t");
    let detail =
        |field: &str| format!("{ABYSS} levels of nesting in {field} are more than the {DEPTH} allowed");
    let deep = || Content::from_json(nested(ABYSS)).unwrap();
    refused(thread.add(NewMessage::new(Role::User, deep())).await, &detail("content"));
    let mut metadata = Metadata::new();
    metadata.set_raw("k", RawValue::from_string(nested(ABYSS)).unwrap());
    refused(thread.add(NewMessage::user("x").with_metadata(metadata)).await, &detail("metadata"));
    let blocks = ContentChange::Append(Delta::Blocks(deep()));
    refused(thread.update_content(id("m"), blocks, UpdateMode::Partial).await, &detail("content"));
    // A host may receive such a call as JSON.
    let args = PersistArgs::from(add(&thread, deep()));
    let json = serde_json::to_string(&args).unwrap();
    assert_eq!(serde_json::from_str::<PersistArgs>(&json).unwrap(), args);
    for unfinished in ["[".repeat(ABYSS), "{\"k\":".repeat(ABYSS), "[{\"k\":".repeat(ABYSS)] {
        assert!(Content::from_json(unfinished.clone()).is_err());
        assert!(serde_json::from_str::<PersistArgs>(&unfinished).is_err());
        assert!(serde_json::from_str::<Metadata>(&unfinished).is_err());
    }
    // A store without the layer keeps such content, and returns it.
    let bare = Persistence::builder().backend(SqliteBackend::temporary().await.unwrap()).build().unwrap();
    bare.thread("t").add(NewMessage::new(Role::User, deep())).await.unwrap();
    let page = bare.thread("t").page(PageFrom::Start, 1).await.unwrap();
    assert_eq!(page.messages[0].content, deep());
    bare.close().await.unwrap();
    db.close().await.unwrap();
    let mut report = Report::new("REL-34-DEPTH");
    report.count("levels", ABYSS);
    report.finish();
}

/// A message grows by appends towards four times its limit. No call announces the final length.
#[tokio::test]
async fn rel_34_appends_are_refused_at_the_content_limit_of_the_store() {
    const CHUNK: usize = 4 * MIB;
    const CLAIMED: usize = 4 * STORED;

    let Some(peak) = Peak::since_now() else {
        return skipped("REL-34: memory while a message grows to its limit", "the system does not report it");
    };
    let backend = SqliteBackend::temporary().await.unwrap();
    let limits = LimitsLayer::new().content_bytes(2 * STORED);
    let db = Persistence::builder().layer(limits).backend(backend).build().unwrap();
    let thread = db.thread("t");
    let reserve = Reserve::new(id_of(&thread), NewReservation::new(Role::Assistant).with_id(id("m")));
    db.run(reserve).await.unwrap();
    let (mut stored, mut refusals) = (0, 0);
    for _ in 0..CLAIMED / CHUNK {
        let chunk = ContentChange::Append(Delta::text("x".repeat(CHUNK)));
        match thread.update_content(id("m"), chunk, UpdateMode::Partial).await {
            Ok(_) => stored += CHUNK,
            Err(error) => {
                assert_eq!((error.kind(), error.effect()), (ErrorKind::TooLarge, Effect::NotApplied));
                assert_eq!(error.site().map(throughline_core::Site::name), Some("sqlite"));
                refusals += 1;
            }
        }
    }
    // The frame of a text block needs a few bytes, so that the last chunk does not fit.
    assert_eq!((stored, refusals), (STORED - CHUNK, (CLAIMED - stored) / CHUNK));
    let grown = peak.grown();
    assert!(grown < MEMORY, "{} MiB", grown / MIB);
    let finish = ContentChange::Append(Delta::text("."));
    thread.update_content(id("m"), finish, UpdateMode::Final).await.unwrap();
    let message = thread.get(id("m")).await.unwrap().unwrap();
    assert_eq!(message.content, Content::text(&("x".repeat(stored) + ".")));
    db.close().await.unwrap();
    let mut report = Report::new("REL-34-GROWTH");
    report.count("MiB claimed", CLAIMED / MIB);
    report.count("MiB stored", stored / MIB);
    report.count("MiB of memory at most", grown / MIB);
    report.finish();
}

/// Ten appends of one MiB, with a limit of eight MiB.
#[tokio::test]
async fn rel_34_streamed_messages_are_bounded_by_the_content_limit() {
    let db = guarded().await;
    let thread = db.thread("t");
    let reserve = Reserve::new(id_of(&thread), NewReservation::new(Role::Assistant).with_id(id("m")));
    db.run(reserve).await.unwrap();
    let mut taken = 0;
    for _ in 0..10 {
        let append = ContentChange::Append(Delta::text("x".repeat(MIB)));
        match thread.update_content(id("m"), append, UpdateMode::Partial).await {
            Ok(_) => taken += 1,
            Err(error) => {
                assert_eq!((error.kind(), error.effect()), (ErrorKind::TooLarge, Effect::NotApplied));
            }
        }
    }
    // The frame of a text block needs a few bytes, so that the eighth append does not fit.
    assert_eq!(taken, CONTENT / MIB - 1, "appends are taken");
    thread.update_content(id("m"), ContentChange::none(), UpdateMode::Final).await.unwrap();
    let whole = Content::text(&"x".repeat(taken * MIB));
    assert!(thread.get(id("m")).await.unwrap().unwrap().content == whole);
    thread.edit(id("m"), whole).await.unwrap();
    assert_eq!(thread.fork(&id("m"), NewThread::new()).await.unwrap().messages, 1);

    // A draft reports the refusal at the append, and stays usable.
    let mut draft = thread.reserve(Role::Assistant).await.unwrap();
    let mut refusals = Vec::new();
    for append in 1..=10 {
        if let Err(error) = draft.append("x".repeat(MIB)).await {
            assert_eq!((error.kind(), error.effect()), (ErrorKind::TooLarge, Effect::NotApplied));
            refusals.push(append);
        }
    }
    assert_eq!(refusals, [8, 9, 10]);
    draft.append(" cut short").await.unwrap();
    draft.finish().await.unwrap();
    thread.fork(draft.id(), NewThread::new()).await.unwrap();
    db.close().await.unwrap();
    let mut report = Report::new("REL-34-STREAMING");
    report.count("MiB taken of 10", taken);
    report.finish();
}

/// A fork under narrow limits copies messages that were stored under wider limits.
#[tokio::test]
async fn rel_34_fork_copies_messages_beyond_the_current_limits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let db = Persistence::builder().backend(SqliteBackend::open(&path).await.unwrap()).build().unwrap();
    let thread = db.thread("t");
    let keys = (0..2 * ATTACHMENTS).map(|n| format!("file {n}").parse::<AttachmentKey>().unwrap());
    let deep = Content::from_json(nested(2 * DEPTH)).unwrap();
    let large = NewMessage::new(Role::User, content(3 * CONTENT)).with_metadata(metadata(2 * METADATA));
    thread.add(large.with_attachments(keys).with_id(id("large"))).await.unwrap();
    thread.add(NewMessage::new(Role::User, deep).with_id(id("deep"))).await.unwrap();
    db.close().await.unwrap();

    let backend = SqliteOptions::new().max_content_bytes(MIB as u64).open(&path).await.unwrap();
    let limits = LimitsLayer::new().content_bytes(MIB).batch_items(1).batch_bytes(MIB);
    let db = Persistence::builder().layer(limits).backend(backend).build().unwrap();
    let thread = db.thread("t");
    let forked = thread.fork(&id("deep"), NewThread::new()).await.unwrap();
    assert_eq!(forked.messages, 2);
    for name in ["large", "deep"] {
        let original = thread.get(id(name)).await.unwrap().unwrap();
        let copy = db.thread(forked.summary.thread.clone()).get(id(name)).await.unwrap().unwrap();
        assert!(copy.content == original.content && copy.metadata == original.metadata, "{name}");
        assert_eq!(copy.attachments, original.attachments);
    }
    // An import of a host has the same limits as other writes.
    let row = ImportRow::new(id("mine"), Role::User, content(2 * MIB), Timestamp::from_micros(0));
    let import = db.run(Import::new(id_of(&thread), vec![row])).await;
    assert_eq!(import.unwrap_err().kind(), ErrorKind::TooLarge);
    db.close().await.unwrap();
    let mut report = Report::new("REL-34-FORK");
    report.count("MiB of one message", 3 * CONTENT / MIB);
    report.finish();
}

#[tokio::test]
async fn rel_34_refused_calls_use_almost_no_memory() {
    let db = guarded().await;
    let thread = db.thread("t");
    let key = "a key, so that the call is fingerprinted";
    let add = thread.add(NewMessage::new(Role::User, content(2 * CONTENT))).key(key);
    let append = ContentChange::Append(Delta::text("x".repeat(2 * CONTENT)));
    let append = thread.update_content(id("m"), append, UpdateMode::Partial).key(key);
    let rows = (0..20).map(|n| {
        ImportRow::new(id(&format!("m{n}")), Role::User, content(CONTENT / 2), Timestamp::from_micros(0))
    });
    let import = db.run(Import::new(id_of(&thread), rows.collect())).key(key);
    // The calls are built before the measurement begins.
    let Some(peak) = Peak::since_now() else {
        return skipped("REL-34: memory while a call is refused", "the system does not report it");
    };
    let refusals: [PersistError; 3] =
        [add.await.unwrap_err(), append.await.unwrap_err(), import.await.unwrap_err()];
    let grown = peak.grown();
    assert!(refusals.iter().all(|error| error.kind() == ErrorKind::TooLarge), "{refusals:?}");
    assert!(grown < SPENT, "{} KiB", grown >> 10);
    db.close().await.unwrap();
    let mut report = Report::new("REL-34-SPENT");
    report.count("KiB of memory at most", grown >> 10);
    report.finish();
}

/// Measures the peak memory of the process from a moment on.
struct Peak {
    before: usize,
}

impl Peak {
    /// Begins the measurement. Returns `None` if the system does not report the peak.
    fn since_now() -> Option<Self> {
        // Resets the peak to the current resident memory.
        fs::OpenOptions::new().write(true).open("/proc/self/clear_refs").ok()?.write_all(b"5").ok()?;
        Some(Self { before: kilobytes("VmHWM:")? << 10 })
    }

    fn grown(&self) -> usize {
        let most = kilobytes("VmHWM:").expect("it was there before") << 10;
        most.saturating_sub(self.before)
    }
}

fn kilobytes(name: &str) -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_suffix("kB"))?;
    value.trim().parse().ok()
}

fn id_of(thread: &Thread) -> throughline_core::ThreadId {
    thread.id().unwrap().clone()
}

fn add(thread: &Thread, content: Content) -> Add {
    Add::new(id_of(thread), NewMessage::new(Role::User, content))
}

#[track_caller]
fn taken_at(limit: usize, given: usize, answer: Result<()>, unit: &str) {
    if given == limit {
        answer.unwrap();
    } else {
        refused(answer, &format!("{given} {unit} are more than the {limit} allowed"));
    }
}
