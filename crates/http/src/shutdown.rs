//! The begin of a shutdown, which ends the streams of a server.

use axum::{extract::FromRequestParts, http::request::Parts};
use tokio::sync::watch;

use crate::state::RouterState;

/// The signal that the server begins to shut down. A [server](crate::serve()) adds it to each request.
#[derive(Debug, Clone)]
pub(crate) struct ShutdownSignal(pub(crate) watch::Receiver<bool>);

/// The shutdown of the server of a request. Without a server of this crate, it never begins.
pub(crate) struct Shutdown(Option<ShutdownSignal>);

impl Shutdown {
    /// Returns whether the shutdown has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.as_ref().is_some_and(|ShutdownSignal(signal)| *signal.borrow())
    }

    /// Waits until the shutdown begins.
    ///
    /// # Cancel safety
    /// A dropped call loses nothing.
    pub(crate) async fn begun(&mut self) {
        if let Some(ShutdownSignal(signal)) = &mut self.0
            && signal.wait_for(|has_begun| *has_begun).await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

impl FromRequestParts<RouterState> for Shutdown {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &RouterState) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.get().cloned()))
    }
}
