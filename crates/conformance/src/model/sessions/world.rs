//! The model of the sessions of agents: a list of all events.
//!
//! Nothing is kept up to date in it: whether a session may be resumed is found by reading the whole list. It is slow, and
//! there is little in it that could be wrong.

use std::collections::BTreeMap;

use super::step::{At, How, LEASES, Report, Where};

/// A session with everything that belongs to it: what one run has produced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) session: usize,
    pub(super) provider: usize,
    /// The runtime, and how often that had been dropped.
    pub(super) runtime: Option<(Where, u64)>,
    pub(super) dir: Option<usize>,
    pub(super) generation: u64,
    pub(super) number: u64,
    pub(super) attempt: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Ended(How),
    Lapsed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) id: String,
    pub(super) number: u64,
    pub(super) generation: u64,
    /// The generation at its beginning, which is a later one where the work had waited.
    pub(super) begun_under: u64,
    pub(super) provider: usize,
    pub(super) runtime: Option<(Where, u64)>,
    pub(super) resumes: Option<usize>,
    pub(super) assigned: Option<usize>,
    pub(super) session: Option<usize>,
    pub(super) dir: Option<usize>,
    pub(super) state: State,
}

impl Run {
    pub(super) fn value(&self, session: usize) -> Value {
        Value {
            session,
            provider: self.provider,
            runtime: self.runtime,
            dir: self.dir,
            generation: self.generation,
            number: self.number,
            attempt: Some(self.id.clone()),
        }
    }
}

/// Why a session may not be resumed, as far as it is its own fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Poisoned,
    Missing,
    Cleared,
}

/// An event of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SessionEvent {
    /// A run has ended with it: it is good again, faulty, or as it was.
    Ran { value: Value, fault: Option<Option<Fault>> },
    /// A caller other than a run has reported a fault.
    Faulty(usize, Fault),
    /// Never again.
    Retired(usize),
    /// A user was informed of the loss of the session, as of the run with this number.
    GapReported(usize, u64),
    /// The session was resumed: its loss can be reported once more.
    Resumed(usize),
}

#[derive(Debug, Clone, Default)]
pub(super) struct PairState {
    /// How often the sessions were reset by themselves.
    pub(super) own: u64,
    /// How often the thread had been cleared when something was last written here.
    cleared: u64,
    floor: u64,
    pub(super) runs: Vec<Run>,
    pub(super) events: Vec<SessionEvent>,
    pub(super) pointer: Option<Value>,
    /// Which run has the lease, until when, in microseconds, and for how long at a time.
    pub(super) lease: Option<(usize, i64, i64)>,
}

impl PairState {
    /// The value after the latest run with a session.
    pub(super) fn value(&self, session: usize) -> Option<&Value> {
        self.ran(session).map(|(value, _)| value).max_by_key(|value| value.number)
    }

    fn ran(&self, session: usize) -> impl Iterator<Item = (&Value, &Option<Option<Fault>>)> {
        self.events.iter().filter_map(move |event| match event {
            SessionEvent::Ran { value, fault } if value.session == session => Some((value, fault)),
            _ => None,
        })
    }

    /// The fault of a session. A late event of an earlier run does not change the fault of a later one.
    pub(super) fn fault(&self, session: usize) -> Option<Fault> {
        let (mut fault, mut latest) = (None, 0);
        for event in &self.events {
            match event {
                SessionEvent::Ran { value, fault: says }
                    if value.session == session && value.number >= latest =>
                {
                    latest = value.number;
                    fault = says.unwrap_or(fault);
                }
                SessionEvent::Faulty(of, found) if *of == session => fault = Some(*found),
                _ => {}
            }
        }
        fault
    }

    pub(super) fn is_retired(&self, session: usize) -> bool {
        self.events.contains(&SessionEvent::Retired(session))
    }

    /// The number of the run whose loss was reported last.
    pub(super) fn reported(&self, session: usize) -> Option<u64> {
        let latest = self.events.iter().rev().find_map(|event| match event {
            SessionEvent::GapReported(of, number) if *of == session => Some(Some(*number)),
            SessionEvent::Resumed(of) if *of == session => Some(None),
            _ => None,
        });
        latest.flatten()
    }

    /// The sessions that a run has ended with, the latest last. Of two with one run, the one that it resumed and blamed comes before its own.
    pub(super) fn sessions(&self) -> Vec<&Value> {
        let is_own = |value: &Value| {
            let run = self.runs.iter().find(|run| value.attempt.as_ref() == Some(&run.id));
            run.is_some_and(|run| run.session == Some(value.session))
        };
        let mut values: Vec<_> =
            (0..super::step::SESSIONS.len()).filter_map(|session| self.value(session)).collect();
        values.sort_by_key(|value| (value.generation, value.number, is_own(value)));
        values
    }

    /// A run says that it has, or had, a session. The pointer moves to it if it can be resumed by who comes next, and no later
    /// run has moved it.
    pub(super) fn says(&mut self, value: Value, fault: Option<Option<Fault>>, present: u64) -> bool {
        let session = value.session;
        let is_late = self.value(session).is_some_and(|known| known.number > value.number);
        self.events.push(SessionEvent::Ran { value: value.clone(), fault });
        let value = if is_late { self.value(session).expect("it is known").clone() } else { value };
        let is_good = !self.is_retired(session) && self.fault(session).is_none();
        let is_later = match &self.pointer {
            None => true,
            Some(pointer) => pointer.number <= value.number || pointer.generation < value.generation,
        };
        let moves =
            is_good && is_later && value.generation == present && self.pointer.as_ref() != Some(&value);
        if moves {
            self.pointer = Some(value);
        }
        moves
    }

    /// A run whose lease has ended is over, and what it had reported is gone on with.
    pub(super) fn lapse(&mut self, now: i64, present: u64) {
        let Some((run, until, _)) = self.lease else { return };
        if until > now {
            return;
        }
        self.lease = None;
        self.runs[run].state = State::Lapsed;
        if let Some(session) = self.runs[run].session {
            let value = self.runs[run].value(session);
            self.says(value, None, present);
        }
    }
}

/// An answer that is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Busy,
    Stale,
    NotFound,
    AlreadyExists,
}

#[derive(Debug, Clone, Default)]
pub(super) struct World {
    /// In microseconds.
    pub(super) now: i64,
    clears: [u64; 2],
    /// How often each agent was dropped, and how often it was reset as a whole; a drop is a reset, too.
    agents: [(u64, u64); 2],
    pub(super) dropped: [u64; 2],
    /// By agent, how often that was dropped before, and thread. Nothing until something is written.
    pairs: BTreeMap<(usize, u64, usize), PairState>,
    /// How many messages each thread has.
    pub(super) messages: [u64; 2],
}

impl World {
    pub(super) fn starting_at(now: i64) -> Self {
        Self { now, ..Self::default() }
    }

    fn key(&self, (agent, thread): At) -> (usize, u64, usize) {
        (agent, self.agents[agent].0, thread)
    }

    pub(super) fn pair(&self, at: At) -> Option<&PairState> {
        self.pairs.get(&self.key(at))
    }

    pub(super) fn present(&self, at: At) -> u64 {
        1 + self.clears[at.1] + self.agents[at.0].1 + self.pair(at).map_or(0, |pair| pair.own)
    }

    /// The first generation that may still be resumed. Whether the agent was reset before the thread was cleared or after is not
    /// known where nothing was written in between: what was queued in between is refused.
    pub(super) fn floor(&self, at: At) -> u64 {
        match self.pair(at) {
            Some(pair) if pair.cleared == self.clears[at.1] => pair.floor,
            Some(_) => self.present(at),
            None if self.clears[at.1] > 0 => self.present(at),
            None => 1,
        }
    }

    /// The mutable state of the agent in the thread.
    pub(super) fn write(&mut self, at: At) -> &mut PairState {
        let (floor, cleared) = (self.floor(at), self.clears[at.1]);
        let pair = self.pairs.entry(self.key(at)).or_default();
        (pair.floor, pair.cleared) = (floor, cleared);
        pair
    }

    /// The runtime as it is now.
    pub(super) fn bound(&self, runtime: Option<Where>) -> Option<(Where, u64)> {
        runtime.map(|runtime| (runtime, self.dropped[runtime.0]))
    }

    pub(super) fn is_bound(&self, (runtime, dropped): (Where, u64)) -> bool {
        self.dropped[runtime.0] == dropped
    }

    fn run(&self, at: At, id: &str) -> Result<usize, Refusal> {
        let found = self.pair(at).and_then(|pair| pair.runs.iter().position(|run| run.id == id));
        found.ok_or(Refusal::NotFound)
    }

    /// The run, if it is under way.
    fn under_way(&self, at: At, id: &str) -> Result<usize, Refusal> {
        let run = self.run(at, id)?;
        let pair = self.pair(at).ok_or(Refusal::NotFound)?;
        let has_lease = pair.lease.is_some_and(|(holder, ..)| holder == run);
        if pair.runs[run].state == State::Running && has_lease { Ok(run) } else { Err(Refusal::Stale) }
    }

    pub(super) fn renew(&mut self, at: At, id: &str) -> Result<bool, Refusal> {
        let run = self.under_way(at, id)?;
        let (present, now) = (self.present(at), self.now);
        let pair = self.write(at);
        if let Some((_, until, length)) = &mut pair.lease {
            *until = (*until).max(now + *length);
        }
        Ok(pair.runs[run].begun_under != present)
    }

    pub(super) fn pin(
        &mut self,
        at: At,
        id: &str,
        session: usize,
        dir: Option<usize>,
    ) -> Result<bool, Refusal> {
        let run = self.run(at, id)?;
        let present = self.present(at);
        let row = &self.pair(at).ok_or(Refusal::NotFound)?.runs[run];
        let is_late = row.state == State::Ended(How::Cancel) && row.session.is_none();
        if !is_late {
            self.under_way(at, id)?;
        }
        if self.pair(at).is_some_and(|pair| pair.runs[run].begun_under != present) {
            return Err(Refusal::Stale);
        }
        let pair = self.write(at);
        let row = &mut pair.runs[run];
        row.session = Some(session);
        row.dir = dir.or(row.dir);
        let value = row.value(session);
        Ok(is_late && pair.says(value, None, present))
    }

    pub(super) fn end(&mut self, at: At, id: &str, how: How, report: &Report) -> Result<bool, Refusal> {
        let run = self.under_way(at, id)?;
        let present = self.present(at);
        let is_superseded = self.pair(at).is_some_and(|pair| pair.runs[run].begun_under != present);
        if how == How::Confirm && is_superseded {
            return Err(Refusal::Stale);
        }
        let fault = match how {
            _ if report.artifact_missing => Some(Some(Fault::Missing)),
            How::Confirm => Some(None),
            How::Cancel | How::FailKept => None,
            How::FailPoisoned => Some(Some(Fault::Poisoned)),
            How::FailMissing => Some(Some(Fault::Missing)),
        };
        let pair = self.write(at);
        pair.lease = None;
        let row = &mut pair.runs[run];
        row.state = State::Ended(how);
        row.session = report.session.or(row.session);
        row.dir = report.dir.or(row.dir);
        let blamed = matches!(how, How::FailPoisoned | How::FailMissing);
        let about = row.session.or(if blamed || report.artifact_missing { row.resumes } else { None });
        let value = about.map(|session| row.value(session));
        if let Some(session) = report.retires {
            pair.events.push(SessionEvent::Retired(session));
        }
        Ok(value.is_some_and(|value| pair.says(value, fault, present)))
    }

    pub(super) fn reset(&mut self, at: At, expected: Option<u64>) -> Result<bool, Refusal> {
        if expected.is_some_and(|expected| expected != self.present(at)) {
            return Err(Refusal::Stale);
        }
        self.write(at).own += 1;
        Ok(false)
    }

    pub(super) fn retire(&mut self, at: At, session: usize) -> bool {
        let pair = self.write(at);
        pair.events.push(SessionEvent::Retired(session));
        pair.pointer.as_ref().is_some_and(|pointer| pointer.session == session)
    }

    pub(super) fn clear_if(&mut self, at: At, session: usize, runtime: Option<Where>) -> bool {
        let pointer = self.pair(at).and_then(|pair| pair.pointer.clone());
        let points_there = pointer.is_some_and(|pointer| {
            let is_there = |asked| pointer.runtime.is_some_and(|had| had.0 == asked && self.is_bound(had));
            pointer.session == session && runtime.is_none_or(is_there)
        });
        if points_there || self.pair(at).is_none() {
            self.write(at);
        }
        if points_there {
            let pair = self.write(at);
            pair.events.push(SessionEvent::Faulty(session, Fault::Cleared));
            pair.pointer = None;
        }
        points_there
    }

    pub(super) fn adopt(&mut self, at: At, pointer: Value, run: Option<Run>) -> Result<bool, Refusal> {
        if self.pair(at).is_some() {
            return Err(Refusal::AlreadyExists);
        }
        let pair = self.write(at);
        if let Some(run) = run {
            let fault = match run.state {
                State::Ended(How::Confirm) => Some(None),
                State::Ended(How::FailPoisoned) => Some(Some(Fault::Poisoned)),
                State::Ended(How::FailMissing) => Some(Some(Fault::Missing)),
                _ => None,
            };
            if let Some(session) = run.session {
                pair.events.push(SessionEvent::Ran { value: run.value(session), fault });
            }
            pair.runs.push(run);
        }
        if pair.value(pointer.session).is_none() {
            pair.events.push(SessionEvent::Ran { value: pointer.clone(), fault: None });
        }
        pair.pointer = Some(pointer);
        Ok(true)
    }

    /// The runtime that a pointer without one belongs to, and whether it was written.
    pub(super) fn backfill(&mut self, at: At, dry: bool) -> (Option<Where>, bool) {
        let Some(pair) = self.pair(at) else { return (None, false) };
        let Some(pointer) = pair.pointer.clone().filter(|pointer| pointer.runtime.is_none()) else {
            return (None, false);
        };
        let values = pair.sessions();
        let newest = values.into_iter().rfind(|value| value.generation <= pointer.generation);
        let same = newest.filter(|value| {
            (value.session, value.provider, value.generation)
                == (pointer.session, pointer.provider, pointer.generation)
        });
        let Some(bound) = same.and_then(|value| value.runtime).filter(|bound| self.is_bound(*bound)) else {
            return (None, false);
        };
        if !dry {
            self.write(at).pointer = Some(Value { runtime: Some(bound), ..pointer });
        }
        (Some(bound.0), !dry)
    }

    pub(super) fn reset_agent(&mut self, agent: usize) {
        self.agents[agent].1 += 1;
    }

    pub(super) fn drop_agent(&mut self, agent: usize) {
        self.agents[agent].0 += 1;
        // The resets of single threads are lower than this, and end with the drop.
        self.agents[agent].1 += 1 << 32;
    }

    pub(super) fn clear_thread(&mut self, thread: usize) {
        self.clears[thread] += 1;
        self.messages[thread] = 0;
    }

    pub(super) fn lease(&mut self, at: At, run: usize, lease: usize) {
        let length = i64::try_from(LEASES[lease] * 1000).expect("a short lease");
        let until = self.now + length;
        self.write(at).lease = Some((run, until, length));
    }
}
