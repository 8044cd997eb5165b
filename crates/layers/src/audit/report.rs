use std::fmt;

use serde::{Deserialize, Serialize};

use super::Anchor;
use throughline_core::{Position, audit::AuditNumber};

/// What is wrong with a log, first of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Flaw {
    /// What stands there is not what the holder of the key wrote: it was edited, or made up.
    Edited {
        /// Where.
        number: AuditNumber,
    },
    /// There is none of this number, and there are later ones.
    Missing {
        /// The first that is missing.
        number: AuditNumber,
    },
    /// Another entry of the log stands there: two changed places, or one was put in again.
    OutOfOrder {
        /// Where.
        number: AuditNumber,
        /// The number of the one that stands there.
        found: AuditNumber,
    },
    /// The entry was written by the holder of the key, and not after the one that stands before it: it is of another course of this
    /// log, such as that of a copy.
    Spliced {
        /// Where.
        number: AuditNumber,
    },
    /// The log ends, and an anchor says that it went on.
    Truncated {
        /// How many entries there are.
        count: AuditNumber,
        /// How many there were.
        anchored: AuditNumber,
    },
    /// The store has written another number of entries than there are, by its own count: the end was cut off, or the count was
    /// changed.
    Miscounted {
        /// How many entries there are.
        count: AuditNumber,
        /// How many the store has written.
        written: AuditNumber,
    },
    /// There is no entry, although the store has come this far: all of them were removed, or no write of it was audited yet.
    Absent {
        /// The position of the store.
        position: Position,
    },
    /// The log has come as far as an anchor says, and by other entries: it was cut off and went on, or was written anew.
    Rewritten {
        /// The last entry up to which another anchor holds.
        after: AuditNumber,
        /// The entry that the anchor says something else of.
        by: AuditNumber,
    },
    /// An anchor was not made with this key, or was changed.
    StrangeAnchor {
        /// It.
        anchor: Anchor,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited { number } => write!(f, "entry {number} was edited or made up"),
            Self::Missing { number } => write!(f, "entry {number} is missing"),
            Self::OutOfOrder { number, found } => write!(f, "entry {found} stands in the place of {number}"),
            Self::Spliced { number } => write!(f, "entry {number} does not follow the one before it"),
            Self::Truncated { count, anchored } => {
                write!(f, "the log ends after {count} entries, and had {anchored}")
            }
            Self::Miscounted { count, written } => {
                write!(f, "the log has {count} entries, and the store has written {written}")
            }
            Self::Absent { position } => {
                write!(f, "the log is empty, and the store has come to position {position}")
            }
            Self::Rewritten { after, by } => {
                write!(f, "the log was written anew somewhere after entry {after}, up to entry {by}")
            }
            Self::StrangeAnchor { anchor } => {
                write!(f, "the anchor of {} entries is not of this key", anchor.count)
            }
        }
    }
}

/// A log held against what the store tells of its changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Comparison {
    /// The position after which changes were looked at: the one that the store had come to before its first write with an entry, or
    /// the last one whose change it does not keep any more. Zero where no write has an entry.
    pub after: Position,
    /// How many changes were looked at: those that the store still tells.
    pub changes: u64,
    /// How many of them have no entry of their tenant and thread.
    pub without_entry: u64,
    /// The first of these, at most [`Comparison::NAMED`].
    pub first: Vec<Position>,
    /// How many entries say that a message or a thread was changed, and have fewer changes than operations, although the store tells
    /// the changes around them.
    pub without_change: u64,
}

impl Comparison {
    /// How many changes without an entry are named.
    pub const NAMED: usize = 100;
}

/// What [`verify`](super::verify) has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AuditReport {
    /// Up to this entry all is as it was written.
    pub intact: AuditNumber,
    /// The first thing that is wrong with the log.
    pub flaw: Option<Flaw>,
    /// Up to this entry an anchor vouches for it: what comes after could have been cut off unseen.
    pub anchored: AuditNumber,
    /// The changes of the store against the entries; nothing where an entry is not what was written, or the store tells no changes.
    pub comparison: Option<Comparison>,
}

impl AuditReport {
    /// Whether nothing is wrong: with the log, and with what was compared.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        let agrees =
            |comparison: &Comparison| comparison.without_entry == 0 && comparison.without_change == 0;
        self.flaw.is_none() && self.comparison.as_ref().is_none_or(agrees)
    }
}
