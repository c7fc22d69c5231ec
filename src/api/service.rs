//! `GET /`: says that the service runs, and which version.

use serde::Serialize;
use utoipa::ToSchema;

use super::context::Context;
use super::problem::Problem;
use super::respond;
use super::responder::Answer;
use crate::http::Request;

/// That the service runs.
#[derive(Serialize, ToSchema)]
pub(super) struct Service {
    #[schema(example = "SafeSpace backend is running")]
    message: &'static str,
    /// The version of the service.
    #[schema(example = "0.1.0")]
    version: &'static str,
}

/// Says that the service runs
#[utoipa::path(get, path = "/", tag = "Service", responses(
    (status = 200, description = "It runs", body = Service),
))]
pub(super) fn root(_: &Context, _: &Request, _: &str) -> Result<Answer<'static>, Problem> {
    Ok(respond::json(200, &Service { message: "SafeSpace backend is running", version: env!("CARGO_PKG_VERSION") })
        .into())
}
