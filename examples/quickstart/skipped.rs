//! Reports what the example skips: the first records by name, and the others as counts by kind. So a file with millions
//! of bad lines fills neither the memory nor the terminal.

use std::{collections::BTreeMap, fmt};

/// The most records that are reported by name.
pub(crate) const MAX_LISTED: usize = 100;

/// The kinds of defects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Unreadable,
    Blank,
    TooLong,
    NotUtf8,
    CutOff,
    NotJson,
    NoRecord,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "unreadable",
            Self::Blank => "blank",
            Self::TooLong => "too long",
            Self::NotUtf8 => "not UTF-8",
            Self::CutOff => "cut off",
            Self::NotJson => "not JSON",
            Self::NoRecord => "neither a turn nor a chat",
        })
    }
}

/// The reason why a record is skipped.
#[derive(Debug)]
pub(crate) struct Defect {
    pub(crate) kind: Kind,
    pub(crate) reason: String,
}

impl Defect {
    pub(crate) fn new(kind: Kind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }
}

/// A value with other fields than a turn or a chat.
impl From<String> for Defect {
    fn from(reason: String) -> Self {
        Self { kind: Kind::NoRecord, reason }
    }
}

/// The skipped records, in a bounded size.
#[derive(Debug, Default)]
pub(crate) struct Skipped {
    /// The first skipped records and their reasons, at most [`MAX_LISTED`].
    pub(crate) listed: Vec<String>,
    /// The number of the others of each kind.
    pub(crate) others: BTreeMap<Kind, usize>,
}

impl Skipped {
    pub(crate) fn add(&mut self, location: &dyn fmt::Display, defect: &Defect) {
        if self.listed.len() < MAX_LISTED {
            self.listed.push(format!("{location}: {}", defect.reason));
        } else {
            *self.others.entry(defect.kind).or_default() += 1;
        }
    }

    pub(crate) fn total(&self) -> usize {
        self.listed.len() + self.others.values().sum::<usize>()
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for listed in &self.listed {
            writeln!(f, "skipped {listed}")?;
        }
        for (kind, count) in &self.others {
            writeln!(f, "skipped {count} more: {kind}")?;
        }
        Ok(())
    }
}
