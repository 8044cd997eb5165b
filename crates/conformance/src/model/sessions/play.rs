//! Plays an interleaving against the store and the world at once.

use throughline_core::{
    ErrorKind, IdempotencyKey, NewMessage, PersistArgs, PersistResult, Persistence, Result, TenantId,
    Timestamp,
    messages::{Add, Batch},
    pipeline::Clock as _,
    sessions::{ListAttempts, ResolveSession, SessionArgs, SessionResult},
    threads::{ClearThread, GetThread, ThreadArgs},
};

use super::{
    ask,
    claim::BeginArgs,
    seen::{Bound, Claimed, Row},
    step::{ACTORS, AGENTS, At, Claim, RUNTIMES, SessionOp, Step, THREADS},
    world::{Refusal, Run, State, Value, World},
};
use crate::{clock::ManualClock, rig::Rig};

pub(super) struct Play {
    rig: Rig,
    db: Option<Persistence>,
    /// Every interleaving has a tenant of its own, so that all of them share one store.
    interleavings: usize,
    keys: usize,
}

/// An actor: its current run, and its former one.
#[derive(Debug, Clone, Default)]
struct Actor {
    run: Option<(At, String)>,
    last: Option<String>,
}

/// An interleaving at some point.
struct Stage {
    db: Persistence,
    world: World,
    actors: [Actor; ACTORS],
    runs: usize,
}

/// The expected answer as text, or a refusal.
type Expected = Result<String, Refusal>;

fn words(answer: impl std::fmt::Debug) -> String {
    format!("{answer:?}")
}

impl Play {
    pub(super) async fn new(rig: Rig) -> Self {
        let db = Some(rig.db().await);
        Self { rig, db, interleavings: 0, keys: 0 }
    }

    fn of(&self, tenant: &TenantId) -> Persistence {
        self.db.as_ref().expect("an open store").for_tenant(tenant.clone())
    }

    pub(super) async fn interleaving(&mut self, steps: &[Step]) -> Result<(), String> {
        self.interleavings += 1;
        self.rig.clock.set(ManualClock::START);
        let tenant: TenantId = self.interleavings.to_string().parse().expect("a valid id");
        let mut stage = Stage {
            db: self.of(&tenant),
            world: World::starting_at(ManualClock::START.as_micros()),
            actors: Default::default(),
            runs: 0,
        };
        for thread in THREADS {
            let created = throughline_core::NewThread::new().with_id(thread.parse().expect("a valid id"));
            stage.db.create_thread(created).await.map_err(|error| error.to_string())?;
        }
        for (number, step) in steps.iter().enumerate() {
            let played = self.step(&mut stage, step, &tenant).await;
            played.map_err(|why| format!("step {}, {step:?}: {why}", number + 1))?;
        }
        stage.audit().await.map_err(|why| format!("in the end {why}"))
    }

    async fn step(&mut self, stage: &mut Stage, step: &Step, tenant: &TenantId) -> Result<(), String> {
        match step {
            Step::Clock(by) => {
                stage.world.now += by * 1000;
                self.rig.clock.set(Timestamp::from_micros(self.rig.clock.now().as_micros() + by * 1000));
                Ok(())
            }
            Step::Die(actor) => {
                stage.actors[*actor].run = None;
                Ok(())
            }
            Step::Reopen => {
                let db = self.db.take().expect("an open store");
                self.db = Some(self.rig.reopen(db).await);
                stage.db = self.of(tenant);
                Ok(())
            }
            Step::Look { at, claim } => stage.look(*at, claim).await,
            Step::Do { session_op, twice } => {
                self.keys += 1;
                stage.act(session_op, twice.then_some(self.keys)).await
            }
        }
    }
}

impl Stage {
    /// The generation that a claim names, and the run that it repeats.
    fn reported(&self, at: At, claim: &Claim) -> (Option<u64>, Option<String>) {
        let present = i64::try_from(self.world.present(at)).expect("few generations");
        let generation =
            claim.queued.map(|queued| u64::try_from((present - queued).max(1)).expect("positive"));
        (generation, claim.rerun.and_then(|actor| self.actors[actor].last.clone()))
    }

    async fn look(&self, at: At, claim: &Claim) -> Result<(), String> {
        let (generation, source) = self.reported(at, claim);
        let claimer = ask::claimer(claim, generation, source.as_deref());
        let read = ResolveSession { agent: ask::agent(at.0), thread: ask::thread(at.1), claimer };
        let found = self.db.read(read).await.map_err(|error| error.to_string())?;
        let answer = self.world.claim(at, claim, generation, source.as_deref());
        let due = Claimed::looked(&self.world, at, answer.as_ref().unwrap_or_else(|refused| refused));
        same(&Claimed::of(&found.resolution), &due)
    }

    /// Does it once, or twice under one key.
    async fn act(&mut self, session_op: &SessionOp, key: Option<usize>) -> Result<(), String> {
        let Some((asked, says, due)) = self.due(session_op) else { return Ok(()) };
        let of_a_thread = !matches!(
            session_op,
            SessionOp::ResetAgent(_) | SessionOp::DropAgent(_) | SessionOp::DropRuntime(_)
        );
        let key = key.filter(|_| of_a_thread);
        let first = self.call(&asked, says, key).await;
        let outcome = answered(&first);
        if outcome != due {
            return Err(format!("{outcome:?} where {due:?} is due"));
        }
        if key.is_none() {
            return Ok(());
        }
        let again = self.call(&asked, says, key).await;
        if answered(&again) != due {
            return Err(format!("{again:?} again, where {due:?} is due"));
        }
        match again {
            Ok((_, deduplicated)) if !deduplicated => Err("it was done again".to_owned()),
            _ => Ok(()),
        }
    }

    /// Calls the store; a run that ends with a message is an item of a batch. Returns the answer, and whether it is a replay.
    async fn call(
        &self,
        asked: &PersistArgs,
        says: Option<usize>,
        key: Option<usize>,
    ) -> Result<(PersistResult, bool)> {
        let key = key.map(|key| IdempotencyKey::new(key.to_string()).expect("a valid key"));
        macro_rules! called {
            ($operation:expr) => {{
                let request = self.db.run($operation);
                match key {
                    Some(key) => request.key(key),
                    None => request,
                }
                .await?
            }};
        }
        match (asked.clone(), says) {
            (PersistArgs::Session(session), None) => {
                let result = called!(session);
                let deduplicated = result.is_deduplicated();
                Ok((PersistResult::Session(result), deduplicated))
            }
            (asked, Some(thread)) => {
                let add = Add::new(ask::thread(thread), NewMessage::assistant("said"));
                let mut batched = called!(Batch::new().with(add).with(asked));
                let last = batched.outputs.pop().expect("two answers");
                Ok((last, batched.deduplicated))
            }
            (PersistArgs::Thread(thread), None) => {
                let result = called!(thread);
                let deduplicated = matches!(&result, throughline_core::threads::ThreadResult::Clear(changed) if changed.deduplicated);
                Ok((PersistResult::Thread(result), deduplicated))
            }
            (other, None) => unreachable!("{other:?} is no step"),
        }
    }

    /// The next call, the thread of the message in the same batch, and the expected answer. The model has already applied the call.
    fn due(&mut self, session_op: &SessionOp) -> Option<(PersistArgs, Option<usize>, Expected)> {
        let moved = |world: &World, at: At, moved: bool| words((moved, Bound::now(world, at)));
        let (asked, due): (SessionArgs, Expected) = match *session_op {
            SessionOp::Begin { actor, at, ref claim, assigned, dir, lease } => {
                let (generation, source) = self.reported(at, claim);
                self.runs += 1;
                let id = format!("{actor}.{}", self.runs);
                let claimer = ask::claimer(claim, generation, source.as_deref());
                let asked = ask::begin(at, &id, claimer, assigned, dir, lease);
                let source = source.as_deref();
                let begin = BeginArgs { id: &id, claim, generation, source, assigned, dir, lease };
                let due = self.world.begin(at, begin);
                let due =
                    due.map(|(number, answer)| words((number, Claimed::begun(&self.world, at, &answer))));
                if due.is_ok() {
                    self.actors[actor] = Actor { run: Some((at, id.clone())), last: Some(id) };
                }
                (asked, due)
            }
            SessionOp::Renew { actor } => {
                let (at, id) = self.actors[actor].run.clone()?;
                (ask::renew(at, &id), self.world.renew(at, &id).map(words))
            }
            SessionOp::Pin { actor, session, dir } => {
                let (at, id) = self.actors[actor].run.clone()?;
                let due = self.world.pin(at, &id, session, dir);
                (ask::pin(at, &id, session, dir), due.map(|has| moved(&self.world, at, has)))
            }
            SessionOp::End { actor, how, ref report, says } => {
                let (at, id) = self.actors[actor].run.clone()?;
                let due = self.world.end(at, &id, how, report);
                if says && due.is_ok() {
                    self.world.messages[at.1] += 1;
                }
                let due = due.map(|has| moved(&self.world, at, has));
                return Some((ask::end(at, &id, how, report).into(), says.then_some(at.1), due));
            }
            SessionOp::Reset { at, expected } => {
                let present = self.world.present(at);
                let expected = expected.map(|right| if right { present } else { present + 1 });
                let due = self.world.reset(at, expected);
                (ask::reset(at, expected), due.map(|has| moved(&self.world, at, has)))
            }
            SessionOp::Retire { at, session } => {
                let has = self.world.retire(at, session);
                (ask::retire(at, session), Ok(moved(&self.world, at, has)))
            }
            SessionOp::ClearIf { at, session, runtime } => {
                let has = self.world.clear_if(at, session, runtime);
                (ask::clear_if(at, session, runtime), Ok(moved(&self.world, at, has)))
            }
            SessionOp::Adopt { at, session, provider, runtime, run } => {
                self.runs += 1;
                let id = format!("adopted.{}", self.runs);
                let row = run.map(|(how, session)| (id.as_str(), how, session));
                let asked = ask::adopt(at, session, provider, runtime, row);
                let generation = self.world.present(at);
                let run = run.map(|(how, session)| Run {
                    id: id.clone(),
                    number: 1,
                    generation,
                    begun_under: generation,
                    provider,
                    runtime: self.world.bound(Some(runtime.unwrap_or_default())),
                    resumes: None,
                    assigned: None,
                    session: Some(session),
                    dir: None,
                    state: State::Ended(how),
                });
                let runtime = self.world.bound(runtime);
                let (number, attempt) = (0, None);
                let pointer = Value { session, provider, runtime, dir: None, generation, number, attempt };
                let due = self.world.adopt(at, pointer, run);
                (asked, due.map(|has| moved(&self.world, at, has)))
            }
            SessionOp::Backfill { at, dry } => {
                let (found, written) = self.world.backfill(at, dry);
                let found = found.map(|(runtime, root)| (RUNTIMES[runtime], super::step::ROOTS[root]));
                (ask::backfill(at, dry), Ok(words((found, written))))
            }
            SessionOp::ResetAgent(agent) => {
                self.world.reset_agent(agent);
                (ask::reset_agent(agent), Ok(words(AGENTS[agent])))
            }
            SessionOp::DropAgent(agent) => {
                self.world.drop_agent(agent);
                (ask::drop_agent(agent), Ok(words(AGENTS[agent])))
            }
            SessionOp::DropRuntime(runtime) => {
                self.world.dropped[runtime] += 1;
                (ask::drop_runtime(runtime), Ok(words(RUNTIMES[runtime])))
            }
            SessionOp::ClearThread(thread) => {
                self.world.clear_thread(thread);
                let clear = ClearThread { thread: ask::thread(thread), expected: None };
                return Some((ThreadArgs::Clear(clear).into(), None, Ok(words(0))));
            }
        };
        Some((asked.into(), None, due))
    }

    /// Everything that is kept is what it should be.
    async fn audit(&self) -> Result<(), String> {
        let reported = |error: throughline_core::PersistError| error.to_string();
        for thread in 0..THREADS.len() {
            let entry = self.db.read(GetThread { thread: ask::thread(thread) }).await.map_err(reported)?;
            let messages = entry.map(|entry| entry.messages);
            if messages != Some(self.world.messages[thread]) {
                return Err(format!("{messages:?} messages of {}", self.world.messages[thread]));
            }
            for agent in 0..AGENTS.len() {
                let at = (agent, thread);
                let list = ListAttempts::new(ask::agent(agent), ask::thread(thread), 100);
                let found = self.db.read(list).await.map_err(reported)?.attempts;
                let mut found: Vec<_> = found.iter().map(Row::of).collect();
                found.reverse();
                let runs = self.world.pair(at).map(|pair| pair.runs.as_slice()).unwrap_or_default();
                same(&found, &runs.iter().map(Row::due).collect())?;
                self.look(at, &Claim::PLAIN).await?;
            }
        }
        Ok(())
    }
}

fn same<T: PartialEq + std::fmt::Debug>(found: &T, due: &T) -> Result<(), String> {
    if found == due { Ok(()) } else { Err(format!("{found:?} where {due:?} is due")) }
}

/// An answer in the words of the world.
fn answered(answer: &Result<(PersistResult, bool)>) -> Expected {
    let result = match answer {
        Ok((result, _)) => result,
        Err(error) => {
            return Err(match error.kind() {
                ErrorKind::Busy => Refusal::Busy,
                ErrorKind::Stale => Refusal::Stale,
                ErrorKind::NotFound => Refusal::NotFound,
                ErrorKind::AlreadyExists => Refusal::AlreadyExists,
                _ => return Ok(error.to_string()),
            });
        }
    };
    Ok(match result {
        PersistResult::Session(result) => match result {
            SessionResult::Begin(begun) => words((begun.number, Claimed::of(&begun.resolution))),
            SessionResult::Renew(renewed) => words(renewed.superseded),
            SessionResult::Pin(changed)
            | SessionResult::Confirm(changed)
            | SessionResult::Fail(changed)
            | SessionResult::Cancel(changed)
            | SessionResult::Reset(changed)
            | SessionResult::Retire(changed)
            | SessionResult::ClearIf(changed)
            | SessionResult::Adopt(changed) => words((changed.moved, Some(Bound::of(&changed.binding)))),
            SessionResult::Backfill(filled) => {
                let runtime = filled.runtime.as_ref();
                words((runtime.map(|found| (found.id.as_str(), found.root.as_str())), filled.written))
            }
            SessionResult::ResetAgent(changed) | SessionResult::DropAgent(changed) => {
                words(changed.agent.as_str())
            }
            SessionResult::DropRuntime(dropped) => words(dropped.runtime.as_str()),
            other => words(other),
        },
        PersistResult::Thread(throughline_core::threads::ThreadResult::Clear(changed)) => {
            words(changed.summary.messages)
        }
        other => words(other),
    })
}
