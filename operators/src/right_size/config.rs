//! How far a size may be from what was used.

use serde::{Deserialize, Serialize};

use super::size::{Given, Size, provider};
use crate::{Error, Result};

/// When a smaller size is proposed, and which sizes there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RightSizeConfig {
    /// Days looked back. Default: 14.
    pub lookback_days: u32,
    /// Which of the lookback's steps must leave the headroom: a share in (0, 1], of the steps in order
    /// of what was used. Default: 0.95.
    pub percentile: f64,
    /// Share of a size that stays free at that percentile: in [0, 1). Default: 0.2.
    pub headroom: f64,
    /// Share of the steps that may ask for more than the size has: in [0, 1]. Default: 0.01.
    pub max_risk: f64,
    /// What a proposal saves at least in a month, in the bill's currency. Default: 1.
    pub min_saving: f64,
    /// Share of the lookback's steps that must be known, and of a capacity's to be judged: in (0, 1].
    /// Default: 0.9.
    pub min_history: f64,
    /// Which sizes are considered. Default: `"family"`.
    pub families: Families,
    /// Sizes beside the published ones, or in place of those of the same name. Default: none.
    pub sizes: Vec<OwnSize>,
}

impl Default for RightSizeConfig {
    fn default() -> Self {
        Self {
            lookback_days: 14,
            percentile: 0.95,
            headroom: 0.2,
            max_risk: 0.01,
            min_saving: 1.0,
            min_history: 0.9,
            families: Families::Family,
            sizes: Vec::new(),
        }
    }
}

/// Which sizes a resource may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Families {
    /// `"family"`: those of its own family, which differ in nothing but how much they have.
    #[default]
    Family,
    /// `"architecture"`: all of its provider's that run the same programs. Their CPUs differ in speed,
    /// which is not weighed.
    Architecture,
}

/// A size that is not published, or not as it is sold to the user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnSize {
    /// Whose it is, as bills name it, or `"aws"`, `"azure"`, `"gcp"`.
    pub provider: String,
    /// Its name, as bills have it.
    pub name: String,
    /// Its family; default: its name, so that it is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// What its CPUs run. Default: `"x86_64"`.
    #[serde(default = "x86_64")]
    pub architecture: String,
    /// vCPUs, above 0.
    pub vcpus: f64,
    /// Memory, GiB, above 0.
    pub memory_gib: f64,
    /// Network bandwidth that lasts, 10⁶ bit/s each way; default: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_mbit_s: Option<f64>,
    /// Throughput of disks that lasts, 10⁶ B/s; default: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_mb_s: Option<f64>,
    /// Of a burstable size, the share of its vCPUs that lasts: in (0, 1); default: it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    /// Price of an hour, to a billionth, where the bill shows none; default: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_hour: Option<f64>,
    /// The price's currency, ISO 4217.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
}

fn x86_64() -> String {
    "x86_64".to_owned()
}

impl OwnSize {
    /// The size it describes.
    pub(super) fn size(&self) -> Result<Size> {
        let refused = |what: String| {
            let name = &self.name;
            Err(Error::Configuration(format!("resources.right_size.sizes: {name:?}: {what}")))
        };
        for (field, text) in [("provider", &self.provider), ("name", &self.name)] {
            if text.trim().is_empty() {
                return refused(format!("{field} is empty: write it as bills do"));
            }
        }
        let positive = |number: f64| number.is_finite() && number > 0.0;
        let numbers = [
            ("vcpus", Some(self.vcpus)),
            ("memory_gib", Some(self.memory_gib)),
            ("network_mbit_s", self.network_mbit_s),
            ("disk_mb_s", self.disk_mb_s),
            ("price_hour", self.price_hour),
        ];
        for (field, number) in numbers {
            if let Some(number) = number.filter(|number| !positive(*number) || *number >= 1e9) {
                return refused(format!("{field} is {number}: above 0 and below 1e9"));
            }
        }
        if let Some(share) = self.baseline.filter(|share| !(*share > 0.0 && *share < 1.0)) {
            return refused(format!("baseline is {share}: a share between 0 and 1"));
        }
        let given = match (self.price_hour, &self.currency) {
            (Some(price), Some(currency)) => Some(Given {
                hour: (price * 1e9).round() as i128 * 1_000,
                currency: currency.clone(),
            }),
            (None, None) => None,
            (Some(_), None) => return refused("price_hour needs a currency".to_owned()),
            (None, Some(_)) => {
                return refused("currency is that of price_hour: name both".to_owned());
            }
        };
        Ok(Size {
            provider: provider(&self.provider),
            family: self.family.clone().unwrap_or_else(|| self.name.clone()),
            name: self.name.clone(),
            architecture: self.architecture.clone(),
            vcpus: self.vcpus,
            memory_gib: self.memory_gib,
            network_mbit_s: self.network_mbit_s,
            disk_mb_s: self.disk_mb_s,
            baseline: self.baseline,
            given,
        })
    }
}

impl RightSizeConfig {
    /// Checks what can be checked without data.
    ///
    /// # Errors
    /// [`Error::Configuration`] naming the field and what it may be.
    pub fn validate(&self) -> Result<()> {
        let refused =
            |what: String| Err(Error::Configuration(format!("resources.right_size.{what}")));
        if !(1..=366).contains(&self.lookback_days) {
            return refused(format!("lookback_days is {}: from 1 to 366", self.lookback_days));
        }
        let shares = [
            ("percentile", self.percentile, self.percentile > 0.0 && self.percentile <= 1.0),
            ("headroom", self.headroom, (0.0..1.0).contains(&self.headroom)),
            ("max_risk", self.max_risk, (0.0..=1.0).contains(&self.max_risk)),
            ("min_history", self.min_history, self.min_history > 0.0 && self.min_history <= 1.0),
        ];
        for (field, value, good) in shares {
            if !good {
                return refused(format!("{field} is {value}: a share of 1, such as 0.2"));
            }
        }
        if !(0.0..1e15).contains(&self.min_saving) {
            return refused(format!("min_saving is {}: from 0 to 1e15", self.min_saving));
        }
        self.sizes.iter().try_for_each(|size| size.size().map(drop))
    }

    /// [`Self::min_saving`] in units of 10⁻¹², to a millionth.
    pub(super) fn saving_min(&self) -> i128 {
        (self.min_saving * 1e6).round() as i128 * 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::super::RightSize;
    use super::*;

    fn config(text: &str) -> std::result::Result<RightSizeConfig, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn what_is_not_written_is_the_default() {
        assert_eq!(config("{}").unwrap(), RightSizeConfig::default());
        assert!(RightSize::new(RightSizeConfig::default()).is_ok());
        assert!(config(r#"{"headrom": 0.1}"#).unwrap_err().to_string().contains("headrom"));
        let own = r#"{"families": "architecture", "sizes": [{"provider": "Hetzner", "name": "cx22",
            "vcpus": 2, "memory_gib": 4, "price_hour": 0.006, "currency": "EUR"}]}"#;
        let own = config(own).unwrap();
        let size = own.sizes[0].size().unwrap();
        assert_eq!((size.provider.as_str(), size.family.as_str()), ("hetzner", "cx22"));
        assert_eq!(size.given.unwrap().hour, 6_000_000_000);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let check = |text: &str, told: &str| {
            let refused = config(text).unwrap();
            let error = RightSize::new(refused).unwrap_err().to_string();
            assert!(
                error.starts_with("configuration: resources.right_size.") && error.contains(told),
                "{error}"
            );
        };
        check(r#"{"lookback_days": 0}"#, "lookback_days is 0");
        check(r#"{"percentile": 0}"#, "percentile is 0");
        check(r#"{"percentile": 95}"#, "percentile is 95");
        check(r#"{"headroom": 1}"#, "headroom is 1");
        check(r#"{"max_risk": -0.1}"#, "max_risk is -0.1");
        check(r#"{"min_history": 0}"#, "min_history is 0");
        check(r#"{"min_saving": -1}"#, "min_saving is -1");
        let own = |more: &str| {
            format!(
                r#"{{"sizes": [{{"provider": "x", "name": "s", "vcpus": 1, "memory_gib": 1{more}}}]}}"#
            )
        };
        check(&own(r#", "price_hour": 1"#), "\"s\": price_hour needs a currency");
        check(&own(r#", "currency": "EUR""#), "name both");
        check(&own(r#", "baseline": 1"#), "baseline is 1");
        check(&own(r#", "disk_mb_s": 0"#), "disk_mb_s is 0");
        let twice = own("")
            .replace("[{", r#"[{"provider": "X", "name": "S", "vcpus": 1, "memory_gib": 1}, {"#);
        check(&twice, "\"s\" is named twice");
    }
}
