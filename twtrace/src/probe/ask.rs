//! Answers what the tracker asks, from the socket tables and /proc.
//!
//! A thread of its own, because every answer blocks. Questions that wait together are answered together: one dump a
//! namespace, one visit to a namespace for all its lookups, and at most one scan of /proc a second. Processes come
//! first, for they may end.
//! A namespace that is nowhere to be found has no sockets left, and that is said; where it cannot be known, nothing is.

use super::netns::Netns;
use super::table::{Ask, SocketTable, Sought};
use super::{clock, holders, netns, process};
use crate::model::observation::{Row, Table};
use crate::model::{Observation, Process, Question};
use hashbrown::HashSet;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// Observations sent at once.
const BATCH: usize = 1024;
/// Between two scans of /proc.
const SCAN_PERIOD: Duration = Duration::from_secs(1);
/// What connections carry is read in so much of the time at the most, however many there are: one part of this.
const CARRIED_SHARE: u32 = 40;

/// Where the answers go.
pub type Answers = UnboundedSender<Vec<Observation>>;

/// Reads what it is asked for.
pub struct Reader {
    answers: Answers,
    own: u32,
    /// Our own namespace's. Others are opened for each use, for they keep their namespace alive.
    own_table: Option<SocketTable>,
    /// Where namespaces were found last.
    known: HashMap<u32, Netns>,
    /// [`SocketTable::devices`] of each namespace.
    devices: HashMap<u32, BTreeSet<u32>>,
    /// Failures that were reported.
    warned: HashSet<(&'static str, Option<i32>)>,
    scanned: Option<Instant>,
    /// Before this moment it is not read again what connections carry.
    carried_rests: Option<Instant>,
}

/// Why a namespace could not be read.
enum Unread {
    /// It does not exist any more.
    Gone,
    Failed(io::Error),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Reader {
    /// Nothing is read yet.
    pub fn new(answers: Answers) -> io::Result<Self> {
        Ok(Self {
            answers,
            own: netns::own()?.inode,
            own_table: None,
            known: HashMap::new(),
            devices: HashMap::new(),
            warned: HashSet::new(),
            scanned: None,
            carried_rests: None,
        })
    }

    /// Reads the tables of all namespaces, and then who holds the sockets in them: all that was there is
    /// [ready](Table::Ready). Blocks until it is sent.
    pub fn bootstrap(&mut self) {
        let mut inodes = HashSet::new();
        let (all, whole) = self.survey();
        if !whole {
            log::warn!(
                "some processes hide their network namespace, so sockets may be missed; run as root of the host"
            );
        }
        for netns in all {
            self.read_table(netns, Ask::ALL.with_tcp_info(), |row| inodes.extend(row.inode));
        }
        self.scan(&inodes);
        Batch::new(self.answers.clone()).push(Observation::Table(Table::Ready { at: clock::now() }));
    }

    /// Answers from now on, until the sender that it gives is dropped.
    pub fn start(self) -> io::Result<Sender<Vec<Question>>> {
        let (sender, questions) = channel();
        std::thread::Builder::new().name("ask".to_owned()).spawn(move || self.run(&questions))?;
        Ok(sender)
    }

    fn run(mut self, questions: &Receiver<Vec<Question>>) {
        let mut waiting = Waiting::default();
        while !self.answers.is_closed() {
            let next = match self.scan_due(&waiting) {
                Some(wait) => questions.recv_timeout(wait),
                None => questions.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match next {
                Ok(asked) => waiting.add(asked, self.own),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            questions.try_iter().for_each(|asked| waiting.add(asked, self.own));
            self.answer(&mut waiting);
        }
    }

    fn answer(&mut self, waiting: &mut Waiting) {
        // They may end at any moment.
        self.read_processes(std::mem::take(&mut waiting.processes));
        for (netns, sought) in std::mem::take(&mut waiting.sockets) {
            self.find(netns, &sought);
        }
        if !waiting.homeless.is_empty() {
            self.find_anywhere(std::mem::take(&mut waiting.homeless));
        }
        for netns in std::mem::take(&mut waiting.tables) {
            self.read_table(netns, Ask::ALL, |_| ());
        }
        self.read_carried(std::mem::take(&mut waiting.carried));
        if std::mem::take(&mut waiting.everything) {
            self.bootstrap();
        }
        if self.scan_due(waiting).is_some_and(|wait| wait.is_zero()) {
            self.scan(&std::mem::take(&mut waiting.inodes));
        }
    }

    /// How long those who wait for a scan of /proc still have to; `None` where nobody does.
    fn scan_due(&self, waiting: &Waiting) -> Option<Duration> {
        let due = self.scanned.map_or(Duration::ZERO, |scanned| SCAN_PERIOD.saturating_sub(scanned.elapsed()));
        (!waiting.inodes.is_empty()).then_some(due)
    }

    fn read_processes(&mut self, processes: HashSet<Process>) {
        let mut batch = Batch::new(self.answers.clone());
        let readings = processes.into_iter().filter_map(process::read);
        readings.for_each(|reading| batch.push(Observation::Process(Box::new(reading))));
    }

    fn scan(&mut self, inodes: &HashSet<u64>) {
        let mut batch = Batch::new(self.answers.clone());
        holders::holders(inodes, 1).into_iter().for_each(|holder| batch.push(Observation::Holder(holder)));
        self.scanned = Some(Instant::now());
    }

    fn read_table(&mut self, netns: u32, ask: Ask, mut look: impl FnMut(&Row) + Send) {
        let mut batch = Batch::new(self.answers.clone());
        batch.push(Observation::Table(Table::Begin { at: clock::now(), netns }));
        let read = self.visit(netns, |table| {
            table.dump(ask, |row| {
                look(&row);
                batch.push(Observation::Table(Table::Row(row)));
            })
        });
        let whole = match read {
            Ok(whole) => whole,
            Err(Unread::Gone) => true,
            Err(Unread::Failed(error)) => {
                self.warn("cannot read the socket table", netns, &error);
                false
            }
        };
        batch.push(Observation::Table(Table::End { at: clock::now(), netns, whole }));
    }

    /// Rows of the table alone, which say nothing of what is not there.
    fn read_carried(&mut self, namespaces: BTreeSet<u32>) {
        let began = Instant::now();
        if namespaces.is_empty() || self.carried_rests.is_some_and(|until| began < until) {
            return;
        }
        for netns in namespaces {
            let mut batch = Batch::new(self.answers.clone());
            let read = self.visit(netns, |table| {
                table.dump(Ask::carriers(), |row| batch.push(Observation::Table(Table::Row(row))))
            });
            if let Err(Unread::Failed(error)) = read {
                self.warn("cannot read what connections carry", netns, &error);
            }
        }
        self.carried_rests = Some(Instant::now() + began.elapsed() * CARRIED_SHARE);
    }

    fn find(&mut self, netns: u32, sought: &[Sought]) {
        let mut batch = Batch::new(self.answers.clone());
        let absent = |socket| Observation::Table(Table::Absent { at: clock::now(), socket });
        let found = self.visit(netns, |table| {
            for &one in sought {
                let row = table.find(one)?;
                batch.push(row.map_or_else(|| absent(one.socket), |row| Observation::Table(Table::Row(row))));
            }
            Ok(())
        });
        match found {
            Ok(()) => {}
            Err(Unread::Gone) => sought.iter().for_each(|one| batch.push(absent(one.socket))),
            Err(Unread::Failed(error)) => self.warn("cannot look for sockets", netns, &error),
        }
    }

    /// Looks in our own namespace and then in all the others: only a socket that is in none of them is absent.
    fn find_anywhere(&mut self, mut sought: Vec<Sought>) {
        let mut batch = Batch::new(self.answers.clone());
        let own = self.own;
        let mut everywhere = self.look(own, &mut sought, &mut batch);
        if !sought.is_empty() {
            let (others, whole) = self.survey();
            everywhere &= whole;
            for netns in others.into_iter().filter(|netns| *netns != own) {
                everywhere &= self.look(netns, &mut sought, &mut batch);
            }
        }
        if everywhere {
            let at = clock::now();
            sought.iter().for_each(|one| batch.push(Observation::Table(Table::Absent { at, socket: one.socket })));
        }
    }

    /// Gives what is found and keeps the rest; false where it could not be looked for.
    fn look(&mut self, netns: u32, sought: &mut Vec<Sought>, batch: &mut Batch) -> bool {
        let found = self.visit(netns, |table| {
            let mut rest = Vec::new();
            for one in sought.drain(..) {
                match table.find(one)? {
                    Some(row) => batch.push(Observation::Table(Table::Row(row))),
                    None => rest.push(one),
                }
            }
            *sought = rest;
            Ok(())
        });
        match found {
            Ok(()) | Err(Unread::Gone) => true,
            Err(Unread::Failed(error)) => {
                self.warn("cannot look for sockets", netns, &error);
                false
            }
        }
    }

    /// Does `act` with the table of `netns`.
    fn visit<T: Send>(
        &mut self,
        netns: u32,
        act: impl FnOnce(&mut SocketTable) -> io::Result<T> + Send,
    ) -> Result<T, Unread> {
        let devices = self.devices.get(&netns).cloned().unwrap_or_default();
        if netns == self.own {
            let mut table = self.own_table.take().map_or_else(|| SocketTable::open(netns), Ok)?;
            table.devices.extend(devices);
            let done = act(&mut table);
            self.devices.insert(netns, table.devices.clone());
            // After a failure, what is left of the answer is still under way.
            self.own_table = done.is_ok().then_some(table);
            return Ok(done?);
        }
        let (done, devices) = self.door(netns)?.inside(|| {
            let mut table = SocketTable::open(netns)?;
            table.devices = devices;
            Ok::<_, io::Error>((act(&mut table), table.devices))
        })??;
        if !devices.is_empty() {
            self.devices.insert(netns, devices);
        }
        Ok(done?)
    }

    /// Finds a way into a namespace that is not ours.
    fn door(&mut self, netns: u32) -> Result<netns::Door, Unread> {
        if let Some(known) = self.known.get(&netns) {
            match known.open() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return Ok(opened?),
            }
        }
        let (_, whole) = self.survey();
        match self.known.get(&netns).map(Netns::open) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            Some(Ok(door)) => Ok(door),
            _ if whole => Err(Unread::Gone),
            _ => {
                let hidden = "it is not found, and some processes hide theirs";
                Err(io::Error::new(io::ErrorKind::PermissionDenied, hidden).into())
            }
        }
    }

    /// Looks for all namespaces; false where some may be out of sight.
    fn survey(&mut self) -> (Vec<u32>, bool) {
        let netns::Survey { found, whole } = netns::all();
        let numbers = found.iter().map(|netns| netns.inode).collect();
        self.known = found.into_iter().map(|netns| (netns.inode, netns)).collect();
        self.devices.retain(|netns, _| self.known.contains_key(netns));
        (numbers, whole)
    }

    /// Once for each cause.
    fn warn(&mut self, act: &'static str, netns: u32, error: &io::Error) {
        if self.warned.insert((act, error.raw_os_error())) {
            log::warn!("{act} of network namespace {netns}: {error}; run as root to see every namespace");
        }
    }
}

/// Questions that have no answer yet.
#[derive(Default)]
struct Waiting {
    /// By namespace.
    sockets: BTreeMap<u32, Vec<Sought>>,
    /// Those whose namespace is not known.
    homeless: Vec<Sought>,
    tables: BTreeSet<u32>,
    /// Whose connections are to say what they carry.
    carried: BTreeSet<u32>,
    inodes: HashSet<u64>,
    processes: HashSet<Process>,
    everything: bool,
}

impl Waiting {
    fn add(&mut self, asked: Vec<Question>, own: u32) {
        for question in asked {
            match question {
                Question::Socket { socket, netns, tuple, v4_mapped, carried } => {
                    let sought = Sought { socket, tuple, v4_mapped, tcp_info: carried };
                    match netns {
                        Some(netns) => self.sockets.entry(netns).or_default().push(sought),
                        None => self.homeless.push(sought),
                    }
                }
                Question::Table { netns } => {
                    self.tables.insert(netns.unwrap_or(own));
                }
                Question::Carried { netns } => {
                    self.carried.insert(netns.unwrap_or(own));
                }
                Question::Everything => self.everything = true,
                Question::Holder { inode } => {
                    self.inodes.insert(inode);
                }
                Question::Process(process) => {
                    self.processes.insert(process);
                }
            }
        }
    }
}

/// Sends what is pushed, some at a time, and the rest when it is dropped.
struct Batch {
    some: Vec<Observation>,
    answers: Answers,
}

impl Batch {
    fn new(answers: Answers) -> Self {
        Self { some: Vec::new(), answers }
    }

    fn push(&mut self, observation: Observation) {
        self.some.push(observation);
        if self.some.len() == BATCH {
            self.send();
        }
    }

    fn send(&mut self) {
        // Nobody listens any more when the run is over.
        let _ = self.answers.send(std::mem::take(&mut self.some));
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if !self.some.is_empty() {
            self.send();
        }
    }
}
