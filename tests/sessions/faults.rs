//! A layer in front of the store that injects planned faults into session operations.

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
    /// The store did nothing, but the effect is unknown.
    NeverArrived,
    /// The store applied the operation, but the effect is unknown.
    AnswerLost,
}

/// The planned faults of each operation, and how often it was called.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<HashMap<&'static str, Planned>>>);

#[derive(Debug, Default)]
struct Planned {
    remaining: usize,
    fault: Option<Fault>,
    seen: usize,
}

impl Faults {
    /// Plans a fault for the next `count` calls of this operation, also as an item of a batch.
    pub(crate) fn next(&self, operation: &'static str, count: usize, fault: Fault) {
        let mut plan = self.0.lock().unwrap();
        let planned = plan.entry(operation).or_default();
        (planned.remaining, planned.fault) = (count, Some(fault));
    }

    /// Returns how often the operation was called.
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
            if planned.remaining > 0 {
                planned.remaining -= 1;
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

/// Returns a memory store behind the layer.
pub(crate) fn faulty() -> (Persistence, Faults) {
    let faults = Faults::default();
    let stack = Persistence::builder().clock(clock()).layer(faults.layer());
    (stack.backend(MemoryBackend::new()).build().unwrap(), faults)
}
