//! What goes wrong on the way to a server.

/// No way to a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// The proxy that is set is none we can speak to.
    #[error("the proxy {address:?} cannot be used: {message}")]
    BadProxy {
        /// Its address, without a password.
        address: String,
        /// What is wrong with the address, or what is not supported.
        message: String,
    },
    /// The proxy does not lead there.
    #[error("cannot connect to {peer}: {message}")]
    Unreachable {
        /// Where it was to lead, as `host:port`.
        peer: String,
        /// What the proxy said.
        message: String,
    },
}
