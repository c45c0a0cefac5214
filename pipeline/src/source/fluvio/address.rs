//! Where a topic is: `fluvio://host:9003/topic`, or one of its partitions, `fluvio://host:9003/topic/2`.

use std::fmt;

use anyhow::{Result, bail, ensure};

/// What an address of a topic begins with.
pub const SCHEME: &str = "fluvio://";

/// The port of a cluster's controller where the address names none.
const PORT: u16 = 9003;

/// A topic of a cluster, or one partition of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Host and port of the cluster's controller; `None` takes the profile's.
    pub endpoint: Option<String>,
    /// The topic.
    pub topic: String,
    /// The partition; `None` means all of them.
    pub partition: Option<u32>,
}

impl Address {
    /// Understands an address; `None` where the text is no address of a topic.
    ///
    /// # Errors
    /// When the text begins like one and goes on otherwise.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        let Some(rest) = text.strip_prefix(SCHEME) else { return Ok(None) };
        let mut parts = rest.split('/');
        let (host, topic) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let partition = match parts.next().filter(|part| !part.is_empty()) {
            None => None,
            Some(number) => match number.parse() {
                Ok(number) => Some(number),
                Err(_) => {
                    bail!("{text}: {number:?} is no partition; partitions are numbers from 0")
                }
            },
        };
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(
            !topic.is_empty() && topic.chars().all(named) && parts.all(str::is_empty),
            "{text}: write fluvio://host:9003/topic, or fluvio://host:9003/topic/partition; a topic's \
             name has lowercase letters, digits and hyphens"
        );
        let endpoint = match host.rsplit_once(':') {
            None if host.is_empty() => None,
            Some((_, port)) if !port.ends_with(']') => {
                ensure!(port.parse::<u16>().is_ok(), "{text}: {port:?} is no port");
                Some(host.to_owned())
            }
            _ => Some(format!("{host}:{PORT}")),
        };
        Ok(Some(Self { endpoint, topic: topic.to_owned(), partition }))
    }

    /// The address of one partition.
    #[must_use]
    pub fn with_partition(&self, partition: u32) -> Self {
        Self { partition: Some(partition), ..self.clone() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.endpoint.as_deref().unwrap_or_default(), self.topic)?;
        self.partition.map_or(Ok(()), |partition| write!(f, "/{partition}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: Result<Option<&str>, &str>) {
        match (Address::parse(text), want) {
            (Ok(found), Ok(want)) => assert_eq!(found.map(|a| a.to_string()).as_deref(), want),
            (Err(error), Err(want)) => assert!(error.to_string().contains(want), "{error}"),
            (found, want) => panic!("{text}: {found:?} is not {want:?}"),
        }
    }

    #[test]
    fn addresses_are_understood_or_refused() {
        check("input/sensor", Ok(None));
        check("s3://bucket/prefix", Ok(None));
        check("fluvio://host:9004/sensor-rows", Ok(Some("fluvio://host:9004/sensor-rows")));
        check("fluvio://host/rows/", Ok(Some("fluvio://host:9003/rows")));
        check("fluvio://[::1]/rows/12", Ok(Some("fluvio://[::1]:9003/rows/12")));
        check("fluvio:///rows", Ok(Some("fluvio:///rows")));
        check("fluvio://host/rows/x", Err("\"x\" is no partition"));
        check("fluvio://host/rows/1/2", Err("write fluvio://"));
        check("fluvio://host", Err("write fluvio://"));
        check("fluvio://host/Rows", Err("lowercase"));
        check("fluvio://host:port/rows", Err("\"port\" is no port"));
    }
}
