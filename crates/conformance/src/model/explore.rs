//! Plays random sequences, and shrinks a failing one before it reports the failure.

use std::fmt;

use proptest::{
    strategy::{Strategy, ValueTree as _},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

/// How often a failing sequence is made shorter at most.
const SHRINKS: u32 = 400;

/// Which sequences, and how many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cases {
    pub(super) seed: u64,
    pub(super) count: u64,
}

/// Plays each; panics with the shortest one that was found to go wrong.
pub(super) async fn explore<T, S>(
    Cases { seed, count }: Cases,
    strategy: &S,
    mut play: impl AsyncFnMut(&[T]) -> Result<(), String>,
) where
    T: fmt::Debug,
    S: Strategy<Value = Vec<T>>,
{
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng);
    for case in 0..count {
        let mut tree = strategy.new_tree(&mut runner).expect("a sequence");
        let Err(first) = play(&tree.current()).await else { continue };
        let mut shortest = (tree.current(), first);
        let mut tries = 0;
        while tries < SHRINKS && tree.simplify() {
            while tries < SHRINKS {
                tries += 1;
                match play(&tree.current()).await {
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
        let steps: Vec<String> = steps.iter().map(|step| format!("  {step:?}")).collect();
        panic!(
            "{why}\nafter these {} steps (THROUGHLINE_CONFORMANCE_SEED={seed}, case {case}):\n{}",
            steps.len(),
            steps.join("\n")
        );
    }
}
