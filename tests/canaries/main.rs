//! REL-31: no log, error, `Debug` output or metric contains content, at the finest level and for every outcome of a call.

#[path = "../layers/captured.rs"]
mod captured;
#[expect(dead_code, reason = "the tests of the layers ask more of it")]
#[path = "../layers/recorder.rs"]
mod recorder;

use std::{collections::BTreeSet, error::Error as _, fmt::Debug, time::Duration};

use throughline::{
    BoxError, Content, Delta, ErrorKind, Metadata, MetadataPatch, NewMessage, OpKind, PersistArgs,
    PersistError, PersistRequest, Persistence, Phase, Role, Title,
    audit::{AuditFrom, ReadAudit},
    changes::ChangeScope,
    layers::{
        audit::{AuditKey, AuditLayer},
        bulk_gate::BulkGateLayer,
        chaos::{ChaosLayer, Fault, Rule},
        disk_guard::{Directory, DiskGuardLayer},
        encrypt::{EncryptLayer, Key, KeyRing},
        idempotency::RequireKeyLayer,
        limits::LimitsLayer,
        metrics::MetricsLayer,
        quota::{Quota, QuotaLayer},
        redact::RedactLayer,
        retry::RetryLayer,
        scope::ScopeLayer,
        serialize::SerializeLayer,
        slow_log::SlowLogLayer,
        timeout::TimeoutLayer,
        trace::{OpenTelemetry, TraceLayer},
    },
    memory::MemoryBackend,
    messages::{Add, Batch, CarriesContent as _, PageFrom, Update, UpdateContent, UpdateMode},
    plugin::{Event, NextRequest, Observe, from_fn, observe},
    search::SearchMessages,
    sqlite::SqliteBackend,
};
use throughline_conformance::{call, laws::every_operation};

use crate::{captured::Captured, recorder::Recorded};

const CANARY: &str = "canary-4f1d";

/// Every text that a log, an error or a test could show.
#[derive(Default)]
struct Shown(Vec<String>);

impl Shown {
    fn debug(&mut self, value: &impl Debug) {
        self.0.extend([format!("{value:?}"), format!("{value:#?}")]);
    }

    fn error(&mut self, error: &PersistError) {
        self.debug(error);
        self.0.push(error.to_string());
        let mut source = error.source();
        while let Some(error) = source {
            self.0.extend([format!("{error:?}"), error.to_string()]);
            source = error.source();
        }
    }

    /// Records a call: its arguments, its answer, and each content field.
    fn call(&mut self, args: &PersistArgs, answer: &throughline::Result<throughline::PersistResponse>) {
        self.debug(args);
        self.debug(&args.content_fields());
        match answer {
            Ok(response) => {
                self.debug(response);
                self.debug(&response.result.content_fields());
            }
            Err(error) => self.error(error),
        }
    }

    #[track_caller]
    fn assert_no_canary(&self) {
        let found = self.0.iter().filter_map(|text| {
            let at = text.find(CANARY)?;
            // The text before the canary shows where it occurred.
            let before: String = text[..at].chars().rev().take(60).collect();
            Some(before.chars().rev().collect::<String>())
        });
        let found: BTreeSet<String> = found.collect();
        assert!(found.is_empty(), "the canary occurs after each of these texts: {found:#?}");
    }
}

/// Builds a stack with every layer; `$faults` injects faults in front of the store. The bytes of the keys contain the
/// canary too.
macro_rules! stack {
    ($recorded:expr, $faults:expr, $backend:expr) => {{
        let scope = ScopeLayer::new();
        let everything = scope.authority().everything();
        let mut bytes = [b'.'; 32];
        bytes[..CANARY.len()].copy_from_slice(CANARY.as_bytes());
        let key = Key::new("first".parse().unwrap(), &bytes);
        let owner = Persistence::builder()
            .layer(LimitsLayer::new().content_bytes(10_000))
            .layer(QuotaLayer::new(Quota::new().operations(1 << 40, 1 << 40).bytes(1 << 50, 1 << 50)))
            .layer(DiskGuardLayer::new(Directory::new("."), 0, 0))
            .layer(BulkGateLayer::new())
            .layer(scope)
            .layer(RequireKeyLayer::of([OpKind::Import]))
            .layer(SerializeLayer::new())
            .layer(AuditLayer::new(AuditKey::new(&bytes)))
            .layer(TraceLayer::new())
            .layer_as("otel", Phase::Observe, TraceLayer::with_hooks(OpenTelemetry))
            .layer(MetricsLayer::with_recorder($recorded.clone()).with_tenants(10))
            .layer(SlowLogLayer::new(Duration::ZERO).at_most(u32::MAX, Duration::ZERO))
            .layer(observe("observer", LogEvents))
            .layer(from_fn("panics", Phase::Transform, panics))
            .layer(RedactLayer::secrets())
            .layer(EncryptLayer::new(KeyRing::new(key)))
            .layer(RetryLayer::new().backoff(Duration::from_micros(1), Duration::from_micros(2)))
            .layer(TimeoutLayer::new(Duration::from_secs(3600)))
            .layer($faults)
            .backend($backend)
            .build()
            .unwrap();
        let db = owner.with_credential(everything);
        (owner, db)
    }};
}

/// An observer that logs each event, and fails.
struct LogEvents;

impl Observe for LogEvents {
    fn observe(&mut self, event: &Event) -> Result<(), BoxError> {
        tracing::trace!(?event, "observed");
        Err("an observer fails".into())
    }
}

/// A careless layer that panics with its arguments.
async fn panics(
    request: PersistRequest,
    next: NextRequest,
) -> throughline::Result<throughline::PersistResponse> {
    if request.context.call_site() == Some("panics") {
        let json = serde_json::to_string(&request.args).unwrap_or_default();
        panic!("cannot stand {json}");
    }
    next.run(request).await
}

fn faults() -> ChaosLayer {
    ChaosLayer::seeded(31)
        .rule(Rule::new("busy", Fault::before(ErrorKind::Busy)).with_probability(0.2))
        .rule(Rule::new("lost", Fault::lost_answer(ErrorKind::Internal)).with_probability(0.2))
        .rule(Rule::new("panics", Fault::panic_after()).with_probability(0.2))
}

/// Operations that are invalid, each for a different reason.
fn invalid() -> Vec<PersistArgs> {
    let t = || "t".parse().unwrap();
    let id = || "m".parse().unwrap();
    let deep = format!("{}\"{CANARY}\"{}", "[".repeat(100), "]".repeat(100));
    let add = |content: Content| PersistArgs::from(Add::new(t(), NewMessage::new(Role::User, content)));
    let missing = throughline::messages::ContentChange::Append(Delta::text(CANARY));
    let reserved = MetadataPatch::new().set(format!("{}x", Metadata::RESERVED), CANARY).unwrap();
    vec![
        add(Content::text(&CANARY.repeat(2000))),
        add(Content::from_json(deep).unwrap()),
        UpdateContent::new(t(), "none".parse().unwrap(), missing.clone(), UpdateMode::Final).into(),
        UpdateContent::new(t(), id(), missing, UpdateMode::Abandon { reason: Some(CANARY.to_owned()) })
            .into(),
        Update::new(t(), id(), reserved).into(),
        Batch::new()
            .with(Update::new(t(), "none".parse().unwrap(), MetadataPatch::new().set("k", CANARY).unwrap()))
            .into(),
        throughline::ReadArgs::from(SearchMessages::new(CANARY, 10)).into(),
        throughline::ReadArgs::from(SearchMessages::new(format!("\"{CANARY}"), 10)).into(),
    ]
}

async fn everything(db: &Persistence, shown: &mut Shown) -> usize {
    let mut failed = 0;
    let mut args: Vec<PersistArgs> = every_operation(CANARY).into_iter().map(|(_, args)| args).collect();
    args.extend(invalid());
    for round in 0..3 {
        // The second round finds the messages of the first; the third round panics.
        let db = if round == 2 { db.with_call_site("panics") } else { db.clone() };
        for args in &args {
            let answer = call(&db, args.clone(), None).await;
            failed += usize::from(answer.is_err());
            shown.call(args, &answer);
        }
    }
    let page = db.thread("t").page(PageFrom::Start, 100).await;
    shown.debug(&page);
    shown.debug(db);
    shown.debug(&db.describe());
    shown.0.push(db.describe().to_string());
    failed
}

/// Records every entry of the audit log.
async fn audit_log(db: &Persistence, shown: &mut Shown) {
    db.write_audit_records().await.unwrap();
    let mut read = Some(ReadAudit::new(ChangeScope::Store, AuditFrom::End, 1000));
    let (mut applied, mut all) = (0, 0);
    while let Some(asked) = read {
        // The injected faults can hit this read too.
        let page = loop {
            if let Ok(page) = db.read(asked.clone()).await {
                break page;
            }
        };
        shown.debug(&page);
        shown.0.extend(page.entries.iter().map(throughline::audit::AuditEntry::body));
        applied += page.entries.iter().filter(|entry| entry.record.is_applied()).count();
        all += page.entries.len();
        read = asked.next(&page);
    }
    assert!(applied > 5 && all > applied + 5, "{applied} of {all} entries are of applied calls");
}

/// Records invalid and valid content values, and the errors of the invalid ones.
fn content_values(shown: &mut Shown) {
    shown.debug(&Content::from_json(format!("[\"{CANARY}")));
    shown.debug(&Content::from_json(format!("{{\"{CANARY}\":1}}")));
    shown.debug(&Title::new(CANARY.repeat(1000)));
    shown.debug(&Title::new(CANARY));
    shown.debug(&NewMessage::user(CANARY));
    shown.debug(&Delta::text(CANARY));
    for error in [
        Content::from_json(format!("[\"{CANARY}")).map(drop).unwrap_err().to_string(),
        Content::from_json(format!("[{CANARY}]")).map(drop).unwrap_err().to_string(),
    ] {
        shown.0.push(error);
    }
    let mut metadata = Metadata::new();
    metadata.set("key", CANARY).unwrap();
    shown.debug(&metadata);
    shown.debug(&serde_json::from_str::<Metadata>(&format!("[\"{CANARY}\"]")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_31_no_log_error_debug_output_or_metric_contains_the_canary() {
    let log = Captured::default();
    // The subscriber is global, because the threads of the store and of the observers log too.
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    let recorded = Recorded::default();
    let mut shown = Shown::default();
    let directory = tempfile::tempdir().unwrap();
    let file = SqliteBackend::builder().search(true).open(directory.path().join("chat.db")).await.unwrap();
    let mut failed = 0;
    for ((owner, db), chaos) in [
        (stack!(recorded, ChaosLayer::seeded(1), file), "calm"),
        (stack!(recorded, faults(), SqliteBackend::temporary().await.unwrap()), "faulty"),
        (stack!(recorded, faults(), MemoryBackend::new()), "faulty"),
    ] {
        let before = failed;
        failed += everything(&db, &mut shown).await;
        assert!(failed > before + 20, "{chaos}: too little has failed");
        audit_log(&db, &mut shown).await;
        owner.close().await.unwrap();
    }
    content_values(&mut shown);
    // Check that the subscriber and the recorder received events at all.
    assert!(
        log.events("done").len() > 50 && log.events("slow").len() > 50 && log.events("observed").len() > 50
    );
    assert!(recorded.series().len() > 20 && shown.0.len() > 500);
    let add = format!("operation={},outcome=panicked", OpKind::Add);
    assert!(recorded.series().iter().any(|series| series.contains(&add)), "{:?}", recorded.series());
    shown.0.extend(log.lines());
    shown.0.extend(recorded.series());
    shown.debug(&recorded);
    shown.assert_no_canary();
}
