//! The log of who did what to which message with which outcome: what it says, and what a store does to keep it.
//!
//! Each entry names the one before it by its hash, and the hash is keyed: whoever can write to the store cannot make an entry that
//! passes for one of the log. The key belongs to the host, and stands in the layer that the feature `audit` brings; what is here has
//! no key. A store makes an entry from the [`AuditTicket`] that came with a write, in the commit of that write, and keeps it as it is:
//!
//! ```
//! use throughline_core::{AuditNumber, audit::AuditLink};
//!
//! let link = AuditLink::first();
//! assert_eq!(link.number(), AuditNumber::FIRST);
//! ```
//!
//! An entry holds no content: of what a call carried it has a keyed hash.

mod budget;
mod digest;
mod draft;
mod entry;
mod item;
mod notes;
mod record;
mod trail;

pub(crate) use self::trail::{AuditTrail, Sealing};
pub use self::{
    budget::RejectedCallBudget,
    digest::AuditDigest,
    draft::{AuditDraft, AuditLink, AuditSealer, AuditTicket},
    entry::AuditEntry,
    item::AuditItem,
    notes::AuditNotes,
    record::{AuditOutcome, AuditRecord},
};
