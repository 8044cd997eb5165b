use std::{sync::Arc, time::Duration};

use throughline_core::{
    Effect, IdempotencyKey, OpKind, PersistArgs, PersistError, PersistResponse, Persistence, ReadArgs,
    Result, operations::Addressed as _,
};

use tokio::time::timeout;

use super::{
    Around, LayerFixture, LayerProfile,
    every_field::name_of,
    operations,
    probe::{Act, Probe, Visit},
    progress::Progress,
};
use crate::{call::call, clock::ManualClock};

/// The deadline that only a blocked call reaches.
const HELD_UP: Duration = Duration::from_secs(5);

/// Whether a call of this operation takes an idempotency key.
pub(crate) fn takes_keys(args: &PersistArgs) -> bool {
    match args {
        PersistArgs::Read(_) | PersistArgs::Consumer(_) | PersistArgs::Replica(_) => false,
        PersistArgs::Session(session) => session.thread().is_some(),
        _ => true,
    }
}

/// The bench of a law: a layer between two probes.
#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) profile: LayerProfile,
    pub(crate) db: Persistence,
    pub(crate) outside: Probe,
    pub(crate) inside: Probe,
    progress: Progress,
}

impl Bench {
    pub(super) fn new(fixture: &Arc<dyn LayerFixture>, progress: Progress) -> Self {
        let around = Around::new(ManualClock::new(), &progress);
        let db = match fixture.stack(&around) {
            Ok(db) => db,
            Err(error) => panic!("the stack does not build: {error}"),
        };
        let Around { outer: outside, inner: inside, .. } = around;
        progress.built();
        Self { profile: fixture.profile(), db, outside, inside, progress }
    }

    /// The same bench for another tenant, which the state of earlier texts does not affect.
    pub(crate) fn for_tenant(&self, name: &str) -> Self {
        Self { db: self.db.for_tenant(name.parse().expect("a valid id")), ..self.clone() }
    }

    /// Every write that the layer does not refuse: see [`operations::writes`].
    pub(crate) fn writes(&self, text: &str) -> Vec<(&'static str, PersistArgs)> {
        self.not_refused(operations::writes(text))
    }

    /// Every call that the layer does not refuse: see [`operations::all`].
    pub(crate) fn operations(&self, text: &str) -> Vec<(&'static str, PersistArgs)> {
        self.not_refused(operations::all(text))
    }

    fn not_refused(&self, mut calls: Vec<(&'static str, PersistArgs)>) -> Vec<(&'static str, PersistArgs)> {
        calls.retain(|(_, args)| !self.profile.refuses.iter().any(|(_, refused)| refused == args));
        calls
    }

    /// Whether it is one layer, and not a stack of several.
    pub(crate) fn is_one_layer(&self) -> bool {
        self.profile.sites.len() == 1
    }

    /// Waits for `work`, which ends unless the layer blocks calls.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = T>) -> T {
        let held_up = |_| panic!("a call is held up: the layer `{}` {}", self.profile.name(), self.progress);
        timeout(HELD_UP, work).await.unwrap_or_else(held_up)
    }

    /// The calls of this kind that the layer passed on. Reads of the layer itself are left out, if its profile declares them.
    pub(crate) fn passed(&self, asked: OpKind) -> Vec<Visit> {
        let mut visits = self.inside.visits();
        visits.retain(|visit| !self.profile.issues_reads || visit.args.kind() == asked);
        visits
    }

    /// Makes a call that the inside probe handles with `act`, and returns the forwarded calls without the layer's own reads.
    pub(crate) async fn scripted(
        &self,
        args: PersistArgs,
        key: Option<&str>,
        act: Act,
    ) -> (Result<PersistResponse>, Vec<Visit>) {
        let name = name_of(&args);
        drop(self.inside.visits());
        self.inside.script(name, act);
        let answer = self.in_time(self.call(args, key)).await;
        self.inside.behave();
        let mut passed = self.inside.visits();
        passed.retain(|visit| name_of(&visit.args) == name);
        (answer, passed)
    }

    /// Whether the layer has refused a call and may: its profile declares refusals, or the call changes an exact copy of a
    /// store, or finds by an exact value.
    pub(crate) fn refuses_itself(&self, args: &PersistArgs, error: &PersistError, passed: &[Visit]) -> bool {
        // A value that is stored differently each time cannot be found by.
        let is_exact = matches!(
            args,
            PersistArgs::Replica(_) | PersistArgs::Read(ReadArgs::Images(_) | ReadArgs::Find(_))
        );
        let profile = &self.profile;
        let may = profile.redirects || !profile.refuses.is_empty() || (is_exact && !profile.hides.is_empty());
        let is_own = error.site().is_some_and(|site| profile.sites.iter().any(|name| name == site.name()));
        may && is_own && passed.is_empty() && error.effect() == Effect::NotApplied
    }

    /// Makes a call, with or without a key.
    pub(crate) async fn call(&self, args: PersistArgs, key: Option<&str>) -> Result<PersistResponse> {
        let key = key.map(|key| IdempotencyKey::new(key).expect("a valid key"));
        call(&self.db, args, key).await
    }
}
