//! A layer next to a store that fails as a test has planned it.

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

/// How a write fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The store has done nothing, and says so.
    Refused,
    /// The store has done nothing, and has no space.
    Full,
    /// The store has done nothing and never will, and says so.
    Denied,
    /// The store has done nothing, and nobody knows.
    NeverArrived,
    /// The store has done it, and nobody knows.
    AnswerLost,
}

/// What is planned, and what came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults(Arc<Plan>);

#[derive(Debug, Default)]
struct Plan {
    coming: Mutex<VecDeque<(OpKind, Fault)>>,
    down: AtomicBool,
    full: AtomicBool,
    writes: AtomicUsize,
}

impl Faults {
    /// The next writes of this kind fail so, one each.
    pub(crate) fn next(&self, kind: OpKind, faults: &[Fault]) {
        let faults = faults.iter().map(|fault| (kind, *fault));
        self.0.coming.lock().expect("the plan").extend(faults);
    }

    /// Refuses every write, until it is told otherwise.
    pub(crate) fn down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
    }

    /// Refuses every write for want of space, until it is told otherwise.
    pub(crate) fn full(&self, full: bool) {
        self.0.full.store(full, Ordering::SeqCst);
    }

    /// Whether everything that was planned has come.
    pub(crate) fn are_over(&self) -> bool {
        self.0.coming.lock().expect("the plan").is_empty()
    }

    /// How many writes have come since this was last asked.
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
        let mut coming = self.0.coming.lock().expect("the plan");
        let is_due = coming.front().is_some_and(|(due, _)| *due == kind);
        is_due.then(|| coming.pop_front()).flatten().map(|(_, fault)| fault)
    }

    /// The layer, to stand next to the store.
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
