use std::fmt;

use serde::{Deserialize, Serialize};

use super::Anchor;
use throughline_core::{Position, audit::AuditNumber};

/// The first defect of an audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Flaw {
    /// The holder of the key did not write this entry: it was edited or forged.
    Edited {
        /// The number of the entry.
        number: AuditNumber,
    },
    /// The log has later entries, but none with this number.
    Missing {
        /// The first missing number.
        number: AuditNumber,
    },
    /// Another entry of the log has this number: entries were swapped, or one was inserted again.
    OutOfOrder {
        /// The number.
        number: AuditNumber,
        /// The original number of the entry that was found.
        found: AuditNumber,
    },
    /// The holder of the key wrote this entry, but not after its predecessor: it is from another history of this log,
    /// such as that of a copy.
    Spliced {
        /// The number of the entry.
        number: AuditNumber,
    },
    /// The log is shorter than an anchor says.
    Truncated {
        /// The number of entries.
        count: AuditNumber,
        /// The number of entries in the anchor.
        anchored: AuditNumber,
    },
    /// The store counts another number of entries than the log has: the log was truncated, or the count was changed.
    Miscounted {
        /// The number of entries.
        count: AuditNumber,
        /// The number of entries that the store counts.
        written: AuditNumber,
    },
    /// The log has no entry, although the store has this position: all entries were removed, or no write was audited
    /// yet.
    Absent {
        /// The position of the store.
        position: Position,
    },
    /// The log is as long as an anchor says, but its entries differ: it was truncated and continued, or rewritten.
    Rewritten {
        /// The last entry that another anchor confirms.
        after: AuditNumber,
        /// The entry that the anchor contradicts.
        by: AuditNumber,
    },
    /// An anchor has another key, or was changed.
    #[serde(rename = "foreignAnchor")]
    ForeignAnchor {
        /// The anchor.
        anchor: Anchor,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited { number } => write!(f, "entry {number} was edited or forged"),
            Self::Missing { number } => write!(f, "entry {number} is missing"),
            Self::OutOfOrder { number, found } => write!(f, "entry {found} is at number {number}"),
            Self::Spliced { number } => write!(f, "entry {number} does not follow the one before it"),
            Self::Truncated { count, anchored } => {
                write!(f, "the log ends after {count} entries, but an anchor counts {anchored}")
            }
            Self::Miscounted { count, written } => {
                write!(f, "the log has {count} entries, but the store counts {written}")
            }
            Self::Absent { position } => {
                write!(f, "the log is empty, but the store is at position {position}")
            }
            Self::Rewritten { after, by } => {
                write!(f, "the log was rewritten after entry {after}, up to entry {by}")
            }
            Self::ForeignAnchor { anchor } => {
                write!(f, "the anchor of {} entries does not match this key", anchor.count)
            }
        }
    }
}

/// The result of comparing a log with the change feed of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Comparison {
    /// The position after which changes were compared: the position before the first write with an entry, or that of
    /// the last change that the store no longer keeps. Zero when no write has an entry.
    pub after: Position,
    /// The number of compared changes, which are those that the store still keeps.
    pub changes: u64,
    /// The number of changes that have no entry of their tenant and thread.
    pub without_entry: u64,
    /// The first of these changes, at most [`Comparison::NAMED`].
    pub first: Vec<Position>,
    /// The number of entries that name a changed message or thread but have fewer changes than operations, although the
    /// store keeps the changes around them.
    pub without_change: u64,
}

impl Comparison {
    /// The most changes without an entry that are listed.
    pub const NAMED: usize = 100;
}

/// The result of [`verify`](super::verify).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AuditReport {
    /// The last entry up to which the log is intact.
    pub intact: AuditNumber,
    /// The first defect of the log.
    pub flaw: Option<Flaw>,
    /// The last entry that an anchor confirms: a truncation after it could be undetected.
    pub anchored: AuditNumber,
    /// The comparison of the change feed with the entries; `None` when an entry is invalid, or when the store has no
    /// change feed.
    pub comparison: Option<Comparison>,
}

impl AuditReport {
    /// Returns true if neither the log nor the comparison shows a defect.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        let agrees =
            |comparison: &Comparison| comparison.without_entry == 0 && comparison.without_change == 0;
        self.flaw.is_none() && self.comparison.as_ref().is_none_or(agrees)
    }
}
