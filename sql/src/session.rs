//! A session: the catalog's tables and views at one moment, ready to be asked.
//!
//! Every table is registered with the files of one state of the log, so a
//! query sees either all of a commit or nothing of it. [`Session::refresh`]
//! moves on to a later state; results already being read stay as they were.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::view::ViewTable;
use datafusion::dataframe::DataFrame;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;

use crate::catalog::Catalog;
use crate::table::files::Files;
use crate::table::log::{self, Log, Rows};
use crate::table::{self, Kind, actions, deliveries};
use crate::view::{self, View};
use crate::{Error, Result, function, statement};

/// Where the catalog's store is registered with the query engine.
const STORE_URL: &str = "cloudops://catalog";

/// The catalog's tables and views at one moment.
pub struct Session {
    catalog: Catalog,
    /// The catalog's folder where that is a local one; `COPY` must not write there.
    folder: Option<PathBuf>,
    context: SessionContext,
    /// The log's end as the context shows it.
    shown: u64,
    /// The session's own views by name, in the order of their making.
    views: Vec<(String, Statement)>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("catalog", &self.catalog).finish_non_exhaustive()
    }
}

impl Session {
    /// Opens the catalog at an address to be queried; see
    /// [`open_store`](crate::catalog::store::open_store) for addresses.
    ///
    /// # Errors
    /// As [`Catalog::open`].
    pub async fn open(address: &str) -> Result<Self> {
        Self::over(Catalog::open(address).await?, local_folder(address)).await
    }

    /// A session over a catalog opened to read; `folder` is where it lies on this machine, if
    /// it does.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the store cannot be registered.
    pub async fn over(catalog: Catalog, folder: Option<PathBuf>) -> Result<Self> {
        let mut config = SessionConfig::new()
            .with_information_schema(true)
            .with_default_catalog_and_schema("cloudops", "public");
        // The views are ordered for reading; a query over one that does not need the order
        // loses the sort later, in the physical plan.
        config.options_mut().sql_parser.enable_subquery_sort_elimination = false;
        let context = SessionContext::new_with_config(config);
        register(&catalog, &context).await?;
        let shown = catalog.state().next_seq;
        Ok(Self { catalog, folder, context, shown, views: Vec::new() })
    }

    /// The query engine's own context, e.g. to register functions.
    #[must_use]
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// The catalog as of the last refresh.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Moves on to the log's end and tells whether anything was added. Settings and the
    /// session's own views stay.
    ///
    /// # Errors
    /// As [`Catalog::refresh`].
    pub async fn refresh(&mut self) -> Result<bool> {
        self.catalog.refresh().await?;
        let end = self.catalog.state().next_seq;
        if self.shown == end {
            return Ok(false);
        }
        // A context of its own: what is planned in the old one keeps its moment, and a refresh
        // given up half-way leaves the old one whole.
        let runtime = self.context.runtime_env();
        let context = SessionContext::new_with_config_rt(self.context.copied_config(), runtime);
        register(&self.catalog, &context).await?;
        for (_, own) in &self.views {
            let plan = Box::pin(context.state().statement_to_plan(own.clone())).await?;
            Box::pin(context.execute_logical_plan(plan)).await?;
        }
        self.context = context;
        self.shown = end;
        Ok(true)
    }

    /// Plans one query; nothing is read until its rows are.
    ///
    /// # Errors
    /// [`Error::Query`] when it cannot be planned, [`Error::Refused`] when it would change what
    /// the session may not, [`Error::Configuration`] when the text is not exactly one statement.
    pub async fn query(&mut self, text: &str) -> Result<DataFrame> {
        let mut statements = statement::parse(text)?;
        match (statements.pop(), statements.is_empty()) {
            (Some(only), true) => self.run(only).await,
            (None, _) => Err(Error::Configuration("the text holds no statement".to_owned())),
            (Some(_), false) => Err(Error::Configuration(format!(
                "the text holds {} statements; run them one by one",
                statements.len() + 1
            ))),
        }
    }

    /// Plans a statement of [`statement::parse`]; `CREATE VIEW`, `DROP VIEW` and `SET` act now,
    /// all else when its rows are read.
    ///
    /// # Errors
    /// [`Error::Query`] when it cannot be planned, [`Error::Refused`] when it would change what
    /// the session may not.
    pub async fn run(&mut self, statement: Statement) -> Result<DataFrame> {
        let state = self.context.state();
        let plan = Box::pin(state.statement_to_plan(statement.clone())).await?;
        statement::permit(&plan, self.folder.as_deref())?;
        let view = match &plan {
            LogicalPlan::Ddl(DdlStatement::CreateView(create)) => {
                Some((create.name.table().to_owned(), Some(statement)))
            }
            LogicalPlan::Ddl(DdlStatement::DropView(drop)) => {
                Some((drop.name.table().to_owned(), None))
            }
            _ => None,
        };
        let rows = Box::pin(self.context.execute_logical_plan(plan)).await?;
        if let Some((name, made)) = view {
            self.views.retain(|(other, _)| *other != name);
            self.views.extend(made.map(|statement| (name, statement)));
        }
        Ok(rows)
    }
}

/// Registers the tables and views of the catalog's state in an empty context.
async fn register(catalog: &Catalog, context: &SessionContext) -> Result<()> {
    context.register_udf(function::tag());
    context.register_udf(function::attack_name());
    context.register_udf(function::attack_tactic());
    let state = catalog.state();
    let store = catalog.store();
    let url = ObjectStoreUrl::parse(STORE_URL)?;
    context.register_object_store(url.as_ref(), Arc::clone(store.objects()));
    for table in table::all().filter(|table| table.kind == Kind::Result) {
        let files = state.files(table.name);
        let files = Files::new(table.schema(), files, store.clone(), url.clone());
        context.register_table(table.name, Arc::new(files))?;
    }
    let register_log = |name: &str, rows| {
        let table = table::find(name).expect("the names below are declared");
        context.register_table(name, Arc::new(Log::new(table, rows)))
    };
    register_log("models", Rows::Ready(log::models(state)))?;
    register_log("feedback", Rows::Ready(log::feedback(state)))?;
    register_log("actions", Rows::Ready(actions::actions(state)))?;
    register_log("action_status", Rows::Ready(actions::action_status(state)))?;
    let status = deliveries::Status::new(Arc::clone(state), store.clone(), catalog.history());
    register_log("alert_status", Rows::AlertStatus(status))?;
    register_log("dead_letters", Rows::DeadLetters(catalog.history()))?;
    register_log("silences", Rows::Ready(deliveries::silences(state)))?;
    register_log("epochs", Rows::Epochs(catalog.history()))?;
    register_log("tables", Rows::Ready(log::tables(state)))?;
    let mut views = Vec::new();
    for view in view::all() {
        views.push((view, register_view(context, view).await?));
    }
    register_log("columns", Rows::Ready(log::columns(&views)))?;
    Ok(())
}

async fn register_view(context: &SessionContext, view: &View) -> Result<SchemaRef> {
    let plan = Box::pin(context.state().create_logical_plan(view.sql)).await?;
    let schema = Arc::clone(plan.schema().inner());
    let definition = view.sql.split_whitespace().collect::<Vec<_>>().join(" ");
    context.register_table(view.name, Arc::new(ViewTable::new(plan, Some(definition))))?;
    Ok(schema)
}

/// The folder that an address names on this machine.
fn local_folder(address: &str) -> Option<PathBuf> {
    match address.split_once("://") {
        None => Some(Path::new(address).to_owned()),
        Some(("file", _)) => url::Url::parse(address).ok()?.to_file_path().ok(),
        Some(_) => None,
    }
}
