//! The language of the traces: one line an observation.
//!
//! ```text
//! 0us   #7 10.0.0.1:40000 10.0.0.2:80 CLOSE>SYN_SENT by curl/812
//! 5ms   #7 ESTABLISHED>CLOSE err=104              the ends are those of #7's line before
//! ```
//!
//! `by P` is a task that owns the socket's lock, `while P` one that merely happens to run, neither is softirq on an
//! idle CPU; a name that begins with `kworker` is a kernel thread's. Marks of a transition: `done`, `dead`, `full`,
//! `err=N`, `inode=N`, `sent=N received=N [resent=N]` (of a row as well); of anything: `ns=N` (1 where not given), `@N`
//! (the address in the kernel; else the cookie's).
//!
//! ```text
//! #7 reset sent REASON [in=TIME_WAIT]     #7 reset received       #7 accept by P      #7 destroy by P
//! #7 timer start|expire FIN_WAIT2 [due=60s]                       #7 timer cancel TIME_WAIT connect|...|again
//! #7 row TIME_WAIT left=53s [inode=N] [ack=2s]                    #7 absent
//! table begin     table end       table end partial       ready       holder inode=5 P P
//! lost 3 [recursion]                                              tick
//! ```

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};
use twtrace::model::{
    Comm, FourTuple, Ktime, LossPlace, Observation, Process, SocketId, TcpState, Transition,
    observation::{Cause, Hold, Holder, Lost, Reset, Row, SocketSays, Table, Timer, TimerEvent, Traffic},
};

const ADDRESSES: u64 = 0xffff_8880_0000_0000;

/// The observations of a trace, each with the ends of the socket that it is about.
pub(crate) fn parse(trace: &str) -> Vec<(Observation, Option<FourTuple>)> {
    let mut known = HashMap::new();
    let lines = trace.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    lines.map(|text| Line::new(text, &mut known).observation()).collect()
}

pub(crate) fn process(word: &str) -> Process {
    let (comm, pid) = word.rsplit_once('/').unwrap_or_else(|| panic!("{word}: want NAME/PID"));
    Process { pid: pid.parse().unwrap(), uid: 0, started: None, comm: Comm::new(comm.as_bytes()) }
}

/// `100us`, `5.2ms`, `60s`: nanoseconds.
pub(crate) fn time(word: &str) -> u64 {
    let (number, unit) = ["us", "ms", "s"]
        .iter()
        .zip([1_000, 1_000_000, 1_000_000_000])
        .find_map(|(suffix, unit)| Some((word.strip_suffix(suffix)?, unit)))
        .unwrap_or_else(|| panic!("{word}: want us, ms or s"));
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let part_unit = 10u64.pow(part.len().try_into().unwrap());
    let part = if part.is_empty() { 0 } else { part.parse::<u64>().unwrap() };
    whole.parse::<u64>().unwrap() * unit + part * unit / part_unit
}

fn state(word: &str) -> TcpState {
    let found = TcpState::ALL.into_iter().find(|state| state.name() == word);
    found.unwrap_or_else(|| panic!("{word}: no such state"))
}

struct Line<'a> {
    at: Ktime,
    words: Vec<&'a str>,
    marks: HashMap<&'a str, &'a str>,
    cookie: u64,
    address: u64,
    ends: Option<(FourTuple, bool)>,
}

impl<'a> Line<'a> {
    fn new(text: &'a str, known: &mut HashMap<u64, (FourTuple, bool)>) -> Self {
        let mut words = text.split_whitespace().peekable();
        let at = Ktime(time(words.next().unwrap()));
        let socket = words.next_if(|word| word.starts_with('#'));
        let cookie = socket.map_or(0, |word| word[1..].parse().unwrap());
        let mut line = Line { at, words: Vec::new(), marks: HashMap::new(), cookie, address: 0, ends: None };
        let mut ends = Vec::new();
        for word in words {
            match (word.split_once('='), word.strip_prefix('@')) {
                (Some((key, value)), _) => drop(line.marks.insert(key, value)),
                (_, Some(number)) => line.address = ADDRESSES + number.parse::<u64>().unwrap(),
                _ => match word.parse::<SocketAddr>() {
                    Ok(end) => ends.push(end),
                    Err(_) => line.words.push(word),
                },
            }
        }
        if line.address == 0 {
            line.address = ADDRESSES + cookie;
        }
        if let &[local, remote] = ends.as_slice() {
            known.insert(cookie, four_tuple(local, remote));
        }
        line.ends = known.get(&cookie).copied();
        line
    }

    fn observation(&self) -> (Observation, Option<FourTuple>) {
        let at = self.at;
        let observation = match *self.words.as_slice() {
            ["tick"] => Observation::Tick(at),
            ["ready"] => Observation::Table(Table::Ready { at }),
            ["table", "begin"] => Observation::Table(Table::Begin { at, netns: self.netns() }),
            ["table", "end"] => Observation::Table(Table::End { at, netns: self.netns(), whole: true }),
            ["table", "end", "partial"] => Observation::Table(Table::End { at, netns: self.netns(), whole: false }),
            ["lost", count] => self.lost(count, LossPlace::Ring),
            ["lost", count, "recursion"] => self.lost(count, LossPlace::Recursion),
            ["holder", ref holders @ ..] => {
                let processes = holders.iter().copied().map(process).collect();
                Observation::Holder(Holder { at, inode: self.number("inode").unwrap(), processes })
            }
            ["absent"] => Observation::Table(Table::Absent { at, socket: self.socket() }),
            ["row", name] => Observation::Table(Table::Row(self.row(state(name)))),
            ["reset", "received"] => Observation::Reset(self.reset(false, None)),
            ["reset", "sent", reason] => Observation::Reset(self.reset(true, Some(reason))),
            ["accept", "by", who] => self.hold(true, who),
            ["destroy", "by", who] => self.hold(false, who),
            ["timer", "start", name] => self.timer(name, TimerEvent::Start),
            ["timer", "expire", name] => self.timer(name, TimerEvent::Expire),
            ["timer", "cancel", name, cause] => self.timer(name, TimerEvent::Cancel(cause_named(cause), None)),
            [change, ref rest @ ..] if change.contains('>') => Observation::Transition(self.transition(change, rest)),
            _ => panic!("what is {:?}?", self.words),
        };
        (observation, self.ends.map(|(tuple, _)| tuple))
    }

    fn transition(&self, change: &str, rest: &[&str]) -> Transition {
        let (from, to) = change.split_once('>').unwrap();
        let (tuple, v4_mapped) = self.ends.unwrap();
        let mut says = SocketSays {
            error: self.number("err").unwrap_or(0).try_into().unwrap(),
            inode: self.number("inode"),
            traffic: self.traffic(),
            ..SocketSays::default()
        };
        let mut task = None;
        let mut rest = rest.iter();
        while let Some(word) = rest.next() {
            match *word {
                "by" | "while" => {
                    says.owned = *word == "by";
                    task = rest.next();
                }
                "done" => says.done = true,
                "dead" => says.dead = true,
                "full" => says.full = true,
                other => panic!("what is {other}?"),
            }
        }
        Transition {
            at: self.at,
            socket: self.socket(),
            address: self.address,
            netns: Some(self.netns()),
            tuple,
            v4_mapped,
            from: state(from),
            to: state(to),
            socket_says: Some(says),
            task: task.map(|word| process(word)),
            kernel_thread: task.is_some_and(|word| word.starts_with("kworker")),
        }
    }

    fn reset(&self, sent: bool, reason: Option<&str>) -> Reset {
        Reset {
            at: self.at,
            socket: self.socket(),
            address: self.address,
            netns: Some(self.netns()),
            sent,
            state: self.marks.get("in").map(|name| state(name)),
            reason: reason.map(|name| &*name.to_owned().leak()),
        }
    }

    fn hold(&self, accepted: bool, who: &str) -> Observation {
        let process = (!who.starts_with("kworker")).then(|| process(who));
        Observation::Hold(Hold { at: self.at, socket: self.socket(), accepted, process })
    }

    fn timer(&self, substate: &str, event: TimerEvent) -> Observation {
        let due = self.marks.get("due").map_or(self.at, |due| Ktime(time(due)));
        let (tuple, _) = self.ends.unwrap();
        let (socket, netns) = (self.socket(), Some(self.netns()));
        Observation::Timer(Timer { at: self.at, socket, netns, tuple, substate: state(substate), due, event })
    }

    fn row(&self, state: TcpState) -> Row {
        let (tuple, v4_mapped) = self.ends.unwrap();
        Row {
            at: self.at,
            socket: self.socket(),
            netns: self.netns(),
            tuple,
            v4_mapped,
            state,
            time_wait_left: self.marks.get("left").map(|left| time(left)),
            inode: self.number("inode"),
            last_ack: self.marks.get("ack").map(|ago| time(ago)),
            traffic: self.traffic(),
        }
    }

    fn traffic(&self) -> Option<Traffic> {
        let bytes_sent = self.number("sent")?;
        let bytes_received = self.number("received").unwrap();
        let retransmits = self.number("resent").unwrap_or(0).try_into().unwrap();
        Some(Traffic { bytes_sent, bytes_received, retransmits, ..Traffic::default() })
    }

    fn lost(&self, count: &str, place: LossPlace) -> Observation {
        Observation::Lost(Lost { at: self.at, count: count.parse().unwrap(), place })
    }

    fn socket(&self) -> SocketId {
        SocketId::Cookie(self.cookie)
    }

    fn netns(&self) -> u32 {
        self.number("ns").unwrap_or(1).try_into().unwrap()
    }

    fn number(&self, mark: &str) -> Option<u64> {
        self.marks.get(mark).map(|number| number.parse().unwrap())
    }
}

fn cause_named(word: &str) -> Option<Cause> {
    Some(match word {
        "again" => return None,
        "connect" => Cause::Connect,
        "segment" => Cause::Segment,
        "reset" => Cause::Reset,
        "abort" => Cause::Abort,
        "namespace" => Cause::Namespace,
        "other" => Cause::Other,
        _ => panic!("{word}: no such cause"),
    })
}

fn four_tuple(local: SocketAddr, remote: SocketAddr) -> (FourTuple, bool) {
    let bytes = |end: SocketAddr| match end.ip() {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            bytes
        }
        IpAddr::V6(v6) => v6.octets(),
    };
    FourTuple::from_kernel(local.is_ipv6(), (bytes(local), local.port()), (bytes(remote), remote.port()))
}
