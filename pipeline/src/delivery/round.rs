//! A round: rows that were found together, what is held of them, and what goes as one message.

use std::collections::{BTreeMap, HashMap};

use cloudops_operators::key::hex;
use cloudops_sql::alerts::at_us;
use cloudops_sql::catalog::delivery::{
    CLOSED, Delivery as Log, Held, Matchers, OPENED, Place, RETRACTED, Sink, Why,
};
use sha2::{Digest, Sha256};

use super::{Grouping, Line, Message};

/// Rows of one message at most.
const MESSAGE_ROWS: usize = 50;

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is not meant for the sink, or somebody else has settled it.
    Passed,
    /// It was sent.
    Sent,
    /// It was not.
    Held(Why),
}

/// What decides about rows before they are sent.
pub(super) struct Rules<'a> {
    /// What is known of silences, acknowledgements and the sink.
    pub(super) log: &'a Log,
    /// The sink, where it has begun.
    pub(super) sink: Option<&'a Sink>,
    /// Which rows are meant for it.
    pub(super) matching: &'a Matchers,
    /// Whether its receiver is told of acknowledgements.
    pub(super) acknowledges: bool,
}

/// Rows in the order of their places, with what became of each so far.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) lines: Vec<Line>,
    pub(super) fates: Vec<Option<Fate>>,
    /// So many of the first have been written down.
    pub(super) written: usize,
}

impl Round {
    /// A round of rows, of which those are settled that are not to be sent.
    pub(super) fn new(lines: Vec<Line>, rules: &Rules<'_>) -> Self {
        let next = rules.sink.map_or(Place::default(), |sink| sink.next);
        // What was held at its opening is held until it closes, also within this round.
        let mut silenced: HashMap<String, u64> = rules.sink.map_or_else(HashMap::new, |sink| {
            sink.silenced.iter().map(|(alert, silence)| (alert.clone(), *silence)).collect()
        });
        let fate = |line: &Line| {
            if line.place < next || !rules.matching.match_row(&line.row) {
                return Some(Fate::Passed);
            }
            rules.hold(line, &mut silenced).map(Fate::Held)
        };
        let fates = lines.iter().map(fate).collect();
        Self { lines, fates, written: 0 }
    }

    /// The rows that are to be sent, each message's by their numbers, in the order of its first row.
    pub(super) fn messages(&self, grouping: Grouping, by: &[String]) -> Vec<Vec<usize>> {
        let open = (0..self.lines.len()).filter(|&at| self.fates[at].is_none());
        let mut groups: Vec<Vec<usize>> = Vec::new();
        // The last group of a key: one that is full is followed by another.
        let mut last: BTreeMap<Vec<&str>, usize> = BTreeMap::new();
        for at in open {
            let line = &self.lines[at];
            let key = match grouping {
                Grouping::ByColumns if !by.is_empty() => by.iter().map(|c| line.text(c)).collect(),
                Grouping::Together => Vec::new(),
                Grouping::Single | Grouping::ByColumns => {
                    groups.push(vec![at]);
                    continue;
                }
            };
            match last.get(&key).copied() {
                Some(group) if groups[group].len() < MESSAGE_ROWS => groups[group].push(at),
                _ => {
                    last.insert(key, groups.len());
                    groups.push(vec![at]);
                }
            }
        }
        groups
    }

    /// A message of these rows.
    pub(super) fn message(&self, rows: &[usize]) -> Message<'_> {
        let lines: Vec<&Line> = rows.iter().map(|&at| &self.lines[at]).collect();
        Message { key: key(&lines), lines }
    }

    /// Settles rows.
    pub(super) fn settle(&mut self, rows: &[usize], fate: &Fate) {
        rows.iter().for_each(|&at| self.fates[at] = Some(fate.clone()));
    }

    /// How many of the first rows are settled.
    pub(super) fn settled(&self) -> usize {
        self.fates.iter().take_while(|fate| fate.is_some()).count()
    }

    /// What is to be written down of the rows settled since that was last done: how many were sent, and
    /// which were held.
    pub(super) fn news(&self) -> (u64, Vec<Held>) {
        let (mut sent, mut held) = (0, Vec::new());
        for at in self.written..self.settled() {
            match &self.fates[at] {
                Some(Fate::Sent) => sent += 1,
                Some(Fate::Held(why)) => held.push(Held {
                    place: self.lines[at].place,
                    alert_id: self.lines[at].text("alert_id").to_owned(),
                    event: self.lines[at].text("event").to_owned(),
                    why: why.clone(),
                }),
                Some(Fate::Passed) | None => {}
            }
        }
        (sent, held)
    }
}

impl Rules<'_> {
    /// Why a row is not sent, where it is not.
    fn hold(&self, line: &Line, silenced: &mut HashMap<String, u64>) -> Option<Why> {
        let (alert, event) = (line.text("alert_id"), line.text("event"));
        if event == CLOSED {
            // It follows the opening: whoever was told of that is told of this.
            return silenced.remove(alert).map(|silence| Why::Silenced { silence });
        }
        let before = silenced.get(alert).copied();
        let at = at_us(&line.row).unwrap_or(i64::MIN);
        if let Some(silence) = before.or_else(|| self.log.silences(&line.row, at)) {
            if event == OPENED {
                silenced.insert(alert.to_owned(), silence);
            }
            return Some(Why::Silenced { silence });
        }
        // Who is at an alert wants to know that there was nothing.
        let spared =
            event != RETRACTED && !self.acknowledges && self.log.acknowledged.contains_key(alert);
        spared.then_some(Why::Acknowledged {})
    }
}

/// A message's key: the row's place; of several rows the first one's, with what tells the others. So a message
/// that comes again has its key again, and one of other rows has another.
fn key(lines: &[&Line]) -> String {
    let places: Vec<String> = lines.iter().map(|line| line.place.to_string()).collect();
    match &places[..] {
        [] => String::new(),
        [only] => only.clone(),
        [first, more @ ..] => {
            let digest = Sha256::digest(places.join(" "));
            format!("{first}+{}-{}", more.len(), hex(&digest[..8]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudops_sql::catalog::delivery::{Attend, Attention, Delivered};

    fn line(sequence: u64, alert: &str, event: &str, kind: &str) -> Line {
        let row = serde_json::json!({
            "alert_id": alert, "event": event, "kind": kind,
            "at": format!("1970-01-01T00:00:0{sequence}Z"),
        });
        let row = row.as_object().unwrap().clone();
        Line { place: Place { epoch: 1, sequence }, row }
    }

    fn lines() -> Vec<Line> {
        vec![
            line(0, "a", "opened", "cost"),
            line(1, "b", "opened", "audit"),
            line(2, "a", "closed", "cost"),
            line(3, "c", "opened", "cost"),
            line(4, "b", "closed", "audit"),
        ]
    }

    fn matchers(column: &str, glob: &str) -> Matchers {
        Matchers([(column.to_owned(), vec![glob.to_owned()])].into())
    }

    fn log(steps: Vec<Attention>) -> Log {
        let mut log = Log::default();
        for (number, step) in (1..).zip(steps) {
            log.attend(number, Attend { step, by: "ann".into(), at_us: 0 });
        }
        log
    }

    fn begun(log: &Log, matching: &Matchers, acknowledges: bool) -> Round {
        let sink = log.sinks.get("ops");
        Round::new(lines(), &Rules { log, sink, matching, acknowledges })
    }

    fn silence(matching: Matchers, until_us: i64) -> Attention {
        let (from_us, until_us, reason) = (None, Some(until_us), "repair".into());
        Attention::Silenced { matching, from_us, until_us, reason }
    }

    #[test]
    fn rows_are_grouped_by_what_they_share() {
        let round = begun(&Log::default(), &Matchers::default(), false);
        let by = |columns: &[&str]| columns.iter().map(|&c| c.to_owned()).collect::<Vec<_>>();
        let single = [[0], [1], [2], [3], [4]];
        assert_eq!(round.messages(Grouping::Single, &by(&["kind"])), single);
        assert_eq!(round.messages(Grouping::ByColumns, &[]), single);
        let grouped = round.messages(Grouping::ByColumns, &by(&["kind"]));
        assert_eq!(grouped, [vec![0, 2, 3], vec![1, 4]]);
        let both = round.messages(Grouping::ByColumns, &by(&["kind", "event"]));
        assert_eq!(both, [vec![0, 3], vec![1], vec![2], vec![4]]);
        assert_eq!(round.messages(Grouping::Together, &[]), [[0, 1, 2, 3, 4]]);
    }

    #[test]
    fn a_group_that_is_full_is_followed_by_another() {
        let many: Vec<Line> = (0..120).map(|at| line(at, "a", "opened", "cost")).collect();
        let log = Log::default();
        let rules =
            Rules { log: &log, sink: None, matching: &Matchers::default(), acknowledges: false };
        let round = Round::new(many, &rules);
        let sizes: Vec<usize> =
            round.messages(Grouping::Together, &[]).iter().map(Vec::len).collect();
        assert_eq!(sizes, [50, 50, 20]);
    }

    #[test]
    fn keys_tell_messages_apart_and_come_again() {
        let round = begun(&Log::default(), &Matchers::default(), false);
        let key = |rows: &[usize]| round.message(rows).key;
        assert_eq!(key(&[1]), "1-1");
        assert!(key(&[0, 2]).starts_with("1-0+1-"), "{}", key(&[0, 2]));
        assert_eq!(key(&[0, 2]), key(&[0, 2]));
        assert_ne!(key(&[0, 2]), key(&[0, 3]));
    }

    #[test]
    fn what_is_held_at_its_opening_is_held_until_it_closes() {
        let held = |silence| Some(Fate::Held(Why::Silenced { silence }));
        // Alert c opens when the silence is over.
        let log = log(vec![silence(matchers("kind", "cost"), 3_000_000)]);
        let round = begun(&log, &Matchers::default(), true);
        assert_eq!(round.fates, [held(1), None, held(1), None, None]);
        assert_eq!(round.settled(), 1);

        // The opening was sent before anybody was silent, so the closing is, too.
        let mut late = log.clone();
        let from = Delivered {
            sink: "ops".into(),
            next: Place { epoch: 1, sequence: 1 },
            told: 0,
            matching: Matchers::default(),
            sent: 1,
            held: Vec::new(),
            again: Vec::new(),
            at_us: 0,
        };
        late.deliver(from);
        let again = begun(&late, &Matchers::default(), true);
        assert_eq!(again.fates, [Some(Fate::Passed), None, None, None, None]);
    }

    #[test]
    fn an_acknowledged_alert_is_spared_but_for_its_closing() {
        let step =
            Attention::Acknowledged { alert_id: "b".into(), labels: BTreeMap::new(), note: None };
        let log = log(vec![step]);
        let spared = begun(&log, &Matchers::default(), false);
        let held = Some(Fate::Held(Why::Acknowledged {}));
        assert_eq!(spared.fates, [None, held, None, None, None]);
        let told = begun(&log, &Matchers::default(), true);
        assert_eq!(told.fates, vec![None; 5]);
    }

    #[test]
    fn what_does_not_match_is_passed_and_news_are_of_what_is_settled_in_order() {
        let mut round = begun(&Log::default(), &matchers("kind", "audit"), false);
        assert_eq!(round.settled(), 1);
        assert_eq!(round.news(), (0, Vec::new()));
        let dead = Why::Dead { reason: "status 400".into(), attempts: 1 };
        round.settle(&[4], &Fate::Held(dead));
        assert_eq!(round.news().0, 0, "row 1 stands before it");
        round.settle(&[1], &Fate::Sent);
        let (sent, held) = round.news();
        assert_eq!((sent, held.len(), round.settled()), (1, 1, 5));
        assert_eq!((held[0].place.sequence, held[0].alert_id.as_str()), (4, "b"));
        round.written = 5;
        assert_eq!(round.news(), (0, Vec::new()));
    }
}
