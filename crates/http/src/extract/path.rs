//! The ids in the path of a request.

use axum::{
    extract::{FromRequestParts, Path, path::ErrorKind, rejection::PathRejection},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use crate::{problem::Problem, state::RouterState};

/// The ids in the path, percent-decoded and validated.
pub(crate) struct Ids<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<RouterState> for Ids<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &RouterState) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(ids)) => Ok(Self(ids)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => {
                Err(Problem::invalid(match error.kind() {
                    ErrorKind::InvalidUtf8InPathParam { key } => format!("the path: `{key}` is not UTF-8"),
                    ErrorKind::Message(message) => format!("the path: {message}"),
                    kind => format!("the path: {kind}"),
                }))
            }
            Err(rejection) => Err(Problem::invalid(format!("the path: {}", rejection.body_text()))),
        }
    }
}
