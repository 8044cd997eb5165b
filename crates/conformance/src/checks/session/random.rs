//! Random turns of four actors, and what has to hold whatever they do.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use throughline_core::{
    Durability, ErrorKind, Persistence,
    ids::{AttemptId, WorkDir},
    sessions::{
        AgentThread, AttemptState, Failure, GenerationCause, Resolution, RunReport, SessionGeneration,
    },
    threads::ClearThread,
};

use super::{agent_thread, at, look, points, session};
use crate::{check::checks, rig::Rig, shorthand::thread_id};

checks! {
    Extended "sessions.random_turns_keep_the_invariants" [Session Thread Read] "in random turns of four actors pointers, offers and gap reports stay consistent" => random;
}

/// Sequences of so many steps.
const SEQUENCES: u64 = 12;
const STEPS: usize = 60;

/// Numbers that look random and are the same for a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A run as its actor knows it.
#[derive(Debug, Clone)]
struct Run {
    id: AttemptId,
    actor: u64,
    generation: SessionGeneration,
}

/// The runs and sessions that the sequence has observed.
#[derive(Debug, Default)]
struct Seen {
    runs: Vec<Run>,
    /// The generation in which an actor has reported a session. One name is reported by one actor in one generation only.
    reported: BTreeMap<String, (u64, SessionGeneration)>,
    retired: BTreeSet<String>,
    gaps_reported: BTreeSet<(String, usize)>,
    /// The number of reports of each session: each report allows one gap.
    reports: BTreeMap<String, usize>,
    /// The first generation after the thread was last cleared.
    floor: SessionGeneration,
}

async fn random(rig: Rig) {
    for sequence in 0..SEQUENCES {
        let mut dice = Dice(rig.seed.wrapping_add(sequence));
        let thread = format!("t{sequence}");
        let mut db = rig.db().await;
        let (mut seen, mut story) = (Seen { floor: SessionGeneration::FIRST, ..Seen::default() }, Vec::new());
        for _ in 0..STEPS {
            story.push(step(&rig, &db, &thread, &mut dice, &mut seen).await);
            holds(&agent_thread(&db, &thread), &seen, &story).await;
            if dice.below(12) == 0 && rig.capabilities.durability >= Durability::Process {
                let before = everything(&agent_thread(&db, &thread)).await;
                db = rig.reopen(db).await;
                assert_eq!(everything(&agent_thread(&db, &thread)).await, before, "after {story:?}");
            }
        }
        db.close().await.expect("the store closes");
    }
}

async fn everything(agent_thread: &AgentThread) -> (Vec<Resolution>, throughline_core::sessions::Attempts) {
    let mut answers = Vec::new();
    for actor in 0..4 {
        answers.push(look(agent_thread, at(&format!("r{actor}"))).await);
    }
    (answers, agent_thread.history(100).await.expect("the runs"))
}

/// Runs one random step and returns its description.
async fn step(rig: &Rig, db: &Persistence, thread: &str, dice: &mut Dice, seen: &mut Seen) -> String {
    let here = agent_thread(db, thread);
    let actor = dice.below(4);
    let any = |dice: &mut Dice, runs: &[Run]| {
        let count = u64::try_from(runs.len()).expect("few runs");
        // Mostly the last one, and sometimes one that is long over.
        let back = if dice.below(4) == 0 { dice.below(count.max(1)) } else { 0 };
        runs.iter().rev().nth(usize::try_from(back).expect("few runs")).cloned()
    };
    match dice.below(14) {
        0..=3 => {
            let mut claimer = at(&format!("r{actor}"));
            if dice.below(4) == 0 {
                let seen = look(&here, claimer.clone()).await;
                claimer = claimer.queued_under(seen.generation);
            }
            if dice.below(8) == 0 {
                claimer = claimer.fresh();
            }
            let run = here.run(claimer).expect("valid ids").assigning(session("given"));
            match here.begin(run).await {
                Ok(begun) => {
                    let generation = begun.resolution.generation;
                    // A resumed session can be lost once more.
                    if let Some(resumed) = &begun.resolution.session {
                        *seen.reports.entry(resumed.as_str().to_owned()).or_default() += 1;
                    }
                    seen.runs.push(Run { id: begun.attempt, actor, generation });
                    if let Some(lost) = begun.resolution.gap.and_then(|gap| gap.session) {
                        let lost = lost.as_str().to_owned();
                        let reports = seen.reports.get(&lost).copied().unwrap_or_default();
                        assert!(
                            seen.gaps_reported.insert((lost.clone(), reports)),
                            "a gap of {lost} was reported twice"
                        );
                    }
                    format!("{actor} begins")
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
                    format!("{actor} waits")
                }
            }
        }
        kind @ 4..=8 => {
            let Some(run) = any(dice, &seen.runs) else { return "no run to end".to_owned() };
            let name = format!("s{}.{}.{}", run.actor, run.generation, dice.below(2));
            let mut report = RunReport::of(session(&name));
            report.work_dir = Some(super::dir(&format!("/{name}")));
            let id = run.id.clone();
            let (case, answer) = match kind {
                4 => ("pins", here.pin(id, session(&name), report.work_dir).await.map(drop)),
                5 => ("confirms", here.confirm(id, report).await.map(drop)),
                6 => {
                    ("confirms without artifact", here.confirm(id, report.without_artifact()).await.map(drop))
                }
                7 => ("fails", here.fail(id, Failure::ContextOverflow, report).await.map(drop)),
                _ => ("cancels", here.cancel(id, report).await.map(drop)),
            };
            match answer {
                Ok(()) => {
                    seen.reported.insert(name.clone(), (run.actor, run.generation));
                    *seen.reports.entry(name.clone()).or_default() += 1;
                    format!("{} {case} {name}", run.actor)
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Stale, "{error}");
                    format!("{} {case} too late", run.actor)
                }
            }
        }
        9 => {
            drop(here.reset().await.expect("a reset"));
            "reset".to_owned()
        }
        10 => {
            let name = seen.reported.keys().nth(usize::try_from(dice.below(8)).expect("few")).cloned();
            let Some(name) = name else { return "nothing to retire".to_owned() };
            here.retire(session(&name)).await.expect("it is retired");
            seen.retired.insert(name.clone());
            format!("{name} is retired")
        }
        11 => {
            if look(&here, at("r0")).await.binding.is_none() {
                return "nothing to clear".to_owned();
            }
            db.on_thread(ClearThread::new(thread_id(thread))).await.expect("a clearing");
            let binding = look(&here, at("r0")).await.binding.expect("it is kept");
            assert_eq!(binding.cause, GenerationCause::ThreadCleared);
            seen.floor = binding.generation;
            "cleared".to_owned()
        }
        12 => {
            rig.clock.advance(Duration::from_secs(61));
            "leases end".to_owned()
        }
        _ => {
            db.agent("g").reset_all().await.expect("a reset of all");
            "all reset".to_owned()
        }
    }
}

/// Asserts the invariants.
async fn holds(here: &AgentThread, seen: &Seen, story: &[String]) {
    let (answers, history) = everything(here).await;
    for (actor, answer) in answers.iter().enumerate() {
        let gaps_reported = format!("actor {actor} after {story:?}: {answer:?}");
        if let Some(binding) = &answer.binding
            && let Some((name, runtime, directory)) = points(binding)
            && name != "given"
        {
            let (owner, _) =
                seen.reported.get(name).unwrap_or_else(|| panic!("no run reported it: {gaps_reported}"));
            assert_eq!(
                (runtime, directory),
                (Some(&*format!("r{owner}")), Some(&*format!("/{name}"))),
                "{gaps_reported}"
            );
        }
        let Some(offered) = &answer.session else {
            assert!(answer.withheld.is_some(), "nothing, for no reason: {gaps_reported}");
            continue;
        };
        let name = offered.as_str();
        let (owner, generation) =
            seen.reported.get(name).unwrap_or_else(|| panic!("not reported: {gaps_reported}"));
        assert_eq!(usize::try_from(*owner), Ok(actor), "the session of another actor: {gaps_reported}");
        assert_eq!((*generation, *generation >= seen.floor), (answer.generation, true), "{gaps_reported}");
        assert!(!seen.retired.contains(name), "retired: {gaps_reported}");
        assert_eq!(
            answer.work_dir.as_ref().map(WorkDir::as_str),
            Some(&*format!("/{name}")),
            "{gaps_reported}"
        );
    }
    let running: Vec<_> =
        history.attempts.iter().filter(|attempt| attempt.state == AttemptState::Running).collect();
    assert!(running.len() <= 1, "two at once after {story:?}: {running:?}");
    assert_eq!(history.attempts.len(), seen.runs.len(), "after {story:?}");
    let numbers: Vec<_> = history.attempts.iter().rev().map(|attempt| attempt.number).collect();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "after {story:?}: {numbers:?}");
}
