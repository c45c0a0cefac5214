//! The protocol of the log as a model, every reachable state of which is looked at.
//!
//! Two writers share a log. A writer folds what it has read, sends puts of the next number, and hears of
//! them or not; a put may be applied long after its writer has died or was replaced. What is checked is
//! the argument on which everything else rests: a conditional put of the *next* number is enough, without
//! clocks, leases or locks.

use stateright::{Checker, Model, Property};

/// Records that a model's log holds at most.
const LENGTH: usize = 5;

/// Crashes of a writer at most.
const CRASHES: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Takeover(u8),
    Plan(u8),
    Commit(u8),
}

/// A record, and who wrote it in which of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Record {
    nonce: (u8, u8),
    kind: Kind,
}

/// A put on its way: of a number of the log.
type Put = (u8, Record);

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Writer {
    life: u8,
    /// Records it has folded.
    folded: u8,
    generation: Option<u8>,
    /// What it has sent and not heard of.
    sent: Option<Put>,
    /// It was told that this commit landed, at this number.
    acknowledged: Vec<Put>,
    halted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct World {
    log: Vec<Record>,
    writers: Vec<Writer>,
    /// Puts that may still be applied, whoever sent them.
    flying: Vec<Put>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Fold(usize),
    TakeOver(usize),
    Plan(usize),
    Commit(usize),
    /// The store applies a put, or finds its number taken; nobody need hear of it.
    Apply(usize),
    /// A writer asks again what became of its put: creates it once more, and reads what is there.
    Ask(usize),
    Crash(usize),
}

struct Protocol;

/// What a writer knows of the records that it has folded.
struct View {
    generation: u8,
    /// Plans that are not committed.
    open: u8,
}

fn view(log: &[Record], folded: u8) -> View {
    let mut view = View { generation: 0, open: 0 };
    for record in &log[..usize::from(folded)] {
        match record.kind {
            Kind::Takeover(generation) => view.generation = generation,
            Kind::Plan(_) => view.open += 1,
            Kind::Commit(_) => view.open -= 1,
        }
    }
    view
}

impl World {
    fn send(&mut self, at: usize, kind: Kind) {
        let writer = &mut self.writers[at];
        let put = (writer.folded, Record { nonce: (at as u8, writer.life), kind });
        writer.sent = Some(put);
        self.flying.push(put);
        self.flying.sort_by_key(|put| format!("{put:?}"));
        self.flying.dedup();
    }

    fn apply(&mut self, (number, record): Put) {
        if usize::from(number) == self.log.len() {
            self.log.push(record);
        }
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World { writers: vec![Writer::default(); 2], ..World::default() }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.extend((0..world.flying.len()).map(Action::Apply));
        for (at, writer) in world.writers.iter().enumerate() {
            if writer.life < CRASHES {
                actions.push(Action::Crash(at));
            }
            if writer.halted {
                continue;
            }
            if writer.sent.is_some() {
                actions.push(Action::Ask(at));
                continue;
            }
            if usize::from(writer.folded) < world.log.len() {
                actions.push(Action::Fold(at));
            }
            if usize::from(writer.folded) >= LENGTH {
                continue;
            }
            let view = view(&world.log, writer.folded);
            match writer.generation {
                None => actions.push(Action::TakeOver(at)),
                Some(own) if own == view.generation => {
                    if view.open < 2 {
                        actions.push(Action::Plan(at));
                    }
                    if view.open > 0 {
                        actions.push(Action::Commit(at));
                    }
                }
                Some(_) => {}
            }
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::Fold(at) => world.writers[at].fold(&last.log),
            Action::TakeOver(at) => {
                let generation = view(&last.log, last.writers[at].folded).generation + 1;
                world.send(at, Kind::Takeover(generation));
            }
            Action::Plan(at) => world.send(at, Kind::Plan(last.writers[at].generation?)),
            Action::Commit(at) => world.send(at, Kind::Commit(last.writers[at].generation?)),
            Action::Apply(index) => {
                let put = world.flying.remove(index);
                world.apply(put);
            }
            Action::Ask(at) => {
                let put = last.writers[at].sent?;
                world.apply(put);
                world.flying.retain(|flying| *flying != put);
                let found = *world.log.get(usize::from(put.0))?;
                let writer = &mut world.writers[at];
                writer.sent = None;
                if found == put.1 {
                    match found.kind {
                        Kind::Takeover(generation) => writer.generation = Some(generation),
                        Kind::Commit(_) => writer.acknowledged.push(put),
                        Kind::Plan(_) => {}
                    }
                }
                writer.fold(&world.log);
            }
            Action::Crash(at) => {
                let life = last.writers[at].life + 1;
                world.writers[at] = Writer { life, ..Writer::default() };
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "a plan or a commit is of the generation in force",
                |_, world: &World| {
                    let mut generation = 0;
                    world.log.iter().all(|record| match record.kind {
                        Kind::Takeover(next) => {
                            std::mem::replace(&mut generation, next) + 1 == next
                        }
                        Kind::Plan(of) | Kind::Commit(of) => of == generation,
                    })
                },
            ),
            Property::always("a commit closes a plan", |_, world: &World| {
                let mut open = 0i8;
                world.log.iter().all(|record| {
                    open += match record.kind {
                        Kind::Takeover(_) => 0,
                        Kind::Plan(_) => 1,
                        Kind::Commit(_) => -1,
                    };
                    (0..=2).contains(&open)
                })
            }),
            Property::always("what was acknowledged stands", |_, world: &World| {
                let mut told = world.writers.iter().flat_map(|writer| &writer.acknowledged);
                told.all(|(number, record)| world.log.get(usize::from(*number)) == Some(record))
            }),
            Property::always("two of one generation are one writer's life", |_, world: &World| {
                let of = |record: &Record| match record.kind {
                    Kind::Takeover(of) | Kind::Plan(of) | Kind::Commit(of) => of,
                };
                let pairs = world.log.iter().zip(world.log.iter().skip(1));
                pairs.into_iter().all(|(a, b)| of(a) != of(b) || a.nonce == b.nonce)
            }),
            Property::sometimes(
                "a writer is replaced while its put is on its way",
                |_, world: &World| {
                    let last = world.log.last().map(|record| record.nonce);
                    world.log.len() > 2
                        && world.flying.iter().any(|(_, put)| Some(put.nonce) != last)
                },
            ),
            Property::sometimes("a plan is adopted", |_, world: &World| {
                let kinds: Vec<Kind> = world.log.iter().map(|record| record.kind).collect();
                kinds.windows(3).any(
                    |w| matches!(w, [Kind::Plan(a), Kind::Takeover(_), Kind::Commit(b)] if a != b),
                )
            }),
        ]
    }
}

impl Writer {
    /// Folds the next record, and stops where another has taken over.
    fn fold(&mut self, log: &[Record]) {
        self.folded = (self.folded + 1).min(log.len() as u8);
        let generation = view(log, self.folded).generation;
        self.halted = self.generation.is_some_and(|own| own != generation);
    }
}

#[test]
fn no_reachable_state_breaks_the_protocol() {
    let checker = Protocol.checker().threads(2).spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    checker.assert_properties();
}
