//! Where code lies in optimised builds: functions that a call runs through stand together. See `call.ld`.

#[expect(clippy::disallowed_methods, reason = "cargo speaks to a build script through its environment")]
fn main() {
    println!("cargo::rerun-if-changed=call.ld");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    // A linker script is for the linkers of Linux, and only optimised builds are made for speed.
    if is("CARGO_CFG_TARGET_OS", "linux") && is("OPT_LEVEL", "3") {
        println!("cargo::rustc-link-arg-bins=-T{}/call.ld", env!("CARGO_MANIFEST_DIR"));
    }
}
