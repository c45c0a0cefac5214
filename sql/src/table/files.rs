//! A result table as the log lists it: its files, and which of them a query may leave out.
//!
//! The log's list is the truth, so nothing is listed in the store. A file is
//! left out at three levels, each cheaper than the next:
//!
//! 1. here, while planning, by the bounds in the commit: the file is not opened;
//! 2. while running, by the same bounds, once a `LIMIT` or a join knows more;
//! 3. in the file, by row group, page index and Bloom filter, where it has them.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{
    Column, ColumnStatistics, DFSchema, Result, ScalarValue, Statistics, project_schema,
};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use serde_json::Value;

use crate::catalog::Store;
use crate::catalog::record::DataFile;

/// A result table at one moment: files that commits named.
#[derive(Debug)]
pub(crate) struct Files {
    schema: SchemaRef,
    files: Vec<Arc<DataFile>>,
    store: Store,
    url: ObjectStoreUrl,
}

impl Files {
    /// The table of a schema in these files; `url` is where `store` is registered.
    pub(crate) fn new(
        schema: SchemaRef,
        files: &[Arc<DataFile>],
        store: Store,
        url: ObjectStoreUrl,
    ) -> Self {
        Self { schema, files: files.to_vec(), store, url }
    }

    /// The files in which a row may satisfy all filters.
    fn kept(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<Arc<DataFile>>> {
        let Some(filter) = conjunction(filters.iter().cloned()) else {
            return Ok(self.files.clone());
        };
        let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        let predicate = state.create_physical_expr(filter, &schema)?;
        let pruning = PruningPredicateBuilder::new()
            .with_file_schema(Arc::clone(&self.schema))
            .try_build(predicate);
        // A filter that bounds cannot judge, such as a function of a column, keeps every file.
        let Ok(pruning) = pruning else { return Ok(self.files.clone()) };
        let keep = pruning.prune(&Bounds { files: &self.files, schema: &self.schema })?;
        let kept = self.files.iter().zip(keep).filter(|(_, keep)| *keep);
        Ok(kept.map(|(file, _)| Arc::clone(file)).collect())
    }

    fn partitioned(&self, file: &DataFile) -> Result<PartitionedFile> {
        let location = self
            .store
            .location(&file.path)
            .map_err(|error| datafusion::error::DataFusionError::External(Box::new(error)))?;
        let mut partitioned = PartitionedFile::new(location.to_string(), file.bytes);
        partitioned.object_meta.location = location;
        Ok(partitioned.with_statistics(Arc::new(statistics(file, &self.schema))))
    }
}

#[async_trait]
impl TableProvider for Files {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        // Leaves out files and row groups; the rows of those it keeps are filtered above.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut kept = self.kept(state, filters)?;
        tracing::debug!(files = self.files.len(), kept = kept.len(), "planned a scan");
        if let (Some(limit), true) = (limit, filters.is_empty()) {
            kept.truncate(enough(&kept, limit));
        }
        if kept.is_empty() {
            return Ok(Arc::new(EmptyExec::new(project_schema(&self.schema, projection)?)));
        }
        let rows = kept.iter().map(|file| file.rows as usize).sum();
        let files = kept.iter().map(|file| self.partitioned(file)).collect::<Result<Vec<_>>>()?;
        let groups = FileGroup::new(files).split_files(state.config().target_partitions());

        // A file never changes, so its footer is read once a process.
        let runtime = state.runtime_env();
        let reader = CachedParquetFileReaderFactory::new(
            runtime.object_store(&self.url)?,
            runtime.cache_manager.get_file_metadata_cache(),
        );
        let options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        let source = ParquetSource::new(Arc::clone(&self.schema))
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(reader));
        let mut table = Statistics::new_unknown(&self.schema);
        table.num_rows = Precision::Exact(rows);
        let scan = FileScanConfigBuilder::new(self.url.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(table)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }
}

/// How many of the files, from the first, hold so many rows.
fn enough(files: &[Arc<DataFile>], rows: usize) -> usize {
    let mut missing = rows as u64;
    let full = files.iter().take_while(|file| {
        let needed = missing > 0;
        missing = missing.saturating_sub(file.rows);
        needed
    });
    full.count()
}

/// What a commit says of its files, for the rewritten predicate.
struct Bounds<'a> {
    files: &'a [Arc<DataFile>],
    schema: &'a SchemaRef,
}

impl Bounds<'_> {
    /// One bound of a column in every file, null where it is unknown; `None` where it is in all.
    fn bounds(
        &self,
        column: &Column,
        bound: impl Fn(&crate::catalog::record::ColumnStats) -> &Value,
    ) -> Option<ArrayRef> {
        let type_ = self.schema.field_with_name(&column.name).ok()?.data_type();
        let unknown = ScalarValue::try_from(type_).ok()?;
        let mut known = false;
        let values = self.files.iter().map(|file| {
            let stats = file.columns.get(&column.name);
            let value = stats.and_then(|stats| scalar(bound(stats), type_));
            known |= value.is_some();
            value.unwrap_or_else(|| unknown.clone())
        });
        let array = ScalarValue::iter_to_array(values).ok()?;
        known.then_some(array)
    }
}

impl PruningStatistics for Bounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |stats| &stats.min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |stats| &stats.max)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let nulls =
            self.files.iter().map(|file| file.columns.get(&column.name).map(|stats| stats.nulls));
        Some(Arc::new(nulls.collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.files.iter().map(|file| Some(file.rows)).collect::<UInt64Array>()))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// A file's bounds as DataFusion keeps them.
///
/// A bound may not be the value of any row, but this claims it is: `Exact` is
/// the only grade that prunes. The claim is kept to the file, where it serves
/// nothing else; the table's statistics tell only its number of rows, or
/// `MAX(column)` would be answered by a bound.
fn statistics(file: &DataFile, schema: &SchemaRef) -> Statistics {
    let exact = |value: &Value, type_| match scalar(value, type_) {
        Some(value) => Precision::Exact(value),
        None => Precision::Absent,
    };
    let column_statistics = schema.fields().iter().map(|field| {
        let Some(stats) = file.columns.get(field.name()) else {
            return ColumnStatistics::new_unknown();
        };
        ColumnStatistics {
            null_count: Precision::Exact(stats.nulls as usize),
            min_value: exact(&stats.min, field.data_type()),
            max_value: exact(&stats.max, field.data_type()),
            ..ColumnStatistics::new_unknown()
        }
    });
    Statistics {
        num_rows: Precision::Exact(file.rows as usize),
        total_byte_size: Precision::Inexact(file.bytes as usize),
        column_statistics: column_statistics.collect(),
    }
}

/// A bound from its form in the log; `None` where it is unknown or no value of the type.
fn scalar(value: &Value, type_: &DataType) -> Option<ScalarValue> {
    Some(match type_ {
        DataType::Utf8 => ScalarValue::Utf8(Some(value.as_str()?.to_owned())),
        DataType::Boolean => ScalarValue::Boolean(Some(value.as_bool()?)),
        DataType::Int32 => ScalarValue::Int32(Some(value.as_i64()?.try_into().ok()?)),
        DataType::Int64 => ScalarValue::Int64(Some(value.as_i64()?)),
        DataType::Float32 => ScalarValue::Float32(Some(value.as_f64()? as f32)),
        DataType::Float64 => ScalarValue::Float64(Some(value.as_f64()?)),
        DataType::Date32 => ScalarValue::Date32(Some(value.as_i64()?.try_into().ok()?)),
        DataType::Timestamp(_, zone) => {
            ScalarValue::TimestampMicrosecond(Some(value.as_i64()?), zone.clone())
        }
        DataType::Decimal128(precision, scale) => {
            ScalarValue::Decimal128(Some(value.as_str()?.parse().ok()?), *precision, *scale)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use cloudops_operators::schema::{cost, timestamp};
    use serde_json::json;

    use super::*;

    fn file(rows: u64) -> Arc<DataFile> {
        Arc::new(DataFile {
            table: "late".into(),
            path: "data/late/p/e0-w0of1-0.parquet".into(),
            bytes: 1,
            sha256: String::new(),
            rows,
            columns: Default::default(),
        })
    }

    #[test]
    fn a_limit_needs_the_first_files_only() {
        let files = [file(2), file(0), file(3), file(9)];
        for (limit, count) in [(0, 0), (1, 1), (2, 1), (3, 3), (5, 3), (6, 4), (99, 4)] {
            assert_eq!(enough(&files, limit), count, "{limit}");
        }
    }

    #[test]
    fn a_bound_is_a_value_of_its_columns_type_or_unknown() {
        let text = |value| scalar(&value, &DataType::Utf8).map(|value| value.to_string());
        assert_eq!(text(json!("a")), Some("a".to_owned()));
        assert_eq!(text(json!(null)), None);
        assert_eq!(text(json!(7)), None);
        assert_eq!(
            scalar(&json!(i64::MAX), &DataType::Int64),
            Some(ScalarValue::Int64(Some(i64::MAX)))
        );
        assert_eq!(scalar(&json!(u64::MAX), &DataType::Int64), None);
        assert_eq!(scalar(&json!(i64::MAX), &DataType::Int32), None);
        assert_eq!(
            scalar(&json!(5), &timestamp()),
            Some(ScalarValue::TimestampMicrosecond(Some(5), Some("UTC".into())))
        );
        assert_eq!(
            scalar(&json!("1500000000000"), &cost::money()),
            Some(ScalarValue::Decimal128(Some(1_500_000_000_000), 38, 12))
        );
    }
}
