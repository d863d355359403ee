//! How much memory the engine's machine has, and how much containers use.

use std::{fs, path::Path};

use bollard::{models::ContainerStatsResponse, query_parameters::StatsOptionsBuilder};
use futures_util::{StreamExt as _, future::join_all};
use tokio::time::Instant;

use super::{Endpoint, Engine};

/// Where Linux says what memory there is.
const MEMINFO: &str = "/proc/meminfo";
/// What a test puts in its place, in builds with debug assertions.
#[cfg(debug_assertions)]
const PRETENDED: &str = "TURNOUT_TEST_MEMINFO";

/// Memory of a machine, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All memory of the machine, in bytes.
    pub total: u64,
    /// What a new process may have without anything being swapped out, as the kernel estimates it (`MemAvailable`).
    pub available: u64,
}

impl Engine {
    /// Memory of the machine that the engine runs on; `None` where that is not this one, or cannot be told.
    pub async fn memory(&self) -> Option<Memory> {
        if !matches!(self.endpoint(), Endpoint::Unix(_)) {
            tracing::debug!(endpoint = %self.endpoint(), "the engine is elsewhere, so its memory is not looked at");
            return None;
        }
        if let Some(pretended) = pretended() {
            return pretended;
        }
        let own = read(Path::new(MEMINFO))?;
        let engines = match self.learned.memory.known(Instant::now()) {
            Some(known) => known,
            None => {
                let told = self.ask(self.docker().info()).await.ok()?.mem_total?;
                self.learned.memory.learn(Instant::now(), told);
                told
            }
        };
        // In a virtual machine, or bounded by a group that is not ours: its figures are not these.
        let is_this = u64::try_from(engines).is_ok_and(|engines| engines.abs_diff(own.total) <= own.total / 50);
        if !is_this {
            tracing::debug!(engines, own = own.total, "the engine has other memory than this machine");
        }
        is_this.then_some(own)
    }

    /// What containers use together, without what the kernel only caches for them. One that does not say counts nothing.
    pub async fn memory_of(&self, containers: Vec<String>) -> u64 {
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let used = containers.iter().map(|id| {
            let options = options.clone();
            async move {
                let mut stats = Box::pin(self.docker().stats(id, Some(options)));
                self.ask(async { stats.next().await.transpose() }).await.ok().flatten().map_or(0, used)
            }
        });
        join_all(used).await.into_iter().fold(0, u64::saturating_add)
    }
}

#[cfg(debug_assertions)]
fn pretended() -> Option<Option<Memory>> {
    std::env::var_os(PRETENDED).map(|file| read(Path::new(&file)))
}

#[cfg(not(debug_assertions))]
fn pretended() -> Option<Option<Memory>> {
    None
}

fn read(file: &Path) -> Option<Memory> {
    parse(&fs::read_to_string(file).ok()?)
}

/// From the lines of `proc_meminfo(5)`, which are in units of 1,024 bytes.
fn parse(text: &str) -> Option<Memory> {
    let of = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Memory { total: of("MemTotal")?, available: of("MemAvailable")? })
}

/// As `docker stats` counts it: without pages of files that were not used for a while.
fn used(stats: ContainerStatsResponse) -> u64 {
    let Some(memory) = stats.memory_stats else { return 0 };
    let detail = memory.stats.unwrap_or_default();
    // Its name with the first and the second version of control groups.
    let cached = ["total_inactive_file", "inactive_file"].iter().find_map(|key| detail.get(*key).copied());
    memory.usage.unwrap_or_default().saturating_sub(cached.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use bollard::models::ContainerMemoryStats;

    use super::*;

    #[test]
    fn what_linux_says_is_read() {
        let text = "MemTotal:       2048 kB\nMemFree:  1 kB\nMemAvailable:   512 kB\nHugePages_Total: 0\n";
        assert_eq!(parse(text), Some(Memory { total: 2 << 20, available: 512 << 10 }));
        assert_eq!(parse("MemTotal: 2048 kB\n"), None);
        assert_eq!(parse("MemTotal: many kB\nMemAvailable: 1 kB\n"), None);
        assert!(read(Path::new(MEMINFO)).is_some_and(|memory| memory.available <= memory.total));
    }

    #[test]
    fn caches_are_not_in_use() {
        for (key, expected) in [("inactive_file", 60), ("total_inactive_file", 60), ("other", 100)] {
            let stats = Some([(key.to_owned(), 40)].into());
            let memory_stats = Some(ContainerMemoryStats { usage: Some(100), stats, ..Default::default() });
            assert_eq!(used(ContainerStatsResponse { memory_stats, ..Default::default() }), expected, "{key}");
        }
    }
}
