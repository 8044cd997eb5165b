//! Faults of a store that was opened again, and of values that are large or shown in few answers.

use std::time::Duration;

use throughline_core::{
    Content, Labels, Metadata, PersistArgs, PersistError, PersistResult, Position, ReadArgs, ReadResult,
    Role, Timestamp,
    changes::ConsumerArgs,
    ids::ConsumerName,
    messages::UpdateMode,
    sessions::{ListAttempts, SessionArgs},
    threads::ThreadArgs,
};

use crate::mutants::store::{Mutant, change};

const HOUR: Duration = Duration::from_secs(3600);

fn fold(name: &mut ConsumerName) {
    *name = name.as_str().to_lowercase().parse().expect("a valid name");
}

pub(super) static MUTANTS: &[Mutant] = &[
    Mutant::new(
        "reopens-without-index",
        "finds nothing after it was opened again",
        &["durability.search_hits_survive_reopening"],
    )
    .reopened(|response| {
        if let PersistResult::Read(ReadResult::Search(found)) = &mut response.result {
            found.hits.clear();
        }
    }),
    Mutant::new(
        "reopens-without-aliases",
        "lists no alias after it was opened again",
        &["durability.provider_aliases_survive_reopening"],
    )
    .reopened(|response| {
        if let PersistResult::Read(ReadResult::Aliases(list)) = &mut response.result {
            list.aliases.clear();
        }
    }),
    Mutant::new(
        "reopens-without-thread-metadata",
        "shows no metadata of threads after it was opened again",
        &["durability.thread_facts_survive_reopening"],
    )
    .reopened(|response| change::entries(response, |entry| entry.metadata = Metadata::new())),
    Mutant::new(
        "reopens-without-labels",
        "shows no labels of threads after it was opened again",
        &["durability.thread_facts_survive_reopening", "threads.state_survives_reopening"],
    )
    .reopened(|response| change::entries(response, |entry| entry.labels = Labels::new())),
    Mutant::new(
        "reopens-without-fork-point",
        "does not say after it was opened again what a thread was forked from",
        &["durability.thread_facts_survive_reopening"],
    )
    .reopened(|response| change::entries(response, |entry| entry.forked_from = None)),
    Mutant::new(
        "reopens-inactive",
        "says after it was opened again that a thread was active when it was created",
        &["durability.thread_facts_survive_reopening"],
    )
    .reopened(|response| change::entries(response, |entry| entry.active_at = entry.created_at)),
    Mutant::new(
        "reopens-unpurgeable",
        "lists nothing to purge after it was opened again",
        &["durability.purgeable_threads_survive_reopening"],
    )
    .reopened(|response| {
        if let PersistResult::Read(ReadResult::Purgeable(list)) = &mut response.result {
            list.threads.clear();
        }
    }),
    Mutant::new(
        "reopens-with-one-open",
        "lists one open message at most after it was opened again",
        &["durability.open_message_list_survives_reopening"],
    )
    .reopened(|response| {
        if let PersistResult::Read(ReadResult::OpenReservations(open)) = &mut response.result {
            open.messages.truncate(1);
        }
    }),
    Mutant::new(
        "replaces-large-content",
        "keeps no content of over 4 MiB",
        &["messages.5_mib_content_is_kept"],
    )
    .before(|args, _| {
        change::json(args, |content| {
            if content.byte_len() > 4 << 20 { Content::text("large") } else { content.clone() }
        });
    }),
    Mutant::new(
        "drops-large-metadata",
        "keeps no metadata value of over 64 KiB",
        &["messages.100_kib_metadata_value_is_kept"],
    )
    .before(|args, _| {
        if let PersistArgs::Add(add) = args {
            let large = add.metadata.iter().filter(|(_, value)| value.get().len() > 64 << 10);
            let large: Vec<String> = large.map(|(name, _)| name.to_owned()).collect();
            for name in large {
                add.metadata.remove(&name);
            }
        }
    }),
    Mutant::new(
        "cuts-reasons",
        "cuts a reason at 255 characters",
        &["drafts.reason_of_2000_characters_is_kept"],
    )
    .before(|args, _| {
        change::contents(args, |update| {
            if let UpdateMode::Abandon { reason: Some(reason) } = &mut update.mode {
                *reason = reason.chars().take(255).collect();
            }
        });
    }),
    Mutant::new("cuts-leases", "cuts a lease at an hour", &["drafts.lease_of_thirty_days_is_kept"]).before(
        |args, _| {
            if let PersistArgs::Reserve(reserve) = args {
                reserve.lease = reserve.lease.min(HOUR);
            }
        },
    ),
    Mutant::new(
        "drops-details",
        "keeps no detail of a failed run",
        &["sessions.history_keeps_the_failure_detail"],
    )
    .before(|args, _| {
        if let Some(SessionArgs::Fail(fail)) = change::session(args) {
            fail.detail = None;
        }
    }),
    Mutant::new(
        "lists-the-latest-runs-only",
        "lists the runs from the latest on each page",
        &["sessions.history_pages_list_each_run_once"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Attempts(ListAttempts { before, .. })) = args {
            *before = None;
        }
    }),
    Mutant::new(
        "ignores-case-of-consumers",
        "treats consumer names that differ only in case as the same",
        &["consumers.names_are_case_sensitive"],
    )
    .before(|args, _| match args {
        PersistArgs::Consumer(ConsumerArgs::MoveCursor(call)) => fold(&mut call.consumer),
        PersistArgs::Read(ReadArgs::Cursor(read)) => fold(&mut read.consumer),
        _ => {}
    }),
    Mutant::new(
        "lists-no-fork-point",
        "does not say in lists what a thread was forked from",
        &["forks.list_shows_the_origin"],
    )
    .after(|_, response| {
        if let PersistResult::Read(ReadResult::Threads(list)) = &mut response.result {
            list.threads.iter_mut().for_each(|entry| entry.forked_from = None);
        }
    }),
    Mutant::new(
        "searches-ahead",
        "says that changes to come are indexed",
        &["search.indexed_position_is_not_ahead"],
    )
    .after(|_, response| {
        if let PersistResult::Read(ReadResult::Search(found)) = &mut response.result {
            found.indexed = Position::new(u64::MAX >> 1);
        }
    }),
    Mutant::new(
        "finds-users-only",
        "says of every hit that the user said it",
        &["search.hit_shows_role_and_time"],
    )
    .after(|_, response| {
        if let PersistResult::Read(ReadResult::Search(found)) = &mut response.result {
            found.hits.iter_mut().for_each(|hit| hit.role = Role::User);
        }
    }),
    Mutant::new(
        "finds-at-the-epoch",
        "says of every hit that it was written at the epoch",
        &["search.hit_shows_role_and_time"],
    )
    .after(|_, response| {
        if let PersistResult::Read(ReadResult::Search(found)) = &mut response.result {
            found.hits.iter_mut().for_each(|hit| hit.created_at = Timestamp::from_micros(0));
        }
    }),
    Mutant::new("finds-twenty", "answers 20 hits at most", &["search.returns_as_many_hits_as_the_limit"])
        .after(|_, response| {
            if let PersistResult::Read(ReadResult::Search(found)) = &mut response.result {
                found.hits.truncate(20);
            }
        }),
    Mutant::new(
        "reopens-without-taking",
        "takes no last message after it was opened again",
        &["durability.last_message_can_be_taken_after_reopening"],
    )
    .refusing_reopened(|args| {
        let taken = matches!(args, PersistArgs::Thread(ThreadArgs::TakeLast(_)));
        taken.then(|| PersistError::unsupported("`take_last`"))
    }),
];
