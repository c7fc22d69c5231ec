//! `GET /api/v1/challenge`: proof of work for clients that ask before they create a session.

use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::proof_of_work::ProofOfWork;
use super::respond;
use super::responder::{Answer, Context};
use crate::http::Request;

/// Whether creating a session takes proof of work at the moment.
#[derive(Serialize, ToSchema)]
pub(super) struct Requirement {
    /// Whether it does, for this client. It may change until the client creates its session.
    required: bool,
    /// What to solve, also where it is not required yet; missing if the service never requires it.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof_of_work: Option<ProofOfWork>,
}

/// Says whether creating a session takes proof of work
///
/// While many sessions are created, `POST /api/v1/sessions` requires the field `Proof-Of-Work` with the solution of a challenge,
/// and answers 429 with a challenge otherwise. A client need not ask here first: it can solve the challenge of the 429.
#[utoipa::path(get, path = "/api/v1/challenge", operation_id = "challenge", tag = "Sessions", responses(
    (status = 200, description = "Whether it does, and a challenge", body = Requirement),
))]
pub(super) fn read<'a>(context: &'a Context, request: &Request, _: &str) -> Result<Answer<'a>, Problem> {
    let peer = context.admission.client_peer(request);
    let (required, challenge) = context.admission.challenge(peer).unzip();
    let required = required.unwrap_or(false);
    Ok(respond::json(200, &Requirement { required, proof_of_work: challenge.map(ProofOfWork::from) }).into())
}
