//! Every state: how many were in it over time, and how long they stayed.

use super::{
    course::{Course, Scale},
    lived::Lived,
    spread::Spread,
};
use crate::model::{Ktime, TcpState, report::StateCount};

/// How long sockets were in one state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stays {
    pub(crate) entered: u64,
    pub(crate) now: u64,
    pub(crate) lasted: Spread,
    pub(crate) course: Course,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct States {
    by_number: [Stays; TcpState::ALL.len()],
}

impl States {
    pub(crate) fn take(&mut self, lived: &Lived<'_>) {
        for stay in &lived.stays {
            let row = &mut self.by_number[stay.span.state as usize - 1];
            row.entered += 1;
            row.now += u64::from(stay.open);
            if let Some(lasted) = stay.span.lasted {
                row.lasted.add(lasted);
            }
            if let Some(from) = stay.from {
                row.course.add(lived.scale, from, stay.until);
            }
        }
    }

    pub(crate) fn of(&self, state: TcpState) -> &Stays {
        &self.by_number[state as usize - 1]
    }

    pub(crate) fn counts(&self, scale: Scale, end: Ktime) -> Vec<StateCount> {
        let all = TcpState::COURSE.into_iter().chain([TcpState::NewSynRecv]);
        let states = all.filter(|state| self.of(*state).entered > 0);
        states
            .map(|state| {
                let stays = self.of(state);
                let over_time = stays.course.series(scale, end);
                StateCount {
                    state,
                    entered: stays.entered,
                    now: stays.now,
                    peak: stays.course.peak(&over_time, stays.now, end),
                    lasted: stays.lasted.quantiles(),
                    over_time,
                }
            })
            .collect()
    }
}
