//! The keys of rows. Names have no control characters, so that a NUL separates them and the keys of one owner are adjacent.

use throughline_core::{Seq, TenantId, ThreadId};

use crate::rows::{
    AgentKey, AttemptKey, ConsumerKey, IdempotencyRowKey, MessageKey, QuarantineKey, RuntimeKey,
    SessionHeadKey, SessionKey, ThreadKey,
};

pub(super) const POSITION: &str = "position";

/// Returns the digits of a number with leading zeros, so that their order is the order of the numbers.
pub(super) fn digits(number: u64) -> String {
    format!("{number:020}")
}

fn key(kind: &str, names: &[&str]) -> String {
    names.iter().fold(kind.to_owned(), |key, name| key + "\0" + name) + "\0"
}

/// Returns the end of the range of all keys with this prefix.
pub(super) fn end(prefix: &str) -> String {
    format!("{prefix}\u{10ffff}")
}

/// The rows of one kind of a thread. The threads of a tenant are in the order of their ids.
pub(super) fn of_thread(kind: &str, thread: &ThreadKey) -> String {
    key(kind, &[thread.tenant.as_str(), thread.thread.as_str()])
}

/// The beginning of the key of each row of a kind.
pub(super) fn of_kind(kind: &str) -> String {
    key(kind, &[])
}

pub(super) fn of_tenant(kind: &str, tenant: &str) -> String {
    key(kind, &[tenant])
}

/// A declared metadata field.
pub(super) fn of_name(kind: &str, name: &str) -> String {
    key(kind, &[name])
}

/// The entries of a value of a metadata field, over a tenant or in one thread.
pub(super) fn of_value(
    kind: &str,
    name: &str,
    tenant: &TenantId,
    thread: Option<&ThreadId>,
    value: &str,
) -> String {
    match thread {
        Some(thread) => key(kind, &[name, tenant.as_str(), thread.as_str(), value]),
        None => key(kind, &[name, tenant.as_str(), value]),
    }
}

pub(super) fn of_message(kind: &str, message: &MessageKey) -> String {
    of_thread(kind, &message.thread) + message.id.as_str() + "\0"
}

pub(super) fn of_seq(kind: &str, thread: &ThreadKey, seq: Seq) -> String {
    of_thread(kind, thread) + &digits(seq.get())
}

pub(super) fn chunk(message: &MessageKey, number: u64) -> String {
    of_message("chunk", message) + &digits(number)
}

pub(super) fn alias(thread: &ThreadKey, number: u64) -> String {
    of_thread("alias", thread) + &digits(number)
}

pub(super) fn idempotency(of: &IdempotencyRowKey) -> String {
    of_thread("idempotency", &of.thread) + of.key.as_str()
}

pub(super) fn agent(of: &AgentKey) -> String {
    key("agent", &[of.tenant.as_str(), of.agent.as_str()])
}

pub(super) fn runtime(of: &RuntimeKey) -> String {
    key("runtime", &[of.tenant.as_str(), of.runtime.as_str()])
}

pub(super) fn of_head(kind: &str, head: &SessionHeadKey) -> String {
    of_thread(kind, &head.thread) + head.agent.as_str() + "\0" + &digits(head.incarnation) + "\0"
}

pub(super) fn session(of: &SessionKey) -> String {
    of_head("session", &of.head) + of.session.as_str()
}

pub(super) fn attempt(of: &AttemptKey) -> String {
    of_head("attempt", &of.head) + of.attempt.as_str()
}

pub(super) fn of_consumer(kind: &str, consumer: &ConsumerKey) -> String {
    key(kind, &[consumer.tenant.as_str(), consumer.consumer.as_str()])
}

pub(super) fn quarantined(of: &QuarantineKey) -> String {
    of_consumer("quarantine", &of.consumer) + &digits(of.position.get())
}

pub(super) fn quarantined_behind(consumer: &ConsumerKey, position: u64) -> String {
    of_consumer("quarantine", consumer) + &digits(position.saturating_add(1))
}

pub(super) fn change(position: u64) -> String {
    key("change", &[]) + &digits(position)
}
