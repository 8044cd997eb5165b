//! What every backend decides alike of agent sessions.
//!
//! A store keeps rows: a [`SessionHead`] for each agent in a thread, a [`KnownSession`] for each session that a run of it has
//! reported, an [`AttemptRecord`] for each run. It finds and writes them by [`SessionRows`] and [`SessionStore`]; what is done with
//! them stands here, once. [`resolve`] is for its reads and [`apply`] for its writes, inside the commit. Neither looks at more than a few rows,
//! however many runs there were.
//!
//! What ends the sessions of many threads or agents at once is not written into each of them: a row of an agent, of a thread
//! and of a runtime counts how often that was done, a head knows the counts that it was written under ([`SessionAddress`]), and the difference says what
//! has happened since.
//!
//! ```
//! use throughline_core::{backend::sessions::{AgentRecord, SessionAddress}, threads::Generation};
//!
//! let agent = AgentRecord::default();
//! let place = SessionAddress { agent: "a".parse()?, thread: "t".parse()?, cleared: Generation::FIRST, resets: agent.resets };
//! assert_eq!(place.generation(0).get(), 1);
//! // Every reset of the agent begins a generation in each of its threads.
//! let place = SessionAddress { resets: agent.reset().resets, ..place };
//! assert_eq!(place.generation(0).get(), 2);
//! # Ok::<(), throughline_core::InvalidId>(())
//! ```

mod adopt;
mod begin;
mod change;
mod decide;
mod end;
mod standing;

use self::{decide::Decision, standing::Standing};
pub use crate::operation::stored::{
    AgentRecord, AttemptRecord, BoundRuntime, Health, KnownSession, Running, SessionAddress, SessionHead,
    SessionValue, Wanted,
};
use crate::{
    ErrorKind, PersistError, Timestamp,
    backend::rules,
    id::{AttemptId, RuntimeId, SessionId},
    message::SessionGeneration,
    operation::{AdoptSession, BeginRun, FailRun, SessionArgs, SessionResult},
    session::{Claimer, Resolution, Withheld},
};

/// What a store has of one agent in one thread, to be looked up.
pub trait SessionRows {
    /// What a look-up fails with.
    type Error: From<PersistError>;

    /// The head.
    ///
    /// # Errors
    /// What the store answers to a read; so of each of the others.
    fn head(&mut self) -> Result<Option<SessionHead>, Self::Error>;

    /// A session.
    ///
    /// # Errors
    /// As of [`head`](Self::head).
    fn session(&mut self, id: &SessionId) -> Result<Option<KnownSession>, Self::Error>;

    /// Of the sessions that have a [value](KnownSession::value) the one with the greatest generation, up to this one, and in that
    /// the greatest number; never the one `besides`, whose row is out of date.
    ///
    /// # Errors
    /// As of [`head`](Self::head).
    fn newest(
        &mut self,
        up_to: SessionGeneration,
        besides: Option<&SessionId>,
    ) -> Result<Option<KnownSession>, Self::Error>;

    /// Of the sessions that are [usable](KnownSession::is_usable) and match the one with the greatest number.
    ///
    /// # Errors
    /// As of [`head`](Self::head).
    fn usable(&mut self, wanted: &Wanted<'_>) -> Result<Option<KnownSession>, Self::Error>;

    /// A run.
    ///
    /// # Errors
    /// As of [`head`](Self::head).
    fn attempt(&mut self, id: &AttemptId) -> Result<Option<AttemptRecord>, Self::Error>;

    /// How often a runtime of the tenant was dropped.
    ///
    /// # Errors
    /// As of [`head`](Self::head).
    fn incarnation(&mut self, runtime: &RuntimeId) -> Result<u64, Self::Error>;
}

/// The same, to be changed. What was written is found from then on.
pub trait SessionStore: SessionRows {
    /// Writes the head, whole.
    ///
    /// # Errors
    /// What the store answers to a write; so of each of the others.
    fn put_head(&mut self, head: &SessionHead) -> Result<(), Self::Error>;

    /// Writes a session, whole.
    ///
    /// # Errors
    /// As of [`put_head`](Self::put_head).
    fn put_session(&mut self, session: &KnownSession) -> Result<(), Self::Error>;

    /// Writes a run, whole. Its number is greater than that of every other one, or it is there.
    ///
    /// # Errors
    /// As of [`put_head`](Self::put_head).
    fn put_attempt(&mut self, attempt: &AttemptRecord) -> Result<(), Self::Error>;
}

/// What a claimer may go on with.
///
/// # Errors
/// What a look-up fails with.
pub fn resolve<R: SessionRows>(
    rows: &mut R,
    place: &SessionAddress,
    claimer: &Claimer,
    now: Timestamp,
) -> Result<Resolution, R::Error> {
    let (standing, running) = Standing::read_as_if_taken_over(rows, place, now)?;
    let decision = Decision::of(rows, &standing, claimer)?;
    let mut resolution = decision.resolution(rows, &standing)?;
    if let Some(binding) = &mut resolution.binding {
        binding.running = running.map(Into::into);
    }
    Ok(resolution)
}

/// What a claimer may go on with in a thread that was deleted.
#[must_use]
pub fn resolve_nothing(place: &SessionAddress) -> Resolution {
    Resolution {
        session: None,
        work_dir: None,
        withheld: Some(Withheld::ThreadDeleted),
        gap: None,
        generation: place.generation(0),
        revision: crate::message::SessionRevision::ZERO,
        binding: None,
    }
}

/// Does what `args` says in a thread that is there. Everything is checked before anything is written.
///
/// # Errors
/// `Busy`, `Stale`, `NotFound`, `AlreadyExists` as the operations say; `Invalid` of what is done to a whole agent or runtime: that is
/// [`AgentRecord`]'s; what a look-up or a write fails with.
pub fn apply<R: SessionStore>(
    rows: &mut R,
    place: &SessionAddress,
    args: &SessionArgs,
    now: Timestamp,
) -> Result<SessionResult, R::Error> {
    Ok(match args {
        SessionArgs::Begin(begin) => SessionResult::Begin(begin::begin(rows, place, begin, now)?),
        SessionArgs::Renew(renew) => SessionResult::Renew(begin::renew(rows, place, renew, now)?),
        SessionArgs::Pin(pin) => SessionResult::Pin(end::pin(rows, place, pin, now)?),
        SessionArgs::Confirm(confirm) => SessionResult::Confirm(end::confirm(rows, place, confirm, now)?),
        SessionArgs::Fail(fail) => SessionResult::Fail(end::fail(rows, place, fail, now)?),
        SessionArgs::Cancel(cancel) => SessionResult::Cancel(end::cancel(rows, place, cancel, now)?),
        SessionArgs::Reset(reset) => SessionResult::Reset(change::reset(rows, place, reset, now)?),
        SessionArgs::Retire(retire) => SessionResult::Retire(change::retire(rows, place, retire, now)?),
        SessionArgs::ClearIf(clear) => SessionResult::ClearIf(change::clear_if(rows, place, clear, now)?),
        SessionArgs::Adopt(adopt) => SessionResult::Adopt(adopt::adopt(rows, place, adopt, now)?),
        SessionArgs::Backfill(fill) => SessionResult::Backfill(adopt::backfill(rows, place, fill, now)?),
        SessionArgs::ResetAgent(_) | SessionArgs::DropAgent(_) | SessionArgs::DropRuntime(_) => {
            let detail = format!("`{}` is not done in a thread", args.as_str());
            return Err(PersistError::new(ErrorKind::Invalid, detail).into());
        }
    })
}

/// Refuses what no store could make sense of.
///
/// # Errors
/// `Invalid` for a lease out of bounds, work that comes from another thread, or runs that are adopted under one name;
/// `TooLarge` for a detail or an adoption beyond its limit.
pub fn check(args: &SessionArgs) -> crate::Result<()> {
    let refuse = |kind, detail: String| Err(PersistError::new(kind, detail));
    match args {
        SessionArgs::Begin(BeginRun { thread, origin, lease, .. }) => {
            if let Some(origin) = origin.as_ref().filter(|origin| origin.thread != *thread) {
                let detail = format!("work that comes from the thread `{}` stays in it", origin.thread);
                return refuse(ErrorKind::Invalid, detail);
            }
            rules::check_lease(*lease)
        }
        SessionArgs::Fail(FailRun { detail: Some(detail), .. }) => {
            let (bytes, max) = (detail.len(), FailRun::MAX_DETAIL);
            if bytes > max {
                return refuse(
                    ErrorKind::TooLarge,
                    format!("a detail of {bytes} bytes is more than the {max} allowed"),
                );
            }
            Ok(())
        }
        SessionArgs::Adopt(AdoptSession { runs, .. }) => {
            let (count, max) = (runs.len(), AdoptSession::MAX_RUNS);
            if count > max {
                return refuse(
                    ErrorKind::TooLarge,
                    format!("{count} adopted runs are more than the {max} allowed"),
                );
            }
            let mut ids = std::collections::HashSet::with_capacity(count);
            match runs.iter().find(|run| !ids.insert(&run.id)) {
                None => Ok(()),
                Some(run) => {
                    refuse(ErrorKind::Invalid, format!("the run `{}` is to be adopted twice", run.id))
                }
            }
        }
        _ => Ok(()),
    }
}
