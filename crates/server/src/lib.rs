//! What surrounds the driver: clock, HTTP, authentication, payload assembly.
