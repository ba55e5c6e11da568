//! Which of its sandboxes Firefox can use here.
//!
//! Firefox shuts its content processes in twice: with system-call filters (seccomp),
//! and, where it can make a user namespace, with an empty root folder (chroot) in one.
//! It only tries whether a namespace can be made. In a container whose capabilities
//! were all dropped it can, depending on the runtime, but nobody in it may call chroot,
//! and every content process dies. Told that there are no namespaces, Firefox uses
//! the filters alone.

/// `CAP_SYS_CHROOT`: a bit of the masks in `/proc/self/status`.
const SYS_CHROOT: u32 = 18;

/// What Firefox has to be told by its environment.
pub(super) fn variable() -> Option<(&'static str, std::ffi::OsString)> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    (!may_chroot(&status)).then(|| {
        tracing::debug!("no process here may ever call chroot: Firefox has its filters alone");
        ("MOZ_ASSUME_USER_NS", "0".into())
    })
}

/// Whether anybody can get the right to call chroot. What a kernel does not tell is
/// for Firefox to find out.
fn may_chroot(status: &str) -> bool {
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let mask = bounding.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_none_or(|mask| mask >> SYS_CHROOT & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounding_set_decides() {
        for (status, expected) in [
            ("Name:\tx\nCapEff:\t0000000000000000\nCapBnd:\t000001ffffffffff\nSeccomp:\t0\n", true),
            // The usual ones of a container, as Docker and podman give them.
            ("CapBnd:\t00000000a80425fb\n", true),
            ("CapBnd:\t0000000000040000\n", true),
            ("CapBnd:\t00000000a80025fb\n", false),
            ("CapPrm:\t000001ffffffffff\nCapBnd:\t0000000000000000\n", false),
            ("", true),
        ] {
            assert_eq!(may_chroot(status), expected, "{status}");
        }
    }
}
