use throughline_core::{TenantId, ThreadId, Timestamp, changes::ChangeKind};

/// A change event of a transaction. Each takes one position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeEvent {
    /// The tenant.
    pub tenant: TenantId,
    /// The time of the change.
    pub at: Timestamp,
    /// The change. `None` for a write that takes a position and emits nothing, such as a heartbeat.
    pub change: Option<(ThreadId, ChangeKind)>,
}
