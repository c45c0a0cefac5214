//! Which sizes a bill names, what an hour of each costs, and which resource is of which.
//!
//! A size's name stands, first that is found: in FOCUS `SkuPriceDetails` (since 1.2) as `InstanceType`, or
//! as `ServiceType`, which is Microsoft's; in `SkuMeter`, as Amazon's `USW2-BoxUsage:m5.large`; in
//! `ChargeDescription`, as Amazon's `$0.096 per On Demand Linux m5.large Instance Hour`. Of Google, whose
//! rows are of vCPUs and of memory, `ChargeDescription` names the series: `N2 Instance Core running in …`.
//!
//! A price is that of a row of standard use, by the hour. `ContractedUnitPrice` holds where it explains
//! what was billed, else `ListUnitPrice` where that does, else what was billed for each hour: samples of
//! real bills have contracted prices that were rounded to whole dollars.

use std::collections::HashMap;

use arrow::array::{Array, Decimal128Array, RecordBatch};
use arrow::datatypes::{Date32Type, Decimal128Type};
use serde_json::{Map, Value};

use super::price::{CORE, RAM, Seen, Sold, in_proportion};
use super::size::provider;
use crate::Result;
use crate::epoch::Partition;
use crate::schema::cost::{
    BILLED_COST, CHARGE_CATEGORY, CHARGE_CLASS, CURRENCY, DAY, KNOWN_ON, MONEY_SCALE, PROVIDER,
    REGION, RESOURCE,
};
use crate::schema::focus::{
    CHARGE_DESCRIPTION, COMMITMENT, CONTRACTED_UNIT_PRICE, LIST_COST, LIST_UNIT_PRICE,
    PRICING_CATEGORY, PRICING_QUANTITY, PRICING_UNIT, SKU_METER, SKU_PRICE_DETAILS,
};
use crate::schema::{Labels, labels, numbers, offsets};

/// What a row of a bill says of a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// What was sold. Of Google's vCPUs and memory the name of the series stands for a size's, such as
    /// `n2 core`.
    pub sold: Sold,
    /// The resource that is of this size; none where the row is of a part, or names none.
    pub resource: Option<String>,
    /// The day of the charge, since 1970-01-01.
    pub day: i32,
    /// The day on which the row became known; that of the charge where rows do not tell.
    pub known_on: i32,
    /// Which row of its partition it is.
    pub offset: u64,
    /// Whether a commitment covers the use: then a smaller size saves nothing until the commitment ends,
    /// or something else uses it.
    pub committed: bool,
    /// What an hour costs, in units of 10⁻¹²; none where the row does not tell.
    pub hour: Option<i128>,
}

impl Observation {
    /// The price that it shows, if it does, for [`super::Prices::see`].
    #[must_use]
    pub fn seen(&self, partition: Partition) -> Option<Seen> {
        let Self { day, known_on, offset, .. } = *self;
        Some(Seen { day, known_on, hour: self.hour?, partition, offset })
    }
}

/// What rows with FOCUS's other columns ([`crate::schema::focus::schema`]) say of sizes: one for a row
/// that names one, two for a row of a part of a known machine.
///
/// # Errors
/// [`crate::Error::Column`] when a column is missing or of another type.
pub fn priced(rows: &RecordBatch) -> Result<Vec<Observation>> {
    let columns = Columns::of(rows)?;
    let mut named = HashMap::new();
    let mut found = Vec::new();
    for row in 0..rows.num_rows() {
        let of_use = columns.category.get(row).is_some_and(|category| is(category, "Usage"));
        if !of_use || columns.class.get(row).is_some() {
            continue;
        }
        let Some(unit) = columns.unit.get(row).and_then(Unit::of) else { continue };
        let texts = columns.texts.map(|texts| texts.get(row));
        let provider = columns.provider.get(row).unwrap_or_default();
        let name: &Named =
            named.entry((provider, texts)).or_insert_with(|| Named::of(provider, texts));
        let hour = columns.hour(row, unit.count()).filter(|_| name.standard);
        let part = name.part.as_ref().filter(|(_, what)| *what == unit.part());
        if let Some((series, what)) = part {
            found.push(columns.observation(row, name, format!("{series} {what}"), None, hour));
        }
        if let (Some(size), Unit::Hours(_)) = (&name.size, unit) {
            let (resource, hour) = (columns.resource.get(row), hour.filter(|_| name.whole));
            if hour.is_some() || resource.is_some() {
                found.push(columns.observation(row, name, size.clone(), resource, hour));
            }
        }
    }
    Ok(found)
}

/// What is priced, and how many of it a unit has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Of a machine or a vCPU.
    Hours(i128),
    /// Of a GiB of memory.
    GibHours(i128),
}

impl Unit {
    /// As `Hours`, `Hrs`, `1 Hour`, `100 Hours`, `gibibyte hour`, `GiB-Hours`.
    fn of(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let count = if digits == 0 { 1 } else { text[..digits].parse().ok()? };
        if count == 0 {
            return None;
        }
        let words: Vec<&str> = words(&text[digits..]).collect();
        match words[..] {
            ["hour" | "hours" | "hr" | "hrs" | "h"] => Some(Self::Hours(count)),
            ["gibibyte" | "gib" | "gb" | "gibyte", "hour" | "hours"] => Some(Self::GibHours(count)),
            _ => None,
        }
    }

    fn count(self) -> i128 {
        match self {
            Self::Hours(count) | Self::GibHours(count) => count,
        }
    }

    /// What of a machine is sold by it.
    fn part(self) -> &'static str {
        match self {
            Self::Hours(_) => CORE,
            Self::GibHours(_) => RAM,
        }
    }
}

/// Where texts stand among those that name a size.
const DETAILS: usize = 0;
const METER: usize = 1;
const DESCRIPTION: usize = 2;

/// What a row's texts name.
struct Named {
    provider: String,
    /// The size, in lower case.
    size: Option<String>,
    /// Series and what of it.
    part: Option<(String, &'static str)>,
    terms: String,
    /// Whether the row's price is that of a whole machine.
    whole: bool,
    /// Whether it is what everyone pays: neither spot nor reserved.
    standard: bool,
}

impl Named {
    fn of(provider_name: &str, texts: [Option<&str>; 3]) -> Self {
        let provider = provider(provider_name);
        let lower = texts.map(|text| text.unwrap_or_default().to_ascii_lowercase());
        let details = texts[DETAILS].map(properties).unwrap_or_default();
        let property = |names: &[&str]| {
            details
                .iter()
                .find(|(name, _)| names.contains(&name.as_str()))
                .map(|(_, value)| &value[..])
        };
        let size = property(&["instancetype", "servicetype"])
            .or_else(|| of_meter(&lower[METER]))
            .or_else(|| of_description(&lower[DESCRIPTION]));
        let said: Vec<&str> = words(&lower[METER]).chain(words(&lower[DESCRIPTION])).collect();
        // A row of a machine's bandwidth to its disks is no row of the machine.
        let beside = said.iter().any(|word| *word == "mbps" || word.starts_with("ebsoptimized"));
        let otherwise =
            |word: &&str| word.starts_with("spot") || *word == "reserved" || *word == "preemptible";
        let google = provider == "gcp";
        let terms =
            if google { String::new() } else { terms(&lower, property(&["operatingsystem"])) };
        Self {
            size: size.map(str::to_owned),
            part: google.then(|| part(&lower[DESCRIPTION])).flatten(),
            terms,
            whole: !google && !beside,
            standard: !said.iter().any(otherwise),
            provider,
        }
    }
}

/// The words of a text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

/// The properties of `SkuPriceDetails` that are text, their names in lower case and without `x_`, their
/// values in lower case; none where it is no object.
fn properties(text: &str) -> Vec<(String, String)> {
    let object: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    let plain = |(name, value): (String, Value)| {
        let name = name.to_ascii_lowercase();
        let name = name.strip_prefix("x_").unwrap_or(&name).to_owned();
        let value = value.as_str()?.trim().to_ascii_lowercase();
        (!value.is_empty()).then_some((name, value))
    };
    object.into_iter().filter_map(plain).collect()
}

/// The size that Amazon's usage type ends in.
fn of_meter(meter: &str) -> Option<&str> {
    const KINDS: [&str; 6] =
        ["boxusage", "spotusage", "dedicatedusage", "instanceusage", "multi-azusage", "nodeusage"];
    let (kind, size) = meter.rsplit_once(':')?;
    (KINDS.iter().any(|known| kind.ends_with(known)) && is_size(size)).then_some(size)
}

/// The size in Amazon's description of an instance's hour.
fn of_description(text: &str) -> Option<&str> {
    let hour = ["instance hour", "instance-hour", "reserved instance"];
    let told = hour.iter().any(|hour| text.contains(hour));
    let mut words = text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '(' | ')'));
    told.then(|| words.find(|word| is_size(word)))?
}

/// Whether a word is the name of one of Amazon's sizes, such as `m5.large`, `db.r6g.2xlarge`.
fn is_size(word: &str) -> bool {
    const STEPS: [&str; 6] = ["nano", "micro", "small", "medium", "large", "metal"];
    let Some((family, step)) = word.rsplit_once('.') else { return false };
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let family = family.starts_with(|c: char| c.is_ascii_alphabetic()) && family.chars().all(good);
    let times = step.strip_suffix("xlarge");
    let larger = times.is_some_and(|times| times.chars().all(|c| c.is_ascii_digit()));
    family && (larger || step.starts_with("metal-") || STEPS.contains(&step))
}

/// What else a price depends on: words that stand for systems, licences and tenancy, and of a database
/// what it runs.
fn terms(lower: &[String; 3], system: Option<&str>) -> String {
    const TERMS: [&str; 8] =
        ["windows", "rhel", "suse", "ubuntu", "sql", "byol", "dedicated", "multi"];
    const EDITIONS: [&str; 4] = ["std", "standard", "web", "enterprise"];
    let [_, meter, description] = lower;
    let (sold, engine) = match description.split_once(" running ") {
        Some((sold, engine)) => (sold, Some(engine.trim())),
        None => (description.as_str(), None),
    };
    let said = words(meter).chain(words(sold)).chain(words(system.unwrap_or_default()));
    let said: Vec<&str> = said.collect();
    let has = |term: &&str| said.iter().any(|word| word.starts_with(term));
    let mut terms: Vec<&str> = TERMS.into_iter().filter(has).collect();
    if has(&"sql") {
        terms.extend(EDITIONS.into_iter().filter(has));
    }
    terms.extend(engine);
    terms.join(" ")
}

/// Of which of Google's series a row is the vCPUs or the memory, as everyone buys them.
fn part(description: &str) -> Option<(String, &'static str)> {
    const OTHERS: [&str; 6] = ["custom", "spot", "preemptible", "commitment", "sole", "reserved"];
    let words: Vec<&str> = words(description).collect();
    if words.iter().any(|word| OTHERS.contains(word)) || !words.contains(&"running") {
        return None;
    }
    let what = if words.contains(&"core") {
        CORE
    } else if words.contains(&"ram") {
        RAM
    } else {
        return None;
    };
    match words[..] {
        ["compute", "optimized", ..] => Some(("c2".to_owned(), what)),
        ["memory", "optimized", ..] => None,
        [series, ..] => Some((series.to_owned(), what)),
        [] => None,
    }
}

/// A batch's columns.
struct Columns<'a> {
    offsets: &'a [u64],
    days: &'a [i32],
    known_on: &'a [i32],
    provider: Labels<'a>,
    region: Labels<'a>,
    resource: Labels<'a>,
    category: Labels<'a>,
    class: Labels<'a>,
    currency: Labels<'a>,
    texts: [Labels<'a>; 3],
    unit: Labels<'a>,
    pricing: Labels<'a>,
    commitment: Labels<'a>,
    billed: &'a Decimal128Array,
    quantity: &'a Decimal128Array,
    contracted: &'a Decimal128Array,
    list: &'a Decimal128Array,
    list_cost: &'a Decimal128Array,
}

impl<'a> Columns<'a> {
    fn of(rows: &'a RecordBatch) -> Result<Self> {
        let text = |name| labels(rows, name);
        let amount = |name| numbers::<Decimal128Type>(rows, name);
        let known_on = if rows.column_by_name(KNOWN_ON).is_some() { KNOWN_ON } else { DAY };
        Ok(Self {
            offsets: offsets(rows)?.values(),
            days: numbers::<Date32Type>(rows, DAY)?.values(),
            known_on: numbers::<Date32Type>(rows, known_on)?.values(),
            provider: text(PROVIDER)?,
            region: text(REGION)?,
            resource: text(RESOURCE)?,
            category: text(CHARGE_CATEGORY)?,
            class: text(CHARGE_CLASS)?,
            currency: text(CURRENCY)?,
            texts: [text(SKU_PRICE_DETAILS)?, text(SKU_METER)?, text(CHARGE_DESCRIPTION)?],
            unit: text(PRICING_UNIT)?,
            pricing: text(PRICING_CATEGORY)?,
            commitment: text(COMMITMENT)?,
            billed: amount(BILLED_COST)?,
            quantity: amount(PRICING_QUANTITY)?,
            contracted: amount(CONTRACTED_UNIT_PRICE)?,
            list: amount(LIST_UNIT_PRICE)?,
            list_cost: amount(LIST_COST)?,
        })
    }

    /// What a row says of a size, or of a part.
    fn observation(
        &self,
        row: usize,
        name: &Named,
        size: String,
        resource: Option<&str>,
        hour: Option<i128>,
    ) -> Observation {
        let text = |labels: Labels<'_>| labels.get(row).unwrap_or_default().to_owned();
        Observation {
            sold: Sold {
                provider: name.provider.clone(),
                region: text(self.region),
                terms: name.terms.clone(),
                currency: text(self.currency),
                size,
            },
            resource: resource.map(str::to_owned),
            day: self.days[row],
            known_on: self.known_on[row],
            offset: self.offsets[row],
            committed: self.committed(row),
            hour,
        }
    }

    fn committed(&self, row: usize) -> bool {
        let category = self.pricing.get(row);
        self.commitment.get(row).is_some() || category.is_some_and(|name| is(name, "Committed"))
    }

    /// What an hour costs where everyone pays as much; a pricing unit is `count` hours.
    fn hour(&self, row: usize, count: i128) -> Option<i128> {
        let standard = self.pricing.get(row).is_none_or(|category| is(category, "Standard"));
        if !standard || self.committed(row) {
            return None;
        }
        let above_nought = |amounts: &Decimal128Array| {
            let amount = (!amounts.is_null(row)).then(|| amounts.value(row));
            amount.filter(|amount| *amount > 0)
        };
        let quantity = above_nought(self.quantity);
        let each = |cost: &Decimal128Array| in_proportion(above_nought(cost)?, UNIT, quantity?);
        let list = above_nought(self.list).or_else(|| each(self.list_cost));
        let stated = [above_nought(self.contracted), list];
        let unit = match each(self.billed) {
            // Nothing was billed: the price is what would have been.
            None => stated.into_iter().flatten().next(),
            Some(paid) => {
                let explains = |price: &i128| (price - paid).abs() <= paid / 100;
                Some(stated.into_iter().flatten().find(explains).unwrap_or(paid))
            }
        };
        in_proportion(unit?, 1, count).filter(|hour| *hour > 0)
    }
}

/// One, as amounts have it.
const UNIT: i128 = 10_i128.pow(MONEY_SCALE as u32);

/// Whether a name is the one that FOCUS has.
fn is(name: &str, focus: &str) -> bool {
    name.eq_ignore_ascii_case(focus)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Date32Array, Decimal128Array, StringArray, UInt64Array, new_null_array,
    };
    use arrow::compute::cast;
    use arrow::datatypes::{Field, Schema};

    use super::*;
    use crate::schema::OFFSET;
    use crate::schema::focus;

    /// A row of a bill: what its columns hold, by name; amounts in thousandths.
    type Row<'a> = &'a [(&'a str, &'a str)];

    fn batch(rows: &[Row<'_>]) -> RecordBatch {
        let schema = focus::schema();
        let cell = |row: &Row<'_>, name: &str| {
            let told = row.iter().find(|(column, _)| *column == name).map(|(_, value)| *value);
            told.or(match name {
                PROVIDER => Some("AWS"),
                REGION => Some("eu-west-1"),
                CHARGE_CATEGORY => Some("Usage"),
                CURRENCY => Some("USD"),
                PRICING_UNIT => Some("Hours"),
                PRICING_CATEGORY => Some("Standard"),
                _ => None,
            })
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
        };
        let column = |field: &Arc<Field>| -> ArrayRef {
            let texts: Vec<_> = rows.iter().map(|row| cell(row, field.name())).collect();
            match field.name().as_str() {
                OFFSET => Arc::new(UInt64Array::from_iter_values(10..10 + rows.len() as u64)),
                DAY => Arc::new(Date32Array::from(vec![20_000; rows.len()])),
                _ if *field.data_type() == focus::Holds::Amount.arrow() => {
                    let milli = |text: &String| text.parse::<i128>().unwrap() * (UNIT / 1_000);
                    let amounts: Decimal128Array =
                        texts.iter().map(|text| text.as_ref().map(milli)).collect();
                    Arc::new(amounts.with_precision_and_scale(38, MONEY_SCALE).unwrap())
                }
                _ if *field.data_type() == focus::Holds::Text.arrow() => {
                    cast(&StringArray::from(texts), field.data_type()).unwrap()
                }
                _ => new_null_array(field.data_type(), rows.len()),
            }
        };
        let columns = schema.fields().iter().map(column).collect();
        let nullable = |field: &Arc<Field>| field.as_ref().clone().with_nullable(true);
        let fields: Vec<_> = schema.fields().iter().map(nullable).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    /// What a row says: size, terms, resource, and the price of an hour in thousandths.
    #[track_caller]
    fn check(row: Row<'_>, expected: &[(&str, &str, Option<&str>, Option<i128>)]) {
        let found = priced(&batch(&[row])).unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|of| {
                let hour = of.hour.map(|hour| hour * 1_000 / UNIT);
                (&of.sold.size[..], &of.sold.terms[..], of.resource.as_deref(), hour)
            })
            .collect();
        assert_eq!(told, expected, "{row:?}");
    }

    const LINUX: &str = "$0.34 per On Demand Linux c5.2xlarge Instance Hour";

    #[test]
    fn a_size_is_named_by_details_meter_or_description() {
        let priced = [("billed_cost", "680"), (PRICING_QUANTITY, "2000"), (RESOURCE, "i-1")];
        let row = |name, value| [&[(name, value)][..], &priced].concat();
        let one = |size, terms| [(size, terms, Some("i-1"), Some(340))];
        check(&row(CHARGE_DESCRIPTION, LINUX), &one("c5.2xlarge", ""));
        check(&row(SKU_METER, "EUW1-BoxUsage:c5.2xlarge"), &one("c5.2xlarge", ""));
        check(&row(SKU_METER, "DedicatedUsage:c5.2xlarge"), &one("c5.2xlarge", "dedicated"));
        let details =
            r#"{"InstanceType": "C5.2xlarge", "OperatingSystem": "Windows", "CoreCount": 8}"#;
        check(&row(SKU_PRICE_DETAILS, details), &one("c5.2xlarge", "windows"));
        let details = r#"{"x_ServiceType": "Standard_D4s_v5", "x_VCPUs": 4}"#;
        check(&row(SKU_PRICE_DETAILS, details), &one("standard_d4s_v5", ""));
        let windows = "$0.5 per On Demand Windows with SQL Std c5.2xlarge Instance Hour";
        check(&row(CHARGE_DESCRIPTION, windows), &one("c5.2xlarge", "windows sql std"));
        let database =
            "USD 0.34 per db.t3.micro Single-AZ instance hour (or partial hour) running MySQL";
        check(&row(CHARGE_DESCRIPTION, database), &one("db.t3.micro", "mysql"));
        for other in [
            "$0.0952 per GB-month of General Purpose (gp3) provisioned storage",
            "$0.05 per vCPU-Hour of T3 CPU Credits",
            "Enhanced version v1.large of something",
        ] {
            check(&row(CHARGE_DESCRIPTION, other), &[]);
        }
        check(&row(SKU_PRICE_DETAILS, "no object"), &[]);
        check(&row(SKU_METER, "EUW1-EBSOptimized:c5.2xlarge"), &[]);
    }

    #[test]
    fn a_price_is_what_explains_what_was_billed() {
        let named = [(CHARGE_DESCRIPTION, LINUX), (PRICING_QUANTITY, "500")];
        let hour = |more: Row<'_>, hour: i128| {
            check(&[&named[..], more].concat(), &[("c5.2xlarge", "", None, Some(hour))]);
        };
        let (billed, contracted, list) = ("billed_cost", CONTRACTED_UNIT_PRICE, LIST_UNIT_PRICE);
        hour(&[(billed, "150"), (contracted, "300"), (list, "340")], 300);
        // Rounded to nought, or to a whole dollar.
        hour(&[(billed, "170"), (contracted, "0"), (list, "340")], 340);
        hour(&[(billed, "170"), (contracted, "1000"), (list, "340")], 340);
        hour(&[(billed, "100"), (contracted, "1000"), (list, "340")], 200);
        hour(&[(billed, "170"), (LIST_COST, "170")], 340);
        hour(&[(billed, "0"), (contracted, "300"), (list, "340")], 300);
        hour(&[(billed, "0"), (contracted, "0"), (list, "340")], 340);
        // Of a hundred hours at once.
        hour(&[(billed, "17000"), (list, "34000"), (PRICING_UNIT, "100 Hours")], 340);
        // Without a price or a resource nothing is told.
        check(&named, &[]);
    }

    #[test]
    fn what_is_not_standard_use_has_no_price_but_a_size() {
        let priced = [("billed_cost", "340"), (PRICING_QUANTITY, "1000"), (RESOURCE, "i-1")];
        let row = |more: Row<'static>| [&[(CHARGE_DESCRIPTION, LINUX)], &priced[..], more].concat();
        let size_alone = [("c5.2xlarge", "", Some("i-1"), None)];
        check(&row(&[]), &[("c5.2xlarge", "", Some("i-1"), Some(340))]);
        let committed = [&[(CHARGE_DESCRIPTION, LINUX)], &priced[..]].concat();
        let of = |more: Row<'_>| {
            let more: Vec<_> = more.iter().chain(&committed).copied().collect();
            check(&more, &size_alone);
            priced_one(&more).committed
        };
        assert!(of(&[(PRICING_CATEGORY, "Committed")]));
        assert!(of(&[(COMMITMENT, "plan")]));
        assert!(!of(&[(PRICING_CATEGORY, "Dynamic")]));
        assert!(!of(&[(SKU_METER, "SpotUsage:c5.2xlarge")]));
        check(&row(&[(CHARGE_CLASS, "Correction")]), &[]);
        check(&row(&[(CHARGE_CATEGORY, "Purchase")]), &[]);
        check(&row(&[(PRICING_UNIT, "GB-Months")]), &[]);
        // Bandwidth to disks is sold by the instance hour too.
        let beside = "$0.01 for 175 Mbps per t3a.small instance-hour (or partial hour)";
        let beside = [&[(CHARGE_DESCRIPTION, beside)], &priced[..]].concat();
        check(&beside, &[("t3a.small", "", Some("i-1"), None)]);
    }

    fn priced_one(row: Row<'_>) -> Observation {
        priced(&batch(&[row])).unwrap().remove(0)
    }

    #[test]
    fn google_sells_parts() {
        let machine = r#"{"InstanceType": "n2-standard-4"}"#;
        let row = |description, unit| {
            [
                (PROVIDER, "Google Cloud"),
                (SKU_PRICE_DETAILS, machine),
                (CHARGE_DESCRIPTION, description),
                (PRICING_UNIT, unit),
                (PRICING_CATEGORY, ""),
                ("billed_cost", "128"),
                (PRICING_QUANTITY, "4000"),
                (RESOURCE, "//compute/vm"),
            ]
        };
        let size = ("n2-standard-4", "", Some("//compute/vm"), None);
        let core = "N2 Instance Core running in Frankfurt";
        check(&row(core, "hour"), &[("n2 core", "", None, Some(32)), size]);
        let ram = "N2 Instance Ram running in Frankfurt";
        check(&row(ram, "gibibyte hour"), &[("n2 ram", "", None, Some(32))]);
        let custom = "N2 Custom Instance Core running in Frankfurt";
        check(&row(custom, "hour"), &[size]);
        let c2 = "Compute optimized Core running in Frankfurt";
        check(&row(c2, "hour"), &[("c2 core", "", None, Some(32)), size]);
    }

    #[test]
    fn rows_are_told_by_their_place() {
        let row = [
            (CHARGE_DESCRIPTION, LINUX),
            (LIST_UNIT_PRICE, "340"),
            (PROVIDER, "Amazon Web Services"),
        ];
        let found = priced(&batch(&[&[], &row, &row])).unwrap();
        assert_eq!(found.iter().map(|of| of.offset).collect::<Vec<_>>(), [11, 12]);
        let seen = found[0].seen(Partition(4)).unwrap();
        assert_eq!((seen.day, seen.known_on, seen.partition), (20_000, 20_000, Partition(4)));
        let sold = &found[0].sold;
        assert_eq!((&sold.provider[..], &sold.region[..]), ("aws", "eu-west-1"));
        let without = batch(&[]).project(&[0, 1, 2]).unwrap();
        assert!(priced(&without).is_err(), "a bill that was read without its details");
    }
}
