//! Messages of a log: each holds one row of a format, or several, and has an offset of its own.
//!
//! A message is decoded by itself: an open quote or a broken line costs only the message it stands
//! in, and where a batch begins never shows. Whatever cannot be decoded becomes rejects, and a message
//! that holds nothing is one too, so that every offset is accounted for.

use bytes::Bytes;

use super::columnar::Columnar;
use super::decode::{Decode, reject};
use super::delimited::{Columns, Delimited, Separator};
use super::format::{Encoding, Format};
use super::json::Json;
use super::long::{self, Long};
use super::record::{Fault, Naming, Raw, Records, Want};
use super::source::Source;
use super::wide::Wide;
use super::{BATCH_BYTES, BATCH_RECORDS, Layout, ReadBatch, Reject, audit, charge};
use crate::{Error, Result};

/// Decodes the messages of one partition, in order.
///
/// Feed it with [`Messages::push`], take a batch with [`Messages::finish`] whenever it
/// [is full](Messages::is_full) or nothing more is at hand.
pub struct Messages {
    name: String,
    layout: Layout,
    wants: Vec<Want>,
    /// The header that is put before every CSV message.
    header: Option<Vec<u8>>,
    /// Kept from message to message.
    json: Option<Json>,
    meaning: Meaning,
    rejects: Vec<Reject>,
    /// Rows and rejects gathered.
    entries: usize,
    bytes: usize,
    /// The offsets gathered.
    first: Option<u64>,
    next: u64,
}

/// What rows mean.
enum Meaning {
    Wide(Box<Wide>),
    Long(Box<Long>),
    Rows(Box<dyn Decode>),
}

impl Messages {
    /// A decoder for messages of a format; `name` stands in errors. `columns` are those of CSV
    /// messages, in order; without them each begins with its own header line.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the format is one of files only, or the layout does not suit.
    pub fn new(name: &str, format: &Format, columns: Option<&[String]>) -> Result<Self> {
        let json = Some(Encoding::Json);
        let (encoding, delimiter, naming, wants, meaning) = match format {
            Format::SensorWide { mapping } => {
                let wide = Wide::keyed(name, mapping);
                let wants = wide.wants();
                let meaning = Meaning::Wide(Box::new(wide));
                (mapping.encoding, mapping.delimiter, Naming::Exact, wants, meaning)
            }
            Format::SensorLong { mapping } => {
                let meaning = Meaning::Long(Box::new(Long::new(mapping, 0, 0)));
                let wants = long::wants(mapping);
                (mapping.encoding, mapping.delimiter, Naming::Exact, wants, meaning)
            }
            Format::Focus { .. } | Format::Charges { .. } => {
                let plan = charge::plan(format)?;
                let (naming, wants) = (plan.naming, plan.wants.clone());
                let (encoding, delimiter) = match format {
                    Format::Charges { mapping } => (mapping.encoding, mapping.delimiter),
                    Format::Focus { encoding, .. } => (*encoding, ','),
                    _ => (None, ','),
                };
                let meaning = Meaning::Rows(Box::new(charge::Charges::new(plan.into())));
                (encoding, delimiter, naming, wants, meaning)
            }
            _ => match audit::Events::of(format) {
                Some(events) => {
                    (json, ',', Naming::Exact, Vec::new(), Meaning::Rows(Box::new(events)))
                }
                None => {
                    return Err(Error::Configuration(format!(
                        "{name}: this format is one of files; messages are read as sensor-wide, \
                         sensor-long, focus, charges, or an audit format (cloudtrail, \
                         azure-activity, gcp-audit, kubernetes-audit, ocsf)"
                    )));
                }
            },
        };
        let layout = Layout::of(name, encoding.or(json), delimiter, naming)?;
        let header = header(name, &layout, columns)?;
        if layout.encoding == Encoding::Parquet {
            return Err(Error::Configuration(format!(
                "{name}: encoding parquet is for files; of messages: json, ndjson, csv or arrow"
            )));
        }
        Ok(Self {
            name: name.to_owned(),
            layout,
            wants,
            header,
            json: None,
            meaning,
            rejects: Vec::new(),
            entries: 0,
            bytes: 0,
            first: None,
            next: 0,
        })
    }

    /// Takes in the message at an offset, which must be the next one.
    ///
    /// # Errors
    /// None that the message could cause: those are bugs.
    pub fn push(&mut self, offset: u64, key: Option<&[u8]>, value: &Bytes) -> Result<()> {
        let gathered = self.first.get_or_insert(offset);
        debug_assert!(*gathered == offset || self.next == offset, "offsets have no gaps");
        self.next = offset + 1;
        self.bytes += value.len();
        if let Meaning::Wide(wide) = &mut self.meaning {
            wide.set_key(key);
        }
        let any = match self.open(value) {
            Ok(Opened::Json) => match self.json.take() {
                Some(mut json) => {
                    let any = self.decode(offset, &mut json);
                    self.json = Some(json);
                    any?
                }
                None => false,
            },
            Ok(Opened::Other(mut records)) => self.decode(offset, &mut *records)?,
            Err(error) => {
                self.reject(offset, error.to_string(), value);
                true
            }
        };
        if !any {
            self.reject(offset, "the message holds no record".to_owned(), value);
        }
        Ok(())
    }

    /// Whether what has been gathered makes a batch.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let entries = match &self.meaning {
            Meaning::Long(long) => self.entries + long.len(),
            _ => self.entries,
        };
        entries >= BATCH_RECORDS || self.bytes >= BATCH_BYTES
    }

    /// The messages since the last call; none when there were none.
    ///
    /// # Errors
    /// When Arrow refuses to build the batch, which is a bug.
    pub fn finish(&mut self) -> Result<Option<ReadBatch>> {
        let Some(first_offset) = self.first.take() else { return Ok(None) };
        (self.entries, self.bytes) = (0, 0);
        let mut rejects = std::mem::take(&mut self.rejects);
        let rows = match &mut self.meaning {
            Meaning::Wide(wide) => wide.finish()?,
            Meaning::Rows(decode) => decode.finish()?,
            Meaning::Long(long) => {
                let (rows, more) = long.finish()?;
                rejects.extend(more);
                rejects.sort_by_key(|reject| reject.offset);
                rows
            }
        };
        Ok(Some(ReadBatch { first_offset, records: self.next - first_offset, rows, rejects }))
    }

    /// The message's records; JSON goes on with the parser it has.
    fn open(&mut self, value: &Bytes) -> Result<Opened> {
        let Layout { encoding, delimiter, naming } = self.layout;
        Ok(match encoding {
            Encoding::Csv => {
                let text = match &self.header {
                    Some(header) => Bytes::from([header, &value[..]].concat()),
                    None => value.clone(),
                };
                let columns = Columns::Header { wants: &self.wants, naming };
                let source = Source::new(text, "the message")?;
                Opened::Other(Box::new(Delimited::new(
                    source,
                    Separator::Byte(delimiter),
                    &columns,
                )?))
            }
            Encoding::Arrow => Opened::Other(Box::new(Columnar::stream(
                value.clone(),
                "the message",
                &self.wants,
                naming,
            )?)),
            Encoding::Ndjson | Encoding::Json | Encoding::Parquet => {
                let source = Source::new(value.clone(), "the message")?;
                match &mut self.json {
                    Some(json) => json.restart(source),
                    None => {
                        let arrays = encoding == Encoding::Json;
                        self.json = Some(Json::new(source, &self.wants, naming, arrays));
                    }
                }
                Opened::Json
            }
        })
    }

    /// Takes a message's records in; false when it has none.
    fn decode(&mut self, offset: u64, records: &mut dyn Records) -> Result<bool> {
        let decode: &mut dyn Decode = match &mut self.meaning {
            Meaning::Long(long) => return long.message(offset, records),
            Meaning::Wide(wide) => &mut **wide,
            Meaning::Rows(decode) => &mut **decode,
        };
        let mut any = false;
        while records.advance()? {
            any = true;
            self.entries += 1;
            let decoded = records.cells().and_then(|cells| decode.decode(0, offset, &cells));
            if let Err(fault) = decoded {
                let mut raw = records.raw();
                // The header that was put before the message is no line of it.
                let ahead = u64::from(self.header.is_some());
                raw.line = raw.line.map(|line| line - ahead);
                self.rejects.push(reject(offset, fault, raw));
            }
        }
        Ok(any)
    }

    /// Rejects a whole message.
    fn reject(&mut self, offset: u64, reason: String, value: &Bytes) {
        self.entries += 1;
        let raw = Raw::new(None, value, value.len() as u64);
        self.rejects.push(reject(offset, Fault::of(reason), raw));
    }
}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messages").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a message's records are read by.
enum Opened {
    /// The parser kept in [`Messages`].
    Json,
    Other(Box<dyn Records>),
}

/// The header line of CSV messages.
fn header(name: &str, layout: &Layout, columns: Option<&[String]>) -> Result<Option<Vec<u8>>> {
    let Some(columns) = columns else { return Ok(None) };
    let refused = |what: String| Err(Error::Configuration(format!("{name}: columns: {what}")));
    if layout.encoding != Encoding::Csv {
        return refused("they are for CSV messages; set the mapping's encoding to csv".to_owned());
    }
    if columns.is_empty() {
        return refused("name at least one".to_owned());
    }
    let mut line = String::new();
    for (at, column) in columns.iter().enumerate() {
        if column.contains(['"', '\n', '\r']) {
            return refused(format!("{column:?} has a quote or a line end in it"));
        }
        if at > 0 {
            line.push(char::from(layout.delimiter));
        }
        line.push('"');
        line.push_str(column);
        line.push('"');
    }
    line.push('\n');
    Ok(Some(line.into_bytes()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        AsArray, Float32Array, RecordBatch, StringArray, TimestampMillisecondArray,
    };
    use arrow::datatypes::{DataType, Field, Float32Type, Schema, TimeUnit, UInt64Type};
    use std::sync::Arc;

    use super::*;

    const WIDE: &str = r#"{"format": "sensor-wide", "mapping": {"entity": "m", "time": "t",
        "time_format": "ms", "channels": ["a"]ENCODING}}"#;

    fn format(text: &str, encoding: &str) -> Format {
        let encoding = match encoding {
            "" => String::new(),
            encoding => format!(r#", "encoding": "{encoding}""#),
        };
        serde_json::from_str(&text.replace("ENCODING", &encoding)).unwrap()
    }

    /// Rows as (offset, entity, value), rejects as (offset, line, reason).
    type Seen = (Vec<(u64, String, f32)>, Vec<(u64, Option<u64>, String)>);

    fn check(
        format: &Format,
        columns: Option<&[&str]>,
        messages: &[(Option<&str>, &[u8])],
    ) -> Seen {
        let columns = columns.map(|c| c.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>());
        let mut decoder = Messages::new("topic", format, columns.as_deref()).unwrap();
        for (at, (key, value)) in messages.iter().enumerate() {
            let value = Bytes::copy_from_slice(value);
            decoder.push(7 + at as u64, key.map(str::as_bytes), &value).unwrap();
        }
        let batch = decoder.finish().unwrap().unwrap();
        assert!(decoder.finish().unwrap().is_none());
        assert_eq!((batch.first_offset, batch.records), (7, messages.len() as u64));
        let rows = &batch.rows;
        let offsets = rows["offset"].as_primitive::<UInt64Type>();
        let entities = rows["entity_id"].as_string::<i32>();
        let values = rows["a"].as_primitive::<Float32Type>();
        let rows = (0..rows.num_rows())
            .map(|i| (offsets.value(i), entities.value(i).to_owned(), values.value(i)));
        let rejects = batch.rejects.iter().map(|r| (r.offset, r.line, r.reason.clone()));
        (rows.collect(), rejects.collect())
    }

    #[test]
    fn rows_of_one_message_share_its_offset() {
        let (rows, rejects) = check(
            &format(WIDE, ""),
            None,
            &[
                (None, br#"{"m": "x", "t": 1, "a": 1}"#),
                (None, b"[{\"m\": \"x\", \"t\": 2, \"a\": 2}, {\"m\": \"y\", \"t\": 2, \"a\": 3}]"),
                (None, b"{\"m\": \"x\", \"t\": 3, \"a\": 4}\n{\"m\": \"x\", \"t\": 4}\n{\"m\": "),
                (None, b""),
                (None, b"[]"),
                (None, b"\xff\xfe"),
                (None, br#"{"m": "z", "t": 5, "a": 5}"#),
            ],
        );
        let x = |offset, entity: &str, value| (offset, entity.to_owned(), value);
        let want = [x(7, "x", 1.), x(8, "x", 2.), x(8, "y", 3.), x(9, "x", 4.), x(13, "z", 5.)];
        assert_eq!(rows, want);
        let places: Vec<_> = rejects.iter().map(|(offset, line, _)| (*offset, *line)).collect();
        let whole = |offset| (offset, None);
        assert_eq!(places, [(9, Some(2)), (9, Some(3)), whole(10), whole(11), (12, Some(1))]);
        assert!(rejects[2].2.contains("holds no record"), "{rejects:?}");
    }

    #[test]
    fn csv_messages_have_a_header_or_are_given_one() {
        let csv = format(WIDE, "csv");
        let headed: &[u8] = b"m,a,t\nx,1,1\ny,2,1\n";
        let (rows, rejects) = check(&csv, None, &[(None, headed), (None, b"a,m\n1,x\n")]);
        assert_eq!(rows, [(7, "x".to_owned(), 1.), (7, "y".to_owned(), 2.)]);
        assert!(rejects[0].2.contains("no column t"), "{rejects:?}");
        let bare: [(Option<&str>, &[u8]); 3] =
            [(None, b"x,1,1"), (None, b"\"open,1,1\n"), (None, b"y,1,2\nx,1")];
        let (rows, rejects) = check(&csv, Some(&["m", "t", "a"]), &bare);
        assert_eq!(rows, [(7, "x".to_owned(), 1.), (9, "y".to_owned(), 2.)]);
        let lines: Vec<_> = rejects.iter().map(|(offset, line, _)| (*offset, *line)).collect();
        assert_eq!(lines, [(8, Some(1)), (9, Some(2))]);
    }

    #[test]
    fn keys_name_entities_where_no_column_does() {
        let keyed = format(&WIDE.replace(r#""entity": "m", "#, ""), "");
        let value: &[u8] = br#"{"t": 1, "a": 1}"#;
        let (rows, rejects) = check(&keyed, None, &[(Some("pump"), value), (None, value)]);
        assert_eq!(rows, [(7, "pump".to_owned(), 1.)]);
        assert!(rejects[0].2.contains("no key"), "{rejects:?}");
    }

    #[test]
    fn arrow_streams_are_read() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Float32, true),
            Field::new("m", DataType::Utf8, false),
            Field::new("t", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
        ]));
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(Float32Array::from(vec![Some(1.5), None])),
            Arc::new(StringArray::from(vec!["x", "y"])),
            Arc::new(TimestampMillisecondArray::from(vec![1, 2]).with_timezone("UTC")),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        let mut writer = arrow::ipc::writer::StreamWriter::try_new(Vec::new(), &schema).unwrap();
        writer.write(&batch).unwrap();
        let stream = writer.into_inner().unwrap();
        let arrow = format(&WIDE.replace("\"ms\"", "\"auto\""), "arrow");
        let messages = [(None, &stream[..]), (None, &stream[..stream.len() / 2]), (None, b"no")];
        let (rows, rejects) = check(&arrow, None, &messages);
        assert_eq!(rows, [(7, "x".to_owned(), 1.5)]);
        assert_eq!(rejects[0].0, 7, "{rejects:?}");
        assert!(rejects[1..].iter().any(|(offset, ..)| *offset == 8), "{rejects:?}");
        assert!(rejects.last().unwrap().2.contains("not an Arrow IPC stream"), "{rejects:?}");
    }

    #[test]
    fn long_rows_are_pivoted_within_a_message() {
        let long = format(
            r#"{"format": "sensor-long", "mapping": {"entity": "m", "time": "t", "channel": "c",
            "value": "v", "time_format": "ms", "carry_forward": true, "channels": ["a", "b"]ENCODING}}"#,
            "",
        );
        let (rows, rejects) = check(
            &long,
            None,
            &[
                (None, b"{\"m\":\"x\",\"t\":1,\"c\":\"b\",\"v\":2}\n{\"m\":\"x\",\"t\":1,\"c\":\"a\",\"v\":1}"),
                (None, b"{\"m\":\"x\",\"t\":2,\"c\":\"a\",\"v\":1}"),
                (None, b"{\"m\":\"x\",\"t\":3,\"c\":\"q\",\"v\":1}"),
            ],
        );
        assert_eq!(rows, [(7, "x".to_owned(), 1.)]);
        let offsets: Vec<_> = rejects.iter().map(|(offset, ..)| *offset).collect();
        assert_eq!(offsets, [8, 9], "nothing is carried over messages: {rejects:?}");
    }

    #[test]
    fn what_suits_only_files_is_refused_by_name() {
        let refused = |format: &Format, columns: Option<&[String]>, what: &str| {
            let error = Messages::new("topic", format, columns).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        };
        refused(&Format::Nab {}, None, "one of files");
        refused(&format(WIDE, "parquet"), None, "encoding parquet");
        refused(&format(WIDE, ""), Some(&["m".to_owned()]), "columns");
    }
}
