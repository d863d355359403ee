//! Keeps secrets out of everything that is shown or stored. Applied at the sinks.
