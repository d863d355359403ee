//! What a table may hold at most. Whoever writes one is trusted, and still may be wrong.

/// Bytes of a route file, or of one line on the control socket. A table at its other bounds fits in either.
pub const BYTES: usize = 4 << 20;
/// Repositories of a table, those without routes included: they remember their generation.
pub const REPOSITORIES: usize = 1_000;
/// Routes of all repositories together. Each may have a socket of its own in the proxy.
pub const ROUTES: usize = 1_000;
/// Colours of a route: the live one, the next, the previous, and one in reserve.
pub const COLOURS: usize = 4;
/// Containers of one colour.
pub const TARGETS: usize = 64;
/// Containers of the whole table.
pub const ALL_TARGETS: usize = 16_384;
/// Characters of a name.
pub const NAME: usize = 128;
/// Generations, revisions and serial numbers: whole numbers that every reader of JSON keeps exactly.
pub const COUNTER: u64 = (1 << 53) - 1;
/// Parts in which a route's connections are counted out; the weights of its colours are that together.
pub const WEIGHTS: u64 = 100;
/// Longest idle time, in seconds: a week.
pub const IDLE_SECONDS: u64 = 7 * 24 * 60 * 60;
/// Longest time for what a colour leaves open, in seconds: a day.
pub const DRAIN_SECONDS: u64 = 24 * 60 * 60;
/// Hosts of one route.
pub const HOSTS: usize = 64;
/// Characters of a host name, as DNS bounds it.
pub const HOST: usize = 253;
/// Characters of the beginning of a path.
pub const PATH: usize = 256;
/// Networks that one route trusts.
pub const NETWORKS: usize = 64;
/// Characters of a file's path.
pub const FILE: usize = 1_024;
/// Longest time for which browsers are told to ask over TLS only, in seconds: two years.
pub const HSTS_SECONDS: u64 = 2 * 365 * 24 * 60 * 60;
/// Values of a text, keys not counted: far more than a table at its bounds has, and bytes of memory for each.
pub const VALUES: usize = 200_000;
/// Bytes of a page that is answered while a repository is maintained; it is kept in memory.
pub const PAGE: usize = 64 << 10;
/// Pins of one route.
pub const PINS: usize = 16;
/// Characters of a pin's value.
pub const PIN_VALUE: usize = 128;
/// Paths of one route that are passed on while it is maintained, or asked of another colour.
pub const PATHS: usize = 16;
/// Characters of a preview's secret.
pub const SECRET: usize = 128;
