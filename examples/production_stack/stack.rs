//! The layers of a production host: authorization, audit log, redaction, encryption and metrics.

use std::path::Path;

use metrics_exporter_prometheus::PrometheusRecorder;
use throughline::{
    OpKind, Persistence,
    layers::{
        audit::{AuditKey, AuditLayer},
        encrypt::{EncryptLayer, Key, KeyRing},
        idempotency::RequireKeyLayer,
        limits::LimitsLayer,
        metrics::MetricsLayer,
        redact::RedactLayer,
        scope::ScopeLayer,
        trace::TraceLayer,
    },
    mirror::Switch,
    sqlite::SqliteBackend,
};

use crate::Failure;

/// The pipeline, with the handles that its host needs at run time.
pub(crate) struct Stack {
    /// A handle with a credential for every operation. The host must not share it.
    pub(crate) db: Persistence,
    /// The same pipeline without a credential; only the host closes it.
    pub(crate) owner: Persistence,
    pub(crate) switch: Switch,
    pub(crate) redact: RedactLayer,
    pub(crate) encrypt: EncryptLayer,
    stores: [Persistence; 2],
}

impl Stack {
    /// Opens two SQLite files in a folder. The first one is the primary.
    pub(crate) async fn open(
        folder: &Path,
        audit: AuditKey,
        recorder: PrometheusRecorder,
    ) -> Result<Self, Failure> {
        let first = store(&folder.join("first.db")).await?;
        let second = store(&folder.join("second.db")).await?;
        let switch = Switch::open(first.clone(), second.clone()).await?;
        let scope = ScopeLayer::new();
        let capability = scope.authority().everything();
        let redact = RedactLayer::secrets();
        let encrypt = EncryptLayer::new(KeyRing::new(key("2026-11")?));
        let owner = Persistence::builder()
            // A secret key for fingerprints, so that a reader of the file cannot test guesses about idempotency keys.
            .fingerprint_secret(&secret())
            .layer(LimitsLayer::new())
            .layer(scope)
            .layer(RequireKeyLayer::of([OpKind::Import]))
            .layer(AuditLayer::new(audit))
            .layer(TraceLayer::new())
            .layer(MetricsLayer::with_recorder(recorder))
            .layer(redact.clone())
            .layer(encrypt.clone())
            .backend(switch.backend())
            .build()?;
        let db = owner.with_credential(capability).with_actor("production_stack");
        Ok(Self { db, owner, switch, redact, encrypt, stores: [first, second] })
    }

    /// Closes the pipeline, then the stores below it.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        self.owner.close().await?;
        self.switch.stop().await;
        for store in self.stores {
            store.close().await?;
        }
        Ok(())
    }
}

async fn store(path: &Path) -> Result<Persistence, Failure> {
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or("store").to_owned();
    let backend = SqliteBackend::builder().name(name).open(path).await?;
    Ok(Persistence::builder().backend(backend).build()?)
}

/// Creates a key with this name. A production host gets its keys from a key service.
pub(crate) fn key(name: &str) -> Result<Key, Failure> {
    Ok(Key::new(name.parse()?, &secret()))
}

/// Returns 32 random bytes.
pub(crate) fn secret() -> [u8; 32] {
    let mut bytes = [0; 32];
    for half in bytes.chunks_mut(16) {
        half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    }
    bytes
}
