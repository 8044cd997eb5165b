//! The measurement of one call.

use std::{sync::Arc, time::Instant};

use super::instruments::{Instruments, Outcome, Series};
use throughline_core::{
    Context, Effect, PersistArgs, PersistRequest, PersistResponse, Result, contain,
    messages::{CarriesContent as _, FieldValue},
    pipeline::AttemptsMade,
};

/// A running measurement. If it is dropped without an answer, its outcome is `left`.
pub(super) struct Measured {
    /// None after a panic of the recorder.
    series: Option<Arc<Series>>,
    context: Context,
    /// The bytes of content that the call writes.
    bytes: u64,
    begun: Instant,
}

impl Measured {
    pub(super) fn begin(instruments: &Instruments, request: &PersistRequest) -> Self {
        let context = request.context.clone();
        let series = contain::catch(|| {
            let series = instruments.of(context.tenant());
            series.of(context.kind()).in_flight().increment(1.0);
            series
        })
        .ok();
        Self { series, context, bytes: content_bytes(&request.args), begun: Instant::now() }
    }

    /// Records the answer.
    pub(super) fn end(&mut self, answer: &Result<PersistResponse>) {
        match answer {
            Ok(response) => {
                let replayed = response.result.is_deduplicated();
                let applied = self.context.kind().is_write() && !replayed;
                let effect = if applied { Effect::Applied } else { Effect::NotApplied };
                let attempts = response.extensions.get::<AttemptsMade>().map_or(1, |attempts| attempts.0);
                self.record(Outcome::Ok, effect, attempts, replayed);
            }
            Err(error) => self.record(Outcome::Error(error.kind()), error.effect(), error.attempts(), false),
        }
    }

    fn record(&mut self, outcome: Outcome, effect: Effect, attempts: u32, replayed: bool) {
        let Some(series) = self.series.take() else { return };
        let took = self.begun.elapsed();
        drop(contain::catch(|| {
            let operation = series.of(self.context.kind());
            operation.in_flight().decrement(1.0);
            operation.calls(outcome, effect).increment(1);
            operation.duration(outcome).record(took);
            if effect == Effect::Applied && self.bytes > 0 {
                operation.written().increment(self.bytes);
            }
            if replayed {
                operation.replays().increment(1);
            }
            // The repetitions of an inner retry, plus one if an outer retry repeated this call.
            let again = u64::from(attempts.saturating_sub(1)) + u64::from(self.context.attempt() > 1);
            if again > 0 {
                operation.retries().increment(again);
            }
        }));
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let effect = self.context.effect_so_far();
        self.record(Outcome::Left, effect, 1, false);
    }
}

/// Returns the bytes of content in an operation: whole contents and deltas, without metadata.
fn content_bytes(args: &PersistArgs) -> u64 {
    if !args.kind().is_write() {
        return 0;
    }
    let bytes = |slot| match slot {
        FieldValue::Whole(content) => content.byte_len(),
        FieldValue::Delta(delta) => delta.byte_len(),
        FieldValue::Metadata(_) | FieldValue::Reason(_) | FieldValue::Title(_) | FieldValue::Preview(_) => 0,
    };
    args.content_fields().into_iter().map(|field| bytes(field.value) as u64).sum()
}
