//! How the process keeps memory that it has taken.

/// Batches of a recording take and give back the same 128 KiB time and again. The C library would give each to the
/// kernel and take it anew, a page at a time, which costs a fifth of reading it. These are the bounds at which it would
/// arrive by itself once something large was given back.
pub fn keep_what_is_used_again() {
    #[cfg(target_env = "gnu")]
    // SAFETY: two settings of the allocator, which takes them at any time.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 64 << 20);
    }
}
