//! Faults of aliases.

use throughline_core::{
    PersistArgs, PersistResult, ReadArgs, Role,
    ids::{ItemId, TurnId},
    messages::{ListAliases, Mismatch, Origin, ResolveId, ResolvedBy, ResolvedId, SkippedId},
    threads::{ThreadArgs, ThreadResult},
};

use crate::mutants::store::{Mutant, special::Special, threads::ThreadFault};

/// The resolution of an id, if the call is one.
fn resolve(args: &mut PersistArgs) -> Option<&mut ResolveId> {
    match args {
        PersistArgs::Thread(ThreadArgs::Resolve(asked)) => Some(asked),
        _ => None,
    }
}

/// The answer to a resolution of an id, if it is one.
fn resolved(result: &mut PersistResult) -> Option<&mut ResolvedId> {
    match result {
        PersistResult::Thread(ThreadResult::Resolve(resolved)) => Some(resolved),
        _ => None,
    }
}

/// The name as one text, as systems do that keep one column for it.
fn joined(origin: &Origin) -> Option<ItemId> {
    let parts = [origin.turn.as_ref().map(TurnId::as_str), origin.item.as_ref().map(ItemId::as_str)];
    ItemId::new(parts.into_iter().flatten().collect::<Vec<_>>().join(":")).ok()
}

pub(super) static MUTANTS: &[Mutant] = &[
    Mutant::new(
        "resolves-afresh",
        "takes every item for a new one",
        &[
            "aliases.repeated_item_in_a_later_turn_is_new",
            "aliases.repeated_resolution_gives_the_same_id",
            "aliases.user_message_ends_a_turn_without_id",
            "aliases.survive_reopening",
        ],
    )
    .before(|args, _| {
        if let Some(asked) = resolve(args)
            && asked.origin.item.is_some()
        {
            asked.origin.item = Some(asked.fresh.as_str().parse().expect("a valid id"));
        }
    }),
    Mutant::new(
        "resolves-by-turn",
        "takes every item of a turn for the message of that turn",
        &[
            "aliases.two_items_of_a_turn_are_two_messages",
            "aliases.turn_resolves_to_its_latest_message_without_item",
            "aliases.deleted_message_does_not_return",
        ],
    )
    .before(|args, _| {
        if let Some(asked) = resolve(args)
            && asked.origin.turn.is_some()
        {
            asked.origin.item = None;
        }
    }),
    Mutant::new(
        "crosses-turns",
        "takes an item of any turn for the same",
        &[
            "aliases.repeated_item_in_a_later_turn_is_new",
            "aliases.ids_with_separators_do_not_collide",
            "aliases.mismatched_legacy_id_is_skipped",
            "aliases.survive_reopening",
        ],
    )
    .before(|args, _| {
        if let Some(asked) = resolve(args)
            && asked.origin.item.is_some()
        {
            asked.origin.turn = None;
        }
    }),
    Mutant::new(
        "joins-names",
        "joins the turn and the item into one text",
        &["aliases.ids_with_separators_do_not_collide"],
    )
    .before(|args, _| {
        if let Some(asked) = resolve(args)
            && asked.origin.item.is_some()
        {
            asked.origin.item = joined(&asked.origin);
            asked.origin.turn = Some("joined".parse().expect("a valid id"));
        }
    }),
    Mutant::new(
        "has-one-turn",
        "takes what names no turn for one turn",
        &["aliases.user_message_ends_a_turn_without_id"],
    )
    .before(|args, _| {
        if let Some(asked) = resolve(args)
            && asked.origin.item.is_some()
        {
            asked.origin.turn.get_or_insert("none".parse().expect("a valid id"));
        }
    }),
    Mutant::new(
        "forgets-events",
        "takes every event for a new message",
        &["aliases.event_resolves_to_its_message_permanently"],
    )
    .before(|args, _| {
        if let Some(asked) = resolve(args)
            && asked.origin.event.is_some()
        {
            asked.origin.event = Some(asked.fresh.as_str().parse().expect("a valid id"));
        }
    }),
    Mutant::new(
        "forgets-ids-of-old",
        "looks for nothing under an id of old",
        &[
            "aliases.legacy_id_is_found_in_its_thread_only",
            "aliases.two_items_of_a_turn_are_two_messages",
            "aliases.mismatched_legacy_id_is_skipped",
        ],
    )
    .before(|args, _| {
        if let Some(asked) = resolve(args) {
            asked.legacy.clear();
        }
    }),
    Mutant::new(
        "imports-no-names",
        "forgets by what names imported messages are known",
        &[
            "aliases.lists_are_paged_per_thread_and_message",
            "aliases.mismatched_legacy_id_is_skipped",
            "aliases.survive_reopening",
        ],
    )
    .before(|args, _| {
        if let PersistArgs::Import(import) = args {
            import.rows.iter_mut().for_each(|row| row.origin = Origin::new());
        }
    }),
    Mutant::new(
        "knows-one-speaker",
        "takes everybody for the assistant",
        &["aliases.repeated_resolution_gives_the_same_id"],
    )
    .before(|args, _| {
        if let Some(asked) = resolve(args) {
            asked.role = Role::Assistant;
        }
    }),
    Mutant::new(
        "says-not-written",
        "says of every message that it is not there yet",
        &["aliases.legacy_id_is_found_in_its_thread_only", "aliases.repeated_resolution_gives_the_same_id"],
    )
    .after(|_, response| {
        if let Some(resolved) = resolved(&mut response.result) {
            resolved.state = None;
        }
    }),
    Mutant::new(
        "gives-no-reasons",
        "does not list the skipped ids",
        &[
            "aliases.legacy_id_is_found_in_its_thread_only",
            "aliases.two_items_of_a_turn_are_two_messages",
            "aliases.user_message_ends_a_turn_without_id",
            "aliases.mismatched_legacy_id_is_skipped",
        ],
    )
    .after(|_, response| {
        if let Some(resolved) = resolved(&mut response.result) {
            resolved.skipped.clear();
        }
    }),
    Mutant::new(
        "goes-on-in-a-turn-that-is-over",
        "takes an item of an earlier turn for the same where no turn is named",
        &["aliases.user_message_ends_a_turn_without_id", "aliases.deleted_question_still_ends_the_turn"],
    )
    .after(|_, response| {
        if let Some(resolved) = resolved(&mut response.result)
            && let [SkippedId { id, why: Mismatch::TurnIsOver }] = &*resolved.skipped
        {
            (resolved.id, resolved.by) = (id.clone(), ResolvedBy::Item);
            resolved.skipped.clear();
        }
    }),
    Mutant::new(
        "resolves-the-dead",
        "makes a new message of a deleted one",
        &["aliases.deleted_message_does_not_return"],
    )
    .special(Special::Thread(ThreadFault::ResolvesTheDead)),
    Mutant::new(
        "resolves-to-taken-ids",
        "gives out ids that are taken",
        &["aliases.empty_origin_and_taken_id_are_refused"],
    )
    .special(Special::Thread(ThreadFault::ResolvesToTakenIds)),
    Mutant::new(
        "restarts-alias-lists",
        "begins a list of aliases from the start on each page",
        &["aliases.lists_are_paged_per_thread_and_message"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Aliases(list)) = args {
            *list = ListAliases { after: None, ..list.clone() };
        }
    }),
    Mutant::new(
        "lists-every-name",
        "lists the names of every message",
        &["aliases.lists_are_paged_per_thread_and_message"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Aliases(list)) = args {
            list.message = None;
        }
    }),
];
