//! Faults of what is imported.

use throughline_core::{Metadata, PersistArgs, PersistResult, messages::ImportedRow};

use crate::mutants::store::{Mutant, special::Special, threads::ThreadFault};

/// Changes what became of every message.
fn reported(result: &mut PersistResult, change: fn(ImportedRow) -> ImportedRow) {
    if let PersistResult::Import(imported) = result {
        imported.rows.iter_mut().for_each(|row| *row = change(*row));
    }
}

pub(super) static MUTANTS: &[Mutant] = &[
    Mutant::new(
        "imports-as-final",
        "takes every imported message for a final one",
        &["imports.summary_counts_imported_messages", "imports.rows_keep_their_fields_and_order"],
    )
    .before(|args, _| {
        if let PersistArgs::Import(import) = args {
            import.rows.iter_mut().for_each(|row| row.abandoned = None);
        }
    }),
    Mutant::new(
        "imports-as-unchanged",
        "forgets when an imported message was changed",
        &["forks.copy_ends_at_the_named_message"],
    )
    .before(|args, _| {
        if let PersistArgs::Import(import) = args {
            import.rows.iter_mut().for_each(|row| row.updated_at = row.created_at);
        }
    }),
    Mutant::new(
        "imports-without-metadata",
        "imports no metadata",
        &["forks.copy_ends_at_the_named_message", "imports.rows_keep_their_fields_and_order"],
    )
    .before(|args, _| {
        if let PersistArgs::Import(import) = args {
            import.rows.iter_mut().for_each(|row| row.metadata = Metadata::new());
        }
    }),
    Mutant::new(
        "imports-a-hundred",
        "imports a hundred messages at most",
        &[
            "forks.failed_fork_is_hidden_and_resumable",
            "forks.layers_see_each_copied_message",
            "imports.500_messages_fit_into_one_import",
        ],
    )
    .before(|args, _| {
        if let PersistArgs::Import(import) = args {
            import.rows.truncate(100);
        }
    }),
    Mutant::new(
        "imports-backwards",
        "imports the last message first",
        &[
            "changes.import_emits_one_change_per_added_message",
            "forks.layers_see_each_copied_message",
            "imports.repeated_import_adds_only_missing_messages",
            "imports.500_messages_fit_into_one_import",
        ],
    )
    .before(|args, _| {
        if let PersistArgs::Import(import) = args {
            import.rows.reverse();
        }
    })
    .after(|_, response| {
        if let PersistResult::Import(imported) = &mut response.result {
            imported.rows.reverse();
        }
    }),
    Mutant::new(
        "imports-what-differs",
        "takes another message of that id for the same",
        &["imports.existing_and_deleted_ids_are_reported"],
    )
    .after(|_, response| {
        reported(&mut response.result, |row| match row {
            ImportedRow::Differs(seq) => ImportedRow::Present(seq),
            row => row,
        });
    }),
    Mutant::new(
        "restores-the-undamaged",
        "says of messages that can be read that they were restored",
        &["imports.restore_changes_damaged_messages_only"],
    )
    .after(|args, response| {
        if matches!(args, PersistArgs::Import(import) if import.restores_damaged) {
            reported(&mut response.result, |row| match row {
                ImportedRow::Differs(seq) => ImportedRow::Restored(seq),
                row => row,
            });
        }
    }),
    Mutant::new(
        "imports-again",
        "says of messages that were there that they were added",
        &[
            "imports.repeated_import_adds_only_missing_messages",
            "imports.existing_and_deleted_ids_are_reported",
        ],
    )
    .after(|_, response| {
        reported(&mut response.result, |row| match row {
            ImportedRow::Present(seq) => ImportedRow::Added(seq),
            row => row,
        });
    }),
    Mutant::new(
        "imports-what-is-elsewhere",
        "finds imported messages in any thread of any tenant",
        &["imports.target_is_one_thread_of_one_tenant"],
    )
    .special(Special::Thread(ThreadFault::FindsImportsAnywhere)),
];
