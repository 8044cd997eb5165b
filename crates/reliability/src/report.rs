//! The printed report of a check, and the seed to repeat it.

use std::{collections::BTreeMap, env, fmt::Display, fmt::Write as _, time::Instant};

use crate::scale::is_scaled;

/// The environment variable with the seed, to repeat a failed run.
const SEED: &str = "THROUGHLINE_SEED";

/// The fixed seed of an ordinary run, so that an unrelated change never fails on a new seed. Long runs use new
/// seeds.
const ORDINARY: u64 = 20;

/// The report of a check: printed at its end, or when it fails.
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
    /// Creates the report of scenario `id`, such as `REL-1`. The seed is `THROUGHLINE_SEED`, or a fixed one, or a
    /// new one for each run if `THROUGHLINE_SCALE` is set.
    ///
    /// # Panics
    /// If `THROUGHLINE_SEED` is not a number.
    #[must_use]
    pub fn new(id: &'static str) -> Self {
        let seed = match env::var(SEED) {
            Ok(seed) => seed.parse().unwrap_or_else(|_| panic!("{SEED} is `{seed}`, which is no number")),
            Err(_) if is_scaled() => fastrand::u64(..),
            Err(_) => ORDINARY,
        };
        Self { id, seed, begun: Instant::now(), counts: Vec::new(), fired: BTreeMap::new(), finished: false }
    }

    /// Returns random numbers from the seed.
    #[must_use]
    pub fn random(&self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed)
    }

    /// Records a counter or a measurement.
    pub fn count(&mut self, name: impl Into<String>, value: impl Display) {
        self.counts.push((name.into(), value.to_string()));
    }

    /// Records that a planned fault fired this many more times, possibly zero.
    pub fn fired(&mut self, fault: impl Into<String>, times: u64) {
        *self.fired.entry(fault.into()).or_default() += times;
    }

    /// Prints the report.
    ///
    /// # Panics
    /// If a planned fault never fired, because then the check proved nothing.
    pub fn finish(mut self) {
        self.finished = true;
        println!("{}", self.line("ok"));
        let idle: Vec<_> =
            self.fired.iter().filter(|(_, times)| **times == 0).map(|(fault, _)| fault).collect();
        assert!(idle.is_empty(), "{}: planned and never fired: {idle:?}", self.id);
    }

    fn line(&self, verdict: &str) -> String {
        let mut line = format!("{} {verdict} seed={}", self.id, self.seed);
        for (name, value) in &self.counts {
            write!(line, " {name}={value}").expect("a string takes any text");
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
