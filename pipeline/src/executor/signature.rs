//! Signatures of what is sent to webhooks, so that a receiver knows who sent it and when.
//!
//! The header `Cloudops-Signature: t=<unix seconds>,v1=<hex>` carries HMAC-SHA256 over the time, a full
//! stop and the body. The time is part of what is signed, so that nobody can send an old body as a new
//! one; the receiver decides how old is too old. A receiver that changes its secret accepts both for a
//! while; a header may carry several `v1`, of which one has to be right.

use cloudops_operators::key::hex;
use ring::hmac;

use super::secret::Secret;

/// The name of the header.
pub const HEADER: &str = "Cloudops-Signature";

/// The header's value for a body that is sent at a time.
#[must_use]
pub fn sign(secret: &Secret, unix_s: i64, body: &[u8]) -> String {
    format!("t={unix_s},v1={}", hex(mac(secret, unix_s, body).as_ref()))
}

/// Checks a header's value against a body, a time, and the seconds that the two clocks may be apart.
/// Signatures are compared in constant time.
///
/// # Errors
/// When the body is not what was signed, or not now.
pub fn verify(
    secret: &Secret,
    header: &str,
    body: &[u8],
    now_s: i64,
    tolerance_s: i64,
) -> Result<(), Rejection> {
    let mut signed_s = None;
    let mut tags = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", text)) => {
                let number = text.parse::<i64>().map_err(|_| Rejection::Malformed)?;
                if signed_s.replace(number).is_some() {
                    return Err(Rejection::Malformed);
                }
            }
            Some(("v1", text)) => tags.push(from_hex(text).ok_or(Rejection::Malformed)?),
            // Later versions of signatures may stand beside this one.
            Some(_) => {}
            None => return Err(Rejection::Malformed),
        }
    }
    let signed_s = signed_s.ok_or(Rejection::Malformed)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.bytes());
    let message = message(signed_s, body);
    if !tags.iter().any(|tag| hmac::verify(&key, &message, tag).is_ok()) {
        return Err(Rejection::Wrong);
    }
    if now_s.abs_diff(signed_s) > tolerance_s.unsigned_abs() {
        return Err(Rejection::Stale);
    }
    Ok(())
}

/// Why a signature was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The header cannot be read.
    #[error("the signature's header cannot be read")]
    Malformed,
    /// The signature is another body's, or made with another secret.
    #[error("the signature is not this body's")]
    Wrong,
    /// It was signed at another time.
    #[error("the signature is too old, or from the future")]
    Stale,
}

fn mac(secret: &Secret, unix_s: i64, body: &[u8]) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.bytes());
    hmac::sign(&key, &message(unix_s, body))
}

fn message(unix_s: i64, body: &[u8]) -> Vec<u8> {
    let mut message = format!("{unix_s}.").into_bytes();
    message.extend_from_slice(body);
    message
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, the cases whose result is whole.
    #[test]
    fn hmac_sha256_gives_the_known_answers() {
        let check = |key: Vec<u8>, data: &[u8], expected: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
            let tag = hmac::sign(&key, data);
            assert_eq!(tag.as_ref(), from_hex(expected).unwrap());
        };
        check(
            vec![0x0b; 20],
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        );
        check(
            b"Jefe".to_vec(),
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        );
        check(
            vec![0xaa; 20],
            &[0xdd; 50],
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        );
        check(
            (1..=25).collect(),
            &[0xcd; 50],
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        );
        check(
            vec![0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        );
        check(
            vec![0xaa; 131],
            b"This is a test using a larger than block-size key and a larger than block-size \
              data. The key needs to be hashed before being used by the HMAC algorithm.",
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        );
    }

    #[test]
    fn only_what_was_signed_then_is_accepted() {
        let (secret, other) = (Secret::new("0123456789abcdef"), Secret::new("fedcba9876543210"));
        let (now, body) = (1_800_000_000, b"{\"a\":1}");
        let header = sign(&secret, now, body);
        let check = |secret: &Secret, header: &str, body: &[u8], now: i64| {
            verify(secret, header, body, now, 300)
        };
        assert_eq!(check(&secret, &header, body, now), Ok(()));
        assert_eq!(check(&secret, &header, body, now + 300), Ok(()));
        assert_eq!(check(&secret, &header, body, now + 301), Err(Rejection::Stale));
        assert_eq!(check(&secret, &header, body, now - 301), Err(Rejection::Stale));
        assert_eq!(check(&secret, &header, b"{\"a\":2}", now), Err(Rejection::Wrong));
        assert_eq!(check(&other, &header, body, now), Err(Rejection::Wrong));
        let moved = header.replace("t=18", "t=19");
        assert_eq!(check(&secret, &moved, body, 1_900_000_000), Err(Rejection::Wrong));

        // While a secret is changed, a header may carry both, and what is to come is passed by.
        let (_, second) = header.split_once(',').unwrap();
        let both = format!("{}, {second},v2=zz", sign(&other, now, body));
        assert_eq!(check(&secret, &both, body, now), Ok(()));

        assert_eq!(check(&secret, &format!("t={now}"), body, now), Err(Rejection::Wrong));
        let wrong = ["", "t=now,v1=00", "v1=00", "t=1,t=1,v1=00", "t=1,v1=0", "t=1,v1=é", "t"];
        for header in wrong {
            assert_eq!(check(&secret, header, body, now), Err(Rejection::Malformed), "{header}");
        }
    }
}
