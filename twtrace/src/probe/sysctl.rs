//! Settings of the kernel below /proc/sys.

use crate::model::sysctls::{NAMES, PORT_RANGE, PortRange, RESERVED_PORTS, Sysctls};

/// All that matter to a connection's life; those that are not there or cannot be read are left out.
///
/// Those of net are the ones of the network namespace that the calling thread is in.
pub fn all() -> Sysctls {
    some(&NAMES)
}

/// The ports that connect() chooses from, in the network namespace that the calling thread is in.
pub fn port_range() -> Option<PortRange> {
    PortRange::of(&some(&[PORT_RANGE, RESERVED_PORTS]))
}

fn some(names: &[&str]) -> Sysctls {
    names.iter().filter_map(|name| Some((name.to_string(), read(name)?))).collect()
}

/// The value as the kernel prints it, with single spaces; `None` where it is not there or cannot be read.
///
/// Those of net are the ones of our own network namespace.
pub fn read(name: &str) -> Option<String> {
    let text = std::fs::read(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?;
    Some(String::from_utf8_lossy(&text).split_ascii_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::{all, port_range, read};
    use crate::model::sysctls::{PORT_RANGE, PortRange};

    #[test]
    fn values_stand_on_one_line() {
        let range = read("net.ipv4.ip_local_port_range").expect("every kernel has it");
        assert_eq!(range.split(' ').filter(|word| word.parse::<u16>().is_ok()).count(), 2, "{range}");
        assert_eq!(read("net.ipv4.no_such_setting"), None);
    }

    #[test]
    fn all_are_read_at_once() {
        let values = all();
        assert_eq!(values.get(PORT_RANGE), read(PORT_RANGE).as_ref());
        assert_eq!(PortRange::of(&values), port_range());
        assert!(port_range().is_some(), "{values:?}");
    }
}
