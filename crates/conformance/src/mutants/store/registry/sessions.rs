//! Faults of agent sessions. The ones that stores have had stand first.

use throughline_core::{
    PersistArgs, PersistResult, ReadResult,
    messages::Reserve,
    sessions::{
        Failure, PointerState, Reach, Runtime, SessionArgs, SessionGeneration, SessionResult, Withheld,
    },
};

use crate::mutants::store::{
    Mutant,
    change::{bindings, claimer, ends, resolution, session},
    sessions::{SessionFault, offers},
    special::Special,
};

fn everywhere(name: &str) -> Runtime {
    Runtime::new(name.parse().expect("a valid id"), "root".parse().expect("a valid id"))
}

pub(super) static MUTANTS: &[Mutant] = &[
    Mutant::new(
        "saves-only-the-first",
        "looks before it saves whether there is a session, and finds the one from before the reset",
        &["sessions.reset_keeps_the_old_session_in_the_history"],
    )
    .special(Special::Session(SessionFault::SavesOnlyTheFirst)),
    Mutant::new(
        "forgets-when-it-began",
        "replaces what is kept, and when it was first kept with it",
        &["sessions.reset_keeps_the_old_session_in_the_history"],
    )
    .after(|_, response| bindings(response, |binding| binding.created_at = binding.updated_at)),
    Mutant::new(
        "compares-no-providers",
        "keeps whose session it is and compares it with nothing",
        &[
            "sessions.other_provider_is_offered_none",
            "sessions.each_drop_has_a_reason_and_is_reported_once",
            "models.session_interleavings_match_the_reference_model",
        ],
    )
    .special(Special::Session(SessionFault::ComparesNoProviders)),
    Mutant::new(
        "offers-what-was-given",
        "keeps the pointer before the run and offers it",
        &[
            "sessions.provisional_id_of_a_dead_run_is_not_offered",
            "sessions.unconfirmed_id_is_not_offered_after_reopening",
            "models.session_interleavings_match_the_reference_model",
        ],
    )
    .after(|_, response| {
        resolution(response, |resolution| {
            let pointer = resolution.binding.as_ref().and_then(|binding| binding.pointer.as_ref());
            if let Some(pointer) = pointer.filter(|pointer| pointer.state == PointerState::Provisional) {
                resolution.session = Some(pointer.session.clone());
            }
        });
    }),
    Mutant::new(
        "resets-the-next-thread",
        "resets whichever thread of the agent comes next",
        &["sessions.reset_scope_is_one_thread"],
    )
    .special(Special::Session(SessionFault::ResetsTheNextThread)),
    Mutant::new(
        "misses-what-was-replaced",
        "says of every session that it offers that another one is missing",
        &["sessions.late_pin_replaces_a_missing_session"],
    )
    .after(|_, response| {
        resolution(response, |resolution| {
            if resolution.session.is_some() {
                resolution.withheld = Some(Withheld::ArtifactMissing);
            }
        });
    }),
    Mutant::new(
        "counts-deleted-threads-again",
        "answers generation 1 for a deleted thread",
        &["sessions.deleted_thread_keeps_its_generation"],
    )
    .after(|_, response| {
        resolution(response, |resolution| {
            if resolution.withheld == Some(Withheld::ThreadDeleted) {
                resolution.generation = SessionGeneration::new(1);
            }
        });
    }),
    Mutant::new(
        "pairs-with-the-newest",
        "writes the newest runtime next to an older session",
        &["sessions.backfill_sets_the_runtime_of_the_latest_run_once"],
    )
    .special(Special::Session(SessionFault::PairsWithTheNewest)),
    Mutant::new(
        "takes-nothing-for-equal",
        "takes no runtime for a runtime like any other",
        &[
            "sessions.session_without_runtime_is_not_offered",
            "models.session_interleavings_match_the_reference_model",
        ],
    )
    .before(|args, _| {
        if let Some(claimer) = claimer(args) {
            claimer.runtime.get_or_insert_with(|| everywhere("null"));
        }
    }),
    Mutant::new(
        "wipes-pointers",
        "writes that there is no session when a run reported none",
        &["sessions.pointer_moves_as_a_whole", "models.session_interleavings_match_the_reference_model"],
    )
    .special(Special::Session(SessionFault::WipesPointers)),
    Mutant::new(
        "writes-pairs-apart",
        "shows a session before the runtime and the directory that belong to it",
        &[
            "sessions.pointer_moves_as_a_whole",
            "sessions.readers_never_see_a_mixed_pair",
            "sessions.reinstalled_runtime_is_another_one",
            "sessions.random_turns_keep_the_invariants",
        ],
    )
    .after(|_, response| {
        bindings(response, |binding| {
            if let Some(pointer) = &mut binding.pointer {
                pointer.runtime = None;
            }
        });
        resolution(response, |resolution| resolution.work_dir = None);
    }),
    Mutant::new(
        "resurrects-the-retired",
        "finds a retired session in an older row",
        &["sessions.retired_session_is_never_offered"],
    )
    .after(|_, response| {
        resolution(response, |resolution| offers(resolution, |reason| reason == Withheld::Retired));
    }),
    Mutant::new(
        "resurrects-the-poisoned",
        "finds a poisoned session in an older row",
        &["sessions.poisoned_session_is_skipped_until_a_run_succeeds"],
    )
    .after(|_, response| {
        resolution(response, |resolution| {
            offers(resolution, |reason| matches!(reason, Withheld::Poisoned(_)));
        });
    }),
    Mutant::new(
        "resumes-the-last-used",
        "goes on with the last session of the agent where there is none",
        &[
            "sessions.call_without_thread_is_offered_none",
            "sessions.alternating_threads_have_separate_sessions",
            "sessions.fork_copies_no_pointer",
        ],
    )
    .special(Special::Session(SessionFault::ResumesTheLastUsed)),
    Mutant::new(
        "lets-everybody-run",
        "lets a run begin while another one is under way",
        &[
            "sessions.one_first_run_begins_and_the_other_resumes",
            "sessions.expired_lease_can_be_taken_over",
            "sessions.late_run_without_takeover_can_confirm",
        ],
    )
    .special(Special::Session(SessionFault::LetsEverybodyRun)),
    Mutant::new(
        "forgets-resets",
        "answers a reset and does nothing",
        &[
            "sessions.reset_lasts_until_a_run_is_confirmed",
            "sessions.run_from_before_a_reset_is_refused",
            "sessions.reset_of_an_old_generation_is_refused",
            "sessions.each_generation_keeps_its_own_session",
        ],
    )
    .special(Special::Session(SessionFault::ForgetsResets)),
    Mutant::new(
        "keeps-what-was-dropped",
        "answers what is done to a whole agent or runtime and does nothing",
        &[
            "sessions.recreated_agent_inherits_none",
            "sessions.pointers_of_a_dropped_runtime_are_unusable",
            "sessions.agent_reset_covers_every_thread",
            "sessions.state_survives_reopening",
        ],
    )
    .special(Special::Session(SessionFault::ForgetsWholes)),
    Mutant::new(
        "adopts-again",
        "says that it adopted what it had",
        &["sessions.threadless_session_is_adopted_once"],
    )
    .special(Special::Session(SessionFault::AdoptsAgain)),
    Mutant::new(
        "resumes-nothing",
        "begins without a session every time",
        &[
            "sessions.second_run_resumes_the_first",
            "sessions.two_agents_have_separate_sessions",
            "sessions.moved_agent_resumes_per_runtime",
            "sessions.own_run_wins_over_an_adopted_pointer",
            "sessions.unrelated_failure_keeps_the_session",
            "sessions.pin_survives_cancellation",
            "sessions.pointer_is_that_of_the_newest_turn",
            "sessions.deleting_a_thread_removes_its_pointers",
            "sessions.lease_survives_reopening",
        ],
    )
    .after(|_, response| resolution(response, |resolution| resolution.session = None)),
    Mutant::new(
        "compares-no-runtimes",
        "takes every runtime for the same one",
        &["sessions.other_runtime_is_offered_only_the_directory"],
    )
    .before(|args, _| {
        if let Some(runtime) = claimer(args).and_then(|claimer| claimer.runtime.as_mut()) {
            *runtime = everywhere("r1");
        }
    }),
    Mutant::new(
        "compares-no-roots",
        "takes a runtime for the one that had its name",
        &["sessions.reinstalled_runtime_is_another_one"],
    )
    .before(|args, _| {
        if let Some(runtime) = claimer(args).and_then(|claimer| claimer.runtime.as_mut()) {
            runtime.root = "root".parse().expect("a valid id");
        }
    }),
    Mutant::new(
        "ignores-reach",
        "offers a session although the claimer cannot reach it",
        &["sessions.unreachable_session_is_dropped_and_reported"],
    )
    .before(|args, _| {
        if let Some(claimer) = claimer(args) {
            claimer.reach = Reach::default();
        }
    }),
    Mutant::new(
        "reruns-the-latest",
        "makes the latest run again, whichever was asked for",
        &["sessions.rerun_resumes_its_own_run"],
    )
    .before(|args, _| {
        if let Some(claimer) = claimer(args) {
            claimer.rerun_of = None;
        }
    }),
    Mutant::new(
        "ignores-fresh-claims",
        "resumes a session for a fresh claim",
        &["sessions.fresh_claim_is_offered_none"],
    )
    .before(|args, _| {
        if let Some(claimer) = claimer(args) {
            claimer.force_fresh = false;
        }
    }),
    Mutant::new(
        "offers-any-directory",
        "offers a session with the directory of another",
        &["sessions.fallback_session_has_its_own_directory"],
    )
    .after(|_, response| {
        resolution(response, |resolution| {
            let pointer = resolution.binding.as_ref().and_then(|binding| binding.pointer.as_ref());
            resolution.work_dir = pointer.and_then(|pointer| pointer.work_dir.clone());
        });
    }),
    Mutant::new(
        "never-takes-over",
        "believes a run for as long as it may",
        &["sessions.expired_lease_can_be_taken_over", "sessions.heartbeat_never_shortens_the_lease"],
    )
    .before(|args, _| {
        if let Some(SessionArgs::Begin(begin)) = session(args) {
            begin.lease = Reserve::MAX_LEASE;
        }
    }),
    Mutant::new(
        "takes-any-claim",
        "begins on what has changed since",
        &["sessions.claim_of_an_old_revision_is_stale", "sessions.clearing_a_thread_starts_a_generation"],
    )
    .before(|args, _| {
        if let Some(SessionArgs::Begin(begin)) = session(args) {
            begin.expected = None;
        }
    }),
    Mutant::new(
        "forgets-origins",
        "forgets whose work a run carries on",
        &["sessions.hand_off_keeps_its_thread"],
    )
    .after(|_, response| {
        if let PersistResult::Read(ReadResult::Attempts(list)) = &mut response.result {
            list.attempts.iter_mut().for_each(|attempt| attempt.origin = None);
        }
    }),
    Mutant::new(
        "leaves-pointers-behind",
        "ends a message and leaves the pointer",
        &["sessions.finish_and_pointer_are_one_commit", "sessions.refused_batch_moves_no_pointer"],
    )
    .before(|args, _| {
        if matches!(args, PersistArgs::Batch(_)) {
            ends(args, |report| report.session = None);
        }
    }),
    Mutant::new(
        "begins-twice",
        "takes a call that was repeated for another",
        &["sessions.repeated_key_begins_no_second_run"],
    )
    .special(Special::IgnoresKeys),
    Mutant::new(
        "poisons-nothing",
        "takes every failure for one of the network",
        &["sessions.each_failure_kind_has_its_effect"],
    )
    .before(|args, _| {
        if let Some(SessionArgs::Fail(fail)) = session(args) {
            fail.failure = Failure::Network;
        }
    }),
    Mutant::new(
        "poisons-everything",
        "takes every failure for one of the session",
        &["sessions.unrelated_failure_keeps_the_session"],
    )
    .before(|args, _| {
        if let Some(SessionArgs::Fail(fail)) = session(args) {
            fail.failure = Failure::ContextOverflow;
        }
    }),
    Mutant::new(
        "clears-from-anywhere",
        "clears a pointer whatever runtime it names",
        &["sessions.pointer_is_cleared_only_if_it_matches"],
    )
    .before(|args, _| {
        if let Some(SessionArgs::ClearIf(clear)) = session(args) {
            clear.runtime = None;
        }
    }),
    Mutant::new(
        "misses-no-artifact",
        "offers a session of which nothing is there",
        &["sessions.session_without_artifact_is_not_offered"],
    )
    .before(|args, _| ends(args, |report| report.artifact_missing = false)),
    Mutant::new(
        "reports-no-gap",
        "drops a session without a report",
        &[
            "sessions.each_drop_has_a_reason_and_is_reported_once",
            "sessions.resumed_session_can_be_reported_again",
            "sessions.gap_is_not_reported_again_after_reopening",
            "sessions.session_without_artifact_is_not_offered",
        ],
    )
    .after(|_, response| {
        if let PersistResult::Session(SessionResult::Begin(begun)) = &mut response.result {
            begun.resolution.gap = None;
        }
    }),
];
