//! Joins a source, one tracker and some sinks: what each command does.

mod child;
mod doctor;
mod draft;
mod engine;
mod expect;
mod export;
mod files;
mod live;
mod metrics;
mod on_demand;
mod output;
mod player;
mod record;
mod recorder;
mod recordings;
mod replay;
mod report;
mod screen;
mod scribe;
mod session;
mod several;
mod source;
mod states;
mod stops;
mod syncer;
mod watch;

pub use doctor::doctor;
pub use expect::expect;
pub use export::export;
pub use record::record;
pub use report::report;
pub use states::states;
pub use watch::watch;
