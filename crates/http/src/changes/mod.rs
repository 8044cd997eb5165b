//! The route of the change feed, as a stream of server-sent events and as a long poll.

mod poll;
mod stream;

use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use throughline_core::{Position, changes::ChangeScope};

use crate::{
    event_stream,
    extract::{Counter, Params},
    problem::{HttpFault, Problem},
    schema::{self, Problems},
    shutdown::Shutdown,
    state::RouterState,
    subscriber::Subscriber,
};

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Stream,
    Poll,
}

/// Returns the form that the client accepts.
fn form_of(headers: &HeaderMap) -> Result<Form, Problem> {
    let mut accepted = headers.get_all(header::ACCEPT).iter().peekable();
    if accepted.peek().is_none() {
        return Ok(Form::Poll);
    }
    let types = accepted.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    for media in types.map(|media| media.split(';').next().unwrap_or_default().trim()) {
        match media.to_ascii_lowercase().as_str() {
            "text/event-stream" | "text/*" => return Ok(Form::Stream),
            "application/json" | "application/*" | "*/*" => return Ok(Form::Poll),
            _ => {}
        }
    }
    let detail = "accept `text/event-stream` for a stream or `application/json` for a long poll";
    Err(Problem::http(HttpFault::NotAcceptable, detail))
}

/// Returns the position to resume from: the header `Last-Event-ID`, or else the parameter `after`.
fn resume_from(headers: &HeaderMap, params: &mut Params) -> Result<Position, Problem> {
    let after = params.counter("after")?;
    let last = match headers.get("last-event-id") {
        None => None,
        Some(value) => {
            let position = value.to_str().ok().and_then(|text| text.parse::<Counter>().ok());
            Some(position.ok_or_else(|| Problem::invalid("the header `Last-Event-ID` is no position"))?.get())
        }
    };
    last.or(after).map(Position::new).ok_or_else(|| {
        Problem::invalid("say where to begin: `after=0` for all changes, or the `position` of a page")
    })
}

/// The changes of the tenant or of one thread after a position, in commit order, without a gap. A change has ids and no content.
///
/// With `Accept: text/event-stream` the answer is a stream: `id` is the durable position, an event `change` has one change, and
/// an empty event only moves the position. An event `lagged` ends a stream whose reader is too slow; an event `problem` ends it
/// with a problem document. Resume with `Last-Event-ID` or `after`, on any replica. Otherwise the answer is a long poll.
#[utoipa::path(
    get, path = "/v1/changes", operation_id = "readChanges", tag = "changes",
    params(schema::ChangesQuery, schema::TicketQuery, schema::LastEventIdHeader),
    responses(
        (status = 200, description = "The changes", content(
            (schema::Changes = "application/json"),
            (String = "text/event-stream"),
        )),
        Problems,
    ),
)]
pub(crate) async fn changes(
    State(state): State<RouterState>,
    subscriber: Subscriber,
    shutdown: Shutdown,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let form = form_of(&headers)?;
    let after = resume_from(&headers, &mut params)?;
    let scope = params.take("thread")?.map_or(ChangeScope::Tenant, ChangeScope::Thread);
    let db = subscriber.caller().handle(state.db());
    match form {
        Form::Stream => {
            params.end()?;
            let permit = state.readers().admit(subscriber.caller())?;
            event_stream::open(state, db.changes(scope, after), subscriber, permit, shutdown).await
        }
        Form::Poll => {
            let limit = params.limit(state.options().page_limit)?;
            let wait = params.counter("wait")?.unwrap_or(0);
            params.end()?;
            let _permit = state.readers().admit(subscriber.caller())?;
            let wait = std::time::Duration::from_secs(wait).min(state.options().long_poll);
            Ok(poll::read(&db, scope, after, limit, wait, shutdown).await?.into_response())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_first_one_that_the_client_accepts() {
        for (accept, form) in [
            (None, Some(Form::Poll)),
            (Some("*/*"), Some(Form::Poll)),
            (Some("application/json"), Some(Form::Poll)),
            (Some("text/event-stream"), Some(Form::Stream)),
            (Some("Text/Event-Stream; q=1"), Some(Form::Stream)),
            (Some("text/html, text/event-stream, application/json"), Some(Form::Stream)),
            (Some("image/png"), None),
            (Some(""), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(form_of(&headers).ok(), form, "{accept:?}");
        }
    }
}
