//! The relying party over real sockets: against a provider that behaves like each kind of provider, and one that
//! misbehaves. `token` verifies and `protocol` reads what `client` fetches, as in the product.

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
