//! Provider aliases: the decision which message a provider's id means ([`ResolveId`]), shared by all backends.
//!
//! A backend implements look-ups as [`Names`], and stores the alias that [`resolve`] returns:
//!
//! ```
//! use throughline_core::{
//!     MessageId, PersistError, Role, Seq,
//!     backend::names::{KnownName, Named, Names, resolve},
//!     ids::{EventId, ItemId, TurnId},
//!     messages::{Origin, ResolveId, ResolvedBy},
//! };
//!
//! /// A thread without aliases.
//! struct Empty;
//!
//! impl Names for Empty {
//!     type Error = PersistError;
//!
//!     fn item(&mut self, _: Option<&TurnId>, _: &ItemId, _: Role) -> Result<Option<KnownName>, PersistError> {
//!         Ok(None)
//!     }
//!     fn turn(&mut self, _: &TurnId, _: Role) -> Result<Option<KnownName>, PersistError> {
//!         Ok(None)
//!     }
//!     fn event(&mut self, _: &EventId, _: Role) -> Result<Option<KnownName>, PersistError> {
//!         Ok(None)
//!     }
//!     fn names_of(&mut self, _: &MessageId) -> Result<Vec<Origin>, PersistError> {
//!         Ok(Vec::new())
//!     }
//!     fn message(&mut self, _: &MessageId) -> Result<Named, PersistError> {
//!         Ok(Named::Nothing)
//!     }
//!     fn latest_question(&mut self) -> Result<Option<Seq>, PersistError> {
//!         Ok(None)
//!     }
//! }
//!
//! let asked = ResolveId::new("t".parse()?, Origin::new().item("seg:0".parse()?));
//! let (resolved, alias) = resolve(&asked, &mut Empty)?;
//! assert_eq!((resolved.by, resolved.id), (ResolvedBy::Fresh, asked.fresh.clone()));
//! assert_eq!(alias.unwrap().message, asked.fresh);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use crate::operation::stored::KnownName;
use crate::{
    ErrorKind, Message, MessageId, MessageState, PersistError, Role, Seq,
    id::{EventId, ItemId, TurnId},
    operation::{Alias, Mismatch, Origin, ResolveId, ResolvedBy, ResolvedId, SkippedId},
};

/// The look-ups of the provider aliases of one thread, in its present generation, for [`resolve`].
///
/// If several aliases match, each method returns the one that was recorded last.
pub trait Names {
    /// The error of a look-up.
    type Error: From<PersistError>;

    /// Returns the message with this role that is this item of this turn. Without a turn, the alias must have no turn
    /// either.
    ///
    /// # Errors
    /// The error of the store.
    fn item(
        &mut self,
        turn: Option<&TurnId>,
        item: &ItemId,
        role: Role,
    ) -> Result<Option<KnownName>, Self::Error>;

    /// Returns the latest message with this role in this turn, with an item id or without one.
    ///
    /// # Errors
    /// The error of the store.
    fn turn(&mut self, turn: &TurnId, role: Role) -> Result<Option<KnownName>, Self::Error>;

    /// Returns the message with this role whose alias is this event alone.
    ///
    /// # Errors
    /// The error of the store.
    fn event(&mut self, event: &EventId, role: Role) -> Result<Option<KnownName>, Self::Error>;

    /// Returns the aliases of a message. The number of aliases must suffice to decide whether the message has an item
    /// id, and which turn it belongs to. At most [`NAMES_PER_MESSAGE`] are needed.
    ///
    /// # Errors
    /// The error of the store.
    fn names_of(&mut self, id: &MessageId) -> Result<Vec<Origin>, Self::Error>;

    /// Returns the state of an id: a message, a tombstone, or neither.
    ///
    /// # Errors
    /// The error of the store.
    fn message(&mut self, id: &MessageId) -> Result<Named, Self::Error>;

    /// Returns the sequence number of the latest final user message, also if that message was deleted: a deletion
    /// does not reopen an earlier turn.
    ///
    /// # Errors
    /// The error of the store.
    fn latest_question(&mut self) -> Result<Option<Seq>, Self::Error>;
}

/// The number of aliases of one message that [`Names::names_of`] returns at most, latest first.
pub const NAMES_PER_MESSAGE: usize = 16;

/// The state of a message id in a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// The thread never had a message with this id.
    Nothing,
    /// The id has a tombstone.
    Dead,
    /// The thread has the message.
    There {
        /// The role of the message.
        role: Role,
        /// The state of the message.
        state: MessageState,
        /// The sequence number of the message.
        seq: Seq,
    },
}

impl From<&Message> for Named {
    fn from(message: &Message) -> Self {
        Self::There { role: message.role, state: message.state, seq: message.seq }
    }
}

impl Named {
    const fn state(&self) -> Option<MessageState> {
        match self {
            Self::There { state, .. } => Some(*state),
            Self::Nothing | Self::Dead => None,
        }
    }
}

/// Decides which message is meant, in the order that [`ResolveId`] describes. The second value is the new alias that
/// the store has to record, if there is one.
///
/// # Errors
/// `Invalid` if the origin is empty or has too many legacy ids. `Gone` if the message was deleted. `AlreadyExists` if
/// the fresh id is in use. Otherwise the error of a look-up.
pub fn resolve<N: Names>(asked: &ResolveId, names: &mut N) -> Result<(ResolvedId, Option<Alias>), N::Error> {
    check(asked)?;
    let mut search = Search { asked, names, skipped: Vec::new() };
    let known = search.by_name()?;
    if let Some((id, by)) = known {
        return Ok((search.found(id, by)?, None));
    }
    let (id, by) = match search.by_legacy()? {
        Some(id) => (id, ResolvedBy::Legacy),
        None => (search.fresh()?, ResolvedBy::Fresh),
    };
    let alias = Alias { message: id.clone(), role: asked.role, origin: asked.origin.clone() };
    Ok((search.found(id, by)?, Some(alias)))
}

/// Refuses an origin that no thread can resolve.
///
/// # Errors
/// `Invalid`.
pub(crate) fn check(asked: &ResolveId) -> Result<(), PersistError> {
    if asked.origin.is_empty() {
        return Err(PersistError::new(ErrorKind::Invalid, "the origin names no turn, no item and no event"));
    }
    let (count, max) = (asked.legacy.len(), ResolveId::MAX_LEGACY);
    if count > max {
        let detail = format!("{count} legacy ids are more than the {max} allowed");
        return Err(PersistError::new(ErrorKind::Invalid, detail));
    }
    Ok(())
}

struct Search<'a, N> {
    asked: &'a ResolveId,
    names: &'a mut N,
    skipped: Vec<SkippedId>,
}

impl<N: Names> Search<'_, N> {
    fn by_name(&mut self) -> Result<Option<(MessageId, ResolvedBy)>, N::Error> {
        let ResolveId { origin, role, .. } = self.asked;
        let (known, by) = match origin {
            Origin { item: Some(item), turn, event: _ } => {
                let known = self.names.item(turn.as_ref(), item, *role)?;
                if let (Some(known), None) = (&known, turn)
                    && self.is_over(known.seen)?
                {
                    self.skip(&known.alias.message, Mismatch::TurnIsOver);
                    return Ok(None);
                }
                (known, ResolvedBy::Item)
            }
            Origin { turn: Some(turn), .. } => (self.names.turn(turn, *role)?, ResolvedBy::Turn),
            Origin { event: Some(event), .. } => (self.names.event(event, *role)?, ResolvedBy::Event),
            Origin { turn: None, item: None, event: None } => (None, ResolvedBy::Fresh),
        };
        Ok(known.map(|known| (known.alias.message, by)))
    }

    fn by_legacy(&mut self) -> Result<Option<MessageId>, N::Error> {
        for id in &self.asked.legacy {
            match self.why_not(id)? {
                None => return Ok(Some(id.clone())),
                Some(why) => self.skip(id, why),
            }
        }
        Ok(None)
    }

    fn why_not(&mut self, id: &MessageId) -> Result<Option<Mismatch>, N::Error> {
        let ResolveId { origin, role, .. } = self.asked;
        let seq = match self.names.message(id)? {
            Named::Nothing => return Ok(Some(Mismatch::NoSuchMessage)),
            Named::Dead => return Ok(Some(Mismatch::Deleted)),
            Named::There { role: other, .. } if other != *role => return Ok(Some(Mismatch::OtherRole)),
            Named::There { seq, .. } => seq,
        };
        let known_as = self.names.names_of(id)?;
        if origin.item.is_some() && known_as.iter().any(|known| known.item.is_some()) {
            return Ok(Some(Mismatch::OtherItem));
        }
        let of_turn = known_as.iter().find_map(|known| known.turn.as_ref());
        match (of_turn, &origin.turn) {
            (Some(known), Some(asked)) => Ok((known != asked).then_some(Mismatch::OtherTurn)),
            _ => Ok(self.is_over(seq)?.then_some(Mismatch::TurnIsOver)),
        }
    }

    /// Returns the caller's fresh id, if the thread never had it.
    fn fresh(&mut self) -> Result<MessageId, N::Error> {
        let ResolveId { thread, fresh, .. } = self.asked;
        match self.names.message(fresh)? {
            Named::Nothing => Ok(fresh.clone()),
            Named::Dead | Named::There { .. } => {
                let detail = "the id for a new message is, or was, that of another one";
                Err(PersistError::new(ErrorKind::AlreadyExists, detail).about(thread, fresh).into())
            }
        }
    }

    /// Whether there is a later final user message than this sequence number.
    fn is_over(&mut self, seq: Seq) -> Result<bool, N::Error> {
        Ok(self.names.latest_question()?.is_some_and(|question| question > seq))
    }

    fn skip(&mut self, id: &MessageId, why: Mismatch) {
        self.skipped.push(SkippedId { id: id.clone(), why });
    }

    fn found(self, id: MessageId, by: ResolvedBy) -> Result<ResolvedId, N::Error> {
        let thread = self.asked.thread.clone();
        let named = self.names.message(&id)?;
        if named == Named::Dead {
            let error = PersistError::new(ErrorKind::Gone, "the message that is meant was deleted");
            return Err(error.about(&thread, &id).into());
        }
        let state = named.state();
        Ok(ResolvedId { thread, id, by, state, skipped: self.skipped, deduplicated: false })
    }
}
