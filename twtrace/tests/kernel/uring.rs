//! Accepting and closing through io_uring: no system call that a tracer of system calls would see.

use anyhow::{Context, Result};
use io_uring::{IoUring, opcode, squeue, types};
use rustix::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use rustix::io::Errno;

/// A ring of one place, made when it is needed first.
#[derive(Default)]
pub(crate) struct Ring(Option<IoUring>);

impl Ring {
    pub(crate) fn accept(&mut self, listener: &OwnedFd) -> Result<OwnedFd> {
        let accept = opcode::Accept::new(types::Fd(listener.as_raw_fd()), std::ptr::null_mut(), std::ptr::null_mut());
        let descriptor = self.does(&accept.flags(libc::SOCK_CLOEXEC).build())?;
        // SAFETY: the kernel has just given it to this process, and nobody else knows of it.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
    }

    /// Accepts into the ring's own table: the process has no descriptor of it, and a kernel thread closes it with the ring.
    pub(crate) fn accept_for_good(&mut self, listener: &OwnedFd) -> Result<()> {
        self.ring()?.submitter().register_files(&[-1]).map_err(errno)?;
        let accept = opcode::Accept::new(types::Fd(listener.as_raw_fd()), std::ptr::null_mut(), std::ptr::null_mut());
        let place = types::DestinationSlot::try_from_slot_target(0).map_err(|_| Errno::INVAL)?;
        match self.does(&accept.file_index(Some(place)).build())? {
            0 => Ok(()),
            // It does not know the word, and gave a descriptor.
            _ => Err(Errno::INVAL.into()),
        }
    }

    pub(crate) fn close(&mut self, socket: OwnedFd) -> Result<()> {
        self.does(&opcode::Close::new(types::Fd(socket.into_raw_fd())).build()).map(drop)
    }

    /// Closes where it has not been asked to at once: a worker thread of the kernel does it.
    pub(crate) fn close_by_worker(&mut self, socket: OwnedFd) -> Result<()> {
        let close = opcode::Close::new(types::Fd(socket.into_raw_fd())).build();
        self.does(&close.flags(squeue::Flags::ASYNC)).map(drop)
    }

    fn ring(&mut self) -> Result<&mut IoUring> {
        match &mut self.0 {
            Some(ring) => Ok(ring),
            none => Ok(none.insert(IoUring::new(1).map_err(errno)?)),
        }
    }

    fn does(&mut self, entry: &squeue::Entry) -> Result<i32> {
        let ring = self.ring()?;
        // SAFETY: the entry points to nothing.
        unsafe { ring.submission().push(entry) }.context("the ring is full")?;
        ring.submit_and_wait(1).map_err(errno)?;
        let result = ring.completion().next().context("the ring has no answer")?.result();
        if result < 0 { Err(Errno::from_raw_os_error(-result).into()) } else { Ok(result) }
    }
}

fn errno(error: std::io::Error) -> anyhow::Error {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw_os_error(number).into(),
        None => error.into(),
    }
}
