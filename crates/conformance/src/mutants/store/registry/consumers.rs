//! Faults of what consumers keep, of searches, and of what a caller expects of the end of a thread.

use throughline_core::{
    PersistArgs, PersistResult, Position, ReadArgs, ReadResult,
    changes::{ConsumerArgs, ConsumerResult, ResetCursor},
};

use crate::mutants::store::{Mutant, searches::SearchFault, special::Special};

/// The operation on a consumer, if the call is one.
fn consumer(args: &mut PersistArgs) -> Option<&mut ConsumerArgs> {
    match args {
        PersistArgs::Consumer(consumer) => Some(consumer),
        _ => None,
    }
}

/// Forgets which end of the thread the caller saw, in batches too.
fn forget_the_end(args: &mut PersistArgs) {
    match args {
        PersistArgs::Add(add) => add.after = None,
        PersistArgs::Reserve(reserve) => reserve.after = None,
        PersistArgs::Batch(batch) => batch.items.iter_mut().for_each(forget_the_end),
        _ => {}
    }
}

pub(super) static MUTANTS: &[Mutant] = &[
    Mutant::new(
        "is-never-empty",
        "says of an empty store that something was written to it",
        &[
            "consumers.refused_move_creates_no_consumer",
            "replication.role_changes_from_the_expected_state_only",
        ],
    )
    .after(|_, response| {
        if let PersistResult::Read(ReadResult::ReplicationStatus(status)) = &mut response.result {
            status.is_empty = false;
        }
    }),
    // The end of a thread.
    Mutant::new(
        "adds-whatever-was-seen",
        "adds behind what its writer has not read",
        &[
            "turns.append_after_another_last_message_is_stale",
            "drafts.reservation_after_another_last_message_is_stale",
        ],
    )
    .before(|args, _| forget_the_end(args)),
    Mutant::new(
        "says-that-is-all",
        "says that there is never more to read",
        &["turns.history_holds_final_messages_only"],
    )
    .after(|_, response| {
        if let PersistResult::Read(ReadResult::Page(page)) = &mut response.result {
            page.has_more = false;
        }
    }),
    Mutant::new(
        "halves-turns",
        "adds the first message of a batch alone",
        &[
            "turns.lost_answer_is_replayed_by_key",
            "turns.appended_as_a_whole",
            "turns.repeated_key_is_not_appended_twice",
        ],
    )
    .before(|args, _| {
        if let PersistArgs::Batch(batch) = args {
            let first = batch.items[0].clone();
            batch.items.iter_mut().for_each(|item| *item = first.clone());
        }
    }),
    // Consumers.
    Mutant::new("moves-any-cursor", "moves a cursor wherever it is", &["consumers.cursor_never_moves_back"])
        .before(|args, _| {
            if let Some(consumer) = consumer(args)
                && let ConsumerArgs::MoveCursor(moved) = consumer
            {
                moved.expected = None;
            }
        }),
    Mutant::new(
        "keeps-no-reasons",
        "stores no reason of a quarantined change",
        &["consumers.quarantine_lists_skipped_changes"],
    )
    .before(|args, _| {
        if let Some(ConsumerArgs::Quarantine(change)) = consumer(args) {
            change.why.clear();
        }
    }),
    Mutant::new(
        "quarantines-without-end",
        "accepts any number of quarantined changes",
        &["consumers.quarantine_holds_1000_changes"],
    )
    .before(|args, _| {
        if let Some(ConsumerArgs::Quarantine(change)) = consumer(args)
            && change.position.get() >= 900
        {
            let further = format!("{}-further", change.consumer);
            change.consumer = further.parse().expect("a longer name");
        }
    })
    .after(|asked, response| {
        if let (
            PersistArgs::Consumer(ConsumerArgs::Quarantine(change)),
            PersistResult::Consumer(ConsumerResult::Quarantine(answer)),
        ) = (asked, &mut response.result)
        {
            answer.consumer = change.consumer.clone();
        }
    }),
    Mutant::new(
        "resets-to-the-beginning",
        "puts a cursor at the beginning",
        &["consumers.reset_sets_the_cursor_anywhere"],
    )
    .before(|args, _| {
        if let Some(ConsumerArgs::ResetCursor(ResetCursor { to, .. })) = consumer(args) {
            *to = Position::ZERO;
        }
    }),
    Mutant::new(
        "lists-from-the-first",
        "starts every page of quarantined changes at the first one",
        &["consumers.quarantine_lists_skipped_changes"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Quarantined(list)) = args {
            list.after = Position::ZERO;
        }
    })
    .after(|_, response| {
        if let PersistResult::Read(ReadResult::Quarantined(list)) = &mut response.result {
            list.changes.truncate(1);
        }
    }),
    Mutant::new(
        "counts-no-quarantine",
        "answers that no change is quarantined",
        &["consumers.state_is_separate_per_consumer_and_tenant", "consumers.state_survives_reopening"],
    )
    .after(|_, response| {
        if let PersistResult::Read(ReadResult::Cursor(cursor)) = &mut response.result {
            cursor.quarantined = 0;
        }
    }),
    // Searches.
    Mutant::new(
        "finds-nothing",
        "finds no word",
        &[
            "search.terms_match_by_prefix_and_in_any_case",
            "search.bad_limits_and_empty_queries_are_refused",
            "search.only_final_messages_are_found",
            "search.removed_text_is_not_found",
        ],
    )
    .after(|_, response| {
        if let PersistResult::Read(ReadResult::Search(found)) = &mut response.result {
            found.hits.clear();
        }
    }),
    Mutant::new(
        "finds-beginnings",
        "takes every word for the beginning of one",
        &["search.terms_match_by_prefix_and_in_any_case"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Search(search)) = args {
            search.query = search.query.split_whitespace().map(|word| format!("{word}* ")).collect();
        }
    }),
    Mutant::new("marks-nothing", "marks no word", &["search.hit_names_the_message_and_marks_the_terms"])
        .after(|_, response| {
            if let PersistResult::Read(ReadResult::Search(found)) = &mut response.result {
                found.hits.iter_mut().for_each(|hit| hit.marks.clear());
            }
        }),
    Mutant::new(
        "limits-before-tenants",
        "limits the hits of an index of all tenants before it filters by tenant",
        &["search.other_tenants_do_not_affect_hits"],
    )
    .special(Special::Search(SearchFault::LimitsBeforeTenants)),
    Mutant::new(
        "ranks-by-every-tenant",
        "ranks the hits of a tenant by what the other ones say",
        &["search.other_tenants_do_not_affect_hits"],
    )
    .special(Special::Search(SearchFault::RanksByEveryTenant)),
    Mutant::new("ranks-by-age", "shows the oldest hit first", &["search.hits_are_ranked_by_term_count"])
        .after(|_, response| {
            if let PersistResult::Read(ReadResult::Search(found)) = &mut response.result {
                found.hits.sort_by_key(|hit| hit.seq);
            }
        }),
    Mutant::new(
        "finds-whole-runs",
        "finds Chinese, Japanese and Korean by a whole run of characters only",
        &["search.cjk_is_found_inside_a_run"],
    )
    .after(|_, response| {
        if let PersistResult::Read(ReadResult::Search(found)) = &mut response.result {
            // Inside a run: the character before or behind the word belongs to it.
            found.hits.retain(|hit| {
                hit.marks.iter().all(|(begin, end)| {
                    let (before, behind) = (&hit.snippet[..*begin as usize], &hit.snippet[*end as usize..]);
                    let ends = before.chars().next_back().into_iter().chain(behind.chars().next());
                    !ends.into_iter().any(char::is_alphanumeric)
                })
            });
        }
    }),
    Mutant::new(
        "finds-what-is-elsewhere",
        "finds what any thread says",
        &["search.scope_excludes_other_threads_and_tenants"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Search(search)) = args {
            search.thread = None;
        }
    }),
];
