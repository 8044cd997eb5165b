//! The measurement of one call.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::warn;

use super::SlowLogLayer;
use throughline_core::{Context, PersistResponse, Result, Site, contain, pipeline::AttemptsMade};

/// A running measurement. If it is dropped without an answer, its outcome is `left`.
pub(super) struct Watched {
    layer: Arc<SlowLogLayer>,
    context: Context,
    begun: Instant,
    /// The site of the current wait, and its start.
    waiting: Option<(Site, Instant)>,
    /// The site of the longest wait, and its duration.
    longest: Option<(Site, Duration)>,
    ended: bool,
}

impl Watched {
    pub(super) fn begin(layer: Arc<SlowLogLayer>, context: Context) -> Self {
        Self { layer, context, begun: Instant::now(), waiting: None, longest: None, ended: false }
    }

    /// Starts a wait after a poll: at the site where the call stopped.
    pub(super) fn waits(&mut self) {
        self.waiting = Some((self.context.active_site(), Instant::now()));
    }

    /// Ends the wait at the next poll.
    pub(super) fn goes_on(&mut self) {
        let Some((site, since)) = self.waiting.take() else { return };
        let took = since.elapsed();
        if self.longest.as_ref().is_none_or(|(_, longest)| took > *longest) {
            self.longest = Some((site, took));
        }
    }

    pub(super) fn end(&mut self, answer: &Result<PersistResponse>) {
        match answer {
            Ok(response) => {
                let attempts = response.extensions.get::<AttemptsMade>().map_or(1, |attempts| attempts.0);
                self.look("ok", attempts);
            }
            Err(error) => self.look(error.code(), error.attempts()),
        }
    }

    /// Writes a line if the call was slow and the rate limit allows it.
    fn look(&mut self, outcome: &str, attempts: u32) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let now = Instant::now();
        let took = now.saturating_duration_since(self.begun);
        let context = &self.context;
        let threshold = self.layer.threshold_of(context.kind());
        if took < threshold {
            return;
        }
        let Some(suppressed) = self.layer.rate_limit().allows(now) else { return };
        drop(contain::catch(|| {
            warn!(
                op = context.kind().as_str(),
                call = %context.call_id(),
                tenant = context.tenant().as_str(),
                thread = context.thread().map(AsRef::<str>::as_ref),
                call_site = context.call_site(),
                outcome,
                attempts,
                micros = micros(took),
                threshold_micros = micros(threshold),
                waited_at = self.longest.as_ref().map(|(site, _)| site.name()),
                waited_micros = self.longest.as_ref().map(|(_, waited)| micros(*waited)),
                suppressed,
                "slow"
            );
        }));
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.goes_on();
        self.look("left", 1);
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}
