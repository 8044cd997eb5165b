use std::sync::Arc;

use throughline_core::{IdempotencyKey, OpKind, PersistArgs, PersistResponse, Persistence, Result};

use super::{
    Around, LayerFixture, LayerProfile,
    probe::{Probe, Visit},
};
use crate::{call::call, clock::ManualClock};

/// What a law works with: a layer between two probes.
pub(crate) struct Bench {
    pub(crate) profile: LayerProfile,
    pub(crate) db: Persistence,
    pub(crate) outside: Probe,
    pub(crate) inside: Probe,
}

impl Bench {
    pub(super) fn new(fixture: &Arc<dyn LayerFixture>) -> Self {
        let around = Around::new(ManualClock::new());
        let db = match fixture.stack(&around) {
            Ok(db) => db,
            Err(error) => panic!("the stack does not build: {error}"),
        };
        let Around { outer: outside, inner: inside, .. } = around;
        Self { profile: fixture.profile(), db, outside, inside }
    }

    /// What was passed on of a call of this kind: without what the layer read on the way, if it says that it does.
    pub(crate) fn passed(&self, asked: OpKind) -> Vec<Visit> {
        let mut visits = self.inside.visits();
        visits.retain(|visit| !self.profile.asks || visit.args.kind() == asked);
        visits
    }

    /// Makes a call, without or with a key.
    pub(crate) async fn call(&self, args: PersistArgs, key: Option<&str>) -> Result<PersistResponse> {
        let key = key.map(|key| IdempotencyKey::new(key).expect("a valid key"));
        call(&self.db, args, key).await
    }
}
