//! Mutants that break prunes and purges.

use throughline_core::{
    PersistArgs, PersistResult, ReadArgs, ReadResult,
    threads::{ThreadArgs, ThreadResult},
};

use super::threads::thread;
use crate::mutants::store::{Mutant, special::Special, threads::ThreadFault};

pub(super) static MUTANTS: &[Mutant] = &[
    // Pruning and purging.
    Mutant::new(
        "prunes-one-too-few",
        "keeps a message more than it is to",
        &[
            "prunes.abandoned_messages_are_not_counted",
            "prunes.count_keeps_the_latest_messages",
            "prunes.plan_removes_nothing",
        ],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::PlanPrune(plan)) = args {
            plan.keep.messages = plan.keep.messages.map(|count| count + 1);
        }
    }),
    Mutant::new(
        "prunes-any-size",
        "prunes to no number of bytes",
        &["prunes.byte_bound_keeps_the_latest_messages", "prunes.several_limits_all_apply"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::PlanPrune(plan)) = args {
            plan.keep.bytes = None;
        }
    }),
    Mutant::new(
        "prunes-any-time",
        "prunes to no time",
        &["prunes.several_limits_all_apply", "prunes.time_keeps_later_messages"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::PlanPrune(plan)) = args {
            plan.keep.since = None;
        }
    }),
    Mutant::new(
        "plans-too-much",
        "plans to take one message more than it takes",
        &[
            "prunes.prune_stops_at_the_first_open_message",
            "prunes.plan_removes_nothing",
            "threads.deleted_thread_is_in_no_read",
            "threads.reads_of_an_unknown_thread_are_empty",
        ],
    )
    .after(|_, response| {
        if let PersistResult::Read(ReadResult::PlanPrune(plan)) = &mut response.result {
            plan.messages += 1;
        }
    }),
    Mutant::new(
        "plans-what-was-abandoned",
        "counts abandoned messages among those to keep",
        &[
            "prunes.abandoned_messages_are_not_counted",
            "prunes.byte_bound_keeps_the_latest_messages",
            "prunes.time_keeps_later_messages",
        ],
    )
    .special(Special::Thread(ThreadFault::PlansAbandoned)),
    Mutant::new(
        "prunes-what-is-open",
        "prunes beyond an open message",
        &["prunes.prune_stops_at_the_first_open_message", "prunes.steps_are_bounded"],
    )
    .special(Special::Thread(ThreadFault::PrunesOpen)),
    Mutant::new(
        "prunes-any-generation",
        "prunes by a plan of another generation",
        &["prunes.plan_of_another_generation_is_stale"],
    )
    .special(Special::Thread(ThreadFault::PrunesAnyGeneration)),
    Mutant::new("prunes-at-once", "prunes everything in one step", &["prunes.steps_are_bounded"]).before(
        |args, _| {
            if let Some(ThreadArgs::Prune(prune)) = thread(args) {
                prune.limit = 1000;
            }
        },
    ),
    Mutant::new(
        "prunes-without-a-word",
        "does not say which attachments a prune leaves behind",
        &["prunes.pruned_messages_are_in_no_read"],
    )
    .after(|_, response| {
        if let PersistResult::Thread(ThreadResult::Prune(pruned)) = &mut response.result {
            pruned.attachments.clear();
        }
    }),
    Mutant::new(
        "purges-without-a-word",
        "does not say which attachments a purge leaves behind",
        &[
            "purges.attachments_are_returned_once",
            "purges.purgeable_threads_are_listed_until_purged",
            "purges.steps_are_bounded",
        ],
    )
    .after(|_, response| {
        if let PersistResult::Thread(ThreadResult::Purge(purged)) = &mut response.result {
            purged.attachments.clear();
        }
    }),
    Mutant::new("purges-at-once", "purges everything in one step", &["purges.steps_are_bounded"]).before(
        |args, _| {
            if let Some(ThreadArgs::Purge(purge)) = thread(args) {
                purge.limit = 1000;
            }
        },
    ),
    Mutant::new(
        "purges-the-living",
        "purges rows that were not cleared",
        &["purges.live_thread_is_unchanged", "purges.attachments_are_returned_once"],
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
    Mutant::new(
        "lists-nothing-to-purge",
        "lists no thread that can be purged",
        &["purges.purgeable_threads_are_listed_until_purged"],
    )
    .after(|_, response| {
        if let PersistResult::Read(ReadResult::Purgeable(list)) = &mut response.result {
            list.threads.clear();
        }
    }),
    Mutant::new(
        "forgets-threads",
        "does not keep in the file what is done to threads",
        &["threads.state_survives_reopening"],
    )
    .special(Special::ForgetsThreads),
];
