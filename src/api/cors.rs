//! The CORS protocol (Fetch standard, section 3.2): which pages of other origins may read the responses, and what they may send.

use super::respond::with_vary;
use crate::config::AllowedOrigins;
use crate::http::{Request, Response};

/// The fields that a page may send.
const REQUEST_FIELDS: &str = "Content-Type, Idempotency-Key, Authorization, Accept, Prefer, Proof-Of-Work";

/// The fields that a page may read, beside those that it always may.
const RESPONSE_FIELDS: &str = "Retry-After, X-Request-Id, RateLimit, RateLimit-Policy, Preference-Applied";

/// How long a browser remembers the answer to a preflight, in seconds.
const PREFLIGHT_MAX_AGE_S: &str = "600";

/// What the response to a request says of CORS.
#[derive(Debug, Default)]
pub(super) enum Cors {
    /// Nothing, since no other origin is allowed.
    #[default]
    Off,
    /// Only that others may get another response.
    Denied,
    /// That a page of this origin may read it.
    Allowed {
        origin: String,
        /// A browser asks whether it may send a request.
        is_preflight: bool,
    },
}

impl Cors {
    pub(super) fn of(allowed: &AllowedOrigins, request: &Request) -> Cors {
        let is_preflight = request.method() == "OPTIONS" && request.header("Access-Control-Request-Method").is_some();
        Cors::new(allowed, origin(request), is_preflight)
    }

    /// The same of a request that the server refuses.
    pub(super) fn of_refused(allowed: &AllowedOrigins, origin: Option<&str>) -> Cors {
        Cors::new(allowed, origin, false)
    }

    fn new(allowed: &AllowedOrigins, origin: Option<&str>, is_preflight: bool) -> Cors {
        match origin.filter(|origin| allowed.contains(origin)) {
            Some(origin) => Cors::Allowed { origin: origin.to_owned(), is_preflight },
            None if allowed.is_empty() => Cors::Off,
            None => Cors::Denied,
        }
    }

    /// Adds the fields. The methods of a path are those that it has in `Allow`.
    pub(super) fn add_to(self, mut response: Response) -> Response {
        if matches!(self, Cors::Off) {
            return response;
        }
        response = with_vary(response, "Origin");
        let Cors::Allowed { origin, is_preflight } = self else { return response };
        response = response.with_additional_header("Access-Control-Allow-Origin", origin);
        if !is_preflight {
            return response.with_additional_header("Access-Control-Expose-Headers", RESPONSE_FIELDS);
        }
        let allow = response.headers.iter().find(|(name, _)| name == "Allow").map(|(_, methods)| methods.clone());
        let Some(methods) = allow else { return response };
        response
            .with_additional_header("Access-Control-Allow-Methods", methods)
            .with_additional_header("Access-Control-Allow-Headers", REQUEST_FIELDS)
            .with_additional_header("Access-Control-Max-Age", PREFLIGHT_MAX_AGE_S)
    }
}

/// The origin of the page that sent a request. Several, which no browser sends, are as good as an opaque one.
pub(super) fn origin(request: &Request) -> Option<&str> {
    let mut origins = request.headers().filter(|(name, _)| name.eq_ignore_ascii_case("Origin"));
    let (first, second) = (origins.next(), origins.next());
    first.map(|(_, origin)| if second.is_none() { origin } else { "null" })
}
