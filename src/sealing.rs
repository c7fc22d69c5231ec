//! What is stored can be read with the session's id alone, and the id is not stored. This is how.
//!
//! From the id come, by HKDF-SHA256 (RFC 5869), each under a label of its own:
//!
//! - the lookup, under which the session is found in the database;
//! - the key that seals what is stored of it;
//! - the ids of its messages, from the key that the client gave its request, so that a request sent twice meets itself.
//!
//! An id is 122 random bits from the operating system. That is more than anybody can try, so no slow hash is needed, and no key
//! of the server's that could be lost, stolen or demanded. Nothing leads back: from the lookup to the id, from a message's
//! id to the client's key, from one of them to another.
//!
//! Sealed bytes are a version, a nonce and the text under XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03). Its nonces of 24
//! bytes can be random without a count of what was sealed before. The place of a text is bound as associated data: sealed bytes that
//! were moved to another row, message or session do not open.

use std::fmt;

use chacha20poly1305::aead::{Aead, AeadInOut, Generate, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::session_id::SessionId;

/// Leads sealed bytes, and changes whenever anything here does.
const VERSION: u8 = 1;

/// So that another program's keys from the same ids would be others.
const SALT: &[u8] = b"SafeSpace";

const LOOKUP: &[u8] = b"lookup";
const SEAL: &[u8] = b"seal";
const MESSAGE_ID: &[u8] = b"message id";

const NONCE_BYTES: usize = 24;

const TAG_BYTES: usize = 16;

/// What sealing adds to the length of a text.
pub const SEAL_BYTES: usize = 1 + NONCE_BYTES + TAG_BYTES;

/// Under which a session is kept. It does not lead to the session's id, but it leads whoever has the database to its rows, so
/// it has no `Display` and its `Debug` is redacted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lookup(Uuid);

impl Lookup {
    /// The lookup itself, for a statement's parameter.
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

/// Where sealed bytes are kept; they open nowhere else.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The row of the session.
    Session,
    /// The row of a message.
    Message {
        /// The message's id.
        id: Uuid,
        /// Its place in the conversation.
        position: i32,
    },
}

/// Which message of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What the person said.
    Question,
    /// What the companion said.
    Answer,
}

/// The bytes do not open: they were changed, moved, or sealed for another session or by a later version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what is stored does not open with this session's key")]
pub struct Unreadable;

/// What follows from a session's id. The key in it is overwritten in memory when it is dropped.
pub struct Seal {
    lookup: Lookup,
    cipher: XChaCha20Poly1305,
    derivation: Hkdf<Sha256>,
}

impl Seal {
    /// The one of a session.
    #[must_use]
    pub fn of(id: &SessionId) -> Seal {
        let derivation = Hkdf::<Sha256>::new(Some(SALT), id.expose().as_bytes());
        let key: Zeroizing<[u8; 32]> = derive(&derivation, &[SEAL]);
        Seal { lookup: lookup(&derivation), cipher: XChaCha20Poly1305::new((&*key).into()), derivation }
    }

    /// Under which the session is kept.
    #[must_use]
    pub fn lookup(&self) -> Lookup {
        self.lookup
    }

    /// The id of a message of the turn that a client asked for under this key.
    #[must_use]
    pub fn message_id(&self, part: Part, key: &[u8]) -> Uuid {
        let part: &[u8] = match part {
            Part::Question => b" question ",
            Part::Answer => b" answer ",
        };
        uuid(&derive(&self.derivation, &[MESSAGE_ID, part, key]))
    }

    /// Seals bytes for a place. Two seals of the same bytes have nothing in common.
    ///
    /// # Panics
    /// When the operating system has no random bytes, or for more than 256 GiB.
    #[must_use]
    pub fn seal(&self, place: Place, bytes: &[u8]) -> Vec<u8> {
        let nonce = XNonce::generate();
        let mut sealed = Vec::with_capacity(bytes.len() + SEAL_BYTES);
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(bytes);
        let tag = self.cipher.encrypt_inout_detached(
            &nonce,
            &self.associated(place),
            (&mut sealed[1 + NONCE_BYTES..]).into(),
        );
        sealed.extend_from_slice(&tag.expect("no text is that long"));
        sealed
    }

    /// Opens what was sealed for a place.
    ///
    /// # Errors
    /// When the bytes are not what was sealed for this place under this session's key.
    pub fn open(&self, place: Place, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        let (version, rest) = sealed.split_first().ok_or(Unreadable)?;
        let (nonce, text) = rest.split_at_checked(NONCE_BYTES).ok_or(Unreadable)?;
        if *version != VERSION {
            return Err(Unreadable);
        }
        let nonce = XNonce::try_from(nonce).map_err(|_| Unreadable)?;
        let payload = Payload { msg: text, aad: &self.associated(place) };
        self.cipher.decrypt(&nonce, payload).map(Zeroizing::new).map_err(|_| Unreadable)
    }

    /// What is bound to sealed bytes without being among them. Its parts have fixed lengths, so no two places have the same.
    fn associated(&self, place: Place) -> Vec<u8> {
        let mut associated = vec![VERSION];
        associated.extend_from_slice(self.lookup.0.as_bytes());
        match place {
            Place::Session => associated.push(0),
            Place::Message { id, position } => {
                associated.push(1);
                associated.extend_from_slice(id.as_bytes());
                associated.extend_from_slice(&position.to_be_bytes());
            }
        }
        associated
    }
}

impl SessionId {
    /// Under which the session is kept, where nothing of it is to be opened.
    #[must_use]
    pub fn lookup(&self) -> Lookup {
        lookup(&Hkdf::<Sha256>::new(Some(SALT), self.expose().as_bytes()))
    }
}

fn lookup(derivation: &Hkdf<Sha256>) -> Lookup {
    Lookup(uuid(&derive(derivation, &[LOOKUP])))
}

fn derive<const BYTES: usize>(derivation: &Hkdf<Sha256>, label: &[&[u8]]) -> Zeroizing<[u8; BYTES]> {
    let mut derived = Zeroizing::new([0; BYTES]);
    derivation.expand_multi_info(label, &mut *derived).expect("HKDF gives 8,160 bytes");
    derived
}

/// 122 of the bits as a `UUIDv8` (RFC 9562, section 5.8), the version for whatever is made in a way of one's own.
fn uuid(bytes: &[u8; 16]) -> Uuid {
    uuid::Builder::from_custom_bytes(*bytes).into_uuid()
}
