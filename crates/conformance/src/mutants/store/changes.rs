//! Faults of the change feed that need more than a changed call or answer.

use std::collections::HashMap;

use throughline_core::{
    ErrorKind, PersistArgs, PersistResponse, PersistResult, Position, ReadArgs, ReadResult, Result, TenantId,
    ThreadId,
    changes::{Change, ChangeKind, ChangeScope, Changes, ReadChanges},
    operations::Addressed as _,
    pipeline::Receipt,
};
use tokio::task;

use super::{backend::Faulty, change, fabricated, journal::Line};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChangeFault {
    EmitsTheLastOnly,
    EmitsEverything,
    EmitsRefusals,
    EmitsReplays,
    PositionsLate,
    ReadsFromAnywhere,
    /// The store notifies its subscribers of no commit.
    NotifiesOfNoCommit,
    /// The store notifies its subscribers of the first commit only.
    NotifiesOnce,
}

/// The state of these faults.
#[derive(Default)]
pub(super) struct Known {
    last: Position,
    /// The answers by request, for the fault that repeats them.
    answered: HashMap<String, Changes>,
    /// The positions that are in the middle of a write.
    inside: Vec<Position>,
    /// The events of changes that never happened.
    fabricated: Vec<Change>,
}

fn is_asked_for(read: &ReadChanges, tenant: &TenantId, change: &Change) -> bool {
    let ours = change.tenant == *tenant;
    change.position > read.after
        && match &read.scope {
            ChangeScope::Store => true,
            ChangeScope::Tenant => ours,
            ChangeScope::Thread(thread) => ours && change.thread == *thread,
        }
}

impl ChangeFault {
    /// Whether the store omits the notification of a commit.
    pub(super) fn omits_notification(self, position: Position) -> bool {
        match self {
            Self::NotifiesOfNoCommit => true,
            Self::NotifiesOnce => position > Position::new(1),
            _ => false,
        }
    }

    pub(super) async fn serve(self, store: &Faulty, line: Line) -> Result<PersistResponse> {
        let answer = store.sound(line.clone()).await;
        if matches!(self, Self::NotifiesOfNoCommit | Self::NotifiesOnce) {
            return answer;
        }
        if line.args.kind().is_write() {
            self.wrote(store, &line, &answer);
            return answer;
        }
        let mut response = match (answer, &line.args) {
            (Err(error), PersistArgs::Read(ReadArgs::Changes(read)))
                if self == Self::ReadsFromAnywhere && error.kind() == ErrorKind::TooOld =>
            {
                let nothing = Changes { changes: Vec::new(), position: read.after, more: false };
                let result = PersistResult::Read(ReadResult::Changes(nothing));
                return Ok(fabricated::response(result, Receipt::default()));
            }
            (answer, _) => answer?,
        };
        if self == Self::PositionsLate && matches!(line.args, PersistArgs::Read(ReadArgs::Page(_))) {
            for _ in 0..64 {
                task::yield_now().await;
            }
            let later = store.sound(line).await?;
            if let (
                PersistResult::Read(ReadResult::Page(page)),
                PersistResult::Read(ReadResult::Page(later)),
            ) = (&mut response.result, later.result)
            {
                page.position = later.position;
            }
            return Ok(response);
        }
        let (PersistArgs::Read(ReadArgs::Changes(read)), Some(reported)) =
            (&line.args, change::reported(&mut response))
        else {
            return Ok(response);
        };
        store.memory.known(|known| match self {
            Self::EmitsTheLastOnly => {
                reported.changes.retain(|change| !known.inside.contains(&change.position));
            }
            Self::EmitsReplays => {
                let asked = format!("{} {read:?}", line.tenant);
                *reported = known.answered.entry(asked).or_insert_with(|| reported.clone()).clone();
            }
            _ => {
                let more = known.fabricated.iter().filter(|change| is_asked_for(read, &line.tenant, change));
                reported.changes.extend(more.cloned());
                reported.changes.sort_by_key(|change| change.position);
            }
        });
        Ok(response)
    }

    fn wrote(self, store: &Faulty, line: &Line, answer: &Result<PersistResponse>) {
        let Some(thread) = first_thread(&line.args) else { return };
        store.memory.known(|known| {
            let before = known.last;
            let change = |position| Change {
                position,
                tenant: line.tenant.clone(),
                thread: thread.clone(),
                at: line.now,
                kind: ChangeKind::ThreadChanged,
            };
            match (self, answer) {
                (Self::EmitsRefusals, Err(_)) => known.fabricated.push(change(before.next())),
                (_, Err(_)) => {}
                (_, Ok(response)) => {
                    let Some(position) = response.receipt.position else { return };
                    known.last = position;
                    match self {
                        Self::EmitsTheLastOnly => {
                            known.inside.extend((before.get() + 1..position.get()).map(Position::new));
                        }
                        Self::EmitsEverything if is_nothing(response) => {
                            known.fabricated.push(change(position));
                        }
                        _ => {}
                    }
                }
            }
        });
    }
}

fn first_thread(args: &PersistArgs) -> Option<ThreadId> {
    match args {
        PersistArgs::Batch(batch) => batch.items.first().and_then(first_thread),
        single => single.thread().cloned(),
    }
}

/// Whether a write may have changed nothing.
fn is_nothing(response: &PersistResponse) -> bool {
    match &response.result {
        PersistResult::UpdateContent(updated) => updated.revision == throughline_core::Revision::FIRST,
        PersistResult::Thread(_) => true,
        _ => false,
    }
}
