//! The interactive shell: a line editor before a [`Session`].
//!
//! Statements run over as many lines as they need, up to a semicolon; lines
//! that begin with a dot are commands of the shell itself. Before each
//! statement the log is read on, so that new commits show. An error ends the
//! statement, never the shell; Ctrl-C ends what is running or being typed,
//! Ctrl-D the shell.

use std::borrow::Cow;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use datafusion::sql::sqlparser::keywords::ALL_KEYWORDS;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper, Hinter};
use tokio::runtime::Handle;

use crate::output::{self, Format};
use crate::session::Session;
use crate::{Error, Result, statement, table, view};

/// How often a running query looks for Ctrl-C.
const INTERRUPT_POLL: Duration = Duration::from_millis(50);

const HELP: &str = "\
statements end with a semicolon and may take many lines
.tables            tables and views, and what a row of each is
.schema NAME       columns of a table or view, and what each means
.mode FORMAT       output as table, csv, json or ndjson
.timing on|off     how long each statement took
.help              this
.quit              leave, as does Ctrl-D";

/// Lines typed before, kept between sessions: `$XDG_STATE_HOME/cloudops/history`, by default under
/// `~/.local/state`; `None` where there is no home.
#[must_use]
pub fn history_file() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    Some(state?.join("cloudops").join("history"))
}

/// The interactive shell and what its commands have set.
#[derive(Debug)]
pub struct Shell {
    session: Session,
    runtime: Handle,
    /// Set by whoever hears Ctrl-C; a running query looks at it.
    interrupted: Arc<AtomicBool>,
    format: Format,
    width: Option<usize>,
    timing: bool,
}

impl Shell {
    /// A shell over a session, whose queries run on `runtime`.
    ///
    /// `interrupted` is to be set on SIGINT by the caller, who owns the
    /// process's signals; the shell clears it. `width` is the terminal's.
    #[must_use]
    pub fn new(
        session: Session,
        runtime: Handle,
        interrupted: Arc<AtomicBool>,
        width: Option<usize>,
    ) -> Self {
        Self { session, runtime, interrupted, format: Format::Table, width, timing: true }
    }

    /// Reads and answers until the end of input. Not to be called from async code: it blocks.
    ///
    /// # Errors
    /// [`Error::Io`] when the terminal fails; a statement's errors are shown.
    pub fn run(mut self, history: Option<&Path>, out: &mut (dyn Write + Send)) -> Result<()> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .history_ignore_space(true)
            .auto_add_history(true)
            .build();
        let mut editor = Editor::<Assistant, FileHistory>::with_config(config).map_err(failed)?;
        editor.set_helper(Some(Assistant { words: self.words() }));
        if let Some(history) = history {
            // A first start has none; a damaged one is not worth refusing to start.
            if let Err(error) = editor.load_history(history) {
                tracing::debug!(%error, path = %history.display(), "no history");
            }
        }
        writeln!(out, ".help tells the commands; Ctrl-D leaves").map_err(written)?;
        loop {
            match editor.readline("cloudops> ") {
                Ok(text) => {
                    if !self.answer(&text, out)? {
                        break;
                    }
                }
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(failed(error)),
            }
        }
        let Some(history) = history else { return Ok(()) };
        let kept = match history.parent() {
            Some(folder) => std::fs::create_dir_all(folder),
            None => Ok(()),
        };
        if let Err(error) =
            kept.map_err(ReadlineError::from).and_then(|()| editor.save_history(history))
        {
            tracing::warn!(%error, path = %history.display(), "history not kept");
        }
        Ok(())
    }

    /// Answers one input, a command or statements, and tells whether to go on.
    ///
    /// # Errors
    /// [`Error::Io`] when `out` fails; all else is written to `out`.
    pub fn answer(&mut self, text: &str, out: &mut (dyn Write + Send)) -> Result<bool> {
        let answered = match text.trim() {
            "" => Ok(true),
            command if command.starts_with('.') => self.command(command, out),
            statements => self.statements(statements, out).map(|()| true),
        };
        match answered {
            Err(error @ Error::Io { .. }) => Err(error),
            Err(error) => {
                writeln!(out, "error: {error}").map_err(written)?;
                Ok(true)
            }
            Ok(go_on) => Ok(go_on),
        }
    }

    fn command(&mut self, command: &str, out: &mut (dyn Write + Send)) -> Result<bool> {
        let words: Vec<_> = command.trim_end_matches(';').split_whitespace().collect();
        match words.as_slice() {
            [".quit" | ".exit"] => return Ok(false),
            [".help"] => writeln!(out, "{HELP}").map_err(written)?,
            [".tables"] => {
                self.statements("SELECT name, kind, rows, description FROM tables", out)?;
            }
            [".schema", name] => self.schema(name, out)?,
            [".mode", format] => self.format = format.parse()?,
            [".timing", "on"] => self.timing = true,
            [".timing", "off"] => self.timing = false,
            _ => {
                return Err(Error::Configuration(format!(
                    "no command {command:?}; .help tells all"
                )));
            }
        }
        Ok(true)
    }

    fn schema(&mut self, name: &str, out: &mut (dyn Write + Send)) -> Result<()> {
        if table::find(name).is_none() && view::find(name).is_none() {
            return Err(Error::Configuration(format!(
                "no table or view {name:?}; .tables tells all"
            )));
        }
        self.statements(
            &format!(
                "SELECT name, type, nullable, description FROM columns \
                 WHERE table_name = '{name}' ORDER BY ordinal"
            ),
            out,
        )
    }

    fn statements(&mut self, text: &str, out: &mut (dyn Write + Send)) -> Result<()> {
        let runtime = self.runtime.clone();
        self.interrupted.store(false, Ordering::Relaxed);
        let interrupted = Arc::clone(&self.interrupted);
        runtime.block_on(async {
            tokio::select! {
                answered = Box::pin(self.run_all(text, out)) => answered,
                // Dropping the query's future stops it.
                () = told(&interrupted) => Err(Error::Configuration("interrupted".to_owned())),
            }
        })
    }

    async fn run_all(&mut self, text: &str, out: &mut (dyn Write + Send)) -> Result<()> {
        self.session.refresh().await?;
        for statement in statement::parse(text)? {
            let begun = Instant::now();
            let rows = self.session.run(statement).await?;
            let has_rows = !rows.schema().fields().is_empty();
            let stream = Box::pin(rows.execute_stream()).await?;
            let count = output::write(stream, self.format, self.width, out).await?;
            if self.timing && self.format == Format::Table {
                let took = begun.elapsed().as_secs_f64();
                if has_rows {
                    let noun = if count == 1 { "row" } else { "rows" };
                    writeln!(out, "{count} {noun} in {took:.3} s").map_err(written)?;
                } else {
                    writeln!(out, "done in {took:.3} s").map_err(written)?;
                }
            }
        }
        Ok(())
    }

    /// Everything that completion offers: keywords, tables, views and their columns.
    fn words(&self) -> Vec<String> {
        let tables = table::all().map(|table| table.name);
        let columns = table::all().flat_map(table::Table::columns).map(|column| column.name);
        let views = view::all().iter().map(|view| view.name);
        let view_columns = view::all().iter().flat_map(|view| view.columns).map(|(name, _)| *name);
        let names = tables.chain(columns).chain(views).chain(view_columns);
        let names = names.chain(HELP.lines().filter_map(|line| line.split_whitespace().next()));
        let mut words: Vec<_> =
            names.chain(ALL_KEYWORDS.iter().copied()).map(str::to_owned).collect();
        words.sort();
        words.dedup();
        words
    }
}

/// Returns once Ctrl-C was pressed.
async fn told(interrupted: &AtomicBool) {
    let mut poll = tokio::time::interval(INTERRUPT_POLL);
    while !interrupted.swap(false, Ordering::Relaxed) {
        poll.tick().await;
    }
}

fn written(source: std::io::Error) -> Error {
    Error::Io { path: "output".to_owned(), source }
}

fn failed(error: ReadlineError) -> Error {
    Error::Io { path: "terminal".to_owned(), source: std::io::Error::other(error) }
}

/// What helps at the prompt: completion, and knowing when a statement is whole.
#[derive(Helper, Hinter)]
struct Assistant {
    words: Vec<String>,
}

impl Assistant {
    /// Where the word before the cursor begins, and what could stand in its place.
    ///
    /// A name is offered as it is written; a keyword in the case of what was typed.
    fn candidates(&self, line: &str, cursor: usize) -> (usize, Vec<String>) {
        let before = &line[..cursor];
        let is_part = |part: char| part.is_alphanumeric() || part == '_';
        let word_start = before.trim_end_matches(is_part).len();
        // A command begins with its dot, but only at the beginning of the line.
        let start = if before.trim_start().starts_with('.') && before[..word_start].trim() == "." {
            word_start - 1
        } else {
            word_start
        };
        let typed = &before[start..];
        if typed.is_empty() {
            return (start, Vec::new());
        }
        let is_keyword =
            |word: &str| word.chars().all(|part| part.is_ascii_uppercase() || part == '_');
        let lower = typed.chars().any(char::is_lowercase);
        let offered = self.words.iter().filter(|word| {
            word.get(..typed.len()).is_some_and(|start| start.eq_ignore_ascii_case(typed))
        });
        let written = |word: &String| {
            if lower && is_keyword(word) { word.to_lowercase() } else { word.clone() }
        };
        let mut offered: Vec<_> = offered.map(written).collect();
        offered.sort();
        offered.dedup();
        (start, offered)
    }
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        cursor: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.candidates(line, cursor))
    }
}

impl Highlighter for Assistant {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Borrowed(hint)
    }
}

impl Validator for Assistant {
    fn validate(&self, typed: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = typed.input().trim();
        Ok(if text.is_empty() || text.starts_with('.') || statement::is_complete(text) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completion_offers_names_as_written_and_keywords_as_typed() {
        let words = [".schema", ".tables", "SELECT", "SET", "sensor_scores", "score"];
        let assistant = Assistant { words: words.map(str::to_owned).to_vec() };
        let check = |line: &str, start: usize, offered: &[&str]| {
            let (found, candidates) = assistant.candidates(line, line.len());
            assert_eq!(
                (found, candidates),
                (start, offered.iter().map(|w| w.to_string()).collect())
            );
        };
        check("se", 0, &["select", "sensor_scores", "set"]);
        check("SE", 0, &["SELECT", "SET", "sensor_scores"]);
        check("SELECT sc", 7, &["score"]);
        check("select s.sco", 9, &["score"]);
        check(".ta", 0, &[".tables"]);
        check(".schema sen", 8, &["sensor_scores"]);
        check("é", 0, &[]);
        check("", 0, &[]);
    }
}
