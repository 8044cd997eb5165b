//! The rules that every backend shares: state transitions, expected values, limits and the errors for them.
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
    operation::{
        Addressed, Delete, Fingerprint, Import, PersistArgs, ReadPage, Reserve, UpdateContent, UpdateMode,
        Visibility,
    },
};

/// Returns the threads in which a write emits changes, one for each item of a batch; `None` if its arguments do not say that. For
/// [`CommitNotifier::notify_threads`](crate::changes::CommitNotifier::notify_threads).
///
/// ```
/// use throughline_core::{NewMessage, backend::rules, messages::{Add, Batch}, threads::DeleteThread};
///
/// let add = Add::new("t".parse()?, NewMessage::user("hello"));
/// let batch = Batch::new().with(add).into();
/// assert_eq!(rules::changed_threads(&batch).unwrap(), [&"t".parse()?]);
/// # Ok::<(), throughline_core::InvalidId>(())
/// ```
#[must_use]
pub fn changed_threads(args: &PersistArgs) -> Option<Vec<&ThreadId>> {
    let thread = |item: &'_ PersistArgs| match item {
        PersistArgs::Add(_)
        | PersistArgs::Reserve(_)
        | PersistArgs::UpdateContent(_)
        | PersistArgs::Update(_)
        | PersistArgs::Delete(_) => true,
        // Some of them change several threads, or only other rows. They are rare.
        _ => false,
    };
    args.each().map(|item| if thread(item) { item.thread() } else { None }).collect()
}

/// The state of a message after an [`UpdateContent`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The next state.
    pub state: MessageState,
    /// The next revision.
    pub revision: Revision,
    /// The next lease; `None` for a settled message.
    pub lease: Option<Lease>,
}

/// Decides the next state of a message for `update`, or why the update is refused. [`UpdateMode`] has the table of
/// transitions.
///
/// # Errors
/// `Stale` for a settled message, or for another revision than expected. `Conflict` for an edit of an open message,
/// and for the recovery of an expired draft while its lease is alive.
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

/// Refuses a write that expects another revision.
///
/// # Errors
/// `Stale`, naming both revisions.
pub fn expect_revision(expected: Option<Revision>, revision: Revision) -> Result<()> {
    match expected {
        Some(expected) if expected != revision => Err(PersistError::new(
            ErrorKind::Stale,
            format!("the caller saw revision {expected}, and the message is at {revision}"),
        )
        .with_revision(revision)),
        _ => Ok(()),
    }
}

/// Returns the first revision of a message whose id a deleted message had. `last` is the last revision of that message. One number
/// between the two is left out: a writer of the deleted message that looks whether its last write made the next revision does not take
/// the new message for it.
#[must_use]
pub fn first_revision_after(last: Revision) -> Revision {
    last.next().next()
}

/// Refuses a new message that would get another first revision than the call requires.
///
/// # Errors
/// `Stale`, naming both revisions.
pub fn expect_first_revision(required: Option<Revision>, first: Revision) -> Result<()> {
    match required {
        Some(required) if required != first => {
            let detail = format!(
                "the call requires revision {required} for the new message, and it begins at {first}"
            );
            Err(PersistError::new(ErrorKind::Stale, detail).with_revision(first))
        }
        _ => Ok(()),
    }
}

/// Refuses a deletion of a damaged message if the store can read the message.
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

/// Refuses a key that was used for another operation or other content.
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

/// Whether a page with this visibility shows a message in this state. With [`Visibility::Settled`], the caller of
/// this function must also end the page at the first open message.
#[must_use]
pub const fn is_visible(visibility: Visibility, state: MessageState) -> bool {
    match visibility {
        Visibility::All => true,
        Visibility::Final => matches!(state, MessageState::Final),
        Visibility::Settled => !state.is_open(),
    }
}

/// Returns the new `updated_at` of a row: `now`, but never earlier than before.
#[must_use]
pub fn updated_at(before: Timestamp, now: Timestamp) -> Timestamp {
    before.max(now)
}

/// Refuses a page or a list whose limit is not from 1 to [`ReadPage::MAX_LIMIT`].
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

/// Refuses a page or a list whose limit or byte bound is out of range: 1 to [`ReadPage::MAX_BYTES`] bytes.
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

/// Refuses a lease that is too short, too long, or not a whole number of milliseconds.
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

/// Returns the lease after a renewal. A clock that jumps back does not shorten the lease.
#[must_use]
pub fn renewed(lease: Lease, now: Timestamp) -> Lease {
    let next = Lease::starting(now, lease.duration);
    Lease { expires_at: next.expires_at.max(lease.expires_at), ..next }
}

/// Refuses an import that is empty, has too many messages, or has one message twice.
///
/// # Errors
/// `Invalid`, naming the message or the number.
pub fn check_import(import: &Import) -> Result<()> {
    let (rows, max) = (import.rows.len(), Import::MAX_ROWS);
    if !(1..=max).contains(&rows) {
        let detail = format!("an import of {rows} messages is not of 1 to {max}");
        return Err(PersistError::new(ErrorKind::Invalid, detail));
    }
    let revisions = import.revisions.len();
    if revisions != 0 && revisions != rows {
        let detail = format!(
            "an import of {rows} messages requires {revisions} revisions: name one for each message, or none"
        );
        return Err(PersistError::new(ErrorKind::Invalid, detail));
    }
    let mut ids = HashSet::with_capacity(rows);
    match import.rows.iter().find(|row| !ids.insert(&row.id)) {
        None => Ok(()),
        Some(row) => Err(PersistError::new(ErrorKind::Invalid, "an import names a message twice")
            .about(&import.thread, &row.id)),
    }
}

/// Refuses more labels than a thread can have.
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

/// Refuses a write that expects another generation of the thread.
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

/// Refuses a write that expects another last sequence number of the thread. `last` is the last sequence number that
/// the thread has ever assigned, also if its message was deleted
/// ([`Page::last_seq`](crate::operation::Page::last_seq)).
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

/// Refuses a write that expects another last message. `last` is the sequence number of the last message that the
/// thread has now.
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

/// Refuses a write that expects another title.
///
/// # Errors
/// `Stale`. The error does not repeat the titles, because they may be secrets.
pub fn expect_title(expected: Option<&Title>, title: &Title) -> Result<()> {
    match expected {
        Some(expected) if expected != title => Err(PersistError::new(
            ErrorKind::Stale,
            "the title of the thread changed since the caller read it",
        )),
        _ => Ok(()),
    }
}

/// Returns the error for an operation on an unknown thread.
#[must_use]
pub fn no_such_thread(thread: &ThreadId) -> PersistError {
    PersistError::new(ErrorKind::NotFound, format!("there is no thread `{thread}`"))
}

/// Returns the error for a write to a deleted thread.
#[must_use]
pub fn thread_is_gone(thread: &ThreadId) -> PersistError {
    PersistError::new(ErrorKind::Gone, format!("the thread `{thread}` was deleted"))
}

/// Returns the position of a consumer's cursor after this move. A repeated move succeeds.
///
/// # Errors
/// `Stale` if the cursor is not where the caller expected it, or if it is already after `to`.
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

/// Returns the error for a read of changes that the store no longer keeps.
#[must_use]
pub fn too_old(after: Position, kept_after: Position) -> PersistError {
    let detail =
        format!("the changes after {after} are not all kept any more, but only those after {kept_after}");
    PersistError::new(ErrorKind::TooOld, detail)
}

/// Checks that the store can answer the changes after a position. `kept_after` is the position after which the store
/// keeps its changes. `end` is the last position of a primary. It is `None` for a replica, because a reader may be
/// ahead of a replica.
///
/// # Errors
/// `TooOld` if the store no longer keeps some of these changes. Also `TooOld` if the store never assigned this
/// position: then it lost commits that a reader has seen, or it was restored from a backup.
pub fn check_after(after: Position, kept_after: Position, end: Option<Position>) -> Result<()> {
    if after < kept_after {
        return Err(too_old(after, kept_after));
    }
    match end {
        Some(end) if after > end => {
            let detail = format!(
                "the store is at position {end} and never assigned {after}, so commits were lost: read the data again"
            );
            Err(PersistError::new(ErrorKind::TooOld, detail))
        }
        _ => Ok(()),
    }
}

/// Whether a list of expired open messages contains this message.
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
    fn changes_are_read_from_kept_and_assigned_positions_only() {
        let check = |after, end: Option<u64>| {
            let checked = check_after(Position::new(after), Position::new(3), end.map(Position::new));
            checked.map_err(|error| error.kind())
        };
        let too_old = Err(ErrorKind::TooOld);
        assert_eq!([check(2, Some(5)), check(6, Some(5)), check(2, None)], [too_old; 3]);
        assert_eq!([check(3, Some(5)), check(5, Some(5)), check(3, Some(3)), check(6, None)], [Ok(()); 4]);
    }

    #[test]
    fn each_mode_and_state_has_its_transition() {
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

    /// The names of the modes follow no article, which would depend on the name.
    #[test]
    fn a_refused_update_names_the_state_and_the_mode() {
        let refused = |mode: UpdateMode, state| {
            let at = Timestamp::from_micros(0);
            transition(&update(mode, "x"), state, Revision::FIRST, None, at).unwrap_err().to_string()
        };
        let abandon = UpdateMode::Abandon { reason: None };
        for (mode, name) in
            [(UpdateMode::Partial, "partial"), (UpdateMode::Final, "final"), (abandon, "abandon")]
        {
            for (state, of) in [(Final, "final"), (Abandoned, "abandoned")] {
                assert_eq!(
                    refused(mode.clone(), state),
                    format!(
                        "the message is already {of} (mode of the update: {name}) (stale), message `m`, thread `t`"
                    )
                );
            }
        }
        assert_eq!(
            refused(UpdateMode::Edit, Abandoned),
            "the message is already abandoned (mode of the update: edit) (stale), message `m`, thread `t`"
        );
        assert_eq!(
            refused(UpdateMode::Edit, Reserved),
            "an edit needs a final message, and this one is reserved (conflict), message `m`, thread `t`"
        );
    }

    #[test]
    fn an_empty_partial_update_only_renews_the_lease() {
        let at = Timestamp::from_micros;
        let lease = Lease::starting(at(0), Duration::from_micros(1000));
        let renew =
            transition(&update(UpdateMode::Partial, ""), Reserved, Revision::FIRST, Some(lease), at(700))
                .unwrap();
        assert_eq!((renew.state, renew.revision), (Reserved, Revision::FIRST));
        assert_eq!(renew.lease.unwrap().expires_at, at(1700));
        // A clock that jumps back does not shorten the lease.
        let back =
            transition(&update(UpdateMode::Partial, ""), Reserved, Revision::FIRST, Some(lease), at(-5000))
                .unwrap();
        assert_eq!(back.lease.unwrap().expires_at, at(1000));
    }

    #[test]
    fn recovery_of_an_expired_draft_refuses_a_live_lease() {
        let at = Timestamp::from_micros;
        let lease = Some(Lease::starting(at(0), Duration::from_micros(1000)));
        let recovery = update(UpdateMode::Abandon { reason: None }, "").only_if_expired();
        assert_eq!(
            kind(&transition(&recovery, Streaming, Revision::FIRST, lease, at(999))),
            Err(ErrorKind::Conflict)
        );
        assert_eq!(
            kind(&transition(&recovery, Streaming, Revision::FIRST, lease, at(1000))),
            Ok((Abandoned, 2))
        );
    }

    #[test]
    fn a_cursor_moves_forward_only() {
        let at = Position::new;
        for (expected, to, ok) in [
            (None, 6, true),
            (None, 5, true),
            (None, 4, false),
            (Some(5), 6, true),
            (Some(4), 6, false),
            (Some(6), 7, false),
            // A repeated move succeeds.
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
