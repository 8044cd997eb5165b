//! What leaves the messages as they are.

use rusqlite::params;
use throughline_core::{
    Happened, LabelThread, RenameThread, ThreadId,
    backend::{ThreadFacts, rules},
};

use super::existing;
use crate::apply::{Applied, Scope};

/// Changes what the host said of a thread.
pub(super) fn change(
    scope: Scope<'_>,
    thread: &ThreadId,
    make: impl FnOnce(&mut ThreadFacts),
) -> Applied<()> {
    let mut state = existing(scope, thread)?;
    let entry = state.entry_mut(thread)?;
    make(entry);
    entry.changed(scope.now);
    scope.tell(scope.take_position(), state.thread_pk, &Happened::ThreadChanged)
}

pub(super) fn rename(scope: Scope<'_>, rename: &RenameThread) -> Applied<()> {
    rules::expect_title(
        rename.expected.as_ref(),
        &existing(scope, &rename.thread)?.entry(&rename.thread)?.title,
    )?;
    change(scope, &rename.thread, |entry| entry.title = rename.title.clone())
}

pub(super) fn label(scope: Scope<'_>, label: &LabelThread) -> Applied<()> {
    let mut labels = existing(scope, &label.thread)?.entry(&label.thread)?.labels.clone();
    labels.apply(&label.labels);
    rules::check_labels(&labels)?;
    change(scope, &label.thread, |entry| {
        entry.labels = labels;
        entry.metadata.apply(&label.metadata);
        if let Some(owner) = &label.owner {
            entry.owner.clone_from(owner);
        }
    })?;
    write_labels(scope, &label.thread)
}

pub(super) fn publish(scope: Scope<'_>, thread: &ThreadId) -> Applied<()> {
    let mut state = existing(scope, thread)?;
    if !state.entry(thread)?.hidden {
        return Ok(());
    }
    let entry = state.entry_mut(thread)?;
    entry.publish();
    entry.changed(scope.now);
    scope.tell(scope.take_position(), state.thread_pk, &Happened::ThreadPublished)
}

/// Writes by what labels the thread is found.
pub(super) fn write_labels(scope: Scope<'_>, thread: &ThreadId) -> Applied<()> {
    let state = existing(scope, thread)?;
    let entry = state.entry(thread)?;
    put_labels(scope, state.thread_pk, entry)
}

/// Writes by what labels a thread with this entry is found, over what is there.
pub(in crate::apply) fn put_labels(scope: Scope<'_>, thread_pk: i64, entry: &ThreadFacts) -> Applied<()> {
    let owner = entry.owner.iter().map(|owner| ("", owner.as_str()));
    let labels = entry.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    scope.db.prepare_cached(FORGET_LABELS)?.execute([thread_pk])?;
    for (name, value) in owner.chain(labels) {
        scope
            .db
            .prepare_cached("INSERT INTO labels (tenant, name, value, thread_pk) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![scope.tenant.as_str(), name, value, thread_pk])?;
    }
    Ok(())
}

pub(in crate::apply) const FORGET_LABELS: &str = "DELETE FROM labels WHERE thread_pk = ?1";
