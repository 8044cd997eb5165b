//! RR-S14: a capability for `.chats/` of the user `u`. Each check runs with the intended capability, and with one that
//! lacks a limit; exactly one check must detect it.

use std::{future::Future, pin::Pin, time::Duration};

use throughline::{
    NewMessage, Persistence,
    layers::scope::{Authority, Capability, Verb},
    messages::Delete,
    threads::ListThreads,
};

use super::{Guarded, denied};

/// The limit that the capability lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MissingLimit {
    Nothing,
    Tenant,
    Prefix,
    Verbs,
    Time,
}

const HOUR: Duration = Duration::from_secs(3600);

fn guest(authority: &Authority, missing: MissingLimit) -> Capability {
    let mut guest = authority.everything();
    if missing != MissingLimit::Tenant {
        guest = guest.of_tenant("u".parse().unwrap());
    }
    if missing != MissingLimit::Prefix {
        guest = guest.in_threads_under(".chats/");
    }
    if missing != MissingLimit::Verbs {
        guest = guest.only([Verb::Read, Verb::Append]);
    }
    if missing != MissingLimit::Time {
        guest = guest.expiring_in(HOUR);
    }
    guest
}

/// Returns handles of the host and of the guest, both for the user `u`.
fn both(missing: MissingLimit) -> (Persistence, Persistence) {
    let guarded = Guarded::new();
    let guest = guarded.db.with_credential(guest(&guarded.authority, missing));
    (guarded.host("u"), guest.for_tenant("u".parse().unwrap()))
}

fn message() -> NewMessage {
    NewMessage::user("hello").with_id("m".parse().unwrap())
}

async fn calls_inside_the_capability_are_allowed(missing: MissingLimit) {
    let (_, guest) = both(missing);
    let thread = guest.thread(".chats/one");
    let added = thread.add(message()).await.unwrap();
    assert_eq!(thread.get("m".parse().unwrap()).await.unwrap(), Some(added.message));
    let mut draft = thread.reserve(throughline::Role::Assistant).await.unwrap();
    draft.append("hi").await.unwrap();
    draft.finish().await.unwrap();
    assert_eq!(thread.summary().await.unwrap().unwrap().messages, 2);
}

async fn other_threads_are_denied(missing: MissingLimit) {
    let (host, guest) = both(missing);
    for thread in
        ["other", ".chats", ".chats/", ".chatsx/one", ".chats/../other", ".chats/a/./b", r".chats/a\..\b"]
    {
        denied(guest.thread(thread).add(message()).await, "the capability is not for this thread");
        denied(guest.thread(thread).summary().await, "the capability is not for this thread");
        assert_eq!(host.thread(thread).summary().await.unwrap(), None, "{thread}");
    }
    let list = guest.threads(ListThreads::new(10)).await;
    denied(list, "the capability is not for every thread of the tenant");
    let batch = throughline::messages::Batch::new()
        .with(throughline::messages::Add::new(".chats/one".parse().unwrap(), message()))
        .with(throughline::messages::Add::new("other".parse().unwrap(), message()));
    denied(guest.batch(batch).await, "the capability is not for this thread");
    assert_eq!(host.thread(".chats/one").summary().await.unwrap(), None);
}

async fn other_users_are_denied(missing: MissingLimit) {
    let (_, guest) = both(missing);
    for other in ["v", "default"] {
        let other = guest.for_tenant(other.parse().unwrap());
        denied(other.thread(".chats/one").add(message()).await, "the capability is for another tenant");
        denied(
            other.thread(".chats/one").get("m".parse().unwrap()).await,
            "the capability is for another tenant",
        );
    }
}

async fn undeclared_verbs_are_denied(missing: MissingLimit) {
    let (host, guest) = both(missing);
    let added = guest.thread(".chats/one").add(message()).await.unwrap();
    let delete = Delete::new(".chats/one".parse().unwrap(), "m".parse().unwrap());
    denied(guest.run(delete).await, "the capability does not allow to delete");
    let rename = guest.thread(".chats/one").rename("x".parse().unwrap()).await;
    denied(rename, "the capability does not allow to manage threads");
    let there = host.thread(".chats/one").get("m".parse().unwrap()).await.unwrap();
    assert_eq!(there, Some(added.message));
}

async fn an_expired_capability_allows_no_write(missing: MissingLimit) {
    let (host, guest) = both(missing);
    let thread = guest.thread(".chats/one");
    tokio::time::advance(HOUR - Duration::from_millis(1)).await;
    thread.add(message()).await.unwrap();
    tokio::time::advance(Duration::from_millis(1)).await;
    denied(thread.add(NewMessage::user("late")).await, "the capability has expired");
    denied(thread.get("m".parse().unwrap()).await, "the capability has expired");
    assert_eq!(host.thread(".chats/one").summary().await.unwrap().unwrap().messages, 1);
}

type Check = fn(MissingLimit) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Each check, with the missing limit that it detects.
const CHECKS: [(&str, Option<MissingLimit>, Check); 5] = [
    ("inside", None, |missing| Box::pin(calls_inside_the_capability_are_allowed(missing))),
    ("elsewhere", Some(MissingLimit::Prefix), |missing| Box::pin(other_threads_are_denied(missing))),
    ("other users", Some(MissingLimit::Tenant), |missing| Box::pin(other_users_are_denied(missing))),
    ("undeclared", Some(MissingLimit::Verbs), |missing| Box::pin(undeclared_verbs_are_denied(missing))),
    ("expired", Some(MissingLimit::Time), |missing| Box::pin(an_expired_capability_allows_no_write(missing))),
];

#[tokio::test(start_paused = true)]
async fn rr_s14_a_capability_allows_its_scope_and_nothing_else() {
    for (_, _, check) in CHECKS {
        check(MissingLimit::Nothing).await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_missing_limit_is_detected_by_its_check() {
    for missing in [MissingLimit::Tenant, MissingLimit::Prefix, MissingLimit::Verbs, MissingLimit::Time] {
        for (name, finds, check) in CHECKS {
            let failed = tokio::spawn(check(missing)).await.is_err();
            assert_eq!(failed, finds == Some(missing), "{name} where {missing:?} is missing");
        }
    }
}
