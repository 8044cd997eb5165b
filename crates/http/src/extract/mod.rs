//! The parts of a request, each refused with a problem document.

mod body;
mod idempotency;
mod number;
mod params;
mod patch;
mod path;
mod precondition;

pub(crate) use self::{
    body::{JsonBody, OptionalBody},
    idempotency::{KEY_HEADER, Key, derived_id, derived_key},
    number::Counter,
    params::Params,
    patch::present,
    path::Ids,
    precondition::{IfMatch, IfNoneMatch, NoIfMatch, message_tag, revision_tag},
};
