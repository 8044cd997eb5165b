use throughline_core::{Happened, TenantId, ThreadId, Timestamp};

/// A change that is to be told, or a place among the commits of one that tells nothing.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) tenant: TenantId,
    pub(crate) at: Timestamp,
    pub(crate) what: Option<(ThreadId, Happened)>,
}
