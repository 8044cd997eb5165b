//! Faults of what is kept.

use std::time::Duration;

use throughline_core::{
    Delta, MessageState, Metadata, MetadataPatch, PersistArgs, PersistResult, Timestamp,
    messages::{ContentChange, UpdateMode},
    pipeline::Receipt,
};

use crate::mutants::store::{Mutant, change, special::Special};

pub(super) static MUTANTS: &[Mutant] = &[
    // Acknowledged writes that are lost.
    Mutant::new(
        "drops-every-third-write",
        "acknowledges every third write without making it",
        &[
            "threads.clear_is_atomic_for_concurrent_writers",
            "messages.appends_are_concatenated",
            "concurrency.appends_are_whole_and_applied_once",
            "pages.limit_is_from_1_to_1000",
            "messages.delete_works_in_every_state",
            "cancellations.drop_at_any_await_is_atomic",
            "drafts.concurrent_recovery_settles_each_draft_once",
            "concurrency.one_finish_wins",
            "threads.concurrent_first_messages_share_one_thread",
            "threads.concurrent_creates_and_renames_are_all_kept",
        ],
    )
    .special(Special::DropsEveryThird),
    Mutant::new(
        "acks-before-commit",
        "answers before the file is written",
        &[
            "durability.acknowledged_writes_survive_a_crash",
            "durability.batches_are_atomic_across_a_crash",
            "durability.crashed_draft_stays_open_until_its_lease_expires",
        ],
    )
    .special(Special::AcksEarly),
    Mutant::new(
        "loses-partials",
        "does not keep what is streamed",
        &[
            "durability.crashed_draft_stays_open_until_its_lease_expires",
            "durability.drafts_can_finish_after_reopening",
            "durability.every_row_survives_reopening",
        ],
    )
    .special(Special::ForgetsPartials),
    Mutant::new(
        "forgets-keys",
        "does not keep keys in the file",
        &[
            "keys.survive_reopening",
            "durability.keys_survive_a_crash",
            "durability.repeated_crashes_lose_nothing",
        ],
    )
    .special(Special::ForgetsKeys),
    Mutant::new(
        "halves-batches",
        "writes a batch to the file item by item, and dies on the way",
        &["durability.batches_are_atomic_across_a_crash", "changes.survive_reopening"],
    )
    .special(Special::HalvesBatches),
    // Keys.
    Mutant::new(
        "ignores-keys",
        "makes a repeated call again",
        &[
            "keys.repeated_call_has_one_effect",
            "keys.concurrent_reservations_share_one_row",
            "concurrency.one_call_per_key_is_applied",
            "deadlines.timeout_during_commit_is_unknown_until_retried",
            "deadlines.timeout_after_hand_over_is_unknown",
            "deadlines.inner_timeout_abandons_no_write",
            "retries.lost_answer_with_key_is_applied_once",
            "keys.repeated_batch_has_one_effect",
            "keys.other_content_is_a_conflict",
            "cancellations.outcome_is_known_by_key",
            "cancellations.dropped_batch_is_atomic",
            "keys.minted_id_is_not_part_of_the_call",
            "keys.minted_ids_are_not_part_of_a_batch",
            "keys.replay_is_the_first_answer",
            "keys.replayed_patch_answers_the_current_metadata",
            "keys.replayed_batch_answers_each_item",
            "keys.replay_does_not_restore_a_deleted_message",
            "ids.replay_does_not_touch_the_next_message",
            "threads.call_before_deletion_is_not_replayed",
            "keys.conflict_is_limited_to_one_thread",
            "changes.replays_emit_none",
            "imports.repeated_key_gets_the_first_answer",
            "aliases.repeated_key_gets_the_first_answer",
            "threads.operation_with_repeated_key_is_applied_once",
        ],
    )
    .special(Special::IgnoresKeys),
    Mutant::new(
        "keys-across-threads",
        "takes a key for the same in every thread",
        &["keys.scope_is_one_thread", "keys.scope_of_a_batch_is_its_first_thread"],
    )
    .special(Special::KeysAcrossThreads),
    Mutant::new(
        "uses-keys-of-refusals",
        "takes a refused call's key for used",
        &["keys.refused_call_does_not_use_its_key"],
    )
    .special(Special::UsesKeysOfRefusals),
    Mutant::new(
        "replays-with-a-position",
        "gives a replay a position",
        &["changes.replays_have_no_position"],
    )
    .after(|_, response| {
        if response.result.is_deduplicated() {
            response.receipt = Receipt::at(throughline_core::Position::FIRST);
        }
    }),
    Mutant::new(
        "speaks-of-ids-never-used",
        "answers a repeated batch with the ids that the repeat made up",
        &["keys.minted_ids_are_not_part_of_a_batch"],
    )
    .after(|asked, response| {
        if let (PersistArgs::Batch(batch), PersistResult::Batch(batched)) = (asked, &mut response.result) {
            for (item, output) in batch.items.iter().zip(&mut batched.outputs) {
                match (item, output) {
                    (PersistArgs::UpdateContent(asked), PersistResult::UpdateContent(reported)) => {
                        reported.id = asked.id.clone();
                    }
                    (PersistArgs::Update(asked), PersistResult::Update(reported)) => {
                        reported.id = asked.id.clone();
                    }
                    _ => {}
                }
            }
        }
    }),
    // Scope.
    Mutant::new(
        "ignores-tenants",
        "shows one tenant what is another's",
        &[
            "isolation.tenants_do_not_affect_each_other",
            "messages.unknown_id_reads_as_none",
            "keys.scope_is_one_tenant",
            "drafts.list_shows_no_other_tenant",
            "isolation.joined_ids_do_not_collide",
            "isolation.batch_affects_its_own_tenant_only",
            "isolation.long_ids_differ_in_their_last_byte",
            "isolation.joined_ids_do_not_collide_in_lists",
            "changes.tenant_reads_only_its_own_changes",
            "changes.thread_scope_shows_that_thread",
            "imports.target_is_one_thread_of_one_tenant",
            "threads.list_shows_no_other_tenant",
            "threads.deletion_affects_one_thread_of_one_tenant",
        ],
    )
    .special(Special::IgnoresTenants),
    Mutant::new(
        "ignores-threads",
        "finds a message by its id alone",
        &[
            "messages.unknown_id_reads_as_none",
            "isolation.threads_do_not_affect_each_other",
            "prunes.pruned_messages_are_in_no_read",
            "threads.deleted_thread_is_in_no_read",
        ],
    )
    .special(Special::IgnoresThreads),
    Mutant::new(
        "ignores-case",
        "treats ids that differ only in case as the same",
        &["isolation.ids_are_compared_byte_by_byte"],
    )
    .special(Special::IgnoresCase),
    // Content, metadata, text.
    Mutant::new(
        "reads-json-as-a-tree",
        "keeps content as a tree of values: 1.10 becomes 1.1",
        &[
            "messages.content_is_kept_exactly",
            "durability.text_survives_reopening",
            "durability.reopening_after_every_write_loses_nothing",
        ],
    )
    .before(|args, _| change::json(args, change::by_way_of_a_tree)),
    Mutant::new(
        "cuts-content",
        "keeps the first kilobyte",
        &["messages.megabyte_message_is_kept", "messages.deeply_nested_json_is_kept"],
    )
    .before(|args, _| change::json(args, change::cut_short)),
    Mutant::new(
        "appends-twice",
        "makes every append twice",
        &[
            "messages.appended_text_extends_a_text_block",
            "messages.appends_are_concatenated",
            "messages.edit_changes_content_and_revision_only",
            "drafts.finish_writes_pending_appends_first",
            "drafts.abandon_writes_pending_appends_first",
            "drafts.dropped_draft_stays_open",
            "drafts.transient_failure_loses_no_append",
            "drafts.pending_appends_are_flushed_by_time",
            "drafts.pending_appends_are_flushed_by_size",
            "drafts.watermark_is_durable_and_monotonic",
            "layers.results_are_equal_through_every_stack",
            "retries.transient_failure_fails_no_operation",
            "observers.faulty_observers_do_not_affect_writes",
        ],
    )
    .before(|args, _| {
        change::contents(args, |update| {
            if let ContentChange::Append(Delta::Text(text)) = &mut update.change {
                *text = text.repeat(2);
            }
        });
    }),
    Mutant::new(
        "appends-to-nothing",
        "replaces where it should append",
        &[
            "messages.appended_text_extends_a_text_block",
            "messages.appended_blocks_are_kept_exactly",
            "messages.replace_and_append_can_alternate",
            "messages.empty_append_keeps_the_bytes",
            "drafts.abandon_needs_no_reason",
            "batches.items_are_applied_in_order",
            "redirects.message_is_found_after_reopening",
        ],
    )
    .before(|args, _| {
        change::contents(args, |update| {
            if let ContentChange::Append(Delta::Text(text)) = &update.change {
                update.change = ContentChange::Replace(throughline_core::Content::text(text));
            }
        });
    }),
    Mutant::new(
        "keeps-nulls",
        "takes null in a patch for nothing to do",
        &["messages.patch_keeps_clears_or_sets_each_member"],
    )
    .before(|args, _| {
        if let PersistArgs::Update(update) = args {
            let kept = update.metadata.iter().filter(|(_, value)| value.get() != "null");
            update.metadata =
                kept.fold(MetadataPatch::new(), |patch, (key, value)| patch.set(key, value).expect("JSON"));
        }
    }),
    Mutant::new(
        "clears-attachments",
        "takes absent attachments for none",
        &[
            "messages.update_sets_or_keeps_attachments",
            "messages.empty_patch_changes_nothing",
            "messages.attachments_are_kept_cleared_or_replaced",
        ],
    )
    .before(|args, _| {
        if let PersistArgs::Update(update) = args {
            update.attachments.get_or_insert_default();
        }
    }),
    Mutant::new(
        "reads-metadata-as-a-tree",
        "keeps metadata as a tree of values",
        &["messages.metadata_is_kept_exactly"],
    )
    .before(|args, _| change::metadata_by_way_of_a_tree(args)),
    Mutant::new(
        "drops-inner-nulls",
        "takes null inside the value of a patch for nothing",
        &["messages.patch_is_shallow"],
    )
    .before(|args, _| {
        if let PersistArgs::Update(update) = args {
            update.metadata = change::without_inner_nulls(&update.metadata);
        }
    }),
    Mutant::new(
        "loses-attachments",
        "forgets the names of attachments",
        &["messages.attachment_order_is_kept"],
    )
    .after(|_, response| change::messages(response, |message| message.attachments.clear())),
    Mutant::new(
        "forgets-what-to-clean-up",
        "does not say which attachments a deletion leaves behind",
        &["messages.delete_answers_the_removed_message"],
    )
    .after(|_, response| {
        if let PersistResult::Delete(deleted) = &mut response.result {
            deleted.attachments.clear();
        }
    }),
    Mutant::new(
        "reserves-without-metadata",
        "keeps no metadata of a reservation",
        &["drafts.reservation_is_a_row_with_a_lease"],
    )
    .before(|args, _| {
        if let PersistArgs::Reserve(reserve) = args {
            reserve.metadata = Metadata::new();
        }
    }),
    Mutant::new(
        "loses-reasons",
        "forgets why a message was abandoned",
        &["drafts.abandoned_message_keeps_content_and_reason"],
    )
    .after(|_, response| {
        change::messages(response, |message| message.abandon_reason = None);
    }),
    // The life of a message.
    Mutant::new(
        "late-partial-overwrites",
        "lets a late partial change a final message",
        &["messages.late_partial_is_stale", "messages.each_update_mode_obeys_the_state_table"],
    )
    .special(Special::LatePartials),
    Mutant::new(
        "ignores-revisions",
        "applies a change whatever revision its caller saw",
        &[
            "messages.append_with_a_revision_gap_is_stale",
            "ids.late_writer_does_not_touch_the_next_message",
            "concurrency.one_update_of_a_revision_wins",
            "models.operation_sequences_match_the_reference_model",
            "messages.matching_revision_is_accepted_in_every_mode",
            "drafts.append_with_lost_answer_is_written_once",
            "drafts.late_writer_is_refused_after_recovery",
        ],
    )
    .before(|args, _| change::contents(args, |update| update.expected = None)),
    Mutant::new(
        "patches-whatever-was-seen",
        "patches and deletes a message whatever revision its caller saw",
        &["messages.update_of_another_revision_is_stale", "messages.delete_of_another_revision_is_stale"],
    )
    .before(|args, _| match args {
        PersistArgs::Update(update) => update.expected = None,
        PersistArgs::Delete(delete) => delete.expected = None,
        _ => {}
    }),
    Mutant::new(
        "deletes-the-undamaged",
        "deletes a message that can be read where only a damaged one is to go",
        &["messages.delete_of_damaged_refuses_readable_messages"],
    )
    .before(|args, _| {
        if let PersistArgs::Delete(delete) = args {
            delete.only_damaged = false;
        }
    }),
    Mutant::new(
        "leases-for-a-minute",
        "gives every reservation a lease of a minute",
        &["drafts.lease_counts_whole_milliseconds"],
    )
    .before(|args, _| {
        if let PersistArgs::Reserve(reserve) = args {
            reserve.lease = Duration::from_secs(60);
        }
    }),
    Mutant::new(
        "recovers-live-drafts",
        "settles messages whose lease has not expired",
        &["drafts.recovery_never_touches_a_live_writer"],
    )
    .before(|args, _| change::contents(args, |update| update.only_if_expired = false)),
    Mutant::new(
        "never-renews",
        "answers a heartbeat and does nothing",
        &["drafts.empty_partial_renews_the_lease"],
    )
    .special(Special::NeverRenews),
    Mutant::new(
        "edits-anything",
        "lets an edit finish an open message",
        &["messages.each_update_mode_obeys_the_state_table"],
    )
    .before(|args, _| {
        change::contents(args, |update| {
            if update.mode == UpdateMode::Edit && matches!(update.change, ContentChange::Replace(_)) {
                update.mode = UpdateMode::Final;
            }
        });
    }),
    Mutant::new(
        "empty-is-reserved",
        "takes a message of no blocks for a reservation",
        &["messages.empty_content_can_be_final"],
    )
    .after(|_, response| {
        change::messages(response, |message| {
            if message.content.as_json() == "[]" {
                message.state = MessageState::Reserved;
            }
        });
    }),
    // Ids, seqs, positions, times.
    Mutant::new(
        "revives-the-dead",
        "lets a deleted id name another message",
        &[
            "messages.deleted_id_cannot_be_reused",
            "durability.tombstones_survive_reopening",
            "threads.call_before_deletion_is_not_replayed",
            "keys.conflict_is_limited_to_one_thread",
            "changes.replays_emit_none",
            "purges.purged_thread_stays_deleted",
            "threads.cleared_ids_and_seqs_are_not_reused",
        ],
    )
    .special(Special::RevivesTheDead),
    Mutant::new(
        "reuses-seqs",
        "counts the remaining messages to find the next seq",
        &["messages.deleted_seq_is_not_reused"],
    )
    .special(Special::ReusesSeqs),
    Mutant::new(
        "repeats-positions",
        "gives every change the same position",
        &[
            "changes.positions_increase_across_the_store",
            "batches.receipt_is_in_commit_order",
            "batches.each_item_takes_a_position",
            "concurrency.adds_get_unique_ordered_seqs",
            "durability.counters_continue_after_reopening",
            "changes.position_equals_the_writers_receipt",
        ],
    )
    .after(|_, response| change::position(response, |_| 1)),
    Mutant::new(
        "names-no-last-position",
        "answers a batch with the position of an earlier one of its changes",
        &["batches.each_item_takes_a_position"],
    )
    .after(|asked, response| {
        if matches!(asked, PersistArgs::Batch(batch) if batch.items.len() > 1) {
            change::position(response, |position| position - 1);
        }
    }),
    Mutant::new(
        "reads-have-positions",
        "gives a read a position",
        &["changes.reads_and_refusals_have_no_position", "observers.every_call_is_reported_with_its_outcome"],
    )
    .after(|asked, response| {
        if !asked.kind().is_write() {
            response.receipt = Receipt::at(throughline_core::Position::FIRST);
        }
    }),
    Mutant::new(
        "creation-moves",
        "takes the last change for the creation",
        &[
            "clocks.created_at_is_kept_by_every_change",
            "isolation.append_affects_one_thread",
            "messages.hundred_updates_keep_created_at",
        ],
    )
    .after(|_, response| change::messages(response, |message| message.created_at = message.updated_at)),
    Mutant::new(
        "changes-go-back",
        "takes the clock for the last change, also when it goes back",
        &["clocks.updated_at_never_decreases", "drafts.given_created_at_does_not_shift_the_lease"],
    )
    .special(Special::ChangesGoBack),
    Mutant::new("keeps-milliseconds", "keeps moments to the millisecond", &["clocks.distant_times_are_kept"])
        .after(|_, response| {
            change::messages(response, |message| {
                let millis = message.created_at.as_micros().div_euclid(1000);
                message.created_at = Timestamp::from_micros(millis.saturating_mul(1000));
            });
        }),
];
