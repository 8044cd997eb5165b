//! Faults of updates where a name is absent.

use throughline_core::{
    MetadataPatch, PersistArgs, PersistResult,
    messages::{Batch, Update},
};

use crate::mutants::store::Mutant;

/// Changes every update where a name is absent, in batches too.
fn updates(args: &mut PersistArgs, change: fn(&mut Update)) {
    match args {
        PersistArgs::Update(update) if !update.where_absent.is_empty() => change(update),
        PersistArgs::Batch(Batch { items, .. }) => items.iter_mut().for_each(|item| updates(item, change)),
        _ => {}
    }
}

/// The values as a patch.
fn as_patch(update: &Update) -> MetadataPatch {
    let mut changes = update.metadata.as_metadata().clone();
    update.where_absent.iter().for_each(|(name, value)| changes.set_raw(name, value.to_owned()));
    changes.into()
}

pub(super) static MUTANTS: &[Mutant] = &[
    Mutant::new(
        "overwrites-the-present",
        "sets the names that are present too",
        &[
            "messages.absent_names_are_set_and_present_names_are_kept",
            "messages.absent_names_are_set_in_every_state",
            "batches.absent_names_are_decided_item_by_item",
            "concurrency.one_writer_sets_an_absent_name",
        ],
    )
    .before(|args, _| {
        updates(args, |update| {
            update.metadata = as_patch(update);
            update.where_absent = Default::default();
        });
    }),
    Mutant::new(
        "patches-for-nothing",
        "counts an update that sets nothing as a change",
        &["messages.update_of_present_names_is_no_change", "changes.update_of_present_names_emits_none"],
    )
    .before(|args, _| {
        updates(args, |update| {
            let patch = std::mem::take(&mut update.metadata);
            update.metadata = patch.clear("of no message");
        });
    }),
    Mutant::new(
        "sets-the-absent-without-limit",
        "does not hold values that it sets where they are absent to the limit of the call",
        &["messages.absent_metadata_above_the_call_limit_is_refused"],
    )
    .before(|args, _| updates(args, |update| update.max_metadata_bytes = None)),
    Mutant::new(
        "forgets-what-was-kept",
        "answers a repeated update without the names that the first call kept",
        &["keys.replayed_update_names_what_the_first_call_kept"],
    )
    .after(|_, response| {
        if let PersistResult::Update(updated) = &mut response.result
            && updated.deduplicated
        {
            updated.kept.clear();
        }
    }),
];
