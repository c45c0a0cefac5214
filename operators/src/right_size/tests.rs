use proptest::prelude::*;

use super::*;
use crate::epoch::Partition;
use crate::utilisation::Rows;

const HOUR: i64 = 3_600;
const HOURS: usize = 14 * 24;
/// A thousandth of the currency.
const MILLI: i128 = 1_000_000_000;

/// What is measured of a resource; a channel that is empty is not.
#[derive(Debug, Clone, Default)]
struct Measured {
    cpu: Vec<f64>,
    peak: Vec<f64>,
    memory: Vec<f64>,
    disk: Vec<f64>,
    net_in: Vec<f64>,
    net_out: Vec<f64>,
}

impl Measured {
    /// CPU and memory that never change.
    fn steady(cpu: f64, memory: f64) -> Self {
        Self { cpu: vec![cpu; HOURS], memory: vec![memory; HOURS], ..Self::default() }
    }

    fn rows(&self) -> Rows<'_> {
        let Self { cpu, peak, memory, disk, net_in, net_out } = self;
        Rows::new(0, HOUR, [cpu, peak, memory, disk, net_in, net_out, &[]]).unwrap()
    }
}

fn sold(size: &str) -> Sold {
    let provider = if size.starts_with("standard_") { "azure" } else { "aws" };
    Sold {
        provider: provider.to_owned(),
        region: "eu-1".to_owned(),
        terms: String::new(),
        currency: "EUR".to_owned(),
        size: size.to_owned(),
    }
}

fn prices(known: &[(&str, i128)]) -> Prices {
    let mut prices = Prices::default();
    for (size, milli) in known {
        let hour = milli * MILLI;
        let seen = Seen { day: 0, known_on: 0, hour, partition: Partition(0), offset: 3 };
        prices.see(sold(size), seen);
    }
    prices
}

/// What becomes of a size whose price is 400 thousandths an hour.
fn outcome(measured: &Measured, size: &str, config: &RightSizeConfig) -> Outcome {
    let right_size = RightSize::new(config.clone()).unwrap();
    right_size.propose(&measured.rows(), &sold(size), &prices(&[(size, 400)]))
}

/// The size proposed, or the reason why none is; of both the size that is spoken of.
#[track_caller]
fn check(measured: &Measured, size: &str, config: &RightSizeConfig, expected: (&str, &str)) {
    let found = match outcome(measured, size, config) {
        Outcome::Proposed(proposal) => ("proposed", proposal.to.size.name),
        Outcome::Kept(kept) => {
            (kept.reason.name(), kept.trial.map(|trial| trial.size.name).unwrap_or_default())
        }
    };
    assert_eq!((found.0, found.1.as_str()), expected);
}

fn default() -> RightSizeConfig {
    RightSizeConfig::default()
}

#[test]
fn the_smallest_size_that_leaves_the_headroom_is_proposed() {
    check(&Measured::steady(20.0, 20.0), "m5.2xlarge", &default(), ("proposed", "m5.large"));
    check(&Measured::steady(20.1, 10.0), "m5.2xlarge", &default(), ("proposed", "m5.xlarge"));
    check(
        &Measured::steady(20.1, 10.0),
        "standard_d8s_v5",
        &default(),
        ("proposed", "Standard_D4s_v5"),
    );
    let tight = RightSizeConfig { headroom: 0.0, ..default() };
    check(&Measured::steady(25.0, 10.0), "m5.2xlarge", &tight, ("proposed", "m5.large"));
    // Every other hour is busy: the middle of them leaves more than the 95th hundredth.
    let mut busy = Measured::steady(10.0, 10.0);
    busy.cpu.iter_mut().step_by(3).for_each(|cpu| *cpu = 50.0);
    check(&busy, "m5.2xlarge", &default(), ("cpu", "m5.xlarge"));
    let middle = RightSizeConfig { percentile: 0.5, max_risk: 1.0, ..default() };
    check(&busy, "m5.2xlarge", &middle, ("proposed", "m5.large"));
}

#[test]
fn every_reason_is_told_of_the_size_it_speaks_of() {
    let idle = Measured::steady(1.0, 1.0);
    check(&idle, "m5.large", &default(), ("already-smallest", ""));
    check(&idle, "x9.large", &default(), ("size-unknown", ""));
    check(&Measured::steady(45.0, 1.0), "m5.xlarge", &default(), ("cpu", "m5.large"));
    check(&Measured::steady(1.0, 45.0), "m5.xlarge", &default(), ("memory", "m5.large"));
    // Of several the one of which the greatest share would be used.
    check(&Measured::steady(45.0, 46.0), "m5.xlarge", &default(), ("memory", "m5.large"));

    // m5.large has 750 Mbit/s: 300,000 MB an hour are 699, each way for itself.
    let net = |side: f64| vec![side; HOURS];
    let busy = Measured { net_out: net(300_000.0), net_in: net(1.0), ..idle.clone() };
    check(&busy, "m5.xlarge", &default(), ("network", "m5.large"));
    let busy = Measured { net_out: net(150_000.0), net_in: net(150_000.0), ..idle.clone() };
    check(&busy, "m5.xlarge", &default(), ("proposed", "m5.large"));
    // And 81.25 MB/s: 240,000 MB an hour are 69.9.
    let busy = Measured { disk: net(240_000.0), ..idle.clone() };
    check(&busy, "m5.xlarge", &default(), ("disk", "m5.large"));

    let blind = Measured { memory: Vec::new(), ..idle.clone() };
    check(&blind, "m5.xlarge", &default(), ("memory-unknown", "m5.large"));
    let mut half = idle.clone();
    half.memory[..HOURS / 2].fill(f64::NAN);
    check(&half, "m5.xlarge", &default(), ("memory-unknown", "m5.large"));
    half.memory = idle.memory.clone();
    half.cpu[..HOURS / 2].fill(f64::NAN);
    check(&half, "m5.xlarge", &default(), ("short-history", ""));
    let short = Measured { cpu: vec![1.0; HOURS / 2], ..Measured::default() };
    check(&short, "m5.xlarge", &default(), ("short-history", ""));

    // 4 of 336 hours are 0.0119.
    let mut spikes = idle.clone();
    spikes.cpu[50..54].fill(51.0);
    check(&spikes, "m5.xlarge", &default(), ("risk", "m5.large"));
    spikes.cpu[53] = 49.0;
    check(&spikes, "m5.xlarge", &default(), ("proposed", "m5.large"));
    // Peaks count where they are measured.
    let peaks = Measured { peak: vec![45.0; HOURS], ..idle.clone() };
    check(&peaks, "m5.xlarge", &default(), ("cpu", "m5.large"));

    let dear = RightSizeConfig { min_saving: 219.1, ..default() };
    check(&idle, "m5.2xlarge", &dear, ("saving-small", "m5.large"));
    check(&Measured::steady(99.0, 1.0), "m5.24xlarge", &default(), ("nothing-fits", ""));

    let unpriced = RightSize::new(default()).unwrap();
    let unpriced = unpriced.propose(&idle.rows(), &sold("m5.large"), &prices(&[("c5.large", 1)]));
    assert_eq!(unpriced.reason(), Some(Reason::NoPrice));
    let elsewhere = Sold { region: "us-1".to_owned(), ..sold("m5.large") };
    let elsewhere = RightSize::new(default()).unwrap().propose(
        &idle.rows(),
        &elsewhere,
        &prices(&[("m5.large", 1)]),
    );
    assert_eq!(elsewhere.reason(), Some(Reason::NoPrice));
}

#[test]
fn a_burstable_size_must_last_through_every_day() {
    // t3.large lasts at 0.3 of 2 vCPUs, which is 0.15 of the 4 of t3.xlarge.
    check(&Measured::steady(14.9, 10.0), "t3.xlarge", &default(), ("proposed", "t3.large"));
    check(&Measured::steady(15.1, 10.0), "t3.xlarge", &default(), ("baseline", "t3.large"));
    let mut one_day = Measured::steady(1.0, 10.0);
    one_day.cpu[48..72].fill(16.0);
    check(&one_day, "t3.xlarge", &default(), ("baseline", "t3.large"));
    // Above the baseline of the size at hand a larger one is proposed.
    check(&Measured::steady(35.0, 10.0), "t3.large", &default(), ("proposed", "t3.xlarge"));
}

#[test]
fn other_families_are_considered_where_they_may_be() {
    let wide = RightSizeConfig { families: Families::Architecture, ..default() };
    let right_size = RightSize::new(wide).unwrap();
    let known = prices(&[("m5.xlarge", 200), ("c5.xlarge", 170), ("m6g.large", 10)]);
    let propose =
        |measured: &Measured| right_size.propose(&measured.rows(), &sold("m5.xlarge"), &known);
    let hungry = propose(&Measured::steady(60.0, 30.0));
    let proposal = hungry.proposal().unwrap();
    // Half of the memory for as much CPU; what runs on other CPUs is not considered.
    assert_eq!(proposal.to.size.name, "c5.xlarge");
    assert_eq!((proposal.to.price.hour, proposal.to.price.basis), (170 * MILLI, Basis::Bill));
    assert_eq!(proposal.to.uses[1].share, Some(0.6));
    let idle = propose(&Measured::steady(5.0, 5.0));
    let idle = idle.proposal().unwrap();
    assert_eq!((idle.to.size.name.as_str(), idle.to.price.basis), ("c5.large", Basis::Family));
}

#[test]
fn money_is_exact_and_the_rows_it_rests_on_are_named() {
    let down = outcome(&Measured::steady(20.0, 20.0), "m5.2xlarge", &default());
    let down = down.proposal().unwrap();
    // 400 thousandths an hour come to 100.
    assert_eq!(down.to.saving_month, 300 * MILLI * 730);
    assert_eq!((down.to.price.hour, down.to.price.basis), (100 * MILLI, Basis::Family));
    assert_eq!(down.to.price.seen.map(|seen| seen.offset), Some(3));
    assert_eq!((down.from.saving_month, down.from.price.basis), (0, Basis::Bill));
    assert_eq!((down.undersized, down.to.risk), (None, 0.0));
    let shares: Vec<_> = down.to.uses.iter().map(|of| (of.capacity, of.used, of.share)).collect();
    assert_eq!(
        shares,
        [(Capacity::Cpu, 1.6, Some(0.8)), (Capacity::Memory, 6.4, Some(0.8))],
        "of 2 vCPUs and 8 GiB"
    );

    let up = outcome(&Measured::steady(90.0, 20.0), "m5.2xlarge", &default());
    let up = up.proposal().unwrap();
    assert_eq!((up.to.size.name.as_str(), up.to.saving_month), ("m5.4xlarge", -400 * MILLI * 730));
    assert_eq!(up.undersized, Some(Reason::Over(Capacity::Cpu)));
}

#[test]
fn what_a_size_carries_now_it_can_carry() {
    // The B series publishes no bandwidth: what is carried is no reason to grow, and a smaller size is
    // taken to have the least of all.
    let net = |mb: f64| Measured { net_in: vec![mb; HOURS], ..Measured::steady(1.0, 1.0) };
    check(&net(13_000.0), "standard_b4ms", &default(), ("network", "Standard_B2ms"));
    check(&net(9_000.0), "standard_b4ms", &default(), ("proposed", "Standard_B1ls"));
    let busy = Measured { net_in: vec![13_000.0; HOURS], ..Measured::steady(50.0, 1.0) };
    let up = outcome(&busy, "standard_b4ms", &default());
    let up = up.proposal().unwrap();
    assert_eq!(up.undersized, Some(Reason::Baseline));
    assert_eq!(up.to.uses[2].share, None);
}

#[test]
fn an_own_size_takes_part_with_its_own_price() {
    let own = |name: &str, vcpus, memory_gib, price_hour| OwnSize {
        provider: "hetzner".to_owned(),
        name: name.to_owned(),
        family: Some("cx".to_owned()),
        architecture: "x86_64".to_owned(),
        vcpus,
        memory_gib,
        network_mbit_s: None,
        disk_mb_s: None,
        baseline: None,
        price_hour: Some(price_hour),
        currency: Some("EUR".to_owned()),
    };
    let sizes = vec![own("CX22", 2.0, 4.0, 0.006), own("CX32", 4.0, 8.0, 0.0113)];
    let right_size = RightSize::new(RightSizeConfig { sizes, ..default() }).unwrap();
    let sold = Sold { provider: "hetzner".to_owned(), ..sold("cx32") };
    let outcome =
        right_size.propose(&Measured::steady(10.0, 10.0).rows(), &sold, &Prices::default());
    let proposal = outcome.proposal().unwrap();
    assert_eq!((proposal.to.size.name.as_str(), proposal.to.price.basis), ("CX22", Basis::Given));
    assert_eq!(proposal.to.saving_month, 5_300_000_000 * 730);
    let dollars = Sold { currency: "USD".to_owned(), ..sold };
    let outcome =
        right_size.propose(&Measured::steady(10.0, 10.0).rows(), &dollars, &Prices::default());
    assert_eq!(outcome.reason(), Some(Reason::NoPrice));
}

#[test]
fn names_of_reasons_are_their_own() {
    let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Reason::ALL.len());
}

fn levels(top: f64) -> impl Strategy<Value = Vec<f64>> {
    let level = prop_oneof![8 => 0.0..top, 1 => 0.0..100.0, 1 => Just(f64::NAN)];
    prop::collection::vec(level, HOURS)
}

fn measured() -> impl Strategy<Value = Measured> {
    let top = prop_oneof![Just(5.0), Just(30.0), Just(100.0)];
    top.prop_flat_map(|top| {
        let traffic = prop::collection::vec(0.0..1e4, HOURS);
        let memory = prop_oneof![levels(top), Just(Vec::new())];
        (levels(top), memory, traffic.clone(), traffic)
    })
    .prop_map(|(cpu, memory, disk, net_out)| Measured {
        // Of what is not known no peak is.
        peak: cpu.iter().map(|mean| mean + (mean * 0.2).min(100.0 - mean)).collect(),
        cpu,
        memory,
        disk,
        net_out,
        ..Measured::default()
    })
}

const SIZES: [&str; 8] = [
    "m5.large",
    "m5.4xlarge",
    "c6i.8xlarge",
    "r7g.xlarge",
    "t3.medium",
    "t3.2xlarge",
    "standard_d16s_v5",
    "standard_b8ms",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// On its own lookback a proposal leaves the headroom, and its risk is what a plain loop counts.
    #[test]
    fn a_proposal_keeps_the_headroom(
        measured in measured(),
        size in prop::sample::select(&SIZES[..]),
        percentile in 0.5..1.0_f64,
        headroom in 0.0..0.6_f64,
        wide in any::<bool>(),
    ) {
        let families = if wide { Families::Architecture } else { Families::Family };
        let config = RightSizeConfig {
            percentile, headroom, families, max_risk: 0.05, min_history: 0.5, ..default()
        };
        let outcome = outcome(&measured, size, &config);
        let Some(Proposal { to, from, .. }) = outcome.proposal() else { return Ok(()) };
        let of = |values: &[f64], asked: &dyn Fn(f64) -> f64| -> Vec<f64> {
            values.iter().map(|value| asked(*value)).collect()
        };
        let (cpu, memory) = (from.size.vcpus, from.size.memory_gib);
        let asked = [
            (of(&measured.peak, &|share| share / 100.0 * cpu), Some(to.size.vcpus)),
            (of(&measured.memory, &|share| share / 100.0 * memory), Some(to.size.memory_gib)),
            (of(&measured.net_out, &|mb| mb * 8.388_608 / 3_600.0), to.size.network_mbit_s),
            (of(&measured.disk, &|mb| mb * 1.048_576 / 3_600.0), to.size.disk_mb_s),
        ];
        for (values, limit) in &asked {
            let Some(limit) = limit else { continue };
            let known = values.iter().filter(|value| !value.is_nan()).count();
            let over = values.iter().filter(|value| **value > (1.0 - headroom) * limit * (1.0 + 1e-12));
            // So many lie above the percentile's place.
            let above = known.saturating_sub(1) - (percentile * known.saturating_sub(1) as f64) as usize;
            prop_assert!(over.count() <= above);
        }
        let (mut breached, mut of) = (0, 0);
        for row in 0..HOURS {
            let mut known = false;
            let mut over = false;
            for (values, limit) in &asked {
                let Some(value) = values.get(row).filter(|value| !value.is_nan()) else { continue };
                known = true;
                over |= limit.is_some_and(|limit| *value > limit);
            }
            of += usize::from(known);
            breached += usize::from(over);
        }
        prop_assert_eq!(to.risk, breached as f64 / of as f64);
        prop_assert!(to.risk <= config.max_risk);
        if measured.memory.is_empty() {
            prop_assert!(to.size.memory_gib >= from.size.memory_gib);
        }
    }

    /// More headroom never makes for a cheaper size.
    #[test]
    fn more_headroom_costs_no_less(
        measured in measured(),
        size in prop::sample::select(&SIZES[..]),
        headrooms in (0.0..0.9_f64, 0.0..0.9_f64),
    ) {
        let (less, more) = (headrooms.0.min(headrooms.1), headrooms.0.max(headrooms.1));
        let costs = |headroom| {
            let config = RightSizeConfig { headroom, max_risk: 0.2, min_history: 0.5, ..default() };
            match outcome(&measured, size, &config) {
                Outcome::Proposed(proposal) => proposal.to.price.hour,
                Outcome::Kept(kept) if kept.reason == Reason::NothingFits => i128::MAX,
                Outcome::Kept(_) => 400 * MILLI,
            }
        };
        prop_assert!(costs(less) <= costs(more));
    }
}
