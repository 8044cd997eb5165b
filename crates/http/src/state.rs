//! The state that all routes share.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use axum::{extract::FromRequestParts, http::request::Parts};
use bytes::Bytes;
use throughline_core::Persistence;

use crate::{
    Options,
    auth::{Authenticate, Caller, DynAuthenticate},
    metrics::Metrics,
    problem::Problem,
    readers::Readers,
    ticket_store::{Presented, TicketStore},
};

/// The state of a router.
#[derive(Clone)]
pub(crate) struct RouterState(Arc<Inner>);

struct Inner {
    db: Persistence,
    auth: Box<dyn DynAuthenticate>,
    options: Options,
    metrics: Arc<Metrics>,
    readers: Readers,
    tickets: TicketStore,
    /// The OpenAPI document. It describes the routes, which are made with the state.
    document: OnceLock<Bytes>,
}

impl RouterState {
    pub(crate) fn new(db: Persistence, auth: impl Authenticate, options: Options) -> Self {
        let db = match options.deadline {
            Some(deadline) => db.with_deadline(deadline),
            None => db,
        };
        let readers = Readers::new(options.max_streams);
        Self(Arc::new(Inner {
            db,
            auth: Box::new(auth),
            options,
            metrics: Arc::default(),
            readers,
            tickets: TicketStore::default(),
            document: OnceLock::new(),
        }))
    }

    /// Sets the OpenAPI document, once.
    pub(crate) fn set_document(&self, json: Bytes) {
        self.0.document.get_or_init(|| json);
    }

    /// The OpenAPI document as JSON.
    pub(crate) fn document(&self) -> Bytes {
        self.0.document.get().cloned().unwrap_or_default()
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.0.readers
    }

    /// The handle of the host, for the readiness check.
    pub(crate) fn db(&self) -> &Persistence {
        &self.0.db
    }

    pub(crate) fn tickets(&self) -> &TicketStore {
        &self.0.tickets
    }

    /// Returns the caller of a request: that of its ticket, or the one that the host maps it to.
    pub(crate) async fn caller(&self, parts: &Parts) -> Result<Caller, Problem> {
        if let Some(ticket) = parts.extensions.get::<Presented>() {
            return Ok(ticket.subscriber()?.caller().clone());
        }
        self.authenticate(parts).await
    }

    /// Returns the caller that the host maps a request to.
    pub(crate) async fn authenticate(&self, parts: &Parts) -> Result<Caller, Problem> {
        Ok(self.0.auth.caller(parts).await?)
    }
}

impl fmt::Debug for RouterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterState").field("options", &self.0.options).finish_non_exhaustive()
    }
}

/// The handle of the caller of a request.
pub(crate) struct Db(pub(crate) Persistence);

impl FromRequestParts<RouterState> for Db {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &RouterState) -> Result<Self, Problem> {
        Ok(Self(state.caller(parts).await?.handle(state.db())))
    }
}

impl FromRequestParts<RouterState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &RouterState) -> Result<Self, Problem> {
        state.caller(parts).await
    }
}
