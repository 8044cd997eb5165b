//! The HTTP interface of a Throughline pipeline: an axum router with resumable streams.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod audit;
mod auth;
mod batch;
mod changes;
mod drafts;
mod extract;
mod health;
mod messages;
mod metrics;
mod openapi;
mod options;
mod problem;
mod router;
mod schema;
mod search;
mod serve;
mod sessions;
mod state;
mod threads;
mod write;

pub use self::{
    auth::{Authenticate, BearerTokens, Caller, InvalidTokenHash, NoAuth, Refusal},
    health::StoreHealth,
    options::Options,
    problem::{Problem, status_of},
    router::{not_found, router, router_with},
    serve::{Server, serve},
};
