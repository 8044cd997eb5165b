//! Faults of threads as a whole, and of what is shown of them.

use throughline_core::{
    Labels, Metadata, MetadataPatch, PersistArgs, PersistResult, ReadArgs, ReadResult, ThreadId, Timestamp,
    Title,
    threads::{LabelPatch, ThreadArgs, ThreadCursor, ThreadResult},
};

use crate::mutants::store::{Mutant, change, special::Special, threads::ThreadFault};

/// What is done to a thread, if that is what the call is.
fn thread(args: &mut PersistArgs) -> Option<&mut ThreadArgs> {
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
        &["thread.create", "RR-S13", "thread.clear-narrow", "thread.key"],
    )
    .before(|args, _| {
        if let Some(ThreadArgs::Create(create)) = thread(args) {
            create.title = Title::default();
        }
    }),
    Mutant::new(
        "creates-long-ago",
        "takes a thread that says nothing of its beginning for an old one",
        &["entry.times", "thread.create-plain"],
    )
    .before(|args, _| {
        if let Some(ThreadArgs::Create(create)) = thread(args) {
            create.created_at.get_or_insert(Timestamp::from_micros(0));
        }
    }),
    Mutant::new(
        "creates-again",
        "creates threads that there are",
        &["fork.hidden", "fork.refused", "thread.create-exists"],
    )
    .special(Special::Thread(ThreadFault::CreatesAgain)),
    Mutant::new(
        "makes-threads",
        "makes the threads that it does not find",
        &["RR-S11", "purge.narrow", "thread.publish-again", "thread.unknown"],
    )
    .special(Special::Thread(ThreadFault::MakesThreads)),
    Mutant::new(
        "shows-threads-that-are-not",
        "shows an empty thread where there is none",
        &["thread.unknown-reads", "thread.create-plain", "thread.create-gone", "RR-S11"],
    )
    .special(Special::Thread(ThreadFault::ShowsWhatIsNot)),
    Mutant::new(
        "folds-case-of-threads",
        "takes threads for the same that differ by case",
        &["RR-S13", "thread.create-exists"],
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
        &["thread.rename", "thread.rename-expected"],
    )
    .before(|args, _| {
        if let Some(ThreadArgs::Rename(rename)) = thread(args) {
            rename.title = Title::default();
        }
    }),
    Mutant::new(
        "renames-whatever-was-seen",
        "renames a thread whatever title the caller saw",
        &["thread.rename-expected"],
    )
    .before(|args, _| {
        if let Some(ThreadArgs::Rename(rename)) = thread(args) {
            rename.expected = None;
        }
    }),
    Mutant::new(
        "titles-by-the-first-message",
        "calls a thread by its first message",
        &["RR-S11", "thread.clear", "thread.rename"],
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
        &["list.labels", "thread.labels", "thread.labels-limit"],
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
    Mutant::new("owners-stay", "takes no owner away", &["thread.owner"]).before(|args, _| {
        if let Some(ThreadArgs::Label(label)) = thread(args)
            && label.owner == Some(None)
        {
            label.owner = None;
        }
    }),
    Mutant::new(
        "labels-without-metadata",
        "keeps labels and owner that a thread is given, and no facts",
        &["thread.metadata"],
    )
    .before(|args, _| {
        if let Some(ThreadArgs::Label(label)) = thread(args) {
            label.metadata = MetadataPatch::new();
        }
    }),
    Mutant::new(
        "creates-without-metadata",
        "creates threads without the facts that they are given",
        &["fork.copies", "thread.clear-narrow", "thread.create", "thread.metadata"],
    )
    .before(|args, _| {
        if let Some(ThreadArgs::Create(create)) = thread(args) {
            create.metadata = Metadata::new();
        }
    }),
    Mutant::new(
        "rebuilds-without-metadata",
        "loses the facts of a thread when its entry is made again",
        &["thread.rebuild"],
    )
    .special(Special::Thread(ThreadFault::RebuildsWithoutMetadata)),
    Mutant::new(
        "takes-any-labels",
        "answers more labels than there may be as if they were set",
        &["thread.labels-limit", "thread.labels-layer"],
    )
    .special(Special::Thread(ThreadFault::TakesAnyLabels)),
    Mutant::new(
        "publishes-again",
        "changes a thread that is published when it is no more hidden",
        &["changes.nothing", "thread.publish-again"],
    )
    .special(Special::Thread(ThreadFault::PublishesAgain)),
    // Lists.
    Mutant::new(
        "lists-at-once",
        "lists threads that have no message, or are hidden",
        &["fork.hidden", "RR-S1", "thread.hidden", "thread.listed-settled"],
    )
    .special(Special::Thread(ThreadFault::ListsAtOnce)),
    Mutant::new(
        "lists-what-has-messages",
        "lists the threads that have a final message",
        &["thread.listed-once", "thread.listed-settled"],
    )
    .after(|asked, response| {
        if let Some((_, list)) = change::list(asked, response) {
            list.entries.retain(|entry| entry.messages > 0);
        }
    }),
    Mutant::new("lists-the-archive", "lists threads in the archive with the others", &["thread.archive"])
        .before(|args, _| {
            if let PersistArgs::Read(ReadArgs::Threads(list)) = args {
                list.archived = None;
            }
        }),
    Mutant::new("lists-every-owner", "lists every owner's threads for one", &["thread.owner"]).before(
        |args, _| {
            if let PersistArgs::Read(ReadArgs::Threads(list)) = args {
                list.owner = None;
            }
        },
    ),
    Mutant::new("lists-every-label", "lists every thread for some labels", &["list.labels"]).before(
        |args, _| {
            if let PersistArgs::Read(ReadArgs::Threads(list)) = args {
                list.labels = Labels::new();
            }
        },
    ),
    Mutant::new(
        "lists-by-name",
        "lists threads by their ids",
        &["list.order", "list.pages", "thread.archive"],
    )
    .after(|asked, response| {
        if let Some((_, list)) = change::list(asked, response) {
            list.entries.sort_by(|a, b| a.thread.cmp(&b.thread));
        }
    }),
    Mutant::new(
        "lists-after-a-time",
        "takes a cursor for a time, and skips what was active then",
        &["RR-S15", "T3-S9", "list.cursor-anywhere", "list.pages"],
    )
    .after(|asked, response| {
        if let Some((read, list)) = change::list(asked, response)
            && let Some(after) = &read.after
        {
            list.entries.retain(|entry| entry.active_at < after.active_at);
        }
    }),
    Mutant::new("lists-for-ever", "says of a full list that there are more", &["list.next"]).after(
        |asked, response| {
            if let Some((read, list)) = change::list(asked, response)
                && list.entries.len() == read.limit as usize
            {
                list.next = list.entries.last().map(ThreadCursor::of);
            }
        },
    ),
    // Entries.
    Mutant::new("previews-bytes", "cuts a preview after so many bytes", &["entry.preview"]).after(
        |_, response| {
            change::entries(response, |entry| {
                if let Some(preview) = &mut entry.preview {
                    let end = (0..=80.min(preview.len())).rev().find(|at| preview.is_char_boundary(*at));
                    preview.truncate(end.unwrap_or(0));
                }
            });
        },
    ),
    Mutant::new(
        "previews-anybody",
        "previews whoever spoke last",
        &["entry.preview-follows", "entry.preview-latest"],
    )
    .special(Special::Thread(ThreadFault::PreviewsAnybody)),
    Mutant::new("keeps-previews", "keeps the preview when a message is deleted", &["entry.preview-follows"])
        .special(Special::Thread(ThreadFault::KeepsPreviews)),
    Mutant::new(
        "counts-turns-of-anybody",
        "counts every message as a turn",
        &["entry.counts", "import.entry"],
    )
    .after(|_, response| change::entries(response, |entry| entry.turns = entry.messages)),
    Mutant::new("counts-what-is-open", "counts messages in any state", &["entry.counts", "thread.rebuild"])
        .special(Special::Thread(ThreadFault::CountsOpen)),
    Mutant::new(
        "acts-at-every-write",
        "takes every write for activity, at its own time",
        &[
            "entry.first",
            "entry.open-deleted",
            "entry.times",
            "entry.times-back",
            "thread.clear",
            "thread.create",
            "thread.labels",
        ],
    )
    .special(Special::Thread(ThreadFault::ActsAtEveryWrite)),
    Mutant::new("adds-now", "takes every message for one of now", &["entry.first"]).before(|args, _| {
        if let PersistArgs::Add(add) = args {
            add.created_at = None;
        }
    }),
    Mutant::new(
        "rebuilds-what-is-left",
        "makes an entry again as if nothing had ever gone",
        &["entry.open-deleted", "thread.rebuild"],
    )
    .after(|_, response| {
        if let PersistResult::Thread(ThreadResult::Rebuild(changed)) = &mut response.result {
            changed.entry.active_at = changed.entry.created_at;
        }
    }),
    // The end of messages and threads.
    Mutant::new(
        "clears-nothing",
        "counts a generation, and takes no message away",
        &[
            "thread.clear",
            "prune.generation",
            "thread.clear-expected",
            "thread.clear-late",
            "thread.generation",
            "thread.listed-once",
        ],
    )
    .special(Special::Thread(ThreadFault::ClearsNothing)),
    Mutant::new(
        "clears-titles",
        "takes the title away with the messages",
        &["changes.threads", "thread.clear-narrow"],
    )
    .special(Special::Thread(ThreadFault::ClearsTitles)),
    Mutant::new("clears-everything", "clears every thread", &["thread.clear-narrow", "purge.narrow"])
        .special(Special::Thread(ThreadFault::ClearsEverything)),
    Mutant::new(
        "ignores-generations",
        "takes what was begun before a thread was cleared",
        &["resolve.cleared", "thread.clear-expected", "thread.generation", "thread.generation-batch"],
    )
    .before(|args, _| forget_generation(args)),
    Mutant::new(
        "deletes-nothing",
        "takes no more writes to a deleted thread, and shows all of it",
        &["thread.delete", "RR-S12", "thread.create-gone"],
    )
    .special(Special::Thread(ThreadFault::DeletesNothing)),
    Mutant::new(
        "deletes-threads-everywhere",
        "deletes every tenant's thread of that id",
        &["list.tenant", "thread.delete-narrow", "thread.unknown"],
    )
    .special(Special::Thread(ThreadFault::DeletesEverywhere)),
    Mutant::new(
        "takes-writes-to-the-dead",
        "answers writes to what is gone as done",
        &[
            "RR-S12",
            "RR-S12.replay",
            "RR-S12.batch",
            "thread.clear-ids",
            "thread.create-gone",
            "thread.delete-again",
        ],
    )
    .special(Special::Thread(ThreadFault::TakesWritesToTheDead)),
    Mutant::new(
        "deletes-for-the-first-time",
        "never knows that a thread was deleted before",
        &["purge.gone", "thread.delete-again"],
    )
    .after(|_, response| {
        if let PersistResult::Thread(ThreadResult::Delete(deleted)) = &mut response.result {
            deleted.already = false;
        }
    }),
    // Pruning and purging.
    Mutant::new(
        "prunes-one-too-few",
        "keeps a message more than it is to",
        &["prune.abandoned", "prune.count", "prune.plan"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::PlanPrune(plan)) = args {
            plan.keep.messages = plan.keep.messages.map(|count| count + 1);
        }
    }),
    Mutant::new("prunes-any-size", "prunes to no number of bytes", &["prune.bytes", "prune.several"]).before(
        |args, _| {
            if let PersistArgs::Read(ReadArgs::PlanPrune(plan)) = args {
                plan.keep.bytes = None;
            }
        },
    ),
    Mutant::new("prunes-any-time", "prunes to no time", &["prune.several", "prune.time"]).before(
        |args, _| {
            if let PersistArgs::Read(ReadArgs::PlanPrune(plan)) = args {
                plan.keep.since = None;
            }
        },
    ),
    Mutant::new(
        "plans-too-much",
        "plans to take one message more than it takes",
        &["prune.open", "prune.plan", "thread.delete", "thread.unknown-reads"],
    )
    .after(|_, response| {
        if let PersistResult::Read(ReadResult::PlanPrune(plan)) = &mut response.result {
            plan.messages += 1;
        }
    }),
    Mutant::new(
        "plans-what-was-abandoned",
        "counts abandoned messages among those to keep",
        &["prune.abandoned", "prune.bytes", "prune.time"],
    )
    .special(Special::Thread(ThreadFault::PlansAbandoned)),
    Mutant::new("prunes-what-is-open", "prunes beyond an open message", &["prune.open", "prune.steps"])
        .special(Special::Thread(ThreadFault::PrunesOpen)),
    Mutant::new("prunes-any-generation", "prunes by a plan of another generation", &["prune.generation"])
        .special(Special::Thread(ThreadFault::PrunesAnyGeneration)),
    Mutant::new("prunes-at-once", "prunes everything in one step", &["prune.steps"]).before(|args, _| {
        if let Some(ThreadArgs::Prune(prune)) = thread(args) {
            prune.limit = 1000;
        }
    }),
    Mutant::new(
        "prunes-without-a-word",
        "does not say which attachments a prune leaves behind",
        &["prune.leaves"],
    )
    .after(|_, response| {
        if let PersistResult::Thread(ThreadResult::Prune(pruned)) = &mut response.result {
            pruned.attachments.clear();
        }
    }),
    Mutant::new(
        "purges-without-a-word",
        "does not say which attachments a purge leaves behind",
        &["purge.attachments", "purge.listed", "purge.steps"],
    )
    .after(|_, response| {
        if let PersistResult::Thread(ThreadResult::Purge(purged)) = &mut response.result {
            purged.attachments.clear();
        }
    }),
    Mutant::new("purges-at-once", "purges everything in one step", &["purge.steps"]).before(|args, _| {
        if let Some(ThreadArgs::Purge(purge)) = thread(args) {
            purge.limit = 1000;
        }
    }),
    Mutant::new(
        "purges-the-living",
        "purges what nobody has cleared",
        &["purge.narrow", "purge.attachments"],
    )
    .special(Special::Thread(ThreadFault::PurgesTheLiving)),
    Mutant::new(
        "skips-a-tenant",
        "leaves the last tenant out of each page of tenants",
        &["threads.tenants_are_listed_in_order", "threads.tenants_of_purged_threads_are_listed"],
    )
    .after(|_, response| {
        if let PersistResult::Read(ReadResult::Tenants(list)) = &mut response.result {
            list.tenants.pop();
        }
    }),
    Mutant::new(
        "repeats-a-tenant",
        "begins each page of tenants with the tenant before it",
        &["threads.tenants_are_listed_in_order", "threads.tenants_without_a_thread_are_not_listed"],
    )
    .after(|asked, response| {
        if let PersistArgs::Read(ReadArgs::Tenants(list)) = asked
            && let PersistResult::Read(ReadResult::Tenants(found)) = &mut response.result
        {
            found.tenants.splice(0..0, list.after.clone());
        }
    }),
    Mutant::new("lists-nothing-to-purge", "lists no thread that can be purged", &["purge.listed"]).after(
        |_, response| {
            if let PersistResult::Read(ReadResult::Purgeable(list)) = &mut response.result {
                list.threads.clear();
            }
        },
    ),
    Mutant::new("forgets-threads", "does not keep in the file what is done to threads", &["thread.reopened"])
        .special(Special::ForgetsThreads),
    // Threads that run into each other.
    Mutant::new("merges-threads", "shows the messages of every thread in one", &["T3-S1"])
        .special(Special::Thread(ThreadFault::MergesThreads)),
    Mutant::new(
        "writes-everywhere",
        "changes every message of the id, in whatever thread",
        &["RR-S12", "T3-S2"],
    )
    .special(Special::Thread(ThreadFault::UpdatesEverywhere)),
    Mutant::new("inherits-attachments", "gives a message the attachments of its namesake", &["T3-S3"])
        .special(Special::Thread(ThreadFault::InheritsAttachments)),
];
