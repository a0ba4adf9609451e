//! The states of TCP, with the kernel's numbers and names.

/// `enum` of include/net/tcp_states.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the documentation: RFC 9293, section 3.3.2")]
pub enum TcpState {
    Established = 1,
    SynSent,
    SynRecv,
    FinWait1,
    FinWait2,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    Closing,
    NewSynRecv,
}

impl TcpState {
    /// Every state, by its number less one.
    pub const ALL: [Self; 12] = [
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait1,
        Self::FinWait2,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::Closing,
        Self::NewSynRecv,
    ];

    /// The states of a connection, as it goes through them.
    pub const COURSE: [Self; 9] = [
        Self::SynSent,
        Self::SynRecv,
        Self::Established,
        Self::FinWait1,
        Self::FinWait2,
        Self::Closing,
        Self::TimeWait,
        Self::CloseWait,
        Self::LastAck,
    ];

    /// The state of this number; `None` for one that no kernel has.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// A connection in this state has a socket that may have carried something.
    pub fn carries(self) -> bool {
        use TcpState::{CloseWait, Closing, Established, FinWait1, FinWait2, LastAck};
        matches!(self, Established | FinWait1 | FinWait2 | CloseWait | LastAck | Closing)
    }

    /// As the kernel prints it, without `TCP_`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait1 => "FIN_WAIT1",
            Self::FinWait2 => "FIN_WAIT2",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::Closing => "CLOSING",
            Self::NewSynRecv => "NEW_SYN_RECV",
        }
    }
}

/// Nanoseconds of TIME_WAIT (`TCP_TIMEWAIT_LEN`, include/net/tcp.h): fixed when the kernel is compiled.
pub const TIME_WAIT: u64 = 60_000_000_000;

impl std::fmt::Display for TcpState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::TcpState;

    #[test]
    fn numbers_are_the_kernels() {
        for (index, state) in TcpState::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, index + 1);
            assert_eq!(TcpState::from_number(state as u8), Some(state));
        }
        assert_eq!(TcpState::from_number(0), None);
        assert_eq!(TcpState::from_number(13), None);
    }
}
