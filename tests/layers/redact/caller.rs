//! The actor and the call site of a handle go through `redact` before any layer sees them.

use std::sync::{Arc, Mutex};

use throughline::{
    ErrorKind, NewMessage, PersistRequest, Persistence, Phase,
    audit::{AuditFrom, ReadAudit},
    changes::ChangeScope,
    layers::{
        audit::{AuditKey, AuditLayer},
        redact::RedactLayer,
    },
    memory::MemoryBackend,
    plugin::{AsyncRequestFn, FromFn, NextRequest, from_fn},
};

use super::checks::secret;

/// The actor and the call site of each call that a layer saw.
type Seen = Arc<Mutex<Vec<[Option<String>; 2]>>>;

fn records(name: &'static str, phase: Phase, seen: &Seen) -> FromFn<impl AsyncRequestFn + use<>> {
    let seen = Arc::clone(seen);
    from_fn(name, phase, move |request: PersistRequest, next: NextRequest| {
        let context = &request.context;
        let facts = [context.actor(), context.call_site()].map(|fact| fact.map(str::to_owned));
        seen.lock().unwrap().push(facts);
        next.run(request)
    })
}

fn without_tag(text: &str) -> String {
    let Some((before, rest)) = text.split_once('#') else { return text.to_owned() };
    format!("{before}{}", &rest[8..])
}

#[tokio::test]
async fn actor_and_call_site_are_redacted_for_every_layer_and_the_audit_log() {
    let seen = Seen::default();
    let db = Persistence::builder()
        .layer(records("admitted", Phase::Admit, &seen))
        .layer(AuditLayer::new(AuditKey::new(&[9; 32])))
        .layer(RedactLayer::secrets())
        .layer(records("routed", Phase::Route, &seen))
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    let secret = secret();
    let caller = db.with_actor(&format!("bot {secret}")).with_call_site(&format!("hook?token={secret}"));
    let thread = caller.thread("t");
    let id = thread.add(NewMessage::user("hello")).await.unwrap().message.id;
    thread.get(id.clone()).await.unwrap();
    // A derived handle has the same facts, and a refused call is recorded too.
    let other = caller.for_tenant("other".parse().unwrap()).thread("t");
    assert_eq!(other.delete(id).await.unwrap_err().kind(), ErrorKind::NotFound);

    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 6, "three calls at two layers");
    for [actor, call_site] in &seen {
        let (actor, call_site) = (actor.as_deref().unwrap(), call_site.as_deref().unwrap());
        assert!(!actor.contains(&secret) && !call_site.contains(&secret), "{actor}, {call_site}");
        assert_eq!(without_tag(actor), "bot [redacted:github-token]");
        assert_eq!(without_tag(call_site), "hook?token=[redacted:github-token]");
    }
    db.write_audit_records().await.unwrap();
    for tenant in ["default", "other"] {
        let db = if tenant == "other" { db.for_tenant("other".parse().unwrap()) } else { db.clone() };
        let log = db.read(ReadAudit::new(ChangeScope::Tenant, AuditFrom::End, 10)).await.unwrap().entries;
        assert_eq!(log.len(), 1, "{tenant}");
        let record = &log[0].record;
        assert_eq!(
            (record.actor.clone(), record.call_site.clone()),
            (seen[0][0].clone(), seen[0][1].clone())
        );
        assert!(!serde_json::to_string(record).unwrap().contains(&secret));
    }
}

#[tokio::test]
async fn actor_and_call_site_without_a_secret_are_kept() {
    let seen = Seen::default();
    let db = Persistence::builder()
        .layer(RedactLayer::secrets())
        .layer(records("routed", Phase::Route, &seen))
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    let caller = db.with_actor("alice@example.com").with_call_site("webhook");
    caller.thread("t").add(NewMessage::user("hello")).await.unwrap();
    let due = ["alice@example.com", "webhook"].map(|fact| Some(fact.to_owned()));
    assert_eq!(*seen.lock().unwrap(), [due]);
}
