//! Processes, and names that anybody may have chosen.

use super::observation::Container;

/// A process name as the kernel has it: any bytes at all, so it is escaped wherever it is shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Comm([u8; 16]);

impl Comm {
    /// Up to the first NUL of `bytes`, and 15 bytes at the most.
    pub fn new(bytes: &[u8]) -> Self {
        let mut comm = [0; 16];
        for (to, &from) in comm.iter_mut().zip(bytes.iter().take(15).take_while(|&&b| b != 0)) {
            *to = from;
        }
        Self(comm)
    }

    /// The bytes before the NUL.
    pub fn bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        &self.0[..end]
    }
}

/// Printable on any terminal and in any table: what is not printable ASCII or valid, visible UTF-8 is escaped.
impl std::fmt::Display for Comm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&escaped(self.bytes()))
    }
}

/// The same of any bytes.
pub fn escaped(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' || c.is_control() || is_invisible(c) {
                shown.extend(c.escape_default());
            } else {
                shown.push(c);
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

/// Characters that turn or hide what stands beside them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

impl std::fmt::Debug for Comm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A process, told from a later one of the same number by its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// The process id (not the thread's), in the root pid namespace.
    pub pid: u32,
    /// Its real user id.
    pub uid: u32,
    /// Nanoseconds of `CLOCK_BOOTTIME` at its start, where known.
    pub started: Option<u64>,
    /// Its name.
    pub comm: Comm,
}

/// Where a process runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its cgroup's path in the unified hierarchy, or in that of its container where there is none: any text at all.
    pub cgroup: Option<Box<str>>,
    /// The container it runs in, as far as the cgroup's path tells.
    pub container: Option<Container>,
}
