use std::{collections::BTreeMap, fmt};

use throughline_core::Metadata;

use crate::{Finding, FindingKind, Location, finding::shortened};

/// The result of a transfer, or of its plan.
///
/// Each list keeps its first [`MAX_LISTED`](Report::MAX_LISTED) elements, so that a large or hostile source cannot fill
/// the memory. [`not_listed`](Report::not_listed) counts the others, and counts the findings among them by kind.
///
/// ```
/// use throughline_transfer::Report;
///
/// let report = Report::default();
/// assert_eq!(report.to_string(), "0 messages in 0 threads, 0 were there already, 0 were left out");
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The threads that were read to their end.
    pub threads: u64,
    /// The messages that were imported; in a plan, those that would be imported into a store without any of them.
    pub messages: u64,
    /// The messages that the store already had, unchanged.
    pub already_there: u64,
    /// The messages, rows and lines that were skipped, with the location and the reason.
    pub skipped: Vec<Finding>,
    /// The messages, rows and lines that were transferred in spite of a defect.
    pub warnings: Vec<Finding>,
    /// Unknown fields or columns, and the number of their occurrences. The transfer keeps their values.
    pub unknown_fields: BTreeMap<String, u64>,
    /// Records that are no messages and are not imported, such as snapshots of files, by their type.
    pub omitted: BTreeMap<String, u64>,
    /// The files and lines of a newer version of the format, which are kept unchanged.
    pub newer: Vec<Location>,
    /// The unknown fields of a catalog, byte for byte: see
    /// [`ChatFolder::with_catalog_fields`](crate::ChatFolder::with_catalog_fields).
    pub catalog_fields: Metadata,
    /// The number of elements that the lists do not keep.
    pub not_listed: NotListed,
}

impl Report {
    /// The most elements of each list in a report.
    pub const MAX_LISTED: usize = 1_000;

    pub(crate) fn skip(&mut self, location: &Location, kind: FindingKind) {
        let NotListed { skipped, skipped_kinds, .. } = &mut self.not_listed;
        list(&mut self.skipped, skipped, skipped_kinds, location, kind);
    }

    pub(crate) fn warn(&mut self, location: &Location, kind: FindingKind) {
        let NotListed { warnings, warning_kinds, .. } = &mut self.not_listed;
        list(&mut self.warnings, warnings, warning_kinds, location, kind);
    }

    pub(crate) fn add_newer(&mut self, location: &Location) {
        if self.newer.len() < Self::MAX_LISTED {
            self.newer.push(location.shortened());
        } else {
            self.not_listed.newer += 1;
        }
    }

    pub(crate) fn unknown(&mut self, name: String) {
        count(&mut self.unknown_fields, &mut self.not_listed.unknown_fields, name);
    }

    pub(crate) fn omit(&mut self, name: String) {
        count(&mut self.omitted, &mut self.not_listed.omitted, name);
    }

    /// Appends what another part of the same transfer skipped.
    pub(crate) fn append_skipped(&mut self, other: Self) {
        for Finding { location, kind } in other.skipped {
            self.skip(&location, kind);
        }
        self.not_listed.skipped += other.not_listed.skipped;
        for (kind, count) in other.not_listed.skipped_kinds {
            *self.not_listed.skipped_kinds.entry(kind).or_default() += count;
        }
    }
}

/// Counts an occurrence of a name, or only the occurrence if there are too many names.
fn count(names: &mut BTreeMap<String, u64>, not_listed: &mut u64, name: String) {
    let name = shortened(name);
    if let Some(count) = names.get_mut(&name) {
        *count += 1;
    } else if names.len() < Report::MAX_LISTED {
        names.insert(name, 1);
    } else {
        *not_listed += 1;
    }
}

/// Appends a finding, or counts it and its kind if the list is full.
fn list(
    listed: &mut Vec<Finding>,
    not_listed: &mut u64,
    kinds: &mut BTreeMap<&'static str, u64>,
    location: &Location,
    kind: FindingKind,
) {
    if listed.len() < Report::MAX_LISTED {
        listed.push(Finding::new(location, kind));
    } else {
        *not_listed += 1;
        *kinds.entry(kind.name()).or_default() += 1;
    }
}

/// The number of elements that each list of a [`Report`] does not keep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotListed {
    /// The elements that [`Report::skipped`] does not keep.
    pub skipped: u64,
    /// The elements that [`Report::warnings`] does not keep.
    pub warnings: u64,
    /// The occurrences of fields and columns whose names [`Report::unknown_fields`] does not keep.
    pub unknown_fields: u64,
    /// The occurrences of types whose names [`Report::omitted`] does not keep.
    pub omitted: u64,
    /// The elements that [`Report::newer`] does not keep.
    pub newer: u64,
    /// The number of each kind in [`skipped`](Self::skipped), under its [name](FindingKind::name).
    pub skipped_kinds: BTreeMap<&'static str, u64>,
    /// The number of each kind in [`warnings`](Self::warnings), under its [name](FindingKind::name).
    pub warning_kinds: BTreeMap<&'static str, u64>,
}

impl NotListed {
    /// Returns the sum of all counts.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.skipped + self.warnings + self.unknown_fields + self.omitted + self.newer
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { threads, messages, already_there, skipped, warnings, newer, not_listed, .. } = self;
        let left_out = skipped.len() as u64 + not_listed.skipped;
        write!(
            f,
            "{messages} messages in {threads} threads, {already_there} were there already, {left_out} were left out"
        )?;
        let more = not_listed.total();
        if more == 0 {
            return Ok(());
        }
        let listed =
            skipped.len() + warnings.len() + newer.len() + self.unknown_fields.len() + self.omitted.len();
        write!(f, "; the report lists {listed} findings, and {more} more were counted only: {not_listed}")
    }
}

impl fmt::Display for NotListed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { skipped: _, warnings: _, unknown_fields, omitted, newer, skipped_kinds, warning_kinds } =
            self;
        let skipped = skipped_kinds.iter().map(|(kind, count)| (*count, *kind, " skipped"));
        let warnings = warning_kinds.iter().map(|(kind, count)| (*count, *kind, " warnings"));
        let others =
            [(*unknown_fields, "unknown fields", ""), (*omitted, "omitted", ""), (*newer, "newer", "")];
        let counts = skipped.chain(warnings).chain(others).filter(|(count, ..)| *count > 0);
        for (at, (count, kind, list)) in counts.enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{count} {kind}{list}")?;
        }
        Ok(())
    }
}
