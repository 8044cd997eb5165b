//! What a check prints, and the seed that it can be repeated with.

use std::{collections::BTreeMap, env, fmt::Display, fmt::Write as _, time::Instant};

use crate::scale::is_scaled;

/// Sets the seed of a run, to repeat one that failed.
const SEED: &str = "THROUGHLINE_SEED";

/// The seed of an ordinary run: what was found once is found again, and what was not yet found holds up nobody who
/// changed something else. A long run looks for more.
const ORDINARY: u64 = 20;

/// What a check did: printed at its end, or where it fails.
#[derive(Debug)]
pub struct Report {
    id: &'static str,
    seed: u64,
    begun: Instant,
    counts: Vec<(String, String)>,
    fired: BTreeMap<String, u64>,
    finished: bool,
}

impl Report {
    /// Of the scenario `id`, such as `REL-1`. Its seed is `THROUGHLINE_SEED`, or always the same, or a fresh one each time
    /// where `THROUGHLINE_SCALE` asks for a longer run.
    ///
    /// # Panics
    /// When `THROUGHLINE_SEED` is not a number.
    #[must_use]
    pub fn new(id: &'static str) -> Self {
        let seed = match env::var(SEED) {
            Ok(seed) => seed.parse().unwrap_or_else(|_| panic!("{SEED} is `{seed}`, which is no number")),
            Err(_) if is_scaled() => fastrand::u64(..),
            Err(_) => ORDINARY,
        };
        Self { id, seed, begun: Instant::now(), counts: Vec::new(), fired: BTreeMap::new(), finished: false }
    }

    /// Random numbers from the seed.
    #[must_use]
    pub fn random(&self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed)
    }

    /// Notes something that was counted or measured.
    pub fn count(&mut self, what: impl Into<String>, value: impl Display) {
        self.counts.push((what.into(), value.to_string()));
    }

    /// Notes that a fault that was planned has fired so many times more: also none.
    pub fn fired(&mut self, fault: impl Into<String>, times: u64) {
        *self.fired.entry(fault.into()).or_default() += times;
    }

    /// Prints everything.
    ///
    /// # Panics
    /// When a fault that was planned never fired: then nothing was checked.
    pub fn finish(mut self) {
        self.finished = true;
        println!("{}", self.line("ok"));
        let idle: Vec<_> =
            self.fired.iter().filter(|(_, times)| **times == 0).map(|(fault, _)| fault).collect();
        assert!(idle.is_empty(), "{}: planned and never fired: {idle:?}", self.id);
    }

    fn line(&self, verdict: &str) -> String {
        let mut line = format!("{} {verdict} seed={}", self.id, self.seed);
        for (what, value) in &self.counts {
            write!(line, " {what}={value}").expect("a string takes any text");
        }
        for (fault, times) in &self.fired {
            write!(line, " fired[{fault}]={times}").expect("a string takes any text");
        }
        write!(line, " seconds={:.1}", self.begun.elapsed().as_secs_f64()).expect("a string takes any text");
        line
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if !self.finished {
            println!("{}", self.line("FAILED"));
        }
    }
}
