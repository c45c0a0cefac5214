//! Train and held-out parts, by time or by entity. Rows are never shuffled: neighbours in time are
//! nearly copies of each other, and a shuffled split would test on what it learned.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::{Error, Result};

/// Rows of a series in time order, cut into consecutive parts.
///
/// `shares` say how large each part is and must sum to at most 1; what is left over is in no part.
/// `gap` rows are left out between two parts, so that no window reaches over a cut.
///
/// # Errors
/// [`Error::Configuration`] when a share is not in 0 to 1, or they sum to more than 1.
pub fn by_time(rows: usize, shares: &[f64], gap: usize) -> Result<Vec<Range<usize>>> {
    check_shares(shares)?;
    let mut sum = 0.0;
    let mut start = 0;
    let mut parts = Vec::with_capacity(shares.len());
    for share in shares {
        sum += share;
        let end = ((rows as f64 * sum).round() as usize).clamp(start, rows);
        parts.push(start..end);
        start = (end + gap).min(rows);
    }
    Ok(parts)
}

/// Entities, cut into parts; an entity is in one part only.
///
/// Who goes where follows from the entity's name alone, so that another entity's coming or going
/// moves nobody. Each part gets about its share.
///
/// # Errors
/// [`Error::Configuration`] when a share is not in 0 to 1, or they sum to more than 1.
pub fn by_entity<'a>(
    entities: impl IntoIterator<Item = &'a str>,
    shares: &[f64],
) -> Result<Vec<BTreeSet<&'a str>>> {
    check_shares(shares)?;
    let mut parts = vec![BTreeSet::new(); shares.len()];
    for entity in entities {
        let place = (fnv1a(entity) >> 11) as f64 / (1_u64 << 53) as f64;
        let mut sum = 0.0;
        let part = shares.iter().position(|share| {
            sum += share;
            place < sum
        });
        if let Some(part) = part {
            parts[part].insert(entity);
        }
    }
    Ok(parts)
}

fn check_shares(shares: &[f64]) -> Result<()> {
    let inside = shares.iter().all(|share| (0.0..=1.0).contains(share));
    if inside && shares.iter().sum::<f64>() <= 1.0 + 1e-9 {
        return Ok(());
    }
    Err(Error::Configuration(format!("shares {shares:?} must lie in 0 to 1 and sum to at most 1")))
}

/// FNV-1a (Fowler, Noll and Vo), its bits mixed once more as MurmurHash3 finishes.
fn fnv1a(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other() {
        assert_eq!(by_time(100, &[0.6, 0.2, 0.2], 5).unwrap(), [0..60, 65..80, 85..100]);
        assert_eq!(by_time(3, &[0.5, 0.5], 10).unwrap(), [0..2, 3..3]);
        assert_eq!(by_time(0, &[1.0], 0).unwrap(), vec![Range { start: 0, end: 0 }]);
        assert!(by_time(10, &[0.6, 0.6], 0).is_err());
        assert!(by_time(10, &[f64::NAN], 0).is_err());
    }

    #[test]
    fn an_entity_stays_where_it_is() {
        let names: Vec<String> = (0..1000).map(|i| format!("engine-{i}")).collect();
        let parts = by_entity(names.iter().map(String::as_str), &[0.7, 0.3]).unwrap();
        assert_eq!(parts[0].len() + parts[1].len(), 1000);
        assert!((650..750).contains(&parts[0].len()), "{}", parts[0].len());
        let fewer = by_entity(names[..10].iter().map(String::as_str), &[0.7, 0.3]).unwrap();
        assert!(fewer[0].is_subset(&parts[0]) && fewer[1].is_subset(&parts[1]));
    }
}
