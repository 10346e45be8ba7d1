//! What a process uses, as the kernel counts it. Linux only; elsewhere there are no numbers.

use std::time::Duration;

/// Kernel ticks of processor time in a second: fixed in the interface of Linux, whatever the kernel's own rate.
const TICKS_PER_SECOND: u64 = 100;

/// Memory that is resident, in bytes.
pub(crate) fn resident_bytes(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    resident(&status)
}

/// Processor time used so far, by the program and by the kernel for it.
pub(crate) fn processor_time(process: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    ticks(&stat).map(|ticks| Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1_024)
}

fn ticks(stat: &str) -> Option<u64> {
    // The name, in parentheses, may hold anything; fields are counted from behind it, the state being the first.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    Some(user + kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_texts_are_read() {
        assert_eq!(resident("Name:\tfairlane\nVmRSS:\t   30720 kB\n"), Some(30 << 20));
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 3 0 1 1 1";
        assert_eq!(ticks(stat), Some(200));
    }
}
