//! The audit log of the mutants, and its faults.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::Path,
};

use throughline_core::{
    BoxError, PersistArgs, PersistResponse, PersistResult, Position, ReadArgs, ReadResult, Result, Timestamp,
    audit::{
        AuditDigest, AuditEntry, AuditFrom, AuditLink, AuditNumber, AuditPage, PendingAuditEntry, ReadAudit,
        RejectedCallRecords,
    },
    backend::AnswerBytes,
    messages::{PageFrom, ReadPage},
    replication::{Image, ImagePart, Images, ReadImages},
};
use tokio::sync::Mutex;

use super::{backend::Faulty, journal::Line};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuditFault {
    ForgetsBatches,
    ForgetsConsumers,
    AuditsReplays,
    PositionsLate,
    HangsOnNothing,
    ForgetsRejections,
    StartsOver,
    ForgetsWhen,
    ForgetsCount,
    ForgetsPosition,
}

/// The entries, in memory and in a file of their own.
pub(super) struct Log {
    fault: Option<AuditFault>,
    kept: Mutex<Kept>,
}

struct Kept {
    entries: Vec<AuditEntry>,
    file: File,
}

impl Log {
    pub(super) fn open(directory: &Path, fault: Option<AuditFault>) -> Result<Self, BoxError> {
        let path = directory.join("audit");
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let mut entries = Vec::new();
        for line in fs::read_to_string(&path)?.lines() {
            entries.push(serde_json::from_str(line)?);
        }
        if fault == Some(AuditFault::StartsOver) {
            entries.clear();
        }
        Ok(Self { fault, kept: Mutex::new(Kept { entries, file }) })
    }

    /// Makes a write that is to have an entry, with nothing between the two.
    pub(super) async fn audited(
        &self,
        admitted: &PendingAuditEntry,
        store: &Faulty,
        line: Line,
        write: impl Future<Output = Result<PersistResponse>>,
    ) -> Result<PersistResponse> {
        let mut kept = self.kept.lock().await;
        let (args, mut now) = (line.args.clone(), line.now);
        let after = position(store, line).await?;
        let response = write.await?;
        let position = match response.receipt.position {
            Some(position) => position,
            None if self.fault == Some(AuditFault::AuditsReplays) => after,
            None => return Ok(response),
        };
        let (after, position) = match self.fault {
            Some(AuditFault::ForgetsBatches) if matches!(args, PersistArgs::Batch(_)) => return Ok(response),
            Some(AuditFault::ForgetsConsumers) if matches!(args, PersistArgs::Consumer(_)) => {
                return Ok(response);
            }
            Some(AuditFault::PositionsLate) => (after.next(), position.next()),
            _ => (after, position),
        };
        if self.fault == Some(AuditFault::ForgetsWhen) {
            now = Timestamp::from_micros(0);
        }
        let entry = admitted.entry(&mut self.link(&kept), now, (after, position), &response.result);
        kept.extend([entry]);
        Ok(response)
    }

    pub(super) async fn record_rejected(&self, records: &RejectedCallRecords) {
        if self.fault == Some(AuditFault::ForgetsRejections) {
            return;
        }
        let mut kept = self.kept.lock().await;
        let entries = records.entries(&mut self.link(&kept));
        kept.extend(entries);
    }

    fn link(&self, kept: &Kept) -> AuditLink {
        match kept.entries.last() {
            None => AuditLink::first(),
            Some(last) if self.fault == Some(AuditFault::HangsOnNothing) => {
                AuditLink::after(last.number, AuditDigest::ZERO)
            }
            Some(last) => AuditLink::after(last.number, last.hash),
        }
    }

    /// Puts entries that were brought from another store behind its own.
    pub(super) async fn carry(&self, entries: Vec<AuditEntry>) {
        let mut kept = self.kept.lock().await;
        let last = kept.last();
        kept.extend(entries.into_iter().filter(|entry| entry.number > last));
    }

    /// The number of the last entry.
    pub(super) async fn last(&self) -> AuditNumber {
        self.kept.lock().await.last()
    }

    /// Fills a page of images up, which has everything else.
    pub(super) async fn images(&self, read: &ReadImages, page: &mut Images) {
        page.cursor.audit = read.after.audit;
        if page.more {
            return;
        }
        let kept = self.kept.lock().await;
        let left = kept.entries.iter().filter(|entry| entry.number > read.after.audit);
        for entry in left {
            if page.images.len() >= read.limit as usize {
                page.more = true;
                return;
            }
            page.cursor.audit = entry.number;
            page.images
                .push(Image::new(entry.record.tenant.clone(), ImagePart::Audit(Box::new(entry.clone()))));
        }
    }

    pub(super) async fn read(&self, store: &Faulty, line: Line, read: &ReadAudit) -> Result<PersistResponse> {
        let kept = self.kept.lock().await;
        let tenant = line.tenant.clone();
        let position = match self.fault {
            Some(AuditFault::ForgetsPosition) => Position::ZERO,
            _ => position(store, line).await?,
        };
        let written = match self.fault {
            Some(AuditFault::ForgetsCount) => AuditNumber::ZERO,
            _ => kept.last(),
        };
        let shown = kept.entries.iter().filter_map(|entry| entry.clone().shown(&read.scope, &tenant));
        let mut entries: Vec<AuditEntry> = shown.collect();
        match read.from {
            AuditFrom::After(number) => entries.retain(|entry| entry.number > number),
            AuditFrom::Before(number) => entries.retain(|entry| entry.number < number),
            AuditFrom::End => {}
        }
        let limit = read.limit as usize;
        let is_forward = matches!(read.from, AuditFrom::After(_));
        if !is_forward {
            entries.reverse();
        }
        let mut more = entries.len() > limit;
        entries.truncate(limit);
        more |= AnswerBytes::new(read.max_bytes).cut(&mut entries);
        let reached = entries.last().map_or_else(AuditNumber::default, |entry| entry.number);
        if !is_forward {
            entries.reverse();
        }
        let page = AuditPage { entries, damaged: Vec::new(), reached, more, written, position };
        Ok(PersistResponse {
            result: ReadResult::Audit(page).into(),
            receipt: throughline_core::pipeline::Receipt::default(),
            extensions: throughline_core::pipeline::Extensions::new(),
        })
    }
}

impl Kept {
    fn last(&self) -> AuditNumber {
        self.entries.last().map_or(AuditNumber::ZERO, |entry| entry.number)
    }

    fn extend(&mut self, entries: impl IntoIterator<Item = AuditEntry>) {
        for entry in entries {
            let line = serde_json::to_string(&entry).expect("an entry serializes");
            writeln!(self.file, "{line}").expect("the log can be written");
            self.entries.push(entry);
        }
    }
}

/// How far the store has come.
async fn position(store: &Faulty, line: Line) -> Result<Position> {
    let page = ReadPage::new("t".parse().expect("a valid id"), PageFrom::End, 1);
    let read = Line { args: ReadArgs::from(page).into(), key: None, ..line };
    match store.journal.read(&read).await?.result {
        PersistResult::Read(ReadResult::Page(page)) => Ok(page.position),
        other => panic!("a page was asked for: {other:?}"),
    }
}
