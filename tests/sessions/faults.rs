//! A layer next to the store that fails operations on sessions as a test has planned it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use throughline::{
    Effect, ErrorKind, PersistArgs, PersistError, PersistRequest, Persistence, Phase,
    memory::MemoryBackend,
    plugin::{AsyncRequestFn, FromFn, NextRequest, from_fn},
};

use crate::support::clock;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The store has done nothing, and nobody knows.
    NeverArrived,
    /// The store has done it, and nobody knows.
    AnswerLost,
}

/// How many of an operation are still to fail, and how many have come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<HashMap<&'static str, Planned>>>);

#[derive(Debug, Default)]
struct Planned {
    coming: usize,
    fault: Option<Fault>,
    seen: usize,
}

impl Faults {
    /// The next so many of this operation fail so, where it is an item of a batch, too.
    pub(crate) fn next(&self, operation: &'static str, count: usize, fault: Fault) {
        let mut plan = self.0.lock().unwrap();
        let planned = plan.entry(operation).or_default();
        (planned.coming, planned.fault) = (count, Some(fault));
    }

    /// How many of it have come.
    pub(crate) fn seen(&self, operation: &'static str) -> usize {
        self.0.lock().unwrap().get(operation).map_or(0, |planned| planned.seen)
    }

    fn take(&self, args: &PersistArgs) -> Option<Fault> {
        let mut plan = self.0.lock().unwrap();
        let operations: Vec<_> = match args {
            PersistArgs::Session(session) => vec![session.as_str()],
            PersistArgs::Batch(batch) => {
                let of = |item: &PersistArgs| match item {
                    PersistArgs::Session(session) => Some(session.as_str()),
                    _ => None,
                };
                batch.items.iter().filter_map(of).collect()
            }
            _ => Vec::new(),
        };
        let mut fault = None;
        for operation in operations {
            let planned = plan.entry(operation).or_default();
            planned.seen += 1;
            if planned.coming > 0 {
                planned.coming -= 1;
                fault = planned.fault;
            }
        }
        fault
    }

    fn layer(&self) -> FromFn<impl AsyncRequestFn + use<>> {
        let faults = self.clone();
        from_fn("faults", Phase::Route, move |request: PersistRequest, next: NextRequest| {
            let fault = faults.take(&request.args);
            async move {
                let lost =
                    || PersistError::new(ErrorKind::Unavailable, "planned").with_effect(Effect::Unknown);
                match fault {
                    None => next.run(request).await,
                    Some(Fault::NeverArrived) => Err(lost()),
                    Some(Fault::AnswerLost) => {
                        next.run(request).await?;
                        Err(lost())
                    }
                }
            }
        })
    }
}

/// A store in memory behind such a layer.
pub(crate) fn faulty() -> (Persistence, Faults) {
    let faults = Faults::default();
    let stack = Persistence::builder().clock(clock()).layer(faults.layer());
    (stack.backend(MemoryBackend::new()).build().unwrap(), faults)
}
