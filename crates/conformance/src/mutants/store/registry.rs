//! The faults, each with the checks that have to catch it.

use std::sync::atomic::{AtomicUsize, Ordering};

use throughline_core::{
    Capabilities, ContentChange, Delta, Durability, ListOpen, MessageState, MetadataPatch, PageFrom,
    PersistArgs, PersistResult, ReadArgs, ReadResult, Receipt, Seq, UpdateMode, Visibility,
};

use super::{Mutant, change, special::Special, without_update};

pub(super) static MUTANTS: &[Mutant] = &[
    // What is acknowledged and not kept.
    Mutant::new(
        "drops-every-third-write",
        "acknowledges every third write without making it",
        &["VL-S12", "concurrent.appends"],
    )
    .special(Special::DropsEveryThird),
    Mutant::new(
        "acks-before-commit",
        "answers before the file is written",
        &["crash.acknowledged", "crash.batches", "VL-S14"],
    )
    .special(Special::AcksEarly),
    Mutant::new("loses-partials", "does not keep what is streamed", &["VL-S14", "reopen.open"])
        .special(Special::ForgetsPartials),
    Mutant::new("forgets-keys", "does not keep keys in the file", &["replay.reopened", "crash.keys"])
        .special(Special::ForgetsKeys),
    Mutant::new(
        "halves-batches",
        "writes a batch to the file item by item, and dies on the way",
        &["crash.batches"],
    )
    .special(Special::HalvesBatches),
    // Keys.
    Mutant::new("ignores-keys", "makes a repeated call again", &["VL-S17", "VL-S15", "concurrent.key"])
        .special(Special::IgnoresKeys),
    Mutant::new("keys-across-threads", "takes a key for the same in every thread", &["VL-S17.other-thread"])
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
    // Scope.
    Mutant::new("ignores-tenants", "shows one tenant what is another's", &["scope.tenant", "get.absent"])
        .special(Special::IgnoresTenants),
    Mutant::new("ignores-threads", "finds a message by its id alone", &["get.absent", "scope.thread"])
        .special(Special::IgnoresThreads),
    Mutant::new("folds-case", "takes ids for the same that differ by case", &["scope.bytes"])
        .special(Special::FoldsCase),
    // Reads.
    Mutant::new("reads-stale", "shows a message as it was when it was first read", &["get.latest"])
        .special(Special::ReadsStale),
    Mutant::new("orders-by-time", "orders a page by the time of creation", &["VL-S23", "add.created-at"])
        .after(|asked, response| {
            if let Some((_, page)) = change::page(asked, response) {
                page.messages.sort_by_key(|message| message.created_at);
            }
        }),
    Mutant::new("orders-by-id", "orders a page by id", &["VL-S2.place", "VL-S23"]).after(
        |asked, response| {
            if let Some((_, page)) = change::page(asked, response) {
                page.messages.sort_by(|a, b| a.id.cmp(&b.id));
            }
        },
    ),
    Mutant::new(
        "includes-the-cursor",
        "shows the message at the cursor again",
        &["page.exclusive", "page.forwards"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Page(page)) = args
            && let PageFrom::After(seq) = page.from
        {
            page.from = PageFrom::After(Seq::new(seq.get().saturating_sub(1)));
        }
    }),
    Mutant::new(
        "pages-newest-first",
        "shows a page that was read backwards newest first",
        &["page.backwards"],
    )
    .after(|asked, response| {
        if let Some((read, page)) = change::page(asked, response)
            && !read.from.is_forward()
        {
            page.messages.reverse();
        }
    }),
    Mutant::new("always-more", "says that there is more whenever a page is full", &["page.has-more"]).after(
        |asked, response| {
            if let Some((read, page)) = change::page(asked, response) {
                page.has_more = page.messages.len() == read.limit as usize;
            }
        },
    ),
    Mutant::new(
        "settled-passes-open",
        "shows a consumer what is settled behind an open message",
        &["VL-S18", "VL-S18.backwards"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Page(page)) = args
            && page.visibility == Visibility::Settled
        {
            page.visibility = Visibility::All;
        }
    })
    .after(|asked, response| {
        if let Some((read, page)) = change::page(asked, response)
            && read.visibility == Visibility::Settled
        {
            page.messages.retain(|message| !message.state.is_open());
        }
    }),
    Mutant::new("history-shows-open", "shows open messages in the history for a model", &["page.final"])
        .before(|args, _| {
            if let PersistArgs::Read(ReadArgs::Page(page)) = args {
                page.visibility = Visibility::All;
            }
        }),
    Mutant::new(
        "first-open-of-page",
        "says where the first open message of the page is",
        &["page.first-open"],
    )
    .after(|asked, response| {
        if let Some((_, page)) = change::page(asked, response) {
            page.first_open =
                page.messages.iter().find(|message| message.state.is_open()).map(|message| message.seq);
        }
    }),
    Mutant::new("lists-in-any-order", "lists open messages newest first", &["open.order"]).after(
        |_, response| {
            if let PersistResult::Read(ReadResult::OpenReservations(open)) = &mut response.result {
                open.messages.reverse();
            }
        },
    ),
    Mutant::new("lists-the-living", "lists live writers as expired", &["open.expired"]).before(|args, _| {
        if let PersistArgs::Read(ReadArgs::OpenReservations(ListOpen { expired_only, .. })) = args {
            *expired_only = false;
        }
    }),
    // Content, metadata, text.
    Mutant::new(
        "reads-json-as-a-tree",
        "keeps content as a tree of values: 1.10 becomes 1.1",
        &["text.survives"],
    )
    .before(|args, _| change::json(args, change::by_way_of_a_tree)),
    Mutant::new("cuts-content", "keeps the first kilobyte", &["text.large"])
        .before(|args, _| change::json(args, change::cut_short)),
    Mutant::new("appends-twice", "makes every append twice", &["append.text", "VL-S12"]).before(|args, _| {
        change::contents(args, |update| {
            if let ContentChange::Append(Delta::Text(text)) = &mut update.change {
                *text = text.repeat(2);
            }
        });
    }),
    Mutant::new("appends-to-nothing", "replaces where it should append", &["append.text", "append.blocks"])
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
    Mutant::new("clears-attachments", "takes absent attachments for none", &["update.attachments"]).before(
        |args, _| {
            if let PersistArgs::Update(update) = args {
                update.attachments.get_or_insert_default();
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
        &["VL-S11.gap", "concurrent.revision", "model.sequences"],
    )
    .before(|args, _| change::contents(args, |update| update.expected = None)),
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
    Mutant::new("revives-the-dead", "lets a deleted id name another message", &["delete.tombstone"])
        .special(Special::RevivesTheDead),
    Mutant::new(
        "gives-places-again",
        "counts the messages that are left to find the next place",
        &["delete.seq"],
    )
    .special(Special::GivesPlacesAgain),
    Mutant::new("stands-still", "gives every change the same position", &["order.position"])
        .after(|_, response| change::position(response, |_| 1)),
    Mutant::new("reads-have-positions", "gives a read a position", &["order.no-position"]).after(
        |asked, response| {
            if !asked.kind().is_write() {
                response.receipt = Receipt::at(throughline_core::Position::FIRST);
            }
        },
    ),
    Mutant::new("creation-moves", "takes the last change for the creation", &["time.created-at"])
        .after(|_, response| change::messages(response, |message| message.created_at = message.updated_at)),
    Mutant::new(
        "changes-go-back",
        "takes the clock for the last change, also when it goes back",
        &["time.back"],
    )
    .special(Special::ChangesGoBack),
    // Whole or not at all.
    Mutant::new(
        "partial-batches",
        "keeps the items before the one that is refused",
        &["VL-S19", "batch.refusals", "batch.threads"],
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
        &["update.not-found", "delete.not-found"],
    )
    .special(Special::MakesWhatIsMissing),
    Mutant::new(
        "refuses-without-a-word",
        "refuses with an internal error of unknown effect",
        &["delete.not-found", "add.existing-id"],
    )
    .special(Special::RefusesSilently),
    Mutant::new(
        "abandons-writes",
        "answers a write before it is made, and makes it some time later",
        &["get.latest"],
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
        &["page.empty"],
    )
    .special(Special::MissesEmptyThreads),
    Mutant::new("rewrites-content", "writes the whole content at each append", &["VL-S12.linear"])
        .special(Special::RewritesContent),
    // Claims.
    Mutant::new(
        "claims-nothing",
        "claims no operation and does all of them",
        &["claims.add", "claims.reserve", "claims.read"],
    )
    .claiming(|| Capabilities::new(Durability::Process)),
    Mutant::new("claims-keys", "claims to keep keys and refuses them", &["claims.keys"])
        .special(Special::RefusesKeys),
    Mutant::new(
        "claims-now-and-then",
        "claims something else each time that it is asked",
        &["claims.described"],
    )
    .claiming(|| {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let asked = ASKED.fetch_add(1, Ordering::SeqCst);
        if asked.is_multiple_of(2) { super::everything() } else { super::everything().with_multi_process() }
    }),
    Mutant::new("claims-too-little", "does what it does not claim", &["claims.update"])
        .claiming(without_update),
    Mutant::new("claims-too-much", "claims batches and refuses them", &["claims.batch"])
        .special(Special::RefusesBatches),
    Mutant::new(
        "claims-several-processes",
        "claims that several handles may be open, which do not see each other",
        &["processes.see", "processes.revision", "VL-S14.processes"],
    )
    .claiming(|| super::everything().with_multi_process()),
    Mutant::new(
        "claims-a-limit",
        "claims a limit of content and takes more",
        &["content.limit", "content.limit-by-appends"],
    )
    .claiming(|| super::everything().with_max_content_bytes(4096)),
];
