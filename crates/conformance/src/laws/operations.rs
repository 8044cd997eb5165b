//! One call of every operation, with content in every content field.

use throughline_core::{
    Content, Delta, MessageId, Metadata, MetadataPatch, NewMessage, NewReservation, NewThread, PersistArgs,
    Revision, Role, Seq, ThreadId, Timestamp, Title,
    messages::{
        Add, Batch, ContentChange, Delete, GetMessage, Import, ImportRow, ListOpen, PageFrom, ReadContent,
        ReadPage, Reserve, TakeLastMessage, Update, UpdateContent, UpdateMode,
    },
    sessions::{BeginRun, Claimer, FailRun, Failure, ListAttempts, ResolveSession, RunReport, Runtime},
    threads::{
        ArchiveThread, ClearThread, CreateThread, Generation, GetThread, LabelPatch, LabelThread,
        ListPurgeable, ListTenants, ListThreads, RebuildThread, RenameThread,
    },
};

pub(super) fn t() -> ThreadId {
    "t".parse().expect("a valid id")
}

fn id(name: &str) -> MessageId {
    name.parse().expect("a valid id")
}

fn facts(text: &str) -> Metadata {
    let mut facts = Metadata::new();
    facts.set("memo", text).expect("a string");
    facts
}

fn change(name: &str, change: ContentChange, mode: UpdateMode) -> PersistArgs {
    UpdateContent::new(t(), id(name), change, mode).into()
}

/// A run of an agent, with fixed values.
fn run() -> BeginRun {
    let runtime = Runtime::new("r".parse().expect("a valid id"), "root".parse().expect("a valid id"));
    let claimer = Claimer::new("p".parse().expect("a valid id"), runtime);
    let attempt = "run".parse().expect("a valid id");
    BeginRun::new("g".parse().expect("a valid id"), t(), claimer).named(attempt)
}

/// One call of every operation, each with its name, in an order in which they succeed on a new store. `text` is in every content
/// field: contents, deltas, metadata, reasons and titles. For the tests of a layer that must handle all of them.
///
/// ```
/// use throughline_conformance::laws::every_operation;
///
/// let batch = every_operation("hunter2").into_iter().find(|(name, _)| *name == "batch").unwrap().1;
/// assert!(serde_json::to_string(&batch)?.contains("hunter2"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn every_operation(text: &str) -> Vec<(&'static str, PersistArgs)> {
    all(text).into_iter().collect()
}

/// More than any of the texts needs.
const ROOMY: u64 = 1 << 20;

/// The size of a page.
const PAGE_BYTES: u32 = 1 << 20;

/// Every write with its name, in an order in which each can succeed, and with `text` in every content field. Each expected value
/// holds: the revision, the generation and the last sequence number of the thread.
pub(super) fn writes(text: &str) -> Vec<(&'static str, PersistArgs)> {
    let nested = Content::from_blocks(&[serde_json::json!({"type": "tool", "input": {"deep": [text]}})]);
    let nested = nested.expect("an array");
    let message = |name: &str| NewMessage::user(text).with_id(id(name)).with_metadata(facts(text));
    let reservation =
        |name: &str| NewReservation::new(Role::Assistant).with_id(id(name)).with_metadata(facts(text));
    let first = message("added").after(Seq::ZERO).in_generation(Generation::FIRST);
    let second = reservation("r").after(Seq::FIRST).in_generation(Generation::FIRST);
    let append = || ContentChange::Append(Delta::text(text));
    let blocks = || ContentChange::Append(Delta::Blocks(nested.clone()));
    let replace = || ContentChange::Replace(nested.clone());
    let append_within = UpdateContent::new(t(), id("r"), append(), UpdateMode::Partial).within(ROOMY);
    let abandon = || UpdateMode::Abandon { reason: Some(text.to_owned()) };
    // For messages without partial updates: a layer that buffers text decides which of these raise a revision.
    let on = |name: &str, change, mode, revision| {
        UpdateContent::new(t(), id(name), change, mode).expecting(revision)
    };
    let abandon_first = on("s", append(), abandon(), Revision::FIRST);
    let edit_first = on("b1", blocks(), UpdateMode::Edit, Revision::FIRST);
    let edit_second = on("b1", blocks(), UpdateMode::Edit, Revision::FIRST.next());
    let patch = |name: &str| {
        let patch = MetadataPatch::new().set("patched", text).expect("a string");
        Update::new(t(), id(name), patch).within(ROOMY)
    };
    let imported = |name: &str| ImportRow {
        metadata: facts(text),
        abandoned: Some(Some(text.to_owned())),
        ..ImportRow::new(id(name), Role::Assistant, nested.clone(), Timestamp::from_micros(7))
    };
    // `added`, `r` and `s`; behind the batch two more; the imported two.
    let (before_the_batch, last) = (Seq::new(3), Seq::new(7));
    let title = || Title::new(text).expect("a short title");
    let made = || -> ThreadId { "created".parse().expect("a valid id") };
    let created = || {
        let new = NewThread::new().with_id(made()).with_title(title());
        new.with_metadata(facts(text))
    };
    let annotated = || MetadataPatch::new().set("annotated", text).expect("a string");
    let label = LabelPatch::new().set("name", "value").expect("a label");
    vec![
        ("add", Add::new(t(), first).into()),
        ("reserve metadata", Reserve::new(t(), second).into()),
        ("append", append_within.into()),
        ("append blocks", change("r", blocks(), UpdateMode::Partial)),
        ("replace", change("r", replace(), UpdateMode::Partial)),
        ("finish", change("r", append(), UpdateMode::Final)),
        ("edit", change("r", replace(), UpdateMode::Edit)),
        ("update metadata", patch("r").into()),
        ("reserve another", Reserve::new(t(), reservation("s")).into()),
        ("abandon reason", abandon_first.into()),
        (
            "batch",
            Batch::new()
                .after(before_the_batch)
                .answering_within(ROOMY)
                .with(Add::new(t(), message("b1")))
                .with(Reserve::new(t(), reservation("b2")))
                .with(change("b2", append(), UpdateMode::Partial))
                .with(patch("b2"))
                .with(change("b2", replace(), abandon()))
                .with(edit_first)
                .with(RenameThread::new(t(), title()))
                .into(),
        ),
        ("edit again", edit_second.into()),
        ("import", Import::new(t(), vec![imported("i")]).into()),
        ("restore", Import::restoring(t(), vec![imported("j")]).into()),
        ("take last", TakeLastMessage::new(t()).expecting(last).into()),
        ("create thread", CreateThread::new(created()).into()),
        ("rename thread", RenameThread::new(t(), title()).expecting(title()).into()),
        (
            "label thread",
            LabelThread::new(t()).with_labels(label).with_metadata(annotated()).within(ROOMY).into(),
        ),
        ("archive thread", ArchiveThread { thread: made(), archived: true }.into()),
        ("clear thread", ClearThread::new(made()).expecting(Generation::FIRST).into()),
        ("rebuild thread", RebuildThread { thread: made() }.into()),
        ("begin run", run().into()),
        (
            "fail run reason",
            FailRun {
                agent: run().agent,
                thread: t(),
                attempt: run().attempt,
                failure: Failure::Other,
                detail: Some(text.to_owned()),
                report: RunReport::default(),
            }
            .into(),
        ),
        ("delete", Delete::new(t(), id("added")).expecting(Revision::FIRST).after(last).into()),
    ]
}

/// Writes after all others whose condition does not hold: the store refuses them.
pub(super) fn refused() -> Vec<(&'static str, PersistArgs)> {
    let abandon = UpdateMode::Abandon { reason: None };
    vec![
        ("delete damaged", Delete::damaged(t(), id("r")).into()),
        (
            "abandon expired",
            UpdateContent::new(t(), id("r"), ContentChange::none(), abandon).only_if_expired().into(),
        ),
    ]
}

/// Every read that each layer can forward unchanged. A redirect can plan no prune, has no single order of
/// changes, and merges lists of threads.
pub(super) fn reads() -> Vec<(&'static str, PersistArgs)> {
    vec![
        ("get", GetMessage { thread: t(), id: id("r") }.into()),
        ("tail read", ReadContent::new(t(), id("r"), None).into()),
        ("page", ReadPage::new(t(), PageFrom::Start, 10).with_max_bytes(PAGE_BYTES).into()),
        ("open reservations", ListOpen::new(10).with_max_bytes(PAGE_BYTES).into()),
        ("thread", GetThread { thread: t() }.into()),
        (
            "resolve session",
            ResolveSession { agent: run().agent, thread: t(), claimer: *run().claimer }.into(),
        ),
        ("purgeable", ListPurgeable { after: None, limit: 10 }.into()),
        ("tenants", ListTenants { after: None, limit: 10 }.into()),
    ]
}

/// Every read that shows content.
pub(super) fn shows(limit: u32) -> Vec<(&'static str, PersistArgs)> {
    vec![
        ("get", GetMessage { thread: t(), id: id("r") }.into()),
        ("tail read", ReadContent::new(t(), id("r"), None).into()),
        ("page", ReadPage::new(t(), PageFrom::Start, limit).into()),
        ("last page", ReadPage::new(t(), PageFrom::End, limit).into()),
        ("page backwards", ReadPage::new(t(), PageFrom::Before(Seq::new(1000)), limit).into()),
        ("open reservations", ListOpen::new(limit).into()),
        ("thread", GetThread { thread: t() }.into()),
        ("threads", ListThreads::new(limit).into()),
        ("attempts", ListAttempts::new(run().agent, t(), limit).into()),
    ]
}

/// Every call.
pub(super) fn all(text: &str) -> Vec<(&'static str, PersistArgs)> {
    let mut all = writes(text);
    all.extend(reads());
    all
}
