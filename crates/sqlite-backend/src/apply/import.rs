//! Messages that were written elsewhere.

use throughline_core::{
    Alias, ErrorKind, Import, ImportRow, Imported, ImportedRow, Seq, ThreadId, backend::rules,
};

use super::{
    Applied, Scope, insert, refusal,
    repair::{self, DamagedRow, Readable},
    row,
    thread::{name, recount},
};

/// Adds what is not there yet. What is there, or was, is left alone.
pub(super) fn import(scope: Scope<'_>, import: &Import) -> Applied<Imported> {
    let thread = &import.thread;
    // Everything that could be refused is looked at before anything is changed.
    rules::check_import(import)?;
    let mut states = Vec::with_capacity(import.rows.len());
    for row in &import.rows {
        if !import.is_copy() {
            check_length(scope, thread, row)?;
        }
        states.push(before(scope, import, row)?);
    }
    if let Some(state) = scope.living(thread)? {
        state.entry(thread)?;
        state.expect_ordered(thread)?;
    }
    let mut rows = Vec::with_capacity(import.rows.len());
    let mut is_repaired = false;
    for (row, state) in import.rows.iter().zip(states) {
        rows.push(match state {
            Before::Settled(became) => became,
            Before::Damaged(damaged) => {
                is_repaired = true;
                repair::restore(scope, thread, row, &damaged)?
            }
            Before::Missing => {
                let last_seq = scope.living(thread)?.map_or(0, |state| state.last_seq);
                let seq = Seq::new(u64::try_from(last_seq).unwrap_or_default()).next();
                let message = insert::append(scope, row.to_message(scope.tenant, thread, seq))?;
                if !row.origin.is_empty() {
                    let (id, origin) = (row.id.clone(), row.origin.clone());
                    name(scope, thread, Alias { message: id, role: row.role, origin })?;
                }
                ImportedRow::Added(message.seq)
            }
        });
    }
    if is_repaired {
        recount(scope, thread)?;
    }
    Ok(Imported { thread: thread.clone(), rows, deduplicated: false })
}

/// What the thread has of a message that is to be imported.
enum Before {
    Missing,
    /// It is there, or was, and is left alone.
    Settled(ImportedRow),
    /// It cannot be read, and is to be overwritten.
    Damaged(DamagedRow),
}

fn before(scope: Scope<'_>, import: &Import, row: &ImportRow) -> Applied<Before> {
    let thread = &import.thread;
    let Some((thread_pk, floor)) = scope.living(thread)?.map(|state| (state.thread_pk, state.head.floor))
    else {
        return Ok(Before::Missing);
    };
    match row::is_alive(scope, thread_pk, floor, &row.id)? {
        None => return Ok(Before::Missing),
        Some(false) => return Ok(Before::Settled(ImportedRow::Gone)),
        Some(true) => {}
    }
    if import.restores_damaged
        && let Readable::Damaged(damaged) = Readable::find(scope, thread, &row.id)?
    {
        return Ok(Before::Damaged(damaged));
    }
    let record = row::find_or_refuse(scope, thread, &row.id)?;
    let there = row::message(scope, record)?;
    Ok(Before::Settled(if row.is_same_as(&there) {
        ImportedRow::Present(there.seq)
    } else {
        ImportedRow::Differs(there.seq)
    }))
}

fn check_length(scope: Scope<'_>, thread: &ThreadId, row: &ImportRow) -> Applied<()> {
    let (bytes, max) = (row.content.byte_len(), scope.max_content_bytes);
    if bytes as u64 <= max {
        return Ok(());
    }
    let detail = format!("the content has {bytes} bytes, and {max} are allowed");
    Err(refusal(ErrorKind::TooLarge, detail).about(thread, &row.id).into())
}
