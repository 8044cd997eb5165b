//! Where the calls of a law are: written by the probes, and read by the thread that ends a law that does not end.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use throughline_core::OpKind;

/// The state that the probes around a layer share with the thread that waits for the law.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Grows with every call and every answer that passes a probe.
    events: u64,
    /// The last one that passed.
    operation: Option<OpKind>,
    stage: Stage,
    /// The code that runs on the thread at this moment.
    running: Running,
    /// How often calls were passed on since the law made its last one.
    passed_on: u64,
}

/// How far the last call has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Building,
    Down,
    Inside,
    Up,
    Answered,
}

/// The code that runs on the thread of the law.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Running {
    /// The law, or the runtime.
    #[default]
    Law,
    Layer,
    /// The probe inside the layer, and the store.
    Inside,
}

/// Which of the probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Outside,
    Inside,
}

/// More calls than any layer passes on for one call.
const REPEATS: u64 = 10_000;

impl Progress {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moved(&self, operation: OpKind, stage: Stage) -> MutexGuard<'_, State> {
        let mut state = self.state();
        state.events += 1;
        state.operation = Some(operation);
        state.stage = stage;
        state
    }

    /// The stack is built.
    pub(super) fn built(&self) {
        let mut state = self.state();
        state.events += 1;
        state.stage = Stage::Answered;
    }

    /// A call passes a probe.
    pub(super) fn called(&self, side: Side, operation: OpKind) {
        match side {
            Side::Outside => self.moved(operation, Stage::Down).passed_on = 0,
            Side::Inside => self.moved(operation, Stage::Inside).passed_on += 1,
        }
    }

    /// Its answer passes the probe.
    pub(super) fn answered(&self, side: Side, operation: OpKind) {
        drop(match side {
            Side::Outside => self.moved(operation, Stage::Answered),
            Side::Inside => self.moved(operation, Stage::Up),
        });
    }

    /// The code inside of a probe runs until the answer is dropped.
    pub(super) fn runs(&self, side: Side) -> Runs {
        let running = match side {
            Side::Outside => Running::Layer,
            Side::Inside => Running::Inside,
        };
        let before = std::mem::replace(&mut self.state().running, running);
        Runs { progress: self.clone(), before }
    }

    /// Changes as long as calls and answers pass.
    pub(super) fn events(&self) -> u64 {
        self.state().events
    }

    /// Whether one call is passed on without an end.
    pub(super) fn repeats(&self) -> bool {
        self.state().passed_on > REPEATS
    }
}

/// See [`Progress::runs`].
pub(super) struct Runs {
    progress: Progress,
    before: Running,
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.progress.state().running = self.before;
    }
}

/// The current activity of the layer.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let Some(operation) = state.operation else {
            return f.write_str(match state.stage {
                Stage::Building => "does not build its stack",
                _ => "was not called yet",
            });
        };
        let stage = match state.stage {
            Stage::Building | Stage::Answered => "after it was answered",
            Stage::Down => "before it was passed on",
            Stage::Inside => "after it was passed on",
            Stage::Up => "after the store has answered",
        };
        match state.running {
            _ if state.passed_on > REPEATS => {
                write!(f, "has passed `{operation}` on {} times for one call", state.passed_on)
            }
            Running::Layer => write!(f, "blocks its thread in `{operation}`, {stage}"),
            Running::Inside => write!(f, "has called `{operation}` inside of it, which blocks the thread"),
            Running::Law if state.stage == Stage::Answered => {
                write!(f, "has answered its last call, `{operation}`, and the law goes on waiting")
            }
            Running::Law => write!(f, "waits in `{operation}`, {stage}, and is not woken"),
        }
    }
}
