//! The connections between processes, one a pair: made within a time, or not at all.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Cluster;
use super::message::Same;

/// What a process says first, so that a stranger's connection is told apart; then its index, and what
/// processes of one job must share. It is answered with [`WELCOME`] or [`REFUSED`]; a stranger is not.
const GREETING: &[u8; 8] = b"cloudops";

/// The answer to one that is the same.
const WELCOME: u8 = 1;

/// The answer to one that is not.
const REFUSED: u8 = 0;

/// Between two looks for a process that is not there yet.
const NAP: Duration = Duration::from_millis(50);

/// How long a connection may take to say who it is.
const MANNERS: Duration = Duration::from_secs(5);

/// A connection to every other process, by index; `None` in our own place.
///
/// We call those before us, and those behind us call.
///
/// # Errors
/// Names the process that was not there in time, or is not the same; also when our own address cannot be
/// listened on.
pub(crate) fn connect(
    cluster: &Cluster,
    same: &Same,
    patience: Duration,
) -> Result<Vec<Option<TcpStream>>> {
    let Cluster { index, addresses } = cluster;
    let until = Instant::now() + patience;
    let mut streams: Vec<Option<TcpStream>> = addresses.iter().map(|_| None).collect();
    let listener = listen(&addresses[*index], until)?;
    for (other, address) in addresses.iter().enumerate().take(*index) {
        let mut hung_up = Duration::ZERO;
        while streams[other].is_none() {
            match call(address, *index, same) {
                Ok((WELCOME, stream)) => streams[other] = Some(stream),
                Ok(_) => bail!("process {other} at {address} is not the same: it says why"),
                // It was there, and hung up: it is dying, or none of ours.
                Err(error) if is_hung_up(&error) && hung_up > MANNERS => {
                    bail!("process {other} at {address} hangs up: is it one of this job?");
                }
                Err(error) if Instant::now() < until => {
                    if is_hung_up(&error) {
                        hung_up += NAP;
                    }
                    std::thread::sleep(NAP);
                }
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!("process {other} at {address} is not there after {patience:?}")
                    });
                }
            }
        }
    }
    listener.set_nonblocking(true).context("listening to other processes")?;
    while let Some(missing) = (index + 1..addresses.len()).find(|&i| streams[i].is_none()) {
        match listener.accept() {
            Ok((stream, from)) => match greeted(stream) {
                Ok((other, theirs, mut stream)) if other > *index && other < addresses.len() => {
                    let answer = if theirs == *same { WELCOME } else { REFUSED };
                    let answered = stream.write_all(&[answer]);
                    ensure!(
                        theirs == *same,
                        "process {other} is not the same: {theirs:?} there, {same:?} here; give all \
                         processes one build, one configuration and one number of workers"
                    );
                    answered.context("answering another process")?;
                    streams[other] = Some(stream);
                }
                Ok((other, ..)) => {
                    tracing::warn!(%from, other, "a process of no such index called")
                }
                Err(error) => {
                    tracing::warn!(%from, %error, "somebody called who is no process of ours")
                }
            },
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if Instant::now() >= until {
                    bail!(
                        "process {missing} at {} has not called after {patience:?}: start all {} \
                         processes, each with its own --process-index",
                        addresses[missing],
                        addresses.len()
                    );
                }
                std::thread::sleep(NAP);
            }
            Err(error) => return Err(error).context("listening to other processes"),
        }
    }
    Ok(streams)
}

/// Listens; the port may still be held by a process that has just died.
fn listen(address: &str, until: Instant) -> Result<TcpListener> {
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < until => {
                std::thread::sleep(NAP);
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("listening to other processes on {address}"));
            }
        }
    }
}

fn is_hung_up(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)
}

/// Says who we are; gives the answer.
fn call(address: &str, index: usize, same: &Same) -> std::io::Result<(u8, TcpStream)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let same = serde_json::to_vec(same)?;
    stream.write_all(GREETING)?;
    stream.write_all(&(index as u64).to_le_bytes())?;
    stream.write_all(&(same.len() as u64).to_le_bytes())?;
    stream.write_all(&same)?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    Ok((answer[0], stream))
}

fn greeted(mut stream: TcpStream) -> std::io::Result<(usize, Same, TcpStream)> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(MANNERS))?;
    let mut greeting = [0; 24];
    stream.read_exact(&mut greeting)?;
    let (word, numbers) = greeting.split_at(8);
    if word != GREETING {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut numbers = numbers.chunks_exact(8).map(|bytes| {
        bytes.iter().rev().fold(0u64, |number, &byte| (number << 8) | u64::from(byte))
    });
    let (index, length) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let mut same = Vec::new();
    (&mut stream).take(length.min(1 << 16)).read_to_end(&mut same)?;
    let same = serde_json::from_slice(&same)?;
    stream.set_read_timeout(None)?;
    stream.set_nodelay(true)?;
    Ok((usize::try_from(index).map_err(std::io::Error::other)?, same, stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(workers: usize) -> Same {
        Same { build: "b".to_owned(), config_hash: "c".to_owned(), workers }
    }

    fn free(processes: usize) -> Vec<String> {
        let held: Vec<_> =
            (0..processes).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        held.iter().map(|held| held.local_addr().unwrap().to_string()).collect()
    }

    #[test]
    fn every_pair_is_connected_and_strangers_are_not() {
        let addresses = free(3);
        let stranger = addresses[0].clone();
        let threads: Vec<_> = (0..3)
            .map(|index| {
                let cluster = Cluster { index, addresses: addresses.clone() };
                std::thread::spawn(move || {
                    let same = same(2);
                    connect(&cluster, &same, Duration::from_secs(30)).unwrap()
                })
            })
            .collect();
        if let Ok(mut stream) = TcpStream::connect(stranger) {
            drop(stream.write_all(b"GET / HTTP/1.1\r\n\r\n"));
        }
        let mut all: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        for (index, streams) in all.iter().enumerate() {
            let there: Vec<_> = streams.iter().map(Option::is_some).collect();
            let want: Vec<_> = (0..3).map(|other| other != index).collect();
            assert_eq!(there, want);
        }
        all[2][1].as_mut().unwrap().write_all(b"x").unwrap();
        let mut byte = [0];
        all[1][2].as_mut().unwrap().read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }

    #[test]
    fn who_does_not_come_is_named() {
        let addresses = free(2);
        for (index, name) in [(0, "process 1"), (1, "process 0")] {
            let cluster = Cluster { index, addresses: addresses.clone() };
            let error = connect(&cluster, &same(2), Duration::from_millis(200)).unwrap_err();
            assert!(format!("{error:#}").contains(name), "{error:#}");
        }
    }

    #[test]
    fn who_is_not_the_same_is_refused() {
        let addresses = free(2);
        let other = Cluster { index: 1, addresses: addresses.clone() };
        let other = std::thread::spawn(move || {
            // Longer than any test may take: who is refused does not wait.
            connect(&other, &same(3), Duration::from_secs(3_600)).unwrap_err()
        });
        let first = Cluster { index: 0, addresses };
        let error = connect(&first, &same(2), Duration::from_secs(30)).unwrap_err().to_string();
        assert!(error.contains("process 1 is not the same"), "{error}");
        let error = other.join().unwrap().to_string();
        assert!(error.contains("process 0") && error.contains("it says why"), "{error}");
    }
}
