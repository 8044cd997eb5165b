//! The operations of replication, which keep one store an exact copy of another: see [`replication`](crate::replication).
//!
//! They apply to the whole store with all tenants. They take no idempotency key and cannot be items of a batch, because each of
//! them is idempotent.

mod apply;
mod capture;
mod image;
pub(crate) mod numbers;
mod set_replication_state;

pub use self::{
    apply::{ApplyImages, ImagesApplied},
    capture::{BeginCapture, CaptureBegun, CaptureEnded, EndCapture},
    image::{
        ConsumerImage, GoneImage, Image, ImagePart, KeyImage, MessageImage, NameImage, SessionImage,
        SessionPart, ThreadImage,
    },
    set_replication_state::SetReplicationState,
};
use super::{
    Reach, Verb,
    facts::{Facts, Split},
    family::family,
};
use crate::replica::ReplicationStatus;

family! {
    /// The operations of replication. They apply to all tenants.
    ReplicaArgs in Replica;
    /// The answers to [`ReplicaArgs`].
    ReplicaResult;

    /// Begins to record changed rows.
    Begin: BeginCapture -> CaptureBegun as "beginCapture";
    /// Ends the capture.
    End: EndCapture -> CaptureEnded as "endCapture";
    /// Applies row images.
    Apply: ApplyImages -> ImagesApplied as "applyImages";
    /// Changes the replication role.
    SetState: SetReplicationState -> ReplicationStatus as "setReplicationState";
}

/// The refusal of replication over two stores.
pub(crate) const NO_REPLICATION: &str =
    "replication over both sides of a redirect is not supported: replicate each store";

/// The facts that all operations of replication share.
pub(super) fn on_store() -> Facts<'static> {
    Facts {
        reach: Some(Reach::Store),
        split_by_message: Split::Refused(NO_REPLICATION),
        ..Facts::needing(&[Verb::Replicate])
    }
}
