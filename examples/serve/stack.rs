//! The pipeline and its server.

use std::path::Path;

use axum::{Router, http::header, response::IntoResponse, routing::get};
use throughline::{
    IndexedMetadata, Persistence,
    layers::{
        audit::{AuditKey, AuditLayer},
        limits::LimitsLayer,
        redact::RedactLayer,
        trace::TraceLayer,
    },
    sqlite::{Condition, Maintenance, SqliteOptions},
};
use throughline_http::{
    BearerTokens, Caller, NoAuth, Options, Server, StoreHealth, not_found, router_with, serve,
};
use tokio::{net::TcpListener, sync::oneshot};

use crate::Result;

/// The tenant of all threads.
const TENANT: &str = "default";

/// A pipeline over one SQLite file.
pub(crate) struct Stack {
    /// The handle of the tenant.
    pub(crate) db: Persistence,
    owner: Persistence,
    maintenance: Maintenance,
}

impl Stack {
    pub(crate) async fn open(file: &Path) -> Result<Self> {
        // The field of the metadata by which `GET /v1/messages` finds messages.
        let indexed = IndexedMetadata::new(["orderId"])?;
        let options = SqliteOptions::new().search(true).index_metadata(indexed);
        let backend = options.open(file).await?;
        let maintenance = backend.maintenance();
        let owner = Persistence::builder()
            .layer(LimitsLayer::new())
            // A host keeps this key outside of the store, so that a writer of the file cannot forge entries.
            .layer(AuditLayer::new(AuditKey::new(&[7; 32])))
            .layer(TraceLayer::new())
            .layer(RedactLayer::secrets())
            .backend(backend)
            .build()?;
        let db = owner.for_tenant(TENANT.parse()?).with_actor("serve");
        Ok(Self { db, owner, maintenance })
    }

    /// Returns the server. It stops when the sender of `stopped` is dropped.
    pub(crate) fn server(
        &self,
        listener: TcpListener,
        token: Option<&str>,
        stopped: oneshot::Receiver<()>,
    ) -> Result<Server> {
        let maintenance = self.maintenance.clone();
        let options = Options::new().openai_conversations(true).store_health(move || {
            let health = maintenance.health();
            let state = StoreHealth::new(health.condition == Condition::Writable);
            health.alarms.iter().fold(state, |state, alarm| state.with_condition(format!("{alarm:?}")))
        });
        let api = match token {
            // A configuration has the hash of each token, and not the token.
            Some(token) => {
                let caller = Caller::new(TENANT.parse()?).with_actor("token").operator();
                let tokens = BearerTokens::new().with_hash(&BearerTokens::hash(token), caller)?;
                router_with(self.owner.clone(), tokens, options.clone())
            }
            None => router_with(
                self.owner.clone(),
                NoAuth::for_listener(&listener, TENANT.parse()?)?,
                options.clone(),
            ),
        };
        // The root is the host's own: here it opens the page.
        let app = Router::new().route("/", get(open_page)).merge(api).fallback(not_found);
        Ok(serve(listener, app, options).with_graceful_shutdown(async {
            let _ = stopped.await;
        }))
    }
}

async fn open_page() -> impl IntoResponse {
    (axum::http::StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "ui/")])
}
