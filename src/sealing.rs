//! Authenticated encryption (AEAD) of stored data, under keys that derive from the session's id alone.
//!
//! HKDF-SHA256 (RFC 5869) derives from the id, each under a label of its own:
//!
//! - the lookup: the session's primary key in the database;
//! - the key that seals the session's data;
//! - the ids of its messages: a question's from the client's `Idempotency-Key`, so that a resent request finds its own
//!   messages, and an answer's from its question's id.
//!
//! The id itself is not stored. It has 122 random bits from the operating system, too many for a brute-force search, so no
//! slow hash is needed, and no server key that can be lost, stolen or demanded. The derivation is one-way: a lookup does not
//! lead to the id, nor a message's id to the `Idempotency-Key`, nor one of them to another.
//!
//! The sealed format is a version, a nonce, the ciphertext of XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) and its tag.
//! A nonce has 24 bytes, so random nonces need no counter. The row is bound as associated data: sealed bytes moved to another
//! row, message or session do not open.

use std::fmt;

use chacha20poly1305::aead::{Aead, AeadInOut, Generate, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

use crate::session_id::SessionId;

/// First byte of all sealed bytes; any change of the format or the derivation needs another version.
pub const VERSION: u8 = 1;

/// Salt of HKDF. It separates these keys from those of any other program that derives from the same ids.
const SALT: &[u8] = b"SafeSpace";

// Labels (the `info` of RFC 5869) of what is derived.
const LOOKUP_LABEL: &[u8] = b"lookup";
const KEY_LABEL: &[u8] = b"seal";
const MESSAGE_ID_LABEL: &[u8] = b"message id";

/// Bytes of the nonce, behind the version.
pub const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// Bytes that sealing adds to a plaintext: version, nonce and tag.
pub const SEALING_OVERHEAD_BYTES: usize = 1 + NONCE_BYTES + TAG_BYTES;

/// Bytes of a plaintext that [`SealingKey::peek`] returns.
pub const PEEKED_BYTES: usize = 64;

/// Primary key of a session in the database. It does not lead to the session's id, but it identifies the session's rows,
/// so it has no `Display` and its `Debug` is redacted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lookup(Uuid);

impl Lookup {
    /// The UUID, for a statement's parameter.
    #[must_use]
    pub fn expose(&self) -> &Uuid {
        &self.0
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Lookup(<redacted>)")
    }
}

/// The secrets that derive from a session's id and of which nothing is stored, as bytes to search for. It has no `Debug` and no
/// `Display`; the bytes are overwritten when it is dropped.
pub struct DerivedSecrets {
    /// The key that seals the session's data.
    pub key: Zeroizing<[u8; 32]>,
    /// The pseudorandom key of HKDF, from which everything else derives.
    pub pseudorandom_key: Zeroizing<[u8; 32]>,
}

impl DerivedSecrets {
    /// Derives the secrets of a session from its id. Only a search for what must not be stored needs them.
    #[must_use]
    pub fn derive(id: &SessionId) -> DerivedSecrets {
        let (mut extracted, derivation) = Hkdf::<Sha256>::extract(Some(SALT), id.expose().as_bytes());
        let pseudorandom_key = Zeroizing::new(extracted.into());
        extracted.as_mut_slice().zeroize();
        DerivedSecrets { key: expand(&derivation, &[KEY_LABEL]), pseudorandom_key }
    }
}

/// The row that sealed bytes belong to. They open only with the associated data they were sealed with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AssociatedData {
    /// The row of the session.
    Session,
    /// The row of a message.
    Message {
        /// The message's id.
        id: Uuid,
        /// Its position in the conversation.
        position: i32,
    },
    /// The row of a report.
    Report {
        /// The report's id.
        id: Uuid,
        /// Its position among those of the session.
        position: i32,
    },
    /// The time of the last change of a report, in the row of the session.
    LastReport,
}

/// One of the two messages of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The user's message.
    Question,
    /// The companion's answer.
    Answer,
}

/// Authentication failed: the bytes were changed, moved to another row, or sealed for another session or by a later version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what is stored does not open with this session's key")]
pub struct OpenError;

/// The keys of one session. They are in one place of the heap, which is overwritten when this is dropped: a move copies a pointer.
pub struct SealingKey {
    lookup: Lookup,
    keys: Box<Keys>,
}

/// Both overwrite themselves (the features `zeroize` of their crates).
struct Keys {
    cipher: XChaCha20Poly1305,
    derivation: Hkdf<Sha256>,
}

impl SealingKey {
    /// Derives the keys of a session from its id.
    #[must_use]
    pub fn derive(id: &SessionId) -> SealingKey {
        let derivation = derivation(id);
        let key: Zeroizing<[u8; 32]> = expand(&derivation, &[KEY_LABEL]);
        let cipher = XChaCha20Poly1305::new((&*key).into());
        SealingKey { lookup: lookup(&derivation), keys: Box::new(Keys { cipher, derivation }) }
    }

    /// The session's primary key in the database.
    #[must_use]
    pub fn lookup(&self) -> Lookup {
        self.lookup
    }

    /// Derives the id of one message of a turn: the question's from the client's `Idempotency-Key`, the answer's from the id of
    /// its question.
    #[must_use]
    pub fn message_id(&self, part: Part, from: &[u8]) -> Uuid {
        let part = if part == Part::Question { " question " } else { " answer " };
        uuid(&expand(&self.keys.derivation, &[MESSAGE_ID_LABEL, part.as_bytes(), from]))
    }

    /// Seals a plaintext under a random nonce: the same plaintext never gives the same bytes twice.
    ///
    /// # Panics
    /// When the operating system has no random bytes, or for more than 256 GiB.
    #[must_use]
    pub fn seal(&self, associated_data: AssociatedData, plaintext: &[u8]) -> Vec<u8> {
        let nonce = XNonce::generate();
        let mut sealed = Vec::with_capacity(plaintext.len() + SEALING_OVERHEAD_BYTES);
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let text = (&mut sealed[1 + NONCE_BYTES..]).into();
        let tag = self.keys.cipher.encrypt_inout_detached(&nonce, &self.encode(associated_data), text);
        sealed.extend_from_slice(&tag.expect("no plaintext exceeds 256 GiB"));
        sealed
    }

    /// Opens sealed bytes and returns their plaintext.
    ///
    /// # Errors
    /// [`OpenError`] when the bytes were not sealed with this associated data under this key.
    pub fn open(&self, associated_data: AssociatedData, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (version, rest) = sealed.split_first().ok_or(OpenError)?;
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_BYTES).ok_or(OpenError)?;
        if *version != VERSION {
            return Err(OpenError);
        }
        let nonce = XNonce::try_from(nonce).map_err(|_| OpenError)?;
        let payload = Payload { msg: ciphertext, aad: &self.encode(associated_data) };
        self.keys.cipher.decrypt(&nonce, payload).map(Zeroizing::new).map_err(|_| OpenError)
    }

    /// The beginning of the plaintext of bytes that may have been sealed under this key, for a search that does not know which row
    /// they belong to. Nothing is authenticated: the plaintext of any other bytes is random. `None` where they cannot be sealed bytes,
    /// by their version or length. Behind the end of shorter ones the result is random too.
    #[must_use]
    pub fn peek(&self, sealed: &[u8]) -> Option<Zeroizing<[u8; PEEKED_BYTES]>> {
        let (version, rest) = sealed.split_first()?;
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_BYTES)?;
        if *version != VERSION || ciphertext.len() < TAG_BYTES {
            return None;
        }
        let length = ciphertext.len().min(PEEKED_BYTES);
        let mut text = Zeroizing::new([0; PEEKED_BYTES]);
        text[..length].copy_from_slice(&ciphertext[..length]);
        // A stream cipher encrypts and decrypts with the same operation.
        let nonce = XNonce::try_from(nonce).ok()?;
        self.keys.cipher.encrypt_inout_detached(&nonce, &[], text.as_mut_slice().into()).ok()?;
        Some(text)
    }

    /// The bytes of the associated data. Each kind has its number and fixed lengths, so no two rows have the same encoding.
    fn encode(&self, associated_data: AssociatedData) -> Vec<u8> {
        let mut encoded = vec![VERSION];
        encoded.extend_from_slice(self.lookup.0.as_bytes());
        match associated_data {
            AssociatedData::Session => encoded.push(0),
            AssociatedData::Message { id, position } => encode_row(&mut encoded, 1, id, position),
            AssociatedData::Report { id, position } => encode_row(&mut encoded, 2, id, position),
            AssociatedData::LastReport => encoded.push(3),
        }
        encoded
    }
}

impl SessionId {
    /// The session's primary key in the database, for callers that open nothing of the session.
    #[must_use]
    pub fn lookup(&self) -> Lookup {
        lookup(&derivation(self))
    }
}

fn encode_row(encoded: &mut Vec<u8>, kind: u8, id: Uuid, position: i32) {
    encoded.push(kind);
    encoded.extend_from_slice(id.as_bytes());
    encoded.extend_from_slice(&position.to_be_bytes());
}

fn derivation(id: &SessionId) -> Hkdf<Sha256> {
    Hkdf::new(Some(SALT), id.expose().as_bytes())
}

fn lookup(derivation: &Hkdf<Sha256>) -> Lookup {
    Lookup(uuid(&expand(derivation, &[LOOKUP_LABEL])))
}

fn expand<const BYTES: usize>(derivation: &Hkdf<Sha256>, label: &[&[u8]]) -> Zeroizing<[u8; BYTES]> {
    let mut derived = Zeroizing::new([0; BYTES]);
    derivation.expand_multi_info(label, &mut *derived).expect("HKDF-SHA256 gives up to 8,160 bytes");
    derived
}

/// 122 of the 128 bits as a `UUIDv8` (RFC 9562, section 5.8), the version for application-defined content.
fn uuid(bytes: &[u8; 16]) -> Uuid {
    uuid::Builder::from_custom_bytes(*bytes).into_uuid()
}
