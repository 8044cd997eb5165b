//! Faults of threads as a whole, and of what is shown of them.

use throughline_core::{
    Labels, Metadata, MetadataPatch, PersistArgs, PersistResult, ReadArgs, ThreadId, Timestamp, Title,
    threads::{LabelPatch, ThreadArgs, ThreadCursor, ThreadResult},
};

use crate::mutants::store::{Mutant, change, special::Special, threads::ThreadFault};

/// Returns the thread operation of a call, if it is one.
pub(super) fn thread(args: &mut PersistArgs) -> Option<&mut ThreadArgs> {
    match args {
        PersistArgs::Thread(thread) => Some(thread),
        _ => None,
    }
}

/// Forgets which generation the caller saw, in batches too.
fn forget_generation(args: &mut PersistArgs) {
    match args {
        PersistArgs::Add(add) => add.generation = None,
        PersistArgs::Reserve(reserve) => reserve.generation = None,
        PersistArgs::Thread(ThreadArgs::Clear(clear)) => clear.expected = None,
        PersistArgs::Thread(ThreadArgs::Resolve(asked)) => asked.generation = None,
        PersistArgs::Batch(batch) => batch.items.iter_mut().for_each(forget_generation),
        _ => {}
    }
}

pub(super) static MUTANTS: &[Mutant] = &[
    // Creation.
    Mutant::new(
        "creates-untitled",
        "creates threads without their titles",
        &[
            "threads.created_thread_is_read_by_id",
            "threads.invalid_ids_are_refused_at_every_entry_point",
            "threads.clear_keeps_the_thread_and_its_neighbors",
            "threads.operation_with_repeated_key_is_applied_once",
        ],
    )
    .before(|args, _| {
        if let Some(ThreadArgs::Create(create)) = thread(args) {
            create.title = Title::default();
        }
    }),
    Mutant::new(
        "creates-long-ago",
        "takes a thread that says nothing of its beginning for an old one",
        &[
            "threads.activity_is_the_last_change_of_a_settled_message",
            "threads.default_thread_is_untitled_and_unowned",
        ],
    )
    .before(|args, _| {
        if let Some(ThreadArgs::Create(create)) = thread(args) {
            create.created_at.get_or_insert(Timestamp::from_micros(0));
        }
    }),
    Mutant::new(
        "creates-again",
        "creates threads that there are",
        &[
            "forks.failed_fork_is_hidden_and_resumable",
            "forks.invalid_fork_is_refused",
            "threads.existing_thread_cannot_be_created",
        ],
    )
    .special(Special::Thread(ThreadFault::CreatesAgain)),
    Mutant::new(
        "makes-threads",
        "makes the threads that it does not find",
        &[
            "threads.title_before_the_first_message_is_kept",
            "purges.live_thread_is_unchanged",
            "threads.publish_of_a_visible_thread_changes_nothing",
            "threads.operation_on_an_unknown_thread_is_not_found",
        ],
    )
    .special(Special::Thread(ThreadFault::MakesThreads)),
    Mutant::new(
        "shows-threads-that-are-not",
        "shows an empty thread where there is none",
        &[
            "threads.reads_of_an_unknown_thread_are_empty",
            "threads.default_thread_is_untitled_and_unowned",
            "threads.deleted_thread_cannot_be_created",
            "threads.title_before_the_first_message_is_kept",
        ],
    )
    .special(Special::Thread(ThreadFault::ShowsWhatIsNot)),
    Mutant::new(
        "ignores-case-of-threads",
        "treats thread ids that differ only in case as the same",
        &[
            "threads.invalid_ids_are_refused_at_every_entry_point",
            "threads.existing_thread_cannot_be_created",
        ],
    )
    .before(|args, _| {
        if let Some(ThreadArgs::Create(create)) = thread(args) {
            create.thread = ThreadId::new(create.thread.as_str().to_lowercase()).expect("a valid id");
        }
    }),
    // Titles, labels, owners, the archive.
    Mutant::new(
        "keeps-no-titles",
        "calls every thread untitled when it is renamed",
        &[
            "threads.rename_trims_blanks_and_changes_the_title_only",
            "threads.rename_of_another_title_is_stale",
        ],
    )
    .before(|args, _| {
        if let Some(ThreadArgs::Rename(rename)) = thread(args) {
            rename.title = Title::default();
        }
    }),
    Mutant::new(
        "renames-whatever-was-seen",
        "renames a thread whatever title the caller saw",
        &["threads.rename_of_another_title_is_stale"],
    )
    .before(|args, _| {
        if let Some(ThreadArgs::Rename(rename)) = thread(args) {
            rename.expected = None;
        }
    }),
    Mutant::new(
        "titles-by-the-first-message",
        "calls a thread by its first message",
        &[
            "threads.title_before_the_first_message_is_kept",
            "threads.clear_removes_every_message",
            "threads.rename_trims_blanks_and_changes_the_title_only",
        ],
    )
    .after(|_, response| {
        change::entries(response, |entry| {
            if let (1, Some(preview)) = (entry.messages, &entry.preview) {
                entry.title = Title::new(preview).expect("a short title");
            }
        });
    }),
    Mutant::new(
        "labels-stay",
        "sets labels, and takes none away",
        &[
            "threads.list_by_labels_matches_all_of_them",
            "threads.labels_are_set_and_removed_singly",
            "threads.more_than_32_labels_are_refused",
        ],
    )
    .before(|args, _| {
        if let Some(ThreadArgs::Label(label)) = thread(args) {
            let patch = serde_json::to_value(&label.labels).expect("labels serialize");
            let set = patch
                .as_object()
                .expect("an object")
                .iter()
                .filter_map(|(name, value)| value.as_str().map(|value| (name.clone(), value.to_owned())));
            label.labels = set
                .fold(LabelPatch::new(), |patch, (name, value)| patch.set(&name, &value).expect("a label"));
        }
    }),
    Mutant::new("owners-stay", "takes no owner away", &["threads.list_by_owner_shows_the_owners_threads"])
        .before(|args, _| {
            if let Some(ThreadArgs::Label(label)) = thread(args)
                && label.owner == Some(None)
            {
                label.owner = None;
            }
        }),
    Mutant::new(
        "labels-without-metadata",
        "keeps labels and owner that a thread is given, and no facts",
        &["threads.metadata_members_are_set_and_removed_singly"],
    )
    .before(|args, _| {
        if let Some(ThreadArgs::Label(label)) = thread(args) {
            label.metadata = MetadataPatch::new();
        }
    }),
    Mutant::new(
        "creates-without-metadata",
        "creates threads without the facts that they are given",
        &[
            "forks.copy_ends_at_the_named_message",
            "threads.clear_keeps_the_thread_and_its_neighbors",
            "threads.created_thread_is_read_by_id",
            "threads.metadata_members_are_set_and_removed_singly",
        ],
    )
    .before(|args, _| {
        if let Some(ThreadArgs::Create(create)) = thread(args) {
            create.metadata = Metadata::new();
        }
    }),
    Mutant::new(
        "rebuilds-without-metadata",
        "loses the metadata of a thread when its summary is rebuilt",
        &["threads.rebuilt_summary_is_identical"],
    )
    .special(Special::Thread(ThreadFault::RebuildsWithoutMetadata)),
    Mutant::new(
        "takes-any-labels",
        "answers more labels than there may be as if they were set",
        &["threads.more_than_32_labels_are_refused", "threads.labels_added_by_a_layer_count_toward_32"],
    )
    .special(Special::Thread(ThreadFault::TakesAnyLabels)),
    Mutant::new(
        "publishes-again",
        "changes a thread that is published when it is no more hidden",
        &["changes.calls_without_effect_emit_none", "threads.publish_of_a_visible_thread_changes_nothing"],
    )
    .special(Special::Thread(ThreadFault::PublishesAgain)),
    // Lists.
    Mutant::new(
        "lists-at-once",
        "lists threads that have no message, or are hidden",
        &[
            "forks.failed_fork_is_hidden_and_resumable",
            "threads.empty_thread_is_not_listed",
            "threads.hidden_thread_is_in_no_list",
            "threads.hidden_thread_is_listed_after_publish",
            "threads.settled_message_lists_the_thread",
        ],
    )
    .special(Special::Thread(ThreadFault::ListsAtOnce)),
    Mutant::new(
        "lists-what-has-messages",
        "lists the threads that have a final message",
        &["threads.listed_thread_stays_listed", "threads.settled_message_lists_the_thread"],
    )
    .after(|asked, response| {
        if let Some((_, list)) = change::list(asked, response) {
            list.threads.retain(|entry| entry.messages > 0);
        }
    }),
    Mutant::new(
        "lists-the-archive",
        "lists threads in the archive with the others",
        &["threads.archived_thread_is_in_archive_lists_only"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Threads(list)) = args {
            list.archived = None;
        }
    }),
    Mutant::new(
        "lists-every-owner",
        "lists every owner's threads for one",
        &["threads.list_by_owner_shows_the_owners_threads"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Threads(list)) = args {
            list.owner = None;
        }
    }),
    Mutant::new(
        "lists-every-label",
        "lists every thread for some labels",
        &["threads.list_by_labels_matches_all_of_them"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Threads(list)) = args {
            list.labels = Labels::new();
        }
    }),
    Mutant::new(
        "lists-by-name",
        "lists threads by their ids",
        &[
            "threads.list_is_ordered_by_activity",
            "threads.list_pages_neither_repeat_nor_skip",
            "threads.archived_thread_is_in_archive_lists_only",
        ],
    )
    .after(|asked, response| {
        if let Some((_, list)) = change::list(asked, response) {
            list.threads.sort_by(|a, b| a.thread.cmp(&b.thread));
        }
    }),
    Mutant::new(
        "lists-after-a-time",
        "takes a cursor for a time, and skips what was active then",
        &[
            "threads.concurrent_first_messages_share_one_thread",
            "isolation.joined_ids_do_not_collide_in_lists",
            "threads.list_cursor_may_name_no_thread",
            "threads.list_pages_neither_repeat_nor_skip",
        ],
    )
    .after(|asked, response| {
        if let Some((read, list)) = change::list(asked, response)
            && let Some(after) = &read.after
        {
            list.threads.retain(|entry| entry.active_at < after.at);
        }
    }),
    Mutant::new(
        "lists-for-ever",
        "says of a full list that there are more",
        &["threads.exact_last_list_page_has_no_next"],
    )
    .after(|asked, response| {
        if let Some((read, list)) = change::list(asked, response)
            && list.threads.len() == read.limit as usize
        {
            list.next = list.threads.last().map(|last| ThreadCursor::of(read.order, last));
        }
    }),
    // Entries.
    Mutant::new(
        "previews-bytes",
        "cuts a preview after so many bytes",
        &["threads.preview_is_the_first_80_characters"],
    )
    .after(|_, response| {
        change::entries(response, |entry| {
            if let Some(preview) = &mut entry.preview {
                let end = (0..=80.min(preview.len())).rev().find(|at| preview.is_char_boundary(*at));
                preview.truncate(end.unwrap_or(0));
            }
        });
    }),
    Mutant::new(
        "previews-anybody",
        "previews the last message of any role",
        &[
            "threads.preview_changes_with_edits_and_deletions",
            "threads.preview_is_of_the_latest_user_message",
        ],
    )
    .special(Special::Thread(ThreadFault::PreviewsAnybody)),
    Mutant::new(
        "keeps-previews",
        "keeps the preview when a message is deleted",
        &["threads.preview_changes_with_edits_and_deletions"],
    )
    .special(Special::Thread(ThreadFault::KeepsPreviews)),
    Mutant::new(
        "counts-turns-of-anybody",
        "counts every message as a turn",
        &["threads.summary_counts_final_messages_only", "imports.summary_counts_imported_messages"],
    )
    .after(|_, response| change::entries(response, |entry| entry.turns = entry.messages)),
    Mutant::new(
        "counts-what-is-open",
        "counts messages in any state",
        &["threads.summary_counts_final_messages_only", "threads.rebuilt_summary_is_identical"],
    )
    .special(Special::Thread(ThreadFault::CountsOpen)),
    Mutant::new(
        "acts-at-every-write",
        "takes every write for activity, at its own time",
        &[
            "threads.implicit_thread_starts_with_its_first_message",
            "threads.deleted_open_message_leaves_no_activity",
            "threads.activity_is_the_last_change_of_a_settled_message",
            "threads.summary_times_never_decrease",
            "threads.clear_removes_every_message",
            "threads.created_thread_is_read_by_id",
            "threads.labels_are_set_and_removed_singly",
        ],
    )
    .special(Special::Thread(ThreadFault::ActsAtEveryWrite)),
    Mutant::new(
        "adds-now",
        "takes every message for one of now",
        &["threads.implicit_thread_starts_with_its_first_message"],
    )
    .before(|args, _| {
        if let PersistArgs::Add(add) = args {
            add.created_at = None;
        }
    }),
    Mutant::new(
        "rebuilds-what-is-left",
        "makes an entry again as if nothing had ever gone",
        &["threads.deleted_open_message_leaves_no_activity", "threads.rebuilt_summary_is_identical"],
    )
    .after(|_, response| {
        if let PersistResult::Thread(ThreadResult::Rebuild(changed)) = &mut response.result {
            changed.summary.active_at = changed.summary.created_at;
        }
    }),
    // The end of messages and threads.
    Mutant::new(
        "clears-nothing",
        "counts a generation, and takes no message away",
        &[
            "threads.clear_removes_every_message",
            "prunes.plan_of_another_generation_is_stale",
            "threads.clear_of_another_generation_is_stale",
            "threads.late_update_after_clear_is_not_found",
            "threads.message_of_another_generation_is_stale",
            "threads.listed_thread_stays_listed",
        ],
    )
    .special(Special::Thread(ThreadFault::ClearsNothing)),
    Mutant::new(
        "clears-titles",
        "takes the title away with the messages",
        &[
            "changes.every_thread_operation_emits_its_kind",
            "threads.clear_keeps_the_thread_and_its_neighbors",
        ],
    )
    .special(Special::Thread(ThreadFault::ClearsTitles)),
    Mutant::new(
        "clears-everything",
        "clears every thread",
        &["threads.clear_keeps_the_thread_and_its_neighbors", "purges.live_thread_is_unchanged"],
    )
    .special(Special::Thread(ThreadFault::ClearsEverything)),
    Mutant::new(
        "ignores-generations",
        "takes what was begun before a thread was cleared",
        &[
            "aliases.cleared_thread_forgets_its_aliases",
            "threads.clear_of_another_generation_is_stale",
            "threads.message_of_another_generation_is_stale",
            "threads.batch_of_another_generation_is_refused",
        ],
    )
    .before(|args, _| forget_generation(args)),
    Mutant::new(
        "deletes-nothing",
        "takes no more writes to a deleted thread, and shows all of it",
        &[
            "threads.deleted_thread_is_in_no_read",
            "threads.write_to_a_deleted_thread_is_gone",
            "threads.deleted_thread_cannot_be_created",
        ],
    )
    .special(Special::Thread(ThreadFault::DeletesNothing)),
    Mutant::new(
        "deletes-threads-everywhere",
        "deletes every tenant's thread of that id",
        &[
            "threads.list_shows_no_other_tenant",
            "threads.deletion_affects_one_thread_of_one_tenant",
            "threads.operation_on_an_unknown_thread_is_not_found",
        ],
    )
    .special(Special::Thread(ThreadFault::DeletesEverywhere)),
    Mutant::new(
        "takes-writes-to-the-dead",
        "answers writes to what is gone as done",
        &[
            "threads.write_to_a_deleted_thread_is_gone",
            "threads.call_before_deletion_is_not_replayed",
            "threads.batch_to_a_deleted_thread_is_refused",
            "threads.cleared_ids_and_seqs_are_not_reused",
            "threads.deleted_thread_cannot_be_created",
            "threads.second_deletion_succeeds_and_says_so",
        ],
    )
    .special(Special::Thread(ThreadFault::TakesWritesToTheDead)),
    Mutant::new(
        "deletes-for-the-first-time",
        "never knows that a thread was deleted before",
        &["purges.purged_thread_stays_deleted", "threads.second_deletion_succeeds_and_says_so"],
    )
    .after(|_, response| {
        if let PersistResult::Thread(ThreadResult::Delete(deleted)) = &mut response.result {
            deleted.already = false;
        }
    }),
    // Threads that run into each other.
    Mutant::new(
        "merges-threads",
        "shows the messages of every thread in one",
        &["isolation.equal_message_ids_in_two_threads_are_independent"],
    )
    .special(Special::Thread(ThreadFault::MergesThreads)),
    Mutant::new(
        "writes-everywhere",
        "changes every message of the id, in whatever thread",
        &["threads.write_to_a_deleted_thread_is_gone", "isolation.append_affects_one_thread"],
    )
    .special(Special::Thread(ThreadFault::UpdatesEverywhere)),
    Mutant::new(
        "inherits-attachments",
        "gives a message the attachments of its namesake",
        &["isolation.attachments_of_a_namesake_are_not_inherited"],
    )
    .special(Special::Thread(ThreadFault::InheritsAttachments)),
];
