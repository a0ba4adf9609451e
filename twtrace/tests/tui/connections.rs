//! What the test does under the eyes of the view: its oracle.

use std::{
    io::Read,
    net::{TcpListener, TcpStream},
};

/// Connections of this process: each client's end closes first.
pub(crate) struct Connections {
    listener: TcpListener,
    /// Ends that wait to be closed here.
    kept: Vec<TcpStream>,
}

impl Connections {
    pub(crate) fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").expect("a port"), kept: Vec::new() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().expect("it is bound").port()
    }

    fn one(&self) -> TcpStream {
        let client = TcpStream::connect(self.listener.local_addr().expect("it is bound")).expect("it listens");
        let (mut server, _) = self.listener.accept().expect("one has come");
        drop(client);
        // The FIN is there.
        assert_eq!(server.read(&mut [0]).expect("an end"), 0);
        server
    }

    /// Both ends closed: a TIME_WAIT at the client's.
    pub(crate) fn closed(&self, count: usize) {
        (0..count).for_each(|_| drop(self.one()));
    }

    /// Closed at the client's end alone.
    pub(crate) fn leaked(&mut self, count: usize) {
        for _ in 0..count {
            let server = self.one();
            self.kept.push(server);
        }
    }

    /// Those of this process and this port alone.
    pub(crate) fn words(&self) -> String {
        format!("-p {}", std::process::id())
    }
}
