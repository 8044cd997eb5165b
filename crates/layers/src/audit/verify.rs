use std::collections::VecDeque;

use super::{Anchor, AuditKey, AuditReport, Comparison, Flaw};
use throughline_core::{
    ErrorKind, Persistence, Position, Result,
    audit::{AuditDigest, AuditEntry, AuditFrom, AuditItem, AuditNumber, AuditOutcome, ReadAudit},
    changes::{Change, ChangeScope, ReadChanges},
    messages::ReadPage,
};

/// Holds the log against itself, against the anchors that were kept outside of the store, and against the changes that the store
/// still tells.
///
/// | done to the log by who has not the key | without an anchor | with one of before |
/// |---|---|---|
/// | an entry edited, deleted, inserted, or put elsewhere | found | found |
/// | the tenant or the thread changed by which a store finds an entry | found | found |
/// | a change removed that the store tells | found, where its entry is of a message that was added, reserved, patched, deleted, ended or edited, or of a thread that was created, changed or cleared | found |
/// | the end cut off | found by the count of the store, or by the changes | found, as far as the anchor goes |
/// | the end cut off, the count of the store and the changes with it | not found | found, as far as the anchor goes |
/// | the end cut off with the count, and the log gone on | found by the changes, while the store keeps them | found |
/// | all of it deleted, and nothing audited since | found, unless the position of the store was set to zero with it | found |
/// | all of it deleted, and the log gone on with another write | only by [`Comparison::after`], as below | found |
/// | all of it written again | found: it takes the key | found |
/// | the whole store put back to an earlier copy | not found | found, as far as the anchor goes |
///
/// The holder of the key can do everything that is not anchored. A log that was deleted whole and goes on with new entries begins
/// later than the store: compare [`Comparison::after`] with the position at which the host began its log. A store that was written
/// to without the layer, and with no entry yet, is reported like one whose log was deleted.
///
/// The log is read in pages, from its beginning; it may be written to meanwhile. The handle needs to see the whole store, as with [`anchor`](super::anchor).
///
/// # Errors
/// What a read answers; what is wrong with the log is no error but the report.
///
/// # Cancel safety
/// Nothing is kept: dropped, it has only read.
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

/// The entries that were looked at, one after the other.
struct Chain<'a> {
    key: &'a AuditKey,
    /// By their counts.
    anchors: Vec<Anchor>,
    last: AuditNumber,
    head: AuditDigest,
    anchored: AuditNumber,
    flaw: Option<Flaw>,
    /// An entry of a later number stood where this one was due.
    awaited: Option<AuditNumber>,
    is_out_of_order: bool,
    /// What the store says of itself, apart from its entries.
    written: AuditNumber,
    position: Position,
}

impl<'a> Chain<'a> {
    fn new(key: &'a AuditKey, anchors: &[Anchor]) -> Self {
        let strange = anchors.iter().find(|anchor| !anchor.is_of(key));
        let mut anchors = anchors.to_vec();
        anchors.sort_by_key(|anchor| anchor.count);
        Self {
            key,
            flaw: strange.map(|anchor| Flaw::StrangeAnchor { anchor: *anchor }),
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
            // Whether what was missing stands further on.
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
            self.hold_against_anchors();
        }
    }

    fn hold_against_anchors(&mut self) {
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
            // It stands nowhere: the one that was found is where it is because this one is gone.
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

/// Goes through changes and entries side by side: both are in the order of the commits.
async fn compare(db: &Persistence) -> Result<Option<Comparison>> {
    let mut found = Comparison::default();
    let mut entries = Applied::new(db);
    // Of what came before the first write with an entry there is none. Where no write has one, each has lost it, or never had it.
    let mut after = entries.front().await?.map_or(Position::ZERO, |first| first.after);
    loop {
        if found.changes == 0 {
            (found.after, entries.begin) = (after, after);
        }
        let read = db.read(ReadChanges::new(ChangeScope::Store, after, ReadPage::MAX_LIMIT)).await;
        let page = match read {
            Ok(page) => page,
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(None),
            // Some were let go: the ones that are kept begin there.
            Err(error) if error.kind() == ErrorKind::TooOld => match oldest(db, after).await? {
                Some(kept) => {
                    (after, entries.begin) = (kept, kept);
                    continue;
                }
                None => return Ok(None),
            },
            Err(error) => return Err(error),
        };
        // Of what was committed meanwhile, the entries are there since.
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
            // What was committed after the last page is in no page.
            while entries.front().await?.is_some_and(|span| span.position <= after) {
                entries.pass();
            }
            found.without_change = entries.without_change;
            return Ok(Some(found));
        }
    }
}

/// Where the changes begin that are kept: by halves, from `lost`, after which some are gone.
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

/// What was applied, and the positions that it took.
struct Span {
    after: Position,
    position: Position,
    entry: AuditEntry,
    /// How many of its changes the store has told.
    changes: usize,
}

impl Span {
    /// How many changes it has made at least. A partial update may only have renewed a lease.
    fn expected(&self) -> usize {
        let is_told = |item: &&AuditItem| match (&*item.operation, item.mode.as_deref()) {
            ("add" | "reserve" | "update" | "delete", _)
            | ("createThread" | "renameThread" | "archiveThread" | "labelThread" | "clearThread", _) => true,
            ("updateContent", Some(mode)) => mode != "partial",
            _ => false,
        };
        self.entry.record.items.iter().filter(is_told).count()
    }
}

/// The entries of what was applied, one after the other.
struct Applied<'a> {
    db: &'a Persistence,
    next: Option<ReadAudit>,
    /// How far was read.
    reached: AuditNumber,
    spans: VecDeque<Span>,
    /// After this position the store tells its changes.
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

    /// Goes on where the log had ended.
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

    /// Goes on behind the first one: no further change is of it.
    fn pass(&mut self) {
        if let Some(span) = self.spans.pop_front() {
            let is_told = span.after >= self.begin;
            self.without_change += u64::from(is_told && span.changes < span.expected());
        }
    }

    /// Whether there is an entry of this change.
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
