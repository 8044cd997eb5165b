//! The faults of layers, each with the laws that have to catch it.

use super::{
    Kind, Mutant, careless, cipher,
    redactor::Forgets,
    tower::{Fault, forgets_the_caller, nothing, stack},
};

/// Writes a table of mutants: name, what it does, the laws that catch it, its fault.
macro_rules! mutants {
    ($($kind:ident($fault:ident) $name:literal $about:literal [$($law:literal)+];)+) => {
        pub(super) static MUTANTS: &[Mutant] = &[$(Mutant {
            name: $name,
            about: $about,
            killed_by: &[$($law),+],
            kind: mutants!(@$kind $fault $name),
        }),+];
    };
    (@Plain $fault:ident $name:literal) => { Kind::Plain(|around| stack($name, Fault::$fault, around)) };
    (@Careless $fault:ident $name:literal) => {
        Kind::Plain(|around| careless::stack($name, careless::Fault::$fault, around))
    };
    (@AddsLabels $fault:ident $name:literal) => {
        Kind::AddsLabels(|around| careless::stack($name, careless::Fault::$fault, around))
    };
    (@Nothing $fault:ident $name:literal) => { Kind::Plain(nothing) };
    (@Forgets $fault:ident $name:literal) => { Kind::Plain(forgets_the_caller) };
    (@Repeats $fault:ident $name:literal) => { Kind::Repeats(|around| stack($name, Fault::$fault, around)) };
    (@Refuses $fault:ident $name:literal) => { Kind::Refuses(|around| stack($name, Fault::$fault, around)) };
    (@Limits $fault:ident $name:literal) => { Kind::Limits(|around| stack($name, Fault::$fault, around)) };
    (@Buffers $fault:ident $name:literal) => { Kind::Buffers(|around| stack($name, Fault::$fault, around)) };
    (@Redactor $fault:ident $name:literal) => { Kind::Redactor(Forgets::$fault) };
    (@Alias $fault:ident $name:literal) => { Kind::Alias(Forgets::$fault) };
    (@Cipher $fault:ident $name:literal) => { Kind::Cipher(cipher::Fault::$fault) };
}

mutants! {
    Plain(SkipsDeletes) "skips-deletes" "answers a deletion without passing it on" ["laws.every_operation_visits_the_layer_once"];
    Plain(CallsTwice) "calls-next-twice" "passes every call on twice" ["laws.every_operation_visits_the_layer_once" "laws.inner_short_circuit_is_returned"];
    Plain(SwallowsErrors) "swallows-errors" "answers an error of a read with nothing found" ["laws.inner_error_fails_every_operation"];
    Plain(HidesTheKind) "hides-the-kind" "makes every error an internal one" ["laws.inner_error_keeps_kind_effect_and_site" "laws.inner_panic_is_attributed"];
    Plain(HidesTheSite) "hides-the-site" "makes every error its own" ["laws.inner_error_keeps_kind_effect_and_site"];
    Plain(SaysApplied) "says-applied" "says of every error that the write was made" ["laws.inner_error_keeps_kind_effect_and_site"];
    Plain(CallsUnready) "calls-unready" "calls a clone that was never asked whether it is ready" ["laws.inner_service_is_called_only_when_ready"];
    Plain(NeverAsks) "never-asks" "says that it is ready without asking what is inside" ["laws.inner_service_is_called_only_when_ready" "laws.inner_readiness_error_is_returned" "laws.inner_readiness_panic_is_attributed"];
    Plain(LosesUp) "loses-extensions-up" "answers without what layers further in have left" ["laws.receipt_and_extensions_pass_through"];
    Plain(LosesDown) "loses-extensions-down" "passes on without what layers further out have left" ["laws.receipt_and_extensions_pass_through"];
    Plain(LosesReceipt) "loses-the-receipt" "answers without the position of the commit" ["laws.receipt_and_extensions_pass_through" "laws.transparent_layer_returns_the_exact_answer"];
    Plain(ChangesThread) "changes-the-thread" "passes additions on to another thread" ["laws.every_operation_visits_the_layer_once" "laws.forwarded_call_keeps_its_arguments"];
    Plain(ChangesRole) "changes-the-role" "passes additions on with another role" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Plain(TrimsContent) "trims-content" "changes content and says that it changes nothing" ["laws.transparent_layer_forwards_the_exact_call"];
    Plain(TouchesAnswers) "touches-answers" "says that everything was done before" ["laws.transparent_layer_returns_the_exact_answer" "laws.repeated_key_gets_the_first_answer"];
    Plain(HoldsLock) "holds-a-lock" "lets one call through at a time" ["laws.hanging_call_does_not_block_others"];
    Plain(LeaksPermits) "leaks-permits" "admits a hundred calls, and keeps the permits of callers that left" ["laws.callers_dropped_before_hand_over_leave_no_trace"];
    Plain(StaysWithItsTask) "stays-with-its-task" "goes on only in the task that it began in" ["laws.caller_dropped_after_hand_over_does_not_stop_the_write"];
    Plain(RejectsAfterError) "rejects-after-error" "refuses every call after the first error" ["laws.layer_works_after_errors_and_panics"];
    Forgets(None) "forgets-who-asks" "makes every call again as a caller of its own" ["laws.context_passes_through"];
    Nothing(None) "not-there" "is not in the stack" ["laws.layer_is_described_once"];
    Refuses(RefusesLate) "refuses-late" "refuses what it has passed on already" ["laws.own_refusal_names_the_layer"];
    Repeats(RepeatsAnything) "repeats-anything" "makes every call again that failed" ["laws.other_failures_are_not_retried"];
    Repeats(RepeatsTimeouts) "repeats-timeouts-without-a-key" "repeats transient failures, and a call without a key that timed out with an unknown outcome" ["laws.unknown_outcome_is_retried_only_with_a_key"];
    Repeats(NeverRepeats) "never-repeats" "says that it repeats calls, and does not" ["laws.transient_failure_is_retried_with_the_same_key"];
    Plain(ForgetsBatchAfter) "forgets-after-of-batches" "passes a batch on whatever number its thread has given" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Plain(ForgetsDeleteAfter) "forgets-after-of-deletions" "passes a deletion on whatever number its thread has given" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Plain(ForgetsDeleteExpected) "forgets-revisions-of-deletions" "passes a deletion on whatever the revision" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Plain(ForgetsOnlyDamaged) "forgets-only-damaged" "deletes a message that was to be deleted only if it is damaged" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Plain(ForgetsOnlyExpired) "forgets-only-expired" "settles a message that was to be settled only if its lease has expired" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Plain(ForgetsRestoring) "forgets-restoring" "passes an import that restores damaged messages on as any other" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Plain(ForgetsMaxContent) "forgets-max-content" "passes an update on without the limit of content that its caller has set" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Plain(ForgetsMaxMetadata) "forgets-max-metadata" "passes a patch on without the limit of metadata that its caller has set" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Plain(ForgetsMaxThreadMetadata) "forgets-max-metadata-of-threads" "passes a patch of a thread on without the limit that its caller has set" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Plain(ForgetsMaxAnswer) "forgets-max-answer" "passes a batch on without the limit of its answers" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Plain(ForgetsAddAfter) "forgets-after-of-additions" "passes an addition on whatever number its thread has given" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Plain(ForgetsReserveAfter) "forgets-after-of-reservations" "passes a reservation on whatever number its thread has given" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Plain(ForgetsGeneration) "forgets-generations" "passes an addition on into any generation of its thread" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Plain(ForgetsMaxBytes) "forgets-max-bytes" "reads pages of the default size" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Plain(ForgetsTaken) "forgets-which-to-take" "takes the last message whichever it is" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Careless(Attachments) "loses-attachments" "passes additions and updates on without attachments" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Careless(CreatedAt) "loses-created-at" "passes on without the time that the caller has set" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Careless(Leases) "resets-leases" "reserves for the default time" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Careless(Labels) "loses-labels" "creates threads without labels, and shows those that were to be hidden" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Careless(Filters) "loses-filters" "lists the threads of every owner, and messages whose lease has not expired" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Careless(Conditions) "loses-conditions" "clears, updates and moves cursors whatever was expected" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Careless(Nulls) "loses-nulls" "takes a value that is to be cleared as one that is not given" ["laws.transparent_layer_forwards_the_exact_call"];
    Careless(Reports) "loses-reports" "confirms a run without what it reports" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Careless(Parses) "parses-content" "parses content, and stores what it makes of it" ["laws.transparent_layer_forwards_the_exact_call"];
    Careless(Escapes) "drops-escapes" "takes NUL and lone surrogates out of content" ["laws.transparent_layer_forwards_the_exact_call"];
    Careless(Long) "cuts-long-content" "stores no content of more than 4 KiB" ["laws.transparent_layer_forwards_the_exact_call"];
    Careless(Bytes) "cuts-characters" "looks at the first eight bytes of a text as if each were a character" ["laws.transparent_layer_forwards_the_exact_call"];
    Careless(BatchOrder) "reorders-batches" "moves deletions to the front of a batch" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Careless(EarlyCursors) "says-that-cursors-moved" "answers that a cursor was moved, whatever the store says" ["laws.transparent_layer_forwards_the_exact_call" "laws.every_error_kind_passes_unchanged"];
    Careless(Damage) "hides-damage" "answers without what is damaged" ["laws.repeated_read_is_forwarded_again"];
    Careless(More) "forgets-more" "answers without where the rest begins" ["laws.repeated_read_is_forwarded_again"];
    Careless(Lists) "drops-changes" "answers no changes" ["laws.repeated_read_is_forwarded_again"];
    Careless(Cache) "caches-for-all-tenants" "answers a message from a cache without tenants, which no write clears" ["laws.repeated_read_is_forwarded_again"];
    Careless(Keys) "remembers-keys-alone" "answers by the key alone, whatever was asked and by whom" ["laws.repeated_key_gets_the_first_answer"];
    Plain(RepeatsAnything) "repeats-unasked" "makes calls again that failed, and does not say so" ["laws.every_error_kind_passes_unchanged"];
    Careless(UnknownAppends) "denies-unknown-appends" "says that an append was not made of which that is unknown" ["laws.every_error_kind_passes_unchanged"];
    Careless(BusyReads) "answers-busy-with-nothing" "answers that there is no message where the store is busy" ["laws.every_error_kind_passes_unchanged"];
    Careless(OwnKinds) "has-its-own-kinds" "makes every error of other operations than additions an internal one" ["laws.every_error_kind_passes_unchanged"];
    Careless(Detaches) "detaches" "makes calls in tasks of their own, which go on when the caller leaves" ["laws.callers_dropped_before_hand_over_leave_no_trace"];
    Careless(LocksReads) "locks-reads" "lets one read through at a time" ["laws.hanging_call_does_not_block_others"];
    Careless(LocksAppends) "locks-appends" "lets one append through at a time" ["laws.hanging_call_does_not_block_others"];
    Careless(CountsFailures) "counts-failures" "counts calls that failed as under way" ["laws.layer_works_after_errors_and_panics"];
    AddsLabels(ReplacesLabels) "replaces-labels" "says that it adds labels, and replaces those of the caller" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Limits(None) "never-limits" "says that it limits content, and does not" ["laws.forwarded_call_keeps_its_arguments"];
    Limits(RaisesMaxMetadata) "raises-max-metadata" "raises the limit of metadata that the caller has set" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Limits(LimitsNoPatch) "limits-no-patch" "limits appends and answers, and takes the limit off patches of metadata" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Limits(LimitsNoAnswer) "limits-no-answer" "limits appends and patches, and takes the limit off the answers of a batch" ["laws.forwarded_call_keeps_its_arguments" "laws.transparent_layer_forwards_the_exact_call"];
    Buffers(NeverSettles) "never-settles" "claims to buffer text, and passes the end of a message on as a part of it" ["laws.forwarded_call_keeps_its_arguments"];
    Redactor(Batches) "redactor-forgets-batches" "redacts no batch" ["laws.hidden_text_passes_in_no_operation"];
    Redactor(Deltas) "redactor-forgets-appends" "redacts no appended text" ["laws.hidden_text_passes_in_no_operation"];
    Redactor(Edits) "redactor-forgets-edits" "redacts no edit" ["laws.hidden_text_passes_in_no_operation"];
    Redactor(Imports) "redactor-forgets-imports" "redacts nothing that is imported" ["laws.hidden_text_passes_in_no_operation"];
    Redactor(Titles) "redactor-forgets-titles" "redacts no title" ["laws.hidden_text_passes_in_no_operation"];
    Redactor(Metadata) "redactor-forgets-metadata" "redacts no metadata" ["laws.hidden_text_passes_in_no_operation"];
    Redactor(Annotations) "redactor-forgets-facts-of-threads" "redacts the metadata of messages, and not that of threads" ["laws.hidden_text_passes_in_no_operation"];
    Redactor(Reasons) "redactor-forgets-reasons" "redacts no reason" ["laws.hidden_text_passes_in_no_operation"];
    Redactor(Reservations) "redactor-forgets-reservations" "redacts no reservation" ["laws.hidden_text_passes_in_no_operation"];
    Redactor(Nesting) "redactor-forgets-nesting" "redacts text blocks only" ["laws.hidden_text_passes_in_no_operation"];
    Redactor(UnknownMembers) "redactor-keeps-known-members" "parses blocks of text, and drops the members that it does not know" ["laws.rest_of_the_content_is_kept"];
    Redactor(UnknownBlocks) "redactor-keeps-known-blocks" "parses content, and drops the blocks that it does not know" ["laws.rest_of_the_content_is_kept"];
    Redactor(Plain) "redactor-refuses-plain" "refuses what there is nothing to redact in" ["laws.other_content_is_stored"];
    Alias(Pages) "alias-forgets-pages" "restores no page" ["laws.reads_restore_the_given_text"];
    Alias(Previews) "alias-forgets-previews" "restores no preview" ["laws.reads_restore_the_given_text"];
    Alias(Answers) "alias-forgets-answers" "restores what is read, and not what is answered to a write" ["laws.write_answer_equals_a_read"];
    Alias(Taken) "alias-forgets-taken" "answers the last message as it was stored where it is taken" ["laws.reads_restore_the_given_text"];
    Alias(Open) "alias-forgets-open-reservations" "restores no list of open reservations" ["laws.reads_restore_the_given_text"];
    Alias(Backwards) "alias-forgets-pages-backwards" "restores no page that is read from the end" ["laws.reads_restore_the_given_text"];
    Alias(Batched) "alias-forgets-batches" "restores no answer to a batch" ["laws.reads_restore_the_given_text"];
    Alias(Updated) "alias-forgets-updates" "restores no answer to an update of metadata" ["laws.reads_restore_the_given_text"];
    Alias(Entries) "alias-forgets-entries" "restores no thread that is answered where it is archived or cleared" ["laws.reads_restore_the_given_text"];
    Redactor(Large) "redactor-forgets-large-texts" "redacts no text of more than 64 KiB" ["laws.hidden_text_passes_in_no_operation"];
    Redactor(Quarantines) "redactor-forgets-quarantines" "stores the reason of a quarantine as it is" ["laws.hidden_text_passes_in_no_operation"];
    Redactor(Tails) "redactor-forgets-tails" "buffers the end of a text, and never stores it" ["laws.text_split_over_deltas_is_stored_as_one" "laws.text_split_over_blocks_is_stored_as_one" "laws.text_split_over_snapshots_is_stored_as_one" "laws.text_split_over_batches_is_stored_as_one" "laws.end_of_a_text_is_stored" "laws.refused_or_repeated_update_is_stored_once"];
    Redactor(Markers) "redactor-forgets-markers" "leaves no marker instead of the hidden text" ["laws.text_split_over_deltas_is_stored_as_one" "laws.buffered_bytes_are_reported_and_bounded" "laws.search_terms_are_marked_in_the_snippet"];
    Redactor(Renewals) "redactor-forgets-renewals" "stores buffered text with an update that has no text" ["laws.text_split_over_deltas_is_stored_as_one"];
    Redactor(EarlierDeltas) "redactor-forgets-earlier-deltas" "buffers the end of the last delta only" ["laws.text_split_over_deltas_is_stored_as_one" "laws.concurrent_messages_share_no_state" "laws.buffered_bytes_are_reported_and_bounded"];
    Redactor(EndsOfBlocks) "redactor-forgets-ends-of-blocks" "holds nothing back of a block that text may continue" ["laws.text_split_over_blocks_is_stored_as_one"];
    Redactor(EndsOfSnapshots) "redactor-forgets-ends-of-snapshots" "holds nothing back of a snapshot that text may continue" ["laws.text_split_over_snapshots_is_stored_as_one"];
    Redactor(EndsInBatches) "redactor-forgets-ends-in-batches" "holds nothing back in a batch" ["laws.text_split_over_batches_is_stored_as_one"];
    Redactor(TailsBeforeBlocks) "redactor-forgets-tails-before-blocks" "loses buffered text if a message ends with a block" ["laws.end_of_a_text_is_stored"];
    Redactor(TextBeforeEdits) "redactor-forgets-text-before-edits" "looks at what an edit appends by itself" ["laws.edited_text_hides_the_hidden_text"];
    Redactor(Failures) "redactor-forgets-failures" "takes a text as stored that the store has refused" ["laws.refused_or_repeated_update_is_stored_once" "laws.update_with_several_lost_answers_is_stored_once"];
    Redactor(Replays) "redactor-forgets-replays" "drops buffered text at a replay" ["laws.refused_or_repeated_update_is_stored_once"];
    Redactor(ContentLimits) "redactor-forgets-content-limits" "passes an update on without the limit of content that its caller has set" ["laws.forwarded_call_keeps_its_arguments"];
    Redactor(HeightOfContentLimits) "redactor-lifts-content-limits" "sets a limit of content that its caller has set to the highest number" ["laws.forwarded_call_keeps_its_arguments"];
    Redactor(MetadataLimits) "redactor-forgets-metadata-limits" "passes a patch on without the limit of metadata that its caller has set" ["laws.forwarded_call_keeps_its_arguments"];
    Redactor(LostBefore) "redactor-takes-lost-writes-as-made" "takes a write whose answer was lost as made" ["laws.refused_or_repeated_update_is_stored_once" "laws.update_with_several_lost_answers_is_stored_once"];
    Redactor(LostAfter) "redactor-takes-lost-writes-as-refused" "takes a write whose answer was lost as not made" ["laws.refused_or_repeated_update_is_stored_once" "laws.update_with_several_lost_answers_is_stored_once" "laws.applied_update_with_an_error_is_continued"];
    Redactor(LostLate) "redactor-forgets-late-writes" "takes a stale repetition as proof that the lost write was not made" ["laws.refused_or_repeated_update_is_stored_once" "laws.update_with_several_lost_answers_is_stored_once"];
    Redactor(LostTwice) "redactor-forgets-the-first-loss" "takes a call that is repeated and lost again as one that was never made" ["laws.update_with_several_lost_answers_is_stored_once"];
    Redactor(Applied) "redactor-takes-applied-writes-as-lost" "takes a write whose error says that it was made as one whose answer was lost" ["laws.applied_update_with_an_error_is_continued"];
    Redactor(Messages) "redactor-shares-tails" "has one buffer for all messages" ["laws.concurrent_messages_share_no_state"];
    Redactor(Threads) "redactor-forgets-threads" "has one buffer for the messages of one id in all threads" ["laws.concurrent_messages_share_no_state"];
    Redactor(Tenants) "redactor-forgets-tenants" "has one buffer for the messages of one id of all tenants" ["laws.concurrent_messages_share_no_state"];
    Redactor(OneWrite) "redactor-writes-twice" "stores buffered text in a write before the end of the message" ["laws.text_split_over_deltas_is_stored_as_one" "laws.text_split_over_blocks_is_stored_as_one" "laws.text_split_over_snapshots_is_stored_as_one" "laws.end_of_a_text_is_stored"];
    Redactor(RawReasons) "redactor-explains-itself" "stores the text that it hides as the reason of an abandonment" ["laws.text_split_over_deltas_is_stored_as_one" "laws.text_split_over_blocks_is_stored_as_one" "laws.text_split_over_snapshots_is_stored_as_one" "laws.text_split_over_batches_is_stored_as_one"];
    Redactor(Questions) "redactor-asks-aloud" "searches the store for what it has found in a stream" ["laws.text_split_over_deltas_is_stored_as_one" "laws.concurrent_messages_share_no_state"];
    Redactor(Ordinary) "redactor-holds-everything" "buffers a whole text until the message ends" ["laws.buffered_bytes_are_reported_and_bounded"];
    Redactor(BufferedBytes) "redactor-forgets-buffered-bytes" "never reports the number of buffered bytes" ["laws.buffered_bytes_are_reported_and_bounded"];
    Alias(BufferedBytesInReads) "alias-forgets-buffered-bytes-in-reads" "answers a read without the number of buffered bytes" ["laws.buffered_bytes_are_reported_and_bounded"];
    Redactor(Queries) "redactor-forgets-queries" "passes on what is searched for as it is" ["laws.hidden_text_passes_in_no_search"];
    Alias(Queries) "alias-forgets-queries" "searches for the name where its alias is stored" ["laws.hidden_text_passes_in_no_search" "laws.search_terms_are_marked_in_the_snippet"];
    Redactor(Finds) "redactor-forgets-finds" "passes on the value of a find as it is" ["laws.hidden_text_passes_in_no_find"];
    Alias(Marks) "alias-forgets-marks" "leaves marks where they were in the stored snippet" ["laws.search_terms_are_marked_in_the_snippet"];
    Cipher(ForgetsRevisions) "cipher-forgets-revisions" "passes a change on without the revision that its caller has named" ["laws.forwarded_call_keeps_its_arguments"];
    Cipher(ShowsPreviews) "cipher-shows-previews" "says that there are no previews, and shows them" ["laws.reads_restore_the_given_text"];
    Cipher(LeaksInReads) "cipher-leaks-in-reads" "sends the text in a read of its own" ["laws.hidden_text_passes_in_no_operation"];
}
