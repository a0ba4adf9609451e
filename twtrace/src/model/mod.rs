//! What connections did, worked out of what was observed.
//!
//! Pure: knows no clock, no file, no process and no kernel. Time and identity come with each observation, so
//! the same observations give the same lifecycles, live or replayed. Nothing here can fail; a gap in what was
//! observed is data and is shown as one.

pub mod attached;
pub mod audit;
pub mod change;
pub mod filter;
pub mod join;
pub mod lifecycle;
pub mod observation;
pub mod process;
pub mod report;
pub mod sockets;
pub mod state;
pub mod summary;
pub mod sysctls;
pub mod tracker;
pub mod units;
pub mod wheel;

pub use change::{Change, Question, Shown};
pub use lifecycle::{
    Basis, Close, CloseWait, Closer, Confidence, Direction, Lifecycle, Owner, OwnerBasis, Side, SoFar, Span, Spans,
    TimeWait, TimeWaitEnd,
};
pub use observation::{Endpoint, FourTuple, Ktime, LossPlace, Observation, SocketId, Transition};
pub use process::{Comm, Process};
pub use state::TcpState;
pub use tracker::Tracker;
