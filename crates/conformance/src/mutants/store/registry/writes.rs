//! Faults of what is kept.

use std::time::Duration;

use throughline_core::{
    Content, Delta, MessageState, Metadata, MetadataPatch, PersistArgs, PersistResult, Seq, Timestamp,
    messages::{ContentChange, PageFrom, UpdateMode},
    pipeline::Receipt,
    threads::{ThreadArgs, ThreadResult},
};

use crate::mutants::store::{Mutant, change, special::Special, threads::ThreadFault};

pub(super) static MUTANTS: &[Mutant] = &[
    // What is acknowledged and not kept.
    Mutant::new(
        "drops-every-third-write",
        "acknowledges every third write without making it",
        &[
            "thread.at-once",
            "VL-S12",
            "concurrent.appends",
            "page.limit",
            "delete.any-state",
            "VL-S9.every-await",
            "VL-S14.two-sweepers",
            "concurrent.final",
            "RR-S15",
            "RR-S4",
        ],
    )
    .special(Special::DropsEveryThird),
    Mutant::new(
        "acks-before-commit",
        "answers before the file is written",
        &["crash.acknowledged", "crash.batches", "VL-S14"],
    )
    .special(Special::AcksEarly),
    Mutant::new(
        "loses-partials",
        "does not keep what is streamed",
        &["VL-S14", "reopen.open", "reopen.everything"],
    )
    .special(Special::ForgetsPartials),
    Mutant::new(
        "forgets-keys",
        "does not keep keys in the file",
        &["replay.reopened", "crash.keys", "crash.again"],
    )
    .special(Special::ForgetsKeys),
    Mutant::new(
        "halves-batches",
        "writes a batch to the file item by item, and dies on the way",
        &["crash.batches", "changes.reopened"],
    )
    .special(Special::HalvesBatches),
    // Keys.
    Mutant::new(
        "ignores-keys",
        "makes a repeated call again",
        &[
            "VL-S17",
            "VL-S15",
            "concurrent.key",
            "VL-S10",
            "VL-S10.handed-over",
            "VL-S10.attempt",
            "VL-S16.answer-lost",
            "VL-S17.batch",
            "VL-S17.conflict",
            "VL-S9.key",
            "VL-S9.batch",
            "key.minted",
            "key.batch-minted",
            "replay.first-answer",
            "replay.update",
            "replay.batch",
            "replay.deleted",
            "RR-S12.replay",
            "T3-S14",
            "changes.replays",
            "import.key",
            "resolve.key",
            "thread.key",
        ],
    )
    .special(Special::IgnoresKeys),
    Mutant::new(
        "keys-across-threads",
        "takes a key for the same in every thread",
        &["VL-S17.other-thread", "key.batch-scope"],
    )
    .special(Special::KeysAcrossThreads),
    Mutant::new("uses-keys-of-refusals", "takes a refused call's key for used", &["VL-S15.failed"])
        .special(Special::UsesKeysOfRefusals),
    Mutant::new("replays-with-a-position", "gives a replay a position", &["replay.no-position"]).after(
        |_, response| {
            if response.result.is_deduplicated() {
                response.receipt = Receipt::at(throughline_core::Position::FIRST);
            }
        },
    ),
    Mutant::new(
        "speaks-of-ids-never-used",
        "answers a repeated batch with the ids that the repeat made up",
        &["key.batch-minted"],
    )
    .after(|asked, response| {
        if let (PersistArgs::Batch(batch), PersistResult::Batch(batched)) = (asked, &mut response.result) {
            for (item, output) in batch.items.iter().zip(&mut batched.outputs) {
                match (item, output) {
                    (PersistArgs::UpdateContent(asked), PersistResult::UpdateContent(told)) => {
                        told.id = asked.id.clone();
                    }
                    (PersistArgs::Update(asked), PersistResult::Update(told)) => told.id = asked.id.clone(),
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
            "scope.tenant",
            "get.absent",
            "VL-S17.other-tenant",
            "open.tenant",
            "scope.joined",
            "scope.batch",
            "scope.long",
            "T3-S9",
            "changes.tenant",
            "changes.thread",
            "import.tenant",
            "list.tenant",
            "thread.delete-narrow",
        ],
    )
    .special(Special::IgnoresTenants),
    Mutant::new(
        "ignores-threads",
        "finds a message by its id alone",
        &["get.absent", "scope.thread", "prune.leaves", "thread.delete"],
    )
    .special(Special::IgnoresThreads),
    Mutant::new("folds-case", "takes ids for the same that differ by case", &["scope.bytes"])
        .special(Special::FoldsCase),
    // Content, metadata, text.
    Mutant::new(
        "reads-json-as-a-tree",
        "keeps content as a tree of values: 1.10 becomes 1.1",
        &["text.survives", "text.reopened", "reopen.often"],
    )
    .before(|args, _| change::json(args, change::by_way_of_a_tree)),
    Mutant::new("cuts-content", "keeps the first kilobyte", &["text.large", "text.deep"])
        .before(|args, _| change::json(args, change::cut_short)),
    Mutant::new(
        "appends-twice",
        "makes every append twice",
        &[
            "append.text",
            "VL-S12",
            "edit.final",
            "VL-S13",
            "VL-S13.abandon",
            "VL-S13.drop",
            "VL-S13.error",
            "VL-S13.timer",
            "VL-S13.size",
            "VL-S13.watermark",
            "VL-S1",
            "VL-S16",
            "VL-S20",
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
            "append.text",
            "append.blocks",
            "append.after-replace",
            "append.nothing",
            "abandon.without-reason",
            "batch.order",
            "VL-S5.reopened",
        ],
    )
    .before(|args, _| {
        change::contents(args, |update| {
            if let ContentChange::Append(Delta::Text(text)) = &update.change {
                update.change = ContentChange::Replace(throughline_core::Content::text(text));
            }
        });
    }),
    Mutant::new("keeps-nulls", "takes null in a patch for nothing to do", &["update.patch"]).before(
        |args, _| {
            if let PersistArgs::Update(update) = args {
                let kept = update.metadata.iter().filter(|(_, value)| value.get() != "null");
                update.metadata = kept
                    .fold(MetadataPatch::new(), |patch, (key, value)| patch.set(key, value).expect("JSON"));
            }
        },
    ),
    Mutant::new(
        "clears-attachments",
        "takes absent attachments for none",
        &["update.attachments", "update.nothing", "T3-S4"],
    )
    .before(|args, _| {
        if let PersistArgs::Update(update) = args {
            update.attachments.get_or_insert_default();
        }
    }),
    Mutant::new("reads-metadata-as-a-tree", "keeps metadata as a tree of values", &["text.metadata"])
        .before(|args, _| change::metadata_by_way_of_a_tree(args)),
    Mutant::new(
        "drops-inner-nulls",
        "takes null inside the value of a patch for nothing",
        &["update.shallow"],
    )
    .before(|args, _| {
        if let PersistArgs::Update(update) = args {
            update.metadata = change::without_inner_nulls(&update.metadata);
        }
    }),
    Mutant::new("loses-attachments", "forgets the names of attachments", &["add.attachments"])
        .after(|_, response| change::messages(response, |message| message.attachments.clear())),
    Mutant::new(
        "forgets-what-to-clean-up",
        "does not say which attachments a deletion leaves behind",
        &["delete.answer"],
    )
    .after(|_, response| {
        if let PersistResult::Delete(deleted) = &mut response.result {
            deleted.attachments.clear();
        }
    }),
    Mutant::new("reserves-without-metadata", "keeps no metadata of a reservation", &["VL-S2"]).before(
        |args, _| {
            if let PersistArgs::Reserve(reserve) = args {
                reserve.metadata = Metadata::new();
            }
        },
    ),
    Mutant::new("loses-reasons", "forgets why a message was abandoned", &["abandon.reason"]).after(
        |_, response| {
            change::messages(response, |message| message.abandon_reason = None);
        },
    ),
    // The life of a message.
    Mutant::new(
        "late-partial-overwrites",
        "lets a late partial change a final message",
        &["VL-S11", "update-content.table"],
    )
    .special(Special::LatePartials),
    Mutant::new(
        "ignores-revisions",
        "applies a change whatever revision its caller saw",
        &[
            "VL-S11.gap",
            "concurrent.revision",
            "model.sequences",
            "update-content.expected",
            "VL-S13.answer-lost",
            "VL-S14.came-back",
        ],
    )
    .before(|args, _| change::contents(args, |update| update.expected = None)),
    Mutant::new(
        "patches-whatever-was-seen",
        "patches and deletes a message whatever revision its caller saw",
        &["update.expected", "delete.expected"],
    )
    .before(|args, _| match args {
        PersistArgs::Update(update) => update.expected = None,
        PersistArgs::Delete(delete) => delete.expected = None,
        _ => {}
    }),
    Mutant::new(
        "deletes-the-undamaged",
        "deletes a message that can be read where only a damaged one is to go",
        &["delete.only-damaged"],
    )
    .before(|args, _| {
        if let PersistArgs::Delete(delete) = args {
            delete.only_damaged = false;
        }
    }),
    Mutant::new("leases-for-a-minute", "gives every reservation a lease of a minute", &["reserve.lease"])
        .before(|args, _| {
            if let PersistArgs::Reserve(reserve) = args {
                reserve.lease = Duration::from_secs(60);
            }
        }),
    Mutant::new("sweeps-the-living", "settles messages whose lease is alive", &["VL-S14.live"])
        .before(|args, _| change::contents(args, |update| update.only_if_expired = false)),
    Mutant::new("never-renews", "answers a sign of life and does nothing", &["lease.renewal"])
        .special(Special::NeverRenews),
    Mutant::new("edits-anything", "lets an edit finish an open message", &["update-content.table"]).before(
        |args, _| {
            change::contents(args, |update| {
                if update.mode == UpdateMode::Edit && matches!(update.change, ContentChange::Replace(_)) {
                    update.mode = UpdateMode::Final;
                }
            });
        },
    ),
    Mutant::new("empty-is-reserved", "takes a message of no blocks for a reservation", &["add.no-blocks"])
        .after(|_, response| {
            change::messages(response, |message| {
                if message.content.as_json() == "[]" {
                    message.state = MessageState::Reserved;
                }
            });
        }),
    // Ids, places, positions, moments.
    Mutant::new(
        "revives-the-dead",
        "lets a deleted id name another message",
        &[
            "delete.tombstone",
            "reopen.tombstones",
            "RR-S12.replay",
            "T3-S14",
            "changes.replays",
            "purge.gone",
            "thread.clear-ids",
        ],
    )
    .special(Special::RevivesTheDead),
    Mutant::new(
        "gives-places-again",
        "counts the messages that are left to find the next place",
        &["delete.seq"],
    )
    .special(Special::GivesPlacesAgain),
    Mutant::new(
        "stands-still",
        "gives every change the same position",
        &[
            "order.position",
            "batch.receipt",
            "batch.positions",
            "concurrent.places",
            "reopen.counters",
            "changes.positions",
        ],
    )
    .after(|_, response| change::position(response, |_| 1)),
    Mutant::new(
        "names-no-last-position",
        "answers a batch with the position of an earlier one of its changes",
        &["batch.positions"],
    )
    .after(|asked, response| {
        if matches!(asked, PersistArgs::Batch(batch) if batch.items.len() > 1) {
            change::position(response, |position| position - 1);
        }
    }),
    Mutant::new("reads-have-positions", "gives a read a position", &["order.no-position", "VL-S20.told"])
        .after(|asked, response| {
            if !asked.kind().is_write() {
                response.receipt = Receipt::at(throughline_core::Position::FIRST);
            }
        }),
    Mutant::new(
        "creation-moves",
        "takes the last change for the creation",
        &["time.created-at", "T3-S2", "T3-S5"],
    )
    .after(|_, response| change::messages(response, |message| message.created_at = message.updated_at)),
    Mutant::new(
        "changes-go-back",
        "takes the clock for the last change, also when it goes back",
        &["time.back", "reserve.created-at"],
    )
    .special(Special::ChangesGoBack),
    Mutant::new("keeps-milliseconds", "keeps moments to the millisecond", &["time.range"]).after(
        |_, response| {
            change::messages(response, |message| {
                let millis = message.created_at.as_micros().div_euclid(1000);
                message.created_at = Timestamp::from_micros(millis.saturating_mul(1000));
            });
        },
    ),
    // Whole or not at all.
    Mutant::new(
        "partial-batches",
        "keeps the items before the one that is refused",
        &[
            "VL-S19",
            "batch.refusals",
            "batch.threads",
            "RR-S12.batch",
            "changes.refused-batch",
            "thread.generation-batch",
        ],
    )
    .special(Special::PartialBatches),
    Mutant::new(
        "checks-then-adds",
        "looks whether an id is free, and adds later",
        &["concurrent.same-id", "concurrent.history"],
    )
    .special(Special::ChecksThenAdds),
    Mutant::new(
        "makes-what-is-missing",
        "answers a change of what is not there as done",
        &[
            "update.not-found",
            "delete.not-found",
            "update-content.not-found",
            "VL-S13.settled-elsewhere",
            "changes.refusals",
            "thread.clear-late",
        ],
    )
    .special(Special::MakesWhatIsMissing),
    Mutant::new(
        "refuses-without-a-word",
        "refuses with an internal error of unknown effect",
        &[
            "delete.not-found",
            "add.existing-id",
            "add.reserved-id",
            "reserve.existing-id",
            "VL-S8.backend",
            "VL-S16.refusals",
        ],
    )
    .special(Special::RefusesSilently),
    Mutant::new(
        "abandons-writes",
        "answers a write before it is made, and makes it some time later",
        &[
            "get.latest",
            "add.answer",
            "add.other-thread",
            "add.minted-id",
            "add.roles",
            "VL-S3",
            "reserve.other-thread",
            "page.deleted",
            "text.ids",
            "lease.never-shorter",
            "lease.partial",
            "update.any-state",
            "VL-S17.other-key",
            "VL-S4.some",
            "VL-S6",
            "VL-S6.lists",
            "VL-S24",
            "VL-S7",
            "VL-S8.error",
            "VL-S8.panic",
            "VL-S8.hang-after",
            "VL-S9",
            "VL-S9.slots",
            "VL-S10.without-key",
            "VL-S10.in-time",
            "VL-S16.without-key",
            "prune.limit",
            "thread.create-minted",
        ],
    )
    .special(Special::AnswersEarly),
    Mutant::new(
        "deletes-everywhere",
        "deletes every message of the id, in whatever thread",
        &["delete.other-thread"],
    )
    .special(Special::DeletesEverywhere),
    Mutant::new(
        "misses-empty-threads",
        "answers a page of a thread without messages as not found",
        &["page.empty", "VL-S8.hang", "batch.nested"],
    )
    .special(Special::MissesEmptyThreads),
    Mutant::new("rewrites-content", "writes the whole content at each append", &["VL-S12.linear"])
        .special(Special::RewritesContent),
    Mutant::new(
        "fails-to-close",
        "says that it could not be closed",
        &["close.refuses", "close.waits", "close.keeps"],
    )
    .special(Special::FailsToClose),
    // The end of a thread.
    Mutant::new(
        "says-the-last-that-is-there",
        "says the sequence number of the last message that is there for the last one that was given",
        &["last.page", "last.after"],
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
        &["last.entry"],
    )
    .after(|_, response| change::entries(response, |entry| entry.last_seq = Seq::ZERO)),
    Mutant::new("deletes-after-anything", "deletes whatever was given since", &["delete.after"]).before(
        |args, _| {
            if let PersistArgs::Delete(delete) = args {
                delete.after = None;
            }
        },
    ),
    Mutant::new("batches-after-anything", "applies a batch whatever was given since", &["batch.after"])
        .before(|args, _| {
            if let PersistArgs::Batch(batch) = args {
                batch.after = None;
            }
        }),
    Mutant::new(
        "refuses-batches-at-the-dead",
        "refuses a batch that deletes a deleted thread as gone, where the batch expects a sequence number",
        &["batch.after-deletion"],
    )
    .special(Special::Thread(ThreadFault::RefusesBatchesAtTheDead)),
    Mutant::new(
        "takes-any-last-message",
        "takes the last message, whichever was expected",
        &["take.expected"],
    )
    .before(|args, _| {
        if let PersistArgs::Thread(ThreadArgs::TakeLast(take)) = args {
            take.expected = None;
        }
    }),
    Mutant::new(
        "takes-last-in-a-batch",
        "applies the items of a batch that takes the last message from the last to the first",
        &["take.batch"],
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
        &["take.last", "take.replay"],
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
        &["VL-S7.taken", "take.last"],
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
        &["take.last", "take.expected", "take.apart"],
    )
    .special(Special::TakesNothing),
];

/// Whether it takes the last message of a thread.
const fn is_take(args: &PersistArgs) -> bool {
    matches!(args, PersistArgs::Thread(ThreadArgs::TakeLast(_)))
}
