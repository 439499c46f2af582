//! Being a relying party over real sockets: against a provider that behaves as each kind does, and one that misbehaves. What
//! `client` fetches is judged by `token` and read by `protocol`, as whoever wires the three does it.

#[cfg(test)]
mod npm;
#[cfg(test)]
mod providers;
#[cfg(test)]
mod sign_in;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod world;
