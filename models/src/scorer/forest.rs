//! A forest's file in ONNX Runtime.

use ort::session::Session;
use ort::value::TensorRef;

use super::plain_session;
use crate::learn::forest::Table;
use crate::onnx::forest::{INPUT, PROBABILITY, SCORE};
use crate::{Error, Result};

/// What a forest says of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct ForestScores {
    /// The positive class's mean share over the trees, one a row.
    pub score: Vec<f32>,
    /// The score calibrated, one a row.
    pub probability: Vec<f32>,
}

/// A forest's file in ONNX Runtime.
#[derive(Debug)]
pub struct ForestScorer {
    session: Session,
}

impl ForestScorer {
    /// The forest of a file that [`crate::onnx::forest::ForestFile::to_onnx`] wrote.
    ///
    /// # Errors
    /// [`Error::Runtime`] when the runtime cannot be loaded or refuses the file.
    pub fn open(onnx: &[u8]) -> Result<Self> {
        Ok(Self { session: plain_session(onnx)? })
    }

    /// Scores every row; a row's bits do not depend on the others.
    ///
    /// # Errors
    /// [`Error::Runtime`] when the runtime fails: the table has other features than the forest, say.
    pub fn run(&mut self, table: &Table) -> Result<ForestScores> {
        let rows = table.len();
        if rows == 0 {
            return Ok(ForestScores { score: vec![], probability: vec![] });
        }
        let failed = |error: ort::Error| Error::Runtime(error.to_string());
        let shape = [rows, table.features.len()];
        let input = TensorRef::from_array_view((shape, table.values())).map_err(failed)?;
        let outputs = self.session.run(ort::inputs![INPUT => input]).map_err(failed)?;
        let output = |name: &str| -> Result<Vec<f32>> {
            let output = outputs
                .get(name)
                .ok_or_else(|| Error::Runtime(format!("the model has no output `{name}`")))?;
            let (_, values) = output.try_extract_tensor::<f32>().map_err(failed)?;
            if values.len() != rows {
                let count = values.len();
                return Err(Error::Runtime(format!("`{name}` has {count} values for {rows} rows")));
            }
            Ok(values.to_vec())
        };
        Ok(ForestScores { score: output(SCORE)?, probability: output(PROBABILITY)? })
    }
}
