use std::{collections::VecDeque, fmt, time::Duration};

use tokio::{sync::watch, time::timeout};

use super::Persistence;
use crate::{Change, ChangeScope, Position, ReadChanges, Result};

/// The changes after a position, one after the other, and those to come as they are committed: in the order of the
/// commits, without a gap, of this process and of others.
///
/// [`position`](Self::position) can be kept, and another feed can go on from there, in another process too. Each change is
/// told at least once to who does so.
///
/// ```no_run
/// use throughline_core::{ChangeScope, Happened, Persistence, Position};
///
/// # async fn example(db: Persistence, known: Position) -> throughline_core::Result<()> {
/// let mut feed = db.changes(ChangeScope::Tenant, known);
/// loop {
///     let change = feed.next().await?;
///     if let Happened::Finished(message) = &change.what {
///         println!("{}: {} is complete", change.thread, message.id);
///     }
/// }
/// # }
/// ```
#[must_use = "nothing is read before `next`"]
pub struct ChangeFeed {
    db: Persistence,
    signs: Option<watch::Receiver<Position>>,
    scope: ChangeScope,
    /// How far was read.
    read: Position,
    /// How far was told.
    told: Position,
    at_hand: VecDeque<Change>,
}

/// How many changes are read at once.
const PAGE: u32 = 256;

/// How long to wait for a sign before it is looked all the same: signs may be left out.
const LOOK: Duration = Duration::from_secs(5);

/// How often it is looked where there are no signs.
const LOOK_WITHOUT_SIGNS: Duration = Duration::from_millis(500);

impl ChangeFeed {
    pub(super) const fn new(
        db: Persistence,
        signs: Option<watch::Receiver<Position>>,
        scope: ChangeScope,
        after: Position,
    ) -> Self {
        Self { db, signs, scope, read: after, told: after, at_hand: VecDeque::new() }
    }

    /// The position to go on from, so that nothing is missed: everything up to it was told, or does not belong to what is
    /// followed.
    #[must_use]
    pub fn position(&self) -> Position {
        if self.at_hand.is_empty() { self.read } else { self.told }
    }

    /// The next change, waited for where there is none yet.
    ///
    /// # Errors
    /// What reading the changes answers; [`TooOld`](crate::ErrorKind::TooOld) where some after the position are not kept any
    /// more. The feed stays where it is: called again, it reads again.
    ///
    /// # Cancel safety
    /// Dropped before it answers, it has told nothing.
    pub async fn next(&mut self) -> Result<Change> {
        loop {
            if let Some(change) = self.next_now().await? {
                return Ok(change);
            }
            self.sign().await;
        }
    }

    /// The next change; nothing where none is committed yet.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    ///
    /// # Cancel safety
    /// As for [`next`](Self::next).
    pub async fn next_now(&mut self) -> Result<Option<Change>> {
        while self.at_hand.is_empty() {
            if let Some(signs) = &mut self.signs {
                // What is committed from here on is told by a sign, and what was before is read now.
                signs.mark_unchanged();
            }
            let read = ReadChanges::new(self.scope.clone(), self.read, PAGE);
            let changes = self.db.read(read).await?;
            self.read = changes.position;
            self.at_hand = changes.changes.into();
            if self.at_hand.is_empty() && !changes.more {
                return Ok(None);
            }
        }
        let change = self.at_hand.pop_front();
        if let Some(change) = &change {
            self.told = change.position;
        }
        Ok(change)
    }

    /// The changes that are at hand, or are found by one look, which may be none; the look is taken at the next sign, or now.
    #[cfg(feature = "effects")]
    pub(crate) async fn look(&mut self, at_next_sign: bool) -> Result<Vec<Change>> {
        if at_next_sign {
            self.sign().await;
        }
        let Some(first) = self.next_now().await? else { return Ok(Vec::new()) };
        let changes: Vec<Change> = std::iter::once(first).chain(self.at_hand.drain(..)).collect();
        self.told = self.read;
        Ok(changes)
    }

    async fn sign(&mut self) {
        if let Some(signs) = &mut self.signs {
            match timeout(LOOK, signs.changed()).await {
                Ok(Ok(())) | Err(_) => return,
                // The store is gone: what it is read for says so.
                Ok(Err(_)) => self.signs = None,
            }
        }
        tokio::time::sleep(LOOK_WITHOUT_SIGNS).await;
    }
}

impl fmt::Debug for ChangeFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeFeed")
            .field("scope", &self.scope)
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}
