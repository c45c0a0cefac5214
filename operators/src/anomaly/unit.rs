//! An account's days in one currency, and the verdict on a day.

use hashbrown::HashMap;

use super::Rules;
use super::alerts::Event;
use super::expectation::{Expectation, WEEK, expect};
use super::label::{Feedback, Known};
use crate::account::change::{Cell, Change, place_of};
use crate::account::days::{Days, Facts, Origin};
use crate::account::history::{History, Late};
use crate::account::{amount, units};
use crate::bill::Reason;
use crate::bill::key::Symbol;
use crate::bill::month_of;
use crate::schema::cost::SERVICE;

/// The verdict on a day; amounts in units of 10⁻¹².
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Record {
    pub(super) expected: i128,
    /// Usual error, in units of 10⁻¹² too.
    pub(super) scale: i128,
    pub(super) lower: i128,
    pub(super) upper: i128,
    /// What the day came to when it closed.
    pub(super) at_close: i128,
    /// What it comes to now.
    pub(super) now: i128,
}

impl Record {
    pub(super) fn strange(&self, amount: i128) -> bool {
        amount < self.lower || amount > self.upper
    }

    pub(super) fn was_strange(&self) -> bool {
        self.strange(self.at_close)
    }

    pub(super) fn is_strange(&self) -> bool {
        self.strange(self.now)
    }

    /// Whether there is anything to be said of the day.
    pub(super) fn is_off(&self) -> bool {
        self.was_strange() || self.is_strange()
    }

    pub(super) fn deviation(&self) -> i128 {
        self.now - self.expected
    }

    /// By how much it was off when it closed.
    pub(super) fn impact_at_close(&self) -> i128 {
        (self.at_close - self.expected).abs()
    }

    /// By how much it was off at most, when it closed or now.
    pub(super) fn impact(&self) -> i128 {
        self.deviation().abs().max(self.impact_at_close())
    }
}

/// What of a day is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    /// All of it.
    Total,
    /// One service alone.
    Service(Symbol),
}

impl Scope {
    pub(super) fn service(self) -> Option<Symbol> {
        match self {
            Self::Total => None,
            Self::Service(service) => Some(service),
        }
    }
}

/// How much stranger a service must be than the whole: there are many of them.
const SERVICE_FACTOR: f64 = 1.5;

/// One account's charges in one currency.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub(super) entity: Symbol,
    pub(super) currency: Symbol,
    total: Days,
    pub(super) services: Vec<(Symbol, Days)>,
    pub(super) cells: Vec<(Cell, History)>,
    index: HashMap<Cell, u32>,
    /// What was said of its days.
    pub(super) labels: Vec<(Scope, Known)>,
    /// Runs of strange days whose alerts may still change.
    pub(super) events: Vec<Event>,
    /// Days before this one have been judged.
    pub(super) judged_to: i32,
    /// Whether anything has changed since the last checkpoint.
    pub(super) changed: bool,
}

/// Days in a row that are one event, at most: after a week they are the new level.
pub(super) const EVENT_DAYS: i32 = 2 * WEEK as i32;

impl Unit {
    pub(super) fn new(entity: Symbol, currency: Symbol, labels: Vec<(Scope, Known)>) -> Self {
        Self {
            entity,
            currency,
            total: Days::default(),
            services: Vec::new(),
            cells: Vec::new(),
            index: HashMap::new(),
            labels,
            events: Vec::new(),
            judged_to: i32::MIN,
            changed: false,
        }
    }

    /// Amounts that are kept.
    pub(super) fn len(&self) -> usize {
        self.cells.iter().map(|(_, history)| history.rows().len()).sum()
    }

    /// Takes up a change; `None` where a sum exceeds 128 bits.
    pub(super) fn take(&mut self, change: &Change) -> Option<()> {
        self.changed = true;
        let day = change.day;
        let late = change.late_on.map(|known_on| (known_on, change.reason));
        self.note(change.service, day, change.origin, late);
        let row = (day, change.late_on, change.amount);
        let cell = self.cell(change.cell);
        match change.late_on {
            None => self.cells[cell as usize].1.add(day, change.amount)?,
            Some(known_on) => {
                let late = Late { day, known_on, amount: change.amount };
                self.cells[cell as usize].1.add_late(late)?;
            }
        }
        self.total.add(row)?;
        self.service(change.service).add(row)
    }

    /// Notes where records of a service's day stood, and what brought them where they came later.
    pub(super) fn note(
        &mut self,
        service: Symbol,
        day: i32,
        origin: Origin,
        late: Option<(i32, Reason)>,
    ) {
        self.total.facts.entry(day).or_default().add(origin, late);
        self.service(service).facts.entry(day).or_default().add(origin, late);
    }

    fn service(&mut self, service: Symbol) -> &mut Days {
        let known = self.services.iter().position(|(known, _)| *known == service);
        let at = known.unwrap_or_else(|| {
            self.services.push((service, Days::default()));
            self.services.len() - 1
        });
        &mut self.services[at].1
    }

    /// What of a day is judged: the whole, then each service.
    pub(super) fn scopes(&self) -> impl Iterator<Item = Scope> {
        let services = self.services.iter().map(|(service, _)| Scope::Service(*service));
        std::iter::once(Scope::Total).chain(services)
    }

    fn of(&self, scope: Scope) -> Option<&Days> {
        match scope {
            Scope::Total => Some(&self.total),
            Scope::Service(service) => {
                let mut services = self.services.iter();
                services.find(|(known, _)| *known == service).map(|(_, days)| days)
            }
        }
    }

    /// What a day of a scope rests on: where a service had no charges, on the account's others.
    pub(super) fn facts(&self, day: i32, scope: Scope) -> Facts {
        let own = self.of(scope).and_then(|days| days.facts.get(&day)).copied();
        let on_time = self.total.facts.get(&day).and_then(|facts| facts.on_time);
        let own = own.unwrap_or_default();
        Facts { on_time: own.on_time.or(on_time), ..own }
    }

    fn cell(&mut self, cell: Cell) -> u32 {
        let next = self.cells.len() as u32;
        let at = *self.index.entry(cell).or_insert(next);
        if at == next {
            self.cells.push((cell, History::default()));
        }
        at
    }

    /// Takes up an event of a checkpoint.
    pub(super) fn restore_event(&mut self, event: Event) {
        if let Scope::Service(service) = event.scope {
            self.service(service);
        }
        self.events.push(event);
    }

    /// Takes up a row of a checkpoint.
    pub(super) fn restore(&mut self, cell: Cell, row: (i32, Option<i32>, i128)) -> Option<()> {
        self.total.add(row)?;
        self.service(cell[place_of(SERVICE)]).add(row)?;
        let at = self.cell(cell);
        self.cells[at as usize].1.restore(row);
        Some(())
    }

    /// Days that have closed and were not judged yet.
    pub(super) fn closing(&self, end: i32) -> impl Iterator<Item = i32> {
        self.total.history.days(self.judged_to, end)
    }

    /// Days before `end` are judged; what no verdict can need any more is forgotten.
    pub(super) fn close(&mut self, end: i32, rules: &Rules) {
        let closes = self.closing(end).next().is_some();
        self.changed |= closes;
        self.judged_to = self.judged_to.max(end);
        let oldest = self.judged_to.saturating_sub(rules.restated + rules.history + EVENT_DAYS + 1);
        if self.total.facts.first_key_value().is_none_or(|(day, _)| *day >= oldest) {
            return;
        }
        self.total.forget_before(oldest);
        self.services.iter_mut().for_each(|(_, days)| days.forget_before(oldest));
        let is_followed = |service| self.events.iter().any(|e| e.scope == Scope::Service(service));
        self.services.retain(|(service, days)| !days.facts.is_empty() || is_followed(*service));
        let before = self.cells.len();
        self.cells.iter_mut().for_each(|(_, history)| history.forget_before(oldest));
        self.cells.retain(|(_, history)| !history.is_empty());
        if self.cells.len() < before {
            self.index.clear();
            let numbered = self.cells.iter().enumerate();
            self.index.extend(numbered.map(|(at, (cell, _))| (*cell, at as u32)));
        }
        self.changed = true;
    }

    /// The days before a day that it is compared with, as known when it closed.
    pub(super) fn window(&self, day: i32, rules: &Rules) -> Window {
        Window { first: day - rules.history, day, known_by: day.saturating_add(rules.lateness) }
    }

    /// The verdict on a day; `None` where nothing was known of it when it closed, or too little of the
    /// days before, and of a service where the whole day was strange then, whatever was said of such days.
    pub(super) fn judge(&self, day: i32, scope: Scope, rules: &Rules) -> Option<Record> {
        let total = self.verdict(day, Scope::Total, rules)?;
        match scope {
            Scope::Total => Some(self.widened((day, scope), rules, total)),
            Scope::Service(_) if total.was_strange() => None,
            Scope::Service(_) => self.own(day, scope, rules),
        }
    }

    /// The verdict on a day of a scope, whatever the whole day was.
    pub(super) fn own(&self, day: i32, scope: Scope, rules: &Rules) -> Option<Record> {
        Some(self.widened((day, scope), rules, self.verdict(day, scope, rules)?))
    }

    /// What days of a scope came to.
    pub(super) fn history(&self, scope: Scope) -> Option<&History> {
        self.of(scope).map(|days| &days.history)
    }

    /// What was said that bears on a day.
    fn bearing(&self, day: i32, scope: Scope, rules: &Rules) -> impl Iterator<Item = &Known> {
        let of_scope = self.labels.iter().filter(move |(of, _)| *of == scope);
        of_scope.map(|(_, known)| known).filter(move |known| known.bears_on(day, rules.history))
    }

    /// A verdict with what was said of days before: more is not strange.
    fn widened(&self, (day, scope): (i32, Scope), rules: &Rules, mut record: Record) -> Record {
        let limit = record.upper - record.expected;
        for known in self.bearing(day, scope, rules) {
            let reaches = known.reaches(record.expected, record.scale, limit);
            if let Some((amount, margin)) = reaches {
                record.lower = record.lower.min(amount - margin);
                record.upper = record.upper.max(amount + margin);
            }
        }
        record
    }

    fn verdict(&self, day: i32, scope: Scope, rules: &Rules) -> Option<Record> {
        let at_close = self.at_close(day, scope)?;
        let Expectation { value, scale } = self.expected(day, scope, rules)?;
        let limit = scale
            * match scope {
                Scope::Total => rules.sensitivity,
                Scope::Service(_) => SERVICE_FACTOR * rules.sensitivity,
            };
        Some(Record {
            expected: amount(value),
            scale: amount(scale).max(1),
            lower: amount(value - limit),
            upper: amount(value + limit),
            at_close,
            now: self.of(scope)?.history.now(day).unwrap_or_default(),
        })
    }

    /// What a day of a scope came to when it closed; `None` where nothing was known of the day then.
    fn at_close(&self, day: i32, scope: Scope) -> Option<i128> {
        let closed = self.total.history.at_close(day)?;
        Some(match scope {
            Scope::Total => closed,
            Scope::Service(_) => self.of(scope)?.history.at_close(day).unwrap_or_default(),
        })
    }

    /// What the days before a day let expect of it; `None` where they are too few.
    fn expected(&self, day: i32, scope: Scope, rules: &Rules) -> Option<Expectation> {
        let window = self.window(day, rules);
        let mut days = self.days(&self.of(scope)?.history, &window);
        for known in self.bearing(day, scope, rules) {
            if known.feedback == Feedback::Yes {
                days[(known.day - window.first) as usize] = f64::NAN;
            }
        }
        let known = days.iter().filter(|day| day.is_finite()).count();
        (known >= rules.min_history).then(|| expect(&days, &window.same_day()))
    }

    /// The first day of the run of strange days, all above or all below, that a day is in.
    pub(super) fn event(&self, day: i32, scope: Scope, rules: &Rules) -> i32 {
        let side = |day: i32| {
            let record = self.judge(day, scope, rules).filter(Record::was_strange)?;
            Some((record.at_close - record.expected).signum())
        };
        let Some(this) = side(day) else { return day };
        let before = (day - EVENT_DAYS..day).rev();
        before.take_while(|day| side(*day) == Some(this)).last().unwrap_or(day)
    }

    /// A history's days in a window, in units of the currency: nothing where the account had other
    /// charges, `NaN` where it had none at all.
    pub(super) fn days(&self, history: &History, window: &Window) -> Vec<f64> {
        let value = |day| {
            self.total.history.known_by(day, window.known_by)?;
            Some(units(history.known_by(day, window.known_by).unwrap_or_default()))
        };
        (window.first..window.day).map(|day| value(day).unwrap_or(f64::NAN)).collect()
    }
}

/// The days that a day is compared with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) first: i32,
    pub(super) day: i32,
    pub(super) known_by: i32,
}

impl Window {
    /// Places of the days that have the day's number in their month.
    pub(super) fn same_day(&self) -> Vec<usize> {
        let mut month = month_of(self.day).1;
        let number = self.day - month.start;
        let mut places = Vec::new();
        loop {
            month = month_of(month.start - 1).1;
            if month.end <= self.first {
                return places;
            }
            let day = month.start + number;
            if day >= self.first && day < month.end {
                places.push((day - self.first) as usize);
            }
        }
    }
}
