//! The schemas of tickets.

#![expect(dead_code, reason = "only schemas")]

use utoipa::{IntoParams, ToSchema};

/// A ticket for one stream.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Ticket {
    /// The value of the query parameter `ticket`.
    ticket: String,
    /// The seconds for which it can be used.
    expires_in: u64,
}

/// The ticket of a stream.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TicketQuery {
    /// A ticket of `POST /v1/tickets`, instead of the header `Authorization`.
    ticket: Option<String>,
}
