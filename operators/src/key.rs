//! Entity identity and its place: a pinned hash, 256 virtual shards.
//!
//! A worker owns the shards congruent to its index. State is kept and
//! snapshotted by shard, so that a restart with another number of workers only
//! reassigns shards. The hash is therefore part of the on-disk format: it is
//! defined here, has golden values in the tests, and never changes.

/// Between the parts of a key's name in snapshots: no name holds it.
pub(crate) const SEPARATOR: char = '\u{1f}';

/// Number of virtual shards that keys hash to.
pub const SHARDS: usize = 256;

/// A virtual shard, `0..SHARDS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub u8);

impl Shard {
    /// The shard of an entity.
    #[must_use]
    pub fn of(entity: &str) -> Self {
        Self::of_hash(hash(entity.as_bytes()))
    }

    /// The shard of a key already hashed by [`hash`].
    #[must_use]
    pub fn of_hash(hash: u64) -> Self {
        // The top byte: the low bits pick hash-table buckets within a shard.
        Self((hash >> 56) as u8)
    }

    /// The worker that owns this shard among `workers`.
    #[must_use]
    pub fn worker(self, workers: usize) -> usize {
        usize::from(self.0) % workers
    }
}

const K0: u64 = 0x9E37_79B9_7F4A_7C15;
const K1: u64 = 0xD6E8_FEB8_6659_FD93;
const K2: u64 = 0xA076_1D64_78BD_642F;

/// The pinned 64-bit hash of a key's bytes.
///
/// Eight bytes at a time are folded in with a 64×64→128-bit multiplication
/// whose halves are xored (the construction of wyhash and foldhash), then the
/// length, so that keys differing only in trailing zero bytes differ.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    let mut state = K0;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("chunks_exact yields 8 bytes"));
        state = fold(state ^ word, K1);
    }
    let mut last = [0u8; 8];
    let rest = chunks.remainder();
    last[..rest.len()].copy_from_slice(rest);
    state = fold(state ^ u64::from_le_bytes(last), K1);
    fold(state ^ bytes.len() as u64, K0)
}

/// Bytes as text: two digits each, lower case.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The pinned 128-bit digest of several texts, told apart from those of other texts by where each
/// ends.
///
/// Two hashes of the same construction with constants of their own: one alone would meet a collision
/// among some 10⁹ keys.
#[must_use]
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 16] {
    let mut state = [K0, K1];
    let mut take = |word: u64| {
        state = [fold(state[0] ^ word, K1), fold(state[1] ^ word, K2)];
    };
    for part in parts {
        let mut chunks = part.chunks_exact(8);
        for chunk in &mut chunks {
            take(u64::from_le_bytes(chunk.try_into().expect("chunks_exact yields 8 bytes")));
        }
        let mut last = [0u8; 8];
        let rest = chunks.remainder();
        last[..rest.len()].copy_from_slice(rest);
        take(u64::from_le_bytes(last));
        take(part.len() as u64 ^ K0);
    }
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&state[0].to_le_bytes());
    bytes[8..].copy_from_slice(&state[1].to_le_bytes());
    bytes
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_pinned() {
        // Golden values by tests/golden/key.py: a change here is a change of the state format.
        for (key, want) in [
            ("", 0xd79b_0957_4bb4_eca3_u64),
            ("a", 0x3989_04df_45dc_7ecf),
            ("exactly8", 0x336c_c5f9_c592_a81c),
            ("machine-0001", 0x972e_62d8_5a7f_fb49),
            ("arn:aws:iam::123456789012:user/pedro", 0x946b_e933_a53f_54a7),
        ] {
            assert_eq!(hash(key.as_bytes()), want, "{key:?}");
            assert_eq!(Shard::of(key), Shard((want >> 56) as u8), "{key:?}");
        }
    }

    #[test]
    fn shards_are_even() {
        let mut counts = [0u32; SHARDS];
        for i in 0..25_600 {
            counts[usize::from(Shard::of(&format!("machine-{i:04}")).0)] += 1;
        }
        // 100 expected a shard; five standard deviations are 50.
        assert!(counts.iter().all(|&c| (50..=150).contains(&c)), "{counts:?}");
    }

    #[test]
    fn trailing_zero_bytes_matter() {
        assert_ne!(hash(b"a"), hash(b"a\0"));
        assert_ne!(hash(b""), hash(b"\0\0\0\0\0\0\0\0"));
    }
}
