//! Random sequences of operations against an independent reference model.
//!
//! The world is small, two tenants of two threads of four ids, so that operations meet often. A failing sequence
//! is shrunk before it is reported. `THROUGHLINE_CONFORMANCE_CASES` sets the number of sequences,
//! `THROUGHLINE_CONFORMANCE_SEED` their seed; a failure names its seed.

mod content;
mod emitted;
mod expect;
mod explore;
mod key;
mod look;
mod play;
mod row;
pub(crate) mod sessions;
mod step;
mod thread;
mod write;

use std::{
    env,
    hash::{BuildHasher as _, RandomState},
};

use throughline_core::{Durability, OpKind};

use self::{
    explore::{Cases, explore},
    play::Play,
    step::Scope,
};
use crate::{check::checks, rig::Rig};

checks! {
    Core "models.operation_sequences_match_the_reference_model" [Add Reserve UpdateContent Update Delete Read] "random sequences of all operations match the answers and the state of the reference model" => sequences;
}

/// How many sequences are run by default.
const CASES: u64 = 24;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// How many sequences are run.
pub(crate) fn cases() -> u64 {
    cases_or(CASES)
}

/// The number of sequences from the environment, or the default.
fn cases_or(count: u64) -> u64 {
    number("THROUGHLINE_CONFORMANCE_CASES").unwrap_or(count)
}

/// Which sequences are run: others each time, unless one was named.
pub(crate) fn seed() -> u64 {
    number("THROUGHLINE_CONFORMANCE_SEED").unwrap_or_else(|| RandomState::new().hash_one(0_u8))
}

async fn sequences(rig: Rig) {
    let cases = Cases { seed: rig.seed, count: cases() };
    let scope = Scope {
        batches: rig.capabilities.supports(OpKind::Batch),
        keys: rig.capabilities.idempotency,
        reopens: rig.capabilities.durability >= Durability::Process,
        threads: rig.capabilities.supports(OpKind::Thread),
        changes: rig.capabilities.changes,
    };
    let mut play = Play::new(rig, scope).await;
    explore(cases, &step::sequences(scope), async |steps| play.sequence(steps).await).await;
}
