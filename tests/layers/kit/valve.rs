use std::sync::{Arc, Mutex};

use throughline::{
    Context, PersistArgs, PersistRequest, Phase,
    plugin::{AsyncRequestFn, FromFn, NextRequest, from_fn},
};
use tokio::sync::Semaphore;

/// Stands inside of a layer: notes what comes, and lets writes on when it is told to.
#[derive(Clone)]
pub(crate) struct Valve(Arc<State>);

struct State {
    came: Mutex<Vec<(PersistArgs, Context)>>,
    /// Where a write stands.
    holds: Holds,
    told: Semaphore,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Nowhere,
    /// Nothing of it is handed over.
    Before,
    /// It was made, and is not answered.
    After,
}

impl Valve {
    fn new(holds: Holds) -> Self {
        Self(Arc::new(State { came: Mutex::default(), holds, told: Semaphore::new(0) }))
    }

    /// Lets everything on.
    pub(crate) fn open() -> Self {
        Self::new(Holds::Nowhere)
    }

    /// Holds writes before they are handed to the store.
    pub(crate) fn shut() -> Self {
        Self::new(Holds::Before)
    }

    /// Holds the answers of writes.
    pub(crate) fn answers() -> Self {
        Self::new(Holds::After)
    }

    /// Lets so many writes on.
    pub(crate) fn let_on(&self, writes: usize) {
        self.0.told.add_permits(writes);
    }

    /// The message, or else the operation, of each call that came.
    pub(crate) fn came(&self) -> Vec<String> {
        let came = self.0.came.lock().expect("nobody panics");
        let name = |(args, context): &(PersistArgs, Context)| {
            context.message().map_or_else(|| args.kind().to_string(), ToString::to_string)
        };
        came.iter().map(name).collect()
    }

    /// The layer.
    pub(crate) fn layer(&self) -> FromFn<impl AsyncRequestFn> {
        let state = Arc::clone(&self.0);
        from_fn("valve", Phase::Route, move |request: PersistRequest, next: NextRequest| {
            let state = Arc::clone(&state);
            async move {
                let holds = if request.kind().is_write() { state.holds } else { Holds::Nowhere };
                let noted = (request.args.clone(), request.context.clone());
                state.came.lock().expect("nobody panics").push(noted);
                let wait = async || state.told.acquire().await.expect("never closed").forget();
                if holds == Holds::Before {
                    wait().await;
                }
                let answer = next.run(request).await;
                if holds == Holds::After {
                    wait().await;
                }
                answer
            }
        })
    }
}
