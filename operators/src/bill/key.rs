//! What costs are added up by: names as numbers, and the key made of them.

use std::rc::Rc;

use arrow::array::{Array, RecordBatch};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::schema::cost::{
    BILLING_ACCOUNT, CHARGE_CATEGORY, CURRENCY, INVOICE, PROVIDER, REGION, RESOURCE, SERVICE,
    SERVICE_CATEGORY, TAGS,
};
use crate::schema::{Labels, labels};
use crate::{Error, Result};

/// A dimension that costs may be told apart by, besides account, provider, billing account, service,
/// currency and day, by which they always are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Dimension {
    /// FOCUS `ServiceCategory`.
    ServiceCategory,
    /// FOCUS `RegionId`.
    Region,
    /// FOCUS `ResourceId`: as many keys as there are resources.
    Resource,
    /// FOCUS `ChargeCategory`.
    ChargeCategory,
    /// FOCUS `InvoiceId`.
    Invoice,
    /// The value of one tag.
    Tag(String),
}

impl TryFrom<String> for Dimension {
    type Error = String;

    fn try_from(name: String) -> std::result::Result<Self, String> {
        Ok(match name.as_str() {
            SERVICE_CATEGORY => Self::ServiceCategory,
            REGION => Self::Region,
            RESOURCE => Self::Resource,
            CHARGE_CATEGORY => Self::ChargeCategory,
            INVOICE => Self::Invoice,
            _ => match name.strip_prefix("tag:") {
                Some(tag) if !tag.is_empty() => Self::Tag(tag.to_owned()),
                _ => {
                    return Err(format!(
                        "unknown dimension {name:?}: write service_category, region, resource, \
                         charge_category, invoice or tag:NAME"
                    ));
                }
            },
        })
    }
}

impl From<Dimension> for String {
    fn from(dimension: Dimension) -> Self {
        match dimension {
            Dimension::ServiceCategory => SERVICE_CATEGORY.to_owned(),
            Dimension::Region => REGION.to_owned(),
            Dimension::Resource => RESOURCE.to_owned(),
            Dimension::ChargeCategory => CHARGE_CATEGORY.to_owned(),
            Dimension::Invoice => INVOICE.to_owned(),
            Dimension::Tag(tag) => format!("tag:{tag}"),
        }
    }
}

/// Places in a key.
pub(crate) const PLACES: usize = 10;
/// The columns at these places; those of them that every row has are first.
pub(crate) const COLUMNS: [&str; PLACES] = [
    PROVIDER,
    BILLING_ACCOUNT,
    SERVICE,
    CURRENCY,
    SERVICE_CATEGORY,
    REGION,
    RESOURCE,
    CHARGE_CATEGORY,
    INVOICE,
    TAGS,
];
/// How many places every key fills.
pub(super) const ALWAYS: usize = 4;

/// A name's number; 0 stands for none.
pub(crate) type Symbol = u32;

/// What one total is of, within an account: symbols at their places, and the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) places: [Symbol; PLACES],
    pub(super) day: i32,
}

/// Names and their numbers.
#[derive(Debug, Clone)]
pub(crate) struct Symbols {
    numbers: HashMap<Rc<str>, Symbol>,
    names: Vec<Rc<str>>,
    /// Each symbol's place in the order of names; made anew when there are new ones.
    ranks: Vec<u32>,
}

impl Default for Symbols {
    fn default() -> Self {
        Self { numbers: HashMap::new(), names: vec![Rc::from("")], ranks: Vec::new() }
    }
}

impl Symbols {
    /// A name's number.
    pub(crate) fn of(&mut self, name: &str) -> Symbol {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let (number, name) = (self.names.len() as Symbol, Rc::<str>::from(name));
        self.numbers.insert(Rc::clone(&name), number);
        self.names.push(name);
        number
    }

    /// A number's name; `None` for 0.
    pub(crate) fn name(&self, symbol: Symbol) -> Option<&str> {
        (symbol != 0).then(|| &*self.names[symbol as usize])
    }

    /// A key by its names: what keys are compared by where numbers must not show.
    pub(super) fn names(&self, key: &Key) -> (i32, [Option<&str>; PLACES]) {
        (key.day, key.places.map(|symbol| self.name(symbol)))
    }

    /// Every symbol's place in the order of names; none is first.
    pub(crate) fn ranks(&mut self) -> &[u32] {
        if self.ranks.len() != self.names.len() {
            let mut order: Vec<u32> = (1..self.names.len() as u32).collect();
            order.sort_unstable_by(|a, b| self.names[*a as usize].cmp(&self.names[*b as usize]));
            self.ranks = vec![0; self.names.len()];
            for (rank, symbol) in order.into_iter().enumerate() {
                self.ranks[symbol as usize] = rank as u32 + 1;
            }
        }
        &self.ranks
    }
}

/// A column whose rows are symbols.
pub(super) enum Coded<'a> {
    /// A batch's keys, and the symbols of its dictionary.
    Keyed(&'a arrow::array::Int32Array, Vec<Symbol>),
    /// One symbol a row.
    Rows(Vec<Symbol>),
}

impl<'a> Coded<'a> {
    /// Codes a column, each distinct text once, as `number` says.
    pub(super) fn of(labels: Labels<'a>, mut number: impl FnMut(&str) -> Symbol) -> Self {
        match labels {
            Labels::Keyed(keys, texts) => {
                let symbols = texts.iter().map(|text| text.map_or(0, &mut number));
                Self::Keyed(keys, symbols.collect())
            }
            Labels::Plain(texts) => {
                Self::Rows(texts.iter().map(|text| text.map_or(0, &mut number)).collect())
            }
        }
    }

    /// A row's symbol.
    #[inline]
    pub(super) fn get(&self, row: usize) -> Symbol {
        match self {
            Self::Keyed(keys, symbols) if keys.null_count() == 0 => {
                symbols[keys.values()[row] as usize]
            }
            Self::Keyed(keys, _) if keys.is_null(row) => 0,
            Self::Keyed(keys, symbols) => symbols[keys.values()[row] as usize],
            Self::Rows(symbols) => symbols[row],
        }
    }
}

/// Which places of a key are filled, and how.
#[derive(Debug, Clone, Default)]
pub(super) struct Grain {
    /// By place: whether it is filled.
    filled: [bool; PLACES],
    /// Tags whose values tell costs apart, in order of name.
    tags: Vec<String>,
}

impl Grain {
    pub(super) fn new(dimensions: &[Dimension]) -> Result<Self> {
        let mut grain = Self { filled: [false; PLACES], tags: Vec::new() };
        grain.filled[..ALWAYS].fill(true);
        for dimension in dimensions {
            let name = String::from(dimension.clone());
            let column = match dimension {
                Dimension::Tag(_) => TAGS,
                _ => name.as_str(),
            };
            let place = COLUMNS.iter().position(|known| *known == column);
            let place = place.ok_or_else(|| Error::Configuration(format!("no column {column}")))?;
            let twice = match dimension {
                Dimension::Tag(tag) => grain.tags.contains(tag),
                _ => grain.filled[place],
            };
            if twice {
                return Err(Error::Configuration(format!("by: {name} is named twice")));
            }
            grain.filled[place] = true;
            if let Dimension::Tag(tag) = dimension {
                grain.tags.push(tag.clone());
            }
        }
        grain.tags.sort();
        Ok(grain)
    }

    /// A batch's columns as symbols, with the places that they fill.
    pub(super) fn code<'a>(
        &self,
        rows: &'a RecordBatch,
        symbols: &mut Symbols,
    ) -> Result<Vec<(usize, Coded<'a>)>> {
        let column = |place: usize| {
            let labels = labels(rows, COLUMNS[place])?;
            let coded = match COLUMNS[place] {
                TAGS => Coded::of(labels, |text| match self.tags_of(text) {
                    Some(kept) => symbols.of(&kept),
                    None => 0,
                }),
                _ => Coded::of(labels, |text| symbols.of(text)),
            };
            Ok((place, coded))
        };
        (0..PLACES).filter(|place| self.filled[*place]).map(column).collect()
    }

    /// Those of a row's tags that tell costs apart, as a JSON object in order of name; `None` where it
    /// has none of them.
    fn tags_of(&self, text: &str) -> Option<String> {
        let all: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
        let mut kept = serde_json::Map::new();
        for tag in &self.tags {
            if let Some(value) = all.get(tag) {
                kept.insert(tag.clone(), value.clone());
            }
        }
        (!kept.is_empty()).then(|| serde_json::Value::Object(kept).to_string())
    }
}
