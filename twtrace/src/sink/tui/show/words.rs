//! Numbers and names as they fit into a cell.

use crate::{
    model::{Comm, Confidence, Direction, Lifecycle, Owner, OwnerBasis},
    sink::{
        format,
        tui::survey::{Pids, Route},
    },
};

pub(super) fn dash() -> String {
    "-".to_owned()
}

/// `12,345`: to be read at a glance.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A time that changes while one looks: to a tenth of a second at the most.
pub(super) fn brief(nanos: u64) -> String {
    let seconds = nanos / 1_000_000_000;
    match seconds {
        0..60 => format!("{seconds}.{}s", nanos / 100_000_000 % 10),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format::duration(nanos),
    }
}

pub(super) fn arrow(life: &Lifecycle) -> &'static str {
    match life.direction {
        Some(Direction::Outbound) => "→",
        Some(Direction::Inbound) => "←",
        None => "-",
    }
}

/// `curl/4242`; the marks are those of the text rows.
pub(super) fn owner(life: &Lifecycle) -> String {
    life.owner.map_or_else(dash, |owner: Owner| {
        let mark = match owner.basis {
            OwnerBasis::Connect | OwnerBasis::Accept | OwnerBasis::Close => "",
            OwnerBasis::SocketTable => "~",
            OwnerBasis::Listener => "^",
        };
        format!("{}/{}{mark}", owner.process.comm, owner.process.pid)
    })
}

pub(super) fn party(owner: Option<(Comm, Pids)>) -> String {
    match owner {
        None => "not known".to_owned(),
        Some((comm, Pids::One(pid))) => format!("{comm}/{pid}"),
        Some((comm, Pids::Several)) => format!("{comm}, several"),
    }
}

pub(super) fn route(route: Option<Route>) -> String {
    match route {
        None => dash(),
        Some(Route::Out(_, remote)) => format!("→ {}", format::end(remote)),
        Some(Route::In(port, remote)) => format!("← {remote} at :{port}"),
    }
}

/// The filter words that choose the connections of these processes, where there are some.
pub(super) fn chosen_by(owner: Option<(Comm, Pids)>) -> Option<String> {
    match owner? {
        (_, Pids::One(pid)) => Some(format!("-p {pid}")),
        (comm, Pids::Several) => {
            let name = comm.to_string();
            // A list is separated by commas, and a name that has one cannot be in it.
            (!name.is_empty() && !name.contains([',', '\''])).then(|| format!("--comm '{name}'"))
        }
    }
}

/// The same for a destination.
pub(super) fn chosen_by_route(route: Route) -> String {
    match route {
        Route::Out(_, remote) => format!("-D {} --remote-addr {}", remote.port, remote.ip),
        Route::In(port, remote) => format!("-L {port} --remote-addr {remote}"),
    }
}

/// `local curl/4242`; the mark is that of the text rows.
pub(super) fn closed_by(life: &Lifecycle) -> String {
    let side = life.closed_first.map_or("-", |side| side.name());
    match life.closed_by {
        None => side.to_owned(),
        Some(closer) => {
            let mark = if closer.confidence == Confidence::Likely { "?" } else { "" };
            format!("{side} {}/{}{mark}", closer.process.comm, closer.process.pid)
        }
    }
}
