//! The caller of a stream. A stream outlives its request, so that its caller is authenticated again while it is open.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::{
    auth::Caller,
    problem::{HttpFault, Problem},
    state::RouterState,
    ticket_store::Presented,
};

/// A caller, and the request that was mapped to it: for a ticket, the request that issued it.
#[derive(Debug, Clone)]
pub(crate) struct Subscriber {
    caller: Caller,
    request: Arc<Parts>,
}

impl Subscriber {
    pub(crate) const fn caller(&self) -> &Caller {
        &self.caller
    }

    #[cfg(test)]
    pub(crate) fn of_test(caller: Caller) -> Self {
        Self { caller, request: Arc::new(axum::http::Request::new(()).into_parts().0) }
    }

    /// Checks that the request still maps to its caller, and not to one whose token was removed or has expired.
    pub(crate) async fn authenticate_again(&self, state: &RouterState) -> Result<(), Problem> {
        let caller = state.authenticate(&self.request).await?;
        if (caller.tenant(), caller.actor()) == (self.caller.tenant(), self.caller.actor()) {
            return Ok(());
        }
        Err(Problem::http(HttpFault::Unauthenticated, "the token acts for another caller now"))
    }
}

impl FromRequestParts<RouterState> for Subscriber {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &RouterState) -> Result<Self, Problem> {
        if let Some(ticket) = parts.extensions.get::<Presented>() {
            return ticket.subscriber();
        }
        let caller = state.authenticate(parts).await?;
        Ok(Self { caller, request: Arc::new(parts.clone()) })
    }
}
