//! One job on several processes.
//!
//! Every process runs the same number of workers of one timely dataflow; rows cross between them as
//! Arrow IPC. The first process also reads the input, plans and commits: it holds the coordinator, as a
//! process alone does. The others are told what epoch comes next, stage the files that their workers
//! make, and say so; they never touch the log.
//!
//! What is said between them goes through a dataflow of its own (`control`), over the connections that
//! timely holds anyway. When a process dies, the connections break, and all stop; whoever supervises
//! them starts all again, and the log says where to go on. With how many processes is decided then.

pub mod agent;
pub(crate) mod connect;
pub(crate) mod control;
pub(crate) mod message;

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// The port of the first process where no hosts are named, all on this machine.
const FIRST_PORT: usize = 2101;

/// Which of a job's processes this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// This process, from 0.
    pub index: usize,
    /// Where each listens, `host:port`.
    pub addresses: Vec<String>,
}

impl Cluster {
    /// From the command line; `None` for a process alone.
    ///
    /// # Errors
    /// When the hosts cannot be read or are too few, or the index is none of theirs.
    pub fn new(processes: usize, index: usize, hosts: Option<&Path>) -> Result<Option<Self>> {
        ensure!(processes > 0, "--processes is 0: there is at least this one");
        ensure!(
            index < processes,
            "--process-index is {index}: with --processes {processes} it is one of 0 to {}",
            processes - 1
        );
        if processes == 1 {
            return Ok(None);
        }
        let addresses: Vec<String> = match hosts {
            None => (0..processes).map(|i| format!("localhost:{}", FIRST_PORT + i)).collect(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("reading the hosts {}", path.display()))?;
                let lines = text.lines().map(str::trim);
                lines
                    .filter(|line| !line.is_empty() && !line.starts_with('#'))
                    .map(str::to_owned)
                    .collect()
            }
        };
        ensure!(
            addresses.len() >= processes,
            "--hosts names {} hosts for {processes} processes: a line `host:port` for each",
            addresses.len()
        );
        for address in &addresses[..processes] {
            let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
            ensure!(port.is_some(), "--hosts: {address:?} is no `host:port`");
        }
        Ok(Some(Self { index, addresses: addresses[..processes].to_vec() }))
    }

    /// Number of processes.
    #[must_use]
    pub fn processes(&self) -> usize {
        self.addresses.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        assert_eq!(Cluster::new(1, 0, None).unwrap(), None);
        let two = Cluster::new(2, 1, None).unwrap().unwrap();
        assert_eq!(two.addresses, ["localhost:2101", "localhost:2102"]);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# the rack\na:1\n\nb:2\nc:3\n").unwrap();
        let named = Cluster::new(2, 0, Some(file.path())).unwrap().unwrap();
        assert_eq!(named.addresses, ["a:1", "b:2"]);
        let error = |processes, index, hosts| {
            Cluster::new(processes, index, hosts).unwrap_err().to_string()
        };
        assert!(error(2, 2, None).contains("one of 0 to 1"));
        assert!(error(4, 0, Some(file.path())).contains("3 hosts for 4"));
        std::fs::write(file.path(), "a\nb:2").unwrap();
        assert!(error(2, 0, Some(file.path())).contains("\"a\" is no"));
    }
}
