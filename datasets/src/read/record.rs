//! Records and their cells: what every text layout, and Parquet read row by row, looks like to a
//! decoder.

use std::borrow::Cow;

use super::RAW_MAX;
use crate::{Error, Result};

/// Why a record cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) field: Option<Cow<'static, str>>,
    pub(crate) reason: String,
}

impl Fault {
    pub(crate) fn of(reason: impl Into<String>) -> Self {
        Self { field: None, reason: reason.into() }
    }

    pub(crate) fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: Some(Cow::Owned(field.into())), reason: reason.into() }
    }

    pub(crate) fn fixed(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field: Some(Cow::Borrowed(field)), reason: reason.into() }
    }
}

/// A record as it stands in the file, for a reject.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    pub(crate) line: Option<u64>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) length: u64,
}

impl Raw {
    pub(crate) fn new(line: Option<u64>, bytes: &[u8], length: u64) -> Self {
        Self { line, bytes: bytes[..bytes.len().min(RAW_MAX)].to_vec(), length }
    }
}

/// A sequence of records.
pub(crate) trait Records: Send {
    /// Moves to the next record; false at the end.
    fn advance(&mut self) -> Result<bool>;

    /// The current record's cells, those asked for, in the order asked.
    fn cells(&mut self) -> Result<Cells<'_>, Fault>;

    /// The line the current record begins at; text only.
    fn line(&self) -> Option<u64>;

    /// The current record as it stands in the file.
    fn raw(&self) -> Raw;
}

/// No cell: a missing field, or JSON's null.
pub(crate) const ABSENT: (u32, u32) = (u32::MAX, 0);

/// The cells of one record: stretches of one text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cells<'a> {
    /// The text that the cells are cut from; a whole JSON value where no cells were asked for.
    pub(crate) text: &'a str,
    pub(crate) spans: &'a [(u32, u32)],
    /// Which span each asked cell is; spans are in asked order when absent.
    pub(crate) select: Option<&'a [Option<usize>]>,
}

impl<'a> Cells<'a> {
    /// The `index`-th cell asked for, trimmed; none when it is absent or empty.
    pub(crate) fn get(&self, index: usize) -> Option<&'a str> {
        let span = match self.select {
            Some(select) => (*select.get(index)?)?,
            None => index,
        };
        let &(from, to) = self.spans.get(span)?;
        let text = self.text.get(from as usize..to as usize)?.trim_ascii();
        (!text.is_empty()).then_some(text)
    }
}

/// A column that a decoder asks for.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    pub(crate) name: String,
    pub(crate) required: bool,
}

impl Want {
    pub(crate) fn required(name: impl Into<String>) -> Self {
        Self { name: name.into(), required: true }
    }

    pub(crate) fn optional(name: impl Into<String>) -> Self {
        Self { name: name.into(), required: false }
    }
}

/// How two column names are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    /// Letter by letter.
    Exact,
    /// Without regard to case, spaces and underscores: `billed_cost` is `BilledCost`.
    Loose,
    /// By letters and digits alone: `line_item_product_code` is `lineItem/ProductCode`.
    Bare,
}

impl Naming {
    pub(crate) fn key(self, name: &str) -> String {
        match self {
            Self::Exact => name.to_owned(),
            Self::Loose => name
                .chars()
                .filter(|c| !matches!(c, '_' | ' '))
                .map(|c| c.to_ascii_lowercase())
                .collect(),
            Self::Bare => name
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .map(|c| c.to_ascii_lowercase())
                .collect(),
        }
    }
}

/// Finds the columns that a decoder asks for among those of a file.
pub(crate) fn select(
    file: &str,
    wants: &[Want],
    found: &[String],
    naming: Naming,
) -> Result<Vec<Option<usize>>> {
    let keys: Vec<String> = found.iter().map(|name| naming.key(name)).collect();
    let mut selected = Vec::with_capacity(wants.len());
    let mut missing = Vec::new();
    for want in wants {
        let key = naming.key(&want.name);
        let mut places = keys.iter().enumerate().filter(|(_, k)| **k == key).map(|(at, _)| at);
        let place = places.next();
        if places.next().is_some() {
            return Err(Error::Corrupt {
                file: file.to_owned(),
                reason: format!("column {} stands twice in the header", want.name),
            });
        }
        if place.is_none() && want.required {
            missing.push(want.name.as_str());
        }
        selected.push(place);
    }
    if missing.is_empty() {
        return Ok(selected);
    }
    Err(Error::Columns { file: file.to_owned(), missing: missing.join(", "), found: listed(found) })
}

/// Where the columns stand whose names begin with a prefix and go on, and their names.
pub(crate) fn below(found: &[String], prefix: &str, naming: Naming) -> (Vec<usize>, Vec<String>) {
    let prefix = naming.key(prefix);
    let is_below = |name: &str| {
        let key = naming.key(name);
        key.len() > prefix.len() && key.starts_with(&prefix)
    };
    let all = found.iter().enumerate().filter(|(_, name)| is_below(name));
    all.map(|(at, name)| (at, name.clone())).unzip()
}

/// Names for a message: the first hundred.
fn listed(names: &[String]) -> String {
    let shown: Vec<&str> =
        names.iter().take(100).map(|name| &name[..name.floor_char_boundary(60)]).collect();
    let more = if names.len() > 100 { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}
