use std::{net::SocketAddr, time::Duration};

use tempfile::TempDir;
use throughline::{Persistence, TenantId, sqlite::SqliteBackend};
use throughline_http::{BearerTokens, Caller, Options, router_with, serve};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{Failure, stack};

/// The token of the caller, who acts for [`tenant`].
pub(crate) const TOKEN: &str = "a-token-of-the-benchmark";

/// The default stack over a SQLite file, and an HTTP server over it.
pub(crate) struct Host {
    pub(crate) db: Persistence,
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
    _folder: TempDir,
}

pub(crate) fn tenant() -> TenantId {
    TenantId::default()
}

impl Host {
    /// Starts a server whose caller may open this many streams.
    pub(crate) async fn start(streams: usize) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let db = stack::over(SqliteBackend::open(folder.path().join("store.db")).await?)?;
        let tokens = BearerTokens::new().with_token(TOKEN, Caller::new(tenant()).with_actor("bench"));
        // The connections that add wait while the streams are opened.
        let options = Options::new()
            .max_streams(streams)
            .max_connections(2 * streams + 1000)
            .header_timeout(Duration::from_secs(600));
        let router = router_with(db.clone(), tokens, options.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let server = serve(listener, router, options).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        let server = tokio::spawn(server.into_future());
        Ok(Self { db, address, stop, server, _folder: folder })
    }

    /// Stops the server, and closes the store.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        drop(self.stop);
        self.server.await?;
        Ok(self.db.close().await?)
    }
}
