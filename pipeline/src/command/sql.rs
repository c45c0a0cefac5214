//! `cloudops sql`: ask the results.

use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use cloudops_sql::output::{self, Format};
use cloudops_sql::session::Session;
use cloudops_sql::shell::{self, Shell};
use cloudops_sql::statement;

/// Ask the results.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cloudops sql --catalog results                              an interactive shell\n  \
    cloudops sql --catalog results \"select * from open_alerts\"\n  \
    cloudops sql --catalog results --format json --file questions.sql\n  \
    cloudops sql --catalog results --format parquet --output scores.parquet \"select * from sensor_scores\"\n  \
    echo \"select count(*) from late\" | cloudops sql --catalog results")]
pub(super) struct Sql {
    /// The catalog's directory or URL.
    #[arg(long, value_name = "URL", required_unless_present = "config")]
    catalog: Option<String>,
    /// Take the catalog from this configuration.
    #[arg(long, value_name = "FILE", conflicts_with = "catalog")]
    config: Option<PathBuf>,
    /// How rows are written.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    format: Output,
    /// Write to this file instead of stdout; Parquet needs one.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Statements from a file, separated by semicolons.
    #[arg(long, value_name = "FILE", conflicts_with = "query")]
    file: Option<PathBuf>,
    /// Statements; without them, stdin, or a shell where that is a terminal.
    query: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Csv,
    Json,
    Ndjson,
    Parquet,
}

impl Output {
    fn text(self) -> Option<Format> {
        match self {
            Self::Table => Some(Format::Table),
            Self::Csv => Some(Format::Csv),
            Self::Json => Some(Format::Json),
            Self::Ndjson => Some(Format::NdJson),
            Self::Parquet => None,
        }
    }
}

impl Sql {
    pub(super) fn execute(self) -> Result<()> {
        let address = super::address(self.catalog.as_deref(), self.config.as_deref())?;
        let runtime = tokio::runtime::Runtime::new().context("starting the query runtime")?;
        let session = runtime.block_on(Session::open(&address))?;
        let text = match (&self.query, &self.file) {
            (Some(query), _) => query.clone(),
            (None, Some(file)) => std::fs::read_to_string(file)
                .with_context(|| format!("reading {}", file.display()))?,
            (None, None) if std::io::stdin().is_terminal() => {
                return shell(session, &runtime);
            }
            (None, None) => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).context("reading stdin")?;
                text
            }
        };
        runtime.block_on(self.answer(session, &text))
    }

    async fn answer(&self, mut session: Session, text: &str) -> Result<()> {
        let statements = statement::parse(text)?;
        ensure!(!statements.is_empty(), "there is no statement to run");
        let Some(format) = self.format.text() else {
            let path = self.output.as_ref().context("--format parquet needs --output FILE")?;
            ensure!(statements.len() == 1, "--format parquet takes one statement");
            let rows = session.query(text).await?.execute_stream().await?;
            output::write_parquet(rows, path).await?;
            return Ok(());
        };
        let mut out: Box<dyn Write + Send> = match &self.output {
            Some(path) => Box::new(std::io::BufWriter::new(
                std::fs::File::create(path)
                    .with_context(|| format!("creating {}", path.display()))?,
            )),
            None => Box::new(std::io::BufWriter::new(std::io::stdout())),
        };
        let several = statements.len() > 1;
        for (i, statement) in statements.into_iter().enumerate() {
            if several && format == Format::Table && i > 0 {
                writeln!(out)?;
            }
            let rows = session.run(statement).await?.execute_stream().await?;
            output::write(rows, format, None, &mut *out).await?;
        }
        Ok(out.flush()?)
    }
}

/// The interactive shell; Ctrl-C stops a running query, not the shell.
fn shell(session: Session, runtime: &tokio::runtime::Runtime) -> Result<()> {
    let interrupted = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&interrupted))
        .context("listening for Ctrl-C")?;
    let width = terminal_width();
    let shell = Shell::new(session, runtime.handle().clone(), interrupted, width);
    let history = shell::history_file();
    Ok(shell.run(history.as_deref(), &mut std::io::stdout())?)
}

pub(super) fn terminal_width() -> Option<usize> {
    let (_, columns) = console::Term::stdout().size_checked()?;
    Some(usize::from(columns))
}
