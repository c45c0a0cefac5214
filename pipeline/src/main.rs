//! The `cloudops` binary: arguments to commands.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cloudops_pipeline::command::main()
}
