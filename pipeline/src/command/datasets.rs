//! `cloudops datasets`: known data, and data made with a known truth.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use cloudops_datasets::digest::{self, PublicKey, Verification};
use cloudops_datasets::simulate::{self, SimulationConfig, Truth};
use cloudops_datasets::{Format, catalogue, describe};
use indicatif::{ProgressBar, ProgressStyle};

use super::{print, print_json};

/// Known datasets and simulators.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cloudops datasets list\n  cloudops datasets fetch skab --to data\n  \
    cloudops datasets simulate --to simulated --seed 7\n  \
    cloudops datasets describe data/skab/valve1 --format skab\n  \
    cloudops datasets verify --digests trail/CloudTrail-Digest --logs trail/CloudTrail --key key.pem"
)]
pub(super) struct Datasets {
    /// Print as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// The public sets that can be read: licence, origin, what they hold.
    List,
    /// Bring a public set here from its original address, checked by SHA-256.
    Fetch {
        /// The set's name.
        name: String,
        /// The directory in which its folder is made.
        #[arg(long, value_name = "DIR", default_value = "datasets")]
        to: PathBuf,
        /// Copy it from a directory that has it, instead of the network.
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
    },
    /// Write three seeded streams, and the truth about them, into a directory.
    Simulate {
        /// The directory.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// Everything follows from it.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Sizes and shapes, TOML; see `cloudops_datasets::simulate`.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check CloudTrail's log files against the digests that CloudTrail wrote of them: none changed, none
    /// missing. Ends with 1 where one is.
    Verify {
        /// A directory with digest files, as below `CloudTrail-Digest` in the trail's bucket. The newest
        /// one's signature, from its object's metadata, is read from `<file>.signature`.
        #[arg(long, value_name = "DIR")]
        digests: PathBuf,
        /// A directory with the log files.
        #[arg(long, value_name = "DIR")]
        logs: PathBuf,
        /// CloudTrail's public key (`aws cloudtrail list-public-keys`): PEM, base64 or DER. Without it
        /// hashes are checked, and no signatures.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Read a file or directory, and say what is in it.
    Describe {
        /// The file or directory.
        path: PathBuf,
        /// A format without further keys (`cmapss`, `smd`, `skab`, `focus`, `cloudtrail`, …), or a
        /// whole one as an inline TOML table.
        #[arg(long)]
        format: String,
    },
}

/// What a verification found, for people.
fn verified(found: &Verification, signed: bool) -> String {
    let mut text =
        format!("{} digests, {} log files as they were written", found.digests, found.intact);
    text += &match signed {
        true => format!(", {} signatures that the key fits", found.signatures),
        false => ", no signature checked: give --key".to_owned(),
    };
    if found.unsigned > 0 {
        text += &format!("; {} digests that nothing vouches for", found.unsigned);
    }
    if found.beginnings > 1 {
        text += &format!("; {} chains, each of which may lack what was before", found.beginnings);
    }
    for problem in &found.problems {
        text += &format!("\n{}: {}", problem.file, problem.reason);
    }
    text
}

impl Datasets {
    pub(super) fn execute(self) -> Result<()> {
        match &self.action {
            Action::List => self.list(),
            Action::Fetch { name, to, from } => {
                let fetched = catalogue::fetch(name, to, from.as_deref())?;
                if self.json {
                    return print_json(&fetched);
                }
                print(&format!(
                    "{}: {} files fetched, {} there already",
                    fetched.folder.display(),
                    fetched.fetched,
                    fetched.present
                ))
            }
            Action::Simulate { to, seed, config } => {
                let mut simulation = match config {
                    Some(path) => toml::from_str(
                        &std::fs::read_to_string(path)
                            .with_context(|| format!("reading {}", path.display()))?,
                    )
                    .with_context(|| format!("in {}", path.display()))?,
                    None => SimulationConfig::default(),
                };
                simulation.seed = *seed;
                let truth = write_simulation(to, &simulation)?;
                if self.json {
                    return print_json(&truth);
                }
                print(&format!(
                    "{} records in {} files under {}; what was put into them: {}",
                    truth.records,
                    truth.files.len(),
                    to.display(),
                    to.join("truth.json").display()
                ))
            }
            Action::Verify { digests, logs, key } => {
                let key = key.as_deref().map(PublicKey::read).transpose()?;
                let found = digest::verify(digests, logs, key.as_ref())?;
                if self.json {
                    print_json(&found)?;
                } else {
                    print(&verified(&found, key.is_some()))?;
                }
                ensure!(found.holds(), "{} files cannot be trusted", found.problems.len());
                Ok(())
            }
            Action::Describe { path, format } => {
                let description = describe(path, &parse_format(format)?)?;
                if self.json {
                    return print_json(&description);
                }
                print(&toml::to_string(&description)?)
            }
        }
    }

    fn list(&self) -> Result<()> {
        let sets = catalogue::list();
        if self.json {
            return print_json(&sets);
        }
        let mut text = String::new();
        for set in &sets {
            text += &format!("{:<14} {}\n", set.name, set.what);
            text += &format!(
                "{:<14} {}; github.com/{} @ {:.7}\n",
                "", set.licence, set.repository, set.commit
            );
        }
        print(&text)
    }
}

/// Writes simulated streams with a progress bar.
pub(super) fn write_simulation(
    to: &std::path::Path,
    simulation: &SimulationConfig,
) -> Result<Truth> {
    let bar =
        if std::io::stderr().is_terminal() { ProgressBar::new(1) } else { ProgressBar::hidden() };
    bar.set_style(
        ProgressStyle::with_template("simulate {bar:32} {pos}/{len} records [{elapsed}]")
            .expect("the template above is well formed"),
    );
    let truth = simulate::write(to, simulation, &mut |written, of| {
        bar.set_length(of);
        bar.set_position(written);
    })?;
    bar.finish_and_clear();
    Ok(truth)
}

/// A format by name, or as an inline table.
fn parse_format(text: &str) -> Result<Format> {
    let table = if text.trim_start().starts_with('{') {
        format!("format = {text}")
    } else {
        format!("format = {{ format = {text:?} }}")
    };
    #[derive(serde::Deserialize)]
    struct Holder {
        format: Format,
    }
    let holder: Holder = toml::from_str(&table).with_context(|| format!("the format {text:?}"))?;
    Ok(holder.format)
}
