//! Plays a sequence against the store and the model at once.

use throughline_core::{IdempotencyKey, Persistence, Position, TenantId, Timestamp, pipeline::Clock as _};

use super::{
    emitted::EmittedChanges,
    expect::{Expected, Model},
    look::Reader,
    step::{self, Scope, Step},
};
use crate::{call, clock::ManualClock, rig::Rig};

pub(super) struct Play {
    rig: Rig,
    db: Option<Persistence>,
    /// Every sequence has tenants of its own, so that all of them share one store.
    sequences: usize,
    position: Position,
    scope: Scope,
}

impl Play {
    pub(super) async fn new(rig: Rig, scope: Scope) -> Self {
        let db = Some(rig.db().await);
        Self { rig, db, sequences: 0, position: Position::ZERO, scope }
    }

    pub(super) async fn sequence(&mut self, steps: &[Step]) -> Result<(), String> {
        self.sequences += 1;
        self.rig.clock.set(ManualClock::START);
        let number = self.sequences;
        let tenants = [0, 1].map(|tenant| format!("{number}.{tenant}").parse().expect("a valid id"));
        let mut model = Model::default();
        let mut emitted = [EmittedChanges::since(self.position), EmittedChanges::since(self.position)];
        for (number, step) in steps.iter().enumerate() {
            self.step(step, &tenants, &mut model, &mut emitted)
                .await
                .map_err(|why| format!("step {}: {why}", number + 1))?;
        }
        for tenant in [0, 1] {
            let db = self.of(&tenants[tenant]);
            let now = self.rig.clock.now().as_micros();
            let reader = Reader { tenant, name: &tenants[tenant], now, db: &db, threads: self.scope.threads };
            model.rows.audit(reader).await.map_err(|why| format!("in the end {why}"))?;
            if self.scope.changes {
                emitted[tenant].look(&db, 1000).await.map_err(|why| format!("in the end {why}"))?;
            }
        }
        Ok(())
    }

    fn of(&self, tenant: &TenantId) -> Persistence {
        self.db.as_ref().expect("an open store").for_tenant(tenant.clone())
    }

    async fn step(
        &mut self,
        step: &Step,
        tenants: &[TenantId; 2],
        model: &mut Model,
        emitted: &mut [EmittedChanges; 2],
    ) -> Result<(), String> {
        let now = self.rig.clock.now().as_micros();
        match step {
            Step::Clock(by) => {
                self.rig.clock.set(Timestamp::from_micros(now + by));
                Ok(())
            }
            Step::Reopen => {
                let db = self.db.take().expect("an open store");
                self.db = Some(self.rig.reopen(db).await);
                Ok(())
            }
            Step::Look { tenant, look } => {
                let db = self.of(&tenants[*tenant]);
                let threads = self.scope.threads;
                let reader = Reader { tenant: *tenant, name: &tenants[*tenant], now, db: &db, threads };
                model.rows.look(reader, look).await?;
                if self.scope.changes { emitted[*tenant].look(&db, look.limit).await } else { Ok(()) }
            }
            Step::Write { tenant, call, key } => {
                let name = &tenants[*tenant];
                let args = call.args();
                let key_given =
                    key.map(|number| IdempotencyKey::new(step::key(number)).expect("a valid key"));
                let (answer, position) = match call::call(&self.of(name), args.clone(), key_given).await {
                    Ok(response) => (Ok(response.result), response.receipt.position),
                    Err(error) => (Err(error), None),
                };
                let due = model.write((*tenant, name), now, (call, &args), *key, &answer);
                due.compare(&answer)?;
                self.positioned(&due, position)?;
                if let (Expected::Done(_), Some(position)) = (&due, position) {
                    emitted[*tenant].wrote(position, now, std::mem::take(&mut model.rows.emitted));
                }
                Ok(())
            }
        }
    }

    fn positioned(&mut self, due: &Expected, position: Option<Position>) -> Result<(), String> {
        match (due, position) {
            (Expected::Done(_), Some(position)) if position > self.position => {
                self.position = position;
                Ok(())
            }
            (Expected::Done(_), position) => {
                Err(format!("the position {position:?} follows {}", self.position))
            }
            (_, None) => Ok(()),
            (_, Some(position)) => Err(format!("the position {position} where nothing was changed")),
        }
    }
}
