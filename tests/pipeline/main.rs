//! Tests of the pipeline over real stacks: error attribution, effects, detached calls, admission, layer order,
//! redirects and drafts.

mod admission;
mod attempts;
mod attribution;
mod blocked;
mod close;
mod describe;
mod detach;
mod draft;
mod draft_deadline;
mod edge;
mod faults;
mod follow;
mod follow_behind;
mod follow_damage;
mod follow_reused;
mod forks;
mod full_disk;
mod handles;
mod inner_calls;
mod observers;
mod outage;
mod plugin_chain;
mod redirect_damage;
mod redirect_faults;
mod redirect_tails;
mod redirects;
mod retries;
mod short_pages;
mod trace_hooks;
mod walk;

use throughline::{Effect, ErrorKind, PersistError};

/// Returns the kind, the effect and the site of an error.
fn kind_effect_site(error: &PersistError) -> (ErrorKind, Effect, &str) {
    (error.kind(), error.effect(), error.site().map_or("", |site| site.name()))
}
