//! A journal with a fault, as a backend.

use std::sync::atomic::AtomicUsize;

use throughline_core::{
    Admitted, Backend, BoxError, Capabilities, Effect, ErrorKind, Operation, PersistArgs, PersistError,
    PersistResponse, PersistResult, ReadArgs, ReadResult, Reply, Result,
    audit::{AuditNumber, RejectedCallRecords},
    backend::forward_operations,
    changes::{CommitNotifications, CommitNotifier},
    operations::FingerprintKey,
    replication::{Image, ImagePart, ReplicaArgs, ReplicaResult},
};

use super::{
    Mutant,
    audit::Log,
    journal::{Journal, Line},
    special::{Memory, Special},
    store_key::StoreKey,
};
use crate::StoreLocation;

pub(crate) struct Faulty {
    pub(super) mutant: &'static Mutant,
    pub(super) journal: Journal,
    pub(super) writes: AtomicUsize,
    pub(super) memory: Memory,
    log: Log,
    key: StoreKey,
    commits: CommitNotifier,
}

impl Faulty {
    pub(super) async fn open(mutant: &'static Mutant, location: &StoreLocation) -> Result<Self, BoxError> {
        let journal = Journal::open(location.directory()).await?;
        let commits = CommitNotifier::new();
        let fault = match mutant.special {
            Some(Special::Audit(fault)) => Some(fault),
            _ => None,
        };
        let log = Log::open(location.directory(), fault)?;
        let fault = match mutant.special {
            Some(Special::Key(fault)) => Some(fault),
            _ => None,
        };
        let key = StoreKey::open(location.directory(), fault)?;
        Ok(Self {
            mutant,
            journal,
            key,
            writes: AtomicUsize::new(0),
            memory: Memory::default(),
            log,
            commits,
        })
    }

    async fn serve<O: Operation>(&self, mut call: Admitted<'_, O>) -> Result<Reply<O>> {
        let audit = call.take_audit();
        let (op, context, now) = call.into_parts();
        let asked: PersistArgs = op.into();
        let mut args = asked.clone();
        if self.journal.was_there()
            && let Some(refused) = (self.mutant.refuses_reopened)(&asked)
        {
            return Err(refused);
        }
        (self.mutant.before)(&mut args, &context);
        let key = context.idempotency().map(|idempotency| idempotency.key.clone());
        let line = Line::new(context.tenant().clone(), args, key, now);
        let answer = match &audit {
            Some(admitted) => self.log.audited(admitted, self, line.clone(), self.answer(line)).await,
            None => self.answer(line).await,
        };
        let mut response = answer.map_err(|error| own(&error))?;
        if let Some(position) = response.receipt.position
            && !matches!(self.mutant.special, Some(Special::Change(fault)) if fault.omits_notification(position))
        {
            self.commits.notify(position);
        }
        (self.mutant.after)(&asked, &mut response);
        if self.journal.was_there() {
            (self.mutant.reopened)(&mut response);
        }
        Reply::from_response(response)
    }

    async fn answer(&self, line: Line) -> Result<PersistResponse> {
        match self.mutant.special {
            Some(Special::Audit(_) | Special::Key(_)) | None => self.sound(line).await,
            Some(special) => special.serve(self, line).await,
        }
    }

    /// As it should be: applied, written to the file, and answered then.
    pub(super) async fn sound(&self, line: Line) -> Result<PersistResponse> {
        if let PersistArgs::Read(ReadArgs::Audit(read)) = &line.args {
            let read = read.clone();
            return self.log.read(self, line, &read).await;
        }
        if !line.args.kind().is_write() {
            let mut response = self.journal.read(&line).await?;
            if let (
                PersistArgs::Read(ReadArgs::Images(read)),
                PersistResult::Read(ReadResult::Images(page)),
            ) = (&line.args, &mut response.result)
            {
                self.log.images(read, page).await;
            }
            return Ok(response);
        }
        if let PersistArgs::Replica(args) = &line.args {
            return self.replicated(args.clone(), line).await;
        }
        self.written(line).await
    }

    async fn written(&self, line: Line) -> Result<PersistResponse> {
        let (response, mut pending) = self.journal.apply(&line).await?;
        // A replayed write is already in the file.
        if response.receipt.position.is_some() {
            pending.write(&line);
            pending.flush();
        }
        Ok(response)
    }
}

impl Faulty {
    /// Handles replication. The audit log is a file next to the journal, and is replicated with it.
    async fn replicated(&self, args: ReplicaArgs, line: Line) -> Result<PersistResponse> {
        match args {
            ReplicaArgs::Apply(mut apply) => {
                let is_entry = |image: &mut Image| matches!(image.part, ImagePart::Audit(_));
                let brought: Vec<Image> = apply.images.extract_if(.., is_entry).collect();
                let response = self.written(Line { args: ReplicaArgs::Apply(apply).into(), ..line }).await?;
                let entries = brought.into_iter().filter_map(|image| match image.part {
                    ImagePart::Audit(entry) => Some(*entry),
                    _ => None,
                });
                self.log.carry(entries.collect()).await;
                Ok(response)
            }
            ReplicaArgs::Begin(begin) => {
                let mut response = self.written(line).await?;
                if let PersistResult::Replica(ReplicaResult::Begin(begun)) = &mut response.result {
                    begun.cursor.audit = if begin.whole { AuditNumber::ZERO } else { self.log.last().await };
                }
                Ok(response)
            }
            ReplicaArgs::SetState(take) => {
                let response = self.written(line).await?;
                if let Some(key) = take.taken_key() {
                    self.key.take(key).expect("the key can be written");
                }
                Ok(response)
            }
            _ => self.written(line).await,
        }
    }
}

/// An error of the store inside, as one of this backend's own.
fn own(error: &PersistError) -> PersistError {
    let mut own = PersistError::new(error.kind(), error.detail().to_owned()).with_effect(error.effect());
    if let (Some(thread), Some(message)) = (error.thread(), error.message()) {
        own = own.about(thread, message);
    }
    if let Some(revision) = error.revision() {
        own = own.with_revision(revision);
    }
    match error.batch_index() {
        Some(index) => own.with_batch_index(index),
        None => own,
    }
}

/// Nothing but the kind of the error: what it may have done is not said.
pub(super) fn silent(error: &PersistError) -> PersistError {
    PersistError::new(throughline_core::ErrorKind::Internal, error.detail().to_owned())
        .with_effect(Effect::Unknown)
}

impl Backend for Faulty {
    fn name(&self) -> &str {
        self.mutant.name
    }

    fn capabilities(&self) -> Capabilities {
        self.mutant.claims()
    }

    fn fingerprint_key(&self) -> Option<FingerprintKey> {
        Some(self.key.get())
    }

    async fn close(&self) -> Result<()> {
        match self.mutant.special {
            Some(Special::FailsToClose) => Err(PersistError::new(ErrorKind::Unavailable, "it stays open")),
            _ => Ok(()),
        }
    }

    forward_operations!(all => serve);

    async fn record_rejected_calls(&self, records: RejectedCallRecords) -> Result<()> {
        self.log.record_rejected(&records).await;
        Ok(())
    }

    fn commit_notifications(&self) -> Option<CommitNotifications> {
        Some(self.commits.subscribe())
    }
}
