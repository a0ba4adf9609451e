//! Courses of states: `SYN_SENT > ESTABLISHED > FIN_WAIT1`, where `*` is any number of them.

use crate::model::TcpState;

/// A course that a life may take.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Course(Vec<Step>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Any,
    State(TcpState),
}

impl Course {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let step = |name: &str| match name {
            "*" => Ok(Step::Any),
            _ => TcpState::ALL.into_iter().find(|state| state.name() == name).map(Step::State).ok_or_else(|| {
                let states = TcpState::ALL.map(TcpState::name).join(", ");
                format!("{name:?} is no state: write SYN_SENT > ESTABLISHED > *, of {states}, or * for any of them")
            }),
        };
        text.split('>').map(|name| step(name.trim())).collect::<Result<_, _>>().map(Self)
    }

    /// It says nothing of how a life begins.
    pub(super) fn begins_anyhow(&self) -> bool {
        self.0.first() == Some(&Step::Any)
    }

    /// These states are such a course, from first to last.
    pub(super) fn fits(&self, states: impl Iterator<Item = TcpState>) -> bool {
        // Which of the steps may come next, the end among them.
        let mut next = vec![false; self.0.len() + 1];
        next[0] = true;
        self.skip_any(&mut next);
        for state in states {
            let mut then = vec![false; next.len()];
            for (place, step) in self.0.iter().enumerate().filter(|(place, _)| next[*place]) {
                match step {
                    Step::Any => then[place] = true,
                    Step::State(wanted) => then[place + 1] |= *wanted == state,
                }
            }
            self.skip_any(&mut then);
            next = then;
        }
        next[self.0.len()]
    }

    /// `*` may be nothing at all.
    fn skip_any(&self, next: &mut [bool]) {
        for (place, _) in self.0.iter().enumerate().filter(|(_, step)| **step == Step::Any) {
            next[place + 1] |= next[place];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Course;
    use crate::model::TcpState;

    #[test]
    fn a_course_is_held_against_the_states() {
        let cases = [
            ("SYN_SENT > ESTABLISHED", "SYN_SENT ESTABLISHED", true),
            ("SYN_SENT>ESTABLISHED", "SYN_SENT ESTABLISHED FIN_WAIT1", false),
            ("SYN_SENT > *", "SYN_SENT ESTABLISHED FIN_WAIT1", true),
            ("SYN_SENT > *", "SYN_SENT", true),
            ("* > CLOSE_WAIT", "ESTABLISHED CLOSE_WAIT", true),
            ("* > CLOSE_WAIT", "ESTABLISHED CLOSE_WAIT LAST_ACK", false),
            ("* > CLOSE_WAIT > *", "ESTABLISHED CLOSE_WAIT LAST_ACK", true),
            ("* > FIN_WAIT2 > * > TIME_WAIT", "FIN_WAIT1 FIN_WAIT2 FIN_WAIT2 TIME_WAIT", true),
            ("* > FIN_WAIT2 > TIME_WAIT", "FIN_WAIT1 CLOSING TIME_WAIT", false),
            ("*", "", true),
            ("SYN_SENT", "", false),
        ];
        for (course, states, fits) in cases {
            let states = states
                .split_whitespace()
                .map(|name| TcpState::ALL.into_iter().find(|state| state.name() == name).expect("the name of a state"));
            assert_eq!(Course::parse(course).expect("a course").fits(states), fits, "{course}");
        }
        for course in ["", "SYN_SENT >", "ESTABLISHED > SYN-SENT", "established"] {
            assert!(Course::parse(course).is_err(), "{course}");
        }
    }
}
