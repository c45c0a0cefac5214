//! What an hour of a size costs, by the bill.
//!
//! A bill shows the prices of what was used alone. A size that nobody used has the price of another of
//! its family in proportion ([`Basis::Family`]): within a family providers sell by the size unit, such
//! as Amazon's normalisation factor, and a unit has so much memory
//! (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/apply_ri.html>). Google bills vCPUs and memory
//! apart, and a machine is what they come to ([`Basis::Parts`]).
//!
//! Which price holds does not depend on the order in which rows come: that of the latest day, as it was
//! known last.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::size::{Catalogue, Size};
use crate::epoch::Partition;

/// What an hour of is sold: prices compare only within the same provider, region, terms and currency.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sold {
    /// Who sells it, as [`super::provider`] writes it.
    pub provider: String,
    /// FOCUS `RegionId`; empty where the bill names none.
    pub region: String,
    /// What else a price depends on: system, licences, tenancy. Empty for plain Linux.
    pub terms: String,
    /// FOCUS `BillingCurrency`.
    pub currency: String,
    /// The size's name, in lower case.
    pub size: String,
}

/// A price that a row of the bill showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seen {
    /// The day of the charge, since 1970-01-01.
    pub day: i32,
    /// The day on which the row became known.
    pub known_on: i32,
    /// Of an hour, in units of 10⁻¹².
    pub hour: i128,
    /// Whence the row came.
    pub partition: Partition,
    /// Which row it is.
    pub offset: u64,
}

/// What a price rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// The bill shows it.
    Bill,
    /// The configuration names it.
    Given,
    /// The bill shows its vCPUs' and its memory's.
    Parts,
    /// The bill shows that of another size of its family, and it is in proportion.
    Family,
}

impl Basis {
    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bill => "bill",
            Self::Given => "given",
            Self::Parts => "parts",
            Self::Family => "family",
        }
    }
}

/// A price of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// In units of 10⁻¹² of the currency.
    pub hour: i128,
    /// What it rests on.
    pub basis: Basis,
    /// The row that showed it, of parts that of the vCPU; none of a price that is given.
    pub seen: Option<Seen>,
}

/// Prices that bills have shown so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices(BTreeMap<Sold, Seen>);

impl Prices {
    /// Takes note of a price. Of two for the same the later day's holds, then the one known later; of
    /// one day the higher, so that order does not matter.
    pub fn see(&mut self, sold: Sold, seen: Seen) {
        self.0.entry(sold).and_modify(|held| *held = seen.max(*held)).or_insert(seen);
    }

    /// All prices, in order of what is sold; [`Self::see`] takes them up again.
    pub fn iter(&self) -> impl Iterator<Item = (&Sold, &Seen)> {
        self.0.iter()
    }

    /// What an hour of a size costs where and on the terms that `sold` names; none where nothing tells.
    #[must_use]
    pub fn hour(&self, size: &Size, sold: &Sold, catalogue: &Catalogue) -> Option<Price> {
        let named = |name: String| {
            let sold = Sold { size: name, ..sold.clone() };
            self.0.get(&sold).copied()
        };
        let seen = |seen: Seen| Price { hour: seen.hour, basis: Basis::Bill, seen: Some(seen) };
        named(size.name.to_ascii_lowercase())
            .map(seen)
            .or_else(|| {
                let given = size.given.as_ref().filter(|given| given.currency == sold.currency)?;
                Some(Price { hour: given.hour, basis: Basis::Given, seen: None })
            })
            .or_else(|| {
                let series = size.name.to_ascii_lowercase();
                let series = series.split('-').next().unwrap_or_default().to_owned();
                parts(size, named(format!("{series} {CORE}"))?, named(format!("{series} {RAM}"))?)
            })
            .or_else(|| self.family(size, sold, catalogue))
    }

    /// The price in proportion to that of the size of the family whose memory is nearest, the smaller
    /// of two.
    fn family(&self, size: &Size, sold: &Sold, catalogue: &Catalogue) -> Option<Price> {
        let first = Sold { size: String::new(), ..sold.clone() };
        let alike = self.0.range(first..).take_while(|(other, _)| {
            (&other.provider, &other.region, &other.terms, &other.currency)
                == (&sold.provider, &sold.region, &sold.terms, &sold.currency)
        });
        let known = alike.filter_map(|(other, seen)| {
            let other = catalogue.find(&other.provider, &other.size)?;
            size.scales_with(other).then(|| (other.memory(), seen))
        });
        let wanted = size.memory();
        let (memory, seen) = known.min_by_key(|(memory, _)| ((memory - wanted).abs(), *memory))?;
        let hour = in_proportion(seen.hour, wanted, memory)?;
        Some(Price { hour, basis: Basis::Family, seen: Some(*seen) })
    }
}

/// What the price of a vCPU is kept under, behind its series.
pub(super) const CORE: &str = "core";
/// What the price of a GiB is kept under, behind its series.
pub(super) const RAM: &str = "ram";

/// What vCPUs and memory come to. A machine that shares cores pays for its share of them.
fn parts(size: &Size, core: Seen, ram: Seen) -> Option<Price> {
    let cores = (size.vcpus * size.baseline.unwrap_or(1.0) * 1e6).round() as i128;
    let hour = in_proportion(core.hour, cores, 1_000_000)?.checked_add(in_proportion(
        ram.hour,
        size.memory(),
        1_000_000,
    )?)?;
    Some(Price { hour, basis: Basis::Parts, seen: Some(core) })
}

/// `amount × of / to`, rounded half to even; none where it does not fit, or `to` is not above 0.
pub(super) fn in_proportion(amount: i128, of: i128, to: i128) -> Option<i128> {
    let product = amount.checked_mul(of).filter(|_| to > 0)?;
    let (whole, rest) = (product.div_euclid(to), product.rem_euclid(to));
    let up = rest > to - rest || (rest == to - rest && whole % 2 != 0);
    Some(whole + i128::from(up))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10⁻⁶ of the currency.
    const MICRO: i128 = 1_000_000;

    fn sold(provider: &str, size: &str) -> Sold {
        Sold {
            provider: provider.to_owned(),
            region: "here".to_owned(),
            terms: String::new(),
            currency: "USD".to_owned(),
            size: size.to_owned(),
        }
    }

    fn seen(day: i32, micros: i128) -> Seen {
        Seen { day, known_on: day, hour: micros * MICRO, partition: Partition(0), offset: 7 }
    }

    #[track_caller]
    fn check(prices: &[(&str, &str, i128)], size: (&str, &str), expected: Option<(i128, Basis)>) {
        let catalogue = Catalogue::new(&[]).unwrap();
        let mut known = Prices::default();
        for (provider, size, micros) in prices {
            known.see(sold(provider, size), seen(1, *micros));
        }
        let of = catalogue.find(size.0, size.1).unwrap();
        let found = known.hour(of, &sold(size.0, ""), &catalogue);
        assert_eq!(
            found.map(|price| (price.hour, price.basis)),
            expected.map(|(m, b)| (m * MICRO, b))
        );
    }

    #[test]
    fn a_size_nobody_used_is_in_proportion_to_its_family() {
        let m5 = [("aws", "m5.xlarge", 192_000)];
        check(&m5, ("aws", "m5.xlarge"), Some((192_000, Basis::Bill)));
        check(&m5, ("aws", "m5.large"), Some((96_000, Basis::Family)));
        check(&m5, ("aws", "m6i.large"), None);
        // Amazon's published prices of t3 in Virginia, as of sizes with as many vCPUs as others.
        let t3 = [("aws", "t3.medium", 41_600)];
        check(&t3, ("aws", "t3.nano"), Some((5_200, Basis::Family)));
        check(&t3, ("aws", "t3.2xlarge"), Some((332_800, Basis::Family)));
        // The nearest counts, and of two as near the smaller.
        let both = [("aws", "m5.large", 100_000), ("aws", "m5.4xlarge", 900_000)];
        check(&both, ("aws", "m5.2xlarge"), Some((400_000, Basis::Family)));
        check(&both, ("aws", "m5.8xlarge"), Some((1_800_000, Basis::Family)));
    }

    #[test]
    fn a_machine_of_google_is_its_parts() {
        let n2 = [("gcp", "n2 core", 31_611), ("gcp", "n2 ram", 4_237)];
        check(&n2, ("gcp", "n2-standard-2"), Some((2 * 31_611 + 8 * 4_237, Basis::Parts)));
        check(&n2[..1], ("gcp", "n2-standard-2"), None);
        let e2 = [("gcp", "e2 core", 20_000), ("gcp", "e2 ram", 3_000)];
        check(&e2, ("gcp", "e2-micro"), Some((5_000 + 3_000, Basis::Parts)));
    }

    #[test]
    fn the_latest_price_holds_in_whatever_order() {
        let all = [seen(3, 5), seen(1, 9), seen(3, 4), Seen { known_on: 8, ..seen(3, 2) }];
        for turn in 0..all.len() {
            let mut prices = Prices::default();
            for at in 0..all.len() {
                prices.see(sold("aws", "m5.large"), all[(at + turn) % all.len()]);
            }
            assert_eq!(prices.iter().map(|(_, seen)| seen.hour).collect::<Vec<_>>(), [2 * MICRO]);
        }
    }

    #[test]
    fn proportions_round_half_to_even() {
        assert_eq!(in_proportion(5, 1, 2), Some(2));
        assert_eq!(in_proportion(7, 1, 2), Some(4));
        assert_eq!(in_proportion(7, 2, 3), Some(5));
        assert_eq!(in_proportion(-5, 1, 2), Some(-2));
        assert_eq!(in_proportion(i128::MAX, 2, 1), None);
        assert_eq!(in_proportion(1, 1, 0), None);
    }
}
