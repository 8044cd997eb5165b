//! The faults of layers, each with the laws that have to catch it.

use super::{
    Kind, Mutant, careless,
    redactor::Forgets,
    tower::{Fault, forgets_who_asks, nothing, stack},
    veil,
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
    (@Forgets $fault:ident $name:literal) => { Kind::Plain(forgets_who_asks) };
    (@Repeats $fault:ident $name:literal) => { Kind::Repeats(|around| stack($name, Fault::$fault, around)) };
    (@Refuses $fault:ident $name:literal) => { Kind::Refuses(|around| stack($name, Fault::$fault, around)) };
    (@Limits $fault:ident $name:literal) => { Kind::Limits(|around| stack($name, Fault::$fault, around)) };
    (@HoldsBack $fault:ident $name:literal) => { Kind::HoldsBack(|around| stack($name, Fault::$fault, around)) };
    (@Redactor $fault:ident $name:literal) => { Kind::Redactor(Forgets::$fault) };
    (@Alias $fault:ident $name:literal) => { Kind::Alias(Forgets::$fault) };
    (@Veil $fault:ident $name:literal) => { Kind::Veil(veil::Fault::$fault) };
}

mutants! {
    Plain(SkipsDeletes) "skips-deletes" "answers a deletion without passing it on" ["law.visited"];
    Plain(CallsTwice) "calls-next-twice" "passes every call on twice" ["law.visited" "law.short-circuit"];
    Plain(SwallowsErrors) "swallows-errors" "answers an error of a read with nothing found" ["law.error-every-operation"];
    Plain(HidesTheKind) "hides-the-kind" "makes every error an internal one" ["law.error" "law.panic"];
    Plain(HidesTheSite) "hides-the-site" "makes every error its own" ["law.error"];
    Plain(SaysApplied) "says-applied" "says of every error that the write was made" ["law.error"];
    Plain(CallsUnready) "calls-unready" "calls a clone that was never asked whether it is ready" ["law.readiness"];
    Plain(NeverAsks) "never-asks" "says that it is ready without asking what is inside" ["law.readiness" "law.readiness-error" "law.readiness-panic"];
    Plain(LosesUp) "loses-extensions-up" "answers without what layers further in have left" ["law.receipt"];
    Plain(LosesDown) "loses-extensions-down" "passes on without what layers further out have left" ["law.receipt"];
    Plain(LosesReceipt) "loses-the-receipt" "answers without the position of the commit" ["law.receipt" "law.answer"];
    Plain(ChangesThread) "changes-the-thread" "passes additions on to another thread" ["law.visited" "law.arguments"];
    Plain(ChangesRole) "changes-the-role" "passes additions on with another role" ["law.arguments" "law.unchanged"];
    Plain(TrimsContent) "trims-content" "changes content and says that it changes nothing" ["law.unchanged"];
    Plain(TouchesAnswers) "touches-answers" "says that everything was done before" ["law.answer" "law.key"];
    Plain(HoldsLock) "holds-a-lock" "lets one call through at a time" ["law.at-once"];
    Plain(LeaksPermits) "leaks-permits" "admits a hundred calls, and keeps the permits of callers that left" ["law.drop"];
    Plain(StaysWithItsTask) "stays-with-its-task" "goes on only in the task that it began in" ["law.drop-late"];
    Plain(GivesUp) "gives-up" "refuses every call after the first error" ["law.goes-on"];
    Forgets(None) "forgets-who-asks" "makes every call again as a caller of its own" ["law.context"];
    Nothing(None) "not-there" "is not in the stack" ["law.named"];
    Refuses(RefusesLate) "refuses-late" "refuses what it has passed on already" ["law.own-error"];
    Repeats(RepeatsAnything) "repeats-anything" "makes every call again that failed" ["law.repeats-no-more"];
    Repeats(NeverRepeats) "never-repeats" "says that it repeats calls, and does not" ["law.repeats"];
    Plain(ForgetsBatchAfter) "forgets-after-of-batches" "passes a batch on whatever number its thread has given" ["law.arguments" "law.unchanged"];
    Plain(ForgetsDeleteAfter) "forgets-after-of-deletions" "passes a deletion on whatever number its thread has given" ["law.arguments" "law.unchanged"];
    Plain(ForgetsDeleteExpected) "forgets-revisions-of-deletions" "passes a deletion on whatever the revision" ["law.arguments" "law.unchanged"];
    Plain(ForgetsOnlyDamaged) "forgets-only-damaged" "deletes a message that was to be deleted only if it is damaged" ["law.arguments" "law.unchanged"];
    Plain(ForgetsOnlyExpired) "forgets-only-expired" "settles a message that was to be settled only if its lease has expired" ["law.arguments" "law.unchanged"];
    Plain(ForgetsRestoring) "forgets-restoring" "passes an import that restores damaged messages on as any other" ["law.arguments" "law.unchanged"];
    Plain(ForgetsMaxContent) "forgets-max-content" "passes an update on without the limit of content that its caller has set" ["law.arguments" "law.unchanged"];
    Plain(ForgetsMaxMetadata) "forgets-max-metadata" "passes a patch on without the limit of metadata that its caller has set" ["law.arguments" "law.unchanged"];
    Plain(ForgetsMaxThreadMetadata) "forgets-max-metadata-of-threads" "passes a patch of a thread on without the limit that its caller has set" ["law.arguments" "law.unchanged"];
    Plain(ForgetsMaxAnswer) "forgets-max-answer" "passes a batch on without the limit of its answers" ["law.arguments" "law.unchanged"];
    Plain(ForgetsAddAfter) "forgets-after-of-additions" "passes an addition on whatever number its thread has given" ["law.arguments" "law.unchanged"];
    Plain(ForgetsReserveAfter) "forgets-after-of-reservations" "passes a reservation on whatever number its thread has given" ["law.arguments" "law.unchanged"];
    Plain(ForgetsGeneration) "forgets-generations" "passes an addition on into any generation of its thread" ["law.arguments" "law.unchanged"];
    Plain(ForgetsMaxBytes) "forgets-max-bytes" "reads pages of the default size" ["law.arguments" "law.unchanged"];
    Plain(ForgetsTaken) "forgets-which-to-take" "takes the last message whichever it is" ["law.arguments" "law.unchanged"];
    Careless(Attachments) "loses-attachments" "passes additions and updates on without attachments" ["law.arguments" "law.unchanged"];
    Careless(CreatedAt) "loses-created-at" "passes on without the time that the caller has set" ["law.arguments" "law.unchanged"];
    Careless(Leases) "resets-leases" "reserves for the default time" ["law.arguments" "law.unchanged"];
    Careless(Labels) "loses-labels" "creates threads without labels, and shows those that were to be hidden" ["law.arguments" "law.unchanged"];
    Careless(Filters) "loses-filters" "lists the threads of every owner, and messages whose lease has not expired" ["law.arguments" "law.unchanged"];
    Careless(Conditions) "loses-conditions" "clears, updates and moves cursors whatever was expected" ["law.arguments" "law.unchanged"];
    Careless(Nulls) "loses-nulls" "takes a value that is to be cleared as one that is not given" ["law.unchanged"];
    Careless(Reports) "loses-reports" "confirms a run without what it reports" ["law.arguments" "law.unchanged"];
    Careless(Parses) "parses-content" "parses content, and stores what it makes of it" ["law.unchanged"];
    Careless(Escapes) "drops-escapes" "takes NUL and lone surrogates out of content" ["law.unchanged"];
    Careless(Long) "cuts-long-content" "stores no content of more than 4 KiB" ["law.unchanged"];
    Careless(Bytes) "cuts-characters" "looks at the first eight bytes of a text as if each were a character" ["law.unchanged"];
    Careless(BatchOrder) "reorders-batches" "moves deletions to the front of a batch" ["law.arguments" "law.unchanged"];
    Careless(EarlyCursors) "says-that-cursors-moved" "answers that a cursor was moved, whatever the store says" ["law.unchanged" "law.error-each-kind"];
    Careless(Damage) "hides-damage" "answers without what is damaged" ["law.read-again"];
    Careless(More) "forgets-more" "answers without where the rest begins" ["law.read-again"];
    Careless(Lists) "drops-changes" "answers no changes" ["law.read-again"];
    Careless(Cache) "caches-for-all-tenants" "answers a message from a cache without tenants, which no write clears" ["law.read-again"];
    Careless(Keys) "remembers-keys-alone" "answers by the key alone, whatever was asked and by whom" ["law.key"];
    Plain(RepeatsAnything) "repeats-unasked" "makes calls again that failed, and does not say so" ["law.error-each-kind"];
    Careless(UnknownAppends) "denies-unknown-appends" "says that an append was not made of which that is unknown" ["law.error-each-kind"];
    Careless(BusyReads) "answers-busy-with-nothing" "answers that there is no message where the store is busy" ["law.error-each-kind"];
    Careless(OwnKinds) "has-its-own-kinds" "makes every error of other operations than additions an internal one" ["law.error-each-kind"];
    Careless(Detaches) "detaches" "makes calls in tasks of their own, which go on when the caller leaves" ["law.drop"];
    Careless(LocksReads) "locks-reads" "lets one read through at a time" ["law.at-once"];
    Careless(LocksAppends) "locks-appends" "lets one append through at a time" ["law.at-once"];
    Careless(CountsFailures) "counts-failures" "counts calls that failed as under way" ["law.goes-on"];
    AddsLabels(ReplacesLabels) "replaces-labels" "says that it adds labels, and replaces those of the caller" ["law.arguments" "law.unchanged"];
    Limits(None) "never-limits" "says that it limits content, and does not" ["law.arguments"];
    Limits(RaisesMaxMetadata) "raises-max-metadata" "raises the limit of metadata that the caller has set" ["law.arguments" "law.unchanged"];
    Limits(LimitsNoPatch) "limits-no-patch" "limits appends and answers, and takes the limit off patches of metadata" ["law.arguments" "law.unchanged"];
    Limits(LimitsNoAnswer) "limits-no-answer" "limits appends and patches, and takes the limit off the answers of a batch" ["law.arguments" "law.unchanged"];
    HoldsBack(NeverSettles) "never-settles" "says that it holds back, and passes the end of a message on as a part of it" ["law.arguments"];
    Redactor(Batches) "redactor-forgets-batches" "redacts no batch" ["law.coverage"];
    Redactor(Deltas) "redactor-forgets-appends" "redacts no appended text" ["law.coverage"];
    Redactor(Edits) "redactor-forgets-edits" "redacts no edit" ["law.coverage"];
    Redactor(Imports) "redactor-forgets-imports" "redacts nothing that is imported" ["law.coverage"];
    Redactor(Titles) "redactor-forgets-titles" "redacts no title" ["law.coverage"];
    Redactor(Metadata) "redactor-forgets-metadata" "redacts no metadata" ["law.coverage"];
    Redactor(Annotations) "redactor-forgets-facts-of-threads" "redacts the metadata of messages, and not that of threads" ["law.coverage"];
    Redactor(Reasons) "redactor-forgets-reasons" "redacts no reason" ["law.coverage"];
    Redactor(Reservations) "redactor-forgets-reservations" "redacts no reservation" ["law.coverage"];
    Redactor(Nesting) "redactor-forgets-nesting" "redacts text blocks only" ["law.coverage"];
    Redactor(Plain) "redactor-refuses-plain" "refuses what there is nothing to redact in" ["law.narrow"];
    Alias(Pages) "alias-forgets-pages" "restores no page" ["law.restores"];
    Alias(Previews) "alias-forgets-previews" "restores no preview" ["law.restores"];
    Alias(Answers) "alias-forgets-answers" "restores what is read, and not what is answered to a write" ["law.answer-agrees"];
    Alias(Taken) "alias-forgets-taken" "answers the last message as it was stored where it is taken" ["law.restores"];
    Alias(Open) "alias-forgets-open-reservations" "restores no list of open reservations" ["law.restores"];
    Alias(Backwards) "alias-forgets-pages-backwards" "restores no page that is read from the end" ["law.restores"];
    Alias(Batched) "alias-forgets-batches" "restores no answer to a batch" ["law.restores"];
    Alias(Updated) "alias-forgets-updates" "restores no answer to an update of metadata" ["law.restores"];
    Alias(Entries) "alias-forgets-entries" "restores no thread that is answered where it is archived or cleared" ["law.restores"];
    Redactor(Large) "redactor-forgets-large-texts" "redacts no text of more than 64 KiB" ["law.coverage"];
    Redactor(Quarantines) "redactor-forgets-quarantines" "stores the reason of a quarantine as it is" ["law.coverage"];
    Redactor(Tails) "redactor-forgets-tails" "holds back the end of a text, and never stores it" ["law.stream-deltas" "law.stream-blocks" "law.stream-snapshots" "law.stream-batches" "law.stream-end" "law.stream-again"];
    Redactor(Markers) "redactor-forgets-markers" "leaves nothing in the place of what it hides" ["law.stream-deltas" "law.held-back" "law.marks"];
    Redactor(Renewals) "redactor-forgets-renewals" "stores what it holds back with an update that has no text" ["law.stream-deltas"];
    Redactor(EarlierDeltas) "redactor-forgets-earlier-deltas" "holds back of the last delta only" ["law.stream-deltas" "law.stream-apart" "law.held-back"];
    Redactor(EndsOfBlocks) "redactor-forgets-ends-of-blocks" "holds nothing back of a block that text may continue" ["law.stream-blocks"];
    Redactor(EndsOfSnapshots) "redactor-forgets-ends-of-snapshots" "holds nothing back of a snapshot that text may continue" ["law.stream-snapshots"];
    Redactor(EndsInBatches) "redactor-forgets-ends-in-batches" "holds nothing back in a batch" ["law.stream-batches"];
    Redactor(TailsBeforeBlocks) "redactor-forgets-tails-before-blocks" "loses what it holds back where a message ends with a block" ["law.stream-end"];
    Redactor(TextBeforeEdits) "redactor-forgets-text-before-edits" "looks at what an edit appends by itself" ["law.stream-edit"];
    Redactor(Failures) "redactor-forgets-failures" "takes a text as stored that the store has refused" ["law.stream-again" "law.stream-lost-again"];
    Redactor(Replays) "redactor-forgets-replays" "drops what it holds back at a replay" ["law.stream-again"];
    Redactor(ContentLimits) "redactor-forgets-content-limits" "passes an update on without the limit of content that its caller has set" ["law.arguments"];
    Redactor(HeightOfContentLimits) "redactor-lifts-content-limits" "sets a limit of content that its caller has set to the highest number" ["law.arguments"];
    Redactor(MetadataLimits) "redactor-forgets-metadata-limits" "passes a patch on without the limit of metadata that its caller has set" ["law.arguments"];
    Redactor(LostBefore) "redactor-takes-lost-writes-as-made" "takes a write whose answer was lost as made" ["law.stream-again" "law.stream-lost-again"];
    Redactor(LostAfter) "redactor-takes-lost-writes-as-refused" "takes a write whose answer was lost as not made" ["law.stream-again" "law.stream-lost-again" "law.stream-applied"];
    Redactor(LostLate) "redactor-forgets-late-writes" "takes a stale repetition as proof that the lost write was not made" ["law.stream-again" "law.stream-lost-again"];
    Redactor(LostTwice) "redactor-forgets-the-first-loss" "takes a call that is repeated and lost again as one that was never made" ["law.stream-lost-again"];
    Redactor(Applied) "redactor-takes-applied-writes-as-lost" "takes a write whose error says that it was made as one whose answer was lost" ["law.stream-applied"];
    Redactor(Messages) "redactor-shares-tails" "holds back one text for all messages" ["law.stream-apart"];
    Redactor(Threads) "redactor-forgets-threads" "holds back one text for the messages of one id in all threads" ["law.stream-apart"];
    Redactor(Tenants) "redactor-forgets-tenants" "holds back one text for the messages of one id of all tenants" ["law.stream-apart"];
    Redactor(OneWrite) "redactor-writes-twice" "stores what it held back in a write before the end of the message" ["law.stream-deltas" "law.stream-blocks" "law.stream-snapshots" "law.stream-end"];
    Redactor(RawReasons) "redactor-explains-itself" "stores the text that it hides as the reason of an abandonment" ["law.stream-deltas" "law.stream-blocks" "law.stream-snapshots" "law.stream-batches"];
    Redactor(Questions) "redactor-asks-aloud" "searches the store for what it has found in a stream" ["law.stream-deltas" "law.stream-apart"];
    Redactor(Ordinary) "redactor-holds-everything" "holds back all of a text until the message ends" ["law.held-back"];
    Redactor(BufferedBytes) "redactor-forgets-held-back" "answers nowhere how much it holds back" ["law.held-back"];
    Alias(BufferedBytesInReads) "alias-forgets-held-back-in-reads" "answers a read without how much it holds back" ["law.held-back"];
    Redactor(Queries) "redactor-forgets-queries" "passes on what is searched for as it is" ["law.query"];
    Alias(Queries) "alias-forgets-queries" "searches for the name where its alias is stored" ["law.query" "law.marks"];
    Alias(Marks) "alias-forgets-marks" "leaves marks where they were in the stored snippet" ["law.marks"];
    Veil(ForgetsRevisions) "veil-forgets-revisions" "passes a change on without the revision that its caller has named" ["law.arguments"];
    Veil(ShowsPreviews) "veil-shows-previews" "says that there are no previews, and shows them" ["law.restores"];
    Veil(AsksAloud) "veil-asks-aloud" "says the text in what it asks on the way" ["law.coverage"];
}
