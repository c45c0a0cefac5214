//! JSON records: one a line, or the elements of an array, bare or under `"Records"`.
//!
//! Arrays are cut into elements by counting brackets, so that a file of any size streams; an
//! element is parsed only once it is whole, and one that does not parse costs only itself.

use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::record::{ABSENT, Cells, Fault, Naming, Raw, Records, Want};
use super::source::{Line, Lines, Source, keep};
use crate::Result;

/// Where in a file the reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before a value: it may open an array.
    Start,
    /// Among lines of one value each.
    Lines,
    /// Inside an array of records.
    Array,
    /// Behind an array's bracket.
    AfterArray,
    /// Nothing follows.
    End,
}

/// JSON records.
pub(crate) struct Json {
    lines: Lines,
    arrays: bool,
    place: Place,
    record: Line,
    fault: Option<Fault>,
    /// Key to the cell it fills.
    keys: HashMap<String, usize>,
    naming: Naming,
    spans: Vec<(u32, u32)>,
    text: String,
}

impl Json {
    /// Reads lines, or arrays too. Without wants, a record's only text is the whole value.
    pub(crate) fn new(source: Source, wants: &[Want], naming: Naming, arrays: bool) -> Self {
        let keys = wants.iter().enumerate().map(|(at, want)| (naming.key(&want.name), at));
        Self {
            lines: Lines::new(source),
            arrays,
            place: if arrays { Place::Start } else { Place::Lines },
            record: Line::default(),
            fault: None,
            keys: keys.collect(),
            naming,
            spans: vec![ABSENT; wants.len()],
            text: String::new(),
        }
    }

    /// Reads another text of the same layout.
    pub(crate) fn restart(&mut self, source: Source) {
        self.lines = Lines::new(source);
        self.place = if self.arrays { Place::Start } else { Place::Lines };
        self.fault = None;
    }

    /// Consumes bytes that stand between records, counting lines.
    fn skip(&mut self, between: &[u8]) -> Result<()> {
        loop {
            let block = self.lines.source.fill()?;
            let count = block.iter().take_while(|byte| between.contains(byte)).count();
            let whole = count == block.len();
            self.lines.number += memchr::memchr_iter(b'\n', &block[..count]).count() as u64;
            self.lines.source.consume(count);
            if !whole || count == 0 {
                return Ok(());
            }
        }
    }

    fn start(&mut self) -> Result<()> {
        self.skip(b" \t\r\n")?;
        let head = self.lines.source.peek(512)?;
        if head.is_empty() {
            self.place = Place::End;
        } else if let Some(length) = opening(head) {
            self.lines.number += memchr::memchr_iter(b'\n', &head[..length]).count() as u64;
            self.lines.source.consume(length);
            self.place = Place::Array;
        } else {
            self.place = Place::Lines;
        }
        Ok(())
    }

    /// Reads one array element into the record; false when the file ended inside it.
    fn element(&mut self) -> Result<bool> {
        let record = &mut self.record;
        record.bytes.clear();
        record.length = 0;
        record.number = self.lines.number + 1;
        let mut scan = Scan::default();
        loop {
            let block = self.lines.source.fill()?;
            if block.is_empty() {
                return Ok(false);
            }
            let (length, whole) = scan.follow(block);
            keep(&mut record.bytes, &mut record.length, &block[..length]);
            self.lines.number += memchr::memchr_iter(b'\n', &block[..length]).count() as u64;
            self.lines.source.consume(length);
            if whole {
                return Ok(true);
            }
        }
    }

    /// The last record of a file that ends too early.
    fn end_early(&mut self, otherwise: &str) -> bool {
        self.place = Place::End;
        let reason = self.lines.source.take_cut().unwrap_or_else(|| otherwise.to_owned());
        self.fault = Some(Fault::of(reason));
        true
    }

    fn pick(&mut self) -> Result<(), Fault> {
        let text = utf8(&self.record.bytes)?;
        self.text.clear();
        self.spans.fill(ABSENT);
        let pick = Pick {
            keys: &self.keys,
            naming: self.naming,
            spans: &mut self.spans,
            text: &mut self.text,
        };
        let mut json = serde_json::Deserializer::from_str(text);
        pick.deserialize(&mut json)
            .and_then(|()| json.end())
            .map_err(|error| Fault::of(format!("not a JSON object: {error}")))
    }
}

impl Records for Json {
    fn advance(&mut self) -> Result<bool> {
        self.fault = None;
        loop {
            match self.place {
                Place::Start => self.start()?,
                Place::Lines => {
                    let found = self.lines.read(&mut self.record)?;
                    if !(found && self.record.terminated) && self.lines.source.is_cut() {
                        return Ok(self.end_early(""));
                    }
                    if !found {
                        self.place = Place::End;
                        return Ok(false);
                    }
                    if self.record.is_over() || !self.record.bytes.trim_ascii().is_empty() {
                        return Ok(true);
                    }
                }
                Place::Array => {
                    self.skip(b" \t\r\n,")?;
                    let next = self.lines.source.fill()?.first().copied();
                    match next {
                        None => {
                            self.record = Line::default();
                            self.record.number = self.lines.number + 1;
                            return Ok(self.end_early("the file ends inside its array"));
                        }
                        Some(b']') => {
                            self.lines.source.consume(1);
                            self.place = Place::AfterArray;
                        }
                        Some(_) => {
                            if !self.element()? {
                                self.end_early("the file ends inside a record");
                            }
                            return Ok(true);
                        }
                    }
                }
                Place::AfterArray => {
                    self.skip(b" \t\r\n}")?;
                    self.place = Place::Start;
                }
                Place::End => {
                    // A stream may break off between two records, too.
                    if self.lines.source.is_cut() {
                        self.record = Line::default();
                        self.record.number = self.lines.number + 1;
                        return Ok(self.end_early(""));
                    }
                    return Ok(false);
                }
            }
        }
    }

    fn cells(&mut self) -> Result<Cells<'_>, Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        if self.record.is_over() {
            return Err(Fault::of(format!(
                "a record of {} bytes is longer than one may be (1 MiB)",
                self.record.length
            )));
        }
        if self.keys.is_empty() {
            let text = utf8(&self.record.bytes)?;
            return Ok(Cells { text, spans: &[], select: None });
        }
        self.pick()?;
        Ok(Cells { text: &self.text, spans: &self.spans, select: None })
    }

    fn line(&self) -> Option<u64> {
        Some(self.record.number)
    }

    fn raw(&self) -> Raw {
        Raw::new(Some(self.record.number), &self.record.bytes, self.record.length)
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes)
        .map_err(|error| Fault::of(format!("not UTF-8 at byte {}", error.valid_up_to())))
}

/// The length of `[` or of `{"Records": [` (Amazon; Microsoft writes `records`), when the text begins so.
fn opening(head: &[u8]) -> Option<usize> {
    if head.first() == Some(&b'[') {
        return Some(1);
    }
    let mut at = 0;
    for token in [&b"{"[..], b"\"Records\"", b":", b"["] {
        at += head[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        if !head[at..].get(..token.len()).is_some_and(|text| text.eq_ignore_ascii_case(token)) {
            return None;
        }
        at += token.len();
    }
    Some(at)
}

/// Finds a JSON value's end, block by block.
#[derive(Debug, Default)]
struct Scan {
    depth: u64,
    in_string: bool,
    escaped: bool,
    begun: bool,
}

impl Scan {
    /// How much of the block belongs to the value, and whether it ends there.
    fn follow(&mut self, block: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while at < block.len() {
            let byte = block[at];
            if self.in_string {
                if self.escaped {
                    self.escaped = false;
                } else {
                    match memchr::memchr2(b'"', b'\\', &block[at..]) {
                        None => return (block.len(), false),
                        Some(skipped) => {
                            at += skipped;
                            if block[at] == b'\\' {
                                self.escaped = true;
                            } else {
                                self.in_string = false;
                                if self.depth == 0 {
                                    return (at + 1, true);
                                }
                            }
                        }
                    }
                }
                at += 1;
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                // A closing bracket that nothing opened is a value by itself, and no JSON.
                b'}' | b']' if self.depth <= 1 => {
                    let ends_outside = self.depth == 0 && self.begun;
                    return (at + usize::from(!ends_outside), true);
                }
                b'}' | b']' => self.depth -= 1,
                b',' | b' ' | b'\n' | b'\r' | b'\t' if self.depth == 0 => return (at, true),
                _ => {}
            }
            self.begun = true;
            at += 1;
        }
        (at, false)
    }
}

/// Copies the wanted members of an object.
struct Pick<'a> {
    keys: &'a HashMap<String, usize>,
    naming: Naming,
    spans: &'a mut [(u32, u32)],
    text: &'a mut String,
}

impl<'de> DeserializeSeed<'de> for Pick<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Pick<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(cell) = map.next_key_seed(Key { keys: self.keys, naming: self.naming })? {
            let value: &RawValue = map.next_value()?;
            let Some(cell) = cell else { continue };
            let value = value.get();
            let from = self.text.len() as u32;
            if value == "null" {
                self.spans[cell] = ABSENT;
                continue;
            }
            match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
                None => self.text.push_str(value),
                Some(plain) if !plain.contains('\\') => self.text.push_str(plain),
                Some(_) => {
                    let unescaped: String =
                        serde_json::from_str(value).map_err(serde::de::Error::custom)?;
                    self.text.push_str(&unescaped);
                }
            }
            self.spans[cell] = (from, self.text.len() as u32);
        }
        Ok(())
    }
}

/// Looks a member's name up without copying it.
struct Key<'a> {
    keys: &'a HashMap<String, usize>,
    naming: Naming,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(match self.naming {
            Naming::Exact => self.keys.get(name).copied(),
            Naming::Loose | Naming::Bare => self.keys.get(&self.naming.key(name)).copied(),
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn check(text: &[u8], expected: &[Result<[Option<&str>; 2], &str>]) {
        let source = Source::new(Bytes::copy_from_slice(text), "t.json").unwrap();
        let wants = [Want::required("a"), Want::required("b")];
        let mut records = Json::new(source, &wants, Naming::Exact, true);
        let mut at = 0;
        while records.advance().unwrap() {
            let line = records.raw().line;
            match (records.cells(), &expected[at]) {
                (Ok(cells), Ok(expected)) => assert_eq!([cells.get(0), cells.get(1)], *expected),
                (Err(fault), Err(expected)) => {
                    assert!(fault.reason.contains(*expected), "{}", fault.reason);
                }
                (found, expected) => panic!("line {line:?}: {found:?} is not {expected:?}"),
            }
            at += 1;
        }
        assert_eq!(at, expected.len());
    }

    #[test]
    fn arrays_lines_and_wrappers() {
        let one = Ok([Some("1"), Some("x\"y")]);
        check(b"[]", &[]);
        check(b" [ {\"a\": 1, \"b\": \"x\\\"y\"} , {\"a\": 1, \"b\": \"x\\\"y\"}]\n", &[one, one]);
        check(b"{ \"Records\" : [ {\"c\": [{}, \"]\"], \"a\": 1, \"b\": \"x\\\"y\"}]}", &[one]);
        check(b"{\"a\": 1, \"b\": \"x\\\"y\"}\n\n{\"a\": null}", &[one, Ok([None, None])]);
        check(
            b"{\"Records\":[{\"b\":true}]}\n{\"Records\":[{\"a\":1e-7}]}",
            &[Ok([None, Some("true")]), Ok([Some("1e-7"), None])],
        );
    }

    #[test]
    fn bad_elements_cost_only_themselves() {
        check(
            b"[{\"a\" 1}, 7, {\"a\": 2}, \"s\", {\"a\": \"\xff\"}]",
            &[
                Err("not a JSON object"),
                Err("not a JSON object"),
                Ok([Some("2"), None]),
                Err("not a JSON object"),
                Err("not UTF-8"),
            ],
        );
        check(b"[{\"a\": 1}, {\"a\": 2", &[Ok([Some("1"), None]), Err("inside a record")]);
        check(b"[{\"a\": 1},", &[Ok([Some("1"), None]), Err("inside its array")]);
        check(b"nonsense\n{\"a\": 1}\n", &[Err("not a JSON object"), Ok([Some("1"), None])]);
    }

    #[test]
    fn a_giant_element_is_counted() {
        let mut text = b"[{\"a\": \"".to_vec();
        text.extend(vec![b'x'; 10_000_000]);
        text.extend_from_slice(b"\"}, {\"a\": 2}]");
        check(&text, &[Err("10000009 bytes"), Ok([Some("2"), None])]);
    }
}
