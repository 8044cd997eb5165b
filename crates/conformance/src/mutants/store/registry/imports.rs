//! Faults of what is imported.

use throughline_core::{Metadata, PersistArgs, PersistResult, messages::ImportedRow};

use crate::mutants::store::{Mutant, special::Special, threads::ThreadFault};

/// Changes what became of every message.
fn told(result: &mut PersistResult, change: fn(ImportedRow) -> ImportedRow) {
    if let PersistResult::Import(imported) = result {
        imported.rows.iter_mut().for_each(|row| *row = change(*row));
    }
}

pub(super) static MUTANTS: &[Mutant] = &[
    Mutant::new(
        "imports-as-final",
        "takes every imported message for a final one",
        &["import.entry", "import.rows"],
    )
    .before(|args, _| {
        if let PersistArgs::Import(import) = args {
            import.rows.iter_mut().for_each(|row| row.abandoned = None);
        }
    }),
    Mutant::new("imports-as-unchanged", "forgets when an imported message was changed", &["fork.copies"])
        .before(|args, _| {
            if let PersistArgs::Import(import) = args {
                import.rows.iter_mut().for_each(|row| row.updated_at = row.created_at);
            }
        }),
    Mutant::new("imports-without-metadata", "imports no metadata", &["fork.copies", "import.rows"]).before(
        |args, _| {
            if let PersistArgs::Import(import) = args {
                import.rows.iter_mut().for_each(|row| row.metadata = Metadata::new());
            }
        },
    ),
    Mutant::new(
        "imports-a-hundred",
        "imports a hundred messages at most",
        &["fork.hidden", "fork.layers", "import.most"],
    )
    .before(|args, _| {
        if let PersistArgs::Import(import) = args {
            import.rows.truncate(100);
        }
    }),
    Mutant::new(
        "imports-backwards",
        "imports the last message first",
        &["changes.import", "fork.layers", "import.again", "import.most"],
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
    Mutant::new("imports-what-differs", "takes another message of that id for the same", &["import.differs"])
        .after(|_, response| {
            told(&mut response.result, |row| match row {
                ImportedRow::Differs(seq) => ImportedRow::Present(seq),
                row => row,
            });
        }),
    Mutant::new(
        "restores-the-undamaged",
        "says of messages that can be read that they were restored",
        &["import.restores-only-damaged"],
    )
    .after(|args, response| {
        if matches!(args, PersistArgs::Import(import) if import.restores_damaged) {
            told(&mut response.result, |row| match row {
                ImportedRow::Differs(seq) => ImportedRow::Restored(seq),
                row => row,
            });
        }
    }),
    Mutant::new(
        "imports-again",
        "says of messages that were there that they were added",
        &["import.again", "import.differs"],
    )
    .after(|_, response| {
        told(&mut response.result, |row| match row {
            ImportedRow::Present(seq) => ImportedRow::Added(seq),
            row => row,
        });
    }),
    Mutant::new(
        "imports-what-is-elsewhere",
        "finds imported messages in any thread of any tenant",
        &["import.tenant"],
    )
    .special(Special::Thread(ThreadFault::FindsImportsAnywhere)),
];
