//! Random sequences of operations against a reference model that was written for nothing else.
//!
//! The world is tiny on purpose, two tenants of two threads of four ids, so that everything meets everything. A sequence
//! that goes wrong is made shorter before it is told. `THROUGHLINE_CONFORMANCE_CASES` says how many sequences are run,
//! `THROUGHLINE_CONFORMANCE_SEED` which ones; a failure names its seed.

mod content;
mod expect;
mod key;
mod look;
mod play;
mod row;
mod step;
mod tell;
mod thread;
mod write;

use std::{
    env,
    hash::{BuildHasher as _, RandomState},
};

use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use throughline_core::{Durability, OpKind};

use self::{
    play::Play,
    step::{Scope, Step},
};
use crate::{check::checks, rig::Rig};

checks! {
    Core "model.sequences" [Add Reserve UpdateContent Update Delete Read] "random sequences of every operation answer and store what the reference model does" => sequences;
}

/// How many sequences are run by default.
const CASES: u64 = 24;

/// How often a failing sequence is made shorter at most.
const SHRINKS: u32 = 400;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// How many sequences are run.
pub(crate) fn cases() -> u64 {
    number("THROUGHLINE_CONFORMANCE_CASES").unwrap_or(CASES)
}

/// Which sequences are run: others each time, unless one was named.
pub(crate) fn seed() -> u64 {
    number("THROUGHLINE_CONFORMANCE_SEED").unwrap_or_else(|| RandomState::new().hash_one(0_u8))
}

async fn sequences(rig: Rig) {
    let (seed, cases) = (rig.seed, cases());
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng);
    let scope = Scope {
        batches: rig.capabilities.supports(OpKind::Batch),
        keys: rig.capabilities.idempotency,
        reopens: rig.capabilities.durability >= Durability::Process,
        threads: rig.capabilities.supports(OpKind::Thread),
        changes: rig.capabilities.changes,
    };
    let strategy = step::sequences(scope);
    let mut play = Play::new(rig, scope).await;
    for case in 0..cases {
        let mut tree = strategy.new_tree(&mut runner).expect("a sequence");
        let Err(first) = play.sequence(&tree.current()).await else { continue };
        let mut shortest = (tree.current(), first);
        let mut tries = 0;
        while tries < SHRINKS && tree.simplify() {
            while tries < SHRINKS {
                tries += 1;
                match play.sequence(&tree.current()).await {
                    Err(why) => {
                        shortest = (tree.current(), why);
                        break;
                    }
                    Ok(()) if tree.complicate() => {}
                    Ok(()) => break,
                }
            }
        }
        let (steps, why) = shortest;
        let steps: Vec<String> = steps.iter().map(|step: &Step| format!("  {step:?}")).collect();
        panic!(
            "{why}\nafter these {} steps (THROUGHLINE_CONFORMANCE_SEED={seed}, case {case}):\n{}",
            steps.len(),
            steps.join("\n")
        );
    }
}
