//! Random interleavings of actors that run agents in threads, against a list of everything that was said.
//!
//! Four actors, two agents, two threads and four sessions, so that everything meets everything: actors die, leases end, clocks jump,
//! stores are closed and opened again. `THROUGHLINE_CONFORMANCE_CASES` says how many, `THROUGHLINE_CONFORMANCE_SEED` which ones.

mod ask;
mod claim;
mod play;
mod seen;
mod step;
mod world;

use throughline_core::Durability;

use self::play::Play;
use super::explore::{Cases, explore};
use crate::{check::checks, rig::Rig};

checks! {
    Extended "models.session_interleavings_match_the_reference_model" [Add Batch Thread Session Read; keys] "random interleavings of session operations match the answers and the state of the reference model" => sessions;
}

/// How many steps an interleaving has at most.
const STEPS: usize = 28;

/// How many are run where nothing has to be made durable, and where everything has.
const VOLATILE: u64 = 10_000;
const DURABLE: u64 = 120;

async fn sessions(rig: Rig) {
    let reopens = rig.capabilities.durability >= Durability::Process;
    let count = super::cases_or(if reopens { DURABLE } else { VOLATILE });
    let cases = Cases { seed: rig.seed, count };
    let strategy = step::interleavings(STEPS, reopens);
    let mut play = Play::new(rig).await;
    explore(cases, &strategy, async |steps| play.interleaving(steps).await).await;
}
