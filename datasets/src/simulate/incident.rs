//! Bills with incidents in them, each known: what detectors of strange days are measured against.
//!
//! An account has services of very different size, each with a week's pattern of its own, growth,
//! noise that lasts from a day to the next, and one whose days differ widely by nature; some pay a fee
//! on the first of each month. Into this go *spikes* (a service costs a multiple for a day or two),
//! *steps* (from a day on), *ramps* (growing for days, then staying) and *doubled* bills (a service's
//! charges of a day stand there twice, until a correction takes the second away). Incidents of an
//! account keep a month's distance. Money is counted in whole millionths.

use super::rng::Rng;

/// What happens to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IncidentKind {
    /// A multiple for a day or two.
    Spike,
    /// A multiple from a day on.
    Step,
    /// Growing to a multiple within some days, then staying there.
    Ramp,
    /// Charged twice for a day, and corrected some days later.
    Doubled,
}

impl IncidentKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Spike, Self::Step, Self::Ramp, Self::Doubled];

    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Spike => "spike",
            Self::Step => "step",
            Self::Ramp => "ramp",
            Self::Doubled => "doubled",
        }
    }
}

/// One incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Which account.
    pub account: u32,
    /// What happened.
    pub kind: IncidentKind,
    /// Which service of it.
    pub service: u32,
    /// In which region alone; a doubled bill is of all.
    pub region: Option<u32>,
    /// The first day on which it shows, from 0 on.
    pub first: i32,
    /// The last day on which a detector may first see it.
    pub last: i32,
    /// The day on which its correction becomes known.
    pub corrected_on: Option<i32>,
}

/// A charge, or its correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncidentRow {
    /// The day on which it became known: rows are in order of it.
    pub known_on: i32,
    /// The day charged, from 0 on.
    pub day: i32,
    /// Which account.
    pub account: u32,
    /// Which service.
    pub service: u32,
    /// Which region.
    pub region: u32,
    /// In millionths of the currency.
    pub millionths: i64,
    /// Whether it takes back what was charged before.
    pub corrects: bool,
}

/// Bills and what is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incidents {
    /// In order of the day on which they became known.
    pub rows: Vec<IncidentRow>,
    /// In order of account and first day.
    pub incidents: Vec<Incident>,
}

/// Sizes of the simulated bills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncidentConfig {
    /// Accounts. Default 40.
    pub accounts: u32,
    /// Days. Default 365.
    pub days: i32,
    /// Days without incidents to begin with. Default 60.
    pub calm: i32,
}

impl Default for IncidentConfig {
    fn default() -> Self {
        Self { accounts: 40, days: 365, calm: 60 }
    }
}

/// Services of an account; the last is the fee on the first of each month.
const SERVICES: u32 = 9;
/// The service whose days differ widely by nature.
const BURSTY: u32 = 7;
const FEE: u32 = 8;
const REGIONS: u32 = 3;
/// Days between incidents of an account.
const APART: i32 = 30;
/// The least share of the account that a service with an incident has.
const SHARE_MIN: f64 = 0.05;

/// One service of an account.
struct Service {
    base: f64,
    weekend: f64,
    growth: f64,
    noise: f64,
    /// Of its cost, by region.
    regions: [f64; REGIONS as usize],
}

/// Simulates the bills; the same seed gives the same.
#[must_use]
pub fn simulate(config: &IncidentConfig, seed: u64) -> Incidents {
    let mut all = Incidents { rows: Vec::new(), incidents: Vec::new() };
    for account in 0..config.accounts {
        let services = services(seed, account);
        let incidents = incidents(config, seed, account, &services);
        charge(config, seed, account, &services, &incidents, &mut all.rows);
        all.incidents.extend(incidents.into_iter().map(|(incident, _)| incident));
    }
    all.rows.sort_by_key(|row| (row.known_on, row.account, row.day));
    all
}

fn services(seed: u64, account: u32) -> Vec<Service> {
    let mut rng = Rng::of(seed, &[1, account.into()]);
    let size = [20.0, 200.0, 2_000.0][rng.below(3)];
    let service = |number: u32| {
        // Each service is some half of the one before: an account has few large ones.
        let base = size * rng.between(0.5, 1.5) * 0.6_f64.powi(number as i32);
        let mut regions = [rng.between(0.4, 0.8), rng.between(0.1, 0.3), 0.0];
        regions[2] = 1.0 - regions[0] - regions[1];
        Service {
            base,
            weekend: if rng.chance(0.5) { rng.between(0.5, 1.0) } else { 1.0 },
            growth: rng.between(-0.02, 0.06),
            noise: if number == BURSTY { 0.5 } else { rng.between(0.02, 0.08) },
            regions,
        }
    };
    (0..SERVICES).map(service).collect()
}

/// An account's incidents, each with its multiple.
fn incidents(
    config: &IncidentConfig,
    seed: u64,
    account: u32,
    services: &[Service],
) -> Vec<(Incident, f64)> {
    let mut rng = Rng::of(seed, &[2, account.into()]);
    let total: f64 = services.iter().map(|service| service.base).sum();
    let large: Vec<u32> = (0..BURSTY)
        .filter(|service| services[*service as usize].base >= SHARE_MIN * total)
        .collect();
    let mut found = Vec::new();
    let mut day = config.calm + rng.below(APART as usize) as i32;
    while day + 14 < config.days && !large.is_empty() {
        let kind = *rng.pick(&IncidentKind::ALL);
        let multiple = match kind {
            IncidentKind::Spike => rng.between(2.0, 6.0),
            IncidentKind::Step | IncidentKind::Ramp => rng.between(1.6, 4.0),
            IncidentKind::Doubled => 2.0,
        };
        let last = match kind {
            IncidentKind::Spike => day + rng.below(2) as i32,
            IncidentKind::Step => day + 6,
            IncidentKind::Ramp => day + 13,
            IncidentKind::Doubled => day,
        };
        let corrected_on = (kind == IncidentKind::Doubled).then(|| day + 3 + rng.below(7) as i32);
        let region = rng.below(REGIONS as usize) as u32;
        let region = (kind != IncidentKind::Doubled).then_some(region);
        let service = *rng.pick(&large);
        let incident = Incident { account, kind, service, region, first: day, last, corrected_on };
        found.push((incident, multiple));
        day += APART + 14 + rng.below(APART as usize) as i32;
    }
    found
}

/// How many times its usual cost a service comes to on a day.
fn multiple(incident: &Incident, multiple: f64, day: i32) -> f64 {
    let grown = match incident.kind {
        IncidentKind::Spike if (incident.first..=incident.last).contains(&day) => 1.0,
        IncidentKind::Step if day >= incident.first => 1.0,
        IncidentKind::Ramp if day >= incident.first => {
            (f64::from(day - incident.first + 1) / 10.0).min(1.0)
        }
        _ => 0.0,
    };
    1.0 + grown * (multiple - 1.0)
}

fn charge(
    config: &IncidentConfig,
    seed: u64,
    account: u32,
    services: &[Service],
    incidents: &[(Incident, f64)],
    rows: &mut Vec<IncidentRow>,
) {
    let has_fee = Rng::of(seed, &[4, account.into()]).chance(0.5);
    for (number, service) in (0..).zip(services) {
        let mut rng = Rng::of(seed, &[3, account.into(), u64::from(number)]);
        let mut noise = 0.0;
        for day in 0..config.days {
            // What is off today is half as much off tomorrow.
            noise = 0.5 * noise + service.noise * rng.normal() * 0.75_f64.sqrt();
            if number == FEE && (!has_fee || !first_of_month(day)) {
                continue;
            }
            // Day 0 is a Monday.
            let weekend = if day % 7 >= 5 { service.weekend } else { 1.0 };
            let grown = 1.0 + service.growth * f64::from(day) / 30.0;
            let usual = service.base * weekend * grown * (1.0 + noise).max(0.05);
            for (region, share) in (0..).zip(service.regions) {
                let mut amount = usual * share;
                for (incident, factor) in incidents {
                    if incident.service != number {
                        continue;
                    }
                    // An incident is of one region, and as large as if it were of all.
                    let more = usual * (multiple(incident, *factor, day) - 1.0);
                    amount += if incident.region == Some(region) { more } else { 0.0 };
                }
                let millionths = (amount * 1e6) as i64;
                let row = IncidentRow {
                    known_on: day,
                    day,
                    account,
                    service: number,
                    region,
                    millionths,
                    corrects: false,
                };
                rows.push(row);
                let twice = incidents.iter().find(|(incident, _)| {
                    incident.kind == IncidentKind::Doubled
                        && (incident.service, incident.first) == (number, day)
                });
                if let Some(known_on) = twice.and_then(|(incident, _)| incident.corrected_on) {
                    rows.push(row);
                    let back = -millionths;
                    rows.push(IncidentRow { known_on, millionths: back, corrects: true, ..row });
                }
            }
        }
    }
}

/// Whether a day is the first of a month, day 0 being 2024-01-01.
fn first_of_month(day: i32) -> bool {
    let date = chrono::NaiveDate::from_ymd_opt(2024, 1, 1);
    let date = date.and_then(|date| date.checked_add_signed(chrono::TimeDelta::days(day.into())));
    date.is_some_and(|date| chrono::Datelike::day(&date) == 1)
}

/// Day 0 of the simulated bills, 2024-01-01, in days since 1970-01-01.
pub const FIRST_DAY: i32 = 19_723;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_twice_is_corrected_to_the_cent() {
        let config = IncidentConfig { accounts: 12, days: 200, calm: 40 };
        let bills = simulate(&config, 3);
        assert_eq!(bills, simulate(&config, 3));
        assert!(bills.rows.is_sorted_by_key(|row| row.known_on));
        let doubled: Vec<&Incident> =
            bills.incidents.iter().filter(|i| i.kind == IncidentKind::Doubled).collect();
        assert!(!doubled.is_empty());
        for incident in doubled {
            let of_day = bills.rows.iter().filter(|row| {
                (row.account, row.service, row.day)
                    == (incident.account, incident.service, incident.first)
            });
            let charged = of_day.clone().filter(|row| !row.corrects);
            let charged: i64 = charged.map(|row| row.millionths).sum();
            let taken: i64 = of_day.filter(|row| row.corrects).map(|row| row.millionths).sum();
            assert_eq!(charged, -2 * taken);
        }
    }

    #[test]
    fn incidents_keep_their_distance_and_every_kind_occurs() {
        let bills = simulate(&IncidentConfig::default(), 1);
        for kind in IncidentKind::ALL {
            let count = bills.incidents.iter().filter(|i| i.kind == kind).count();
            assert!(count > 20, "{count} of {}", kind.name());
        }
        for pair in bills.incidents.windows(2) {
            assert!(pair[0].account != pair[1].account || pair[1].first - pair[0].first > APART);
        }
        assert!(first_of_month(0) && first_of_month(31) && !first_of_month(30));
    }
}
