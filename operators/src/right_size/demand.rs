//! What a resource asked of its size in each step of the lookback, and whether another would have done.

use super::config::RightSizeConfig;
use super::size::{Capacity, Size};
use super::{Reason, Use};
use crate::utilisation::daily::days;
use crate::utilisation::{Channel, DAY, Rows, known, quantile, sorted};

/// Bytes of a channel's MB, in 10⁶.
const MB: f64 = 1.048_576;
/// Bits of a byte.
const BITS: f64 = 8.0;

/// What was asked, by [`Capacity::ALL`].
pub(super) struct Demand {
    /// In each step, in the capacity's unit: `NaN` where it is not known. Empty where too little is.
    steps: [Vec<f64>; 4],
    /// At the percentile.
    used: [Option<f64>; 4],
    /// Mean vCPUs of the day with the greatest; `NaN` where no day is known.
    day_cpu: f64,
}

impl Demand {
    /// What the lookback's rows asked of `size`, on which they were measured; none where too few are
    /// known.
    pub(super) fn of(rows: &Rows<'_>, size: &Size, config: &RightSizeConfig) -> Option<Self> {
        let rows = rows.last_days(config.lookback_days.into());
        let asked = i64::from(config.lookback_days) * DAY / rows.step();
        let enough = config.min_history * asked as f64;
        let steps = Capacity::ALL.map(|of| {
            let steps: Vec<f64> =
                (0..rows.len()).map(|row| asked_in(&rows, row, of, size)).collect();
            if (known(&steps).count() as f64) < enough { Vec::new() } else { steps }
        });
        if steps[Capacity::Cpu as usize].is_empty() {
            return None;
        }
        let used = |steps: &Vec<f64>| {
            (!steps.is_empty()).then(|| quantile(&sorted(steps), config.percentile))
        };
        let day_cpu = days(&rows).iter().map(|day| day.cpu_mean).fold(f64::NAN, f64::max);
        Some(Self {
            used: steps.each_ref().map(used),
            day_cpu: day_cpu / 100.0 * size.vcpus,
            steps,
        })
    }

    /// How much of a size would be used.
    pub(super) fn uses(&self, size: &Size, current: &Size) -> Vec<Use> {
        let of = |capacity: Capacity| {
            let used = self.used[capacity as usize]?;
            let share = limit(size, current, capacity).map(|limit| used / limit);
            Some(Use { capacity, used, share })
        };
        Capacity::ALL.into_iter().filter_map(of).collect()
    }

    /// The share of steps that would have asked for more than a size has, of those of which anything is
    /// known.
    pub(super) fn risk(&self, size: &Size, current: &Size) -> f64 {
        let limits = Capacity::ALL.map(|of| limit(size, current, of).unwrap_or(f64::INFINITY));
        let length = self.steps.iter().map(Vec::len).max().unwrap_or(0);
        let (mut breached, mut of) = (0_u32, 0_u32);
        for row in 0..length {
            let mut asked = self.steps.iter().zip(limits).filter_map(|(steps, limit)| {
                let value = *steps.get(row)?;
                (!value.is_nan()).then_some(value > limit)
            });
            let Some(first) = asked.next() else { continue };
            of += 1;
            breached += u32::from(first || asked.any(|over| over));
        }
        f64::from(breached) / f64::from(of.max(1))
    }

    /// Why a size would not have done; none where it would.
    pub(super) fn against(
        &self,
        size: &Size,
        current: &Size,
        config: &RightSizeConfig,
    ) -> Option<Reason> {
        if self.used[Capacity::Memory as usize].is_none() && size.memory_gib < current.memory_gib {
            return Some(Reason::MemoryUnknown);
        }
        let uses = self.uses(size, current);
        let shares = uses.iter().filter_map(|of| Some((of.capacity, of.share?)));
        let over = shares.filter(|(_, share)| *share > 1.0 - config.headroom);
        // The first of those with the greatest share.
        let over = over.reduce(|most, other| if other.1 > most.1 { other } else { most });
        if let Some((capacity, _)) = over {
            return Some(Reason::Over(capacity));
        }
        // What is not known does not last either.
        let lasts = |share: f64| self.day_cpu <= share * size.vcpus;
        if !size.baseline.is_none_or(lasts) {
            return Some(Reason::Baseline);
        }
        (self.risk(size, current) > config.max_risk).then_some(Reason::Risk)
    }
}

/// What a row asked of a capacity; `NaN` where it is not known.
fn asked_in(rows: &Rows<'_>, row: usize, of: Capacity, size: &Size) -> f64 {
    let value = |channel: Channel| {
        let value = rows.channel(channel).get(row).copied().unwrap_or(f64::NAN);
        if value.is_finite() { value } else { f64::NAN }
    };
    let seconds = rows.step() as f64;
    match of {
        // The peak where it is measured; never less than the mean.
        Capacity::Cpu => value(Channel::Cpu).max(value(Channel::CpuPeak)) / 100.0 * size.vcpus,
        Capacity::Memory => value(Channel::Memory) / 100.0 * size.memory_gib,
        // Bandwidth is sold each way.
        Capacity::Network => {
            value(Channel::NetIn).max(value(Channel::NetOut)) * MB * BITS / seconds
        }
        Capacity::Disk => value(Channel::Disk) * MB / seconds,
    }
}

/// How much of a capacity a size is taken to have; none where what it carries now proves that it has
/// enough.
fn limit(size: &Size, current: &Size, of: Capacity) -> Option<f64> {
    let grown = size.provider == current.provider
        && size.family == current.family
        && size.vcpus >= current.vcpus
        && size.memory_gib >= current.memory_gib;
    match size.capacity(of) {
        Some(has) => Some(has),
        None => (!grown).then(|| of.assumed()),
    }
}
