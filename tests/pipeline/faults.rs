//! A layer in front of the store that injects planned faults.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use throughline::{
    Effect, ErrorKind, OpKind, PersistError, PersistRequest, Phase,
    plugin::{AsyncRequestFn, FromFn, NextRequest, from_fn},
};

/// A fault of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The store did nothing, and returns a transient error.
    Refused,
    /// The store did nothing, because it has no space.
    Full,
    /// The store did nothing, and returns a permanent error.
    Denied,
    /// The store did nothing, but the effect is unknown.
    NeverArrived,
    /// The store applied the write, but the effect is unknown.
    AnswerLost,
}

/// The planned faults, and a counter of writes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults(Arc<Plan>);

#[derive(Debug, Default)]
struct Plan {
    planned: Mutex<VecDeque<(OpKind, Fault)>>,
    down: AtomicBool,
    full: AtomicBool,
    writes: AtomicUsize,
}

impl Faults {
    /// Plans one fault for each of the next writes of this kind.
    pub(crate) fn next(&self, kind: OpKind, faults: &[Fault]) {
        let faults = faults.iter().map(|fault| (kind, *fault));
        self.0.planned.lock().expect("the plan").extend(faults);
    }

    /// Refuses every write while `down` is true.
    pub(crate) fn down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
    }

    /// Refuses every write for lack of space while `full` is true.
    pub(crate) fn full(&self, full: bool) {
        self.0.full.store(full, Ordering::SeqCst);
    }

    /// Returns whether all planned faults have occurred.
    pub(crate) fn are_used_up(&self) -> bool {
        self.0.planned.lock().expect("the plan").is_empty()
    }

    /// Returns the number of writes since the last call of this function.
    pub(crate) fn writes(&self) -> usize {
        self.0.writes.swap(0, Ordering::SeqCst)
    }

    fn take(&self, kind: OpKind) -> Option<Fault> {
        if !kind.is_write() {
            return None;
        }
        self.0.writes.fetch_add(1, Ordering::SeqCst);
        if self.0.down.load(Ordering::SeqCst) {
            return Some(Fault::Refused);
        }
        if self.0.full.load(Ordering::SeqCst) {
            return Some(Fault::Full);
        }
        let mut planned = self.0.planned.lock().expect("the plan");
        let is_due = planned.front().is_some_and(|(due, _)| *due == kind);
        is_due.then(|| planned.pop_front()).flatten().map(|(_, fault)| fault)
    }

    /// Returns the layer, which belongs directly in front of the store.
    pub(crate) fn layer(&self) -> FromFn<impl AsyncRequestFn + use<>> {
        let faults = self.clone();
        from_fn("faults", Phase::Route, move |request: PersistRequest, next: NextRequest| {
            let fault = faults.take(request.kind());
            async move {
                let error = |kind, effect| Err(PersistError::new(kind, "planned").with_effect(effect));
                match fault {
                    None => next.run(request).await,
                    Some(Fault::Refused) => error(ErrorKind::Busy, Effect::NotApplied),
                    Some(Fault::Full) => error(ErrorKind::StorageFull, Effect::NotApplied),
                    Some(Fault::Denied) => error(ErrorKind::Denied, Effect::NotApplied),
                    Some(Fault::NeverArrived) => error(ErrorKind::Unavailable, Effect::Unknown),
                    Some(Fault::AnswerLost) => {
                        next.run(request).await?;
                        error(ErrorKind::Unavailable, Effect::Unknown)
                    }
                }
            }
        })
    }
}
