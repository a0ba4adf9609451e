//! A live run: from the kernel through one tracker to some sinks. What differs from command to command, the sinks and
//! the end, is the command's.

use super::{engine::Engine, session::Session, source::Source};
use crate::{
    cli,
    model::{Observation, observation::Counters, tracker::Means},
    probe::{
        clock, counters,
        decode::Decoder,
        jiffies,
        load::{self, Loaded, Options},
        netns,
        plan::{Hook, Tier, Wish, plan},
        support::Support,
        sysctl, tracefs,
    },
    sink::{Attached, Clock, Precision, Probe},
};
use anyhow::Context as _;

/// The probes are on, and nothing has been read yet.
pub(super) struct Live {
    support: Support,
    loaded: Loaded,
    pub(super) attached: Attached,
    pub(super) means: Means,
    /// Our own network namespace: the kernel's counters are read there.
    pub(super) own: u32,
}

impl Live {
    /// Attaches what is wanted and what this kernel allows.
    pub(super) fn attach(args: &cli::TracingArgs) -> anyhow::Result<Self> {
        let tier = match args.tier {
            None | Some(cli::Tier::Hook) => Tier::Hook,
            Some(cli::Tier::SockDiag) => Tier::SockDiag,
            Some(cli::Tier::Classic) => Tier::Classic,
        };
        let wish = Wish { tier, exact: args.exact };
        let options = Options { ring: args.ring, verbose: args.verbose };
        let (support, loaded) = tracefs::mounted(|| {
            let support = Support::detect();
            let loaded = load::load(&support, plan(&support, wish), options);
            (support, loaded)
        })
        .context("cannot start a thread to mount tracefs on")?;
        let loaded = loaded?;
        let attached = attached(&support, &loaded);
        let means = Means {
            timer_ends: loaded.on.contains(&Hook::TimerExpire),
            timer_starts: loaded.on.contains(&Hook::TimerStart),
            accepts: [Hook::Accept, Hook::Accept4].iter().all(|hook| loaded.on.contains(hook)),
            table: support.sock_diag.is_ok(),
            reuse_delay: reuse_delay(),
            wheel: jiffies::wheel(support.jiffy),
            show_transitions: false,
        };
        let own = netns::own().context("cannot read /proc/self/ns/net: is /proc mounted?")?.inode;
        Ok(Self { support, loaded, attached, means, own })
    }

    /// Reads the kernel's own counters, where what is seen can be held against them.
    pub(super) fn counters(&self) -> impl Fn() -> Option<Counters> + use<> {
        // Without their namespace, events cannot be held against anything.
        let audited = self.loaded.on.contains(&Hook::SetState);
        // inet_twsk_schedule() counts where there is a tw_refcount (since 6.1).
        let refcounted = |layout: &twtrace_common::Layout| layout.tw_refcount != 0 && layout.tw_uncounted == 0;
        let time_waits_at_birth = self.support.layout.as_ref().is_ok_and(refcounted);
        let own = self.own;
        move || audited.then(|| read_counters(own, time_waits_at_birth)).flatten()
    }

    /// Observes until then, or until enough has been shown; takes the probes off, gives out what is left, and sums up.
    pub(super) async fn run(self, session: Session, until: impl Future<Output = ()>) -> anyhow::Result<Session> {
        let counters = self.counters();
        let Self { support, loaded, attached, means, .. } = self;
        let mut engine = Engine::new(session, Decoder::new(&support));
        // Whoever waits for the word that the probes are on may begin at once.
        let begin = counters();
        engine.session.attached(&attached)?;
        if let Some(begin) = begin {
            engine.observe(&Observation::Counters(begin))?;
        }
        let mut source = Source::start(loaded, means.table)?;
        tokio::pin!(until);
        while !engine.session.done() {
            tokio::select! {
                () = &mut until => break,
                more = source.next(&mut engine) => if !more? { break },
            }
        }
        // What happens after the counters were read for the last time is not held against them.
        if let Some(end) = counters() {
            engine.observe(&Observation::Counters(end))?;
        }
        source.finish(&mut engine).await?;
        Ok(engine.session)
    }
}

/// How long a TIME_WAIT's port stays out of reach of a connect, in nanoseconds.
fn reuse_delay() -> Option<u64> {
    let millis: u64 = sysctl::read("net.ipv4.tcp_tw_reuse_delay")?.parse().ok()?;
    millis.checked_mul(1_000_000)
}

fn attached(support: &Support, loaded: &Loaded) -> Attached {
    let off = |hook: Hook| loaded.off.iter().find(|(known, _)| *known == hook).map(|(_, reason)| reason.clone());
    let (realtime, boottime) = clock::ahead();
    Attached {
        at: clock::now(),
        kernel: support.kernel.clone(),
        probes: Hook::ALL.into_iter().map(|hook| Probe { name: hook.name().into(), off: off(hook) }).collect(),
        precision: precision(&loaded.on, support),
        clock: Clock { realtime, boottime },
    }
}

/// How TIME_WAIT is measured with these hooks.
pub(super) fn precision(on: &[Hook], support: &Support) -> Precision {
    if on.contains(&Hook::TimerExpire) {
        Precision::Hook
    } else if support.sock_diag.is_ok() {
        Precision::SockDiag
    } else {
        Precision::Inferred
    }
}

/// The counters, where they can be read: a host without them is traced all the same.
fn read_counters(netns: u32, time_waits_at_birth: bool) -> Option<Counters> {
    counters::read(netns, time_waits_at_birth)
        .inspect_err(|error| log::warn!("cannot read the kernel's TCP counters: {error}"))
        .ok()
}
