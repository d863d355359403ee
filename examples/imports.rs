//! Prints which room (a crate, or a folder of `src/`) uses which, with the first place that says so, what each
//! crate brings along, and which files of a crate use each other in a circle, the known ones too.
//!
//!     cargo run --example imports
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "for who builds turnout")]
#![allow(dead_code, reason = "the tests of the rules use the rest")]

#[path = "../tests/offline/imports.rs"]
mod imports;

#[path = "../tests/offline/circles.rs"]
mod circles;

fn main() {
    for (room, uses) in imports::graph() {
        match &room {
            imports::Room::Crate(name) => println!("crates/{name}"),
            imports::Room::Folder(name) => println!("src/{name}"),
        }
        for (used, at) in uses {
            println!("    {:<10} {at}", used.name());
        }
    }
    println!();
    for (package, brings) in imports::packages() {
        println!("{package}: {} packages", brings.len());
    }
    for circle in circles::circles(&circles::uses(), &[]) {
        println!("\ncircle of files:");
        for used in circle.uses {
            println!("    {} uses {}: {}", used.from, used.to, used.what.join(", "));
        }
    }
}
