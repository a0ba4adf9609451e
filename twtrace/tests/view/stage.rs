//! A view on a terminal in memory, with a tracker behind it.

use crate::trace;
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer};
use std::fs::File;
use twtrace::{
    cli::FilterArgs,
    model::{
        Ktime, Observation, Process, Tracker,
        attached::{Attached, Clock, Precision},
        filter::Filter,
        observation::{Container, ProcessReading},
        report::Host,
        tracker::Means,
    },
    sink::tui::{Command, Desk, Doing, Key, Options, Theme, draw},
    trace::{Header, Reader},
};

pub(crate) struct Stage {
    pub(crate) desk: Desk,
    pub(crate) tracker: Tracker,
    pub(crate) doing: Doing,
    now: Ktime,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(Means { timer_ends: true, show_transitions: true, ..Means::default() })
    }

    pub(crate) fn with(means: Means) -> Self {
        let settings = [
            ("net.ipv4.ip_local_port_range", "40000 40099"),
            ("net.ipv4.ip_local_reserved_ports", ""),
            ("net.ipv4.tcp_tw_reuse", "2"),
            ("net.ipv4.tcp_timestamps", "1"),
        ];
        let sysctls = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let attached = Attached {
            at: Ktime(0),
            kernel: "6.18.0-test".to_owned(),
            probes: Vec::new(),
            precision: Precision::Hook,
            clock: Clock { realtime: 1_767_225_600_000_000_000, boottime: 0 },
        };
        Self::open(Host { netns: Some(1), sysctls, ..Host::default() }, &attached, means)
    }

    fn open(host: Host, attached: &Attached, means: Means) -> Self {
        let options = Options {
            filter: Filter::default(),
            parse: FilterArgs::parse_line,
            host,
            replayed: false,
            theme: Theme::Colours,
        };
        let mut desk = Desk::new(&options);
        desk.attached(attached);
        let tracker = Tracker::new(means);
        Self { desk, tracker, doing: Doing::default(), now: attached.at }
    }

    /// All that a recording of tests/golden has, up to its end.
    pub(crate) fn of_recording(name: &str) -> Self {
        let path = format!("{}/tests/golden/{name}.arrows", env!("CARGO_MANIFEST_DIR"));
        let reader = Reader::open(File::open(&path).expect(&path)).expect(&path);
        let Header { own_netns, sysctls, attached, means, .. } = reader.header().clone();
        let host = Host { netns: Some(own_netns), sysctls, ..Host::default() };
        let mut stage = Self::open(host, &attached, Means { show_transitions: true, ..means });
        reader.for_each(|observation| stage.take(&observation.expect(&path)));
        stage
    }

    /// A second after second, as a run has it, so that there is a past.
    pub(crate) fn play(&mut self, text: &str) {
        for (observation, _) in trace::parse(text) {
            while observation.at().since(self.now) > 1_000_000_000 {
                self.pass(self.now.after(1_000_000_000));
            }
            self.take(&observation);
        }
    }

    pub(crate) fn take(&mut self, observation: &Observation) {
        self.desk.observation(observation);
        self.tracker.handle(observation);
        while let Some(change) = self.tracker.poll() {
            self.desk.change(&change);
        }
        if let Observation::Tick(at) = observation {
            self.pass(*at);
        }
    }

    fn pass(&mut self, at: Ktime) {
        self.now = at;
        self.desk.look(&self.tracker);
        self.desk.pass(at);
    }

    pub(crate) fn process(&mut self, process: Process, descriptors: u64, limit: u64) {
        self.take(&Observation::Process(Box::new(ProcessReading {
            at: self.now,
            process,
            cgroup: None,
            container: None,
            descriptors: Some(descriptors),
            descriptor_limit: Some(limit),
        })));
    }

    /// Where a process runs.
    pub(crate) fn runs(&mut self, process: &str, cgroup: &str, container: Container) {
        self.take(&Observation::Process(Box::new(ProcessReading {
            at: self.now,
            process: trace::process(process),
            cgroup: Some(cgroup.into()),
            container: Some(container),
            descriptors: None,
            descriptor_limit: None,
        })));
    }

    /// Letters are keys, and so is what stands in angle brackets: `c<Enter>`.
    pub(crate) fn press(&mut self, keys: &str) -> Option<Command> {
        let mut asked = None;
        let mut rest = keys;
        while let Some(first) = rest.chars().next() {
            let (key, length) = match rest.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
                Some((name, _)) => (named(name), name.len() + 2),
                None => (Key::Char(first), first.len_utf8()),
            };
            rest = &rest[length..];
            asked = self.desk.press(key, &self.tracker).or(asked);
            // The cursor moves on what is seen.
            self.buffer((80, 24), Theme::Plain);
        }
        asked
    }

    pub(crate) fn buffer(&mut self, size: (u16, u16), theme: Theme) -> Buffer {
        if self.desk.is_stale() {
            self.desk.look(&self.tracker);
        }
        self.desk.judge(&self.tracker);
        let scene = self.desk.scene(&self.tracker, size, &self.doing);
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        terminal.draw(|frame| draw(frame, &scene, theme)).unwrap();
        terminal.backend().buffer().clone()
    }

    /// What is seen, as text.
    pub(crate) fn picture(&mut self, size: (u16, u16)) -> String {
        lines(&self.buffer(size, Theme::Plain)).join("\n")
    }
}

pub(crate) fn lines(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width);
    let rows = buffer.content.chunks(width);
    rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned()).collect()
}

fn named(name: &str) -> Key {
    match name {
        "Enter" => Key::Enter,
        "Esc" => Key::Esc,
        "Tab" => Key::Tab,
        "Down" => Key::Down,
        "End" => Key::End,
        _ => panic!("{name}: no such key"),
    }
}
