//! A randomised model: nodes that share a log and a store, that hear late or not at all, and that end at any moment.

use std::collections::{BTreeMap, BTreeSet};

use super::table::MAX_PER_USER;
use super::{Announcement, Change, Kind, Seen, Stored, Subject, Table, Verdict};
use crate::alert::{Every, Level};

const SUBJECTS: usize = 3;
const PATIENCE_MS: u64 = 600_000;

/// Numbers that look random and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

#[derive(Default)]
struct World {
    now_ms: u64,
    revision: u64,
    stored: BTreeMap<Subject, Stored>,
    /// By subject: the times of the alerts of senders, and the announcements.
    log: BTreeMap<Subject, (Vec<u64>, Vec<Announcement>)>,
    /// All signs of life.
    last_ms: BTreeMap<Subject, u64>,
    keys: BTreeSet<(Subject, u64, &'static str)>,
    nodes: Vec<Table>,
}

/// The first is a topic, the others are incidents of it.
fn subject(number: usize) -> Subject {
    match number {
        0 => "t".parse().unwrap(),
        _ => format!("t i{number}").parse().unwrap(),
    }
}

/// What an alert of a subject is a sign of life of.
fn renewed(of: &Subject) -> BTreeSet<Subject> {
    [of.clone(), subject(0)].into()
}

fn every(number: usize) -> Every {
    Every::from_ms([10_000, 30_000, 2_000_000][number]).unwrap()
}

impl World {
    fn new(nodes: usize) -> Self {
        let mut world = Self { now_ms: 1_000_000, ..Self::default() };
        world.nodes = (0..nodes).map(|_| Table::default()).collect();
        (0..nodes).for_each(|node| world.restart(node));
        for number in 0..SUBJECTS {
            let (subject, every, level, user) = (subject(number), every(number), Level::Warn, "alice".to_owned());
            world.log.insert(subject.clone(), Default::default());
            world.change(0, &[Change::Expect { subject, every, level, user, now_ms: world.now_ms }]);
        }
        world
    }

    fn restart(&mut self, node: usize) {
        self.nodes[node] = Table::default();
        self.nodes[node].begin(self.now_ms);
    }

    fn refresh(&mut self, node: usize) {
        if self.nodes[node].revision() != Some(self.revision) {
            self.nodes[node].install(self.revision, self.stored.clone());
        }
    }

    fn change(&mut self, node: usize, changes: &[Change]) {
        self.refresh(node);
        let difference = self.nodes[node].difference(changes).unwrap();
        if difference.is_empty() {
            return;
        }
        self.revision += 1;
        for (subject, stored) in difference.clone() {
            match stored {
                Some(stored) => drop(self.stored.insert(subject, stored)),
                None => drop(self.stored.remove(&subject)),
            }
        }
        self.nodes[node].adopt(self.revision, difference);
    }

    /// An alert of a sender. Each node hears of it, or of a gap, or is behind.
    fn publish(&mut self, subject: &Subject, dice: &mut Dice) {
        for renewed in renewed(subject) {
            self.log.get_mut(&renewed).unwrap().0.push(self.now_ms);
            self.last_ms.insert(renewed, self.now_ms);
        }
        for node in &mut self.nodes {
            match dice.below(4) {
                0 => node.doubt(),
                1 => {}
                _ => drop(node.heard(&subject.topic, subject.incident.as_ref(), self.now_ms)),
            }
        }
    }

    /// A repeat, which only one node knows of until it has stored that.
    fn repeat(&mut self, node: usize, subject: &Subject) {
        self.refresh(node);
        if self.nodes[node].repeated(&subject.topic, subject.incident.as_ref(), self.now_ms) {
            self.last_ms.extend(renewed(subject).into_iter().map(|renewed| (renewed, self.now_ms)));
            let signs = self.nodes[node].work(0, 0).signs;
            self.change(node, &signs);
        }
    }

    /// A look of a node, which may end in the middle of it.
    fn look(&mut self, node: usize, dice: &mut Dice) {
        self.refresh(node);
        let work = self.nodes[node].work(self.now_ms, 100);
        let mut changes = work.signs;
        for subject in work.read {
            let (alerts, announcements) = &self.log[&subject];
            let seen = Seen { last_ms: alerts.last().copied(), announced: announcements.last().copied() };
            let from_ms = self.nodes[node].begun_ms();
            match self.nodes[node].judge(&subject, &seen, self.now_ms) {
                Verdict::Nothing => {}
                Verdict::Store(change) => changes.push(change),
                Verdict::Announce(announcement, watched) => {
                    assert!(watched.last_ms() <= self.last_ms.get(&subject).copied());
                    self.announce(&subject, announcement, from_ms);
                    let Announcement { kind, due_ms } = announcement;
                    changes.push(match kind {
                        Kind::Missed => Change::Missed { subject, due_ms },
                        Kind::Met => Change::Met { subject, due_ms },
                    });
                }
            }
            if dice.below(20) == 0 {
                return self.restart(node);
            }
        }
        if !changes.is_empty() {
            self.change(node, &changes);
        }
    }

    fn announce(&mut self, subject: &Subject, announcement: Announcement, from_ms: u64) {
        let Announcement { kind, due_ms } = announcement;
        if !self.keys.insert((subject.clone(), due_ms, kind.as_str())) {
            return;
        }
        let (stored, last_ms) = (&self.stored[subject], self.last_ms.get(subject).copied());
        let announcements = &mut self.log.get_mut(subject).unwrap().1;
        match kind {
            Kind::Missed => {
                let begun = stored.since_ms.max(last_ms.unwrap_or_default());
                assert_eq!(due_ms, begun + stored.every.ms(), "a sign of life was overlooked on {subject}");
                let patience = stored.every.ms().min(PATIENCE_MS);
                assert!(due_ms <= self.now_ms && from_ms + patience <= self.now_ms, "too soon on {subject}");
                assert!(announcements.last().is_none_or(|last| last.kind == Kind::Met), "twice on {subject}");
            }
            Kind::Met => {
                assert!(last_ms >= Some(due_ms), "nothing came on {subject}");
                assert_eq!(announcements.last(), Some(&Announcement { kind: Kind::Missed, due_ms }));
            }
        }
        announcements.push(announcement);
    }

    fn settle(&mut self, dice: &mut Dice) {
        // Some looks end in the middle.
        for _ in 0..40 {
            (0..self.nodes.len()).for_each(|node| self.look(node, dice));
            self.now_ms += 100_000;
        }
    }

    fn newest(&self, subject: &Subject) -> Option<Kind> {
        self.log[subject].1.last().map(|announcement| announcement.kind)
    }
}

#[test]
fn each_silence_is_announced_once_and_so_is_its_end() {
    for seed in 1..200_u64 {
        let (mut dice, mut announced) = (Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)), 0);
        let mut world = World::new(1 + seed as usize % 3);
        for _ in 0..1500 {
            let (node, subject) =
                (dice.below(world.nodes.len() as u64) as usize, subject(dice.below(SUBJECTS as u64) as usize));
            match dice.below(40) {
                0 => world.restart(node),
                1 => {
                    // Nobody is there for a while.
                    world.now_ms += dice.below(100_000);
                    (0..world.nodes.len()).for_each(|node| world.restart(node));
                }
                2 => world.repeat(node, &subject),
                3..5 => world.publish(&subject, &mut dice),
                5..25 => world.look(node, &mut dice),
                _ => world.now_ms += dice.below(4000),
            }
        }
        announced += world.log.values().map(|(_, announcements)| announcements.len()).sum::<usize>();
        world.settle(&mut dice);
        for number in 0..SUBJECTS {
            assert_eq!(world.newest(&subject(number)), Some(Kind::Missed), "seed {seed}");
            world.publish(&subject(number), &mut dice);
        }
        let began_ms = world.now_ms;
        while world.now_ms < began_ms + 9000 {
            (0..world.nodes.len()).for_each(|node| world.look(node, &mut dice));
            world.nodes.iter_mut().for_each(Table::doubt);
            world.now_ms += 1000;
        }
        for number in 0..SUBJECTS {
            assert_eq!(world.newest(&subject(number)), Some(Kind::Met), "seed {seed}");
        }
        assert!(announced > 0, "seed {seed} has shown nothing");
    }
}

#[test]
fn the_limits_hold_and_say_their_names() {
    let expect = |number: usize, user: &str| Change::Expect {
        subject: subject(number),
        every: every(0),
        level: Level::Error,
        user: user.to_owned(),
        now_ms: 5,
    };
    let mut table = Table::default();
    let add = |table: &mut Table, changes: &[Change]| {
        let difference = table.difference(changes)?;
        table.adopt(table.revision().unwrap_or_default() + 1, difference);
        Ok::<_, super::Full>(())
    };
    for user in 0..4 {
        let own: Vec<_> = (0..MAX_PER_USER).map(|n| expect(user * MAX_PER_USER + n, &user.to_string())).collect();
        assert_eq!(add(&mut table, &own), Ok(()));
        assert_eq!(add(&mut table, &own), Ok(()));
    }
    assert_eq!(table.iter().count(), super::MAX);
    let more = super::MAX;
    assert!(add(&mut table, &[expect(more, "another")]).unwrap_err().to_string().contains("limit expectations)"));
    assert_eq!(add(&mut table, &[Change::Remove { subject: subject(0) }]), Ok(()));
    let of_one = add(&mut table, &[expect(more, "3")]).unwrap_err().to_string();
    assert!(of_one.contains("limit expectations of one user)"), "{of_one}");
    assert_eq!(add(&mut table, &[expect(more, "another")]), Ok(()));
    assert_eq!(table.get(&subject(0)), None);
}
