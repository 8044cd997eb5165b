//! RR-S14: a capability for `.chats/` of the user `u`. Each check is run with the capability as it is meant, and with one that
//! lacks a limit, which that check alone has to find.

use std::{future::Future, pin::Pin, time::Duration};

use throughline::{
    NewMessage, Persistence,
    layers::scope::{Authority, Capability, Verb},
    messages::Delete,
    threads::ListThreads,
};

use super::{Guarded, denied};

/// Which limit of the capability is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forgets {
    Nothing,
    Tenant,
    Prefix,
    Verbs,
    Time,
}

const HOUR: Duration = Duration::from_secs(3600);

fn guest(authority: &Authority, forgets: Forgets) -> Capability {
    let mut guest = authority.everything();
    if forgets != Forgets::Tenant {
        guest = guest.of_tenant("u".parse().unwrap());
    }
    if forgets != Forgets::Prefix {
        guest = guest.in_threads_under(".chats/");
    }
    if forgets != Forgets::Verbs {
        guest = guest.only([Verb::Read, Verb::Append]);
    }
    if forgets != Forgets::Time {
        guest = guest.expiring_in(HOUR);
    }
    guest
}

/// The host and the guest, both as `u`.
fn both(forgets: Forgets) -> (Persistence, Persistence) {
    let guarded = Guarded::new();
    let guest = guarded.db.with_credential(guest(&guarded.authority, forgets));
    (guarded.host("u"), guest.for_tenant("u".parse().unwrap()))
}

fn said() -> NewMessage {
    NewMessage::user("hello").with_id("m".parse().unwrap())
}

async fn inside_it_goes_on_as_ever(forgets: Forgets) {
    let (_, guest) = both(forgets);
    let thread = guest.thread(".chats/one");
    let added = thread.add(said()).await.unwrap();
    assert_eq!(thread.get("m".parse().unwrap()).await.unwrap(), Some(added.message));
    let mut draft = thread.reserve(throughline::Role::Assistant).await.unwrap();
    draft.append("hi").await.unwrap();
    draft.finish().await.unwrap();
    assert_eq!(thread.entry().await.unwrap().unwrap().messages, 2);
}

async fn elsewhere_is_denied(forgets: Forgets) {
    let (host, guest) = both(forgets);
    for thread in
        ["other", ".chats", ".chats/", ".chatsx/one", ".chats/../other", ".chats/a/./b", r".chats/a\..\b"]
    {
        denied(guest.thread(thread).add(said()).await, "the capability is not for this thread");
        denied(guest.thread(thread).entry().await, "the capability is not for this thread");
        assert_eq!(host.thread(thread).entry().await.unwrap(), None, "{thread}");
    }
    let list = guest.threads(ListThreads::new(10)).await;
    denied(list, "the capability is not for every thread of the tenant");
    let batch = throughline::messages::Batch::new()
        .with(throughline::messages::Add::new(".chats/one".parse().unwrap(), said()))
        .with(throughline::messages::Add::new("other".parse().unwrap(), said()));
    denied(guest.batch(batch).await, "the capability is not for this thread");
    assert_eq!(host.thread(".chats/one").entry().await.unwrap(), None);
}

async fn other_users_are_denied(forgets: Forgets) {
    let (_, guest) = both(forgets);
    for other in ["v", "default"] {
        let other = guest.for_tenant(other.parse().unwrap());
        denied(other.thread(".chats/one").add(said()).await, "the capability is for another tenant");
        denied(
            other.thread(".chats/one").get("m".parse().unwrap()).await,
            "the capability is for another tenant",
        );
    }
}

async fn what_was_not_declared_is_denied(forgets: Forgets) {
    let (host, guest) = both(forgets);
    let added = guest.thread(".chats/one").add(said()).await.unwrap();
    let delete = Delete::new(".chats/one".parse().unwrap(), "m".parse().unwrap());
    denied(guest.run(delete).await, "the capability does not allow to delete");
    let rename = guest.thread(".chats/one").rename("x".parse().unwrap()).await;
    denied(rename, "the capability does not allow to manage threads");
    let there = host.thread(".chats/one").get("m".parse().unwrap()).await.unwrap();
    assert_eq!(there, Some(added.message));
}

async fn when_it_has_expired_nothing_is_written(forgets: Forgets) {
    let (host, guest) = both(forgets);
    let thread = guest.thread(".chats/one");
    tokio::time::advance(HOUR - Duration::from_millis(1)).await;
    thread.add(said()).await.unwrap();
    tokio::time::advance(Duration::from_millis(1)).await;
    denied(thread.add(NewMessage::user("late")).await, "the capability has expired");
    denied(thread.get("m".parse().unwrap()).await, "the capability has expired");
    assert_eq!(host.thread(".chats/one").entry().await.unwrap().unwrap().messages, 1);
}

type Check = fn(Forgets) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Each check, and the fault that it finds.
const CHECKS: [(&str, Option<Forgets>, Check); 5] = [
    ("inside", None, |forgets| Box::pin(inside_it_goes_on_as_ever(forgets))),
    ("elsewhere", Some(Forgets::Prefix), |forgets| Box::pin(elsewhere_is_denied(forgets))),
    ("other users", Some(Forgets::Tenant), |forgets| Box::pin(other_users_are_denied(forgets))),
    ("undeclared", Some(Forgets::Verbs), |forgets| Box::pin(what_was_not_declared_is_denied(forgets))),
    ("expired", Some(Forgets::Time), |forgets| Box::pin(when_it_has_expired_nothing_is_written(forgets))),
];

#[tokio::test(start_paused = true)]
async fn rr_s14_what_a_capability_is_for_and_nothing_else() {
    for (_, _, check) in CHECKS {
        check(Forgets::Nothing).await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_limit_that_is_forgotten_is_found_by_its_check() {
    for forgets in [Forgets::Tenant, Forgets::Prefix, Forgets::Verbs, Forgets::Time] {
        for (name, finds, check) in CHECKS {
            let failed = tokio::spawn(check(forgets)).await.is_err();
            assert_eq!(failed, finds == Some(forgets), "{name} where {forgets:?} is forgotten");
        }
    }
}
