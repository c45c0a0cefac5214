//! Where steps are written down: the catalog's log, or a copy of its state that is thrown away.

use anyhow::Result;
use cloudops_sql::Error;
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::action::{Act, Actions, Step};
use cloudops_sql::catalog::record::Record;
use tokio::runtime::Runtime;

/// Where steps are written down.
#[derive(Debug)]
pub enum Ledger {
    /// In the log: they are true.
    Log {
        /// The catalog.
        catalog: Box<Catalog>,
        /// What runs its calls.
        runtime: Runtime,
    },
    /// Nowhere: they show what would be.
    Trial(Box<Actions>),
}

impl Ledger {
    /// A ledger of a catalog: its log, or a copy.
    #[must_use]
    pub fn new(catalog: Catalog, runtime: Runtime, apply: bool) -> Self {
        if apply {
            return Self::Log { catalog: Box::new(catalog), runtime };
        }
        Self::Trial(Box::new(catalog.state().actions.clone()))
    }

    /// Whether what is written down is true.
    #[must_use]
    pub fn is_true(&self) -> bool {
        matches!(self, Self::Log { .. })
    }

    /// Every action so far.
    #[must_use]
    pub fn actions(&self) -> &Actions {
        match self {
            Self::Log { catalog, .. } => &catalog.state().actions,
            Self::Trial(actions) => actions,
        }
    }

    /// Takes up what others have written meanwhile.
    ///
    /// # Errors
    /// When the store fails.
    pub fn refresh(&mut self) -> Result<()> {
        match self {
            Self::Trial(_) => Ok(()),
            Self::Log { catalog, runtime } => Ok(runtime.block_on(catalog.refresh())?),
        }
    }

    /// Writes a step down; the rule that forbids it where one does, which another program may have
    /// brought about meanwhile.
    ///
    /// # Errors
    /// When the store fails, and it is not known whether the step was written.
    pub fn say(&mut self, act: Act) -> Result<Result<(), String>> {
        match self {
            Self::Trial(actions) => Ok(actions.check(&act).map(|()| actions.apply(0, act))),
            Self::Log { catalog, runtime } => {
                runtime.block_on(catalog.refresh())?;
                if let Err(rule) = catalog.state().actions.check(&act) {
                    return Ok(Err(rule));
                }
                match runtime.block_on(catalog.append(Record::Act(act))) {
                    Ok(_) => Ok(Ok(())),
                    Err(Error::Superseded { reason, .. }) => Ok(Err(reason)),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// A step of an action.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub fn step(
        &mut self,
        action: &str,
        by: &str,
        at_us: i64,
        step: Step,
    ) -> Result<Result<(), String>> {
        self.say(Act { action: action.to_owned(), step, by: by.to_owned(), at_us })
    }
}
