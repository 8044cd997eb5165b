//! Faults of the change feed.

use throughline_core::{
    PersistArgs, PersistResult, Position, ReadArgs, ReadResult,
    changes::{ChangeKind, ChangeScope},
};

use crate::mutants::store::{Mutant, change, changes::ChangeFault, special::Special};

/// Changes the kind of every change event in an answer.
fn change_kinds(response: &mut throughline_core::PersistResponse, change: fn(ChangeKind) -> ChangeKind) {
    if let Some(reported) = change::reported(response) {
        reported.changes.iter_mut().for_each(|reported| reported.kind = change(reported.kind.clone()));
    }
}

fn scope(args: &mut PersistArgs, change: fn(ChangeScope) -> ChangeScope) {
    if let PersistArgs::Read(ReadArgs::Changes(read)) = args {
        read.scope = change(read.scope.clone());
    }
}

pub(super) static MUTANTS: &[Mutant] = &[
    Mutant::new(
        "emits-edits-as-writes",
        "emits an edit as an append to a message",
        &["changes.every_message_write_emits_its_kind"],
    )
    .after(|_, response| {
        change_kinds(response, |kind| match kind {
            ChangeKind::Edited(message) => ChangeKind::Written(message),
            kind => kind,
        });
    }),
    Mutant::new(
        "emits-no-publication",
        "emits a publication as any change of a thread",
        &["changes.every_thread_operation_emits_its_kind"],
    )
    .after(|_, response| {
        change_kinds(response, |kind| match kind {
            ChangeKind::ThreadPublished => ChangeKind::ThreadChanged,
            kind => kind,
        });
    }),
    Mutant::new(
        "emits-the-last-only",
        "emits only the last change of a batch or an import",
        &[
            "changes.batch_emits_one_change_per_item",
            "changes.import_emits_one_change_per_added_message",
            "changes.survive_reopening",
        ],
    )
    .special(Special::Change(ChangeFault::EmitsTheLastOnly)),
    Mutant::new(
        "emits-everything",
        "emits changes for writes that changed nothing",
        &["threads.concurrent_creates_and_renames_are_all_kept", "changes.calls_without_effect_emit_none"],
    )
    .special(Special::Change(ChangeFault::EmitsEverything)),
    Mutant::new(
        "emits-refusals",
        "emits changes for refused writes",
        &[
            "threads.write_to_a_deleted_thread_is_gone",
            "changes.refused_calls_emit_none",
            "changes.refused_batches_emit_none",
        ],
    )
    .special(Special::Change(ChangeFault::EmitsRefusals)),
    Mutant::new(
        "notifies-of-no-commit",
        "accepts subscriptions to commit notifications, and sends none",
        &["changes.commit_notification_wakes_every_subscriber"],
    )
    .special(Special::Change(ChangeFault::NotifiesOfNoCommit)),
    Mutant::new(
        "notifies-once",
        "sends a notification of the first commit only",
        &["changes.commit_notification_wakes_every_subscriber"],
    )
    .special(Special::Change(ChangeFault::NotifiesOnce)),
    Mutant::new(
        "emits-former-answers",
        "repeats its former answer to the same read",
        &["changes.waiting_feed_wakes_on_a_write"],
    )
    .special(Special::Change(ChangeFault::EmitsReplays)),
    Mutant::new(
        "emits-other-positions",
        "emits a change at another position than that of the receipt",
        &[
            "threads.concurrent_creates_and_renames_are_all_kept",
            "changes.every_message_write_emits_its_kind",
            "changes.every_thread_operation_emits_its_kind",
            "changes.position_equals_the_writers_receipt",
        ],
    )
    .after(|_, response| {
        if let Some(reported) = change::reported(response) {
            let later = |position: Position| Position::new(position.get() + 1);
            reported.changes.iter_mut().for_each(|change| change.position = later(change.position));
            reported.position = later(reported.position);
        }
    }),
    Mutant::new(
        "emits-by-time",
        "emits changes in the order of the clock",
        &["changes.order_is_commit_order_when_the_clock_jumps_back"],
    )
    .after(|_, response| {
        if let Some(reported) = change::reported(response) {
            reported.changes.sort_by_key(|change| change.at);
        }
    }),
    Mutant::new(
        "emits-known-changes",
        "emits the change at the given position again",
        &[
            "threads.concurrent_creates_and_renames_are_all_kept",
            "changes.every_message_write_emits_its_kind",
            "changes.every_thread_operation_emits_its_kind",
            "changes.reads_resume_at_any_position",
            "changes.feed_is_complete_under_concurrent_writes",
        ],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Changes(read)) = args {
            read.after = Position::new(read.after.get().saturating_sub(1));
        }
    }),
    Mutant::new(
        "emits-every-tenant",
        "shows a tenant the changes of all tenants",
        &["changes.tenant_reads_only_its_own_changes"],
    )
    .before(|args, _| {
        scope(args, |scope| if scope == ChangeScope::Tenant { ChangeScope::Store } else { scope });
    }),
    Mutant::new(
        "emits-every-thread",
        "shows the reader of one thread the changes of all threads",
        &[
            "changes.feed_yields_each_change_once",
            "changes.answer_reports_position_and_more",
            "changes.page_position_joins_the_changes",
            "changes.reads_resume_at_any_position",
            "changes.thread_scope_shows_that_thread",
        ],
    )
    .before(|args, _| {
        scope(args, |scope| match scope {
            ChangeScope::Thread(_) => ChangeScope::Tenant,
            scope => scope,
        });
    }),
    Mutant::new(
        "emits-one-tenant",
        "shows the reader of the store the changes of one tenant only",
        &["changes.store_scope_covers_every_tenant"],
    )
    .before(|args, _| {
        scope(args, |scope| if scope == ChangeScope::Store { ChangeScope::Tenant } else { scope });
    }),
    Mutant::new(
        "emits-no-more",
        "never says that there are more changes",
        &["threads.concurrent_creates_and_renames_are_all_kept", "changes.answer_reports_position_and_more"],
    )
    .after(|_, response| {
        if let Some(reported) = change::reported(response) {
            reported.more = false;
        }
    }),
    Mutant::new(
        "pages-from-the-beginning",
        "shows a page as if nothing had changed before",
        &["changes.page_position_joins_the_changes", "changes.page_read_during_writes_joins_the_changes"],
    )
    .after(|asked, response| {
        if let Some((_, page)) = change::page(asked, response) {
            page.position = Position::ZERO;
        }
    }),
    Mutant::new(
        "lists-from-the-beginning",
        "shows a list as if nothing had changed before",
        &["changes.list_position_joins_the_changes"],
    )
    .after(|_, response| {
        if let PersistResult::Read(ReadResult::Threads(list)) = &mut response.result {
            list.position = Position::ZERO;
        }
    }),
    Mutant::new(
        "emits-from-anywhere",
        "accepts a lost position as a future one",
        &["changes.read_after_a_future_position_is_too_old"],
    )
    .special(Special::Change(ChangeFault::ReadsFromAnywhere)),
    Mutant::new(
        "positions-late",
        "says how far a page goes after it was read",
        &["changes.page_read_during_writes_joins_the_changes"],
    )
    .special(Special::Change(ChangeFault::PositionsLate)),
];
