//! The seam, over real stacks: attribution, effects, detachment, admission, order, redirects, drafts.

mod admission;
mod attempts;
mod attribution;
mod close;
mod describe;
mod detach;
mod draft;
mod draft_deadline;
mod edge;
mod faults;
mod forks;
mod gated;
mod handles;
mod inner_calls;
mod observers;
mod outage;
mod redirect_damage;
mod redirect_faults;
mod redirects;
mod retries;
mod short_pages;
mod shortage;
mod trace_hooks;
mod walk;

use throughline::{Effect, ErrorKind, PersistError};

/// What an error says, in one comparable value.
fn said(error: &PersistError) -> (ErrorKind, Effect, &str) {
    (error.kind(), error.effect(), error.site().map_or("", |site| site.name()))
}
