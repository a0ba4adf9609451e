//! What stands in the cells of a row: pure, a connection in, words out.

use super::row::{Row, WIDTHS};
use crate::{
    model::{Basis, Confidence, Direction, Ktime, Lifecycle, Owner, OwnerBasis, Process, TcpState, TimeWaitEnd},
    sink::format,
};

pub(super) fn dash() -> String {
    "-".to_owned()
}

/// The owner and both ends.
pub(super) fn ends(row: &mut Row, lifecycle: &Lifecycle) {
    let [pid, comm, local, arrow, remote, ..] = WIDTHS;
    row.cell(pid, &lifecycle.owner.as_ref().map_or_else(dash, owner_pid));
    row.cell(comm, &lifecycle.owner.map_or_else(dash, |owner| owner.process.comm.to_string()));
    row.cell(local, &format::end(lifecycle.tuple.local));
    row.cell(
        arrow,
        match lifecycle.direction {
            Some(Direction::Outbound) => "->",
            Some(Direction::Inbound) => "<-",
            None => "-",
        },
    );
    row.cell(remote, &format::end(lifecycle.tuple.remote));
}

/// The mark stands at the number, where no process can have put it.
fn owner_pid(owner: &Owner) -> String {
    let mark = match owner.basis {
        OwnerBasis::Connect | OwnerBasis::Accept | OwnerBasis::Close => "",
        OwnerBasis::SocketTable => "~",
        OwnerBasis::Listener => "^",
    };
    format!("{}{mark}", owner.process.pid)
}

/// When the row's news happened.
pub(super) fn moment(lifecycle: &Lifecycle) -> Option<Ktime> {
    lifecycle.ended.or_else(|| lifecycle.spans.last()?.entered)
}

pub(super) fn is_open(lifecycle: &Lifecycle, state: TcpState) -> bool {
    lifecycle.ended.is_none() && lifecycle.state() == Some(state)
}

pub(super) fn closer(lifecycle: &Lifecycle) -> String {
    let side = lifecycle.closed_first.map_or("-", |side| side.name());
    match lifecycle.closed_by {
        None => side.to_owned(),
        Some(closer) => {
            let Process { pid, comm, .. } = closer.process;
            let mark = if closer.confidence == Confidence::Likely { "?" } else { "" };
            let host = lifecycle.closed_on.as_deref().map(|host| format!("@{}", format::one_line(host)));
            format!("{side} {comm}/{pid}{}{mark}", host.unwrap_or_default())
        }
    }
}

/// In the words of the other formats; the state where it has not ended.
pub(super) fn how_it_ended(lifecycle: &Lifecycle) -> &'static str {
    match (lifecycle.close, lifecycle.state()) {
        (Some(close), _) => close.name(),
        (None, Some(_)) if lifecycle.ended.is_none() => "open",
        (None, _) => "-",
    }
}

pub(super) fn time_wait_cell(lifecycle: &Lifecycle) -> String {
    if lifecycle.time_wait_end == Some(TimeWaitEnd::Overflow) {
        return "overflow".to_owned();
    }
    match lifecycle.time_wait() {
        Some(time_wait) if time_wait.open => "running".to_owned(),
        Some(time_wait) => lasted(time_wait.lasted, time_wait.basis),
        None if is_open(lifecycle, TcpState::FinWait2) => TcpState::FinWait2.name().to_owned(),
        None => dash(),
    }
}

/// A time, marked where neither an event nor a timer measured it.
pub(super) fn lasted(nanos: Option<u64>, basis: Basis) -> String {
    let mark = match basis {
        Basis::Observed | Basis::Hook => "",
        Basis::SockDiag | Basis::Inferred => "~",
    };
    nanos.map_or_else(dash, |nanos| format!("{mark}{}", format::duration(nanos)))
}

pub(super) fn seconds(at: Ktime, began: Ktime) -> String {
    let sign = if at < began { "-" } else { "" };
    let micros = at.0.abs_diff(began.0) / 1_000;
    format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// What does not go without saying.
pub(super) fn remarks(lifecycle: &Lifecycle) -> String {
    let mut remarks = Vec::new();
    if let (None, None, Some(state)) = (lifecycle.close, lifecycle.ended, lifecycle.state())
        && state != TcpState::FinWait2
    {
        remarks.push(format!("still {state}"));
    }
    if lifecycle.accepted == Some(false) {
        remarks.push("never accepted by the application".to_owned());
    }
    match lifecycle.time_wait_end {
        None | Some(TimeWaitEnd::Expired) => {}
        Some(TimeWaitEnd::Overflow) => remarks.push("no TIME_WAIT could be made (tcp_max_tw_buckets)".to_owned()),
        Some(end) => remarks.push(format!("TIME_WAIT {}", end.name())),
    }
    if let Some(reason) = lifecycle.close_reason {
        remarks.push(reason.to_owned());
    }
    if lifecycle.preexisting {
        remarks.push("open before tracing".to_owned());
    }
    if lifecycle.lost_evidence > 0 {
        remarks.push(format!("up to {} of its events lost", lifecycle.lost_evidence));
    }
    if lifecycle.broken {
        remarks.push("a transition is missing".to_owned());
    }
    remarks.join(", ")
}
