//! Alerts that leave the catalog: how far each sink has come, and what people said of alerts.
//!
//! A receiver of alerts keeps nothing for us, so what it has been given stands in the log. Rows of `alerts`
//! have places, an epoch and a number there, and a sink settles them in that order: whoever delivers
//! appends a [`Delivered`] that says which is the *next* row, and which rows before it were not sent and
//! why. It is appended behind what it tells of, so a crash in between brings rows twice and loses none. Of
//! two programs that deliver for one sink, one is told that it came too late.
//!
//! Silences and acknowledgements ([`Attend`]) are records likewise. A silence holds for *event time*, that of
//! an alert's opening: whether an alert is silenced depends on what it is about and not on when it was
//! delivered, so that what a maintenance window brought about stays silent also where the stream was behind.

use std::collections::BTreeMap;

use cloudops_operators::epoch::Epoch;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The place of a row of `alerts`: its epoch, and its number there.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The epoch that committed it.
    pub epoch: u64,
    /// Its number among that epoch's alerts, in the order of their text, from 0.
    pub sequence: u64,
}

impl Place {
    /// The first place of an epoch.
    #[must_use]
    pub fn of_epoch(epoch: u64) -> Self {
        Self { epoch, sequence: 0 }
    }

    /// The place behind this one.
    #[must_use]
    pub fn after(self) -> Self {
        Self { epoch: self.epoch, sequence: self.sequence + 1 }
    }

    /// The place whose text this is.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (epoch, sequence) = str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self { epoch: epoch.parse().ok()?, sequence: sequence.parse().ok()? })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.epoch, self.sequence)
    }
}

/// Which rows of `alerts` are meant: for each column named, one of its globs must match. `*` stands for any
/// text and `?` for one character; a column that a row lacks is empty text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Matchers(pub BTreeMap<String, Vec<String>>);

impl Matchers {
    /// Whether every row is meant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a row is meant.
    #[must_use]
    pub fn match_row(&self, row: &Map<String, Value>) -> bool {
        self.0.iter().all(|(column, globs)| {
            let text = shown(row.get(column));
            globs.iter().any(|glob| matches(glob, &text))
        })
    }
}

/// A value of a row as text; what is not there is empty.
#[must_use]
pub fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Whether a glob matches the whole of a text.
fn matches(glob: &str, text: &str) -> bool {
    let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    let (mut g, mut t) = (0, 0);
    // The last star, and how much of the text it stands for so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match glob.get(g) {
            Some('*') => {
                star = Some((g, t));
                g += 1;
            }
            Some(&c) if c == '?' || c == text[t] => (g, t) = (g + 1, t + 1),
            _ => match star {
                Some((at, until)) => {
                    star = Some((at, until + 1));
                    (g, t) = (at + 1, until + 1);
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|c| *c == '*')
}

/// A sink has come further. Anyone may append it who delivers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivered {
    /// The sink's name.
    pub sink: String,
    /// The first row that is not settled: those before it were sent, were held, or are not meant for it.
    pub next: Place,
    /// Acknowledgements up to this number of the log have been passed on.
    pub told: u64,
    /// Which rows are meant for the sink; all where nothing is named.
    #[serde(default, skip_serializing_if = "Matchers::is_empty")]
    pub matching: Matchers,
    /// Rows sent since the record before.
    pub sent: u64,
    /// Rows settled since then that were not sent, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Held>,
    /// Dead letters that were sent after all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<Place>,
    /// Wall clock, µs since 1970.
    pub at_us: i64,
}

/// A row that was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// Which.
    pub place: Place,
    /// Its alert.
    pub alert_id: String,
    /// `opened`, `closed`, or what else happened to the alert.
    pub event: String,
    /// Why not.
    pub why: Why,
}

/// Why a row was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Why {
    /// The receiver refused it, or was not reached often enough: a dead letter.
    Dead {
        /// What the receiver said.
        reason: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// A silence covers its alert.
    Silenced {
        /// The silence: its number in the log.
        silence: u64,
    },
    /// Somebody has acknowledged the alert, which is not closed yet.
    Acknowledged {},
}

/// Somebody attends to alerts. Anyone may append it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attend {
    /// What is done.
    pub step: Attention,
    /// Who does it.
    pub by: String,
    /// Wall clock, µs since 1970.
    pub at_us: i64,
}

/// What somebody does about alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Attention {
    /// Alerts that match and open within a time are not delivered. The record's number names the silence.
    Silenced {
        /// Which.
        matching: Matchers,
        /// The first event time, µs since 1970; absent: since ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from_us: Option<i64>,
        /// The first event time after it; absent: until it is taken back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_us: Option<i64>,
        /// Why.
        reason: String,
    },
    /// A silence holds no more.
    Unsilenced {
        /// Its number in the log.
        silence: u64,
    },
    /// Somebody has taken an alert on.
    Acknowledged {
        /// The alert.
        alert_id: String,
        /// The texts of its row, by column: they decide whose receivers are told.
        labels: BTreeMap<String, String>,
        /// What they have to say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
}

/// How far sinks have come, and what holds of alerts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// Every sink that has ever begun, by name.
    pub sinks: BTreeMap<String, Sink>,
    /// Every silence, in order.
    pub silences: Vec<Silence>,
    /// Acknowledged alerts, by id.
    pub acknowledged: BTreeMap<String, Acknowledged>,
}

/// How far a sink has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sink {
    /// The first row that is not settled.
    pub next: Place,
    /// Acknowledgements up to this number of the log have been passed on.
    pub told: u64,
    /// Dead letters that have not been sent since, by place.
    pub dead: Vec<Held>,
    /// Silences of alerts whose opening was held, by alert: nothing else is said of them either. They are
    /// forgotten with the closing.
    pub silenced: BTreeMap<String, u64>,
}

/// A silence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// Its number in the log, which names it.
    pub number: u64,
    /// Which alerts.
    pub matching: Matchers,
    /// The first event time, µs since 1970.
    pub from_us: Option<i64>,
    /// The first event time after it.
    pub until_us: Option<i64>,
    /// Why.
    pub reason: String,
    /// Who wanted it.
    pub by: String,
    /// Wall clock, µs since 1970.
    pub at_us: i64,
    /// Who took it back, and when.
    pub ended: Option<(String, i64)>,
}

impl Silence {
    /// Whether it covers a row of `alerts` of an event time.
    #[must_use]
    pub fn covers(&self, row: &Map<String, Value>, at_us: i64) -> bool {
        self.ended.is_none()
            && self.from_us.is_none_or(|from| at_us >= from)
            && self.until_us.is_none_or(|until| at_us < until)
            && self.matching.match_row(row)
    }
}

/// That somebody has taken an alert on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledged {
    /// The record's number in the log.
    pub number: u64,
    /// The texts of its row, by column.
    pub labels: BTreeMap<String, String>,
    /// Who has.
    pub by: String,
    /// What they said.
    pub note: Option<String>,
    /// Wall clock, µs since 1970.
    pub at_us: i64,
}

impl Delivery {
    /// Whether a record of deliveries may follow, where so much is committed and the log's next number is
    /// this; the error is the rule that it would break.
    ///
    /// A sink only goes forward, and only over what is committed. So of two programs that settle the same
    /// rows the second is refused, and what became of a row is said once.
    ///
    /// # Errors
    /// A sentence that names the sink and the rule.
    pub fn check_delivered(
        &self,
        committed: Option<Epoch>,
        next_number: u64,
        delivered: &Delivered,
    ) -> Result<(), String> {
        let Delivered { sink, next, told, held, again, .. } = delivered;
        let refuse = |why: String| Err(format!("delivery of sink {sink:?}: {why}"));
        if sink.is_empty() {
            return refuse("it has no name".to_owned());
        }
        let end = Place::of_epoch(committed.map_or(0, |Epoch(last)| last + 1));
        if *next > end {
            return refuse(format!("row {next} is next, and nothing is committed from {end} on"));
        }
        if *told >= next_number {
            return refuse(format!("acknowledgements up to {told}, where {next_number} is next"));
        }
        let first = !self.sinks.contains_key(sink);
        let empty = Sink::default();
        let last = self.sinks.get(sink).unwrap_or(&empty);
        if *next < last.next || *told < last.told {
            let (to, from) = ((next, told), (&last.next, &last.told));
            return refuse(format!(
                "it goes back from {} ({}) to {} ({})",
                from.0, from.1, to.0, to.1
            ));
        }
        if !first && *next == last.next && *told == last.told && again.is_empty() {
            return refuse(format!("row {next} is next already"));
        }
        let from = if first { *next } else { last.next };
        let mut after = from;
        for held in held {
            if held.place < after || held.place >= *next || held.alert_id.is_empty() {
                return refuse(format!("row {} is held, out of {from} to {next}", held.place));
            }
            after = held.place.after();
            if let Why::Silenced { silence } = held.why
                && self.silence(silence).is_none()
            {
                return refuse(format!(
                    "row {} is held by silence {silence}, which is none",
                    held.place
                ));
            }
        }
        let mut seen = Vec::new();
        for place in again {
            let dead = last.dead.iter().any(|held| held.place == *place);
            if !dead || seen.contains(&place) {
                return refuse(format!("row {place} is sent again, and no dead letter"));
            }
            seen.push(place);
        }
        Ok(())
    }

    /// Whether somebody may attend so; the error is the rule that it would break.
    ///
    /// # Errors
    /// A sentence that names the rule.
    pub fn check_attend(&self, attend: &Attend) -> Result<(), String> {
        if attend.by.is_empty() {
            return Err("alerts: nobody says so".to_owned());
        }
        match &attend.step {
            Attention::Silenced { matching, from_us, until_us, reason } => {
                if matching.is_empty() || matching.0.values().any(Vec::is_empty) {
                    return Err("a silence says which alerts it means".to_owned());
                }
                if reason.is_empty() {
                    return Err("a silence has a reason".to_owned());
                }
                match (from_us, until_us) {
                    (Some(from), Some(until)) if from >= until => {
                        Err(format!("a silence from {from} until {until} is over before it begins"))
                    }
                    _ => Ok(()),
                }
            }
            Attention::Unsilenced { silence } => match self.silence(*silence) {
                None => Err(format!("there is no silence {silence}")),
                Some(Silence { ended: Some((by, _)), .. }) => {
                    Err(format!("silence {silence} was taken back by {by}"))
                }
                Some(_) => Ok(()),
            },
            Attention::Acknowledged { alert_id, .. } => match self.acknowledged.get(alert_id) {
                _ if alert_id.is_empty() => Err("an acknowledgement names no alert".to_owned()),
                Some(before) => Err(format!("alert {alert_id} was acknowledged by {}", before.by)),
                None => Ok(()),
            },
        }
    }

    /// Folds a record in that [`check_delivered`](Self::check_delivered) allows.
    pub fn deliver(&mut self, delivered: Delivered) {
        let Delivered { sink, next, told, held, again, .. } = delivered;
        let sink = self.sinks.entry(sink).or_default();
        (sink.next, sink.told) = (next, told);
        sink.dead.retain(|held| !again.contains(&held.place));
        for held in held {
            let closed = held.event == CLOSED;
            match held.why {
                Why::Dead { .. } => sink.dead.push(held),
                Why::Silenced { .. } if closed => drop(sink.silenced.remove(&held.alert_id)),
                Why::Silenced { silence } if held.event == OPENED => {
                    sink.silenced.insert(held.alert_id, silence);
                }
                Why::Silenced { .. } | Why::Acknowledged {} => {}
            }
        }
    }

    /// Folds a record in that [`check_attend`](Self::check_attend) allows, at its number in the log.
    pub fn attend(&mut self, number: u64, attend: Attend) {
        let Attend { step, by, at_us } = attend;
        match step {
            Attention::Silenced { matching, from_us, until_us, reason } => {
                let ended = None;
                let silence =
                    Silence { number, matching, from_us, until_us, reason, by, at_us, ended };
                self.silences.push(silence);
            }
            Attention::Unsilenced { silence } => {
                let found = self.silences.iter_mut().find(|other| other.number == silence);
                if let Some(found) = found {
                    found.ended = Some((by, at_us));
                }
            }
            Attention::Acknowledged { alert_id, labels, note } => {
                let acknowledged = Acknowledged { number, labels, by, note, at_us };
                self.acknowledged.insert(alert_id, acknowledged);
            }
        }
    }

    /// The silence of a number.
    #[must_use]
    pub fn silence(&self, number: u64) -> Option<&Silence> {
        self.silences.iter().find(|silence| silence.number == number)
    }

    /// The first silence that covers a row of `alerts` of an event time.
    #[must_use]
    pub fn silences(&self, row: &Map<String, Value>, at_us: i64) -> Option<u64> {
        let found = self.silences.iter().find(|silence| silence.covers(row, at_us));
        found.map(|silence| silence.number)
    }
}

/// `alerts.event` of an alert's first row.
pub const OPENED: &str = "opened";
/// `alerts.event` of the row at which an alert is over.
pub const CLOSED: &str = "closed";
/// `alerts.event` of the row that may follow the closing: corrections have left nothing of what it told.
pub const RETRACTED: &str = "retracted";

/// Whether a row of an event tells that its alert is over.
#[must_use]
pub fn is_over(event: &str) -> bool {
    matches!(event, CLOSED | RETRACTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_ordered_by_number_and_read_as_they_are_written() {
        let place = Place { epoch: 12, sequence: 3 };
        assert_eq!(Place::parse(place.to_string().as_bytes()), Some(place));
        for other in ["", "12", "12-", "a-3", "12-3-4", "-1-2"] {
            assert_eq!(Place::parse(other.as_bytes()), None, "{other}");
        }
        assert!(place < Place::of_epoch(100), "by number, not by text");
        assert_eq!(place.after(), Place { epoch: 12, sequence: 4 });
    }

    #[test]
    fn globs_match_whole_texts() {
        let check = |glob: &str, yes: &[&str], no: &[&str]| {
            assert!(yes.iter().all(|text| matches(glob, text)), "{glob} {yes:?}");
            assert!(!no.iter().any(|text| matches(glob, text)), "{glob} {no:?}");
        };
        check("pump-1", &["pump-1"], &["pump-12", "a pump-1", ""]);
        check("pump-*", &["pump-", "pump-12"], &["pump", "a pump-1"]);
        check("*-1*2", &["a-12", "-1-122", "a-1-12"], &["a-1", "12", "a-123"]);
        check("p?mp", &["pump", "pümp"], &["pmp", "puump"]);
        check("*", &["", "any"], &[]);
        check("", &[""], &["a"]);
        check("**a**b", &["ab", "xaxb"], &["ba"]);
    }

    fn row(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    fn matchers(of: &[(&str, &[&str])]) -> Matchers {
        let globs = |globs: &[&str]| globs.iter().map(|&glob| glob.to_owned()).collect();
        Matchers(of.iter().map(|(column, of)| ((*column).to_owned(), globs(of))).collect())
    }

    #[test]
    fn every_column_must_match_and_of_each_one_glob() {
        let of = matchers(&[("source", &["pumps", "bills*"]), ("top_channel", &["T*", ""])]);
        assert!(of.match_row(&row(r#"{"source":"pumps","top_channel":"T30"}"#)));
        assert!(of.match_row(&row(r#"{"source":"bills-eu"}"#)), "what a row lacks is empty");
        assert!(!of.match_row(&row(r#"{"source":"bills","top_channel":"P2"}"#)));
        assert!(!of.match_row(&row(r#"{"top_channel":"T30"}"#)));
        assert!(Matchers::default().match_row(&row("{}")));
    }

    fn delivered(epoch: u64, sequence: u64) -> Delivered {
        Delivered {
            sink: "ops".into(),
            next: Place { epoch, sequence },
            told: 0,
            matching: Matchers::default(),
            sent: 1,
            held: Vec::new(),
            again: Vec::new(),
            at_us: 0,
        }
    }

    fn held(sequence: u64, event: &str, why: Why) -> Held {
        let place = Place { epoch: 3, sequence };
        Held { place, alert_id: "a1".into(), event: event.into(), why }
    }

    fn dead() -> Why {
        Why::Dead { reason: "status 400".into(), attempts: 1 }
    }

    #[test]
    fn a_sink_goes_forward_over_what_is_committed() {
        let mut delivery = Delivery::default();
        let check = |delivery: &Delivery, delivered: &Delivered, wrong: Option<&str>| {
            let found = delivery.check_delivered(Some(Epoch(5)), 9, delivered);
            match wrong {
                None => assert_eq!(found, Ok(())),
                Some(wrong) => {
                    let found = found.unwrap_err();
                    assert!(found.contains(wrong), "{found}");
                }
            }
        };
        check(&delivery, &delivered(6, 1), Some("nothing is committed from 6-0 on"));
        check(&delivery, &Delivered { sink: String::new(), ..delivered(0, 0) }, Some("no name"));
        check(&delivery, &Delivered { told: 9, ..delivered(0, 0) }, Some("where 9 is next"));
        let nothing = delivery.check_delivered(None, 1, &delivered(0, 1));
        assert!(nothing.is_err(), "{nothing:?}");
        assert_eq!(delivery.check_delivered(None, 1, &delivered(0, 0)), Ok(()));

        check(&delivery, &delivered(3, 0), None);
        delivery.deliver(delivered(3, 0));
        check(&delivery, &delivered(3, 0), Some("next already"));
        check(&delivery, &delivered(2, 7), Some("goes back"));
        check(&delivery, &delivered(6, 0), None);

        let with = |held: Vec<Held>| Delivered { held, ..delivered(3, 3) };
        check(&delivery, &with(vec![held(3, OPENED, dead())]), Some("row 3-3 is held"));
        let twice = vec![held(1, OPENED, dead()), held(1, OPENED, dead())];
        check(&delivery, &with(twice), Some("row 3-1 is held"));
        let by = held(1, OPENED, Why::Silenced { silence: 4 });
        check(&delivery, &with(vec![by]), Some("silence 4, which is none"));
        let told = with(vec![held(0, OPENED, dead()), held(2, CLOSED, dead())]);
        check(&delivery, &told, None);
        delivery.deliver(told);
        assert_eq!(delivery.sinks["ops"].dead.len(), 2);

        let place = |sequence| Place { epoch: 3, sequence };
        let again = |again: Vec<Place>| Delivered { again, ..delivered(3, 3) };
        check(&delivery, &again(vec![place(1)]), Some("no dead letter"));
        check(&delivery, &again(vec![place(0), place(0)]), Some("no dead letter"));
        check(&delivery, &again(vec![place(0)]), None);
        delivery.deliver(again(vec![place(0)]));
        check(&delivery, &again(vec![place(0)]), Some("no dead letter"));
        assert_eq!(delivery.sinks["ops"].dead[0].place, place(2));
    }

    fn attend(step: Attention) -> Attend {
        Attend { step, by: "ann".into(), at_us: 1 }
    }

    #[test]
    fn silences_and_acknowledgements_have_their_order() {
        let mut delivery = Delivery::default();
        let silence = |matching: Matchers, from_us, until_us, reason: &str| {
            attend(Attention::Silenced { matching, from_us, until_us, reason: reason.into() })
        };
        let pumps = || matchers(&[("source", &["pumps"])]);
        let refused = |delivery: &Delivery, attend: &Attend, wrong: &str| {
            let found = delivery.check_attend(attend).unwrap_err();
            assert!(found.contains(wrong), "{found}");
        };
        refused(&delivery, &silence(Matchers::default(), None, None, "why"), "which alerts");
        refused(&delivery, &silence(pumps(), None, None, ""), "reason");
        refused(&delivery, &silence(pumps(), Some(2), Some(2), "why"), "over before it begins");
        let good = silence(pumps(), Some(2), Some(5), "why");
        refused(&delivery, &Attend { by: String::new(), ..good.clone() }, "nobody");
        delivery.check_attend(&good).unwrap();
        delivery.attend(7, good);

        let pump = row(r#"{"source":"pumps"}"#);
        let covered = |delivery: &Delivery| {
            (0..7).filter(|at| delivery.silences(&pump, *at) == Some(7)).collect::<Vec<_>>()
        };
        assert_eq!(covered(&delivery), [2, 3, 4]);
        assert_eq!(delivery.silences(&row(r#"{"source":"other"}"#), 3), None);

        // What was held at its opening is held until it closes, and then forgotten.
        let silenced = || Why::Silenced { silence: 7 };
        let opened = vec![held(0, OPENED, silenced()), held(1, "revised", silenced())];
        delivery.deliver(Delivered { held: opened, ..delivered(3, 2) });
        assert_eq!(delivery.sinks["ops"].silenced, BTreeMap::from([("a1".to_owned(), 7)]));
        delivery.deliver(Delivered { held: vec![held(2, CLOSED, silenced())], ..delivered(3, 3) });
        assert!(delivery.sinks["ops"].silenced.is_empty());

        refused(&delivery, &attend(Attention::Unsilenced { silence: 6 }), "no silence 6");
        let end = attend(Attention::Unsilenced { silence: 7 });
        delivery.check_attend(&end).unwrap();
        delivery.attend(8, end.clone());
        refused(&delivery, &end, "taken back by ann");
        assert_eq!(covered(&delivery), [0_i64; 0]);

        let acknowledge = |alert_id: &str| {
            let (alert_id, labels, note) = (alert_id.to_owned(), BTreeMap::new(), None);
            attend(Attention::Acknowledged { alert_id, labels, note })
        };
        refused(&delivery, &acknowledge(""), "no alert");
        delivery.check_attend(&acknowledge("a1")).unwrap();
        delivery.attend(9, acknowledge("a1"));
        refused(&delivery, &acknowledge("a1"), "acknowledged by ann");
    }
}
