//! One message of a conversation: its plaintext layout, and the sealing of it for a row.

use std::ops::RangeInclusive;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::sealing::{AssociatedData, OpenError, SEALING_OVERHEAD_BYTES, SealingKey};

/// Plaintexts are padded to this many bytes or to the next power of two above, so that the length of a sealed message
/// reveals little of the length of its text.
const MIN_PADDED_BYTES: usize = 256;

/// Bytes of the shortest sealed message.
pub const MIN_SEALED_BYTES: usize = sealed_bytes(0);

/// The bit of the role's byte that marks a message as cut.
const CUT_BIT: u8 = 0x80;

/// Bytes before the text: role and [`CUT_BIT`] (1), time of creation in microseconds since 1970 (8), length of the text (4), big-endian.
const HEADER_BYTES: usize = 1 + 8 + 4;

/// Bytes of the sealed message with a text of this many bytes.
#[must_use]
pub const fn sealed_bytes(text_bytes: usize) -> usize {
    padded_bytes(text_bytes) + SEALING_OVERHEAD_BYTES
}

const fn padded_bytes(text_bytes: usize) -> usize {
    let padded = (HEADER_BYTES + text_bytes).next_power_of_two();
    if padded < MIN_PADDED_BYTES { MIN_PADDED_BYTES } else { padded }
}

/// Author of a message. The discriminants are part of the sealed format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The person who holds the session.
    User = 0,
    /// A language model.
    Model = 1,
    /// The script: replies that people wrote beforehand.
    Script = 2,
}

/// Times at which something was sealed, in microseconds since 1970: from 2020 to 2200.
const PLAUSIBLE_MICROS: RangeInclusive<i64> = 1_577_836_800_000_000..=7_258_118_400_000_000;

/// More bytes than any text of a message has.
const MAX_PLAUSIBLE_TEXT_BYTES: usize = 1 << 24;

/// One message of a conversation. It has no `Debug` and no `Display`, so that it cannot be printed by accident.
pub struct Message {
    /// A `UUIDv8` that reveals neither the session nor the client's `Idempotency-Key`.
    pub id: Uuid,
    /// Position in the conversation, counted from 1 without gaps.
    pub position: i32,
    /// The author.
    pub role: Role,
    /// Time of writing, to the microsecond.
    pub created_at: DateTime<Utc>,
    /// The text as it was sent or generated.
    pub text: String,
    /// Whether it is an answer whose end is missing, because something ended it early.
    pub is_cut: bool,
}

impl Message {
    /// Seals all but the id and the position, which are columns of the row and bound as associated data.
    #[must_use]
    pub fn seal(&self, key: &SealingKey) -> Vec<u8> {
        let padded_length = padded_bytes(self.text.len());
        let mut plaintext = Zeroizing::new(Vec::with_capacity(padded_length));
        plaintext.push(self.role as u8 | if self.is_cut { CUT_BIT } else { 0 });
        plaintext.extend_from_slice(&self.created_at.timestamp_micros().to_be_bytes());
        plaintext.extend_from_slice(&u32::try_from(self.text.len()).unwrap_or(u32::MAX).to_be_bytes());
        plaintext.extend_from_slice(self.text.as_bytes());
        plaintext.resize(padded_length, 0);
        key.seal(AssociatedData::Message { id: self.id, position: self.position }, &plaintext)
    }

    /// Opens the sealed bytes of the row with this id and position.
    ///
    /// # Errors
    /// [`OpenError`] when the bytes were not sealed for this row under this key.
    pub fn open(key: &SealingKey, id: Uuid, position: i32, sealed: &[u8]) -> Result<Message, OpenError> {
        let plaintext = key.open(AssociatedData::Message { id, position }, sealed)?;
        let (first, rest) = plaintext.split_first().ok_or(OpenError)?;
        let (role, is_cut) = (first & !CUT_BIT, first & CUT_BIT != 0);
        let (micros, rest) = rest.split_first_chunk().ok_or(OpenError)?;
        let (length, rest) = rest.split_first_chunk().ok_or(OpenError)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| OpenError)?;
        let text = rest.get(..length).and_then(|text| str::from_utf8(text).ok()).ok_or(OpenError)?;
        let roles = [Role::User, Role::Model, Role::Script];
        let role = roles.into_iter().find(|known| *known as u8 == role).ok_or(OpenError)?;
        Ok(Message { id, position, role, created_at: time_from_micros(*micros)?, text: text.to_owned(), is_cut })
    }
}

/// Whether these bytes are the beginning of the plaintext of a message. It is not certain: of random bytes, as another key gives
/// them, one in 2^50 is one.
#[must_use]
pub fn is_beginning_of_message(plaintext: &[u8]) -> bool {
    let Some((header, rest)) = plaintext.split_first_chunk::<HEADER_BYTES>() else { return false };
    let [role, micros @ .., a, b, c, d] = header;
    let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
    let is_role = role & !CUT_BIT <= Role::Script as u8;
    if !is_role || !is_plausible_time(micros) || length > MAX_PLAUSIBLE_TEXT_BYTES {
        return false;
    }
    let (text, padding) = rest.split_at(length.min(rest.len()));
    // The last character may be cut.
    let is_text = str::from_utf8(text).err().is_none_or(|error| error.error_len().is_none() && length > rest.len());
    is_text && padding.iter().all(|byte| *byte == 0)
}

/// Whether the plaintext begins with a time, as that of a session's row does: of random bytes one in 3,000.
#[must_use]
pub fn is_plausible_time(micros: &[u8]) -> bool {
    let micros = micros.first_chunk().map(|micros| i64::from_be_bytes(*micros));
    micros.is_some_and(|micros| PLAUSIBLE_MICROS.contains(&micros))
}

/// The current time, truncated to the microsecond.
#[must_use]
pub fn now() -> DateTime<Utc> {
    let now = Utc::now();
    now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now)
}

/// Seals the time at which a session was created, for the session's row.
#[must_use]
pub fn seal_creation_time(key: &SealingKey, created_at: DateTime<Utc>) -> Vec<u8> {
    seal_time(key, AssociatedData::Session, created_at)
}

/// Opens the time at which a session was created.
///
/// # Errors
/// [`OpenError`] when the bytes were not sealed for this session's row.
pub fn open_creation_time(key: &SealingKey, sealed: &[u8]) -> Result<DateTime<Utc>, OpenError> {
    open_time(key, AssociatedData::Session, sealed)
}

/// Seals the time at which a report of a session was last made or changed, for the session's row.
#[must_use]
pub fn seal_last_report(key: &SealingKey, at: DateTime<Utc>) -> Vec<u8> {
    seal_time(key, AssociatedData::LastReport, at)
}

/// Opens the time at which a report of a session was last made or changed.
///
/// # Errors
/// [`OpenError`] when the bytes were not sealed for this session's row.
pub fn open_last_report(key: &SealingKey, sealed: &[u8]) -> Result<DateTime<Utc>, OpenError> {
    open_time(key, AssociatedData::LastReport, sealed)
}

fn seal_time(key: &SealingKey, data: AssociatedData, time: DateTime<Utc>) -> Vec<u8> {
    key.seal(data, &time.timestamp_micros().to_be_bytes())
}

fn open_time(key: &SealingKey, data: AssociatedData, sealed: &[u8]) -> Result<DateTime<Utc>, OpenError> {
    let plaintext = key.open(data, sealed)?;
    time_from_micros(plaintext.as_slice().try_into().map_err(|_| OpenError)?)
}

fn time_from_micros(micros: [u8; 8]) -> Result<DateTime<Utc>, OpenError> {
    DateTime::from_timestamp_micros(i64::from_be_bytes(micros)).ok_or(OpenError)
}
