//! Settings of the kernel below /proc/sys.

/// The value as the kernel prints it, with single spaces; `None` where it is not there or cannot be read.
///
/// Those of net are the ones of our own network namespace.
pub fn read(name: &str) -> Option<String> {
    let text = std::fs::read(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?;
    Some(String::from_utf8_lossy(&text).split_ascii_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn values_stand_on_one_line() {
        let range = read("net.ipv4.ip_local_port_range").expect("every kernel has it");
        assert_eq!(range.split(' ').filter(|word| word.parse::<u16>().is_ok()).count(), 2, "{range}");
        assert_eq!(read("net.ipv4.no_such_setting"), None);
    }
}
