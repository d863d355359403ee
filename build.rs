//! Hands layout.ld to the linker: the functions that most runs use lie side by side in a release
//! (docs/adr/0038-functions-that-are-used-lie-together.md). Elsewhere than on Linux with glibc and x86-64 it was not tried, and is left out;
//! so it is for mold, which takes no such script.

use std::env::var;

fn main() {
    println!("cargo:rerun-if-changed=layout.ld");
    println!("cargo:rerun-if-env-changed=TURNOUT_LAYOUT");
    let is = |name: &str, wanted: &str| var(name).is_ok_and(|value| value == wanted);
    let tried = is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && is("CARGO_CFG_TARGET_ARCH", "x86_64");
    let mold = var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("mold"));
    let off = is("TURNOUT_LAYOUT", "no");
    if let (true, Ok(folder)) = (is("PROFILE", "release") && tried && !mold && !off, var("CARGO_MANIFEST_DIR")) {
        println!("cargo:rustc-link-arg-bin=turnout=-Wl,-T,{folder}/layout.ld");
    }
}
