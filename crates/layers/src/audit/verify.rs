use std::collections::VecDeque;

use super::{Anchor, AuditKey, AuditReport, Comparison, Flaw};
use throughline_core::{
    ErrorKind, Persistence, Position, Result,
    audit::{AuditDigest, AuditEntry, AuditFrom, AuditItem, AuditNumber, AuditOutcome, ReadAudit},
    changes::{Change, ChangeScope, ReadChanges},
    messages::ReadPage,
};

/// Verifies the audit log: its chain of hashes, the anchors that the host kept outside of the store, and the changes
/// that the store still keeps.
///
/// | tampering without the key | without an anchor | with an earlier anchor |
/// |---|---|---|
/// | an entry edited, deleted, inserted or moved | detected | detected |
/// | the indexed tenant or thread of an entry changed | detected | detected |
/// | a change removed from the change feed | detected for the addition, reservation, patch, deletion, end or edit of a message, and for the creation, change or clear of a thread | detected |
/// | the end truncated | detected by the store's count or by the changes | detected up to the anchor |
/// | the end truncated, with the store's count and the changes | not detected | detected up to the anchor |
/// | the end truncated with the count, and the log continued | detected by the changes, while the store keeps them | detected |
/// | all entries deleted, and no audited write since | detected, unless the store's position was also set to zero | detected |
/// | all entries deleted, and the log continued by another write | only by [`Comparison::after`], see below | detected |
/// | all entries rewritten | detected, because it takes the key | detected |
/// | the whole store restored from an earlier copy | not detected | detected up to the anchor |
///
/// The holder of the key can change everything that is not anchored. A log that was deleted completely and then
/// continued begins later than the store: compare [`Comparison::after`] with the position at which the host began its
/// log. A store without entries that was written to without the layer is reported like a store with a deleted log.
///
/// It reads the log in pages, from its beginning; writes may run meanwhile. The handle must have access to the whole
/// store, as for [`anchor`](super::anchor).
///
/// # Errors
/// The errors of the reads; a defect of the log is no error but part of the report.
///
/// # Cancel safety
/// A dropped call changes nothing, because it only reads.
pub async fn verify(db: &Persistence, key: &AuditKey, anchors: &[Anchor]) -> Result<AuditReport> {
    let mut chain = Chain::new(key, anchors);
    let mut read =
        Some(ReadAudit::new(ChangeScope::Store, AuditFrom::After(AuditNumber::ZERO), ReadPage::MAX_LIMIT));
    while let Some(asked) = read {
        let page = db.read(asked.clone()).await?;
        let mut damaged: VecDeque<AuditNumber> = page.damaged.iter().copied().collect();
        for entry in &page.entries {
            if chain.flaw.is_none() && damaged.front().is_some_and(|number| *number == chain.last.next()) {
                chain.flaw = damaged.pop_front().map(|number| Flaw::Edited { number });
            }
            chain.take(entry);
        }
        if chain.flaw.is_none()
            && let Some(number) = damaged.pop_front()
        {
            chain.flaw = Some(Flaw::Edited { number });
        }
        (chain.written, chain.position) = (page.written, page.position);
        read = asked.next(&page);
    }
    let report = chain.end();
    let comparison = match report.flaw {
        None | Some(Flaw::Truncated { .. } | Flaw::Miscounted { .. } | Flaw::Absent { .. }) => {
            compare(db).await?
        }
        Some(_) => None,
    };
    Ok(AuditReport { comparison, ..report })
}

/// The verified entries, in order.
struct Chain<'a> {
    key: &'a AuditKey,
    /// Ordered by their counts.
    anchors: Vec<Anchor>,
    last: AuditNumber,
    head: AuditDigest,
    anchored: AuditNumber,
    flaw: Option<Flaw>,
    /// The missing entry, after an entry with a later number was found.
    awaited: Option<AuditNumber>,
    is_out_of_order: bool,
    /// The number of entries that the store itself counts.
    written: AuditNumber,
    position: Position,
}

impl<'a> Chain<'a> {
    fn new(key: &'a AuditKey, anchors: &[Anchor]) -> Self {
        let foreign = anchors.iter().find(|anchor| !anchor.is_of(key));
        let mut anchors = anchors.to_vec();
        anchors.sort_by_key(|anchor| anchor.count);
        Self {
            key,
            flaw: foreign.map(|anchor| Flaw::ForeignAnchor { anchor: *anchor }),
            anchors,
            last: AuditNumber::ZERO,
            head: AuditDigest::ZERO,
            anchored: AuditNumber::ZERO,
            awaited: None,
            is_out_of_order: false,
            written: AuditNumber::ZERO,
            position: Position::ZERO,
        }
    }

    fn take(&mut self, entry: &AuditEntry) {
        if self.flaw.is_some() {
            // The missing entry may appear later in the log.
            self.is_out_of_order |= self.awaited == Some(entry.number) && self.key.has_sealed(entry);
            return;
        }
        let number = self.last.next();
        self.flaw = if !self.key.has_sealed(entry) {
            Some(Flaw::Edited { number })
        } else if entry.number > number {
            self.awaited = Some(number);
            Some(Flaw::OutOfOrder { number, found: entry.number })
        } else if entry.number < number {
            Some(Flaw::OutOfOrder { number, found: entry.number })
        } else if entry.previous != self.head {
            Some(Flaw::Spliced { number })
        } else {
            None
        };
        if self.flaw.is_none() {
            (self.last, self.head) = (number, entry.hash);
            self.check_anchors();
        }
    }

    fn check_anchors(&mut self) {
        let here = self.anchors.iter().filter(|anchor| anchor.count == self.last);
        for anchor in here {
            if anchor.head == self.head {
                self.anchored = self.last;
            } else {
                self.flaw = Some(Flaw::Rewritten { after: self.anchored, by: self.last });
                return;
            }
        }
    }

    fn end(self) -> AuditReport {
        let Self { anchors, last, anchored, flaw, awaited, is_out_of_order, written, position, .. } = self;
        let flaw = match (flaw, awaited) {
            // The missing entry is nowhere: the found entry follows only because that one is gone.
            (Some(Flaw::OutOfOrder { .. }), Some(number)) if !is_out_of_order => {
                Some(Flaw::Missing { number })
            }
            (None, _) => anchors
                .last()
                .filter(|anchor| anchor.count > last)
                .map(|anchor| Flaw::Truncated { count: last, anchored: anchor.count })
                .or_else(|| (written != last).then_some(Flaw::Miscounted { count: last, written }))
                .or_else(|| {
                    let is_absent = last == AuditNumber::ZERO && position > Position::ZERO;
                    is_absent.then_some(Flaw::Absent { position })
                }),
            (flaw, _) => flaw,
        };
        let intact = match flaw {
            Some(Flaw::Rewritten { after, .. }) => after,
            _ => last,
        };
        AuditReport { intact, flaw, anchored, comparison: None }
    }
}

/// Walks through changes and entries in parallel: both are in commit order.
async fn compare(db: &Persistence) -> Result<Option<Comparison>> {
    let mut found = Comparison::default();
    let mut entries = Applied::new(db);
    // Changes before the first audited write have no entries. If no write has an entry, all entries were removed, or
    // none was written.
    let mut after = entries.front().await?.map_or(Position::ZERO, |first| first.after);
    loop {
        if found.changes == 0 {
            (found.after, entries.begin) = (after, after);
        }
        let read = db.read(ReadChanges::new(ChangeScope::Store, after, ReadPage::MAX_LIMIT)).await;
        let page = match read {
            Ok(page) => page,
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(None),
            // The store removed the oldest changes; the comparison begins with those it keeps.
            Err(error) if error.kind() == ErrorKind::TooOld => match oldest(db, after).await? {
                Some(kept) => {
                    (after, entries.begin) = (kept, kept);
                    continue;
                }
                None => return Ok(None),
            },
            Err(error) => return Err(error),
        };
        // Entries for changes that were committed meanwhile now exist.
        entries.look_again();
        for change in &page.changes {
            found.changes += 1;
            if !entries.has(change).await? {
                found.without_entry += 1;
                if found.first.len() < Comparison::NAMED {
                    found.first.push(change.position);
                }
            }
        }
        after = page.position;
        if !page.more {
            // Entries that were committed after the last page have no change in it.
            while entries.front().await?.is_some_and(|span| span.position <= after) {
                entries.pass();
            }
            found.without_change = entries.without_change;
            return Ok(Some(found));
        }
    }
}

/// Finds the position after which the store keeps changes, by binary search from `lost`, the position of a removed
/// change.
async fn oldest(db: &Persistence, lost: Position) -> Result<Option<Position>> {
    let is_kept =
        async |after: u64| match db.read(ReadChanges::new(ChangeScope::Store, Position::new(after), 1)).await
        {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::TooOld => Ok(false),
            Err(error) => Err(error),
        };
    let (mut lost, mut step) = (lost.get(), 1_u64);
    let mut kept = loop {
        let Some(next) = lost.checked_add(step).filter(|next| i64::try_from(*next).is_ok()) else {
            return Ok(None);
        };
        if is_kept(next).await? {
            break next;
        }
        (lost, step) = (next, step * 2);
    };
    while kept - lost > 1 {
        let middle = lost + (kept - lost) / 2;
        if is_kept(middle).await? { kept = middle } else { lost = middle }
    }
    Ok(Some(Position::new(kept)))
}

/// An applied write and the positions that it committed.
struct Span {
    after: Position,
    position: Position,
    entry: AuditEntry,
    /// The number of its changes in the change feed.
    changes: usize,
}

impl Span {
    /// Returns the least number of its changes. A partial update may only have renewed a lease.
    fn expected(&self) -> usize {
        let has_change = |item: &&AuditItem| match (&*item.operation, item.mode.as_deref()) {
            ("add" | "reserve" | "update" | "delete", _)
            | ("createThread" | "renameThread" | "archiveThread" | "labelThread" | "clearThread", _) => true,
            ("updateContent", Some(mode)) => mode != "partial",
            _ => false,
        };
        self.entry.record.items.iter().filter(has_change).count()
    }
}

/// The entries of applied writes, in order.
struct Applied<'a> {
    db: &'a Persistence,
    next: Option<ReadAudit>,
    /// The last entry that was read.
    reached: AuditNumber,
    spans: VecDeque<Span>,
    /// The store keeps the changes after this position.
    begin: Position,
    without_change: u64,
}

impl<'a> Applied<'a> {
    fn new(db: &'a Persistence) -> Self {
        let mut entries = Self {
            db,
            next: None,
            reached: AuditNumber::ZERO,
            spans: VecDeque::new(),
            begin: Position::ZERO,
            without_change: 0,
        };
        entries.look_again();
        entries
    }

    /// Continues after the former end of the log.
    fn look_again(&mut self) {
        let from = AuditFrom::After(self.reached);
        self.next.get_or_insert_with(|| ReadAudit::new(ChangeScope::Store, from, ReadPage::MAX_LIMIT));
    }

    async fn front(&mut self) -> Result<Option<&mut Span>> {
        while self.spans.is_empty() {
            let Some(read) = self.next.take() else { return Ok(None) };
            let page = self.db.read(read.clone()).await?;
            (self.next, self.reached) = (read.next(&page), page.reached);
            self.spans.extend(page.entries.into_iter().filter_map(|entry| match entry.record.outcome {
                AuditOutcome::Applied { after, position } => {
                    Some(Span { after, position, entry, changes: 0 })
                }
                _ => None,
            }));
        }
        Ok(self.spans.front_mut())
    }

    /// Moves past the first entry, which has no further changes.
    fn pass(&mut self) {
        if let Some(span) = self.spans.pop_front() {
            let is_kept = span.after >= self.begin;
            self.without_change += u64::from(is_kept && span.changes < span.expected());
        }
    }

    /// Returns true if this change has an entry.
    async fn has(&mut self, change: &Change) -> Result<bool> {
        while let Some(span) = self.front().await? {
            if span.position < change.position {
                self.pass();
                continue;
            }
            span.changes += usize::from(span.after < change.position);
            let record = &span.entry.record;
            return Ok(span.after < change.position
                && record.tenant == change.tenant
                && record.items.iter().any(|item| item.thread.as_ref() == Some(&change.thread)));
        }
        Ok(false)
    }
}
