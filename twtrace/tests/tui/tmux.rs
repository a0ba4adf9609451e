//! A terminal of the test's own: a tmux server with one window and a shell in it.

use rustix::process::{Pid, Signal};
use std::{
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Nothing here takes as long; it is there so that a hang fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Tmux {
    socket: String,
    /// What `stty` said at first.
    settings: String,
}

impl Tmux {
    pub(crate) fn new((width, height): (u16, u16)) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let socket = format!("twtrace-test-{}-{number}", std::process::id());
        let mut tmux = Self { socket, settings: String::new() };
        let (width, height) = (width.to_string(), height.to_string());
        let shell = ["new-session", "-d", "-x", &width, "-y", &height, "env", "PS1=$ ", "TERM=screen-256color", "sh"];
        tmux.tmux(&shell);
        // The size of a window without a client is ours to choose.
        tmux.tmux(&["set-option", "-g", "window-size", "manual"]);
        // The shell is there, and tmux has set the terminal up.
        tmux.wait_for("$");
        tmux.settings = tmux.stty();
        tmux
    }

    /// Types a command; `rc=CODE` follows what it says.
    pub(crate) fn run(&self, command: &str) {
        self.tmux(&["send-keys", "-l", "--", &format!("{command}; echo rc=$?")]);
        self.keys(&["Enter"]);
    }

    /// Types filter words in place of those that are there.
    pub(crate) fn filter(&self, words: &str) {
        self.keys(&["/", "C-u"]);
        self.tmux(&["send-keys", "-l", "--", words]);
        self.keys(&["Enter"]);
    }

    /// Keys by tmux's names.
    pub(crate) fn keys(&self, keys: &[&str]) {
        for key in keys {
            self.tmux(&["send-keys", key]);
        }
    }

    pub(crate) fn screen(&self) -> String {
        self.ask(&["capture-pane", "-p"])
    }

    pub(crate) fn screen_with_styles(&self) -> String {
        self.ask(&["capture-pane", "-p", "-e"])
    }

    pub(crate) fn resize(&self, (width, height): (u16, u16)) {
        self.tmux(&["resize-window", "-x", &width.to_string(), "-y", &height.to_string()]);
    }

    /// The screen, once this stands on it.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        // A line that was typed is on the screen as well.
        self.wait_until(|screen| screen.lines().any(|line| line.contains(text) && !line.contains("echo rc=")))
    }

    pub(crate) fn wait_until(&self, is_there: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if is_there(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "it does not come:\n{screen}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// The program that the shell is running.
    pub(crate) fn program(&self) -> Pid {
        let shell = self.ask(&["display-message", "-p", "#{pane_pid}"]);
        let path = format!("/proc/{0}/task/{0}/children", shell.trim());
        let children = std::fs::read_to_string(path).expect("the shell's children");
        let pid = children.split_whitespace().next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
        pid.unwrap_or_else(|| panic!("the shell runs nothing: {}", self.screen()))
    }

    pub(crate) fn signal(&self, signals: &[Signal]) {
        let program = self.program();
        for signal in signals {
            // It may be gone already, by the one before.
            let _ = rustix::process::kill_process(program, *signal);
        }
    }

    /// The terminal is the shell's again: its settings, its screen, its cursor, and no mouse.
    pub(crate) fn is_as_before(&self, way: &str) {
        assert_eq!(self.stty(), self.settings, "{way}");
        let modes = self.ask(&["display-message", "-p", "#{alternate_on} #{cursor_flag} #{mouse_any_flag}"]);
        assert_eq!(modes.trim(), "0 1 0", "{way}: the other screen, the cursor, the mouse");
    }

    fn stty(&self) -> String {
        let pane = self.ask(&["display-message", "-p", "#{pane_tty}"]);
        let output = Command::new("stty").args(["-F", pane.trim(), "-a"]).output().expect("stty of coreutils");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn ask(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.command(arguments).output().expect("tmux");
        assert!(status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8_lossy(&stdout).into_owned()
    }

    fn tmux(&self, arguments: &[&str]) {
        self.ask(arguments);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket, "-u", "-f", "/dev/null"]).args(arguments);
        command.env_remove("TMUX").env_remove("NO_COLOR").stdin(Stdio::null());
        command
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // The server of this socket alone; it may have ended with its shell.
        let _ = self.command(&["kill-server"]).output();
    }
}
