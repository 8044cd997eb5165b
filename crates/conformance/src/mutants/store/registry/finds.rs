//! Faults of finds by metadata.

use throughline_core::{
    IndexedMetadata, Metadata, MetadataScalar, PersistArgs, PersistResponse, PersistResult, ReadArgs,
    ReadResult,
    messages::{FindCursor, FindMessages, FindOrder, FoundMessages, ReadPage, Visibility},
};

use crate::mutants::store::{Mutant, everything, finds::FindFault, special::Special};

fn asked(args: &mut PersistArgs) -> Option<&mut FindMessages> {
    match args {
        PersistArgs::Read(ReadArgs::Find(find)) => Some(find),
        _ => None,
    }
}

fn answered(response: &mut PersistResponse) -> Option<&mut FoundMessages> {
    match &mut response.result {
        PersistResult::Read(ReadResult::Find(page)) => Some(page),
        _ => None,
    }
}

pub(super) static MUTANTS: &[Mutant] = &[
    Mutant::new(
        "finds-by-text",
        "finds a number by the text of its digits",
        &["finds.value_finds_exactly_its_messages"],
    )
    .before(|args, _| {
        if let Some(find) = asked(args)
            && let Ok((name, _)) = find.criterion()
        {
            let name = name.to_owned();
            let json = find.metadata.get(&name).map_or("", |value| value.get()).trim_matches('"').to_owned();
            let mut metadata = Metadata::new();
            metadata.set_raw(name, MetadataScalar::from(json).to_json());
            find.metadata = metadata;
        }
    }),
    Mutant::new(
        "finds-oldest-first",
        "shows the oldest message first, whatever the order",
        &["finds.pages_show_each_message_once_in_order"],
    )
    .before(|args, _| {
        if let Some(find) = asked(args) {
            find.order = FindOrder::OldestFirst;
        }
    }),
    Mutant::new(
        "always-more-to-find",
        "says that there is more whenever a page of a find is full",
        &["finds.pages_show_each_message_once_in_order"],
    )
    .after(|args, response| {
        if let (PersistArgs::Read(ReadArgs::Find(find)), Some(page)) = (args, answered(response))
            && page.messages.len() == find.limit as usize
        {
            page.next = page.messages.last().map(FindCursor::of);
        }
    }),
    Mutant::new(
        "finds-unpatched-only",
        "does not find a message whose metadata was changed",
        &["finds.patched_message_is_found_by_its_new_value"],
    )
    .after(|_, response| {
        if let Some(page) = answered(response) {
            page.messages.retain(|message| message.updated_at == message.created_at);
        }
    }),
    Mutant::new(
        "finds-what-is-removed",
        "finds a message that was removed since",
        &["finds.removed_messages_are_not_found"],
    )
    .special(Special::Find(FindFault::ShowsRemoved)),
    Mutant::new(
        "finds-in-every-thread",
        "finds messages of other threads",
        &["finds.scope_excludes_other_threads", "finds.random_writes_are_found_as_by_a_scan"],
    )
    .before(|args, _| {
        if let Some(find) = asked(args) {
            find.thread = None;
        }
    }),
    Mutant::new(
        "counts-other-tenants",
        "ends a page of a find earlier if other tenants have such messages",
        &["finds.other_tenants_do_not_affect_pages"],
    )
    .special(Special::Find(FindFault::CountsOtherTenants)),
    Mutant::new(
        "finds-every-state",
        "finds open and abandoned messages without being asked",
        &["finds.visibility_decides_the_states", "finds.random_writes_are_found_as_by_a_scan"],
    )
    .before(|args, _| {
        if let Some(find) = asked(args) {
            find.visibility = Visibility::All;
        }
    }),
    Mutant::new(
        "finds-by-another-field",
        "finds by another field if the field is not declared",
        &["finds.undeclared_field_is_refused_by_name"],
    )
    .before(|args, _| {
        if let Some(find) = asked(args)
            && let Ok((name, value)) = find.criterion()
            && let Some(declared) = everything().indexed_metadata.iter().next()
            && !everything().indexed_metadata.contains(name)
        {
            let mut metadata = Metadata::new();
            metadata.set_raw(declared, value.to_json());
            find.metadata = metadata;
        }
    }),
    Mutant::new(
        "finds-without-bytes",
        "ignores the byte bound of a find",
        &["finds.page_ends_at_its_byte_bound"],
    )
    .before(|args, _| {
        if let Some(find) = asked(args) {
            find.max_bytes = ReadPage::MAX_BYTES;
        }
    }),
    Mutant::new(
        "misses-brought-messages",
        "does not find a message that was imported",
        &["finds.imported_and_batched_messages_are_found"],
    )
    .special(Special::Find(FindFault::MissesBrought)),
    Mutant::new(
        "misses-copied-messages",
        "does not find a message that a row image brought",
        &["replication.replica_finds_the_same_messages", "replication.promoted_replica_finds_its_own_writes"],
    )
    .special(Special::Find(FindFault::MissesCopied)),
    Mutant::new(
        "finds-by-first-images",
        "finds a copied message by the value of its first row image",
        &["replication.replica_finds_the_same_messages"],
    )
    .special(Special::Find(FindFault::KeepsFirstCopied)),
    Mutant::new(
        "finds-less-after-reopening",
        "loses the first entry of an index when the store is opened again",
        &["finds.messages_are_found_after_reopening"],
    )
    .reopened(|response| {
        if let Some(page) = answered(response) {
            drop(page.messages.drain(..1.min(page.messages.len())));
        }
    }),
    Mutant::new(
        "claims-a-field",
        "claims to find by a field and refuses it",
        &["capabilities.indexed_metadata_matches_its_claim"],
    )
    .claiming(|| {
        let claims = everything();
        let more = IndexedMetadata::new(claims.indexed_metadata.iter().chain(["zone"]));
        claims.clone().with_indexed_metadata(more.expect("valid names"))
    }),
];
