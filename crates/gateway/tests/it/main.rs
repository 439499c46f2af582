//! The gateway through its public interface: the real router on a real socket, a real store, tokens signed by the token
//! crate, and scripted upstreams.

#[cfg(test)]
mod fake;
#[cfg(test)]
mod issuer;
#[cfg(test)]
mod world;

#[cfg(test)]
mod agent_tasks;
#[cfg(test)]
mod asking;
#[cfg(test)]
mod builtin;
#[cfg(test)]
mod children;
#[cfg(test)]
mod discovery;
#[cfg(test)]
mod external;
#[cfg(test)]
mod growth;
#[cfg(test)]
mod happy;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod rounds;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod sets;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod upstreams;
