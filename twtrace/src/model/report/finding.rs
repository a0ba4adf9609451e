//! What is wrong, and what to do about it.

use super::{Figure, Party, Place};

/// Something that is wrong or soon will be.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Which one.
    pub kind: FindingKind,
    /// How bad.
    pub severity: Severity,
    /// Who does it, where known.
    pub culprit: Option<Party>,
    /// The connections that it is about.
    pub place: Option<Place>,
    /// One sentence: what, who, how much.
    pub title: String,
    /// How it comes about, in plain words.
    pub mechanism: String,
    /// What to do, the first thing first.
    pub cure: String,
    /// The figures behind it.
    pub figures: Vec<Figure>,
    /// What helps, by [`Advice::kind`].
    pub advice: Vec<AdviceKind>,
}

/// How bad a finding is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Connections fail, or are about to.
    Critical,
    /// Something grows that does not stop by itself, or a limit is near.
    Warning,
    /// Worth knowing.
    Notice,
}

impl Severity {
    /// As printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

/// What can be found. Scripts know each by its [slug](Self::slug).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingKind {
    /// A connect found no local port.
    PortsExhausted,
    /// The local ports toward a destination are used up, or will be.
    PortsRunningOut,
    /// No time-wait socket could be made.
    TimeWaitOverflow,
    /// An accept queue that nobody empties.
    NotAccepted,
    /// A process that does not close what its peers have closed.
    NotClosed,
    /// Many short connections leave many TIME_WAITs behind.
    TimeWaitFlood,
    /// Peers that do not answer SYNs.
    SynUnanswered,
    /// Nobody listens where a process connects to.
    Refused,
    /// Handshakes that do not come to their end.
    SynRecvPileUp,
    /// Peers that do not close after this end has.
    FinWait2PileUp,
    /// Last FINs that nobody acknowledges.
    LastAckPileUp,
    /// A server that closes first and so keeps the TIME_WAITs.
    ServerClosesFirst,
    /// Connections end in resets.
    Resets,
    /// Connections end after a round time without data.
    IdleTimeout,
    /// Events are missing, so the figures are too low.
    EventsLost,
    /// The kernel's own counters say otherwise.
    AuditDisagrees,
}

impl FindingKind {
    /// Its name for scripts; it never changes.
    pub fn slug(self) -> &'static str {
        match self {
            Self::PortsExhausted => "ports-exhausted",
            Self::PortsRunningOut => "ports-running-out",
            Self::TimeWaitOverflow => "time-wait-overflow",
            Self::NotAccepted => "not-accepted",
            Self::NotClosed => "not-closed",
            Self::TimeWaitFlood => "time-wait-flood",
            Self::SynUnanswered => "syn-unanswered",
            Self::Refused => "refused",
            Self::SynRecvPileUp => "syn-recv-pile-up",
            Self::FinWait2PileUp => "fin-wait2-pile-up",
            Self::LastAckPileUp => "last-ack-pile-up",
            Self::ServerClosesFirst => "server-closes-first",
            Self::Resets => "resets",
            Self::IdleTimeout => "idle-timeout",
            Self::EventsLost => "events-lost",
            Self::AuditDisagrees => "audit-disagrees",
        }
    }
}

/// What to do, or not to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Which one.
    pub kind: AdviceKind,
    /// To be done or not.
    pub stance: Stance,
    /// What, in one sentence.
    pub act: String,
    /// Why, from the facts on this host.
    pub reason: String,
    /// What it can break.
    pub risk: String,
    /// A command that does it, where one does.
    pub command: Option<String>,
    /// The findings that call for it.
    pub because: Vec<FindingKind>,
}

/// Whether something should be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stance {
    /// It cures.
    Do,
    /// It helps, at a price.
    Consider,
    /// It is often advised for this, and is no help or does harm.
    Avoid,
}

impl Stance {
    /// As printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Do => "do",
            Self::Consider => "consider",
            Self::Avoid => "avoid",
        }
    }
}

/// What can be advised. Scripts know each by its [slug](Self::slug).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the slugs say it")]
pub enum AdviceKind {
    CloseInTheProgram,
    AcceptFaster,
    KeepConnections,
    LetTheClientClose,
    TwReuse,
    Timestamps,
    PortRange,
    MoreDestinations,
    MaxTwBuckets,
    IdleTimeouts,
    FindTheReset,
    StartTheListener,
    CheckThePath,
    BiggerRing,
    DescriptorLimit,
    FinTimeout,
    TwRecycle,
    LingerZero,
    Sysctl,
}

impl AdviceKind {
    /// Its name for scripts; it never changes.
    pub fn slug(self) -> &'static str {
        match self {
            Self::CloseInTheProgram => "close-in-the-program",
            Self::AcceptFaster => "accept-faster",
            Self::KeepConnections => "keep-connections",
            Self::LetTheClientClose => "let-the-client-close",
            Self::TwReuse => "tcp-tw-reuse",
            Self::Timestamps => "tcp-timestamps",
            Self::PortRange => "port-range",
            Self::MoreDestinations => "more-destinations",
            Self::MaxTwBuckets => "tcp-max-tw-buckets",
            Self::IdleTimeouts => "idle-timeouts",
            Self::FindTheReset => "find-the-reset",
            Self::StartTheListener => "start-the-listener",
            Self::CheckThePath => "check-the-path",
            Self::BiggerRing => "bigger-ring",
            Self::DescriptorLimit => "descriptor-limit",
            Self::FinTimeout => "tcp-fin-timeout",
            Self::TwRecycle => "tcp-tw-recycle",
            Self::LingerZero => "so-linger-0",
            Self::Sysctl => "no-sysctl",
        }
    }
}
