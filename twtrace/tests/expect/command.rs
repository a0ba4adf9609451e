//! What happens while a command runs, on loopback in a network namespace of the test.

use crate::{
    folder::Folder,
    namespace::TestNetns,
    results, text,
    watch::{PATIENCE, signal, wait},
};
use rustix::{
    process::Signal,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    net::{TcpListener, TcpStream},
    os::fd::AsFd as _,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A test suite whose server closes what it accepted, or keeps it; what was recorded beside it says the same.
#[test]
fn a_leak_of_a_commands_server_is_found() {
    let Some(netns) = TestNetns::new("expect") else { return };
    let inode = netns.find().inode.to_string();
    let folder = Folder::new("expect-leak");
    for leaks in [false, true] {
        let listener = listen(&netns);
        let port = listener.local_addr().unwrap().port();
        let done = folder.0.join(format!("done-{leaks}"));
        let server = serve(listener, 3, leaks, &done);
        // Not what anybody lost on this machine is to be proved here, and not how fast the server is.
        let spec = format!(
            "lost = \"any\"\nwhen = {{ preexisting = false }}\n\
             [[expect]]\nname = \"the client closes first\"\nwhere = \"-D {port} --comm bash\"\ncount = 3\n\
             every = {{ closed_first = \"local\", closed_by.comm = \"bash\" }}\n\
             [[expect]]\nname = \"nothing is left open\"\nwhere = \"-L {port}\"\ncount = 3\n\
             none = {{ ended = \"null\", close_wait = \"not null\" }}\n"
        );
        let script = format!(
            "for i in 1 2 3; do exec 3<>/dev/tcp/127.0.0.1/{port}; exec 3>&-; done; until [ -e {} ]; do sleep 0.05; done",
            done.display()
        );
        let recording = folder.0.join(format!("{leaks}.arrows"));
        let command = ["ip", "netns", "exec", &netns.0, "bash", "-c", &script];
        let output =
            run(&folder, &spec, &["-w", recording.to_str().unwrap(), "--netns", &inode, "--settle", "3s"], &command);
        let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
        let leak = if leaks { "not ok" } else { "ok" };
        let expected = [
            "ok 1 nothing was lost # SKIP lost = \"any\"",
            "ok 2 the command ended as expected",
            "ok 3 the client closes first",
            &format!("{leak} 4 nothing is left open"),
        ];
        assert_eq!(results(&output), expected, "{told}");
        assert_eq!(output.status.code(), Some(i32::from(leaks)), "{told}");
        assert_eq!(told.contains("close_wait: not null (observed)"), leaks, "{told}");
        drop(server.join());
        let again = run(&folder, &spec, &["-r", recording.to_str().unwrap()], &[]);
        assert!(
            text(&again.stderr).contains(&format!("filtered as it was recorded: --netns={inode}")),
            "it keeps them"
        );
        let without_status = [expected[0], "ok 2 the client closes first", &format!("{leak} 3 nothing is left open")];
        assert_eq!(results(&again), without_status, "{}", text(&again.stdout));
    }
}

/// Its status is a result, and its stdout is not among the results.
#[test]
fn a_command_ends_as_it_should() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: expect::a_command_ends_as_it_should: needs root");
        return;
    }
    let folder = Folder::new("expect-status");
    let test = "lost = \"any\"\n[[expect]]\nname = \"a\"\ncount = \"0..\"\n";
    let cases = [
        ("", "exit 0", "ok", 0),
        ("", "echo ok 3 x; exit 7", "not ok", 1),
        ("status = \"5..7\"\n", "exit 7", "ok", 0),
        ("", "kill -9 $$", "not ok", 1),
    ];
    for (top, script, result, code) in cases {
        let output = run(&folder, &format!("{top}{test}"), &["--settle", "1ms"], &["sh", "-c", script]);
        assert_eq!(results(&output)[1..], [format!("{result} 2 the command ended as expected"), "ok 3 a".to_owned()]);
        assert_eq!(output.status.code(), Some(code), "{script}: {}", text(&output.stdout));
        assert_eq!(text(&output.stderr).contains("ok 3 x\n"), script.contains("ok 3 x"), "{}", text(&output.stderr));
    }
    for command in ["/no/such/program", "/etc/passwd"] {
        let output = run(&folder, test, &["-w", folder.0.join("x").to_str().unwrap()], &[command]);
        let errors = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""), "{errors}");
        assert!(errors.contains(&format!("cannot run {command}")) && errors.lines().count() == 1, "{errors}");
        assert!(!folder.0.join("x").exists(), "it left a recording");
    }
}

/// A signal is the command's as long as it runs, and then ends the waiting.
#[test]
fn signals_are_the_commands_and_then_end_the_settling() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: expect::signals_are_the_commands_and_then_end_the_settling: needs root");
        return;
    }
    let folder = Folder::new("expect-signals");
    let spec = folder.0.join("x.toml");
    fs::write(&spec, "lost = \"any\"\nstatus = 9\n[[expect]]\nname = \"a\"\ncount = \"0..\"\n").unwrap();
    let script = "trap 'echo over; exit 9' INT; echo ready; while :; do sleep 0.05; done";
    let mut child = Command::new(env!("CARGO_BIN_EXE_twtrace"))
        .arg("expect")
        .arg(&spec)
        .args(["--settle", "1h", "--", "sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(errors.by_ref().any(|line| line == "ready"));
    signal(&child, Signal::INT);
    assert!(errors.by_ref().any(|line| line == "over"));
    // One that comes before the settling has begun may still be the command's.
    let patience = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() && Instant::now() < patience {
        thread::sleep(Duration::from_secs(1));
        if child.try_wait().unwrap().is_none() {
            signal(&child, Signal::INT);
        }
        wait_a_while(&mut child);
    }
    assert_eq!(wait(&mut child, Duration::ZERO).code(), Some(0));
    let mut told = String::new();
    child.stdout.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.contains("\nok 2 the command ended as expected\n") && told.contains("\nok 3 a\n"), "{told}");
}

/// Results take a moment to be made, and a second signal would end it at once.
fn wait_a_while(child: &mut std::process::Child) {
    let until = Instant::now() + Duration::from_secs(10);
    while child.try_wait().unwrap().is_none() && Instant::now() < until {
        thread::sleep(Duration::from_millis(20));
    }
}

/// With the specification in a file, for the command has stdin.
fn run(folder: &Folder, spec: &str, arguments: &[&str], command: &[&str]) -> Output {
    let path = folder.0.join("spec.toml");
    fs::write(&path, spec).unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_twtrace"));
    run.arg("expect").arg(&path).args(arguments).stdin(Stdio::null());
    if !command.is_empty() {
        run.arg("--").args(command);
    }
    run.output().unwrap()
}

/// A listener inside; a socket stays in the namespace that it was made in.
fn listen(netns: &TestNetns) -> TcpListener {
    let path = Path::new("/run/netns").join(&netns.0);
    let inside = move || {
        let file = File::open(path).unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        TcpListener::bind("127.0.0.1:0").unwrap()
    };
    thread::spawn(inside).join().unwrap()
}

/// Reads each connection to its end, closes it or keeps it, and then says that it is done.
fn serve(listener: TcpListener, count: usize, keeps: bool, done: &Path) -> thread::JoinHandle<Vec<TcpStream>> {
    let done = done.to_owned();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming().take(count) {
            let mut stream = stream.unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
            if keeps {
                kept.push(stream);
            }
        }
        fs::write(done, "").unwrap();
        kept
    })
}
