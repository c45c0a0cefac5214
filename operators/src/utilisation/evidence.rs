//! What speaks against terminating a resource, whatever a model says of it.
//!
//! A score is a statement about resources like this one; a termination is of this one. These rules ask
//! for evidence of use that few rows can hold and that a mean hides. They look further back than
//! features do: a monthly job is seen once in a month. Each costs recall, as some forgotten resource is
//! still scanned by its agent.

use serde::{Deserialize, Serialize};

use super::daily::days;
use super::features::CONNECTION_MIN;
use super::regularity::Bursts;
use super::rule::NET_MB;
use super::{Channel, Rows, known, mean};

/// When a rule speaks against termination.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvidenceConfig {
    /// Days of history that must be known: a month and some days, so that whatever happens once a month
    /// has been seen. Default 35.
    pub history_days: i64,
    /// Share of rows with an open connection from which a resource has clients. Default 0.02.
    pub connected_share: f64,
    /// Share of days with more than [`NET_MB`] received from which something is sent here steadily.
    /// Default 0.5.
    pub inbound_share: f64,
    /// Points of CPU above its median that a piece of work takes. Default 20: an agent's scan takes less.
    pub work_points: f64,
    /// Share of days, or weeks, with a burst at the same hour, from which work is periodic. Default 0.7.
    pub recurrence: f64,
}

impl Default for EvidenceConfig {
    fn default() -> Self {
        Self {
            history_days: 35,
            connected_share: 0.02,
            inbound_share: 0.5,
            work_points: 20.0,
            recurrence: 0.7,
        }
    }
}

/// Why a resource is not to be terminated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evidence {
    /// Less is known of it than [`EvidenceConfig::history_days`].
    ShortHistory,
    /// Whether it has clients is not measured.
    ConnectionsUnknown,
    /// It has clients: a licence server's load is low, its use is not.
    Connections,
    /// It receives data day after day: a standby is kept up to date.
    SteadyInbound,
    /// It has worked within [`EvidenceConfig::history_days`]: a monthly job's host is idle otherwise.
    RecentWork,
    /// Bursts come again at the same hour of the day or week, however small.
    PeriodicWork,
}

impl Evidence {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ShortHistory,
        Self::ConnectionsUnknown,
        Self::Connections,
        Self::SteadyInbound,
        Self::RecentWork,
        Self::PeriodicWork,
    ];

    /// Whether the features of [`super::features()`] hold it as well, so that a model can weigh it: clients,
    /// what is received and what recurs do show in them. What is not measured does not, nor what
    /// happened before their lookback.
    #[must_use]
    pub fn is_in_features(self) -> bool {
        matches!(self, Self::Connections | Self::SteadyInbound | Self::PeriodicWork)
    }

    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ShortHistory => "short-history",
            Self::ConnectionsUnknown => "connections-unknown",
            Self::Connections => "connections",
            Self::SteadyInbound => "steady-inbound",
            Self::RecentWork => "recent-work",
            Self::PeriodicWork => "periodic-work",
        }
    }
}

/// All that speaks against terminating a resource, in order; empty where nothing does.
///
/// The rows should be all that is known: evidence is sought in the last
/// [`EvidenceConfig::history_days`] of them.
#[must_use]
pub fn against_termination(rows: &Rows<'_>, config: &EvidenceConfig) -> Vec<Evidence> {
    let recent = rows.last_days(config.history_days);
    let days = days(&recent);
    let connections = known(recent.channel(Channel::Connections));
    let connected = mean(connections.map(|count| f64::from(count >= CONNECTION_MIN)));
    let inbound = mean(days.iter().map(|day| f64::from(day.net_in_mb > NET_MB)));
    let bursts = Bursts::of(&recent);
    let worked = bursts.as_ref().is_some_and(|bursts| bursts.height >= config.work_points);
    let recurs = bursts.as_ref().is_some_and(|bursts| {
        bursts.daily(&recent).max(bursts.weekly(&recent)) >= config.recurrence
    });
    let found = [
        // A day or so is cut off at either end.
        ((days.len() as i64) < config.history_days - 2, Evidence::ShortHistory),
        (connected.is_nan(), Evidence::ConnectionsUnknown),
        (connected >= config.connected_share, Evidence::Connections),
        (inbound >= config.inbound_share, Evidence::SteadyInbound),
        (worked, Evidence::RecentWork),
        (recurs, Evidence::PeriodicWork),
    ];
    found.into_iter().filter_map(|(speaks, evidence)| speaks.then_some(evidence)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURS: usize = 24 * 40;

    fn check(cpu: &dyn Fn(usize) -> f64, net: f64, connections: &[f64], expected: &[Evidence]) {
        let cpu: Vec<f64> = (0..HOURS).map(cpu).collect();
        let net = vec![net; HOURS];
        let rows = [&cpu[..], &[], &[], &[], &net[..], &[], connections];
        let rows = Rows::new(0, 3_600, rows).unwrap();
        assert_eq!(against_termination(&rows, &EvidenceConfig::default()), expected);
    }

    #[test]
    fn each_rule_sees_what_it_is_for() {
        let none = [0.0; HOURS];
        check(&|_| 1.0, 0.01, &none, &[]);
        check(&|_| 1.0, 0.01, &[3.0; HOURS], &[Evidence::Connections]);
        check(&|_| 1.0, 0.01, &[], &[Evidence::ConnectionsUnknown]);
        check(&|_| 1.0, 2.0, &none, &[Evidence::SteadyInbound]);
        let monthly = |hour: usize| if hour == 24 * 10 { 60.0 } else { 1.0 };
        check(&monthly, 0.01, &none, &[Evidence::RecentWork]);
        let small = |hour: usize| if hour.is_multiple_of(24) { 8.0 } else { 1.0 };
        check(&small, 0.01, &none, &[Evidence::PeriodicWork]);
        // What lies further back than the history does not count.
        let before = |hour: usize| if hour < 24 * 4 { 60.0 } else { 1.0 };
        check(&before, 0.01, &none, &[]);
    }

    #[test]
    fn a_short_history_proves_nothing() {
        let idle = [1.0; 24 * 20];
        let none = [0.0; 24 * 20];
        let rows = Rows::new(0, 3_600, [&idle, &[], &[], &[], &none, &[], &none]).unwrap();
        let found = against_termination(&rows, &EvidenceConfig::default());
        assert_eq!(found, [Evidence::ShortHistory]);
    }
}
