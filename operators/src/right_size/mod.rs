//! Right-sizing: the smallest size that keeps what a resource uses under a stated headroom.
//!
//! Input: [`Rows`] of one resource up to the moment at which it is judged, what the bill says it is
//! ([`Sold`]), and the prices that the bill has shown ([`Prices`], fed by [`priced`]). Output:
//! [`Outcome`], either a size with its saving and its risk, or why there is none. All of it follows from
//! its arguments.
//!
//! **Method.** It is the one of Amazon's Compute Optimizer
//! (<https://docs.aws.amazon.com/compute-optimizer/latest/ug/rightsizing-preferences.html>): a lookback
//! (14 days), a percentile of utilisation over it, a headroom above it; the cheapest size that has both.
//!
//! 1. What each step of the lookback asked for is taken from what was measured on the size at hand: CPU
//!    and memory are shares of it, so that half of 4 vCPUs is all of 2; traffic is absolute. CPU is the
//!    step's peak where peaks are measured, else its mean; traffic of the network is the greater of both
//!    directions, as bandwidth is sold each way.
//! 2. A size would have done if its use at [`RightSizeConfig::percentile`] leaves
//!    [`RightSizeConfig::headroom`] free of every capacity that is measured, and if no more than
//!    [`RightSizeConfig::max_risk`] of the steps asked for more than all of it. That share is the
//!    proposal's risk.
//! 3. A burstable size would have done only if the mean CPU of no day is above its baseline: credits are
//!    kept for a day, so what is above it for longer is throttled or billed.
//! 4. Of the sizes that would have done the cheapest is proposed: of one price that with fewer vCPUs, then
//!    with less memory. Where the size at hand would not have done, that can be a dearer one.
//!
//! **Deviations** from what the providers' own advisers do, and what to keep in mind:
//!
//! - A share of steps over capacity is stated as risk, in place of a grade.
//! - What a resource asked beyond all of its size does not show: on a size that is at its limit, demand is
//!   what was served, and a larger one proposed is a lower bound.
//! - Where memory is not measured, none is taken away. Network and disk that are not measured are not
//!   judged.
//! - A size whose network or disk baseline is not published is taken to have the least that any published
//!   size has; but it has enough where it is of the same family and no smaller than the size that carries
//!   the traffic now.
//! - vCPUs count alike, whatever their clock: that is so within a family, which is the default, and
//!   roughly so beyond it.
//! - Operating systems, local disks, GPUs, and limits of how many volumes or interfaces can be attached
//!   are not weighed beyond what a family has in common.
//! - A month is 730 hours of which the resource runs all; a commitment that covers it
//!   ([`Observation::committed`]) is the caller's to weigh.

use crate::Result;
use crate::utilisation::Rows;

mod bill;
mod config;
mod demand;
mod price;
mod size;
#[cfg(test)]
mod tests;

pub use bill::{Observation, priced};
pub use config::{Families, OwnSize, RightSizeConfig};
pub use price::{Basis, Price, Prices, Seen, Sold};
pub use size::{Capacity, Catalogue, Given, Size, provider};

use demand::Demand;

/// Hours of a month, as providers reckon: 8,760 a year.
pub const HOURS_A_MONTH: i128 = 730;

/// How much of one capacity is used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Use {
    /// Of what.
    pub capacity: Capacity,
    /// How much at the percentile, in the capacity's unit.
    pub used: f64,
    /// Which share of the size that is; none where the size is taken to have enough, as its baseline is
    /// not published.
    pub share: Option<f64>,
}

/// A size, and how it would have done in the lookback.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The size.
    pub size: Size,
    /// Its price.
    pub price: Price,
    /// What it would save in a month, in units of 10⁻¹² of the currency; below 0 where it costs more.
    pub saving_month: i128,
    /// The share of the lookback's steps that would have asked for more than it has.
    pub risk: f64,
    /// How much of it would have been used, by capacity that is measured.
    pub uses: Vec<Use>,
}

/// A size to change to.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The size.
    pub to: Trial,
    /// The size at hand, likewise.
    pub from: Trial,
    /// Why the size at hand does not do; none where it does, and the proposal is to save.
    pub undersized: Option<Reason>,
}

/// Why no size is proposed.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// The reason.
    pub reason: Reason,
    /// The size that it speaks of: the next cheaper one, or of a saving too small the one that would do.
    pub trial: Option<Trial>,
}

/// What becomes of a resource's size.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Another is proposed.
    Proposed(Box<Proposal>),
    /// None is.
    Kept(Box<Kept>),
}

impl Outcome {
    /// Why no size is proposed; none where one is.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Proposed(_) => None,
            Self::Kept(kept) => Some(kept.reason),
        }
    }

    /// The proposal, where there is one.
    #[must_use]
    pub fn proposal(&self) -> Option<&Proposal> {
        match self {
            Self::Proposed(proposal) => Some(proposal),
            Self::Kept(_) => None,
        }
    }
}

/// Why a size is not proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Too little of the lookback is known.
    ShortHistory,
    /// The size at hand is neither published nor configured.
    SizeUnknown,
    /// The bill shows no price of it.
    NoPrice,
    /// No size that is considered costs less.
    AlreadySmallest,
    /// The next cheaper size would not leave the headroom of a capacity; of several the one of which the
    /// greatest share would be used.
    Over(Capacity),
    /// The next cheaper size has less memory, and how much is used is not measured.
    MemoryUnknown,
    /// The next cheaper size is burstable, and on some day more is used than it has for long.
    Baseline,
    /// The next cheaper size would have been asked too often for more than it has.
    Risk,
    /// The size that would do saves too little.
    SavingSmall,
    /// The size at hand does not do, and none that is considered does.
    NothingFits,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::ShortHistory,
        Self::SizeUnknown,
        Self::NoPrice,
        Self::AlreadySmallest,
        Self::Over(Capacity::Cpu),
        Self::Over(Capacity::Memory),
        Self::Over(Capacity::Network),
        Self::Over(Capacity::Disk),
        Self::MemoryUnknown,
        Self::Baseline,
        Self::Risk,
        Self::SavingSmall,
        Self::NothingFits,
    ];

    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ShortHistory => "short-history",
            Self::SizeUnknown => "size-unknown",
            Self::NoPrice => "no-price",
            Self::AlreadySmallest => "already-smallest",
            Self::Over(capacity) => capacity.name(),
            Self::MemoryUnknown => "memory-unknown",
            Self::Baseline => "baseline",
            Self::Risk => "risk",
            Self::SavingSmall => "saving-small",
            Self::NothingFits => "nothing-fits",
        }
    }
}

/// Right-sizing by a configuration that was checked.
#[derive(Debug, Clone)]
pub struct RightSize {
    config: RightSizeConfig,
    catalogue: Catalogue,
}

impl RightSize {
    /// Right-sizing among the published sizes and the configuration's own.
    ///
    /// # Errors
    /// [`crate::Error::Configuration`] naming the field and what it may be.
    pub fn new(config: RightSizeConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { catalogue: Catalogue::new(&config.sizes)?, config })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &RightSizeConfig {
        &self.config
    }

    /// The sizes that are known.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// What becomes of the size of a resource which is sold as `sold` and was used as `rows` tell.
    ///
    /// The lookback ends with the rows. Cost: a pass over the lookback, and one for each size tried.
    #[must_use]
    pub fn propose(&self, rows: &Rows<'_>, sold: &Sold, prices: &Prices) -> Outcome {
        let Some(current) = self.catalogue.find(&sold.provider, &sold.size) else {
            return kept(Reason::SizeUnknown, None);
        };
        let Some(demand) = Demand::of(rows, current, &self.config) else {
            return kept(Reason::ShortHistory, None);
        };
        let Some(now) = prices.hour(current, sold, &self.catalogue) else {
            return kept(Reason::NoPrice, None);
        };
        let trial = |(size, price): (&Size, Price)| Trial {
            size: size.clone(),
            price,
            saving_month: (now.hour - price.hour).saturating_mul(HOURS_A_MONTH),
            risk: demand.risk(size, current),
            uses: demand.uses(size, current),
        };
        let against = |size: &Size| demand.against(size, current, &self.config);
        let candidates = self.candidates(current, sold, prices);
        let best = candidates.iter().find(|(size, _)| against(size).is_none()).copied();
        let undersized = against(current);
        let proposed = |to| {
            let from = trial((current, now));
            Outcome::Proposed(Box::new(Proposal { to: trial(to), from, undersized }))
        };
        if undersized.is_some() {
            return best.map_or_else(|| kept(Reason::NothingFits, None), proposed);
        }
        let mut cheaper = candidates.iter().filter(|(_, price)| price.hour < now.hour).copied();
        match best.filter(|(_, price)| price.hour < now.hour) {
            Some(to) => {
                let saves = trial(to).saving_month;
                if saves < self.config.saving_min() {
                    return kept(Reason::SavingSmall, Some(trial(to)));
                }
                proposed(to)
            }
            None => match cheaper.next_back() {
                None => kept(Reason::AlreadySmallest, None),
                Some(next) => {
                    let reason = against(next.0).unwrap_or(Reason::AlreadySmallest);
                    kept(reason, Some(trial(next)))
                }
            },
        }
    }

    /// The sizes that are considered and have a price, cheapest first, without the one at hand.
    fn candidates<'a>(
        &'a self,
        current: &Size,
        sold: &Sold,
        prices: &Prices,
    ) -> Vec<(&'a Size, Price)> {
        let considered = |size: &&Size| {
            size.name != current.name
                && match self.config.families {
                    Families::Family => size.family == current.family,
                    Families::Architecture => size.architecture == current.architecture,
                }
        };
        let sizes = self.catalogue.of(&sold.provider).filter(considered);
        let with_price = |size| Some((size, prices.hour(size, sold, &self.catalogue)?));
        let mut sizes: Vec<(&Size, Price)> = sizes.filter_map(with_price).collect();
        sizes.sort_by(|(one, price), (other, others)| {
            (price.hour.cmp(&others.hour))
                .then(one.vcpus.total_cmp(&other.vcpus))
                .then(one.memory_gib.total_cmp(&other.memory_gib))
                .then(one.name.cmp(&other.name))
        });
        sizes
    }
}

fn kept(reason: Reason, trial: Option<Trial>) -> Outcome {
    Outcome::Kept(Box::new(Kept { reason, trial }))
}
