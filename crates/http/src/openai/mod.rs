//! The routes of the OpenAI Conversations API over the threads of the pipeline.
//!
//! A conversation is a thread, and an item is a message. The guide `docs/guide/openai.md` has the mapping.

mod conversations;
mod error;
mod item;
mod items;
mod members;
mod schema;

use axum::middleware::from_fn;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::{router::UtoipaMethodRouter, routes};

use self::error::OpenAiError;
use crate::{problem::panicked, state::RouterState};

/// Returns the routes, without the counters and bounds of the router.
pub(crate) fn routes() -> Vec<UtoipaMethodRouter<RouterState>> {
    vec![
        routes!(conversations::create),
        routes!(conversations::retrieve, conversations::update, conversations::delete),
        routes!(items::list, items::create),
        routes!(items::retrieve, items::delete),
    ]
}

/// Makes every refusal of a route an error of the API, also those of the router and a panic.
pub(crate) fn with_api_errors(
    (mut schemas, paths, methods): UtoipaMethodRouter<RouterState>,
) -> UtoipaMethodRouter<RouterState> {
    schemas.push((OpenAiError::name().into_owned(), OpenAiError::schema()));
    OpenAiError::schemas(&mut schemas);
    let methods = methods.layer(CatchPanicLayer::custom(panicked)).layer(from_fn(error::answer_errors));
    (schemas, paths, methods)
}
