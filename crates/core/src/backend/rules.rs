//! What every backend decides alike.
//!
//! ```
//! use throughline_core::{
//!     Delta, MessageState, Revision, Timestamp,
//!     backend::rules,
//!     messages::{ContentChange, UpdateContent, UpdateMode},
//! };
//!
//! let update = UpdateContent::new(
//!     "t".parse()?,
//!     "m".parse()?,
//!     ContentChange::Append(Delta::text("hi")),
//!     UpdateMode::Final,
//! );
//! let now = Timestamp::from_micros(0);
//! let next = rules::transition(&update, MessageState::Reserved, Revision::FIRST, None, now)?;
//! assert_eq!((next.state, next.revision.get()), (MessageState::Final, 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{collections::HashSet, time::Duration};

use crate::{
    ErrorKind, Labels, Lease, Message, MessageState, PersistError, Position, Result, Revision, Seq, ThreadId,
    Timestamp, Title,
    context::Idempotency,
    message::Generation,
    operation::{Delete, Fingerprint, Import, ReadPage, Reserve, UpdateContent, UpdateMode, Visibility},
};

/// A message after an [`UpdateContent`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Its state.
    pub state: MessageState,
    /// Its revision.
    pub revision: Revision,
    /// Its lease; none once it is settled.
    pub lease: Option<Lease>,
}

/// Decides what `update` does to a message in this state, or why it is refused. The table stands at
/// [`UpdateMode`].
///
/// # Errors
/// `Stale` on a settled message or another revision than expected, `Conflict` for an edit of an open message and for
/// a sweep while the lease is alive.
pub fn transition(
    update: &UpdateContent,
    state: MessageState,
    revision: Revision,
    lease: Option<Lease>,
    now: Timestamp,
) -> Result<Transition> {
    let refuse =
        |kind, detail: String| Err(PersistError::new(kind, detail).about(&update.thread, &update.id));
    let mode = update.mode.as_str();
    match (&update.mode, state) {
        (UpdateMode::Edit, MessageState::Reserved | MessageState::Streaming) => {
            return refuse(
                ErrorKind::Conflict,
                format!("an edit needs a final message, and this one is {state}"),
            );
        }
        (UpdateMode::Edit, MessageState::Final) => {}
        (_, MessageState::Final | MessageState::Abandoned) => {
            return refuse(
                ErrorKind::Stale,
                format!("the message is already {state} (mode of the update: {mode})"),
            );
        }
        (_, MessageState::Reserved | MessageState::Streaming) => {}
    }
    expect_revision(update.expected, revision).map_err(|error| error.about(&update.thread, &update.id))?;
    if update.only_if_expired && lease.is_some_and(|lease| !lease.is_expired(now)) {
        return refuse(ErrorKind::Conflict, "the lease of its writer is alive".to_owned());
    }
    let renewed = lease.map(|lease| renewed(lease, now));
    Ok(match &update.mode {
        UpdateMode::Partial if update.change.is_none() => Transition { state, revision, lease: renewed },
        UpdateMode::Partial => {
            Transition { state: MessageState::Streaming, revision: revision.next(), lease: renewed }
        }
        UpdateMode::Final | UpdateMode::Edit => {
            Transition { state: MessageState::Final, revision: revision.next(), lease: None }
        }
        UpdateMode::Abandon { .. } => {
            Transition { state: MessageState::Abandoned, revision: revision.next(), lease: None }
        }
    })
}

/// Refuses a caller who saw another revision.
///
/// # Errors
/// `Stale`, naming both revisions.
pub fn expect_revision(expected: Option<Revision>, revision: Revision) -> Result<()> {
    match expected {
        Some(expected) if expected != revision => Err(PersistError::new(
            ErrorKind::Stale,
            format!("the caller saw revision {expected}, and the message is at {revision}"),
        )),
        _ => Ok(()),
    }
}

/// Refuses a deletion of a damaged message where the store can read the message.
///
/// # Errors
/// `Conflict`, naming the message.
pub fn expect_damaged(delete: &Delete) -> Result<()> {
    if !delete.only_damaged {
        return Ok(());
    }
    let detail = "the message is not damaged; delete it without `only_damaged`";
    Err(PersistError::new(ErrorKind::Conflict, detail).about(&delete.thread, &delete.id))
}

/// Refuses a key that was used for something else.
///
/// # Errors
/// `Conflict`, naming the key.
pub fn expect_fingerprint(idempotency: &Idempotency, recorded: &Fingerprint) -> Result<()> {
    if idempotency.fingerprint == *recorded {
        return Ok(());
    }
    let key = &idempotency.key;
    Err(PersistError::new(
        ErrorKind::Conflict,
        format!("the idempotency key `{key}` was used for another operation or other content"),
    ))
}

/// Whether a page with this visibility shows a message in this state. [`Visibility::Settled`] also ends the page at
/// the first open message, which the caller of this function has to do.
#[must_use]
pub const fn is_visible(visibility: Visibility, state: MessageState) -> bool {
    match visibility {
        Visibility::All => true,
        Visibility::Final => matches!(state, MessageState::Final),
        Visibility::Settled => !state.is_open(),
    }
}

/// When a message was last changed: now, but never earlier than before.
#[must_use]
pub fn updated_at(before: Timestamp, now: Timestamp) -> Timestamp {
    before.max(now)
}

/// Refuses a page or a list that asks for nothing or for too much.
///
/// # Errors
/// `Invalid`, naming the limit.
pub fn check_limit(limit: u32) -> Result<()> {
    let max = ReadPage::MAX_LIMIT;
    if (1..=max).contains(&limit) {
        return Ok(());
    }
    Err(PersistError::new(ErrorKind::Invalid, format!("a limit of {limit} is not from 1 to {max}")))
}

/// Refuses a page or a list whose bound of items or of bytes is none.
///
/// # Errors
/// `Invalid`, naming the bound.
pub fn check_page(limit: u32, max_bytes: u32) -> Result<()> {
    check_limit(limit)?;
    let max = ReadPage::MAX_BYTES;
    if (1..=max).contains(&max_bytes) {
        return Ok(());
    }
    Err(PersistError::new(ErrorKind::Invalid, format!("a bound of {max_bytes} bytes is not from 1 to {max}")))
}

/// Refuses a lease that is too short, too long, or of a part of a millisecond.
///
/// # Errors
/// `Invalid`, naming the lease.
pub fn check_lease(lease: Duration) -> Result<()> {
    let (min, max) = (Reserve::MIN_LEASE, Reserve::MAX_LEASE);
    if !(min..=max).contains(&lease) {
        let detail = format!("a lease of {lease:?} is not from {min:?} to {max:?}");
        return Err(PersistError::new(ErrorKind::Invalid, detail));
    }
    if !lease.subsec_nanos().is_multiple_of(1_000_000) {
        let detail = format!("a lease of {lease:?} is not whole milliseconds");
        return Err(PersistError::new(ErrorKind::Invalid, detail));
    }
    Ok(())
}

/// When a lease ends that is renewed now: a clock that jumps back shortens none.
#[must_use]
pub fn renewed(lease: Lease, now: Timestamp) -> Lease {
    let next = Lease::starting(now, lease.duration);
    Lease { expires_at: next.expires_at.max(lease.expires_at), ..next }
}

/// Refuses an import of nothing, of too many messages, or of one message twice.
///
/// # Errors
/// `Invalid`, naming the message or the number.
pub fn check_import(import: &Import) -> Result<()> {
    let (rows, max) = (import.rows.len(), Import::MAX_ROWS);
    if !(1..=max).contains(&rows) {
        let detail = format!("an import of {rows} messages is not of 1 to {max}");
        return Err(PersistError::new(ErrorKind::Invalid, detail));
    }
    let mut ids = HashSet::with_capacity(rows);
    match import.rows.iter().find(|row| !ids.insert(&row.id)) {
        None => Ok(()),
        Some(row) => Err(PersistError::new(ErrorKind::Invalid, "an import names a message twice")
            .about(&import.thread, &row.id)),
    }
}

/// Refuses more labels than a thread may have.
///
/// # Errors
/// `TooLarge`, naming both numbers.
pub fn check_labels(labels: &Labels) -> Result<()> {
    let (count, max) = (labels.len(), Labels::MAX);
    if count <= max {
        return Ok(());
    }
    Err(PersistError::new(ErrorKind::TooLarge, format!("{count} labels are more than the {max} allowed")))
}

/// Refuses a caller who saw another generation of the thread.
///
/// # Errors
/// `Stale`, naming both generations.
pub fn expect_generation(expected: Option<Generation>, generation: Generation) -> Result<()> {
    match expected {
        Some(expected) if expected != generation => Err(PersistError::new(
            ErrorKind::Stale,
            format!("the caller saw generation {expected} of the thread, and it is at {generation}"),
        )),
        _ => Ok(()),
    }
}

/// Refuses a caller who saw another end of the thread. `last` is the last sequence number that the thread has ever given, whether
/// its message is still there or not: what [`Page::last_seq`](crate::operation::Page::last_seq) says.
///
/// # Errors
/// `Stale`, naming both sequence numbers.
pub fn expect_last(after: Option<Seq>, last: Seq) -> Result<()> {
    match after {
        Some(after) if after != last => Err(PersistError::new(
            ErrorKind::Stale,
            format!("the caller saw the thread up to {after}, and its last sequence number is {last}"),
        )),
        _ => Ok(()),
    }
}

/// Refuses a caller who saw another last message. `last` is the sequence number of the last message that is there.
///
/// # Errors
/// `Stale`, naming both sequence numbers.
pub fn expect_last_message(expected: Option<Seq>, last: Option<Seq>) -> Result<()> {
    let Some(expected) = expected.filter(|expected| Some(*expected) != last) else { return Ok(()) };
    let detail = match last {
        Some(last) => format!("the caller saw {expected} as the last message, and the last one is {last}"),
        None => format!("the caller saw {expected} as the last message, and the thread has none"),
    };
    Err(PersistError::new(ErrorKind::Stale, detail))
}

/// Refuses a caller who saw another title.
///
/// # Errors
/// `Stale`. The titles are not repeated: they may be secrets.
pub fn expect_title(expected: Option<&Title>, title: &Title) -> Result<()> {
    match expected {
        Some(expected) if expected != title => {
            Err(PersistError::new(ErrorKind::Stale, "the thread is called otherwise than the caller saw"))
        }
        _ => Ok(()),
    }
}

/// What is answered to an operation on a thread that there is not.
#[must_use]
pub fn no_such_thread(thread: &ThreadId) -> PersistError {
    PersistError::new(ErrorKind::NotFound, format!("there is no thread `{thread}`"))
}

/// What is answered to a write to a thread that was deleted.
#[must_use]
pub fn thread_is_gone(thread: &ThreadId) -> PersistError {
    PersistError::new(ErrorKind::Gone, format!("the thread `{thread}` was deleted"))
}

/// Where the cursor of a consumer is after this move.
///
/// # Errors
/// `Stale` where it is elsewhere than the caller saw, or further on than it is to go.
pub fn move_cursor(position: Position, to: Position, expected: Option<Position>) -> Result<Position> {
    if position == to {
        return Ok(to);
    }
    if expected.is_some_and(|expected| expected != position) || to < position {
        let detail = format!("the cursor is at {position}, and cannot be moved from there to {to}");
        return Err(PersistError::new(ErrorKind::Stale, detail));
    }
    Ok(to)
}

/// What is answered where changes after a position are asked for, and are not kept any more.
#[must_use]
pub fn too_old(after: Position, kept_after: Position) -> PersistError {
    let detail =
        format!("the changes after {after} are not all kept any more, but only those after {kept_after}");
    PersistError::new(ErrorKind::TooOld, detail)
}

/// Whether changes after a position can be told, of which those after `kept_after` are kept. `end` is the position that a store has come
/// to that leads: one that follows may be asked for what it is still to be brought, and has none.
///
/// # Errors
/// `TooOld` where some are not kept any more, and where the position is one that the store has never given: it lost commits that
/// somebody has seen, or was put back from a backup.
pub fn check_after(after: Position, kept_after: Position, end: Option<Position>) -> Result<()> {
    if after < kept_after {
        return Err(too_old(after, kept_after));
    }
    match end {
        Some(end) if after > end => {
            let detail = format!(
                "the store has come to {end} and not to {after}: what is known of it was lost there, and has to be read anew"
            );
            Err(PersistError::new(ErrorKind::TooOld, detail))
        }
        _ => Ok(()),
    }
}

/// Whether a list of open messages that asks for expired ones only shows this message.
#[must_use]
pub fn is_expired(message: &Message, now: Timestamp) -> bool {
    message.lease.is_none_or(|lease| lease.is_expired(now))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Delta, MessageState::*, operation::ContentChange};

    fn update(mode: UpdateMode, text: &str) -> UpdateContent {
        let change = ContentChange::Append(Delta::text(text));
        UpdateContent::new("t".parse().unwrap(), "m".parse().unwrap(), change, mode)
    }

    fn kind(result: &Result<Transition>) -> Result<(MessageState, u64), ErrorKind> {
        result.as_ref().map(|t| (t.state, t.revision.get())).map_err(PersistError::kind)
    }

    #[test]
    fn a_position_is_told_from_if_it_is_kept_and_was_given() {
        let check = |after, end: Option<u64>| {
            let checked = check_after(Position::new(after), Position::new(3), end.map(Position::new));
            checked.map_err(|error| error.kind())
        };
        let too_old = Err(ErrorKind::TooOld);
        assert_eq!([check(2, Some(5)), check(6, Some(5)), check(2, None)], [too_old; 3]);
        assert_eq!([check(3, Some(5)), check(5, Some(5)), check(3, Some(3)), check(6, None)], [Ok(()); 4]);
    }

    #[test]
    fn the_table_holds() {
        let abandon = UpdateMode::Abandon { reason: None };
        let stale = Err(ErrorKind::Stale);
        for (mode, expected) in [
            (UpdateMode::Partial, [Ok((Streaming, 8)), Ok((Streaming, 8)), stale, stale]),
            (UpdateMode::Final, [Ok((Final, 8)), Ok((Final, 8)), stale, stale]),
            (abandon, [Ok((Abandoned, 8)), Ok((Abandoned, 8)), stale, stale]),
            (UpdateMode::Edit, [Err(ErrorKind::Conflict), Err(ErrorKind::Conflict), Ok((Final, 8)), stale]),
        ] {
            for (state, expected) in [Reserved, Streaming, Final, Abandoned].into_iter().zip(expected) {
                let next = transition(
                    &update(mode.clone(), "x"),
                    state,
                    Revision::new(7),
                    None,
                    Timestamp::from_micros(0),
                );
                assert_eq!(kind(&next), expected, "{mode:?} on {state}");
            }
        }
    }

    #[test]
    fn an_empty_partial_renews_only() {
        let at = Timestamp::from_micros;
        let lease = Lease::starting(at(0), Duration::from_micros(1000));
        let renew =
            transition(&update(UpdateMode::Partial, ""), Reserved, Revision::FIRST, Some(lease), at(700))
                .unwrap();
        assert_eq!((renew.state, renew.revision), (Reserved, Revision::FIRST));
        assert_eq!(renew.lease.unwrap().expires_at, at(1700));
        // A clock that jumps back does not shorten what was promised.
        let back =
            transition(&update(UpdateMode::Partial, ""), Reserved, Revision::FIRST, Some(lease), at(-5000))
                .unwrap();
        assert_eq!(back.lease.unwrap().expires_at, at(1000));
    }

    #[test]
    fn a_sweep_never_touches_a_live_writer() {
        let at = Timestamp::from_micros;
        let lease = Some(Lease::starting(at(0), Duration::from_micros(1000)));
        let sweep = update(UpdateMode::Abandon { reason: None }, "").only_if_expired();
        assert_eq!(
            kind(&transition(&sweep, Streaming, Revision::FIRST, lease, at(999))),
            Err(ErrorKind::Conflict)
        );
        assert_eq!(
            kind(&transition(&sweep, Streaming, Revision::FIRST, lease, at(1000))),
            Ok((Abandoned, 2))
        );
    }

    #[test]
    fn a_cursor_moves_on_only() {
        let at = Position::new;
        for (expected, to, ok) in [
            (None, 6, true),
            (None, 5, true),
            (None, 4, false),
            (Some(5), 6, true),
            (Some(4), 6, false),
            (Some(6), 7, false),
            // Made twice, it has done what it should.
            (Some(4), 5, true),
        ] {
            let moved = move_cursor(at(5), at(to), expected.map(at));
            assert_eq!(moved.is_ok(), ok, "{expected:?} {to}");
            assert!(ok || moved.unwrap_err().kind() == ErrorKind::Stale);
        }
    }

    #[test]
    fn another_revision_is_stale() {
        for (expected, ok) in [(6, false), (7, true), (8, false)] {
            let update = update(UpdateMode::Partial, "x").expecting(Revision::new(expected));
            let next = transition(&update, Streaming, Revision::new(7), None, Timestamp::from_micros(0));
            assert_eq!(next.is_ok(), ok);
            assert!(ok || next.unwrap_err().kind() == ErrorKind::Stale);
        }
    }
}
