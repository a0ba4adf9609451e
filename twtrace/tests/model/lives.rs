//! Whole lives at random: what the kernel would show of a connection, as observations.

use crate::trace::process;
use proptest::{collection::vec, prelude::*, sample::select};
use std::net::{IpAddr, Ipv4Addr};
use twtrace::model::{
    Endpoint, FourTuple, Ktime, Observation, Process, SocketId, TcpState, Transition,
    observation::{Cause, Hold, Reset, SocketSays, Timer, TimerEvent},
};

const JIFFY: u64 = 4_000_000;
const TIME_WAIT: u64 = 60_000_000_000;

#[derive(Clone, Copy, Debug)]
enum Opening {
    Connect,
    Accept { taken: bool },
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Refused,
    NoPort,
    /// We close first, the peer later.
    Active(Wait),
    /// We close first, the peer at once.
    Abrupt(Wait),
    Simultaneous(Wait),
    /// We close first, the peer never.
    Forgotten,
    Passive,
    PassiveReset,
    ResetSent,
    ResetReceived,
    DataAfterClose,
    Destroyed,
}

/// How a TIME_WAIT goes on.
#[derive(Clone, Copy, Debug)]
struct Wait {
    restarts: u8,
    cause: Option<Cause>,
}

/// One connection, from its first observation to its last.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) observations: Vec<Observation>,
}

/// One to six lives of sockets that have nothing to do with one another.
pub(crate) fn lives() -> impl Strategy<Value = Vec<Life>> {
    vec(script(), 1..7).prop_map(|scripts| {
        let lives = scripts.into_iter().enumerate();
        lives.map(|(index, script)| script.play(u64::try_from(index).expect("there are few") + 1)).collect()
    })
}

/// All that is seen of some lives, in the order of time.
pub(crate) fn merged(lives: &[Life]) -> Vec<Observation> {
    let mut all: Vec<Observation> = lives.iter().flat_map(|life| life.observations.clone()).collect();
    all.sort_by_key(Observation::at);
    all
}

#[derive(Clone, Debug)]
struct Script {
    start: u64,
    steps: Vec<u64>,
    opening: Opening,
    ending: Ending,
}

fn script() -> impl Strategy<Value = Script> {
    let opening = prop_oneof![Just(Opening::Connect), any::<bool>().prop_map(|taken| Opening::Accept { taken })];
    // From microseconds, so that lives overlap in every way, to minutes.
    let step = prop_oneof![1_000u64..100_000, 1_000_000u64..100_000_000, 1_000_000_000u64..100_000_000_000];
    (0u64..50_000_000, vec(step, 16), opening, ending()).prop_map(|(start, steps, opening, ending)| Script {
        start,
        steps,
        opening,
        ending,
    })
}

fn ending() -> impl Strategy<Value = Ending> {
    let causes = [Cause::Connect, Cause::Segment, Cause::Reset, Cause::Abort, Cause::Namespace, Cause::Other];
    let wait = (0u8..3, proptest::option::of(select(causes.to_vec())));
    let wait = wait.prop_map(|(restarts, cause)| Wait { restarts, cause });
    prop_oneof![
        Just(Ending::Refused),
        Just(Ending::NoPort),
        wait.clone().prop_map(Ending::Active),
        wait.clone().prop_map(Ending::Abrupt),
        wait.prop_map(Ending::Simultaneous),
        Just(Ending::Forgotten),
        Just(Ending::Passive),
        Just(Ending::PassiveReset),
        Just(Ending::ResetSent),
        Just(Ending::ResetReceived),
        Just(Ending::DataAfterClose),
        Just(Ending::Destroyed),
    ]
}

impl Script {
    fn play(self, number: u64) -> Life {
        let Self { start, steps, opening, ending } = self;
        let port = 40_000 + u16::try_from(number).expect("there are few");
        let mut stage = Stage::new(number, start, steps);
        let client = |address, port| Endpoint { ip: IpAddr::V4(Ipv4Addr::new(10, 0, 0, address)), port };
        let (ours, theirs) = (client(1, port), client(2, 80));
        if let (Opening::Connect, Ending::Refused | Ending::NoPort) = (opening, ending) {
            stage.tuple = FourTuple { local: client(1, 0), remote: theirs };
            stage.by().goes(TcpState::Close, TcpState::SynSent);
            stage.passes();
            if let Ending::Refused = ending {
                stage.tuple.local.port = port;
                stage.says.error = 111;
                stage.goes(TcpState::SynSent, TcpState::Close);
            } else {
                stage.by().goes(TcpState::SynSent, TcpState::Close);
            }
            return Life { observations: stage.seen };
        }
        match opening {
            Opening::Connect => {
                stage.tuple = FourTuple { local: client(1, 0), remote: theirs };
                stage.by().goes(TcpState::Close, TcpState::SynSent);
                stage.passes();
                stage.tuple.local.port = port;
                stage.goes(TcpState::SynSent, TcpState::Established);
            }
            Opening::Accept { taken } => {
                stage.tuple = FourTuple { local: theirs, remote: ours };
                stage.goes(TcpState::Listen, TcpState::SynRecv);
                stage.passes();
                stage.goes(TcpState::SynRecv, TcpState::Established);
                if taken {
                    stage.passes();
                    stage.held(true);
                }
            }
        }
        stage.passes();
        stage.ends(ending);
        Life { observations: stage.seen }
    }
}

struct Stage {
    number: u64,
    now: Ktime,
    steps: std::vec::IntoIter<u64>,
    tuple: FourTuple,
    /// For the next transition alone.
    says: SocketSays,
    actor: Option<Process>,
    seen: Vec<Observation>,
}

impl Stage {
    fn new(number: u64, start: u64, steps: Vec<u64>) -> Self {
        let nowhere = Endpoint { ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 0 };
        Self {
            number,
            now: Ktime(1_000_000_000 + start),
            steps: steps.into_iter(),
            tuple: FourTuple { local: nowhere, remote: nowhere },
            says: SocketSays::default(),
            actor: None,
            seen: Vec::new(),
        }
    }

    fn passes(&mut self) {
        self.now = self.now.after(self.steps.next().unwrap_or(1_000_000));
    }

    /// The next transition is the process's own.
    fn by(&mut self) -> &mut Self {
        self.says.owned = true;
        self.actor = Some(process(&format!("p{}/{}", self.number, 100 + self.number)));
        self
    }

    fn socket(&self) -> SocketId {
        SocketId::Cookie(self.number)
    }

    fn goes(&mut self, from: TcpState, to: TcpState) {
        self.seen.push(Observation::Transition(Transition {
            at: self.now,
            socket: self.socket(),
            address: 0x1000 * self.number,
            netns: Some(1),
            tuple: self.tuple,
            v4_mapped: false,
            from,
            to,
            socket_says: Some(std::mem::take(&mut self.says)),
            task: self.actor.take(),
            kernel_thread: false,
        }));
    }

    fn reset(&mut self, sent: bool) {
        self.seen.push(Observation::Reset(Reset {
            at: self.now,
            socket: self.socket(),
            address: 0x1000 * self.number,
            netns: Some(1),
            sent,
            state: None,
            reason: sent.then_some("TCP_STATE"),
        }));
    }

    fn held(&mut self, accepted: bool) {
        let process = process(&format!("p{}/{}", self.number, 100 + self.number));
        let (at, socket) = (self.now, self.socket());
        self.seen.push(Observation::Hold(Hold { at, socket, accepted, process: Some(process) }));
    }

    fn timer(&mut self, substate: TcpState, due: Ktime, event: TimerEvent) {
        let (at, socket, tuple) = (self.now, self.socket(), self.tuple);
        let timer = Timer { at, socket, netns: Some(1), tuple, substate, due, event };
        self.seen.push(Observation::Timer(timer));
    }

    fn ends(&mut self, ending: Ending) {
        use TcpState::{Close, CloseWait, Closing, Established, FinWait1, FinWait2, LastAck};
        match ending {
            Ending::Refused | Ending::NoPort | Ending::ResetReceived => {
                self.reset(false);
                self.says.error = 104;
                self.goes(Established, Close);
            }
            Ending::ResetSent => {
                self.by().goes(Established, Close);
                self.reset(true);
            }
            Ending::Destroyed => {
                self.reset(true);
                self.says.error = 103;
                self.by().goes(Established, Close);
            }
            Ending::Passive | Ending::PassiveReset => {
                self.says.done = true;
                self.goes(Established, CloseWait);
                self.passes();
                if let Ending::PassiveReset = ending {
                    self.by().goes(CloseWait, Close);
                    self.reset(true);
                } else {
                    self.by().goes(CloseWait, LastAck);
                    self.passes();
                    self.goes(LastAck, Close);
                }
            }
            Ending::DataAfterClose => {
                self.by().goes(Established, FinWait1);
                self.passes();
                self.reset(false);
                (self.says.error, self.says.dead) = (104, true);
                self.goes(FinWait1, Close);
                self.reset(true);
            }
            Ending::Simultaneous(wait) => {
                self.by().goes(Established, FinWait1);
                self.passes();
                self.goes(FinWait1, Closing);
                self.passes();
                self.waits(Closing, wait);
            }
            Ending::Abrupt(wait) => {
                self.by().goes(Established, FinWait1);
                self.passes();
                self.goes(FinWait1, FinWait2);
                self.waits(FinWait2, wait);
            }
            Ending::Active(_) | Ending::Forgotten => self.orphaned(ending),
        }
    }

    /// TIME_WAIT right from a full socket.
    fn waits(&mut self, from: TcpState, wait: Wait) {
        self.timer(TcpState::TimeWait, self.due(), TimerEvent::Start);
        (self.says.done, self.says.dead) = (true, true);
        self.goes(from, TcpState::Close);
        self.wears_off(wait);
    }

    fn orphaned(&mut self, ending: Ending) {
        use TcpState::{Close, Established, FinWait1, FinWait2, TimeWait};
        self.by().goes(Established, FinWait1);
        self.passes();
        self.goes(FinWait1, FinWait2);
        let due = self.due();
        self.timer(FinWait2, due, TimerEvent::Start);
        self.says.dead = true;
        self.goes(FinWait2, Close);
        if let Ending::Active(wait) = ending {
            self.now = self.now.after(self.steps.next().unwrap_or(1_000_000) % TIME_WAIT);
            self.timer(FinWait2, due, TimerEvent::Cancel(None, None));
            self.timer(TimeWait, self.due(), TimerEvent::Start);
            self.wears_off(wait);
        } else {
            self.now = due.after(self.steps.next().unwrap_or(0) % 2_000_000_000);
            self.timer(FinWait2, due, TimerEvent::Expire);
        }
    }

    fn wears_off(&mut self, Wait { restarts, cause }: Wait) {
        for _ in 0..restarts {
            self.now = self.now.after(self.steps.next().unwrap_or(1_000_000) % TIME_WAIT);
            self.timer(TcpState::TimeWait, self.due(), TimerEvent::Start);
        }
        let due = self.due();
        let step = self.steps.next().unwrap_or(1_000_000);
        if cause.is_some() {
            self.now = self.now.after(step % TIME_WAIT);
            self.timer(TcpState::TimeWait, due, TimerEvent::Cancel(cause, None));
        } else {
            self.now = due.after(step % 2_000_000_000);
            self.timer(TcpState::TimeWait, due, TimerEvent::Expire);
        }
    }

    /// When a timer that is started now for 60 s runs out, on the wheel's own ticks.
    fn due(&self) -> Ktime {
        let due = self.now.after(TIME_WAIT).0;
        Ktime(due.next_multiple_of(JIFFY))
    }
}
