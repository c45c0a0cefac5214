//! x
use cloudops_models::evaluate::policy::*;
fn main() {}
#[test]
fn run() {
    let options =
        PolicyOptions { quick: std::env::var("QUICK").is_ok(), ..PolicyOptions::default() };
    let start = std::time::Instant::now();
    let e = evaluate_policy(
        std::path::Path::new(&std::env::var("CLOUDOPS_DATASETS").unwrap()),
        &options,
        &mut |d, of, s| eprintln!("{d}/{of} {s} {:?}", start.elapsed()),
    )
    .unwrap();
    e.write(std::path::Path::new("/tmp/pol")).unwrap();
}
