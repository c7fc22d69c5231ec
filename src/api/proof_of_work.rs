//! A challenge for proof of work, as a client sees it.

use serde::Serialize;
use utoipa::ToSchema;

use super::respond;
use crate::admission::{Challenge, INPUT_BYTES};

/// A challenge, and what solves it: a counter such that the SHA-256 of the counter (8 bytes, big-endian), the challenge's text
/// and zeros, together `input_bytes`, begins with `difficulty` zero bits.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProofOfWork {
    /// Its text. The solution is this text, a colon and the counter in decimal.
    #[schema(example = "0000000000001f4e5d0c4b2a190f7e630c6b9f1d2e3a4b5c6d7e8f90a1b2c3d4e5")]
    challenge: String,
    /// Zero bits that the hash has to begin with. Each doubles the attempts.
    #[schema(example = 12)]
    difficulty: u8,
    /// The hash.
    #[schema(example = "SHA-256")]
    algorithm: &'static str,
    /// Bytes that are hashed in one attempt.
    #[schema(example = 16_384)]
    input_bytes: usize,
    /// When it cannot be solved any more, in UTC.
    #[schema(format = DateTime, example = "2026-02-21T10:35:45.123456Z")]
    expires_at: String,
}

impl From<Challenge> for ProofOfWork {
    fn from(challenge: Challenge) -> ProofOfWork {
        ProofOfWork {
            challenge: challenge.text,
            difficulty: challenge.difficulty,
            algorithm: "SHA-256",
            input_bytes: INPUT_BYTES,
            expires_at: respond::timestamp(challenge.expires_at),
        }
    }
}
