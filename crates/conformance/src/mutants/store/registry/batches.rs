//! Mutants that break batches, turns and conditions on the end of a thread.

use throughline_core::{
    Content, PersistArgs, PersistResult, Seq,
    messages::PageFrom,
    threads::{ThreadArgs, ThreadResult},
};

use crate::mutants::store::{Mutant, change, special::Special, threads::ThreadFault};

pub(super) static MUTANTS: &[Mutant] = &[
    // Whole or not at all.
    Mutant::new(
        "partial-batches",
        "keeps the items before the one that is refused",
        &[
            "batches.one_invalid_item_refuses_the_batch",
            "batches.refused_item_is_named_and_nothing_is_written",
            "batches.several_threads_are_written_atomically",
            "threads.batch_to_a_deleted_thread_is_refused",
            "changes.refused_batches_emit_none",
            "threads.batch_of_another_generation_is_refused",
        ],
    )
    .special(Special::PartialBatches),
    Mutant::new(
        "rewrites-without-a-limit",
        "applies a batch whatever content it rewrites",
        &["batches.rewritten_content_is_limited"],
    )
    .special(Special::RewritesWithoutLimit),
    Mutant::new(
        "checks-then-adds",
        "looks whether an id is free, and adds later",
        &["concurrency.one_add_of_an_id_wins", "concurrency.calls_to_one_message_are_linearizable"],
    )
    .special(Special::ChecksThenAdds),
    Mutant::new(
        "makes-what-is-missing",
        "answers a change of what is not there as done",
        &[
            "messages.update_of_unknown_id_is_not_found",
            "messages.update_where_absent_of_unknown_id_is_not_found",
            "messages.delete_of_unknown_id_is_not_found",
            "messages.update_content_of_unknown_id_is_not_found",
            "drafts.message_settled_elsewhere_is_reported",
            "changes.refused_calls_emit_none",
            "threads.late_update_after_clear_is_not_found",
        ],
    )
    .special(Special::MakesWhatIsMissing),
    Mutant::new(
        "refuses-without-a-word",
        "refuses with an internal error of unknown effect",
        &[
            "messages.delete_of_unknown_id_is_not_found",
            "messages.add_of_an_existing_id_is_refused",
            "messages.add_of_a_reserved_id_is_refused",
            "drafts.reserve_of_an_existing_id_is_refused",
            "layers.backend_error_keeps_kind_and_effect",
            "retries.permanent_errors_are_not_retried",
        ],
    )
    .special(Special::RefusesSilently),
    Mutant::new(
        "abandons-writes",
        "answers a write before it is made, and makes it some time later",
        &[
            "messages.read_sees_every_earlier_write",
            "messages.add_answers_the_stored_message",
            "messages.id_of_another_thread_is_free",
            "messages.minted_ids_are_unique",
            "messages.every_role_is_kept",
            "drafts.replace_finishes_a_reservation_exactly",
            "drafts.id_reserved_in_another_thread_is_free",
            "pages.deletion_of_shown_messages_skips_none",
            "messages.unicode_ids_are_kept",
            "drafts.clock_jump_never_shortens_a_lease",
            "drafts.every_partial_renews_the_lease",
            "messages.patch_keeps_the_revision_in_every_state",
            "keys.another_key_is_another_call",
            "redirects.partial_redirect_keeps_other_threads",
            "layers.every_order_visits_each_layer_once",
            "layers.runtime_list_is_visited_in_order",
            "layers.description_matches_the_visited_order",
            "layers.wrong_answer_is_a_contract_violation",
            "layers.failing_layer_is_named_with_the_effect",
            "layers.panicking_layer_is_named",
            "layers.hang_after_the_store_is_named",
            "cancellations.drop_before_hand_over_runs_nothing",
            "cancellations.dropped_calls_return_their_permits",
            "deadlines.outcome_without_key_is_known_by_id",
            "deadlines.unreached_deadline_changes_nothing",
            "retries.lost_answer_without_key_is_not_retried",
            "prunes.limit_is_from_1_to_1000",
            "threads.minted_ids_are_unique",
        ],
    )
    .special(Special::AnswersEarly),
    Mutant::new(
        "deletes-everywhere",
        "deletes every message of the id, in whatever thread",
        &["messages.delete_affects_one_thread"],
    )
    .special(Special::DeletesEverywhere),
    Mutant::new(
        "misses-empty-threads",
        "answers a page of a thread without messages as not found",
        &[
            "pages.unwritten_thread_is_empty",
            "layers.hang_before_the_store_is_named",
            "batches.nested_batch_and_read_are_refused",
        ],
    )
    .special(Special::MissesEmptyThreads),
    Mutant::new(
        "rewrites-content",
        "writes the whole content at each append",
        &["messages.append_cost_is_linear"],
    )
    .special(Special::RewritesContent),
    Mutant::new(
        "fails-to-close",
        "says that it could not be closed",
        &[
            "pipelines.closed_pipeline_refuses_calls",
            "pipelines.close_waits_for_detached_writes",
            "pipelines.detached_write_survives_close",
        ],
    )
    .special(Special::FailsToClose),
    // The end of a thread.
    Mutant::new(
        "says-the-last-that-is-there",
        "says the sequence number of the last message that is there for the last one that was given",
        &["pages.page_reports_the_last_assigned_seq", "messages.add_after_another_last_seq_is_stale"],
    )
    .after(|asked, response| {
        if let Some((read, page)) = change::page(asked, response)
            && (page.messages.is_empty() || read.from == PageFrom::End)
        {
            page.last_seq = page.messages.last().map_or(Seq::ZERO, |message| message.seq);
        }
    }),
    Mutant::new(
        "says-no-last-of-a-thread",
        "says of every thread that it has given nothing",
        &["threads.summary_reports_the_last_assigned_seq"],
    )
    .after(|_, response| change::entries(response, |entry| entry.last_seq = Seq::ZERO)),
    Mutant::new(
        "deletes-after-anything",
        "deletes whatever was given since",
        &["messages.delete_after_another_last_seq_is_stale"],
    )
    .before(|args, _| {
        if let PersistArgs::Delete(delete) = args {
            delete.after = None;
        }
    }),
    Mutant::new(
        "batches-after-anything",
        "applies a batch whatever was given since",
        &["batches.condition_on_the_last_seq_is_atomic"],
    )
    .before(|args, _| {
        if let PersistArgs::Batch(batch) = args {
            batch.after = None;
        }
    }),
    Mutant::new(
        "refuses-batches-at-the-dead",
        "refuses a batch that deletes a deleted thread as gone, where the batch expects a sequence number",
        &["batches.deletion_of_a_deleted_thread_checks_the_last_seq"],
    )
    .special(Special::Thread(ThreadFault::RefusesBatchesAtTheDead)),
    Mutant::new(
        "takes-any-last-message",
        "takes the last message, whichever was expected",
        &["messages.take_of_another_last_message_is_stale"],
    )
    .before(|args, _| {
        if let PersistArgs::Thread(ThreadArgs::TakeLast(take)) = args {
            take.expected = None;
        }
    }),
    Mutant::new(
        "takes-last-in-a-batch",
        "applies the items of a batch that takes the last message from the last to the first",
        &["messages.batch_replaces_the_last_message"],
    )
    .before(|args, _| {
        if let PersistArgs::Batch(batch) = args
            && batch.items.iter().any(is_take)
        {
            batch.items.reverse();
        }
    })
    .after(|asked, response| {
        if let (PersistArgs::Batch(batch), PersistResult::Batch(batched)) = (asked, &mut response.result)
            && batch.items.iter().any(is_take)
        {
            batched.outputs.reverse();
        }
    }),
    Mutant::new(
        "takes-without-the-content",
        "answers the message that it takes without its content",
        &["messages.take_last_deletes_and_answers_the_message", "messages.repeated_take_last_takes_nothing"],
    )
    .after(|_, response| {
        if let PersistResult::Thread(ThreadResult::TakeLast(taken)) = &mut response.result
            && let Some(message) = &mut taken.message
        {
            message.content = Content::empty();
        }
    }),
    Mutant::new(
        "takes-another-message",
        "answers the last message, and the deletion of another one",
        &[
            "layers.wrong_taken_message_is_a_contract_violation",
            "messages.take_last_deletes_and_answers_the_message",
        ],
    )
    .after(|_, response| {
        if let PersistResult::Thread(ThreadResult::TakeLast(taken)) = &mut response.result
            && let Some(deleted) = &mut taken.deleted
        {
            deleted.id = "another".parse().expect("an id");
        }
    }),
    Mutant::new(
        "takes-nothing",
        "answers the last message and leaves it where it is",
        &[
            "messages.take_last_deletes_and_answers_the_message",
            "messages.take_of_another_last_message_is_stale",
            "messages.concurrent_takes_get_different_messages",
        ],
    )
    .special(Special::TakesNothing),
];

/// Returns whether the call takes the last message of a thread.
const fn is_take(args: &PersistArgs) -> bool {
    matches!(args, PersistArgs::Thread(ThreadArgs::TakeLast(_)))
}
