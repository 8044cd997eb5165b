//! The layer `scope`: a call can do what its capability allows, and nothing else.

mod hostile;
mod rr_s14;
mod verbs;

use std::{sync::Arc, time::Duration};

use throughline::{
    Effect, ErrorKind, PersistError, Persistence, Result, Site,
    layers::scope::{Authority, Capability, ScopeLayer, Verb},
    memory::MemoryBackend,
};

/// A store behind a scope layer, with the authority of the layer.
struct Guarded {
    /// A handle without a capability.
    db: Persistence,
    authority: Authority,
}

impl Guarded {
    fn new() -> Self {
        let scope = ScopeLayer::new();
        let authority = scope.authority();
        let db = Persistence::builder().layer(scope).backend(MemoryBackend::new()).build().unwrap();
        Self { db, authority }
    }

    /// Returns a handle with every capability.
    fn host(&self, tenant: &str) -> Persistence {
        self.db.with_credential(self.authority.everything()).for_tenant(tenant.parse().unwrap())
    }
}

#[track_caller]
fn denied<T: std::fmt::Debug>(answer: Result<T>, why: &str) {
    let error = answer.unwrap_err();
    let site = error.site().map(|site| site.name().to_owned());
    assert_eq!((error.kind(), error.detail()), (ErrorKind::Denied, why), "{error}");
    assert_eq!(
        (error.effect(), site.as_deref()),
        (throughline::Effect::NotApplied, Some("scope")),
        "{error}"
    );
}

#[tokio::test]
async fn a_handle_without_a_capability_can_only_close_the_pipeline() {
    let Guarded { db, .. } = Guarded::new();
    denied(db.thread("t").get("m".parse().unwrap()).await, "the call has no capability");
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_handle_with_a_capability_cannot_close_the_pipeline() {
    let guarded = Guarded::new();
    let error = guarded.host("u").close().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.detail()),
        (ErrorKind::Denied, "a handle that has a credential cannot close the pipeline")
    );
    assert_eq!((error.effect(), error.site()), (Effect::NotApplied, Some(&Site::Edge)));
    guarded.host("u").thread("t").add(throughline::NewMessage::user("still there")).await.unwrap();
}

#[tokio::test]
async fn a_capability_of_another_authority_is_denied() {
    let guarded = Guarded::new();
    let forged = ScopeLayer::new().authority().everything();
    let forged = guarded.db.with_credential(forged);
    denied(forged.thread("t").summary().await, "the capability is of another authority");
    // Another authority cannot revoke the capability either.
    let ours = guarded.authority.everything();
    ScopeLayer::new().authority().revoke(&ours);
    assert!(ours.is_live());
}

#[tokio::test]
async fn a_capability_without_a_scope_layer_allows_nothing() {
    let open = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let reader = open.with_credential(ScopeLayer::new().authority().everything().read_only());
    let error = reader.thread("t").summary().await.unwrap_err();
    let why = "the call has a credential, and no layer has accepted it";
    assert_eq!((error.kind(), error.detail()), (ErrorKind::Denied, why));
    open.thread("t").add(throughline::NewMessage::user("x")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn revoking_a_capability_revokes_everything_narrowed_from_it() {
    let guarded = Guarded::new();
    let [kept, gone] = [0; 2].map(|_| guarded.authority.everything().of_tenant("u".parse().unwrap()));
    let below = gone.in_thread("t".parse().unwrap()).expiring_in(Duration::from_secs(1));
    guarded.authority.revoke(&gone);
    let read = async |capability: &Capability| {
        let db = guarded.db.for_tenant("u".parse().unwrap()).with_credential(capability.clone());
        db.thread("t").summary().await
    };
    for capability in [&gone, &below] {
        denied(read(capability).await, "the capability was revoked");
    }
    assert_eq!(read(&kept).await.unwrap(), None);
    assert_eq!([&kept, &gone, &below].map(Capability::is_live), [true, false, false]);
}

#[tokio::test]
async fn narrowing_beyond_a_capability_allows_nothing() {
    let guarded = Guarded::new();
    let everything = guarded.authority.everything();
    let u = || "u".parse().unwrap();
    for (capability, why) in [
        (everything.of_tenant("v".parse().unwrap()).of_tenant(u()), "the capability is for another tenant"),
        (
            everything.in_thread("s".parse().unwrap()).in_thread("t".parse().unwrap()),
            "the capability is not for this thread",
        ),
        (everything.append_only().read_only(), "the capability does not allow to read"),
        (everything.only([]), "the capability does not allow to read"),
        (everything.expiring_in(Duration::ZERO).expiring_in(Duration::MAX), "the capability has expired"),
    ] {
        let db = guarded.db.for_tenant(u()).with_credential(capability);
        denied(db.thread("t").summary().await, why);
    }
    let all = everything.only(Verb::ALL.iter().copied()).in_threads_under("").expiring_in(Duration::MAX);
    assert_eq!(guarded.db.with_credential(all).thread("t").summary().await.unwrap(), None);
}

#[test]
fn the_debug_output_of_a_capability_shows_its_limits() {
    let everything = ScopeLayer::new().authority().everything();
    let one = everything.of_tenant("u".parse().unwrap()).read_only();
    assert_eq!(format!("{everything:?} {one:?}"), r#"[] [Verbs({Read}), Tenant("u")]"#);
}

/// Errors must not reveal whether a thread of another tenant exists.
#[tokio::test]
async fn existing_and_missing_threads_of_another_tenant_are_refused_alike() {
    let guarded = Guarded::new();
    guarded
        .host("v")
        .thread("there")
        .add(throughline::NewMessage::user("x").with_id("m".parse().unwrap()))
        .await
        .unwrap();
    let mine =
        guarded.authority.everything().of_tenant("u".parse().unwrap()).in_thread("mine".parse().unwrap());
    let mine = guarded.db.with_credential(mine);
    let same = |a: PersistError, b: PersistError| {
        let normalized = |error: &PersistError| format!("{error:?}").replace("nowhere", "there");
        assert_eq!(normalized(&a), normalized(&b));
    };
    for tenant in ["u", "v"] {
        let db = Arc::new(mine.for_tenant(tenant.parse().unwrap()));
        let get = async |thread: &str| db.thread(thread).get("m".parse().unwrap()).await.unwrap_err();
        same(get("there").await, get("nowhere").await);
        let add = async |thread: &str| {
            let message = throughline::NewMessage::user("x").with_id("m".parse().unwrap());
            db.thread(thread).add(message).await.unwrap_err()
        };
        same(add("there").await, add("nowhere").await);
    }
}
