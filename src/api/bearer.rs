//! The session's id as a credential: `Authorization: Bearer <session_id>` (RFC 6750), so that it is in no address.

use super::catalogue::Code;
use super::problem::Problem;
use crate::http::Request;

/// The text of the credential; whether it is an id is for the handler to find, as where it comes from the path.
///
/// # Errors
/// 401 unless there is one field `Authorization` with the scheme `Bearer` and a credential.
pub(super) fn session_id(request: &Request) -> Result<&str, Problem> {
    let mut fields = request.headers().filter(|(name, _)| name.eq_ignore_ascii_case("Authorization"));
    let credential = match (fields.next(), fields.next()) {
        (Some((_, field)), None) => field.split_once(' '),
        _ => None,
    };
    let credential =
        credential.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer")).map(|(_, text)| text.trim());
    credential.filter(|text| !text.is_empty()).ok_or_else(|| {
        Problem::new(Code::AuthorizationRequired).header("WWW-Authenticate", "Bearer realm=\"session\"".to_owned())
    })
}
