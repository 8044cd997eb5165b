//! The route of tickets.

use axum::{extract::State, http::StatusCode, response::IntoResponse};
use serde::Serialize;

use crate::{
    answer::Answer,
    problem::Problem,
    schema::{self, Problems},
    state::RouterState,
    subscriber::Subscriber,
};

/// A ticket.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IssuedTicket {
    ticket: String,
    expires_in: u64,
}

/// Issues a ticket for one stream of this caller. A browser gives it to its `EventSource` as the query parameter `ticket`, because
/// an `EventSource` sends no header. It can be used once, at the server that has issued it.
#[utoipa::path(
    post, path = "/v1/tickets", operation_id = "createTicket", tag = "operation",
    responses((status = 201, description = "The ticket", body = schema::Ticket), Problems),
)]
pub(crate) async fn create(
    State(state): State<RouterState>,
    subscriber: Subscriber,
) -> Result<impl IntoResponse, Problem> {
    let lifetime = state.options().ticket_lifetime;
    let ticket = state.tickets().issue(subscriber, lifetime)?;
    Ok((StatusCode::CREATED, Answer::ok(&IssuedTicket { ticket, expires_in: lifetime.as_secs() })))
}
