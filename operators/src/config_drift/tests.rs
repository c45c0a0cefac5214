use std::collections::BTreeMap;

use arrow::array::Array;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::fact::{Cause, What};
use super::observe::Said;
use super::patch::Patch;
use super::*;
use crate::schema::{ENTITY_ID, texts, times};
use crate::snapshot::{chunks, restore};

fn fact(at: i64, what: What, body: Option<Value>) -> Fact {
    Fact {
        canonical: String::new(),
        resource: "sg-1".to_owned(),
        what,
        scope: "main".to_owned(),
        provider: "aws".to_owned(),
        resource_type: "aws_security_group".to_owned(),
        name: Some("aws_security_group.web".to_owned()),
        body: body.map(|body| body.to_string()),
        cause: Cause {
            at,
            source: if what <= What::Undeclared { "declared" } else { "trail" }.to_owned(),
            partition: 0,
            offset: at as u64,
            principal: Some(format!("user-{at}")),
            operation: None,
            event_id: None,
        },
    }
}

fn said(at: i64, said: Said) -> Fact {
    Fact {
        canonical: String::new(),
        resource: said.id,
        resource_type: said.resource_type,
        body: said.body,
        ..fact(at, said.what, None)
    }
}

/// What appeared and healed: time, sign and path, what is declared and observed, who did it.
fn told(batch: Option<RecordBatch>) -> Vec<String> {
    let Some(batch) = batch else { return Vec::new() };
    let text = |name| texts(&batch, name).unwrap();
    let or = |name: &str, row: usize| {
        let column = texts(&batch, name).unwrap();
        if column.is_valid(row) { column.value(row).to_owned() } else { "-".to_owned() }
    };
    (0..batch.num_rows())
        .map(|row| {
            let sign = if text(EVENT).value(row) == "appeared" { '+' } else { '-' };
            let (path, kind) = (text("path").value(row), text("kind").value(row));
            let at = times(&batch, "at").unwrap()[row];
            format!(
                "{at} {sign} {kind} {path} {}|{} {}",
                or("declared", row),
                or("observed", row),
                or("principal", row)
            )
        })
        .collect()
}

fn run(facts: &[Fact], config: ConfigDriftConfig) -> Vec<String> {
    let mut operator = ConfigDrift::new(config).unwrap();
    operator.push(&fact::rows(facts).unwrap()).unwrap();
    told(operator.advance(Watermark::MAX).unwrap())
}

#[test]
fn drift_appears_with_who_made_it_and_heals() {
    let rule =
        json!({"protocol": "tcp", "from_port": 22, "to_port": 22, "cidr_blocks": ["0.0.0.0/0"]});
    let web =
        json!({"protocol": "tcp", "from_port": 443, "to_port": 443, "cidr_blocks": ["0.0.0.0/0"]});
    let open = |at| {
        let patch =
            Patch { add: [("ingress".to_owned(), vec![rule.clone()])].into(), ..Patch::default() };
        said(at, Said::changed("aws_security_group", "sg-1", patch))
    };
    let shut = |at| {
        let patch = Patch {
            remove: [("ingress".to_owned(), vec![rule.clone()])].into(),
            ..Patch::default()
        };
        said(at, Said::changed("aws_security_group", "sg-1", patch))
    };
    let declared =
        fact(10, What::Declared, Some(json!({"ingress": [web], "tags": {"team": "web"}})));
    let found = run(&[declared, open(20), open(25), shut(30)], ConfigDriftConfig::default());
    let one =
        r#"[{"cidr_blocks":["0.0.0.0/0"],"from_port":"443","protocol":"tcp","to_port":"443"}]"#;
    let two = r#"[{"cidr_blocks":["0.0.0.0/0"],"from_port":"22","protocol":"tcp","to_port":"22"},{"cidr_blocks":["0.0.0.0/0"],"from_port":"443","protocol":"tcp","to_port":"443"}]"#;
    assert_eq!(
        found,
        [
            format!("20 + changed ingress {one}|{two} user-20"),
            format!("30 - changed ingress {one}|{two} user-30"),
        ]
    );
}

#[test]
fn every_kind_of_drift() {
    let config = || ConfigDriftConfig { unmanaged: vec!["aws_*".to_owned()], ..Default::default() };
    let declared =
        |at| fact(at, What::Declared, Some(json!({"size": 1, "tags": {"a": "1", "b": "2"}})));
    let seen = |at, body: Value| fact(at, What::Observed, Some(body));
    assert_eq!(
        run(
            &[declared(1), seen(2, json!({"size": 2, "other": 3, "tags": {"a": "1", "c": "3"}}))],
            config()
        ),
        [
            "2 + changed size 1|2 user-2",
            "2 + removed tags.b 2|- user-2",
            "2 + added tags.c -|3 user-2"
        ]
    );
    assert_eq!(
        run(
            &[
                seen(1, json!({})),
                declared(2),
                fact(3, What::Gone, None),
                fact(4, What::Undeclared, None)
            ],
            config()
        ),
        [
            "1 + unmanaged  -|- user-1",
            "2 - unmanaged  -|- user-2",
            "3 + missing  -|- user-3",
            "4 - missing  -|- user-4",
        ]
    );
    // What nobody saw is not known to differ; who changes the declaration makes the difference.
    assert_eq!(run(&[declared(1)], config()), Vec::<String>::new());
    assert_eq!(
        run(&[seen(1, json!({"size": 2})), declared(5)], ConfigDriftConfig::default()),
        ["5 + changed size 1|2 user-5"]
    );
}

#[test]
fn what_is_ignored_is_not_told() {
    let ignore =
        Ignore { resource: "*".to_owned(), resource_type: "*".to_owned(), path: "tags".to_owned() };
    let config = ConfigDriftConfig { ignores: vec![ignore], ..Default::default() };
    let facts = [
        fact(1, What::Declared, Some(json!({"tags": {"a": "1"}}))),
        fact(2, What::Observed, Some(json!({"tags": {"a": "2"}}))),
    ];
    assert_eq!(run(&facts, config), Vec::<String>::new());
    let all =
        Ignore { resource: "*".to_owned(), resource_type: "*".to_owned(), path: "*".to_owned() };
    let config = ConfigDriftConfig { ignores: vec![all], ..Default::default() };
    assert!(ConfigDrift::new(config).unwrap_err().to_string().contains("ignores everything"));
}

fn attributes() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(prop::sample::select(vec!["size", "on", "tags"]), 0..3_u8, 0..3)
        .prop_map(|attributes| {
            let attributes = attributes.into_iter().map(|(key, value)| match key {
                "tags" => (key.to_owned(), json!({ format!("t{value}"): "x" })),
                _ => (key.to_owned(), json!(value)),
            });
            Value::Object(attributes.collect())
        })
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let what = prop_oneof![
        3 => attributes().prop_map(|body| (What::Declared, Some(body))),
        1 => Just((What::Undeclared, None)),
        2 => attributes().prop_map(|body| (What::Observed, Some(body))),
        1 => Just((What::Gone, None)),
        4 => attributes().prop_map(|set| (What::Changed, Some(json!({"set": set})))),
        1 => Just((What::Changed, Some(json!({"drop": ["tags"]})))),
    ];
    (1..30_i64, 0..3_u8, prop::bool::ANY, what).prop_map(|(at, id, other, (what, body))| Fact {
        resource: format!("r-{id}"),
        scope: if other { "other" } else { "main" }.to_owned(),
        ..fact(at, what, body)
    })
}

/// What is open, by resource and path, after all events up to each instant.
fn open_after(events: &[RecordBatch], at: i64) -> BTreeMap<(String, String), String> {
    let mut open = BTreeMap::new();
    for batch in events {
        let text = |name| texts(batch, name).unwrap();
        for row in 0..batch.num_rows() {
            if times(batch, "at").unwrap()[row] > at {
                continue;
            }
            let key = (text(ENTITY_ID).value(row).to_owned(), text("path").value(row).to_owned());
            let id = text("drift_id").value(row).to_owned();
            match text(EVENT).value(row) {
                "appeared" => assert_eq!(open.insert(key, id), None, "appears once"),
                _ => assert_eq!(open.remove(&key), Some(id), "only what has appeared heals"),
            }
        }
    }
    open
}

proptest! {
    /// However facts are cut into epochs, and whatever is taken up from a snapshot in between, the events are
    /// the same; and at every instant what is open is what a resource's whole history gives, computed anew.
    #[test]
    fn incremental_is_recomputed(
        mut facts in prop::collection::vec(any_fact(), 1..40),
        cuts in prop::collection::btree_set(1..30_i64, 0..4),
        restarted in 0..4_usize,
    ) {
        for (offset, fact) in facts.iter_mut().enumerate() {
            fact.cause.offset = offset as u64;
        }
        let config = ConfigDriftConfig { unmanaged: vec!["*".to_owned()], ..Default::default() };
        let mut whole = ConfigDrift::new(config.clone()).unwrap();
        whole.push(&fact::rows(&facts).unwrap()).unwrap();
        let whole: Vec<RecordBatch> = whole.advance(Watermark::MAX).unwrap().into_iter().collect();

        let mut events = Vec::new();
        let mut operator = ConfigDrift::new(config.clone()).unwrap();
        let mut from = i64::MIN;
        for (at, to) in cuts.iter().copied().chain([i64::MAX]).enumerate() {
            // Facts come when they may: what is due, and some of what is not yet.
            let now: Vec<Fact> = facts
                .iter()
                .filter(|fact| (from..to).contains(&(fact.cause.at - (fact.cause.offset % 3) as i64)))
                .cloned()
                .collect();
            operator.push(&fact::rows(&now).unwrap()).unwrap();
            events.extend(operator.advance(Watermark(if to == i64::MAX { to } else { to.saturating_sub(2) })).unwrap());
            if at == restarted {
                let state: Vec<_> = chunks(&operator, Extent::Whole).collect::<Result<_>>().unwrap();
                operator = ConfigDrift::new(config.clone()).unwrap();
                restore(&mut operator, &[state], |_| true).unwrap();
            }
            from = to;
        }
        let all = |events: &[RecordBatch]| {
            events.iter().flat_map(|batch| told(Some(batch.clone()))).collect::<Vec<_>>()
        };
        prop_assert_eq!(all(&events), all(&whole));

        facts.sort_by(|a, b| a.place().cmp(&b.place()));
        for at in 0..30 {
            let mut resources: BTreeMap<&str, Resource> = BTreeMap::new();
            for fact in facts.iter().filter(|fact| fact.cause.at <= at) {
                resources.entry(&fact.resource).or_default().take_up(fact, &config).unwrap();
            }
            let expected: Vec<(String, String)> = resources
                .iter()
                .flat_map(|(id, resource)| {
                    let drift = resource.drift(id, "aws_security_group", &config);
                    drift.into_keys().map(|path| ((*id).to_owned(), path)).collect::<Vec<_>>()
                })
                .collect();
            let found: Vec<(String, String)> = open_after(&whole, at).into_keys().collect();
            prop_assert_eq!(found, expected, "at {}", at);
        }
    }
}
