//! Our SQL functions.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use cloudops_operators::event::Technique;
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use serde_json::{Map, Value};

/// `tag(tags, name)`: the value of one tag of a JSON object of tags; null where there is none.
#[must_use]
pub fn tag() -> ScalarUDF {
    ScalarUDF::from(Tag { signature: Signature::string(2, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Tag {
    signature: Signature,
}

impl ScalarUDFImpl for Tag {
    fn name(&self) -> &'static str {
        "tag"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut texts = Vec::with_capacity(2);
        for array in ColumnarValue::values_to_arrays(&args.args)? {
            texts.push(cast(&array, &DataType::Utf8)?);
        }
        let (Some(tags), Some(names)) = (texts.first(), texts.get(1)) else {
            return datafusion::common::exec_err!("tag takes the tags and the name of one");
        };
        let pairs = tags.as_string::<i32>().iter().zip(names.as_string::<i32>());
        let mut last: (Option<&str>, Map<String, Value>) = (None, Map::new());
        let values: StringArray = pairs
            .map(|(tags, name)| {
                let (tags, name) = (tags?, name?);
                // Rows of one resource follow each other.
                if last.0 != Some(tags) {
                    last = (Some(tags), serde_json::from_str(tags).unwrap_or_default());
                }
                match last.1.get(name)? {
                    Value::Null => None,
                    Value::String(text) => Some(text.clone()),
                    other => Some(other.to_string()),
                }
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(values) as ArrayRef))
    }
}

/// `attack_name(id)`: the name of an ATT&CK technique; null where it is not one that findings are marked
/// with.
#[must_use]
pub fn attack_name() -> ScalarUDF {
    ScalarUDF::from(Attack::new(Fact::Name))
}

/// `attack_tactic(id)`: the id of the tactic that a technique serves, `TA0005`; null as above.
#[must_use]
pub fn attack_tactic() -> ScalarUDF {
    ScalarUDF::from(Attack::new(Fact::Tactic))
}

/// What is known of a technique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fact {
    Name,
    Tactic,
}

/// A technique's id to a fact.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Attack {
    signature: Signature,
    fact: Fact,
}

impl Attack {
    fn new(fact: Fact) -> Self {
        Self { signature: Signature::string(1, Volatility::Immutable), fact }
    }
}

impl ScalarUDFImpl for Attack {
    fn name(&self) -> &'static str {
        match self.fact {
            Fact::Name => "attack_name",
            Fact::Tactic => "attack_tactic",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(ids) = arrays.first() else {
            return datafusion::common::exec_err!("{} takes a technique's id", self.name());
        };
        let ids = cast(ids, &DataType::Utf8)?;
        let ids = ids.as_string::<i32>().iter();
        let told = |technique: &'static Technique| match self.fact {
            Fact::Name => technique.name,
            Fact::Tactic => technique.tactic,
        };
        let values: StringArray = ids.map(|id| Technique::by_id(id?).map(told)).collect();
        Ok(ColumnarValue::Array(Arc::new(values) as ArrayRef))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn a_tag_is_its_value_as_text() {
        let context = SessionContext::new();
        context.register_udf(tag());
        let cases = [
            (r#"'{"env": "prod"}', 'env'"#, Some("prod")),
            (r#"'{"env": "prod"}', 'team'"#, None),
            (r#"'{"n": 7, "of": [1]}', 'n'"#, Some("7")),
            (r#"'{"n": null}', 'n'"#, None),
            ("'no object', 'n'", None),
            ("NULL, 'n'", None),
        ];
        for (arguments, expected) in cases {
            let query = format!("SELECT tag({arguments})");
            let batches = context.sql(&query).await.unwrap().collect().await.unwrap();
            let values = batches[0].column(0).as_string::<i32>();
            assert_eq!(values.is_valid(0).then(|| values.value(0)), expected, "{arguments}");
        }
    }
}
