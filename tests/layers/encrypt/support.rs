//! Keys, stacks over both stores, and a recorder between the layer and its store.

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

/// Returns a stack over each store.
pub(crate) async fn stacks(layer: &EncryptLayer) -> Vec<Persistence> {
    let sqlite = SqliteBackend::temporary().await.unwrap();
    vec![over_memory(layer), Persistence::builder().layer(layer.clone()).backend(sqlite).build().unwrap()]
}

/// A layer between the encryption and the store. It records calls, and can modify answers like an attacker with write
/// access to the file.
#[derive(Clone, Default)]
pub(crate) struct StoreProxy {
    passed: Arc<Mutex<Vec<PersistArgs>>>,
    tamper: Arc<Mutex<Option<Tamper>>>,
}

type Tamper = Box<dyn FnMut(&mut PersistResult) + Send>;

impl StoreProxy {
    pub(crate) fn layer(&self) -> FromFn<impl throughline::plugin::AsyncRequestFn> {
        let proxy = self.clone();
        from_fn("proxy", Phase::Route, move |request: PersistRequest, next: NextRequest| {
            let proxy = proxy.clone();
            async move {
                proxy.passed.lock().unwrap().push(request.args.clone());
                let mut response = next.run(request).await?;
                if let Some(tamper) = &mut *proxy.tamper.lock().unwrap() {
                    tamper(&mut response.result);
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

    /// Returns the calls since the last call of this function.
    pub(crate) fn passed(&self) -> Vec<PersistArgs> {
        std::mem::take(&mut self.passed.lock().unwrap())
    }

    pub(crate) fn tamper(&self, tamper: impl FnMut(&mut PersistResult) + Send + 'static) {
        *self.tamper.lock().unwrap() = Some(Box::new(tamper));
    }

    pub(crate) fn stop_tampering(&self) {
        *self.tamper.lock().unwrap() = None;
    }
}

/// An operation of a key store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyCall {
    Get,
    Destroy,
    List,
}

/// A key store in which one call fails.
#[derive(Debug, Clone)]
pub(crate) struct FailingKeys<K> {
    pub(crate) keys: K,
    fails: Arc<Mutex<Option<(KeyCall, u32)>>>,
}

impl<K> FailingKeys<K> {
    pub(crate) fn new(keys: K) -> Self {
        Self { keys, fails: Arc::default() }
    }

    /// Fails the n-th call of this kind from now on.
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
