//! Metrics for a monitoring system, in the OpenMetrics text format.
//!
//! Label sets are bounded: never a pid, a client's port or a tuple. Process names beyond the first 64, and
//! destinations beyond the fullest ten, are `other`.

mod census;
mod labels;

use super::{Attached, Sink};
use crate::model::{
    Change, Ktime, Lifecycle, LossPlace, Observation, Tracker,
    filter::Filter,
    summary::Summary,
    sysctls::{PortRange, Sysctls},
    tracker::Glance,
};
use census::Census;
use labels::{Build, Closing, Destination, End, Names, Owner, Place, Queue, Sockets, Step, UNKNOWN};
use prometheus_client::{
    collector::Collector,
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use std::{
    hash::Hash,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// Process names with a label of their own: the first that are met, since a counter cannot change its name.
const NAMES: usize = 64;
/// Destinations with a label of their own: those that hold the most ports now.
const DESTINATIONS: usize = 10;
/// Between two looks at every socket, in nanoseconds.
const PERIOD: u64 = 1_000_000_000;
/// Seconds. A TIME_WAIT that runs out lasts 60 to 62 (at HZ=250), one that is started again longer.
const TIME_WAIT: [f64; 10] = [0.1, 1.0, 5.0, 15.0, 30.0, 59.9, 61.0, 62.5, 90.0, 120.0];
/// Seconds. A CLOSE_WAIT of milliseconds is an application that closes, one of hours is a leak.
const CLOSE_WAIT: [f64; 10] = [0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0];

type Durations<L> = Family<L, Histogram, fn() -> Histogram>;
type Seconds = Gauge<f64, AtomicU64>;

/// What is served: the run writes it, and whoever asks reads it.
#[derive(Clone, Debug)]
pub struct Page {
    /// Locked while the sockets are counted anew, so that nobody reads half of them.
    registry: Arc<Mutex<Registry>>,
    /// Somebody has read it since the sockets were counted last.
    read: Arc<AtomicBool>,
}

impl Page {
    /// The media type of OpenMetrics.
    pub const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    /// The media type of the older Prometheus text.
    pub const OLDER_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// The page as it is now.
    pub fn text(&self) -> String {
        self.read.store(true, Ordering::Relaxed);
        let mut page = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        text::encode(&mut page, &registry).expect("a string takes any text");
        page
    }

    /// The same for readers that do not know OpenMetrics: there a counter's name has its suffix in its description too.
    pub fn older_text(&self) -> String {
        let page = self.text();
        let is_counter = |name: &str| page.contains(&format!("\n# TYPE {name} counter\n"));
        let mut older = String::with_capacity(page.len());
        for line in page.lines().filter(|line| !line.starts_with("# UNIT ") && *line != "# EOF") {
            let described = line.strip_prefix("# ").and_then(|line| {
                let (word, rest) = line.split_once(' ')?;
                let (name, rest) = rest.split_once(' ')?;
                is_counter(name).then(|| format!("# {word} {name}_total {rest}"))
            });
            older.push_str(described.as_deref().unwrap_or(line));
            older.push('\n');
        }
        older
    }
}

/// See the module.
pub struct Metrics {
    filter: Filter,
    range: Option<PortRange>,
    names: Names,
    sockets: Family<Sockets, Gauge>,
    transitions: Family<Step, Counter>,
    closes: Family<Closing, Counter>,
    time_waits: Durations<End>,
    close_waits: Durations<Queue>,
    oldest: Family<Owner, Seconds>,
    ports: Family<Destination, Gauge>,
    events: Counter,
    lost: Family<Place, Counter>,
    page: Page,
    counted: Ktime,
}

impl Metrics {
    /// Of the connections that match, on a host with this kernel and these settings; `cost` tells what the tracer
    /// itself takes. The page is for whoever serves it.
    pub fn new(filter: Filter, kernel: &str, sysctls: &Sysctls, cost: impl Collector) -> (Self, Page) {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(cost));
        let registry = Arc::new(Mutex::new(registry));
        let page = Page { registry, read: Arc::new(AtomicBool::new(true)) };
        let metrics = Self {
            filter,
            range: PortRange::of(sysctls),
            names: Names::new(NAMES),
            sockets: Family::default(),
            transitions: Family::default(),
            closes: Family::default(),
            time_waits: Family::new_with_constructor(|| Histogram::new(TIME_WAIT)),
            close_waits: Family::new_with_constructor(|| Histogram::new(CLOSE_WAIT)),
            oldest: Family::default(),
            ports: Family::default(),
            events: Counter::default(),
            lost: Family::default(),
            page: page.clone(),
            counted: Ktime(0),
        };
        let mut registry = page.registry.lock().unwrap_or_else(PoisonError::into_inner);
        metrics.register(registry.sub_registry_with_prefix("twtrace"), kernel);
        drop(registry);
        (metrics, page)
    }

    fn register(&self, registry: &mut Registry, kernel: &str) {
        // A gauge, and not an info: older parsers do not know that type.
        let build: Family<_, Gauge> = Family::default();
        build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION"), kernel: kernel.to_owned() }).set(1);
        registry.register("build_info", "The program and the kernel that it traces", build);
        registry.register("sockets", "Sockets now, by state and owner", self.sockets.clone());
        registry.register("transitions", "Changes of state, TIME_WAIT among them", self.transitions.clone());
        registry.register("closes", "Connections over, by who closed first and how", self.closes.clone());
        let (name, help) = ("time_wait_duration", "How long a TIME_WAIT lasted, by what ended it");
        registry.register_with_unit(name, help, Unit::Seconds, self.time_waits.clone());
        let (name, help) = ("close_wait_duration", "How long a CLOSE_WAIT lasted, by whether it had been accepted");
        registry.register_with_unit(name, help, Unit::Seconds, self.close_waits.clone());
        let (name, help) = ("close_wait_oldest", "The age of the oldest CLOSE_WAIT now, by owner");
        registry.register_with_unit(name, help, Unit::Seconds, self.oldest.clone());
        if let Some(range) = &self.range {
            let pool: Gauge = Gauge::default();
            pool.set(range.pool().into());
            registry.register("ephemeral_ports", "Ports that a connect chooses from, toward each destination", pool);
        }
        let help = "Ephemeral ports held now, by local address and destination: the fullest ones, the rest as other";
        registry.register("ephemeral_ports_used", help, self.ports.clone());
        registry.register("events", "Events received from the kernel", self.events.clone());
        for place in LossPlace::ALL {
            // There from the start, so that the first loss is an increase.
            self.lost.get_or_create(&Place { place: place.name() }).inc_by(0);
        }
        registry.register("events_lost", "Events that happened and were not seen, by place", self.lost.clone());
    }

    fn over(&mut self, life: &Lifecycle) {
        self.closes.get_or_create(&Closing::of(life, &mut self.names)).inc();
        if let Some(time_wait) = life.time_wait()
            && let Some(lasted) = time_wait.lasted
        {
            let end = time_wait.end.map_or(UNKNOWN, |end| end.name());
            self.time_waits.get_or_create(&End { end }).observe(lasted as f64 / 1e9);
        }
        if let Some(close_wait) = life.close_wait()
            && let Some(lasted) = close_wait.lasted
        {
            let accepted = close_wait.accepted.map_or(UNKNOWN, |yes| if yes { "true" } else { "false" });
            self.close_waits.get_or_create(&Queue { accepted }).observe(lasted as f64 / 1e9);
        }
    }

    fn count(&mut self, tracker: &Tracker, now: Ktime) {
        let Self { filter, names, range, .. } = self;
        let wanted = |glance: &Glance<'_>| {
            let owner = glance.life.owner.map(|owner| owner.process);
            let place = owner.and_then(|owner| tracker.place(&owner));
            let cgroup = place.and_then(|place| place.cgroup.as_deref());
            filter.matches_all(&glance.life.tuple, glance.life.netns, owner.as_ref(), cgroup)
        };
        let census = Census::of(tracker.glances().filter(wanted), names, range.as_ref(), now);
        let _unread = self.page.registry.lock().unwrap_or_else(PoisonError::into_inner);
        refill(&self.sockets, &census.sockets, |gauge, &count| _ = gauge.set(count));
        refill(&self.oldest, &census.oldest, |gauge, &age| _ = gauge.set(age));
        self.ports.clear();
        for (destination, ports) in census.ports(DESTINATIONS) {
            self.ports.get_or_create(&destination).set(ports);
        }
    }
}

fn refill<L, M, V>(family: &Family<L, M>, values: &std::collections::HashMap<L, V>, set: impl Fn(&M, &V))
where
    L: Clone + Eq + Hash + EncodeLabelSet,
    M: Default,
{
    family.clear();
    for (labels, value) in values {
        set(&*family.get_or_create(labels), value);
    }
}

impl Sink for Metrics {
    fn attached(&mut self, _attached: &Attached) -> io::Result<()> {
        Ok(())
    }

    fn observation(&mut self, observation: &Observation) -> io::Result<()> {
        if observation.is_event() {
            self.events.inc();
        }
        Ok(())
    }

    fn change(&mut self, change: &Change) -> io::Result<()> {
        match change {
            Change::Transition(shown) => {
                self.transitions.get_or_create(&Step { from: shown.from.name(), to: shown.to.name() }).inc();
            }
            Change::Ended { lifecycle, .. } => self.over(lifecycle),
            Change::Lost(lost) => {
                self.lost.get_or_create(&Place { place: lost.place.name() }).inc_by(lost.count);
            }
            Change::Closed(_) => {}
        }
        Ok(())
    }

    fn tick(&mut self, at: Ktime, tracker: &Tracker) -> io::Result<()> {
        if at.since(self.counted) >= PERIOD && self.page.read.swap(false, Ordering::Relaxed) {
            self.counted = at;
            self.count(tracker, at);
        }
        Ok(())
    }

    fn finish(&mut self, _summary: &Summary) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
