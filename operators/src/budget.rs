//! Forecasts against budgets: what a month will have come to, and on which day a budget is used up.
//!
//! A budget is of one account's calendar month in one currency. Every forecast of the account gives a
//! row: what was spent, what the month will come to, and when the amount is exceeded, which is the
//! first day on which what was spent and the total till then exceed it: by the total's middle, and by
//! its ninetieth hundredth, which is about as early as it may be.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Field, Int32Type, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::bill::month_of;
use crate::forecast::{DAYS_AHEAD, KNOWN_TO, SPENT};
use crate::schema::cost::{CURRENCY, DAY, money, money_array};
use crate::schema::result::{MODEL, MODEL_VERSION, OFFSET_FROM, OFFSET_TO, PARTITION};
use crate::schema::{ENTITY_ID, column, numbers, texts};
use crate::{Error, Result};

/// The budget's name; `Utf8`.
pub const BUDGET: &str = "budget";
/// The calendar month's first day; `Date32`.
pub const MONTH: &str = "month";
/// What may be spent; money.
pub const AMOUNT: &str = "amount";
/// What the month will have come to, as quantiles; money.
pub const MONTH_END: [&str; 3] = ["end_p10", "end_p50", "end_p90"];
/// `over`, `breach` (by the middle), `risk` (by the ninetieth hundredth) or `within`; `Utf8`.
pub const STATE: &str = "state";
/// The day on which the middle exceeds the amount; `Date32`, null where it does not.
pub const BREACH_ON: &str = "breach_on";
/// The same of the ninetieth hundredth; `Date32`, null where it does not.
pub const BREACH_EARLIEST: &str = "breach_earliest";

/// An amount that an account may spend in a calendar month.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Its name in results.
    pub name: String,
    /// Accounts that have it, each for itself; all where none is named.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// FOCUS `BillingCurrency`.
    pub currency: String,
    /// What may be spent in a month.
    pub amount: f64,
}

/// The columns of results.
#[must_use]
pub fn budget_schema() -> SchemaRef {
    let field = |name: &str, kind| Field::new(name, kind, false);
    let mut fields = vec![
        field(PARTITION, DataType::UInt32),
        field(OFFSET_FROM, DataType::UInt64),
        field(OFFSET_TO, DataType::UInt64),
        field(ENTITY_ID, DataType::Utf8),
        field(CURRENCY, DataType::Utf8),
        field(KNOWN_TO, DataType::Date32),
        field(MODEL, DataType::Utf8),
        field(MODEL_VERSION, DataType::Utf8),
        field(BUDGET, DataType::Utf8),
        field(MONTH, DataType::Date32),
        field(AMOUNT, money()),
        field(SPENT, money()),
    ];
    fields.extend(MONTH_END.map(|name| field(name, money())));
    fields.extend([
        field(STATE, DataType::Utf8),
        Field::new(BREACH_ON, DataType::Date32, true),
        Field::new(BREACH_EARLIEST, DataType::Date32, true),
    ]);
    Arc::new(Schema::new(fields))
}

/// One budget's amount and the rows of a forecast's first month.
struct Judged<'a> {
    budget: &'a Budget,
    amount: i128,
    /// The forecast's first row.
    row: usize,
    spent: i128,
    month_end: [i128; 3],
    breach_on: Option<i32>,
    breach_earliest: Option<i32>,
}

impl Judged<'_> {
    fn state(&self) -> &'static str {
        match self {
            Self { spent, amount, .. } if spent > amount => "over",
            Self { breach_on: Some(_), .. } => "breach",
            Self { breach_earliest: Some(_), .. } => "risk",
            _ => "within",
        }
    }
}

/// The operator: holds forecasts against budgets. It remembers nothing.
#[derive(Debug, Clone)]
pub struct Budgets(Vec<(Budget, i128)>);

impl Budgets {
    /// An operator of these budgets.
    ///
    /// # Errors
    /// [`Error::Configuration`] when one has no name or currency, an amount that is none, or the name
    /// of another.
    pub fn new(budgets: &[Budget]) -> Result<Self> {
        for (at, budget) in budgets.iter().enumerate() {
            let refused =
                |what: &str| Err(Error::Configuration(format!("budget {:?}: {what}", budget.name)));
            if budget.name.is_empty() || budget.currency.is_empty() {
                return refused("it needs a name and a currency");
            }
            if !(budget.amount > 0.0 && budget.amount < 1e15) {
                return refused("amount must be above 0");
            }
            if budgets[..at].iter().any(|other| other.name == budget.name) {
                return refused("it is named twice");
            }
        }
        let amount = |budget: &Budget| (budget.amount * 1e6).round() as i128 * 1_000_000;
        Ok(Self(budgets.iter().map(|budget| (budget.clone(), amount(budget))).collect()))
    }

    /// Holds forecasts ([`crate::forecast::forecast_schema`], the days of one after the other) against
    /// the budgets: a row for each of both; none where no budget applies.
    ///
    /// # Errors
    /// [`Error::Column`] when they are not of that schema.
    pub fn judge(&self, ahead: &RecordBatch) -> Result<Option<RecordBatch>> {
        let (entities, currencies) = (texts(ahead, ENTITY_ID)?, texts(ahead, CURRENCY)?);
        let known_to = numbers::<Date32Type>(ahead, KNOWN_TO)?;
        let days = numbers::<Date32Type>(ahead, DAY)?;
        let steps = numbers::<Int32Type>(ahead, DAYS_AHEAD)?;
        let spent = numbers::<Decimal128Type>(ahead, SPENT)?;
        let totals = ["total_p10", "total_p50", "total_p90"]
            .map(|name| numbers::<Decimal128Type>(ahead, name));
        let [p10, p50, p90] = totals;
        let totals = [p10?, p50?, p90?];
        let firsts = (0..ahead.num_rows()).filter(|row| steps.value(*row) == 1);
        let mut judged = Vec::new();
        for row in firsts {
            let month = month_of(days.value(row)).1;
            let of_month = (row..ahead.num_rows())
                .take_while(|at| *at == row || steps.value(*at) != 1)
                .take_while(|at| month.contains(&days.value(*at)));
            for (budget, amount) in self.of(entities.value(row), currencies.value(row)) {
                let exceeds = |quantile: usize| {
                    let mut days_of = of_month.clone();
                    let till = |at: &usize| spent.value(row) + totals[quantile].value(*at);
                    days_of.find(|at| till(at) > *amount).map(|at| days.value(at))
                };
                let Some(last) = of_month.clone().last() else { continue };
                let over = spent.value(row) > *amount;
                judged.push(Judged {
                    budget,
                    amount: *amount,
                    row,
                    spent: spent.value(row),
                    month_end: [0, 1, 2].map(|q: usize| spent.value(row) + totals[q].value(last)),
                    breach_on: if over { Some(known_to.value(row)) } else { exceeds(1) },
                    breach_earliest: if over { Some(known_to.value(row)) } else { exceeds(2) },
                });
            }
        }
        if judged.is_empty() { Ok(None) } else { rows(ahead, &judged).map(Some) }
    }

    /// The budgets of an account in a currency.
    fn of<'a>(
        &'a self,
        account: &'a str,
        currency: &'a str,
    ) -> impl Iterator<Item = &'a (Budget, i128)> {
        self.0.iter().filter(move |(budget, _)| {
            let is_of = budget.accounts.is_empty() || budget.accounts.iter().any(|a| a == account);
            is_of && budget.currency == currency
        })
    }
}

fn rows(ahead: &RecordBatch, judged: &[Judged<'_>]) -> Result<RecordBatch> {
    let firsts = UInt32Array::from_iter_values(judged.iter().map(|judged| judged.row as u32));
    let firsts = take_record_batch(ahead, &firsts)?;
    let amounts = |of: &dyn Fn(&Judged<'_>) -> i128| {
        money_array(judged.iter().map(|judged| Some(of(judged))))
    };
    let days = |of: fn(&Judged<'_>) -> Option<i32>| -> ArrayRef {
        Arc::new(judged.iter().map(of).collect::<Date32Array>())
    };
    let months = numbers::<Date32Type>(&firsts, DAY)?;
    let months = months.values().iter().map(|day| month_of(*day).1.start);
    let names = judged.iter().map(|judged| judged.budget.name.as_str());
    let states = judged.iter().map(Judged::state);
    let mut columns = Vec::new();
    for field in &budget_schema().fields()[..8] {
        columns.push(Arc::clone(column(&firsts, field.name())?));
    }
    columns.extend([
        Arc::new(StringArray::from_iter_values(names)) as ArrayRef,
        Arc::new(Date32Array::from_iter_values(months)),
        amounts(&|judged| judged.amount)?,
        amounts(&|judged| judged.spent)?,
        amounts(&|judged| judged.month_end[0])?,
        amounts(&|judged| judged.month_end[1])?,
        amounts(&|judged| judged.month_end[2])?,
        Arc::new(StringArray::from_iter_values(states)),
        days(|judged| judged.breach_on),
        days(|judged| judged.breach_earliest),
    ]);
    Ok(RecordBatch::try_new(budget_schema(), columns)?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Int32Array, UInt64Array, new_null_array};

    use super::*;
    use crate::forecast::forecast_schema;

    const UNIT: i128 = 1_000_000_000_000;

    /// Forecasts of two accounts from 1970-01-22 on: 10 a day, 12 where it goes ill; `spent` so far.
    fn ahead(spent: i128) -> RecordBatch {
        let rows = 40;
        let money = |of: &dyn Fn(i128) -> i128| -> ArrayRef {
            money_array((0..rows).map(|row| Some(of(row % 20 + 1) * UNIT))).unwrap()
        };
        let text = |of: &dyn Fn(i128) -> &'static str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values((0..rows).map(of)))
        };
        let schema = forecast_schema();
        let columns = schema.fields().iter().map(|field| match field.name().as_str() {
            PARTITION => Arc::new(UInt32Array::from_value(0, 40)) as ArrayRef,
            OFFSET_FROM | OFFSET_TO => Arc::new(UInt64Array::from_value(7, 40)),
            ENTITY_ID => text(&|row| if row < 20 { "one" } else { "two" }),
            CURRENCY => text(&|_| "USD"),
            KNOWN_TO => Arc::new(Date32Array::from_value(20, 40)),
            DAY => Arc::new(Date32Array::from_iter_values((0..40).map(|row| 21 + row % 20))),
            DAYS_AHEAD => Arc::new(Int32Array::from_iter_values((0..40).map(|r| 1 + r % 20))),
            "total_p10" => money(&|day| 8 * day),
            "total_p50" => money(&|day| 10 * day),
            "total_p90" => money(&|day| 12 * day),
            SPENT => money(&|_| spent),
            MODEL | MODEL_VERSION => text(&|_| "some"),
            _ if field.is_nullable() => new_null_array(field.data_type(), 40),
            _ => money(&|_| 0),
        });
        RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
    }

    fn budget(amount: f64, accounts: &[&str]) -> Budget {
        let accounts = accounts.iter().map(|name| (*name).to_owned()).collect();
        Budget { name: format!("{amount}"), accounts, currency: "USD".to_owned(), amount }
    }

    /// State, breach and earliest breach of a budget of account one.
    fn judged(amount: f64, spent: i128) -> (String, Option<i32>, Option<i32>, i128) {
        let budgets = Budgets::new(&[budget(amount, &["one"])]).unwrap();
        let rows = budgets.judge(&ahead(spent)).unwrap().unwrap();
        assert_eq!(rows.num_rows(), 1);
        let day = |name: &str| {
            let days = numbers::<Date32Type>(&rows, name).unwrap();
            days.is_valid(0).then(|| days.value(0))
        };
        let end = numbers::<Decimal128Type>(&rows, "end_p50").unwrap().value(0) / UNIT;
        let state = texts(&rows, STATE).unwrap().value(0).to_owned();
        (state, day(BREACH_ON), day(BREACH_EARLIEST), end)
    }

    #[test]
    fn a_budget_is_used_up_on_the_day_that_exceeds_it() {
        // Ten days of January are to come: 100 by the middle, 120 at the worst.
        assert_eq!(judged(400.0, 200), ("within".to_owned(), None, None, 300));
        assert_eq!(judged(310.0, 200), ("risk".to_owned(), None, Some(30), 300));
        assert_eq!(judged(250.0, 200), ("breach".to_owned(), Some(26), Some(25), 300));
        assert_eq!(judged(150.0, 200), ("over".to_owned(), Some(20), Some(20), 300));
    }

    #[test]
    fn a_budget_without_accounts_is_each_ones() {
        let rows = |budget: Budget| Budgets::new(&[budget]).unwrap().judge(&ahead(0)).unwrap();
        assert_eq!(rows(budget(5.0, &[])).unwrap().num_rows(), 2);
        assert!(rows(budget(5.0, &["three"])).is_none());
        let euros = Budget { currency: "EUR".to_owned(), ..budget(5.0, &[]) };
        assert!(rows(euros).is_none(), "amounts of other currencies do not compare");
    }

    #[test]
    fn budgets_that_cannot_be_are_refused() {
        assert!(Budgets::new(&[budget(0.0, &[])]).is_err());
        assert!(Budgets::new(&[budget(5.0, &[]), budget(5.0, &["one"])]).is_err());
        let nameless = Budget { name: String::new(), ..budget(5.0, &[]) };
        assert!(Budgets::new(&[nameless]).is_err());
    }
}
