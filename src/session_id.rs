//! The session's id, its only credential, as a type that cannot be printed by accident.

mod recovery_code;

pub use recovery_code::RecoveryCode;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use uuid::Uuid;
use uuid::fmt::Hyphenated;
use zeroize::Zeroizing;

/// The id of an anonymous session: a random `UUIDv4` (RFC 9562, section 5.4).
///
/// The id grants full access to the session, so it has no `Display` and its `Debug` is redacted. `Serialize` is its only way
/// out of the program, beside its recovery code: into the response to the client that owns it. The database holds only values derived from it.
///
/// Its bytes are in one place of the heap, which is overwritten when the last clone is dropped. A move or a clone copies a pointer.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId(Arc<Zeroizing<[u8; 16]>>);

/// The text is not a session's id. The error does not quote the text, which may be a mistyped secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID in its hyphenated form, and not a recovery code")]
pub struct NotASessionId;

impl SessionId {
    /// A new id with 122 random bits from the operating system.
    #[must_use]
    pub fn random() -> SessionId {
        SessionId::new(&Uuid::new_v4())
    }

    /// The UUID, as input of the key derivation.
    #[must_use]
    pub fn expose(&self) -> &Uuid {
        Uuid::from_bytes_ref(&self.0)
    }

    fn new(id: &Uuid) -> SessionId {
        SessionId(Arc::new(Zeroizing::new(*id.as_bytes())))
    }

    /// The id as a code that a person can write down. That of an id that is no `UUIDv4`, which no session has, leads to another id.
    #[must_use]
    pub fn recovery_code(&self) -> RecoveryCode {
        RecoveryCode::of(self.expose())
    }
}

impl FromStr for SessionId {
    type Err = NotASessionId;

    /// Accepts the hyphenated form in either case (no braces, no `urn:uuid:`, no bare digits), and the recovery code as a person
    /// types it.
    fn from_str(text: &str) -> Result<SessionId, NotASessionId> {
        let id = text.parse::<Hyphenated>().ok().map(Hyphenated::into_uuid);
        id.or_else(|| recovery_code::decode(text)).map(|id| SessionId::new(&id)).ok_or(NotASessionId)
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose().hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SessionId(<redacted>)")
    }
}
