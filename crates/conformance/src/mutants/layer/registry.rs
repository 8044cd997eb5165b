//! The faults of layers, each with the laws that have to catch it.

use super::{
    Kind, Mutant,
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
    (@Nothing $fault:ident $name:literal) => { Kind::Plain(nothing) };
    (@Forgets $fault:ident $name:literal) => { Kind::Plain(forgets_who_asks) };
    (@Repeats $fault:ident $name:literal) => { Kind::Repeats(|around| stack($name, Fault::$fault, around)) };
    (@Refuses $fault:ident $name:literal) => { Kind::Refuses(|around| stack($name, Fault::$fault, around)) };
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
    Plain(LosesReceipt) "loses-the-receipt" "answers without the place among the commits" ["law.receipt" "law.answer"];
    Plain(ChangesThread) "changes-the-thread" "passes additions on to another thread" ["law.visited" "law.arguments"];
    Plain(ChangesRole) "changes-the-role" "passes additions on as somebody else's" ["law.arguments" "law.unchanged"];
    Plain(TrimsContent) "trims-content" "changes content and says that it changes nothing" ["law.unchanged"];
    Plain(TouchesAnswers) "touches-answers" "says that everything was done before" ["law.answer" "law.key"];
    Plain(HoldsLock) "holds-a-lock" "lets one call through at a time" ["law.at-once"];
    Plain(LeaksPermits) "leaks-permits" "lets in a hundred calls, and forgets the places of callers that left" ["law.drop"];
    Plain(StaysWithItsTask) "stays-with-its-task" "goes on only in the task that it began in" ["law.drop-late"];
    Plain(GivesUp) "gives-up" "refuses every call after the first error" ["law.goes-on"];
    Forgets(None) "forgets-who-asks" "makes every call again as a caller of its own" ["law.context"];
    Nothing(None) "not-there" "is not in the stack" ["law.named"];
    Refuses(RefusesLate) "refuses-late" "refuses what it has passed on already" ["law.own-error"];
    Repeats(RepeatsAnything) "repeats-anything" "makes every call again that failed" ["law.repeats-no-more"];
    Repeats(NeverRepeats) "never-repeats" "says that it repeats calls, and does not" ["law.repeats"];
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
    Redactor(Tails) "redactor-forgets-tails" "holds back the end of a text, and never stores it" ["law.stream-deltas" "law.stream-blocks" "law.stream-snapshots" "law.stream-batches" "law.stream-end" "law.stream-again"];
    Redactor(EarlierDeltas) "redactor-forgets-earlier-deltas" "holds back of the last delta only" ["law.stream-deltas"];
    Redactor(EndsOfBlocks) "redactor-forgets-ends-of-blocks" "holds nothing back of a block that text may continue" ["law.stream-blocks"];
    Redactor(EndsOfSnapshots) "redactor-forgets-ends-of-snapshots" "holds nothing back of a snapshot that text may continue" ["law.stream-snapshots"];
    Redactor(EndsInBatches) "redactor-forgets-ends-in-batches" "holds nothing back in a batch" ["law.stream-batches"];
    Redactor(TailsBeforeBlocks) "redactor-forgets-tails-before-blocks" "loses what it holds back where a message ends with a block" ["law.stream-end"];
    Redactor(TextBeforeEdits) "redactor-forgets-text-before-edits" "looks at what an edit appends by itself" ["law.stream-edit"];
    Redactor(Failures) "redactor-forgets-failures" "takes a text as stored that the store has refused" ["law.stream-again"];
    Redactor(Replays) "redactor-forgets-replays" "drops what it holds back at a replay" ["law.stream-again"];
    Redactor(HeldBack) "redactor-forgets-held-back" "says of nothing that it is held back" ["law.held-back"];
    Alias(HeldBackInReads) "alias-forgets-held-back-in-reads" "says of what it reads not that more is held back" ["law.held-back"];
    Redactor(Queries) "redactor-forgets-queries" "passes on what is searched for as it is" ["law.query"];
    Alias(Queries) "alias-forgets-queries" "searches for the name where its alias is stored" ["law.query" "law.marks"];
    Alias(Marks) "alias-forgets-marks" "leaves marks where they were in the stored snippet" ["law.marks"];
    Veil(ForgetsRevisions) "veil-forgets-revisions" "passes a change on without the revision that its caller has named" ["law.arguments"];
    Veil(ShowsPreviews) "veil-shows-previews" "says that there are no previews, and shows them" ["law.restores"];
    Veil(AsksAloud) "veil-asks-aloud" "says the text in what it asks on the way" ["law.coverage"];
}
