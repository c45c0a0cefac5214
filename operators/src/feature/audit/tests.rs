//! Windows to vectors: what they count, what leaves no trace, and that cuts do not show.

use arrow::compute::concat_batches;

use super::*;
use crate::event::tests::{EVENTS, Event};
use crate::peers::Peers;
use crate::schema::vectors;
use crate::snapshot::{Extent, Snapshot, chunks, restore};

fn feature(batch: &RecordBatch, row: usize, name: &str) -> f32 {
    let (values, width) = vectors(batch, FEATURES).unwrap();
    let names = AuditFeatures::new().names();
    assert_eq!(width, names.len());
    values[row * width + names.iter().position(|found| found == name).unwrap()]
}

fn append(features: &mut AuditFeatures, batches: &[RecordBatch]) -> RecordBatch {
    let batches: Vec<_> = batches.iter().map(|batch| features.append(batch).unwrap()).collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

#[test]
fn features_count_classes_and_what_is_new_to_the_principal() {
    let found = append(&mut AuditFeatures::new(), &windows(&EVENTS));
    assert!(found.column_by_name(WINDOW).is_none());
    let names = texts(&found, ENTITY_ID).unwrap();
    let ann: Vec<usize> = (0..found.num_rows()).filter(|row| names.value(*row) == "ann").collect();
    assert_eq!(ann.len(), 3);
    let close = |at: usize, name: &str, want: f64| {
        let value = f64::from(feature(&found, ann[at], name));
        assert!((value - want).abs() < 1e-6, "{at} {name}: {value}, {want}");
    };
    close(0, "events", 4f64.ln());
    close(0, "class:data", 3f64.ln());
    close(0, "class:delete", 2f64.ln());
    close(0, "error_rate", 1.0 / 3.0);
    close(0, "read_ratio", 2.0 / 3.0);
    close(0, "distinct_operations", 3f64.ln());
    close(0, "burst", 3f64.ln());
    close(0, "first_window", 1.0);
    close(1, "first_window", 0.0);
    for (at, regions, agents, operations) in [(0, 2, 1, 2), (1, 0, 1, 0), (2, 0, 0, 0)] {
        close(at, "new_regions", f64::from(regions).ln_1p());
        close(at, "new_agents", f64::from(agents).ln_1p());
        close(at, "new_operations", f64::from(operations).ln_1p());
    }
}

#[test]
fn addresses_and_the_text_of_agents_leave_no_trace() {
    let mut other = EVENTS;
    for event in &mut other {
        event.5 = "203.0.113.9";
        event.4 = if event.4.starts_with("curl") { "curl/1.2 attack" } else { "aws-cli/9 attack" };
    }
    let vectors = |events: &[Event]| {
        let found = append(&mut AuditFeatures::new(), &windows(events));
        found.column_by_name(FEATURES).unwrap().to_data()
    };
    assert_eq!(vectors(&EVENTS), vectors(&other));
}

#[test]
fn neither_cuts_nor_restarts_matter() {
    let whole = windows(&EVENTS);
    let whole = concat_batches(&whole[0].schema(), &whole).unwrap();
    let want = append(&mut AuditFeatures::new(), std::slice::from_ref(&whole));
    let all = |features: &AuditFeatures, extent| -> Vec<RecordBatch> {
        chunks(features, extent).collect::<Result<_>>().unwrap()
    };
    let mut first = AuditFeatures::new();
    let (mut before, mut snapshots) = (Vec::new(), Vec::new());
    for cut in 1..whole.num_rows() {
        before.push(first.append(&whole.slice(cut - 1, 1)).unwrap());
        let extent = if cut == 1 { Extent::Whole } else { Extent::Changed };
        snapshots.push(all(&first, extent));
        first.saved();
        let mut second = AuditFeatures::new();
        restore(&mut second, &snapshots, |_| true).unwrap();
        assert_eq!(all(&second, Extent::Whole), all(&first, Extent::Whole));
        let after = second.append(&whole.slice(cut, whole.num_rows() - cut)).unwrap();
        let found = before.iter().chain([&after]);
        assert_eq!(concat_batches(&want.schema(), found).unwrap(), want, "cut at {cut}");
    }
}

/// Windows of events, with what their peers did.
fn windows(events: &[Event]) -> Vec<RecordBatch> {
    Peers::new().append(&event::tests::windows(events)).unwrap()
}
