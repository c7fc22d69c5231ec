"""Prints the test vectors of tests/suite/privacy/sealing.rs: a second implementation of src/sealing.rs on other libraries.

    pip install pynacl && python tests/sealing_vectors.py
"""

import hashlib
import hmac
import uuid

from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as encrypt

SALT = b"SafeSpace"
NONCE = bytes(range(24))
MICROS = (1771669845123456).to_bytes(8, "big")  # 2026-02-21T10:30:45.123456Z


def hkdf(secret, label, length):
    """HKDF-SHA256 (RFC 5869) for up to 32 bytes, which is one block."""
    extracted = hmac.new(SALT, secret, hashlib.sha256).digest()
    return hmac.new(extracted, label + b"\x01", hashlib.sha256).digest()[:length]


def uuid_version_8(value):
    """Sets the version and variant bits (RFC 9562, section 5.8)."""
    value = bytearray(value)
    value[6] = value[6] & 0x0F | 0x80
    value[8] = value[8] & 0x3F | 0x80
    return uuid.UUID(bytes=bytes(value))


def seal(plaintext, row):
    """Version, nonce, ciphertext. Version, lookup and row are the associated data."""
    return b"\x01" + NONCE + encrypt(plaintext, b"\x01" + lookup.bytes + row, NONCE, key)


session = uuid.UUID("550e8400-e29b-41d4-a716-446655440000").bytes
lookup = uuid_version_8(hkdf(session, b"lookup", 16))
key = hkdf(session, b"seal", 32)
question = uuid_version_8(hkdf(session, b"message id question key", 16))
answer = uuid_version_8(hkdf(session, b"message id answer key", 16))
text = "Aku takut 😢".encode()
message = b"\x00" + MICROS + len(text).to_bytes(4, "big") + text

print("lookup  ", lookup)
print("question", question)
print("answer  ", answer)
print("session ", seal(MICROS, b"\x00").hex())
print("message ", seal(message.ljust(256, b"\x00"), b"\x01" + question.bytes + (7).to_bytes(4, "big")).hex())
print("report  ", seal(b"words", b"\x02" + question.bytes + (7).to_bytes(4, "big")).hex())
print("last    ", seal(MICROS, b"\x03").hex())
