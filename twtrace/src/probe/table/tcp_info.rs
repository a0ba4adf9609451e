//! `struct tcp_info` of include/uapi/linux/tcp.h, which has grown at its end from kernel to kernel: so it is read as far as it
//! goes, and what it does not have is not known.

use crate::model::observation::Traffic;
use zerocopy::FromBytes;

/// `tcpi_last_data_recv`, and so on.
const LAST_DATA_RECEIVED: usize = 52;
const LAST_ACK_RECEIVED: usize = 56;
const ROUND_TRIP: usize = 68;
const TOTAL_RETRANSMITS: usize = 100;
const BYTES_RECEIVED: usize = 128;
/// Since 4.19.
const BYTES_SENT: usize = 200;
const NANOS_PER_MICRO: u64 = 1_000;
const NANOS_PER_MILLI: u64 = 1_000_000;

/// What the socket has carried, its FIN included; `None` where the kernel's structure ends before all of that.
pub(super) fn carried(tcp_info: &[u8]) -> Option<Traffic> {
    let round_trip: u32 = at(tcp_info, ROUND_TRIP)?;
    Some(Traffic {
        bytes_sent: at(tcp_info, BYTES_SENT)?,
        bytes_received: at(tcp_info, BYTES_RECEIVED)?,
        retransmits: at(tcp_info, TOTAL_RETRANSMITS)?,
        srtt: (round_trip != 0).then(|| u64::from(round_trip) * NANOS_PER_MICRO),
    })
}

/// Nanoseconds since the last ACK came in.
pub(super) fn last_ack(tcp_info: &[u8]) -> Option<u64> {
    nanos(tcp_info, LAST_ACK_RECEIVED)
}

/// Nanoseconds since data came in last.
pub(super) fn last_data(tcp_info: &[u8]) -> Option<u64> {
    nanos(tcp_info, LAST_DATA_RECEIVED)
}

/// Of milliseconds at an offset.
fn nanos(tcp_info: &[u8], offset: usize) -> Option<u64> {
    let millis: u32 = at(tcp_info, offset)?;
    Some(u64::from(millis) * NANOS_PER_MILLI)
}

fn at<T: FromBytes>(tcp_info: &[u8], offset: usize) -> Option<T> {
    Some(T::read_from_prefix(tcp_info.get(offset..)?).ok()?.0)
}
