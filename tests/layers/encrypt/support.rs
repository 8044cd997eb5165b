//! Keys, stacks over both stores, and a tap between the layer and its store.

use std::sync::{Arc, Mutex};

use throughline::{
    PersistArgs, PersistRequest, PersistResult, Persistence, Phase,
    layers::encrypt::{EncryptLayer, Key, KeyRing},
    memory::MemoryBackend,
    plugin::{FromFn, NextRequest, from_fn},
    sqlite::SqliteBackend,
};

pub(crate) fn key(name: &str) -> Key {
    let mut secret = [0; 32];
    secret[..name.len()].copy_from_slice(name.as_bytes());
    Key::new(name.parse().unwrap(), &secret)
}

pub(crate) fn ring(name: &str) -> KeyRing {
    KeyRing::new(key(name))
}

pub(crate) fn layer() -> EncryptLayer {
    EncryptLayer::new(ring("k1"))
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
