//! The terminal: taken over, drawn on, listened to, and given back as it was on every way out.
//!
//! Drawing has a thread of its own: over a slow line a write may wait, and what waits must not be the tracker. There
//! is room for one picture beside the one that is being drawn; those in between are never drawn.

use super::{Key, draw, scene::Scene, theme::Theme};
use crate::stderr;
use crossterm::{event, terminal};
use ratatui::{Terminal, backend::CrosstermBackend};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal as _},
    os::fd::OwnedFd,
    panic,
    sync::{
        Mutex, Once, TryLockError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// The other screen, no cursor, the wheel: buttons alone (1000), for a mouse that tells its every move floods a line.
const TAKE: &[u8] = b"\x1b[?1049h\x1b[2J\x1b[?25l\x1b[?1000h\x1b[?1006h";
/// All of it undone, the last first.
const GIVE_BACK: &[u8] = b"\x1b[0m\x1b[?1006l\x1b[?1000l\x1b[?25h\x1b[?1049l";
/// How long a picture under way, or a line that takes nothing, may keep us from giving the terminal back.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long the thread that reads keys sleeps at the most before it sees that it is over.
const LISTEN: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// As good as none: without any, the library does not look at all.
const AT_ONCE: Duration = Duration::from_millis(1);

/// Ours now: whoever sets it to false gives it back.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Held while a picture is being drawn.
static DRAWING: Mutex<()> = Mutex::new(());

/// A terminal that is ours.
#[derive(Debug)]
pub struct Screen {
    scenes: Option<SyncSender<Scene>>,
    drawer: Option<JoinHandle<io::Result<()>>>,
    inputs: Receiver<Input>,
}

/// What comes from the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Key(Key),
    /// Nobody is there any more.
    Gone,
}

impl Screen {
    /// Takes the terminal of stdout over.
    ///
    /// # Errors
    ///
    /// Where stdout is none, or none can be read from.
    pub fn open(theme: Theme) -> io::Result<Self> {
        let keyboard = keyboard()?;
        terminal::enable_raw_mode()?;
        give_back_on_panic();
        TAKEN.store(true, Ordering::SeqCst);
        stderr::hold();
        Self::start(keyboard, theme).inspect_err(|_| give_back())
    }

    fn start(keyboard: OwnedFd, theme: Theme) -> io::Result<Self> {
        write(TAKE)?;
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(1 << 16, io::stdout())))?;
        let (scenes, waiting) = sync_channel(1);
        let drawer =
            thread::Builder::new().name("draw".to_owned()).spawn(move || drawing(terminal, &waiting, theme))?;
        let (heard, inputs) = channel();
        let listen = move || {
            let gone = listening(&keyboard, |key| heard.send(Input::Key(key)).is_ok());
            if gone {
                // Whoever would take it may be gone too.
                let _ = heard.send(Input::Gone);
            }
        };
        thread::Builder::new().name("keys".to_owned()).spawn(listen)?;
        Ok(Self { scenes: Some(scenes), drawer: Some(drawer), inputs })
    }

    /// Columns and lines.
    pub(super) fn size(&self) -> (u16, u16) {
        terminal::size().unwrap_or((80, 24))
    }

    pub(super) fn inputs(&self) -> Vec<Input> {
        self.inputs.try_iter().collect()
    }

    /// False where the one before still waits.
    pub(super) fn show(&mut self, scene: Scene) -> io::Result<bool> {
        let Some(scenes) = &self.scenes else { return Ok(true) };
        match scenes.try_send(scene) {
            Ok(()) => Ok(true),
            Err(TrySendError::Full(_)) => Ok(false),
            Err(TrySendError::Disconnected(_)) => Err(self.why_no_longer()),
        }
    }

    fn why_no_longer(&mut self) -> io::Error {
        match self.drawer.take().map(JoinHandle::join) {
            // A terminal that is gone is a closed pipe.
            Some(Ok(Err(error))) => io::Error::new(io::ErrorKind::BrokenPipe, error),
            _ => io::Error::other("the full-screen view broke down"),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.scenes = None;
        give_back();
    }
}

/// What keys are read from, to see whether it is still there.
fn keyboard() -> io::Result<OwnedFd> {
    if !io::stdout().is_terminal() {
        return Err(io::Error::other("stdout is not a terminal"));
    }
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Ok(rustix::io::dup(&stdin)?);
    }
    let no_keys = |error| io::Error::other(format!("stdin is not a terminal, and /dev/tty cannot be opened: {error}"));
    Ok(File::open("/dev/tty").map_err(no_keys)?.into())
}

fn drawing(
    mut terminal: Terminal<CrosstermBackend<BufWriter<io::Stdout>>>,
    scenes: &Receiver<Scene>,
    theme: Theme,
) -> io::Result<()> {
    for scene in scenes {
        let _drawing = DRAWING.lock();
        if !TAKEN.load(Ordering::SeqCst) {
            break;
        }
        terminal.draw(|frame| draw(frame, &scene, theme))?;
    }
    Ok(())
}

/// Gives keys to `heard` until it wants no more, or the screen is given back. True where the terminal is gone.
fn listening(keyboard: &OwnedFd, heard: impl Fn(Key) -> bool) -> bool {
    loop {
        let mut fds = [PollFd::new(keyboard, PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&LISTEN)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return true,
        }
        if !TAKEN.load(Ordering::SeqCst) {
            return false;
        }
        let state = fds[0].revents();
        // The library would read an end of file for ever.
        if state.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            return true;
        }
        let mut any = false;
        while event::poll(AT_ONCE).unwrap_or(false) {
            let Ok(event) = event::read() else { return true };
            any = true;
            if let Some(key) = Key::of(&event)
                && !heard(key)
            {
                return false;
            }
        }
        if !any && state.contains(PollFlags::IN) {
            // Half a sequence: the rest is on its way.
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Whatever thread it is: its message is to be read, and the shell to be used.
fn give_back_on_panic() {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
    });
}

/// Gives the terminal back, if it is ours: for a way out on which nothing is dropped.
///
/// It takes no longer than `PATIENCE` twice, whatever state the line is in.
pub fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let deadline = Instant::now() + PATIENCE;
    while matches!(DRAWING.try_lock(), Err(TryLockError::WouldBlock)) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    let (done, is_done) = channel();
    let write = move || {
        let _ = write(GIVE_BACK);
        let _ = done.send(());
    };
    if thread::Builder::new().spawn(write).is_ok() {
        let _ = is_done.recv_timeout(PATIENCE);
    }
    // There is nobody to tell.
    let _ = terminal::disable_raw_mode();
    stderr::release();
}

/// Past the buffer of stdout and its lock, which a picture under way may hold.
fn write(mut bytes: &[u8]) -> io::Result<()> {
    let stdout = rustix::stdio::stdout();
    while !bytes.is_empty() {
        match rustix::io::write(stdout, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
