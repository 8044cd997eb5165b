use std::net::SocketAddr;

use axum::Router;
use tempfile::TempDir;
use throughline_core::{IndexedMetadata, Persistence};
use throughline_http::{Authenticate, BearerTokens, Caller, Options, router_with, serve};
use throughline_memory::MemoryBackend;
use throughline_sqlite::SqliteBackend;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use super::Client;

/// A pipeline and its server. A drop ends both.
pub(crate) struct Host {
    pub(crate) db: Persistence,
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
    _folder: Option<TempDir>,
}

/// The tokens of the tests: two tenants, and an operator.
pub(crate) fn tokens() -> BearerTokens {
    let caller = |tenant: &str| Caller::new(tenant.parse().unwrap()).with_actor(&format!("{tenant}@test"));
    BearerTokens::new()
        .with_token("alice-token", caller("alice"))
        .with_token("bob-token", caller("bob"))
        .with_token("operator-token", caller("operator").operator())
}

/// The metadata fields by which the stores of the tests find messages.
pub(crate) fn indexed() -> IndexedMetadata {
    IndexedMetadata::new(["kind", "orderId"]).unwrap()
}

impl Host {
    pub(crate) async fn memory() -> Self {
        Self::memory_with(Options::new()).await
    }

    pub(crate) async fn memory_with(options: Options) -> Self {
        let backend = MemoryBackend::new().with_indexed_metadata(indexed());
        let db = Persistence::builder().backend(backend).build().unwrap();
        Self::of(db, tokens(), options).await
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteBackend::builder().index_metadata(indexed());
        let backend = options.open(folder.path().join("chat.db")).await.unwrap();
        let db = Persistence::builder().backend(backend).build().unwrap();
        let host = Self::of(db, tokens(), Options::new()).await;
        Self { _folder: Some(folder), ..host }
    }

    /// Serves this pipeline, with the tokens of the tests.
    pub(crate) async fn over(db: Persistence) -> Self {
        Self::of(db, tokens(), Options::new()).await
    }

    pub(crate) async fn of(db: Persistence, auth: impl Authenticate, options: Options) -> Self {
        let router = router_with(db.clone(), auth, options.clone());
        Self::serving(db, router, options).await
    }

    pub(crate) async fn serving(db: Persistence, router: Router, options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = serve(listener, router, options).with_graceful_shutdown(async {
            // A dropped host stops its server too.
            let _ = stopped.await;
        });
        let server = tokio::spawn(server.into_future());
        Self { db, address, stop: Some(stop), server: Some(server), _folder: None }
    }

    /// Returns a client of the tenant `alice`.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address).with_token("alice-token")
    }

    /// Stops the server, and waits for its end. The store stays open.
    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(server) = self.server.take() {
            server.await.unwrap();
        }
    }
}
