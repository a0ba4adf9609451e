//! How addresses, process names and reasons are written as text, so that they are read back as they were.

use super::{
    columns::{Named, Textual},
    schema::{Kind, SocketIs},
};
use crate::model::{
    Comm, LossPlace, TcpState,
    observation::{Cause, Runtime},
};
use std::{collections::HashSet, net::IpAddr, sync::Mutex};

impl Named for Kind {
    const ALL: &'static [Self] = &[
        Self::Transition,
        Self::ResetSent,
        Self::ResetReceived,
        Self::Accepted,
        Self::Destroyed,
        Self::TimerStart,
        Self::TimerExpire,
        Self::TimerCancel,
        Self::TableBegin,
        Self::TableRow,
        Self::TableAbsent,
        Self::TableReady,
        Self::TableEnd,
        Self::Holder,
        Self::Process,
        Self::Lost,
        Self::Counters,
        Self::Tick,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Transition => "transition",
            Self::ResetSent => "reset_sent",
            Self::ResetReceived => "reset_received",
            Self::Accepted => "accepted",
            Self::Destroyed => "destroyed",
            Self::TimerStart => "timer_start",
            Self::TimerExpire => "timer_expire",
            Self::TimerCancel => "timer_cancel",
            Self::TableBegin => "table_begin",
            Self::TableRow => "table_row",
            Self::TableAbsent => "table_absent",
            Self::TableReady => "table_ready",
            Self::TableEnd => "table_end",
            Self::Holder => "holder",
            Self::Process => "process",
            Self::Lost => "lost",
            Self::Counters => "counters",
            Self::Tick => "tick",
        }
    }
}

impl Named for SocketIs {
    const ALL: &'static [Self] = &[Self::Cookie, Self::Address, Self::Remnant];

    fn name(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::Address => "address",
            Self::Remnant => "remnant",
        }
    }
}

impl Named for TcpState {
    const ALL: &'static [Self] = &Self::ALL;

    fn name(self) -> &'static str {
        self.name()
    }
}

impl Named for Cause {
    const ALL: &'static [Self] = &Self::ALL;

    fn name(self) -> &'static str {
        self.name()
    }
}

impl Named for Runtime {
    const ALL: &'static [Self] = &Self::ALL;

    fn name(self) -> &'static str {
        self.name()
    }
}

impl Named for LossPlace {
    const ALL: &'static [Self] = &Self::ALL;

    fn name(self) -> &'static str {
        self.name()
    }
}

impl Textual for IpAddr {
    fn text(&self) -> String {
        self.to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Textual for Box<str> {
    fn text(&self) -> String {
        self.to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        Some(text.into())
    }
}

/// As it is shown everywhere, which says each byte of it.
impl Textual for Comm {
    fn text(&self) -> String {
        self.to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = unescape(text)?;
        let comm = Self::new(&bytes);
        (comm.bytes() == bytes).then_some(comm)
    }
}

/// The bytes that [`Comm`]'s `Display` has escaped.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let mut after = escape.chars();
        match after.next()? {
            '\\' => bytes.push(b'\\'),
            't' => bytes.push(b'\t'),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            'x' => {
                bytes.push(u8::from_str_radix(escape.get(1..3)?, 16).ok()?);
                after = escape[3..].chars();
            }
            'u' => {
                let (digits, behind) = escape.strip_prefix("u{")?.split_once('}')?;
                let c = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                after = behind.chars();
            }
            _ => return None,
        }
        rest = after.as_str();
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

/// The kernel's name of a reset's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reason(pub(super) &'static str);

impl Reason {
    /// There are some fifty; a file that has many more was not written by a kernel.
    const MOST: usize = 1024;
    const LONGEST: usize = 128;
}

impl Textual for Reason {
    fn text(&self) -> String {
        self.0.to_owned()
    }

    /// Each is leaked once, so that observations stay plain values.
    fn parse(text: &str) -> Option<Self> {
        static KNOWN: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
        let mut known = KNOWN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let known = known.get_or_insert_default();
        if let Some(name) = known.get(text) {
            return Some(Self(name));
        }
        if known.len() >= Self::MOST || text.len() > Self::LONGEST {
            return None;
        }
        let name: &'static str = text.to_owned().leak();
        known.insert(name);
        Some(Self(name))
    }
}

#[cfg(test)]
mod tests {
    use super::Textual as _;
    use crate::model::Comm;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_of_any_bytes_is_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..16)) {
            let comm = Comm::new(&bytes);
            prop_assert_eq!(Comm::parse(&comm.text()), Some(comm));
        }

        #[test]
        fn a_name_of_any_characters_is_read_back(text in "[\\\\xu{}\\u{200b}\u{7f}é0-9a-f]{0,12}") {
            let comm = Comm::new(text.as_bytes());
            prop_assert_eq!(Comm::parse(&comm.text()), Some(comm));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC*", tail in "[\\\\xu{}é0-9a-f]*") {
            let _ = Comm::parse(&text);
            let _ = Comm::parse(&tail);
        }
    }
}
