//! Reading kernel memory through a pointer that the verifier knows nothing of.

use aya_ebpf::{EbpfContext, helpers::generated::bpf_probe_read_kernel, programs::BtfTracePointContext};
use aya_log_ebpf::warn;
use core::{ffi::c_void, mem::MaybeUninit};

/// Reads a `T`, which is made of integers alone, at `from + offset`; zero where that cannot be read.
#[inline(always)]
pub fn read<T>(ctx: &impl EbpfContext, from: u64, offset: u32) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    let source = (from + u64::from(offset)) as *const c_void;
    let failed = unsafe { bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, source) } != 0;
    if failed {
        complain(ctx.as_ptr(), offset);
    }
    // The helper fills it, with zeros where it fails (bpf_probe_read_kernel_common()).
    unsafe { value.assume_init() }
}

/// Out of line: formatting takes more room than all the rest.
#[inline(never)]
fn complain(ctx: *mut c_void, offset: u32) {
    warn!(&BtfTracePointContext::new(ctx), "cannot read kernel memory at offset {}", offset);
}
