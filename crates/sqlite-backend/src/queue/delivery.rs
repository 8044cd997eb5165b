use throughline_core::Result;
use tokio::runtime::RuntimeFlavor;

use super::{Committed, Reply};

/// From this many answers on, a task of the callers' runtime hands them out, if it is a runtime of one thread.
///
/// Such a runtime is woken by a system call for each answer from another thread, and by none from inside: this was
/// measured to win a tenth. One of several threads is awake after the first answer, and the task wins nothing there.
const WORTH_A_TASK: usize = 4;

/// The answers of one transaction. Dropped before they were handed out, they are handed out then.
#[derive(Debug, Default)]
pub(crate) struct Delivery(Vec<(Reply, Result<Committed>)>);

impl Delivery {
    pub(crate) fn with_capacity(answers: usize) -> Self {
        Self(Vec::with_capacity(answers))
    }

    pub(crate) fn push(&mut self, reply: Option<Reply>, answer: Result<Committed>) {
        if let Some(reply) = reply {
            self.0.push((reply, answer));
        }
    }

    /// Hands the answers out, from here or from inside the runtime where every caller waits.
    pub(crate) fn send(self) {
        if self.0.len() < WORTH_A_TASK {
            return;
        }
        let Some(runtime) = self.0.first().and_then(|(reply, _)| reply.runtime().cloned()) else { return };
        let is_everyones =
            || self.0.iter().all(|(reply, _)| reply.runtime().is_some_and(|of| of.id() == runtime.id()));
        if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread && is_everyones() {
            // A runtime that is shutting down drops the task, and with it the answers: that hands them out.
            drop(runtime.spawn(async move { drop(self) }));
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        for (reply, answer) in self.0.drain(..) {
            reply.send(answer);
        }
    }
}
