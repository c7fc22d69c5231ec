//! What was said in a session, as bytes that are sealed and opened.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::sealing::{Place, SEAL_BYTES, Seal, Unreadable};

/// Sealed texts have one of few lengths, so that theirs tells little of what was said: at least this many bytes, and
/// else the next power of two.
const LEAST_BYTES: usize = 256;

/// What the shortest message has in the database.
pub const LEAST_SEALED_BYTES: usize = LEAST_BYTES + SEAL_BYTES;

/// What comes before the words: who spoke, when, and how many bytes they are.
const HEAD_BYTES: usize = 1 + 8 + 4;

/// Whose words a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The person's.
    Person,
    /// A model's.
    Companion,
    /// The script's.
    Script,
}

const ROLES: [(Role, u8); 3] = [(Role::Person, 0), (Role::Companion, 1), (Role::Script, 2)];

/// One message of a conversation. It has no `Debug` and no `Display`, so that it cannot be printed by accident.
pub struct Message {
    /// Its id, which says nothing.
    pub id: Uuid,
    /// Its place in the conversation, from 1 without gaps.
    pub position: i32,
    /// Whose words they are.
    pub role: Role,
    /// When it was written, to the microsecond.
    pub created_at: DateTime<Utc>,
    /// The words.
    pub text: String,
}

impl Message {
    /// Its bytes for the database: everything but its id and its position, which are bound to them.
    #[must_use]
    pub fn seal(&self, seal: &Seal) -> Vec<u8> {
        let length = HEAD_BYTES + self.text.len();
        let mut bytes = Zeroizing::new(Vec::with_capacity(length.next_power_of_two().max(LEAST_BYTES)));
        let role = ROLES.iter().find(|(role, _)| *role == self.role).map_or(0, |(_, byte)| *byte);
        bytes.push(role);
        bytes.extend_from_slice(&self.created_at.timestamp_micros().to_be_bytes());
        bytes.extend_from_slice(&u32::try_from(self.text.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(self.text.as_bytes());
        bytes.resize(length.next_power_of_two().max(LEAST_BYTES), 0);
        seal.seal(self.place(), &bytes)
    }

    /// The message in a row.
    ///
    /// # Errors
    /// When the bytes are not those that were sealed for this row.
    pub fn open(seal: &Seal, id: Uuid, position: i32, sealed: &[u8]) -> Result<Message, Unreadable> {
        let bytes = seal.open(Place::Message { id, position }, sealed)?;
        let (role, rest) = bytes.split_first().ok_or(Unreadable)?;
        let (micros, rest) = rest.split_first_chunk().ok_or(Unreadable)?;
        let (length, rest) = rest.split_first_chunk().ok_or(Unreadable)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Unreadable)?;
        let text = rest.get(..length).and_then(|text| str::from_utf8(text).ok()).ok_or(Unreadable)?;
        let role = ROLES.iter().find(|(_, byte)| byte == role).map(|(role, _)| *role).ok_or(Unreadable)?;
        Ok(Message { id, position, role, created_at: moment(*micros)?, text: text.to_owned() })
    }

    fn place(&self) -> Place {
        Place::Message { id: self.id, position: self.position }
    }
}

/// Now, to the microsecond.
#[must_use]
pub fn now() -> DateTime<Utc> {
    let now = Utc::now();
    now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now)
}

/// When a session was created, sealed for its row.
#[must_use]
pub fn seal_creation(seal: &Seal, created_at: DateTime<Utc>) -> Vec<u8> {
    seal.seal(Place::Session, &created_at.timestamp_micros().to_be_bytes())
}

/// When a session was created.
///
/// # Errors
/// When the bytes are not those that were sealed for this session's row.
pub fn open_creation(seal: &Seal, sealed: &[u8]) -> Result<DateTime<Utc>, Unreadable> {
    let bytes = seal.open(Place::Session, sealed)?;
    moment(bytes.as_slice().try_into().map_err(|_| Unreadable)?)
}

fn moment(micros: [u8; 8]) -> Result<DateTime<Utc>, Unreadable> {
    DateTime::from_timestamp_micros(i64::from_be_bytes(micros)).ok_or(Unreadable)
}
