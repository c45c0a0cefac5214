//! Bills: a line a day, account, service and region, in FOCUS 1.0 columns.
//!
//! A line costs its own base, grown by `growth` every 30 days, less on weekends, with noise. Into
//! this go one *spike* (an account's service costs a multiple for one day) and one *restatement*
//! (days later, corrections take back part of a service's cost of one day). Money is counted in
//! whole millionths, so that the truth's totals are exact.

use std::collections::BTreeMap;
use std::io::Write;

use chrono::{DateTime, Datelike};
use serde::{Deserialize, Serialize};

use super::rng::Rng;
use super::{Output, at_least, rfc3339, start_seconds};
use crate::file::NewFile;
use crate::{Error, Result};

const DAY: i64 = 86_400;

/// Sizes and shape of the simulated bills.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CostConfig {
    /// Days; default 120.
    pub days: u32,
    /// Sub-accounts; default 6.
    pub accounts: u32,
    /// Services, of 12 known ones and then numbered ones; default 8.
    pub services: u32,
    /// Regions, 1 to 6; default 2.
    pub regions: u32,
    /// First day, RFC 3339.
    pub start: String,
    /// Growth in 30 days; default 0.04.
    pub growth: f64,
    /// A weekend day's cost as a share of a weekday's; default 0.7.
    pub weekend: f64,
    /// Standard deviation of a line's noise, as a share of it; default 0.05.
    pub noise: f64,
    /// How many times its normal cost the spike is; default 4.
    pub spike_factor: f64,
    /// Days after which the restatement comes; default 3.
    pub restatement_days: u32,
}

impl Default for CostConfig {
    fn default() -> Self {
        Self {
            days: 120,
            accounts: 6,
            services: 8,
            regions: 2,
            start: "2025-01-01T00:00:00Z".to_owned(),
            growth: 0.04,
            weekend: 0.7,
            noise: 0.05,
            spike_factor: 4.0,
            restatement_days: 3,
        }
    }
}

impl CostConfig {
    /// Lines that will be written, without the few corrections.
    #[must_use]
    pub fn records(&self) -> u64 {
        [self.days, self.accounts, self.services, self.regions].map(u64::from).iter().product()
    }

    fn validate(&self) -> Result<()> {
        at_least("days", self.days.into(), 14)?;
        at_least("accounts", self.accounts.into(), 1)?;
        at_least("services", self.services.into(), 1)?;
        at_least("regions", self.regions.into(), 1)?;
        if self.regions as usize > REGIONS.len() || self.restatement_days >= self.days / 4 {
            return Err(Error::Configuration(format!(
                "regions must be at most {}, restatement_days less than a quarter of days",
                REGIONS.len()
            )));
        }
        Ok(())
    }
}

/// What the bills hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostTruth {
    /// The spike.
    pub spike: SpikeTruth,
    /// The restatement.
    pub restatement: RestatementTruth,
    /// Sum of `BilledCost` by service, corrections included, exact decimals.
    pub total_by_service: BTreeMap<String, String>,
    /// Sum of `BilledCost`, exact decimal.
    pub total: String,
}

/// One day on which an account's service cost far too much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpikeTruth {
    /// `SubAccountId`, the stream's `entity_id`.
    pub account: String,
    /// `ServiceName`.
    pub service: String,
    /// `YYYY-MM-DD`.
    pub day: String,
    /// What the day would have cost, exact decimal.
    pub normal: String,
    /// What it cost.
    pub billed: String,
}

/// A day whose cost was corrected later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestatementTruth {
    /// `SubAccountId`, the stream's `entity_id`.
    pub account: String,
    /// `ServiceName`.
    pub service: String,
    /// The corrected day, `YYYY-MM-DD`.
    pub day: String,
    /// The day among whose lines the corrections stand.
    pub stated_on: String,
    /// What was billed first, exact decimal.
    pub billed: String,
    /// The corrections' sum, negative.
    pub correction: String,
}

const SERVICES: [(&str, &str); 12] = [
    ("Amazon Elastic Compute Cloud", "Compute"),
    ("Amazon Simple Storage Service", "Storage"),
    ("Amazon Relational Database Service", "Databases"),
    ("AWS Lambda", "Compute"),
    ("Amazon CloudFront", "Networking"),
    ("Amazon DynamoDB", "Databases"),
    ("Amazon Elastic Kubernetes Service", "Compute"),
    ("AmazonCloudWatch", "Management and Governance"),
    ("Amazon SageMaker", "AI and Machine Learning"),
    ("Amazon Redshift", "Analytics"),
    ("AWS Key Management Service", "Security"),
    ("Amazon Kinesis", "Analytics"),
];
const REGIONS: [&str; 6] =
    ["us-east-1", "eu-west-1", "us-west-2", "ap-southeast-1", "eu-central-1", "sa-east-1"];
const HEADER: &str = "BilledCost,BillingAccountId,BillingAccountName,BillingCurrency,\
BillingPeriodEnd,BillingPeriodStart,ChargeCategory,ChargeClass,ChargeDescription,ChargePeriodEnd,\
ChargePeriodStart,EffectiveCost,ProviderName,PublisherName,RegionId,ResourceId,ServiceCategory,\
ServiceName,SubAccountId,Tags\n";

/// Which of the lines is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    account: u32,
    service: u32,
    day: u32,
}

struct Bill<'a> {
    config: &'a CostConfig,
    seed: u64,
    start: i64,
    totals: BTreeMap<String, i128>,
}

pub(super) fn write(config: &CostConfig, seed: u64, out: &mut Output<'_>) -> Result<CostTruth> {
    config.validate()?;
    let start = start_seconds(&config.start)?.div_euclid(DAY) * DAY;
    let mut rng = Rng::of(seed, &[2, 0]);
    let mut place = |from: f64, to: f64| Place {
        account: rng.below(config.accounts as usize) as u32,
        service: rng.below(config.services as usize) as u32,
        day: (f64::from(config.days) * rng.between(from, to)) as u32,
    };
    // Late enough for a history, early enough for what follows.
    let spike = place(0.75, 0.9);
    let restated = place(0.4, 0.7);
    let stated_on = restated.day + config.restatement_days;

    let mut bill = Bill { config, seed, start, totals: BTreeMap::new() };
    let mut file: Option<(i32, u32, NewFile)> = None;
    for day in 0..config.days {
        let date = bill.date(day);
        let month = (date.year(), date.month());
        if file.as_ref().is_none_or(|(year, number, _)| (*year, *number) != month) {
            file.take().map(|(_, _, file)| file.finish()).transpose()?;
            let mut new = out.create(format!("cost/focus-{:04}-{:02}.csv", month.0, month.1))?;
            new.write_all(HEADER.as_bytes()).map_err(|error| new.failed(error))?;
            file = Some((month.0, month.1, new));
        }
        let Some((_, _, open)) = file.as_mut() else { continue };
        let mut lines = 0;
        let mut text = String::new();
        for account in 0..config.accounts {
            for service in 0..config.services {
                let here = Place { account, service, day };
                for region in 0..config.regions {
                    let factor = if here == spike { config.spike_factor } else { 1.0 };
                    let micros = bill.micros(here, region, factor);
                    bill.line(&mut text, here, region, micros, false);
                    lines += 1;
                }
            }
        }
        if day == stated_on {
            for region in 0..config.regions {
                let micros = bill.correction(restated, region);
                bill.line(&mut text, restated, region, micros, true);
                lines += 1;
            }
        }
        open.write_all(text.as_bytes()).map_err(|error| open.failed(error))?;
        out.wrote(lines);
    }
    file.map(|(_, _, file)| file.finish()).transpose()?;
    Ok(bill.truth(spike, restated, stated_on))
}

impl Bill<'_> {
    fn date(&self, day: u32) -> chrono::NaiveDate {
        let seconds = self.start + i64::from(day) * DAY;
        DateTime::from_timestamp(seconds, 0).unwrap_or_default().date_naive()
    }

    /// A line's cost in millionths.
    fn micros(&self, place: Place, region: u32, factor: f64) -> i128 {
        let path = [2, 1, place.account.into(), place.service.into(), region.into()];
        let base = Rng::of(self.seed, &path).between(2.0, 100.0);
        let mut rng = Rng::of(self.seed, &[&path[..], &[u64::from(place.day) + 1]].concat());
        let growth = 1.0 + self.config.growth * f64::from(place.day) / 30.0;
        let weekend = self.date(place.day).weekday().number_from_monday() > 5;
        let season = if weekend { self.config.weekend } else { 1.0 };
        let noise = (1.0 + self.config.noise * rng.normal()).max(0.0);
        (base * growth * season * noise * factor * 1e6) as i128
    }

    /// A third of a line's cost is taken back.
    fn correction(&self, place: Place, region: u32) -> i128 {
        -(self.micros(place, region, 1.0) / 3)
    }

    fn sum(&self, mut line: impl FnMut(u32) -> i128) -> String {
        decimal((0..self.config.regions).map(&mut line).sum())
    }

    fn truth(self, spike: Place, restated: Place, stated_on: u32) -> CostTruth {
        let day = |day: u32| self.date(day).to_string();
        CostTruth {
            spike: SpikeTruth {
                account: account(spike.account),
                service: service(spike.service).0,
                day: day(spike.day),
                normal: self.sum(|region| self.micros(spike, region, 1.0)),
                billed: self.sum(|region| self.micros(spike, region, self.config.spike_factor)),
            },
            restatement: RestatementTruth {
                account: account(restated.account),
                service: service(restated.service).0,
                day: day(restated.day),
                stated_on: day(stated_on),
                billed: self.sum(|region| self.micros(restated, region, 1.0)),
                correction: self.sum(|region| self.correction(restated, region)),
            },
            total: decimal(self.totals.values().sum()),
            total_by_service: self.totals.iter().map(|(k, v)| (k.clone(), decimal(*v))).collect(),
        }
    }

    fn line(&mut self, out: &mut String, place: Place, region: u32, micros: i128, fix: bool) {
        let start = self.start + i64::from(place.day) * DAY;
        let (name, category) = service(place.service);
        let money = decimal(micros);
        let date = self.date(place.day);
        let month = |year: i32, month: u32| format!("{year:04}-{month:02}-01T00:00:00Z");
        let period_start = month(date.year(), date.month());
        let period_end = match date.month() {
            12 => month(date.year() + 1, 1),
            number => month(date.year(), number + 1),
        };
        let class = if fix { "Correction" } else { "" };
        let region = REGIONS[region as usize];
        let team = ["web", "data", "core"][place.account as usize % 3];
        out.push_str(&format!(
            "{money},000000000001,Example,USD,{period_end},{period_start},Usage,{class},\
             {name} in {region},{end},{start},{money},AWS,\"Amazon Web Services, Inc.\",{region},\
             {resource},{category},{name},{account},\"{{\"\"team\"\": \"\"{team}\"\"}}\"\n",
            end = rfc3339(start + DAY),
            start = rfc3339(start),
            resource = format_args!("r-{:03}-{:03}", place.account, place.service),
            account = account(place.account),
        ));
        *self.totals.entry(name).or_default() += micros;
    }
}

fn account(number: u32) -> String {
    format!("{:012}", 100_000_000_000 + u64::from(number))
}

fn service(number: u32) -> (String, &'static str) {
    match SERVICES.get(number as usize) {
        Some((name, category)) => ((*name).to_owned(), category),
        None => (format!("Service {number:04}"), "Other"),
    }
}

/// Millionths as a decimal number.
fn decimal(micros: i128) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let size = micros.unsigned_abs();
    format!("{sign}{}.{:06}", size / 1_000_000, size % 1_000_000)
}
