//! What a size is, and the sizes that are sold.
//!
//! The published sizes stand in `sizes/`, a table a provider, each with its source. A user's own
//! ([`OwnSize`]) come beside them, and take the place of one of the same name.

use std::collections::BTreeMap;

use super::config::OwnSize;
use crate::{Error, Result};

/// What a size has so much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capacity {
    /// vCPUs.
    Cpu,
    /// Memory, GiB.
    Memory,
    /// Network, 10⁶ bit/s each way.
    Network,
    /// Throughput of disks, 10⁶ B/s.
    Disk,
}

impl Capacity {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Memory, Self::Network, Self::Disk];

    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Network => "network",
            Self::Disk => "disk",
        }
    }

    /// What is taken of a size whose baseline is not published: the least that any published one has,
    /// which is that of `t3.nano`. CPU and memory are always known.
    pub(super) fn assumed(self) -> f64 {
        match self {
            Self::Cpu | Self::Memory => f64::INFINITY,
            Self::Network => 32.0,
            Self::Disk => 5.375,
        }
    }
}

/// A size that is sold.
#[derive(Debug, Clone, PartialEq)]
pub struct Size {
    /// Its provider, as [`provider`] writes it.
    pub provider: String,
    /// Which sizes differ from it in nothing but how much they have.
    pub family: String,
    /// Its name, as the provider writes it.
    pub name: String,
    /// What its CPUs run: `x86_64`, `arm64`.
    pub architecture: String,
    /// vCPUs.
    pub vcpus: f64,
    /// Memory, GiB.
    pub memory_gib: f64,
    /// Network bandwidth that lasts, 10⁶ bit/s each way; none where it is not published.
    pub network_mbit_s: Option<f64>,
    /// Throughput of disks that lasts, 10⁶ B/s; none where it is not published.
    pub disk_mb_s: Option<f64>,
    /// Of a burstable size, the share of its vCPUs that lasts.
    pub baseline: Option<f64>,
    /// What the configuration says an hour costs.
    pub given: Option<Given>,
}

/// A price that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Of an hour, in units of 10⁻¹².
    pub hour: i128,
    /// ISO 4217.
    pub currency: String,
}

impl Size {
    /// How much it has; none where that is not published.
    #[must_use]
    pub fn capacity(&self, of: Capacity) -> Option<f64> {
        match of {
            Capacity::Cpu => Some(self.vcpus),
            Capacity::Memory => Some(self.memory_gib),
            Capacity::Network => self.network_mbit_s,
            Capacity::Disk => self.disk_mb_s,
        }
    }

    /// Memory in millionths of a GiB: what prices are in proportion to within a family.
    pub(super) fn memory(&self) -> i128 {
        (self.memory_gib * 1e6).round() as i128
    }

    /// Whether another size's price is this one's in proportion: of its family, and with as much memory
    /// to a vCPU, but for burstable sizes, which are sold by their memory alone.
    pub(super) fn scales_with(&self, other: &Self) -> bool {
        let same = self.provider == other.provider && self.family == other.family;
        let bursts = self.baseline.is_some() && other.baseline.is_some();
        let (one, two) = (self.vcpus * other.memory_gib, other.vcpus * self.memory_gib);
        same && (bursts || (one - two).abs() <= 1e-9 * one)
    }
}

/// A provider's name in one spelling: bills have several.
///
/// `"aws"`, `"azure"`, `"gcp"`; another's own in lower case.
#[must_use]
pub fn provider(name: &str) -> String {
    let name = name.trim().to_ascii_lowercase();
    let known = [
        ("aws", "aws"),
        ("amazon", "aws"),
        ("azure", "azure"),
        ("microsoft", "azure"),
        ("gcp", "gcp"),
        ("google", "gcp"),
    ];
    known
        .iter()
        .find(|(part, _)| name.contains(part))
        .map_or(name.clone(), |(_, one)| (*one).to_owned())
}

/// The published sizes: provider and table.
const PUBLISHED: [(&str, &str); 3] = [
    ("aws", include_str!("sizes/aws.csv")),
    ("azure", include_str!("sizes/azure.csv")),
    ("gcp", include_str!("sizes/gcp.csv")),
];

/// Sizes by provider and name.
#[derive(Debug, Clone)]
pub struct Catalogue(BTreeMap<String, BTreeMap<String, Size>>);

impl Catalogue {
    /// The published sizes with a user's own beside them.
    ///
    /// # Errors
    /// [`Error::Configuration`] naming the size and the field that cannot be.
    pub fn new(own: &[OwnSize]) -> Result<Self> {
        let mut sizes = Self(BTreeMap::new());
        for (provider, table) in PUBLISHED {
            rows(table).filter_map(|row| published(provider, row)).for_each(|size| sizes.add(size));
        }
        let mut named = Vec::with_capacity(own.len());
        for size in own {
            let size = size.size()?;
            let name = (size.provider.clone(), size.name.to_ascii_lowercase());
            if named.contains(&name) {
                let reason = format!("resources.right_size.sizes: {:?} is named twice", size.name);
                return Err(Error::Configuration(reason));
            }
            named.push(name);
            sizes.add(size);
        }
        Ok(sizes)
    }

    fn add(&mut self, size: Size) {
        let names = self.0.entry(size.provider.clone()).or_default();
        names.insert(size.name.to_ascii_lowercase(), size);
    }

    /// A provider's size by its name, in whatever case.
    #[must_use]
    pub fn find(&self, provider_name: &str, name: &str) -> Option<&Size> {
        self.0.get(&provider(provider_name))?.get(&name.to_ascii_lowercase())
    }

    /// A provider's sizes, in order of name.
    pub fn of(&self, provider_name: &str) -> impl Iterator<Item = &Size> {
        self.0.get(&provider(provider_name)).into_iter().flat_map(BTreeMap::values)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A table's rows without its comments and header.
fn rows(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter(|line| !line.starts_with('#')).skip(1)
}

/// A row of a published table; every row is one, as a test sees.
fn published(provider: &str, row: &str) -> Option<Size> {
    let mut cells = row.split(',');
    let mut text = || cells.next().map(str::to_owned);
    let (family, name, architecture) = (text()?, text()?, text()?);
    let mut number = || text().map(|cell| cell.parse::<f64>().ok());
    Some(Size {
        provider: provider.to_owned(),
        family,
        name,
        architecture,
        vcpus: number()??,
        memory_gib: number()??,
        network_mbit_s: number()?,
        disk_mb_s: number()?,
        baseline: number()?,
        given: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_row_is_a_size() {
        let catalogue = Catalogue::new(&[]).unwrap();
        let lines: usize = PUBLISHED.iter().map(|(_, table)| rows(table).count()).sum();
        assert_eq!(catalogue.len(), lines);
        for size in ["aws", "azure", "gcp"].into_iter().flat_map(|name| catalogue.of(name)) {
            assert!(size.vcpus > 0.0 && size.memory_gib > 0.0, "{size:?}");
            let published = |of: Capacity| size.capacity(of).is_none_or(|has| has >= of.assumed());
            assert!([Capacity::Network, Capacity::Disk].into_iter().all(published), "{size:?}");
            assert!(size.baseline.is_none_or(|share| share > 0.0 && share < 1.0), "{size:?}");
            assert!(["x86_64", "arm64"].contains(&size.architecture.as_str()), "{size:?}");
        }
    }

    #[test]
    fn within_a_published_family_every_price_is_in_proportion() {
        let catalogue = Catalogue::new(&[]).unwrap();
        for one in ["aws", "azure", "gcp"].into_iter().flat_map(|name| catalogue.of(name)) {
            let family = catalogue.of(&one.provider).filter(|other| other.family == one.family);
            for other in family {
                assert!(one.scales_with(other), "{} and {}", one.name, other.name);
            }
        }
    }

    #[test]
    fn names_are_found_in_whatever_case_and_spelling() {
        let catalogue = Catalogue::new(&[]).unwrap();
        let found = |provider, name| catalogue.find(provider, name).map(|size| size.vcpus);
        assert_eq!(found("Amazon Web Services", "m5.2XLARGE"), Some(8.0));
        assert_eq!(found("Microsoft", "standard_d4s_V5"), Some(4.0));
        assert_eq!(found("Google Cloud", "n2-standard-16"), Some(16.0));
        assert_eq!(found("AWS", "Standard_D4s_v5"), None);
        assert_eq!(provider(" Hetzner "), "hetzner");
    }
}
