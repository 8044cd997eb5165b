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
        &["TC-S4.reset"],
    )
    .special(Special::Session(SessionFault::SavesOnlyTheFirst)),
    Mutant::new(
        "forgets-when-it-began",
        "replaces what is kept, and when it was first kept with it",
        &["TC-S4.reset"],
    )
    .after(|_, response| bindings(response, |binding| binding.created_at = binding.updated_at)),
    Mutant::new(
        "compares-no-providers",
        "keeps whose session it is and compares it with nothing",
        &["TC-S8.provider", "MU-S16.reasons", "model.sessions"],
    )
    .special(Special::Session(SessionFault::ComparesNoProviders)),
    Mutant::new(
        "offers-what-was-given",
        "keeps the pointer before the run and offers it",
        &["TC-S6.provisional", "TC-S6.reopened", "model.sessions"],
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
        &["TC-S7.reset-scope"],
    )
    .special(Special::Session(SessionFault::ResetsTheNextThread)),
    Mutant::new(
        "misses-what-was-replaced",
        "says of every session that it offers that another one is missing",
        &["session.pin-after-missing"],
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
        &["session.deleted-cleared"],
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
        "writes the newest runtime beside an older session",
        &["MU-S4.backfill"],
    )
    .special(Special::Session(SessionFault::PairsWithTheNewest)),
    Mutant::new(
        "takes-nothing-for-equal",
        "takes no runtime for a runtime like any other",
        &["MU-S3.nowhere", "model.sessions"],
    )
    .before(|args, _| {
        if let Some(claimer) = claimer(args) {
            claimer.runtime.get_or_insert_with(|| everywhere("null"));
        }
    }),
    Mutant::new(
        "wipes-pointers",
        "writes that there is no session when a run reported none",
        &["MU-S5.pointer", "model.sessions"],
    )
    .special(Special::Session(SessionFault::WipesPointers)),
    Mutant::new(
        "writes-pairs-apart",
        "shows a session before the runtime and the directory that belong to it",
        &["MU-S5.pointer", "MU-S5.pairs", "session.root", "session.random"],
    )
    .after(|_, response| {
        bindings(response, |binding| {
            if let Some(pointer) = &mut binding.pointer {
                pointer.runtime = None;
            }
        });
        resolution(response, |resolution| resolution.work_dir = None);
    }),
    Mutant::new("resurrects-the-retired", "finds a retired session in an older row", &["MU-S8.retired"])
        .after(|_, response| {
            resolution(response, |resolution| offers(resolution, |reason| reason == Withheld::Retired));
        }),
    Mutant::new("resurrects-the-poisoned", "finds a poisoned session in an older row", &["MU-S7.poisoned"])
        .after(|_, response| {
            resolution(response, |resolution| {
                offers(resolution, |reason| matches!(reason, Withheld::Poisoned(_)));
            });
        }),
    Mutant::new(
        "resumes-the-last-used",
        "goes on with the last session of the agent where there is none",
        &["TC-S9.isolated", "TC-S2.threads", "session.forked"],
    )
    .special(Special::Session(SessionFault::ResumesTheLastUsed)),
    Mutant::new(
        "lets-everybody-run",
        "lets a run begin while another one is under way",
        &["TC-S10.one", "session.lease", "session.came-back"],
    )
    .special(Special::Session(SessionFault::LetsEverybodyRun)),
    Mutant::new(
        "forgets-resets",
        "answers a reset and does nothing",
        &["TC-S5.durable-reset", "TC-S11.late", "session.reset-expected", "MU-S13.generation"],
    )
    .special(Special::Session(SessionFault::ForgetsResets)),
    Mutant::new(
        "keeps-what-was-dropped",
        "answers what is done to a whole agent or runtime and does nothing",
        &["TC-S13.dropped-agent", "MU-S14.dropped-runtime", "session.reset-agent", "session.reopened"],
    )
    .special(Special::Session(SessionFault::ForgetsWholes)),
    Mutant::new("adopts-again", "says that it adopted what it had", &["TC-S12.adopt"])
        .special(Special::Session(SessionFault::AdoptsAgain)),
    Mutant::new(
        "resumes-nothing",
        "begins anew every time",
        &[
            "TC-S1.resume",
            "TC-S3.agents",
            "MU-S2.moved",
            "MU-S3.adopted",
            "MU-S7.kept",
            "MU-S9.pin",
            "MU-S15.interleavings",
            "session.deleted",
            "TC-S10.reopened",
        ],
    )
    .after(|_, response| resolution(response, |resolution| resolution.session = None)),
    Mutant::new("compares-no-runtimes", "takes every runtime for the same one", &["MU-S1.runtime"]).before(
        |args, _| {
            if let Some(runtime) = claimer(args).and_then(|claimer| claimer.runtime.as_mut()) {
                *runtime = everywhere("r1");
            }
        },
    ),
    Mutant::new("compares-no-roots", "takes a runtime for the one that had its name", &["session.root"])
        .before(|args, _| {
            if let Some(runtime) = claimer(args).and_then(|claimer| claimer.runtime.as_mut()) {
                runtime.root = "root".parse().expect("a valid id");
            }
        }),
    Mutant::new("asks-nobody", "does not ask whether what it offers can be reached", &["MU-S11.reach"])
        .before(|args, _| {
            if let Some(claimer) = claimer(args) {
                claimer.reach = Reach::default();
            }
        }),
    Mutant::new(
        "reruns-the-latest",
        "makes the latest run again, whichever was asked for",
        &["MU-S12.rerun"],
    )
    .before(|args, _| {
        if let Some(claimer) = claimer(args) {
            claimer.rerun_of = None;
        }
    }),
    Mutant::new("never-begins-anew", "resumes although it was asked not to", &["session.fresh"]).before(
        |args, _| {
            if let Some(claimer) = claimer(args) {
                claimer.force_fresh = false;
            }
        },
    ),
    Mutant::new("offers-any-directory", "offers a session with the directory of another", &["session.pairs"])
        .after(|_, response| {
            resolution(response, |resolution| {
                let pointer = resolution.binding.as_ref().and_then(|binding| binding.pointer.as_ref());
                resolution.work_dir = pointer.and_then(|pointer| pointer.work_dir.clone());
            });
        }),
    Mutant::new(
        "never-takes-over",
        "believes a run for as long as it may",
        &["session.lease", "session.heartbeat"],
    )
    .before(|args, _| {
        if let Some(SessionArgs::Begin(begin)) = session(args) {
            begin.lease = Reserve::MAX_LEASE;
        }
    }),
    Mutant::new(
        "takes-any-claim",
        "begins on what has changed since",
        &["session.expecting", "session.cleared"],
    )
    .before(|args, _| {
        if let Some(SessionArgs::Begin(begin)) = session(args) {
            begin.expected = None;
        }
    }),
    Mutant::new("forgets-origins", "forgets whose work a run carries on", &["TC-S14.hand-off"]).after(
        |_, response| {
            if let PersistResult::Read(ReadResult::Attempts(list)) = &mut response.result {
                list.attempts.iter_mut().for_each(|attempt| attempt.origin = None);
            }
        },
    ),
    Mutant::new(
        "leaves-pointers-behind",
        "ends a message and leaves the pointer",
        &["MU-S6.finish", "MU-S6.all-or-nothing"],
    )
    .before(|args, _| {
        if matches!(args, PersistArgs::Batch(_)) {
            ends(args, |report| report.session = None);
        }
    }),
    Mutant::new("begins-twice", "takes a call that was repeated for another", &["session.key"])
        .special(Special::IgnoresKeys),
    Mutant::new("poisons-nothing", "takes every failure for one of the network", &["MU-S7.every-failure"])
        .before(|args, _| {
            if let Some(SessionArgs::Fail(fail)) = session(args) {
                fail.failure = Failure::Network;
            }
        }),
    Mutant::new("poisons-everything", "takes every failure for one of the session", &["MU-S7.kept"]).before(
        |args, _| {
            if let Some(SessionArgs::Fail(fail)) = session(args) {
                fail.failure = Failure::ContextOverflow;
            }
        },
    ),
    Mutant::new("clears-from-anywhere", "clears a pointer whatever runtime it names", &["session.clear-if"])
        .before(|args, _| {
            if let Some(SessionArgs::ClearIf(clear)) = session(args) {
                clear.runtime = None;
            }
        }),
    Mutant::new("misses-no-artifact", "offers a session of which nothing is there", &["MU-S10.artifact"])
        .before(|args, _| ends(args, |report| report.artifact_missing = false)),
    Mutant::new(
        "tells-no-gap",
        "drops a session without a word",
        &["MU-S16.reasons", "MU-S16.again", "MU-S16.reopened", "MU-S10.artifact"],
    )
    .after(|_, response| {
        if let PersistResult::Session(SessionResult::Begin(begun)) = &mut response.result {
            begun.resolution.gap = None;
        }
    }),
];
