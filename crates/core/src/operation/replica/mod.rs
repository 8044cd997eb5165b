//! What keeps one store an exact copy of another: see [`replica`](crate::replication).
//!
//! These operations are of the store as a whole, every tenant included. None takes an idempotency key and none is an item of a batch:
//! each done twice is as good as done once.

mod apply;
mod capture;
mod image;
pub(crate) mod numbers;
mod set_replication_state;

pub use self::{
    apply::{ApplyImages, ImagesApplied},
    capture::{BeginCapture, CaptureBegun, CaptureEnded, EndCapture},
    image::{
        ConsumerImage, GoneImage, Image, ImagePart, KeyImage, NameImage, SessionImage, SessionPart,
        ThreadImage,
    },
    set_replication_state::SetReplicationState,
};
use super::{Addressed, family::family};
use crate::{MessageId, ThreadId, replica::ReplicationStatus};

family! {
    /// What keeps one store an exact copy of another. It is of every tenant.
    ReplicaArgs in Replica;
    /// The answers to [`ReplicaArgs`].
    ReplicaResult;

    /// Begins to note what is changed.
    Begin: BeginCapture -> CaptureBegun as "beginCapture";
    /// Ends that.
    End: EndCapture -> CaptureEnded as "endCapture";
    /// Puts images in their places.
    Apply: ApplyImages -> ImagesApplied as "applyImages";
    /// Changes whether the store leads.
    SetState: SetReplicationState -> ReplicationStatus as "setReplicationState";
}

impl Addressed for ReplicaArgs {
    fn thread(&self) -> Option<&ThreadId> {
        None
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}

impl Addressed for ReplicaResult {
    fn thread(&self) -> Option<&ThreadId> {
        None
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}
