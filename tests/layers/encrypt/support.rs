//! Keys, stacks over both stores, and a tap between the layer and its store.

use std::sync::{Arc, Mutex};

use throughline::{
    Effect, ErrorKind, PersistArgs, PersistError, PersistRequest, PersistResult, Persistence, Phase, Result,
    TenantId, ThreadId,
    layers::encrypt::{
        EncryptLayer, Key, KeyRing,
        thread_keys::{KeysFuture, Listed, ThreadKey, ThreadKeys, WrappedKey},
    },
    memory::MemoryBackend,
    plugin::{FromFn, NextRequest, from_fn},
    sqlite::SqliteBackend,
};

pub(crate) fn key(name: &str) -> Key {
    let mut secret = [0; 32];
    secret[..name.len()].copy_from_slice(name.as_bytes());
    Key::new(name.parse().unwrap(), &secret)
}

pub(crate) fn key_ring(name: &str) -> KeyRing {
    KeyRing::new(key(name))
}

pub(crate) fn layer() -> EncryptLayer {
    EncryptLayer::new(key_ring("k1"))
}

pub(crate) fn over_memory(layer: &EncryptLayer) -> Persistence {
    Persistence::builder().layer(layer.clone()).backend(MemoryBackend::new()).build().unwrap()
}

/// A stack over each store.
pub(crate) async fn stacks(layer: &EncryptLayer) -> Vec<Persistence> {
    let sqlite = SqliteBackend::temporary().await.unwrap();
    vec![over_memory(layer), Persistence::builder().layer(layer.clone()).backend(sqlite).build().unwrap()]
}

/// What passes between the layer and the store: everything that goes down is noted, and a hand may change what comes up,
/// as one that can write to the file.
#[derive(Clone, Default)]
pub(crate) struct Tap {
    passed: Arc<Mutex<Vec<PersistArgs>>>,
    hand: Arc<Mutex<Option<Hand>>>,
}

type Hand = Box<dyn FnMut(&mut PersistResult) + Send>;

impl Tap {
    pub(crate) fn layer(&self) -> FromFn<impl throughline::plugin::AsyncRequestFn> {
        let tap = self.clone();
        from_fn("tap", Phase::Route, move |request: PersistRequest, next: NextRequest| {
            let tap = tap.clone();
            async move {
                tap.passed.lock().unwrap().push(request.args.clone());
                let mut response = next.run(request).await?;
                if let Some(hand) = &mut *tap.hand.lock().unwrap() {
                    hand(&mut response.result);
                }
                Ok(response)
            }
        })
    }

    pub(crate) fn over_memory(&self, layer: &EncryptLayer) -> Persistence {
        Persistence::builder()
            .layer(layer.clone())
            .layer(self.layer())
            .backend(MemoryBackend::new())
            .build()
            .unwrap()
    }

    /// What has gone down since this was last asked.
    pub(crate) fn passed(&self) -> Vec<PersistArgs> {
        std::mem::take(&mut self.passed.lock().unwrap())
    }

    pub(crate) fn hand(&self, hand: impl FnMut(&mut PersistResult) + Send + 'static) {
        *self.hand.lock().unwrap() = Some(Box::new(hand));
    }

    pub(crate) fn no_hand(&self) {
        *self.hand.lock().unwrap() = None;
    }
}

/// A call of a store of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyCall {
    Get,
    Destroy,
    List,
}

/// A store of keys in which one call fails.
#[derive(Debug, Clone)]
pub(crate) struct FailingKeys<K> {
    pub(crate) keys: K,
    fails: Arc<Mutex<Option<(KeyCall, u32)>>>,
}

impl<K> FailingKeys<K> {
    pub(crate) fn new(keys: K) -> Self {
        Self { keys, fails: Arc::default() }
    }

    /// The n-th call of this kind from now on fails.
    pub(crate) fn fail(&self, call: KeyCall, nth: u32) {
        *self.fails.lock().unwrap() = Some((call, nth));
    }

    fn check(&self, call: KeyCall) -> Result<()> {
        let mut fails = self.fails.lock().unwrap();
        match &mut *fails {
            Some((failing, nth)) if *failing == call => *nth -= 1,
            _ => return Ok(()),
        }
        if fails.is_none_or(|(_, nth)| nth > 0) {
            return Ok(());
        }
        *fails = None;
        let error = PersistError::new(ErrorKind::Unavailable, "the store of keys is down");
        Err(error.with_effect(Effect::NotApplied))
    }
}

impl<K: ThreadKeys> ThreadKeys for FailingKeys<K> {
    fn get<'a>(&'a self, tenant: &'a TenantId, thread: &'a ThreadId) -> KeysFuture<'a, ThreadKey> {
        let checked = self.check(KeyCall::Get);
        Box::pin(async move {
            checked?;
            self.keys.get(tenant, thread).await
        })
    }

    fn create<'a>(
        &'a self,
        tenant: &'a TenantId,
        thread: &'a ThreadId,
        key: WrappedKey,
    ) -> KeysFuture<'a, ThreadKey> {
        self.keys.create(tenant, thread, key)
    }

    fn replace<'a>(
        &'a self,
        tenant: &'a TenantId,
        thread: &'a ThreadId,
        from: &'a WrappedKey,
        to: WrappedKey,
    ) -> KeysFuture<'a, bool> {
        self.keys.replace(tenant, thread, from, to)
    }

    fn destroy<'a>(&'a self, tenant: &'a TenantId, thread: &'a ThreadId) -> KeysFuture<'a, ()> {
        let checked = self.check(KeyCall::Destroy);
        Box::pin(async move {
            checked?;
            self.keys.destroy(tenant, thread).await
        })
    }

    fn list<'a>(&'a self, after: Option<&'a (TenantId, ThreadId)>, limit: usize) -> KeysFuture<'a, Listed> {
        let checked = self.check(KeyCall::List);
        Box::pin(async move {
            checked?;
            self.keys.list(after, limit).await
        })
    }
}
