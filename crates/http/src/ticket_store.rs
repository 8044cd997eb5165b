//! The tickets that are not used yet.
//!
//! A ticket is a secret that acts for its caller once, within a short time. The store keeps hashes, so that a dump of the memory
//! or a log of this type shows no ticket.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::http::{Uri, uri::PathAndQuery};
use tokio::time::Instant;

use crate::{
    auth::Caller,
    problem::{HttpFault, Problem},
    subscriber::Subscriber,
};

/// The query parameter with a ticket.
const PARAMETER: &str = "ticket";

/// The most unused tickets of all callers, of one tenant, and of one caller.
const MAX_TICKETS: usize = 10_000;
const MAX_TICKETS_OF_TENANT: usize = 1000;
const MAX_TICKETS_OF_ONE: usize = 64;

const LONGEST_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

struct Ticket {
    subscriber: Subscriber,
    expires_at: Instant,
}

impl Ticket {
    fn is_of(&self, caller: &Caller) -> bool {
        let of = self.subscriber.caller();
        (of.tenant(), of.actor()) == (caller.tenant(), caller.actor())
    }
}

/// The unused tickets, by their hashes.
#[derive(Default)]
pub(crate) struct TicketStore(Mutex<HashMap<[u8; 32], Ticket>>);

impl TicketStore {
    /// Issues a ticket for this caller.
    pub(crate) fn issue(&self, subscriber: Subscriber, lifetime: Duration) -> Result<String, Problem> {
        let caller = subscriber.caller();
        let mut random = [0; 32];
        getrandom::fill(&mut random)
            .map_err(|_| Problem::http(HttpFault::NotReady, "the system has no random numbers"))?;
        let ticket = blake3::Hash::from_bytes(random).to_hex().to_string();
        let now = Instant::now();
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.retain(|_, ticket| now < ticket.expires_at);
        let of_tenant =
            tickets.values().filter(|ticket| ticket.subscriber.caller().tenant() == caller.tenant());
        let (of_tenant, of_caller) = of_tenant
            .fold((0, 0), |(tenant, one), ticket| (tenant + 1, one + usize::from(ticket.is_of(caller))));
        if of_caller >= MAX_TICKETS_OF_ONE
            || of_tenant >= MAX_TICKETS_OF_TENANT
            || tickets.len() >= MAX_TICKETS
        {
            let fault =
                Problem::http(HttpFault::TooManyTickets, "too many tickets are unused: use them, or wait");
            return Err(fault.retry_after(lifetime.as_secs().max(1)));
        }
        // A lifetime beyond the range of the clock ends after a year.
        let expires_at = now.checked_add(lifetime).unwrap_or(now + LONGEST_LIFETIME);
        tickets.insert(hash_of(&ticket), Ticket { subscriber, expires_at });
        Ok(ticket)
    }

    /// Returns the caller of a ticket, and forgets the ticket.
    fn redeem(&self, ticket: &str) -> Option<Subscriber> {
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = tickets.remove(&hash_of(ticket))?;
        (Instant::now() < ticket.expires_at).then_some(ticket.subscriber)
    }

    /// Takes the ticket out of the target of a request, so that no later code sees it, and redeems it.
    pub(crate) fn take_from(&self, uri: &mut Uri, is_for_stream: bool) -> Option<Presented> {
        let query = uri.query()?;
        if !query.contains(PARAMETER) {
            return None;
        }
        let (tickets, others): (Vec<_>, Vec<_>) =
            form_urlencoded::parse(query.as_bytes()).partition(|(name, _)| name == PARAMETER);
        let ticket = tickets.first()?.1.to_string();
        let is_single = tickets.len() == 1;
        let rest = form_urlencoded::Serializer::new(String::new()).extend_pairs(others).finish();
        replace_query(uri, &rest);
        if !is_for_stream {
            return Some(Presented::NotForTickets);
        }
        let subscriber = if is_single { self.redeem(&ticket) } else { None };
        Some(subscriber.map_or(Presented::Unknown, Presented::Of))
    }
}

fn hash_of(ticket: &str) -> [u8; 32] {
    *blake3::hash(ticket.as_bytes()).as_bytes()
}

/// Sets the query of a target that has one.
fn replace_query(uri: &mut Uri, query: &str) {
    let mut parts = std::mem::take(uri).into_parts();
    let path = parts.path_and_query.as_ref().map_or("/", PathAndQuery::path);
    let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    parts.path_and_query = target.parse().ok();
    *uri = Uri::from_parts(parts).unwrap_or_default();
}

impl fmt::Debug for TicketStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketStore(..)")
    }
}

/// The ticket of a request.
#[derive(Debug, Clone)]
pub(crate) enum Presented {
    /// It acts for this caller.
    Of(Subscriber),
    /// It is no ticket, it was used, or it has expired.
    Unknown,
    /// The route takes no tickets.
    NotForTickets,
}

impl Presented {
    pub(crate) fn subscriber(&self) -> Result<Subscriber, Problem> {
        match self {
            Self::Of(subscriber) => Ok(subscriber.clone()),
            Self::Unknown => Err(Problem::http(
                HttpFault::Unauthenticated,
                "the ticket is unknown, was used, or has expired",
            )),
            Self::NotForTickets => {
                Err(Problem::http(HttpFault::Unauthenticated, "a ticket is only for streams: send a token"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(tenant: &str) -> Subscriber {
        Subscriber::of_test(Caller::new(tenant.parse().unwrap()))
    }

    fn take(store: &TicketStore, target: &str) -> (Option<String>, String) {
        let mut uri: Uri = target.parse().unwrap();
        let presented = store.take_from(&mut uri, true);
        let tenant = presented.map(|ticket| match ticket.subscriber() {
            Ok(subscriber) => subscriber.caller().tenant().to_string(),
            Err(problem) => problem.code().to_owned(),
        });
        (tenant, uri.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_for_its_caller_once_and_for_a_short_time() {
        let store = TicketStore::default();
        let lifetime = Duration::from_secs(30);
        let ticket = store.issue(caller("alice"), lifetime).unwrap();
        let target = format!("/v1/changes?after=1&ticket={ticket}&thread=a%26b");
        let rest = "/v1/changes?after=1&thread=a%26b".to_owned();
        assert_eq!(take(&store, &target), (Some("alice".to_owned()), rest.clone()));
        assert_eq!(take(&store, &target), (Some("unauthenticated".to_owned()), rest));
        let late = store.issue(caller("alice"), lifetime).unwrap();
        tokio::time::advance(lifetime).await;
        assert_eq!(
            take(&store, &format!("/?ticket={late}")),
            (Some("unauthenticated".to_owned()), "/".to_owned())
        );
        assert_eq!(take(&store, "/x?tickets=1"), (None, "/x?tickets=1".to_owned()));
        let twice = store.issue(caller("alice"), lifetime).unwrap();
        let target = format!("http://h/x?ticket={twice}&ticket={twice}");
        assert_eq!(take(&store, &target), (Some("unauthenticated".to_owned()), "http://h/x".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_unused_tickets_of_a_caller_are_bounded() {
        let store = TicketStore::default();
        let lifetime = Duration::from_secs(30);
        for _ in 0..MAX_TICKETS_OF_ONE {
            store.issue(caller("alice"), lifetime).unwrap();
        }
        let problem = store.issue(caller("alice"), lifetime).unwrap_err();
        assert_eq!((problem.status().as_u16(), problem.code()), (429, "overloaded"));
        store.issue(caller("bob"), lifetime).unwrap();
        tokio::time::advance(lifetime).await;
        store.issue(caller("alice"), lifetime).unwrap();
        assert_eq!(store.0.lock().unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_unused_tickets_of_one_tenant_do_not_exclude_other_tenants() {
        let store = TicketStore::default();
        // A lifetime that no clock can reach.
        let lifetime = Duration::MAX;
        let of = |actor: usize| {
            Subscriber::of_test(Caller::new("alice".parse().unwrap()).with_actor(&actor.to_string()))
        };
        for actor in 0..MAX_TICKETS_OF_TENANT {
            store.issue(of(actor), lifetime).unwrap();
        }
        let problem = store.issue(of(MAX_TICKETS_OF_TENANT), lifetime).unwrap_err();
        assert_eq!((problem.status().as_u16(), problem.code()), (429, "overloaded"));
        store.issue(caller("bob"), lifetime).unwrap();
    }
}
