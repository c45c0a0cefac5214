//! The `cloudops` binary: arguments to commands.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay`, which the bindings leave out between the options 14 and 16.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Keeps freed memory for a second before it goes back to the system. Batches are freed by other
/// threads than those that make them, a moment later, and by default the system takes their pages away
/// and clears them anew: much of the CPU time of a job that reads fast.
#[allow(unsafe_code, reason = "the allocator's options are set through C")]
fn keep_freed_memory() {
    let documented = 10;
    // SAFETY: options are plain numbers behind atomics, and 15 is within their table.
    unsafe {
        if libmimalloc_sys::mi_option_get(PURGE_DELAY) == documented {
            libmimalloc_sys::mi_option_set(PURGE_DELAY, 1000);
        }
    }
}

fn main() -> std::process::ExitCode {
    keep_freed_memory();
    cloudops_pipeline::command::main()
}
