//! Faults of the limits that a call names.

use throughline_core::{PersistArgs, messages::Batch, threads::ThreadArgs};

use crate::mutants::store::{Mutant, change};

pub(super) static MUTANTS: &[Mutant] = &[
    Mutant::new(
        "ignores-content-limits",
        "appends beyond the limit that the call names",
        &["messages.append_above_the_call_limit_is_refused"],
    )
    .before(|args, _| change::contents(args, |update| update.max_content_bytes = None)),
    Mutant::new(
        "ignores-metadata-limits",
        "patches the metadata of a message beyond the limit that the call names",
        &["messages.metadata_above_the_call_limit_is_refused"],
    )
    .before(|args, _| {
        each(args, |item| {
            if let PersistArgs::Update(update) = item {
                update.max_metadata_bytes = None;
            }
        });
    }),
    Mutant::new(
        "ignores-metadata-limits-of-threads",
        "patches the metadata of a thread beyond the limit that the call names",
        &["threads.metadata_above_the_call_limit_is_refused"],
    )
    .before(|args, _| {
        each(args, |item| {
            if let PersistArgs::Thread(ThreadArgs::Label(label)) = item {
                label.max_metadata_bytes = None;
            }
        });
    }),
    Mutant::new(
        "limits-each-patch",
        "holds what a patch carries to the limit, and not what the message then has",
        &["messages.metadata_above_the_call_limit_is_refused"],
    )
    .before(|args, _| {
        each(args, |item| {
            if let PersistArgs::Update(update) = item
                && update
                    .max_metadata_bytes
                    .is_some_and(|max| update.metadata.as_metadata().byte_len() as u64 <= max)
            {
                update.max_metadata_bytes = None;
            }
        });
    }),
    Mutant::new(
        "ignores-answer-limits",
        "answers a batch with as much as there is",
        &["batches.answer_above_the_call_limit_is_refused"],
    )
    .before(|args, _| {
        if let PersistArgs::Batch(Batch { max_answer_bytes, .. }) = args {
            *max_answer_bytes = None;
        }
    }),
];

/// Changes an operation, or each item of a batch.
fn each(args: &mut PersistArgs, change: fn(&mut PersistArgs)) {
    match args {
        PersistArgs::Batch(batch) => batch.items.iter_mut().for_each(change),
        one => change(one),
    }
}
