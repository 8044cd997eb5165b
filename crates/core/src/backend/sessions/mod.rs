//! Agent sessions: the rules for runs, sessions and pointers that every backend shares.
//!
//! A store keeps these rows: a [`SessionHead`] for each agent in a thread, a [`KnownSession`] for each session that a
//! run has reported, and an [`AttemptRecord`] for each run. It implements look-ups as [`SessionRows`] and writes as
//! [`SessionStore`]. It calls [`resolve`] in reads, and [`apply`] in writes, inside of the transaction. Both read
//! only a few rows, however many runs there were.
//!
//! A reset of many sessions at once does not write to each of them. Instead, a row of the agent, of the thread and of
//! the runtime counts its resets. A head records the counts that it was written under, and a [`SessionAddress`]
//! carries the present counts. The difference of the two shows which resets happened since.
//!
//! ```
//! use throughline_core::{backend::sessions::{AgentRecord, SessionAddress}, threads::Generation};
//!
//! let agent = AgentRecord::default();
//! let address = SessionAddress { agent: "a".parse()?, thread: "t".parse()?, cleared: Generation::FIRST, resets: agent.resets };
//! assert_eq!(address.generation(0).get(), 1);
//! // Every reset of the agent begins a generation in each of its threads.
//! let address = SessionAddress { resets: agent.reset().resets, ..address };
//! assert_eq!(address.generation(0).get(), 2);
//! # Ok::<(), throughline_core::InvalidId>(())
//! ```

mod adopt;
mod begin;
mod change;
mod decide;
mod effective_state;
mod end;

use self::{decide::Decision, effective_state::EffectiveState};
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

/// Look-ups in the session rows of one agent in one thread.
pub trait SessionRows {
    /// The error of a look-up.
    type Error: From<PersistError>;

    /// Returns the head, if there is one.
    ///
    /// # Errors
    /// The error of the store; also for the other methods.
    fn head(&mut self) -> Result<Option<SessionHead>, Self::Error>;

    /// Returns a session.
    ///
    /// # Errors
    /// As for [`head`](Self::head).
    fn session(&mut self, id: &SessionId) -> Result<Option<KnownSession>, Self::Error>;

    /// Returns the latest session with a [value](KnownSession::value): the one with the greatest generation up to
    /// `up_to`, and among those with the greatest number. It never returns the session `besides`, because its row is
    /// out of date.
    ///
    /// # Errors
    /// As for [`head`](Self::head).
    fn newest(
        &mut self,
        up_to: SessionGeneration,
        besides: Option<&SessionId>,
    ) -> Result<Option<KnownSession>, Self::Error>;

    /// Returns the session with the greatest number among those that are [usable](KnownSession::is_usable) and match.
    ///
    /// # Errors
    /// As for [`head`](Self::head).
    fn usable(&mut self, wanted: &Wanted<'_>) -> Result<Option<KnownSession>, Self::Error>;

    /// Returns the record of a run.
    ///
    /// # Errors
    /// As for [`head`](Self::head).
    fn attempt(&mut self, id: &AttemptId) -> Result<Option<AttemptRecord>, Self::Error>;

    /// Returns how often a runtime of the tenant was dropped.
    ///
    /// # Errors
    /// As for [`head`](Self::head).
    fn incarnation(&mut self, runtime: &RuntimeId) -> Result<u64, Self::Error>;
}

/// Writes to the session rows of one agent in one thread. Later look-ups return the written rows.
pub trait SessionStore: SessionRows {
    /// Writes the complete head.
    ///
    /// # Errors
    /// The error of the store; also for the other methods.
    fn put_head(&mut self, head: &SessionHead) -> Result<(), Self::Error>;

    /// Writes a complete session.
    ///
    /// # Errors
    /// As for [`put_head`](Self::put_head).
    fn put_session(&mut self, session: &KnownSession) -> Result<(), Self::Error>;

    /// Writes a complete run record. The run exists, or its number is greater than that of every existing run.
    ///
    /// # Errors
    /// As for [`put_head`](Self::put_head).
    fn put_attempt(&mut self, attempt: &AttemptRecord) -> Result<(), Self::Error>;
}

/// Decides which session and directory a claimer can resume.
///
/// # Errors
/// The error of a look-up.
pub fn resolve<R: SessionRows>(
    rows: &mut R,
    address: &SessionAddress,
    claimer: &Claimer,
    now: Timestamp,
) -> Result<Resolution, R::Error> {
    let (effective, running) = EffectiveState::read_as_if_taken_over(rows, address, now)?;
    let decision = Decision::of(rows, &effective, claimer)?;
    let mut resolution = decision.resolution(rows, &effective)?;
    if let Some(binding) = &mut resolution.binding {
        binding.running = running.map(Into::into);
    }
    Ok(resolution)
}

/// Returns the resolution for a deleted thread: no session.
#[must_use]
pub fn resolve_nothing(address: &SessionAddress) -> Resolution {
    Resolution {
        session: None,
        work_dir: None,
        withheld: Some(Withheld::ThreadDeleted),
        gap: None,
        generation: address.generation(0),
        revision: crate::message::SessionRevision::ZERO,
        binding: None,
    }
}

/// Applies a session operation to a thread that exists. It checks everything before it writes anything.
///
/// # Errors
/// `Busy`, `Stale`, `NotFound` or `AlreadyExists` as the operations document. `Invalid` for an operation on a whole
/// agent or runtime, which [`AgentRecord`] handles. Otherwise the error of a look-up or a write.
pub fn apply<R: SessionStore>(
    rows: &mut R,
    address: &SessionAddress,
    args: &SessionArgs,
    now: Timestamp,
) -> Result<SessionResult, R::Error> {
    Ok(match args {
        SessionArgs::Begin(begin) => SessionResult::Begin(begin::begin(rows, address, begin, now)?),
        SessionArgs::Renew(renew) => SessionResult::Renew(begin::renew(rows, address, renew, now)?),
        SessionArgs::Pin(pin) => SessionResult::Pin(end::pin(rows, address, pin, now)?),
        SessionArgs::Confirm(confirm) => SessionResult::Confirm(end::confirm(rows, address, confirm, now)?),
        SessionArgs::Fail(fail) => SessionResult::Fail(end::fail(rows, address, fail, now)?),
        SessionArgs::Cancel(cancel) => SessionResult::Cancel(end::cancel(rows, address, cancel, now)?),
        SessionArgs::Reset(reset) => SessionResult::Reset(change::reset(rows, address, reset, now)?),
        SessionArgs::Retire(retire) => SessionResult::Retire(change::retire(rows, address, retire, now)?),
        SessionArgs::ClearIf(clear) => SessionResult::ClearIf(change::clear_if(rows, address, clear, now)?),
        SessionArgs::Adopt(adopt) => SessionResult::Adopt(adopt::adopt(rows, address, adopt, now)?),
        SessionArgs::Backfill(fill) => SessionResult::Backfill(adopt::backfill(rows, address, fill, now)?),
        SessionArgs::ResetAgent(_) | SessionArgs::DropAgent(_) | SessionArgs::DropRuntime(_) => {
            let detail = format!("`{}` is no operation on a thread", args.as_str());
            return Err(PersistError::new(ErrorKind::Invalid, detail).into());
        }
    })
}

/// Refuses session operations with invalid arguments.
///
/// # Errors
/// `Invalid` for a lease out of range, for work that comes from another thread, or for adopted runs with the same id.
/// `TooLarge` for a detail or an adoption beyond its limit.
pub fn check(args: &SessionArgs) -> crate::Result<()> {
    let refuse = |kind, detail: String| Err(PersistError::new(kind, detail));
    match args {
        SessionArgs::Begin(BeginRun { thread, origin, lease, .. }) => {
            if let Some(origin) = origin.as_ref().filter(|origin| origin.thread != *thread) {
                let detail = format!(
                    "the run has an origin in the thread `{}`, and must begin in that thread",
                    origin.thread
                );
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
                    refuse(ErrorKind::Invalid, format!("the adoption names the run `{}` twice", run.id))
                }
            }
        }
        _ => Ok(()),
    }
}
