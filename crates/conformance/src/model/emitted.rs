//! The expected change events of a tenant.

use std::collections::BTreeSet;

use throughline_core::{
    MessageId, Persistence, Position, Seq, ThreadId, Timestamp,
    changes::{Change, ChangeKind, ChangeScope, ReadChanges},
};

use super::{look::same, step::THREADS};

/// The changes of one write, its time, and the position of its last change.
#[derive(Debug)]
struct Write {
    position: Position,
    at: Timestamp,
    kind: Vec<(ThreadId, ChangeKind)>,
}

#[derive(Debug)]
pub(super) struct EmittedChanges {
    /// Where the sequence began.
    since: Position,
    writes: Vec<Write>,
}

impl EmittedChanges {
    pub(super) const fn since(since: Position) -> Self {
        Self { since, writes: Vec::new() }
    }

    pub(super) fn wrote(&mut self, position: Position, now: i64, kind: Vec<(usize, ChangeKind)>) {
        let kind =
            kind.into_iter().map(|(thread, kind)| (THREADS[thread].parse().expect("a valid id"), kind));
        self.writes.push(Write { position, at: Timestamp::from_micros(now), kind: kind.collect() });
    }

    /// Compares the whole change feed of the tenant.
    pub(super) async fn look(&self, db: &Persistence, limit: u32) -> Result<(), String> {
        let (mut after, mut emitted) = (self.since, Vec::<Change>::new());
        loop {
            let read = ReadChanges::new(ChangeScope::Tenant, after, limit);
            let read = db.read(read).await.map_err(|error| error.to_string())?;
            emitted.extend(read.changes);
            if read.more && read.position <= after {
                return Err(format!("no way on after {after}"));
            }
            after = read.position;
            if !read.more {
                break;
            }
        }
        let mut emitted = emitted.into_iter().peekable();
        for write in &self.writes {
            let mut read = Vec::new();
            let mut last = None;
            while let Some(change) = emitted.next_if(|change| change.position <= write.position) {
                if last.is_some_and(|last| last >= change.position) || change.at != write.at {
                    return Err(format!("{change:?} is emitted for the write at {}", write.position));
                }
                last = Some(change.position);
                read.push((change.thread, change.kind));
            }
            same("changes", &plain(read), &plain(write.kind.clone()))?;
            if last.is_some_and(|last| last != write.position) {
                return Err(format!(
                    "the last change of the write at {} is emitted at {last:?}",
                    write.position
                ));
            }
        }
        match emitted.next() {
            Some(change) => Err(format!("{change:?} is emitted, and no write made it")),
            None => Ok(()),
        }
    }
}

/// The changes in the form that all stores share. For several writes to one open message in one commit a store can emit only the last
/// change, and each store decides up to which seq a clear reaches.
fn plain(emitted: Vec<(ThreadId, ChangeKind)>) -> Vec<(ThreadId, ChangeKind)> {
    let mut later = BTreeSet::<(ThreadId, MessageId)>::new();
    let mut plain = Vec::with_capacity(emitted.len());
    for (thread, kind) in emitted.into_iter().rev() {
        let name = kind.message().map(|message| (thread.clone(), message.id.clone()));
        let is_write =
            matches!(kind, ChangeKind::Written(_) | ChangeKind::Finished(_) | ChangeKind::Abandoned(_));
        match (kind, name) {
            (ChangeKind::Written(_), Some(name)) if later.contains(&name) => {}
            (kind, Some(name)) => {
                if is_write {
                    later.insert(name);
                }
                plain.push((thread, kind));
            }
            (ChangeKind::ThreadCleared { generation, .. }, _) => {
                plain.push((thread, ChangeKind::ThreadCleared { generation, through: Seq::ZERO }));
            }
            (kind, None) => plain.push((thread, kind)),
        }
    }
    plain.reverse();
    plain
}
