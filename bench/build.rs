//! The floor is laid out like what ships: by the same list of functions, of which it has some.

#[expect(clippy::disallowed_methods, reason = "cargo speaks to a build script through its environment")]
fn main() {
    println!("cargo::rerun-if-changed=../crates/app/call.ld");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    // A linker script is for the linkers of Linux, and only the profile that ships is made for speed.
    if is("CARGO_CFG_TARGET_OS", "linux") && is("OPT_LEVEL", "3") {
        println!("cargo::rustc-link-arg-bins=-T{}/../crates/app/call.ld", env!("CARGO_MANIFEST_DIR"));
    }
}
