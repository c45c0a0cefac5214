//! A fleet of resources whose use is known: what a hunter of zombies is measured against.
//!
//! Beside busy resources and true zombies (forgotten, or orphaned when their project ended, some of them
//! still scanned by their agents) it holds what *looks* like a zombie and must not be terminated: a
//! standby that only receives its replication, hosts of jobs that run once a night, week or month, a
//! licence server whose load is low and whose clients are many. Rows are hourly. Zombies and the rest
//! overlap on purpose: an agent's scan may take more CPU than a small job, an orphan may have worked
//! until some weeks ago, and of one resource in ten the connections are not measured.

use super::rng::Rng;
use crate::utilisation::{CHANNELS, Recorded};

/// What a resource is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Serves requests by day and night.
    Web,
    /// Works through large batches, every day or so.
    Batch,
    /// Used in office hours, on weekdays.
    Development,
    /// Serves requests in some weeks much more than in others.
    Seasonal,
    /// Left over, nobody knows of it.
    Forgotten,
    /// Its project has ended.
    Orphaned,
    /// Receives its primary's changes, and waits for a disaster.
    Standby,
    /// Runs a job every night.
    CronNightly,
    /// Runs a job once a week.
    CronWeekly,
    /// Runs a job once a month.
    CronMonthly,
    /// Hands out licences: hardly a load, always some clients.
    LicenceServer,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Web,
        Self::Batch,
        Self::Development,
        Self::Seasonal,
        Self::Forgotten,
        Self::Orphaned,
        Self::Standby,
        Self::CronNightly,
        Self::CronWeekly,
        Self::CronMonthly,
        Self::LicenceServer,
    ];

    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Batch => "batch",
            Self::Development => "development",
            Self::Seasonal => "seasonal",
            Self::Forgotten => "forgotten",
            Self::Orphaned => "orphaned",
            Self::Standby => "standby",
            Self::CronNightly => "cron-nightly",
            Self::CronWeekly => "cron-weekly",
            Self::CronMonthly => "cron-monthly",
            Self::LicenceServer => "licence-server",
        }
    }

    /// Whether a resource of this kind may be terminated.
    #[must_use]
    pub fn may_terminate(self) -> bool {
        matches!(self, Self::Forgotten | Self::Orphaned)
    }

    /// Whether it looks like a zombie and is none.
    #[must_use]
    pub fn is_hard_negative(self) -> bool {
        use Kind::{CronMonthly, CronNightly, CronWeekly, LicenceServer, Standby};
        matches!(self, Standby | CronNightly | CronWeekly | CronMonthly | LicenceServer)
    }

    /// Resources of this kind in a hundred.
    fn share(self) -> f64 {
        match self {
            Self::Web => 18.0,
            Self::Batch | Self::Development => 12.0,
            Self::Seasonal => 8.0,
            Self::Forgotten => 14.0,
            Self::Orphaned => 8.0,
            Self::Standby | Self::LicenceServer | Self::CronNightly => 6.0,
            Self::CronWeekly | Self::CronMonthly => 5.0,
        }
    }
}

/// Sizes of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetConfig {
    /// Resources. Default 600.
    pub resources: u32,
    /// Days of rows. Default 62: two months, so that a monthly job runs twice.
    pub days: u32,
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self { resources: 600, days: 62 }
    }
}

/// A resource, its rows, and the truth about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulated {
    /// Its rows.
    pub recorded: Recorded,
    /// What it is for, and so whether it may be terminated.
    pub kind: Kind,
}

/// 2024-01-01, when the first row begins: a Monday.
const START: i64 = 1_704_067_200;
const HOUR: i64 = 3_600;
const DAY_HOURS: usize = 24;
const WEEK_HOURS: usize = 168;
/// Shares of resources whose channel is not measured.
const NO_MEMORY: f64 = 0.2;
const NO_DISK: f64 = 0.2;
const NO_CONNECTIONS: f64 = 0.1;
/// Share of single rows that are lost.
const LOST: f64 = 0.005;

/// Simulates a fleet; the same seed gives the same, whatever its size.
#[must_use]
pub fn simulate(config: &FleetConfig, seed: u64) -> Vec<Simulated> {
    let hours = config.days as usize * DAY_HOURS;
    (0..config.resources)
        .map(|number| {
            let mut rng = Rng::of(seed, &[1, number.into()]);
            let kind = draw(&mut rng);
            let resource = Resource::draw(kind, hours, &mut rng);
            let channels = resource.rows(hours, &mut rng);
            let name = format!("{}-{number}", kind.name());
            Simulated { recorded: Recorded { name, start: START, step: HOUR, channels }, kind }
        })
        .collect()
}

fn draw(rng: &mut Rng) -> Kind {
    let total: f64 = Kind::ALL.iter().map(|kind| kind.share()).sum();
    let mut left = rng.between(0.0, total);
    for kind in Kind::ALL {
        left -= kind.share();
        if left < 0.0 {
            return kind;
        }
    }
    Kind::Web
}

/// A piece of work that comes again.
struct Job {
    /// Hours from one to the next.
    every: usize,
    /// The first.
    first: usize,
    hours: usize,
    /// Per cent of the CPU.
    cpu: f64,
    /// MB an hour.
    net: f64,
    disk: f64,
    /// Chance that one is left out.
    fails: f64,
}

/// What a resource does, before noise.
struct Resource {
    kind: Kind,
    /// CPU of the system alone, per cent.
    base: f64,
    noise: f64,
    /// CPU of clients at the busiest hour, per cent.
    load: f64,
    /// Traffic of the system alone, MB an hour, and of a per cent of load.
    net_base: f64,
    net_load: f64,
    /// Share of traffic that is received.
    inbound: f64,
    /// Clients without a load, at least.
    clients: f64,
    memory: f64,
    jobs: Vec<Job>,
    /// Its project's last hour.
    ends: usize,
    phase: usize,
}

impl Resource {
    fn draw(kind: Kind, hours: usize, rng: &mut Rng) -> Self {
        let mut resource = Self {
            kind,
            base: rng.between(0.3, 2.5),
            noise: rng.between(0.05, 0.5),
            load: 0.0,
            net_base: rng.between(0.005, 0.12),
            net_load: rng.between(0.5, 8.0),
            inbound: rng.between(0.3, 0.7),
            clients: 0.0,
            memory: rng.between(8.0, 60.0),
            jobs: Vec::new(),
            ends: hours,
            phase: rng.below(WEEK_HOURS),
        };
        match kind {
            Kind::Web => resource.load = rng.between(4.0, 60.0),
            Kind::Development => resource.load = rng.between(5.0, 40.0),
            Kind::Seasonal => resource.load = rng.between(5.0, 50.0),
            Kind::Batch => {
                let every = DAY_HOURS * (1 + rng.below(3));
                resource.jobs.push(job(every, rng, (2, 10), (30.0, 95.0), 0.05));
            }
            Kind::Forgotten => resource.agent(0.5, rng),
            Kind::Orphaned => {
                resource.load = rng.between(3.0, 50.0);
                // Most ended long ago, some in the last weeks: what a hunter may find too early.
                let days_ago = rng.between(15.0, 75.0) as usize;
                resource.ends = hours.saturating_sub(days_ago * DAY_HOURS);
                resource.agent(0.3, rng);
            }
            Kind::Standby => {
                resource.net_base = rng.between(0.3, 20.0);
                resource.inbound = rng.between(0.93, 0.995);
            }
            Kind::CronNightly => {
                resource.jobs.push(job(DAY_HOURS, rng, (1, 3), (8.0, 80.0), 0.02));
            }
            Kind::CronWeekly => {
                resource.jobs.push(job(WEEK_HOURS, rng, (1, 6), (12.0, 90.0), 0.0));
            }
            Kind::CronMonthly => {
                let every = DAY_HOURS * (28 + rng.below(4));
                resource.jobs.push(job(every, rng, (2, 12), (20.0, 95.0), 0.0));
            }
            Kind::LicenceServer => {
                resource.clients = rng.between(0.8, 40.0);
                resource.net_load = rng.between(0.002, 0.05);
            }
        }
        resource
    }

    /// An agent of a zombie that scans now and then: noise that looks like a job.
    fn agent(&mut self, share: f64, rng: &mut Rng) {
        if rng.chance(share) {
            let every = if rng.chance(0.6) { DAY_HOURS } else { WEEK_HOURS };
            let mut scan = job(every, rng, (1, 1), (0.5, 14.0), 0.1);
            (scan.net, scan.disk) = (rng.between(0.0, 1.0), rng.between(10.0, 200.0));
            self.jobs.push(scan);
        }
    }

    /// How busy clients keep it in an hour, of at most 1.
    fn activity(&self, hour: usize) -> f64 {
        if hour >= self.ends {
            return 0.0;
        }
        let (clock, day) = (hour % DAY_HOURS, hour % WEEK_HOURS / DAY_HOURS);
        // A day's course as a parabola, its top in the afternoon.
        let off = (clock as f64 - 14.0) / 12.0;
        let course = 0.3 + 0.7 * (1.0 - off * off).max(0.0);
        let weekday = if day < 5 { 1.0 } else { 0.6 };
        let in_office = (8..18).contains(&clock) && day < 5;
        match self.kind {
            Kind::Web | Kind::Orphaned => course * weekday,
            Kind::Development => f64::from(in_office),
            // Three weeks of season, three of calm.
            Kind::Seasonal if (hour + self.phase) / WEEK_HOURS % 6 < 3 => course * weekday,
            Kind::Seasonal => 0.12 * course,
            _ => 0.0,
        }
    }

    /// The channels, in the order of the kernel's.
    fn rows(&self, hours: usize, rng: &mut Rng) -> [Vec<f64>; CHANNELS] {
        let measured = [NO_MEMORY, NO_DISK, NO_CONNECTIONS].map(|share| !rng.chance(share));
        let mut channels: [Vec<f64>; CHANNELS] = Default::default();
        let mut runs: Vec<bool> = vec![false; self.jobs.len()];
        for hour in 0..hours {
            let busy = self.activity(hour) * (1.0 + 0.25 * rng.normal()).max(0.0);
            let (mut cpu, mut net) = (self.base + self.load * busy, self.net_base);
            net += self.net_load * self.load * busy;
            let mut disk = 0.5 + 2.0 * self.load * busy;
            for (job, runs) in self.jobs.iter().zip(&mut runs) {
                let Some(since) = hour.checked_sub(job.first).map(|since| since % job.every) else {
                    continue;
                };
                if since == 0 {
                    *runs = !rng.chance(job.fails);
                }
                if since < job.hours && *runs {
                    let size = (1.0 + 0.15 * rng.normal()).max(0.3);
                    (cpu, net, disk) =
                        (cpu + job.cpu * size, net + job.net * size, disk + job.disk * size);
                }
            }
            let mut clients = self.clients * (1.0 + 0.3 * rng.normal()).max(0.0);
            clients += 0.8 * self.load * busy;
            net += self.net_load * clients.min(self.clients);
            // A port scanner comes by: one connection in an hour, at zombies too.
            clients += if rng.chance(0.003) { 1.0 } else { 0.0 };
            cpu = (cpu + self.noise * rng.normal()).clamp(0.05, 100.0);
            net *= (1.0 + 0.2 * rng.normal()).max(0.1);
            let peak = (cpu * rng.between(1.05, 1.6)).min(100.0);
            let memory = (self.memory + 0.3 * (cpu - self.base)).clamp(1.0, 99.0);
            let lost = rng.chance(LOST);
            let row = [
                Some(cpu),
                Some(peak),
                measured[0].then_some(memory),
                measured[1].then_some(disk),
                Some(net * self.inbound),
                Some(net * (1.0 - self.inbound)),
                measured[2].then_some(clients),
            ];
            for (channel, value) in channels.iter_mut().zip(row) {
                channel.extend(value.map(|value| if lost { f64::NAN } else { value }));
            }
        }
        channels
    }
}

fn job(every: usize, rng: &mut Rng, hours: (usize, usize), cpu: (f64, f64), fails: f64) -> Job {
    Job {
        every,
        first: rng.below(every),
        hours: hours.0 + rng.below(hours.1 - hours.0 + 1),
        cpu: rng.between(cpu.0, cpu.1),
        net: rng.between(0.0, 30.0) * rng.uniform(),
        disk: rng.between(20.0, 2_000.0),
        fails,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_fleet_and_every_kind_occurs() {
        let config = FleetConfig { resources: 200, days: 40 };
        let fleet = simulate(&config, 3);
        // Rows may hold NaN, which equals nothing: their text does.
        assert_eq!(format!("{fleet:?}"), format!("{:?}", simulate(&config, 3)));
        let fewer = simulate(&FleetConfig { resources: 10, days: 40 }, 3);
        assert_eq!(format!("{fewer:?}"), format!("{:?}", &fleet[..10]));
        for kind in Kind::ALL {
            assert!(fleet.iter().any(|resource| resource.kind == kind), "{}", kind.name());
        }
        for resource in &fleet {
            let rows = resource.recorded.rows().unwrap();
            assert_eq!(rows.len(), 40 * DAY_HOURS);
        }
    }

    #[test]
    fn what_looks_like_a_zombie_is_as_calm_as_one() {
        let fleet = simulate(&FleetConfig::default(), 1);
        let calm = |kind: Kind| {
            let of_kind = fleet.iter().filter(|resource| resource.kind == kind);
            let means = of_kind.map(|resource| {
                let cpu = resource.recorded.channels[0].iter().filter(|cpu| !cpu.is_nan());
                cpu.clone().sum::<f64>() / cpu.count() as f64
            });
            let means: Vec<f64> = means.collect();
            means.iter().sum::<f64>() / means.len() as f64
        };
        for kind in Kind::ALL.into_iter().filter(|kind| kind.is_hard_negative()) {
            assert!(calm(kind) < 8.0, "{}: {}", kind.name(), calm(kind));
        }
        assert!(calm(Kind::Web) > 10.0 && calm(Kind::Forgotten) < 3.0);
    }
}
